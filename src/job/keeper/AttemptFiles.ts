/**
 * The files of an attempt, under `jobs/ID/`: its logs and `run`, in which its keeper notes which process it is and how
 * it ended. Whoever creates `run` decides that the attempt begins, or that it never will.
 */
import * as fs from "node:fs"
import { constants } from "node:os"
import { join } from "node:path"
import type { JobId } from "../JobId.js"

/** Paths relative to the root. */
export interface AttemptPaths {
  readonly dir: string
  readonly run: string
  readonly stdout: string
  readonly stderr: string
}

/** The folder of a job, relative to the root. */
export const folderOf = (id: JobId): string => `jobs/${id}`

/** Where the files of the n-th attempt are; the first has the plain names. */
export const pathsOf = (id: JobId, attempt: number): AttemptPaths => {
  const dir = folderOf(id)
  const suffix = attempt === 1 ? "" : `.${attempt}`
  return {
    dir,
    run: `${dir}/run${suffix}`,
    stdout: `${dir}/stdout${suffix}.log`,
    stderr: `${dir}/stderr${suffix}.log`,
  }
}

/** The process that its keeper started. */
export interface Begun {
  readonly pid: number
  /** In the unit of `ProcessIdentity.startTime`. */
  readonly startTime: string
}

/** How the process ended, told exactly. */
export type Outcome =
  | { readonly _tag: "Code"; readonly code: number; readonly uptime: string }
  | { readonly _tag: "Signal"; readonly signal: string; readonly uptime: string }
  /** It never became the program that was asked for: the step that failed and the system's error. */
  | { readonly _tag: "Fault"; readonly step: string; readonly errno: string; readonly uptime: string }

const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]))
const errorNames = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]))

/** The name of a system error by its number. */
export const errnoName = (text: string): string => errorNames.get(Number(text)) ?? `errno ${text}`

/** Realtime signals have numbers only. */
const signalName = (number: number): string => signalNames.get(number) ?? `SIG${number}`

/** Reads `PID START`; undefined when that is not there. */
export const parseBegun = (line: string): Begun | undefined => {
  const [pid, startTime] = line.trim().split(" ")
  return pid !== undefined && /^\d+$/.test(pid) && startTime !== undefined
    ? { pid: Number(pid), startTime: startTime.replaceAll("_", " ") }
    : undefined
}

/** Reads `code N UPTIME`, `signal N UPTIME` or `fault STEP ERRNO UPTIME`; undefined when that is not there. */
export const parseOutcome = (line: string): Outcome | undefined => {
  const [kind, ...rest] = line.trim().split(" ")
  const [value = "", uptime = "", last = ""] = rest
  if (kind === "fault" && rest.length === 3)
    return { _tag: "Fault", step: value, errno: errnoName(uptime), uptime: last }
  if (rest.length !== 2 || !/^\d+$/.test(value)) return undefined
  if (kind === "code") return { _tag: "Code", code: Number(value), uptime }
  return kind === "signal" ? { _tag: "Signal", signal: signalName(Number(value)), uptime } : undefined
}

/** What `run` says. */
export interface Noted {
  readonly begun: Begun | undefined
  readonly outcome: Outcome | undefined
  /** When it was last written, by the wall clock, in milliseconds since the epoch: the end, once there is one. */
  readonly writtenAt: number
}

/** Reads a `run`; undefined when there is none. What cannot be read is thrown. */
export const read = (root: string, run: string): Noted | undefined => {
  let descriptor: number
  try {
    // A FIFO in its place must not be waited for.
    descriptor = fs.openSync(join(root, run), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw cause
  }
  try {
    if (!fs.fstatSync(descriptor).isFile()) throw new Error("it is not a regular file")
    const buffer = Buffer.alloc(256)
    const text = buffer.toString("latin1", 0, fs.readSync(descriptor, buffer, 0, 256, 0))
    const [begun = "", outcome = ""] = text.split("\n")
    return {
      begun: parseBegun(begun),
      outcome: parseOutcome(outcome),
      writtenAt: Math.trunc(fs.fstatSync(descriptor).mtimeMs),
    }
  } finally {
    fs.closeSync(descriptor)
  }
}

/** Makes sure that an attempt never begins; false when it has, or is just doing so. */
export const forbid = (root: string, { dir, run }: AttemptPaths): boolean => {
  fs.mkdirSync(join(root, dir), { recursive: true, mode: 0o700 })
  try {
    fs.closeSync(fs.openSync(join(root, run), "wx", 0o600))
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false
    throw cause
  }
}

/** The bytes of a log; undefined when it cannot be looked at. */
export const sizeOf = (root: string, path: string): number | undefined => {
  try {
    return fs.statSync(join(root, path)).size
  } catch {
    return undefined
  }
}
