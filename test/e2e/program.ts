/** The built program with a root of its own, as its users have it in a terminal, and nothing left of it afterwards. */
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { killLeft } from "../process/killPid.js"
import { isAlive } from "../process/support.js"
import { eventually } from "./daemon.js"

/** The built program. */
export const main = path.resolve(import.meta.dirname, "../../dist/main.js")

/** Processes that carry this text in their environment, by pid. None where the system does not tell. */
const marked = (mark: string): ReadonlyArray<number> => {
  if (process.platform !== "linux") return []
  return fs.readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return []
    try {
      const isMarked = fs.readFileSync(`/proc/${name}/environ`, "latin1").includes(mark)
      return isMarked && isAlive(Number(name)) ? [Number(name)] : []
    } catch {
      return []
    }
  })
}

/** As much of a text as is good for an error. */
const cut = (text: string): string => (text.length > 8_000 ? `...${text.slice(-8_000)}` : text)

/** How a child is to be spawned. */
export interface Options {
  /** Default: nothing to read. */
  readonly stdin?: "pipe"
  /** Instead of the program itself, such as a shell with it. */
  readonly command?: readonly [string, ...Array<string>]
}

/** A child, and what it says. */
export type Started = ReturnType<Place["start"]>

/** A directory, a root, and what is started there. */
export type Place = ReturnType<typeof place>

/** Makes one. `close` fails when a process would have been left. */
export const place = () => {
  // As the system names it, which is how the program prints it.
  const base = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-units-")))
  const root = path.join(base, "root")
  const work = path.join(base, "work")
  fs.mkdirSync(work)
  const mark = `HOLDFAST_TEST=${randomUUID()}`
  const env = {
    ...process.env,
    HOLDFAST_ROOT: root,
    HOLDFAST_TEST: mark.split("=")[1],
    NO_COLOR: "1",
    // Certificates that nothing here needs would slow each start of Node down.
    NODE_EXTRA_CA_CERTS: undefined,
  }
  const children: Array<ReturnType<typeof spawn>> = []

  /** The program as a child. */
  const start = (args: ReadonlyArray<string>, { command, stdin }: Options = {}) => {
    const [file, ...before] = command ?? [process.execPath, main]
    const child = spawn(file, [...before, ...args], {
      cwd: work,
      env,
      stdio: [stdin ?? "ignore", "pipe", "pipe"],
    })
    children.push(child)
    const said = { out: "", err: "" }
    const waiting: Array<() => void> = []
    const tell = () => {
      for (const resume of waiting.splice(0)) resume()
    }
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      said.out += text
      tell()
    })
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said.err += text
      tell()
    })
    let hasEnded = false
    const done = once(child, "close").then(([code, signal]) => {
      hasEnded = true
      tell()
      return { code: (code ?? signal) as number | string, ...said }
    })
    /** Resolves when it has written something like this, on either output, behind what was found before. */
    const find = async (of: "out" | "err", pattern: RegExp, from = 0): Promise<RegExpExecArray> => {
      for (;;) {
        const match = pattern.exec(said[of].slice(from))
        if (match !== null) return match
        if (hasEnded) throw new Error(`it ended without ${pattern}:\n${cut(said.out)}\n${cut(said.err)}`)
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
    }
    return {
      child,
      pid: child.pid!,
      done,
      said,
      out: (pattern: RegExp, from?: number) => find("out", pattern, from),
      err: (pattern: RegExp, from?: number) => find("err", pattern, from),
      signal: (name: NodeJS.Signals) => void child.kill(name),
    }
  }

  /** The program to its end. */
  const run = (...args: ReadonlyArray<string>) => start(args).done

  /** Writes a file, and the configuration by default. */
  const write = (text: string, name = "holdfast.yaml"): string => {
    const file = path.join(work, name)
    fs.writeFileSync(file, text)
    return file
  }

  /** A daemon of this root with the configuration, once it answers. */
  const serve = async (...args: ReadonlyArray<string>) => {
    const daemon = start(["serve", "--bind", "127.0.0.1:0", "-f", "holdfast.yaml", ...args])
    await daemon.err(/listens at \S+/)
    return daemon
  }

  const close = async (): Promise<void> => {
    try {
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        child.kill("SIGTERM")
        await once(child, "close")
      }
      await eventually("the end of everything", () => marked(mark).length === 0)
    } finally {
      for (const pid of marked(mark)) killLeft(pid)
      await fs.promises.rm(base, { recursive: true, force: true, maxRetries: 10 })
    }
  }

  return { base, root, work, start, run, write, serve, close, marked: () => marked(mark) }
}
