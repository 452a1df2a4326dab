/**
 * When to check: as a `Schedule`, so that a library user can pass another. Every schedule here goes by the monotonic
 * clock: a jump of the wall clock moves no check.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/** The pauses between checks before the first Ready; the last one repeats. */
const rampMillis = [100, 250, 500, 1_000] as const

/**
 * The pauses between checks before the first Ready: 100, 250, 500 and then 1000 ms, none of them longer than
 * `period`. The first check is made at once.
 */
export const ramp = (period: Duration.Duration): Schedule.Schedule<unknown> => {
  const [first, second, third, rest] = rampMillis.map((millis) =>
    Duration.min(Duration.millis(millis), period),
  )
  return Schedule.andThen(Schedule.fromDelays(first!, second!, third!), Schedule.spaced(rest!))
}

/** One check each `period`, counted from the end of the one before. */
export const every = (period: Duration.Duration): Schedule.Schedule<unknown> => Schedule.spaced(period)

/** The pauses of a poller, one after the other. */
export interface Pauses {
  /** Waits for the time of the next check, or until `wake`. A schedule that is done goes on with `fallback`. */
  readonly next: Effect.Effect<void>
}

/** Steps through a schedule. */
export const start = (
  schedule: Schedule.Schedule<unknown>,
  wake: Effect.Effect<void>,
  fallback: Duration.Duration,
): Effect.Effect<Pauses> =>
  Effect.map(Schedule.driver(schedule), (driver) => ({
    next: Effect.raceFirst(
      Effect.flatMap(Effect.option(driver.next(undefined)), (step) =>
        Option.isSome(step) ? Effect.void : Effect.sleep(fallback),
      ),
      wake,
    ),
  }))
