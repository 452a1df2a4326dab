/** The probes of one instance: asked again and again, and told to the supervisor as events of the unit. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Duration from "effect/Duration"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Metrics from "../../event/Metrics.js"
import type * as Check from "../../probe/Check.js"
import type * as Health from "../../probe/Health.js"
import * as HealthMonitor from "../../probe/HealthMonitor.js"
import type { ForeignServer } from "../../probe/Occupied.js"
import type * as ProbePlan from "../../probe/ProbePlan.js"
import { type Peer, ProbeFailure } from "../../probe/ProbeResult.js"
import type { AttachedProbe } from "../../probe/Prober.js"
import type { InvalidSpec } from "../../process/InvalidSpec.js"
import type { UnitSpec } from "../UnitSpec.js"
import type { Services, UnitContext } from "./UnitContext.js"

const uses = ["startup", "readiness", "liveness"] as const

/** Attaches the probes of a spec to an instance; `log` probes watch its output from now on. */
export const attach = (
  { prober }: Services,
  spec: Pick<UnitSpec, Health.Use>,
  target: ProbePlan.Target,
): Effect.Effect<HealthMonitor.Probes, InvalidSpec, Scope.Scope> =>
  Effect.gen(function* () {
    const probes: { [use in Health.Use]?: AttachedProbe } = {}
    for (const use of uses) {
      const check: Check.Check | undefined = spec[use]
      if (check !== undefined) probes[use] = yield* prober.attach(check, target)
    }
    return probes
  })

/** A check that somebody else passed is none. */
const foreign = ({ message, subject }: ForeignServer): ProbeFailure =>
  new ProbeFailure({
    kind: "any",
    subject: "",
    reason: message === "" ? subject : message,
    class: "error",
    transient: true,
    contact: "answered",
  })

/** How to watch. */
export interface Options {
  readonly generation: number
  /** A server that is not restarted: failing readiness is the end of it. */
  readonly isExternal: boolean
  /** Who answered in the place of the instance, when it was somebody else. Asked until the instance is Ready. */
  readonly foreignAmong?: (peers: ReadonlyArray<Peer>) => Effect.Effect<ForeignServer | undefined>
}

/** Watches until it is interrupted. */
export const run = (
  { facts, name, tell }: UnitContext,
  probes: HealthMonitor.Probes,
  { foreignAmong, generation, isExternal }: Options,
): Effect.Effect<void> => {
  let isReady = false
  const failing = new Set<Health.Use>()
  const latency = Metrics.probeSeconds(name)

  const guarded = (probe: AttachedProbe): AttachedProbe =>
    foreignAmong === undefined
      ? probe
      : {
          ...probe,
          check: Effect.tap(probe.check, ({ peers }) =>
            isReady
              ? Effect.void
              : Effect.flatMap(foreignAmong(peers), (found) =>
                  found === undefined ? Effect.void : Effect.fail(foreign(found)),
                ),
          ),
        }

  const onEvent = ({ decision, health, result, use }: HealthMonitor.HealthEvent): Effect.Effect<void> => {
    isReady ||= health.ready
    if (Either.isRight(result)) {
      const { outputs } = result.right
      if (Object.keys(outputs).length > 0) facts.outputs = { ...facts.outputs, ...outputs }
      if (decision !== "none" || failing.delete(use))
        tell({ _tag: "ProbePassed", generation, use, ready: health.ready })
      return Metric.update(latency, Duration.toSeconds(result.right.latency))
    }
    failing.add(use)
    const { failures } = health.runs[use]
    const threshold = probes[use]!.spec.failureThreshold
    tell({
      _tag: "ProbeFailed",
      generation,
      use,
      failures,
      due: decision === "restart" || (isExternal && failures >= threshold),
      last: result.left.message,
      mismatch: result.left.mismatch !== undefined,
    })
    return Effect.void
  }

  return Effect.asVoid(
    HealthMonitor.run(
      {
        ...(probes.startup !== undefined && { startup: guarded(probes.startup) }),
        ...(probes.readiness !== undefined && { readiness: guarded(probes.readiness) }),
        ...(probes.liveness !== undefined && { liveness: probes.liveness }),
      },
      { onEvent, endure: true },
    ),
  )
}

/** Whether there is anything to ask. */
export const isEmpty = (probes: HealthMonitor.Probes): boolean => Object.keys(probes).length === 0
