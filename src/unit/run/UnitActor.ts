/**
 * The hands of one unit: carries out what its heart decides, and tells what comes of it. Nothing here waits: what takes
 * time runs on a fiber of its own and tells the supervisor when it is over.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import type { Hooks } from "../Plan.js"
import { type RestartSchedule, schedule } from "../RestartPolicy.js"
import type { UnitEffect } from "../UnitEvent.js"
import { describe } from "../UnitFailure.js"
import type { UnitSpec } from "../UnitSpec.js"
import type { ArmedTimer, End, UnitState } from "../UnitState.js"
import * as ExternalInstance from "./ExternalInstance.js"
import * as ProcessInstance from "./ProcessInstance.js"
import * as TaskInstance from "./TaskInstance.js"
import * as Traits from "./Traits.js"
import { type Instance, type Services, type UnitContext, uptime as uptimeOf } from "./UnitContext.js"

/** How long a question whether a unit is busy may take: whoever does not answer is not held to be at work. */
const busyPatience = Duration.seconds(5)

const starters = {
  service: ProcessInstance.start,
  oneshot: ProcessInstance.start,
  external: ExternalInstance.start,
  task: TaskInstance.start,
} as const

/** How an instance ended that did not end by itself: for the restart schedule. */
const endOf = ({ end, failure }: UnitState): End =>
  end ?? { _tag: "Died", message: failure === undefined ? "It has failed." : describe(failure) }

/** One unit's interpreter. */
export class UnitActor {
  private instance: Instance | undefined
  private readonly timers = new Map<number, Fiber.RuntimeFiber<void>>()
  private readonly delays: RestartSchedule
  private delayState: unknown

  constructor(
    private readonly services: Services,
    readonly context: UnitContext,
    /** Whose unit it was, if something of its instance is left. */
    before?: UnitActor,
  ) {
    this.instance = before?.instance
    this.delays = context.hooks.delays ?? schedule(context.spec.restart.backoff)
    this.delayState = this.delays.initial
  }

  get spec(): UnitSpec {
    return this.context.spec
  }

  get hooks(): Hooks {
    return this.context.hooks
  }

  /** Carries out one effect. `state` is what the unit is in now. */
  interpret(effect: UnitEffect, state: UnitState): Effect.Effect<void> {
    switch (effect._tag) {
      case "Spawn":
        return this.spawn(effect.generation)
      case "StopInstance":
        return this.stopInstance(effect.generation)
      case "Down":
        return this.down(effect.generation, state.end)
      case "Arm":
        return this.arm(effect.token, Traits.durationOf(this.spec, effect.timer), effect.timer)
      case "Disarm":
        return this.disarm(effect.token)
      case "NextDelay":
        return this.nextDelay(effect.token, state)
      case "ResetDelays":
        return Effect.sync(() => {
          this.delayState = this.delays.initial
        })
      case "AskBusy":
        return this.askBusy(effect.token)
    }
  }

  /** What the next stop, or the one under way, has from its signal to KILL; undefined: what its spec says. */
  private grace: number | undefined

  /** Gives a stop under way, and the one to come, no more than this. */
  hasten(graceMillis: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.grace = graceMillis
      return this.isStopping && this.instance !== undefined ? this.instance.stop(graceMillis) : Effect.void
    })
  }

  /** Whether its instance is being stopped: kept by whoever sees its states. */
  isStopping = false

  private stopInstance(generation: number): Effect.Effect<void> {
    if (this.instance !== undefined) return this.instance.stop(this.grace)
    // Nothing is left here of what these hands have taken over.
    return Effect.sync(() => this.context.tell({ _tag: "Gone", generation, survivors: [] }))
  }

  private spawn(generation: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { context, services, spec } = this
      const { facts } = context
      facts.process = undefined
      facts.startedAt = undefined
      facts.readyAt = undefined
      facts.outputs = {}
      this.grace = undefined
      // A target has no instance, and never asks for one.
      const start = starters[spec.kind as Exclude<UnitSpec["kind"], "target">]
      return Effect.map(start(services, context, generation), (instance) => {
        this.instance = instance
      })
    })
  }

  private down(generation: number, end: End | undefined): Effect.Effect<void> {
    const { facts, hooks, name } = this.context
    const { onDown } = hooks
    if (onDown === undefined) return Effect.void
    return Effect.flatMap(uptimeOf(this.context), (uptime) => {
      return Effect.suspend(() => onDown({ name, generation, pid: facts.process?.pid, end, uptime })).pipe(
        Effect.catchAllCause((cause) => Effect.logError(`onDown of unit ${name} failed`, cause)),
        Effect.forkIn(this.services.scope),
        Effect.asVoid,
      )
    })
  }

  private arm(token: number, duration: Duration.Duration, timer: ArmedTimer): Effect.Effect<void> {
    return this.run(
      token,
      Effect.map(Effect.sleep(duration), () => this.context.tell({ _tag: "Timer", timer, token })),
    )
  }

  /** Runs until it is done, or disarmed. */
  private run(token: number, effect: Effect.Effect<void>): Effect.Effect<void> {
    return effect.pipe(
      Effect.ensuring(Effect.sync(() => this.timers.delete(token))),
      Effect.interruptible,
      Effect.forkIn(this.services.scope),
      Effect.map((fiber) => {
        this.timers.set(token, fiber)
      }),
    )
  }

  private disarm(token: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const fiber = this.timers.get(token)
      this.timers.delete(token)
      return fiber === undefined ? Effect.void : Fiber.interruptFork(fiber)
    })
  }

  /**
   * Steps the schedule by hand: a driver would sleep by itself, and the time of the restart is to be shown. On a fiber of
   * its own, as a schedule may be anybody's.
   */
  private nextDelay(token: number, state: UnitState): Effect.Effect<void> {
    const { name, tell } = this.context
    const step = Effect.gen(this, function* () {
      const uptime = yield* uptimeOf(this.context)
      const now = yield* Clock.currentTimeMillis
      const crash = { end: endOf(state), uptime, failures: state.failures }
      const [next, , decision] = yield* this.delays.step(now, crash, this.delayState)
      this.delayState = next
      if (ScheduleDecision.isDone(decision)) return tell({ _tag: "Delay", token, until: undefined })
      // Jitter draws parts of milliseconds, which no clock has.
      const until = Math.max(now, Math.ceil(ScheduleIntervals.start(decision.intervals)))
      tell({ _tag: "Delay", token, until })
      // At once means at once: a timer of 0 ms comes a turn of the loop later, at the earliest.
      if (until > now) yield* Effect.sleep(Duration.millis(until - now))
      tell({ _tag: "Timer", timer: "backoff", token })
    })
    const guarded = Effect.catchAllCause(step, (cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.void
        : Effect.map(Effect.logError(`The restart delays of unit ${name} failed`, cause), () =>
            tell({ _tag: "Delay", token, until: undefined }),
          ),
    )
    return this.run(token, guarded)
  }

  private askBusy(token: number): Effect.Effect<void> {
    const { name, spec } = this.context
    const { prober } = this.services
    const byProbe =
      spec.busy === undefined
        ? Effect.succeed(false)
        : Effect.scoped(
            Effect.flatMap(prober.attach(spec.busy, this.target), ({ check }) =>
              Effect.match(check, { onFailure: () => false, onSuccess: () => true }),
            ),
          )
    const byHook = this.hooks.isBusy ?? Effect.succeed(false)
    return Effect.zipWith(byProbe, byHook, (a, b) => a || b).pipe(
      Effect.timeoutTo({ duration: busyPatience, onSuccess: (busy) => busy, onTimeout: () => false }),
      Effect.catchAllCause((cause) =>
        Effect.as(Effect.logWarning(`Whether unit ${name} is busy cannot be told`, cause), false),
      ),
      Effect.map((busy) => this.context.tell({ _tag: "Busy", token, busy })),
      Effect.interruptible,
      Effect.forkIn(this.services.scope),
      Effect.asVoid,
    )
  }

  /** Where a `busy` probe asks. */
  private get target() {
    return ProcessInstance.targetOf(this.services, this.context, this.services.portOf(this.context.name))
  }
}
