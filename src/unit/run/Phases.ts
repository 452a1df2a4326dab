/** A unit's phase in words: for statuses, logs and errors. Pure. */
import { describe } from "../UnitFailure.js"
import { type End, type Failure, formatEnd, type UnitState } from "../UnitState.js"
import type { EndStatus, StateName } from "../UnitStatus.js"

/** The word for a phase. */
export const nameOf = ({ phase }: Pick<UnitState, "phase">): StateName =>
  phase._tag.toLowerCase() as StateName

/** The word for what went wrong: where it could not be started, that of the error. */
export const kindOf = (failure: Failure): string =>
  failure._tag === "StartFailed" ? failure.error.kind : failure._tag

/** An end as it is shown. */
export const endStatus = (end: End): EndStatus => {
  switch (end._tag) {
    case "Exited":
      return { code: end.code }
    case "Signaled":
      return { signal: end.signal }
    case "Succeeded":
      return { result: "success" }
    case "Died":
      return { result: end.message }
  }
}

const stopping = {
  stop: "It is being stopped.",
  shutdown: "The supervisor is closing.",
  restart: "It is being restarted.",
  dependency: "Something that it needs is down.",
  group: "Another unit of its group has crashed.",
  exit: "It has ended; what it has started is being stopped.",
  "start-timeout": "",
  unhealthy: "",
  mismatch: "",
} as const

/** Why it is not simply up; undefined where there is nothing to say. */
export const reasonOf = (state: UnitState): string | undefined => {
  const { adopted, desired, failure, phase } = state
  switch (phase._tag) {
    case "Inactive":
      return desired === "down" ? "It was stopped." : undefined
    case "Blocked":
      return phase.reasons.join(" ")
    case "Starting":
      return phase.last
    case "Ready":
      return adopted ? "It is somebody else's server." : undefined
    case "Degraded": {
      if (phase.busy) return `It is to be restarted, and is busy. ${phase.last}`
      const failures = Math.max(0, ...Object.values(phase.failing))
      // A target has no checks of its own.
      return failures <= 1 ? phase.last : `${failures} checks in a row failed. ${phase.last}`
    }
    case "Stopping":
      return stopping[phase.cause] === "" && failure !== undefined ? describe(failure) : stopping[phase.cause]
    case "Backoff":
      return failure === undefined ? undefined : describe(failure)
    case "Exited":
      return `It has ended with ${formatEnd(phase.end)}.`
    case "Failed":
      return describe(phase.failure)
  }
}
