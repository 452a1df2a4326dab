/** The start of a resource: what is there already is used, else it is started, with more than one attempt. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Tracing from "../process/Tracing.js"
import { forkNow } from "./ForkNow.js"
import { type Attributes, reasonOf, ResourceLost, type StartError } from "./HandleError.js"
import type { Mode } from "./HandleState.js"
import * as RecursionGuard from "./RecursionGuard.js"

/** What a start is told. */
export interface StartContext {
  /** Which life of the resource this is to be, from 1. */
  readonly generation: number
  /** Which attempt at it, from 1. */
  readonly attempt: number
  /** For the environment of every process that is started: the mark of the recursion guard. */
  readonly env: Readonly<Record<string, string>>
  /**
   * Tells that this very resource is gone, such as when its process has ended. A start that is under way fails with
   * `ResourceLost`; a managed resource that is up becomes Stale at once, an external one Failed. Later it does nothing.
   */
  readonly lost: (reason: string) => Effect.Effect<void>
}

/** How a resource is started. Its requirements are there, but for its scope. */
export interface StartPlan<A, E> {
  readonly name: string
  readonly start: (context: StartContext) => Effect.Effect<A, E, Scope.Scope>
  readonly adopt: ((context: StartContext) => Effect.Effect<Option.Option<A>, E, Scope.Scope>) | undefined
  readonly modeOf: (snapshot: A) => Mode
  readonly describe: (snapshot: A) => Attributes
  /** Undefined: not guarded. */
  readonly guard: RecursionGuard.Options | undefined
  readonly attempts: Schedule.Schedule<unknown, StartError<E>>
  readonly isRetryable: (error: E) => boolean
}

/** What came of a start. */
export interface Started<A> {
  readonly snapshot: A
  readonly mode: Mode
  readonly attributes: Attributes
}

/** Whether an error says itself that trying again does not help: `retryable: false`. */
export const saysPermanent = (error: unknown): boolean =>
  Predicate.hasProperty(error, "retryable") && error.retryable === false

/** Whether another attempt may help. */
export const mayHelp = <A, E>(plan: StartPlan<A, E>, error: StartError<E>): boolean => {
  if (error instanceof ResourceLost) return true
  if (error instanceof RecursionGuard.RecursionGuarded) return false
  try {
    return plan.isRetryable(error as E)
  } catch {
    return false
  }
}

/** Who is told. */
export interface Listener<A> {
  /** It is up, from this moment on. */
  readonly onStarted: (started: Started<A>) => void
  /** It tells that it is gone, after it was up. */
  readonly onLost: (reason: string) => void
}

/**
 * Starts a resource. All that it holds hangs on `scope`; what a failed attempt held is released before the next one
 * and before the failure is told.
 */
export const run = <A, E>(
  plan: StartPlan<A, E>,
  generation: number,
  scope: Scope.Scope,
  listener: Listener<A>,
): Effect.Effect<void, StartError<E>> => {
  let attempts = 0
  let before: Cause.Cause<unknown> | undefined
  const next = Effect.suspend(() => {
    const number = ++attempts
    const one = attempt(plan, { generation, attempt: number }, scope, listener).pipe(
      Effect.tapErrorCause((cause) =>
        Effect.sync(() => {
          before = cause
        }),
      ),
    )
    if (before === undefined) return one
    return Effect.zipRight(
      Effect.logWarning(`${plan.name} is started once more, as it failed: ${reasonOf(before)}`),
      one,
    )
  })
  return next.pipe(
    Effect.retry({ schedule: plan.attempts, while: (error) => mayHelp(plan, error) }),
    (starting) => Tracing.withSpan(starting, "Handle.start", () => ({ handle: plan.name, generation })),
  )
}

const attempt = <A, E>(
  plan: StartPlan<A, E>,
  which: { readonly generation: number; readonly attempt: number },
  outer: Scope.Scope,
  { onLost, onStarted }: Listener<A>,
): Effect.Effect<void, StartError<E>> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.fork(outer, ExecutionStrategy.sequential)
      let isUp = false
      let early: ResourceLost | undefined
      let giveUp: () => void = constVoid
      const context: StartContext = {
        ...which,
        env: plan.guard === undefined ? {} : RecursionGuard.childEnvironment(plan.guard),
        lost: (reason) =>
          Effect.sync(() => {
            if (isUp) return onLost(reason)
            early ??= new ResourceLost({ handle: plan.name, reason })
            giveUp()
          }),
      }
      const made = Effect.map(obtain(plan, context), (snapshot): Started<A> => ({
        snapshot,
        mode: plan.modeOf(snapshot),
        attributes: plan.describe(snapshot),
      }))
      const fiber = yield* forkNow(Scope.extend(made, scope))
      giveUp = () => fiber.unsafeInterruptAsFork(fiber.id())
      if (early !== undefined) giveUp()
      const ended = yield* Effect.onInterrupt(restore(Fiber.await(fiber)), () => Fiber.interrupt(fiber))
      // What the start itself has failed with says more; but it may have been up in the same moment, or interrupted.
      const isTold = Exit.isFailure(ended) && !Cause.isInterruptedOnly(ended.cause)
      const exit = early !== undefined && !isTold ? Exit.fail(early) : ended
      if (Exit.isSuccess(exit)) {
        isUp = true
        return onStarted(exit.value)
      }
      yield* Scope.close(scope, exit)
      return yield* exit
    }),
  )

const obtain = <A, E>(
  plan: StartPlan<A, E>,
  context: StartContext,
): Effect.Effect<A, StartError<E>, Scope.Scope> => {
  const started = Effect.suspend(() => plan.start(context))
  const guarded =
    plan.guard === undefined ? started : Effect.zipRight(RecursionGuard.check(plan.name, plan.guard), started)
  const { adopt } = plan
  if (adopt === undefined) return guarded
  return Effect.flatMap(
    Effect.suspend(() => adopt(context)),
    Option.match({ onNone: () => guarded, onSome: Effect.succeed }),
  )
}
