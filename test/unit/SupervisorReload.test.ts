/** Another plan while everything runs: what has not changed is not touched. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { CommandNotFound } from "../../src/process/SpawnError.js"
import * as Plan from "../../src/unit/Plan.js"
import * as Testing from "../../src/testing.js"
import {
  adjust,
  check,
  course,
  crash,
  failing,
  Health,
  history,
  memory,
  neverTwice,
  settle,
  start,
  states,
  statusNow,
  stop,
  supervisor,
  unit,
  withUnits,
} from "./virtual.js"

const reloading = (units: Plan.Input["units"], groups: Plan.Input["groups"] = {}) =>
  Effect.gen(function* () {
    const { reload } = yield* supervisor
    const plan = yield* Plan.make({ units, groups })
    const fiber = yield* Effect.fork(reload(plan))
    yield* settle
    return fiber
  })

const reload = (units: Plan.Input["units"], groups: Plan.Input["groups"] = {}) =>
  Effect.flatMap(reloading(units, groups), (fiber) => Fiber.join(fiber))

const pidOf = (name: string) => Effect.map(statusNow(name), ({ pid }) => pid)

const names = (diff: { readonly changed: ReadonlyArray<{ readonly name: string }> }) =>
  diff.changed.map(({ name }) => name)

const missing = new CommandNotFound({ program: "run", searched: [] })

/** Takes so long over its stop signal. */
const slow = (seconds: number) =>
  Testing.runs({ onSignal: () => Effect.delay(Effect.succeed(0), `${seconds} seconds`) })

describe("a reload", () => {
  it.effect(
    "starts what is new, stops what is removed, restarts what has changed, and touches nothing else",
    () =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("same", "changed", "removed"))
        yield* adjust("1 minute")
        const before = yield* statusNow("same")
        const seen = (yield* history()).length
        const { diff, started } = yield* reload({
          same: unit(),
          changed: unit({ env: { COLOUR: "green" } }),
          added: unit(),
          later: unit({ autostart: false }),
        })
        assert.deepStrictEqual(
          [diff.added, diff.removed, names(diff), diff.unchanged],
          [["added", "later"], ["removed"], ["changed"], ["same"]],
        )
        assert.deepStrictEqual(
          started.map(({ name, state }) => [name, state]),
          [
            ["changed", "ready"],
            ["added", "ready"],
          ],
        )
        assert.deepStrictEqual(yield* statusNow("same"), before)
        const changed = yield* statusNow("changed")
        assert.deepStrictEqual([changed.state, changed.generation], ["ready", 2])
        assert.strictEqual((yield* memory).latest("changed")?.env.COLOUR, "green")
        assert.deepStrictEqual(yield* states("added", "later"), ["ready", "inactive"])
        const { list, status } = yield* supervisor
        assert.strictEqual((yield* Effect.flip(status("removed")))._tag, "UnitNotFound")
        assert.strictEqual((yield* list).length, 4)
        assert.isFalse((yield* history()).slice(seen).some((line) => line.includes("same")))
        assert.deepStrictEqual(
          (yield* memory).alive().map(({ spec }) => spec.unit),
          ["same", "changed", "added"],
        )
        yield* neverTwice
      }).pipe(withUnits({ units: { same: unit(), changed: unit(), removed: unit() } })),
  )

  it.effect("can be looked at first, and that changes nothing", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a", "b"))
      const { preview } = yield* supervisor
      const diff = yield* preview(yield* Plan.make({ units: { b: unit({ minUptime: 1 }), c: unit() } }))
      assert.deepStrictEqual([diff.added, diff.removed, names(diff)], [["c"], ["a"], ["b"]])
      yield* settle
      assert.deepStrictEqual(yield* states("a", "b"), ["ready", "ready"])
      assert.strictEqual((yield* memory).processes().length, 2)
    }).pipe(withUnits({ units: { a: unit(), b: unit() } })),
  )

  it.effect("does not start what has changed and was down", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* Fiber.join(yield* stop("a"))
      const { started } = yield* reload({ a: unit({ minUptime: 1 }), b: unit({ minUptime: 1 }) })
      assert.deepStrictEqual(started, [])
      yield* adjust("1 hour")
      assert.deepStrictEqual(yield* states("a", "b"), ["inactive", "inactive"])
      assert.strictEqual((yield* statusNow("a")).desired, "down")
      // It is the new one that is started then.
      const waiter = yield* start("a")
      assert.deepStrictEqual(yield* states("a"), ["starting"])
      yield* adjust("1 second")
      const [status] = yield* Fiber.join(waiter)
      assert.strictEqual(status?.generation, 2)
    }).pipe(withUnits({ units: { a: unit(), b: unit({ autostart: false }) } })),
  )

  it.effect("gives what has failed, or waits for its backoff, another chance with its new spec", () =>
    Effect.gen(function* () {
      yield* start("failed", "waiting")
      yield* crash("failed")
      yield* crash("waiting")
      yield* crash("waiting")
      assert.deepStrictEqual(yield* states("failed", "waiting"), ["failed", "backoff"])
      const restart = { backoff: { initial: "1h", jitter: false } }
      yield* reload({
        failed: unit({ restart: "never", env: { A: 1 } }),
        waiting: unit({ restart, env: { A: 1 } }),
      })
      const all = yield* Effect.forEach(["failed", "waiting"], statusNow)
      assert.deepStrictEqual(
        all.map(({ failures, state }) => [state, failures]),
        [
          ["ready", 0],
          ["ready", 0],
        ],
      )
      // What is known of the past stays known.
      assert.deepStrictEqual(
        all.map(({ generation, restarts }) => [generation, restarts]),
        [
          [2, 0],
          [3, 1],
        ],
      )
    }).pipe(
      withUnits({
        units: {
          failed: unit({ restart: "never" }),
          waiting: unit({ restart: { backoff: { initial: "1h", jitter: false } } }),
        },
      }),
    ),
  )

  it.effect("leaves what has failed and not changed as it is", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* crash("a")
      yield* reload({ a: unit({ restart: "never" }), b: unit() })
      assert.deepStrictEqual(yield* states("a", "b"), ["failed", "ready"])
      assert.strictEqual((yield* statusNow("a")).failure?.kind, "Crashed")
    }).pipe(withUnits({ units: { a: unit({ restart: "never" }) } })),
  )

  it.effect("starts what had failed by nothing but a unit that it mends", () =>
    Effect.gen(function* () {
      yield* start("all", "own")
      assert.deepStrictEqual(
        yield* states("db", "web", "all", "own"),
        Array.from({ length: 4 }, () => "failed"),
      )
      const { started } = yield* reload({
        db: unit({ restart: "never", env: { A: 1 } }),
        web: unit({ requires: ["db"] }),
        all: { kind: "target", requires: ["web"] },
        own: unit({ restart: "never" }),
      })
      yield* settle
      assert.sameMembers(
        started.map(({ name }) => name),
        ["db", "web", "all"],
      )
      assert.deepStrictEqual(yield* states("db", "web", "all", "own"), ["ready", "ready", "ready", "failed"])
    }).pipe(
      withUnits({
        units: {
          db: unit({ restart: "never" }),
          web: unit({ requires: ["db"] }),
          all: { kind: "target", requires: ["web"] },
          own: unit({ restart: "never" }),
        },
        processes: Testing.byUnit({
          db: Testing.inTurn(Testing.fails(missing), Testing.runs()),
          own: Testing.fails(missing),
        }),
      }),
    ),
  )

  it.effect("takes what goes down in order, and lets nothing new start before it is gone", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("web"))
      const seen = (yield* history()).length
      const fiber = yield* reloading({ other: unit() })
      yield* adjust("5 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual((yield* history()).slice(seen), [
        "0 web stopping",
        "2000 web inactive",
        "2000 db stopping",
        "5000 db inactive",
        "5000 other starting",
        "5000 other ready",
      ])
    }).pipe(
      withUnits({
        units: { db: unit(), web: unit({ requires: ["db"] }) },
        processes: Testing.byUnit({ web: slow(2), db: slow(3) }),
      }),
    ),
  )

  it.effect("of what others are bound to takes them down and up again; what only requires it stays up", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("bound", "free"))
      const [bound, free] = yield* Effect.forEach(["bound", "free"], pidOf)
      const { diff } = yield* reload({
        db: unit({ env: { A: 1 } }),
        bound: unit({ bindsTo: ["db"] }),
        free: unit({ requires: ["db"] }),
      })
      assert.deepStrictEqual(diff.follows, [{ name: "bound", to: "db" }])
      yield* settle
      assert.deepStrictEqual(yield* states("db", "bound", "free"), ["ready", "ready", "ready"])
      assert.notStrictEqual(yield* pidOf("bound"), bound)
      assert.strictEqual(yield* pidOf("free"), free)
      yield* neverTwice
    }).pipe(
      withUnits({
        units: { db: unit(), bound: unit({ bindsTo: ["db"] }), free: unit({ requires: ["db"] }) },
      }),
    ),
  )

  it.effect("that removes what a unit waited for lets it start", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("blue"))
      const waiter = yield* start("green")
      assert.deepStrictEqual(yield* states("blue", "green"), ["stopping", "blocked"])
      // `blue` would take an hour to go down by itself; it is `green` that does not change.
      const fiber = yield* reloading({ green: unit({ autostart: false }) })
      yield* adjust("1 hour")
      yield* Fiber.join(fiber)
      yield* Fiber.join(waiter)
      assert.deepStrictEqual(yield* states("green"), ["ready"])
    }).pipe(
      withUnits({
        units: {
          blue: unit({ conflicts: ["green"], stop: { grace: "1h" } }),
          green: unit({ autostart: false }),
        },
        processes: Testing.byUnit({ blue: Testing.runs({ ignores: ["SIGTERM"] }) }),
      }),
    ),
  )

  it.effect("a unit that does not come up is no failure of it", () =>
    Effect.gen(function* () {
      const { started } = yield* reload({ good: unit(), bad: unit({ restart: "never", minUptime: 1 }) })
      assert.deepStrictEqual(started.map(({ name, state }) => [name, state]).sort(), [
        ["bad", "failed"],
        ["good", "ready"],
      ])
    }).pipe(withUnits({ units: {}, processes: Testing.byUnit({ bad: Testing.exits(1) }) })),
  )

  it.effect("whoever waits for what is removed is told", () =>
    Effect.gen(function* () {
      const waiter = yield* start("a")
      yield* reload({ b: unit() })
      const error = yield* Effect.flip(Fiber.join(waiter))
      assert.strictEqual(error._tag, "UnitNotStarted")
      assert.include(["Removed", "Stopped"], error._tag === "UnitNotStarted" && error.kind)
    }).pipe(withUnits({ units: { a: unit({ minUptime: "1h" }) } })),
  )

  it.effect("two at the same time come one after the other", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const first = yield* reloading({ b: unit() })
      const second = yield* reloading({ c: unit() })
      yield* adjust("10 seconds")
      assert.deepStrictEqual((yield* Fiber.join(first)).diff.removed, ["a"])
      assert.deepStrictEqual((yield* Fiber.join(second)).diff.removed, ["b"])
      assert.deepStrictEqual(yield* states("c"), ["ready"])
      assert.deepStrictEqual(
        (yield* memory).alive().map(({ spec }) => spec.unit),
        ["c"],
      )
    }).pipe(withUnits({ units: { a: unit() }, processes: slow(5) })),
  )

  it.effect("goes on when whoever asked for it goes: the units are not left half way", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("changed", "removed"))
      const fiber = yield* reloading({ changed: unit({ env: { A: 1 } }), added: unit() })
      yield* Effect.fork(Fiber.interrupt(fiber))
      yield* adjust("1 minute")
      assert.deepStrictEqual(yield* states("changed", "added"), ["ready", "ready"])
      assert.strictEqual((yield* statusNow("changed")).generation, 2)
      const { status } = yield* supervisor
      assert.strictEqual((yield* Effect.flip(status("removed")))._tag, "UnitNotFound")
    }).pipe(withUnits({ units: { changed: unit(), removed: unit() }, processes: slow(5) })),
  )

  it.effect("a start of what goes while it goes leaves no process behind", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("removed", "changed"))
      const fiber = yield* reloading({ changed: unit({ env: { A: 1 } }) })
      yield* adjust("1 second")
      const [first, second] = yield* Effect.forEach(["removed", "changed"], (name) => start(name))
      yield* adjust("1 minute")
      yield* Fiber.join(fiber)
      yield* Fiber.await(first!)
      yield* Fiber.await(second!)
      assert.deepStrictEqual(
        (yield* memory).alive().map(({ env, spec }) => [spec.unit, env.A]),
        [["changed", "1"]],
      )
      assert.deepStrictEqual(yield* states("changed"), ["ready"])
      yield* neverTwice
    }).pipe(withUnits({ units: { removed: unit(), changed: unit() }, processes: slow(5) })),
  )

  it.effect(
    "a start, a restart and a stop meanwhile are about the new units: none of them goes up twice",
    () =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a", "b", "c"))
        const seen = (yield* history()).length
        const changed = unit({ env: { A: 1 } })
        const fiber = yield* reloading({ a: changed, b: changed, c: changed })
        yield* adjust("1 second")
        const [started, stopped] = [yield* start("a"), yield* stop("b")]
        yield* adjust("5 seconds")
        assert.deepStrictEqual(
          (yield* Fiber.join(started)).map(({ generation, state }) => [generation, state]),
          [[2, "ready"]],
        )
        yield* Fiber.join(fiber)
        yield* adjust("5 seconds")
        yield* Fiber.join(stopped)
        assert.deepStrictEqual(yield* states("a", "b", "c"), ["ready", "inactive", "ready"])
        const ups = (yield* history()).slice(seen).filter((line) => line.endsWith("starting"))
        assert.deepStrictEqual(ups, ["2000 a starting", "2000 b starting", "2000 c starting"])
        yield* neverTwice
      }).pipe(withUnits({ units: { a: unit(), b: unit(), c: unit() }, processes: slow(2) })),
  )

  it.effect("a unit may become another kind", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* reload({ a: { kind: "target", requires: ["b"] }, b: unit() })
      const { pid, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, pid], ["ready", undefined])
      const fiber = yield* reloading({ a: { kind: "oneshot", command: ["run"] }, b: unit() })
      yield* crash("a", 0)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* states("a"), ["exited"])
    }).pipe(withUnits({ units: { a: unit() } })),
  )

  it.effect("another strategy of a group holds from then on", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a", "b"))
      yield* reload({ a: unit(), b: unit() }, { all: { strategy: "one-for-all", units: ["a", "b"] } })
      const pid = yield* pidOf("a")
      yield* crash("b")
      yield* settle
      assert.deepStrictEqual(yield* states("a", "b"), ["ready", "ready"])
      assert.notStrictEqual(yield* pidOf("a"), pid)
    }).pipe(withUnits({ units: { a: unit(), b: unit() } })),
  )

  it.effect("health and restarts of what has not changed go on across it", () => {
    const health = new Health()
    return Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      health.set("a", "check", failing())
      yield* adjust("20 seconds")
      assert.deepStrictEqual(yield* states("a"), ["degraded"])
      yield* reload({ a: unit({ liveness: check() }), b: unit() })
      yield* adjust("10 seconds")
      assert.strictEqual((yield* statusNow("a")).generation, 2)
      yield* crash("a")
      yield* adjust("1 minute")
      assert.include((yield* course("a")).join(), "a backoff,a starting,a ready")
      yield* neverTwice
    }).pipe(withUnits({ units: { a: unit({ liveness: check() }) }, probes: health.script }))
  })

  it.effect("the output of a changed unit goes on in the same log", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* (yield* memory).latest("a")!.print("one")
      yield* reload({ a: unit({ env: { A: 1 } }) })
      yield* (yield* memory).latest("a")!.print("two")
      const { log } = yield* supervisor
      assert.deepStrictEqual(
        (yield* log("a")).last(10).map(({ generation, text }) => [generation, text]),
        [
          [1, "one"],
          [2, "two"],
        ],
      )
    }).pipe(withUnits({ units: { a: unit() } })),
  )

  it.effect("that survives KILL does not keep the rest from being exchanged", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("stuck"))
      const fiber = yield* reloading({ other: unit() })
      yield* adjust("5 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* states("other"), ["ready"])
    }).pipe(
      withUnits({
        units: { stuck: unit({ stop: { grace: 0 } }) },
        processes: Testing.byUnit({ stuck: Testing.runs({ survivesKill: true }) }),
      }),
    ),
  )

  it.effect("of what survives KILL and has changed starts nothing beside it", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("stuck"))
      const fiber = yield* reloading({ stuck: unit({ stop: { grace: 0 }, env: { A: 1 } }) })
      yield* adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* memory).processes().length, 1)
      const [process] = (yield* memory).processes()
      const { failure, pid } = yield* statusNow("stuck")
      assert.deepStrictEqual([failure?.kind, pid], ["StopTimeout", process!.pid])
      process!.vanish()
      yield* Fiber.join(yield* start("stuck"))
      assert.strictEqual((yield* memory).processes().length, 2)
      yield* neverTwice
    }).pipe(
      withUnits({
        units: { stuck: unit({ stop: { grace: 0 } }) },
        processes: Testing.inTurn(Testing.runs({ survivesKill: true }), Testing.runs()),
      }),
    ),
  )

  it.effect("is refused by a supervisor that closes", () =>
    Effect.gen(function* () {
      const { shutdown } = yield* supervisor
      yield* shutdown()
      const error = yield* Effect.flip(reload({ a: unit() }))
      assert.strictEqual(error._tag, "SupervisorClosed")
    }).pipe(withUnits({ units: { a: unit() } })),
  )

  it.effect("that the end of the supervisor overtakes ends with it", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const fiber = yield* reloading({ b: unit() })
      const { shutdown } = yield* supervisor
      const closing = yield* Effect.fork(shutdown())
      yield* adjust("1 minute")
      yield* Fiber.join(closing)
      yield* Fiber.await(fiber)
      assert.deepStrictEqual((yield* memory).alive(), [])
      assert.strictEqual((yield* memory).processes().length, 1)
    }).pipe(withUnits({ units: { a: unit() }, processes: slow(5) })),
  )

  it.effect("a task is the one of the new plan", () =>
    Effect.gen(function* () {
      const ran = yield* Deferred.make<string>()
      yield* Fiber.join(yield* start("a"))
      yield* reload({ a: { kind: "task", run: () => Deferred.succeed(ran, "new") } })
      assert.strictEqual(yield* Deferred.await(ran), "new")
    }).pipe(withUnits({ units: { a: unit() } })),
  )
})
