/** What `POST /exec` takes: a job's options in the words of the wire, and how long to wait for an answer. */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as JobLimits from "../job/JobLimits.js"
import type * as JobSpec from "../job/JobSpec.js"
import { Command } from "../process/ProcessSpec.js"
import { JobPath } from "./Params.js"

const whole = (least: number, most: number, unit: string) =>
  Schema.Int.pipe(Schema.between(least, most)).annotations({
    description: `A whole number of ${unit}, from ${least} to ${most}.`,
    message: () => ({
      message: `expected a whole number of ${unit}, from ${least} to ${most}`,
      override: true,
    }),
  })

const millis = whole(0, JobLimits.longestMillis, "milliseconds")

/** What a job reads. `pipe` stays open for `POST /stdin/{id}`. */
export const Stdin = Schema.Union(
  Schema.Literal("null", "pipe"),
  Schema.Struct({ text: Schema.String }),
  Schema.Struct({ base64: Schema.String }),
  Schema.Struct({ file: Schema.String }),
)

const notifyOn = Schema.Union(Schema.Literal("end"), Schema.Struct({ output: Schema.String }))

/** Whom to tell of the end, or of a line of output that matches. */
export const Notification = Schema.Union(
  Schema.Struct({ on: Schema.optional(notifyOn), command: Command }),
  Schema.Struct({ on: Schema.optional(notifyOn), file: Schema.String }),
)

/** The wait before a retry. */
export const Backoff = Schema.Struct({
  delay_ms: Schema.optional(millis),
  factor: Schema.optional(Schema.Number),
  max_ms: Schema.optional(millis),
})

const jobFields = {
  /** The program and its arguments. No shell reads them. */
  command: Command,
  /** Default: the daemon's own directory. That it exists is looked at when the job starts. */
  cwd: Schema.optional(Schema.String),
  /** Variables that win over the daemon's. */
  env: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
  /** Default true. */
  inherit_env: Schema.optional(Schema.Boolean),
  /** Names of variables whose values are never shown. */
  mask: Schema.optional(Schema.Array(Schema.String)),
  /** Default `null`. */
  stdin: Schema.optional(Stdin),
  /** How long an attempt may run. Default, and what 0 means: for ever. */
  timeout_ms: Schema.optional(millis),
  /** From the stop signal to KILL. Default 10000. */
  kill_after_ms: Schema.optional(millis),
  /** Default TERM. */
  stop_signal: Schema.optional(Schema.String),
  tags: Schema.optional(Schema.Array(Schema.String)),
  /** Of an attempt, both logs together. Default: no limit. */
  max_log_bytes: Schema.optional(whole(1, Number.MAX_SAFE_INTEGER, "bytes")),
  /** Default `kill`. */
  when_log_full: Schema.optional(Schema.Literal("kill", "keep-ends")),
  group: Schema.optional(Schema.String),
  /** Higher starts first. Default 0. */
  priority: Schema.optional(whole(-1_000, 1_000, "priority")),
  /** What has to end before. `when` is `success` unless it says `end`. */
  after: Schema.optional(
    Schema.Array(
      Schema.Struct({
        job: JobPath.fields.id,
        when: Schema.optional(Schema.Literal("success", "end")),
      }),
    ),
  ),
  /** From the time it is queued. Not together with `start_at`. */
  delay_ms: Schema.optional(millis),
  /** A time such as `2030-01-31T08:00:00Z`, or milliseconds since the epoch. */
  start_at: Schema.optional(Schema.Union(Schema.String, Schema.Number)),
  /** Default 0. */
  retries: Schema.optional(whole(0, JobLimits.retries, "retries")),
  backoff: Schema.optional(Backoff),
  /** Asking again with the same key gives the same job back. */
  idempotency_key: Schema.optional(Schema.String),
  notifications: Schema.optional(Schema.Array(Notification)),
}

/** The body of `POST /exec`. */
export const ExecRequest = Schema.Struct({
  ...jobFields,
  /** Whether to answer only when the job has ended. Default false. */
  wait: Schema.optional(Schema.Boolean),
  /** With `wait`: answer after this time at the latest, whatever the state. Default: never give up. */
  until_ms: Schema.optional(millis),
  /** Default true. False: it is created, and waits for `POST /start/{id}`. */
  start: Schema.optional(Schema.Boolean),
  /** Answer with a `snapshot` of the output after this time, or at the end if that is earlier. */
  snapshot_after_ms: Schema.optional(millis),
  /** Of each log, in snapshots. Default 50. */
  tail_lines: Schema.optional(whole(0, Number.MAX_SAFE_INTEGER, "lines")),
  /** Of each log, in snapshots. Default 65536. */
  tail_max_bytes: Schema.optional(whole(0, 67_108_864, "bytes")),
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
