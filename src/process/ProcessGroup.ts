/**
 * A spawned process and everything that descends from it: who is alive, signals to all of it, and its stop. Nothing is
 * signalled that has not been shown to be ours.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type { ExitStatus } from "./ExitStatus.js"
import { kill, killEscapees, shown } from "./Kill.js"
import type { Redact } from "./Mask.js"
import { StopReport } from "./Process.js"
import type { ProcessIdentity } from "./ProcessIdentity.js"
import type { Member, ProcessTable, TableUnreadable } from "./ProcessTable.js"
import type { Signal } from "./Signal.js"
import * as Stopping from "./Stopping.js"

/** How a stop is to go. */
export interface StopPlan {
  readonly signal: Signal
  readonly grace: Duration.Duration
}

/** The group led by a process that has just been spawned, and is not yet reaped. */
export class ProcessGroup implements Stopping.Target {
  private readonly exited = Deferred.unsafeMake<ExitStatus>(FiberId.none)
  private status: ExitStatus | undefined
  private leaderEndedAt: string | undefined
  private stopping: Stopping.Stopping | undefined

  constructor(
    readonly leader: ProcessIdentity,
    readonly mark: string,
    private readonly table: Context.Tag.Service<ProcessTable>,
    /** By the monotonic clock of the system. */
    private readonly spawnedAt: bigint,
    private readonly redact: Redact,
  ) {}

  /** To be called once, when the leader has been reaped. Answers when that was. */
  leaderEnded(status: ExitStatus): string {
    const lived = Number(process.hrtime.bigint() - this.spawnedAt) / 1e6
    this.status = status
    this.leaderEndedAt = this.table.endOf(this.leader, lived)
    Deferred.unsafeDone(this.exited, Effect.succeed(status))
    return this.leaderEndedAt
  }

  /** Whether the group is empty for certain. Cheap, and needs no file; false proves nothing. */
  isEmpty(): boolean {
    return this.hasEnded() && kill(-this.leader.pid, 0, this.table.ownGroup) === "gone"
  }

  /** Waits for the end of the leader. */
  get ended(): Effect.Effect<ExitStatus> {
    return Deferred.await(this.exited)
  }

  /** How the leader ended; undefined while it runs. */
  endedAs(): ExitStatus | undefined {
    return this.status
  }

  hasEnded(): boolean {
    return this.status !== undefined
  }

  /** Every live process of it. */
  get members(): Effect.Effect<ReadonlyArray<Member>, TableUnreadable> {
    return Effect.suspend(() =>
      this.table.membersOf({
        leader: this.leader,
        mark: this.mark,
        leaderEndedAt: this.leaderEndedAt,
        ageMillis: Number(process.hrtime.bigint() - this.spawnedAt) / 1e6,
      }),
    ).pipe(Effect.map((found) => shown(found, this.redact)))
  }

  /**
   * While the leader is not reaped its pid, and so the group's id, cannot belong to anybody else; afterwards a proven
   * member has to vouch for it.
   */
  signalGroup(signal: Signal, found: ReadonlyArray<Member>): boolean {
    const isOurs = !this.hasEnded() || found.some((member) => member.inGroup && member.proven)
    return isOurs && kill(-this.leader.pid, signal, this.table.ownGroup) === "sent"
  }

  signalEscapees(signal: Signal, found: ReadonlyArray<Member>): ReadonlyArray<Member> {
    return killEscapees(this.table, signal, found)
  }

  /** Sends a signal to all of it; false when nothing proven to be ours was there. */
  signal(signal: Signal): Effect.Effect<boolean, TableUnreadable> {
    return Effect.suspend(() => {
      const early = !this.hasEnded() && this.signalGroup(signal, [])
      return Effect.map(this.members, (found) => {
        const group = early || this.signalGroup(signal, found)
        return this.signalEscapees(signal, found).length > 0 || group
      })
    })
  }

  /** See `Process.stop`. */
  stop(plan: StopPlan): Effect.Effect<StopReport> {
    // Between the claim and the fork there must be no way out: everybody else waits for that fiber.
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Clock.currentTimeNanos, (now) => {
        const deadline = plan.signal === "SIGKILL" ? now : Stopping.after(now, plan.grace)
        const stopping = new Stopping.Stopping(plan.signal, deadline)
        if (this.stopping !== undefined) return restore(this.join(stopping))
        if (!this.hasEnded()) return this.begin(stopping, restore)
        return Effect.flatMap(restore(Effect.option(this.members)), (found) => {
          if (this.stopping !== undefined) return restore(this.join(stopping))
          if (Option.isNone(found) || found.value.length > 0) return this.begin(stopping, restore)
          return this.nothingToStop(stopping, now)
        })
      }),
    )
  }

  /** Waits for the stop under way, which has no more time than this one would have had. */
  private join({ deadline }: Stopping.Stopping): Effect.Effect<StopReport> {
    this.stopping!.hasten(deadline)
    return Deferred.await(this.stopping!.done)
  }

  /** On a fiber of its own: a caller that is interrupted must not leave the group half stopped. */
  private begin(
    stopping: Stopping.Stopping,
    restore: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>,
  ): Effect.Effect<StopReport> {
    this.stopping = stopping
    return Stopping.run(this, stopping, this.leader.pid).pipe(
      Effect.tap(({ survivors }) => {
        // What survived may be tried again.
        if (survivors.length > 0) this.stopping = undefined
      }),
      Effect.intoDeferred(stopping.done),
      Effect.forkDaemon,
      Effect.andThen(restore(Deferred.await(stopping.done))),
    )
  }

  /** The way of most processes: they end by themselves and leave nothing to stop. */
  private nothingToStop(stopping: Stopping.Stopping, startedAt: bigint): Effect.Effect<StopReport> {
    this.stopping = stopping
    return Effect.map(Clock.currentTimeNanos, (now) => {
      const elapsedMillis = Number(now - startedAt) / 1e6
      const report = { sent: [], escalated: false, escapees: [], elapsedMillis, survivors: [] }
      const empty = new StopReport(report, true)
      Deferred.unsafeDone(stopping.done, Effect.succeed(empty))
      return empty
    })
  }
}
