/** An attempt that runs, as this program knows it: what is stored of it is in the record. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import { ForeignGroup } from "../../process/ForeignGroup.js"
import * as Mask from "../../process/Mask.js"
import { ProcessIdentity } from "../../process/ProcessIdentity.js"
import type { Signal } from "../../process/Signal.js"
import type { AttemptPaths, Begun } from "../keeper/AttemptFiles.js"
import * as AttemptFiles from "../keeper/AttemptFiles.js"
import type { JobId } from "../JobId.js"
import type { JobRecord } from "../JobRecord.js"
import type { JobSpec } from "../JobSpec.js"
import type { StopCause } from "../JobState.js"
import type { RunnerContext } from "./RunnerContext.js"

/** What the processes of an attempt carry in `HOLDFAST_LINEAGE`. */
export const markOf = (id: JobId, attempt: number): string => `${id}.${attempt}`

/**
 * Hides the masked values of a job. Once they are erased, a command that held any is shown as the record shows it.
 *
 * @param spec with its secrets, if they are still known
 */
export const redactorOf = (
  { env }: RunnerContext,
  record: JobRecord,
  spec: JobSpec | undefined,
): Mask.Redact => {
  if (spec === undefined && record.hidden.length > 0) {
    const shown = Mask.formatCommand(record.spec.command, (text) => text)
    return () => shown
  }
  const known = spec ?? record.spec
  if (known.mask.length === 0) return (text) => text
  return Mask.make(known.mask, { ...(known.inheritEnv ? env : {}), ...known.env })
}

/** An attempt that was handed to a keeper and is not known to have ended. */
export class Attempt {
  readonly paths: AttemptPaths
  /** Its processes; undefined when it ended without one. */
  readonly group = Deferred.unsafeMake<ForeignGroup | undefined>(FiberId.none)
  /** Completed when its end is stored. */
  readonly over = Deferred.unsafeMake<void>(FiberId.none)
  /** Signals that were sent without meaning to go on to KILL: an end by one of them is somebody's doing. */
  readonly sent = new Set<string>()
  begun: Begun | undefined
  /** By the wall clock, in milliseconds since the epoch. */
  startedAt: number | undefined
  isEnding = false
  /** Whether it was said that its notes cannot be read. */
  isUnreadable = false
  /** Why it is being stopped: known before it is stored, which a full disk may hold up. */
  stopping: { readonly cause: StopCause; readonly signal: Signal; readonly at: number } | undefined
  private watchers: Scope.CloseableScope | undefined

  constructor(
    private readonly context: RunnerContext,
    readonly record: JobRecord,
    readonly number: number,
    /** Who started it: pid and start time. */
    readonly keeper: ProcessIdentity,
    /** With its secrets, if they are known. */
    readonly spec: JobSpec | undefined,
  ) {
    this.paths = AttemptFiles.pathsOf(record.id, number)
  }

  get id(): JobId {
    return this.record.id
  }

  /** Its process as the record has it. */
  identity({ pid, startTime }: Begun): ProcessIdentity {
    return new ProcessIdentity({ pid, startTime, bootId: this.context.bootId })
  }

  /** Its process is known. */
  begin(begun: Begun, startedAt: number): ForeignGroup {
    this.begun = begun
    this.startedAt = startedAt
    const { context, id, number, record, spec } = this
    const redact = redactorOf(context, record, spec)
    const group = new ForeignGroup(this.identity(begun), markOf(id, number), context.table, redact)
    Deferred.unsafeDone(this.group, Effect.succeed(group))
    return group
  }

  /** Runs beside it until its end is known, or the runner closes. */
  watch<E>(effect: Effect.Effect<unknown, E, Scope.Scope>): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      if (this.isEnding) return
      this.watchers ??= yield* Scope.fork(this.context.scope, ExecutionStrategy.sequential)
      yield* effect.pipe(
        Effect.catchAllCause((cause) => Effect.logError(`Job ${this.id}`, cause)),
        Effect.provideService(Scope.Scope, this.watchers),
        Effect.forkIn(this.watchers),
      )
    })
  }

  /** Ends what runs beside it. */
  get unwatch(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.watchers === undefined ? Effect.void : Scope.close(this.watchers, Exit.void),
    )
  }
}
