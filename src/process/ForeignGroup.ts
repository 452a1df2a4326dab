/**
 * A process group whose leader somebody else reaps: a job's, which its keeper started. Its end is known only when it
 * is told, so that before every signal the leader or a member has to be shown to be ours.
 */
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { kill, killEscapees, shown } from "./Kill.js"
import type { Redact } from "./Mask.js"
import type { StopReport } from "./Process.js"
import type { ProcessIdentity } from "./ProcessIdentity.js"
import type { Member, ProcessTable, TableUnreadable } from "./ProcessTable.js"
import type { Signal } from "./Signal.js"
import * as Stopping from "./Stopping.js"

/** A group of this boot, as far as it is known. */
export class ForeignGroup implements Stopping.Target {
  private readonly exited = Deferred.unsafeMake<void>(FiberId.none)
  private stopping: Stopping.Stopping | undefined

  constructor(
    readonly leader: ProcessIdentity,
    /** What its descendants carry in `HOLDFAST_LINEAGE`. */
    private readonly mark: string,
    private readonly table: Context.Tag.Service<ProcessTable>,
    private readonly redact: Redact,
    /** When the leader ended, as `ProcessTable.timeAt` gives it; undefined while it is not known to have. */
    private leaderEndedAt?: string,
  ) {
    if (leaderEndedAt !== undefined) Deferred.unsafeDone(this.exited, Effect.void)
  }

  /** To be told when the leader has ended; the first time counts. */
  leaderEnded(at: string): void {
    this.leaderEndedAt ??= at
    Deferred.unsafeDone(this.exited, Effect.void)
  }

  hasEnded(): boolean {
    return this.leaderEndedAt !== undefined
  }

  get ended(): Effect.Effect<void> {
    return Deferred.await(this.exited)
  }

  /** Every live process of it. */
  get members(): Effect.Effect<ReadonlyArray<Member>, TableUnreadable> {
    return Effect.suspend(() =>
      this.table.membersOf({
        leader: this.leader,
        mark: this.mark,
        leaderEndedAt: this.leaderEndedAt,
        ageMillis: Number.POSITIVE_INFINITY,
      }),
    ).pipe(Effect.map((found) => shown(found, this.redact)))
  }

  signalGroup(signal: Signal, found: ReadonlyArray<Member>): boolean {
    const { ownGroup } = this.table
    const leads = !this.hasEnded() && this.table.isStill(this.leader)
    if (!leads && !found.some((member) => member.inGroup && member.proven)) return false
    const sent = kill(-this.leader.pid, signal, ownGroup)
    // Between its fork and its setsid it has no group yet.
    if (sent === "gone" && leads) return kill(this.leader.pid, signal, ownGroup) === "sent"
    return sent === "sent"
  }

  signalEscapees(signal: Signal, found: ReadonlyArray<Member>): ReadonlyArray<Member> {
    return killEscapees(this.table, signal, found)
  }

  /** Sends a signal to all of it; false when nothing proven to be ours was there. */
  signal(signal: Signal): Effect.Effect<boolean, TableUnreadable> {
    return Effect.suspend(() => {
      const early = this.signalGroup(signal, [])
      return Effect.map(this.members, (found) => {
        const group = early || this.signalGroup(signal, found)
        return this.signalEscapees(signal, found).length > 0 || group
      })
    })
  }

  /**
   * The signal, and KILL after the grace; done when nothing is left. One stop at a time: a later one waits for the one
   * under way, and hastens it when it has less time. It goes on when its callers are interrupted, and is given up when
   * the scope closes.
   */
  stop(signal: Signal, grace: Duration.Duration, scope: Scope.Scope): Effect.Effect<StopReport> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Clock.currentTimeNanos, (now) => {
        const deadline = signal === "SIGKILL" ? now : Stopping.after(now, grace)
        if (this.stopping !== undefined) {
          this.stopping.hasten(deadline)
          return restore(Deferred.await(this.stopping.done))
        }
        const stopping = new Stopping.Stopping(signal, deadline)
        this.stopping = stopping
        return Stopping.run(this, stopping, this.leader.pid).pipe(
          Effect.interruptible,
          Effect.ensuring(
            Effect.sync(() => {
              // What survived, or comes later, may be stopped again.
              this.stopping = undefined
            }),
          ),
          Effect.intoDeferred(stopping.done),
          Effect.forkIn(scope),
          Effect.andThen(restore(Deferred.await(stopping.done))),
        )
      }),
    )
  }
}
