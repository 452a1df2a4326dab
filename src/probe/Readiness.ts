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
import * as Listener from "./Listener.js"
import { ForeignServer } from "./Occupied.js"
import * as Polling from "./Polling.js"
import type { PortHolders } from "./PortHolder.js"
import { ProbeFailure, type ProbeSuccess } from "./ProbeResult.js"
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
 * - the `ProbeFailure` itself when it is not transient, and nobody else's answer: waiting would not help;
 * - `ForeignServer` when a local listener answered, well or not, that is none of the process's members, at two looks
 *   in a row. Where the system does not tell who listens, the answer counts;
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

    const foreignAmong = (result: Either.Either<ProbeSuccess, ProbeFailure>) =>
      Listener.foreignAmong(
        process,
        Either.isRight(result)
          ? { peers: result.right.peers, healthy: true }
          : {
              peers: result.left.contact === "answered" ? result.left.peers.slice(0, 1) : [],
              healthy: false,
            },
      )

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
        const found = options.verifyListener === false ? undefined : yield* foreignAmong(result)
        foreign = found === undefined ? 0 : foreign + 1
        passes = found === undefined && Either.isRight(result) ? passes + 1 : 0
        lastFailure = found ?? (Either.isLeft(result) ? result.left : lastFailure)
        const over =
          found !== undefined
            ? foreign >= foreignLooks
            : Either.isLeft(result)
              ? !result.left.transient
              : passes >= spec.successThreshold
        if (over) {
          yield* turn
          yield* stillAlive
          return yield* found ?? result
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
