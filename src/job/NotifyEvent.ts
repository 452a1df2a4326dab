/** What a notification says: one JSON object, the same for a command's standard input and for a line of a file. */
import { resolve } from "node:path"
import * as Schema from "effect/Schema"
import type { Match } from "../output/LogPattern.js"
import * as Utf8 from "../output/Utf8.js"
import { JobId } from "./JobId.js"
import { type JobRecord, endedAt, lastAttempt, startedAt } from "./JobRecord.js"
import { type Attempt, type Ended, StateName } from "./JobState.js"

/** The most bytes of a line, and of each of its named groups, that an event carries. */
export const lineBytes = 8_192

const shared = {
  schema_version: Schema.Literal("1"),
  /** The same however often it is delivered: whoever has seen it can drop it. */
  id: Schema.String,
  job_id: JobId,
  state: StateName,
  /** Times are RFC 3339, in UTC. */
  created_at: Schema.String,
  /** When the first attempt's process began. */
  started_at: Schema.optional(Schema.String),
  /** As in the record: what is masked is `***`. */
  command: Schema.Array(Schema.String),
  cwd: Schema.String,
  tags: Schema.Array(Schema.String),
  group: Schema.optional(Schema.String),
  /** How often it was run, those runs included that a keeper never began. */
  attempts: Schema.Int,
  /** Absolute; of the attempt that it is about. Missing for a job that was never run. */
  stdout_log_path: Schema.optional(Schema.String),
  stderr_log_path: Schema.optional(Schema.String),
}

/** A job is over. */
export const JobEndedEvent = Schema.Struct({
  ...shared,
  type: Schema.Literal("job.ended"),
  exit_code: Schema.optional(Schema.Int),
  signal: Schema.optional(Schema.String),
  cause: Schema.String,
  /** Why it failed or is lost, in a sentence. */
  reason: Schema.optional(Schema.String),
  finished_at: Schema.String,
}).annotations({ identifier: "JobEndedEvent" })

/** A line of a job's output matched for the first time. */
export const JobOutputEvent = Schema.Struct({
  ...shared,
  type: Schema.Literal("job.output"),
  /** The number of the attempt whose output it is. */
  attempt: Schema.Int,
  stream: Schema.Literal("stdout", "stderr"),
  /** Without its end; at most 8 KiB. */
  line: Schema.String,
  /** Of the line in that log, in bytes. */
  offset: Schema.Int,
  /** The named groups of the pattern that took part. */
  groups: Schema.Record({ key: Schema.String, value: Schema.String }),
}).annotations({ identifier: "JobOutputEvent" })

/** What a notification says. */
export const NotifyEvent = Schema.Union(JobEndedEvent, JobOutputEvent)
export type NotifyEvent = typeof NotifyEvent.Type

const stamp = (millis: number): string => new Date(millis).toISOString()

const sharedFields = (root: string, record: JobRecord, index: number, attempt: Attempt | undefined) => {
  const { attempts, createdAt, id, spec, state } = record
  const started = startedAt(record)
  return {
    schema_version: "1",
    // A job notifies once for each of its notifications.
    id: `${id}.${index}`,
    job_id: id,
    state: state._tag,
    created_at: stamp(createdAt),
    ...(started !== undefined && { started_at: stamp(started) }),
    command: spec.command,
    cwd: spec.cwd,
    tags: spec.tags,
    ...(spec.group !== undefined && { group: spec.group }),
    attempts: attempts.length,
    ...(attempt !== undefined && {
      stdout_log_path: resolve(root, attempt.stdout),
      stderr_log_path: resolve(root, attempt.stderr),
    }),
  } as const
}

const outcome = (state: Ended) => {
  switch (state._tag) {
    case "exited":
      return { exit_code: state.code }
    case "killed":
      return { signal: state.signal }
    case "failed":
      return { reason: state.reason }
    case "lost":
      return { reason: state.why }
  }
}

/** The event of the notification number `index` of a job that has ended. */
export const ended = (
  root: string,
  record: JobRecord & { readonly state: Ended },
  index: number,
): NotifyEvent => ({
  ...sharedFields(root, record, index, lastAttempt(record)),
  type: "job.ended",
  ...outcome(record.state),
  cause: record.state.cause,
  finished_at: stamp(endedAt(record)!),
})

const capped = (text: string): string => {
  const bytes = Buffer.from(text)
  return bytes.length <= lineBytes ? text : bytes.toString("utf8", 0, Utf8.completeEnd(bytes, lineBytes))
}

/** The event of the notification number `index` for a line that an attempt wrote. */
export const output = (
  root: string,
  record: JobRecord,
  index: number,
  attempt: Attempt,
  found: Pick<Match, "groups" | "line" | "offset"> & { readonly stream: "stderr" | "stdout" },
): NotifyEvent => ({
  ...sharedFields(root, record, index, attempt),
  type: "job.output",
  attempt: attempt.number,
  stream: found.stream,
  line: capped(found.line),
  offset: found.offset,
  groups: Object.fromEntries(Object.entries(found.groups).map(([name, text]) => [name, capped(text)])),
})
