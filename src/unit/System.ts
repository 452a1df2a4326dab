/**
 * All units together: what happens to one of them, what somebody wants of several, and everything that follows from it
 * for the others, in one step. Pure as `Transition` is, so that starts, conflicts, groups and orderly stops are decided
 * on one picture of the whole, with nothing in between.
 */
import * as HashMap from "effect/HashMap"
import { SystemStep } from "./SystemStep.js"
import type { Outcome, System, World } from "./SystemWorld.js"
import type { UnitEvent } from "./UnitEvent.js"
import { initial, type UnitState } from "./UnitState.js"

export type { Change, Outcome, System, World } from "./SystemWorld.js"

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

/** Nothing runs yet. */
export const begin = ({ graph }: System): World => ({
  states: HashMap.fromIterable(graph.order.map((name) => [name, initial("manual")] as const)),
  due: HashMap.empty(),
  closed: false,
  isNew: true,
})

/** Where a unit is, which there must be. */
export const stateOf = (world: World, name: string): UnitState => HashMap.unsafeGet(world.states, name)

/** What comes of a command, or of what happens to a unit. */
export const step = (system: System, world: World, input: Command | Happening): Outcome => {
  const run = new SystemStep(system, world)
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
    // Generations and tokens go on: what comes late from before must not hit what comes after.
    const { desired, generation, live, restarts, token } = state.value
    return { ...initial(desired, generation), restarts, live, token }
  }
  return {
    states: HashMap.fromIterable(next.graph.order.map((name) => [name, keep(name)] as const)),
    due: HashMap.filter(world.due, (_, name) => next.graph.nodes.has(name)),
    closed: world.closed,
    isNew: true,
  }
}
