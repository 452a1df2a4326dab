/**
 * The end of an instance, whoever brings it about: it ends by itself, somebody wants it down, or it never came to life.
 * At whatever point it is, everything of it is let go, and the supervisor is told once.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { UnitContext } from "./UnitContext.js"

/** What it takes to end an instance. */
export interface Parts {
  readonly generation: number
  /** What brings it to life and watches it. */
  readonly life: Fiber.RuntimeFiber<unknown, unknown>
  /** Holds everything of it. */
  readonly scope: Scope.CloseableScope
  /** Ends what runs, once it does; answers what survived. */
  readonly stop: (grace: Duration.Duration | undefined) => Effect.Effect<ReadonlyArray<string>>
  /** When nothing is left. */
  readonly onGone: Effect.Effect<void>
}

/** Ends an instance; on a fiber of the supervisor, so that nobody has to wait, and nobody can interrupt it. */
export const make = (context: Pick<UnitContext, "tell">, supervisor: Scope.Scope, parts: Parts) => {
  const { generation, life, onGone, scope, stop } = parts
  let isUnderWay = false
  /** Of whoever was last in more of a hurry; undefined: what the unit says. */
  let allowed: Duration.Duration | undefined

  const run = Effect.gen(function* () {
    yield* Fiber.interrupt(life)
    const survivors = yield* stop(allowed)
    if (survivors.length === 0) {
      yield* Scope.close(scope, Exit.void)
      yield* onGone
    } else {
      // It may be tried again.
      isUnderWay = false
    }
    context.tell({ _tag: "Gone", generation, survivors })
  })

  return (graceMillis?: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const grace = graceMillis === undefined ? undefined : Duration.millis(graceMillis)
      if (isUnderWay && grace === undefined) return Effect.void
      const isLess = allowed === undefined || grace === undefined || Duration.lessThan(grace, allowed)
      if (!isUnderWay || isLess) allowed = grace
      // What is only just coming to life has nothing to be hastened yet: then the first one will see.
      const step = isUnderWay ? stop(grace) : run
      isUnderWay = true
      return Effect.asVoid(Effect.forkIn(Effect.uninterruptible(step), supervisor))
    })
}
