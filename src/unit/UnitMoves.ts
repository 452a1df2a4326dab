/**
 * The moves that the cells of `Transition` are made of: each changes a draft of the next state, and adds what is to be
 * done to its effects.
 */
import { classify, type RestartPolicy } from "./RestartPolicy.js"
import type { UnitEffect } from "./UnitEvent.js"
import type { Kind } from "./UnitSpec.js"
import type { ArmedTimer, End, Failure, Phase, StopCause, TimerName, UnitState } from "./UnitState.js"
import { isLost } from "./Verdict.js"

/** What of a unit's spec decides its transitions. */
export interface Traits {
  readonly kind: Kind
  /** Whether it says that it is ready, by a probe or by itself; else it is after a while. */
  readonly probed: boolean
  /** Whether a start has a deadline. */
  readonly startLimited: boolean
  /** Whether the wait for dependencies has a deadline. */
  readonly waitLimited: boolean
  readonly offersBusy: boolean
  readonly restart: Pick<RestartPolicy, "policy" | "maxFailures" | "success" | "permanent">
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** A copy of the state that is being changed, and the effects so far. */
export interface Draft {
  readonly traits: Traits
  readonly state: Mutable<UnitState>
  readonly effects: Array<UnitEffect>
}

/** The phase of what is down. */
export const inactive: Phase = { _tag: "Inactive" }
/** The phase of what is up and well. */
export const ready: Phase = { _tag: "Ready" }

type Armed = UnitState["armed"]

/** What is armed, without one of the timers. By hand: leaving one out by a pattern takes ten times as long. */
export const without = (armed: Armed, timer: TimerName): Mutable<Armed> => {
  const rest: Mutable<Armed> = {}
  for (const other in armed) {
    if (other !== timer) rest[other as TimerName] = armed[other as TimerName]!
  }
  return rest
}

/** A token for something that is to be answered, and that is waited for from now on. */
export const nextToken = ({ state }: Draft, timer: TimerName): number => {
  const token = state.token + 1
  const armed = without(state.armed, timer)
  armed[timer] = token
  state.token = token
  state.armed = armed
  return token
}

/** Lets a timer run, unless it runs already. */
export const arm = (draft: Draft, timer: ArmedTimer): void => {
  if (draft.state.armed[timer] !== undefined) return
  draft.effects.push({ _tag: "Arm", timer, token: nextToken(draft, timer) })
}

/** Waits for these no longer. */
export const disarm = ({ effects, state }: Draft, ...timers: ReadonlyArray<TimerName>): void => {
  for (const timer of timers) {
    const token = state.armed[timer]
    if (token === undefined) continue
    state.armed = without(state.armed, timer)
    effects.push({ _tag: "Disarm", token })
  }
}

/** What is waited for only as long as an instance lives. */
export const ofInstances = ["start", "uptime", "stable", "busyGrace", "askBusy"] as const

/** Out of service: told once for each instance that was born. */
export const down = ({ effects, state }: Draft): void => {
  if (!state.born) return
  state.born = false
  effects.push({ _tag: "Down", generation: state.generation })
}

/** Ends the instance. It is gone when `Gone` says so. */
export const stopFor = (draft: Draft, cause: StopCause, failure?: Failure): void => {
  const { effects, state } = draft
  disarm(draft, ...ofInstances)
  down(draft)
  if (failure !== undefined) state.failure = failure
  state.phase = { _tag: "Stopping", cause, queued: false }
  if (cause !== "exit") effects.push({ _tag: "StopInstance", generation: state.generation })
}

/** Down for good, until somebody starts it. */
export const fail = (draft: Draft, failure: Failure): void => {
  disarm(draft, "dependency", "backoff")
  draft.state.failure = failure
  draft.state.phase = { _tag: "Failed", failure }
}

/** From a phase without an instance: the next one, or what has to be waited for first. */
export const begin = (draft: Draft): void => {
  const { effects, state, traits } = draft
  const { verdict } = state
  disarm(draft, "backoff")
  if (verdict._tag === "Broken") {
    return fail(draft, { _tag: "DependencyFailed", name: verdict.name, why: verdict.why })
  }
  if (verdict._tag === "Waiting") {
    state.phase = { _tag: "Blocked", reasons: verdict.reasons }
    if (traits.waitLimited) arm(draft, "dependency")
    return
  }
  disarm(draft, "dependency")
  if (traits.kind === "target") {
    state.phase = ready
    return
  }
  state.generation += 1
  state.live = true
  state.born = false
  state.wasReady = false
  state.adopted = false
  state.end = undefined
  state.phase = { _tag: "Starting", spawned: false, last: undefined }
  effects.push({ _tag: "Spawn", generation: state.generation })
  if (traits.startLimited) arm(draft, "start")
}

/** As `begin`, by somebody's order: what went wrong before does not count any more. */
export const beginAnew = (draft: Draft): void => {
  const { effects, state } = draft
  if (state.failures > 0) effects.push({ _tag: "ResetDelays" })
  state.failures = 0
  state.failure = undefined
  state.desired = "up"
  begin(draft)
}

const retry = (draft: Draft, failure: Failure): void => {
  const { effects, state, traits } = draft
  state.failures += 1
  if (state.failures > traits.restart.maxFailures) {
    return fail(
      draft,
      traits.restart.maxFailures === 0
        ? failure
        : { _tag: "RestartsExhausted", failures: state.failures, last: failure },
    )
  }
  state.failure = failure
  if (isLost(state.verdict)) return begin(draft)
  state.phase = { _tag: "Backoff", attempt: state.failures, until: undefined }
  effects.push({ _tag: "NextDelay", token: nextToken(draft, "backoff") })
}

/** After a failure that another start may mend: by the policy. */
export const settleFailure = (draft: Draft, failure: Failure): void =>
  draft.traits.restart.policy === "never" ? fail(draft, failure) : retry(draft, failure)

const endedBy = (end: End, wasReady: boolean, kind: Traits["kind"]): Failure => {
  if (wasReady) return { _tag: "Crashed", end }
  return kind === "oneshot" ? { _tag: "EarlyExit", end, isOneshot: true } : { _tag: "EarlyExit", end }
}

/** After an end that nobody asked for: by the policy. */
const settleEnd = (draft: Draft, end: End): void => {
  const { state, traits } = draft
  const { policy } = traits.restart
  const kind = classify(traits.restart, end)
  if (traits.kind === "oneshot" && kind === "success") {
    state.failures = 0
    state.phase = { _tag: "Exited", end }
    return
  }
  if (kind === "permanent") return fail(draft, { _tag: "PermanentExit", end })
  const failure = endedBy(end, state.wasReady, traits.kind)
  if (kind === "retryable") return settleFailure(draft, failure)
  if (policy === "always") return retry(draft, failure)
  // What says that it has succeeded before it was ever ready will say so again.
  if (!state.wasReady && traits.kind === "service") return fail(draft, failure)
  state.phase = { _tag: "Exited", end }
}

/** The instance is gone: what its end was for comes next. */
export const settle = (draft: Draft, cause: StopCause, queued: boolean): void => {
  const { state, traits } = draft
  state.live = false
  if (queued) return beginAnew(draft)
  const { end, failure } = state
  switch (cause) {
    case "stop":
    case "shutdown":
      state.phase = inactive
      return
    case "restart":
      return beginAnew(draft)
    case "dependency":
      return begin(draft)
    case "group":
      // As in OTP: what is never restarted goes down with its group, and does not come back with it.
      if (traits.restart.policy !== "never") return begin(draft)
      state.desired = "down"
      state.phase = inactive
      return
    case "exit":
      return settleEnd(draft, end!)
    case "start-timeout":
    case "unhealthy":
      return traits.kind === "external" ? fail(draft, failure!) : settleFailure(draft, failure!)
    case "mismatch":
      return fail(draft, failure!)
  }
}

/** Up and well, and stable after a while. */
export const becomeReady = (draft: Draft): void => {
  const { state } = draft
  disarm(draft, "start", "uptime", "busyGrace", "askBusy")
  state.wasReady = true
  state.phase = ready
  arm(draft, "stable")
}

/** The beginning of a step. */
export const draftOf = (traits: Traits, state: UnitState): Draft => ({
  traits,
  state: copyOf(state),
  effects: [],
})

/** Field by field, so that all states have one shape: twice as fast as a spread. */
const copyOf = (state: UnitState): Mutable<UnitState> => ({
  phase: state.phase,
  desired: state.desired,
  generation: state.generation,
  live: state.live,
  born: state.born,
  wasReady: state.wasReady,
  adopted: state.adopted,
  failures: state.failures,
  restarts: state.restarts,
  failure: state.failure,
  end: state.end,
  verdict: state.verdict,
  armed: state.armed,
  token: state.token,
  closed: state.closed,
})

/** Whether nothing is different. */
export const isSame = (a: UnitState, b: UnitState): boolean =>
  a.phase === b.phase &&
  a.desired === b.desired &&
  a.generation === b.generation &&
  a.live === b.live &&
  a.born === b.born &&
  a.wasReady === b.wasReady &&
  a.adopted === b.adopted &&
  a.failures === b.failures &&
  a.restarts === b.restarts &&
  a.failure === b.failure &&
  a.end === b.end &&
  a.verdict === b.verdict &&
  a.armed === b.armed &&
  a.token === b.token &&
  a.closed === b.closed
