/**
 * An honest interpreter without anything real behind it: it does what the effects of `Transition` say, and knows what
 * may happen next because of them. It complains when it is told what makes no sense: a second instance, a timer that
 * is armed already, an instance that is told down twice.
 */
import type { Traits } from "../../src/unit/Transition.js"
import type { UnitEffect, UnitEvent } from "../../src/unit/UnitEvent.js"
import type { End, Phase, ProbeUse, TimerName, UnitState } from "../../src/unit/UnitState.js"
import type { Verdict } from "../../src/unit/Verdict.js"

/** The instance of one unit. */
export interface Instance {
  readonly generation: number
  /** `ordered`: Spawn is not answered yet; `ended`: its end was told; `survived`: KILL did not help. */
  readonly stage: "ordered" | "running" | "ended" | "survived"
  /** Whether its stop was ordered, and is not answered yet. */
  readonly stopping: boolean
  /** Whether it came to life. */
  readonly born: boolean
  /** Whether it was told that it is out of service. */
  readonly down: boolean
}

/** What the interpreter has under way for one unit. */
export interface Environment {
  readonly instance: Instance | undefined
  /** Timers that run, by token. */
  readonly timers: ReadonlyMap<number, "start" | "uptime" | "stable" | "dependency" | "busyGrace">
  /** The restart schedule: stepped and not answered yet, or its delay running. */
  readonly delay: { readonly token: number; readonly stage: "asked" | "running" } | undefined
  /** The question whether it is busy, not answered yet. */
  readonly asked: number | undefined
}

export const quiet: Environment = {
  instance: undefined,
  timers: new Map(),
  delay: undefined,
  asked: undefined,
}

/** What the effects ask for was not possible. */
export class Nonsense extends Error {}

const insist = (condition: boolean, what: string): void => {
  if (!condition) throw new Nonsense(what)
}

/** The interpreter after it has begun what the effects ask for. */
export const perform = (before: Environment, effects: ReadonlyArray<UnitEffect>): Environment => {
  if (effects.length === 0) return before
  let { asked, delay, instance } = before
  const timers = new Map(before.timers)
  for (const effect of effects) {
    switch (effect._tag) {
      case "Spawn":
        insist(instance === undefined, "Spawn while an instance is left")
        instance = {
          generation: effect.generation,
          stage: "ordered",
          stopping: false,
          born: false,
          down: false,
        }
        break
      case "StopInstance":
        if (instance === undefined) throw new Nonsense("StopInstance without an instance")
        insist(instance.generation === effect.generation, "StopInstance of another instance")
        insist(!instance.stopping, "StopInstance twice")
        insist(instance.stage !== "ended", "StopInstance of what is being cleared away already")
        instance = { ...instance, stopping: true }
        break
      case "Down":
        if (instance === undefined) throw new Nonsense("Down without an instance")
        insist(instance.generation === effect.generation, "Down of another instance")
        insist(instance.born, "Down of an instance that was never born")
        insist(!instance.down, "Down twice")
        instance = { ...instance, down: true }
        break
      case "Arm":
        insist(![...timers.values()].includes(effect.timer), `Arm of ${effect.timer}, which runs already`)
        timers.set(effect.token, effect.timer)
        break
      case "Disarm":
        if (timers.delete(effect.token)) break
        if (delay?.token === effect.token) delay = undefined
        else if (asked === effect.token) asked = undefined
        else throw new Nonsense("Disarm of what does not run")
        break
      case "NextDelay":
        insist(delay === undefined, "NextDelay while a delay runs")
        delay = { token: effect.token, stage: "asked" }
        break
      case "AskBusy":
        insist(asked === undefined, "AskBusy twice")
        asked = effect.token
        break
      case "ResetDelays":
        break
    }
  }
  return { instance, timers, delay, asked }
}

/** Something that may happen, and the interpreter once it has. */
export interface Possibility {
  readonly event: UnitEvent
  readonly after: Environment
  /** Whether it is an answer that the interpreter owes, so that it happens sooner or later. */
  readonly owed: boolean
}

/** How rich the world is. */
export interface Options {
  readonly ends: ReadonlyArray<End>
  /** Whether a Spawn may fail, and whether another try may help. */
  readonly spawnFails: ReadonlyArray<"retryable" | "permanent">
  /** Consecutive failures up to which probes count. */
  readonly failures: number
  readonly survivors: boolean
  readonly mismatch: boolean
  readonly adopts: boolean
  /** Delays may be done. */
  readonly delaysEnd: boolean
  /** Uses of probes that are declared. */
  readonly uses: ReadonlyArray<ProbeUse>
}

const startError = { kind: "CommandNotFound", message: "There is no such program." }

/** Everything that may happen next to a unit by itself. */
export const possibilities = (
  { kind }: Pick<Traits, "kind">,
  env: Environment,
  options: Options,
): ReadonlyArray<Possibility> => {
  const found: Array<Possibility> = []
  const may = (event: UnitEvent, after: Partial<Environment>, owed = false) => {
    found.push({ event, after: { ...env, ...after }, owed })
  }
  const { asked, delay, instance, timers } = env
  if (instance !== undefined) {
    const { generation, stage, stopping } = instance
    const gone = () => {
      may({ _tag: "Gone", generation, survivors: [] }, { instance: undefined }, true)
      if (!options.survivors || !instance.born) return
      const survived = { ...instance, stage: "survived", stopping: false } as const
      may({ _tag: "Gone", generation, survivors: ["pid 7"] }, { instance: survived }, true)
    }
    if (stage === "ordered") {
      for (const adopted of options.adopts && kind === "service" ? [false, true] : [false]) {
        const running = { ...instance, stage: "running", born: true } as const
        may({ _tag: "Spawned", generation, adopted }, { instance: running }, true)
      }
      if (kind !== "external") {
        for (const how of options.spawnFails) {
          const retryable = how === "retryable"
          const event = { _tag: "SpawnFailed", generation, error: startError, retryable } as const
          may(event, { instance: undefined }, true)
        }
      }
      if (stopping) gone()
    } else if (stage === "ended" || stopping) gone()
    // It may be so late that nobody has asked for it any more.
    else if (stage === "survived") may({ _tag: "Gone", generation, survivors: [] }, { instance: undefined })
    if (stage === "running" && kind !== "external") {
      // What is being stopped may still be told to have ended first.
      const then = { ...instance, stage: "ended" } as const
      for (const end of options.ends) may({ _tag: "Ended", generation, end }, { instance: then })
    }
    // A check's end may stand in the mailbox still when the instance is being stopped.
    if (stage === "running" && kind !== "oneshot") {
      for (const use of options.uses) {
        for (const ready of use === "readiness" ? [true, false] : [true]) {
          may({ _tag: "ProbePassed", generation, use, ready }, {})
        }
        for (let failures = 1; failures <= options.failures; failures++) {
          for (const mismatch of options.mismatch ? [false, true] : [false]) {
            const due = failures === options.failures
            may({ _tag: "ProbeFailed", generation, use, failures, due, last: "It said no.", mismatch }, {})
          }
        }
      }
    }
  }
  for (const [token, timer] of timers) {
    const others = new Map(timers)
    others.delete(token)
    may({ _tag: "Timer", timer, token }, { timers: others })
  }
  if (delay !== undefined) {
    const { stage, token } = delay
    if (stage === "asked") {
      may({ _tag: "Delay", token, until: 1_000 }, { delay: { token, stage: "running" } }, true)
      if (options.delaysEnd) may({ _tag: "Delay", token, until: undefined }, { delay: undefined }, true)
    } else may({ _tag: "Timer", timer: "backoff", token }, { delay: undefined })
  }
  if (asked !== undefined) {
    for (const busy of [true, false]) {
      may({ _tag: "Busy", token: asked, busy }, { asked: undefined }, true)
    }
  }
  return found
}

/** What in a unit's state does not agree with what the interpreter has under way. */
export const disagreements = (
  { kind }: Pick<Traits, "kind">,
  state: UnitState,
  env: Environment,
): ReadonlyArray<string> => {
  const wrong: Array<string> = []
  const claim = (holds: boolean, what: string) => {
    if (!holds) wrong.push(what)
  }
  const { armed, phase } = state
  const { instance } = env
  claim(state.live === (instance !== undefined), "live, and no instance is there, or the other way round")
  if (instance !== undefined) {
    claim(state.generation === instance.generation, "another generation than the instance's")
    claim(state.born === (instance.born && !instance.down), "born, and not to be told down")
  }
  for (const [token, timer] of env.timers) claim(armed[timer] === token, `${timer} runs and is not armed`)
  if (env.delay !== undefined) claim(armed.backoff === env.delay.token, "backoff runs and is not armed")
  if (env.asked !== undefined) claim(armed.askBusy === env.asked, "askBusy runs and is not armed")
  const running = env.timers.size + (env.delay === undefined ? 0 : 1) + (env.asked === undefined ? 0 : 1)
  claim(Object.keys(armed).length === running, "something is armed and does not run")
  const isDue = phase._tag === "Degraded" && phase.due
  const isStarting = phase._tag === "Starting"
  claim(armed.start === undefined || isStarting, "the deadline of a start outlives it")
  claim(armed.uptime === undefined || isStarting, "the minimal uptime outlives the start")
  claim(armed.stable === undefined || phase._tag === "Ready", "a stable period of what is not Ready")
  claim(armed.busyGrace === undefined || isDue, "a grace for what is not due")
  claim(armed.askBusy === undefined || isDue, "a question that nothing depends on")
  claim(armed.dependency === undefined || phase._tag === "Blocked", "a deadline of a wait that is over")
  claim(armed.backoff === undefined || phase._tag === "Backoff", "a delay that nothing waits for")
  switch (phase._tag) {
    case "Starting":
      claim(instance !== undefined && !instance.stopping, "Starting without an instance")
      claim(phase.spawned === (instance?.stage === "running"), "spawned, and it does not run")
      claim(phase.spawned || !state.adopted, "adopted before it is there")
      break
    case "Ready":
    case "Degraded":
      if (kind !== "target")
        claim(instance?.stage === "running" && !instance.stopping, "up, and no instance runs")
      break
    case "Stopping":
      claim(
        instance !== undefined && (instance.stopping || instance.stage === "ended"),
        "Stopping, and nothing will tell its end",
      )
      break
    case "Backoff":
      claim(env.delay !== undefined, "Backoff without a delay")
      claim((phase.until !== undefined) === (env.delay?.stage === "running"), "until without a delay")
      break
    case "Inactive":
    case "Exited":
    case "Blocked":
    case "Failed":
      claim(instance === undefined || instance.stage === "survived", "at rest, and an instance runs")
      break
  }
  return wrong
}

/** A unit and its interpreter together. */
export interface Node {
  readonly state: UnitState
  readonly env: Environment
}

export const timerNames: ReadonlyArray<TimerName> = [
  "start",
  "uptime",
  "stable",
  "backoff",
  "dependency",
  "busyGrace",
  "askBusy",
]

/**
 * The same node with small numbers: generations, tokens and totals grow for ever, and decide nothing. It is frozen, so
 * that whoever changes what it was given is caught.
 */
export const canonical = ({ env, state }: Node): Node => {
  const generation = Math.min(state.generation, 1)
  const renamed = new Map<number, number>()
  const armed: Partial<Record<TimerName, number>> = {}
  for (const [index, timer] of timerNames.entries()) {
    const token = state.armed[timer]
    if (token === undefined) continue
    renamed.set(token, index + 1)
    armed[timer] = index + 1
  }
  const rename = (token: number): number => renamed.get(token)!
  const { asked, delay, instance, timers } = env
  return {
    state: Object.freeze({
      ...state,
      generation,
      phase: Object.freeze(state.phase),
      armed: Object.freeze(armed),
      token: 10,
      restarts: 0,
    }),
    env: {
      instance: instance && { ...instance, generation },
      timers: new Map([...timers].map(([token, timer]) => [rename(token), timer])),
      delay: delay && { ...delay, token: rename(delay.token) },
      asked: asked && rename(asked),
    },
  }
}

const wordOfVerdict = (verdict: Verdict): string => {
  switch (verdict._tag) {
    case "Met":
      return "Met"
    case "Waiting":
      return `${verdict.reasons.join(" ")} ${verdict.required} ${verdict.lost} ${verdict.bound}`
    case "Broken":
      return `Broken ${verdict.name} ${verdict.bound}`
  }
}

const wordOfEnd = (end: End | undefined): string => {
  switch (end?._tag) {
    case undefined:
      return ""
    case "Exited":
      return String(end.code)
    case "Signaled":
      return end.signal
    case "Succeeded":
    case "Died":
      return end._tag
  }
}

const wordOfPhase = (phase: Phase): string => {
  switch (phase._tag) {
    case "Starting":
      return `Starting ${phase.spawned} ${phase.last}`
    case "Degraded":
      return `Degraded ${phase.failing.readiness} ${phase.failing.liveness} ${phase.due} ${phase.busy}`
    case "Stopping":
      return `Stopping ${phase.cause} ${phase.queued}`
    case "Backoff":
      return `Backoff ${phase.attempt} ${phase.until}`
    case "Failed":
      return `Failed ${phase.failure._tag} ${phase.failure._tag === "DependencyFailed" ? phase.failure.name : ""}`
    case "Inactive":
    case "Blocked":
    case "Ready":
    case "Exited":
      return phase._tag
  }
}

/** What tells nodes apart: everything that can decide something, now or later. */
export const keyOf = ({ env, state }: Node): string => {
  const { adopted, armed, born, closed, desired, end, failure, failures, live, phase, verdict, wasReady } =
    state
  // Afterwards it is kept to be read, and decides nothing.
  const pending = phase._tag === "Stopping" || phase._tag === "Backoff" ? failure?._tag : ""
  let timers = ""
  for (const timer of timerNames) if (armed[timer] !== undefined) timers += `${timer} `
  const { instance } = env
  const stage = instance === undefined ? "" : `${instance.stage} ${instance.stopping}`
  return `${wordOfPhase(phase)}|${desired}|${live}|${born}|${wasReady}|${adopted}|${closed}|${failures}|${wordOfEnd(end)}|${pending}|${wordOfVerdict(verdict)}|${timers}|${stage}|${env.delay?.stage}`
}
