/** The newest record of one job, and its changes as they come. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type JobRecord, hasEnded } from "../JobRecord.js"
import type { NameError } from "../JobRunnerService.js"
import type { Source } from "./LogSource.js"
import type { StoreError } from "../StoreError.js"

/** Why a job cannot be followed. */
export type Failure = NameError | StoreError

/** One job, as far as it is known. */
export class JobTracker {
  private readonly listeners = new Set<() => void>()
  private closed: Cause.Cause<Failure> | undefined

  constructor(private newest: JobRecord) {}

  get record(): JobRecord {
    return this.newest
  }

  /** Calls back after every change, until it is told to stop. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  /** The first record, from the newest one on, that has what is looked for. Fails when no more can come. */
  until(isFound: (record: JobRecord) => boolean): Effect.Effect<JobRecord, Failure> {
    return Effect.async((resume) => {
      const look = (): boolean => {
        if (isFound(this.newest)) resume(Effect.succeed(this.newest))
        else if (this.closed !== undefined) resume(Effect.failCause(this.closed))
        else return false
        return true
      }
      if (look()) return
      const unsubscribe = this.subscribe(() => {
        if (look()) unsubscribe()
      })
      return Effect.sync(unsubscribe)
    })
  }

  /** An older record than the newest one changes nothing. */
  accept(record: JobRecord): void {
    if (record.revision <= this.newest.revision) return
    this.newest = record
    this.tell()
  }

  /** Nothing more will come. */
  close(cause: Cause.Cause<Failure>): void {
    this.closed = cause
    this.tell()
  }

  private tell(): void {
    for (const listener of this.listeners) listener()
  }
}

/** Whether an attempt is over. */
export const isOver =
  (number: number) =>
  (record: JobRecord): boolean =>
    hasEnded(record) || record.attempts[number - 1]?.end !== undefined

/**
 * Tracks a job until the scope closes. It never falls behind, whoever reads it; so it keeps only the newest record. When
 * no more changes come and the job is not over, it was deleted (`JobNotFound`), or whoever runs it ends: an interruption.
 */
export const track = (source: Source, name: string): Effect.Effect<JobTracker, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const { id } = yield* source.get(name)
    const { changes, record } = yield* source.watch(id)
    const tracker = new JobTracker(record)
    yield* changes.pipe(
      Stream.runForEach((changed) => Effect.sync(() => tracker.accept(changed))),
      Effect.zipRight(source.get(id)),
      Effect.exit,
      Effect.flatMap((exit) =>
        Effect.flatMap(Effect.fiberId, (fiber) =>
          Effect.sync(() => {
            if (Exit.isSuccess(exit)) tracker.accept(exit.value)
            tracker.close(Exit.isSuccess(exit) ? Cause.interrupt(fiber) : exit.cause)
          }),
        ),
      ),
      Effect.forkScoped,
    )
    return tracker
  })
