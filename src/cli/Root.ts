/** The directory where everything lives, and what the daemon leaves there for those who look for it. */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Liveness from "../process/Liveness.js"
import { Failure } from "./World.js"

/** What a daemon says of itself in `daemon.json`. It may have died since. */
export interface Owner {
  readonly pid: number
  readonly startTime?: string
  readonly bootId?: string
  /** Where it answers, once it does. */
  readonly address?: string
  /** In milliseconds since the epoch. */
  readonly since: number
}

/** What tells the root: the option, else `HOLDFAST_ROOT`, else `holdfast` in the XDG state directory. */
export const rootOf = (
  option: string | undefined,
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): string => {
  if (option === "") throw new Failure("--root is empty; name a directory.", "invalid_request")
  const given = option ?? (env["HOLDFAST_ROOT"] === "" ? undefined : env["HOLDFAST_ROOT"])
  if (given !== undefined) return path.resolve(cwd, given)
  // A relative XDG directory is to be ignored, says its specification.
  const state = env["XDG_STATE_HOME"]
  if (state !== undefined && path.isAbsolute(state)) return path.join(state, "holdfast")
  return path.join(env["HOME"] || os.homedir(), ".local/state/holdfast")
}

/** What has to follow a command for it to mean this root: nothing where it does anyway. */
export const rootOption = (
  root: string,
  world: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): string => (rootOf(undefined, world) === root ? "" : ` --root ${root}`)

/** The file in which the daemon of a root says who it is. */
export const ownerFile = (root: string): string => path.join(root, "daemon.json")

/** The file that holds the token of a root. */
export const tokenFile = (root: string): string => path.join(root, "token")

/** The file that a daemon started by `run` logs to. */
export const logFile = (root: string): string => path.join(root, "daemon.log")

/** Where programs keep what belongs to one configuration file, by a key of the file. */
export const filesOf = (root: string): string => path.join(root, "up")

/** The directory of one configuration file. */
export const placeOfFile = (root: string, key: string): string => path.join(filesOf(root), key)

const isOwner = (value: unknown): value is Owner => {
  const { address, pid } = (value ?? {}) as Partial<Record<keyof Owner, unknown>>
  return Number.isSafeInteger(pid) && (address === undefined || typeof address === "string")
}

/** Who says that it holds a root; undefined when nobody does. */
export const ownerOf = (root: string): Owner | undefined => {
  try {
    const value: unknown = JSON.parse(fs.readFileSync(ownerFile(root), "utf8"))
    return isOwner(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The token of a root; undefined when there is none. Throws a `Failure` when there is one that may not be read. */
export const tokenOf = (root: string): string | undefined => {
  try {
    return fs.readFileSync(tokenFile(root), "utf8").trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ENOTDIR") return undefined
    throw new Failure(
      `The token in ${tokenFile(root)} cannot be read (${code ?? String(error)}): this root belongs to another user.`,
      "unauthorized",
    )
  }
}

/** Whether that process lives: with its start time it is told from a later one of the same pid. */
export const isAlive = (who: number | Liveness.Named): boolean =>
  Liveness.isThere(typeof who === "number" ? { pid: who } : who)
