/**
 * What a new plan changes: which units come and go, which are not the same any more, and in what. Values that are the
 * same however they were made are the same here, so that what did not change stays as it is.
 */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Graph from "./Graph.js"
import type { Hooks, Plan } from "./Plan.js"
import type { Condition, Group, UnitSpec } from "./UnitSpec.js"

/** Something that is not the same any more. */
export interface Change {
  readonly name: string
  /**
   * Where it differs, without values, which may be secrets: `command`, `env.PORT`, `readiness.http.path`,
   * `envFile.TOKEN` for a variable of its env files, and `web.port` for the port of another unit that it names.
   */
  readonly fields: ReadonlyArray<string>
}

/** A unit that restarts because of another one. */
export interface Follower {
  readonly name: string
  /** What it is bound to. */
  readonly to: string
}

/** The differences between two plans, in the order of a start; of what is removed, in that of the old plan. */
export interface PlanDiff {
  readonly added: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
  readonly changed: ReadonlyArray<Change>
  readonly unchanged: ReadonlyArray<string>
  /** Those of the unchanged that go down and up again all the same, as they are bound to one that has changed. */
  readonly follows: ReadonlyArray<Follower>
  readonly groups: {
    readonly added: ReadonlyArray<string>
    readonly removed: ReadonlyArray<string>
    readonly changed: ReadonlyArray<Change>
  }
}

/** A plan, with what its env files hold, where it has any. A `Config` is one. */
export interface Side extends Pick<Plan, "envFiles"> {
  readonly plan: Plan
}

/** Lists whose order means nothing. */
const sets = new Set(["wants", "bindsTo", "conflicts", "ports", "mask", "processFilters"])

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !Duration.isDuration(value)

const isEqual = (a: unknown, b: unknown): boolean => {
  if (Duration.isDuration(a) && Duration.isDuration(b)) return Duration.equals(a, b)
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, index) => isEqual(item, b[index]))
  if (isRecord(a) && isRecord(b)) return keysOf(a, b).every((key) => isEqual(a[key], b[key]))
  return Object.is(a, b)
}

const keysOf = (...records: ReadonlyArray<Readonly<Record<string, unknown>>>): ReadonlyArray<string> => [
  ...new Set(records.flatMap(Object.keys)),
]

/** Down to the keys that differ. What is only there on one side differs as a whole. */
const differences = (a: unknown, b: unknown, path: string): ReadonlyArray<string> => {
  if (isEqual(a, b)) return []
  return isRecord(a) && isRecord(b)
    ? keysOf(a, b).flatMap((key) => differences(a[key], b[key], path === "" ? key : `${path}.${key}`))
    : [path]
}

/** A condition that is not written is the one that goes without saying. */
const conditions = (given: UnitSpec["requires"], { nodes }: Graph.Graph): Record<string, Condition> =>
  Object.fromEntries(
    Object.entries(given).map(([name, condition]) => [
      name,
      Graph.conditionOf(condition, nodes.get(name)?.spec.kind),
    ]),
  )

const comparable = (spec: UnitSpec, graph: Graph.Graph): Readonly<Record<string, unknown>> => ({
  ...Object.fromEntries(
    Object.entries(spec).map(([field, value]) => [
      field,
      sets.has(field) && Array.isArray(value) ? [...new Set<unknown>(value)].sort() : value,
    ]),
  ),
  requires: conditions(spec.requires, graph),
  after: conditions(spec.after, graph),
  // What a process gets is a text.
  env: Object.fromEntries(Object.entries(spec.env).map(([name, value]) => [name, String(value)])),
})

/** The ports of other units that its command and variables name, as `NAME.port`. */
const namedPorts = ({ command, env }: UnitSpec, { nodes }: Graph.Graph): ReadonlyMap<string, unknown> => {
  const texts = [...(typeof command === "string" ? [command] : (command ?? [])), ...Object.values(env)]
  return new Map(
    texts
      .flatMap((text) => [...String(text).matchAll(Graph.portReference)])
      .map(([, name]) => [`${name}.port`, nodes.get(name!)?.spec.port]),
  )
}

/** All variables of a unit's env files; undefined where they were not read. */
const variablesOf = (spec: UnitSpec, { envFiles }: Side): Readonly<Record<string, unknown>> =>
  Object.assign({}, ...spec.envFile.map((file) => Redacted.value(envFiles?.get(file) ?? Redacted.make({}))))

const none: Hooks = {}

const unitFields = (name: string, before: Side, after: Side): ReadonlyArray<string> => {
  const [a, b] = [before.plan.graph, after.plan.graph]
  const [from, to] = [a.nodes.get(name)!.spec, b.nodes.get(name)!.spec]
  const [portsFrom, portsTo] = [namedPorts(from, a), namedPorts(to, b)]
  const [hooksFrom, hooksTo] = [before.plan.hooks.get(name) ?? none, after.plan.hooks.get(name) ?? none]
  return [
    ...differences(comparable(from, a), comparable(to, b), ""),
    ...differences(variablesOf(from, before), variablesOf(to, after), "envFile"),
    ...[...portsTo]
      .filter(([port, number]) => portsFrom.has(port) && portsFrom.get(port) !== number)
      .map(([port]) => port),
    // Functions are the same only if they are the very same.
    ...(["run", "isBusy", "onDown", "delays"] as const).filter((hook) => hooksFrom[hook] !== hooksTo[hook]),
  ]
}

const groupsOf = ({ graph }: Plan): ReadonlyMap<string, Group> => {
  const groups = new Map<string, Group>()
  for (const { group } of graph.nodes.values()) {
    if (group === undefined) continue
    const [first, ...rest] = group.units
    groups.set(group.name, { strategy: group.strategy, units: [first!, ...rest] })
  }
  return groups
}

/** Who is bound to these, or to one that is; in the order of a start, so that each comes after what it is bound to. */
const followersOf = (
  { nodes, order }: Graph.Graph,
  changed: ReadonlySet<string>,
): ReadonlyArray<Follower> => {
  const going = new Set(changed)
  return order.flatMap((name) => {
    const to = nodes.get(name)!.spec.bindsTo.find((other) => going.has(other))
    if (to === undefined) return []
    going.add(name)
    return changed.has(name) ? [] : [{ name, to }]
  })
}

/** What is to be done to get from one plan to another. */
export const make = (before: Side, after: Side): PlanDiff => {
  const [a, b] = [before.plan.graph, after.plan.graph]
  const changes = b.order
    .filter((name) => a.nodes.has(name))
    .map((name): Change => ({ name, fields: unitFields(name, before, after) }))
  const changed = changes.filter(({ fields }) => fields.length > 0)
  const [groupsBefore, groupsAfter] = [groupsOf(before.plan), groupsOf(after.plan)]
  return {
    added: b.order.filter((name) => !a.nodes.has(name)),
    removed: a.order.filter((name) => !b.nodes.has(name)),
    changed,
    unchanged: changes.filter(({ fields }) => fields.length === 0).map(({ name }) => name),
    follows: followersOf(b, new Set(changed.map(({ name }) => name))),
    groups: {
      added: [...groupsAfter.keys()].filter((name) => !groupsBefore.has(name)),
      removed: [...groupsBefore.keys()].filter((name) => !groupsAfter.has(name)),
      changed: [...groupsAfter]
        .filter(([name]) => groupsBefore.has(name))
        .map(([name, group]): Change => ({ name, fields: differences(groupsBefore.get(name), group, "") }))
        .filter(({ fields }) => fields.length > 0),
    },
  }
}

/** Whether nothing changes at all. */
export const isEmpty = ({ added, changed, groups, removed }: PlanDiff): boolean =>
  [added, changed, removed, groups.added, groups.changed, groups.removed].every(({ length }) => length === 0)
