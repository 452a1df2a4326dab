/**
 * How the daemon and its keeper talk.
 *
 * The daemon writes requests to the keeper's standard input, each as its length in bytes, a line end, and that many
 * bytes: fields separated by NUL. The keeper answers by lines into the bell, a FIFO that any daemon of the root reads:
 *
 * - `s RUN PID START`: the process of that attempt has been forked;
 * - `x RUN code N UPTIME`, `x RUN signal N UPTIME`, `x RUN fault STEP ERRNO UPTIME`: it has ended, or could not become
 *   the program;
 * - `r RUN STEP ERRNO`: nothing was started, and nothing of it is left.
 *
 * Whatever it says has been noted in `run` before. End of file on its input tells it that its daemon is gone: it goes
 * on until its last process has ended. SIGUSR1 makes it look for `stdin.end` beside the inputs that it holds open.
 */
import type { AttemptPaths, Begun, Outcome } from "./AttemptFiles.js"
import { errnoName, parseBegun, parseOutcome } from "./AttemptFiles.js"

/** What to start. */
export interface StartRequest {
  readonly paths: AttemptPaths
  readonly command: ReadonlyArray<string>
  readonly cwd: string
  readonly inheritEnv: boolean
  readonly env: Readonly<Record<string, string>>
  readonly stdin: "null" | "pipe" | { readonly bytes: Uint8Array } | { readonly file: string }
}

/** What a keeper tells of an attempt. */
export type KeeperNews =
  | { readonly _tag: "Begun"; readonly run: string; readonly begun: Begun }
  | { readonly _tag: "Over"; readonly run: string; readonly outcome: Outcome }
  | { readonly _tag: "Refused"; readonly run: string; readonly step: string; readonly errno: string }

const stdinFields = (stdin: StartRequest["stdin"]): readonly [string, string] => {
  if (typeof stdin === "string") return [stdin, ""]
  return "file" in stdin ? ["file", stdin.file] : ["bytes", Buffer.from(stdin.bytes).toString("hex")]
}

const nameIn = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** A request as it is written. */
export const encode = ({ command, cwd, env, inheritEnv, paths, stdin }: StartRequest): Buffer => {
  const fields = [
    paths.dir,
    nameIn(paths.run),
    nameIn(paths.stdout),
    nameIn(paths.stderr),
    cwd,
    ...stdinFields(stdin),
    inheritEnv ? "1" : "",
    String(command.length),
    ...command,
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
  ]
  const payload = Buffer.from(fields.join("\0"))
  return Buffer.concat([Buffer.from(`${payload.length}\n`), payload])
}

/** Reads a line of the bell; undefined for one that says nothing. */
export const decode = (line: string): KeeperNews | undefined => {
  const [kind, run] = line.split(" ", 2)
  if (kind === undefined || run === undefined) return undefined
  const rest = line.slice(kind.length + run.length + 2)
  if (kind === "s") {
    const begun = parseBegun(rest)
    return begun === undefined ? undefined : { _tag: "Begun", run, begun }
  }
  if (kind === "x") {
    const outcome = parseOutcome(rest)
    return outcome === undefined ? undefined : { _tag: "Over", run, outcome }
  }
  const [step, errno] = rest.split(" ")
  return kind === "r" && step !== undefined && errno !== undefined
    ? { _tag: "Refused", run, step, errno: errnoName(errno) }
    : undefined
}
