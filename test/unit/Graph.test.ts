import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Graph from "../../src/unit/Graph.js"
import type * as UnitSpec from "../../src/unit/UnitSpec.js"
import { spec } from "./simulation.js"

type Units = Readonly<Record<string, UnitSpec.Input>>
type Groups = Readonly<Record<string, UnitSpec.Group>>

const make = (units: Units, groups: Groups = {}) =>
  Graph.make(
    new Map(Object.entries(units).map(([name, input]) => [name, spec(input)])),
    new Map(Object.entries(groups)),
  )

const graphOf = (units: Units, groups: Groups = {}): Graph.Graph =>
  Either.getOrThrowWith(make(units, groups), (faults) => new Error(JSON.stringify(faults)))

const faultsOf = (units: Units, groups: Groups = {}) =>
  Either.match(make(units, groups), {
    onLeft: (faults) => faults.map(({ message, path }) => `${path.join(".")}: ${message}`),
    onRight: () => [],
  })

const group = (strategy: UnitSpec.Strategy, ...units: UnitSpec.Group["units"]): UnitSpec.Group => ({
  strategy,
  units,
})

describe("units that do not fit together", () => {
  const web = (more: UnitSpec.Input) => ({ web: more })
  const on = (port: number): UnitSpec.Input => ({ port })
  const cases: ReadonlyArray<
    readonly [name: string, units: Units, groups: Groups, ...faults: Array<string>]
  > = [
    [
      "an unknown name, with the nearest",
      { web: { requires: ["databse"] }, database: {} },
      {},
      'units.web.requires.databse: there is no unit "databse"; did you mean database?',
    ],
    [
      "an unknown name that is like none",
      web({ after: ["x"] }),
      {},
      'units.web.after.x: there is no unit "x"',
    ],
    [
      "unknown names in every field, all at once",
      web({ requires: { a: "started" }, after: ["b"], wants: ["c"], bindsTo: ["d"], conflicts: ["e"] }),
      { group: group("one-for-all", "f") },
      'units.web.requires.a: there is no unit "a"',
      'units.web.after.b: there is no unit "b"',
      'units.web.wants.c: there is no unit "c"',
      'units.web.bindsTo.d: there is no unit "d"',
      'units.web.conflicts.e: there is no unit "e"',
      'groups.group.units.f: there is no unit "f"',
    ],
    ["a cycle of one", web({ requires: ["web"] }), {}, "units.web.requires.web: web cannot name itself"],
    [
      "a cycle of two",
      { a: { requires: ["b"] }, b: { bindsTo: ["a"] } },
      {},
      "units.a.requires.b: a cycle: a -> b -> a",
    ],
    [
      "a cycle of three, behind others",
      { x: { after: ["a"] }, a: { after: ["b"] }, b: { requires: ["c"] }, c: { bindsTo: ["a"] } },
      {},
      "units.a.after.b: a cycle: a -> b -> c -> a",
    ],
    [
      "a cycle through a group",
      { a: { requires: ["b"] }, b: {} },
      { group: group("rest-for-one", "a", "b") },
      "units.a.requires.b: a cycle: a -> b -> a (b comes after a in their group)",
    ],
    [
      "a condition that never comes about",
      {
        web: { requires: { all: "completed" }, after: { far: "succeeded" } },
        all: { kind: "target" },
        far: { kind: "external" },
      },
      {},
      "units.web.requires.all: expected started or ready: kind target never ends",
      "units.web.after.far: expected started or ready: kind external never ends",
    ],
    [
      "one port, two units",
      { a: on(80), b: { ports: [80] } },
      {},
      "units.b.ports: port 80 is the port of a already",
    ],
    [
      "one port, three units, two of which take turns",
      { a: on(80), b: { port: 80, conflicts: ["a"] }, c: { port: 80, conflicts: ["a"] } },
      {},
      "units.c.port: port 80 is the port of b already",
    ],
    [
      "a unit in two groups",
      { a: {}, b: {} },
      { one: group("one-for-all", "a", "b"), two: group("one-for-all", "b") },
      "groups.two.units.b: b is in the group one already",
    ],
    [
      "a unit twice in a group",
      { a: {} },
      { one: group("one-for-all", "a", "a") },
      "groups.one.units.a: a stands twice in the group one",
    ],
    [
      "a port that it has not",
      web({ command: ["serve", "${port}"] }),
      {},
      "units.web.command.1: ${port} stands for the port of web, which has none; give it `port: auto`",
    ],
    [
      "a port that another one has not",
      { web: { env: { URL: "http://localhost:${db.port}" } }, db: {} },
      {},
      "units.web.env.URL: ${db.port}: db has no port; give it `port: auto`",
    ],
    [
      "a port of nobody",
      { web: { command: "serve ${dbs.port}" }, dbx: { port: "auto" } },
      {},
      'units.web.command: ${dbs.port}: there is no unit "dbs"; did you mean dbx?',
    ],
    [
      "a conflict with what it needs",
      { a: { requires: ["b"] }, b: { bindsTo: ["c"] }, c: { conflicts: ["a"] } },
      {},
      "units.c.conflicts.a: a starts c along, and conflicts with it",
    ],
    [
      "a conflict with what it wants",
      { a: { wants: ["b"], conflicts: ["b"] }, b: {} },
      {},
      "units.a.conflicts.b: a starts b along, and conflicts with it",
    ],
    [
      "a conflict among what one needs",
      { all: { kind: "target", requires: ["a", "b"] }, a: { conflicts: ["b"] }, b: {} },
      {},
      "units.a.conflicts.b: all starts both a and b, which conflict",
    ],
    [
      "a conflict within a group that goes down together",
      { a: { conflicts: ["b"] }, b: {} },
      { group: group("one-for-all", "a", "b") },
      "units.a.conflicts.b: a and b go down and come back together: group",
    ],
    [
      "two that conflict, and start with the supervisor",
      { a: { conflicts: ["b"], autostart: true }, b: { autostart: true } },
      {},
      "units.a.conflicts.b: a and b would both start with the supervisor; give one of them `autostart: false`",
    ],
    [
      "two that conflict, and one is started along with the supervisor",
      { a: { conflicts: ["b"], autostart: true }, b: {}, c: { requires: ["b"], autostart: true } },
      {},
      "units.a.conflicts.b: a and b would both start with the supervisor; give one of them `autostart: false`",
    ],
  ]
  for (const [name, units, groups, ...faults] of cases) {
    it(name, () => expect(faultsOf(units, groups)).toEqual(faults))
  }

  it("those that take turns share a port, and a conflict", () => {
    const units = { a: { port: 80, autostart: true }, b: { port: 80, conflicts: ["a"] } }
    expect(faultsOf(units)).toEqual([])
    expect(faultsOf({ ...units, c: { requires: ["b"] } }, { group: group("one-for-one", "a", "b") })).toEqual(
      [],
    )
  })

  it("a name that every object has is a name", () => {
    const { nodes } = graphOf({
      constructor: {},
      web: { bindsTo: ["constructor"], after: ["toString"] },
      toString: {},
    })
    expect(nodes.get("web")!.edges).toEqual([
      { kind: "after", from: "web", to: "toString", condition: "ready" },
      { kind: "bindsTo", from: "web", to: "constructor", condition: "ready" },
    ])
  })
})

describe("a graph", () => {
  it("has each unit before what waits for it, otherwise as they were given", () => {
    const units: Units = {
      web: { requires: ["api"], after: ["log"] },
      api: { bindsTo: ["db"] },
      db: {},
      log: {},
    }
    expect(graphOf(units).order).toEqual(["log", "db", "api", "web"])
    expect(graphOf({ c: {}, a: {}, b: {} }).order).toEqual(["c", "a", "b"])
  })

  it("ranks them", () => {
    const { nodes, order } = graphOf({ web: { requires: ["db"] }, db: {} })
    expect(order.map((name) => nodes.get(name)!.rank)).toEqual([0, 1])
  })

  it("waits for a oneshot's success, of others that they are ready, unless told otherwise", () => {
    const { nodes } = graphOf({
      web: { requires: ["job", "db"], after: { log: "started", late: "completed" } },
      job: { kind: "oneshot" },
      late: { kind: "oneshot" },
      db: {},
      log: {},
    })
    expect(
      nodes
        .get("web")!
        .edges.map(({ condition, to }) => `${to} ${condition}`)
        .toSorted(),
    ).toEqual(["db ready", "job succeeded", "late completed", "log started"])
  })

  it("takes the strongest where one waits for another for several reasons", () => {
    const { nodes } = graphOf({
      web: { after: { db: "started" }, requires: { db: "started" }, bindsTo: ["db"] },
      db: {},
    })
    expect(nodes.get("web")!.edges).toEqual([
      { kind: "bindsTo", from: "web", to: "db", condition: "started" },
    ])
  })

  it("has members of a group wait for those before them, except where each is for itself", () => {
    const units = { a: {}, b: {}, c: { requires: ["a"] } }
    const edges = (strategy: UnitSpec.Strategy) =>
      graphOf(units, { group: group(strategy, "a", "b", "c") })
        .nodes.get("c")!
        .edges.map(({ kind, to }) => `${kind} ${to}`)
    expect(edges("one-for-one")).toEqual(["requires a"])
    expect(edges("one-for-all")).toEqual(["requires a", "group b"])
    expect(edges("rest-for-one")).toEqual(["requires a", "group b"])
  })

  it("knows a conflict from both sides, and who is never restarted", () => {
    const { nodes } = graphOf(
      { a: { conflicts: ["b"] }, b: { restart: "never" }, c: {} },
      { group: group("rest-for-one", "b", "c") },
    )
    expect(nodes.get("b")!.conflicts).toEqual(["a"])
    expect([...nodes.get("c")!.group!.temporary]).toEqual(["b"])
  })
})

describe("who goes with whom", () => {
  const units: Units = {
    all: { kind: "target", requires: ["web"], wants: ["cache"] },
    web: { requires: ["db"], wants: ["log"], after: ["late"] },
    db: { bindsTo: ["disk"] },
    disk: {},
    cache: { requires: ["disk"] },
    log: {},
    late: {},
  }
  const graph = graphOf(units)
  const everything = () => true

  it("what a unit needs", () => {
    expect(Graph.needs(graph, ["web"])).toEqual(["disk", "db", "web"])
  })

  it("what a start takes along", () => {
    expect(Graph.startedWith(graph, ["web"])).toEqual(["disk", "db", "web", "log"])
    expect(new Set(Graph.startedWith(graph, ["all"]))).toEqual(
      new Set(["all", "web", "db", "disk", "cache", "log"]),
    )
  })

  it("who needs a unit", () => {
    expect(Graph.neededBy(graph, ["db"])).toEqual(["db", "web", "all"])
    expect(Graph.neededBy(graph, ["log"])).toEqual(["log"])
  })

  it("what a stop takes along: who needs it, and nobody else", () => {
    expect(Graph.stoppedWith(graph, ["db"], everything)).toEqual(["db", "web", "all"])
    expect(Graph.stoppedWith(graph, ["late"], everything)).toEqual(["late"])
  })

  it("what a stop of a target takes along: its members that nobody else keeps", () => {
    expect(new Set(Graph.stoppedWith(graph, ["all"], everything))).toEqual(new Set(["all", "web", "cache"]))
    const kept = graphOf({ ...units, other: { requires: ["web"] } })
    expect(new Set(Graph.stoppedWith(kept, ["all"], everything))).toEqual(new Set(["all", "cache"]))
    // Whoever is not wanted keeps nothing.
    const isWanted = (name: string) => name !== "other"
    expect(new Set(Graph.stoppedWith(kept, ["all"], isWanted))).toEqual(
      new Set(["all", "web", "cache", "other"]),
    )
  })

  it("of targets within targets, and of members that want each other", () => {
    const graph = graphOf({
      top: { kind: "target", requires: ["low"] },
      low: { kind: "target", wants: ["a", "b"] },
      a: { wants: ["b"] },
      b: { wants: ["a"] },
    })
    expect(new Set(Graph.stoppedWith(graph, ["top"], everything))).toEqual(new Set(["top", "low", "a", "b"]))
  })

  it("what a target is made of", () => {
    expect(new Set(Graph.membersOf(graph, ["all"]))).toEqual(new Set(["all", "web", "cache"]))
    expect(Graph.membersOf(graph, ["web"])).toEqual(["web"])
  })
})

describe("many units", () => {
  const millis = (run: () => unknown): number => {
    const begin = performance.now()
    run()
    return performance.now() - begin
  }

  it("a chain of 10,000 does not overflow the stack", () => {
    const chain = new Map(
      Array.from({ length: 10_000 }, (_, n) => [`u${n}`, spec({})] as const).map(([name, base], n) => [
        name,
        n === 9_999 ? base : { ...base, requires: { [`u${n + 1}`]: undefined } },
      ]),
    )
    const graph = Either.getOrThrow(Graph.make(chain))
    expect(graph.order[0]).toBe("u9999")
    expect(Graph.needs(graph, ["u0"])).toHaveLength(10_000)
    expect(Graph.stoppedWith(graph, ["u9999"], () => true)).toHaveLength(10_000)
    const cycle = new Map(chain).set("u9999", { ...spec({}), requires: { u0: undefined } })
    const faults = Either.getOrThrow(Either.flip(Graph.make(cycle)))
    expect(faults[0]!.message.startsWith("a cycle: u0 -> u1 -> u2")).toBe(true)
  })

  it("5,000 are loaded in well under a second, conflicts and all", () => {
    const base = spec({})
    const units = new Map(
      Array.from({ length: 5_000 }, (_, n) => [
        `u${n}`,
        {
          ...base,
          requires: n >= 10 ? { [`u${n - 10}`]: undefined } : {},
          after: n >= 3 ? { [`u${n - 3}`]: undefined } : {},
          conflicts: n % 100 === 7 ? [`u${n + 1}`] : [],
          ports: [n + 1_000],
        },
      ]),
    )
    expect(Either.isRight(Graph.make(units))).toBe(true)
    expect(millis(() => Graph.make(units))).toBeLessThan(1_000)
  })

  it("5,000 unknown names are refused in no time", () => {
    const base = spec({})
    const units = new Map(
      Array.from({ length: 5_000 }, (_, n) => [`unit-${n}`, { ...base, wants: [`unknown-${n}`] }]),
    )
    const begin = performance.now()
    expect(Either.getOrThrow(Either.flip(Graph.make(units)))).toHaveLength(5_000)
    expect(performance.now() - begin).toBeLessThan(5_000)
  })
})
