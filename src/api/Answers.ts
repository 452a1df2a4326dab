/**
 * What the API answers. Every answer is made of plain JSON values, so that the server writes it down as it stands, and
 * says its version, that it is no error, and what it is.
 */
import * as Schema from "effect/Schema"
import { StateName } from "../job/JobState.js"
import { schemaVersion } from "./ApiError.js"
import { field, maybe, StreamName } from "./Params.js"

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
  exit_code: maybe(Schema.Int, "Of one that ended with a code, by itself or when it was told to end."),
  signal: maybe(Schema.String, "Of one that a signal ended, such as `SIGTERM`."),
  cause: maybe(Cause, "Why it ended."),
  error: maybe(Schema.String, "Of one that failed: the name of the error, such as `CommandNotFound`."),
  reason: maybe(Schema.String, "One sentence, for what failed or was lost."),
}

const identified = {
  job_id: field(Schema.String, "The whole id of the job."),
  state: field(StateName, "Where the job is."),
}

const StdoutPath = field(Schema.String, "The file with its standard output.")
const StderrPath = field(Schema.String, "The file with its standard error.")
const FinishedAt = maybe(Time, "When it ended.")

const Process = Schema.Struct({
  pid: field(Schema.Int, "Its process id."),
  command: field(Schema.String, "What it runs."),
})

const statusFields = {
  ...identified,
  ...ending,
  created_at: field(Time, "When the job was accepted."),
  started_at: maybe(Time, "When its first process began."),
  finished_at: FinishedAt,
}

const tailFields = {
  stdout_tail: field(Schema.String, "The end of its standard output. What is not UTF-8 is U+FFFD."),
  stderr_tail: field(Schema.String, "The end of its standard error."),
  truncated: field(Schema.Boolean, "Whether anything before these ends was left out of either."),
  encoding: field(Schema.Literal("utf-8-lossy"), "How bytes became text."),
  stdout_log_path: StdoutPath,
  stderr_log_path: StderrPath,
  stdout_observed_bytes: field(Bytes, "The size of that log when it was read."),
  stderr_observed_bytes: field(Bytes, "The size of that log when it was read."),
  stdout_included_bytes: field(Bytes, "How many bytes of it are shown here."),
  stderr_included_bytes: field(Bytes, "How many bytes of it are shown here."),
  attempt: field(Schema.NonNegativeInt, "Which attempt; 0 before the first."),
  stdout_next_offset: field(Bytes, "The `offset` to read or follow on from."),
  stderr_next_offset: field(Bytes, "The `offset` to read or follow on from."),
}

/** `GET /health`. */
export const Health = answer("health", {
  version: field(Schema.String, "Of the program."),
  pid: field(Schema.Int, "The daemon's process id."),
}).annotations({ identifier: "Health" })
export type Health = typeof Health.Type

/** `POST /shutdown`. */
export const ShuttingDown = answer("shutdown", {
  pid: field(Schema.Int, "The daemon's: when there is no such process any more, it has ended."),
}).annotations({ identifier: "ShuttingDown" })
export type ShuttingDown = typeof ShuttingDown.Type

/** The ends of a job's logs, as part of another answer. */
export const Snapshot = Schema.Struct(tailFields).annotations({ identifier: "Snapshot" })
export type Snapshot = typeof Snapshot.Type

/** `POST /exec`. */
export const Run = answer("run", {
  ...identified,
  ...ending,
  tags: field(Schema.Array(Schema.String), "Those it was given."),
  stdout_log_path: field(
    Schema.String,
    "Where the standard output goes: of the attempt that runs, or of the first to come.",
  ),
  stderr_log_path: field(Schema.String, "Where its standard error goes."),
  elapsed_ms: field(Schema.Int, "From the request to the answer, in milliseconds."),
  waited_ms: field(Schema.Int, "How much of that was spent waiting for the job, in milliseconds."),
  finished_at: FinishedAt,
  snapshot: maybe(
    Snapshot,
    "The ends of its logs, after `snapshot_after_ms` or when the answer comes, if that is earlier.",
  ),
  final_snapshot: maybe(Snapshot, "The ends of its logs, with `wait`, once the job has ended."),
  is_new: field(Schema.Boolean, "False: the idempotency key was known, and this is the job it belongs to."),
}).annotations({ identifier: "Run" })
export type Run = typeof Run.Type

/** `GET /status/{id}`. */
export const Status = answer("status", statusFields).annotations({ identifier: "Status" })
export type Status = typeof Status.Type

/** `GET /tail/{id}`. */
export const Tail = answer("tail", { job_id: identified.job_id, ...tailFields }).annotations({
  identifier: "Tail",
})
export type Tail = typeof Tail.Type

/** `GET /wait/{id}`. */
export const Wait = answer("wait", {
  ...identified,
  exit_code: ending.exit_code,
  signal: ending.signal,
  cause: ending.cause,
  reason: field(Schema.Literal("ended", "deadline", "pattern", "silence"), "Why the wait is over."),
  match: maybe(
    Schema.Struct({
      stream: field(StreamName, "Where it was written."),
      line: field(Schema.String, "The line, without its end."),
      offset: field(Bytes, "Where in the log it begins."),
      groups: field(
        Schema.Record({ key: Schema.String, value: Schema.String }),
        "What the pattern's named groups matched.",
      ),
    }),
    "The line that matched.",
  ),
  finished_at: FinishedAt,
}).annotations({ identifier: "Wait" })
export type Wait = typeof Wait.Type

/** `POST /kill/{id}`. */
export const Kill = answer("kill", {
  ...identified,
  signal: field(Schema.String, "The one that was asked for."),
  sent: field(Schema.Array(Schema.String), "What was sent, in order. Empty when nothing was left to signal."),
  escalated: field(Schema.Boolean, "Whether the grace period ran out."),
  escapees: field(
    Schema.Array(Schema.Int),
    "Processes that had left the group and were signalled one by one.",
  ),
  elapsed_ms: field(
    Schema.Number,
    "How long it took until nothing was left, or was given up, in milliseconds.",
  ),
  survivors: field(Schema.Array(Process), "What the system refused to end."),
}).annotations({ identifier: "Kill" })
export type Kill = typeof Kill.Type

const Attempt = Schema.Struct({
  number: field(Schema.Int, "From 1."),
  state: field(
    Schema.Literal("running", "exited", "killed", "failed", "lost", "withdrawn"),
    "Like a job's; `withdrawn`: nothing ran.",
  ),
  ...ending,
  pid: maybe(Schema.Int, "The id that its first process has or had."),
  launched_at: field(Time, "When it was noted that it is to start."),
  started_at: maybe(Time, "When its first process began."),
  finished_at: FinishedAt,
  stdout_log_path: StdoutPath,
  stderr_log_path: StderrPath,
  stdout_bytes: maybe(Bytes, "How much it wrote there, once it has ended."),
  stderr_bytes: maybe(Bytes, "How much it wrote there, once it has ended."),
}).annotations({ identifier: "Attempt" })

/** Everything about a job that a person may see. */
export const JobInfo = Schema.Struct({
  ...statusFields,
  command: field(Schema.Array(Schema.String), "The program and its arguments. Masked values are `***`."),
  cwd: field(Schema.String, "The directory it runs in."),
  env: field(
    Schema.Record({ key: Schema.String, value: Schema.String }),
    "The variables it was given. Masked values are `***`.",
  ),
  inherit_env: field(Schema.Boolean, "Whether it gets the daemon's variables, too."),
  mask: field(Schema.Array(Schema.String), "Names of variables whose values are never shown."),
  hidden: field(Schema.Array(Schema.String), "The fields in which something is hidden, such as `env.TOKEN`."),
  stdin: field(
    Schema.Literal("null", "pipe", "given", "file"),
    "What it reads; `given`: a text or bytes that came with it.",
  ),
  tags: field(Schema.Array(Schema.String), "Those it was given."),
  group: maybe(Schema.String, "The group whose parallelism it is subject to."),
  priority: field(Schema.Int, "Of what waits in a group, the highest starts first."),
  timeout_ms: maybe(Schema.Number, "How long an attempt may run, in milliseconds. Without it: for ever."),
  kill_after_ms: field(Schema.Number, "From the stop signal to KILL, in milliseconds."),
  stop_signal: field(Schema.String, "What it is sent first when it is to stop."),
  max_log_bytes: maybe(
    Schema.Number,
    "The most bytes of an attempt, both logs together; looked at 20 times a second.",
  ),
  when_log_full: field(
    Schema.Literal("kill", "keep-ends"),
    "Beyond `max_log_bytes`: the job is killed, or the middle of the log is dropped.",
  ),
  after: field(
    Schema.Array(
      Schema.Struct({
        job: field(Schema.String, "Its id."),
        when: field(Schema.Literal("success", "end"), "Whether it has to succeed, or just to end."),
      }),
    ),
    "The jobs that it waits for.",
  ),
  not_before: maybe(
    Time,
    "Not to be started earlier: by its delay, its start time, or the backoff of a retry.",
  ),
  retries: field(Schema.Int, "How often it is tried again after a failure."),
  idempotency_key: maybe(Schema.String, "The key under which a second request would get this job."),
  restart_of: maybe(Schema.String, "The job that this one repeats."),
  pid: maybe(Schema.Int, "Of the attempt that runs."),
  attempts: field(Schema.Array(Attempt), "The first one first."),
  stdout_log_path: maybe(Schema.String, "The file with the standard output of the last attempt."),
  stderr_log_path: maybe(Schema.String, "The file with its standard error."),
}).annotations({ identifier: "JobInfo" })
export type JobInfo = typeof JobInfo.Type

/** `GET /jobs/{id}`. */
export const Job = answer("job", JobInfo.fields).annotations({ identifier: "Job" })
export type Job = typeof Job.Type

/** `GET /jobs`. */
export const JobList = answer("list", {
  jobs: field(Schema.Array(JobInfo), "A page of them, the newest first."),
  next: maybe(Schema.String, "The `before` of the next page. Without it, this is the last."),
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
  // Of the new one.
  ...identified,
  restart_of: field(Schema.String, "The job that it repeats."),
}).annotations({ identifier: "Restarted" })
export type Restarted = typeof Restarted.Type

/** `GET /log/{id}`. */
export const Log = answer("log", {
  job_id: identified.job_id,
  stream: field(StreamName, "Which of its two logs."),
  attempt: field(Schema.NonNegativeInt, "Which attempt, from 1."),
  offset: field(Bytes, "Where in the log this piece begins, in bytes."),
  next_offset: field(Bytes, "Where the next one does."),
  eof: field(Schema.Boolean, "Whether this is all there is for now."),
  ended: field(Schema.Boolean, "Whether the attempt has ended. What it left running may still write."),
  encoding: field(Schema.Literal("utf-8", "base64"), "As it was asked for."),
  text: maybe(Schema.String, "With `utf-8`. What is not UTF-8 is U+FFFD."),
  base64: maybe(Schema.String, "With `base64`: the bytes as they are."),
}).annotations({ identifier: "Log" })
export type Log = typeof Log.Type

/** `POST /stdin/{id}`. */
export const Written = answer("stdin", {
  ...identified,
  bytes: field(Bytes, "How many bytes were written."),
  end: field(Schema.Boolean, "Whether the job has been told that no more will come."),
}).annotations({ identifier: "Written" })
export type Written = typeof Written.Type

/** `GET /why/{id}`. */
export const Why = answer("why", {
  ...identified,
  reasons: field(
    Schema.Array(
      Schema.Struct({
        kind: field(
          Schema.Literal(
            "created",
            "not-before",
            "dependency",
            "group-paused",
            "group-full",
            "turn",
            "starting",
          ),
          "A word for programs.",
        ),
        sentence: field(Schema.String, "The same for people."),
        jobs: field(Schema.Array(Schema.String), "The jobs that it waits for, at most 10."),
      }),
    ),
    "Why it has not started. Empty for one that has.",
  ),
}).annotations({ identifier: "Why" })
export type Why = typeof Why.Type

/** `GET /leftovers`. */
export const Leftovers = answer("leftovers", {
  strays: field(
    Schema.Array(
      Schema.Struct({ job_id: field(Schema.String, "The job that it belonged to."), ...Process.fields }),
    ),
    "Processes of jobs that are over. They may be there on purpose.",
  ),
  unreadable: field(
    Schema.Array(
      Schema.Struct({
        job_id: maybe(Schema.String, "The job that it was of, where that could be read."),
        found_at: field(Time, "When it was set aside."),
        reason: field(Schema.String, "What is wrong with it."),
      }),
    ),
    "Records that could not be read and were set aside, the latest first.",
  ),
}).annotations({ identifier: "Leftovers" })
export type Leftovers = typeof Leftovers.Type

/** `POST /gc`. */
export const Collected = answer("gc", {
  removed: field(Schema.Array(Schema.String), "The ids of the jobs that were removed."),
  bytes: field(Bytes, "What their logs took."),
  dry_run: field(Schema.Boolean, "Whether this is only what would be removed."),
}).annotations({ identifier: "Collected" })
export type Collected = typeof Collected.Type

const Group = Schema.Struct({
  name: field(Schema.String, "Its name."),
  parallelism: field(
    Schema.NullOr(Schema.Int),
    "How many of its jobs may run at the same time; null: no limit.",
  ),
  paused: field(Schema.Boolean, "Whether none of its jobs is started for now."),
}).annotations({ identifier: "Group" })

/** `GET /groups`. */
export const Groups = answer("groups", {
  groups: field(Schema.Array(Group), "All that have settings. Any other has no limit and is not paused."),
}).annotations({ identifier: "Groups" })
export type Groups = typeof Groups.Type

/** `PUT /groups/{name}`. */
export const GroupSet = answer("group", Group.fields).annotations({ identifier: "GroupSet" })
export type GroupSet = typeof GroupSet.Type

/** `DELETE /groups/{name}`. */
export const GroupDeleted = answer("group-delete", { name: field(Schema.String, "Its name.") }).annotations({
  identifier: "GroupDeleted",
})
export type GroupDeleted = typeof GroupDeleted.Type

/** One entry of the event log. */
export const Event = Schema.Struct({
  seq: field(Schema.Int, "Counts from 1."),
  at: field(Time, "When it happened."),
  type: field(Schema.String, "Such as `job.exited`."),
  subject: field(Schema.String, "Whom it happened to: a job's id, a unit's name."),
  data: field(Schema.Record({ key: Schema.String, value: Schema.Unknown }), "What else is to be known."),
}).annotations({ identifier: "Event" })
export type Event = typeof Event.Type

/** `GET /events`. */
export const Events = answer("events", {
  events: field(Schema.Array(Event), "The oldest first."),
  next: field(Schema.Int, "The `after` of the next page."),
  first: field(Schema.Int, "The `seq` of the oldest entry that is kept."),
  last: field(Schema.Int, "The `seq` of the latest."),
  missed: field(
    Schema.Boolean,
    "Whether entries between `after` and the first one here are not there any more.",
  ),
}).annotations({ identifier: "Events" })
export type Events = typeof Events.Type
