/**
 * When what has ended starts again, and after which delay. Policies and strategies mean what they mean in OTP:
 * `always` is permanent, `on-failure` transient, `never` temporary.
 *
 * The delays are an Effect `Schedule` whose input is the crash, so that a library user can pass another. A schedule
 * that is done means that there are no more restarts.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { SignalName } from "../process/Signal.js"
import { TimeSpan } from "../process/TimeSpan.js"
import type { End } from "./UnitState.js"

const message = (allowed: string) => ({ message: () => ({ message: `expected ${allowed}`, override: true }) })

/** When to start again: after failures, after every end, or not at all. */
export const Policy = Schema.Literal("on-failure", "always", "never").annotations(
  message("on-failure, always or never"),
)
export type Policy = typeof Policy.Type

/** Exit codes and signals. */
const Ends = Schema.Array(
  Schema.Union(Schema.Int.pipe(Schema.between(0, 255)), SignalName).annotations(
    message("an exit code from 0 to 255, or the name of a signal"),
  ),
)

/** How long to wait before a restart; the first one comes at once. */
export const Backoff = Schema.Struct({
  /** Before the second restart. Default 100 ms. */
  initial: Schema.optionalWith(TimeSpan, { default: () => Duration.millis(100) }),
  /** What each delay is multiplied by for the next one. Default 2. */
  factor: Schema.optionalWith(
    Schema.Number.pipe(Schema.between(1, 100)).annotations(message("a number from 1 to 100")),
    {
      default: () => 2,
    },
  ),
  /** No delay is longer. Default 30 s. */
  max: Schema.optionalWith(TimeSpan, { default: () => Duration.seconds(30) }),
  /** Whether each delay is drawn from 0 up to what it would be, so that many do not come back at once. Default true. */
  jitter: Schema.optionalWith(Schema.Boolean, { default: () => true }),
})
export type Backoff = typeof Backoff.Type

const defaultBackoff = (): Backoff => ({
  initial: Duration.millis(100),
  factor: 2,
  max: Duration.seconds(30),
  jitter: true,
})

const Whole = Schema.Struct({
  /** Default `on-failure`. */
  policy: Schema.optionalWith(Policy, { default: () => "on-failure" as const }),
  /** Failures since the last stable period, beyond which it is given up. Default 10. */
  maxFailures: Schema.optionalWith(
    Schema.Int.pipe(Schema.between(0, 1_000_000)).annotations(message("a whole number from 0 to 1000000")),
    { default: () => 10 },
  ),
  /** Ready for so long, and earlier failures are forgotten. Default 10 s. */
  stableAfter: Schema.optionalWith(TimeSpan, { default: () => Duration.seconds(10) }),
  backoff: Schema.optionalWith(Backoff, { default: defaultBackoff }),
  /** Ends that count as success, beside exit code 0. */
  success: Schema.optionalWith(Ends, { default: () => [] }),
  /** Ends after which a restart is of no use. */
  permanent: Schema.optionalWith(Ends, { default: () => [] }),
})

/** The policy of a unit: a name alone, or with its limits. */
export const RestartPolicy = Schema.transform(
  Schema.Union(Policy, Whole).annotations({
    title: "on-failure, always, never, or { policy, maxFailures, ... }",
  }),
  Schema.typeSchema(Whole),
  {
    strict: true,
    decode: (given) =>
      typeof given === "string" ? { ...Schema.decodeSync(Whole)({}), policy: given } : given,
    encode: (policy) => policy,
  },
)
export type RestartPolicy = typeof RestartPolicy.Type

/** What a restart schedule is told of each crash. */
export interface Crash {
  readonly end: End
  /** How long the instance was up. */
  readonly uptime: Duration.Duration
  /** Failures since the last stable period, this one included. */
  readonly failures: number
}

/** Delays before restarts. */
export type RestartSchedule = Schedule.Schedule<unknown, Crash>

/**
 * The delays of a policy: none before the first restart, then `initial` times `factor` again and again, at most `max`,
 * with full jitter. It goes by the number of failures, so that it needs no resetting.
 */
export const schedule = ({ factor, initial, jitter, max }: Backoff): RestartSchedule =>
  Schedule.identity<Crash>().pipe(
    Schedule.addDelayEffect(({ failures }) => {
      if (failures <= 1) return Effect.succeed(Duration.zero)
      const full = Math.min(Duration.toMillis(initial) * factor ** (failures - 2), Duration.toMillis(max))
      return jitter
        ? Effect.map(Random.next, (part) => Duration.millis(part * full))
        : Effect.succeed(Duration.millis(full))
    }),
  )

/** What an end means to a policy. */
export type EndClass = "success" | "retryable" | "permanent"

/** The class of an end: by the policy's lists, else success is exit code 0 and everything else may be retried. */
export const classify = (
  { permanent, success }: Pick<RestartPolicy, "permanent" | "success">,
  end: End,
): EndClass => {
  switch (end._tag) {
    case "Exited":
      if (permanent.includes(end.code)) return "permanent"
      return end.code === 0 || success.includes(end.code) ? "success" : "retryable"
    case "Signaled":
      if ((permanent as ReadonlyArray<unknown>).includes(end.signal)) return "permanent"
      return (success as ReadonlyArray<unknown>).includes(end.signal) ? "success" : "retryable"
    case "Succeeded":
      return "success"
    case "Died":
      return "retryable"
  }
}
