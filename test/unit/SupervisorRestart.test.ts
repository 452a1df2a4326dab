/** When what has ended starts again: OTP's matrix, backoff, stable periods, and giving up. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Testing from "../../src/testing.js"
import type { Crash } from "../../src/unit/RestartPolicy.js"
import {
  adjust,
  crash,
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

const policies = { permanent: "always", transient: "on-failure", temporary: "never" } as const
const ends = { normal: 0, abnormal: 1 } as const
const strategies = ["one-for-one", "one-for-all", "rest-for-one"] as const

describe("OTP's matrix: which units start again when the middle one of three ends", () => {
  for (const [otp, policy] of Object.entries(policies)) {
    for (const [end, code] of Object.entries(ends)) {
      for (const strategy of strategies) {
        const isRestarted = otp === "permanent" || (otp === "transient" && end === "abnormal")
        const expected = !isRestarted
          ? []
          : strategy === "one-for-one"
            ? ["b"]
            : strategy === "one-for-all"
              ? ["a", "b", "c"]
              : ["b", "c"]
        it.effect(`${otp}, ${end} end, ${strategy}: ${expected.join(" ") || "none"}`, () =>
          Effect.gen(function* () {
            yield* Fiber.join(yield* start("a", "b", "c"))
            yield* crash("b", code)
            yield* adjust("1 minute")
            const all = yield* Effect.forEach(["a", "b", "c"], statusNow)
            const again = all.filter(({ generation }) => generation > 1).map(({ name }) => name)
            assert.deepStrictEqual(again, expected)
            const b = isRestarted ? "ready" : code === 0 ? "exited" : "failed"
            assert.deepStrictEqual(
              all.map(({ state }) => state),
              ["ready", b, "ready"],
            )
            if (b === "failed") assert.strictEqual(all[1]!.failure?.kind, "Crashed")
            assert.deepStrictEqual(all[1]!.end, isRestarted ? undefined : { code })
            yield* neverTwice
          }).pipe(
            withUnits({
              units: { a: unit(), b: unit({ restart: policy }), c: unit() },
              groups: { all: { strategy, units: ["a", "b", "c"] } },
            }),
          ),
        )
      }
    }
  }

  it.effect("a group goes down in reverse and starts again in its order, when the last of it is down", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a", "b", "c"))
      const before = (yield* history()).length
      yield* adjust("1 second")
      yield* crash("b")
      yield* adjust("1 minute")
      assert.deepStrictEqual(yield* states("a", "b", "c"), ["ready", "ready", "ready"])
      const steps = (yield* history())
        .slice(before)
        .filter((line) => / (stopping|starting|ready)$/.test(line))
      assert.deepStrictEqual(steps, [
        "1000 b stopping",
        "1000 c stopping",
        // `c` takes 3 s to go down.
        "4000 a stopping",
        "4000 a starting",
        "4000 a ready",
        "4000 b starting",
        "4000 b ready",
        "4000 c starting",
        "4000 c ready",
      ])
      yield* neverTwice
    }).pipe(
      withUnits({
        units: { a: unit(), b: unit(), c: unit() },
        groups: { all: { strategy: "one-for-all", units: ["a", "b", "c"] } },
        processes: Testing.byUnit({
          c: Testing.runs({ onSignal: () => Effect.delay(Effect.succeed(0), "3 seconds") }),
        }),
      }),
    ),
  )

  it.effect("a member that is given up takes its one-for-all group along", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a", "b"))
      yield* crash("b")
      yield* crash("b")
      yield* adjust("1 minute")
      assert.deepStrictEqual(yield* states("a", "b"), ["failed", "failed"])
      assert.strictEqual((yield* statusNow("b")).failure?.kind, "RestartsExhausted")
      const { failure } = yield* statusNow("a")
      assert.strictEqual(failure?.kind, "DependencyFailed")
      assert.include(failure?.message, "b")
      yield* neverTwice
    }).pipe(
      withUnits({
        units: { a: unit(), b: unit({ restart: { maxFailures: 1 } }) },
        groups: { all: { strategy: "one-for-all", units: ["a", "b"] } },
      }),
    ),
  )
})

/** Ends at once, again and again; keeps when each life began. */
const crashing =
  (times: Array<number>): Testing.ProcessScript =>
  () =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      times.push(now)
      return Effect.succeed({ run: () => Effect.succeed(1) })
    })

const delaysOf = (times: ReadonlyArray<number>): ReadonlyArray<number> =>
  times.slice(1).map((time, at) => time - times[at]!)

describe("backoff", () => {
  it.effect("without jitter: at once, then 100 ms doubling to 30 s", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      yield* Effect.gen(function* () {
        yield* start("a")
        yield* adjust("10 minutes")
        assert.deepStrictEqual(
          delaysOf(times),
          [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000, 30_000],
        )
      }).pipe(
        withUnits({
          units: { a: unit({ restart: { maxFailures: 14, backoff: { jitter: false } } }) },
          processes: crashing(times),
        }),
      )
    }),
  )

  it.effect("with jitter: each delay is drawn from 0 up to what it would be", () =>
    Effect.gen(function* () {
      const full = [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600]
      const shares: Array<number> = []
      for (let run = 0; run < 20; run++) {
        const times: Array<number> = []
        yield* Effect.gen(function* () {
          yield* start("a")
          yield* adjust("2 minutes")
          const delays = delaysOf(times)
          assert.strictEqual(delays.length, 10)
          for (const [at, delay] of delays.entries()) {
            assert.isAtLeast(delay, 0)
            assert.isAtMost(delay, full[at]!)
            // A drawn delay of a millisecond or two says little.
            if (full[at]! >= 400) shares.push(delay / full[at]!)
          }
        }).pipe(withUnits({ units: { a: unit({ minUptime: "1s" }) }, processes: crashing(times) }))
      }
      const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length
      assert.approximately(mean, 0.5, 0.12)
      assert.isBelow(Math.min(...shares), 0.1)
      assert.isAbove(Math.max(...shares), 0.9)
    }).pipe(Effect.withRandom(Random.make("jitter"))),
  )

  it.effect("the status says when the next start is due, and which failure in a row it was", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("150 millis")
      const { failures, reason, restartAt, restarts, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failures, restarts, restartAt], ["backoff", 3, 2, 300])
      assert.strictEqual(reason, "It ended with exit code 1 before it was ready.")
    }).pipe(
      withUnits({
        units: { a: unit({ minUptime: "1s", restart: { backoff: { jitter: false } } }) },
        processes: crashing([]),
      }),
    ),
  )

  it.effect("a program may give delays of its own; when they are done the unit is given up", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      yield* Effect.gen(function* () {
        yield* start("a")
        yield* adjust("1 hour")
        assert.deepStrictEqual(times, [0, 5_000, 10_000])
        const { failure, state } = yield* statusNow("a")
        assert.deepStrictEqual([state, failure?.kind], ["failed", "RestartsExhausted"])
        // Its delays begin anew.
        yield* start("a")
        yield* adjust("1 hour")
        assert.deepStrictEqual(delaysOf(times.slice(3)), [5_000, 5_000])
      }).pipe(
        withUnits({
          units: {
            a: unit({ delays: Schedule.intersect(Schedule.spaced("5 seconds"), Schedule.recurs(2)) }),
          },
          processes: crashing(times),
        }),
      )
    }),
  )

  it.effect("a program's delays that take their time hold up nobody else", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* crash("a")
      yield* Fiber.join(yield* start("b"))
      assert.deepStrictEqual(yield* states("a", "b"), ["backoff", "ready"])
      yield* adjust("1 minute")
      assert.deepStrictEqual(yield* states("a"), ["ready"])
    }).pipe(
      withUnits({
        units: {
          a: unit({
            delays: Schedule.forever.pipe(
              Schedule.addDelayEffect(() => Effect.delay(Effect.succeed(0), "1 minute")),
            ),
          }),
          b: unit(),
        },
      }),
    ),
  )

  it.effect("a program's delays that die give the unit up", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* crash("a")
      const { failure, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failure?.kind], ["failed", "RestartsExhausted"])
    }).pipe(
      withUnits({
        units: {
          a: unit({ delays: Schedule.forever.pipe(Schedule.addDelayEffect(() => Effect.die("no"))) }),
        },
      }),
    ),
  )

  it.effect("a program's delays are told of each crash", () =>
    Effect.gen(function* () {
      const crashes: Array<unknown> = []
      yield* Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        yield* adjust("3 seconds")
        yield* crash("a", 7)
        yield* adjust("20 seconds")
        yield* crash("a", "SIGKILL")
        assert.deepStrictEqual(crashes, [
          { end: { _tag: "Exited", code: 7 }, uptime: 3_000, failures: 1 },
          // Ready for more than 10 s: the first failure again.
          { end: { _tag: "Signaled", signal: "SIGKILL" }, uptime: 19_000, failures: 1 },
        ])
      }).pipe(
        withUnits({
          units: {
            a: unit({
              delays: Schedule.identity<Crash>().pipe(
                Schedule.tapInput((one: Crash) =>
                  Effect.sync(() => crashes.push({ ...one, uptime: Duration.toMillis(one.uptime) })),
                ),
                Schedule.addDelay(() => "1 second"),
              ),
            }),
          },
        }),
      )
    }),
  )
})

describe("failures are counted since the last stable period", () => {
  it.effect("Ready for less than 10 s, and the next delay is the longer one", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* crash("a")
      yield* adjust("9999 millis")
      assert.strictEqual((yield* statusNow("a")).failures, 1)
      yield* crash("a")
      const { failures, restartAt } = yield* statusNow("a")
      assert.deepStrictEqual([failures, restartAt], [2, 10_099])
    }).pipe(withUnits({ units: { a: unit({ restart: { backoff: { jitter: false } } }) } })),
  )

  it.effect("Ready for 10 s, and earlier failures are forgotten; the total is kept", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* crash("a")
      yield* crash("a")
      yield* adjust("100 millis")
      assert.deepStrictEqual(yield* states("a"), ["ready"])
      yield* adjust("10 seconds")
      const calm = yield* statusNow("a")
      assert.deepStrictEqual([calm.state, calm.failures, calm.restarts], ["ready", 0, 2])
      yield* crash("a")
      const again = yield* statusNow("a")
      assert.deepStrictEqual([again.state, again.failures, again.restarts], ["ready", 1, 3])
    }).pipe(withUnits({ units: { a: unit({ restart: { backoff: { jitter: false } } }) } })),
  )

  it.effect("it is Ready that counts: a start that takes long and fails is no stable period", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("61 seconds")
      assert.deepStrictEqual((yield* statusNow("a")).failures, 3)
    }).pipe(
      withUnits({
        units: { a: unit({ minUptime: "30s", restart: { backoff: { jitter: false } } }) },
        processes: Testing.exits(1, { after: "20 seconds" }),
      }),
    ),
  )
})

describe("giving up", () => {
  const always = {
    units: { a: unit({ minUptime: "1s", restart: { backoff: { jitter: false } } }) },
    processes: crashing([]),
  }

  it.effect("more than 10 failures in a row: RestartsExhausted, with the last one in it", () =>
    Effect.gen(function* () {
      const waiter = yield* start("a")
      yield* adjust("51099 millis")
      assert.deepStrictEqual(yield* states("a"), ["backoff"])
      yield* adjust("1 millis")
      const { failure, failures, restarts, state } = yield* statusNow("a")
      assert.deepStrictEqual(
        [state, failures, restarts, failure?.kind],
        ["failed", 11, 10, "RestartsExhausted"],
      )
      assert.strictEqual(
        failure?.message,
        "It was given up after 11 failures in a row. The last one: It ended with exit code 1 before it was ready.",
      )
      const error = yield* Effect.flip(Fiber.join(waiter))
      assert.strictEqual(error._tag === "UnitNotStarted" && error.kind, "RestartsExhausted")
      assert.strictEqual((yield* memory).processes().length, 11)
    }).pipe(withUnits(always)),
  )

  it.effect("it stays so for ever, until an operator starts it: then it counts anew, the total goes on", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("30 days")
      assert.deepStrictEqual(yield* states("a"), ["failed"])
      assert.strictEqual((yield* memory).processes().length, 11)
      yield* start("a")
      const again = yield* statusNow("a")
      assert.deepStrictEqual([again.state, again.failures, again.restarts], ["backoff", 2, 11])
      yield* adjust("2 minutes")
      const end = yield* statusNow("a")
      assert.deepStrictEqual([end.state, end.failures, end.restarts], ["failed", 11, 20])
    }).pipe(withUnits(always)),
  )

  it.effect("a stop leaves it as well, and what went wrong can still be read", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("2 minutes")
      yield* Fiber.join(yield* stop("a"))
      const { failure, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failure?.kind], ["inactive", "RestartsExhausted"])
      yield* adjust("1 hour")
      assert.deepStrictEqual(yield* states("a"), ["inactive"])
    }).pipe(withUnits(always)),
  )

  it.effect("no restarts allowed: the first failure is what it failed with", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("1 minute")
      assert.strictEqual((yield* statusNow("a")).failure?.kind, "EarlyExit")
      assert.strictEqual((yield* memory).processes().length, 1)
    }).pipe(
      withUnits({
        units: { a: unit({ minUptime: "1s", restart: { maxFailures: 0 } }) },
        processes: crashing([]),
      }),
    ),
  )
})

describe("exit classes", () => {
  const ended = (ending: Testing.Ending, restart: NonNullable<ReturnType<typeof unit>["restart"]>) =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* crash("a", ending)
      yield* adjust("1 minute")
      return yield* statusNow("a")
    }).pipe(withUnits({ units: { a: unit({ restart }) } }))

  it.effect("a permanent one is never retried, be it a code or a signal", () =>
    Effect.gen(function* () {
      for (const ending of [78, "SIGSEGV"] as const) {
        const { failure, generation, state } = yield* ended(ending, {
          policy: "always",
          permanent: [78, "SEGV"],
        })
        assert.deepStrictEqual([state, failure?.kind, generation], ["failed", "PermanentExit", 1])
      }
      assert.strictEqual((yield* ended(77, { permanent: [78] })).generation, 2)
    }),
  )

  it.effect("a success of its own is an end, and with `always` a restart", () =>
    Effect.gen(function* () {
      const done = yield* ended(143, { success: [143, "TERM"] })
      assert.deepStrictEqual([done.state, done.end], ["exited", { code: 143 }])
      const killed = yield* ended("SIGTERM", { success: [143, "TERM"] })
      assert.deepStrictEqual([killed.state, killed.end], ["exited", { signal: "SIGTERM" }])
      assert.strictEqual((yield* ended(143, { policy: "always", success: [143] })).generation, 2)
    }),
  )

  it.effect("a code and a signal of the same number are told apart", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* ended(137, { permanent: ["KILL"] })).generation, 2)
      assert.strictEqual((yield* ended("SIGKILL", { permanent: [137] })).generation, 2)
      assert.strictEqual((yield* ended("SIGKILL", { permanent: ["KILL"] })).generation, 1)
    }),
  )

  it.effect("a service that succeeds before it was ever ready has failed", () =>
    Effect.gen(function* () {
      const waiter = yield* start("a")
      yield* adjust("500 millis")
      const { failure, generation, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failure?.kind, generation], ["failed", "EarlyExit", 1])
      assert.strictEqual((yield* Effect.flip(Fiber.join(waiter)))._tag, "UnitNotStarted")
    }).pipe(
      withUnits({
        units: { a: { command: ["run"] } },
        processes: Testing.exits(0, { after: "100 millis" }),
      }),
    ),
  )
})

describe("a oneshot", () => {
  it.effect(
    "that fails is tried again, and has succeeded when it has; that is not the end of its counting",
    () =>
      Effect.gen(function* () {
        const waiter = yield* start("a")
        yield* adjust("100 millis")
        const [status] = yield* Fiber.join(waiter)
        assert.deepStrictEqual(
          [status?.state, status?.end, status?.generation, status?.failures, status?.restarts],
          ["exited", { code: 0 }, 3, 0, 2],
        )
      }).pipe(
        withUnits({
          units: {
            a: { kind: "oneshot", command: ["run"], restart: { backoff: { jitter: false } } },
          },
          processes: Testing.inTurn(Testing.exits(1), Testing.exits("SIGSEGV"), Testing.exits(0)),
        }),
      ),
  )
})

describe("the first restart", () => {
  it.effect("comes at once, with no time in between", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* adjust("1 second")
      yield* crash("a", "SIGKILL")
      assert.deepStrictEqual((yield* history("a")).slice(2), [
        "1000 a stopping",
        "1000 a backoff",
        "1000 a starting",
        "1000 a ready",
      ])
      const { list } = yield* supervisor
      assert.strictEqual((yield* list)[0]!.restarts, 1)
      yield* settle
      yield* neverTwice
    }).pipe(withUnits({ units: { a: unit() } })),
  )
})
