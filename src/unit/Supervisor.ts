/**
 * Keeps units up: starts them in order, restarts them by their policies, watches their health, stops them in reverse, and
 * explains itself. Its layer holds everything that it starts: closing it stops all of it, dependents before what they
 * depend on, and proves every process group empty.
 */
import { resolve } from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { EventLog } from "../event/EventLog.js"
import * as Metrics from "../event/Metrics.js"
import * as PortHolder from "../probe/PortHolder.js"
import { PortHolders } from "../probe/PortHolder.js"
import * as ProberModule from "../probe/Prober.js"
import { Prober } from "../probe/Prober.js"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import * as Mask from "../process/Mask.js"
import * as PlatformTable from "../process/PlatformTable.js"
import * as ProcessSpawnerModule from "../process/ProcessSpawner.js"
import { ProcessSpawner } from "../process/ProcessSpawner.js"
import type { TableUnreadable } from "../process/ProcessTable.js"
import * as Plan from "./Plan.js"
import * as InstanceRecords from "./port/InstanceRecords.js"
import * as KillOthers from "./port/KillOthers.js"
import * as PortLeases from "./port/PortLeases.js"
import * as Reclaim from "./port/Reclaim.js"
import { Crews } from "./run/Crews.js"
import { Loop, mailbox } from "./run/Loop.js"
import * as Phases from "./run/Phases.js"
import type { Services } from "./run/UnitContext.js"
import * as UnitTelemetry from "./run/UnitTelemetry.js"
import * as Ports from "./run/Ports.js"
import { Strays } from "./run/Strays.js"
import { Supervision } from "./run/Supervision.js"
import { Supervisor } from "./SupervisorTag.js"
import type { Service } from "./SupervisorService.js"

export * from "./SupervisorError.js"
export type { Reloaded, Service, StopOptions, UnitChange } from "./SupervisorService.js"
export { Supervisor } from "./SupervisorTag.js"

/** What to keep, and where. */
export interface Options {
  readonly plan: Plan.Plan | Plan.Input
  /**
   * Where logs and the records of what runs are kept, so that the next program finds what a crash left; one program at a
   * time may use it. Default: nowhere, logs are in memory only.
   */
  readonly root?: string | undefined
  /** Whether the units whose spec says `autostart` are started at once. Default true. */
  readonly autostart?: boolean | undefined
}

/** What a supervisor needs. An `EventLog`, where there is one, is told of every change. */
export type Needs = ProcessSpawner | Prober | PortHolders

/** Everything that a supervisor, or a managed server, needs: real processes, real sockets. */
export const layerNeeds: Layer.Layer<Needs> = Layer.provideMerge(
  Layer.merge(ProberModule.layer, PortHolder.layer),
  ProcessSpawnerModule.layer,
)

const isPlan = (plan: Plan.Plan | Plan.Input): plan is Plan.Plan => "graph" in plan

/** Hides what a unit masks. */
const redactOf =
  ({ graph }: Plan.Plan) =>
  (unit: string): Mask.Redact => {
    const spec = graph.nodes.get(unit)?.spec
    return spec === undefined
      ? (text) => text
      : Mask.ofInput({ mask: spec.mask, env: Ports.variablesOf(spec, undefined, () => undefined) })
  }

/** What all units share; `members` are the processes of all of them. */
const servicesOf = (
  {
    root,
    plan,
    scope,
  }: { readonly root: string | undefined; readonly plan: Plan.Plan; readonly scope: Scope.Scope },
  members: KillOthers.Options["members"],
) =>
  Effect.gen(function* () {
    const spawner = yield* ProcessSpawner
    const { owner } = spawner
    const records = yield* InstanceRecords.make({ root, owner })
    const reclaim = yield* Reclaim.make({ records, redactOf: redactOf(plan) })
    const strays = new Strays(reclaim, (unit) => plan.graph.nodes.get(unit)?.spec.reclaim ?? "recorded")
    // Before anything starts: what an earlier program left behind must not run beside it.
    yield* strays.clear
    const leases = yield* PortLeases.make
    const services: Services = {
      spawner,
      prober: yield* Prober,
      holders: yield* PortHolders,
      leases,
      records,
      strays,
      killOthers: yield* KillOthers.make({ owner, members }),
      portOf: (unit) => leases.leaseOf(unit),
      scope,
    }
    return services
  })

/** A supervisor for the length of the scope. */
export const make = (
  options: Options,
): Effect.Effect<Service, Plan.InvalidPlan | InvalidSpec | TableUnreadable, Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const plan = isPlan(options.plan) ? options.plan : yield* Plan.make(options.plan)
    const root = options.root === undefined ? undefined : resolve(options.root)
    const events = Option.getOrUndefined(yield* Effect.serviceOption(EventLog))
    // Of its own: what runs in it has to outlive the orderly stop.
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))

    const shared = yield* servicesOf(
      { root, plan, scope },
      Effect.suspend(() => supervision.members),
    ).pipe(Scope.extend(scope), Effect.provide(PlatformTable.layer))
    const services: Services = {
      ...shared,
      portOf: (unit) => shared.portOf(unit) ?? supervision.declaredPort(unit),
    }
    const crews: Crews = new Crews(services, root, (unit, event) =>
      loop.happen({ _tag: "Happening", unit, event }),
    )
    const inbox = yield* mailbox
    const crew = yield* crews.make(plan)
    const now = yield* Clock.currentTimeMillis
    const loop: Loop = new Loop(inbox, crew, services.portOf, events, now)
    yield* Scope.addFinalizer(scope, loop.end)
    yield* Effect.forkIn(Effect.interruptible(loop.run), scope)
    const supervision: Supervision = new Supervision(loop, crews, plan)
    yield* Effect.addFinalizer(() => supervision.service.shutdown())
    yield* Metrics.collector(
      UnitTelemetry.count(
        Effect.sync(() => [...loop.actors.keys()].map((name) => Phases.nameOf(loop.state(name)))),
      ),
    )
    if (options.autostart !== false) yield* supervision.autostart
    return supervision.service
  })

/**
 * A supervisor that lives as long as the layer. It does not wait for its units to be up: see `start` and `awaitReady`.
 * Fails, before anything is started, when the plan is wrong.
 */
export const layer = (
  options: Options,
): Layer.Layer<Supervisor, Plan.InvalidPlan | InvalidSpec | TableUnreadable, Needs> =>
  Layer.scoped(Supervisor, make(options))
