/** What depends on what, and where each is: for trees and pictures. */
import * as Schema from "effect/Schema"
import type { Graph } from "./Graph.js"
import { Kind } from "./UnitSpec.js"
import { StateName } from "./UnitStatus.js"

/** One unit of the picture. */
export const GraphNode = Schema.Struct({
  name: Schema.String.annotations({ description: "The unit's name." }),
  kind: Kind.annotations({ description: "What it is." }),
  state: StateName.annotations({ description: "Where it is." }),
})
export type GraphNode = typeof GraphNode.Type

/** What one unit has to do with another. */
export const GraphEdge = Schema.Struct({
  from: Schema.String.annotations({ description: "The unit whose description says so." }),
  to: Schema.String.annotations({ description: "The unit that it names." }),
  kind: Schema.Literal("requires", "bindsTo", "after", "wants", "conflicts").annotations({
    description: "How: `wants` and `conflicts` wait for nothing.",
  }),
  condition: Schema.optional(Schema.String).annotations({ description: "What it waits for." }),
})
export type GraphEdge = typeof GraphEdge.Type

/** The whole picture. */
export const GraphView = Schema.Struct({
  nodes: Schema.Array(GraphNode).annotations({ description: "Each before what depends on it." }),
  edges: Schema.Array(GraphEdge).annotations({ description: "What depends on what." }),
  groups: Schema.Array(
    Schema.Struct({
      name: Schema.String.annotations({ description: "The group's name." }),
      strategy: Schema.String.annotations({ description: "Which of them restart when one crashes." }),
      units: Schema.Array(Schema.String).annotations({
        description: "Its members, in the order of their start.",
      }),
    }),
  ).annotations({ description: "Groups of units." }),
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
