/**
 * Signals to a spawned process and everything that descends from it, and the way to an empty group. Nothing is
 * signalled that has not been shown to be ours.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type { ExitStatus } from "./ExitStatus.js"
import { GroupLeak, StopReport } from "./Process.js"
import type { ProcessIdentity } from "./ProcessIdentity.js"
import type { Member, ProcessTable, TableUnreadable } from "./ProcessTable.js"
import type { Signal } from "./Signal.js"

/** How long a killed process may take to disappear before it is reported as a leak. */
const killPatience = Duration.seconds(5)

/** Between two looks at a group whose leader is gone: quick at first, as most of them empty at once. */
const firstPause = 1
const longestPause = 50

/** How one stop is to go. */
export interface StopPlan {
  readonly signal: Signal
  readonly grace: Duration.Duration
}

/** The group of one spawn. */
export interface ProcessGroup {
  readonly leader: ProcessIdentity
  /** Waits for the end of the leader. */
  readonly exit: Effect.Effect<ExitStatus>
  /** How the leader ended; undefined while it runs. */
  readonly exitNow: () => ExitStatus | undefined
  /** To be called once, when the leader has been reaped. */
  readonly leaderEnded: (status: ExitStatus) => void
  /** Every live process of it. */
  readonly members: Effect.Effect<ReadonlyArray<Member>, TableUnreadable>
  /** Sends a signal to the group; false when nothing proven to be ours was there. */
  readonly signal: (signal: Signal) => Effect.Effect<boolean, TableUnreadable>
  /** See `Process.stop`. */
  readonly stop: (plan: StopPlan) => Effect.Effect<StopReport>
}

type Sent = "sent" | "gone" | "refused"

/** kill(2), never with a pid that means "everything" or "my own group". */
const kill = (target: number, signal: Signal | 0, ownGroup: number): Sent => {
  const id = Math.abs(target)
  if (!Number.isInteger(target) || id <= 1 || id === process.pid || id === ownGroup) return "refused"
  try {
    process.kill(target, signal)
    return "sent"
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "ESRCH" ? "gone" : "refused"
  }
}

/** One stop under way. */
interface Stopping {
  readonly signal: Signal
  /** When the grace is over, by the monotonic clock. */
  readonly deadline: () => bigint
  /** Completed when the deadline moved forward. */
  readonly hurried: Deferred.Deferred<void>
  readonly hasten: (deadline: bigint) => void
  readonly done: Deferred.Deferred<StopReport>
}

const makeStopping = (signal: Signal, first: bigint): Stopping => {
  let deadline = first
  let hurried = Deferred.unsafeMake<void>(FiberId.none)
  return {
    signal,
    deadline: () => deadline,
    get hurried() {
      return hurried
    },
    hasten: (earlier) => {
      if (earlier >= deadline) return
      deadline = earlier
      const waiting = hurried
      hurried = Deferred.unsafeMake<void>(FiberId.none)
      Deferred.unsafeDone(waiting, Effect.void)
    },
    done: Deferred.unsafeMake<StopReport>(FiberId.none),
  }
}

const keyOf = (member: Member): string => `${member.pid} ${member.startTime}`

/** Nothing was left. */
const none: Option.Option<ReadonlyArray<Member>> = Option.some([])

/** The group led by a process that has just been spawned. */
export const make = (
  leader: ProcessIdentity,
  mark: string,
  table: Context.Tag.Service<ProcessTable>,
  spawnedAt: bigint,
): ProcessGroup => {
  const exited = Deferred.unsafeMake<ExitStatus>(FiberId.none)
  let status: ExitStatus | undefined
  let leaderEndedAt: string | undefined
  let stopping: Stopping | undefined

  const sendToGroup = (signal: Signal | 0): Sent => kill(-leader.pid, signal, table.ownGroup)

  const members = Effect.flatMap(Clock.currentTimeNanos, (now) =>
    table.membersOf({ leader, mark, leaderEndedAt, ageMillis: Number(now - spawnedAt) / 1e6 }),
  )

  /**
   * While the leader is not reaped its pid, and so the group's id, cannot belong to anybody else; afterwards a
   * proven member has to vouch for it.
   */
  const groupIsOurs = (found: ReadonlyArray<Member>): boolean =>
    status === undefined || found.some((member) => member.inGroup && member.proven)

  const signalGroup = (signal: Signal, found: ReadonlyArray<Member>): boolean =>
    groupIsOurs(found) && sendToGroup(signal) === "sent"

  /** Signals those outside the group; answers whom it reached. */
  const signalEscapees = (signal: Signal, found: ReadonlyArray<Member>): ReadonlyArray<Member> =>
    found.filter(
      (member) => !member.inGroup && member.proven && kill(member.pid, signal, table.ownGroup) === "sent",
    )

  const stopOnce = (stop: Stopping) =>
    Effect.gen(function* () {
      const startedAt = yield* Clock.currentTimeNanos
      const sent: Array<Signal> = []
      const escapees = new Map<string, number>()

      /** Whoever is told to stop must be awake to do so; hence CONT. */
      const strike = (signal: Signal, found: ReadonlyArray<Member>, group: boolean): boolean => {
        const strays = signalEscapees(signal, found)
        const reached = (group && signalGroup(signal, found)) || strays.length > 0
        if (reached && sent.at(-1) !== signal) sent.push(signal)
        for (const stray of strays) escapees.set(keyOf(stray), stray.pid)
        if (signal === "SIGKILL") return reached
        if (group) signalGroup("SIGCONT", found)
        signalEscapees("SIGCONT", found)
        return reached
      }

      /** Pauses until something may have changed: the leader's end, a little time, or a stop in more of a hurry. */
      const pause = (millis: number, until: bigint) =>
        Effect.flatMap(Clock.currentTimeNanos, (now) => {
          const left = Math.max(0, Number(until - now) / 1e6)
          const event = status === undefined ? Effect.asVoid(Deferred.await(exited)) : Effect.sleep(millis)
          return Effect.timeoutOption(
            Effect.interruptible(Effect.raceFirst(event, Deferred.await(stop.hurried))),
            Duration.millis(left),
          )
        })

      /** Waits for an empty group until `deadline`; answers what was left at the last look. */
      const settle = (signal: Signal, deadline: () => bigint) =>
        Effect.gen(function* () {
          // Before the first look: no descriptor, and so no luck, is needed for it.
          let groupTold = status === undefined && strike(signal, [], true)
          const told = new Set<string>()
          let millis = firstPause
          while (true) {
            const found = yield* Effect.option(members)
            if (Option.isSome(found)) {
              const all = found.value
              if (status !== undefined && all.length === 0) return none
              if (signal === "SIGKILL") {
                // Again and again: what forks faster than we look must not get away.
                strike(signal, all, true)
              } else {
                // Once each. A second TERM makes many programs drop what they are about to save, and what a
                // process starts in order to clean up must not be ended by the signal that made it clean up.
                const news = all.filter((member) => member.inGroup || !told.has(keyOf(member)))
                strike(signal, news, !groupTold)
                groupTold = true
                for (const member of all) told.add(keyOf(member))
              }
            }
            if ((yield* Clock.currentTimeNanos) >= deadline()) return found
            yield* pause(millis, deadline())
            if (status !== undefined) millis = Math.min(millis * 2, longestPause)
          }
        })

      const isGentle = (): boolean => stop.deadline() > startedAt && stop.signal !== "SIGKILL"
      let left: Option.Option<ReadonlyArray<Member>> = Option.none()
      const gentle = isGentle()
      if (gentle) left = yield* settle(stop.signal, stop.deadline)
      const escalated = gentle && left !== none
      if (!gentle || escalated) {
        const patience = (yield* Clock.currentTimeNanos) + Duration.unsafeToNanos(killPatience)
        left = yield* settle("SIGKILL", () => patience)
      }
      const endedAt = yield* Clock.currentTimeNanos
      const survivors = Option.getOrElse(left, () => [
        { pid: leader.pid, command: "(the process table is unreadable)" },
      ])
      return new StopReport({
        sent,
        escalated,
        escapees: [...escapees.values()],
        elapsedMillis: Number(endedAt - startedAt) / 1e6,
        survivors: survivors.map(({ command, pid }) => new GroupLeak({ pid, command })),
      })
    })

  const stop = (plan: StopPlan): Effect.Effect<StopReport> =>
    Effect.flatMap(Clock.currentTimeNanos, (now) => {
      const deadline = plan.signal === "SIGKILL" ? now : now + Duration.unsafeToNanos(plan.grace)
      if (stopping !== undefined) {
        stopping.hasten(deadline)
        return Deferred.await(stopping.done)
      }
      return status === undefined ? begin(plan.signal, deadline) : endIfEmpty(plan.signal, deadline, now)
    })

  /** On a fiber of its own: a caller that is interrupted must not leave the group half stopped. */
  const begin = (signal: Signal, deadline: bigint): Effect.Effect<StopReport> => {
    const own = (stopping = makeStopping(signal, deadline))
    return stopOnce(own).pipe(
      Effect.tap((report) => {
        // What survived may be tried again.
        if (report.survivors.length > 0) stopping = undefined
      }),
      Effect.intoDeferred(own.done),
      Effect.forkDaemon,
      Effect.andThen(Deferred.await(own.done)),
    )
  }

  /** The way of most processes: they end by themselves and leave nothing to stop. */
  const endIfEmpty = (signal: Signal, deadline: bigint, startedAt: bigint): Effect.Effect<StopReport> =>
    Effect.flatMap(Effect.option(members), (found) => {
      if (stopping !== undefined) return Deferred.await(stopping.done)
      if (Option.isNone(found) || found.value.length > 0) return begin(signal, deadline)
      return Effect.map(Clock.currentTimeNanos, (now) => {
        const report = new StopReport(
          {
            sent: [],
            escalated: false,
            escapees: [],
            elapsedMillis: Number(now - startedAt) / 1e6,
            survivors: [],
          },
          true,
        )
        stopping = makeStopping(signal, deadline)
        Deferred.unsafeDone(stopping.done, Effect.succeed(report))
        return report
      })
    })

  return {
    leader,
    exit: Deferred.await(exited),
    exitNow: () => status,
    leaderEnded: (ended) => {
      leaderEndedAt = table.now()
      status = ended
      Deferred.unsafeDone(exited, Effect.succeed(ended))
    },
    members,
    signal: (signal) =>
      Effect.suspend(() => {
        const early = status === undefined && signalGroup(signal, [])
        return members.pipe(
          Effect.map((found) => {
            const group = early || signalGroup(signal, found)
            return signalEscapees(signal, found).length > 0 || group
          }),
        )
      }),
    stop,
  }
}
