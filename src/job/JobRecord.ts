/**
 * What is kept of a job, and how it changes: a table of what each event does in each state. Nothing here reads a clock
 * or touches the world, so that every course of events can be walked through, and walked through again.
 */
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { JobEvent } from "./JobEvent.js"
import * as JobId from "./JobId.js"
import { JobSpec } from "./JobSpec.js"
import type { Ended } from "./JobState.js"
import { Attempt, JobState, Millis, StateName, isEnded } from "./JobState.js"

/** The durable record of one job, free of secrets: it may be shown as it is. */
export const JobRecord = Schema.Struct({
  id: JobId.JobId,
  /** Counts the stored changes, from 0. */
  revision: Schema.NonNegativeInt,
  createdAt: Millis,
  /** What was asked for. Masked values and given input are replaced by `***`. */
  spec: JobSpec,
  /** The fields of `spec` in which something is hidden, such as `env.TOKEN`. */
  hidden: Schema.Array(Schema.String),
  /** The job that this one repeats. */
  restartOf: Schema.optional(JobId.JobId),
  /** Every run, the earliest first. */
  attempts: Schema.Array(Attempt),
  state: JobState,
}).annotations({ identifier: "JobRecord" })
export type JobRecord = typeof JobRecord.Type

/** An event that cannot happen to a job in the state it is in. The record stays as it was. */
export class InvalidTransition extends Schema.TaggedError<InvalidTransition>()("InvalidTransition", {
  id: JobId.JobId,
  state: StateName,
  event: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `Job ${this.id} is ${this.state}: ${this.reason}.`
  }
}

/** What a new job starts from. `queued` is false for one that waits to be told to start. */
export interface Seed {
  readonly id: JobId.JobId
  /** Without secrets: see `JobSecrets.hide`. */
  readonly spec: JobSpec
  readonly hidden: ReadonlyArray<string>
  readonly queued: boolean
  /** Now, by the wall clock, which may have been set back since the time in its id; default: that time. */
  readonly at?: number | undefined
  readonly restartOf?: JobId.JobId | undefined
}

type Named<Union, Name> = Extract<Union, { readonly _tag: Name }>
type Unended = Exclude<JobState, Ended>
type Outcome = JobRecord | string
type Row<State extends JobState> = {
  readonly [Event in JobEvent["_tag"]]?: (
    record: JobRecord & { readonly state: State },
    event: Named<JobEvent, Event>,
  ) => Outcome
}

/** Without the fields that say nothing, so that a record is the same before and after it was stored. */
const compact = <A extends object>(fields: A): A =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as A

const queue = (record: JobRecord, at: number): JobRecord => {
  const { delay, startAt } = record.spec
  const notBefore = delay === undefined ? startAt : at + Math.ceil(Duration.toMillis(delay))
  return { ...record, state: compact({ _tag: "queued", since: at, notBefore }) }
}

/** The record of a new job. */
export const make = ({ at, hidden, id, queued, restartOf, spec }: Seed): JobRecord => {
  const createdAt = JobId.createdAt(id)
  const created: JobRecord = compact({
    id,
    revision: 0,
    createdAt,
    spec: compact(spec),
    hidden,
    restartOf,
    attempts: [],
    state: { _tag: "created" },
  })
  return queued ? queue(created, Math.min(at ?? createdAt, createdAt)) : created
}

/** The attempt that runs, or ran last. */
export const lastAttempt = (record: JobRecord): Attempt | undefined => record.attempts.at(-1)

/** How many more times it may be run; an attempt that was withdrawn was none. */
export const triesLeft = ({ attempts, spec }: JobRecord): number =>
  Math.max(0, spec.retries + 1 - attempts.filter(({ end }) => end?._tag !== "withdrawn").length)

const amend = (record: JobRecord, change: Partial<Attempt>): JobRecord => {
  const last = lastAttempt(record)!
  return { ...record, attempts: [...record.attempts.slice(0, -1), { ...last, ...change }] }
}

/** How long to wait after the failure that leaves `record` as it is: the n-th failure waits delay * factor^(n-1). */
const backoff = (record: JobRecord): number => {
  const { delay, factor, max } = record.spec.backoff
  const retried = record.spec.retries - triesLeft(record)
  return Math.ceil(Math.min(Duration.toMillis(delay) * factor ** retried, Duration.toMillis(max)))
}

/** Whether it makes sense to try again: not after a success, an operator's stop, or output without end. */
const isRetried = (end: Ended): boolean => {
  switch (end._tag) {
    case "exited":
      return (end.cause === "exit" && end.code !== 0) || end.cause === "timeout"
    case "killed":
      return end.cause === "signal" || end.cause === "timeout"
    case "failed":
      return end.cause === "spawn-error"
    case "lost":
      return false
  }
}

const end = (
  record: JobRecord,
  ended: Ended,
  logged: Pick<Attempt, "stdoutBytes" | "stderrBytes"> = {},
  mayRetry = true,
): JobRecord => {
  const { stderrBytes, stdoutBytes } = logged
  const closed = amend(record, compact({ end: ended, stdoutBytes, stderrBytes }))
  const again = mayRetry && isRetried(ended) && triesLeft(closed) > 0
  return {
    ...closed,
    state: again ? { _tag: "queued", since: ended.at, notBefore: ended.at + backoff(closed) } : ended,
  }
}

/** What each event does in each state; a text says why it cannot happen. Ended states have no row. */
const table: { readonly [State in Unended["_tag"]]: Row<Named<JobState, State>> } = {
  created: {
    Queue: (record, { at }) => queue(record, at),
  },
  queued: {
    Launch: (record, { at, bootId, keeper, stderr, stdout }) => ({
      ...record,
      attempts: [
        ...record.attempts,
        { number: record.attempts.length + 1, keeper, bootId, stdout, stderr, launchedAt: at },
      ],
      state: { _tag: "running", since: at },
    }),
    Cancel: (record, { at, signal }) => ({
      ...record,
      state: { _tag: "killed", signal, cause: "stopped", at },
    }),
    Refuse: (record, { at, cause, error, reason }) => ({
      ...record,
      state: { _tag: "failed", error, reason, cause, at },
    }),
  },
  running: {
    Started: (record, { at, process }) => {
      const known = lastAttempt(record)!.process
      if (known === undefined) return amend(record, { process, startedAt: at })
      const same =
        known.pid === process.pid && known.startTime === process.startTime && known.bootId === process.bootId
      return same ? record : `its process is ${known.pid} already`
    },
    Withdraw: (record, { at, why }) => {
      if (lastAttempt(record)!.process !== undefined) return "its process has started"
      // A stop that was asked for meanwhile has nothing left to stop.
      const { stopping } = lastAttempt(record)!
      const withdrawn = amend(record, { end: { _tag: "withdrawn", why, at } })
      return stopping === undefined
        ? { ...withdrawn, state: { _tag: "queued", since: at } }
        : { ...withdrawn, state: { _tag: "killed", signal: stopping.signal, cause: stopping.cause, at } }
    },
    Stopping: (record, { at, cause, signal }) =>
      lastAttempt(record)!.stopping === undefined
        ? amend(record, { stopping: { cause, signal, at } })
        : record,
    Exited: (record, { at, code, ...logged }) =>
      end(
        record,
        { _tag: "exited", code, cause: lastAttempt(record)!.stopping?.cause ?? "exit", at },
        logged,
      ),
    Signaled: (record, { at, signal, ...logged }) =>
      end(
        record,
        { _tag: "killed", signal, cause: lastAttempt(record)!.stopping?.cause ?? "signal", at },
        logged,
      ),
    SpawnFailed: (record, { at, error, permanent, reason }) => {
      const wasStopped = lastAttempt(record)!.stopping !== undefined
      return end(
        record,
        { _tag: "failed", error, reason, cause: "spawn-error", at },
        {},
        !permanent && !wasStopped,
      )
    },
    Lose: (record, { at, cause, why }) => end(record, { _tag: "lost", why, cause, at }),
  },
}

/** What each event asks for, to say that it cannot be. */
const asked: { readonly [Event in JobEvent["_tag"]]: string } = {
  Queue: "only a created job can be queued",
  Launch: "only a queued job can be launched",
  Withdraw: "only a running job can be taken back from its keeper",
  Started: "only a running job can have a process",
  Stopping: "only a running job can be stopped",
  Exited: "only a running job can exit",
  Signaled: "only a running job can be ended by a signal",
  SpawnFailed: "only a running job can fail to start",
  Lose: "only a running job can be lost",
  Cancel: "only a queued job can be cancelled",
  Refuse: "only a queued job can be refused",
}

/**
 * What becomes of a record when something happens. An ended job never changes; a retry adds an attempt and keeps the
 * earlier ones. Gives the very same record where nothing changes.
 */
export const transition = (
  record: JobRecord,
  event: JobEvent,
): Either.Either<JobRecord, InvalidTransition> => {
  const { id, state } = record
  const rows: { readonly [name: string]: Row<never> | undefined } = table
  const act = rows[state._tag]?.[event._tag] as ((record: JobRecord, event: JobEvent) => Outcome) | undefined
  const outcome = act === undefined ? asked[event._tag] : act(record, event)
  return typeof outcome === "string"
    ? Either.left(new InvalidTransition({ id, state: state._tag, event: event._tag, reason: outcome }))
    : Either.right(outcome)
}

/** Whether the job is over. */
export const hasEnded = (record: JobRecord): record is JobRecord & { readonly state: Ended } =>
  isEnded(record.state)

/** Whether it exited with 0 by itself: what `after: { when: "success" }` asks for. */
export const hasSucceeded = ({ state }: JobRecord): boolean =>
  state._tag === "exited" && state.code === 0 && state.cause === "exit"

/** When the job is over: its time, in milliseconds since the epoch. */
export const endedAt = ({ state }: JobRecord): number | undefined => (isEnded(state) ? state.at : undefined)

/** When its first process began, in milliseconds since the epoch. */
export const startedAt = ({ attempts }: JobRecord): number | undefined =>
  attempts.find(({ startedAt }) => startedAt !== undefined)?.startedAt

/** Bytes of the logs of all its attempts, as far as they are known. */
export const logBytes = ({ attempts }: JobRecord): number =>
  attempts.reduce((sum, { stderrBytes, stdoutBytes }) => sum + (stdoutBytes ?? 0) + (stderrBytes ?? 0), 0)
