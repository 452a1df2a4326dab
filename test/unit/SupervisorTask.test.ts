/** Effects of this program under the same rules as processes. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Plan from "../../src/unit/Plan.js"
import {
  adjust,
  check,
  crash,
  failing,
  Health,
  history,
  restart,
  settle,
  start,
  states,
  statusNow,
  stop,
  supervisor,
  unit,
  withUnits,
} from "./virtual.js"

type Run = NonNullable<Plan.Hooks["run"]>

const task = (run: Run, given: Partial<Plan.UnitInput> = {}): Plan.UnitInput => ({
  kind: "task",
  run,
  ...given,
})

describe("a task", () => {
  it.effect("is Ready when it says so", () =>
    Effect.gen(function* () {
      const waiter = yield* start("a")
      yield* adjust("19999 millis")
      assert.deepStrictEqual(yield* states("a"), ["starting"])
      yield* adjust("1 millis")
      const [status] = yield* Fiber.join(waiter)
      assert.deepStrictEqual(
        [status?.state, status?.readyAt, status?.pid, status?.ownership],
        ["ready", 20_000, undefined, undefined],
      )
    }).pipe(
      withUnits({
        units: {
          a: task(
            ({ ready }) =>
              Effect.sleep("20 seconds").pipe(Effect.andThen(ready), Effect.andThen(Effect.never)),
            { minUptime: "1h", startTimeout: "2h" },
          ),
        },
      }),
    ),
  )

  it.effect("that never says so is Ready after minUptime", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("1 second")
      assert.deepStrictEqual(yield* history("a"), ["0 a starting", "1000 a ready"])
    }).pipe(withUnits({ units: { a: task(() => Effect.never) } })),
  )

  it.effect("that succeeds has ended, before it was ready or after; whoever waited for it is content", () =>
    Effect.gen(function* () {
      const waiter = yield* start("quick", "slow")
      yield* adjust("1 minute")
      const found = yield* Fiber.join(waiter)
      assert.deepStrictEqual(
        found.map(({ name }) => name),
        ["quick", "slow"],
      )
      assert.deepStrictEqual(yield* states("quick", "slow"), ["exited", "exited"])
      assert.deepStrictEqual((yield* statusNow("quick")).end, { result: "success" })
    }).pipe(
      withUnits({ units: { quick: task(() => Effect.void), slow: task(() => Effect.sleep("30 seconds")) } }),
    ),
  )

  it.effect("that fails, or dies, is restarted by its policy, and says what was wrong", () => {
    let lives = 0
    return Effect.gen(function* () {
      yield* start("a")
      yield* adjust("2 seconds")
      const { failures, generation, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failures, generation], ["ready", 2, 3])
      yield* start("b")
      const { failure } = yield* statusNow("b")
      assert.deepStrictEqual(
        [failure?.kind, failure?.message],
        ["EarlyExit", "It ended with a failure: out of luck before it was ready."],
      )
    }).pipe(
      withUnits({
        units: {
          a: task(
            () => {
              lives++
              if (lives === 1) return Effect.fail("no")
              if (lives === 2) throw new Error("thrown before there is an Effect")
              return Effect.never
            },
            { restart: { backoff: { jitter: false } } },
          ),
          b: task(() => Effect.die(new Error("out of luck")), { restart: "never" }),
        },
      }),
    )
  })

  it.effect("that succeeds with `always` is run again", () => {
    let lives = 0
    return Effect.gen(function* () {
      yield* start("a")
      yield* adjust("1 minute")
      assert.isAbove(lives, 3)
    }).pipe(
      withUnits({
        units: {
          a: task(
            () => {
              lives++
              return Effect.sleep("15 seconds")
            },
            { restart: "always" },
          ),
        },
      }),
    )
  })

  it.effect("is interrupted by a stop, its scope closed, and both are waited for", () => {
    const events: Array<string> = []
    return Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const stopping = yield* stop("a")
      yield* adjust("1 second")
      assert.isNull(stopping.unsafePoll())
      yield* adjust("2 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(events, ["acquired", "interrupted", "cleaned up", "released"])
      assert.deepStrictEqual(yield* states("a"), ["inactive"])
    }).pipe(
      withUnits({
        units: {
          a: task(
            () =>
              Effect.acquireRelease(
                Effect.sync(() => events.push("acquired")),
                () => Effect.sync(() => events.push("released")),
              ).pipe(
                Effect.andThen(Effect.never),
                Effect.onInterrupt(() =>
                  Effect.sync(() => events.push("interrupted")).pipe(
                    Effect.andThen(Effect.sleep("3 seconds")),
                    Effect.andThen(Effect.sync(() => events.push("cleaned up"))),
                  ),
                ),
              ),
            { minUptime: 0 },
          ),
        },
      }),
    )
  })

  it.effect("is never there twice: a restart waits for the end of the first", () => {
    let running = 0
    let most = 0
    return Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const restarting = yield* restart("a")
      yield* adjust("5 seconds")
      const [status] = yield* Fiber.join(restarting)
      assert.deepStrictEqual([status?.state, status?.generation], ["ready", 2])
      assert.strictEqual(most, 1)
      const stopping = yield* stop("a")
      yield* adjust("5 seconds")
      yield* Fiber.join(stopping)
    }).pipe(
      withUnits({
        units: {
          a: task(
            () =>
              Effect.acquireUseRelease(
                Effect.sync(() => (most = Math.max(most, ++running))),
                () => Effect.never,
                () =>
                  Effect.andThen(
                    Effect.sleep("5 seconds"),
                    Effect.sync(() => running--),
                  ),
              ),
            { minUptime: 0 },
          ),
        },
      }),
    )
  })

  it.effect(
    "that cannot be interrupted is told after its grace: StopTimeout; nothing is started beside it",
    () =>
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        let running = 0
        let most = 0
        yield* Effect.gen(function* () {
          yield* Fiber.join(yield* start("a"))
          const stopping = yield* stop("a")
          yield* adjust("3999 millis")
          assert.isNull(stopping.unsafePoll())
          yield* adjust("1 millis")
          const error = yield* Effect.flip(Fiber.join(stopping))
          assert.include(error.message, "its Effect, which cannot be interrupted")
          assert.strictEqual((yield* statusNow("a")).failure?.kind, "StopTimeout")
          // A start waits for its end, or for the end of its patience.
          yield* start("a")
          yield* adjust("4 seconds")
          assert.deepStrictEqual(yield* states("a"), ["failed"])
          const again = yield* start("a")
          yield* adjust("1 second")
          yield* Deferred.succeed(gate, undefined)
          yield* settle
          const [status] = yield* Fiber.join(again)
          assert.strictEqual(status?.state, "ready")
          assert.strictEqual(most, 1)
        }).pipe(
          withUnits({
            units: {
              a: task(
                () =>
                  Effect.acquireUseRelease(
                    Effect.sync(() => (most = Math.max(most, ++running))),
                    () => Deferred.await(gate).pipe(Effect.uninterruptible, Effect.andThen(Effect.never)),
                    () => Effect.sync(() => running--),
                  ),
                { minUptime: 0, stop: { grace: "4s" } },
              ),
            },
          }),
        )
      }),
  )

  it.effect("whose end comes after all has ended: the unit is not for ever the one that survived", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      yield* Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        const stopping = yield* stop("a")
        yield* adjust("10 seconds")
        yield* Effect.flip(Fiber.join(stopping))
        yield* Deferred.succeed(gate, undefined)
        yield* settle
        yield* Fiber.join(yield* stop("a"))
        assert.deepStrictEqual(yield* states("a"), ["inactive"])
      }).pipe(
        withUnits({
          units: { a: task(() => Effect.uninterruptible(Deferred.await(gate)), { minUptime: 0 }) },
        }),
      )
    }),
  )

  it.effect("writes into the unit's log, and its last words are in the failure", () =>
    Effect.gen(function* () {
      yield* start("a")
      const { log } = yield* supervisor
      const lines = (yield* log("a")).last(10)
      assert.deepStrictEqual(
        lines.map(({ generation, text }) => [generation, text]),
        [
          [1, "one"],
          [1, "two"],
        ],
      )
      assert.deepStrictEqual((yield* statusNow("a")).failure?.output, ["one", "two"])
    }).pipe(
      withUnits({
        units: {
          a: task(({ log }) => Effect.andThen(log("one\ntwo"), Effect.fail("no")), { restart: "never" }),
        },
      }),
    ),
  )

  it.effect("that is ready, and over, at once is told of as any other: once up, once down", () => {
    const downs: Array<number> = []
    const onDown: NonNullable<Plan.Hooks["onDown"]> = ({ generation }) =>
      Effect.sync(() => void downs.push(generation))
    return Effect.gen(function* () {
      yield* start("a")
      yield* settle
      assert.deepStrictEqual(yield* states("a"), ["exited"])
      assert.deepStrictEqual(downs, [1])
    }).pipe(withUnits({ units: { a: task(({ ready }) => ready, { onDown }) } }))
  })

  it.effect("tells its onDown how it ended, and how long it lived", () => {
    const downs: Array<unknown> = []
    return Effect.gen(function* () {
      yield* start("a")
      yield* adjust("5 seconds")
      assert.deepStrictEqual(downs, [[1, undefined, { _tag: "Died", message: "no" }, 5_000]])
    }).pipe(
      withUnits({
        units: {
          a: task(() => Effect.andThen(Effect.sleep("5 seconds"), Effect.die(new Error("no"))), {
            restart: "never",
            onDown: ({ end, generation, pid, uptime }) =>
              Effect.sync(() => downs.push([generation, pid, end, Duration.toMillis(uptime)])),
          }),
        },
      }),
    )
  })

  it.effect("that was stopped says so", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* Fiber.join(yield* stop("a"))
      const { end, failure } = yield* statusNow("a")
      assert.deepStrictEqual([end, failure], [{ result: "it was interrupted" }, undefined])
    }).pipe(withUnits({ units: { a: task(() => Effect.never) } })),
  )

  it.effect("has probes as well", () => {
    const health = new Health()
    return Effect.gen(function* () {
      health.set("a", "check", failing())
      yield* start("a")
      yield* adjust("30 seconds")
      const { failure, generation } = yield* statusNow("a")
      assert.deepStrictEqual([failure?.kind, generation], ["Unhealthy", 2])
    }).pipe(
      withUnits({
        units: { a: task(() => Effect.never, { liveness: check() }) },
        probes: health.script,
      }),
    )
  })

  it.effect("with a start timeout has to be ready by then", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("1 minute")
      const { failure, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failure?.kind], ["failed", "StartTimeout"])
    }).pipe(
      withUnits({
        units: {
          a: task(() => Effect.never, { readiness: check(), startTimeout: "1m", restart: "never" }),
        },
        probes: () => Effect.fail(failing()),
      }),
    ),
  )
})

describe("tasks and processes", () => {
  it.effect("depend on each other like units of one kind", () =>
    Effect.gen(function* () {
      yield* start("worker")
      assert.deepStrictEqual(yield* states("db", "migrate", "worker"), ["starting", "blocked", "blocked"])
      yield* adjust("1 second")
      assert.deepStrictEqual(yield* states("db", "migrate", "worker"), ["ready", "starting", "blocked"])
      yield* adjust("5 seconds")
      assert.deepStrictEqual(yield* states("db", "migrate", "worker"), ["ready", "exited", "ready"])
      yield* crash("db")
      assert.deepStrictEqual(yield* states("worker"), ["blocked"])
      yield* adjust("1 second")
      assert.deepStrictEqual(yield* states("worker"), ["ready"])
      yield* Fiber.join(yield* stop("db"))
      assert.deepStrictEqual((yield* history("db", "worker")).slice(-4), [
        "7000 worker stopping",
        "7000 worker inactive",
        "7000 db stopping",
        "7000 db inactive",
      ])
    }).pipe(
      withUnits({
        units: {
          db: unit({ minUptime: "1s" }),
          migrate: task(() => Effect.sleep("5 seconds"), {
            requires: ["db"],
            minUptime: "1h",
            startTimeout: "2h",
          }),
          worker: task(({ ready }) => Effect.andThen(ready, Effect.never), {
            requires: { migrate: "succeeded" },
            bindsTo: ["db"],
          }),
        },
      }),
    ),
  )
})
