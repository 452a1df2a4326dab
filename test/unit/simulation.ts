/** All units of a graph with an honest interpreter for each, and what must hold after every step of them. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import * as Dependencies from "../../src/unit/Dependencies.js"
import * as Graph from "../../src/unit/Graph.js"
import * as System from "../../src/unit/System.js"
import type { Traits } from "../../src/unit/Transition.js"
import type { UnitEvent } from "../../src/unit/UnitEvent.js"
import * as UnitSpec from "../../src/unit/UnitSpec.js"
import { isSettled, isUp, type UnitState } from "../../src/unit/UnitState.js"
import { isSame } from "../../src/unit/Verdict.js"
import * as Environment from "./environment.js"

const decoded = new Map<string, UnitSpec.UnitSpec>()

/** A unit's spec. What its kind needs is added. */
export const spec = (input: UnitSpec.Input = {}): UnitSpec.UnitSpec => {
  const key = JSON.stringify(input)
  const known = decoded.get(key)
  if (known !== undefined) return known
  const { kind = "service" } = input
  const needed: UnitSpec.Input =
    kind === "external"
      ? { url: "http://127.0.0.1:9200" }
      : kind === "service" || kind === "oneshot"
        ? { command: ["true"] }
        : {}
  const fresh = Effect.runSync(UnitSpec.make({ autostart: false, ...needed, ...input }))
  decoded.set(key, fresh)
  return fresh
}

/** The system of these units. */
export const systemOf = (
  units: Readonly<Record<string, UnitSpec.Input>>,
  groups: Readonly<Record<string, UnitSpec.Group>> = {},
): System.System => {
  const specs = new Map(Object.entries(units).map(([name, input]) => [name, spec(input)]))
  const made = Graph.make(specs, new Map(Object.entries(groups)))
  if (Either.isLeft(made)) throw new Error(made.left.map(({ message }) => message).join("; "))
  const traits = new Map<string, Traits>(
    [...specs].map(([name, spec]) => [
      name,
      {
        kind: spec.kind,
        probed: spec.readiness !== undefined || spec.kind === "external",
        startLimited: spec.startTimeout !== undefined,
        waitLimited: spec.dependencyTimeout !== undefined,
        offersBusy: spec.busy !== undefined,
        restart: spec.restart,
      },
    ]),
  )
  return { graph: made.right, traits }
}

/** Where all units are, and what their interpreters have under way. Immutable. */
export interface Moment {
  readonly world: System.World
  readonly envs: ReadonlyMap<string, Environment.Environment>
}

/** Before anything has happened. */
export const begin = (system: System.System): Moment => ({
  world: System.begin(system),
  envs: new Map(system.graph.order.map((name) => [name, Environment.quiet])),
})

/** Something that may be next. */
export interface Next {
  readonly input: System.Command | System.Happening
  /** What its interpreter has under way once it has happened. */
  readonly after?: Environment.Environment
  readonly owed: boolean
}

/** Everything that may happen by itself. */
export const happenings = (
  { traits }: System.System,
  { envs }: Moment,
  optionsOf: (name: string) => Environment.Options,
): ReadonlyArray<Next> =>
  [...envs].flatMap(([unit, env]) =>
    Environment.possibilities(traits.get(unit)!, env, optionsOf(unit)).map(
      ({ after, event, owed }): Next => ({ input: { _tag: "Happening", unit, event }, after, owed }),
    ),
  )

/** Whatever needs a unit, itself or by way of what is not there, and is live and going. */
const leavingDependents = (
  system: System.System,
  world: System.World,
  name: string,
): ReadonlyArray<string> => {
  const found: Array<string> = []
  const seen = new Set<string>()
  const follow = (one: string): void => {
    for (const { from } of system.graph.nodes.get(one)!.dependents) {
      if (seen.has(from)) continue
      seen.add(from)
      const { live, phase } = System.stateOf(world, from)
      if (!live) follow(from)
      else if (phase._tag === "Stopping" || HashMap.has(world.due, from)) found.push(from)
    }
  }
  follow(name)
  return found
}

/** What does not hold of a step. */
export const faultsOf = (
  system: System.System,
  before: Moment,
  { input }: Next,
  { changes, effects, world }: System.Outcome,
  envs: ReadonlyMap<string, Environment.Environment>,
): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const claim = (holds: boolean, what: string) => {
    if (!holds) faults.push(what)
  }
  const { graph, traits } = system
  const isDue = (name: string) => HashMap.has(world.due, name)
  const stateOf = (name: string) => System.stateOf(world, name)
  const stopped = new Set(
    effects.flatMap(({ effect, unit }) => (effect._tag === "StopInstance" ? [unit] : [])),
  )

  claim(changes.length <= 20 * graph.order.length, `${changes.length} changes in one step`)
  for (const name of graph.order) {
    const state = stateOf(name)
    const node = graph.nodes.get(name)!
    for (const fault of Environment.disagreements(traits.get(name)!, state, envs.get(name)!)) {
      faults.push(`${name}: ${fault}`)
    }
    for (const other of node.conflicts) {
      const both = [state, stateOf(other)].every((one) => one.live || isUp(one))
      claim(!both, `${name} and ${other} conflict, and both are up`)
    }
    if (isDue(name)) {
      claim(state.live && state.phase._tag !== "Stopping", `${name} waits for nothing`)
      claim(leavingDependents(system, world, name).length > 0, `${name} waits for nobody`)
    } else {
      const fresh = Dependencies.evaluate(node, stateOf, isDue)
      claim(
        isSame(fresh, state.verdict),
        `${name} knows ${JSON.stringify(state.verdict)}, not ${JSON.stringify(fresh)}`,
      )
    }
    // What happens to the instance itself cannot wait, whoever still uses it.
    const isOwn = input._tag === "Happening" && input.unit === name
    if (stopped.has(name) && !isOwn) {
      const was = System.stateOf(before.world, name)
      if (!isSettled(was)) {
        const left = leavingDependents(system, world, name)
        claim(left.length === 0, `${name} is stopped before ${left.join(", ")}`)
      }
    }
  }
  for (const { effect, unit } of effects) {
    if (effect._tag !== "Spawn") continue
    claim(!stopped.has(unit), `${unit} is started and stopped in one step`)
    for (const edge of graph.nodes.get(unit)!.edges) {
      const standing = Dependencies.standing(edge, stateOf(edge.to), isDue(edge.to))
      claim(standing._tag === "Met", `${unit} starts, and ${edge.to} is not there`)
    }
    const isWanted = stateOf(unit).desired === "up"
    claim(isWanted, `${unit} starts, and nobody wants it`)
    const isOrdered = HashMap.has(before.world.due, unit)
    if (input._tag !== "Start" && input._tag !== "Restart" && !isOrdered)
      claim(System.stateOf(before.world, unit).desired === "up", `${unit} was stopped, and starts by itself`)
    claim(!world.closed, `${unit} starts while everything closes`)
  }
  return faults
}

/** The next moment, and what has come of the step; `faults` tells what does not hold of it. */
export const step = (system: System.System, moment: Moment, next: Next) => {
  const { after, input } = next
  const envs = new Map(moment.envs)
  if (input._tag === "Happening" && after !== undefined) envs.set(input.unit, after)
  const outcome = System.step(system, moment.world, input)
  const faults: Array<string> = []
  for (const { effect, unit } of outcome.effects) {
    try {
      envs.set(unit, Environment.perform(envs.get(unit)!, [effect]))
    } catch (error) {
      if (!(error instanceof Environment.Nonsense)) throw error
      faults.push(`${unit}: ${error.message}`)
    }
  }
  faults.push(...faultsOf(system, moment, next, outcome, envs))
  return { moment: { world: outcome.world, envs }, outcome, faults }
}

/** A world in which everything goes well. */
export const kind: Environment.Options = {
  ends: [{ _tag: "Exited", code: 0 }],
  spawnFails: [],
  failures: 0,
  survivors: false,
  mismatch: false,
  adopts: false,
  delaysEnd: false,
  uses: ["readiness", "liveness"],
}

/** What comes next to a unit where everything goes well; undefined: nothing any more. */
export const goesWell = (system: System.System, { envs, world }: Moment, unit: string): Next | undefined => {
  const { phase } = System.stateOf(world, unit)
  const traits = system.traits.get(unit)!
  const isWanted = (event: UnitEvent): boolean => {
    switch (event._tag) {
      case "Ended":
        return traits.kind === "oneshot" && phase._tag === "Starting"
      case "ProbePassed":
        if (phase._tag === "Degraded") return event.ready && event.use in phase.failing
        return event.ready && event.use === "readiness" && traits.probed && phase._tag === "Starting"
      case "Timer":
        return event.timer === "uptime" || event.timer === "backoff"
      default:
        return true
    }
  }
  const found = Environment.possibilities(traits, envs.get(unit)!, kind).find(({ event }) => isWanted(event))
  return (
    found && {
      input: { _tag: "Happening", unit, event: found.event },
      after: found.after,
      owed: found.owed,
    }
  )
}

/** A unit's phase in a word or two. */
export const shown = ({ phase }: UnitState): string => {
  switch (phase._tag) {
    case "Stopping":
      return `Stopping{${phase.cause}${phase.queued ? ", queued" : ""}}`
    case "Failed":
      return `Failed{${phase.failure._tag}}`
    default:
      return phase._tag
  }
}

/** A story told step by step: it throws as soon as something does not hold. */
export class Story {
  moment: Moment
  /** `Spawn a`, `StopInstance b`: in their order, since `forget`. */
  orders: Array<string> = []

  constructor(readonly system: System.System) {
    this.moment = begin(system)
  }

  step(next: Next): System.Outcome {
    const { faults, moment, outcome } = step(this.system, this.moment, next)
    if (faults.length > 0)
      throw new Error(`${faults.join("; ")} at ${JSON.stringify(next.input)} in ${this.phases}`)
    this.moment = moment
    for (const { effect, unit } of outcome.effects) {
      if (effect._tag === "Spawn") this.orders.push(`start ${unit}`)
      if (effect._tag === "StopInstance") this.orders.push(`stop ${unit}`)
    }
    return outcome
  }

  /** What an operator orders. */
  order(_tag: "Start" | "Stop" | "Hold" | "Restart", ...names: ReadonlyArray<string>): this {
    this.step({ input: { _tag, names }, owed: false })
    return this
  }

  shutdown(): this {
    this.step({ input: { _tag: "Shutdown" }, owed: false })
    return this
  }

  /** The one thing among those that may happen to a unit now that looks like this. */
  happen(
    unit: string,
    matches: (event: UnitEvent) => boolean,
    options: Partial<Environment.Options> = {},
  ): this {
    const all = happenings(this.system, this.moment, () => ({ ...kind, ...options }))
    const found = all.find(
      ({ input }) => input._tag === "Happening" && input.unit === unit && matches(input.event),
    )
    if (found === undefined) throw new Error(`that cannot happen to ${unit} in ${this.phases}`)
    this.step(found)
    return this
  }

  /** The unit's process ends. */
  end(unit: string, code = 1): this {
    const end = { _tag: "Exited", code } as const
    return this.happen(unit, ({ _tag }) => _tag === "Ended", { ends: [end] })
  }

  /** Nothing is left of the unit's instance. */
  gone(unit: string): this {
    return this.happen(unit, ({ _tag }) => _tag === "Gone")
  }

  /** Something of the unit's instance survives KILL. */
  survive(unit: string): this {
    return this.happen(unit, (event) => event._tag === "Gone" && event.survivors.length > 0, {
      survivors: true,
    })
  }

  /** Its process runs. */
  spawned(unit: string): this {
    return this.happen(unit, ({ _tag }) => _tag === "Spawned")
  }

  /** Everything goes well, for all or for these units only, until nothing more happens. */
  goWell(...units: ReadonlyArray<string>): this {
    const concerned = units.length === 0 ? this.system.graph.order : units
    for (let left = 1_000; left > 0; left--) {
      const next = concerned.flatMap((unit) => goesWell(this.system, this.moment, unit) ?? [])[0]
      if (next === undefined) return this
      this.step(next)
    }
    throw new Error(`it never comes to rest: ${this.phases}`)
  }

  forget(): this {
    this.orders = []
    return this
  }

  state(unit: string): UnitState {
    return System.stateOf(this.moment.world, unit)
  }

  /** `a Ready, b Blocked`. */
  get phases(): string {
    return this.system.graph.order.map((name) => `${name} ${shown(this.state(name))}`).join(", ")
  }
}
