/**
 * A lazily acquired, validated reference to a resource, most often a server. Nothing is started before somebody asks;
 * however many ask at once, there is one start, and all get the same snapshot or the same failure. Whoever asks later gets
 * the same snapshot too, once it has been validated; where that fails the resource is stopped, and another one started.
 *
 * A snapshot that was handed out is never changed, and stays readable after its resource is gone. What `start` adds to
 * its scope as a finalizer is run once for each resource, after the handle has ceased to hand it out.
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const search = yield* Handle.make({
 *     name: "search",
 *     start: ({ env, lost }) => startSearchServer({ env, onExit: lost }),
 *     validate: (server) => server.ping,
 *     describe: (server) => ({ baseUrl: server.baseUrl }),
 *     idleTimeout: "10 minutes",
 *   })
 *   const answer = yield* search.use((server) => server.query("hold fast"))
 * })
 * ```
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { EventLog } from "../event/EventLog.js"
import * as Tracing from "../process/Tracing.js"
import * as HandleAcquire from "./HandleAcquire.js"
import { type Failure, HandleActor, type Plan } from "./HandleActor.js"
import type { Change } from "./HandleChanges.js"
import { type AcquireError, type Attributes, ExternalUnavailable, type StartError } from "./HandleError.js"
import * as HandleStart from "./HandleStart.js"
import type { Mode } from "./HandleState.js"
import * as HandleWatch from "./HandleWatch.js"
import type * as RecursionGuard from "./RecursionGuard.js"

export type { Change } from "./HandleChanges.js"
export {
  type AcquireError,
  type Attributes,
  Closed,
  ExternalUnavailable,
  ResourceLost,
  type StartError,
} from "./HandleError.js"
export type { StartContext } from "./HandleStart.js"
export type { Mode } from "./HandleState.js"

/**
 * What a handle is doing besides: nothing, starting a resource, stopping one (or a start that nobody wants any more), or
 * waiting for the end of the backoff to start one.
 */
export type Activity = "idle" | "starting" | "stopping" | "waiting"

/** The state of a handle. */
export type State<A, E = never> =
  /** There is no resource, and nothing is wrong. */
  | { readonly _tag: "Empty"; readonly activity: Activity }
  | {
      readonly _tag: "Ready"
      readonly activity: Activity
      readonly snapshot: A
      readonly mode: Mode
      /** Which life of the resource it is, from 1. */
      readonly generation: number
      readonly attributes: Attributes
    }
  /** The managed resource was no good any more. The next acquire starts another one, if that is not under way. */
  | { readonly _tag: "Stale"; readonly activity: Activity; readonly mode: Mode; readonly reason: string }
  | {
      readonly _tag: "Failed"
      readonly activity: Activity
      readonly mode: Mode
      readonly reason: string
      /** What everybody gets who is refused for it. */
      readonly cause: Cause.Cause<AcquireError<E>>
      /** Whether only a reset leads out of it. */
      readonly isFinal: boolean
    }

/** A reference to a resource `A` whose start may fail with `E`. */
export interface Handle<out A, out E = never> {
  readonly name: string
  /**
   * The current snapshot, once it has been validated, or the next one, once it has been started. Fails with what the
   * start has failed with, `RecursionGuarded`, `ResourceLost`, `ExternalUnavailable` or `Closed`.
   *
   * The start goes on when a caller is interrupted, and is given up when all who wait for it are.
   */
  readonly acquire: Effect.Effect<A, AcquireError<E>>
  /** As `acquire`; until the scope closes the resource counts as in use: it does not become idle, and is busy. */
  readonly hold: Effect.Effect<A, AcquireError<E>, Scope.Scope>
  /** As `hold`, for as long as `f` runs. */
  readonly use: <B, E2, R2>(
    f: (snapshot: A) => Effect.Effect<B, E2, R2>,
  ) => Effect.Effect<B, E2 | AcquireError<E>, R2>
  /** The state as it is now. It waits for nothing. */
  readonly state: Effect.Effect<State<A, E>>
  /**
   * The changes of state from now on, until the handle is closed. A reader that is 256 of them behind loses the oldest,
   * which `seq` shows.
   */
  readonly changes: Stream.Stream<Change>
  /**
   * Tells that the resource is no good: a managed one becomes Stale and is stopped, and the next acquire starts another
   * one; an external one becomes Failed. With a `snapshot` only if that is still the current one. Without, a start that
   * is under way is begun anew, as it may be older than the news. Gives whether there was anything to give up, and does
   * not wait until it is stopped.
   */
  readonly invalidate: (reason: string, snapshot?: unknown) => Effect.Effect<boolean>
  /**
   * Back to Empty: forgets failures and the backoff, stops what there is, and waits for that. Whoever waits for a start
   * gets a new one. Not to be called by what the resource itself runs.
   */
  readonly reset: Effect.Effect<void>
}

/** Checks without being asked. */
export interface HealthOptions<A, R = never> {
  /** The pauses between checks, which are validations, of a resource that is up. When it is done, the checks are. */
  readonly schedule: Schedule.Schedule<unknown>
  /** So many failures in a row, and it is replaced; an external one becomes Failed. At least 1, default 3. */
  readonly failureThreshold?: number | undefined
  /**
   * Whether it is at work, so that replacing it would break something. It is then replaced when a check finds it idle, or
   * `busyGrace` after it was first found unhealthy and busy. Default: while somebody holds it (`hold`, `use`).
   */
  readonly isBusy?: ((snapshot: A) => Effect.Effect<boolean, never, R>) | undefined
  /** Default 2 minutes. */
  readonly busyGrace?: Duration.DurationInput | undefined
}

/** How to make a handle. Numbers that stand for times are milliseconds. */
export interface Options<A, E, R, RV> {
  /** How logs, errors and traces call the resource. */
  readonly name: string
  /**
   * Starts the resource. What it acquires lives in a scope of the resource's own, which is closed before another one is
   * started, and at the latest with the handle. For an external resource: connects to it.
   */
  readonly start: (context: HandleStart.StartContext) => Effect.Effect<A, E, R>
  /**
   * Looks for a resource that is there already, before each attempt to start one. The recursion guard does not apply to
   * it. Where it may find somebody else's, `mode` has to tell which one it was.
   */
  readonly adopt?: ((context: HandleStart.StartContext) => Effect.Effect<Option.Option<A>, E, R>) | undefined
  /**
   * Whose the resource is; asked of each new one. Default `managed`. As long as there was none, a function counts as
   * `managed`.
   */
  readonly mode?: Mode | ((snapshot: A) => Mode) | undefined
  /**
   * Why a managed resource is known to be gone, such as "its process has ended", or undefined. Asked before each
   * validation: it must not do any I/O.
   */
  readonly whyGone?: ((snapshot: A) => string | undefined) | undefined
  /** Fails when the resource is no good any more. Many may run at once. Default: it is good until it says otherwise. */
  readonly validate?: ((snapshot: A) => Effect.Effect<unknown, unknown, RV>) | undefined
  /** A validation that takes longer has failed. Default 5 s. */
  readonly validateTimeout?: Duration.DurationInput | undefined
  /** The pauses between the attempts of a start. Default: two attempts, the second one at once. */
  readonly attempts?: Schedule.Schedule<unknown, StartError<NoInfer<E>>> | undefined
  /** Whether another attempt may help. Default: unless the error says `retryable: false`. */
  readonly isRetryable?: ((error: NoInfer<E>) => boolean) | undefined
  /**
   * The pauses after starts that have failed (all their attempts), until one succeeds. An acquire that comes earlier waits
   * for the end of the pause and then starts; where trying again would hardly help (see `isRetryable`) it gets the same
   * failure at once. When the schedule is done no start is tried until a reset. Default: none at first, then 100 ms,
   * doubling, with full jitter, up to 30 s.
   */
  readonly backoff?: Schedule.Schedule<unknown, Cause.Cause<StartError<NoInfer<E>>>> | undefined
  /**
   * Refuses to start anything in a program that was itself started by a managed resource; false turns that off. It does
   * not apply where `mode` is `external`.
   */
  readonly guard?: RecursionGuard.Options | false | undefined
  /** What to tell of a resource besides its name, such as its base URL. No secrets. */
  readonly describe?: ((snapshot: A) => Attributes) | undefined
  /** Default: a resource is checked only when somebody asks for it. */
  readonly health?: HealthOptions<A, RV> | undefined
  /**
   * Stops a managed resource when the last acquire is so long ago and nobody has held it since. Default: never.
   */
  readonly idleTimeout?: Duration.DurationInput | undefined
}

/** The default backoff: none at first, then 100 ms, doubling, with full jitter, up to 30 s. */
export const defaultBackoff: Schedule.Schedule<unknown> = Schedule.andThen(
  Schedule.fromDelays(Duration.zero),
  Schedule.exponential("100 millis").pipe(
    Schedule.union(Schedule.spaced("30 seconds")),
    Schedule.jitteredWith({ min: 0, max: 1 }),
  ),
)

/** The default attempts: two, the second one at once. */
export const defaultAttempts: Schedule.Schedule<unknown> = Schedule.recurs(1)

/**
 * Makes a handle. Nothing is started. Closing the scope stops what there is, a start that is under way included, and fails
 * whoever waits with `Closed`; it is done when nothing is left.
 */
export const make = <A, E = never, R = never, RV = never>(
  options: Options<A, E, R, RV>,
): Effect.Effect<Handle<A, E>, never, Exclude<R, Scope.Scope> | RV | Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<Exclude<R, Scope.Scope> | RV>()
    const events = Option.getOrUndefined(yield* Effect.serviceOption(EventLog))
    const clock = yield* Clock.clockWith(Effect.succeed)
    // What a handle does later is no part of the span that it was made in, but of those who ask it.
    const lasting = Context.omit(Tracer.ParentSpan)(
      context as Context.Context<Tracer.ParentSpan>,
    ) as typeof context
    const made = yield* Effect.runtime<never>()
    const runtime = Runtime.make({
      context: Context.empty(),
      fiberRefs: made.fiberRefs,
      runtimeFlags: Runtime.defaultRuntime.runtimeFlags,
    })
    const actor = new HandleActor<A, E>(planOf(options, lasting), {
      runtime,
      context: lasting,
      clock,
      events,
    })
    yield* Effect.addFinalizer(() => actor.close)
    return handleOf(actor)
  }).pipe(Effect.uninterruptible)

/** A handle as a service; see {@link make}. */
export const layer =
  <I, A, E>(tag: Context.Tag<I, Handle<A, E>>) =>
  <R = never, RV = never>(
    options: Options<A, E, R, RV>,
  ): Layer.Layer<I, never, Exclude<Exclude<R, Scope.Scope> | RV, Scope.Scope>> =>
    Layer.scoped(tag, make(options))

const planOf = <A, E, R, RV>(
  options: Options<A, E, R, RV>,
  context: Context.Context<Exclude<R, Scope.Scope> | RV>,
): Plan<A, E> => {
  const {
    adopt,
    attempts = defaultAttempts,
    backoff = defaultBackoff,
    describe = () => ({}),
    guard = {},
    health,
    idleTimeout,
    isRetryable = (error) => !HandleStart.saysPermanent(error),
    mode = "managed",
    name,
    start,
    validate,
    validateTimeout = "5 seconds",
    whyGone,
  } = options
  const isBusy = health?.isBusy
  // Everything that was there when the handle was made, and the scope of the resource.
  const around = (own: Context.Context<Scope.Scope>) =>
    Context.merge(context, own) as Context.Context<unknown> as Context.Context<R>
  return {
    name,
    start: (about) => Effect.mapInputContext(start(about), around),
    adopt: adopt && ((about) => Effect.mapInputContext(adopt(about), around)),
    modeOf: typeof mode === "function" ? mode : () => mode,
    describe,
    guard: guard === false || mode === "external" ? undefined : guard,
    attempts,
    isRetryable,
    backoff,
    whyGone,
    // Run where the context is that they require; see `Looks`.
    validate: validate as Plan<A, E>["validate"],
    validateTimeout: Duration.decode(validateTimeout),
    idleTimeout:
      idleTimeout === undefined || !Duration.isFinite(Duration.decode(idleTimeout))
        ? undefined
        : Duration.decode(idleTimeout),
    watch:
      health &&
      HandleWatch.run({
        schedule: health.schedule,
        isBusy: isBusy && ((snapshot: A) => Effect.provide(isBusy(snapshot), context)),
      }),
    rules: {
      mode: typeof mode === "function" ? "managed" : mode,
      failureThreshold: Math.max(1, health?.failureThreshold ?? 3),
      busyGraceMillis: Duration.toMillis(health?.busyGrace ?? "2 minutes"),
      unavailable: ({ attributes }, { cause, reason }): Failure<E> =>
        Cause.fail(
          new ExternalUnavailable({
            handle: name,
            reason,
            attributes,
            ...(cause !== undefined && { cause }),
          }),
        ),
    },
  }
}

const handleOf = <A, E>(actor: HandleActor<A, E>): Handle<A, E> => {
  const { name } = actor.plan
  const about = () => ({ handle: name })
  const held = (restore: Parameters<typeof HandleAcquire.hold>[1]) =>
    Tracing.withSpan(HandleAcquire.hold(actor, restore), "Handle.acquire", about)
  return {
    name,
    acquire: Tracing.withSpan(
      Effect.map(HandleAcquire.acquire(actor), ({ snapshot }) => snapshot),
      "Handle.acquire",
      about,
    ),
    hold: Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(held(restore), (resource) =>
        Effect.as(
          Effect.addFinalizer(() => HandleAcquire.release(actor, resource)),
          resource.snapshot,
        ),
      ),
    ),
    use: (f) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(held(restore), (resource) =>
          Effect.ensuring(
            restore(Effect.suspend(() => f(resource.snapshot))),
            HandleAcquire.release(actor, resource),
          ),
        ),
      ),
    state: Effect.sync(() => view(actor)),
    changes: actor.changes.stream,
    invalidate: (reason, snapshot) =>
      Effect.sync(() => {
        const only = snapshot === undefined ? {} : { snapshot: { is: snapshot as A } }
        return actor.send({ _tag: "Invalidate", reason, ...only })?._tag === "Held"
      }),
    reset: Effect.suspend(() => {
      actor.send({ _tag: "Reset" })
      return actor.settled
    }),
  }
}

const view = <A, E>({ state }: HandleActor<A, E>): State<A, E> => {
  const { backoff, flight, status, work } = state
  const activity: Activity =
    work._tag === "Starting"
      ? "starting"
      : work._tag === "Stopping"
        ? "stopping"
        : flight !== undefined && backoff !== undefined
          ? "waiting"
          : "idle"
  switch (status._tag) {
    case "Empty":
      return { _tag: "Empty", activity }
    case "Ready":
      return { _tag: "Ready", activity, ...status.resource }
    case "Stale":
      return { _tag: "Stale", activity, mode: "managed", reason: status.reason }
    case "Failed": {
      const { failure: cause, mode, reason, retry } = status
      return { _tag: "Failed", activity, mode, reason, cause, isFinal: retry === "never" }
    }
  }
}
