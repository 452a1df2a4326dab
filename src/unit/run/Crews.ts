/** Makes the hands of all units of a plan; those of units that stay as they are are kept. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as UnitLog from "../../output/UnitLog.js"
import type { Plan } from "../Plan.js"
import type { UnitEvent } from "../UnitEvent.js"
import type { Logs, UnitSpec } from "../UnitSpec.js"
import type { Crew } from "./Loop.js"
import * as Traits from "./Traits.js"
import { UnitActor } from "./UnitActor.js"
import type { Facts, Services } from "./UnitContext.js"

interface OpenLog {
  readonly log: UnitLog.UnitLog
  readonly limits: Logs
  readonly scope: Scope.CloseableScope
}

const noFacts = (): Facts => ({
  process: undefined,
  startedAt: undefined,
  startedNanos: 0n,
  readyAt: undefined,
  outputs: {},
})

const isSame = (a: Logs, b: Logs): boolean =>
  a.lines === b.lines && a.maxFiles === b.maxFiles && a.maxSize === b.maxSize

/** Every port that a unit says it uses. */
const declared = ({ port, ports }: UnitSpec): ReadonlyArray<number> =>
  typeof port === "number" ? [port, ...ports] : ports

/** The makers of crews of one supervisor. */
export class Crews {
  private readonly logs = new Map<string, OpenLog>()

  constructor(
    private readonly services: Services,
    /** Where logs are kept; undefined: in memory only. */
    private readonly root: string | undefined,
    private readonly tell: (unit: string, event: UnitEvent) => void,
  ) {}

  /**
   * The crew of a plan.
   *
   * @param kept the actors of units that have not changed
   * @param left the actors of units that have changed, of whose instances something survives
   */
  make(
    plan: Plan,
    kept: ReadonlyMap<string, UnitActor> = new Map(),
    left: ReadonlyMap<string, UnitActor> = new Map(),
  ): Effect.Effect<Crew> {
    const { graph, hooks } = plan
    return Effect.gen(this, function* () {
      const { leases } = this.services
      const actors = new Map<string, UnitActor>()
      const traits = new Map<string, ReturnType<typeof Traits.of>>()
      for (const [name, { spec }] of graph.nodes) {
        // A port of its own is in the place of the one that it had on lease.
        if (spec.port !== "auto") leases.release(name)
        leases.reserve(name, declared(spec))
      }
      for (const [name, { spec }] of graph.nodes) {
        const own = hooks.get(name) ?? {}
        traits.set(name, Traits.of(spec, own))
        const log = yield* this.logOf(name, spec.logs)
        // At once, so that whoever names its port in a command has it. Who finds none fails when it starts.
        if (spec.port === "auto" && leases.leaseOf(name) === undefined)
          yield* Effect.ignore(leases.lease(name))
        const tell = (event: UnitEvent) => this.tell(name, event)
        const before = left.get(name)
        const facts = before?.context.facts ?? noFacts()
        const context = { name, spec, hooks: own, log, facts, tell }
        actors.set(name, kept.get(name) ?? new UnitActor(this.services, context, before))
      }
      return { system: { graph, traits }, actors }
    })
  }

  /** Lets go of what units that are not there any more had. */
  dismiss(names: ReadonlyArray<string>): Effect.Effect<void> {
    return Effect.forEach(
      names,
      (name) => {
        this.services.leases.release(name)
        return this.closeLog(name)
      },
      { discard: true },
    )
  }

  private closeLog(name: string): Effect.Effect<void> {
    const open = this.logs.get(name)
    this.logs.delete(name)
    return open === undefined ? Effect.void : Scope.close(open.scope, Exit.void)
  }

  private logOf(name: string, limits: Logs): Effect.Effect<UnitLog.UnitLog> {
    return Effect.gen(this, function* () {
      const known = this.logs.get(name)
      if (known !== undefined && isSame(known.limits, limits)) return known.log
      yield* this.closeLog(name)
      const scope = yield* Scope.fork(this.services.scope, ExecutionStrategy.sequential)
      const { lines, maxFiles, maxSize } = limits
      const directory =
        this.root === undefined || maxFiles === 0 ? {} : { directory: join(this.root, "units", name, "logs") }
      const log = yield* UnitLog.make({ ...directory, lines, maxSize, maxFiles: Math.max(1, maxFiles) }).pipe(
        Scope.extend(scope),
        Effect.orDie,
      )
      this.logs.set(name, { log, limits, scope })
      return log
    })
  }
}
