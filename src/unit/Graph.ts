/**
 * What depends on what. Made from the specs of all units at once, or not at all: a name that is not there, a cycle, two
 * units on one port come to light here, before anything is started.
 */
import * as Either from "effect/Either"
import { nearest } from "../process/Nearest.js"
import type { Condition, Group, UnitSpec } from "./UnitSpec.js"

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

/** Something wrong with the units together. `path` is where it stands: `["units", "web", "requires"]`. */
export interface Fault {
  readonly path: ReadonlyArray<string | number>
  readonly message: string
}

/** A group as one of its members sees it. */
export interface Membership {
  readonly name: string
  readonly strategy: Group["strategy"]
  readonly units: ReadonlyArray<string>
}

/** One unit among the others. */
export interface Node {
  readonly name: string
  readonly spec: UnitSpec
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

const conditionOf = (given: Condition | undefined, of: UnitSpec): Condition => {
  const condition = given ?? "ready"
  // A oneshot is never Ready: it is done.
  return of.kind === "oneshot" && condition === "ready" ? "succeeded" : condition
}

type Units = ReadonlyMap<string, UnitSpec>
type Groups = ReadonlyMap<string, Group>

const unknown = (name: string, known: Iterable<string>): string => {
  const near = nearest(name, [...known])
  return `there is no unit ${JSON.stringify(name)}${near === undefined ? "" : `; did you mean ${near}?`}`
}

/** Names that are not there, or that name the unit itself. */
const nameFaults = (units: Units): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  for (const [name, spec] of units) {
    const check = (field: string, names: ReadonlyArray<string>) => {
      for (const other of names) {
        const path = ["units", name, field, other]
        if (other === name) faults.push({ path, message: `${name} cannot name itself` })
        else if (!units.has(other)) faults.push({ path, message: unknown(other, units.keys()) })
      }
    }
    check("requires", Object.keys(spec.requires))
    check("after", Object.keys(spec.after))
    check("wants", spec.wants)
    check("bindsTo", spec.bindsTo)
    check("conflicts", spec.conflicts)
  }
  return faults
}

const groupFaults = (units: Units, groups: Groups): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  const taken = new Map<string, string>()
  for (const [name, group] of groups) {
    for (const member of group.units) {
      const path = ["groups", name, "units", member]
      const other = taken.get(member)
      if (!units.has(member)) faults.push({ path, message: unknown(member, units.keys()) })
      else if (other === name) faults.push({ path, message: `${member} stands twice in the group ${name}` })
      else if (other !== undefined)
        faults.push({ path, message: `${member} is in the group ${other} already` })
      taken.set(member, name)
    }
  }
  return faults
}

const portFaults = (units: Units): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  const taken = new Map<number, string>()
  for (const [name, spec] of units) {
    const own = new Set<number>(typeof spec.port === "number" ? [spec.port, ...spec.ports] : spec.ports)
    for (const port of own) {
      const other = taken.get(port)
      const path = ["units", name, spec.port === port ? "port" : "ports"]
      if (other === undefined) taken.set(port, name)
      // They take turns.
      else if (spec.conflicts.includes(other) || units.get(other)!.conflicts.includes(name)) continue
      else faults.push({ path, message: `port ${port} is the port of ${other} already` })
    }
  }
  return faults
}

/** `${NAME.port}` in commands and variables. */
export const portReference = /\$\{([A-Za-z0-9][\w.-]*)\.port\}/g

const referenceFaults = (units: Units): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  for (const [name, spec] of units) {
    const texts: ReadonlyArray<readonly [ReadonlyArray<string | number>, string]> = [
      ...(typeof spec.command === "string"
        ? [[["units", name, "command"], spec.command] as const]
        : (spec.command ?? []).map((text, at) => [["units", name, "command", at], text] as const)),
      ...Object.entries(spec.env).map(
        ([key, value]) => [["units", name, "env", key], String(value)] as const,
      ),
    ]
    for (const [path, text] of texts) {
      if (text.includes("${port}") && spec.port === undefined)
        faults.push({
          path,
          message: `\${port} stands for the port of ${name}, which has none; give it \`port: auto\``,
        })
      for (const [whole, other] of text.matchAll(portReference)) {
        const target = units.get(other!)
        if (target === undefined) faults.push({ path, message: `${whole}: ${unknown(other!, units.keys())}` })
        else if (target.port === undefined)
          faults.push({ path, message: `${whole}: ${other} has no port; give it \`port: auto\`` })
      }
    }
  }
  return faults
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
    edges.set(to, { kind, from: name, to, condition: conditionOf(condition, units.get(to)!) })
  if (group !== undefined && group.strategy !== "one-for-one") {
    for (const earlier of group.units.slice(0, group.units.indexOf(name))) add("group", earlier, undefined)
  }
  for (const [to, condition] of Object.entries(spec.after)) add("after", to, condition)
  for (const [to, condition] of Object.entries(spec.requires)) add("requires", to, condition)
  for (const to of spec.bindsTo) add("bindsTo", to, spec.requires[to])
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

const conflictFaults = (graph: Graph): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  for (const { name, spec } of graph.nodes.values()) {
    const needed = needs(graph, [name])
    for (const other of spec.conflicts) {
      const path = ["units", name, "conflicts", other]
      if (needed.includes(other)) {
        faults.push({ path, message: `${name} cannot be up without ${other}, nor with it` })
      } else if (spec.autostart && graph.nodes.get(other)!.spec.autostart) {
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
  const early = [
    ...nameFaults(units),
    ...groupFaults(units, groups),
    ...portFaults(units),
    ...referenceFaults(units),
  ]
  if (early.length > 0) return Either.left(early)
  const memberships = new Map<string, Membership>()
  for (const [name, { strategy, units: members }] of groups) {
    for (const member of members) memberships.set(member, { name, strategy, units: members })
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
  const nodes = new Map(
    [...units].map(([name, spec]): readonly [string, Node] => [
      name,
      {
        name,
        spec,
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
  { nodes, order }: Graph,
  names: Iterable<string>,
  next: (node: Node) => Iterable<string>,
): ReadonlyArray<string> => {
  const found = new Set<string>()
  const open = [...names]
  while (open.length > 0) {
    const name = open.pop()!
    if (found.has(name)) continue
    found.add(name)
    open.push(...next(nodes.get(name)!))
  }
  return order.filter((name) => found.has(name))
}

/** These units and what they cannot be up without, in the order of a start. */
export const needs = (graph: Graph, names: Iterable<string>): ReadonlyArray<string> =>
  reach(graph, names, ({ spec }) => [...Object.keys(spec.requires), ...spec.bindsTo])

/** These units and what is started with them, in the order of a start. */
export const startedWith = (graph: Graph, names: Iterable<string>): ReadonlyArray<string> =>
  reach(graph, names, ({ spec }) => [...Object.keys(spec.requires), ...spec.bindsTo, ...spec.wants])

/** These units and those that cannot be up without them, in the order of a start. */
export const neededBy = (graph: Graph, names: Iterable<string>): ReadonlyArray<string> =>
  reach(graph, names, ({ dependents }) =>
    dependents.filter(({ kind }) => kind === "requires" || kind === "bindsTo").map(({ from }) => from),
  )

/**
 * What a stop of these units takes down: those that need them; and for a target, its members that nothing else that
 * stays needs.
 */
export const stoppedWith = (
  graph: Graph,
  names: Iterable<string>,
  isWanted: (name: string) => boolean,
): ReadonlyArray<string> => {
  const stopped = new Set(neededBy(graph, names))
  // From the top down: a member goes when all who need it go, or want nothing.
  for (const name of graph.order.toReversed()) {
    if (!stopped.has(name)) continue
    const { spec } = graph.nodes.get(name)!
    if (spec.kind !== "target") continue
    for (const member of [...Object.keys(spec.requires), ...spec.bindsTo, ...spec.wants]) {
      const others = graph.nodes
        .get(member)!
        .dependents.filter(({ kind }) => kind === "requires" || kind === "bindsTo")
      if (others.every(({ from }) => stopped.has(from) || !isWanted(from))) {
        for (const one of neededBy(graph, [member])) stopped.add(one)
      }
    }
  }
  return graph.order.filter((name) => stopped.has(name))
}

/** These units, and instead of each target what it is made of as well; in the order of a start. */
export const membersOf = (graph: Graph, names: Iterable<string>): ReadonlyArray<string> =>
  reach(graph, names, ({ spec }) =>
    spec.kind === "target" ? [...Object.keys(spec.requires), ...spec.bindsTo, ...spec.wants] : [],
  )
