/** The daemon under test: the built program as its users have it, its life and its death, and what it is asked. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as delay } from "node:timers/promises"
import type { Clock } from "./clock.js"
import type { Place } from "./place.js"
import { markVariable } from "./processes.js"

/** What came of a question. */
export interface Answer {
  /** 0: there was none. */
  readonly status: number
  /** `200`, the code of an error, or what became of the connection, such as `ECONNRESET`; `NEVER`: nothing came; `CLOSED`: it was idle for too long. */
  readonly code: string
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any
  readonly millis: number
}

/** How to ask. */
export interface Asking {
  readonly body?: unknown
  /** When to take it for never answered, in milliseconds. Default 30 s. */
  readonly patience?: number
  /** On the one connection for questions about the state, which stays open. */
  readonly isState?: boolean
}

/** How long a daemon may take to begin to answer, and to end in order, in milliseconds. */
const startPatience = 20_000

// What a daemon is made to do before its memory is measured: garbage is no leak. Then it notes what its objects take,
// without the compiled code, of which an engine makes more for as long as it finds something worth it.
const collector = `
const { renameSync, writeFileSync } = require("node:fs")
const { getHeapCodeStatistics } = require("node:v8")
process.on("SIGUSR2", () => {
  gc()
  gc()
  const code = getHeapCodeStatistics()
  const bytes = process.memoryUsage().heapUsed - code.code_and_metadata_size - code.bytecode_and_metadata_size
  try {
    writeFileSync(__dirname + "/objects.new", String(bytes))
    renameSync(__dirname + "/objects.new", __dirname + "/objects")
  } catch {}
})
`

/** One life of the daemon. */
export interface Life {
  readonly pid: number
  readonly address: string
  readonly token: string
  readonly child: ChildProcess
  /** Resolves to the exit code or the signal. */
  readonly ended: Promise<number | string>
  /** What it has said on its standard error, the end of it. */
  readonly said: () => string
}

/** Daemons on one place, one after the other. */
export class Daemon {
  /** The one that is there. */
  life: Life | undefined
  /** Of all of them. */
  readonly pids = new Set<number>()
  /** How long each took to listen, in milliseconds. */
  readonly starts: Array<number> = []
  /** Whether an end is expected. */
  private isEnding = false
  private agents = [this.agent(64), this.agent(1)] as const

  constructor(
    private readonly place: Place,
    private readonly program: string,
    private readonly clock: Clock | undefined,
    /** Called when one ends that nobody has ended. */
    private readonly onDeath: (how: string) => void,
  ) {
    fs.writeFileSync(path.join(place.desk, "collect.cjs"), collector)
  }

  private agent(maxSockets: number): http.Agent {
    return new http.Agent({ keepAlive: true, maxSockets })
  }

  /** Starts one, and waits until it listens. Rejects when it ends before, or takes too long. */
  async start(): Promise<void> {
    const { place } = this
    const begin = performance.now()
    const collect = ["--expose-gc", "--require", path.join(place.desk, "collect.cjs")]
    const serve = ["serve", "--json", "--root", place.root, "--bind", "127.0.0.1:0", "-f", place.config]
    const args = [...collect, this.program, ...serve, "--log-level", "warning"]
    const { user } = place
    const env = {
      PATH: process.env["PATH"],
      HOME: place.base,
      NO_COLOR: "1",
      [markVariable]: place.mark,
      ...this.clock?.variables,
    }
    const child = spawn(process.execPath, args, {
      cwd: place.desk,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      ...(user !== undefined && { uid: user, gid: user }),
    })
    let said = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-8_000)))
    const ended = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | string)
    if (child.pid !== undefined) this.pids.add(child.pid)
    this.isEnding = false
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, startPatience, undefined)
    })
    const lines = createInterface({ input: child.stdout })
    const first = await Promise.race([once(lines, "line"), ended.then(() => undefined), late])
    clearTimeout(timer)
    // Instead of an address it may say why it cannot serve.
    const answer = first === undefined ? undefined : (JSON.parse(first[0] as string) as { address?: string })
    if (answer?.address === undefined) {
      const impatience = setTimeout(() => child.kill("SIGKILL"), first === undefined ? 0 : 5_000)
      const how = await ended
      clearTimeout(impatience)
      throw new Error(
        `the daemon did not begin to answer, and ended with ${how}: ${JSON.stringify(answer)} ${said}`,
      )
    }
    const { address } = answer
    const token = fs.readFileSync(path.join(place.root, "token"), "utf8").trim()
    const life: Life = { pid: child.pid!, address, token, child, ended, said: () => said }
    this.life = life
    this.starts.push(performance.now() - begin)
    child.once("exit", (code, signal) => {
      if (this.life !== life) return
      this.life = undefined
      this.renew()
      if (!this.isEnding) this.onDeath(`it ended with ${code ?? signal}: ${said}`)
    })
  }

  /** Has it collect its garbage; resolves to what its objects take then, in megabytes, undefined when it does not say. */
  async collect(): Promise<number | undefined> {
    const { life } = this
    const file = path.join(this.place.desk, "objects")
    fs.rmSync(file, { force: true })
    life?.child.kill("SIGUSR2")
    for (const end = performance.now() + 10_000; performance.now() < end && this.life === life;) {
      if (fs.existsSync(file)) return Number(fs.readFileSync(file, "utf8")) / 1e6
      await delay(10)
    }
    return undefined
  }

  /** Closes its connections, so that none of them counts as the daemon's. Nothing may be on its way. */
  hangUp(): void {
    this.renew()
  }

  private renew(): void {
    for (const agent of this.agents) agent.destroy()
    this.agents = [this.agent(64), this.agent(1)]
  }

  /** Kills it, and waits until it is gone. */
  async kill(): Promise<void> {
    const { life } = this
    if (life === undefined) return
    this.isEnding = true
    life.child.kill("SIGKILL")
    await life.ended
  }

  /** Has it end in order; answers how it ended and after how many milliseconds. */
  async end(): Promise<{ readonly how: number | string; readonly millis: number; readonly said: string }> {
    const { life } = this
    if (life === undefined) return { how: 0, millis: 0, said: "" }
    this.isEnding = true
    const begin = performance.now()
    life.child.kill("SIGTERM")
    const impatience = setTimeout(() => life.child.kill("SIGKILL"), startPatience)
    const how = await life.ended
    clearTimeout(impatience)
    return { how, millis: performance.now() - begin, said: life.said() }
  }

  /** Begins a request; the response may be left. Undefined: there is no daemon. */
  request(method: string, target: string, asking: Asking = {}): http.ClientRequest | undefined {
    const { life } = this
    if (life === undefined) return undefined
    const text = asking.body === undefined ? undefined : JSON.stringify(asking.body)
    const headers = {
      authorization: `Bearer ${life.token}`,
      ...(text !== undefined && {
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(text)),
      }),
    }
    const agent = this.agents[asking.isState === true ? 1 : 0]
    const request = http.request(`${life.address}${target}`, { method, agent, headers })
    request.end(text)
    return request
  }

  /** Asks, and never fails. */
  ask(method: string, target: string, asking: Asking = {}): Promise<Answer> {
    const begin = performance.now()
    const { life } = this
    return new Promise((resolve) => {
      const request = this.request(method, target, asking)
      if (request === undefined)
        return resolve({ status: 0, code: "ECONNREFUSED", body: undefined, millis: 0 })
      const lost = (code: string) => {
        clearTimeout(timer)
        resolve({ status: 0, code, body: undefined, millis: performance.now() - begin })
      }
      const timer = setTimeout(() => {
        lost("NEVER")
        request.destroy()
      }, asking.patience ?? 30_000)
      request.on("error", (error: NodeJS.ErrnoException) => {
        // It was closed for being idle just when it was used again, which neither side can help.
        if (error.code !== "ECONNRESET" || !request.reusedSocket) return lost(error.code ?? error.message)
        if (method !== "GET" || this.life !== life) return lost("CLOSED")
        clearTimeout(timer)
        resolve(this.ask(method, target, asking))
      })
      request.on("response", (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("error", (error: NodeJS.ErrnoException) => lost(error.code ?? error.message))
        response.on("aborted", () => lost("ECONNRESET"))
        response.on("end", () => {
          clearTimeout(timer)
          const text = Buffer.concat(chunks).toString("utf8")
          const status = response.statusCode!
          const isJson = response.headers["content-type"]?.includes("json") === true
          const body = isJson ? JSON.parse(text) : text
          const code = status === 200 ? "200" : String(body?.error?.code ?? status)
          resolve({ status, code, body, millis: performance.now() - begin })
        })
      })
    })
  }
}
