/** What `POST /exec` takes: a job's options in the words of the wire, and how long to wait for an answer. */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as JobLimits from "../job/JobLimits.js"
import * as JobSpec from "../job/JobSpec.js"
import * as Limits from "../output/Limits.js"
import { Command } from "../process/ProcessSpec.js"
import { field, JobPath, maybe } from "./Params.js"

const whole = (least: number, most: number, unit?: string) => {
  const allowed = `whole number${unit === undefined ? "" : ` of ${unit}`}, from ${least} to ${most}`
  return Schema.Int.pipe(Schema.between(least, most)).annotations({
    description: `A ${allowed}.`,
    message: () => ({ message: `expected a ${allowed}`, override: true }),
  })
}

/** A length of time: whole milliseconds, up to 365 days. */
export const Millis = whole(0, JobLimits.longestMillis, "milliseconds")

/** Says all that is allowed in one sentence: what each part of a union complains of by itself is noise. */
const allowed = (text: string) => ({ message: () => ({ message: `expected ${text}`, override: true }) })

/** A list; what is wrong with an item of it is said of that item. */
const listOf = <S extends Schema.Schema.AnyNoContext>(item: S, items: string) =>
  Schema.Array(item).annotations({ message: () => `expected a list of ${items}` })

const absolutePath = JobSpec.JobSpec.fields.cwd

/** Nobody who asks knows what the daemon's own directory is, which a relative path would be taken from. */
const Directory = absolutePath.annotations({
  message: () => "expected an absolute path, such as /srv/app: the daemon does not run in your directory",
})

/** What a job reads. `pipe` stays open for `POST /stdin/{id}`. */
export const Stdin = JobSpec.Stdin.annotations(
  allowed(
    `"null", "pipe", {"text": a text}, {"base64": bytes in base 64} or {"file": an absolute path}, with nothing beside it`,
  ),
)

const on = maybe(JobSpec.NotifyOn, "Default `end`. `output` is a regular expression for one line.")

/** Whom to tell of the end, or of a line of output that matches. */
export const Notification = Schema.Union(
  Schema.Struct({ on, command: field(Command, "What is run. It reads the event, as JSON.") }),
  Schema.Struct({ on, file: field(absolutePath, "What the event is appended to, as a line of JSON.") }),
).annotations(
  allowed(
    `{"command": a list of texts} or {"file": an absolute path}; beside it "on" may be "end" or {"output": a regular expression of 1 to ${JobLimits.patternLength} characters}`,
  ),
)

/** The wait before a retry. */
export const Backoff = Schema.Struct({
  delay_ms: maybe(Millis, "Before the first retry, in milliseconds. Default 1000."),
  factor: maybe(Schema.Number, "How much longer each next one is, from 1 to 100. Default 2."),
  max_ms: maybe(Millis, "The longest, in milliseconds. Default 300000."),
})

const jobFields = {
  command: Schema.propertySignature(Command).annotations({
    description: "The program and its arguments. No shell reads them.",
  }),
  cwd: maybe(
    Directory,
    "An absolute path. Default: the daemon's own directory. That it exists is looked at when the job starts.",
  ),
  env: maybe(
    Schema.Record({ key: Schema.String, value: Schema.String }),
    "Variables that win over the daemon's.",
  ),
  inherit_env: maybe(Schema.Boolean, "Whether it gets the daemon's variables. Default true."),
  mask: maybe(listOf(Schema.String, "texts"), "Names of variables whose values are never shown."),
  stdin: maybe(Stdin, "What it reads; `pipe` stays open for `POST /stdin/{id}`. Default `null`."),
  timeout_ms: maybe(
    Millis,
    "How long an attempt may run, in milliseconds. Default, and what 0 means: for ever.",
  ),
  kill_after_ms: maybe(Millis, "From the stop signal to KILL, in milliseconds. Default 10000."),
  stop_signal: maybe(Schema.String, "What a timeout and a stop send first. Default TERM."),
  tags: maybe(listOf(Schema.String, "texts"), "Words to find the job by."),
  max_log_bytes: maybe(
    whole(1, Number.MAX_SAFE_INTEGER, "bytes"),
    "The most bytes of an attempt, both logs together; looked at 20 times a second, so that a fast writer gets further. Default: no limit.",
  ),
  when_log_full: maybe(
    Schema.Literal("kill", "keep-ends"),
    "Beyond `max_log_bytes`: kill the job, or drop the middle of the log. Default `kill`.",
  ),
  group: maybe(Schema.String, "The group whose settings it obeys."),
  priority: maybe(whole(-1_000, 1_000), "Higher ones start first; from -1000 to 1000. Default 0."),
  after: maybe(
    listOf(
      Schema.Struct({
        job: field(JobPath.fields.id, "A job's id, or its beginning."),
        when: maybe(Schema.Literal("success", "end"), "Default `success`."),
      }),
      "jobs",
    ),
    "What has to end before. `when` is `success` unless it says `end`.",
  ),
  delay_ms: maybe(
    Millis,
    "How long to wait from the time it is queued, in milliseconds. Not together with `start_at`.",
  ),
  start_at: maybe(
    Schema.Union(Schema.String, Schema.Number).annotations(
      allowed("a time such as 2030-01-31T08:00:00Z, or milliseconds since the epoch"),
    ),
    "A time such as `2030-01-31T08:00:00Z`, or milliseconds since the epoch.",
  ),
  retries: maybe(
    whole(0, JobLimits.retries, "retries"),
    "How often to try again after a failure. Default 0.",
  ),
  backoff: maybe(Backoff, "How long to wait before a retry."),
  idempotency_key: maybe(Schema.String, "Asking again with the same key gives the same job back."),
  notifications: maybe(
    listOf(Notification, "notifications"),
    "Whom to tell of the end, or of a line of output.",
  ),
}

/** The body of `POST /exec`. */
export const ExecRequest = Schema.Struct({
  ...jobFields,
  wait: maybe(Schema.Boolean, "Whether to answer only when the job has ended. Default false."),
  until_ms: maybe(
    Millis,
    "With `wait`: answer after so many milliseconds at the latest, whatever the state. Default: never give up.",
  ),
  start: maybe(Schema.Boolean, "Default true. False: it is created, and waits for `POST /start/{id}`."),
  snapshot_after_ms: maybe(
    Millis,
    "Answer with a `snapshot` of the output after so many milliseconds, or at the end if that is earlier.",
  ),
  tail_lines: maybe(
    whole(0, Number.MAX_SAFE_INTEGER, "lines"),
    "Lines of each log, in snapshots. Default 50.",
  ),
  tail_max_bytes: maybe(
    whole(0, Limits.mostBytes, "bytes"),
    "Bytes of each log, in snapshots. Default 65536.",
  ),
}).annotations({ identifier: "ExecRequest", description: "A command to run as a job." })
export type ExecRequest = typeof ExecRequest.Type

/** How the fields of a job are called on the wire, where it is not the same. */
const wireNames: Readonly<Record<string, string>> = {
  inheritEnv: "inherit_env",
  timeout: "timeout_ms",
  killAfter: "kill_after_ms",
  stopSignal: "stop_signal",
  maxLogBytes: "max_log_bytes",
  whenLogFull: "when_log_full",
  delay: "delay_ms",
  startAt: "start_at",
  idempotencyKey: "idempotency_key",
  "backoff.delay": "backoff.delay_ms",
  "backoff.max": "backoff.max_ms",
}

/** The name on the wire of a field that an `InvalidSpec` of a job names, such as `killAfter` or `tags[1]`. */
export const wireName = (field: string): string => {
  const head = /^[\w.]*/.exec(field)![0]
  const name = wireNames[head]
  return name === undefined ? field : name + field.slice(head.length)
}

const span = (length: number | undefined) => (length === undefined ? undefined : Duration.millis(length))

const compact = <A extends object>(fields: A): A =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as A

/** The job that a request asks for, to be checked as any other. */
export const toJob = (request: ExecRequest): JobSpec.Input =>
  compact({
    command: request.command,
    cwd: request.cwd,
    env: request.env,
    inheritEnv: request.inherit_env,
    mask: request.mask,
    stdin: request.stdin,
    timeout: request.timeout_ms === 0 ? undefined : span(request.timeout_ms),
    killAfter: span(request.kill_after_ms),
    stopSignal: request.stop_signal,
    tags: request.tags,
    maxLogBytes: request.max_log_bytes,
    whenLogFull: request.when_log_full,
    group: request.group,
    priority: request.priority,
    after: request.after,
    delay: span(request.delay_ms),
    startAt: request.start_at,
    retries: request.retries,
    backoff:
      request.backoff &&
      compact({
        delay: span(request.backoff.delay_ms),
        factor: request.backoff.factor,
        max: span(request.backoff.max_ms),
      }),
    idempotencyKey: request.idempotency_key,
    notifications: request.notifications,
  }) as JobSpec.Input
