/**
 * What a client may ask for: one command, how to run it, when, and what to do with its output and its end. Decode it
 * with {@link make}, so that a bad one is refused before anything is stored.
 */
import { isAbsolute, resolve } from "node:path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Mask from "../process/Mask.js"
import * as ProcessSpec from "../process/ProcessSpec.js"
import { SignalName } from "../process/Signal.js"
import { TimeSpan } from "../process/TimeSpan.js"
import { JobPrefix } from "./JobId.js"
import * as Limits from "./JobLimits.js"

const message = (allowed: string) => ({ message: () => ({ message: `expected ${allowed}`, override: true }) })

const Path = Schema.String.pipe(
  Schema.filter((path) => path !== "" && !path.includes("\0") && Buffer.byteLength(path) <= Limits.pathBytes),
).annotations(message(`a path: not empty, no NUL character, at most ${Limits.pathBytes} bytes`))

const AbsolutePath = Path.pipe(Schema.filter(isAbsolute, { message: () => "expected an absolute path" }))

const whole = (least: number, most: number, what: string) =>
  Schema.Int.pipe(Schema.between(least, most)).annotations(
    message(`${what}: a whole number from ${least} to ${most}`),
  )

const span = (least: number, most: number, what: string) =>
  TimeSpan.pipe(
    Schema.filter((length) => Duration.toMillis(length) >= least && Duration.toMillis(length) <= most, {
      message: () => `expected ${what}`,
    }),
  )

const word = (most: number, what: string) =>
  Schema.String.pipe(
    Schema.filter(
      (text) => text.trim() === text && text.length > 0 && text.length <= most && isPrintable(text),
    ),
  ).annotations(message(`${what}: 1 to ${most} characters, no control characters, no blanks around them`))

// oxlint-disable-next-line no-control-regex
const isPrintable = (text: string): boolean => !/[\u0000-\u001f\u007f]/.test(text)

/** A group's name: letters, digits, `.`, `_` and `-`, at most 64. */
export const GroupName = Schema.String.pipe(
  Schema.filter((name) => /^[\w.-]{1,64}$/.test(name), {
    message: () => "expected a group's name: 1 to 64 letters, digits, '.', '_' or '-'",
  }),
)

/**
 * What a job reads: nothing, what is written to it while it runs, a text, bytes in base 64, or a file (an absolute path,
 * opened at the start).
 */
export const Stdin = Schema.Union(
  Schema.Literal("null"),
  Schema.Literal("pipe"),
  Schema.Struct({ text: Schema.String.annotations({ description: "A text." }) }).annotations({
    title: "{ text }",
  }),
  Schema.Struct({
    base64: Schema.propertySignature(
      Schema.String.pipe(
        Schema.filter((text) => /^(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?$/.test(text), {
          message: () => "expected bytes in base 64",
        }),
      ),
    ).annotations({ description: "Bytes, in base 64." }),
  }).annotations({ title: "{ base64 }" }),
  Schema.Struct({
    file: Schema.propertySignature(AbsolutePath).annotations({
      description: "A file, by its absolute path.",
    }),
  }).annotations({ title: "{ file: absolute path }" }),
)
export type Stdin = typeof Stdin.Type

/** Another job that has to end first: with success (an exit with 0), or in whatever way. */
export const Dependency = Schema.Struct({
  /** An id or its beginning; in a record it is the whole id. */
  job: JobPrefix,
  /** Default `success`. */
  when: Schema.optionalWith(Schema.Literal("success", "end"), { default: () => "success" as const }),
})
export type Dependency = typeof Dependency.Type

/** The wait before a retry: `delay` times `factor` for each retry before it, at most `max`. */
export const Backoff = Schema.Struct({
  /** Default 1 s. */
  delay: Schema.optionalWith(span(0, Limits.dayMillis, "a length of time up to 1d"), {
    default: () => Duration.seconds(1),
  }),
  /** Default 2. */
  factor: Schema.optionalWith(
    Schema.Number.pipe(Schema.between(1, 100)).annotations(message("a number from 1 to 100")),
    { default: () => 2 },
  ),
  /** Default 5 min. */
  max: Schema.optionalWith(span(0, Limits.dayMillis, "a length of time up to 1d"), {
    default: () => Duration.minutes(5),
  }),
})
export type Backoff = typeof Backoff.Type

const Pattern = Schema.String.pipe(
  Schema.filter((pattern) => {
    if (pattern === "" || pattern.length > Limits.patternLength)
      return `expected a regular expression of 1 to ${Limits.patternLength} characters`
    try {
      void new RegExp(pattern)
      return true
    } catch (cause) {
      return `expected a regular expression (${cause instanceof Error ? cause.message : String(cause)})`
    }
  }),
)

/** When to notify: once at the end of the job, or once when a line of its output first matches. */
export const NotifyOn = Schema.Union(
  Schema.Literal("end"),
  Schema.Struct({
    output: Schema.propertySignature(Pattern).annotations({
      description: "A regular expression for one line.",
    }),
  }).annotations({ title: "{ output: regular expression }" }),
)

/** Whom to tell of an event: a command that reads it as JSON, or a file that it is appended to as a line of JSON. */
export const Notification = Schema.Union(
  Schema.Struct({
    on: Schema.optionalWith(NotifyOn, { default: () => "end" as const }),
    command: ProcessSpec.Command,
  }).annotations({ title: "{ on, command }" }),
  Schema.Struct({
    on: Schema.optionalWith(NotifyOn, { default: () => "end" as const }),
    file: AbsolutePath,
  }).annotations({ title: "{ on, file: absolute path }" }),
)
export type Notification = typeof Notification.Type

const StartAt = Schema.Union(
  Schema.Int.pipe(Schema.between(0, Limits.lastDate)),
  Schema.transform(
    Schema.String.pipe(
      Schema.filter((text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(text)),
      Schema.filter((text) => Date.parse(text) >= 0),
    ),
    Schema.Int,
    { strict: true, decode: (text) => Date.parse(text), encode: (millis) => new Date(millis).toISOString() },
  ),
).annotations(message("a time such as 2030-01-31T08:00:00Z, or milliseconds since the epoch"))

/** The description of one job. Only `command` is required; `make` fills in `cwd`. */
export const JobSpec = Schema.Struct({
  command: ProcessSpec.Command,
  /** Directory to run in. That it exists is looked at when the job starts. */
  cwd: AbsolutePath,
  /** Start from the daemon's own environment. Default true. */
  inheritEnv: ProcessSpec.ProcessSpec.fields.inheritEnv,
  /** Variables that win over everything else. */
  env: ProcessSpec.ProcessSpec.fields.env,
  /** Names of variables whose values must never be shown. */
  mask: ProcessSpec.ProcessSpec.fields.mask,
  /** Default `null`: end of file at once. Given text or bytes are kept until the job has started, and never shown. */
  stdin: Schema.optionalWith(Stdin, { default: () => "null" as const }),
  /** How long an attempt may run. Default: for ever. */
  timeout: Schema.optional(span(1, Limits.longestMillis, "a length of time, more than 0 and up to 365d")),
  /** From the stop signal to KILL. Default 10 s. */
  killAfter: Schema.optionalWith(span(0, Limits.dayMillis, "a length of time up to 1d"), {
    default: () => Duration.seconds(10),
  }),
  /** What a timeout and a stop send first. Default TERM. */
  stopSignal: Schema.optionalWith(SignalName, { default: () => "SIGTERM" as const }),
  /** Words to find the job by. Default none. */
  tags: Schema.optionalWith(
    Schema.Array(word(Limits.tagLength, "a tag")).pipe(
      Schema.maxItems(Limits.tags, { message: () => `expected at most ${Limits.tags} tags` }),
      Schema.filter((tags) => new Set(tags).size === tags.length, {
        message: () => "expected each tag once",
      }),
    ),
    { default: () => [] },
  ),
  /** The most bytes an attempt may write, standard output and error together. Default: no limit. */
  maxLogBytes: Schema.optional(whole(1, Number.MAX_SAFE_INTEGER, "a number of bytes")),
  /** What happens beyond `maxLogBytes`: the job is killed (cause `log-limit`), or the middle of a log is dropped. */
  whenLogFull: Schema.optionalWith(Schema.Literal("kill", "keep-ends"), { default: () => "kill" as const }),
  /** The group whose parallelism and pause it obeys. Default: none. */
  group: Schema.optional(GroupName),
  /** Higher starts first. Default 0. */
  priority: Schema.optionalWith(whole(-1_000, 1_000, "a priority"), { default: () => 0 }),
  /** What has to end before it may start. Default nothing. */
  after: Schema.optionalWith(
    Schema.Array(Dependency).pipe(
      Schema.maxItems(Limits.dependencies, { message: () => `expected at most ${Limits.dependencies} jobs` }),
    ),
    { default: () => [] },
  ),
  /** How long to wait before the start, from the time it is queued. Not together with `startAt`. */
  delay: Schema.optional(span(0, Limits.longestMillis, "a length of time up to 365d")),
  /** Not to be started earlier, in milliseconds since the epoch once decoded. */
  startAt: Schema.optional(StartAt),
  /** How often to try again after a failure that is not an operator's stop. Default 0. */
  retries: Schema.optionalWith(whole(0, Limits.retries, "a number of retries"), { default: () => 0 }),
  backoff: Schema.optionalWith(Backoff, {
    default: () => ({ delay: Duration.seconds(1), factor: 2, max: Duration.minutes(5) }),
  }),
  /** Asking again with the same key gives the same job back, for as long as that job is kept. */
  idempotencyKey: Schema.optional(word(Limits.keyLength, "a key")),
  /** Default none. */
  notifications: Schema.optionalWith(
    Schema.Array(Notification).pipe(
      Schema.maxItems(Limits.notifications, {
        message: () => `expected at most ${Limits.notifications} notifications`,
      }),
    ),
    { default: () => [] },
  ),
}).annotations({ identifier: "JobSpec" })
export type JobSpec = typeof JobSpec.Type

/** What a caller writes: `cwd` may be left out, and be relative. */
export type Input = Omit<typeof JobSpec.Encoded, "cwd"> & { readonly cwd?: string | undefined }

/** Sizes and secrets are looked at when a job is accepted, not when it is read again: hiding changes both. */
const Accepted = JobSpec.pipe(Schema.filter(Limits.complaints))

const decode = InvalidSpec.decoder("job", Accepted)

/** Where a job comes from. */
export interface Origin {
  /** The directory that relative paths are taken from. Default: the program's own. */
  readonly cwd?: string | undefined
  /** The variables that the job inherits, whose masked values may not be shown either. Default: the program's own. */
  readonly env?: Mask.Variables | undefined
}

/**
 * Decodes a job's description, or fails with `InvalidSpec` naming each bad field, its value and what is allowed. The
 * values of masked variables are not shown in it.
 */
export const make = (input: Input, origin: Origin = {}): Effect.Effect<JobSpec, InvalidSpec.InvalidSpec> => {
  const base = origin.cwd ?? process.cwd()
  const { cwd = base, mask, env } = Predicate.isRecord(input) ? (input as Partial<Input>) : {}
  // An empty path would resolve to the base, and a NUL be carried along: the schema refuses both by name.
  const placed = typeof cwd === "string" && cwd !== "" ? resolve(base, cwd) : cwd
  const given = Predicate.isRecord(input) ? { ...input, cwd: placed } : input
  const names = Array.isArray(mask) ? mask : []
  const variables =
    names.length === 0 ? {} : { ...(origin.env ?? process.env), ...(Predicate.isRecord(env) ? env : {}) }
  const redact = Mask.make(names, variables as Mask.Variables)
  return decode(given as typeof JobSpec.Encoded).pipe(
    Effect.filterOrElse(
      (spec) => Limits.exposed(spec, redact).length === 0,
      (spec) =>
        Effect.fail(new InvalidSpec.InvalidSpec({ what: "job", issues: Limits.exposed(spec, redact) })),
    ),
    Effect.mapError(
      (error) =>
        new InvalidSpec.InvalidSpec({
          what: error.what,
          issues: error.issues.map((issue) => ({ ...issue, value: redact(issue.value) })),
        }),
    ),
  )
}
