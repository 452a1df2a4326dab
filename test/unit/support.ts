/** What the tests of the supervisor share. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as EventLog from "../../src/event/EventLog.js"
import * as PortHolder from "../../src/probe/PortHolder.js"
import * as Prober from "../../src/probe/Prober.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import type * as Plan from "../../src/unit/Plan.js"
import * as Supervisor from "../../src/unit/Supervisor.js"
import type { StateName, UnitStatus } from "../../src/unit/UnitStatus.js"

/** The real ground under a supervisor. */
export const ground = Layer.provideMerge(
  Layer.mergeAll(Prober.layer, PortHolder.layer, EventLog.layerMemory()),
  ProcessSpawner.layer,
)

/** A supervisor with these units, on real processes. */
export const supervise = (plan: Plan.Input, options: Omit<Supervisor.Options, "plan"> = {}) =>
  Supervisor.make({ plan, ...options })

/** Waits until a unit is in one of these states; to be made before what brings it there, and run after it. */
export const comesTo = (
  supervisor: Supervisor.Service,
  name: string,
  ...states: ReadonlyArray<StateName>
): Effect.Effect<UnitStatus> =>
  Effect.scoped(
    Effect.gen(function* () {
      const changes = yield* Stream.toPull(supervisor.changes)
      const now = yield* Effect.orDie(supervisor.status(name))
      if (states.includes(now.state)) return now
      for (;;) {
        const chunk = yield* Effect.orDie(changes)
        for (const { name: who, status, to } of chunk) if (who === name && states.includes(to)) return status
      }
    }),
  ).pipe(
    Effect.timeoutFail({
      duration: "20 seconds",
      onTimeout: () => new Error(`${name} never came to ${states.join(" or ")}`),
    }),
    Effect.orDie,
  )
