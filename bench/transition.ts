/**
 * How many events a second does the heart of the supervisor take? One unit's life by `transition`, with everything that
 * happens to a service in it, and 100 units together by `System.step`.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Graph from "../src/unit/Graph.js"
import * as System from "../src/unit/System.js"
import { type Traits, transition } from "../src/unit/Transition.js"
import type { UnitEvent } from "../src/unit/UnitEvent.js"
import * as UnitSpec from "../src/unit/UnitSpec.js"
import { initial, type UnitState } from "../src/unit/UnitState.js"
import { limited } from "./harness.js"

const traits: Traits = {
  kind: "service",
  probed: true,
  startLimited: true,
  waitLimited: false,
  offersBusy: false,
  restart: { policy: "on-failure", maxFailures: 10, success: [], permanent: [] },
}

/** What happens next, told of the state that it happens to. */
type Input = (state: UnitState) => UnitEvent

const waiting = {
  _tag: "Waiting",
  reasons: ["db is starting."],
  required: true,
  lost: true,
  bound: false,
} as const
const passed: Input = ({ generation }) => ({ _tag: "ProbePassed", generation, use: "readiness", ready: true })
const failed: Input = ({ generation }) => ({
  _tag: "ProbeFailed",
  generation,
  use: "readiness",
  failures: 1,
  due: false,
  last: "GET http://localhost:8080/health was refused.",
  mismatch: false,
})
const up: ReadonlyArray<Input> = [
  ({ generation }) => ({ _tag: "Spawned", generation, adopted: false }),
  failed,
  failed,
  passed,
]
const flapping: ReadonlyArray<Input> = [failed, passed, failed, failed, passed]
const crash: ReadonlyArray<Input> = [
  ({ generation }) => ({ _tag: "Ended", generation, end: { _tag: "Exited", code: 1 } }),
  ({ generation }) => ({ _tag: "Gone", generation, survivors: [] }),
  ({ armed }) => ({ _tag: "Delay", token: armed.backoff!, until: 1_000 }),
  ({ armed }) => ({ _tag: "Timer", timer: "backoff", token: armed.backoff! }),
]
const stable: Input = ({ armed }) => ({ _tag: "Timer", timer: "stable", token: armed.stable! })
const gone: Input = ({ generation }) => ({ _tag: "Gone", generation, survivors: [] })

const life: ReadonlyArray<Input> = [
  () => ({ _tag: "Dependencies", verdict: waiting }),
  () => ({ _tag: "Start" }),
  () => ({ _tag: "Dependencies", verdict: { _tag: "Met" } }),
  ...up,
  ...flapping,
  // Comes too late.
  ({ generation }) => ({ _tag: "Gone", generation: generation - 1, survivors: [] }),
  ...crash,
  ...up,
  ...flapping,
  ...crash,
  ...up,
  stable,
  ...flapping,
  () => ({ _tag: "Restart", cause: "restart" }),
  gone,
  ...up,
  () => ({ _tag: "Stop" }),
  gone,
]

/** The events of a life as they are: every life has the same tokens. */
const events: ReadonlyArray<UnitEvent> = (() => {
  let state = initial("manual")
  return life.map((input) => {
    const event = input(state)
    state = transition(traits, state, event).state
    return event
  })
})()

const newborn = initial("manual")

/** Nanoseconds an event. */
const lives = (count: number): number => {
  let effects = 0
  const begin = performance.now()
  for (let one = 0; one < count; one++) {
    let state = newborn
    for (const event of events) {
      const stepped = transition(traits, state, event)
      state = stepped.state
      effects += stepped.effects.length
    }
    if (state.phase._tag !== "Inactive") throw new Error(`a life ended in ${state.phase._tag}`)
  }
  const millis = performance.now() - begin
  if (effects === 0) throw new Error("nothing was done")
  return (millis * 1e6) / (count * events.length)
}

const rounds = 15
lives(20_000)
limited({
  name: "transition: an event (1 M/s are 1000 ns)",
  unit: "ns",
  figures: Array.from({ length: rounds }, () => lives(10_000)),
  atMost: 1_000,
})

/** 100 services: ten stacks of a target over nine, of which each needs one or two. */
const hundred: System.System = (() => {
  const service = Effect.runSync(UnitSpec.make({ command: ["true"], readiness: { tcp: {} }, port: "auto" }))
  const target = Effect.runSync(UnitSpec.make({ kind: "target" }))
  const units = new Map<string, UnitSpec.UnitSpec>()
  for (let stack = 0; stack < 10; stack++) {
    const name = (index: number) => `s${stack}u${index}`
    const all = Array.from({ length: 9 }, (_, index) => name(index))
    for (const [index, one] of all.entries()) {
      const needed = index === 0 ? [] : [name(0), name(Math.floor((index - 1) / 2))]
      units.set(one, { ...service, requires: Object.fromEntries(needed.map((other) => [other, undefined])) })
    }
    units.set(`stack${stack}`, {
      ...target,
      requires: Object.fromEntries(all.map((other) => [other, undefined])),
    })
  }
  return {
    graph: Either.getOrThrow(Graph.make(units)),
    traits: new Map(
      [...units.keys()].map((name) => [
        name,
        units.get(name)!.kind === "target" ? { ...traits, kind: "target", probed: false } : traits,
      ]),
    ),
  }
})()

/** All come up, each of them crashes and comes back, all go down: microseconds a step. */
const day = (): number => {
  const { order } = hundred.graph
  let world = System.begin(hundred)
  let steps = 0
  const begin = performance.now()
  const step = (input: System.Command | System.Happening) => {
    world = System.step(hundred, world, input).world
    steps++
  }
  const happen = (unit: string, input: Input) =>
    step({ _tag: "Happening", unit, event: input(System.stateOf(world, unit)) })
  const services = order.filter((name) => hundred.traits.get(name)!.kind === "service")
  step({ _tag: "Start", names: order })
  for (const unit of services) for (const input of up) happen(unit, input)
  for (const unit of services) for (const input of [...flapping, ...crash, ...up]) happen(unit, input)
  step({ _tag: "Stop", names: order })
  for (const unit of services.toReversed()) happen(unit, gone)
  const millis = performance.now() - begin
  if (order.some((name) => System.stateOf(world, name).phase._tag !== "Inactive"))
    throw new Error("something is still up")
  return (millis * 1e3) / steps
}

for (let warm = 0; warm < 5; warm++) day()
limited({
  name: "System.step: an event among 100 units",
  unit: "us",
  figures: Array.from({ length: rounds }, day),
  atMost: 50,
})
