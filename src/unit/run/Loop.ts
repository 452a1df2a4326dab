/**
 * The actor: one mailbox that everything goes through, one loop that steps the heart and has the hands carry out what it
 * decides. Nothing in the loop waits, so that it answers at any time.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as HashMap from "effect/HashMap"
import * as Mailbox from "effect/Mailbox"
import type { EventLog } from "../../event/EventLog.js"
import type { UnitChange } from "../SupervisorService.js"
import * as System from "../System.js"
import { describe } from "../UnitFailure.js"
import type { UnitState } from "../UnitState.js"
import type { UnitStatus } from "../UnitStatus.js"
import * as Phases from "./Phases.js"
import type { PortOf } from "./Ports.js"
import * as Statuses from "./Statuses.js"
import type { UnitActor } from "./UnitActor.js"
import * as UnitTelemetry from "./UnitTelemetry.js"
import { type Look, type Settled, Waiters } from "./Waiters.js"

/** The units that the loop keeps, exchanged as a whole by a reload. */
export interface Crew {
  readonly system: System.System
  readonly actors: ReadonlyMap<string, UnitActor>
}

/** What is put into the mailbox. */
type Message = System.Happening | { readonly _tag: "Call"; readonly run: Effect.Effect<void> }

/** So many of its last lines of output are kept with a failure: a stack of Node, and the message above it. */
const failureLines = 20

/** The loop and what it alone may change. */
export class Loop {
  private world: System.World
  private hasEnded = false
  private readonly histories = new Map<string, Statuses.History>()
  private readonly waiters = new Waiters()
  private readonly listeners = new Set<(change: UnitChange) => void>()

  constructor(
    private readonly mailbox: Mailbox.Mailbox<Message>,
    private crew: Crew,
    private readonly portOf: PortOf,
    private readonly events: Context.Tag.Service<EventLog> | undefined,
    private readonly startedAt: number,
  ) {
    this.world = System.begin(crew.system)
  }

  get system(): System.System {
    return this.crew.system
  }

  get isClosed(): boolean {
    return this.world.closed
  }

  /** Takes what comes, until it is interrupted. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => this.mailbox.take).pipe(
    Effect.orDie,
    Effect.flatMap((message) => (message._tag === "Call" ? message.run : this.step(message))),
    Effect.catchAllCause((cause) => Effect.logError("The supervisor failed at a step", cause)),
    Effect.forever,
  )

  /** Tells what has happened to a unit. It never waits. */
  readonly happen = (happening: System.Happening): void => {
    this.mailbox.unsafeOffer(happening)
  }

  /**
   * To be run when nothing takes what comes any more: answers all who wait. Nothing happens to the units after that, and
   * whoever asks is answered at once.
   */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.hasEnded = true
    this.waiters.close()
    return Effect.flatMap(this.mailbox.clear, (left) =>
      Effect.forEach(left, (message) => (message._tag === "Call" ? message.run : Effect.void), {
        discard: true,
      }),
    )
  })

  /** Runs something between two steps, when all that came before has been stepped through. */
  call<A>(run: Effect.Effect<A>): Effect.Effect<A> {
    return Effect.suspend(() => {
      if (this.hasEnded) return run
      const done = Deferred.unsafeMake<A>(FiberId.none)
      this.mailbox.unsafeOffer({ _tag: "Call", run: Effect.asVoid(Effect.intoDeferred(run, done)) })
      return Deferred.await(done)
    })
  }

  /** Orders something, and waits from then on as `looks` say, each unit for itself. */
  order(
    command: System.Command,
    looks: () => ReadonlyArray<readonly [name: string, look: Look]>,
  ): Effect.Effect<ReadonlyArray<readonly [name: string, wait: Effect.Effect<Settled>]>> {
    return this.call(
      Effect.suspend(() => {
        // Before the step: what is there now is what is to be stopped.
        const wanted = looks()
        return Effect.map(this.step(command), () => {
          for (const name of this.waiters.names) this.waiters.tell(this.system, this.world, name)
          return wanted.map(([name, look]) => [name, this.wait(name, look)] as const)
        })
      }),
    )
  }

  /** Waits for a unit, from now on; to be called within `call`. */
  wait(name: string, look: Look): Effect.Effect<Settled> {
    return this.waiters.add(this.system, this.world, name, look)
  }

  /** Takes other units; to be called within `call`, when all that is removed or changed is down. */
  exchange(crew: Crew, changed: ReadonlySet<string>): void {
    this.world = System.exchange(crew.system, this.world, changed)
    this.crew = crew
    for (const name of this.histories.keys()) {
      if (!crew.actors.has(name)) this.histories.delete(name)
    }
    for (const name of this.waiters.names) this.waiters.tell(this.system, this.world, name)
  }

  state(name: string): UnitState {
    return HashMap.unsafeGet(this.world.states, name)
  }

  isDue(name: string): boolean {
    return HashMap.has(this.world.due, name)
  }

  actor(name: string): UnitActor | undefined {
    return this.crew.actors.get(name)
  }

  get actors(): ReadonlyMap<string, UnitActor> {
    return this.crew.actors
  }

  status(name: string): UnitStatus {
    return Statuses.make(
      this.crew.actors.get(name)!.context,
      this.state(name),
      this.history(name),
      this.portOf,
    )
  }

  /** Calls the listener with every change; returns what ends that. */
  listen(listener: (change: UnitChange) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  private history(name: string): Statuses.History {
    const known = this.histories.get(name)
    if (known !== undefined) return known
    const fresh: Statuses.History = { since: this.startedAt, failure: undefined }
    this.histories.set(name, fresh)
    return fresh
  }

  private step(input: System.Command | System.Happening): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const { changes, effects, world } = System.step(this.system, this.world, input)
      this.world = world
      for (const change of changes) this.note(change, now)
      return Effect.gen(this, function* () {
        // First what is to be done, then the telling of it: whoever crashed is to be back soon.
        for (const { effect, unit } of effects) {
          yield* this.crew.actors.get(unit)!.interpret(effect, this.state(unit))
        }
        for (const { unit } of changes) this.waiters.tell(this.system, this.world, unit)
        for (const change of changes) {
          if (change.from.phase._tag !== change.to.phase._tag) yield* this.tell(change, now)
        }
      })
    })
  }

  /** Keeps what a state does not: since when, and what the output was when something went wrong. */
  private note({ from, to, unit }: System.Change, now: number): void {
    const history = this.history(unit)
    const actor = this.crew.actors.get(unit)!
    const { facts, log } = actor.context
    actor.isStopping = to.phase._tag === "Stopping"
    if (from.phase._tag !== to.phase._tag) history.since = now
    if (to.phase._tag === "Ready" && !from.wasReady) facts.readyAt = now
    if (to.failure !== undefined && to.failure !== from.failure) {
      const lines = log.last(failureLines, to.generation)
      history.failure = {
        kind: Phases.kindOf(to.failure),
        message: describe(to.failure),
        output: lines.map(({ text }) => facts.process?.redact(text) ?? text),
        at: now,
      }
    }
  }

  private tell(change: System.Change, now: number): Effect.Effect<void> {
    const { from, to, unit } = change
    const { facts } = this.crew.actors.get(unit)!.context
    return Effect.suspend(() => {
      if (this.listeners.size > 0) {
        const status = Statuses.make(this.crew.actors.get(unit)!.context, to, this.history(unit), this.portOf)
        const told = { name: unit, from: Phases.nameOf(from), to: Phases.nameOf(to), at: now, status }
        for (const listener of this.listeners) listener(told)
      }
      const pid = to.live ? facts.process?.pid : undefined
      return UnitTelemetry.tell(change, { pid, port: this.portOf(unit) }, this.events)
    })
  }
}

/** An empty mailbox. */
export const mailbox: Effect.Effect<Mailbox.Mailbox<Message>> = Mailbox.make<Message>()
