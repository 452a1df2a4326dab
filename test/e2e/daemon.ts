/** A daemon of the built program as its users have it, and nothing left of it afterwards. */
import { spawn, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as http from "node:http"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { killLeft } from "../process/killPid.js"
import { isAlive } from "../process/support.js"

const main = path.resolve(import.meta.dirname, "../../dist/main.js")

/** What is asked over HTTP. A body that is no text and no bytes is sent as JSON. */
export interface Asking {
  readonly method?: string
  readonly body?: unknown
  /** Instead of the usual ones; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  /** Null: none. Default: the daemon's. */
  readonly token?: string | null
}

/** What is answered. */
export interface Reply {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any
}

/** One server-sent event. */
export interface Event {
  readonly event: string
  readonly id: string | undefined
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly data: any
}

/** Looks again and again until there is something, at most for ten seconds. */
export const eventually = async <A>(
  what: string,
  look: () => A | undefined | false | Promise<A | undefined | false>,
): Promise<A> => {
  const end = performance.now() + 10_000
  while (true) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > end) throw new Error(`never happened: ${what}`)
    await delay(10)
  }
}

/** The lines of a file that somebody writes to; one that is not written to its end is none yet, as a file may be there and empty. */
export const wholeLines = (file: string): ReadonlyArray<string> =>
  fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").slice(0, -1) : []

/** Resolves when a process has ended. */
export const gone = (pid: number): Promise<true> =>
  eventually(`the end of process ${pid}`, () => !isAlive(pid) || undefined)

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function* eventsOf(response: http.IncomingMessage): AsyncGenerator<Event> {
  response.setEncoding("utf8")
  let rest = ""
  for await (const chunk of response) {
    const blocks = (rest + chunk).split("\n\n")
    rest = blocks.pop()!
    for (const block of blocks) {
      const fields = new Map(
        block.split("\n").map((line) => {
          const at = line.indexOf(":")
          return [line.slice(0, at), line.slice(at + 2)] as const
        }),
      )
      const event = fields.get("event")
      if (event !== undefined) yield { event, id: fields.get("id"), data: parsed(fields.get("data") ?? "") }
    }
  }
}

/** Processes that carry this text in their environment. None where the system does not tell. */
const marked = (mark: string): ReadonlyArray<number> => {
  if (process.platform !== "linux") return []
  return fs.readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      return fs.readFileSync(`/proc/${name}/environ`, "latin1").includes(mark) && isAlive(Number(name))
        ? [Number(name)]
        : []
    } catch {
      return []
    }
  })
}

/** The daemon, its root, and what can be done with it. */
export type Site = Awaited<ReturnType<typeof open>>

/** Python, which can make terminals; undefined: it is not installed. */
export const python = ["python3", "python"].find((name) => spawnSync(name, ["-c", "import pty"]).status === 0)

const inPty = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"

/** Starts one. `close` ends everything that came of it, and fails when something would have been left. */
export const open = async () => {
  // As the system names it, which is how the program prints it.
  const base = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-e2e-")))
  const root = path.join(base, "root")
  // Inherited by the keeper and the jobs: whatever is still there with it at the end was left behind.
  const mark = `HOLDFAST_TEST=${randomUUID()}`
  const env = {
    ...process.env,
    HOLDFAST_ROOT: root,
    HOLDFAST_TEST: mark.split("=")[1],
    NO_COLOR: "1",
    // Certificates that nothing here needs would slow each start of Node down.
    NODE_EXTRA_CA_CERTS: undefined,
  }

  /** The program as a child, or what runs it. */
  const start = (cwd: string, ...args: ReadonlyArray<string>) =>
    launch(cwd, process.execPath, [main, ...args])
  const launch = (cwd: string, program: string, args: ReadonlyArray<string>) => {
    const child = spawn(program, args, { cwd, env })
    const [out, err]: [Array<Buffer>, Array<Buffer>] = [[], []]
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk))
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk))
    child.stdin.on("error", () => {})
    const text = () => Buffer.concat(err).toString()
    const done = once(child, "close").then(([code, signal]) => ({
      code: (code ?? signal) as number | string,
      out: Buffer.concat(out).toString(),
      err: text(),
    }))
    return { child, done, err: text }
  }

  let daemon: ReturnType<typeof start> | undefined
  let address = ""
  const port = () => Number(new URL(address).port)

  /** Starts the daemon, and waits until it listens. */
  const serve = async (): Promise<void> => {
    const next = start(base, "serve", "--bind", "127.0.0.1:0")
    daemon = next
    address = await eventually("the daemon listens", () => {
      if (next.child.exitCode !== null) throw new Error(`the daemon ended: ${next.err()}`)
      return /listens at (http:\S+)/.exec(next.err())?.[1]
    })
  }

  const token = (): string => fs.readFileSync(path.join(root, "token"), "utf8").trim()

  const send = async (target: string, asking: Asking = {}): Promise<http.IncomingMessage> => {
    const given = asking.token === undefined ? token() : asking.token
    const { body } = asking
    const bytes =
      body === undefined || typeof body === "string" || body instanceof Uint8Array
        ? body
        : JSON.stringify(body)
    const headers = {
      authorization: given === null ? undefined : `Bearer ${given}`,
      "content-type": bytes === undefined ? undefined : "application/json",
      "content-length": bytes === undefined ? undefined : String(Buffer.byteLength(bytes)),
      ...asking.headers,
    }
    const request = http.request({
      host: "127.0.0.1",
      port: port(),
      // One that is kept may be closed by the other side just when it is used again.
      agent: false,
      method: asking.method ?? (body === undefined ? "GET" : "POST"),
      path: target,
      headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
    })
    request.end(bytes)
    const [response] = (await once(request, "response")) as [http.IncomingMessage]
    return response
  }

  /** Asks the daemon, with a path that is sent as it stands. */
  const ask = async (target: string, asking?: Asking): Promise<Reply> => {
    const response = await send(target, asking)
    const chunks: Array<Buffer> = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    return { status: response.statusCode!, headers: response.headers, text, body: parsed(text) }
  }

  /** As {@link ask}, for what has to go well: the answer's body. */
  const get = async (target: string, asking?: Asking): Promise<Reply["body"]> => {
    const { body, status, text } = await ask(target, asking)
    if (status !== 200) throw new Error(`${target} was answered ${status}: ${text}`)
    return body
  }

  /** Waits for a job's end; gives what `GET /status` says of it. */
  const end = async (id: string): Promise<Reply["body"]> => {
    await get(`/wait/${id}`)
    return get(`/status/${id}`)
  }

  /** All that a job has written so far, read by cursor. */
  const log = async (id: string, query = "", pieceBytes = 8_388_608): Promise<Buffer> => {
    const pieces: Array<Buffer> = []
    let offset = 0
    while (true) {
      const piece = await get(
        `/log/${id}?encoding=base64&max_bytes=${pieceBytes}&offset=${offset}${query && `&${query}`}`,
      )
      pieces.push(Buffer.from(piece.base64, "base64"))
      offset = piece.next_offset
      if (piece.eof) return Buffer.concat(pieces)
    }
  }

  /** Waits for a line of a job's output; gives its named groups. */
  const line = async (id: string, pattern: string): Promise<Readonly<Record<string, string>>> => {
    const { match, reason } = await get(`/wait/${id}?until_ms=10000&pattern=${encodeURIComponent(pattern)}`)
    if (reason !== "pattern") throw new Error(`no line ${pattern}, but ${reason}`)
    return match.groups
  }

  /** The server-sent events of a path, until the connection ends. */
  const events = async (target: string, headers: Asking["headers"] = {}): Promise<AsyncGenerator<Event>> =>
    eventsOf(await send(target, { headers }))

  /** A bare connection. */
  const connect = async (): Promise<net.Socket> => {
    const socket = net.connect(port(), "127.0.0.1")
    socket.on("error", () => {})
    await once(socket, "connect")
    return socket
  }

  /** A new directory for the files of one test, and what runs there. */
  const desk = () => {
    const work = fs.mkdtempSync(path.join(base, "work-"))
    return {
      work,
      /** Submits a job: a shell script, or whatever else `POST /exec` takes. Gives its id. */
      exec: async (job: string | object): Promise<string> => {
        const body = typeof job === "string" ? { command: ["sh", "-c", job] } : job
        return (await get("/exec", { body: { cwd: work, ...body } })).job_id
      },
      /** Runs the program to its end. */
      holdfast: (...args: ReadonlyArray<string>) => start(work, ...args).done,
      /** The same in a terminal, with what it shows. */
      inTerminal: (...args: ReadonlyArray<string>) =>
        launch(work, python!, ["-c", inPty, process.execPath, main, ...args]).done,
    }
  }

  /** Ends the daemon with KILL. */
  const murder = async (): Promise<void> => {
    daemon!.child.kill("SIGKILL")
    await daemon!.done
    daemon = undefined
  }

  const close = async (): Promise<void> => {
    try {
      if (daemon !== undefined && daemon.child.exitCode === null) {
        const { jobs } = await get("/jobs?state=created,queued,running&limit=1000")
        // A created one has to be queued before it can be cancelled.
        for (const { job_id, state } of jobs) {
          await (state === "created"
            ? get(`/jobs/${job_id}`, { method: "DELETE" })
            : get(`/kill/${job_id}?grace_ms=0`, { method: "POST" }))
        }
        daemon.child.kill("SIGTERM")
        const { code, err } = await daemon.done
        if (code !== 0) throw new Error(`the daemon ended with ${code}: ${err}`)
      }
      await eventually("the end of the keeper and the jobs", () => marked(mark).length === 0)
    } finally {
      for (const pid of marked(mark)) killLeft(pid)
      await fs.promises.rm(base, { recursive: true, force: true, maxRetries: 10 })
    }
  }

  try {
    await serve()
  } catch (cause) {
    await close()
    throw cause
  }
  return {
    root,
    desk,
    ask,
    get,
    end,
    log,
    line,
    events,
    connect,
    murder,
    serve,
    close,
    token,
    port,
    pid: () => daemon!.child.pid!,
    words: () => daemon!.err(),
  }
}
