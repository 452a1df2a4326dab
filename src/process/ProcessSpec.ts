/**
 * What to run: the description of one operating-system process. Decode it with {@link make} (the spawner does so by
 * itself), so that a bad one is refused before anything is started.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as InvalidSpec from "./InvalidSpec.js"
import * as Mask from "./Mask.js"
import { SignalName } from "./Signal.js"
import { TimeSpan } from "./TimeSpan.js"

const text = (allowed: string) =>
  Schema.String.pipe(
    Schema.filter((value) => value.length > 0 && !value.includes("\0"), {
      message: () => `expected ${allowed}`,
    }),
  )

const Path = text("a path: not empty, no NUL character")

const Argument = Schema.String.pipe(
  Schema.filter((value) => !value.includes("\0"), { message: () => "expected text without a NUL character" }),
)

const variableName = "a variable name: not empty, no '=' and no NUL character"

const isVariableName = (name: string): boolean => /^[^=\0]+$/.test(name)

const VariableName = Schema.String.pipe(
  Schema.filter(isVariableName, { message: () => `expected ${variableName}` }),
)

const Variables = Schema.Record({ key: Schema.String, value: Argument }).pipe(
  Schema.filter((variables) => {
    const wrong = Object.keys(variables).filter((name) => !isVariableName(name))
    return wrong.map((name) => ({ path: [name], message: `expected ${variableName}` }))
  }),
)

/** The program to run, then its arguments. It is executed as it stands: no shell reads it. */
export const Command = Schema.NonEmptyArray(Argument).pipe(
  Schema.annotations({ title: "a list of texts: the program, then its arguments" }),
  Schema.filter(([program]) => program.trim() !== "", {
    message: () => "expected a program to run as the first element",
  }),
)

/** What a process reads: nothing, given bytes, a file, or a pipe that stays open until it is ended. */
export const Stdin = Schema.Union(
  Schema.Literal("null", "pipe"),
  Schema.Struct({ bytes: Schema.Union(Schema.String, Schema.Uint8ArrayFromSelf) }).annotations({
    title: "{ bytes: text or bytes }",
  }),
  Schema.Struct({ file: Path }).annotations({ title: "{ file: path }" }),
)
export type Stdin = typeof Stdin.Type

/**
 * Where output goes: `pipe` (the default: drained, to be read from `Process.output`), `null`, or straight into a
 * file by descriptor, at disk speed, appended unless `append` is false.
 */
export const OutputTarget = Schema.Union(
  Schema.Literal("pipe", "null"),
  Schema.Struct({
    file: Path,
    append: Schema.optionalWith(Schema.Boolean, { default: () => true }),
  }).annotations({ title: "{ file: path }" }),
)
export type OutputTarget = typeof OutputTarget.Type

/** How to stop: `signal` first, KILL when `grace` is over. */
export const StopPolicy = Schema.Struct({
  /** Default TERM. */
  signal: Schema.optionalWith(SignalName, { default: () => "SIGTERM" as const }),
  /** From the stop signal to KILL. Default 10 s. */
  grace: Schema.optionalWith(TimeSpan, { default: () => Duration.seconds(10) }),
})
export type StopPolicy = typeof StopPolicy.Type

/** The description of one process. Only `command` is required. */
export const ProcessSpec = Schema.Struct({
  command: Command,
  /** Directory to run in. Default: the program's own. */
  cwd: Schema.optional(Path),
  /** Start from this program's own environment. Default true. */
  inheritEnv: Schema.optionalWith(Schema.Boolean, { default: () => true }),
  /**
   * Files of `NAME=value` lines, later ones winning, each over the inherited environment: regular files of at most 1 MiB,
   * in UTF-8.
   */
  envFiles: Schema.optionalWith(Schema.Array(Path), { default: () => [] }),
  /** Variables that win over everything else. */
  env: Schema.optionalWith(Variables, { default: () => ({}) }),
  /** Names of variables whose values must never be shown. */
  mask: Schema.optionalWith(Schema.Array(VariableName), { default: () => [] }),
  /** Default `null`: end of file at once. */
  stdin: Schema.optionalWith(Stdin, { default: () => "null" as const }),
  /** Default `pipe`. */
  stdout: Schema.optionalWith(OutputTarget, { default: () => "pipe" as const }),
  /** Default `pipe`. */
  stderr: Schema.optionalWith(OutputTarget, { default: () => "pipe" as const }),
  /** `block` makes the process wait for a slow reader of its output; the default `drop` never does. */
  whenFull: Schema.optionalWith(Schema.Literal("drop", "block"), { default: () => "drop" as const }),
  stop: Schema.optionalWith(StopPolicy, {
    default: () => ({ signal: "SIGTERM" as const, grace: Duration.seconds(10) }),
  }),
  /** The name of the unit this is an instance of; the process sees it as `HOLDFAST_UNIT`. */
  unit: Schema.optional(text("a unit's name: not empty, no NUL character")),
  /** The id of the job this is an attempt of; the process sees it as `HOLDFAST_JOB`. */
  job: Schema.optional(text("a job's id: not empty, no NUL character")),
}).annotations({ identifier: "ProcessSpec" })
export type ProcessSpec = typeof ProcessSpec.Type

/** What a caller writes. */
export type Input = typeof ProcessSpec.Encoded

/**
 * Decodes a description, or fails with `InvalidSpec` naming each bad field, its value and what is allowed. The values
 * of masked variables are not shown in it.
 */
export const make = InvalidSpec.decoder("process spec", ProcessSpec, Mask.ofInput)

const redactFile = <T>(target: T, redact: Mask.Redact): T =>
  typeof target === "object" && target !== null && "file" in target
    ? { ...target, file: redact(String(target.file)) }
    : target

/** The spec as it may be shown: masked values replaced wherever they stand, given input bytes left out. */
export const redacted = (spec: ProcessSpec, redact: Mask.Redact): ProcessSpec => ({
  ...spec,
  command: spec.command.map(redact) as unknown as ProcessSpec["command"],
  env: Mask.redactVariables(spec.env, spec.mask, redact),
  envFiles: spec.envFiles.map(redact),
  ...(spec.cwd !== undefined && { cwd: redact(spec.cwd) }),
  ...(spec.unit !== undefined && { unit: redact(spec.unit) }),
  ...(spec.job !== undefined && { job: redact(spec.job) }),
  stdin:
    typeof spec.stdin === "object" && "bytes" in spec.stdin
      ? { bytes: Mask.placeholder }
      : redactFile(spec.stdin, redact),
  stdout: redactFile(spec.stdout, redact),
  stderr: redactFile(spec.stderr, redact),
})
