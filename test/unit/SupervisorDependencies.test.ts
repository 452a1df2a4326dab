/** What depends on what: order, conditions, losses, targets, conflicts, and the reasons that `why` gives. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
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
  processOf,
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

/** A process that takes so long over its stop signal. */
const slow = (seconds: number) =>
  Testing.runs({ onSignal: () => Effect.delay(Effect.succeed(0), `${seconds} seconds`) })

const oneshot = { kind: "oneshot", command: ["run"] } as const

describe("requires", () => {
  it.effect("starts in order, and in parallel where the graph allows", () =>
    Effect.gen(function* () {
      const waiter = yield* start("top")
      assert.deepStrictEqual(yield* states("base", "left", "right", "top"), [
        "starting",
        "blocked",
        "blocked",
        "blocked",
      ])
      yield* adjust("1 second")
      assert.deepStrictEqual(yield* states("base", "left", "right", "top"), [
        "ready",
        "starting",
        "starting",
        "blocked",
      ])
      yield* adjust("3 seconds")
      yield* Fiber.join(waiter)
      assert.deepStrictEqual(yield* history("left", "right", "top"), [
        "0 left blocked",
        "0 right blocked",
        "0 top blocked",
        "1000 left starting",
        "1000 right starting",
        "2000 left ready",
        "3000 right ready",
        "3000 top starting",
        "4000 top ready",
      ])
    }).pipe(
      withUnits({
        units: {
          top: unit({ minUptime: "1s", requires: ["left", "right"] }),
          right: unit({ minUptime: "2s", requires: ["base"] }),
          left: unit({ minUptime: "1s", requires: ["base"] }),
          base: unit({ minUptime: "1s" }),
        },
      }),
    ),
  )

  it.effect("a oneshot has to succeed first; it is not run again for the sake of others", () =>
    Effect.gen(function* () {
      const waiter = yield* start("web")
      yield* adjust("4 seconds")
      assert.deepStrictEqual(yield* states("migrate", "web"), ["starting", "blocked"])
      yield* adjust("1 second")
      yield* Fiber.join(waiter)
      assert.deepStrictEqual(yield* states("migrate", "web"), ["exited", "ready"])
      yield* crash("web")
      yield* Fiber.join(yield* restart("web"))
      yield* Fiber.join(yield* start("other"))
      assert.strictEqual((yield* statusNow("migrate")).generation, 1)
      // Whoever names it wants it to run.
      yield* start("migrate")
      assert.deepStrictEqual((yield* statusNow("migrate")).generation, 2)
    }).pipe(
      withUnits({
        units: {
          migrate: oneshot,
          web: unit({ requires: ["migrate"] }),
          other: unit({ requires: ["migrate"] }),
        },
        processes: Testing.byUnit({ migrate: Testing.exits(0, { after: "5 seconds" }) }),
      }),
    ),
  )

  it.effect("one that fails makes its dependents fail, all the way up; whoever waits is told why", () =>
    Effect.gen(function* () {
      const waiter = yield* start("web")
      const error = yield* Effect.flip(Fiber.join(waiter))
      assert.strictEqual(
        error.message,
        "The unit web did not come up. It needs api: It needs migrate: It ended without success, with exit code 2.",
      )
      assert.deepStrictEqual(yield* states("migrate", "api", "web"), ["failed", "failed", "failed"])
      assert.deepStrictEqual(
        (yield* memory).attempts().map(({ spec }) => spec.unit),
        ["migrate"],
      )
    }).pipe(
      withUnits({
        units: {
          migrate: { ...oneshot, restart: "never" },
          api: unit({ requires: ["migrate"] }),
          web: unit({ requires: ["api"] }),
        },
        processes: Testing.byUnit({ migrate: Testing.exits(2) }),
      }),
    ),
  )

  it.effect("a start of a failed dependent tries what it needs again", () =>
    Effect.gen(function* () {
      yield* start("web")
      assert.deepStrictEqual(yield* states("migrate", "web"), ["failed", "failed"])
      yield* Fiber.join(yield* start("web"))
      assert.deepStrictEqual(yield* states("migrate", "web"), ["exited", "ready"])
    }).pipe(
      withUnits({
        units: { migrate: { ...oneshot, restart: "never" }, web: unit({ requires: ["migrate"] }) },
        processes: Testing.byUnit({ migrate: Testing.inTurn(Testing.exits(2), Testing.exits(0)) }),
      }),
    ),
  )

  it.effect(
    "one that crashes while its dependent is starting: that stops, is Blocked, and starts again with it",
    () =>
      Effect.gen(function* () {
        yield* start("web")
        yield* adjust("1 second")
        assert.deepStrictEqual(yield* states("db", "web"), ["ready", "starting"])
        yield* crash("db")
        assert.deepStrictEqual(yield* states("db", "web"), ["starting", "blocked"])
        yield* adjust("1 second")
        assert.deepStrictEqual(yield* states("db", "web"), ["ready", "starting"])
        yield* adjust("5 seconds")
        const { failures, generation, restarts, state } = yield* statusNow("web")
        assert.deepStrictEqual([state, generation, failures, restarts], ["ready", 2, 0, 0])
        yield* neverTwice
      }).pipe(
        withUnits({
          units: { db: unit({ minUptime: "1s" }), web: unit({ minUptime: "5s", requires: ["db"] }) },
        }),
      ),
  )

  it.effect("one that crashes while its dependent is up leaves that alone", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("web"))
      yield* crash("db")
      yield* adjust("1 minute")
      assert.strictEqual((yield* statusNow("db")).generation, 2)
      assert.strictEqual((yield* statusNow("web")).generation, 1)
    }).pipe(withUnits({ units: { db: unit(), web: unit({ requires: ["db"] }) } })),
  )

  it.effect("one that is only Degraded is not lost, and not Ready either", () => {
    const health = new Health()
    return Effect.gen(function* () {
      yield* Fiber.join(yield* start("db"))
      health.set("db", "check", failing())
      yield* adjust("10 seconds")
      yield* start("web")
      assert.deepStrictEqual(yield* states("db", "web"), ["degraded", "blocked"])
      assert.include((yield* statusNow("web")).reason, "db is not well: The check said no.")
      health.set("db", "check", "passes")
      yield* adjust("10 seconds")
      assert.deepStrictEqual(yield* states("db", "web"), ["ready", "ready"])
      health.set("db", "check", failing())
      yield* adjust("10 seconds")
      assert.deepStrictEqual(yield* states("db", "web"), ["degraded", "ready"])
    }).pipe(
      withUnits({
        units: { db: unit({ readiness: check() }), web: unit({ requires: ["db"] }) },
        probes: health.script,
      }),
    )
  })
})

describe("conditions", () => {
  const given = (
    condition: "started" | "ready" | "completed" | "succeeded",
    ending: Testing.Ending | undefined,
  ) => ({
    units: {
      first: unit({ minUptime: "2s", restart: "never" as const }),
      second: unit({ requires: { first: condition } }),
    },
    processes: Testing.byUnit({
      first: ending === undefined ? Testing.runs() : Testing.exits(ending, { after: "5 seconds" }),
    }),
  })

  it.effect("started: as soon as its process runs", () =>
    Effect.gen(function* () {
      yield* start("second")
      assert.deepStrictEqual(yield* states("first", "second"), ["starting", "ready"])
    }).pipe(withUnits(given("started", undefined))),
  )

  it.effect("ready: when it is Ready", () =>
    Effect.gen(function* () {
      yield* start("second")
      assert.deepStrictEqual(yield* states("first", "second"), ["starting", "blocked"])
      yield* adjust("2 seconds")
      assert.deepStrictEqual(yield* states("first", "second"), ["ready", "ready"])
    }).pipe(withUnits(given("ready", undefined))),
  )

  for (const ending of [0, 1] as const) {
    it.effect(`completed: when it has ended, here with ${ending}`, () =>
      Effect.gen(function* () {
        yield* start("second")
        yield* adjust("4 seconds")
        assert.deepStrictEqual(yield* states("first", "second"), ["ready", "blocked"])
        yield* adjust("1 second")
        assert.deepStrictEqual(yield* states("first", "second"), [
          ending === 0 ? "exited" : "failed",
          "ready",
        ])
      }).pipe(withUnits(given("completed", ending))),
    )

    it.effect(`succeeded: when it has ended with success, here with ${ending}`, () =>
      Effect.gen(function* () {
        yield* start("second")
        yield* adjust("5 seconds")
        assert.deepStrictEqual(
          yield* states("first", "second"),
          ending === 0 ? ["exited", "ready"] : ["failed", "failed"],
        )
      }).pipe(withUnits(given("succeeded", ending))),
    )
  }
})

describe("after, and wants", () => {
  it.effect("after: order only, where both are on their way; nothing is started along", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("second"))
      assert.deepStrictEqual(yield* states("first", "second"), ["inactive", "ready"])
      yield* Fiber.join(yield* stop("second"))
      yield* start("first", "second")
      assert.deepStrictEqual(yield* states("first", "second"), ["starting", "blocked"])
      yield* adjust("1 second")
      assert.deepStrictEqual(yield* states("first", "second"), ["ready", "ready"])
    }).pipe(withUnits({ units: { first: unit({ minUptime: "1s" }), second: unit({ after: ["first"] }) } })),
  )

  it.effect("after: when the first one fails, the second starts all the same", () =>
    Effect.gen(function* () {
      yield* start("second", "first")
      assert.deepStrictEqual(yield* states("first", "second"), ["failed", "ready"])
    }).pipe(
      withUnits({
        units: { first: unit({ minUptime: "1s", restart: "never" }), second: unit({ after: ["first"] }) },
        processes: Testing.byUnit({ first: Testing.exits(1) }),
      }),
    ),
  )

  it.effect("after: at the end, the second goes down before the first", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("first", "second"))
      const { shutdown } = yield* supervisor
      const fiber = yield* Effect.fork(shutdown())
      yield* adjust("5 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual((yield* history()).slice(-4), [
        "0 second stopping",
        "5000 second inactive",
        "5000 first stopping",
        "5000 first inactive",
      ])
    }).pipe(
      withUnits({
        units: { first: unit(), second: unit({ after: ["first"] }) },
        processes: Testing.byUnit({ second: slow(5) }),
      }),
    ),
  )

  it.effect("wants: started along, and its failure is nothing", () =>
    Effect.gen(function* () {
      const [status] = yield* Fiber.join(yield* start("web"))
      assert.strictEqual(status?.state, "ready")
      assert.deepStrictEqual(yield* states("metrics", "cache"), ["failed", "starting"])
      yield* Fiber.join(yield* stop("cache"))
      assert.deepStrictEqual(yield* states("web"), ["ready"])
    }).pipe(
      withUnits({
        units: {
          metrics: unit({ restart: "never", minUptime: "1s" }),
          cache: unit({ minUptime: "1h" }),
          web: unit({ wants: ["metrics", "cache"] }),
        },
        processes: Testing.byUnit({ metrics: Testing.exits(1) }),
      }),
    ),
  )
})

describe("bindsTo", () => {
  const units = { vpn: unit(), agent: unit({ bindsTo: ["vpn"] }) }

  it.effect("it goes down when that crashes, and comes back with it", () =>
    Effect.gen(function* () {
      yield* start("agent")
      yield* adjust("2 seconds")
      yield* crash("vpn")
      assert.deepStrictEqual(yield* states("vpn", "agent"), ["starting", "blocked"])
      yield* adjust("2 seconds")
      const { failures, generation, restarts, state } = yield* statusNow("agent")
      assert.deepStrictEqual([state, generation, failures, restarts], ["ready", 2, 0, 0])
      assert.deepStrictEqual((yield* course("agent")).slice(-4), [
        "agent stopping",
        "agent blocked",
        "agent starting",
        "agent ready",
      ])
      yield* neverTwice
    }).pipe(withUnits({ units: { ...units, vpn: unit({ minUptime: "2s" }) } })),
  )

  it.effect("it goes down when that is stopped, before it", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("agent"))
      const stopping = yield* stop("vpn")
      assert.deepStrictEqual(yield* states("vpn", "agent"), ["ready", "stopping"])
      yield* adjust("4 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual((yield* history()).slice(-4), [
        "0 agent stopping",
        "4000 agent inactive",
        "4000 vpn stopping",
        "4000 vpn inactive",
      ])
    }).pipe(withUnits({ units, processes: Testing.byUnit({ agent: slow(4) }) })),
  )

  it.effect("a restart of that takes it along: down first, up after", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("agent"))
      const before = (yield* course()).length
      yield* Fiber.join(yield* restart("vpn"))
      yield* settle
      assert.deepStrictEqual((yield* course()).slice(before), [
        "agent stopping",
        "agent blocked",
        "vpn stopping",
        "vpn starting",
        "vpn ready",
        "agent starting",
        "agent ready",
      ])
      yield* neverTwice
    }).pipe(withUnits({ units })),
  )

  it.effect("a restart of what is only required leaves it alone", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("web"))
      yield* Fiber.join(yield* restart("db"))
      yield* adjust("1 minute")
      assert.strictEqual((yield* statusNow("db")).generation, 2)
      assert.strictEqual((yield* statusNow("web")).generation, 1)
    }).pipe(withUnits({ units: { db: unit(), web: unit({ requires: ["db"] }) } })),
  )

  it.effect("it fails when that is given up", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("agent"))
      yield* crash("vpn")
      yield* settle
      assert.deepStrictEqual(yield* states("vpn", "agent"), ["failed", "failed"])
      assert.strictEqual((yield* statusNow("agent")).failure?.kind, "DependencyFailed")
      assert.deepStrictEqual((yield* memory).alive(), [])
    }).pipe(withUnits({ units: { ...units, vpn: unit({ restart: "never" }) } })),
  )
})

describe("conflicts", () => {
  const units = { blue: unit(), green: unit({ conflicts: ["blue"], autostart: false }) }

  it.effect("a start of the one stops the other, and waits until nothing of it is left", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("blue"))
      const waiter = yield* start("green")
      assert.deepStrictEqual(yield* states("blue", "green"), ["stopping", "blocked"])
      assert.include((yield* statusNow("green")).reason, "blue, which it conflicts with, is still up.")
      yield* adjust("3 seconds")
      yield* Fiber.join(waiter)
      assert.deepStrictEqual(yield* states("blue", "green"), ["inactive", "ready"])
      // Whichever of the two says so.
      yield* Fiber.join(yield* start("blue"))
      assert.deepStrictEqual(yield* states("blue", "green"), ["ready", "inactive"])
    }).pipe(withUnits({ units, processes: Testing.byUnit({ blue: slow(3) }) })),
  )

  it.effect("a start of the other while the one is on its way wins", () =>
    Effect.gen(function* () {
      const first = yield* start("green")
      const second = yield* start("blue")
      assert.strictEqual((yield* Effect.flip(Fiber.join(first)))._tag, "UnitNotStarted")
      yield* adjust("1 second")
      yield* Fiber.join(second)
      assert.deepStrictEqual(yield* states("blue", "green"), ["ready", "inactive"])
    }).pipe(
      withUnits({
        units: {
          blue: unit({ minUptime: "1s" }),
          green: unit({ minUptime: "1s", conflicts: ["blue"], autostart: false }),
        },
      }),
    ),
  )
})

describe("targets", () => {
  const units = {
    db: unit(),
    web: unit({ requires: ["db"] }),
    worker: unit(),
    tools: unit({ autostart: false, requires: ["db"] }),
    all: { kind: "target", requires: ["web"], wants: ["worker"] },
  } as const

  it.effect("one is Ready when what it requires is, and starts what it wants", () =>
    Effect.gen(function* () {
      const [status] = yield* Fiber.join(yield* start("all"))
      assert.deepStrictEqual([status?.state, status?.pid, status?.ownership], ["ready", undefined, undefined])
      assert.deepStrictEqual(yield* states("db", "web", "worker"), ["ready", "ready", "ready"])
    }).pipe(withUnits({ units })),
  )

  it.effect("a stop takes its members along, except what another unit that stays needs", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("all", "tools"))
      const stopped = yield* Fiber.join(yield* stop("all"))
      assert.deepStrictEqual(stopped.map(({ name }) => name).sort(), ["all", "web", "worker"])
      assert.deepStrictEqual(yield* states("db", "web", "worker", "tools", "all"), [
        "ready",
        "inactive",
        "inactive",
        "ready",
        "inactive",
      ])
    }).pipe(withUnits({ units })),
  )

  it.effect("a restart restarts its members", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("all"))
      yield* Fiber.join(yield* restart("all"))
      yield* settle
      assert.deepStrictEqual(
        (yield* Effect.forEach(["web", "worker"], statusNow)).map(({ generation, state }) => [
          generation,
          state,
        ]),
        [
          [2, "ready"],
          [2, "ready"],
        ],
      )
      assert.deepStrictEqual(yield* states("all"), ["ready"])
    }).pipe(withUnits({ units })),
  )

  it.effect("one whose member fails for good fails; whose member is away for a while waits", () =>
    Effect.gen(function* () {
      yield* start("all")
      yield* adjust("5 seconds")
      assert.deepStrictEqual(yield* states("all"), ["ready"])
      yield* crash("web")
      assert.deepStrictEqual(yield* states("all"), ["blocked"])
      yield* adjust("5 seconds")
      assert.deepStrictEqual(yield* states("all"), ["ready"])
      yield* crash("web")
      assert.deepStrictEqual(yield* states("web", "all"), ["failed", "failed"])
    }).pipe(
      withUnits({
        units: {
          web: unit({ minUptime: "5s", restart: { maxFailures: 1 } }),
          all: { kind: "target", requires: ["web"] },
        },
      }),
    ),
  )
})

describe("a stop", () => {
  it.effect("goes in reverse: each before what it depends on, and not before its dependents are gone", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("c"))
      const stopping = yield* stop("a")
      yield* adjust("6 seconds")
      const stopped = yield* Fiber.join(stopping)
      assert.deepStrictEqual(
        stopped.map(({ name }) => name),
        ["a", "b", "c"],
      )
      assert.deepStrictEqual((yield* history()).slice(-6), [
        "0 c stopping",
        "3000 c inactive",
        "3000 b stopping",
        "5000 b inactive",
        "5000 a stopping",
        "6000 a inactive",
      ])
      // Nobody got a signal before its dependents were gone.
      assert.deepStrictEqual(
        yield* Effect.forEach(["a", "b", "c"], (name) =>
          Effect.map(processOf(name), (one) => one.signals()[0]),
        ),
        ["SIGTERM", "SIGTERM", "SIGTERM"],
      )
    }).pipe(
      withUnits({
        units: { a: unit(), b: unit({ requires: ["a"] }), c: unit({ requires: ["b"] }) },
        processes: Testing.byUnit({ a: slow(1), b: slow(2), c: slow(3) }),
      }),
    ),
  )

  it.effect("of a dependent leaves what it depends on", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("b"))
      yield* Fiber.join(yield* stop("b"))
      assert.deepStrictEqual(yield* states("a", "b"), ["ready", "inactive"])
    }).pipe(withUnits({ units: { a: unit(), b: unit({ requires: ["a"] }) } })),
  )

  it.effect("of independent units happens at the same time", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a", "b", "c"))
      const stopping = yield* stop()
      yield* adjust("3 seconds")
      yield* Fiber.join(stopping)
    }).pipe(withUnits({ units: { a: unit(), b: unit(), c: unit() }, processes: slow(3) })),
  )

  it.effect("during the wait for a dependency: it is Inactive at once, and stays so when that comes up", () =>
    Effect.gen(function* () {
      const waiter = yield* start("b")
      yield* adjust("1 second")
      yield* Fiber.join(yield* stop("b"))
      assert.strictEqual((yield* Effect.flip(Fiber.join(waiter)))._tag, "UnitNotStarted")
      yield* adjust("1 minute")
      assert.deepStrictEqual(yield* states("a", "b"), ["ready", "inactive"])
      assert.strictEqual((yield* statusNow("b")).generation, 0)
    }).pipe(withUnits({ units: { a: unit({ minUptime: "5s" }), b: unit({ requires: ["a"] }) } })),
  )
})

describe("the dependency timeout", () => {
  it.effect("ends the wait; without one it lasts for ever", () =>
    Effect.gen(function* () {
      const waiter = yield* start("hasty", "patient")
      yield* adjust("59 seconds")
      assert.deepStrictEqual(yield* states("hasty", "patient"), ["blocked", "blocked"])
      yield* adjust("1 second")
      const { failure, state } = yield* statusNow("hasty")
      assert.deepStrictEqual([state, failure?.kind], ["failed", "DependencyTimeout"])
      assert.strictEqual(failure?.message, "What it needs did not come up in time. db is starting.")
      assert.strictEqual((yield* Effect.flip(Fiber.join(waiter)))._tag, "UnitNotStarted")
      yield* adjust("30 days")
      assert.deepStrictEqual(yield* states("hasty", "patient"), ["failed", "blocked"])
    }).pipe(
      withUnits({
        units: {
          db: { kind: "oneshot", command: ["db"] },
          hasty: unit({ requires: ["db"], dependencyTimeout: "1m" }),
          patient: unit({ requires: ["db"] }),
        },
      }),
    ),
  )

  it.effect("is about each wait, not about all of them together", () =>
    Effect.gen(function* () {
      yield* start("web")
      yield* adjust("40 seconds")
      assert.deepStrictEqual(yield* states("db", "web"), ["ready", "starting"])
      yield* crash("db")
      yield* adjust("40 seconds")
      assert.deepStrictEqual(yield* states("db", "web"), ["ready", "starting"])
    }).pipe(
      withUnits({
        units: {
          db: unit({ minUptime: "40s" }),
          web: unit({ requires: ["db"], dependencyTimeout: "1m", minUptime: "1h" }),
        },
      }),
    ),
  )
})

describe("why", () => {
  const chainOf = (name: string) =>
    Effect.gen(function* () {
      const { why } = yield* supervisor
      const { chain, isUp } = yield* why(name)
      return [isUp, ...chain.map(({ reason, state, unit }) => `${unit} ${state}: ${reason}`)]
    })

  const units = {
    db: unit({ minUptime: "1s", restart: { maxFailures: 2, backoff: { jitter: false, initial: "1m" } } }),
    api: unit({ requires: ["db"] }),
    web: unit({ requires: ["api"] }),
  }

  it.effect("of what is up there is nothing to say", () =>
    Effect.gen(function* () {
      yield* start("web")
      yield* adjust("1 second")
      assert.deepStrictEqual(yield* chainOf("web"), [true])
    }).pipe(withUnits({ units })),
  )

  it.effect("of what failed by a unit that is up again it says that it may be started, and no more", () =>
    Effect.gen(function* () {
      yield* start("web")
      assert.deepStrictEqual(yield* states("db", "web"), ["failed", "failed"])
      yield* start("db")
      assert.deepStrictEqual(yield* states("db", "web"), ["ready", "failed"])
      const { why } = yield* supervisor
      const { chain } = yield* why("web")
      assert.deepStrictEqual(
        chain.map(({ advice, unit }) => [unit, advice]),
        [["web", "What it needs is there again: start it."]],
      )
    }).pipe(
      withUnits({
        units: { db: unit({ restart: "never" }), web: unit({ requires: ["db"] }) },
        processes: Testing.byUnit({ db: Testing.inTurn(Testing.exits(1), Testing.runs()) }),
      }),
    ),
  )

  it.effect(
    "leads from a unit that waits down to the one that crashes, with its last words and what to do",
    () =>
      Effect.gen(function* () {
        yield* start("web")
        assert.deepStrictEqual(yield* chainOf("web"), [
          false,
          "web blocked: api waits for what it needs itself.",
          "api blocked: db has failed (2 in a row) and will be started again.",
          "db backoff: It ended with exit code 1 before it was ready.",
        ])
        const { why } = yield* supervisor
        const { chain } = yield* why("web")
        assert.deepStrictEqual(chain.at(-1)?.output, ["cannot open /var/db"])
        assert.isDefined(chain.at(-1)?.advice)
        assert.deepStrictEqual(chain[0]?.output, [])
      }).pipe(
        withUnits({
          units,
          processes: Testing.byUnit({ db: Testing.exits(1, { prints: ["cannot open /var/db"] }) }),
        }),
      ),
  )

  it.effect("still leads there when all have failed", () =>
    Effect.gen(function* () {
      yield* start("web")
      yield* adjust("10 minutes")
      const [, ...chain] = yield* chainOf("web")
      assert.deepStrictEqual(
        chain.map((link) => String(link).replace(/:.*/, "")),
        ["web failed", "api failed", "db failed"],
      )
      assert.include(String(chain[2]), "given up after 3 failures in a row")
    }).pipe(withUnits({ units, processes: Testing.byUnit({ db: Testing.exits(1) }) })),
  )

  it.effect("of a unit that was stopped, or that nobody has started", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* chainOf("db"), [false, "db inactive: Nobody has started it."])
      yield* start("db")
      yield* Fiber.join(yield* stop("db"))
      assert.deepStrictEqual(yield* chainOf("db"), [false, "db inactive: It was stopped."])
      const { why } = yield* supervisor
      assert.strictEqual((yield* Effect.flip(why("bd")))._tag, "UnitNotFound")
    }).pipe(withUnits({ units })),
  )

  it.effect("names every branch where there are several causes", () =>
    Effect.gen(function* () {
      yield* start("c")
      const [, ...chain] = yield* chainOf("c")
      assert.deepStrictEqual(
        chain.map((link) => String(link).replace(/:.*/, "")),
        ["c blocked", "a starting", "b starting"],
      )
    }).pipe(
      withUnits({
        units: {
          a: unit({ minUptime: "1m" }),
          b: unit({ minUptime: "1m" }),
          c: unit({ requires: ["a", "b"] }),
        },
      }),
    ),
  )
})

describe("the tree", () => {
  it.effect("shows what depends on what, and where each is", () =>
    Effect.gen(function* () {
      yield* start("web")
      const { tree } = yield* supervisor
      const { edges, groups, nodes } = yield* tree
      assert.deepStrictEqual(
        nodes.map(({ name, state }) => [name, state]),
        [
          ["db", "ready"],
          ["cache", "ready"],
          ["web", "ready"],
        ],
      )
      assert.deepStrictEqual(edges, [
        { from: "web", to: "db", kind: "requires", condition: "ready" },
        { from: "web", to: "cache", kind: "wants" },
      ])
      assert.deepStrictEqual(groups, [])
    }).pipe(
      withUnits({ units: { db: unit(), cache: unit(), web: unit({ requires: ["db"], wants: ["cache"] }) } }),
    ),
  )
})
