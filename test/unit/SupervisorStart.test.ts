/** How a unit comes up, or does not: deadlines, errors that another attempt would meet again, and those who wait. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Check from "../../src/probe/Check.js"
import * as SpawnError from "../../src/process/SpawnError.js"
import type * as Plan from "../../src/unit/Plan.js"
import * as Testing from "../../src/testing.js"
import {
  adjust,
  check,
  course,
  crash,
  door,
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

const never =
  (reason = "said no") =>
  () =>
    Effect.fail(failing(reason))

describe("the start timeout", () => {
  const wide: Partial<Check.Input> = { period: "10s", timeout: "1s", failureThreshold: 3 }
  const cases: ReadonlyArray<readonly [what: string, seconds: number, given: Partial<Plan.UnitInput>]> = [
    [
      "is what the probe needs, 3 x (10 s + 1 s) + 5 s, when that is more than 30 s",
      38,
      { readiness: check(wide) },
    ],
    ["is 30 s when the probe needs less", 30, { readiness: check({ ...wide, period: "1s" }) }],
    ["is what the unit says when that is more", 60, { startTimeout: "1m", readiness: check(wide) }],
    ["is never less than the probe needs", 38, { startTimeout: "1s", readiness: check(wide) }],
    [
      "includes the initial delay of the probe",
      58,
      { startTimeout: "1s", readiness: check({ ...wide, initialDelay: "20s" }) },
    ],
    [
      "is that of the probe that needs more",
      38,
      { startTimeout: "1s", startup: check({ period: "1s", failureThreshold: 30 }), readiness: check(wide) },
    ],
  ]
  for (const [what, seconds, given] of cases.slice(0, 5)) {
    it.effect(what, () =>
      Effect.gen(function* () {
        yield* start("a")
        yield* adjust(seconds * 1_000 - 1)
        assert.deepStrictEqual(yield* states("a"), ["starting"])
        yield* adjust(1)
        const { failure, reason, state } = yield* statusNow("a")
        assert.deepStrictEqual([state, failure?.kind], ["failed", "StartTimeout"])
        assert.strictEqual(reason, "It was not ready in time. The check said no.")
        assert.deepStrictEqual((yield* memory).alive(), [])
      }).pipe(withUnits({ units: { a: unit({ restart: "never", ...given }) }, probes: never() })),
    )
  }

  it.effect("is that of the probe that needs more, where there are two", () =>
    Effect.gen(function* () {
      yield* start("a")
      // 30 x (2 s + 1 s) + 5 s; the startup probe itself has failed 30 times after 30 x 2 s.
      yield* adjust("94999 millis")
      assert.deepStrictEqual(yield* states("a"), ["starting"])
      yield* adjust(1)
      assert.strictEqual((yield* statusNow("a")).failure?.kind, "StartTimeout")
    }).pipe(
      withUnits({
        units: {
          a: unit({
            restart: "never",
            startup: { exec: { command: ["startup"] }, period: "2s", failureThreshold: 30 },
            readiness: { exec: { command: ["readiness"] }, ...wide },
          }),
        },
        probes: ({ spec }) =>
          spec.exec?.command.includes("startup") === true ? Effect.void : Effect.fail(failing()),
      }),
    ),
  )

  it.effect("counts as a failure, after which the policy decides", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("30 seconds")
      const { failures, generation, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failures, generation], ["starting", 1, 2])
      yield* neverTwice
    }).pipe(withUnits({ units: { a: unit({ readiness: check({ period: "1s" }) }) }, probes: never() })),
  )

  it.effect("a check that hangs does not make it longer", () =>
    Effect.gen(function* () {
      yield* start("a")
      yield* adjust("95 seconds")
      const { failure, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failure?.kind], ["failed", "StartTimeout"])
      assert.strictEqual(
        failure?.message,
        "It was not ready in time. The scripted probe timed out after 1m 29s.",
      )
      assert.strictEqual((yield* Testing.ScriptedProber).running(), 0)
    }).pipe(
      withUnits({
        units: {
          a: unit({
            restart: "never",
            readiness: check({ period: "1s", timeout: "89s", failureThreshold: 1 }),
          }),
        },
        // Ready only later than the deadline.
        probes: () => Effect.never,
      }),
    ),
  )

  it.effect("of a oneshot there is none, unless it says so", () =>
    Effect.gen(function* () {
      yield* start("patient", "hasty")
      yield* adjust("1999 millis")
      assert.deepStrictEqual(yield* states("hasty"), ["starting"])
      yield* adjust("1 millis")
      assert.deepStrictEqual(yield* states("hasty"), ["failed"])
      yield* adjust("10 days")
      assert.deepStrictEqual(yield* states("patient", "hasty"), ["starting", "failed"])
      assert.strictEqual((yield* statusNow("hasty")).failure?.kind, "StartTimeout")
    }).pipe(
      withUnits({
        units: {
          patient: { kind: "oneshot", command: ["run"] },
          hasty: { kind: "oneshot", command: ["run"], startTimeout: "2s", restart: "never" },
        },
      }),
    ),
  )
})

describe("without a probe", () => {
  it.effect("a unit is Ready after minUptime, 1 s by default, and dependents wait for that", () =>
    Effect.gen(function* () {
      yield* start("web")
      yield* adjust("999 millis")
      assert.deepStrictEqual(yield* states("db", "web"), ["starting", "blocked"])
      yield* adjust("1 millis")
      assert.deepStrictEqual(yield* states("db", "web"), ["ready", "starting"])
      yield* adjust("5 seconds")
      assert.deepStrictEqual(yield* history("web"), ["0 web blocked", "1000 web starting", "6000 web ready"])
      const { readyAt, startedAt } = yield* statusNow("web")
      assert.deepStrictEqual([startedAt, readyAt], [1_000, 6_000])
    }).pipe(
      withUnits({
        units: { db: { command: ["db"] }, web: { command: ["web"], minUptime: "5s", requires: ["db"] } },
      }),
    ),
  )

  it.effect("a minUptime longer than the start timeout is waited for all the same", () =>
    Effect.gen(function* () {
      const waiter = yield* start("a")
      yield* adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(waiter))[0]?.state, "ready")
    }).pipe(withUnits({ units: { a: unit({ minUptime: "1m" }) } })),
  )

  it.effect("one that ends before has failed early, and its last words are in the error", () =>
    Effect.gen(function* () {
      const waiter = yield* start("a")
      yield* adjust("900 millis")
      const error = yield* Effect.flip(Fiber.join(waiter))
      assert.strictEqual(
        error.message,
        "The unit a did not come up. It ended with exit code 3 before it was ready. Its last output:\nno config\nbye",
      )
      assert.deepStrictEqual((yield* statusNow("a")).failure?.output, ["no config", "bye"])
    }).pipe(
      withUnits({
        units: { a: { command: ["run"], restart: "never" } },
        processes: Testing.exits(3, { after: "900 millis", prints: ["no config", "bye"] }),
      }),
    ),
  )
})

describe("a spawn that fails", () => {
  const command = "run"
  const permanent = [
    new SpawnError.CommandNotFound({ program: command, searched: ["/bin"] }),
    new SpawnError.NotExecutable({ path: "/bin/run", reason: "you have no permission to execute it" }),
    new SpawnError.BadWorkingDirectory({ cwd: "/nowhere", reason: "it does not exist" }),
    new SpawnError.FileUnusable({ field: "envFiles", path: ".env", reason: "permission is denied" }),
    new SpawnError.ArgumentListTooLong({ program: command, bytes: 9_999_999 }),
  ]
  const passing = [
    new SpawnError.TooManyOpenFiles({ command, code: "EMFILE" }),
    new SpawnError.TooManyProcesses({ command, code: "EAGAIN" }),
    new SpawnError.SpawnFailed({ command, code: "EIO", reason: "the disk is broken" }),
  ]
  for (const error of permanent) {
    it.effect(`with ${error._tag} is not tried again, whatever the policy`, () =>
      Effect.gen(function* () {
        const exit = yield* Fiber.await(yield* start("a"))
        yield* adjust("1 hour")
        const { failure, generation, state } = yield* statusNow("a")
        assert.deepStrictEqual(
          [state, failure?.kind, failure?.message, generation],
          ["failed", error._tag, error.message, 1],
        )
        assert.strictEqual((yield* memory).attempts().length, 1)
        assert.isTrue(Exit.isFailure(exit))
      }).pipe(withUnits({ units: { a: unit({ restart: "always" }) }, processes: Testing.fails(error) })),
    )
  }

  for (const error of passing) {
    it.effect(`with ${error._tag} is tried again`, () =>
      Effect.gen(function* () {
        const waiter = yield* start("a")
        yield* adjust("100 millis")
        assert.strictEqual((yield* Fiber.join(waiter))[0]?.generation, 3)
      }).pipe(
        withUnits({
          units: { a: unit({ restart: { backoff: { jitter: false } } }) },
          processes: Testing.inTurn(Testing.fails(error), Testing.fails(error), Testing.runs()),
        }),
      ),
    )
  }

  it.effect("in a way that is mended is started again by an operator", () =>
    Effect.gen(function* () {
      yield* start("a")
      assert.deepStrictEqual(yield* states("a"), ["failed"])
      const [again] = yield* Fiber.join(yield* start("a"))
      assert.deepStrictEqual([again?.state, again?.failure], ["ready", undefined])
    }).pipe(
      withUnits({
        units: { a: unit() },
        processes: Testing.inTurn(Testing.fails(permanent[0]!), Testing.runs()),
      }),
    ),
  )
})

describe("a probe's mismatch", () => {
  const mismatch = failing("has version 2.0.0, not 1.0.0", {
    transient: false,
    mismatch: { what: "version", expected: "1.0.0", actual: "2.0.0" },
  })

  it.effect("ends the start at once, and is never tried again", () =>
    Effect.gen(function* () {
      const waiter = yield* start("a")
      const error = yield* Effect.flip(Fiber.join(waiter))
      assert.strictEqual(error._tag === "UnitNotStarted" && error.kind, "Mismatch")
      assert.include(error.message, "has version 2.0.0, not 1.0.0")
      yield* adjust("1 hour")
      assert.deepStrictEqual(yield* states("a"), ["failed"])
      assert.strictEqual((yield* memory).processes().length, 1)
      assert.deepStrictEqual((yield* memory).alive(), [])
    }).pipe(
      withUnits({
        units: { a: unit({ restart: "always", readiness: check() }) },
        probes: () => Effect.fail(mismatch),
      }),
    ),
  )
})

describe("those who wait for a start", () => {
  const slow = { units: { a: unit({ minUptime: "10s" }) } }

  it.effect("all get the same status, and make one process", () =>
    Effect.gen(function* () {
      const waiters = yield* Effect.forEach([1, 2, 3, 4, 5], () => start("a"))
      yield* adjust("10 seconds")
      const found = yield* Effect.forEach(waiters, (waiter) => Fiber.join(waiter))
      for (const one of found) assert.deepStrictEqual(one, found[0])
      assert.strictEqual((yield* memory).processes().length, 1)
    }).pipe(withUnits(slow)),
  )

  it.effect("all get the same failure", () =>
    Effect.gen(function* () {
      const waiters = yield* Effect.forEach([1, 2, 3], () => start("a"))
      yield* adjust("2 seconds")
      const messages = yield* Effect.forEach(waiters, (waiter) =>
        Effect.map(Effect.flip(Fiber.join(waiter)), ({ message }) => message),
      )
      assert.strictEqual(new Set(messages).size, 1)
      assert.include(messages[0], "exit code 9")
    }).pipe(
      withUnits({
        units: { a: { command: ["run"], minUptime: "10s", restart: "never" } },
        processes: Testing.exits(9, { after: "2 seconds" }),
      }),
    ),
  )

  it.effect("the interruption of one, or of all, does not cancel the start", () =>
    Effect.gen(function* () {
      const [first, second] = yield* Effect.forEach([1, 2], () => start("a"))
      yield* Fiber.interrupt(first!)
      yield* adjust("5 seconds")
      assert.deepStrictEqual(yield* states("a"), ["starting"])
      yield* Fiber.interrupt(second!)
      yield* adjust("5 seconds")
      assert.deepStrictEqual(yield* states("a"), ["ready"])
      assert.strictEqual((yield* memory).processes().length, 1)
    }).pipe(withUnits(slow)),
  )

  it.effect("a start of what is up answers its status at once", () =>
    Effect.gen(function* () {
      const first = yield* start("a")
      yield* adjust("10 seconds")
      const [before] = yield* Fiber.join(first)
      yield* adjust("1 hour")
      const [now] = yield* Fiber.join(yield* start("a"))
      assert.deepStrictEqual(now, before)
    }).pipe(withUnits(slow)),
  )

  it.effect("are told at once when somebody stops it meanwhile", () =>
    Effect.gen(function* () {
      const waiter = yield* start("a")
      yield* adjust("1 second")
      yield* Fiber.join(yield* stop("a"))
      const error = yield* Effect.flip(Fiber.join(waiter))
      assert.strictEqual(error._tag === "UnitNotStarted" && error.kind, "Stopped")
    }).pipe(withUnits(slow)),
  )

  it.effect("one of several that fails is told with its name, and the others go on", () =>
    Effect.gen(function* () {
      const waiter = yield* start("good", "bad")
      const error = yield* Effect.flip(Fiber.join(waiter))
      assert.strictEqual(error._tag === "UnitNotStarted" && error.name, "bad")
      assert.deepStrictEqual(yield* states("good", "bad"), ["starting", "failed"])
      yield* adjust("10 seconds")
      assert.deepStrictEqual(yield* states("good"), ["ready"])
    }).pipe(
      withUnits({
        units: { good: unit({ minUptime: "10s" }), bad: unit({ minUptime: "10s", restart: "never" }) },
        processes: Testing.byUnit({ bad: Testing.exits(1) }),
      }),
    ),
  )

  it.effect("an unknown name fails with the nearest one, and starts nothing", () =>
    Effect.gen(function* () {
      const { start } = yield* supervisor
      const error = yield* Effect.flip(start(["worker", "wokrer"]))
      assert.strictEqual(error.message, 'There is no unit "wokrer". Did you mean worker?')
      yield* settle
      assert.deepStrictEqual(yield* states("worker"), ["inactive"])
    }).pipe(withUnits({ units: { worker: unit() } })),
  )

  it.effect("no names: all that start with the supervisor", () =>
    Effect.gen(function* () {
      const { start } = yield* supervisor
      const started = yield* start([])
      assert.deepStrictEqual(
        started.map(({ name }) => name),
        ["a"],
      )
      assert.deepStrictEqual(yield* states("a", "b"), ["ready", "inactive"])
    }).pipe(withUnits({ units: { a: unit(), b: unit({ autostart: false }) } })),
  )
})

describe("awaitReady", () => {
  it.effect("starts nothing, and waits until somebody has started the unit and it is up", () =>
    Effect.gen(function* () {
      const { awaitReady } = yield* supervisor
      const waiter = yield* Effect.fork(awaitReady("a"))
      yield* adjust("1 hour")
      assert.deepStrictEqual(yield* states("a"), ["inactive"])
      yield* start("a")
      assert.isNull(waiter.unsafePoll())
      yield* adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(waiter)).state, "ready")
      assert.strictEqual((yield* awaitReady("a")).state, "ready")
    }).pipe(withUnits({ units: { a: unit({ minUptime: "10s" }) } })),
  )

  it.effect("waits through restarts, and fails when the unit has failed for good", () =>
    Effect.gen(function* () {
      const { awaitReady } = yield* supervisor
      const waiter = yield* Effect.fork(awaitReady("a"))
      yield* start("a")
      yield* adjust("80 millis")
      assert.isNull(waiter.unsafePoll())
      yield* adjust("1 minute")
      const error = yield* Effect.flip(Fiber.join(waiter))
      assert.strictEqual(error._tag === "UnitNotStarted" && error.kind, "RestartsExhausted")
      assert.strictEqual((yield* Effect.flip(awaitReady("a"))).message, error.message)
      assert.strictEqual((yield* Effect.flip(awaitReady("b")))._tag, "UnitNotFound")
    }).pipe(
      withUnits({
        units: { a: unit({ minUptime: "1s", restart: { maxFailures: 2, backoff: { jitter: false } } }) },
        processes: Testing.exits(1),
      }),
    ),
  )

  it.effect("of a oneshot: until it is done", () =>
    Effect.gen(function* () {
      const { awaitReady } = yield* supervisor
      const waiter = yield* Effect.fork(awaitReady("a"))
      yield* start("a")
      yield* adjust("1 minute")
      const { end, state } = yield* Fiber.join(waiter)
      assert.deepStrictEqual([state, end], ["exited", { code: 0 }])
    }).pipe(
      withUnits({
        units: { a: { kind: "oneshot", command: ["run"] } },
        processes: Testing.exits(0, { after: "1 minute" }),
      }),
    ),
  )
})

describe("autostart", () => {
  it.effect("starts what says so with the supervisor, and what that needs", () =>
    Effect.gen(function* () {
      yield* settle
      assert.deepStrictEqual(yield* states("a", "b", "c"), ["ready", "ready", "inactive"])
    }).pipe(
      withUnits({
        autostart: true,
        units: {
          a: unit({ requires: ["b"] }),
          b: unit({ autostart: false }),
          c: unit({ autostart: false }),
        },
      }),
    ),
  )
})

describe("a start while it stops", () => {
  const units = { a: unit() }
  const processes = Testing.runs({ onSignal: () => Effect.delay(Effect.succeed(0), "5 seconds") })

  it.effect("is queued: it begins when nothing is left of the one before", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const stopping = yield* stop("a")
      yield* adjust("1 second")
      const starting = yield* start("a")
      assert.deepStrictEqual(yield* states("a"), ["stopping"])
      yield* adjust("4 seconds")
      const [status] = yield* Fiber.join(starting)
      assert.deepStrictEqual([status?.state, status?.generation], ["ready", 2])
      assert.deepStrictEqual(yield* Fiber.join(stopping), [yield* statusNow("a")])
      assert.deepStrictEqual(yield* history("a"), [
        "0 a starting",
        "0 a ready",
        "0 a stopping",
        "5000 a starting",
        "5000 a ready",
      ])
      yield* neverTwice
    }).pipe(withUnits({ units, processes })),
  )

  it.effect("and a stop after that: it is off again", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* stop("a")
      const starting = yield* start("a")
      const stopping = yield* stop("a")
      const error = yield* Effect.flip(Fiber.join(starting))
      assert.strictEqual(error._tag === "UnitNotStarted" && error.kind, "Stopped")
      yield* adjust("5 seconds")
      yield* Fiber.join(stopping)
      yield* adjust("1 hour")
      assert.deepStrictEqual(yield* states("a"), ["inactive"])
      assert.strictEqual((yield* memory).processes().length, 1)
    }).pipe(withUnits({ units, processes })),
  )

  it.effect("a restart while it is stopped for good changes nothing, and says so", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* stop("a")
      const { restart } = yield* supervisor
      const error = yield* Effect.flip(restart(["a"]))
      assert.strictEqual(error._tag === "UnitNotStarted" && error.kind, "Stopped")
      yield* adjust("1 hour")
      assert.deepStrictEqual(yield* states("a"), ["inactive"])
    }).pipe(withUnits({ units, processes })),
  )
})

describe("a start during backoff", () => {
  it.effect("comes at once", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      for (let crashes = 0; crashes < 3; crashes++) {
        yield* crash("a")
        yield* Effect.when(adjust("150 millis"), () => crashes === 1)
      }
      assert.deepStrictEqual(yield* states("a"), ["backoff"])
      const [status] = yield* Fiber.join(yield* start("a"))
      assert.strictEqual(status?.state, "ready")
      yield* adjust("1 minute")
      assert.strictEqual((yield* statusNow("a")).generation, status?.generation)
      assert.include((yield* course("a")).join(), "a backoff,a starting,a ready")
    }).pipe(withUnits({ units: { a: unit({ restart: { backoff: { jitter: false } } }) } })),
  )
})

describe("a spawn that takes its time", () => {
  it.effect("can be stopped: no process comes of it", () =>
    Effect.gen(function* () {
      const gate = yield* door
      const health = new Health()
      yield* Effect.gen(function* () {
        const starting = yield* start("a")
        yield* adjust("1 second")
        yield* Fiber.join(yield* stop("a"))
        assert.strictEqual((yield* Effect.flip(Fiber.join(starting)))._tag, "UnitNotStarted")
        yield* gate.open
        yield* adjust("1 minute")
        assert.deepStrictEqual((yield* memory).processes(), [])
        assert.deepStrictEqual(health.asked, [])
        assert.deepStrictEqual(yield* states("a"), ["inactive"])
      }).pipe(
        withUnits({
          units: { a: unit({ readiness: check() }) },
          processes: () => Effect.as(gate.wait, {}),
          probes: health.script,
        }),
      )
    }),
  )
})
