/** What is different between two plans, so that a reload touches nothing else. Pure. */

/** A unit that is there in both, and not the same. */
export interface ChangedUnit {
  readonly name: string
  /** The fields that differ, such as `command`, `env.PORT`; never their values. */
  readonly fields: ReadonlyArray<string>
}

/** What is different. */
export interface PlanDiff {
  readonly added: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
  readonly changed: ReadonlyArray<ChangedUnit>
  readonly unchanged: ReadonlyArray<string>
}

import type { Plan } from "./Plan.js"

export const make = (from: Plan, to: Plan): PlanDiff => {
  const text = (plan: Plan, name: string) => JSON.stringify(plan.graph.nodes.get(name)!.spec)
  const before = [...from.graph.nodes.keys()]
  const after = [...to.graph.nodes.keys()]
  const both = after.filter((name) => from.graph.nodes.has(name))
  return {
    added: after.filter((name) => !from.graph.nodes.has(name)),
    removed: before.filter((name) => !to.graph.nodes.has(name)),
    changed: both.filter((name) => text(from, name) !== text(to, name)).map((name) => ({ name, fields: [] })),
    unchanged: both.filter((name) => text(from, name) === text(to, name)),
  }
}
