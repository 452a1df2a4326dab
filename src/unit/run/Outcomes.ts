/** Whether what somebody waits for has come about. Pure. */
import * as HashMap from "effect/HashMap"
import type { System, World } from "../System.js"
import { describe } from "../UnitFailure.js"
import * as Phases from "./Phases.js"

/** What has become of a wait. */
export type Outcome =
  | { readonly _tag: "Pending" }
  | { readonly _tag: "Done" }
  | { readonly _tag: "Failed"; readonly kind: string; readonly reason: string }
  | { readonly _tag: "Closed" }

const pending: Outcome = { _tag: "Pending" }
const done: Outcome = { _tag: "Done" }

const failed = (kind: string, reason: string): Outcome => ({ _tag: "Failed", kind, reason })

const endsWell = new Set(["oneshot", "task"])

/** Whether a unit that was ordered to start is up; a oneshot or a task may also be done. */
export const ofStart = (system: System, world: World, name: string): Outcome => {
  const state = HashMap.unsafeGet(world.states, name)
  const { phase } = state
  if (HashMap.has(world.due, name)) return world.closed ? { _tag: "Closed" } : pending
  switch (phase._tag) {
    case "Ready":
      return done
    case "Exited":
      return endsWell.has(system.graph.nodes.get(name)!.spec.kind)
        ? done
        : failed("Exited", Phases.reasonOf(state)!)
    case "Failed":
      return failed(Phases.kindOf(phase.failure), describe(phase.failure))
    case "Inactive":
      return world.closed ? { _tag: "Closed" } : failed("Stopped", "It was stopped meanwhile.")
    case "Stopping":
      if (phase.cause === "shutdown") return { _tag: "Closed" }
      return phase.cause === "stop" && !phase.queued ? failed("Stopped", "It is being stopped.") : pending
    default:
      return pending
  }
}

/** As {@link ofStart}, for whoever did not order it: one that nobody starts is waited for. */
export const ofReady = (system: System, world: World, name: string): Outcome => {
  const { phase } = HashMap.unsafeGet(world.states, name)
  const isIdle = phase._tag === "Inactive" || (phase._tag === "Stopping" && phase.cause === "stop")
  return isIdle && !world.closed ? pending : ofStart(system, world, name)
}

/** Whether nothing is left of the instance that a unit had when it was ordered to stop. */
export const ofStop =
  (generation: number) =>
  (_system: System, world: World, name: string): Outcome => {
    const state = HashMap.unsafeGet(world.states, name)
    if (HashMap.has(world.due, name)) return pending
    if (!state.live || state.generation !== generation) return done
    return state.phase._tag === "Failed"
      ? failed(Phases.kindOf(state.phase.failure), describe(state.phase.failure))
      : pending
  }
