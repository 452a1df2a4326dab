/**
 * Tells commands and files what becomes of jobs, at least once each, and never in the way of the job: what fails is
 * logged, and tried again on fibers of its own.
 */
import { join, resolve } from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import type { ProcessSpawner } from "../process/ProcessSpawner.js"
import * as Tracing from "../process/Tracing.js"
import type { JobId } from "./JobId.js"
import { type JobRecord, hasEnded } from "./JobRecord.js"
import type { Notification } from "./JobSpec.js"
import type { Ended } from "./JobState.js"
import * as NotifyDelivery from "./notify/NotifyDelivery.js"
import * as NotifyDispatch from "./notify/NotifyDispatch.js"
import * as NotifyEvent from "./NotifyEvent.js"
import * as NotifyWatch from "./notify/NotifyWatch.js"
import * as Outbox from "./notify/Outbox.js"

/** An attempt that runs, or has run. */
export interface Source {
  /** Completes when nothing more will be written to its logs; not when the program stops watching it. */
  readonly done: Effect.Effect<unknown>
}

/**
 * Tells of jobs. So that nothing is lost whenever the program is killed, a runner calls in this order: `recover` once,
 * before all else; `begin` for every attempt that runs, adopted ones too, once its launch is stored; at the end of a
 * job `prepare` with the record as it will be, then the store, then `deliver` with the record as it was stored. An end
 * that could not be stored is simply prepared again. None of these fails or waits for a delivery, and none does
 * anything for a job without notifications.
 */
export interface Service {
  /**
   * Looks for the output that notifications are about: in the last attempt, until its end, and in those before it that
   * were not searched yet. Each is told of once for a job, however many attempts match.
   */
  readonly begin: (record: JobRecord, source: Source) => Effect.Effect<void>
  /**
   * Writes down that the end of a job is owed to somebody, so that it is told even if the program is killed next.
   * Takes two seconds at the most; what fails is logged. A record that has not ended is left alone.
   */
  readonly prepare: (record: JobRecord) => Effect.Effect<void>
  /**
   * Tells of the end of a job, and has the rest of its output searched, also where nothing was prepared or begun. A
   * record that has not ended is left alone.
   */
  readonly deliver: (record: JobRecord) => Effect.Effect<void>
  /**
   * Goes through what an earlier life of the program owed. Jobs that have ended, or were deleted since, are told of;
   * the end of the others will be prepared again. Those that cannot be looked up are left for the next life.
   *
   * @param get the record of a job as it is stored; undefined when there is none
   */
  readonly recover: (
    get: (id: JobId) => Effect.Effect<JobRecord | undefined, { readonly message: string }>,
  ) => Effect.Effect<void>
}

/** Tells commands and files of jobs. */
export class Notifier extends Context.Tag("holdfast/job/Notifier")<Notifier, Service>() {}

/** How to notify. */
export interface Options {
  /** The directory that the jobs are kept in. What is still to be told is in `outbox` there. */
  readonly root: string
  /**
   * When to try again what failed. Default: after 1 s, doubling to 5 min, with jitter; ten tries in all. It begins
   * anew with each life of the program.
   */
  readonly retry?: Schedule.Schedule<unknown> | undefined
}

type EndedRecord = JobRecord & { readonly state: Ended }

const make = ({ retry = NotifyDelivery.retry, root: given }: Options) =>
  Effect.gen(function* () {
    const root = resolve(given)
    const directory = join(root, "outbox")
    const outbox = Outbox.make(directory)
    const dispatch = NotifyDispatch.make(directory, outbox, yield* NotifyDelivery.make(retry))
    const fork = yield* FiberSet.makeRuntime<never>()
    const watches = NotifyWatch.make({ root, outbox, dispatch, fork })
    const { orLog } = NotifyDispatch

    const entryOf = (record: EndedRecord, notification: Notification, index: number): Outbox.Entry => ({
      version: 1,
      notification,
      mask: record.spec.mask,
      event: NotifyEvent.ended(root, record, index),
    })

    const each = (
      record: JobRecord,
      act: (notification: Notification, index: number) => Effect.Effect<void>,
    ): Effect.Effect<void> =>
      Effect.forEach(record.spec.notifications, act, { concurrency: "unbounded", discard: true })

    const prepare = (record: EndedRecord) =>
      each(record, (notification, index) => {
        const key = { job: record.id, index }
        const written =
          notification.on === "end"
            ? outbox.put(entryOf(record, notification, index))
            : record.attempts.length === 0 || watches.hasMatched(key)
              ? Effect.void
              : outbox.mark(key, "search")
        return orLog(unkept(record.id), written)
      }).pipe(
        Effect.zipRight(orLog(unkept(record.id), outbox.sync)),
        // A disk that does not answer must not keep the job's end from being stored.
        Effect.disconnect,
        Effect.timeoutOption("2 seconds"),
        Effect.asVoid,
      )

    /** Ends that are being told. */
    const underway = new Set<string>()

    const tell = (key: Outbox.Key, entry: Outbox.Entry) =>
      Effect.sync(() => {
        const name = Outbox.nameOf(key)
        if (underway.has(name)) return
        underway.add(name)
        const told = dispatch(entry, outbox.remove(key, "search", "sent", "json"))
        fork(
          Effect.ensuring(
            told,
            Effect.sync(() => underway.delete(name)),
          ),
        )
      })

    const deliver = (record: EndedRecord) =>
      each(record, (notification, index) => {
        if (notification.on === "end")
          return tell({ job: record.id, index }, entryOf(record, notification, index))
        return record.attempts.length === 0 ? Effect.void : watches.end(record, index)
      })

    /** What the output of a job is owed, apart from what has matched. */
    const recoverMarks = (found: Outbox.Found, record: JobRecord | undefined) => {
      if (record !== undefined && !hasEnded(record)) return outbox.remove(found, "search")
      const mayMatch = found.kinds.has("search") && !found.kinds.has("sent")
      return mayMatch && record !== undefined
        ? watches.end(record, found.index)
        : outbox.remove(found, "search", "sent")
    }

    const recoverEntry = (found: Outbox.Found, entry: Outbox.Entry, record: JobRecord | undefined) => {
      // Deleted: it was over.
      if (record === undefined) return tell(found, entry)
      if (entry.event.type === "job.output") {
        const resumed = watches.resume(record, found.index, entry)
        return hasEnded(record) ? Effect.zipRight(resumed, watches.end(record, found.index)) : resumed
      }
      if (!hasEnded(record)) return outbox.remove(found, "json")
      const notification = record.spec.notifications[found.index]
      // What was stored may differ from what was prepared.
      return tell(found, notification === undefined ? entry : entryOf(record, notification, found.index))
    }

    const recoverOne = (found: Outbox.Found, record: JobRecord | undefined) =>
      Effect.gen(function* () {
        if (!found.kinds.has("json")) return yield* recoverMarks(found, record)
        const entry = yield* Effect.either(outbox.read(found))
        if (Either.isRight(entry)) return yield* recoverEntry(found, entry.right, record)
        const { message } = entry.left
        yield* Effect.logError(
          `A notification of job ${found.job} is set aside in ${join(directory, "failed")}: ${message}`,
        )
        yield* outbox.setAside(found)
        yield* recoverMarks(found, record)
      })

    const recover: Service["recover"] = (get) =>
      Effect.gen(function* () {
        for (const found of yield* outbox.list) {
          const record = yield* Effect.either(get(found.job))
          yield* Either.isRight(record)
            ? orLog(
                `Job ${found.job}: a notification is left for the next start`,
                recoverOne(found, record.right),
              )
            : Effect.logError(
                `Job ${found.job}: a notification is left for the next start: ${record.left.message}`,
              )
        }
      }).pipe((all) => orLog("Notifications are left for the next start", all))

    const traced = (name: string, record: JobRecord, effect: Effect.Effect<void>) =>
      record.spec.notifications.length === 0
        ? Effect.void
        : Tracing.withSpan(effect, `Notifier.${name}`, () => ({ job: record.id }))

    return Notifier.of({
      begin: (record, { done }) =>
        traced(
          "begin",
          record,
          Effect.uninterruptible(
            each(record, ({ on }, index) =>
              on === "end" ? Effect.void : watches.begin(record, index, done),
            ),
          ),
        ),
      prepare: (record) => (hasEnded(record) ? traced("prepare", record, prepare(record)) : Effect.void),
      deliver: (record) =>
        hasEnded(record) ? traced("deliver", record, Effect.uninterruptible(deliver(record))) : Effect.void,
      recover: (get) => Tracing.withSpan(recover(get), "Notifier.recover", () => ({})),
    })
  })

const unkept = (id: JobId): string =>
  `Job ${id}: a notification is lost if the program ends before it is delivered`

/**
 * Notifies for as long as it is open. What is on its way when it is closed is cut short, and told by the next one that
 * recovers the same root.
 */
export const layer = (options: Options): Layer.Layer<Notifier, never, ProcessSpawner> =>
  Layer.scoped(Notifier, make(options))
