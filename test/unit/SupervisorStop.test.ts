/** The way down: from every state, through whatever survives, once for each instance; and the end of the supervisor. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as Plan from "../../src/unit/Plan.js"
import * as Ending from "../../src/unit/run/Ending.js"
import * as Supervisor from "../../src/unit/Supervisor.js"
import type { Service } from "../../src/unit/SupervisorService.js"
import type { StateName } from "../../src/unit/UnitStatus.js"
import * as Testing from "../../src/testing.js"
import {
  adjust,
  check,
  crash,
  failing,
  Health,
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

const ignores = { ignores: ["SIGTERM"] } as const

/** Takes so long over its stop signal. */
const slow = (seconds: number) =>
  Testing.runs({ onSignal: () => Effect.delay(Effect.succeed(0), `${seconds} seconds`) })

interface Situation {
  readonly units: Readonly<Record<string, Plan.UnitInput>>
  readonly processes?: Testing.ProcessScript
  readonly ill?: boolean
  /** Brings the unit `a` there. */
  readonly bring: Effect.Effect<
    unknown,
    unknown,
    Effect.Effect.Context<ReturnType<typeof start>> | Testing.Ground
  >
}

/** A way into every state that there is. */
const situations: Readonly<Record<StateName, Situation>> = {
  inactive: { units: { a: unit() }, bring: settle },
  blocked: {
    units: { a: unit({ requires: ["b"] }), b: unit({ minUptime: "1h" }) },
    bring: start("a"),
  },
  starting: { units: { a: unit({ minUptime: "10s" }) }, bring: start("a") },
  ready: { units: { a: unit() }, bring: start("a") },
  degraded: {
    units: { a: unit({ readiness: check() }) },
    ill: true,
    bring: Effect.andThen(start("a"), adjust("10 seconds")),
  },
  stopping: {
    units: { a: unit() },
    processes: slow(5),
    bring: Effect.andThen(start("a"), restart("a")),
  },
  backoff: {
    units: { a: unit({ restart: { backoff: { jitter: false, initial: "1h" } } }) },
    bring: start("a").pipe(Effect.andThen(crash("a")), Effect.andThen(crash("a"))),
  },
  exited: { units: { a: unit() }, bring: Effect.andThen(start("a"), crash("a", 0)) },
  failed: {
    units: { a: unit({ restart: "never" }) },
    bring: Effect.andThen(start("a"), crash("a", 1)),
  },
}

const within = (state: StateName, more: Partial<Plan.UnitInput> = {}) => {
  const { ill = false, processes, units } = situations[state]
  const health = new Health()
  return <A, E, R>(body: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      yield* situations[state].bring
      if (ill) {
        health.set("a", "check", failing())
        yield* adjust("10 seconds")
      }
      assert.deepStrictEqual(yield* states("a"), [state])
      return yield* body
    }).pipe(
      withUnits({
        units: { ...units, a: { ...units.a!, ...more } },
        processes,
        probes: health.script,
      }),
    )
}

const all = Object.keys(situations) as ReadonlyArray<StateName>

describe("a stop", () => {
  for (const state of all) {
    it.effect(`of what is ${state}: it comes down, and stays down`, () =>
      Effect.gen(function* () {
        const stopping = yield* stop("a")
        yield* adjust("5 seconds")
        yield* Fiber.join(stopping)
        assert.deepStrictEqual(yield* states("a"), ["inactive"])
        assert.isTrue(
          (yield* memory).processes().every(({ spec, hasEnded }) => spec.unit !== "a" || hasEnded()),
        )
        const { attempts } = yield* memory
        const before = attempts().length
        yield* adjust("30 days")
        assert.deepStrictEqual(yield* states("a"), ["inactive"])
        assert.strictEqual((yield* statusNow("a")).desired, "down")
        assert.strictEqual(attempts().length, before)
        yield* neverTwice
      }).pipe(within(state)),
    )
  }

  it.effect("twice at the same time is one stop, and both wait for its end", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const first = yield* stop("a")
      const second = yield* stop("a")
      yield* adjust("4 seconds")
      assert.isNull(second.unsafePoll())
      yield* adjust("1 second")
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      assert.deepStrictEqual((yield* processOf("a")).signals(), ["SIGTERM", "SIGCONT"])
    }).pipe(withUnits({ units: { a: unit() }, processes: slow(5) })),
  )

  it.effect("goes on when whoever asked for it goes", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* Fiber.interrupt(yield* stop("a"))
      yield* adjust("5 seconds")
      assert.deepStrictEqual(yield* states("a"), ["inactive"])
    }).pipe(withUnits({ units: { a: unit() }, processes: slow(5) })),
  )

  it.effect("sends the unit's own signal, and KILL after its own grace", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const stopping = yield* stop("a")
      yield* adjust("2999 millis")
      assert.isNull(stopping.unsafePoll())
      yield* adjust("1 millis")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual((yield* processOf("a")).signals(), ["SIGINT", "SIGCONT", "SIGKILL"])
      assert.deepStrictEqual((yield* statusNow("a")).end, { signal: "SIGKILL" })
    }).pipe(
      withUnits({
        units: { a: unit({ stop: { signal: "INT", grace: "3s" } }) },
        processes: Testing.runs({ ignores: ["SIGINT"] }),
      }),
    ),
  )

  it.effect("with a shorter grace hastens one that is under way", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const first = yield* stop("a")
      yield* adjust("1 second")
      const service = yield* supervisor
      const second = yield* Effect.fork(service.stop(["a"], { grace: Duration.seconds(2) }))
      yield* adjust("2 seconds")
      yield* Fiber.join(first)
      yield* Fiber.join(second)
    }).pipe(withUnits({ units: { a: unit() }, processes: Testing.runs(ignores) })),
  )

  it.effect(
    "with a grace of its own says so from the start, for those that have to wait for others as well",
    () =>
      Effect.gen(function* () {
        yield* Fiber.join(yield* start("b"))
        const service = yield* supervisor
        const stopping = yield* Effect.fork(service.stop(["a"], { grace: Duration.seconds(1) }))
        yield* adjust("2 seconds")
        yield* Fiber.join(stopping)
        // The next life has its usual one.
        yield* Fiber.join(yield* start("b"))
        const next = yield* stop("b")
        yield* adjust("9 seconds")
        assert.isNull(next.unsafePoll())
        yield* adjust("1 second")
        yield* Fiber.join(next)
      }).pipe(
        withUnits({ units: { a: unit(), b: unit({ requires: ["a"] }) }, processes: Testing.runs(ignores) }),
      ),
  )

  it.effect("reaches what the process has left behind, also when it ended by itself", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* crash("a", 0)
      assert.deepStrictEqual(yield* states("a"), ["stopping"])
      assert.strictEqual(
        (yield* statusNow("a")).reason,
        "It has ended; what it has started is being stopped.",
      )
      yield* adjust("11 seconds")
      assert.deepStrictEqual(yield* states("a"), ["exited"])
      assert.deepStrictEqual((yield* memory).alive(), [])
    }).pipe(
      withUnits({
        units: { a: unit() },
        processes: Testing.runs({ children: [{}, { ...ignores, escaped: true }] }),
      }),
    ),
  )

  it.effect("no second process before what the first one left is gone", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* crash("a")
      yield* adjust("9 seconds")
      assert.strictEqual((yield* memory).processes().length, 1)
      yield* adjust("2 seconds")
      assert.strictEqual((yield* memory).processes().length, 2)
      yield* neverTwice
    }).pipe(withUnits({ units: { a: unit() }, processes: Testing.runs({ children: [ignores] }) })),
  )
})

describe("the end of an instance that is only just coming to life", () => {
  it.effect("is hastened by whoever has less time, though there is nothing to signal yet", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const told: Array<unknown> = []
      const graces: Array<number | undefined> = []
      // A spawn that has begun cannot be given up.
      const life = yield* Effect.forkIn(Effect.uninterruptible(Effect.sleep("1 second")), scope)
      const end = Ending.make({ tell: (event) => void told.push(event) }, scope, {
        generation: 1,
        life,
        scope: yield* Scope.make(),
        stop: (grace) =>
          Effect.sync(() => {
            graces.push(grace && Duration.toMillis(grace))
            return []
          }),
        onGone: Effect.void,
      })
      yield* end()
      yield* settle
      yield* end(500)
      yield* adjust("1 second")
      assert.deepStrictEqual(told, [{ _tag: "Gone", generation: 1, survivors: [] }])
      assert.strictEqual(graces.at(-1), 500)
    }),
  )
})

describe("a restart", () => {
  /** Where it comes to, and how many lives that takes. */
  const expected: Readonly<Record<StateName, readonly [StateName, number]>> = {
    inactive: ["ready", 1],
    blocked: ["blocked", 0],
    starting: ["ready", 2],
    ready: ["ready", 2],
    degraded: ["ready", 2],
    // It is being restarted already.
    stopping: ["ready", 2],
    backoff: ["ready", 3],
    exited: ["ready", 2],
    failed: ["ready", 2],
  }
  for (const state of all) {
    const [to, generation] = expected[state]
    it.effect(`of what is ${state}: it comes to ${to}, in life ${generation}`, () =>
      Effect.gen(function* () {
        const restarting = yield* restart("a")
        yield* adjust("15 seconds")
        const status = yield* statusNow("a")
        const isWell = status.state === to || (state === "degraded" && status.state === "starting")
        assert.isTrue(isWell, status.state)
        assert.deepStrictEqual([status.generation, status.desired], [generation, "up"])
        if (to === "ready" && state !== "degraded") yield* Fiber.join(restarting)
        yield* neverTwice
      }).pipe(within(state)),
    )
  }

  it.effect("clears what has been counted, as a start does", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* crash("a")
      const { restart: again } = yield* supervisor
      const [status] = yield* again(["a"])
      assert.deepStrictEqual([status?.failures, status?.restarts, status?.failure], [0, 1, undefined])
    }).pipe(withUnits({ units: { a: unit() } })),
  )

  it.effect("no names: all that are wanted up", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a", "b"))
      yield* Fiber.join(yield* stop("b"))
      const { restart: again } = yield* supervisor
      const restarted = yield* again([])
      assert.deepStrictEqual(
        restarted.map(({ generation, name }) => [name, generation]),
        [["a", 2]],
      )
      assert.deepStrictEqual(yield* states("a", "b", "c"), ["ready", "inactive", "inactive"])
    }).pipe(withUnits({ units: { a: unit(), b: unit(), c: unit() } })),
  )
})

describe("a name that is not there", () => {
  it.effect("is told by everything that takes one, and nothing is done", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const service = yield* supervisor
      for (const order of [
        service.start(["a", "b"]),
        service.stop(["a", "b"]),
        service.restart(["a", "b"]),
        service.status("b"),
        service.kill("b", "SIGTERM"),
        service.why("b"),
        service.log("b"),
        service.awaitReady("b"),
        service.process("b"),
      ]) {
        assert.strictEqual(
          (yield* Effect.flip(order as Effect.Effect<unknown, Error>)).message,
          'There is no unit "b". There are a.',
        )
      }
      yield* settle
      const { generation, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, generation], ["ready", 1])
    }).pipe(withUnits({ units: { a: unit() } })),
  )
})

describe("what survives KILL", () => {
  const immortal = {
    units: { a: unit({ stop: { grace: 0 } }) },
    processes: Testing.runs({ survivesKill: true }),
  }

  it.effect("is told: Failed(StopTimeout) with its pid; nothing is started beside it", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const stopping = yield* stop("a")
      yield* adjust("5 seconds")
      const { pid } = yield* processOf("a")
      const error = yield* Effect.flip(Fiber.join(stopping))
      assert.strictEqual(error._tag, "UnitNotStopped")
      assert.include(error.message, `run (pid ${pid})`)
      const { failure, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, failure?.kind], ["failed", "StopTimeout"])
      yield* start("a")
      yield* adjust("1 hour")
      assert.strictEqual((yield* memory).processes().length, 1)
      yield* neverTwice
    }).pipe(withUnits(immortal)),
  )

  it.effect("is tried again by the next stop, and gone once it is gone", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const first = yield* stop("a")
      yield* adjust("5 seconds")
      yield* Effect.flip(Fiber.join(first))
      const process = yield* processOf("a")
      const second = yield* stop("a")
      yield* adjust("5 seconds")
      assert.strictEqual((yield* Effect.flip(Fiber.join(second)))._tag, "UnitNotStopped")
      process.vanish()
      yield* Fiber.join(yield* stop("a"))
      assert.deepStrictEqual(yield* states("a"), ["inactive"])
    }).pipe(withUnits(immortal)),
  )

  it.effect("a start waits for its end, and then comes up", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const stopping = yield* stop("a")
      yield* adjust("5 seconds")
      yield* Effect.flip(Fiber.join(stopping))
      const starting = yield* start("a")
      yield* adjust("1 second")
      const process = yield* processOf("a")
      process.vanish()
      yield* adjust("1 second")
      const [status] = yield* Fiber.join(starting)
      assert.deepStrictEqual([status?.state, status?.generation], ["ready", 2])
      yield* neverTwice
    }).pipe(withUnits(immortal)),
  )

  it.effect("and ends later by itself is gone, and does not keep a stop waiting", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const stopping = yield* stop("a")
      yield* adjust("5 seconds")
      yield* Effect.flip(Fiber.join(stopping))
      const process = yield* processOf("a")
      process.vanish()
      yield* settle
      const { pid, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, pid], ["failed", undefined])
      yield* Fiber.join(yield* stop("a"))
      assert.deepStrictEqual(yield* states("a"), ["inactive"])
    }).pipe(withUnits(immortal)),
  )

  it.effect("of a unit's process does not keep its supervisor from closing", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const { shutdown } = yield* supervisor
      const fiber = yield* Effect.fork(shutdown())
      yield* adjust("5 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* states("a"), ["failed"])
    }).pipe(withUnits(immortal)),
  )
})

describe("onDown", () => {
  const listening = () => {
    const downs: Array<readonly [generation: number, end: unknown, millis: number]> = []
    const onDown: Plan.Hooks["onDown"] = ({ end, generation, uptime }) =>
      Effect.sync(() => downs.push([generation, end, Duration.toMillis(uptime)]))
    return { downs, onDown }
  }

  it.effect("is called once for each instance: after a crash, a stop, a restart, failing health", () => {
    const { downs, onDown } = listening()
    const health = new Health()
    return Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      yield* adjust("3 seconds")
      yield* crash("a", 7)
      yield* adjust("2 seconds")
      yield* Fiber.join(yield* restart("a"))
      health.set("a", "check", failing())
      yield* adjust("30 seconds")
      health.set("a", "check", "passes")
      yield* adjust("20 seconds")
      yield* Fiber.join(yield* stop("a"))
      yield* settle
      assert.deepStrictEqual(downs, [
        [1, { _tag: "Exited", code: 7 }, 3_000],
        [2, undefined, 2_000],
        [3, undefined, 30_000],
        [4, undefined, 20_000],
      ])
    }).pipe(withUnits({ units: { a: unit({ liveness: check(), onDown }) }, probes: health.script }))
  })

  it.effect("once also when a stop and a crash happen at the same moment, whichever comes first", () =>
    Effect.gen(function* () {
      for (const isStopFirst of [true, false]) {
        const { downs, onDown } = listening()
        yield* Effect.gen(function* () {
          yield* Fiber.join(yield* start("a"))
          const process = yield* processOf("a")
          const service = yield* supervisor
          const crashing = process.end(1)
          const stopping = Effect.fork(service.stop(["a"]))
          // Nothing in between: both are in the mailbox before either is looked at.
          const fiber = yield* isStopFirst
            ? Effect.zipLeft(stopping, crashing)
            : Effect.zipRight(crashing, stopping)
          yield* adjust("1 minute")
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(yield* states("a"), ["inactive"])
          assert.strictEqual(downs.length, 1)
          assert.strictEqual((yield* memory).processes().length, 1)
        }).pipe(withUnits({ units: { a: unit({ onDown }) } }))
      }
    }),
  )

  it.effect("not for what never came to life", () => {
    const { downs, onDown } = listening()
    return Effect.gen(function* () {
      yield* start("a")
      yield* adjust("1 minute")
      assert.deepStrictEqual(yield* states("a"), ["failed"])
      assert.deepStrictEqual(downs, [])
    }).pipe(
      withUnits({
        units: { a: unit({ onDown, restart: "never" }) },
        processes: () => Effect.die(new Error("a fault of the spawner")),
      }),
    )
  })

  it.effect(
    "comes as soon as it is being stopped, not when it is gone; a hook that dies or hangs is in nobody's way",
    () => {
      const times: Array<number> = []
      return Effect.gen(function* () {
        yield* Fiber.join(yield* start("a", "b"))
        yield* adjust("1 second")
        const stopping = yield* stop("a", "b")
        assert.deepStrictEqual(times, [1_000])
        yield* adjust("5 seconds")
        yield* Fiber.join(stopping)
        assert.deepStrictEqual(yield* states("a", "b"), ["inactive", "inactive"])
      }).pipe(
        withUnits({
          units: {
            a: unit({
              onDown: () =>
                Effect.andThen(
                  Effect.map(Effect.clock, (clock) => void times.push(clock.unsafeCurrentTimeMillis())),
                  Effect.never,
                ),
            }),
            b: unit({ onDown: () => Effect.die("no") }),
          },
          processes: slow(5),
        }),
      )
    },
  )

  it.effect("the end of the supervisor does not wait for a hook that hangs", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
    }).pipe(withUnits({ units: { a: unit({ onDown: () => Effect.never }) } })),
  )
})

describe("kill", () => {
  it.effect("sends a signal to the process; an end that comes of it is one of its own", () =>
    Effect.gen(function* () {
      const { kill } = yield* supervisor
      assert.strictEqual(
        (yield* Effect.flip(kill("a", "SIGHUP"))).message,
        "The unit a is inactive and has no process of ours to signal.",
      )
      yield* Fiber.join(yield* start("a"))
      assert.isTrue(yield* kill("a", "SIGHUP"))
      yield* settle
      assert.strictEqual((yield* statusNow("a")).generation, 1)
      assert.isTrue(yield* kill("a", "SIGTERM"))
      yield* settle
      const { failures, generation, state } = yield* statusNow("a")
      assert.deepStrictEqual([state, generation, failures], ["ready", 2, 1])
    }).pipe(withUnits({ units: { a: unit() }, processes: Testing.runs({ ignores: ["SIGHUP"] }) })),
  )
})

/** A supervisor in a scope of its own, which the test closes. */
const closable = (state: StateName) => {
  const { processes, units } = situations[state]
  const health = new Health()
  return Effect.gen(function* () {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(
      Testing.layer({ plan: { units }, autostart: false, processes, probes: health.script }),
      scope,
    )
    yield* Effect.provide(situations[state].bring, context)
    if (situations[state].ill === true) {
      health.set("a", "check", failing())
      yield* adjust("10 seconds")
    }
    return { close: Scope.close(scope, Exit.void), context }
  })
}

/** Nothing can be started any more. */
const refused = (service: Service) =>
  Effect.gen(function* () {
    const { state } = yield* service.status("a")
    assert.strictEqual((yield* Effect.flip(service.start(["a"])))._tag, "SupervisorClosed")
    assert.strictEqual((yield* Effect.flip(service.start([])))._tag, "SupervisorClosed")
    assert.strictEqual((yield* Effect.flip(service.restart(["a"])))._tag, "SupervisorClosed")
    // What has failed, or ended, would not come up in any case.
    const isOver = state === "failed" || state === "exited"
    const error = yield* Effect.flip(service.awaitReady("a"))
    assert.strictEqual(error._tag, isOver ? "UnitNotStarted" : "SupervisorClosed")
  })

describe("the end of the supervisor", () => {
  for (const state of all) {
    it.effect(`from ${state}: a shutdown leaves nothing, and nothing starts any more`, () =>
      Effect.gen(function* () {
        const service = yield* supervisor
        const fiber = yield* Effect.fork(service.shutdown())
        yield* adjust("5 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual((yield* memory).alive(), [])
        const before = (yield* memory).attempts().length
        yield* refused(service)
        // What there is to do has been done.
        yield* service.stop(["a"])
        yield* service.shutdown()
        yield* adjust("30 days")
        assert.strictEqual((yield* memory).attempts().length, before)
        yield* neverTwice
      }).pipe(within(state)),
    )

    it.effect(
      `from ${state}: closing its layer leaves nothing, and whoever asks afterwards gets an answer`,
      () =>
        Effect.gen(function* () {
          const { close, context } = yield* closable(state)
          const service = Context.get(context, supervisor)
          const { alive } = Context.get(context, memory)
          const closing = yield* Effect.fork(close)
          yield* adjust("10 seconds")
          yield* Fiber.join(closing)
          assert.deepStrictEqual(alive(), [])
          yield* refused(service)
          yield* service.stop(["a"])
          yield* service.shutdown()
          assert.include(["inactive", "exited", "failed"], (yield* service.status("a")).state)
          assert.strictEqual((yield* service.list).length, Object.keys(situations[state].units).length)
        }),
    )
  }

  it.effect("whoever asks afterwards gets an answer, though something has survived", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Layer.scoped(
          supervisor,
          Supervisor.make({ plan: { units: { a: unit({ stop: { grace: 0 } }) } }, autostart: false }),
        ),
        scope,
      )
      const service = Context.get(context, supervisor)
      yield* service.start(["a"])
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* adjust("5 seconds")
      yield* Fiber.join(closing)
      const stopping = yield* Effect.fork(service.stop(["a"]))
      yield* adjust("5 seconds")
      yield* Fiber.await(stopping)
      yield* service.shutdown()
      yield* refused(service)
    }).pipe(Effect.provide(Testing.ground({ processes: Testing.runs({ survivesKill: true }) }))),
  )

  it.effect("whoever waits for a start, or for Ready, is told", () =>
    Effect.gen(function* () {
      const starting = yield* start("a")
      const { awaitReady, shutdown } = yield* supervisor
      const waiting = yield* Effect.fork(awaitReady("b"))
      yield* settle
      const fiber = yield* Effect.fork(shutdown())
      yield* settle
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* Effect.flip(Fiber.join(starting)))._tag, "SupervisorClosed")
      assert.strictEqual((yield* Effect.flip(Fiber.join(waiting)))._tag, "SupervisorClosed")
    }).pipe(withUnits({ units: { a: unit({ minUptime: "1h" }), b: unit() } })),
  )

  it.effect("a shutdown with a shorter grace hastens the one before", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a", "b"))
      const { shutdown } = yield* supervisor
      const first = yield* Effect.fork(shutdown())
      yield* adjust("1 second")
      const second = yield* Effect.fork(shutdown({ grace: Duration.zero }))
      yield* adjust("1 second")
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      assert.deepStrictEqual((yield* memory).alive(), [])
    }).pipe(withUnits({ units: { a: unit(), b: unit() }, processes: Testing.runs(ignores) })),
  )

  it.effect("a crash while it closes is no reason to start again", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a", "b"))
      const { shutdown } = yield* supervisor
      const fiber = yield* Effect.fork(shutdown())
      yield* adjust("1 second")
      yield* crash("b")
      yield* adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* memory).processes().length, 2)
    }).pipe(withUnits({ units: { a: unit(), b: unit() }, processes: slow(5) })),
  )

  it.effect("an operator's stop, and then the end: both wait for the same", () =>
    Effect.gen(function* () {
      yield* Fiber.join(yield* start("a"))
      const stopping = yield* stop("a")
      const { shutdown } = yield* supervisor
      const fiber = yield* Effect.fork(shutdown())
      yield* adjust("5 seconds")
      yield* Fiber.join(stopping)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual((yield* processOf("a")).signals(), ["SIGTERM", "SIGCONT"])
    }).pipe(withUnits({ units: { a: unit() }, processes: slow(5) })),
  )
})
