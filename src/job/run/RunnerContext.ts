/** What the parts of the runner share. */
import type * as Context from "effect/Context"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import type { ForeignGroup } from "../../process/ForeignGroup.js"
import type * as Mask from "../../process/Mask.js"
import type { ProcessTable } from "../../process/ProcessTable.js"
import type { Wake } from "../../process/Wake.js"
import type { JobChanges } from "./JobChanges.js"
import type { JobEvent } from "../JobEvent.js"
import type { JobId } from "../JobId.js"
import type { JobQueue } from "../queue/JobQueue.js"
import type { InvalidTransition, JobRecord } from "../JobRecord.js"
import { hasEnded, transition } from "../JobRecord.js"
import type * as JobStore from "../JobStore.js"
import type { Keeper } from "../keeper/Keeper.js"
import type * as Notifier from "../Notifier.js"

/** What the parts of the runner share. */
export interface RunnerContext {
  /** Absolute. */
  readonly root: string
  /** What the jobs inherit. */
  readonly env: Mask.Variables
  readonly store: JobStore.Service
  readonly table: Context.Tag.Service<ProcessTable>
  readonly keeper: Keeper
  readonly notifier: Notifier.Service
  readonly queue: JobQueue
  readonly changes: JobChanges
  /** Signalled when a job may be able to start. */
  readonly wake: Wake
  /** The boot it all happens in. */
  readonly bootId: string
  /** The jobs that wait for a time by the wall clock. */
  readonly startTimes: Map<JobId, number>
  /** The groups that are being stopped. */
  readonly stopping: Set<ForeignGroup>
  /** Closes with the runner. */
  readonly scope: Scope.Scope
  /** Tells the rest of the program of a stored change. */
  readonly tell: (record: JobRecord) => Effect.Effect<void>
}

/** The present by the wall clock, in whole milliseconds. */
export const now: Effect.Effect<number> = Effect.map(Clock.currentTimeMillis, Math.trunc)

/** Now by a clock that nobody sets, in milliseconds. When the program begins it is that of the wall. */
export const steadily: Effect.Effect<number> = Effect.map(Clock.currentTimeNanos, (nanos) =>
  Number(nanos / 1_000_000n),
)

/**
 * The record as the queue is to see it: with the time that it waits for by the steady clock, so that a delay or a backoff
 * is as long as it was meant to be, whatever is done to the clock of the wall. A start time is that of the wall: it is
 * kept in `startTimes`, to be looked at again when the two clocks drift apart.
 */
export const timed = (context: RunnerContext, record: JobRecord): Effect.Effect<JobRecord> =>
  Effect.gen(function* () {
    const { attempts, id, spec, state } = record
    if (state._tag !== "queued" || state.notBefore === undefined) {
      context.startTimes.delete(id)
      return record
    }
    if (attempts.length === 0 && spec.delay === undefined) context.startTimes.set(id, state.notBefore)
    const present = yield* now
    const left = Math.min(state.notBefore - present, longestWait(record))
    return { ...record, state: { ...state, notBefore: (yield* steadily) + left } }
  })

/** No delay and no backoff takes longer from now on, in milliseconds, though the clock was set back meanwhile. */
const longestWait = ({ attempts, spec: { backoff, delay } }: JobRecord): number => {
  if (attempts.length > 0) return Duration.toMillis(backoff.max)
  return delay === undefined ? Infinity : Math.ceil(Duration.toMillis(delay))
}

/** Passes a stored change on to the queue, to whoever waits, and to the log. */
export const publish = (context: RunnerContext, record: JobRecord): Effect.Effect<void> =>
  Effect.gen(function* () {
    context.queue.put(yield* timed(context, record))
    context.changes.publish(record)
    if (hasEnded(record) || record.state._tag === "queued") context.wake.signal()
    yield* context.tell(record)
  })

/** Several events as one change. */
export const chain = (
  record: JobRecord,
  events: ReadonlyArray<JobEvent>,
): Either.Either<JobRecord, InvalidTransition> => {
  let changed: Either.Either<JobRecord, InvalidTransition> = Either.right(record)
  for (const event of events) changed = Either.flatMap(changed, (before) => transition(before, event))
  return changed
}

const passes = (error: { readonly _tag: string }): boolean =>
  error._tag === "StoreFull" ||
  (error._tag === "StoreFailed" && (error as { retryable?: boolean }).retryable === true)

/** Twice a second at first, every five seconds in the long run. */
const patience = Schedule.union(Schedule.exponential("500 millis"), Schedule.spaced("5 seconds"))

/** Stores what has happened to a job that runs, however long the disk is full: it must not be forgotten. */
export const persist = (
  context: RunnerContext,
  id: JobId,
  change: (record: JobRecord) => Either.Either<JobRecord, InvalidTransition>,
): Effect.Effect<JobRecord | undefined> => {
  // What its keeper noted can be read again after a loss of power.
  const attempt = context.store.update(id, change, { relaxed: true })
  return Effect.catchAll(attempt, (error) =>
    (passes(error)
      ? Effect.zipRight(
          Effect.logWarning(`What happened to job ${id} cannot be stored yet: ${error.message}`),
          Effect.retry(attempt, { schedule: patience, while: passes }),
        )
      : Effect.fail(error)
    ).pipe(
      Effect.catchAll((error) =>
        // It has ended, or was deleted, meanwhile: this is news of yesterday.
        error._tag === "InvalidTransition" || error._tag === "JobNotFound"
          ? Effect.as(Effect.logDebug(error.message), undefined)
          : Effect.as(
              Effect.logError(`What happened to job ${id} could not be stored: ${error.message}`),
              undefined,
            ),
      ),
    ),
  )
}

/** Runs on its own until the runner closes; what goes wrong in it is logged. */
export const background = (context: RunnerContext, effect: Effect.Effect<unknown>): Effect.Effect<void> =>
  effect.pipe(
    Effect.exit,
    Effect.flatMap((exit) =>
      Exit.isFailure(exit) && !Exit.isInterrupted(exit)
        ? Effect.logError("The job runner", exit.cause)
        : Effect.void,
    ),
    Effect.forkIn(context.scope),
    Effect.asVoid,
  )
