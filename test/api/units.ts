/** A supervisor that keeps nothing: what would be a unit's doing is the test's. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as UnitLog from "../../src/output/UnitLog.js"
import type { TableUnreadable } from "../../src/process/ProcessTable.js"
import type { Explanation } from "../../src/unit/Explanation.js"
import type { GraphView } from "../../src/unit/GraphView.js"
import type { PlanDiff } from "../../src/unit/PlanDiff.js"
import {
  type SupervisorClosed,
  type UnitHasNoProcess,
  UnitNotFound,
  type UnitNotStarted,
  type UnitNotStopped,
} from "../../src/unit/SupervisorError.js"
import type { Service } from "../../src/unit/SupervisorService.js"
import type { UnitStatus } from "../../src/unit/UnitStatus.js"

/** What a fake refuses with, by what it was asked for. */
export interface Refusals {
  readonly start?: UnitNotStarted | SupervisorClosed
  readonly stop?: UnitNotStopped
  readonly kill?: UnitHasNoProcess | TableUnreadable
  readonly reload?: SupervisorClosed
}

/** A supervisor, and what makes it do things. */
export interface FakeUnits {
  readonly service: Service
  /** What it was asked to do, in order: `start web`, `stop web db 500`, and what was cut off: `start cut`. */
  readonly calls: Array<string>
  readonly set: (name: string, status?: Partial<UnitStatus>) => void
  readonly remove: (name: string) => void
  readonly print: (name: string, text: string, stream?: "stdout" | "stderr") => void
  /** From now on whatever takes its time waits until `release`. */
  readonly hold: Effect.Effect<void>
  readonly release: Effect.Effect<void>
  /** Done when something that takes its time was asked for. */
  readonly asked: Effect.Effect<void>
  /** Done when somebody follows the output of a unit. */
  readonly followed: Effect.Effect<void>
  refusals: Refusals
  explanation: Explanation | undefined
  graph: GraphView
  diff: PlanDiff
}

const at = Date.UTC(2030, 0, 31, 8)

const statusOf = (name: string): UnitStatus => ({
  name,
  kind: "service",
  state: "ready",
  desired: "up",
  since: at,
  generation: 1,
  failures: 0,
  restarts: 0,
  outputs: {},
})

/** A new one without units. `lines`: how many are kept of each unit's output. */
export const fakeUnits = (lines = 100): Effect.Effect<FakeUnits, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const units = new Map<string, UnitStatus>()
    const logs = new Map<string, UnitLog.UnitLog>()
    const asked = yield* Deferred.make<void>()
    const followed = yield* Deferred.make<void>()
    let gate: Deferred.Deferred<void> | undefined

    const find = (name: string) =>
      Effect.suspend(() => {
        const found = units.get(name)
        return found === undefined
          ? Effect.fail(new UnitNotFound({ name, known: [...units.keys()] }))
          : Effect.succeed(found)
      })
    const change = (name: string, status: Partial<UnitStatus>) =>
      units.set(name, { ...units.get(name)!, ...status })

    /** What takes its time. */
    const slow = (
      what: string,
      names: ReadonlyArray<string>,
      extra: ReadonlyArray<unknown>,
      before: Partial<UnitStatus>,
      after: Partial<UnitStatus>,
    ) =>
      Effect.gen(function* () {
        // A real one may take its time even to say no.
        yield* Effect.tapError(Effect.forEach(names, find), () => Effect.sleep("20 millis"))
        fake.calls.push([what, ...names, ...extra].join(" "))
        for (const name of names) change(name, before)
        yield* Deferred.succeed(asked, undefined)
        if (gate !== undefined) yield* Deferred.await(gate)
        for (const name of names) change(name, after)
        return names.map((name) => units.get(name)!)
      }).pipe(Effect.onInterrupt(() => Effect.sync(() => fake.calls.push(`${what} cut`))))

    const start = (what: string, names: ReadonlyArray<string>) =>
      Effect.andThen(
        slow(what, names, [], { state: "starting", desired: "up" }, { state: "ready" }),
        (started) => fake.refusals.start ?? Effect.succeed(started),
      )

    const service: Service = {
      list: Effect.sync(() => [...units.values()]),
      status: find,
      start: (names) => start("start", names),
      stop: (names, { grace } = {}) =>
        Effect.andThen(
          slow(
            "stop",
            names,
            grace === undefined ? [] : [Duration.toMillis(grace)],
            { state: "stopping", desired: "down" },
            { state: "inactive" },
          ),
          (stopped) => fake.refusals.stop ?? Effect.succeed(stopped),
        ),
      restart: (names) => start("restart", names),
      kill: (name, signal) =>
        Effect.andThen(find(name), ({ pid }) => {
          fake.calls.push(`kill ${name} ${signal}`)
          return fake.refusals.kill ?? Effect.succeed(pid !== undefined)
        }),
      why: (name) =>
        Effect.map(
          find(name),
          ({ state }) => fake.explanation ?? { unit: name, state, isUp: true, chain: [] },
        ),
      tree: Effect.sync(() => fake.graph),
      log: (name) =>
        Effect.map(find(name), () => {
          const log = logs.get(name)!
          return {
            ...log,
            follow: (options) => Stream.onStart(log.follow(options), Deferred.succeed(followed, undefined)),
          }
        }),
      changes: Stream.never,
      awaitReady: find,
      process: () => Effect.succeed(undefined),
      preview: () => Effect.sync(() => fake.diff),
      reload: () =>
        Effect.gen(function* () {
          const { added, changed } = fake.diff
          const names = [...added, ...changed.map(({ name }) => name)]
          for (const name of added) set(name, { state: "inactive", desired: "manual" })
          const started = yield* Effect.orDie(
            slow("reload", names, [], { state: "starting", desired: "up" }, { state: "ready" }),
          )
          return fake.refusals.reload === undefined
            ? { diff: fake.diff, started }
            : yield* fake.refusals.reload
        }),
      shutdown: () => Effect.void,
    }

    const set: FakeUnits["set"] = (name, status = {}) => {
      if (!logs.has(name)) logs.set(name, Effect.runSync(Scope.extend(UnitLog.make({ lines }), scope)))
      units.set(name, { ...(units.get(name) ?? statusOf(name)), ...status })
    }

    const fake: FakeUnits = {
      service,
      calls: [],
      set,
      remove: (name) => {
        units.delete(name)
        logs.delete(name)
      },
      print: (name, text, stream = "stdout") =>
        logs.get(name)!.write(stream, text, units.get(name)!.generation),
      hold: Effect.map(Deferred.make<void>(), (made) => {
        gate = made
      }),
      release: Effect.suspend(() => {
        const held = gate
        gate = undefined
        return held === undefined ? Effect.void : Deferred.succeed(held, undefined)
      }),
      asked: Deferred.await(asked),
      followed: Deferred.await(followed),
      refusals: {},
      explanation: undefined,
      graph: { nodes: [], edges: [], groups: [] },
      diff: {
        added: [],
        removed: [],
        changed: [],
        unchanged: [],
        follows: [],
        groups: { added: [], removed: [], changed: [] },
      },
    }
    return fake
  })
