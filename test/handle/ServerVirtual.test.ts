/** Managed servers in memory, on a clock that is turned: what takes hours of real time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import type { AcquireError } from "../../src/handle/HandleError.js"
import * as Server from "../../src/handle/Server.js"
import { ProbeFailure } from "../../src/probe/ProbeResult.js"
import * as Testing from "../../src/testing.js"

const refused = new ProbeFailure({
  kind: "http",
  subject: "The script",
  reason: "said no",
  class: "unhealthy",
  transient: true,
  contact: "answered",
})

const make = (input: Partial<Server.ManagedInput> = {}, options: Server.Options = {}) =>
  Server.managed({ name: "web", command: ["web"], ...input }, { guard: false, ...options })

const settle = TestClock.adjust(0)

/** A test in a world in memory, at whose end every process obeys. */
const virtual = (
  name: string,
  world: Testing.World,
  body: () => Effect.Effect<unknown, unknown, Testing.Ground | Scope.Scope>,
) =>
  it.scoped(name, () =>
    Effect.flatMap(Testing.ScriptedSpawner, ({ obey }) => Effect.ensuring(body(), obey)).pipe(
      Effect.provide(Layer.merge(Testing.ground(world), Logger.minimumLogLevel(LogLevel.None))),
    ),
  )

const acquiring = (server: Server.Server) => Effect.zipLeft(Effect.fork(server.handle.acquire), settle)

const errorOf = <A>(fiber: Fiber.RuntimeFiber<A, AcquireError<Server.ServerError>>) =>
  Effect.flip(Fiber.join(fiber)) as Effect.Effect<AcquireError<Server.ServerError>>

const isOver = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() !== null

describe("a managed server in memory", () => {
  virtual("is probed by the script, and by nothing else", {}, () =>
    Effect.gen(function* () {
      const { asked } = yield* Testing.ScriptedProber
      const server = yield* make({ port: 9 })
      const info = yield* server.handle.acquire
      const first = asked()
      assert.strictEqual(yield* server.handle.acquire, info)
      assert.strictEqual(asked(), first + 1)
      assert.strictEqual((yield* server.status).state, "Ready")
    }),
  )

  let ready = false
  virtual(
    "is asked every 100 ms until it is ready, and not any more from then on",
    {
      probes: () => (ready ? Effect.void : Effect.fail(refused)),
    },
    () =>
      Effect.gen(function* () {
        const { asked } = yield* Testing.ScriptedProber
        const server = yield* make()
        const starting = yield* acquiring(server)
        const before = asked()
        for (let look = 1; look <= 20; look++) {
          yield* TestClock.adjust("100 millis")
          assert.strictEqual(asked(), before + look)
        }
        ready = true
        yield* TestClock.adjust("100 millis")
        yield* Fiber.join(starting)
        const after = asked()
        yield* TestClock.adjust("1 day")
        assert.strictEqual(asked(), after)
      }),
  )

  virtual(
    "is given up after just the time that a start may take, each of its two attempts",
    { probes: () => Effect.fail(refused) },
    () =>
      Effect.gen(function* () {
        const { alive } = yield* Testing.ScriptedSpawner
        const server = yield* make({ startTimeout: "1500ms" })
        const starting = yield* acquiring(server)
        yield* TestClock.adjust("2999 millis")
        assert.isFalse(isOver(starting))
        yield* TestClock.adjust("1 millis")
        const error = yield* errorOf(starting)
        assert.strictEqual(error._tag, "ServerStartTimedOut")
        assert.include(error.message, "within 1.5 s. The script said no.")
        assert.deepStrictEqual(alive(), [])
      }),
  )

  virtual("is given 10 s unless told otherwise", { probes: () => Effect.fail(refused) }, () =>
    Effect.gen(function* () {
      const server = yield* make({}, { attempts: Schedule.stop })
      const starting = yield* acquiring(server)
      yield* TestClock.adjust("9999 millis")
      assert.isFalse(isOver(starting))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* errorOf(starting))._tag, "ServerStartTimedOut")
    }),
  )

  virtual(
    "that ignores its stop signal costs the next attempt nothing but its grace",
    { processes: Testing.runs({ ignores: ["SIGTERM"] }), probes: () => Effect.fail(refused) },
    () =>
      Effect.gen(function* () {
        const { alive, mostAtOnce } = yield* Testing.ScriptedSpawner
        const server = yield* make({ startTimeout: "1s", stop: { grace: "10s" } })
        const starting = yield* acquiring(server)
        yield* TestClock.adjust("21999 millis")
        assert.isFalse(isOver(starting))
        yield* TestClock.adjust("1 millis")
        assert.strictEqual((yield* errorOf(starting))._tag, "ServerStartTimedOut")
        assert.deepStrictEqual([alive().length, mostAtOnce()], [0, 1])
      }),
  )

  virtual(
    "whose end takes longer than a start may is restarted in spite of that",
    { processes: Testing.inTurn(Testing.runs({ children: [{ ignores: ["SIGTERM"] }] }), Testing.runs()) },
    () =>
      Effect.gen(function* () {
        const { latest, mostAtOnce } = yield* Testing.ScriptedSpawner
        const server = yield* make({ startTimeout: "1s", stop: { grace: "2s" } }, { attempts: Schedule.stop })
        const one = yield* server.handle.acquire
        yield* latest("web")!.end("SIGKILL")
        yield* settle
        const next = yield* acquiring(server)
        yield* TestClock.adjust("1990 millis")
        assert.isFalse(isOver(next))
        yield* TestClock.adjust("20 millis")
        assert.notStrictEqual((yield* Fiber.join(next)).pid, one.pid)
        assert.strictEqual(mostAtOnce(), 1)
      }),
  )

  virtual("that always crashes is left to the backoff of the handle", { processes: Testing.exits(1) }, () =>
    Effect.gen(function* () {
      const { attempts } = yield* Testing.ScriptedSpawner
      const server = yield* make({}, { backoff: Schedule.spaced("1 hour") })
      assert.strictEqual((yield* Effect.flip(server.handle.acquire))._tag, "ServerExitedEarly")
      assert.strictEqual(attempts().length, 2)
      const waiting = yield* acquiring(server)
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual([isOver(waiting), attempts().length], [false, 2])
      yield* TestClock.adjust("1 minutes")
      assert.strictEqual((yield* errorOf(waiting))._tag, "ServerExitedEarly")
      assert.strictEqual(attempts().length, 4)
    }),
  )
})

describe("a managed server in memory that restarts by itself", () => {
  virtual(
    "comes back after the delays of its policy, and the handle has it again each time",
    {
      processes: Testing.inTurn(
        Testing.exits(1, { after: "1 minute" }),
        Testing.exits(1, { after: "1 second" }),
        Testing.exits(1, { after: "1 second" }),
        Testing.runs(),
      ),
    },
    () =>
      Effect.gen(function* () {
        const { attempts } = yield* Testing.ScriptedSpawner
        const server = yield* make({
          restart: { policy: "on-failure", backoff: { initial: "1m", max: "5m", jitter: false } },
        })
        const one = yield* server.handle.acquire
        const pidOf = Effect.map(server.handle.state, (state) =>
          state._tag === "Ready" ? state.snapshot.pid : state._tag,
        )
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(attempts().length, 2, "the first restart comes at once")
        assert.strictEqual(yield* pidOf, (yield* server.status).pid)
        assert.notStrictEqual(yield* pidOf, one.pid)
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([yield* pidOf, (yield* server.status).state], ["Stale", "Starting"])
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual(attempts().length, 2)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(attempts().length, 3)
        yield* TestClock.adjust("1 second")
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(attempts().length, 4)
        const { pid } = yield* server.handle.acquire
        assert.deepStrictEqual([yield* pidOf, (yield* server.status).pid], [pid, pid])
        assert.strictEqual(attempts().length, 4)
      }),
  )

  virtual(
    "is waited for by who asks while it keeps failing, as long as a start may take",
    { processes: Testing.inTurn(Testing.runs(), Testing.exits(3), Testing.exits(3), Testing.runs()) },
    () =>
      Effect.gen(function* () {
        const { attempts, latest } = yield* Testing.ScriptedSpawner
        const server = yield* make({
          restart: { policy: "on-failure", backoff: { initial: "4s", jitter: false } },
        })
        yield* server.handle.acquire
        yield* latest("web")!.end("SIGKILL")
        const waiting = yield* acquiring(server)
        assert.strictEqual(attempts().length, 2)
        yield* TestClock.adjust("4 seconds")
        yield* TestClock.adjust("8 seconds")
        assert.deepStrictEqual([isOver(waiting), attempts().length], [true, 4])
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(waiting)))
      }),
  )

  virtual(
    "and never comes up is given up in time, with what it said last, and is not started any more",
    { processes: Testing.inTurn(Testing.runs(), Testing.exits(3, { prints: ["out of luck"] })) },
    () =>
      Effect.gen(function* () {
        const { attempts, latest } = yield* Testing.ScriptedSpawner
        const server = yield* make(
          { restart: { policy: "on-failure", backoff: { initial: "4s", jitter: false } } },
          { attempts: Schedule.stop },
        )
        yield* server.handle.acquire
        yield* latest("web")!.end("SIGKILL")
        const waiting = yield* acquiring(server)
        yield* TestClock.adjust("10 seconds")
        const error = yield* errorOf(waiting)
        assert.strictEqual(error._tag, "ServerStartTimedOut")
        assert.match(error.message, /It ended with exit code 3 before it was ready\..*out of luck/s)
        const { length } = attempts()
        yield* TestClock.adjust("1 day")
        assert.strictEqual(attempts().length, length)
      }),
  )
})

describe("a managed server in memory whose health is looked after", () => {
  let isIll = false
  virtual(
    "is replaced after so many failures in a row",
    { probes: () => (isIll ? Effect.fail(refused) : Effect.void) },
    () =>
      Effect.gen(function* () {
        const { latest, mostAtOnce } = yield* Testing.ScriptedSpawner
        const server = yield* make({}, { health: { schedule: Schedule.spaced("1 minute") } })
        const one = yield* server.handle.acquire
        isIll = true
        yield* TestClock.adjust("1 minute")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(latest("web")!.pid, one.pid)
        assert.isFalse(latest("web")!.hasEnded())
        yield* TestClock.adjust("1 minute")
        assert.notStrictEqual(latest("web")!.pid, one.pid)
        isIll = false
        yield* TestClock.adjust("1 second")
        const state = yield* server.handle.state
        assert.isTrue(state._tag === "Ready" && state.snapshot.pid === latest("web")!.pid)
        assert.strictEqual(mostAtOnce(), 1)
      }),
  )
})
