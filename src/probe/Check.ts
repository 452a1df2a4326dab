/** A probe and how often it is asked: what a unit's `startup`, `readiness` and `liveness` are. Defaults as in Kubernetes. */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as InvalidSpec from "../process/InvalidSpec.js"
import { TimeSpan } from "../process/TimeSpan.js"
import * as ProbeSpec from "./ProbeSpec.js"

const Positive = TimeSpan.pipe(
  Schema.filter((span) => Duration.toMillis(span) >= 1, { message: () => "expected at least 1ms" }),
)
const Count = Schema.Int.pipe(Schema.greaterThanOrEqualTo(1)).annotations({
  message: () => ({ message: "expected a whole number of at least 1", override: true }),
})

/** One probe with its times and thresholds. The probe's kind stands beside them: `{ tcp: {}, period: "5s" }`. */
export const Check = Schema.Struct({
  ...ProbeSpec.kindFields,
  /** From the end of one check to the start of the next. Default 10 s. */
  period: Schema.optionalWith(Positive, { default: () => Duration.seconds(10) }),
  /** The deadline of one check, everything included. Default 1 s. */
  timeout: Schema.optionalWith(Positive, { default: () => Duration.seconds(1) }),
  /** Passes in a row until it counts as passing. Default 1. */
  successThreshold: Schema.optionalWith(Count, { default: () => 1 }),
  /** Failures in a row until it counts as failing. Default 3. */
  failureThreshold: Schema.optionalWith(Count, { default: () => 3 }),
  /** From the start of the instance to the first check. Default 0. */
  initialDelay: Schema.optionalWith(TimeSpan, { default: () => Duration.zero }),
}).pipe(Schema.filter(ProbeSpec.exactlyOne), Schema.annotations({ identifier: "Check" }))
export type Check = typeof Check.Type

/** What a caller writes. A decoded check can be written again. */
export type Input = typeof Check.Encoded

/** Decodes a check, or fails with `InvalidSpec` naming each bad field and what is allowed. Unknown fields are refused. */
export const make = InvalidSpec.decoder("probe spec", Check)

/** The default of a start timeout: 30 s. */
export const defaultStartTimeout = Duration.seconds(30)

/**
 * How long a start may take: the larger of what is configured (default 30 s) and
 * `initialDelay + failureThreshold x (period + timeout) + 5 s`, so that a slow check is never cut short by it.
 */
export const startTimeout = (
  configured: Duration.Duration | undefined,
  use: Pick<Check, "initialDelay" | "failureThreshold" | "period" | "timeout">,
): Duration.Duration =>
  Duration.max(
    configured ?? defaultStartTimeout,
    Duration.sum(
      Duration.sum(
        use.initialDelay,
        Duration.times(Duration.sum(use.period, use.timeout), use.failureThreshold),
      ),
      Duration.seconds(5),
    ),
  )
