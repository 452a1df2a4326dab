/** A clock on the wall that jumps, a thousand units, and what is told of all that happens. */
import { assert, describe, it } from "@effect/vitest"
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { EventLog } from "../../src/event/EventLog.js"
import * as Metrics from "../../src/event/Metrics.js"
import type * as Plan from "../../src/unit/Plan.js"
import * as Testing from "../../src/testing.js"
import {
  adjust,
  check,
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

/** The test's clock, whose time on the wall can be set; the other one, which nobody sets, goes on as it does. */
const settable = Effect.map(Effect.clock, (base) => {
  let ahead = 0
  const clock: Clock.Clock = Object.create(base, {
    currentTimeMillis: { value: Effect.map(base.currentTimeMillis, (now) => now + ahead) },
    unsafeCurrentTimeMillis: { value: () => base.unsafeCurrentTimeMillis() + ahead },
    unsafeCurrentTimeNanos: { value: () => base.unsafeCurrentTimeNanos() },
  })
  const jump = (duration: Duration.DurationInput, sign = 1) =>
    Effect.sync(() => {
      ahead += sign * Duration.toMillis(duration)
    })
  return { clock, jump }
})

describe("a jump of the wall clock by an hour changes nothing", () => {
  for (const [direction, sign] of [
    ["forward", 1],
    ["back", -1],
  ] as const) {
    const jumping = (
      given: Parameters<typeof withUnits>[0],
      body: (
        jump: Effect.Effect<void>,
      ) => Effect.Effect<void, unknown, Effect.Effect.Context<ReturnType<typeof start>> | Testing.Ground>,
    ) =>
      Effect.gen(function* () {
        const { clock, jump } = yield* settable
        // Long after the epoch, so that an hour back is not before it.
        yield* jump("24 hours")
        yield* body(jump("1 hour", sign)).pipe(withUnits(given), Effect.withClock(clock))
      })

    it.effect(`${direction}: of a backoff`, () =>
      jumping({ units: { a: unit({ restart: { backoff: { jitter: false, initial: "10s" } } }) } }, (jump) =>
        Effect.gen(function* () {
          yield* Fiber.join(yield* start("a"))
          yield* crash("a")
          yield* crash("a")
          yield* adjust("4 seconds")
          yield* jump
          yield* adjust("5999 millis")
          assert.deepStrictEqual(yield* states("a"), ["backoff"])
          yield* adjust("1 millis")
          assert.deepStrictEqual(yield* states("a"), ["ready"])
        }),
      ),
    )

    it.effect(`${direction}: of a backoff that begins after it`, () =>
      jumping({ units: { a: unit({ restart: { backoff: { jitter: false, initial: "10s" } } }) } }, (jump) =>
        Effect.gen(function* () {
          yield* Fiber.join(yield* start("a"))
          yield* crash("a")
          yield* jump
          yield* crash("a")
          yield* adjust("9999 millis")
          assert.deepStrictEqual(yield* states("a"), ["backoff"])
          yield* adjust("1 millis")
          assert.deepStrictEqual(yield* states("a"), ["ready"])
        }),
      ),
    )

    it.effect(`${direction}: of a start timeout`, () =>
      jumping(
        {
          units: { a: unit({ restart: "never", readiness: check({ period: "1s" }) }) },
          probes: () => Effect.fail(failing()),
        },
        (jump) =>
          Effect.gen(function* () {
            yield* start("a")
            yield* adjust("20 seconds")
            yield* jump
            yield* adjust("9999 millis")
            assert.deepStrictEqual(yield* states("a"), ["starting"])
            yield* adjust("1 millis")
            assert.deepStrictEqual(yield* states("a"), ["failed"])
          }),
      ),
    )

    it.effect(`${direction}: of minUptime and of a stable period, and the uptime is right`, () => {
      const uptimes: Array<number> = []
      return jumping(
        {
          units: {
            a: unit({
              minUptime: "2s",
              onDown: ({ uptime }) => Effect.sync(() => uptimes.push(Duration.toMillis(uptime))),
            }),
          },
        },
        (jump) =>
          Effect.gen(function* () {
            yield* start("a")
            yield* adjust("1 second")
            yield* jump
            assert.deepStrictEqual(yield* states("a"), ["starting"])
            yield* adjust("1 second")
            assert.deepStrictEqual(yield* states("a"), ["ready"])
            yield* crash("a")
            yield* adjust("2 seconds")
            yield* adjust("5 seconds")
            yield* jump
            assert.strictEqual((yield* statusNow("a")).failures, 1)
            yield* adjust("5 seconds")
            assert.strictEqual((yield* statusNow("a")).failures, 0)
            yield* Fiber.join(yield* stop("a"))
            yield* settle
            assert.deepStrictEqual(uptimes, [2_000, 12_000])
          }),
      )
    })

    it.effect(`${direction}: of the period and the deadline of checks`, () => {
      const health = new Health()
      return jumping(
        { units: { a: unit({ liveness: check(), restart: "never" }) }, probes: health.script },
        (jump) =>
          Effect.gen(function* () {
            yield* Fiber.join(yield* start("a"))
            yield* adjust("5 seconds")
            yield* jump
            health.set("a", "check", "hangs")
            const before = health.asked.length
            yield* adjust("4999 millis")
            assert.strictEqual(health.asked.length, before)
            yield* adjust("1 millis")
            assert.strictEqual(health.asked.length, before + 1)
            yield* jump
            yield* adjust("999 millis")
            assert.deepStrictEqual(yield* states("a"), ["ready"])
            yield* adjust("1 millis")
            assert.deepStrictEqual(yield* states("a"), ["degraded"])
          }),
      )
    })

    it.effect(`${direction}: of a grace period, a busy grace, a dependency timeout`, () => {
      const health = new Health()
      return jumping(
        {
          units: {
            stubborn: unit(),
            busy: unit({ liveness: check(), isBusy: Effect.succeed(true) }),
            patient: unit({ requires: ["never"], dependencyTimeout: "1m" }),
            never: unit({ minUptime: "10h" }),
          },
          probes: health.script,
          processes: Testing.byUnit({ stubborn: Testing.runs({ ignores: ["SIGTERM"] }) }),
        },
        (jump) =>
          Effect.gen(function* () {
            yield* Fiber.join(yield* start("stubborn", "busy"))
            yield* start("patient")
            const stopping = yield* stop("stubborn")
            health.set("busy", "check", failing())
            yield* adjust("5 seconds")
            yield* jump
            yield* adjust("4999 millis")
            assert.deepStrictEqual(yield* states("stubborn"), ["stopping"])
            yield* adjust("1 millis")
            yield* Fiber.join(stopping)
            yield* adjust("49999 millis")
            assert.deepStrictEqual(yield* states("patient"), ["blocked"])
            yield* adjust("1 millis")
            assert.deepStrictEqual(yield* states("patient"), ["failed"])
            yield* jump
            // Due at 30 s, and two minutes later.
            yield* adjust("89999 millis")
            assert.strictEqual((yield* statusNow("busy")).generation, 1)
            yield* adjust("1 millis")
            assert.strictEqual((yield* statusNow("busy")).generation, 2)
          }),
      )
    })
  }
})

describe("a thousand units", () => {
  const layers = 10
  const width = 100
  const nameOf = (layer: number, at: number) => `u${layer}-${at % width}`

  const dependencies = new Map<string, ReadonlyArray<string>>()
  const units: Record<string, Plan.UnitInput> = {}
  for (let layer = 0; layer < layers; layer++) {
    for (let at = 0; at < width; at++) {
      const needs = layer === 0 ? [] : [0, 7, 31].map((step) => nameOf(layer - 1, at + step))
      dependencies.set(nameOf(layer, at), needs)
      units[nameOf(layer, at)] = {
        command: ["run"],
        // Few of them take time: the test's clock takes a turn of the loop for each.
        minUptime: at % 10 === layer ? `${100 + at}ms` : 0,
        requires: needs,
      }
    }
  }

  it.effect(
    "come up in order, layer by layer, survive crashes, and go down in reverse",
    () =>
      Effect.gen(function* () {
        const { list, shutdown } = yield* supervisor
        const waiter = yield* start(...Object.keys(units))
        // No layer takes longer than 200 ms: all that can be done at the same time is.
        yield* adjust(200 * layers)
        assert.strictEqual((yield* Fiber.join(waiter)).length, layers * width)

        const firstAt = new Map<string, number>()
        for (const [at, line] of (yield* history()).entries()) {
          const [, name, state] = line.split(" ")
          if (!firstAt.has(`${name} ${state}`)) firstAt.set(`${name} ${state}`, at)
        }
        for (const [name, needs] of dependencies) {
          for (const other of needs) {
            assert.isBelow(firstAt.get(`${other} ready`)!, firstAt.get(`${name} starting`)!)
          }
        }

        const { alive, latest, processes } = yield* memory
        for (let at = 0; at < width; at++) yield* latest(nameOf(at % layers, at))!.end(1)
        yield* adjust("1 second")
        const all = yield* list
        assert.isTrue(all.every(({ state }) => state === "ready"))
        assert.strictEqual(processes().length, layers * width + width)
        assert.strictEqual(
          all.reduce((sum, { restarts }) => sum + restarts, 0),
          width,
        )
        yield* neverTwice

        const before = (yield* history()).length
        const fiber = yield* Effect.fork(shutdown())
        yield* adjust(0)
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(alive(), [])
        const lastAt = new Map<string, number>()
        for (const [at, line] of (yield* history()).slice(before).entries()) {
          const [, name, state] = line.split(" ")
          lastAt.set(`${name} ${state}`, at)
        }
        for (const [name, needs] of dependencies) {
          for (const other of needs) {
            assert.isBelow(lastAt.get(`${name} inactive`)!, lastAt.get(`${other} stopping`)!)
          }
        }
      }).pipe(withUnits({ units })),
    120_000,
  )
})

describe("what is told", () => {
  it.effect(
    "every change: in the stream of changes with its status, and in the event log with its facts",
    () =>
      Effect.gen(function* () {
        const { changes } = yield* supervisor
        const told: Array<string> = []
        const listener = yield* Effect.fork(
          Stream.runForEach(changes, ({ at, from, name, status, to }) =>
            Effect.sync(() => {
              told.push(`${at} ${name} ${from} ${to}`)
              assert.strictEqual(status.state, to)
            }),
          ),
        )
        yield* settle
        yield* start("a")
        yield* adjust("1 second")
        yield* crash("a", 7)
        yield* Fiber.join(yield* stop("a"))
        yield* settle
        yield* Fiber.interrupt(listener)
        assert.deepStrictEqual(told, [
          "0 a inactive starting",
          "1000 a starting ready",
          "1000 a ready stopping",
          "1000 a stopping backoff",
          "1000 a backoff starting",
          "1000 a starting stopping",
          "1000 a stopping inactive",
        ])
        const { read } = yield* EventLog
        const { events } = yield* read()
        assert.deepStrictEqual(
          events.map(({ at, subject, type }) => `${at} ${subject} ${type}`),
          told.map((line) => line.replace(/^(\d+) a \S+ (\S+)$/, "$1 a unit.$2")),
        )
        const [first] = (yield* memory).processes()
        assert.deepInclude(events[1]?.data, { from: "starting", to: "ready", generation: 1, pid: first!.pid })
        assert.deepInclude(events[3]?.data, { attempt: 1, reason: "It ended with exit code 7." })
        assert.deepInclude(events[5]?.data, { cause: "stop" })
      }).pipe(withUnits({ units: { a: unit({ minUptime: "1s" }) } })),
  )

  it.effect("in the metrics: units by state, restarts, how long probes take", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("measured", "other"))
      yield* crash("measured")
      yield* crash("other", 0)
      const text = yield* Metrics.render()
      assert.include(text, 'holdfast_unit_restarts_total{unit="measured"} 1')
      assert.include(text, 'holdfast_units{state="ready"} 1')
      assert.include(text, 'holdfast_units{state="exited"} 1')
      assert.include(text, 'holdfast_units{state="failed"} 0')
      assert.include(text, 'holdfast_probe_duration_seconds_count{unit="measured"} 2')
    }).pipe(withUnits({ units: { measured: unit({ readiness: check() }), other: unit() } })),
  )

  it.effect("a reader of changes that is slow holds up nobody, and loses the oldest", () =>
    Effect.gen(function* () {
      const { changes } = yield* supervisor
      const pull = yield* Effect.fork(Stream.runForEach(changes, () => Effect.never))
      yield* settle
      yield* Fiber.join(yield* start("a"))
      for (let round = 0; round < 20; round++) {
        yield* Fiber.join(yield* stop("a"))
        yield* Fiber.join(yield* start("a"))
      }
      assert.strictEqual((yield* statusNow("a")).generation, 21)
      yield* Fiber.interrupt(pull)
    }).pipe(withUnits({ units: { a: unit() } })),
  )
})
