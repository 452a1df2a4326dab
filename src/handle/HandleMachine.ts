/**
 * Decides everything that a handle does: `step(rules, state, event)` gives the next state, what is to be done, and the
 * answer for whoever asked. It reads no clock and does no I/O, so that every order of events can be tried.
 *
 * | state | acquire | a validation fails, invalidate, lost | a start ends |
 * |---|---|---|---|
 * | Empty | start | | Ready or Failed |
 * | Ready | validate | managed: Stale, stop; then start if somebody waits. external: Failed, for good | |
 * | Stale | start | | Ready or Failed |
 * | Failed | start after the backoff; for good: the same failure | | Ready or Failed |
 *
 * What is wanted while something is being stopped is started when nothing is left of that.
 */
import * as HandleHealth from "./HandleHealth.js"
import type { Action, Event, Failed, Outcome, Problem, Ready, Rules, State, Status } from "./HandleState.js"
import {
  answer,
  closed,
  empty,
  go,
  gone,
  held,
  idling,
  nothing,
  type Of,
  ofReady,
  type Step,
  transition,
  unchanged,
} from "./HandleStep.js"

/** The next state of a handle, and what is to be done. An event that comes too late changes nothing. */
export const step = <A, F>(rules: Rules<A, F>, state: State<A, F>, event: Event<A, F>): Step<A, F> => {
  switch (event._tag) {
    case "Acquire":
      return acquire(state)
    case "Verdict":
      return verdict(rules, state, event)
    case "Abandon":
      return ofReady(state, event, (ready) => unused(state, { ...ready, looks: ready.looks - 1 }))
    case "Leave":
      return leave(state, event.flight)
    case "Hold":
      return hold(state, event.generation)
    case "Release":
      return ofReady(state, event, (ready) => unused(state, { ...ready, holds: ready.holds - 1 }))
    case "Started":
      return started(rules, state, event)
    case "StartFailed":
      return startFailed(rules, state, event)
    case "Stopped":
      return stopped(state, event.generation)
    case "BackoffOver":
      return backoffOver(state, event)
    case "IdleOver":
      return idleOver(rules, state, event)
    case "Checked":
      return checked(rules, state, event)
    case "Lost":
      return ofReady(state, event, (ready) => down(rules, state, ready, event))
    case "Invalidate":
      return invalidate(rules, state, event)
    case "Reset":
      return reset(rules, state)
    case "Close":
      return close(rules, state)
  }
}

const acquire = <A, F>(state: State<A, F>): Step<A, F> => {
  if (state.isClosed) return answer(state, closed)
  const { status } = state
  if (status._tag === "Ready") {
    const looking: Ready<A> = { ...status, looks: status.looks + 1 }
    return answer({ ...state, status: looking }, { _tag: "Look", resource: status.resource })
  }
  if (status._tag === "Failed" && isRefused(state, status)) {
    return answer(state, { _tag: "Refuse", failure: status.failure })
  }
  return join(state, nothing)
}

const isRefused = <A, F>({ backoff }: State<A, F>, { retry }: Failed<F>): boolean =>
  retry === "never" || (retry === "refused-in-backoff" && backoff !== undefined)

const join = <A, F>(state: State<A, F>, actions: ReadonlyArray<Action<A, F>>): Step<A, F> => {
  const { flight, serial } = state
  if (flight !== undefined) {
    const joined = { ...flight, waiters: flight.waiters + 1 }
    return { state: { ...state, flight: joined }, actions, reply: { _tag: "Join", flight: flight.id } }
  }
  const id = serial + 1
  return go({
    state: { ...state, serial: id, flight: { id, waiters: 1, isKept: false } },
    actions,
    reply: { _tag: "Join", flight: id },
  })
}

const verdict = <A, F>(
  rules: Rules<A, F>,
  state: State<A, F>,
  { generation, problem }: Of<A, F, "Verdict">,
): Step<A, F> => {
  const { status } = state
  // Of another snapshot than the one that was validated nothing is known: look again.
  if (status._tag !== "Ready" || status.resource.generation !== generation) return acquire(state)
  const ready: Ready<A> = { ...status, looks: status.looks - 1 }
  if (problem === undefined) {
    const { actions, state: used } = unused(state, { ...ready, health: HandleHealth.healthy })
    return { state: used, actions, reply: { _tag: "Give", resource: status.resource } }
  }
  const after = down(rules, state, ready, problem)
  const now = after.state.status
  return now._tag === "Failed"
    ? { ...after, reply: { _tag: "Refuse", failure: now.failure } }
    : join(after.state, after.actions)
}

/** A resource that somebody has just stopped using. */
const unused = <A, F>(state: State<A, F>, ready: Ready<A>): Step<A, F> => {
  if (ready.looks > 0 || ready.holds > 0) return unchanged({ ...state, status: ready })
  const timer = state.serial + 1
  return {
    state: { ...state, serial: timer, status: { ...ready, idle: timer } },
    actions: [{ _tag: "ArmIdle", timer }],
  }
}

const hold = <A, F>(state: State<A, F>, generation: number): Step<A, F> => {
  const { status } = state
  if (state.isClosed) return answer(state, closed)
  if (status._tag !== "Ready" || status.resource.generation !== generation) return answer(state, gone)
  return answer({ ...state, status: { ...status, holds: status.holds + 1 } }, held)
}

/** Gives up a resource: from then on nobody gets it, and then it is stopped. */
const leaveResource = <A, F>(
  rules: Rules<A, F>,
  state: State<A, F>,
  { resource: { generation } }: Ready<A>,
  to: Status<A, F>,
  reason: string,
): Step<A, F> => ({
  state: { ...state, status: to, work: { _tag: "Stopping", generation } },
  actions: [transition(rules, state, to, reason), { _tag: "Stop", generation }],
})

/** A resource turns out to be no good. */
const down = <A, F>(
  rules: Rules<A, F>,
  state: State<A, F>,
  ready: Ready<A>,
  problem: Problem,
): Step<A, F> => {
  const { resource } = ready
  const { reason } = problem
  if (resource.mode === "managed")
    return leaveResource(rules, state, ready, { _tag: "Stale", reason }, reason)
  const failure = rules.unavailable(resource, problem)
  const failed: Failed<F> = { _tag: "Failed", mode: "external", reason, failure, retry: "never" }
  return leaveResource(rules, state, ready, failed, reason)
}

/** Ends a start that is under way. What is wanted is started again when nothing is left of it. */
const giveUp = <A, F>(state: State<A, F>): Step<A, F> => {
  if (state.work._tag !== "Starting") return go(unchanged(state))
  const { generation } = state.work
  return {
    state: { ...state, work: { _tag: "Stopping", generation } },
    actions: [{ _tag: "Stop", generation }],
  }
}

const leave = <A, F>(state: State<A, F>, id: number): Step<A, F> => {
  const { flight } = state
  if (flight?.id !== id) return unchanged(state)
  const waiters = flight.waiters - 1
  if (waiters > 0 || flight.isKept) return unchanged({ ...state, flight: { ...flight, waiters } })
  return giveUp({ ...state, flight: undefined })
}

/** Answers everybody who waits. */
const settle = <A, F>({ flight }: State<A, F>, outcome: Outcome<A, F>): ReadonlyArray<Action<A, F>> =>
  flight === undefined ? nothing : [{ _tag: "Settle", flight: flight.id, outcome }]

const started = <A, F>(
  rules: Rules<A, F>,
  state: State<A, F>,
  { attributes, generation, mode, snapshot }: Of<A, F, "Started">,
): Step<A, F> => {
  const { status, work } = state
  if (work._tag !== "Starting" || work.generation !== generation) return unchanged(state)
  const resource = { generation, snapshot, mode, attributes }
  const idle = state.serial + 1
  const ready: Ready<A> = {
    _tag: "Ready",
    resource,
    looks: 0,
    holds: 0,
    idle,
    health: HandleHealth.healthy,
  }
  const reason = status._tag === "Stale" || status._tag === "Failed" ? status.reason : "it was started"
  return {
    state: {
      ...state,
      status: ready,
      work: idling,
      flight: undefined,
      serial: idle,
      latest: { generation, mode, attributes },
    },
    actions: [
      transition(rules, state, ready, reason),
      { _tag: "ResetBackoff" },
      ...settle(state, { _tag: "Give", resource }),
      { _tag: "ArmIdle", timer: idle },
      { _tag: "Watch", resource },
    ],
  }
}

const startFailed = <A, F>(
  rules: Rules<A, F>,
  state: State<A, F>,
  { failure, generation, reason, retry: asked }: Of<A, F, "StartFailed">,
): Step<A, F> => {
  const { work } = state
  if (work._tag !== "Starting" || work.generation !== generation) return unchanged(state)
  const { mode } = rules
  const retry = mode === "external" ? "never" : asked
  const failed: Failed<F> = { _tag: "Failed", mode, reason, failure, retry }
  const isPaused = retry === "after-backoff" || retry === "refused-in-backoff"
  const timer = state.serial + 1
  return {
    state: {
      ...state,
      status: failed,
      work: idling,
      flight: undefined,
      ...(isPaused && { serial: timer, backoff: timer }),
    },
    actions: [
      transition(rules, state, failed, reason),
      ...settle(state, { _tag: "Refuse", failure }),
      ...(isPaused ? [{ _tag: "ArmBackoff", timer, failure } as const] : nothing),
    ],
  }
}

const stopped = <A, F>(state: State<A, F>, generation: number): Step<A, F> => {
  const { work } = state
  if (work._tag !== "Stopping" || work.generation !== generation) return unchanged(state)
  const free = { ...state, work: idling }
  return state.isClosed ? { state: free, actions: [{ _tag: "Finish" }] } : go(unchanged(free))
}

const backoffOver = <A, F>(state: State<A, F>, { isLast, timer }: Of<A, F, "BackoffOver">): Step<A, F> => {
  const { status } = state
  if (state.backoff !== timer) return unchanged(state)
  if (!isLast || status._tag !== "Failed") return go(unchanged({ ...state, backoff: undefined }))
  const { failure } = status
  return {
    state: { ...state, backoff: undefined, flight: undefined, status: { ...status, retry: "never" } },
    actions: settle(state, { _tag: "Refuse", failure }),
  }
}

const idleOver = <A, F>(
  rules: Rules<A, F>,
  state: State<A, F>,
  { reason, timer }: Of<A, F, "IdleOver">,
): Step<A, F> => {
  const { status } = state
  if (status._tag !== "Ready" || status.idle !== timer) return unchanged(state)
  const isUsed = status.looks > 0 || status.holds > 0 || status.resource.mode === "external"
  return isUsed ? unchanged(state) : leaveResource(rules, state, status, empty, reason)
}

const checked = <A, F>(rules: Rules<A, F>, state: State<A, F>, event: Of<A, F, "Checked">): Step<A, F> =>
  ofReady(state, event, (ready) => {
    const { problem } = event
    const { health, isDue } = HandleHealth.step(
      rules,
      ready.health,
      problem === undefined ? { isHealthy: true } : { isHealthy: false, ...problem },
    )
    if (problem === undefined || !isDue) return unchanged({ ...state, status: { ...ready, health } })
    const after = down(rules, state, ready, problem)
    if (after.state.status._tag === "Failed") return after
    // Replaced for whoever comes next: nobody waits for it yet.
    const id = after.state.serial + 1
    return { ...after, state: { ...after.state, serial: id, flight: { id, waiters: 0, isKept: true } } }
  })

const invalidate = <A, F>(
  rules: Rules<A, F>,
  state: State<A, F>,
  { reason, snapshot }: Of<A, F, "Invalidate">,
): Step<A, F> => {
  const { status } = state
  if (status._tag === "Ready") {
    if (snapshot !== undefined && snapshot.is !== status.resource.snapshot) return answer(state, gone)
    return { ...down(rules, state, status, { reason }), reply: held }
  }
  // What is just being started is older than this news, unless the news is about another one.
  if (state.work._tag !== "Starting" || snapshot !== undefined) return answer(state, gone)
  return { ...giveUp(state), reply: held }
}

const reset = <A, F>(rules: Rules<A, F>, state: State<A, F>): Step<A, F> => {
  if (state.isClosed) return unchanged(state)
  const { status } = state
  const reason = "it was reset"
  const { flight } = state
  const stays: State<A, F> = {
    ...state,
    backoff: undefined,
    // Who waits still wants it; the handle itself does not.
    flight: flight === undefined || flight.waiters === 0 ? undefined : { ...flight, isKept: false },
  }
  const cleared: Action<A, F> = { _tag: "ResetBackoff" }
  if (status._tag === "Ready") {
    const after = leaveResource(rules, stays, status, empty, reason)
    return { ...after, actions: [cleared, ...after.actions] }
  }
  const told = status._tag === "Empty" ? nothing : [transition<A, F>(rules, state, empty, reason)]
  const after = giveUp<A, F>({ ...stays, status: empty })
  return { ...after, actions: [cleared, ...told, ...after.actions] }
}

const close = <A, F>(rules: Rules<A, F>, state: State<A, F>): Step<A, F> => {
  if (state.isClosed) return unchanged(state)
  const { status, work } = state
  const told = status._tag === "Empty" ? nothing : [transition<A, F>(rules, state, empty, "it was closed")]
  const generation =
    status._tag === "Ready"
      ? status.resource.generation
      : work._tag === "Starting"
        ? work.generation
        : undefined
  return {
    state: {
      ...state,
      status: empty,
      flight: undefined,
      backoff: undefined,
      isClosed: true,
      work: generation === undefined ? work : { _tag: "Stopping", generation },
    },
    actions: [
      ...told,
      ...settle(state, closed),
      { _tag: "ResetBackoff" },
      ...(generation !== undefined
        ? [{ _tag: "Stop", generation } as const]
        : work._tag === "None"
          ? [{ _tag: "Finish" } as const]
          : nothing),
    ],
  }
}
