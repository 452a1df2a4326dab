/** Why a unit is not up: a chain of causes, from the unit itself down to the first. Pure. */
import * as Schema from "effect/Schema"
import type { Graph } from "./Graph.js"
import { StateName } from "./UnitStatus.js"

/** One link of the chain. */
export const Link = Schema.Struct({
  unit: Schema.String,
  state: StateName,
  /** Why, in a sentence or two. */
  reason: Schema.String,
  /** What to do about it; absent where there is nothing to do but wait. */
  advice: Schema.optional(Schema.String),
  /** The last lines of output, of the first cause. */
  output: Schema.Array(Schema.String),
})
export type Link = typeof Link.Type

/** Why a unit is not up. */
export const Explanation = Schema.Struct({
  unit: Schema.String,
  state: StateName,
  isUp: Schema.Boolean,
  /** From the unit itself to the first cause. Empty when it is up. Where there are several causes, all branches. */
  chain: Schema.Array(Link),
}).annotations({ identifier: "Explanation" })
export type Explanation = typeof Explanation.Type
