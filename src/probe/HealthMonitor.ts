/**
 * Asks the probes of one instance, again and again, and tells what their answers mean. Before the first Ready it looks
 * on a ramp (100, 250, 500, then every 1000 ms), a `log` probe at once on the line; afterwards once in a period.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Schedule from "effect/Schedule"
import * as Health from "./Health.js"
import * as Polling from "./Polling.js"
import type { ProbeFailure, ProbeSuccess } from "./ProbeResult.js"
import type { AttachedProbe } from "./Prober.js"

/** The probes of one instance. */
export type Probes = { readonly [use in Health.Use]?: AttachedProbe }

/** One check, and what came of it. */
export interface HealthEvent {
  readonly use: Health.Use
  readonly result: Either.Either<ProbeSuccess, ProbeFailure>
  /** A look on the ramp, sooner than the period: a failure was not counted. */
  readonly early: boolean
  readonly decision: Health.Decision
  readonly health: Health.Health
}

/** Options of {@link run}. */
export interface Options {
  /** Called for every check, in order. The next check waits for it: keep it short. */
  readonly onEvent: (event: HealthEvent) => Effect.Effect<void>
  /** The pauses before the first Ready. Default {@link Polling.ramp}. */
  readonly ramp?: (period: Duration.Duration) => Schedule.Schedule<unknown>
  /** The pauses afterwards. Default {@link Polling.every}. */
  readonly steady?: (period: Duration.Duration) => Schedule.Schedule<unknown>
  /**
   * Goes on when a probe asks for a restart, and asks again at each further failure, until it passes: for whoever
   * decides by `onEvent`. Default false.
   */
  readonly endure?: boolean
}

/**
 * Runs until a probe asks for a restart, and says which; interrupt it when the instance ends (a check under way is
 * then cancelled). Checks never overlap, whatever their use. Fork it in the instance's scope.
 */
export const run = Effect.fn("HealthMonitor.run")(function* (probes: Probes, options: Options) {
  const { endure = false, onEvent, ramp = Polling.ramp, steady = Polling.every } = options
  const uses: Health.Uses = {
    ...(probes.startup !== undefined && { startup: probes.startup.spec }),
    ...(probes.readiness !== undefined && { readiness: probes.readiness.spec }),
    ...(probes.liveness !== undefined && { liveness: probes.liveness.spec }),
  }
  const oneAtATime = yield* Effect.makeSemaphore(1)
  const restart = yield* Deferred.make<Health.Use>()
  let health = Health.initial(uses)

  const look = (use: Health.Use, probe: AttachedProbe, early: boolean) =>
    Effect.gen(function* () {
      const result = yield* Effect.either(probe.check)
      const stepped = Health.step(uses, health, { use, passed: Either.isRight(result), early })
      health = endure ? Health.resumed(health, stepped.health) : stepped.health
      yield* onEvent({ use, result, early: early && Either.isLeft(result), ...stepped })
      if (health.restart !== undefined) yield* Deferred.succeed(restart, health.restart)
    }).pipe(oneAtATime.withPermits(1))

  const poll = (use: Health.Use, probe: AttachedProbe): Effect.Effect<void> =>
    Effect.gen(function* () {
      const { initialDelay, period } = probe.spec
      if (Duration.greaterThan(initialDelay, Duration.zero)) yield* Effect.sleep(initialDelay)
      // A probe whose failing restarts has the time that its period and threshold give it; looking more often must
      // not make it shorter. So a failure on the ramp counts only when a period has gone by since the last counted.
      let counted = yield* Clock.currentTimeNanos
      // Timers are a little early at times.
      const enough = Duration.unsafeToNanos(period) - 5_000_000n
      const ramped = use !== "liveness"
      const early = Effect.map(Clock.currentTimeNanos, (now) => {
        if (now - counted < enough) return true
        counted = now
        return false
      })
      if (ramped) {
        const pauses = yield* Polling.start(ramp(period), probe.wake, period)
        while (Health.isDue(uses, health, use) && !(use === "readiness" && health.ready)) {
          yield* look(use, probe, yield* early)
          if (Health.isDue(uses, health, use) && !(use === "readiness" && health.ready)) yield* pauses.next
        }
      }
      const pauses = yield* Polling.start(steady(period), probe.wake, period)
      if (ramped && Health.isDue(uses, health, use)) yield* pauses.next
      while (Health.isDue(uses, health, use)) {
        yield* look(use, probe, false)
        if (Health.isDue(uses, health, use)) yield* pauses.next
      }
    })

  const all = Effect.gen(function* () {
    if (probes.startup !== undefined) yield* poll("startup", probes.startup)
    yield* Effect.all(
      [
        probes.readiness === undefined ? Effect.void : poll("readiness", probes.readiness),
        probes.liveness === undefined ? Effect.void : poll("liveness", probes.liveness),
      ],
      { concurrency: "unbounded", discard: true },
    )
    return yield* Effect.never
  })
  return yield* Effect.raceFirst(Deferred.await(restart), all)
})
