/** Where a unit is: plain data, made by `Transition` alone. */
import type { Verdict } from "./Verdict.js"

/** How an instance ended: as a process does, or as an Effect does. */
export type End =
  | { readonly _tag: "Exited"; readonly code: number }
  | { readonly _tag: "Signaled"; readonly signal: string }
  | { readonly _tag: "Succeeded" }
  | { readonly _tag: "Died"; readonly message: string }

/** `exit code 1`, `signal SIGKILL`. */
export const formatEnd = (end: End): string => {
  switch (end._tag) {
    case "Exited":
      return `exit code ${end.code}`
    case "Signaled":
      return `signal ${end.signal}`
    case "Succeeded":
      return "success"
    case "Died":
      return `a failure: ${end.message}`
  }
}

/** Why an instance is being stopped, which decides what comes after it. */
export type StopCause =
  | "stop"
  | "shutdown"
  | "restart"
  /** A dependency was lost. */
  | "dependency"
  /** Another member of its group crashed. */
  | "group"
  /** It ended by itself; what is left of its group is being stopped. */
  | "exit"
  /** What failed is in `failure`. */
  | "start-timeout"
  | "unhealthy"
  | "mismatch"

/** What a unit is doing. See SPEC 4.1 for the table of its changes. */
export type Phase =
  | { readonly _tag: "Inactive" }
  | { readonly _tag: "Blocked"; readonly reasons: ReadonlyArray<string> }
  /** `spawned`: its process runs, and is not known to be ready. `last`: what the last check said. */
  | { readonly _tag: "Starting"; readonly spawned: boolean; readonly last: string | undefined }
  | { readonly _tag: "Ready" }
  | {
      readonly _tag: "Degraded"
      /** Failures in a row by the use of the probe that fails. Empty for a target: what it requires is not well. */
      readonly failing: Readonly<Partial<Record<ProbeUse, number>>>
      /** Whether a probe's threshold asks for a restart, which waits because the unit is busy. */
      readonly due: boolean
      /** Whether it was found busy: its grace is running. */
      readonly busy: boolean
      /** What the last check that failed said. */
      readonly last: string
    }
  | { readonly _tag: "Stopping"; readonly cause: StopCause; readonly queued: boolean }
  /** `until`: when it starts again, in milliseconds since the epoch; undefined until that is known. */
  | { readonly _tag: "Backoff"; readonly attempt: number; readonly until: number | undefined }
  | { readonly _tag: "Exited"; readonly end: End }
  | { readonly _tag: "Failed"; readonly failure: Failure }

/** What a probe is for. */
export type ProbeUse = "startup" | "readiness" | "liveness"

/** Why an instance could not be started at all. */
export interface StartFailure {
  /** The tag of the error: `CommandNotFound`, `PortInUse`, `ForeignServer`. */
  readonly kind: string
  /** A sentence or two. */
  readonly message: string
}

/** Why a unit failed. */
export type Failure =
  /** It ended before it was ready; a oneshot: without success. */
  | { readonly _tag: "EarlyExit"; readonly end: End; readonly isOneshot?: true }
  /** It was up, and ended in a way that its policy does not restart. */
  | { readonly _tag: "Crashed"; readonly end: End }
  | { readonly _tag: "PermanentExit"; readonly end: End }
  | { readonly _tag: "StartTimeout"; readonly last: string | undefined }
  | { readonly _tag: "Unhealthy"; readonly use: ProbeUse; readonly failures: number; readonly last: string }
  /** A wrong version or identity answered. */
  | { readonly _tag: "Mismatch"; readonly last: string }
  /** It could not be started at all. */
  | { readonly _tag: "StartFailed"; readonly error: StartFailure }
  | { readonly _tag: "DependencyFailed"; readonly name: string; readonly why: string }
  | { readonly _tag: "DependencyTimeout"; readonly reasons: ReadonlyArray<string> }
  | { readonly _tag: "ExternalUnavailable"; readonly failures: number; readonly last: string }
  | { readonly _tag: "RestartsExhausted"; readonly failures: number; readonly last: Failure }
  /** Processes of it survived KILL. */
  | { readonly _tag: "StopTimeout"; readonly survivors: ReadonlyArray<string> }

/** What is wanted of a unit: that it is up, that it is down; `manual`: nobody has said so yet. */
export type Desired = "up" | "down" | "manual"

/** What the machine waits for besides the instance itself. Each is named by a token, so that a late one hits nothing. */
export type TimerName = "start" | "uptime" | "stable" | "backoff" | "dependency" | "busyGrace" | "askBusy"

/** Those that run for a time that the spec says. */
export type ArmedTimer = Exclude<TimerName, "backoff" | "askBusy">

/** Everything that is known of a unit. */
export interface UnitState {
  readonly phase: Phase
  readonly desired: Desired
  /** Of the current instance, else of the last one; 0: there was none. */
  readonly generation: number
  /** Whether an instance of that generation was ordered and is not known to be gone. */
  readonly live: boolean
  /** Whether that instance has come to life, so that its end is worth telling. */
  readonly born: boolean
  /** Whether it was Ready. */
  readonly wasReady: boolean
  /** Whether it is somebody else's server, used as it is. */
  readonly adopted: boolean
  /** Failures since the last stable period. */
  readonly failures: number
  /** Restarts that were not asked for, since the supervisor started. */
  readonly restarts: number
  /** What is being settled while it stops, and the last that went wrong afterwards. */
  readonly failure: Failure | undefined
  /** How the last instance ended by itself. */
  readonly end: End | undefined
  /** What its dependencies say. */
  readonly verdict: Verdict
  /** The tokens of what is waited for. */
  readonly armed: Readonly<Partial<Record<TimerName, number>>>
  /** The last token that was given out. */
  readonly token: number
  /** Whether the supervisor closes: nothing starts any more. */
  readonly closed: boolean
}

/** A unit that has never run. */
export const initial = (desired: Desired, generation = 0): UnitState => ({
  phase: { _tag: "Inactive" },
  desired,
  generation,
  live: false,
  born: false,
  wasReady: false,
  adopted: false,
  failures: 0,
  restarts: 0,
  failure: undefined,
  end: undefined,
  verdict: { _tag: "Met" },
  armed: {},
  token: 0,
  closed: false,
})

/** Whether it is up, well or not. */
export const isUp = ({ phase }: Pick<UnitState, "phase">): boolean =>
  phase._tag === "Ready" || phase._tag === "Degraded"

/** Whether an instance is on its way up, or up. */
export const isActive = ({ phase }: Pick<UnitState, "phase">): boolean =>
  phase._tag === "Starting" || isUp({ phase })

/** Whether nothing more happens to it by itself. */
export const isSettled = ({ phase }: Pick<UnitState, "phase">): boolean =>
  phase._tag === "Inactive" || phase._tag === "Exited" || phase._tag === "Failed"
