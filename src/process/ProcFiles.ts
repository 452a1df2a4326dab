/** What Linux shows of a process under /proc. */
import { closeSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs"
import { basename } from "node:path"
import { jobVariable, lineageVariable, unitVariable } from "./Environment.js"
import type { Named } from "./ProcessTable.js"

/** One /proc/PID/stat, see proc(5). */
export interface Stat {
  readonly state: string
  readonly parentPid: number
  readonly groupId: number
  readonly sessionId: number
  /** Clock ticks since boot. */
  readonly startTime: string
}

/** Reads the text of /proc/PID/stat. The command in it may contain spaces, parentheses and line ends. */
export const parseStat = (text: string): Stat | undefined => {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const [state, parentPid, groupId, sessionId] = fields
  const startTime = fields[19]
  return state === undefined || startTime === undefined
    ? undefined
    : {
        state,
        parentPid: Number(parentPid),
        groupId: Number(groupId),
        sessionId: Number(sessionId),
        startTime,
      }
}

/** Files of /proc are read some ten times a spawn: one buffer for all of them, and no call that is not needed. */
let buffer = Buffer.allocUnsafeSlow(16_384)

const readWhole = (path: string): string => {
  const descriptor = openSync(path, "r")
  try {
    let length = 0
    while (true) {
      const read = readSync(descriptor, buffer, length, buffer.length - length, null)
      if (read === 0) return buffer.toString("latin1", 0, length)
      length += read
      if (length === buffer.length) buffer = Buffer.concat([buffer], length * 2)
    }
  } finally {
    closeSync(descriptor)
  }
}

/** The file's text; undefined when the process is gone or may not be looked at. Anything else is thrown. */
export const read = (path: string): string | undefined => {
  try {
    return readWhole(path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES" || code === "EPERM") return undefined
    throw cause
  }
}

/** Undefined when there is no such process. */
export const statOf = (pid: number): Stat | undefined => {
  const text = read(`/proc/${pid}/stat`)
  return text === undefined ? undefined : parseStat(text)
}

/** Whether it has ended and waits to be reaped. */
export const isDead = (stat: Stat): boolean => stat.state === "Z" || stat.state === "X" || stat.state === "x"

/** The arguments of a process, its program's name first; none of one that ends, or of a thread of the kernel. */
const argumentsOf = (pid: number): ReadonlyArray<string> => {
  const bytes = Buffer.from(read(`/proc/${pid}/cmdline`) ?? "", "latin1")
  const text = bytes.toString("utf8").replace(/\0+$/, "")
  return text === "" ? [] : text.split("\0")
}

const shown = (pid: number, args: ReadonlyArray<string>): string =>
  args.length > 0 ? args.join(" ") : `[${(read(`/proc/${pid}/comm`) ?? "?").trim()}]`

/** Its command line for people. */
export const commandOf = (pid: number): string => shown(pid, argumentsOf(pid))

/** The kernel keeps so many bytes of a name: one of just that length may have been longer. */
const nameCap = 15

/** Some programs write what they do in the place of their arguments: `postgres: writer /var/lib/node`. */
const isTitle = (argument: string): boolean => /\s.*\//s.test(argument)

/**
 * The names that a process goes by: the kernel's, unless it may be cut, and that of its first argument. For one that may
 * be cut the first that begins like it stands in: the file that is executed, or the script that an interpreter was given.
 *
 * @param comm its /proc/PID/comm, a character for each byte
 */
export const namesOf = (
  comm: string,
  args: ReadonlyArray<string>,
  executable: () => string | undefined,
): ReadonlyArray<string> => {
  const [first] = args
  // A thread of the kernel.
  if (first === undefined) return []
  const names = new Set<string>()
  if (!isTitle(first)) names.add(basename(first))
  if (comm.length < nameCap) {
    names.add(Buffer.from(comm, "latin1").toString("utf8"))
  } else {
    const begins = (name: string): boolean => Buffer.from(name).toString("latin1").startsWith(comm)
    const whole = [executable() ?? "", ...args.slice(0, 3)].map((path) => basename(path)).find(begins)
    if (whole !== undefined) names.add(whole)
  }
  names.delete("")
  return [...names]
}

const executableOf = (pid: number): string | undefined => {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, "")
  } catch {
    return undefined
  }
}

/** What a process is called; undefined when it has ended. */
export const describe = (pid: number): (Stat & Pick<Named, "command" | "names">) | undefined => {
  const stat = statOf(pid)
  if (stat === undefined || isDead(stat)) return undefined
  const args = argumentsOf(pid)
  const comm = (read(`/proc/${pid}/comm`) ?? "").replace(/\n$/, "")
  return { ...stat, command: shown(pid, args), names: namesOf(comm, args, () => executableOf(pid)) }
}

/**
 * The environment of a process; empty when it may not be read. Undefined while the process is in the middle of an
 * execve(2), when the kernel shows none though there is one.
 */
export const environOf = (pid: number, stat: Stat): string | undefined => {
  const path = `/proc/${pid}/environ`
  const environment = read(path) ?? ""
  // Threads of the kernel have none.
  if (environment !== "" || pid === 2 || stat.parentPid === 2) return environment
  if ((read(`/proc/${pid}/cmdline`) ?? "") === "") return undefined
  // With its arguments there, the exec is over: what is read now is what it has.
  return read(path) ?? ""
}

const variableIn = (environment: string, name: string): string | undefined => {
  const start = `\0${environment}`.indexOf(`\0${name}=`)
  if (start === -1) return undefined
  const value = environment.slice(start + name.length + 1)
  const end = value.indexOf("\0")
  return end === -1 ? value : value.slice(0, end)
}

/** The marks in an environment. */
export const marksIn = (environment: string): ReadonlyArray<string> =>
  variableIn(environment, lineageVariable)?.split(" ") ?? []

/** The unit that an environment names, unless it is one of a job. */
export const unitIn = (environment: string): string | undefined =>
  variableIn(environment, jobVariable) === undefined ? variableIn(environment, unitVariable) : undefined

/** Every process, those that have ended and wait to be reaped among them. */
export const allPids = (): ReadonlyArray<number> => {
  const pids: Array<number> = []
  for (const name of readdirSync("/proc")) {
    const first = name.charCodeAt(0)
    if (first >= 48 && first <= 57) pids.push(Number(name))
  }
  return pids
}
