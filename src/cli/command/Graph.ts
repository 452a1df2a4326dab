/** `graph`: what the units need, and where each of them is. */
import { UsageError } from "../Arguments.js"
import { connect } from "../Client.js"
import type { Handler } from "../Handler.js"
import type { Painter } from "../Painter.js"
import { painterOf, unitStateColour } from "../Painter.js"
import { rootOf } from "../Root.js"
import type { Answer } from "../Routes.js"
import type * as Syntaxes from "../Syntaxes.js"
import * as Tree from "../Tree.js"
import { exitCode } from "../World.js"

type View = Answer<"graph">
type Unit = View["nodes"][number]
type Edge = View["edges"][number]

/** A unit in the tree of text. */
interface Place {
  readonly unit: Unit
  /** How the one above it needs it; undefined at the top. */
  readonly edge: Edge | undefined
  /** What is below it is shown elsewhere. */
  readonly isRepeated: boolean
}

/** What leads from one to the next: conflicts lead nowhere. */
const leading = ({ edges }: View): ReadonlyMap<string, ReadonlyArray<Edge>> => {
  const byUnit = new Map<string, Array<Edge>>()
  for (const edge of edges) {
    if (edge.kind === "conflicts") continue
    const known = byUnit.get(edge.from)
    if (known === undefined) byUnit.set(edge.from, [edge])
    else known.push(edge)
  }
  return byUnit
}

/** Each unit that nothing leads to, with all that it leads to; a unit's own needs are shown where it comes first. */
const trees = (view: View): ReadonlyArray<Tree.Node<Place>> => {
  const below = leading(view)
  const units = new Map(view.nodes.map((node) => [node.name, node]))
  const seen = new Set<string>()
  const grow = (name: string, edge: Edge | undefined): Tree.Node<Place> => {
    const edges = below.get(name) ?? []
    const isRepeated = seen.has(name) && edges.length > 0
    seen.add(name)
    return {
      value: { unit: units.get(name)!, edge, isRepeated },
      children: isRepeated ? [] : edges.map((one) => grow(one.to, one)),
    }
  }
  const reached = new Set([...below.values()].flat().map(({ to }) => to))
  // What starts last stands first, as it is what everything else is for.
  const roots = view.nodes.filter(({ name }) => !reached.has(name)).reverse()
  const found = roots.map(({ name }) => grow(name, undefined))
  // Units that only want each other go round in a circle, and none of them is at the top.
  const others = view.nodes.filter(({ name }) => !seen.has(name))
  return [...found, ...others.flatMap(({ name }) => (seen.has(name) ? [] : [grow(name, undefined)]))]
}

const usual = (edge: Edge): boolean =>
  edge.kind === "requires" && (edge.condition === "ready" || edge.condition === "succeeded")

const lineOf =
  (paint: Painter) =>
  ({ edge, isRepeated, unit: { kind, name, state } }: Place): ReadonlyArray<string> => {
    const how =
      edge === undefined || usual(edge)
        ? []
        : [
            [
              edge.kind,
              ...(edge.condition === undefined || edge.kind === "wants" ? [] : [edge.condition]),
            ].join(" "),
          ]
    const about = [...(kind === "service" ? [] : [kind]), ...how, ...(isRepeated ? ["see above"] : [])]
    const note = about.length === 0 ? "" : paint("dim", ` (${about.join(", ")})`)
    return [`${name} ${paint(unitStateColour(state), state)}${note}`]
  }

const text = (view: View, paint: Painter): string =>
  trees(view)
    .flatMap((tree) => Tree.render(tree, lineOf(paint)))
    .map((line) => `${line}\n`)
    .join("") +
  conflictsOf(view)
    .map(([a, b]) => `${a} and ${b} are never up together\n`)
    .join("")

/** Each pair once, whichever of the two says so. */
const conflictsOf = ({ edges }: View): ReadonlyArray<readonly [string, string]> => {
  const pairs = new Map<string, readonly [string, string]>()
  for (const { from, kind, to } of edges) {
    const [a, b] = [from, to].sort() as [string, string]
    if (kind === "conflicts") pairs.set(`${a} ${b}`, [a, b])
  }
  return [...pairs.values()]
}

const fills: Readonly<Record<Unit["state"], string>> = {
  inactive: "#eeeeee",
  blocked: "#fff3bf",
  starting: "#d0ebff",
  ready: "#d3f9d8",
  degraded: "#ffe8cc",
  stopping: "#d0ebff",
  backoff: "#ffe8cc",
  exited: "#e6fcf5",
  failed: "#ffe3e3",
}

const labelOf = (edge: Edge): string =>
  edge.kind === "conflicts" || usual(edge)
    ? edge.kind === "conflicts"
      ? "conflicts"
      : ""
    : [edge.kind, edge.condition].filter((one) => one !== undefined && one !== "ready").join(" ")

/** Names of units need no escape in either language. */
const dot = (view: View): string => {
  const nodes = view.nodes.map(
    ({ kind, name, state }) =>
      `  "${name}" [label="${name}\\n${state}", fillcolor="${fills[state]}", shape=${kind === "target" ? "ellipse" : "box"}]`,
  )
  const edges = [
    ...[...leading(view).values()].flat().map((edge) => {
      const label = labelOf(edge)
      const style = edge.kind === "requires" || edge.kind === "bindsTo" ? [] : ["style=dashed"]
      const attributes = [...(label === "" ? [] : [`label="${label}"`]), ...style].join(", ")
      return `  "${edge.from}" -> "${edge.to}"${attributes === "" ? "" : ` [${attributes}]`}`
    }),
    ...conflictsOf(view).map(
      ([a, b]) =>
        `  "${a}" -> "${b}" [dir=none, color=red, style=dotted, label="conflicts", constraint=false]`,
    ),
  ]
  const groups = view.groups.flatMap(({ name, strategy, units }, index) => [
    `  subgraph cluster_${index} {`,
    `    label="${name} (${strategy})"`,
    ...units.map((unit) => `    "${unit}"`),
    "  }",
  ])
  return [
    "digraph holdfast {",
    "  rankdir=LR",
    '  node [style="rounded,filled", fontname="sans-serif"]',
    ...nodes,
    ...groups,
    ...edges,
    "}",
    "",
  ].join("\n")
}

const mermaid = (view: View): string => {
  // Words of the language are no names in it.
  const ids = new Map(view.nodes.map(({ name }, index) => [name, `u${index}`]))
  const idOf = (name: string) => ids.get(name)!
  const nodes = view.nodes.map(({ kind, name, state }) => {
    const label = `"${name}<br/>${state}"`
    return `  ${idOf(name)}${kind === "target" ? `([${label}])` : `[${label}]`}:::${state}`
  })
  const edges = [
    ...[...leading(view).values()].flat().map((edge) => {
      const label = labelOf(edge)
      const arrow = edge.kind === "requires" || edge.kind === "bindsTo" ? "-->" : "-.->"
      return `  ${idOf(edge.from)} ${arrow}${label === "" ? "" : `|${label}|`} ${idOf(edge.to)}`
    }),
    ...conflictsOf(view).map(([a, b]) => `  ${idOf(a)} x-.-x|conflicts| ${idOf(b)}`),
  ]
  const groups = view.groups.flatMap(({ name, strategy, units }, index) => [
    `  subgraph g${index}["${name} (${strategy})"]`,
    ...units.map((unit) => `    ${idOf(unit)}`),
    "  end",
  ])
  const used = new Set(view.nodes.map(({ state }) => state))
  const classes = [...used].map((state) => `  classDef ${state} fill:${fills[state]},stroke:#868e96`)
  return ["flowchart LR", ...nodes, ...groups, ...edges, ...classes, ""].join("\n")
}

/** Shows the units as a tree, or writes them down as a graph for other programs to draw. */
export const graph: Handler<typeof Syntaxes.graph> = async ({ options }, world) => {
  if (options.dot && options.mermaid) throw new UsageError("--dot and --mermaid exclude each other")
  const client = connect(rootOf(options.root, world), world)
  const { text: envelope, value } = await client.call("graph", {})
  if (options.json) await world.out.write(`${envelope}\n`)
  else if (options.dot) await world.out.write(dot(value))
  else if (options.mermaid) await world.out.write(mermaid(value))
  else if (value.nodes.length === 0) await world.err.write("The daemon keeps no units.\n")
  else await world.out.write(text(value, painterOf(world.out, world)))
  return exitCode.ok
}
