/**
 * Waits until a process is up: it is alive, its probe passes, and it is itself the one that listens at the place
 * which was probed.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as ExitStatus from "../process/ExitStatus.js"
import type { Process } from "../process/Process.js"
import * as Check from "./Check.js"
import { ForeignServer } from "./Occupied.js"
import * as Polling from "./Polling.js"
import { PortHolders } from "./PortHolder.js"
import { formatPeer, type Peer, ProbeFailure, type ProbeSuccess } from "./ProbeResult.js"
import type { AttachedProbe } from "./Prober.js"

const withTail = (tail: string): string =>
  tail.trim() === "" ? "It wrote nothing." : `Its last output:\n${tail.trimEnd()}`

/** The process ended before it was ready. */
export class ExitedEarly extends Schema.TaggedError<ExitedEarly>()("ExitedEarly", {
  pid: Schema.Int,
  command: Schema.String,
  status: ExitStatus.ExitStatus,
  /** The last output, as far as it is kept. */
  outputTail: Schema.String,
}) {
  override get message(): string {
    return `${this.command} (pid ${this.pid}) ended with ${ExitStatus.format(this.status)} before it was ready. ${withTail(this.outputTail)}`
  }
}

/** The process runs, and was not ready in time. It is left running: whoever started it stops it. */
export class StartTimedOut extends Schema.TaggedError<StartTimedOut>()("StartTimedOut", {
  pid: Schema.Int,
  command: Schema.String,
  timeoutMillis: Schema.Number,
  /** What the last check said. Absent when none had ended. */
  lastFailure: Schema.optional(Schema.Union(ProbeFailure, ForeignServer)),
  outputTail: Schema.String,
}) {
  override get message(): string {
    const within = Duration.format(Duration.millis(this.timeoutMillis))
    const last = this.lastFailure === undefined ? "No check had ended by then." : this.lastFailure.message
    return `${this.command} (pid ${this.pid}) was not ready within ${within}. ${last} ${withTail(this.outputTail)}`
  }
}

/** Options of {@link awaitReady}. */
export interface Options {
  /** For the whole wait. Default 30 s; never shorter than `Check.startTimeout` says. */
  readonly timeout?: Duration.Duration
  /** The pauses between checks. Default {@link Polling.ramp}. */
  readonly ramp?: (period: Duration.Duration) => Schedule.Schedule<unknown>
  /**
   * Whether the listener must be the process or one it started. Default true. Set it to false for a process that
   * lets somebody else listen on its behalf, such as `docker run`.
   */
  readonly verifyListener?: boolean
}

/** So many looks in a row must find another listener: a process may be starting the one that listens just now. */
const foreignLooks = 2

/** How long a report of an exit waits for the last output; a descendant may hold the pipe open. */
const outputGrace = Duration.millis(100)

/**
 * Waits until `process` is ready. The probe is asked on the ramp, or at once when a line of output has matched, until
 * it has passed `successThreshold` times in a row. Fails with
 *
 * - `ExitedEarly` as soon as the process ends;
 * - the `ProbeFailure` itself when it is not transient: waiting would not help;
 * - `ForeignServer` when a local listener answered that is none of the process's members, at two looks in a row.
 *   Where the system does not tell who listens, the pass counts;
 * - `StartTimedOut` with the last failure.
 */
export const awaitReady: (
  process: Process,
  probe: AttachedProbe,
  options?: Options,
) => Effect.Effect<ProbeSuccess, ExitedEarly | StartTimedOut | ForeignServer | ProbeFailure, PortHolders> =
  Effect.fn("Readiness.awaitReady")(function* (
    process: Process,
    probe: AttachedProbe,
    options: Options = {},
  ) {
    const holders = yield* PortHolders
    const { spec } = probe
    const timeout = Check.startTimeout(options.timeout, spec)
    const about = { pid: process.pid, command: process.command }
    let lastFailure: ProbeFailure | ForeignServer | undefined

    const exitedEarly = (status: ExitStatus.ExitStatus) =>
      Effect.flatMap(
        Effect.timeoutOption(process.output.ended, outputGrace),
        () => new ExitedEarly({ ...about, status, outputTail: process.redact(process.output.tail()) }),
      )

    /** Fails when the process has ended by now; a turn of the event loop lets an exit that has happened be known. */
    const stillAlive = Effect.suspend(() => {
      const status = process.exitNow()
      return status === undefined ? Effect.void : exitedEarly(status)
    })
    const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

    /** The first peer that is held by somebody else for certain. */
    const foreignAmong = (peers: ReadonlyArray<Peer>) =>
      Effect.gen(function* () {
        for (const peer of peers) {
          // A table of processes that cannot be read tells nothing.
          const members = yield* Effect.orElseSucceed(process.members, () => [])
          const pids = members.map(({ pid }) => pid)
          if ((yield* holders.isHeldBy(peer, pids)) !== false) continue
          const holder = yield* holders.find(peer)
          return new ForeignServer({
            subject: `A check of ${formatPeer(peer)}`,
            port: peer.port,
            answer: `passed, but not by ${process.command} (pid ${process.pid})`,
            healthy: true,
            ...(holder && { holder }),
          })
        }
        return undefined
      })

    const untilReady = Effect.gen(function* () {
      if (Duration.greaterThan(spec.initialDelay, Duration.zero)) yield* Effect.sleep(spec.initialDelay)
      const pauses = yield* Polling.start(
        (options.ramp ?? Polling.ramp)(spec.period),
        probe.wake,
        spec.period,
      )
      let passes = 0
      let foreign = 0
      for (;;) {
        const result = yield* Effect.either(probe.check)
        if (Either.isLeft(result)) {
          lastFailure = result.left
          passes = 0
          foreign = 0
          if (!result.left.transient) {
            yield* turn
            yield* stillAlive
            return yield* result.left
          }
        } else {
          const found = options.verifyListener === false ? undefined : yield* foreignAmong(result.right.peers)
          lastFailure = found ?? lastFailure
          foreign = found === undefined ? 0 : foreign + 1
          passes = found === undefined ? passes + 1 : 0
          if (found !== undefined && foreign >= foreignLooks) return yield* found
          if (passes >= spec.successThreshold) {
            yield* turn
            yield* stillAlive
            return result.right
          }
        }
        yield* pauses.next
      }
    })

    return yield* untilReady.pipe(
      Effect.raceFirst(Effect.flatMap(process.exit, exitedEarly)),
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () =>
          new StartTimedOut({
            ...about,
            timeoutMillis: Duration.toMillis(timeout),
            outputTail: process.redact(process.output.tail()),
            ...(lastFailure !== undefined && { lastFailure }),
          }),
      }),
    )
  })
