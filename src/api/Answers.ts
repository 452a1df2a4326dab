/**
 * What the API answers. Every answer is made of plain JSON values, so that the server writes it down as it stands, and
 * says its version, that it is no error, and what it is.
 */
import * as Schema from "effect/Schema"
import { StateName } from "../job/JobState.js"
import { schemaVersion } from "./ApiError.js"
import { StreamName } from "./Params.js"

/** The form of an answer that is no error. */
export const answer = <Type extends string, Fields extends Schema.Struct.Fields>(
  type: Type,
  fields: Fields,
) =>
  Schema.Struct({
    schema_version: Schema.Literal(schemaVersion),
    ok: Schema.Literal(true),
    type: Schema.Literal(type),
    ...fields,
  })

const maybe = Schema.optional

/** A time by RFC 3339 in UTC, with milliseconds. */
export const Time = Schema.String.annotations({ jsonSchema: { type: "string", format: "date-time" } })

const Bytes = Schema.NonNegativeInt

const Cause = Schema.Literal(
  "exit",
  "signal",
  "timeout",
  "stopped",
  "log-limit",
  "spawn-error",
  "dependency",
  "lost",
  "reboot",
)

/** How a job or an attempt ended. */
const ending = {
  /** Of one that ended by itself. */
  exit_code: maybe(Schema.Int),
  /** Of one that a signal ended, such as `SIGTERM`. */
  signal: maybe(Schema.String),
  /** Why it ended. */
  cause: maybe(Cause),
  /** Of one that failed: the name of the error, such as `CommandNotFound`. */
  error: maybe(Schema.String),
  /** One sentence, for what failed or was lost. */
  reason: maybe(Schema.String),
}

const identified = { job_id: Schema.String, state: StateName }

const statusFields = {
  ...identified,
  ...ending,
  created_at: Time,
  /** When its first process began. */
  started_at: maybe(Time),
  finished_at: maybe(Time),
}

const tailFields = {
  /** The end of the log: what is not UTF-8 is U+FFFD. */
  stdout_tail: Schema.String,
  stderr_tail: Schema.String,
  /** Whether anything before was left out of either. */
  truncated: Schema.Boolean,
  encoding: Schema.Literal("utf-8-lossy"),
  stdout_log_path: Schema.String,
  stderr_log_path: Schema.String,
  /** Sizes of the logs when they were read. */
  stdout_observed_bytes: Bytes,
  stderr_observed_bytes: Bytes,
  /** How many bytes of them are shown. */
  stdout_included_bytes: Bytes,
  stderr_included_bytes: Bytes,
  /** Which attempt; 0 before the first. */
  attempt: Schema.NonNegativeInt,
  /** Where to read or follow on. */
  stdout_next_offset: Bytes,
  stderr_next_offset: Bytes,
}

/** `GET /health`. */
export const Health = answer("health", { version: Schema.String, pid: Schema.Int }).annotations({
  identifier: "Health",
})
export type Health = typeof Health.Type

/** `POST /shutdown`. */
export const ShuttingDown = answer("shutdown", {
  /** The daemon's: when there is no such process any more, it has ended. */
  pid: Schema.Int,
}).annotations({ identifier: "ShuttingDown" })
export type ShuttingDown = typeof ShuttingDown.Type

/** The ends of a job's logs, as part of another answer. */
export const Snapshot = Schema.Struct(tailFields).annotations({ identifier: "Snapshot" })
export type Snapshot = typeof Snapshot.Type

/** `POST /exec`. */
export const Run = answer("run", {
  ...identified,
  ...ending,
  tags: Schema.Array(Schema.String),
  /** Where the output of the attempt that runs, or is the first to come, goes. */
  stdout_log_path: Schema.String,
  stderr_log_path: Schema.String,
  /** From the request to the answer. */
  elapsed_ms: Schema.Int,
  /** How much of that was spent waiting for the job. */
  waited_ms: Schema.Int,
  finished_at: maybe(Time),
  snapshot: maybe(Snapshot),
  /** With `wait`, when the job has ended. */
  final_snapshot: maybe(Snapshot),
  /** False: the idempotency key was known, and this is the job it belongs to. */
  is_new: Schema.Boolean,
}).annotations({ identifier: "Run" })
export type Run = typeof Run.Type

/** `GET /status/{id}`. */
export const Status = answer("status", statusFields).annotations({ identifier: "Status" })
export type Status = typeof Status.Type

/** `GET /tail/{id}`. */
export const Tail = answer("tail", { job_id: Schema.String, ...tailFields }).annotations({
  identifier: "Tail",
})
export type Tail = typeof Tail.Type

/** `GET /wait/{id}`. */
export const Wait = answer("wait", {
  ...identified,
  exit_code: ending.exit_code,
  signal: ending.signal,
  cause: ending.cause,
  /** Why the wait is over. */
  reason: Schema.Literal("ended", "deadline", "pattern", "silence"),
  /** The line that matched. */
  match: maybe(
    Schema.Struct({
      stream: StreamName,
      line: Schema.String,
      offset: Bytes,
      groups: Schema.Record({ key: Schema.String, value: Schema.String }),
    }),
  ),
  finished_at: maybe(Time),
}).annotations({ identifier: "Wait" })
export type Wait = typeof Wait.Type

/** `POST /kill/{id}`. */
export const Kill = answer("kill", {
  ...identified,
  /** The one that was asked for. */
  signal: Schema.String,
  /** What was sent, in order. Empty when nothing was left to signal. */
  sent: Schema.Array(Schema.String),
  /** Whether the grace period ran out. */
  escalated: Schema.Boolean,
  /** Processes that had left the group and were signalled one by one. */
  escapees: Schema.Array(Schema.Int),
  elapsed_ms: Schema.Number,
  /** What the system refused to end. */
  survivors: Schema.Array(Schema.Struct({ pid: Schema.Int, command: Schema.String })),
}).annotations({ identifier: "Kill" })
export type Kill = typeof Kill.Type

const Attempt = Schema.Struct({
  /** From 1. */
  number: Schema.Int,
  /** Like a job's; `withdrawn`: nothing ran. */
  state: Schema.Literal("running", "exited", "killed", "failed", "lost", "withdrawn"),
  ...ending,
  pid: maybe(Schema.Int),
  launched_at: Time,
  started_at: maybe(Time),
  finished_at: maybe(Time),
  stdout_log_path: Schema.String,
  stderr_log_path: Schema.String,
  /** Of its logs, once it has ended. */
  stdout_bytes: maybe(Bytes),
  stderr_bytes: maybe(Bytes),
})

/** Everything about a job that a person may see. */
export const JobInfo = Schema.Struct({
  ...statusFields,
  /** Masked values are `***`. */
  command: Schema.Array(Schema.String),
  cwd: Schema.String,
  /** Masked values are `***`. */
  env: Schema.Record({ key: Schema.String, value: Schema.String }),
  inherit_env: Schema.Boolean,
  mask: Schema.Array(Schema.String),
  /** The fields in which something is hidden, such as `env.TOKEN`. */
  hidden: Schema.Array(Schema.String),
  stdin: Schema.Literal("null", "pipe", "given", "file"),
  tags: Schema.Array(Schema.String),
  group: maybe(Schema.String),
  priority: Schema.Int,
  timeout_ms: maybe(Schema.Number),
  kill_after_ms: Schema.Number,
  stop_signal: Schema.String,
  max_log_bytes: maybe(Schema.Number),
  when_log_full: Schema.Literal("kill", "keep-ends"),
  after: Schema.Array(Schema.Struct({ job: Schema.String, when: Schema.Literal("success", "end") })),
  /** Not to be started earlier: by its delay, its start time, or the backoff of a retry. */
  not_before: maybe(Time),
  retries: Schema.Int,
  idempotency_key: maybe(Schema.String),
  /** The job that this one repeats. */
  restart_of: maybe(Schema.String),
  /** Of the attempt that runs. */
  pid: maybe(Schema.Int),
  attempts: Schema.Array(Attempt),
  /** Of the last attempt. */
  stdout_log_path: maybe(Schema.String),
  stderr_log_path: maybe(Schema.String),
}).annotations({ identifier: "JobInfo" })
export type JobInfo = typeof JobInfo.Type

/** `GET /jobs/{id}`. */
export const Job = answer("job", JobInfo.fields).annotations({ identifier: "Job" })
export type Job = typeof Job.Type

/** `GET /jobs`. */
export const JobList = answer("list", {
  /** The newest first. */
  jobs: Schema.Array(JobInfo),
  /** The `before` of the next page. */
  next: maybe(Schema.String),
}).annotations({ identifier: "JobList" })
export type JobList = typeof JobList.Type

/** `DELETE /jobs/{id}`. */
export const Deleted = answer("delete", identified).annotations({ identifier: "Deleted" })
export type Deleted = typeof Deleted.Type

/** `POST /start/{id}`. */
export const Started = answer("start", identified).annotations({ identifier: "Started" })
export type Started = typeof Started.Type

/** `POST /restart/{id}`. */
export const Restarted = answer("restart", {
  /** The new job's. */
  ...identified,
  restart_of: Schema.String,
}).annotations({ identifier: "Restarted" })
export type Restarted = typeof Restarted.Type

/** `GET /log/{id}`. */
export const Log = answer("log", {
  job_id: Schema.String,
  stream: StreamName,
  attempt: Schema.NonNegativeInt,
  /** Where the piece begins. */
  offset: Bytes,
  /** Where the next one does. */
  next_offset: Bytes,
  /** Whether this is all there is for now. */
  eof: Schema.Boolean,
  /** Whether nothing more will ever be written. */
  ended: Schema.Boolean,
  encoding: Schema.Literal("utf-8", "base64"),
  /** With `utf-8`: what is not UTF-8 is U+FFFD. */
  text: maybe(Schema.String),
  base64: maybe(Schema.String),
}).annotations({ identifier: "Log" })
export type Log = typeof Log.Type

/** `POST /stdin/{id}`. */
export const Written = answer("stdin", {
  ...identified,
  /** How many bytes were written. */
  bytes: Bytes,
  /** Whether the job has been told that no more will come. */
  end: Schema.Boolean,
}).annotations({ identifier: "Written" })
export type Written = typeof Written.Type

/** `GET /why/{id}`. */
export const Why = answer("why", {
  ...identified,
  /** Why it has not started: empty for one that has. */
  reasons: Schema.Array(
    Schema.Struct({
      kind: Schema.Literal(
        "created",
        "not-before",
        "dependency",
        "group-paused",
        "group-full",
        "turn",
        "starting",
      ),
      /** For people. */
      sentence: Schema.String,
      /** The jobs that it waits for, at most 10. */
      jobs: Schema.Array(Schema.String),
    }),
  ),
}).annotations({ identifier: "Why" })
export type Why = typeof Why.Type

/** `GET /leftovers`. */
export const Leftovers = answer("leftovers", {
  /** Processes of jobs that are over. They may be there on purpose. */
  strays: Schema.Array(Schema.Struct({ job_id: Schema.String, pid: Schema.Int, command: Schema.String })),
  /** Records that could not be read and were set aside, the latest first. */
  unreadable: Schema.Array(
    Schema.Struct({ job_id: maybe(Schema.String), found_at: Time, reason: Schema.String }),
  ),
}).annotations({ identifier: "Leftovers" })
export type Leftovers = typeof Leftovers.Type

/** `POST /gc`. */
export const Collected = answer("gc", {
  removed: Schema.Array(Schema.String),
  /** Of logs. */
  bytes: Bytes,
  dry_run: Schema.Boolean,
}).annotations({ identifier: "Collected" })
export type Collected = typeof Collected.Type

const Group = Schema.Struct({
  name: Schema.String,
  /** How many of its jobs may run at the same time; null: no limit. */
  parallelism: Schema.NullOr(Schema.Int),
  paused: Schema.Boolean,
})

/** `GET /groups`. */
export const Groups = answer("groups", { groups: Schema.Array(Group) }).annotations({ identifier: "Groups" })
export type Groups = typeof Groups.Type

/** `PUT /groups/{name}`. */
export const GroupSet = answer("group", Group.fields).annotations({ identifier: "GroupSet" })
export type GroupSet = typeof GroupSet.Type

/** `DELETE /groups/{name}`. */
export const GroupDeleted = answer("group-delete", { name: Schema.String }).annotations({
  identifier: "GroupDeleted",
})
export type GroupDeleted = typeof GroupDeleted.Type

/** One entry of the event log. */
export const Event = Schema.Struct({
  /** Counts from 1. */
  seq: Schema.Int,
  at: Time,
  /** Such as `job.exited`. */
  type: Schema.String,
  /** Whom it happened to: a job's id, a unit's name. */
  subject: Schema.String,
  /** What else is to be known. */
  data: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
}).annotations({ identifier: "Event" })
export type Event = typeof Event.Type

/** `GET /events`. */
export const Events = answer("events", {
  /** The oldest first. */
  events: Schema.Array(Event),
  /** The `after` of the next page. */
  next: Schema.Int,
  /** The `seq` of the oldest entry that is kept, and of the latest. */
  first: Schema.Int,
  last: Schema.Int,
  /** Whether entries between `after` and the first one here are not there any more. */
  missed: Schema.Boolean,
}).annotations({ identifier: "Events" })
export type Events = typeof Events.Type
