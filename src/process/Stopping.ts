/** The way to an empty group: a signal, a grace period, KILL; and looking again until nothing is left. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { GroupLeak, StopReport } from "./Process.js"
import type { Member, TableUnreadable } from "./ProcessTable.js"
import type { Signal } from "./Signal.js"

/** How long a killed process may take to disappear before it is reported as a leak. */
const killPatience = Duration.seconds(5)

/** Between two looks at a group whose leader is gone: quick at first, as most of them empty at once. */
const firstPauseMillis = 1
const longestPauseMillis = 50

/** What is to be stopped. Neither of the two signals anything that has not been shown to be ours. */
export interface Target {
  /** Whether the leader has been reaped. */
  readonly hasEnded: () => boolean
  /** Waits for that. */
  readonly ended: Effect.Effect<unknown>
  readonly members: Effect.Effect<ReadonlyArray<Member>, TableUnreadable>
  /** Signals the group at once; false when it was not reached. */
  readonly signalGroup: (signal: Signal, found: ReadonlyArray<Member>) => boolean
  /** Signals those outside the group one by one; answers whom it reached. */
  readonly signalEscapees: (signal: Signal, found: ReadonlyArray<Member>) => ReadonlyArray<Member>
}

/** No deadline: some three hundred years. */
const never = 10n ** 19n

/** The time `duration` after `start`, by the monotonic clock. */
export const after = (start: bigint, duration: Duration.Duration): bigint =>
  Duration.isFinite(duration) ? start + Duration.unsafeToNanos(duration) : start + never

/** One stop, which any number of callers wait for. */
export class Stopping {
  /** Completed with the report, once. */
  readonly done = Deferred.unsafeMake<StopReport>(FiberId.none)
  /** Completed when the deadline has moved forward. */
  hurried = Deferred.unsafeMake<void>(FiberId.none)

  constructor(
    readonly signal: Signal,
    /** When the grace is over, by the monotonic clock. */
    public deadline: bigint,
  ) {}

  /** Moves the deadline forward; a later one changes nothing. */
  hasten(deadline: bigint): void {
    if (deadline >= this.deadline) return
    this.deadline = deadline
    const { hurried } = this
    this.hurried = Deferred.unsafeMake<void>(FiberId.none)
    Deferred.unsafeDone(hurried, Effect.void)
  }
}

/** One that leaves the group after the group was told is told by itself. */
const keyOf = ({ inGroup, pid, startTime }: Member): string => `${pid} ${startTime} ${inGroup}`

/** Nothing was left. */
const nothing: Option.Option<ReadonlyArray<Member>> = Option.some([])

/** What was sent, and to whom outside the group. */
class Strikes {
  readonly sent: Array<Signal> = []
  readonly escapees = new Map<string, number>()

  constructor(private readonly target: Target) {}

  /**
   * Signals what was found; with CONT after it, as only those who are awake can do what they are told. What was tried
   * counts as sent, though the system may have refused it.
   */
  strike(signal: Signal, found: ReadonlyArray<Member>, alsoGroup: boolean): void {
    const strays = this.target.signalEscapees(signal, found)
    const reached = alsoGroup && this.target.signalGroup(signal, found)
    const tried = found.some((member) => alsoGroup || !member.inGroup)
    if ((reached || tried) && this.sent.at(-1) !== signal) this.sent.push(signal)
    for (const stray of strays) this.escapees.set(keyOf(stray), stray.pid)
    if (signal !== "SIGKILL") {
      if (alsoGroup) this.target.signalGroup("SIGCONT", found)
      this.target.signalEscapees("SIGCONT", found)
    }
  }
}

/** Pauses until something may have changed: the leader's end, a little time, or a stop in more of a hurry. */
const pause = (target: Target, stopping: Stopping, millis: number, until: bigint) =>
  Effect.flatMap(Clock.currentTimeNanos, (now) => {
    const event = target.hasEnded() ? Effect.sleep(millis) : target.ended
    // A release runs uninterruptibly, where a timeout without `interruptible` would wait for ever.
    return Effect.timeoutOption(
      Effect.interruptible(Effect.raceFirst(event, Deferred.await(stopping.hurried))),
      Duration.millis(Math.max(0, Number(until - now) / 1e6)),
    )
  })

/** Waits for an empty group until `deadline`; answers what was left at the last look. */
const settle = Effect.fnUntraced(function* (
  target: Target,
  stopping: Stopping,
  strikes: Strikes,
  signal: Signal,
  deadline: () => bigint,
) {
  // Before the first look: a signal needs no file descriptor, a look does.
  let groupTold = !target.hasEnded()
  if (groupTold) strikes.strike(signal, [], true)
  const told = new Set<string>()
  let millis = firstPauseMillis
  while (true) {
    const found = yield* Effect.option(target.members)
    if (Option.isSome(found)) {
      const members = found.value
      if (target.hasEnded() && members.length === 0) return nothing
      if (signal === "SIGKILL") {
        // Again and again, and quickly while new ones come: what forks faster than we look must not get away.
        if (members.some((member) => !told.has(keyOf(member)))) millis = firstPauseMillis
        strikes.strike(signal, members, true)
      } else {
        // Once each. A second TERM makes many programs drop what they are about to save, and what a process
        // starts in order to clean up must not be ended by the signal that made it clean up.
        const news = members.filter((member) => member.inGroup || !told.has(keyOf(member)))
        strikes.strike(signal, news, !groupTold)
        groupTold = true
      }
      for (const member of members) told.add(keyOf(member))
    }
    if ((yield* Clock.currentTimeNanos) >= deadline()) return found
    yield* pause(target, stopping, millis, deadline())
    if (target.hasEnded()) millis = Math.min(millis * 2, longestPauseMillis)
  }
})

/** Carries out a stop. With no grace, or with KILL as the signal, KILL is sent at once. */
export const run = Effect.fnUntraced(function* (target: Target, stopping: Stopping, leaderPid: number) {
  const startedAt = yield* Clock.currentTimeNanos
  const strikes = new Strikes(target)
  const isGentle = stopping.signal !== "SIGKILL" && stopping.deadline > startedAt
  let left: Option.Option<ReadonlyArray<Member>> = Option.none()
  if (isGentle) left = yield* settle(target, stopping, strikes, stopping.signal, () => stopping.deadline)
  if (left !== nothing) {
    const patience = after(yield* Clock.currentTimeNanos, killPatience)
    left = yield* settle(target, stopping, strikes, "SIGKILL", () => patience)
  }
  const endedAt = yield* Clock.currentTimeNanos
  const survivors = Option.getOrElse(left, () => [
    { pid: leaderPid, command: "(the table of processes cannot be read)" },
  ])
  return new StopReport({
    sent: strikes.sent,
    escalated: isGentle && strikes.sent.at(-1) === "SIGKILL",
    escapees: [...strikes.escapees.values()],
    elapsedMillis: Number(endedAt - startedAt) / 1e6,
    survivors: survivors.map(({ command, pid }) => new GroupLeak({ pid, command })),
  })
})
