/** What of a unit's definition decides its transitions, and how long its timers run. */
import * as Duration from "effect/Duration"
import * as Check from "../../probe/Check.js"
import type { Hooks } from "../Plan.js"
import type { Traits } from "../Transition.js"
import { isProbed, type UnitSpec } from "../UnitSpec.js"
import type { ArmedTimer } from "../UnitState.js"

/** What its heart has to know of a unit. */
export const of = (spec: UnitSpec, hooks: Hooks): Traits => ({
  kind: spec.kind,
  probed: spec.kind === "external" || isProbed(spec),
  // A oneshot may take as long as it takes, and so may a task until it says that it is ready.
  startLimited: spec.kind !== "oneshot" || spec.startTimeout !== undefined,
  waitLimited: spec.dependencyTimeout !== undefined,
  offersBusy: spec.busy !== undefined || hooks.isBusy !== undefined,
  restart: spec.restart,
})

/** A little more than the wait for the first sign of life, so that the two never meet. */
const margin = Duration.seconds(5)

/** The whole time that the probes of a start may need, one gate after the other. */
const startTimeout = ({ kind, minUptime, readiness, startTimeout, startup }: UnitSpec): Duration.Duration => {
  const configured = startTimeout ?? Check.defaultStartTimeout
  // It has to end, not to stay up.
  if (kind === "oneshot") return configured
  if (startup === undefined && readiness === undefined) {
    return Duration.max(configured, Duration.sum(minUptime, margin))
  }
  return [startup, readiness]
    .filter((check) => check !== undefined)
    .map((check) => Check.startTimeout(Duration.zero, check))
    .reduce((longest, one) => Duration.max(longest, one), configured)
}

/** How long a timer of a unit runs. */
export const durationOf = (spec: UnitSpec, timer: ArmedTimer): Duration.Duration => {
  switch (timer) {
    case "start":
      return startTimeout(spec)
    case "uptime":
      return spec.minUptime
    case "stable":
      return spec.restart.stableAfter
    case "dependency":
      return spec.dependencyTimeout ?? Duration.zero
    case "busyGrace":
      return spec.busyGrace
  }
}
