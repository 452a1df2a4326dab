/**
 * What depends on what. Made from the specs of all units at once, or not at all: a name that is not there, a cycle, two
 * units on one port come to light here, before anything is started.
 */
import * as Either from "effect/Either"
import { type Fault, type Groups, nameFaults, type Units } from "./GraphFaults.js"
import type { Condition, Group, UnitSpec } from "./UnitSpec.js"

export { type Fault, portReference } from "./GraphFaults.js"

/** Why one unit waits for another. */
export type EdgeKind = "requires" | "bindsTo" | "after" | "group"

/** One unit waits for another. */
export interface Edge {
  readonly kind: EdgeKind
  readonly from: string
  readonly to: string
  /** What has to be so of `to`. */
  readonly condition: Condition
}

/** A group as one of its members sees it. */
export interface Membership {
  readonly name: string
  readonly strategy: Group["strategy"]
  readonly units: ReadonlyArray<string>
  /** Members that are never restarted: that one of them has failed is nothing to the others. */
  readonly temporary: ReadonlySet<string>
}

/** One unit among the others. */
export interface Node {
  readonly name: string
  readonly spec: UnitSpec
  /** Its place in the graph's order. */
  readonly rank: number
  /** What it waits for. */
  readonly edges: ReadonlyArray<Edge>
  /** What waits for it. */
  readonly dependents: ReadonlyArray<Edge>
  /** Units that must not be up while it is, whichever of the two says so. */
  readonly conflicts: ReadonlyArray<string>
  readonly group: Membership | undefined
}

/** All units, each before what waits for it. */
export interface Graph {
  readonly nodes: ReadonlyMap<string, Node>
  readonly order: ReadonlyArray<string>
}

/** The condition that is meant for a unit of that kind: of a oneshot, which is never Ready, that it has succeeded. */
export const conditionOf = (given: Condition | undefined, kind: UnitSpec["kind"] | undefined): Condition => {
  const condition = given ?? "ready"
  return kind === "oneshot" && condition === "ready" ? "succeeded" : condition
}

const edgesOf = (
  name: string,
  spec: UnitSpec,
  units: Units,
  group: Membership | undefined,
): ReadonlyArray<Edge> => {
  const edges = new Map<string, Edge>()
  // The stronger ones later: they win.
  const add = (kind: EdgeKind, to: string, condition: Condition | undefined) =>
    edges.set(to, { kind, from: name, to, condition: conditionOf(condition, units.get(to)!.kind) })
  if (group !== undefined && group.strategy !== "one-for-one") {
    for (const earlier of group.units.slice(0, group.units.indexOf(name))) add("group", earlier, undefined)
  }
  for (const [to, condition] of Object.entries(spec.after)) add("after", to, condition)
  for (const [to, condition] of Object.entries(spec.requires)) add("requires", to, condition)
  for (const to of spec.bindsTo)
    add("bindsTo", to, Object.hasOwn(spec.requires, to) ? spec.requires[to] : undefined)
  return [...edges.values()]
}

/** The order of the nodes, or the first cycle that is met. */
const sort = (
  edges: ReadonlyMap<string, ReadonlyArray<Edge>>,
): Either.Either<ReadonlyArray<string>, ReadonlyArray<Edge>> => {
  const order: Array<string> = []
  const done = new Set<string>()
  for (const root of edges.keys()) {
    if (done.has(root)) continue
    // By hand, not by recursion: a chain may be as long as there are units.
    const path: Array<{ readonly name: string; readonly via: Edge | undefined; next: number }> = [
      { name: root, via: undefined, next: 0 },
    ]
    const open = new Set([root])
    while (path.length > 0) {
      const top = path.at(-1)!
      const edge = edges.get(top.name)![top.next++]
      if (edge === undefined) {
        path.pop()
        open.delete(top.name)
        done.add(top.name)
        order.push(top.name)
      } else if (open.has(edge.to)) {
        const start = path.findIndex(({ name }) => name === edge.to)
        return Either.left([...path.slice(start + 1).map(({ via }) => via!), edge])
      } else if (!done.has(edge.to)) {
        open.add(edge.to)
        path.push({ name: edge.to, via: edge, next: 0 })
      }
    }
  }
  return Either.right(order)
}

const cycleFault = (cycle: ReadonlyArray<Edge>): Fault => {
  const [first] = cycle as readonly [Edge, ...Array<Edge>]
  const path = [first.from, ...cycle.map(({ to }) => to)].join(" -> ")
  const group = cycle.find(({ kind }) => kind === "group")
  const hint = group === undefined ? "" : ` (${group.from} comes after ${group.to} in their group)`
  return {
    path: first.kind === "group" ? ["units", first.from] : ["units", first.from, first.kind, first.to],
    message: `a cycle: ${path}${hint}`,
  }
}

/** Conflicts that could not be kept: with what starts along, or among what starts with the supervisor. */
const conflictFaults = (graph: Graph): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  const all = [...graph.nodes.values()]
  if (all.every(({ spec }) => spec.conflicts.length === 0)) return faults
  const starters = new Map<string, Array<string>>(all.map(({ name }) => [name, []]))
  for (const { name, spec } of all) for (const other of startedBy(spec)) starters.get(other)!.push(name)
  /** These units and all that start them along. */
  const startersOf = (name: string) => new Set(reach(graph, [name], (node) => starters.get(node.name)!))
  const automatic = new Set(
    startedWith(
      graph,
      all.flatMap(({ name, spec }) => (spec.autostart ? [name] : [])),
    ),
  )
  for (const { name, spec } of all) {
    if (spec.conflicts.length === 0) continue
    const own = startersOf(name)
    for (const other of spec.conflicts) {
      const path = ["units", name, "conflicts", other]
      const others = startersOf(other)
      const both = graph.order.find((one) => own.has(one) && others.has(one))
      const group = graph.nodes.get(name)!.group
      if (both === name)
        faults.push({ path, message: `${name} starts ${other} along, and conflicts with it` })
      else if (both === other)
        faults.push({ path, message: `${other} starts ${name} along, and conflicts with it` })
      else if (both !== undefined)
        faults.push({ path, message: `${both} starts both ${name} and ${other}, which conflict` })
      else if (group !== undefined && group.strategy !== "one-for-one" && group.units.includes(other))
        faults.push({ path, message: `${name} and ${other} go down and come back together: ${group.name}` })
      else if (automatic.has(name) && automatic.has(other)) {
        faults.push({
          path,
          message: `${name} and ${other} would both start with the supervisor; give one of them \`autostart: false\``,
        })
      }
    }
  }
  return faults
}

/** The graph of all units, or everything that is wrong with them together. */
export const make = (
  units: Units,
  groups: Groups = new Map(),
): Either.Either<Graph, ReadonlyArray<Fault>> => {
  const early = nameFaults(units, groups)
  if (early.length > 0) return Either.left(early)
  const memberships = new Map<string, Membership>()
  for (const [name, { strategy, units: members }] of groups) {
    const temporary = new Set(members.filter((member) => units.get(member)!.restart.policy === "never"))
    for (const member of members) memberships.set(member, { name, strategy, units: members, temporary })
  }
  const edges = new Map(
    [...units].map(([name, spec]) => [name, edgesOf(name, spec, units, memberships.get(name))]),
  )
  const sorted = sort(edges)
  if (Either.isLeft(sorted)) return Either.left([cycleFault(sorted.left)])
  const dependents = new Map<string, Array<Edge>>()
  const conflicts = new Map<string, Set<string>>()
  for (const name of units.keys()) {
    dependents.set(name, [])
    conflicts.set(name, new Set())
  }
  for (const name of sorted.right) for (const edge of edges.get(name)!) dependents.get(edge.to)!.push(edge)
  for (const [name, spec] of units) {
    for (const other of spec.conflicts) {
      conflicts.get(name)!.add(other)
      conflicts.get(other)!.add(name)
    }
  }
  const ranks = new Map(sorted.right.map((name, rank) => [name, rank]))
  const nodes = new Map(
    [...units].map(([name, spec]): readonly [string, Node] => [
      name,
      {
        name,
        spec,
        rank: ranks.get(name)!,
        edges: edges.get(name)!,
        dependents: dependents.get(name)!,
        conflicts: [...conflicts.get(name)!],
        group: memberships.get(name),
      },
    ]),
  )
  const graph: Graph = { nodes, order: sorted.right }
  const late = conflictFaults(graph)
  return late.length > 0 ? Either.left(late) : Either.right(graph)
}

/** Everything reachable from `names`, `names` among it, in the graph's order. */
const reach = (
  { nodes }: Graph,
  names: Iterable<string>,
  next: (node: Node) => Iterable<string>,
): ReadonlyArray<string> => {
  const found = new Set<string>()
  const open = [...names]
  while (open.length > 0) {
    const name = open.pop()!
    if (found.has(name)) continue
    found.add(name)
    for (const one of next(nodes.get(name)!)) open.push(one)
  }
  return ordered(nodes, found)
}

const ordered = (nodes: Graph["nodes"], names: Iterable<string>): ReadonlyArray<string> =>
  [...names].sort((a, b) => nodes.get(a)!.rank - nodes.get(b)!.rank)

/** What a start of a unit starts along. */
const startedBy = (spec: UnitSpec): ReadonlyArray<string> => [
  ...Object.keys(spec.requires),
  ...spec.bindsTo,
  ...spec.wants,
]

/** These units and what they cannot be up without, in the order of a start. */
export const needs = (graph: Graph, names: Iterable<string>): ReadonlyArray<string> =>
  reach(graph, names, ({ spec }) => [...Object.keys(spec.requires), ...spec.bindsTo])

/** These units and what is started with them, in the order of a start. */
export const startedWith = (graph: Graph, names: Iterable<string>): ReadonlyArray<string> =>
  reach(graph, names, ({ spec }) => startedBy(spec))

/** These units and those that cannot be up without them, in the order of a start. */
export const neededBy = (graph: Graph, names: Iterable<string>): ReadonlyArray<string> =>
  reach(graph, names, ({ dependents }) =>
    dependents.filter(({ kind }) => kind === "requires" || kind === "bindsTo").map(({ from }) => from),
  )

/**
 * What a stop of these units takes down: those that need them; and for each target that is named, its members, except
 * what something else that stays needs or wants.
 */
export const stoppedWith = (
  graph: Graph,
  names: Iterable<string>,
  isWanted: (name: string) => boolean,
): ReadonlyArray<string> => {
  const { nodes } = graph
  const named = [...names]
  const stopped = new Set(neededBy(graph, named))
  const targets = named.filter((name) => nodes.get(name)!.spec.kind === "target")
  const going = new Set(membersOf(graph, targets).filter((name) => !stopped.has(name)))
  if (going.size === 0) return ordered(nodes, stopped)
  const keepers = new Map<string, Array<string>>([...going].map((name) => [name, []]))
  for (const { name, spec } of nodes.values()) {
    if (isWanted(name)) for (const other of startedBy(spec)) keepers.get(other)?.push(name)
  }
  // Again and again: one that stays keeps others.
  for (let before = -1; before !== going.size;) {
    before = going.size
    for (const name of going) {
      if (keepers.get(name)!.some((one) => !stopped.has(one) && !going.has(one))) going.delete(name)
    }
  }
  return ordered(nodes, new Set([...stopped, ...neededBy(graph, going)]))
}

/** These units, and instead of each target what it is made of as well; in the order of a start. */
export const membersOf = (graph: Graph, names: Iterable<string>): ReadonlyArray<string> =>
  reach(graph, names, ({ spec }) => (spec.kind === "target" ? startedBy(spec) : []))
