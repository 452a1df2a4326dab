/** One life of a `task`: an Effect on a fiber of this program, under the same rules as a process. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { End } from "../UnitState.js"
import * as Ending from "./Ending.js"
import * as HealthWatch from "./HealthWatch.js"
import type { Instance, Services, UnitContext } from "./UnitContext.js"

const endOf = (exit: Exit.Exit<unknown, unknown>): End => {
  if (Exit.isSuccess(exit)) return { _tag: "Succeeded" }
  const [first] = Cause.prettyErrors(exit.cause)
  return { _tag: "Died", message: first?.message ?? "it was interrupted" }
}

/** Runs the task. It goes on by itself, and tells what happens to it. */
export const start = (
  services: Services,
  context: UnitContext,
  generation: number,
): Effect.Effect<Instance> =>
  Effect.gen(function* () {
    const { facts, hooks, log, name, spec, tell } = context
    const scope = yield* Scope.make()
    facts.startedNanos = yield* Clock.currentTimeNanos
    facts.startedAt = yield* Clock.currentTimeMillis
    const ready = Effect.sync(() => tell({ _tag: "ProbePassed", generation, use: "readiness", ready: true }))
    const probes = yield* HealthWatch.attach(services, spec, { unit: name, mask: spec.mask }).pipe(
      Scope.extend(scope),
      Effect.either,
    )
    if (probes._tag === "Left") {
      yield* Scope.close(scope, Exit.void)
      const error = { kind: "InvalidSpec", message: probes.left.message }
      tell({ _tag: "SpawnFailed", generation, error, retryable: false })
      return { generation, stop: () => Effect.void }
    }
    // First of all that is told of it: a task may be ready, or over, at once.
    tell({ _tag: "Spawned", generation, adopted: false })
    const task = yield* Effect.suspend(() =>
      hooks.run!({ ready, log: (text) => Effect.sync(() => log.write("stdout", text, generation)) }),
    ).pipe(
      Scope.extend(scope),
      Effect.interruptible,
      // Not in the instance's scope: whether it ends in time is for the stop to see.
      Effect.forkIn(services.scope),
    )
    const watch = HealthWatch.isEmpty(probes.right)
      ? Effect.void
      : HealthWatch.run(context, probes.right, { generation, isExternal: false })
    const life = yield* Effect.forkIn(Effect.interruptible(watch), services.scope)
    const stop = Ending.make(context, services.scope, {
      generation,
      life,
      scope,
      stop: (grace = spec.stop.grace) =>
        Effect.gen(function* () {
          yield* Fiber.interruptFork(task)
          const ended = yield* Effect.timeoutOption(Effect.interruptible(Fiber.await(task)), grace)
          return ended._tag === "Some" ? [] : ["its Effect, which cannot be interrupted"]
        }),
      onGone: Effect.void,
    })
    yield* Fiber.await(task).pipe(
      Effect.flatMap((exit) => {
        tell({ _tag: "Ended", generation, end: endOf(exit) })
        return stop()
      }),
      Effect.forkIn(services.scope),
    )
    return { generation, stop }
  })
