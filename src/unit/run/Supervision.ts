/** The service of a supervisor: what its callers want, as orders to the loop, and what they wait for. */
import * as Effect from "effect/Effect"
import * as Duration from "effect/Duration"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import type { TableUnreadable } from "../../process/ProcessTable.js"
import * as Dependencies from "../Dependencies.js"
import * as Explanation from "../Explanation.js"
import * as Graph from "../Graph.js"
import * as GraphView from "../GraphView.js"
import type { Plan } from "../Plan.js"
import * as PlanDiff from "../PlanDiff.js"
import type { UnitProcess } from "../port/KillOthers.js"
import {
  SupervisorClosed,
  UnitHasNoProcess,
  UnitNotFound,
  UnitNotStarted,
  UnitNotStopped,
} from "../SupervisorError.js"
import type { Service, StopOptions, UnitChange } from "../SupervisorService.js"
import { isSettled } from "../UnitState.js"
import type { UnitStatus } from "../UnitStatus.js"
import type { Crews } from "./Crews.js"
import type { Loop } from "./Loop.js"
import * as Outcomes from "./Outcomes.js"
import * as Phases from "./Phases.js"
import type { UnitActor } from "./UnitActor.js"
import type { Settled } from "./Waiters.js"

/** So many changes wait for a slow reader. */
const backlog = 4_096

type Waits = ReadonlyArray<readonly [name: string, wait: Effect.Effect<Settled>]>

const sideOf = (plan: Plan): PlanDiff.Side => ({ plan, ...(plan.envFiles && { envFiles: plan.envFiles }) })

/** A supervisor as its callers see it. */
export class Supervision {
  private readonly reloading = Effect.unsafeMakeSemaphore(1)
  /** Closed while units are exchanged: what is ordered meanwhile is about the new ones. */
  private readonly exchanged = Effect.unsafeMakeLatch(true)

  constructor(
    private readonly loop: Loop,
    private readonly crews: Crews,
    private plan: Plan,
  ) {}

  /** The live processes of all units. */
  get members(): Effect.Effect<ReadonlyArray<UnitProcess>, TableUnreadable> {
    return Effect.map(
      Effect.forEach(
        this.loop.actors.values(),
        ({ context }) =>
          Effect.map(context.facts.process?.members ?? Effect.succeed([]), (found) =>
            found.map(({ pid, startTime }) => ({ pid, startTime, unit: context.name })),
          ),
        { concurrency: "unbounded" },
      ),
      (all) => all.flat(),
    )
  }

  /** The port that a unit's spec names. */
  declaredPort(name: string): number | undefined {
    const port = this.loop.actor(name)?.spec.port
    return typeof port === "number" ? port : undefined
  }

  /** Starts what starts with the supervisor, and waits for nothing. */
  get autostart(): Effect.Effect<void> {
    return Effect.suspend(() =>
      Effect.asVoid(this.loop.order({ _tag: "Start", names: this.automatic }, () => [])),
    )
  }

  private get automatic(): ReadonlyArray<string> {
    const { nodes, order } = this.plan.graph
    return order.filter((name) => nodes.get(name)!.spec.autostart)
  }

  private get graph(): Graph.Graph {
    return this.loop.system.graph
  }

  private known(names: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<string>, UnitNotFound> {
    return Effect.suspend(() => {
      const unknown = names.find((name) => !this.graph.nodes.has(name))
      return unknown === undefined
        ? Effect.succeed(names)
        : Effect.fail(new UnitNotFound({ name: unknown, known: this.graph.order }))
    })
  }

  private actor(name: string): Effect.Effect<UnitActor, UnitNotFound> {
    return Effect.map(this.known([name]), () => this.loop.actor(name)!)
  }

  private status(name: string): Effect.Effect<UnitStatus> {
    return Effect.sync(() => this.loop.status(name))
  }

  /** Waits until all are up, or one has failed. */
  private up(waits: Waits): Effect.Effect<ReadonlyArray<UnitStatus>, UnitNotStarted | SupervisorClosed> {
    return Effect.forEach(
      waits,
      ([name, wait]) =>
        Effect.flatMap(wait, (settled): Effect.Effect<UnitStatus, UnitNotStarted | SupervisorClosed> => {
          if (settled._tag === "Done") return this.status(name)
          if (settled._tag === "Closed") return new SupervisorClosed()
          const { kind, reason } = settled
          const isThere = this.graph.nodes.has(name)
          const status = isThere ? this.loop.status(name) : undefined
          const output = status?.failure?.message === reason ? status.failure.output : []
          return new UnitNotStarted({ name, state: status?.state ?? "inactive", kind, reason, output })
        }),
      { concurrency: "unbounded" },
    )
  }

  /** Waits until nothing is left of them. */
  private down(waits: Waits): Effect.Effect<void, UnitNotStopped> {
    return Effect.forEach(
      waits,
      ([name, wait]) =>
        Effect.flatMap(wait, (settled) =>
          settled._tag === "Failed"
            ? Effect.fail(new UnitNotStopped({ name, reason: settled.reason }))
            : Effect.void,
        ),
      { concurrency: "unbounded", discard: true },
    )
  }

  private ofStop(names: ReadonlyArray<string>) {
    return names.map((name) => [name, Outcomes.ofStop(this.loop.state(name).generation)] as const)
  }

  private hasten(names: ReadonlyArray<string>, { grace }: StopOptions): Effect.Effect<void> {
    return grace === undefined
      ? Effect.void
      : Effect.forEach(names, (name) => this.loop.actor(name)!.hasten(Duration.toMillis(grace)), {
          discard: true,
        })
  }

  private readonly start: Service["start"] = (names) =>
    Effect.gen(this, function* () {
      yield* this.exchanged.await
      const wanted = names.length === 0 ? this.automatic : yield* this.known(names)
      if (this.loop.isClosed) return yield* new SupervisorClosed()
      const waits = yield* this.loop.order({ _tag: "Start", names: wanted }, () =>
        wanted.map((name) => [name, Outcomes.ofStart] as const),
      )
      return yield* this.up(waits)
    })

  private readonly stop: Service["stop"] = (names, options = {}) =>
    Effect.gen(this, function* () {
      const isWanted = (name: string) => this.loop.state(name).desired === "up"
      // One that a reload is stopping need not take longer for being waited for.
      yield* this.loop.call(this.hasten(yield* this.known(names), options))
      yield* this.exchanged.await
      const wanted = names.length === 0 ? this.graph.order : yield* this.known(names)
      let along: ReadonlyArray<string> = []
      const waits = yield* this.loop.order({ _tag: "Stop", names: wanted }, () => {
        along = Graph.stoppedWith(this.graph, wanted, isWanted)
        return this.ofStop(along)
      })
      yield* this.loop.call(this.hasten(along, options))
      yield* this.down(waits)
      return along.flatMap((name) => (this.graph.nodes.has(name) ? [this.loop.status(name)] : []))
    })

  private readonly restart: Service["restart"] = (names) =>
    Effect.gen(this, function* () {
      yield* this.exchanged.await
      const isWanted = (name: string) => this.loop.state(name).desired === "up"
      const wanted = names.length === 0 ? this.graph.order.filter(isWanted) : yield* this.known(names)
      if (this.loop.isClosed) return yield* new SupervisorClosed()
      const waits = yield* this.loop.order({ _tag: "Restart", names: wanted }, () =>
        Graph.membersOf(this.graph, wanted).map((name) => [name, Outcomes.ofStart] as const),
      )
      return yield* this.up(waits)
    })

  private readonly kill: Service["kill"] = (name, signal) =>
    Effect.gen(this, function* () {
      const { context } = yield* this.actor(name)
      const { process } = context.facts
      const state = this.loop.state(name)
      if (process === undefined || !state.live || state.adopted)
        return yield* new UnitHasNoProcess({ name, state: Phases.nameOf(state) })
      return yield* process.signal(signal)
    })

  /** What a unit waits for now, or has failed by. */
  private blockersOf(name: string): ReadonlyArray<string> {
    const { conflicts, edges } = this.graph.nodes.get(name)!
    const { phase } = this.loop.state(name)
    if (phase._tag === "Failed") return phase.failure._tag === "DependencyFailed" ? [phase.failure.name] : []
    if (phase._tag !== "Blocked") return []
    const waiting = edges.filter(
      (edge) =>
        Dependencies.standing(edge, this.loop.state(edge.to), this.loop.isDue(edge.to))._tag !== "Met",
    )
    return [...waiting.map(({ to }) => to), ...conflicts.filter((other) => this.loop.state(other).live)]
  }

  private readonly awaitReady: Service["awaitReady"] = (name) =>
    Effect.gen(this, function* () {
      yield* this.known([name])
      const wait = yield* this.loop.call(Effect.sync(() => this.loop.wait(name, Outcomes.ofReady)))
      const [status] = yield* this.up([[name, wait]])
      return status!
    })

  private readonly reload: Service["reload"] = (plan) =>
    this.reloading.withPermits(1)(
      // Once it has begun it goes on, whoever waits for it: the units must not be left half way.
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(this, function* () {
          if (this.loop.isClosed) return yield* new SupervisorClosed()
          const diff = PlanDiff.make(sideOf(this.plan), sideOf(plan))
          const changed = diff.changed.map(({ name }) => name)
          const resumed = changed.filter((name) => this.loop.state(name).desired === "up")
          const going = [...diff.removed, ...changed]
          yield* this.exchanged.close
          yield* Effect.ensuring(
            Effect.andThen(this.hold(going), this.exchange(plan, new Set(changed))),
            this.exchanged.open,
          )
          yield* this.crews.dismiss(diff.removed)
          const { nodes } = plan.graph
          const fresh = [...resumed, ...diff.added.filter((name) => nodes.get(name)!.spec.autostart)]
          const names = this.withFailedBy(fresh)
          const waits = yield* this.loop.order({ _tag: "Start", names }, () =>
            names.map((name) => [name, Outcomes.ofStart] as const),
          )
          yield* restore(
            Effect.forEach(waits, ([, wait]) => wait, { concurrency: "unbounded", discard: true }),
          )
          const started = names.filter((name) => this.graph.nodes.has(name))
          return { diff, started: started.map((name) => this.loop.status(name)) }
        }),
      ),
    )

  /** These, and what has failed by nothing but one of them, and is wanted up. */
  private withFailedBy(names: ReadonlyArray<string>): ReadonlyArray<string> {
    const all = new Set(names)
    for (const name of this.graph.order) {
      const { desired, phase } = this.loop.state(name)
      if (desired !== "up" || phase._tag !== "Failed" || phase.failure._tag !== "DependencyFailed") continue
      if (all.has(phase.failure.name)) all.add(name)
    }
    return [...all]
  }

  /** Takes units down for the time of the exchange. */
  private hold(names: ReadonlyArray<string>): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const held = names.filter((name) => this.loop.state(name).live || !isSettled(this.loop.state(name)))
      const waits = yield* this.loop.order({ _tag: "Hold", names: held }, () => this.ofStop(held))
      // What survives KILL is logged, and does not keep the rest from being exchanged.
      yield* Effect.catchAll(this.down(waits), (error) => Effect.logError(error.message))
    })
  }

  /** Gives the units that have changed new hands; nobody starts one of them meanwhile. */
  private exchange(plan: Plan, changed: ReadonlySet<string>): Effect.Effect<void> {
    const actors = [...this.loop.actors]
    const kept = new Map(actors.filter(([name]) => !changed.has(name)))
    const left = new Map(actors.filter(([name]) => changed.has(name) && this.loop.state(name).live))
    return Effect.flatMap(this.crews.make(plan, kept, left), (crew) =>
      this.loop.call(
        Effect.sync(() => {
          this.loop.exchange(crew, changed)
          this.plan = plan
        }),
      ),
    )
  }

  private readonly shutdown: Service["shutdown"] = (options = {}) =>
    Effect.gen(this, function* () {
      const all = this.graph.order
      const waits = yield* this.loop.order({ _tag: "Shutdown" }, () => this.ofStop(all))
      yield* this.loop.call(this.hasten(all, options))
      yield* Effect.catchAll(this.down(waits), (error) => Effect.logError(error.message))
    })

  /** What callers get. */
  readonly service: Service = {
    list: Effect.sync(() => this.graph.order.map((name) => this.loop.status(name))),
    status: (name) => Effect.andThen(this.known([name]), () => this.status(name)),
    start: Effect.fn("Supervisor.start")(this.start),
    stop: Effect.fn("Supervisor.stop")(this.stop),
    restart: Effect.fn("Supervisor.restart")(this.restart),
    kill: Effect.fn("Supervisor.kill")(this.kill),
    why: (name) =>
      Effect.map(this.known([name]), () =>
        Explanation.explain(
          this.graph,
          name,
          (other) => this.loop.status(other),
          (other) => this.blockersOf(other),
        ),
      ),
    tree: Effect.sync(() => GraphView.make(this.graph, (name) => Phases.nameOf(this.loop.state(name)))),
    log: (name) => Effect.map(this.actor(name), ({ context }) => context.log),
    changes: Stream.unwrapScoped(
      Effect.gen(this, function* () {
        const inbox = yield* Mailbox.make<UnitChange>({ capacity: backlog, strategy: "sliding" })
        yield* Effect.acquireRelease(
          Effect.sync(() => this.loop.listen((change) => void inbox.unsafeOffer(change))),
          (end) => Effect.sync(end),
        )
        return Mailbox.toStream(inbox)
      }),
    ),
    awaitReady: Effect.fn("Supervisor.awaitReady")(this.awaitReady),
    process: (name) =>
      Effect.map(this.actor(name), ({ context }) =>
        this.loop.state(name).live ? context.facts.process : undefined,
      ),
    preview: (plan) => Effect.sync(() => PlanDiff.make(sideOf(this.plan), sideOf(plan))),
    reload: Effect.fn("Supervisor.reload")(this.reload),
    shutdown: Effect.fn("Supervisor.shutdown")(this.shutdown),
  }
}
