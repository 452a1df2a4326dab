/** One step of all units together, under way: what follows from what, until nothing follows any more. */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Dependencies from "./Dependencies.js"
import * as Graph from "./Graph.js"
import { classify } from "./RestartPolicy.js"
import { goesDown, transition } from "./Transition.js"
import type { UnitEffect, UnitEvent } from "./UnitEvent.js"
import { isActive, isSettled, type UnitState } from "./UnitState.js"
import {
  type Change,
  type Due,
  eventOf,
  isCrash,
  type Outcome,
  strength,
  type System,
  type World,
} from "./SystemWorld.js"
import { isSame } from "./Verdict.js"

/** Adds a number to ascending ones, once. */
const insert = (ascending: Array<number>, number: number): void => {
  let from = 0
  for (let to = ascending.length; from < to;) {
    const middle = (from + to) >> 1
    if (ascending[middle]! < number) from = middle + 1
    else to = middle
  }
  if (ascending[from] !== number) ascending.splice(from, 0, number)
}

/** One step under way. It is made for one input, and thrown away. */
export class SystemStep {
  private readonly effects: Array<{ readonly unit: string; readonly effect: UnitEffect }> = []
  private readonly changes: Array<Change> = []
  private states: World["states"]
  private due: World["due"]
  private closed: boolean
  /** Ranks of units whose verdict may have changed, ascending: what comes first in the graph is looked at first. */
  private readonly open: Array<number>
  /** Ranks of units that may start, ascending: they do when nothing else follows, which might still prevent it. */
  private readonly ready: Array<number> = []
  /** Units that are not what they were, so that others may be let go. */
  private readonly touched: Set<string>
  /** Units without an instance that this step is about to start: as good as on their way. */
  private readonly coming = new Set<string>()

  constructor(
    private readonly system: System,
    world: World,
  ) {
    this.states = world.states
    this.due = world.due
    this.closed = world.closed
    this.open = world.isNew ? system.graph.order.map((_, rank) => rank) : []
    this.touched = new Set(world.isNew ? HashMap.keys(world.due) : [])
    this.settle()
  }

  /** What has come of it so far. */
  get outcome(): Outcome {
    const { changes, closed, due, effects, states } = this
    return { world: { states, due, closed, isNew: false }, effects, changes }
  }

  /** Something happens to a unit. */
  happen(unit: string, event: UnitEvent): void {
    this.apply(unit, event)
    this.settle()
  }

  /** Up, with everything that they need or want; what conflicts with them goes down. */
  start(names: ReadonlyArray<string>): void {
    if (this.closed) return
    const along = this.peaceful(this.startedWith(names))
    this.yieldTo(along)
    this.startAll(along, new Set(names))
  }

  /** Down, after everything that needs them; a target takes its members along. */
  stop(names: ReadonlyArray<string>): void {
    this.planStop(names)
    this.settle()
  }

  /** Down, and what is bound to them waits for them. */
  hold(names: ReadonlyArray<string>): void {
    for (const name of names) this.plan(name, "stop")
    this.settle()
  }

  /** Down and up again; what is down is started. */
  restart(names: ReadonlyArray<string>): void {
    if (this.closed) return
    const { graph } = this.system
    // Targets stand for what they are made of.
    const all = new Set(Graph.membersOf(graph, names))
    const along = this.peaceful(this.startedWith(all))
    this.yieldTo(along)
    for (const name of along) if (all.has(name) && this.state(name).live) this.plan(name, "restart")
    const isMissing = (name: string) => (all.has(name) ? !this.state(name).live : !isActive(this.state(name)))
    this.startAll(along.filter(isMissing), all)
  }

  /** Everything down, for good. */
  shutdown(): void {
    this.closed = true
    for (const name of this.system.graph.order) this.plan(name, "shutdown")
    this.settle()
  }

  /** These units and what is started with them: those of their groups, too, that have failed and keep them down. */
  private startedWith(names: Iterable<string>): ReadonlyArray<string> {
    const { graph } = this.system
    let all = Graph.startedWith(graph, names)
    for (;;) {
      const found = new Set(all)
      for (const name of all) {
        for (const other of Dependencies.concerning(this.node(name))) {
          if (this.state(other).phase._tag === "Failed") found.add(other)
        }
      }
      if (found.size === all.length) return all
      all = Graph.startedWith(graph, found)
    }
  }

  /** Without those that conflict with a later one, as if they were started one after the other; nor who needs them. */
  private peaceful(names: ReadonlyArray<string>): ReadonlyArray<string> {
    const beaten = new Set<string>()
    for (const name of names.toReversed()) {
      const { conflicts } = this.node(name)
      if (conflicts.length === 0 || beaten.has(name)) continue
      const rivals = names.filter((other) => conflicts.includes(other))
      for (const other of Graph.neededBy(this.system.graph, rivals)) beaten.add(other)
    }
    return beaten.size === 0 ? names : names.filter((name) => !beaten.has(name))
  }

  /** Starts these units, which stand in the order of a start. Only those that are named do again what they have done. */
  private startAll(names: ReadonlyArray<string>, named: ReadonlySet<string>): void {
    const started = names.filter((name) => named.has(name) || !this.isDone(name))
    for (const name of started) if (this.dueOf(name) === "stop") this.cancel(name)
    // All at once: what has failed is no reason for another one to fail when it is about to be started too.
    for (const name of started) if (isSettled(this.state(name))) this.coming.add(name)
    for (const name of started) {
      this.lookAgain()
      if (this.coming.has(name)) {
        const verdict = Dependencies.evaluate(this.node(name), this.state, this.isDue)
        this.apply(name, { _tag: "Dependencies", verdict })
      }
      this.apply(name, { _tag: "Start" })
      if (this.coming.delete(name)) this.mark(name, true)
    }
    this.settle()
  }

  /** What conflicts with these units is to go down. */
  private yieldTo(names: ReadonlyArray<string>): void {
    const all = new Set(names)
    const opponents = new Set<string>()
    for (const name of names) {
      for (const other of this.node(name).conflicts) {
        const state = this.state(other)
        if (!all.has(other) && (state.live || !isSettled(state))) opponents.add(other)
      }
    }
    if (opponents.size > 0) this.planStop([...opponents], (name) => all.has(name))
  }

  private planStop(names: ReadonlyArray<string>, isKept: (name: string) => boolean = () => false): void {
    const { graph } = this.system
    const isWanted = (name: string) => isKept(name) || this.state(name).desired === "up"
    const named = new Set(Graph.membersOf(graph, names))
    for (const name of Graph.stoppedWith(graph, names, isWanted)) {
      const state = this.state(name)
      // Who only needs them, and is down already, stays as it is: failed, for example.
      if (named.has(name) || state.live || !isSettled(state)) this.plan(name, "stop")
    }
  }

  /** Whether a oneshot has succeeded, though something of it may still be cleared away. */
  private isDone(name: string): boolean {
    const { kind, restart } = this.system.traits.get(name)!
    const { end, phase } = this.state(name)
    if (kind !== "oneshot") return false
    if (phase._tag === "Exited") return true
    if (phase._tag !== "Stopping" || phase.cause !== "exit" || end === undefined) return false
    return classify(restart, end) === "success"
  }

  private plan(name: string, due: Due): void {
    const before = this.dueOf(name)
    if (before !== undefined && strength[before] >= strength[due]) return
    this.due = HashMap.set(this.due, name, due)
    if (before === undefined) this.mark(name)
  }

  private cancel(name: string): void {
    this.due = HashMap.remove(this.due, name)
    this.mark(name, true)
  }

  private node(name: string): Graph.Node {
    return this.system.graph.nodes.get(name)!
  }

  private readonly state = (name: string): UnitState => HashMap.unsafeGet(this.states, name)

  private dueOf(name: string): Due | undefined {
    return Option.getOrUndefined(HashMap.get(this.due, name))
  }

  private readonly isDue = (name: string): boolean => HashMap.has(this.due, name) || this.coming.has(name)

  private settle(): void {
    do this.drain()
    while (this.release())
  }

  private apply(unit: string, event: UnitEvent): void {
    const from = this.state(unit)
    const { effects, state: to } = transition(this.system.traits.get(unit)!, from, event)
    if (to === from) return
    this.states = HashMap.set(this.states, unit, to)
    for (const effect of effects) this.effects.push({ unit, effect })
    this.changes.push({ unit, event: event._tag, from, to })
    // What others see of it.
    if (to.phase === from.phase && to.live === from.live && to.desired === from.desired) return
    if (isCrash(from, to)) this.takeGroupAlong(unit)
    this.mark(unit)
  }

  /** A crash of a member, after which it will be started again, takes others of its group along. */
  private takeGroupAlong(unit: string): void {
    const { group } = this.node(unit)
    if (group === undefined || group.strategy === "one-for-one") return
    const own = group.units.indexOf(unit)
    for (const [index, other] of group.units.entries()) {
      if (index === own || (index < own && group.strategy === "rest-for-one")) continue
      if (isActive(this.state(other))) this.plan(other, "group")
    }
  }

  /** Has all looked at again whom it concerns where a unit is now. */
  private mark(unit: string, itself = false): void {
    this.touched.add(unit)
    const { conflicts, dependents, group, rank } = this.node(unit)
    if (itself) insert(this.open, rank)
    for (const { from } of dependents) insert(this.open, this.node(from).rank)
    for (const other of conflicts) insert(this.open, this.node(other).rank)
    if (group === undefined || group.strategy === "one-for-one") return
    for (const other of group.units) if (other !== unit) insert(this.open, this.node(other).rank)
  }

  /** Looks at all again that is marked, and lets nothing start. */
  private lookAgain(): void {
    const { order } = this.system.graph
    for (let rank = this.open.shift(); rank !== undefined; rank = this.open.shift())
      this.refresh(order[rank]!)
  }

  private drain(): void {
    for (;;) {
      this.lookAgain()
      const rank = this.ready.shift()
      if (rank === undefined) return
      this.refresh(this.system.graph.order[rank]!, true)
    }
  }

  /** Looks again at what its dependencies say; a unit starts for that only where it may. */
  private refresh(name: string, mayStart = false): void {
    // What is about to be told something else hears of it afterwards.
    if (this.isDue(name)) return
    const node = this.node(name)
    const state = this.state(name)
    const verdict = Dependencies.evaluate(node, this.state, this.isDue)
    if (isSame(verdict, state.verdict)) return
    if (goesDown(node.spec, state, verdict)) this.plan(name, "loss")
    else if (
      verdict._tag === "Met" &&
      state.phase._tag === "Blocked" &&
      !mayStart &&
      node.spec.kind !== "target"
    )
      insert(this.ready, node.rank)
    else this.apply(name, { _tag: "Dependencies", verdict })
  }

  /** Tells those who may go down now; false when nobody may. */
  private release(): boolean {
    let any = false
    for (const name of this.inTurn()) {
      const due = this.dueOf(name)
      const state = this.state(name)
      if (due === undefined) continue
      if (state.live && state.phase._tag !== "Stopping" && this.isHeld(name)) continue
      any = true
      // What is down already hears first of what it could not hear while this was due.
      if (!state.live) {
        this.cancel(name)
        this.lookAgain()
      }
      if (due !== "loss" || isActive(state)) this.apply(name, eventOf[due])
      if (state.live) this.cancel(name)
      this.drain()
    }
    return any
  }

  /** Units that something is due for, dependents first: those that a change since the last look may have let go. */
  private inTurn(): ReadonlyArray<string> {
    const touched = new Set(this.touched)
    this.touched.clear()
    if (HashMap.isEmpty(this.due)) return []
    const open = [...touched]
    const seen = new Set(open)
    const found: Array<Graph.Node> = []
    // It grows while it is read: from what has changed on to what it waits for, through what is not there.
    for (const name of open) {
      const node = this.node(name)
      if (HashMap.has(this.due, name)) found.push(node)
      if (!touched.has(name) && this.state(name).live) continue
      for (const { to } of node.edges) {
        if (!seen.has(to)) open.push(to)
        seen.add(to)
      }
    }
    return found.sort((a, b) => b.rank - a.rank).map(({ name }) => name)
  }

  /** Whether something that waits for a unit, and is going down, is still there. */
  private isHeld(name: string): boolean {
    const seen = new Set<string>()
    for (const open = [this.node(name)]; open.length > 0;) {
      for (const { from } of open.pop()!.dependents) {
        if (seen.has(from)) continue
        seen.add(from)
        // Nothing is left of it, or there never was, as of a target: what waits for it counts in its place.
        if (!this.state(from).live) open.push(this.node(from))
        else if (this.isGoing(from)) return true
      }
    }
    return false
  }

  private isGoing(name: string): boolean {
    return HashMap.has(this.due, name) || this.state(name).phase._tag === "Stopping"
  }
}
