/** Tells whoever waits for a job of each stored change of it. */
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import type * as Scope from "effect/Scope"
import type { JobId } from "../JobId.js"
import type { JobRecord } from "../JobRecord.js"

type Listener = (record: JobRecord) => void

/** Who is told of what. */
export interface JobChanges {
  readonly publish: (record: JobRecord) => void
  /** The changes of one job from now on: all of them, as one job has few. */
  readonly of: (id: JobId) => Effect.Effect<Stream.Stream<JobRecord>, never, Scope.Scope>
  /** The changes of all jobs from now on. Who reads too slowly loses the oldest. */
  readonly all: Stream.Stream<JobRecord>
}

/** So many changes of all jobs wait for a slow reader. */
const backlog = 4_096

/** Nobody is listening yet. */
export const make = (): JobChanges => {
  const byId = new Map<JobId, Set<Listener>>()
  const general = new Set<Listener>()
  return {
    publish: (record) => {
      for (const listener of byId.get(record.id) ?? []) listener(record)
      for (const listener of general) listener(record)
    },
    of: (id) =>
      Effect.gen(function* () {
        const mailbox = yield* Mailbox.make<JobRecord>()
        const listener: Listener = (record) => void mailbox.unsafeOffer(record)
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            const listeners = byId.get(id) ?? new Set()
            byId.set(id, listeners.add(listener))
          }),
          () =>
            Effect.sync(() => {
              const listeners = byId.get(id)
              listeners?.delete(listener)
              if (listeners?.size === 0) byId.delete(id)
            }),
        )
        return Mailbox.toStream(mailbox)
      }),
    all: Stream.unwrapScoped(
      Effect.gen(function* () {
        const mailbox = yield* Mailbox.make<JobRecord>({ capacity: backlog, strategy: "sliding" })
        const listener: Listener = (record) => void mailbox.unsafeOffer(record)
        yield* Effect.acquireRelease(
          Effect.sync(() => general.add(listener)),
          () => Effect.sync(() => general.delete(listener)),
        )
        return Mailbox.toStream(mailbox)
      }),
    ),
  }
}
