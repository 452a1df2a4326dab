/** One life of an `external`: somebody else's server, observed and never signalled. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Authority from "../../probe/Authority.js"
import * as Check from "../../probe/Check.js"
import type { UnitSpec } from "../UnitSpec.js"
import * as Ending from "./Ending.js"
import * as HealthWatch from "./HealthWatch.js"
import type { Instance, Services, UnitContext } from "./UnitContext.js"

/** What is asked: its readiness probe, else whether a connection can be made. */
const checksOf = (spec: UnitSpec): Pick<UnitSpec, "readiness"> => {
  if (spec.readiness !== undefined) return { readiness: spec.readiness }
  const url = new URL(spec.url!)
  const tcp = { host: Authority.bare(url.hostname), port: Authority.portOf(url) }
  return { readiness: { ...defaults, tcp } }
}

/** The times and thresholds of a check that says nothing of them. */
const { tcp: _, ...defaults } = Effect.runSync(Check.make({ tcp: {} }))

/** Begins to observe. */
export const start = (
  services: Services,
  context: UnitContext,
  generation: number,
): Effect.Effect<Instance> =>
  Effect.gen(function* () {
    const { facts, spec, tell } = context
    const scope = yield* Scope.make()
    const live = Effect.gen(function* () {
      const target = { baseUrl: spec.url!, unit: context.name, mask: spec.mask }
      const probes = yield* HealthWatch.attach(services, checksOf(spec), target).pipe(Scope.extend(scope))
      facts.startedNanos = yield* Clock.currentTimeNanos
      facts.startedAt = yield* Clock.currentTimeMillis
      tell({ _tag: "Spawned", generation, adopted: false })
      yield* HealthWatch.run(context, probes, { generation, isExternal: true })
    })
    const life = yield* live.pipe(
      Effect.catchAllCause((cause) => {
        if (Cause.isInterruptedOnly(cause)) return Effect.void
        const { message } = Cause.squash(cause) as Error
        return Effect.andThen(
          Scope.close(scope, Exit.void),
          Effect.sync(() =>
            tell({
              _tag: "SpawnFailed",
              generation,
              error: { kind: "InvalidSpec", message },
              retryable: false,
            }),
          ),
        )
      }),
      Effect.interruptible,
      Effect.forkIn(services.scope),
    )
    const stop = Ending.make(context, services.scope, {
      generation,
      life,
      scope,
      stop: () => Effect.succeed([]),
      onGone: Effect.void,
    })
    return { generation, stop }
  })
