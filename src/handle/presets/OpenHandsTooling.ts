/**
 * The tool directory of an OpenHands agent server: what starts it, and which version that is. It holds the launcher, such
 * as a script that runs the server out of a locked environment, and a file `tooling.json`:
 *
 * ```json
 * {
 *   "version": "1.4.0",
 *   "launcher": "run-local.sh",
 *   "program": "bash",
 *   "args": [],
 *   "env": { "RUNTIME": "process" },
 *   "files": ["pyproject.toml", "uv.lock"]
 * }
 * ```
 *
 * Only `version` and `launcher` are required. The launcher finds the port in `OPENHANDS_SERVER_PORT`, and may start the
 * server as a child of its own.
 */
import { readFileSync, statSync } from "node:fs"
import { isAbsolute, join, relative, resolve } from "node:path"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as HttpProbe from "../../probe/HttpProbe.js"
import { isPointer } from "../../probe/JsonPointer.js"
import { Port } from "../../probe/ProbeSpec.js"
import * as Diagnosis from "../../process/Diagnosis.js"
import * as InvalidSpec from "../../process/InvalidSpec.js"
import * as Mask from "../../process/Mask.js"

/** The name of the file that describes a tool directory. */
export const fileName = "tooling.json"

const message = (allowed: string) => ({ message: () => ({ message: `expected ${allowed}`, override: true }) })
const text = (allowed: string, isOne: (text: string) => boolean) =>
  Schema.String.pipe(Schema.filter(isOne)).annotations(message(allowed))

const list = (what: string, item: Schema.Schema<string>) =>
  Schema.Array(item).annotations({
    // Only for what is no list at all; what is in it has its own words.
    message: ({ actual }) => ({ message: `expected a list of ${what}`, override: !Array.isArray(actual) }),
  })

const inside = "a path inside of the tool directory, relative to it"
const isInside = (path: string): boolean =>
  path.trim() !== "" &&
  !path.includes("\0") &&
  !isAbsolute(path) &&
  !/^\.\.(\/|$)/.test(relative("/tool", resolve("/tool", path)))

const isExact = (version: string): boolean =>
  /^v?\d[\w.+!-]*$/.test(version.trim()) && !/\.x(\.|$)/i.test(version)

const isWord = (word: string): boolean => !word.includes("\0")

/** What a tool directory says of itself. */
export const Tooling = Schema.Struct({
  /** The one version that the launcher starts: no range, no name such as `latest`. */
  version: text("one exact version such as 1.4.0, no range and no name such as latest", isExact),
  /** What starts the server: a file of the tool directory. Without `program` it must be executable. */
  launcher: text(inside, isInside),
  /** What runs the launcher, such as `bash`: a name to be found on `PATH`, or a path from the tool directory. */
  program: Schema.optional(
    text(
      "a program: a name to be found on PATH, or a path",
      (program) => program.trim() !== "" && isWord(program),
    ),
  ),
  /** What the launcher is given. */
  args: Schema.optionalWith(list("texts", text("a text without NUL characters", isWord)), {
    default: () => [],
  }),
  /** Where it runs. Default: the tool directory. */
  workingDirectory: Schema.optional(text(inside, isInside)),
  /** Variables for it. */
  env: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), {
    default: () => ({}),
  }),
  /** The port where nobody says another one. Default 8000. */
  port: Schema.optionalWith(Port, { default: () => 8_000 }),
  /** What else must be there for it, such as its lock file. */
  files: Schema.optionalWith(list("paths", text(inside, isInside)), { default: () => [] }),
  /**
   * Where the running server says its version, such as `{ "path": "/server_info", "pointer": "/version" }`. It is then
   * compared with `version`; else that is taken for granted.
   */
  versionAt: Schema.optional(
    Schema.Struct({
      path: text("a path that starts with '/'", (path) => /^\/[!-"$-~]*$/.test(path)),
      pointer: text("a JSON Pointer such as /version", isPointer),
    }),
  ),
}).annotations({ identifier: "OpenHandsTooling" })
export type Tooling = typeof Tooling.Type

/** A tool directory that has everything. */
export interface Resolved {
  readonly tooling: Tooling
  /** Absolute. */
  readonly workingDirectory: string
  readonly command: readonly [string, ...Array<string>]
}

/** What else is asked of a tool directory. */
export interface Options {
  /** The version that it must have. */
  readonly expectedVersion?: string | undefined
  /** A command that is run in the place of the launcher. */
  readonly command?: readonly [string, ...Array<string>] | undefined
  /** The variables that its processes get, beside its own. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

type Issues = Array<InvalidSpec.Issue>

const issue = (field: string, value: unknown, allowed: string): InvalidSpec.Issue => ({
  field,
  value: value === undefined ? "nothing" : JSON.stringify(value),
  allowed,
})

const faultOf = (path: string, wanted: "file" | "directory"): string | undefined => {
  try {
    const found = statSync(path)
    const isOne = wanted === "file" ? found.isFile() : found.isDirectory()
    return isOne ? undefined : `expected a ${wanted}, which ${path} is not`
  } catch (cause) {
    return `expected a ${wanted} at ${path}, but ${Diagnosis.systemReason(cause)}`
  }
}

const readDocument = (path: string, issues: Issues): unknown => {
  const fault = faultOf(path, "file")
  if (fault !== undefined) {
    issues.push(issue(fileName, undefined, fault))
    return undefined
  }
  try {
    return JSON.parse(readFileSync(path, "utf8")) as unknown
  } catch (cause) {
    // The words of the parser show what stands there, which may be a secret; where it stands is enough.
    const where = /at position \d+/.exec(String(cause))?.[0]
    const why = cause instanceof SyntaxError ? (where ?? "it is none") : Diagnosis.systemReason(cause)
    issues.push({ field: fileName, value: "a text", allowed: `expected JSON (${why})` })
    return undefined
  }
}

const decode = ParseResult.decodeUnknownEither(Tooling, { errors: "all", onExcessProperty: "error" })

/** Why a command could not be run, as a spawn of it would say. */
const commandFault = (
  [program, ...args]: readonly [string, ...Array<string>],
  cwd: string,
  env: Options["environment"],
): string | undefined => {
  const shown = Mask.formatCommand([program, ...args], (text) => text)
  // Of what a spawn is refused for when it is not allowed, everything is looked at; what is left over is no fault.
  const found = Diagnosis.diagnose(
    { program, args, cwd, env, shown, redact: (text) => text },
    Object.assign(new Error(), { code: "EACCES" }),
  )
  return found._tag === "SpawnFailed" ? undefined : found.message
}

/** Each field that is right, as it stands in the document, whatever is wrong with others. */
const soundPart = (document: unknown, faulty: ReadonlySet<string>): Partial<typeof Tooling.Encoded> =>
  typeof document === "object" && document !== null
    ? Object.fromEntries(
        Object.entries(document).filter(([name]) => name in Tooling.fields && !faulty.has(name)),
      )
    : {}

/**
 * Reads a tool directory and looks whether everything is there that it names, without running any of it. Whatever is
 * missing or wrong is told at once.
 */
export const load = (
  directory: string,
  { command: instead, environment, expectedVersion }: Options,
): Either.Either<Resolved, ReadonlyArray<InvalidSpec.Issue>> => {
  const root = resolve(directory)
  const rootFault = faultOf(root, "directory")
  if (rootFault !== undefined) return Either.left([issue("toolDir", directory, rootFault)])
  const issues: Issues = []
  const document = readDocument(join(root, fileName), issues)
  if (document === undefined) return Either.left(issues)

  const decoded = decode(document)
  if (Either.isLeft(decoded)) {
    const complaint = InvalidSpec.fromParseError(fileName, document, ParseResult.parseError(decoded.left))
    issues.push(...complaint.issues)
  }
  const faulty = new Set(issues.map(({ field }) => field.replace(/[.[].*$/s, "")))
  const sound = soundPart(document, faulty)
  const { args = [], env = {}, files = [], launcher, program, version, workingDirectory = "." } = sound

  if (expectedVersion !== undefined && version !== undefined) {
    if (HttpProbe.normalizeVersion(version) !== HttpProbe.normalizeVersion(expectedVersion))
      issues.push(issue("version", version, `expected ${expectedVersion}, as that is asked for`))
  }
  const cwd = resolve(root, workingDirectory)
  const cwdFault = faultOf(cwd, "directory")
  if (cwdFault !== undefined) issues.push(issue("workingDirectory", workingDirectory, cwdFault))
  for (const file of files) {
    const fault = faultOf(resolve(root, file), "file")
    if (fault !== undefined) issues.push(issue("files", file, fault))
  }
  const script = launcher === undefined ? undefined : resolve(root, launcher)
  const scriptFault = script === undefined ? undefined : faultOf(script, "file")
  if (scriptFault !== undefined) issues.push(issue("launcher", launcher, scriptFault))

  const runner = program?.includes("/") === true ? resolve(root, program) : program
  const own: ReadonlyArray<string> = script === undefined ? [] : [script, ...args]
  const [first, ...others] = instead ?? (runner === undefined ? own : [runner, ...own])
  if (first !== undefined && (first !== script || scriptFault === undefined)) {
    const fault = commandFault([first, ...others], cwdFault === undefined ? cwd : root, {
      ...environment,
      ...env,
    })
    const field = instead !== undefined ? "command" : program === undefined ? "launcher" : "program"
    const value = instead?.[0] ?? program ?? launcher
    if (fault !== undefined) issues.push(issue(field, value, fault.replace(/\.$/, "")))
  }
  if (issues.length > 0 || Either.isLeft(decoded) || first === undefined) return Either.left(issues)
  return Either.right({ tooling: decoded.right, workingDirectory: cwd, command: [first, ...others] })
}
