/** Jobs as the API shows them. */
import { join } from "node:path"
import * as Duration from "effect/Duration"
import { type JobRecord, endedAt, lastAttempt, startedAt } from "../job/JobRecord.js"
import type { LogTail, Tails } from "../job/JobRunnerService.js"
import type { Attempt, JobState } from "../job/JobState.js"
import type * as Answers from "./Answers.js"
import * as ApiError from "./ApiError.js"

/** What every answer that is no error begins with. */
export const head = <Type extends string>(type: Type) => ({
  schema_version: ApiError.schemaVersion,
  ok: true as const,
  type,
})

/** The last time that was written: the lines of a flood come by the hundred in one millisecond. */
let written = { millis: 0, text: "1970-01-01T00:00:00.000Z" }

/** A time by RFC 3339 in UTC. */
export const time = (millis: number): string => {
  if (millis !== written.millis) written = { millis, text: new Date(millis).toISOString() }
  return written.text
}

/** {@link time}, where there is one. */
export const maybeTime = (millis: number | undefined): string | undefined =>
  millis === undefined ? undefined : time(millis)

/** How a state, or the end of an attempt, came about. */
const ending = (state: JobState | NonNullable<Attempt["end"]>) => {
  switch (state._tag) {
    case "exited":
      return { exit_code: state.code, cause: state.cause }
    case "killed":
      return { signal: state.signal, cause: state.cause }
    case "failed":
      return { cause: state.cause, error: state.error, reason: state.reason }
    case "lost":
      return { cause: state.cause, reason: state.why }
    case "withdrawn":
      return { reason: state.why }
    default:
      return {}
  }
}

/** Which job, and where it is. */
export const identified = (record: JobRecord) => ({ job_id: record.id, state: record.state._tag })

/** What `status` says of a job. Fields that are undefined are not sent. */
export const status = (record: JobRecord): Omit<Answers.Status, "schema_version" | "ok" | "type"> => ({
  ...identified(record),
  ...ending(record.state),
  created_at: time(record.createdAt),
  started_at: maybeTime(startedAt(record)),
  finished_at: maybeTime(endedAt(record)),
})

const attempt = (root: string, one: Attempt) => ({
  number: one.number,
  state: one.end?._tag ?? ("running" as const),
  ...(one.end === undefined ? {} : ending(one.end)),
  pid: one.process?.pid,
  launched_at: time(one.launchedAt),
  started_at: maybeTime(one.startedAt),
  finished_at: maybeTime(one.end?.at),
  stdout_log_path: join(root, one.stdout),
  stderr_log_path: join(root, one.stderr),
  stdout_bytes: one.stdoutBytes,
  stderr_bytes: one.stderrBytes,
})

const millis = (length: Duration.Duration | undefined): number | undefined =>
  length === undefined ? undefined : Duration.toMillis(length)

/** Everything about a job that a person may see. */
export const info = (root: string, record: JobRecord): Answers.JobInfo => {
  const { spec, state } = record
  const last = lastAttempt(record)
  const { stdin } = spec
  return {
    ...status(record),
    command: spec.command,
    cwd: spec.cwd,
    env: spec.env,
    inherit_env: spec.inheritEnv,
    mask: spec.mask,
    hidden: record.hidden,
    stdin: typeof stdin === "string" ? stdin : "file" in stdin ? "file" : "given",
    tags: spec.tags,
    group: spec.group,
    priority: spec.priority,
    timeout_ms: millis(spec.timeout),
    kill_after_ms: Duration.toMillis(spec.killAfter),
    stop_signal: spec.stopSignal,
    max_log_bytes: spec.maxLogBytes,
    when_log_full: spec.whenLogFull,
    after: spec.after,
    not_before: state._tag === "queued" ? maybeTime(state.notBefore) : undefined,
    retries: spec.retries,
    idempotency_key: spec.idempotencyKey,
    restart_of: record.restartOf,
    pid: state._tag === "running" ? last?.process?.pid : undefined,
    attempts: record.attempts.map((one) => attempt(root, one)),
    stdout_log_path: last === undefined ? undefined : join(root, last.stdout),
    stderr_log_path: last === undefined ? undefined : join(root, last.stderr),
  }
}

const half = <Name extends "stdout" | "stderr">(name: Name, log: LogTail) =>
  ({
    [`${name}_tail`]: log.text,
    [`${name}_log_path`]: log.path,
    [`${name}_observed_bytes`]: log.observedBytes,
    [`${name}_included_bytes`]: log.includedBytes,
    [`${name}_next_offset`]: log.nextOffset,
  }) as Pick<Answers.Snapshot, Extract<keyof Answers.Snapshot, `${Name}_${string}`>>

/** The ends of a job's logs. */
export const snapshot = ({ attempt, stderr, stdout }: Tails): Answers.Snapshot => ({
  ...half("stdout", stdout),
  ...half("stderr", stderr),
  truncated: stdout.truncated || stderr.truncated,
  encoding: "utf-8-lossy",
  attempt,
})
