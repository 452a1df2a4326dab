/**
 * Small systems in every order of commands and of what an honest interpreter may answer, and larger ones at random. What
 * holds of every step is in `simulation.ts`.
 */
import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as HashMap from "effect/HashMap"
import * as Graph from "../../src/unit/Graph.js"
import type * as RestartPolicy from "../../src/unit/RestartPolicy.js"
import * as System from "../../src/unit/System.js"
import type * as UnitSpec from "../../src/unit/UnitSpec.js"
import { isSettled, isUp } from "../../src/unit/UnitState.js"
import * as Environment from "./environment.js"
import {
  begin,
  goesWell,
  happenings,
  kind,
  type Moment,
  type Next,
  shown,
  step,
  systemOf,
} from "./simulation.js"

type Units = Readonly<Record<string, UnitSpec.Input>>
type Groups = Readonly<Record<string, UnitSpec.Group>>

const canonical = ({ envs, world }: Moment): Moment => {
  const nodes = [...envs].map(
    ([name, env]) => [name, Environment.canonical({ state: System.stateOf(world, name), env })] as const,
  )
  return {
    world: { ...world, states: HashMap.fromIterable(nodes.map(([name, { state }]) => [name, state])) },
    envs: new Map(nodes.map(([name, { env }]) => [name, env])),
  }
}

const keyOf = ({ envs, world }: Moment): string => {
  const nodes = [...envs].map(
    ([name, env]) =>
      `${Environment.keyOf({ state: System.stateOf(world, name), env })}|${HashMap.has(world.due, name) ? HashMap.unsafeGet(world.due, name) : ""}`,
  )
  return `${world.closed}\n${nodes.join("\n")}`
}

const phases = (system: System.System, { world }: Moment): string =>
  system.graph.order.map((name) => `${name} ${shown(System.stateOf(world, name))}`).join(", ")

/** Everything that the interpreters owe is answered, in the worst of all orders as well as in the best. */
const answer = (
  system: System.System,
  moment: Moment,
  options: Environment.Options,
  pick: (of: number) => number,
) => {
  let now = moment
  const faults: Array<string> = []
  for (let left = 200; left > 0 && faults.length === 0; left--) {
    const owed = happenings(system, now, () => options).filter(({ owed }) => owed)
    if (owed.length === 0) return { moment: now, faults }
    const stepped = step(system, now, owed[pick(owed.length)]!)
    faults.push(...stepped.faults)
    now = stepped.moment
  }
  return { moment: now, faults: faults.length > 0 ? faults : ["it never comes to rest"] }
}

/** After a shutdown nothing but answers is needed for everything to come to rest. */
const faultsOfShutdown = (
  system: System.System,
  moment: Moment,
  options: Environment.Options,
  pick: (of: number) => number,
): ReadonlyArray<string> => {
  const closed = step(system, moment, { input: { _tag: "Shutdown" }, owed: false })
  if (closed.faults.length > 0) return closed.faults
  const { faults, moment: end } = answer(system, closed.moment, options, pick)
  if (faults.length > 0) return faults
  const isOver = system.graph.order.every((name) => isSettled(System.stateOf(end.world, name)))
  return isOver && HashMap.isEmpty(end.world.due) ? [] : [`after a shutdown: ${phases(system, end)}`]
}

/** A start brings everything up, where everything goes well, nothing conflicts and nobody waits for others. */
const faultsOfStart = (
  system: System.System,
  moment: Moment,
  some: ReadonlyArray<string>,
): ReadonlyArray<string> => {
  if (moment.world.closed) return []
  const { graph } = system
  const all = new Set(some)
  for (const name of all) {
    const { edges, group } = graph.nodes.get(name)!
    for (const { to } of edges) all.add(to)
    for (const other of group?.units ?? []) all.add(other)
    for (const other of Graph.startedWith(graph, [name])) all.add(other)
  }
  const names = [...all]
  if (names.some((name) => graph.nodes.get(name)!.conflicts.some((other) => all.has(other)))) return []
  // What has just ended may fail for good, and take its group along: that is known first.
  const { faults: early, moment: settled } = answer(system, moment, kind, () => 0)
  if (early.length > 0) return early
  const started = step(system, settled, { input: { _tag: "Start", names }, owed: false })
  const faults = [...started.faults]
  let now = started.moment
  for (let left = 400; faults.length === 0; left--) {
    const next = graph.order.flatMap((unit) => goesWell(system, now, unit) ?? [])[0]
    if (next === undefined) break
    if (left === 0) return ["a start never comes to rest"]
    const stepped = step(system, now, next)
    faults.push(...stepped.faults)
    now = stepped.moment
  }
  if (faults.length > 0) return faults
  const missing = names.filter((name) => {
    const state = System.stateOf(now.world, name)
    return !(isUp(state) || state.phase._tag === "Exited")
  })
  return missing.length === 0 ? [] : [`a start of ${names.join(", ")} ends with ${phases(system, now)}`]
}

/** Lets the test runner hear of this process in between. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Walks all that is reachable, and tells how many states there are. From some of them it goes on to the end. */
const walk = async (
  system: System.System,
  options: Environment.Options,
  commands: ReadonlyArray<System.Command>,
) => {
  const seen = new Map<string, { readonly before: string | undefined; readonly input: string }>()
  let seed = 1
  const pick = (of: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % of
  }
  const complain = (key: string, input: unknown, faults: ReadonlyArray<string>): never => {
    const way = [JSON.stringify(input)]
    for (let at: string | undefined = key; at !== undefined;) {
      const { before, input }: { readonly before: string | undefined; readonly input: string } = seen.get(at)!
      way.push(input)
      at = before
    }
    throw new Error(`${faults.join("; ")}\n${way.reverse().join("\n")}`)
  }
  const first = canonical(begin(system))
  seen.set(keyOf(first), { before: undefined, input: "begin" })
  for (let frontier = [[keyOf(first), first] as const]; frontier.length > 0;) {
    const next: typeof frontier = []
    await turn()
    for (const [key, moment] of frontier) {
      const inputs: ReadonlyArray<Next> = [
        ...commands.map((input) => ({ input, owed: false })),
        ...happenings(system, moment, () => options),
      ]
      for (const one of inputs) {
        const { faults, moment: to } = step(system, moment, one)
        if (faults.length > 0) complain(key, one.input, faults)
        const found = keyOf(to)
        if (seen.has(found)) continue
        seen.set(found, { before: key, input: JSON.stringify(one.input) })
        next.push([found, canonical(to)])
        if (seen.size % 50 === 0) {
          const late = [
            ...faultsOfShutdown(system, to, options, pick),
            ...faultsOfStart(system, to, system.graph.order),
          ]
          if (late.length > 0) complain(key, one.input, late)
        }
      }
    }
    frontier = next
  }
  return seen.size
}

/** A system at random: units in their order, each depending on earlier ones only. */
const anySystem: FastCheck.Arbitrary<System.System> = FastCheck.array(
  FastCheck.record({
    kind: FastCheck.constantFrom<Array<UnitSpec.Kind>>(
      "service",
      "service",
      "service",
      "oneshot",
      "target",
      "external",
      "task",
    ),
    requires: FastCheck.nat(),
    bindsTo: FastCheck.nat(),
    after: FastCheck.nat(),
    wants: FastCheck.nat(),
    conflicts: FastCheck.nat(),
    condition: FastCheck.constantFrom(undefined, undefined, "started" as const),
    policy: FastCheck.constantFrom<Array<RestartPolicy.Policy>>(
      "on-failure",
      "on-failure",
      "always",
      "never",
    ),
    maxFailures: FastCheck.nat(2),
    isProbed: FastCheck.boolean(),
    offersBusy: FastCheck.boolean(),
    isLimited: FastCheck.boolean(),
  }),
  { minLength: 2, maxLength: 5 },
).chain((drafts) =>
  FastCheck.record({
    strategy: FastCheck.constantFrom<Array<UnitSpec.Strategy>>("one-for-one", "one-for-all", "rest-for-one"),
    grouped: FastCheck.nat(),
  }).map(({ grouped, strategy }) => {
    const name = (index: number) => `u${index}`
    /** One in four of the bits of a number, for the units before `index`. */
    const chosen = (bits: number, index: number): Array<string> =>
      drafts.flatMap((_, at) => (at < index && ((bits >> (2 * at)) & 3) === 3 ? [name(at)] : []))
    const units = (conflicting: boolean): Units =>
      Object.fromEntries(
        drafts.map((draft, index) => {
          const { condition, isLimited, kind, maxFailures, policy } = draft
          const isProbed = draft.isProbed && (kind === "service" || kind === "task")
          const requires = chosen(draft.requires, index)
          const check = { tcp: { port: 1 } }
          const input: UnitSpec.Input = {
            kind,
            requires:
              condition === undefined
                ? requires
                : Object.fromEntries(requires.map((one) => [one, condition])),
            bindsTo: chosen(draft.bindsTo, index),
            after: chosen(draft.after, index),
            wants: chosen(draft.wants, index),
            conflicts: conflicting ? chosen(draft.conflicts, index) : [],
            restart: {
              policy: kind === "oneshot" && policy === "always" ? "on-failure" : policy,
              maxFailures,
            },
            ...(isProbed && { readiness: check, liveness: check }),
            ...(isProbed && draft.offersBusy && { busy: check }),
            ...(isLimited && kind !== "target" && { startTimeout: 5 }),
            ...(isLimited && { dependencyTimeout: 5 }),
          }
          return [name(index), input]
        }),
      )
    const members = drafts.flatMap((_, at) => (((grouped >> at) & 1) === 1 ? [name(at)] : []))
    const [first, ...others] = members
    const groups: Groups = first === undefined ? {} : { group: { strategy, units: [first, ...others] } }
    try {
      return systemOf(units(true), groups)
    } catch {
      // What conflicts with what starts along is refused.
      return systemOf(units(false), groups)
    }
  }),
)

const rich = (system: System.System) => {
  const byName = new Map<string, Environment.Options>(
    system.graph.order.map((name) => {
      const { kind, probed } = system.traits.get(name)!
      const options: Environment.Options = {
        ends:
          kind === "task"
            ? [{ _tag: "Succeeded" }, { _tag: "Died", message: "It died." }]
            : [
                { _tag: "Exited", code: 0 },
                { _tag: "Exited", code: 1 },
                { _tag: "Signaled", signal: "SIGKILL" },
              ],
        spawnFails: ["retryable", "permanent"],
        failures: 2,
        survivors: true,
        mismatch: true,
        adopts: true,
        delaysEnd: true,
        uses: kind === "external" ? ["readiness"] : probed ? ["readiness", "liveness"] : [],
      }
      return [name, options]
    }),
  )
  return (name: string) => byName.get(name)!
}

describe("at random", () => {
  /** One number for each step: what happens, out of all that may. */
  const script = FastCheck.array(FastCheck.nat(), { minLength: 10, maxLength: 150, size: "max" })

  it(
    "holds what must hold, comes to rest after a shutdown, and up by a start",
    { timeout: 240_000 },
    async () => {
      let steps = 0
      const property = FastCheck.asyncProperty(anySystem, script, async (system, numbers) => {
        await turn()
        const optionsOf = rich(system)
        const { order } = system.graph
        let moment = begin(system)
        const told: Array<string> = []
        const check = (faults: ReadonlyArray<string>, what: unknown) => {
          if (faults.length === 0) return
          const units = order.map((name) => {
            const { edges, group, spec } = system.graph.nodes.get(name)!
            const words = edges.map(({ condition, kind, to }) => `${kind} ${to} ${condition}`)
            return `${name} ${spec.kind} ${spec.restart.policy} ${spec.restart.maxFailures}: ${words}, wants ${spec.wants}, conflicts ${spec.conflicts}, ${group?.strategy ?? ""} ${group?.units ?? ""}`
          })
          throw new Error([...units, ...told, JSON.stringify(what), ...faults].join("\n"))
        }
        const commands = ["Start", "Stop", "Restart", "Hold"] as const
        for (const number of numbers) {
          const spontaneous = happenings(system, moment, optionsOf)
          const isOrder = number % 5 === 0 || spontaneous.length === 0
          const rest = Math.floor(number / 5)
          const named = order.filter((_, at) => ((rest >> (at + 2)) & 1) === 1)
          const names = named.length === 0 ? [order[rest % order.length]!] : named
          const next: Next = isOrder
            ? { input: { _tag: commands[rest % 4]!, names }, owed: false }
            : spontaneous[rest % spontaneous.length]!
          const stepped = step(system, moment, next)
          steps++
          check(stepped.faults, next.input)
          told.push(`${JSON.stringify(next.input)}: ${phases(system, stepped.moment)}`)
          moment = stepped.moment
        }
        const pick = (of: number) => numbers[steps % numbers.length]! % of
        check(
          faultsOfStart(
            system,
            moment,
            order.filter((_, at) => at % 2 === numbers[0]! % 2),
          ),
          "start",
        )
        check(faultsOfShutdown(system, moment, rich(system)(order[0]!), pick), "shutdown")
      })
      // About ten seconds; where it takes longer, it ends early.
      await FastCheck.assert(property, { seed: 4, numRuns: 600, interruptAfterTimeLimit: 30_000 })
      expect(steps).toBeGreaterThan(10_000)
    },
  )
})

describe("all that is reachable", () => {
  const options: Environment.Options = {
    ends: [{ _tag: "Exited", code: 1 }],
    spawnFails: [],
    failures: 0,
    survivors: false,
    mismatch: false,
    adopts: false,
    delaysEnd: false,
    uses: [],
  }
  const once: UnitSpec.Input = { restart: { maxFailures: 1 } }
  const never: UnitSpec.Input = { restart: "never" }
  // So many states there are, about: a walk that ends early proves nothing.
  const systems: Readonly<Record<string, readonly [least: number, Units, Groups?]>> = {
    "one that requires another": [9_000, { db: once, web: { requires: ["db"], ...once } }],
    "one that is bound to another": [9_000, { db: once, web: { bindsTo: ["db"], ...once } }],
    "one after another": [9_000, { db: once, web: { after: ["db"], ...once } }],
    "two that conflict": [3_000, { blue: once, green: { conflicts: ["blue"], ...once } }],
    "a oneshot and a service": [250, { job: { kind: "oneshot" }, web: { requires: ["job"], ...never } }],
    "one-for-all": [9_000, { a: once, b: once }, { group: { strategy: "one-for-all", units: ["a", "b"] } }],
    "rest-for-one, and one that is never restarted": [
      2_000,
      { a: once, b: never },
      { group: { strategy: "rest-for-one", units: ["a", "b"] } },
    ],
    "a target over two": [9_000, { a: never, b: never, all: { kind: "target", requires: ["a", "b"] } }],
  }
  for (const [name, [least, units, groups]] of Object.entries(systems)) {
    it(`of ${name}`, { timeout: 240_000 }, async () => {
      const system = systemOf(units, groups)
      const commands = system.graph.order.flatMap((unit) =>
        (
          ["Start", "Stop", "Restart", ...(system.graph.order.length > 2 ? [] : ["Hold" as const])] as const
        ).map((_tag): System.Command => ({ _tag, names: [unit] })),
      )
      const states = await walk(system, options, [...commands, { _tag: "Shutdown" }])
      expect(states).toBeGreaterThan(least)
    })
  }
})
