/** What the questions about the built daemon share: temporary places, daemons on them, and requests to these. */
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"

const places: Array<string> = []
const children = new Map<ChildProcess, NodeJS.Signals>()

// Only at the very end: after many files were deleted the disk is slow for seconds.
process.on("exit", () => {
  for (const [child, signal] of children) child.kill(signal)
  for (const place of places) fs.rmSync(place, { recursive: true, force: true, maxRetries: 5 })
})
process.on("SIGINT", () => process.exit(130))
process.on("SIGTERM", () => process.exit(143))

/** Where the built program is; questions run in the package's own directory. */
export const program = path.resolve("dist/main.js")

/** A directory that is gone when this program is. */
export const temporary = (): string => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-bench-"))
  places.push(place)
  return place
}

/** Gives a process that has to end with this program, by this signal; it is forgotten when it ends by itself. */
export const owned = <C extends ChildProcess>(child: C, signal: NodeJS.Signals = "SIGKILL"): C => {
  children.set(child, signal)
  child.once("exit", () => children.delete(child))
  return child
}

/** Resolves to the exit code, once the output is drained. */
export const ended = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code) => resolve(code))
  })

/** A running daemon. */
export interface Daemon {
  readonly root: string
  readonly pid: number
  readonly address: string
  /** From its spawn until it said that it listens, in milliseconds. */
  readonly startedIn: number
  /** Asks it, on a connection that is kept, and gives the answer; throws when it is a refusal. */
  readonly ask: (method: string, path: string, body?: unknown) => Promise<any>
  /** Resolves when it has ended; the jobs that run then go on. */
  readonly stop: () => Promise<void>
}

/** Starts a daemon of the built program on a root; with `file`, it has the units of that configuration. */
export const start = async (root: string, file?: string): Promise<Daemon> => {
  const begin = performance.now()
  const args = [program, "serve", "--json", "--root", root, "--bind", "127.0.0.1:0", "--log-level", "warning"]
  if (file !== undefined) args.push("-f", file)
  const child = owned(spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] }))
  let said = ""
  child.stderr.on("data", (chunk) => (said += String(chunk)))
  const closed = ended(child)
  const first = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()
  const startedIn = performance.now() - begin
  if (first.done === true) throw new Error(`the daemon did not start: ${said}`)
  const { address } = JSON.parse(first.value) as { readonly address: string }
  const authorization = `Bearer ${fs.readFileSync(path.join(root, "token"), "utf8").trim()}`
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 })

  const ask: Daemon["ask"] = (method, path, body) =>
    new Promise((resolve, reject) => {
      const headers = { authorization, ...(body === undefined ? {} : { "content-type": "application/json" }) }
      const request = http.request(`${address}${path}`, { method, agent, headers }, (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8")
          if (response.statusCode === 200) resolve(JSON.parse(text))
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`))
        })
      })
      request.on("error", reject)
      request.end(body === undefined ? undefined : JSON.stringify(body))
    })

  return {
    root,
    pid: child.pid!,
    address,
    startedIn,
    ask,
    stop: async () => {
      agent.destroy()
      child.kill("SIGTERM")
      await closed
    },
  }
}

/** Runs a command as a job to its end, and gives its id. */
export const runJob = async (daemon: Daemon, command: ReadonlyArray<string>): Promise<string> => {
  const { job_id: id } = await daemon.ask("POST", "/exec", { command, wait: true })
  return id as string
}

/** The processor time that a process has used, of all its threads, in milliseconds. Linux only. */
export const processorMillis = (pid: number): number => {
  let nanos = 0
  for (const thread of fs.readdirSync(`/proc/${pid}/task`))
    nanos += Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0])
  return nanos / 1e6
}

/** The memory that a process holds, in MB. Linux only. */
export const residentMegabytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1_024

/** The proportional set size of a process, in MB: what it shares is divided by how many share it. Linux only. */
export const proportionalMegabytes = (pid: number): number =>
  Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))![1]) / 1_024

/** Resolves after so many milliseconds. */
export const sleep = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))
