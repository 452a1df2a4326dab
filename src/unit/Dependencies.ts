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

const isSuccess = ({ phase }: UnitState): boolean =>
  phase._tag === "Exited" &&
  (phase.end._tag === "Succeeded" || (phase.end._tag === "Exited" && phase.end.code === 0))

const holds = (condition: Condition, state: UnitState): boolean => {
  const { phase } = state
  switch (condition) {
    case "ready":
      return phase._tag === "Ready"
    case "started":
      return isUp(state) || phase._tag === "Exited" || (phase._tag === "Starting" && phase.spawned)
    case "succeeded":
      return isSuccess(state)
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

/**
 * How a dependency stands.
 *
 * @param isDue whether it is about to be stopped or restarted
 */
export const standing = (edge: Edge, state: UnitState, isDue: boolean): Standing => {
  const { condition, kind, to } = edge
  const { phase } = state
  if (kind === "after" || kind === "group") {
    if (kind === "group" && phase._tag === "Failed") return { _tag: "Failed", why: describe(phase.failure) }
    if (!isOnItsWay(state) || holds(condition, state)) return met
    return { _tag: "Waiting", reason: reasonOf(to, state), lost: false }
  }
  if (isDue) return { _tag: "Waiting", reason: `${to} is about to be stopped.`, lost: true }
  if (holds(condition, state)) return met
  if (phase._tag === "Failed") return { _tag: "Failed", why: describe(phase.failure) }
  if (phase._tag === "Exited") return { _tag: "Failed", why: `It has ended with ${formatEnd(phase.end)}.` }
  return { _tag: "Waiting", reason: reasonOf(to, state), lost: !isUp(state) }
}

/**
 * What all dependencies of a unit say together.
 *
 * @param stateOf where each unit is
 * @param isDue whether a unit is about to be stopped or restarted
 */
export const evaluate = (
  { conflicts, edges, group, name }: Node,
  stateOf: (name: string) => UnitState,
  isDue: (name: string) => boolean,
): Verdict => {
  const reasons: Array<string> = []
  let lost = false
  let bound = false
  let broken: Verdict | undefined
  const breakBy = (by: string, why: string, isBound: boolean) => {
    broken ??= { _tag: "Broken", name: by, why, bound: isBound }
  }
  for (const edge of edges) {
    const { kind, to } = edge
    const state = stateOf(to)
    const found = standing(edge, state, isDue(to))
    if (found._tag === "Failed") {
      if (kind !== "group") breakBy(to, found.why, kind === "bindsTo")
    } else if (found._tag === "Waiting") {
      reasons.push(found.reason)
      lost ||= found.lost
      bound ||= found.lost && kind === "bindsTo"
    }
  }
  for (const other of conflicts) {
    const { live, phase } = stateOf(other)
    if (live || phase._tag === "Ready") reasons.push(`${other}, which it conflicts with, is still up.`)
  }
  if (group !== undefined && group.strategy !== "one-for-one") {
    const own = group.units.indexOf(name)
    for (const [index, other] of group.units.entries()) {
      if (index === own) continue
      const state = stateOf(other)
      const { phase } = state
      if (phase._tag === "Stopping" && phase.cause === "group")
        reasons.push(`${other}, of the same group, is stopping.`)
      const concerns = index < own || group.strategy === "one-for-all"
      if (concerns && phase._tag === "Failed" && !isOfGroup(state, group.units))
        breakBy(other, describe(phase.failure), true)
    }
  }
  if (broken !== undefined) return broken
  return reasons.length === 0 ? { _tag: "Met" } : { _tag: "Waiting", reasons, lost, bound }
}
