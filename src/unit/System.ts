/**
 * All units together: what happens to one of them, what somebody wants of several, and everything that follows from it
 * for the others, in one step. Pure as `Transition` is, so that starts, conflicts, groups and orderly stops are decided
 * on one picture of the whole, with nothing in between.
 */
import * as HashMap from "effect/HashMap"
import * as Dependencies from "./Dependencies.js"
import * as Graph from "./Graph.js"
import { type Traits, transition } from "./Transition.js"
import type { UnitEffect, UnitEvent } from "./UnitEvent.js"
import { initial, isActive, isSettled, type UnitState } from "./UnitState.js"
import { isSame } from "./Verdict.js"

/** What somebody wants. */
export type Command =
  /** Up, with everything that they need or want. */
  | { readonly _tag: "Start"; readonly names: ReadonlyArray<string> }
  /** Down, after everything that needs them; a target takes its members along. */
  | { readonly _tag: "Stop"; readonly names: ReadonlyArray<string> }
  /** Down, for as long as their specs are exchanged; what is bound to them waits for them to come back. */
  | { readonly _tag: "Hold"; readonly names: ReadonlyArray<string> }
  | { readonly _tag: "Restart"; readonly names: ReadonlyArray<string> }
  | { readonly _tag: "Shutdown" }

/** What happens to one unit. */
export interface Happening {
  readonly _tag: "Happening"
  readonly unit: string
  readonly event: UnitEvent
}

/** What a unit is about to be told, once everything that has to go down before it has. */
type Due = "stop" | "restart" | "shutdown"

/** Where everything is. */
export interface World {
  readonly states: HashMap.HashMap<string, UnitState>
  readonly due: HashMap.HashMap<string, Due>
  readonly closed: boolean
}

/** The units that there are, and what decides their transitions. */
export interface System {
  readonly graph: Graph.Graph
  readonly traits: ReadonlyMap<string, Traits>
}

/** A unit that has come from one state to another. */
export interface Change {
  readonly unit: string
  readonly event: UnitEvent["_tag"]
  readonly from: UnitState
  readonly to: UnitState
}

/** What has come of a step. */
export interface Outcome {
  readonly world: World
  readonly effects: ReadonlyArray<{ readonly unit: string; readonly effect: UnitEffect }>
  readonly changes: ReadonlyArray<Change>
}

/** Nothing runs yet. */
export const begin = ({ graph }: System): World => ({
  states: HashMap.fromIterable(graph.order.map((name) => [name, initial("manual")] as const)),
  due: HashMap.empty(),
  closed: false,
})

/** Where a unit is, which there must be. */
export const stateOf = (world: World, name: string): UnitState => HashMap.unsafeGet(world.states, name)

/** How long the way down is from one of them: which dependents have to be gone before it may go. */
const waitsFor: Readonly<Record<Due, ReadonlySet<Graph.EdgeKind>>> = {
  stop: new Set(["requires", "bindsTo"]),
  restart: new Set(["bindsTo"]),
  shutdown: new Set(["requires", "bindsTo", "after", "group"]),
}

const eventOf = (due: Due): UnitEvent =>
  due === "stop"
    ? { _tag: "Stop" }
    : due === "shutdown"
      ? { _tag: "Shutdown" }
      : { _tag: "Restart", cause: "restart" }

/** One step under way. It never leaves this module. */
class Step {
  readonly effects: Array<{ readonly unit: string; readonly effect: UnitEffect }> = []
  readonly changes: Array<Change> = []
  private readonly queue: Array<{ readonly unit: string; readonly event: UnitEvent }> = []
  private states: World["states"]
  private due: World["due"]
  private closed: boolean

  constructor(
    private readonly system: System,
    world: World,
  ) {
    this.states = world.states
    this.due = world.due
    this.closed = world.closed
  }

  get outcome(): Outcome {
    const { changes, closed, due, effects, states } = this
    return { world: { states, due, closed }, effects, changes }
  }

  happen(unit: string, event: UnitEvent): void {
    this.queue.push({ unit, event })
    this.settle()
  }

  start(names: ReadonlyArray<string>): void {
    if (this.closed) return
    const named = new Set(names)
    for (const name of Graph.startedWith(this.system.graph, names)) {
      if (HashMap.has(this.due, name)) {
        this.due = HashMap.remove(this.due, name)
        this.tell(name)
      }
      const { conflicts } = this.node(name)
      const opponents = conflicts.filter((other) => !isSettled(this.state(other)))
      if (opponents.length > 0) this.stop(opponents)
      const { phase } = this.state(name)
      // What has been done need not be done again for the sake of others.
      const isDone = phase._tag === "Exited" && this.node(name).spec.kind === "oneshot"
      if (isDone && !named.has(name)) continue
      this.refresh(name)
      this.happen(name, { _tag: "Start" })
    }
  }

  stop(names: ReadonlyArray<string>): void {
    const isWanted = (name: string) => this.state(name).desired === "up"
    this.schedule(Graph.stoppedWith(this.system.graph, names, isWanted), "stop")
  }

  hold(names: ReadonlyArray<string>): void {
    this.schedule(names, "stop")
  }

  restart(names: ReadonlyArray<string>): void {
    if (this.closed) return
    const all = this.members(names)
    const along = Graph.startedWith(this.system.graph, all).filter((name) => !all.includes(name))
    this.start(along.filter((name) => !isActive(this.state(name))))
    this.schedule(all, "restart")
  }

  shutdown(): void {
    this.closed = true
    this.schedule(this.system.graph.order, "shutdown")
  }

  /** Targets stand for what they are made of. */
  private members(names: ReadonlyArray<string>): ReadonlyArray<string> {
    const found = new Set<string>()
    const open = [...names]
    while (open.length > 0) {
      const name = open.pop()!
      if (found.has(name)) continue
      found.add(name)
      const { spec } = this.node(name)
      if (spec.kind === "target") open.push(...Object.keys(spec.requires), ...spec.bindsTo, ...spec.wants)
    }
    return this.system.graph.order.filter((name) => found.has(name))
  }

  private schedule(names: ReadonlyArray<string>, due: Due): void {
    for (const name of names) {
      if (due === "restart" && HashMap.has(this.due, name)) continue
      this.due = HashMap.set(this.due, name, due)
    }
    for (const name of names) this.tell(name)
    this.settle()
  }

  private node(name: string): Graph.Node {
    return this.system.graph.nodes.get(name)!
  }

  private state(name: string): UnitState {
    return HashMap.unsafeGet(this.states, name)
  }

  private settle(): void {
    do {
      // Breadth first: what follows from one event is looked at after what came before it.
      for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
        this.apply(next.unit, next.event)
      }
    } while (this.release())
  }

  private apply(unit: string, event: UnitEvent): void {
    const from = this.state(unit)
    const { effects, state: to } = transition(this.system.traits.get(unit)!, from, event)
    if (to === from) return
    this.states = HashMap.set(this.states, unit, to)
    for (const effect of effects) this.effects.push({ unit, effect })
    this.changes.push({ unit, event: event._tag, from, to })
    if (to.phase === from.phase && to.live === from.live) return
    this.groupOf(unit, from, to)
    this.tell(unit, from)
  }

  /** A crash of a member, after which it will be started again, takes others of its group along. */
  private groupOf(unit: string, from: UnitState, to: UnitState): void {
    const { group } = this.node(unit)
    if (group === undefined || group.strategy === "one-for-one") return
    if (to.phase._tag !== "Backoff" || from.phase._tag === "Backoff") return
    const own = group.units.indexOf(unit)
    for (const [index, other] of group.units.entries()) {
      if (index === own || (index < own && group.strategy === "rest-for-one")) continue
      if (isActive(this.state(other)))
        this.queue.push({ unit: other, event: { _tag: "Restart", cause: "group" } })
    }
  }

  /** Lets those whom it concerns know where a unit is now. */
  private tell(unit: string, from?: UnitState): void {
    const { conflicts, dependents, group } = this.node(unit)
    const to = this.state(unit)
    const isDue = HashMap.has(this.due, unit)
    for (const edge of dependents) {
      if (from !== undefined) {
        const before = Dependencies.standing(edge, from, isDue)
        const after = Dependencies.standing(edge, to, isDue)
        if (before._tag === after._tag && reasonOf(before) === reasonOf(after)) continue
      }
      this.refresh(edge.from)
    }
    for (const other of conflicts) this.refresh(other)
    if (group !== undefined && group.strategy !== "one-for-one") {
      for (const other of group.units) if (other !== unit) this.refresh(other)
    }
  }

  private refresh(name: string): void {
    const verdict = Dependencies.evaluate(
      this.node(name),
      (other) => this.state(other),
      (other) => HashMap.has(this.due, other),
    )
    if (isSame(verdict, this.state(name).verdict)) return
    this.apply(name, { _tag: "Dependencies", verdict })
  }

  /** Tells those who may go down now; false when nobody may. */
  private release(): boolean {
    if (HashMap.isEmpty(this.due)) return false
    let any = false
    for (const [name, due] of HashMap.toEntries(this.due)) {
      const { live } = this.state(name)
      if (live && this.isHeld(name, due)) continue
      any = true
      this.due = HashMap.remove(this.due, name)
      this.apply(name, eventOf(due))
      this.tell(name)
    }
    return any
  }

  private isHeld(name: string, due: Due): boolean {
    const kinds = waitsFor[due]
    return this.node(name).dependents.some(({ from, kind }) => {
      if (!kinds.has(kind)) return false
      const node = this.node(from)
      // A target is gone at once; what needs it goes down all the same.
      if (node.spec.kind === "target") return this.isHeld(from, due)
      // Only those that go down with it have to be waited for.
      return this.state(from).live && (due !== "stop" || this.isGoing(from))
    })
  }

  private isGoing(name: string): boolean {
    return HashMap.has(this.due, name) || this.state(name).phase._tag === "Stopping"
  }
}

const reasonOf = (standing: Dependencies.Standing): string =>
  standing._tag === "Met"
    ? ""
    : standing._tag === "Waiting"
      ? `${standing.lost} ${standing.reason}`
      : standing.why

/** What comes of a command, or of what happens to a unit. */
export const step = (system: System, world: World, input: Command | Happening): Outcome => {
  const run = new Step(system, world)
  switch (input._tag) {
    case "Happening":
      if (system.graph.nodes.has(input.unit)) run.happen(input.unit, input.event)
      break
    case "Start":
      run.start(input.names)
      break
    case "Stop":
      run.stop(input.names)
      break
    case "Hold":
      run.hold(input.names)
      break
    case "Restart":
      run.restart(input.names)
      break
    case "Shutdown":
      run.shutdown()
      break
  }
  return run.outcome
}

/**
 * The same world with other units: those that stay as they are keep their state, changed ones begin anew with what is
 * known of their past. Whatever is removed or changed must have been held: nothing of it may be live.
 */
export const exchange = (next: System, world: World, changed: ReadonlySet<string>): World => {
  const keep = (name: string): UnitState => {
    const state = HashMap.get(world.states, name)
    if (state._tag === "None") return initial("manual")
    if (!changed.has(name)) return state.value
    const { desired, generation, live, restarts } = state.value
    return { ...initial(desired, generation), restarts, live }
  }
  return {
    states: HashMap.fromIterable(next.graph.order.map((name) => [name, keep(name)] as const)),
    due: HashMap.filter(world.due, (_, name) => next.graph.nodes.has(name)),
    closed: world.closed,
  }
}
