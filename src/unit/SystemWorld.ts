/** All units together: where each is, what is due, and what a step of them makes. */
import type * as HashMap from "effect/HashMap"
import type * as Graph from "./Graph.js"
import type { Traits } from "./Transition.js"
import type { UnitEffect, UnitEvent } from "./UnitEvent.js"
import type { UnitState } from "./UnitState.js"

/** What a unit is about to be told, once everything that goes down with it, and waits for it, is down. */
export type Due = "loss" | "group" | "restart" | "stop" | "shutdown"

/** Where everything is. */
export interface World {
  readonly states: HashMap.HashMap<string, UnitState>
  /** Units that wait for others to go down before they do. */
  readonly due: HashMap.HashMap<string, Due>
  readonly closed: boolean
  /** Whether the units are other ones than at the last step, so that all verdicts are to be looked at again. */
  readonly isNew: boolean
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

/** What is due is replaced by what is stronger only. */
export const strength: Readonly<Record<Due, number>> = { loss: 0, group: 1, restart: 2, stop: 3, shutdown: 4 }

export const eventOf: Readonly<Record<Due, UnitEvent>> = {
  // It may be back by now, and what is bound to it goes down all the same.
  loss: {
    _tag: "Dependencies",
    verdict: {
      _tag: "Waiting",
      reasons: ["What it needs was down."],
      required: true,
      lost: true,
      bound: true,
    },
  },
  group: { _tag: "Restart", cause: "group" },
  restart: { _tag: "Restart", cause: "restart" },
  stop: { _tag: "Stop" },
  shutdown: { _tag: "Shutdown" },
}

/** Whether an instance is gone by its own failure, and is to be followed by another one that nobody has ordered. */
export const isCrash = (from: UnitState, to: UnitState): boolean => {
  if (!from.live || to.live || (to.phase._tag !== "Backoff" && to.phase._tag !== "Blocked")) return false
  const { phase } = from
  if (phase._tag !== "Stopping") return true
  return !phase.queued && ["exit", "start-timeout", "unhealthy"].includes(phase.cause)
}
