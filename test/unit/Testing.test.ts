/** `holdfast/testing`, as a user has it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Testing from "../../src/testing.js"
import { ProbeFailure } from "../../src/probe/ProbeResult.js"
import { Prober } from "../../src/probe/Prober.js"
import { ProcessSpawner } from "../../src/process/ProcessSpawner.js"
import { Supervisor } from "../../src/unit/Supervisor.js"

describe("a restart policy, tested in milliseconds", () => {
  // The whole of a user's test.
  it.effect("a worker that crashes now and then is kept up; one that crashes at once is given up", () =>
    Effect.gen(function* () {
      const { status } = yield* Supervisor
      yield* TestClock.adjust("1 hour")
      const [steady, hopeless] = [yield* status("steady"), yield* status("hopeless")]
      assert.deepStrictEqual([steady.state, steady.restarts, steady.failures], ["ready", 189, 1])
      assert.deepStrictEqual([hopeless.state, hopeless.failure?.kind], ["failed", "RestartsExhausted"])
      assert.deepStrictEqual(hopeless.failure?.output, ["no such table: jobs"])
    }).pipe(
      Effect.provide(
        Testing.layer({
          plan: {
            units: {
              steady: { command: ["worker"] },
              hopeless: { command: ["worker", "--no-db"], restart: { maxFailures: 3 } },
            },
          },
          processes: Testing.byUnit({
            steady: Testing.exits(1, { after: "19 seconds" }),
            hopeless: Testing.exits(1, { prints: ["no such table: jobs"] }),
          }),
        }),
      ),
    ),
  )
})

const http = { http: { path: "/health" }, period: "1s" } as const

describe("the world in memory", () => {
  it.effect("answers http probes by its script only where the unit's process runs", () =>
    Effect.gen(function* () {
      const { status } = yield* Supervisor
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* status("web")).state, "ready")
      const { failures, generation } = yield* status("web")
      // The look before the spawn met nobody; else it would have been a foreign server.
      assert.deepStrictEqual([generation, failures], [1, 0])
    }).pipe(
      Effect.provide(
        Testing.layer({
          plan: { units: { web: { command: ["web"], port: 8_080, ports: [8_081], readiness: http } } },
        }),
      ),
    ),
  )

  it.effect("can hold other people's servers", () =>
    Effect.gen(function* () {
      const { start } = yield* Supervisor
      const error = yield* Effect.flip(start(["web"]))
      assert.include(error.message, "apache2 (pid 815)")
    }).pipe(
      Effect.provide(
        Testing.layer({
          plan: { units: { web: { command: ["web"], port: 8_080, readiness: http, restart: "never" } } },
          autostart: false,
          holderOf: (port) => (port === 8_080 ? { pid: 815, command: "apache2" } : undefined),
        }),
      ),
    ),
  )

  it.effect("can be asked what was started, probed and signalled", () =>
    Effect.gen(function* () {
      const { kill, start } = yield* Supervisor
      yield* start(["web"])
      yield* kill("web", "SIGHUP")
      const processes = yield* Testing.ScriptedSpawner
      const web = processes.latest("web")!
      assert.deepStrictEqual(web.signals(), ["SIGHUP"])
      assert.strictEqual(web.env.MODE, "test")
      assert.strictEqual(processes.mostAtOnce(), 1)
      const probes = yield* Testing.ScriptedProber
      assert.isAbove(probes.asked(), 0)
    }).pipe(
      Effect.provide(
        Testing.layer({
          plan: { units: { web: { command: ["web"], port: 8_080, env: { MODE: "test" }, readiness: http } } },
          autostart: false,
          processes: Testing.runs({ ignores: ["SIGHUP"] }),
        }),
      ),
    ),
  )

  it.effect(
    "comes to its end without the clock, though a process ignores its stop signal and a stop is under way",
    () =>
      Effect.gen(function* () {
        const memory = yield* Effect.scoped(
          Effect.gen(function* () {
            const context = yield* Layer.build(
              Testing.layer({
                plan: { units: { a: { command: ["a"], minUptime: 0 }, b: { command: ["b"], minUptime: 0 } } },
                autostart: false,
                processes: Testing.runs({ survivesKill: true, children: [{ ignores: ["SIGTERM"] }] }),
              }),
            )
            return yield* Effect.gen(function* () {
              const { start, stop } = yield* Supervisor
              yield* start(["a", "b"])
              yield* Effect.forkDaemon(stop(["a"]))
              yield* TestClock.adjust(0)
              return yield* Testing.ScriptedSpawner
            }).pipe(Effect.provide(context))
          }),
        )
        assert.deepStrictEqual(memory.alive(), [])
      }),
  )

  it.scoped("is there without a supervisor, too", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner
      const prober = yield* Prober
      const process = yield* spawner.spawn({ command: ["server"], unit: "server" })
      const probe = yield* prober.attach(http, { port: 80, unit: "server", output: process.output })
      const failure = yield* Effect.flip(probe.check)
      assert.strictEqual(failure.reason, "is still thinking")
      yield* process.stop()
      assert.strictEqual((yield* Effect.flip(probe.check)).class, "refused")
    }).pipe(
      Effect.provide(
        Testing.ground({
          probes: () =>
            Effect.fail(
              new ProbeFailure({
                kind: "http",
                subject: "The probe",
                reason: "is still thinking",
                class: "unhealthy",
                transient: true,
                contact: "answered",
              }),
            ),
        }),
      ),
    ),
  )
})
