/** What went wrong with a unit, in words and for programs. */
import * as UnitState from "./UnitState.js"

/** What went wrong, as a sentence about "it". */
export const describe = (failure: UnitState.Failure): string => {
  switch (failure._tag) {
    case "EarlyExit":
      return failure.isOneshot
        ? `It ended without success, with ${UnitState.formatEnd(failure.end)}.`
        : `It ended with ${UnitState.formatEnd(failure.end)} before it was ready.`
    case "Crashed":
      return `It ended with ${UnitState.formatEnd(failure.end)}.`
    case "PermanentExit":
      return `It ended with ${UnitState.formatEnd(failure.end)}, after which a restart is of no use.`
    case "StartTimeout":
      return `It was not ready in time. ${failure.last ?? "No check had ended by then."}`
    case "Unhealthy":
      return `Its ${failure.use} probe failed ${failure.failures} times in a row. ${failure.last}`
    case "Mismatch":
      return failure.last
    case "StartFailed":
      return failure.error.message
    case "DependencyFailed":
      return `It needs ${failure.name}: ${failure.why}`
    case "DependencyTimeout":
      return `What it needs did not come up in time. ${failure.reasons.join(" ")}`
    case "ExternalUnavailable":
      return `The server does not answer well: ${failure.failures} checks in a row failed. ${failure.last}`
    case "RestartsExhausted":
      return `It was given up after ${failure.failures} failures in a row. The last one: ${describe(failure.last)}`
    case "StopTimeout":
      return `Processes of it survived KILL: ${failure.survivors.join(", ")}.`
  }
}
