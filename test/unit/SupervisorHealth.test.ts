/** What probes bring about: Kubernetes' truth table, thresholds, restarts that wait for a busy unit, external servers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Check from "../../src/probe/Check.js"
import type * as Plan from "../../src/unit/Plan.js"
import * as Testing from "../../src/testing.js"
import {
  adjust,
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

const probe = (
  name: string,
  given: Partial<Omit<Check.Input, "http" | "tcp" | "log" | "all" | "any">> = {},
) => ({
  exec: { command: [name] as const },
  ...given,
})

const verdicts = ["absent", "passes", "fails"] as const

describe("Kubernetes' truth table: what each combination of probes has come to after a minute", () => {
  for (const startup of verdicts) {
    for (const readiness of verdicts) {
      for (const liveness of verdicts) {
        const given = { startup, readiness, liveness }
        const isStarted = startup !== "fails"
        const killer = !isStarted ? "startup" : liveness === "fails" ? "liveness" : undefined
        const isReady = isStarted && readiness !== "fails"
        const says =
          killer !== undefined
            ? `ended for its ${killer} probe`
            : isReady
              ? "is ready"
              : "is not ready, and not ended for it"
        it.effect(`startup ${startup}, readiness ${readiness}, liveness ${liveness}: ${says}`, () => {
          const health = new Health()
          for (const [use, verdict] of Object.entries(given)) {
            if (verdict === "fails") health.set("a", use, failing())
          }
          const declared = Object.fromEntries(
            Object.entries(given).flatMap(([use, verdict]) =>
              verdict === "absent" ? [] : [[use, probe(use)]],
            ),
          )
          return Effect.gen(function* () {
            yield* start("a")
            yield* adjust("1 minute")
            const { failure, state } = yield* statusNow("a")
            const trace = (yield* history("a")).join()
            assert.strictEqual(trace.includes("a ready"), isReady)
            if (killer === undefined) assert.strictEqual(state, isReady ? "ready" : "starting")
            else {
              assert.deepStrictEqual([state, failure?.kind], ["failed", "Unhealthy"])
              assert.strictEqual(
                failure?.message,
                `Its ${killer} probe failed 3 times in a row. The check said no.`,
              )
              // Three failures, a period of 10 s between them. Those on the ramp count once in a period.
              assert.include(trace, killer === "startup" ? "30850 a stopping" : "20000 a stopping")
            }
            const others = health.asked.filter((line) => !line.includes("startup"))
            // A startup probe that has not passed keeps the others from being asked at all.
            if (!isStarted) assert.deepStrictEqual(others, [])
            assert.deepStrictEqual((yield* memory).alive().length, killer === undefined ? 1 : 0)
          }).pipe(
            withUnits({
              units: { a: unit({ restart: "never", startTimeout: "1h", ...declared }) },
              probes: health.script,
            }),
          )
        })
      }
    }
  }
})

/** A unit with probes that a test can turn. */
const withHealth = <A, E, R>(
  given: Partial<Plan.UnitInput>,
  body: (health: Health) => Effect.Effect<A, E, R>,
) =>
  Effect.suspend(() => {
    const health = new Health()
    return body(health).pipe(withUnits({ units: { a: unit(given) }, probes: health.script }))
  })

describe("thresholds", () => {
  it.effect("readiness: so many passes in a row until Ready", () =>
    withHealth({ readiness: probe("ready", { successThreshold: 3 }), startTimeout: "1h" }, (health) =>
      Effect.gen(function* () {
        yield* start("a")
        // On the ramp: at 0, 100, 350 ms.
        yield* adjust("100 millis")
        health.set("a", "ready", failing())
        yield* adjust("250 millis")
        health.set("a", "ready", "passes")
        assert.deepStrictEqual(yield* states("a"), ["starting"])
        yield* adjust("1499 millis")
        assert.deepStrictEqual(yield* states("a"), ["starting"])
        yield* adjust("1 second")
        assert.deepStrictEqual(yield* states("a"), ["starting"])
        yield* adjust("1 second")
        assert.deepStrictEqual(yield* states("a"), ["ready"])
      }),
    ),
  )

  it.effect("readiness: Degraded at the first failure, Ready again at a pass; never restarted", () =>
    withHealth({ readiness: probe("ready") }, (health) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        health.set("a", "ready", failing())
        yield* adjust("10 seconds")
        const { reason, state } = yield* statusNow("a")
        assert.deepStrictEqual([state, reason], ["degraded", "The check said no."])
        yield* adjust("1 hour")
        assert.deepStrictEqual(yield* states("a"), ["degraded"])
        health.set("a", "ready", "passes")
        yield* adjust("10 seconds")
        const now = yield* statusNow("a")
        assert.deepStrictEqual([now.state, now.generation, now.restarts], ["ready", 1, 0])
      }),
    ),
  )

  it.effect("readiness lost at its threshold takes the success threshold to come back", () =>
    withHealth({ readiness: probe("ready", { successThreshold: 2, failureThreshold: 2 }) }, (health) =>
      Effect.gen(function* () {
        yield* start("a")
        yield* adjust("100 millis")
        assert.deepStrictEqual(yield* states("a"), ["ready"])
        health.set("a", "ready", failing())
        yield* adjust("25 seconds")
        health.set("a", "ready", "passes")
        yield* adjust("10 seconds")
        assert.deepStrictEqual(yield* states("a"), ["degraded"])
        yield* adjust("10 seconds")
        assert.deepStrictEqual(yield* states("a"), ["ready"])
      }),
    ),
  )

  it.effect("liveness: fewer failures than the threshold restart nothing, and a pass ends the row", () =>
    withHealth({ liveness: probe("live") }, (health) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        for (let round = 0; round < 5; round++) {
          health.set("a", "live", failing())
          yield* adjust("20 seconds")
          assert.deepStrictEqual(yield* states("a"), ["degraded"])
          health.set("a", "live", "passes")
          yield* adjust("10 seconds")
          assert.deepStrictEqual(yield* states("a"), ["ready"])
        }
        assert.strictEqual((yield* statusNow("a")).generation, 1)
      }),
    ),
  )

  it.effect(
    "liveness: at the threshold it is restarted, and the new instance begins with a clean slate",
    () =>
      withHealth({ liveness: probe("live") }, (health) =>
        Effect.gen(function* () {
          yield* Fiber.join(yield* start("a"))
          health.set("a", "live", failing())
          yield* adjust("30 seconds")
          const { failure, generation, restarts, state } = yield* statusNow("a")
          assert.deepStrictEqual(
            [state, failure?.kind, generation, restarts],
            ["degraded", "Unhealthy", 2, 1],
          )
          health.set("a", "live", "passes")
          yield* adjust("10 seconds")
          assert.deepStrictEqual(yield* states("a"), ["ready"])
          yield* neverTwice
        }),
      ),
  )

  it.effect("liveness counts while it is starting, too", () =>
    withHealth({ readiness: probe("ready"), liveness: probe("live"), restart: "never" }, (health) =>
      Effect.gen(function* () {
        health.set("a", "ready", failing())
        health.set("a", "live", failing())
        yield* start("a")
        yield* adjust("20 seconds")
        assert.strictEqual((yield* statusNow("a")).failure?.kind, "Unhealthy")
      }),
    ),
  )

  it.effect("startup: looking on the ramp makes its time no shorter", () =>
    withHealth({ startup: probe("startup", { failureThreshold: 6 }), restart: "never" }, (health) =>
      Effect.gen(function* () {
        health.set("a", "startup", failing())
        yield* start("a")
        yield* adjust("59 seconds")
        assert.deepStrictEqual(yield* states("a"), ["starting"])
        health.set("a", "startup", "passes")
        yield* adjust("1 second")
        assert.deepStrictEqual(yield* states("a"), ["ready"])
      }),
    ),
  )

  it.effect("a restart for failing health is a failure like others: it backs off, and is given up", () =>
    withHealth({ liveness: probe("live", { period: "1s" }), restart: { maxFailures: 3 } }, (health) =>
      Effect.gen(function* () {
        health.set("a", "live", failing())
        yield* start("a")
        yield* adjust("5 minutes")
        const { failure, generation, state } = yield* statusNow("a")
        assert.deepStrictEqual([state, failure?.kind, generation], ["failed", "RestartsExhausted", 4])
        assert.include(failure?.message, "Its liveness probe failed 3 times in a row")
      }),
    ),
  )
})

describe("checks", () => {
  it.effect("one that hangs ends at its timeout and is a failure; checks never overlap", () =>
    withHealth({ liveness: probe("live", { timeout: "2s" }), restart: "never" }, (health) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        health.set("a", "live", "hangs")
        // 10 s + 2 s, three times.
        yield* adjust("35999 millis")
        assert.deepStrictEqual(yield* states("a"), ["degraded"])
        yield* adjust("1 millis")
        const { failure } = yield* statusNow("a")
        assert.strictEqual(failure?.kind, "Unhealthy")
        assert.include(failure?.message, "timed out after 2s")
        assert.strictEqual((yield* Testing.ScriptedProber).mostAtOnce(), 1)
      }),
    ),
  )

  it.effect("a stop ends the check under way, and there are no more", () =>
    withHealth({ readiness: probe("ready", { timeout: "1m" }) }, (health) =>
      Effect.gen(function* () {
        health.set("a", "ready", "hangs")
        yield* start("a")
        yield* adjust("10 seconds")
        const prober = yield* Testing.ScriptedProber
        assert.strictEqual(prober.running(), 1)
        yield* Fiber.join(yield* stop("a"))
        assert.strictEqual(prober.running(), 0)
        const asked = prober.asked()
        yield* adjust("1 hour")
        assert.strictEqual(prober.asked(), asked)
      }),
    ),
  )

  it.effect("of an instance that is gone count for nothing", () =>
    withHealth({ readiness: probe("ready", { timeout: "1m" }) }, (health) =>
      Effect.gen(function* () {
        health.set("a", "ready", "hangs")
        yield* start("a")
        yield* adjust("5 seconds")
        health.set("a", "ready", "passes")
        // The check of the first instance would time out at 60 s.
        const [status] = yield* Fiber.join(
          yield* Effect.gen(function* () {
            const { restart } = yield* supervisor
            const fiber = yield* Effect.fork(restart(["a"]))
            yield* settle
            return fiber
          }),
        )
        assert.deepStrictEqual([status?.state, status?.generation], ["ready", 2])
        yield* adjust("2 minutes")
        assert.deepStrictEqual((yield* history("a")).slice(-1), ["5000 a ready"])
      }),
    ),
  )

  it.effect(
    "a log probe is there as soon as its line is, whatever pieces it comes in; its groups are outputs",
    () =>
      Effect.gen(function* () {
        const waiter = yield* start("a")
        yield* adjust("20 seconds")
        assert.isNull(waiter.unsafePoll())
        const process = (yield* memory).latest("a")!
        yield* process.emit("listening on po")
        yield* settle
        assert.isNull(waiter.unsafePoll())
        yield* process.emit("rt 4711\nmore")
        yield* settle
        const [status] = yield* Fiber.join(waiter)
        assert.deepStrictEqual(status?.outputs, { port: "4711" })
        assert.strictEqual(status?.readyAt, 20_000)
      }).pipe(
        withUnits({
          units: { a: unit({ readiness: { log: { pattern: "listening on port (?<port>\\d+)" } } }) },
        }),
      ),
  )
})

describe("a restart for failing health waits while the unit is busy", () => {
  /** `busy` tells whether it is. */
  const busyUnit = (
    body: (world: {
      busy: boolean
      readonly health: Health
      asked: number
    }) => Effect.Effect<void, unknown, Effect.Effect.Context<ReturnType<typeof statusNow>> | Testing.Ground>,
  ) =>
    Effect.suspend(() => {
      const world = { busy: true, health: new Health(), asked: 0 }
      return body(world).pipe(
        withUnits({
          units: {
            a: unit({
              liveness: probe("live"),
              isBusy: Effect.sync(() => {
                world.asked++
                return world.busy
              }),
            }),
          },
          probes: world.health.script,
        }),
      )
    })

  it.effect("until it is idle", () =>
    busyUnit((world) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        assert.strictEqual(world.asked, 0)
        world.health.set("a", "live", failing())
        yield* adjust("90 seconds")
        const { generation, reason, state } = yield* statusNow("a")
        assert.deepStrictEqual(
          [state, generation, reason],
          ["degraded", 1, "It is to be restarted, and is busy. The check said no."],
        )
        world.busy = false
        yield* adjust("10 seconds")
        assert.strictEqual((yield* statusNow("a")).generation, 2)
      }),
    ),
  )

  it.effect("or the grace of 2 min is over", () =>
    busyUnit((world) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        world.health.set("a", "live", failing())
        // Due at 30 s.
        yield* adjust("149999 millis")
        assert.strictEqual((yield* statusNow("a")).generation, 1)
        yield* adjust("1 millis")
        assert.strictEqual((yield* statusNow("a")).generation, 2)
      }),
    ),
  )

  it.effect("or it is healthy again: then the next time it has its whole grace", () =>
    busyUnit((world) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        world.health.set("a", "live", failing())
        yield* adjust("2 minutes")
        world.health.set("a", "live", "passes")
        yield* adjust("10 seconds")
        assert.deepStrictEqual(yield* states("a"), ["ready"])
        // Its grace of the first time would have been over at 150 s.
        world.health.set("a", "live", failing())
        yield* adjust("2 minutes")
        const { generation, state } = yield* statusNow("a")
        assert.deepStrictEqual([state, generation], ["degraded", 1])
        yield* adjust("30 seconds")
        assert.strictEqual((yield* statusNow("a")).generation, 2)
      }),
    ),
  )

  it.effect("a busy probe that passes says that it is", () =>
    Effect.suspend(() => {
      const health = new Health()
      return Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        health.set("a", "live", failing())
        yield* adjust("1 minute")
        assert.strictEqual((yield* statusNow("a")).generation, 1)
        health.set("a", "busy", failing("is idle"))
        yield* adjust("10 seconds")
        assert.strictEqual((yield* statusNow("a")).generation, 2)
      }).pipe(
        withUnits({
          units: { a: unit({ liveness: probe("live"), busy: probe("busy") }) },
          probes: health.script,
        }),
      )
    }),
  )

  for (const [what, isBusy, seconds] of [
    ["hangs", Effect.never, 35],
    ["dies", Effect.die("no"), 30],
  ] as const) {
    it.effect(`a question that ${what} is answered with no`, () =>
      withHealth({ liveness: probe("live"), isBusy }, (health) =>
        Effect.gen(function* () {
          yield* Fiber.join(yield* start("a"))
          health.set("a", "live", failing())
          yield* adjust(seconds * 1_000 - 1)
          assert.strictEqual((yield* statusNow("a")).generation, 1)
          yield* adjust(1)
          assert.strictEqual((yield* statusNow("a")).generation, 2)
        }),
      ),
    )
  }

  it.effect("a stop does not wait for it", () =>
    busyUnit((world) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        world.health.set("a", "live", failing())
        yield* adjust("1 minute")
        yield* Fiber.join(yield* stop("a"))
        yield* adjust("1 hour")
        assert.deepStrictEqual(yield* states("a"), ["inactive"])
      }),
    ),
  )
})

describe("the url of a unit with an http probe", () => {
  const readiness = { http: { path: "/" } }
  for (const [host, url] of [
    ["127.0.0.1", "http://127.0.0.1:8080"],
    ["::1", "http://[::1]:8080"],
    ["[::1]", "http://[::1]:8080"],
  ] as const) {
    it.effect(`with the host ${host} is ${url}`, () =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        assert.strictEqual((yield* statusNow("a")).url, url)
      }).pipe(withUnits({ units: { a: unit({ host, port: 8_080, readiness }) } })),
    )
  }
})

describe("an external unit", () => {
  const external = { kind: "external", url: "http://127.0.0.1:9200/search" } as const

  const withExternal = <A, E, R>(body: (health: Health) => Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const health = new Health()
      return body(health).pipe(
        withUnits({ units: { a: external, web: unit({ requires: ["a"] }) }, probes: health.script }),
      )
    })

  it.effect("is Ready when its server answers; nothing is started for it", () =>
    withExternal(() =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("web"))
        const { command, ownership, pid, state, url } = yield* statusNow("a")
        assert.deepStrictEqual(
          [state, ownership, pid, command, url],
          ["ready", "external", undefined, undefined, "http://127.0.0.1:9200/search"],
        )
        const { attempts } = yield* memory
        assert.deepStrictEqual(
          attempts().map(({ spec }) => spec.unit),
          ["web"],
        )
        const [question] = (yield* Testing.ScriptedProber).attached()
        assert.deepStrictEqual(question?.spec.tcp, { host: "127.0.0.1", port: 9_200 })
      }),
    ),
  )

  it.effect("is Degraded while it fails, and Failed(ExternalUnavailable) at its threshold: for good", () =>
    withExternal((health) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("web"))
        health.set("a", "check", failing())
        yield* adjust("10 seconds")
        assert.deepStrictEqual(yield* states("a", "web"), ["degraded", "ready"])
        yield* adjust("20 seconds")
        const { failure, state } = yield* statusNow("a")
        assert.deepStrictEqual([state, failure?.kind], ["failed", "ExternalUnavailable"])
        assert.strictEqual(
          failure?.message,
          "The server does not answer well: 3 checks in a row failed. The check said no.",
        )
        const { asked } = yield* Testing.ScriptedProber
        const before = asked()
        health.set("a", "check", "passes")
        yield* adjust("1 hour")
        assert.deepStrictEqual(yield* states("a"), ["failed"])
        assert.strictEqual(asked(), before)
        // Until an operator looks again.
        yield* Fiber.join(yield* start("a"))
        assert.deepStrictEqual(yield* states("a"), ["ready"])
      }),
    ),
  )

  it.effect("that comes back before its threshold is Ready again", () =>
    withExternal((health) =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        health.set("a", "check", failing())
        yield* adjust("20 seconds")
        health.set("a", "check", "passes")
        yield* adjust("10 seconds")
        assert.deepStrictEqual(yield* states("a"), ["ready"])
      }),
    ),
  )

  it.effect("that is not there at the start has until the start timeout", () =>
    withExternal((health) =>
      Effect.gen(function* () {
        health.set("a", "check", failing())
        const waiter = yield* start("web")
        yield* adjust("29 seconds")
        assert.deepStrictEqual(yield* states("a", "web"), ["starting", "blocked"])
        yield* adjust("1 second")
        assert.deepStrictEqual(yield* states("a", "web"), ["failed", "failed"])
        assert.strictEqual((yield* statusNow("a")).failure?.kind, "StartTimeout")
        const error = yield* Effect.flip(Fiber.join(waiter))
        assert.strictEqual(error._tag === "UnitNotStarted" && error.kind, "DependencyFailed")
      }),
    ),
  )

  it.effect("is stopped by not being looked at any more; there is nothing to kill", () =>
    withExternal(() =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("a"))
        const { kill } = yield* supervisor
        const error = yield* Effect.flip(kill("a", "SIGTERM"))
        assert.strictEqual(error.message, "The unit a is ready and has no process of ours to signal.")
        yield* Fiber.join(yield* stop("a"))
        const { asked } = yield* Testing.ScriptedProber
        const before = asked()
        yield* adjust("1 hour")
        assert.strictEqual(asked(), before)
        assert.deepStrictEqual(yield* states("a"), ["inactive"])
      }),
    ),
  )
})

describe("somebody else's server in the place of a unit", () => {
  const holder = { pid: 4711, command: "nginx" }
  const given = { port: 8_080, readiness: { http: { path: "/health" } } } as const

  it.effect("is refused by its name before anything is spawned; the policy `always` tries again later", () =>
    Effect.gen(function* () {
      yield* start("a")
      const { failure } = yield* statusNow("a")
      assert.strictEqual(failure?.kind, "ForeignServer")
      assert.include(failure?.message, "nginx (pid 4711)")
      assert.deepStrictEqual((yield* memory).attempts(), [])
    }).pipe(
      withUnits({
        units: { a: unit({ ...given, restart: "never" }) },
        holderOf: (port) => (port === 8_080 ? holder : undefined),
      }),
    ),
  )

  it.effect(
    "is used as it is with adopt-as-external: no process, no signal; and lost when it is gone",
    () => {
      const health = new Health()
      return Effect.gen(function* () {
        const [status] = yield* Fiber.join(yield* start("a"))
        assert.deepStrictEqual(
          [status?.state, status?.ownership, status?.pid],
          ["ready", "external", undefined],
        )
        assert.strictEqual(status?.reason, "It is somebody else's server.")
        assert.deepStrictEqual((yield* memory).attempts(), [])
        const { kill } = yield* supervisor
        assert.strictEqual((yield* Effect.flip(kill("a", "SIGKILL")))._tag, "UnitHasNoProcess")
        yield* Fiber.join(yield* stop("a"))
        assert.deepStrictEqual(yield* states("a"), ["inactive"])
      }).pipe(
        withUnits({
          units: { a: unit({ ...given, foreign: "adopt-as-external" }) },
          holderOf: () => holder,
          probes: health.script,
        }),
      )
    },
  )

  it.effect("that was adopted and goes away makes room for the unit's own process", () => {
    const health = new Health()
    let isThere = true
    return Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      isThere = false
      health.set("a", "check", failing("was refused", { kind: "http", class: "refused" }))
      yield* adjust("30 seconds")
      health.set("a", "check", "passes")
      yield* adjust("10 seconds")
      const { ownership, pid, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, ownership], ["ready", "launched"])
      assert.strictEqual(pid, (yield* memory).latest("a")?.pid)
    }).pipe(
      withUnits({
        units: { a: unit({ ...given, foreign: "adopt-as-external" }) },
        holderOf: () => (isThere ? holder : undefined),
        probes: health.script,
      }),
    )
  })
})
