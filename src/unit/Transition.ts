/**
 * The heart of the supervisor: what a unit does about what happens to it, as one function. It reads no clock and does no
 * I/O; what is to be done comes out as data. The table is SPEC 4.1, one row for each phase, one cell for each event; a
 * cell that is not there changes nothing.
 *
 * Three rules hold in every cell: an instance begins only where none is left (`begin` is reached from phases without
 * one), it ends only through Stopping, which waits for the proof that its whole group is gone, and whatever is waited
 * for is named by a token or a generation, so that what comes late hits nothing.
 */
import {
  arm,
  becomeReady,
  begin,
  beginAnew,
  disarm,
  down,
  type Draft,
  draftOf,
  fail,
  inactive,
  isSame,
  nextToken,
  ofInstances,
  ready,
  settle,
  settleFailure,
  stopFor,
  type Traits,
  without,
} from "./UnitMoves.js"
import type { UnitEffect, UnitEvent } from "./UnitEvent.js"
import { type Failure, isUp, type Phase, type ProbeUse, type TimerName, type UnitState } from "./UnitState.js"
import { isBound, isLost, type Verdict } from "./Verdict.js"

export type { Traits } from "./UnitMoves.js"

/** What comes of an event. */
export interface Step {
  readonly state: UnitState
  readonly effects: ReadonlyArray<UnitEffect>
}

const unhealthy = (draft: Draft, use: ProbeUse, failures: number, last: string): Failure =>
  draft.traits.kind === "external"
    ? { _tag: "ExternalUnavailable", failures, last }
    : { _tag: "Unhealthy", use, failures, last }

/** Whether a failed check asks for an end. Readiness never restarts, but somebody else's server is let go for it. */
const isDue = ({ state, traits }: Draft, { due, use }: EventOf<"ProbeFailed">): boolean =>
  due && (use !== "readiness" || traits.kind === "external" || state.adopted)

/** Restarted for its health, which a busy unit's liveness asks for. */
const restartFor = (draft: Draft, { failing, last }: PhaseOf<"Degraded">): void =>
  stopFor(draft, "unhealthy", unhealthy(draft, "liveness", failing.liveness ?? 0, last))

type EventOf<Tag extends UnitEvent["_tag"]> = Extract<UnitEvent, { readonly _tag: Tag }>
type PhaseOf<Tag extends Phase["_tag"]> = Extract<Phase, { readonly _tag: Tag }>

type Row<P extends Phase["_tag"]> = {
  readonly [E in UnitEvent["_tag"]]?: (draft: Draft, event: EventOf<E>, phase: PhaseOf<P>) => void
}

const wantUp = ({ state }: Draft): void => {
  state.desired = "up"
}

const wantDown = ({ state }: Draft): void => {
  state.desired = "down"
}

/** Stopped while nothing of it runs. */
const rest = (draft: Draft): void => {
  disarm(draft, "dependency", "backoff")
  draft.state.phase = inactive
}

/** Stopped for good while it runs. A target has nothing that would have to end. */
const stopNow = (draft: Draft, cause: "stop" | "shutdown"): void => {
  if (draft.traits.kind === "target") draft.state.phase = inactive
  else stopFor(draft, cause)
}

const ended = (draft: Draft, { end }: EventOf<"Ended">): void => {
  draft.state.end = end
  stopFor(draft, "exit")
}

/** One row serves phases without an instance that last until somebody wants something. */
const settled: Row<"Inactive" | "Exited" | "Failed"> = {
  Start: (draft) => beginOrStopFirst(draft),
  Restart: (draft, { cause }) => {
    if (cause === "restart") beginOrStopFirst(draft)
  },
  // What survived KILL is tried once more.
  Stop: (draft) => {
    wantDown(draft)
    if (draft.state.live) stopFor(draft, "stop")
    else draft.state.phase = inactive
  },
  Shutdown: (draft) => {
    if (draft.state.live) stopFor(draft, "shutdown")
  },
  // What survived KILL is gone after all.
  Gone: ({ state }, { survivors }) => {
    if (survivors.length === 0) state.live = false
  },
}

/** While something of the last instance is left there is no other. */
const beginOrStopFirst = (draft: Draft): void => {
  if (!draft.state.live) return beginAnew(draft)
  wantUp(draft)
  stopFor(draft, "stop")
  draft.state.phase = { _tag: "Stopping", cause: "stop", queued: true }
}

/** Whether an instance is stopped for what its dependencies say: a start for what it requires, later what it is bound to. */
export const goesDown = (
  { kind }: Pick<Traits, "kind">,
  state: Pick<UnitState, "phase">,
  verdict: Verdict,
): boolean =>
  kind !== "target" && (state.phase._tag === "Starting" ? isLost(verdict) : isUp(state) && isBound(verdict))

/** A target is as well as what it requires. What only its order concerns is nothing to one that is up. */
const followMembers = (draft: Draft): void => {
  const { state } = draft
  const { verdict } = state
  if (isLost(verdict)) return begin(draft)
  state.phase =
    verdict._tag === "Waiting" && verdict.required
      ? { _tag: "Degraded", failing: {}, due: false, busy: false, last: verdict.reasons.join(" ") }
      : ready
}

/** Cells that Ready and Degraded share. */
const up: Row<"Ready" | "Degraded"> = {
  Start: wantUp,
  Stop: (draft) => {
    wantDown(draft)
    stopNow(draft, "stop")
  },
  Restart: (draft, { cause }) => {
    if (draft.traits.kind === "target") return
    wantUp(draft)
    stopFor(draft, cause)
  },
  Shutdown: (draft) => stopNow(draft, "shutdown"),
  Dependencies: (draft) => {
    const { state, traits } = draft
    if (traits.kind === "target") followMembers(draft)
    else if (goesDown(traits, state, state.verdict)) stopFor(draft, "dependency")
  },
  Ended: ended,
  ProbeFailed: (draft, event) => {
    const { effects, state, traits } = draft
    const before = state.phase._tag === "Degraded" ? state.phase : undefined
    const failing = { ...before?.failing, [event.use]: event.failures }
    const due = isDue(draft, event) || (before?.due ?? false)
    disarm(draft, "stable")
    state.phase = { _tag: "Degraded", failing, due, busy: before?.busy ?? false, last: event.last }
    if (!due) return
    if (!traits.offersBusy)
      return stopFor(draft, "unhealthy", unhealthy(draft, event.use, event.failures, event.last))
    if (state.armed.askBusy === undefined)
      effects.push({ _tag: "AskBusy", token: nextToken(draft, "askBusy") })
  },
}

const table: { readonly [P in Phase["_tag"]]: Row<P> } = {
  Inactive: { ...settled },
  Exited: { ...settled },
  Failed: { ...settled },

  Blocked: {
    Start: wantUp,
    Stop: (draft) => {
      wantDown(draft)
      rest(draft)
    },
    Restart: wantUp,
    Shutdown: rest,
    Dependencies: begin,
    Timer: (draft, { timer }, { reasons }) => {
      if (timer === "dependency") fail(draft, { _tag: "DependencyTimeout", reasons })
    },
  },

  Starting: {
    Start: wantUp,
    Stop: (draft) => {
      wantDown(draft)
      stopFor(draft, "stop")
    },
    Restart: (draft, { cause }) => {
      wantUp(draft)
      stopFor(draft, cause)
    },
    Shutdown: (draft) => stopFor(draft, "shutdown"),
    Dependencies: (draft) => {
      const { state, traits } = draft
      if (goesDown(traits, state, state.verdict)) stopFor(draft, "dependency")
    },
    Spawned: (draft, { adopted }, phase) => {
      const { state, traits } = draft
      state.born = true
      state.adopted = adopted
      state.phase = { ...phase, spawned: true }
      if (!traits.probed && traits.kind !== "oneshot") arm(draft, "uptime")
    },
    SpawnFailed: (draft, { error, retryable }) => {
      const { state } = draft
      disarm(draft, ...ofInstances)
      state.live = false
      const failure: Failure = { _tag: "StartFailed", error }
      if (retryable) settleFailure(draft, failure)
      else fail(draft, failure)
    },
    ProbePassed: (draft, event) => {
      if (event.ready) becomeReady(draft)
    },
    ProbeFailed: (draft, event, phase) => {
      draft.state.phase = { ...phase, last: event.last }
      if (event.mismatch) stopFor(draft, "mismatch", { _tag: "Mismatch", last: event.last })
      else if (isDue(draft, event) && draft.traits.kind !== "external")
        stopFor(draft, "unhealthy", unhealthy(draft, event.use, event.failures, event.last))
    },
    Timer: (draft, { timer }, { last }) => {
      if (timer === "uptime") becomeReady(draft)
      if (timer === "start") stopFor(draft, "start-timeout", { _tag: "StartTimeout", last })
    },
    Ended: ended,
  },

  Ready: {
    ...up,
    Timer: (draft, { timer }) => {
      if (timer !== "stable" || draft.state.failures === 0) return
      draft.state.failures = 0
      draft.effects.push({ _tag: "ResetDelays" })
    },
  },

  Degraded: {
    ...up,
    ProbePassed: (draft, event, phase) => {
      const { [event.use]: _, ...failing } = phase.failing
      if (event.use === "readiness" && !event.ready) return
      if (Object.keys(failing).length === 0) return becomeReady(draft)
      const due = phase.due && event.use !== "liveness"
      if (!due) disarm(draft, "busyGrace", "askBusy")
      draft.state.phase = { ...phase, failing, due, busy: due && phase.busy }
    },
    Busy: (draft, { busy }, phase) => {
      if (!busy) return restartFor(draft, phase)
      draft.state.phase = { ...phase, busy: true }
      arm(draft, "busyGrace")
    },
    Timer: (draft, { timer }, phase) => {
      if (timer === "busyGrace") restartFor(draft, phase)
    },
  },

  Stopping: {
    Start: (draft, _event, phase) => {
      wantUp(draft)
      draft.state.phase = { ...phase, queued: true }
    },
    Stop: (draft, _event, phase) => {
      wantDown(draft)
      if (phase.cause !== "shutdown") draft.state.phase = { _tag: "Stopping", cause: "stop", queued: false }
    },
    Restart: (draft, { cause }, phase) => {
      if (phase.cause === "stop" || phase.cause === "shutdown") return
      // What goes down already has its own reason, and comes back, or not, by that.
      if (cause === "group") return
      wantUp(draft)
      draft.state.phase = { ...phase, cause }
    },
    Shutdown: (draft, _event, phase) => {
      draft.state.phase = { ...phase, cause: "shutdown", queued: false }
    },
    Spawned: (draft, { adopted }) => {
      draft.state.born = true
      draft.state.adopted = adopted
      down(draft)
    },
    SpawnFailed: (draft, _event, { cause, queued }) => settle(draft, cause, queued),
    Ended: (draft, { end }) => {
      draft.state.end = end
    },
    Gone: (draft, { survivors }, { cause, queued }) => {
      if (survivors.length === 0) settle(draft, cause, queued)
      else fail(draft, { _tag: "StopTimeout", survivors })
    },
  },

  Backoff: {
    Start: (draft) => {
      wantUp(draft)
      begin(draft)
    },
    Stop: (draft) => {
      wantDown(draft)
      rest(draft)
    },
    Restart: (draft, { cause }) => {
      if (cause === "restart") begin(draft)
    },
    Shutdown: rest,
    Dependencies: (draft) => {
      if (isLost(draft.state.verdict)) begin(draft)
    },
    Delay: (draft, { until }, phase) => {
      const { state } = draft
      if (until !== undefined) state.phase = { ...phase, until }
      else fail(draft, { _tag: "RestartsExhausted", failures: state.failures, last: state.failure! })
    },
    Timer: (draft, { timer }) => {
      if (timer !== "backoff") return
      draft.state.restarts += 1
      begin(draft)
    },
  },
}

/** Whether an event is about something that is over. */
const isStale = (state: UnitState, event: UnitEvent): boolean => {
  switch (event._tag) {
    case "Timer":
      return state.armed[event.timer] !== event.token
    case "Busy":
      return state.armed.askBusy !== event.token
    case "Delay":
      return state.armed.backoff !== event.token
    case "Spawned":
    case "SpawnFailed":
    case "ProbePassed":
    case "ProbeFailed":
    case "Ended":
    case "Gone":
      return !state.live || state.generation !== event.generation
    default:
      return false
  }
}

const noEffects: ReadonlyArray<UnitEffect> = []

/** What a unit does about what happens to it. A stale event gives the very state that it was given. */
export const transition = (traits: Traits, state: UnitState, event: UnitEvent): Step => {
  if (isStale(state, event)) return { state, effects: noEffects }
  if (state.closed && (event._tag === "Start" || event._tag === "Restart"))
    return { state, effects: noEffects }
  const cell = table[state.phase._tag][event._tag] as
    | ((draft: Draft, event: UnitEvent, phase: Phase) => void)
    | undefined
  const answered = answeredBy(event)
  const draft = draftOf(traits, state)
  // It has happened, and has not to be disarmed any more.
  if (answered !== undefined) draft.state.armed = without(state.armed, answered)
  else if (event._tag === "Dependencies") draft.state.verdict = event.verdict
  else if (event._tag === "Shutdown") draft.state.closed = true
  else if (cell === undefined) return { state, effects: noEffects }
  cell?.(draft, event, state.phase)
  return draft.effects.length === 0 && isSame(draft.state, state) ? { state, effects: noEffects } : draft
}

/** What is not waited for any more once the event has happened. */
const answeredBy = (event: UnitEvent): TimerName | undefined => {
  switch (event._tag) {
    case "Timer":
      return event.timer
    case "Busy":
      return "askBusy"
    case "Delay":
      return event.until === undefined ? "backoff" : undefined
    default:
      return undefined
  }
}
