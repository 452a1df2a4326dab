/** Finds out why a spawn failed: the system's one error number stands for several mistakes. */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs"
import { delimiter, isAbsolute, join, resolve } from "node:path"
import {
  ArgumentListTooLong,
  BadWorkingDirectory,
  CommandNotFound,
  NotExecutable,
  type SpawnError,
  SpawnFailed,
  TooManyOpenFiles,
  TooManyProcesses,
} from "./SpawnError.js"
import type { Redact, Variables } from "./Mask.js"

/** What was attempted. */
export interface Attempt {
  readonly program: string
  readonly args: ReadonlyArray<string>
  readonly cwd: string | undefined
  readonly env: Readonly<Variables>
  /** The command for people, masked. */
  readonly shown: string
  readonly redact: Redact
}

/** The code of a system error, `UNKNOWN` for anything else. */
export const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "UNKNOWN"

const reasons: Record<string, string> = {
  ENOENT: "it does not exist",
  EACCES: "permission is denied",
  EPERM: "the system does not permit it",
  ENOTDIR: "a part of its path is not a directory",
  EISDIR: "it is a directory",
  ELOOP: "its symbolic links go in a circle",
  ENAMETOOLONG: "its name is too long",
  ENOSPC: "the disk is full",
  EROFS: "the file system is read-only",
  ETXTBSY: "it is being written to",
}

/** A system error in words, such as "it does not exist". */
export const systemReason = (cause: unknown): string => {
  const code = codeOf(cause)
  return reasons[code] ?? (cause instanceof Error ? cause.message : String(cause))
}

/** Undefined when `path` may be entered. */
const directoryFault = (path: string): string | undefined => {
  try {
    if (!statSync(path).isDirectory()) return "it is not a directory"
    accessSync(path, constants.X_OK)
    return undefined
  } catch (cause) {
    return systemReason(cause)
  }
}

/** The interpreter named in a script's first line; undefined for anything else. */
const interpreterOf = (path: string): string | undefined => {
  let descriptor: number | undefined
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const buffer = Buffer.alloc(256)
    const line = buffer.toString("utf8", 0, readSync(descriptor, buffer)).split("\n", 1)[0]!
    return line.startsWith("#!") ? line.slice(2).trim().split(/\s+/, 1)[0] : undefined
  } catch {
    return undefined
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

/** An interpreter may be a script itself; the kernel follows four of them. */
const interpreterDepth = 4

/** Undefined when the file at `path` can be executed as far as one can see. */
const executableFault = (path: string, depth = 0): string | undefined => {
  try {
    const stat = statSync(path)
    if (stat.isDirectory()) return "it is a directory"
    if (!stat.isFile()) return "it is not a regular file"
    accessSync(path, constants.X_OK)
  } catch (cause) {
    return codeOf(cause) === "EACCES"
      ? "you have no permission to execute it (chmod +x makes a file executable)"
      : systemReason(cause)
  }
  const interpreter = interpreterOf(path)
  if (interpreter === undefined) return undefined
  if (depth === interpreterDepth)
    return "its interpreter is a script, whose interpreter is a script, and so on"
  return executableFault(interpreter, depth + 1) === undefined
    ? undefined
    : `its first line names the interpreter "${interpreter}", which cannot be run`
}

const exists = (path: string): boolean => {
  try {
    statSync(path)
    return true
  } catch (cause) {
    // There is something, though it may not be looked at.
    return codeOf(cause) === "EACCES"
  }
}

const programFault = (attempt: Attempt, code: string): SpawnError | undefined => {
  const { program, redact } = attempt
  const cwd = attempt.cwd ?? "."
  const isPath = program.includes("/")
  const searched = isPath ? [] : (attempt.env.PATH ?? "/usr/bin:/bin").split(delimiter)
  const candidates = isPath
    ? [resolve(cwd, program)]
    : searched.map((directory) =>
        isAbsolute(directory) ? join(directory, program) : resolve(cwd, directory, program),
      )
  const found = candidates.find(exists)
  if (found === undefined)
    return new CommandNotFound({ program: redact(program), searched: searched.map(redact) })
  const reason =
    executableFault(found) ??
    (code === "ENOENT" || code === "ENOEXEC"
      ? "it is there, but it or the loader it needs is not for this system"
      : undefined)
  return reason === undefined ? undefined : new NotExecutable({ path: redact(found), reason: redact(reason) })
}

/** The typed error for what `child_process.spawn` threw or emitted. */
export const diagnose = (attempt: Attempt, cause: unknown): SpawnError => {
  const code = codeOf(cause)
  switch (code) {
    case "EMFILE":
    case "ENFILE":
      return new TooManyOpenFiles({ command: attempt.shown, code })
    case "EAGAIN":
    case "ENOMEM":
      return new TooManyProcesses({ command: attempt.shown, code })
    case "E2BIG": {
      let bytes = attempt.program.length + 1
      for (const argument of attempt.args) bytes += Buffer.byteLength(argument) + 1
      for (const [name, value] of Object.entries(attempt.env)) {
        if (value !== undefined) bytes += Buffer.byteLength(`${name}=${value}`) + 1
      }
      return new ArgumentListTooLong({ program: attempt.redact(attempt.program), bytes })
    }
  }
  if (attempt.cwd !== undefined) {
    const reason = directoryFault(attempt.cwd)
    if (reason !== undefined) return new BadWorkingDirectory({ cwd: attempt.redact(attempt.cwd), reason })
  }
  return (
    programFault(attempt, code) ??
    new SpawnFailed({ command: attempt.shown, code, reason: attempt.redact(systemReason(cause)) })
  )
}
