/** A world for commands to be run in, and a daemon that answers from a script. */
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as HttpApi from "@effect/platform/HttpApi"
import { Api } from "../../src/api/Api.js"
import * as Program from "../../src/cli/Program.js"
import { commands } from "../../src/cli/Registry.js"
import type { Name, Routes } from "../../src/cli/Routes.js"
import type { Sink, World } from "../../src/cli/World.js"

const found: Record<string, string> = {}
HttpApi.reflect(Api, {
  onGroup: () => {},
  onEndpoint: ({ endpoint }) => {
    found[endpoint.name] = `${endpoint.method} ${endpoint.path}`
  },
})

/** Read off the contract, as the build does it. */
export const routes = found as Routes

/** A temporary directory that is gone afterwards. */
export const scratch = () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-cli-"))
  return { directory, [Symbol.dispose]: () => fs.rmSync(directory, { recursive: true, force: true }) }
}

/** A sink that keeps what it is given. */
export const keeping = (columns?: number) => {
  const chunks: Array<Buffer> = []
  const waiting: Array<() => void> = []
  const sink: Sink = {
    write: async (data) => {
      chunks.push(Buffer.from(data as string))
      for (const resume of waiting.splice(0)) resume()
    },
    endure: () => {},
    offer: async (data) => {
      await sink.write(data)
      return true
    },
    settled: async () => true,
    isTerminal: columns !== undefined,
    columns: () => columns ?? Infinity,
  }
  const bytes = () => Buffer.concat(chunks)
  const text = () => bytes().toString("utf8")
  /** Resolves when something like this has been written. */
  const until = async (pattern: RegExp) => {
    while (!pattern.test(text())) await new Promise<void>((resolve) => waiting.push(resolve))
  }
  return { sink, bytes, text, until }
}

/** How a command is run. */
export interface Surroundings {
  readonly root?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** Characters in a line, where both outputs are a terminal. */
  readonly columns?: number
  readonly input?: string
}

/** Runs the program in this process. */
export const start = (
  args: ReadonlyArray<string>,
  { columns, cwd = "/here", env = {}, input = "", root }: Surroundings = {},
) => {
  const [out, err] = [keeping(columns), keeping(columns)]
  const listeners = new Set<() => void>()
  const world: World = {
    version: "1.2.3",
    platform: "linux",
    env: { HOME: "/home/nobody", ...(root === undefined ? {} : { HOLDFAST_ROOT: root }), ...env },
    cwd,
    out: out.sink,
    err: err.sink,
    input: async () => Buffer.from(input),
    program: [process.execPath, "/nonexistent/main.js"],
    routes,
    onSignal: (_signals, listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    isInTerminal: () => columns !== undefined,
    hasNoTerminal: () => true,
    exit: () => {},
  }
  const done = Program.run(args, world, commands).then((code) => ({
    code,
    out: out.text(),
    err: err.text(),
    bytes: out.bytes(),
  }))
  return {
    world,
    done,
    out,
    err,
    interrupt: () => {
      for (const listener of listeners) listener()
    },
  }
}

/** Runs the program to its end. */
export const run = (args: ReadonlyArray<string>, surroundings?: Surroundings) =>
  start(args, surroundings).done

/** A request as the fake daemon saw it. */
export interface Asked {
  readonly name: Name
  readonly id: string | undefined
  readonly query: Readonly<Record<string, string | ReadonlyArray<string>>>
  readonly body: unknown
  readonly headers: http.IncomingHttpHeaders
}

/** An answer: an object is sent as JSON under an `ok` envelope, unless it says otherwise; a function writes it itself. */
export type Reply = object | ((response: http.ServerResponse) => void | Promise<void>)

/** What is answered to each call. */
export type Script = { readonly [N in Name]?: (asked: Asked) => Reply | Promise<Reply> }

/** The envelope of an error, with its status. */
export const refusal =
  (status: number, code: string, message: string, retryable = false): Reply =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json" })
    response.end(
      JSON.stringify({ schema_version: "1", ok: false, type: "error", error: { code, message, retryable } }),
    )
  }

/** The text of a server-sent event. */
export const event = (name: string, data: object, id?: string): string =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`

/** Answers with events. `cut` drops the connection after them. */
export const eventStream =
  (events: ReadonlyArray<string>, cut = false): Reply =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.write(events.join(""), () => (cut ? response.destroy() : response.end()))
  }

const queryOf = (search: URLSearchParams) => {
  const query: Record<string, string | Array<string>> = {}
  for (const key of new Set(search.keys())) {
    const all = search.getAll(key)
    query[key] = all.length === 1 ? all[0]! : all
  }
  return query
}

/** What a daemon without units says where the script says nothing. */
const usual: { readonly [N in Name]?: (asked: Asked) => Reply } = {
  health: () => ({ type: "health", version: "1.2.3", pid: process.pid }),
  units: () => ({ type: "units", units: [] }),
  unit: ({ id }) => refusal(404, "unit_not_found", `There is no unit "${id}".`),
}

/** The token of its root. */
export const token = "secret".padEnd(43, "_")

/** A daemon that answers from a script, under a root where the program finds it. */
export const daemon = async (script: Script, root = scratch()) => {
  const asked: Array<Asked> = []
  const sockets = new Set<{ readonly destroy: () => void }>()
  const patterns = Object.entries(routes).map(([name, route]) => {
    const [method, template] = route.split(" ") as [string, string]
    return { name: name as Name, method, path: new RegExp(`^${template.replace(/:\w+/, "([^/]+)")}$`) }
  })
  const server = http.createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url!, "http://localhost")
      const chunks: Array<Buffer> = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const text = Buffer.concat(chunks).toString("utf8")
      const match = patterns.find(({ method, path }) => method === request.method && path.test(url.pathname))
      if (match === undefined) throw new Error(`no such endpoint: ${request.method} ${request.url}`)
      const seen: Asked = {
        name: match.name,
        id: match.path.exec(url.pathname)![1],
        query: queryOf(url.searchParams),
        body: text === "" ? undefined : JSON.parse(text),
        headers: request.headers,
      }
      // Whether there are units is asked in passing.
      if (!match.name.startsWith("unit") || script[match.name] !== undefined) asked.push(seen)
      const nothing = () => refusal(500, "internal_error", `the script has nothing for ${match.name}`)
      const reply = await (script[match.name] ?? usual[match.name] ?? nothing)(seen)
      if (typeof reply === "function") return void (await reply(response))
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify({ schema_version: "1", ok: true, ...reply }))
    })()
  })
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  const file = path.join(root.directory, "daemon.json")
  const listen = async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    fs.writeFileSync(file, JSON.stringify({ pid: process.pid, address, since: Date.now() }))
  }
  const stop = async () => {
    fs.rmSync(file, { force: true })
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  fs.writeFileSync(path.join(root.directory, "token"), `${token}\n`, { mode: 0o600 })
  await listen()
  return {
    root: root.directory,
    asked,
    /** Goes away without a word, as by KILL, but for the file. */
    stop,
    /** Comes back at another port. */
    listen,
    [Symbol.asyncDispose]: async () => {
      if (server.listening) await stop()
      root[Symbol.dispose]()
    },
  }
}

/** An id of a job. */
export const id = "01HZX3V9Q4R8N7C2M5K6J1T0WB"

/** What the daemon says of a job that ended well. */
export const exited = {
  type: "status",
  job_id: id,
  state: "exited",
  exit_code: 0,
  cause: "exit",
  created_at: "2025-01-02T03:04:05.000Z",
  started_at: "2025-01-02T03:04:06.000Z",
  finished_at: "2025-01-02T03:04:07.500Z",
}

/** What the daemon says of a unit. */
export const unit = (name: string, fields: object = {}) => ({
  name,
  kind: "service",
  state: "ready",
  desired: "up",
  since: "2030-01-31T08:00:00.000Z",
  generation: 1,
  failures: 0,
  restarts: 0,
  outputs: {},
  ...fields,
})
