/**
 * Does what `HandleMachine` decides. The state is replaced in one go, with nothing asynchronous in between, so that
 * nothing has to be locked; everything that takes time runs on fibers of the handle's own.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { EventLog } from "../event/EventLog.js"
import * as HandleChanges from "./HandleChanges.js"
import { type AcquireError, Closed, errorOf, reasonOf, type StartError } from "./HandleError.js"
import { step } from "./HandleMachine.js"
import * as HandleStart from "./HandleStart.js"
import * as HandleState from "./HandleState.js"
import { Looks, type Restore } from "./Looks.js"
import { RecursionGuarded } from "./RecursionGuard.js"

/** What a handle works with: the options that it was made with, every default filled in. */
export interface Plan<A, E> extends HandleStart.StartPlan<A, E> {
  readonly rules: HandleState.Rules<A, Failure<E>>
  readonly whyGone: ((snapshot: A) => string | undefined) | undefined
  readonly validate: ((snapshot: A) => Effect.Effect<unknown, unknown>) | undefined
  readonly validateTimeout: Duration.Duration
  readonly backoff: Schedule.Schedule<unknown, Cause.Cause<StartError<E>>>
  readonly idleTimeout: Duration.Duration | undefined
  /** Looks after a resource that has just been started, until it is interrupted. */
  readonly watch:
    | ((actor: HandleActor<A, E>, resource: HandleState.Resource<A>) => Effect.Effect<void>)
    | undefined
}

/** Why nothing is given. The same one for everybody who is refused for it. */
export type Failure<E> = Cause.Cause<AcquireError<E>>

/** What surrounds a handle. */
export interface World {
  /** The fiber state (log level, log annotations, clock) of whoever made the handle, without services. */
  readonly runtime: Runtime.Runtime<never>
  /** What validations require. */
  readonly context: Context.Context<never>
  readonly clock: Clock.Clock
  readonly events: EventLog["Type"] | undefined
}

/** The place of somebody who may have to wait. It is taken before anything starts, which may be over at once. */
export class Seat<A, E> {
  flight = 0
  private resume: ((outcome: Landing<A, E>) => void) | undefined
  private landing: Landing<A, E> | undefined

  /** To be called once. */
  wait(resume: (outcome: Landing<A, E>) => void): void {
    if (this.landing !== undefined) resume(this.landing)
    else this.resume = resume
  }

  land(landing: Landing<A, E>): void {
    this.landing = landing
    this.resume?.(landing)
  }
}

/** What those get who wait. */
export type Landing<A, E> = Exit.Exit<HandleState.Resource<A>, AcquireError<E>>

/** What an examination has found: nothing, or a problem, which is certain where nothing had to be asked. */
export type Finding = (HandleState.Problem & { readonly isCertain: boolean }) | undefined

const findingOf = (exit: Exit.Exit<unknown, unknown>): Finding =>
  Exit.isSuccess(exit)
    ? undefined
    : { reason: reasonOf(exit.cause), cause: errorOf(exit.cause), isCertain: false }

/** One life of the resource, from its start until nothing of it is left. */
interface Life {
  readonly generation: number
  /** It starts the resource. */
  fiber?: Fiber.RuntimeFiber<void>
  /** All that it holds. */
  scope?: Scope.CloseableScope
  stopping?: Fiber.RuntimeFiber<void>
}

/** One handle. */
export class HandleActor<A, E> {
  readonly changes: HandleChanges.Changes
  state: HandleState.State<A, Failure<E>> = HandleState.initial
  private life: Life | undefined
  /** Those who wait, by their flight. */
  private readonly seats = new Map<number, Set<Seat<A, E>>>()
  private driver: Schedule.ScheduleDriver<unknown, Cause.Cause<StartError<E>>> | undefined
  private pause: Fiber.RuntimeFiber<void> | undefined
  private idle: { readonly timer: number; readonly since: number } | undefined
  private isIdleTimed = false
  private readonly looks: Looks
  private readonly fibers = new Set<Fiber.RuntimeFiber<void>>()
  private readonly finished = Deferred.unsafeMake<void>(FiberId.none)

  constructor(
    readonly plan: Plan<A, E>,
    private readonly world: World,
  ) {
    this.changes = new HandleChanges.Changes(plan.name)
    this.looks = new Looks({
      now: this.now,
      timeout: Duration.toMillis(plan.validateTimeout),
      fork: this.fork,
      context: world.context,
    })
  }

  /** In milliseconds, of a clock that only goes forward. */
  readonly now = (): number => Number(this.world.clock.unsafeCurrentTimeNanos()) / 1e6

  /** Lets something happen, and has done what follows from it. Who has to wait is given the `seat`. */
  send(
    event: HandleState.Event<A, Failure<E>>,
    seat?: Seat<A, E>,
  ): HandleState.Reply<A, Failure<E>> | undefined {
    const { actions, reply, state } = step(this.plan.rules, this.state, event)
    this.state = state
    if (reply?._tag === "Join" && seat !== undefined) {
      seat.flight = reply.flight
      const seats = this.seats.get(reply.flight) ?? new Set()
      this.seats.set(reply.flight, seats.add(seat))
    }
    for (const action of actions) this.perform(action)
    return reply
  }

  /** Whoever has that seat does not wait any more. */
  leave(seat: Seat<A, E>): void {
    const { flight } = seat
    const seats = this.seats.get(flight)
    if (seats?.delete(seat) !== true) return
    if (seats.size === 0) this.seats.delete(flight)
    this.send({ _tag: "Leave", flight })
  }

  /** What is wrong with a resource. For `restore` and `onInterrupt` see {@link Looks.run}. */
  examine(
    { mode, snapshot }: HandleState.Resource<A>,
    restore: Restore,
    onInterrupt: () => void,
  ): Effect.Effect<Finding> {
    const reason = mode === "managed" ? this.whyGone(snapshot) : undefined
    if (reason !== undefined) return Effect.succeed({ reason, isCertain: true })
    const check = this.checkOf(snapshot)
    // Nothing to wait for, and no need of a fiber.
    if (Exit.isExit(check)) return Effect.succeed(findingOf(check))
    return Effect.map(this.looks.run(check, restore, onInterrupt), (look) => {
      if (look === "closed") return undefined
      if (look !== "expired") return findingOf(look)
      const limit = Duration.format(this.plan.validateTimeout)
      return { reason: `its validation was not over within ${limit}`, isCertain: false }
    })
  }

  private checkOf(snapshot: A): Effect.Effect<unknown, unknown> {
    try {
      return this.plan.validate?.(snapshot) ?? Effect.void
    } catch (error) {
      return Exit.die(error)
    }
  }

  private whyGone(snapshot: A): string | undefined {
    try {
      return this.plan.whyGone?.(snapshot)
    } catch (error) {
      return reasonOf(Cause.die(error))
    }
  }

  /** Stops what there is, answers everybody, and waits until nothing is left. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.send({ _tag: "Close" })
    this.looks.close()
    return Deferred.await(this.finished).pipe(
      Effect.andThen(Effect.suspend(() => Fiber.interruptAll(this.fibers))),
      Effect.andThen(Effect.sync(() => this.changes.end())),
    )
  })

  /** Waits until what is being stopped now is stopped. */
  readonly settled: Effect.Effect<void> = Effect.suspend(() => {
    const stopping = this.life?.stopping
    return stopping === undefined ? Effect.void : Effect.asVoid(Fiber.await(stopping))
  })

  private perform(action: HandleState.Action<A, Failure<E>>): void {
    switch (action._tag) {
      case "Start":
        return this.start(action.generation)
      case "Stop":
        return this.stop()
      case "Settle":
        return this.settle(action)
      case "ArmBackoff":
        return this.armBackoff(action)
      case "ResetBackoff":
        this.driver = undefined
        this.pause?.unsafeInterruptAsFork(FiberId.none)
        this.pause = undefined
        return
      case "ArmIdle":
        return this.armIdle(action.timer)
      case "Watch":
        return this.watch(action.resource)
      case "Tell":
        return this.tell(action.change)
      case "Finish":
        Deferred.unsafeDone(this.finished, Exit.void)
    }
  }

  /** Runs something apart from whoever brought it about; until `scope` closes, or the handle does. */
  private readonly fork = (
    effect: Effect.Effect<void>,
    options: { readonly scope?: Scope.Scope; readonly immediate?: boolean } = {},
  ): Fiber.RuntimeFiber<void> => {
    const fiber = Runtime.runFork(this.world.runtime)(effect, { immediate: false, ...options })
    this.fibers.add(fiber)
    fiber.addObserver(() => this.fibers.delete(fiber))
    return fiber
  }

  /** As {@link fork}; it ends before anything of the resource does. */
  private forkInLife(effect: Effect.Effect<void>): void {
    const scope = this.life?.scope
    if (scope !== undefined) this.fork(effect, { scope })
  }

  private start(generation: number): void {
    const life: Life = { generation }
    this.life = life
    // At once, as thousands of others may be about to ask for the same.
    life.fiber = this.fork(
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(this, function* () {
          const scope = (life.scope = yield* Scope.make())
          const starting = HandleStart.run(this.plan, generation, scope, {
            onStarted: (started) => void this.send({ _tag: "Started", generation, ...started }),
            onLost: (reason) => void this.send({ _tag: "Lost", generation, reason }),
          })
          const exit = yield* Effect.exit(restore(starting))
          if (Exit.isFailure(exit)) {
            this.send({ _tag: "StartFailed", generation, ...this.failureOf(exit.cause) })
          }
        }),
      ),
      { immediate: true },
    )
  }

  private failureOf(cause: Cause.Cause<StartError<E>>): {
    readonly failure: Failure<E>
    readonly reason: string
    readonly retry: HandleState.Retry
  } {
    // Of a start that nobody has interrupted: those who wait must not take it for an interruption of their own.
    if (Cause.isInterruptedOnly(cause)) {
      const reason = `the start of ${this.plan.name} has interrupted itself`
      return { failure: Cause.die(new Error(reason)), reason, retry: "after-backoff" }
    }
    const error = Cause.failureOption(cause)
    const retry = Option.isNone(error)
      ? "after-backoff"
      : error.value instanceof RecursionGuarded
        ? "at-once"
        : HandleStart.mayHelp(this.plan, error.value)
          ? "after-backoff"
          : "refused-in-backoff"
    return { failure: cause, reason: reasonOf(cause), retry }
  }

  private stop(): void {
    const { life } = this
    if (life === undefined) return
    const { generation } = life
    life.stopping = this.fork(
      Effect.suspend(() => (life.fiber === undefined ? Effect.void : Fiber.interrupt(life.fiber))).pipe(
        Effect.andThen(
          Effect.suspend(() => (life.scope === undefined ? Effect.void : Scope.close(life.scope, Exit.void))),
        ),
        Effect.catchAllCause((cause) =>
          Effect.logError(`${this.plan.name} could not be stopped properly`, cause),
        ),
        Effect.andThen(Effect.sync(() => void this.send({ _tag: "Stopped", generation }))),
      ),
    )
  }

  private settle({
    flight,
    outcome,
  }: Extract<HandleState.Action<A, Failure<E>>, { readonly _tag: "Settle" }>): void {
    const seats = this.seats.get(flight)
    if (seats === undefined) return
    this.seats.delete(flight)
    const landing = this.answer(outcome)
    for (const seat of seats) seat.land(landing)
  }

  /** An outcome as whoever asked gets it. */
  answer(outcome: HandleState.Outcome<A, Failure<E>>): Landing<A, E> {
    switch (outcome._tag) {
      case "Give":
        return Exit.succeed(outcome.resource)
      case "Refuse":
        return Exit.failCause(outcome.failure)
      case "Closed":
        return Exit.fail(new Closed({ handle: this.plan.name }))
    }
  }

  private armBackoff({
    failure,
    timer,
  }: Extract<HandleState.Action<A, Failure<E>>, { readonly _tag: "ArmBackoff" }>): void {
    this.pause = this.fork(
      Effect.gen(this, function* () {
        const driver = (this.driver ??= yield* Schedule.driver(this.plan.backoff))
        // Only starts have a backoff.
        const step = yield* Effect.option(driver.next(failure as Cause.Cause<StartError<E>>))
        this.send({ _tag: "BackoffOver", timer, isLast: Option.isNone(step) })
      }),
    )
  }

  private watch(resource: HandleState.Resource<A>): void {
    const { watch } = this.plan
    if (watch !== undefined) this.forkInLife(watch(this, resource))
  }

  private armIdle(timer: number): void {
    if (this.plan.idleTimeout === undefined) return
    this.idle = { timer, since: this.now() }
    if (this.isIdleTimed) return
    this.isIdleTimed = true
    this.forkInLife(this.timeIdle(this.plan.idleTimeout))
  }

  /** One timer for all uses: it looks at the latest one when it is over. */
  private timeIdle(timeout: Duration.Duration): Effect.Effect<void> {
    const wait: Effect.Effect<void> = Effect.suspend(() => {
      const { idle } = this
      if (idle === undefined) return Effect.void
      const left = idle.since + Duration.toMillis(timeout) - this.now()
      if (left > 0) return Effect.zipRight(Effect.sleep(left), wait)
      this.isIdleTimed = false
      const reason = `nobody has used it for ${Duration.format(timeout)}`
      this.send({ _tag: "IdleOver", timer: idle.timer, reason })
      return Effect.void
    })
    return Effect.ensuring(
      wait,
      Effect.sync(() => {
        this.isIdleTimed = false
      }),
    )
  }

  private tell(transition: HandleState.Transition): void {
    const change = this.changes.publish(transition, this.world.clock.unsafeCurrentTimeMillis())
    Runtime.runFork(this.world.runtime)(HandleChanges.record(change, this.world.events))
  }
}
