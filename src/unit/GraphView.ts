/** What depends on what, and where each is: for trees and pictures. */
import * as Schema from "effect/Schema"
import type { Graph } from "./Graph.js"
import { Kind } from "./UnitSpec.js"
import { StateName } from "./UnitStatus.js"

/** One unit of the picture. */
export const GraphNode = Schema.Struct({ name: Schema.String, kind: Kind, state: StateName })
export type GraphNode = typeof GraphNode.Type

/** `from` waits for `to`; `wants` and `conflicts` wait for nothing. */
export const GraphEdge = Schema.Struct({
  from: Schema.String,
  to: Schema.String,
  kind: Schema.Literal("requires", "bindsTo", "after", "wants", "conflicts"),
  condition: Schema.optional(Schema.String),
})
export type GraphEdge = typeof GraphEdge.Type

/** The whole picture. */
export const GraphView = Schema.Struct({
  /** Each before what depends on it. */
  nodes: Schema.Array(GraphNode),
  edges: Schema.Array(GraphEdge),
  groups: Schema.Array(
    Schema.Struct({ name: Schema.String, strategy: Schema.String, units: Schema.Array(Schema.String) }),
  ),
}).annotations({ identifier: "Graph" })
export type GraphView = typeof GraphView.Type

/** The picture of a graph. */
export const make = ({ nodes, order }: Graph, stateOf: (name: string) => StateName): GraphView => {
  const all = order.map((name) => nodes.get(name)!)
  const groups = new Map(
    all.flatMap(({ group }) => (group === undefined ? [] : [[group.name, group] as const])),
  )
  return {
    nodes: all.map(({ name, spec }) => ({ name, kind: spec.kind, state: stateOf(name) })),
    edges: all.flatMap(({ edges, name, spec }): Array<GraphEdge> => [
      ...edges.flatMap(({ condition, kind, to }) =>
        kind === "group" ? [] : [{ from: name, to, kind, condition }],
      ),
      ...spec.wants.map((to) => ({ from: name, to, kind: "wants" as const })),
      ...spec.conflicts.map((to) => ({ from: name, to, kind: "conflicts" as const })),
    ]),
    groups: [...groups.values()].map(({ name, strategy, units }) => ({ name, strategy, units })),
  }
}
