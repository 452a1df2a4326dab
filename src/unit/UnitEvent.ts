/** What happens to a unit, and what is to be done about it: the two alphabets of `Transition`. */
import type { ArmedTimer, End, ProbeUse, StartFailure, TimerName } from "./UnitState.js"
import type { Verdict } from "./Verdict.js"

/** What happens to a unit. Everything about an instance carries its generation; a stale one changes nothing. */
export type UnitEvent =
  /** Somebody wants it up. */
  | { readonly _tag: "Start" }
  /** Somebody wants it down. */
  | { readonly _tag: "Stop" }
  /** `group`: a member of its group crashed. What is never restarted goes down for that, and does not come back. */
  | { readonly _tag: "Restart"; readonly cause: "restart" | "group" }
  /** The supervisor closes. */
  | { readonly _tag: "Shutdown" }
  /** What its dependencies say has changed. */
  | { readonly _tag: "Dependencies"; readonly verdict: Verdict }
  /** Its process runs, its Effect runs, or its server is being observed. */
  | { readonly _tag: "Spawned"; readonly generation: number; readonly adopted: boolean }
  /** It could not be started; nothing is left of the attempt. */
  | {
      readonly _tag: "SpawnFailed"
      readonly generation: number
      readonly error: StartFailure
      /** Whether another attempt may succeed. */
      readonly retryable: boolean
    }
  /** A probe passed as often as it has to. A task says so by itself: `readiness`. */
  | {
      readonly _tag: "ProbePassed"
      readonly generation: number
      readonly use: ProbeUse
      readonly ready: boolean
    }
  | {
      readonly _tag: "ProbeFailed"
      readonly generation: number
      readonly use: ProbeUse
      /** In a row. */
      readonly failures: number
      /** Whether that is as often as it takes. Of readiness that counts only for somebody else's server. */
      readonly due: boolean
      /** What the check said. */
      readonly last: string
      /** Whether a wrong version or identity answered. */
      readonly mismatch: boolean
    }
  /** The answer to `AskBusy`. */
  | { readonly _tag: "Busy"; readonly token: number; readonly busy: boolean }
  | { readonly _tag: "Timer"; readonly timer: TimerName; readonly token: number }
  /** The answer to `NextDelay`. `until`: undefined when the policy's schedule is done. */
  | { readonly _tag: "Delay"; readonly token: number; readonly until: number | undefined }
  /** Its process, or Effect, has ended. What is left of its group is being stopped. */
  | { readonly _tag: "Ended"; readonly generation: number; readonly end: End }
  /** Nothing of the instance is left, or these processes, which survived KILL. */
  | { readonly _tag: "Gone"; readonly generation: number; readonly survivors: ReadonlyArray<string> }

/** What is to be done. */
export type UnitEffect =
  /** Bring an instance to life; answered by `Spawned` or `SpawnFailed`. */
  | { readonly _tag: "Spawn"; readonly generation: number }
  /** End the instance, at whatever point it is; answered by `Gone`. */
  | { readonly _tag: "StopInstance"; readonly generation: number }
  /** Tell everybody that the instance is out of service: once for each that was born. */
  | { readonly _tag: "Down"; readonly generation: number }
  /** Let `Timer` happen after the time that the spec has for it. */
  | { readonly _tag: "Arm"; readonly timer: ArmedTimer; readonly token: number }
  | { readonly _tag: "Disarm"; readonly token: number }
  /** Step the restart schedule: answer with `Delay`, and let `Timer` happen when it is over. */
  | { readonly _tag: "NextDelay"; readonly token: number }
  /** Start the restart schedule anew. */
  | { readonly _tag: "ResetDelays" }
  /** Ask whether the unit is busy; answered by `Busy`. */
  | { readonly _tag: "AskBusy"; readonly token: number }
