/** Sees to it, before a spawn, that the ports of a unit are its own: leases, strays, others, and who is there. */
import * as Effect from "effect/Effect"
import { type ForeignServer, PortInUse } from "../../probe/Occupied.js"
import { PortHolders } from "../../probe/PortHolder.js"
import * as Preflight from "../../probe/Preflight.js"
import type * as ProbePlan from "../../probe/ProbePlan.js"
import { Prober } from "../../probe/Prober.js"
import type { InvalidSpec } from "../../process/InvalidSpec.js"
import type { TableUnreadable } from "../../process/ProcessTable.js"
import type { NoFreePort } from "../port/PortLeases.js"
import * as Ports from "./Ports.js"
import type { StrayLeft } from "./Strays.js"
import type { Services, UnitContext } from "./UnitContext.js"

/** Why a unit cannot have its place. */
export type PlaceError = NoFreePort | StrayLeft | ForeignServer | PortInUse | InvalidSpec | TableUnreadable

/** Its port, and whether somebody else's server is there that shall be used as it is. */
export interface Place {
  readonly port: number | undefined
  readonly adopt: Preflight.Adopt | undefined
}

const portOf = (
  { leases }: Services,
  { name, spec }: UnitContext,
): Effect.Effect<number | undefined, NoFreePort> =>
  spec.port === "auto" ? leases.lease(name) : Effect.succeed(spec.port)

/** A port that answers is in use, whoever it is: no probe says what should be there. */
const inUse = (error: ForeignServer | PortInUse | InvalidSpec): PortInUse | InvalidSpec =>
  error._tag === "ForeignServer"
    ? new PortInUse({
        port: error.port,
        subject: error.subject,
        answer: "was accepted",
        ...(error.holder && { holder: error.holder }),
      })
    : error

/** Looks whether the place is taken: where the probe asks, and at every other port. */
const look = (services: Services, { spec }: UnitContext, target: ProbePlan.Target) =>
  Effect.gen(function* () {
    const probe = spec.readiness ?? spec.startup ?? spec.liveness
    const verdict = probe === undefined ? undefined : yield* Preflight.run(probe, target, spec.foreign)
    if (verdict?._tag === "Adopt") return verdict
    // A port on lease was found free just now; the preflight has seen the declared one, if there is a probe.
    const own = spec.port === "auto" || probe !== undefined ? undefined : spec.port
    yield* Effect.forEach(
      Ports.all(spec, own),
      (port) => Effect.mapError(Preflight.run({ tcp: { port } }), inUse),
      { concurrency: "unbounded", discard: true },
    )
    return undefined
  }).pipe(
    Effect.provideService(Prober, services.prober),
    Effect.provideService(PortHolders, services.holders),
  )

/**
 * Finds the unit its place, or says who has it. What this store recorded of an earlier run is stopped where the spec
 * allows it; with `killOthers` whoever else is in the way.
 */
export const find = (
  services: Services,
  context: UnitContext,
  targetAt: (port: number | undefined) => ProbePlan.Target,
): Effect.Effect<Place, PlaceError> =>
  Effect.gen(function* () {
    const { spec } = context
    yield* services.strays.check(context.name)
    const port = yield* portOf(services, context)
    const ports = Ports.all(spec, port)
    if (spec.killOthers) {
      yield* services.killOthers.run({ unit: context.name, ports, processFilters: spec.processFilters })
    }
    const target = targetAt(port)
    const looked = look(services, context, target)
    const adopt = yield* Effect.catchIf(
      looked,
      (error) => spec.reclaim === "recorded" && error._tag !== "InvalidSpec",
      (error) =>
        Effect.flatMap(services.strays.leave(ports), (isFree) => (isFree ? looked : Effect.fail(error))),
    )
    return { port, adopt }
  })
