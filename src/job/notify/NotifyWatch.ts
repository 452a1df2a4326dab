/**
 * The notifications about output, each from the first attempt of its job until the job is over and the event delivered:
 * what is told once is not told again, whatever later attempts write and however often the program is restarted.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { JobRecord } from "../JobRecord.js"
import { type Dispatch, orLog } from "./NotifyDispatch.js"
import * as NotifyEvent from "../NotifyEvent.js"
import * as NotifySearch from "./NotifySearch.js"
import * as Outbox from "./Outbox.js"

/** The notifications about output of all jobs. */
export interface Watches {
  /** Searches the last attempt until `done`, and those before it that were not searched. */
  readonly begin: (record: JobRecord, index: number, done: Effect.Effect<unknown>) => Effect.Effect<void>
  /** The job is over: searches what was not searched, and then forgets the notification. */
  readonly end: (record: JobRecord, index: number) => Effect.Effect<void>
  /** Delivers what matched in an earlier life of the program. */
  readonly resume: (record: JobRecord, index: number, entry: Outbox.Entry) => Effect.Effect<void>
  /** Whether it is known to have matched. */
  readonly hasMatched: (key: Outbox.Key) => boolean
}

interface Watch {
  readonly sources: NotifySearch.Sources
  readonly ended: Deferred.Deferred<void>
  /** The latest that is known. */
  record: JobRecord
  hasMatched: boolean
}

/** What the watches work with. */
export interface Means {
  /** Absolute. */
  readonly root: string
  readonly outbox: Outbox.Outbox
  readonly dispatch: Dispatch
  /** Runs on its own, for as long as the program does. */
  readonly fork: (effect: Effect.Effect<void>) => unknown
}

/** No watch is open. */
export const make = ({ dispatch, fork, outbox, root }: Means): Watches => {
  const open = new Map<string, Watch>()

  const search = (key: Outbox.Key, watch: Watch) =>
    Effect.gen(function* () {
      const notification = watch.record.spec.notifications[key.index]
      if (notification === undefined || notification.on === "end") return undefined
      // In doubt it is told twice rather than never.
      const present = yield* Effect.orElseSucceed(outbox.look(key), () => new Set<Outbox.Kind>())
      if (present.has("sent") || present.has("json")) {
        watch.hasMatched = true
        return undefined
      }
      const found = yield* NotifySearch.first(root, notification.on.output, watch.sources)
      if (Option.isNone(found)) return undefined
      watch.hasMatched = true
      const { attempt, match, stream } = found.value
      const { mask } = watch.record.spec
      const event = NotifyEvent.output(root, watch.record, key.index, attempt, { ...match, stream })
      const entry: Outbox.Entry = { version: 1, notification, mask, event }
      yield* orLog(
        `Job ${key.job}: a notification is lost if the program ends before it is delivered`,
        Effect.zipRight(outbox.put(entry), outbox.sync),
      )
      return entry
    })

  const attend = (key: Outbox.Key, watch: Watch, pending: Outbox.Entry | undefined) =>
    Effect.gen(function* () {
      const entry = pending ?? (yield* search(key, watch))
      // First the mark: what the job goes on to write must not be told of, whatever happens in between.
      const after = Effect.zipRight(outbox.mark(key, "sent"), outbox.remove(key, "json"))
      if (entry !== undefined) yield* dispatch(entry, after)
      yield* Deferred.await(watch.ended)
      yield* orLog(
        `Job ${key.job}: its output may be searched once more`,
        outbox.remove(key, "search", "sent"),
      )
    }).pipe(Effect.ensuring(Effect.sync(() => open.delete(Outbox.nameOf(key)))))

  const watchOf = (record: JobRecord, index: number, pending?: Outbox.Entry) =>
    Effect.gen(function* () {
      const key = { job: record.id, index }
      const known = open.get(Outbox.nameOf(key))
      if (known !== undefined) {
        known.record = record
        return known
      }
      const watch: Watch = {
        sources: yield* NotifySearch.make,
        ended: yield* Deferred.make<void>(),
        record,
        hasMatched: pending !== undefined,
      }
      open.set(Outbox.nameOf(key), watch)
      fork(attend(key, watch, pending))
      return watch
    })

  return {
    begin: (record, index, done) =>
      Effect.flatMap(watchOf(record, index), ({ sources }) => sources.add(record, done)),
    end: (record, index) =>
      Effect.gen(function* () {
        const { ended, sources } = yield* watchOf(record, index)
        yield* sources.add(record, Effect.void)
        yield* sources.end
        yield* Deferred.succeed(ended, undefined)
      }),
    resume: (record, index, entry) => Effect.asVoid(watchOf(record, index, entry)),
    hasMatched: (key) => open.get(Outbox.nameOf(key))?.hasMatched ?? false,
  }
}
