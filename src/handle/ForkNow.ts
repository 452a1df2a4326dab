/** Fibers that begin at once, on the stack of whoever forks them: what has to wait for nothing is over by then. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"

/**
 * Forks a fiber that nobody supervises, with the fiber state (log annotations, clock) of the caller. It can be
 * interrupted, whether the caller can or not.
 *
 * @param context the services it gets; default those of the caller
 */
export const forkNow = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  context?: Context.Context<R>,
): Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R> =>
  Effect.withFiberRuntime((caller) => {
    const runtime = Runtime.make({
      context: context ?? (caller.currentContext as Context.Context<R>),
      fiberRefs: caller.getFiberRefs(),
      runtimeFlags: Runtime.defaultRuntime.runtimeFlags,
    })
    return Effect.succeed(Runtime.runFork(runtime)(effect))
  })
