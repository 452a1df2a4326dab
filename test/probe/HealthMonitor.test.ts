import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import type * as Check from "../../src/probe/Check.js"
import type * as Health from "../../src/probe/Health.js"
import * as HealthMonitor from "../../src/probe/HealthMonitor.js"
import * as Prober from "../../src/probe/Prober.js"
import { ProbeFailure } from "../../src/probe/ProbeResult.js"

const refused = new ProbeFailure({
  kind: "tcp",
  subject: "It",
  reason: "was refused",
  class: "refused",
  transient: true,
  contact: "none",
})

interface Seen {
  readonly at: number
  readonly use: Health.Use
  readonly passed: boolean
  readonly early: boolean
  readonly decision: Health.Decision
}

type Uses = { readonly [use in Health.Use]?: Omit<Check.Input, "tcp"> }

/** Starts a monitor of `tcp` probes with these times, and notes what it tells and when. */
const monitor = (uses: Uses) =>
  Effect.gen(function* () {
    const prober = yield* Prober.Prober
    const probes: { [use in Health.Use]?: Prober.AttachedProbe } = {}
    for (const use of ["startup", "readiness", "liveness"] as const) {
      if (uses[use] !== undefined) probes[use] = yield* prober.attach({ tcp: {}, ...uses[use] }, { port: 1 })
    }
    const seen: Array<Seen> = []
    const fiber = yield* Effect.forkScoped(
      HealthMonitor.run(probes, {
        onEvent: ({ decision, early, result, use }) =>
          Effect.map(Clock.currentTimeMillis, (at) => {
            seen.push({ at, use, passed: Either.isRight(result), early, decision })
          }),
      }),
    )
    yield* TestClock.adjust(0)
    return { fiber, seen, times: () => seen.map(({ at }) => at) }
  })

/** Moves the clock on in steps, as one long step would hide what happens on the way. */
const walk = (millis: number, step: number) =>
  Effect.repeatN(TestClock.adjust(step), Math.round(millis / step) - 1)

const test = (name: string, script: Prober.Script, body: Effect.Effect<unknown, unknown, any>) =>
  it.scoped(name, () => Effect.provide(body, Prober.layerScripted(script)) as Effect.Effect<unknown, unknown>)

const failing: Prober.Script = () => Effect.fail(refused)
const passing: Prober.Script = () => Effect.void

describe("the monitor", () => {
  test(
    "looks on the ramp before the first Ready: at once, then after 100, 250, 500 and every 1000 ms",
    failing,
    Effect.gen(function* () {
      const { times } = yield* monitor({ readiness: {} })
      yield* walk(3_900, 50)
      expect(times()).toEqual([0, 100, 350, 850, 1_850, 2_850, 3_850])
    }),
  )

  test(
    "a period shorter than the ramp's pauses is kept",
    failing,
    Effect.gen(function* () {
      const { times } = yield* monitor({ readiness: { period: "200ms" } })
      yield* walk(1_000, 20)
      expect(times()).toEqual([0, 100, 300, 500, 700, 900])
    }),
  )

  test(
    "after Ready it keeps to the period, and a failure does not bring the ramp back",
    ({ index }) => (index === 1 || index > 3 ? Effect.void : Effect.fail(refused)),
    Effect.gen(function* () {
      const { seen } = yield* monitor({ readiness: { failureThreshold: 2 } })
      yield* walk(100, 50)
      yield* walk(31_000, 1_000)
      expect(seen.map(({ at, decision, passed }) => [at, passed, decision])).toEqual([
        [0, false, "none"],
        [100, true, "ready"],
        [10_100, false, "none"],
        [20_100, false, "not-ready"],
        [30_100, true, "ready"],
      ])
    }),
  )

  test(
    "a startup probe on the ramp restarts no sooner than its threshold of periods",
    failing,
    Effect.gen(function* () {
      const { fiber, seen } = yield* monitor({ startup: { period: "5s", failureThreshold: 3 } })
      yield* walk(850, 50)
      yield* walk(14_000, 500)
      expect(fiber.unsafePoll()).toBeNull()
      yield* walk(2_000, 500)
      expect(yield* Fiber.join(fiber)).toBe("startup")
      const counted = seen.filter(({ early }) => !early)
      expect(counted.map(({ decision }) => decision)).toEqual(["none", "none", "restart"])
      expect(counted[2]!.at).toBeGreaterThanOrEqual(13_500)
    }),
  )

  test(
    "startup gates the others, whose initial delays begin when it has passed",
    ({ index }) => (index < 2 ? Effect.fail(refused) : Effect.void),
    Effect.gen(function* () {
      const { seen } = yield* monitor({
        startup: {},
        readiness: { initialDelay: "1s" },
        liveness: { initialDelay: "3s" },
      })
      yield* walk(4_000, 50)
      expect(seen.map(({ at, decision, use }) => [at, use, decision])).toEqual([
        [0, "startup", "none"],
        [100, "startup", "none"],
        [350, "startup", "started"],
        [1_350, "readiness", "ready"],
        [3_350, "liveness", "none"],
      ])
    }),
  )

  test(
    "liveness asks for a restart at its threshold, and the run is over",
    ({ index }) => (index === 0 ? Effect.void : Effect.fail(refused)),
    Effect.gen(function* () {
      const { fiber, times } = yield* monitor({ liveness: { period: "2s" } })
      yield* TestClock.adjust("2 seconds")
      yield* TestClock.adjust("2 seconds")
      expect(fiber.unsafePoll()).toBeNull()
      yield* TestClock.adjust("2 seconds")
      expect(yield* Fiber.join(fiber)).toBe("liveness")
      yield* TestClock.adjust("1 minute")
      expect(times()).toEqual([0, 2_000, 4_000, 6_000])
    }),
  )

  test(
    "readiness alone never asks for a restart",
    failing,
    Effect.gen(function* () {
      const { fiber } = yield* monitor({ readiness: { period: "1s" } })
      yield* walk(20_000, 1_000)
      expect(fiber.unsafePoll()).toBeNull()
    }),
  )

  test(
    "checks never overlap, whatever their use and however slow they are",
    () => Effect.sleep("900 millis"),
    Effect.gen(function* () {
      const { seen } = yield* monitor({ readiness: { period: "1s" }, liveness: { period: "500ms" } })
      yield* walk(20_000, 100)
      const scripted = yield* Prober.ScriptedProber
      expect(scripted.mostAtOnce()).toBe(1)
      expect(new Set(seen.map(({ use }) => use)).size).toBe(2)
      expect(seen.length).toBeGreaterThan(10)
    }),
  )

  test(
    "a check that hangs is a timeout at its own deadline",
    () => Effect.never,
    Effect.gen(function* () {
      const { seen } = yield* monitor({ liveness: { timeout: "700ms", period: "1s" } })
      yield* walk(3_000, 100)
      expect(seen.map(({ at, passed }) => [at, passed])).toEqual([
        [700, false],
        [2_400, false],
      ])
    }),
  )

  test(
    "wake cuts a pause short and is used up",
    failing,
    Effect.gen(function* () {
      const { times } = yield* monitor({ readiness: {} })
      yield* TestClock.adjust("40 millis")
      const scripted = yield* Prober.ScriptedProber
      scripted.wake()
      yield* TestClock.adjust("0 millis")
      expect(times()).toEqual([0, 40])
      yield* walk(300, 10)
      expect(times()).toEqual([0, 40, 290])
    }),
  )

  test(
    "a check under way is cancelled with the scope",
    () => Effect.never,
    Effect.gen(function* () {
      const scripted = yield* Prober.ScriptedProber
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* monitor({ readiness: { timeout: "1h" } })
          expect(scripted.running()).toBe(1)
        }),
      )
      expect(scripted.running()).toBe(0)
    }),
  )

  it.scopedLive("a jump of the wall clock moves no check", () =>
    Effect.gen(function* () {
      const prober = yield* Prober.Prober
      const liveness = yield* prober.attach({ tcp: {}, period: "40ms" }, { port: 1 })
      const fourth = yield* Deferred.make<void>()
      let looks = 0
      const onEvent = () => (++looks === 4 ? Deferred.succeed(fourth, undefined) : Effect.void)
      // Whoever reads the wall clock reads another hour each time.
      const jumping = yield* Effect.clockWith((clock) =>
        Effect.succeed<Clock.Clock>({
          [Clock.ClockTypeId]: Clock.ClockTypeId,
          unsafeCurrentTimeMillis: () => Math.floor(Math.random() * 1e12),
          unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
          currentTimeMillis: Effect.sync(() => Math.floor(Math.random() * 1e12)),
          currentTimeNanos: clock.currentTimeNanos,
          sleep: (duration) => clock.sleep(duration),
        }),
      )
      yield* Effect.forkScoped(Effect.withClock(HealthMonitor.run({ liveness }, { onEvent }), jumping))
      const [elapsed] = yield* Effect.timed(Deferred.await(fourth))
      expect(Duration.toMillis(elapsed)).toBeGreaterThanOrEqual(100)
      expect(Duration.toMillis(elapsed)).toBeLessThan(10_000)
    }).pipe(Effect.provide(Prober.layerScripted(passing))),
  )
})

describe("a schedule of the user's own", () => {
  test(
    "replaces the ramp; when it is done, the period takes over",
    failing,
    Effect.gen(function* () {
      const prober = yield* Prober.Prober
      const readiness = yield* prober.attach({ tcp: {}, period: "1s" }, { port: 1 })
      const times: Array<number> = []
      yield* Effect.forkScoped(
        HealthMonitor.run(
          { readiness },
          {
            onEvent: () => Effect.map(Clock.currentTimeMillis, (at) => void times.push(at)),
            ramp: () => Schedule.fromDelays(Duration.millis(10), Duration.millis(20)),
          },
        ),
      )
      yield* walk(30, 10)
      yield* walk(2_000, 200)
      expect(times).toEqual([0, 10, 30, 1_030, 2_030])
    }),
  )
})
