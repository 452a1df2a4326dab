/** What a unit's dependencies say to it, out of where they are. Pure. */
import type { Edge, Node } from "./Graph.js"
import { describe } from "./UnitFailure.js"
import type { Condition } from "./UnitSpec.js"
import { formatEnd, isUp, type UnitState } from "./UnitState.js"
import type { Verdict } from "./Verdict.js"

/** How one dependency stands to what has to be so of it. */
export type Standing =
  | { readonly _tag: "Met" }
  /** `lost`: it is not there, rather than on its way there or unwell. */
  | { readonly _tag: "Waiting"; readonly reason: string; readonly lost: boolean }
  | { readonly _tag: "Failed"; readonly why: string }

const met: Standing = { _tag: "Met" }
const allMet: Verdict = { _tag: "Met" }

const holds = (condition: Condition, state: UnitState): boolean => {
  const { phase } = state
  switch (condition) {
    case "ready":
      return phase._tag === "Ready"
    case "started":
      return isUp(state) || phase._tag === "Exited" || (phase._tag === "Starting" && phase.spawned)
    case "succeeded":
      // What its policy does not count as success is a failure, and never Exited.
      return phase._tag === "Exited"
    case "completed":
      return phase._tag === "Exited" || (phase._tag === "Failed" && state.end !== undefined)
  }
}

const reasonOf = (name: string, { desired, phase }: UnitState): string => {
  switch (phase._tag) {
    case "Inactive":
      return desired === "down" ? `${name} is stopped.` : `${name} has not been started.`
    case "Blocked":
      return `${name} waits for what it needs itself.`
    case "Starting":
      return `${name} is starting.`
    case "Ready":
      return `${name} has not ended.`
    case "Degraded":
      return `${name} is not well: ${phase.last}`
    case "Stopping":
      return `${name} is stopping.`
    case "Backoff":
      return `${name} has failed (${phase.attempt} in a row) and will be started again.`
    case "Exited":
      return `${name} has ended with ${formatEnd(phase.end)}.`
    case "Failed":
      return `${name} has failed.`
  }
}

/** Whether it will be up without anybody's doing. */
const isOnItsWay = ({ phase }: UnitState): boolean => {
  switch (phase._tag) {
    case "Blocked":
    case "Starting":
    case "Backoff":
    case "Degraded":
      return true
    case "Stopping":
      return phase.queued || (phase.cause !== "stop" && phase.cause !== "shutdown")
    default:
      return false
  }
}

/** Whether a failure is no more than another group member's. */
const isOfGroup = ({ phase }: UnitState, members: ReadonlyArray<string>): boolean =>
  phase._tag === "Failed" && phase.failure._tag === "DependencyFailed" && members.includes(phase.failure.name)

const leaving = (name: string): string => `${name} is about to be stopped or restarted.`
/**
 * How a dependency stands.
 *
 * @param isDue whether it is about to be started, stopped or restarted
 */
export const standing = (edge: Edge, state: UnitState, isDue: boolean): Standing => {
  const { condition, kind, to } = edge
  const { phase } = state
  if (kind === "after" || kind === "group") {
    if (isDue) return { _tag: "Waiting", reason: leaving(to), lost: false }
    if (!isOnItsWay(state) || holds(condition, state)) return met
    return { _tag: "Waiting", reason: reasonOf(to, state), lost: false }
  }
  if (isDue) return { _tag: "Waiting", reason: leaving(to), lost: true }
  if (holds(condition, state)) return met
  if (phase._tag === "Failed") return { _tag: "Failed", why: describe(phase.failure) }
  if (phase._tag === "Exited") return { _tag: "Failed", why: `It has ended with ${formatEnd(phase.end)}.` }
  return { _tag: "Waiting", reason: reasonOf(to, state), lost: !isUp(state) }
}

const none: ReadonlyArray<string> = []

/**
 * The members of its group that a unit cannot be up without, once they have failed for good. One that is never restarted
 * is given up at its first failure, and the others go on without it.
 */
export const concerning = ({ group, name }: Pick<Node, "group" | "name">): ReadonlyArray<string> => {
  if (group === undefined || group.strategy === "one-for-one") return none
  const { strategy, temporary, units } = group
  const members = strategy === "one-for-all" ? units : units.slice(0, units.indexOf(name))
  return members.filter((other) => other !== name && !temporary.has(other))
}

/** The member of its group that it goes down with for good; what else they say is added to `reasons`. */
const ofGroup = (
  node: Node,
  stateOf: (name: string) => UnitState,
  isDue: (name: string) => boolean,
  reasons: Array<string>,
): { readonly name: string; readonly why: string } | undefined => {
  const { group, name } = node
  if (group === undefined || group.strategy === "one-for-one") return undefined
  for (const other of group.units) {
    const { live, phase } = stateOf(other)
    const isLeaving = (isDue(other) && live) || (phase._tag === "Stopping" && phase.cause === "group")
    if (other !== name && isLeaving) reasons.push(`${other}, of the same group, is stopping.`)
  }
  for (const other of concerning(node)) {
    const state = stateOf(other)
    const { phase } = state
    if (phase._tag === "Failed" && !isDue(other) && !isOfGroup(state, group.units))
      return { name: other, why: describe(phase.failure) }
  }
  return undefined
}

/**
 * What all dependencies of a unit say together.
 *
 * @param stateOf where each unit is
 * @param isDue whether a unit is about to be started, stopped or restarted
 */
export const evaluate = (
  node: Node,
  stateOf: (name: string) => UnitState,
  isDue: (name: string) => boolean,
): Verdict => {
  const { conflicts, edges, group } = node
  if (edges.length === 0 && conflicts.length === 0 && group === undefined) return allMet
  const reasons: Array<string> = []
  let required = false
  let lost = false
  let bound = false
  let broken: { readonly name: string; readonly why: string } | undefined
  for (const edge of edges) {
    const { kind, to } = edge
    const found = standing(edge, stateOf(to), isDue(to))
    if (found._tag === "Met") continue
    if (found._tag === "Failed") broken ??= { name: to, why: found.why }
    else {
      reasons.push(found.reason)
      required ||= kind === "requires" || kind === "bindsTo"
      lost ||= found.lost
    }
    bound ||= kind === "bindsTo" && (found._tag === "Failed" || found.lost)
  }
  for (const other of conflicts) {
    const state = stateOf(other)
    if (state.live || isUp(state)) reasons.push(`${other}, which it conflicts with, is still up.`)
  }
  const failed = ofGroup(node, stateOf, isDue, reasons)
  if (broken !== undefined || failed !== undefined)
    return { _tag: "Broken", ...(broken ?? failed!), bound: bound || failed !== undefined }
  return reasons.length === 0 ? allMet : { _tag: "Waiting", reasons, required, lost, bound }
}
