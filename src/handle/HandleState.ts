/** What a handle is, what can happen to it, and what it wants done: data only. `HandleMachine` is what connects them. */
import type { Attributes } from "./HandleError.js"
import type { Health, Rules as HealthRules } from "./HandleHealth.js"

/** Whose the resource is: `managed` is started and stopped by the handle, `external` is somebody else's. */
export type Mode = "managed" | "external"

/** One life of what a handle holds. */
export interface Resource<A> {
  /** Counts from 1, one for each start. Nothing about an older one changes anything. */
  readonly generation: number
  readonly snapshot: A
  readonly mode: Mode
  readonly attributes: Attributes
}

/** What is known of a resource when it is there no more. */
export type Remembered = Omit<Resource<unknown>, "snapshot">

/** There is nothing, and nothing is wrong. */
export interface Empty {
  readonly _tag: "Empty"
}

/** There is a resource, and nothing is known against it. */
export interface Ready<A> {
  readonly _tag: "Ready"
  readonly resource: Resource<A>
  /** Acquires that are validating it. */
  readonly looks: number
  /** Those who hold it. */
  readonly holds: number
  /** The latest timer of its idleness. */
  readonly idle: number
  readonly health: Health
}

/** A managed resource was no good any more; the next one is started for whoever wants it. */
export interface Stale {
  readonly _tag: "Stale"
  readonly reason: string
}

/** There is nothing, and the reason is a failure. */
export interface Failed<F> {
  readonly _tag: "Failed"
  readonly mode: Mode
  readonly reason: string
  readonly failure: F
  readonly retry: Retry
}

/**
 * When a failed start may be tried again:
 *
 * - `at-once`: nothing was started, so that nothing needs to be spared;
 * - `after-backoff`: whoever comes earlier waits for the end of the backoff;
 * - `refused-in-backoff`: trying again will hardly help, and whoever comes earlier gets the same failure at once;
 * - `never`: everybody gets the same failure until the handle is reset.
 */
export type Retry = "at-once" | "after-backoff" | "refused-in-backoff" | "never"

/** The four states. */
export type Status<A, F> = Empty | Ready<A> | Stale | Failed<F>

/** What is under way. A start that is given up is stopped like a resource that was there. */
export type Work =
  | { readonly _tag: "None" }
  | { readonly _tag: "Starting"; readonly generation: number }
  | { readonly _tag: "Stopping"; readonly generation: number }

/** Those who wait for the next resource. All of them get the same answer. */
export interface Flight {
  readonly id: number
  readonly waiters: number
  /** The handle itself wants it, whoever else does. */
  readonly isKept: boolean
}

/** All there is to know of a handle. */
export interface State<A, F> {
  readonly status: Status<A, F>
  readonly work: Work
  readonly flight: Flight | undefined
  /** The timer that holds back the next start. */
  readonly backoff: number | undefined
  /** The latest resource. */
  readonly latest: Remembered | undefined
  /** Of the latest start. */
  readonly generation: number
  /** The latest number of a flight or a timer. */
  readonly serial: number
  readonly isClosed: boolean
}

/** What can happen. */
export type Event<A, F> =
  /** Somebody wants the resource. Answered with a {@link Reply}. */
  | { readonly _tag: "Acquire" }
  /** Somebody has validated the resource: well, or not, for a reason. Answered with a {@link Reply}. */
  | { readonly _tag: "Verdict"; readonly generation: number; readonly problem: Problem | undefined }
  /** Somebody who was validating the resource does not want it any more. */
  | { readonly _tag: "Abandon"; readonly generation: number }
  /** Somebody who was waiting does not want it any more. */
  | { readonly _tag: "Leave"; readonly flight: number }
  /** Somebody is going to use the resource for a while. Answered with `Held` or `Gone`. */
  | { readonly _tag: "Hold"; readonly generation: number }
  | { readonly _tag: "Release"; readonly generation: number }
  | {
      readonly _tag: "Started"
      readonly generation: number
      readonly snapshot: A
      readonly mode: Mode
      readonly attributes: Attributes
    }
  /** Nothing is left of the attempts. */
  | {
      readonly _tag: "StartFailed"
      readonly generation: number
      readonly reason: string
      readonly failure: F
      readonly retry: Retry
    }
  /** A resource is gone, or a start that was given up: nothing is left of it. */
  | { readonly _tag: "Stopped"; readonly generation: number }
  /** `isLast`: the backoff allows of no further start. */
  | { readonly _tag: "BackoffOver"; readonly timer: number; readonly isLast: boolean }
  | { readonly _tag: "IdleOver"; readonly timer: number; readonly reason: string }
  /** A check that nobody asked for. */
  | {
      readonly _tag: "Checked"
      readonly generation: number
      readonly problem: (Problem & { readonly isBusy: boolean; readonly at: number }) | undefined
    }
  /** The resource itself tells that it is gone. */
  | { readonly _tag: "Lost"; readonly generation: number; readonly reason: string }
  /** Somebody knows it to be no good: a snapshot, or whatever there is. Answered with `Held` when it was there. */
  | { readonly _tag: "Invalidate"; readonly snapshot?: { readonly is: A }; readonly reason: string }
  | { readonly _tag: "Reset" }
  | { readonly _tag: "Close" }

/** What is wrong with a resource. */
export interface Problem {
  readonly reason: string
  /** The failure behind it, where there is one. */
  readonly cause?: unknown
}

/** What a handle wants done. */
export type Action<A, F> =
  /** Start a resource; answer with `Started` or `StartFailed`. The last action, and nothing of an earlier one is left. */
  | { readonly _tag: "Start"; readonly generation: number }
  /** Interrupt a start that is under way, close the scope of a resource; answer with `Stopped`. */
  | { readonly _tag: "Stop"; readonly generation: number }
  /** Answer everybody who waits. */
  | { readonly _tag: "Settle"; readonly flight: number; readonly outcome: Outcome<A, F> }
  /** Answer with `BackoffOver` when the next pause for failures is over. */
  | { readonly _tag: "ArmBackoff"; readonly timer: number; readonly failure: F }
  /** Forget the pauses so far, and the timer that runs. */
  | { readonly _tag: "ResetBackoff" }
  /** Answer with `IdleOver` when the resource has been idle for long enough, counted from now. */
  | { readonly _tag: "ArmIdle"; readonly timer: number }
  /** Begin to check a resource that is new. */
  | { readonly _tag: "Watch"; readonly resource: Resource<A> }
  | { readonly _tag: "Tell"; readonly change: Transition }
  /** The handle is closed, and nothing is left. */
  | { readonly _tag: "Finish" }

/** A change of state, as it is told. */
export interface Transition {
  readonly from: Status<unknown, unknown>["_tag"]
  readonly to: Status<unknown, unknown>["_tag"]
  readonly reason: string
  readonly mode: Mode
  /** The generation of the resource that it is about; 0 when there was none yet. */
  readonly generation: number
  /** Of that resource. */
  readonly attributes: Attributes
}

/** What those get who wait. */
export type Outcome<A, F> =
  | { readonly _tag: "Give"; readonly resource: Resource<A> }
  | { readonly _tag: "Refuse"; readonly failure: F }
  | { readonly _tag: "Closed" }

/** The answer to whoever asks. */
export type Reply<A, F> =
  | Outcome<A, F>
  /** Validate it outside of everything, and come back with the `Verdict`. */
  | { readonly _tag: "Look"; readonly resource: Resource<A> }
  /** Wait for that flight, or `Leave` it. */
  | { readonly _tag: "Join"; readonly flight: number }
  | { readonly _tag: "Held" }
  | { readonly _tag: "Gone" }

/** What a handle goes by. */
export interface Rules<A, F> extends HealthRules {
  /** The mode as long as there was no resource that tells it. */
  readonly mode: Mode
  /** The failure that a problem of somebody else's resource is. */
  readonly unavailable: (resource: Resource<A>, problem: Problem) => F
}

/** A handle that nobody has asked for anything. */
export const initial: State<never, never> = {
  status: { _tag: "Empty" },
  work: { _tag: "None" },
  flight: undefined,
  backoff: undefined,
  latest: undefined,
  generation: 0,
  serial: 0,
  isClosed: false,
}
