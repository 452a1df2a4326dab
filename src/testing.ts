/**
 * For tests of programs that use Holdfast: a supervisor whose processes live in memory and whose probes answer from a
 * script, all on the clock of Effect. With `TestClock` a test sees in milliseconds what takes hours.
 *
 * ```ts
 * it.effect("a worker that always crashes is given up after three restarts", () =>
 *   Effect.gen(function* () {
 *     const supervisor = yield* Supervisor
 *     yield* TestClock.adjust("1 minute")
 *     const { failure, state } = yield* supervisor.status("worker")
 *     expect([state, failure?.kind]).toEqual(["failed", "RestartsExhausted"])
 *   }).pipe(
 *     Effect.provide(
 *       Testing.layer({
 *         plan: { units: { worker: { command: ["worker"], restart: { maxFailures: 3 } } } },
 *         processes: Testing.exits(1, { after: "2 seconds" }),
 *       }),
 *     ),
 *   ),
 * )
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as EventLog from "./event/EventLog.js"
import * as PortHolder from "./probe/PortHolder.js"
import * as Prober from "./probe/Prober.js"
import { ProbeFailure } from "./probe/ProbeResult.js"
import type { InvalidSpec } from "./process/InvalidSpec.js"
import * as MemorySpawner from "./process/MemorySpawner.js"
import { ProcessSpawner } from "./process/ProcessSpawner.js"
import type { TableUnreadable } from "./process/ProcessTable.js"
import type { InvalidPlan } from "./unit/Plan.js"
import * as Supervisor from "./unit/Supervisor.js"

export {
  type Attempt,
  byUnit,
  type Child,
  type Ending,
  exits,
  type Exits,
  fails,
  inTurn,
  layerScripted as layerProcesses,
  type MemoryProcess,
  type Program,
  runs,
  type Script as ProcessScript,
  ScriptedSpawner,
} from "./process/MemorySpawner.js"
export {
  layerScripted as layerProbes,
  type Question,
  type Script as ProbeScript,
  ScriptedProber,
} from "./probe/Prober.js"
export { layerMemory as layerPorts } from "./probe/PortHolder.js"
export { layerMemory as layerEvents } from "./event/EventLog.js"

/** What there is in the place of the operating system. */
export interface World {
  /** What processes do. Default: each runs until it is stopped. */
  readonly processes?: MemorySpawner.Script | undefined
  /**
   * What probes answer. Default: all pass. Not asked about `log` probes, which read what processes in memory write; nor
   * over the network about a process that does not run, which is refused.
   */
  readonly probes?: Prober.Script | undefined
  /** Who else holds a port: then the script answers there as well. Default: nobody holds any. */
  readonly holderOf?: ((port: number) => PortHolder.PortHolder | undefined) | undefined
}

/** A supervisor and its world. */
export interface Options extends Supervisor.Options, World {}

/** What a supervisor stands on, in memory; and what lets a test look into it. */
export type Ground =
  | ProcessSpawner
  | MemorySpawner.ScriptedSpawner
  | Prober.Prober
  | Prober.ScriptedProber
  | PortHolder.PortHolders
  | EventLog.EventLog

const nobody = (): undefined => undefined
const pass: Prober.Script = () => Effect.void

const refused = new ProbeFailure({
  kind: "tcp",
  subject: "The scripted probe",
  reason: "was refused, as no process of the unit runs",
  class: "refused",
  transient: true,
  contact: "none",
})

/** The script, where somebody is there to answer. */
const whereItRuns =
  (
    { latest }: Context.Tag.Service<MemorySpawner.ScriptedSpawner>,
    { holderOf = nobody, probes = pass }: World,
  ): Prober.Script =>
  (question) => {
    const { spec, target } = question
    const { http, tcp } = spec
    if (http === undefined && tcp === undefined) return probes(question)
    const port = http?.port ?? tcp?.port ?? target.port
    if (port !== undefined && holderOf(port) !== undefined) return probes(question)
    // Somebody else's server, or a task, has no output.
    const isOfProcess = target.unit === undefined || target.output !== undefined
    const process = target.unit === undefined ? undefined : latest(target.unit)
    const isUp = process !== undefined && !process.hasEnded()
    return isOfProcess && !isUp ? Effect.fail(refused) : probes(question)
  }

const prober = (world: World) =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const memory = yield* MemorySpawner.ScriptedSpawner
      const scripted = yield* Layer.build(Prober.layerScripted(whereItRuns(memory, world)))
      const real = Context.get(yield* Layer.build(Prober.layer), Prober.Prober)
      const { attach } = Context.get(scripted, Prober.Prober)
      return Context.add(scripted, Prober.Prober, {
        attach: (check, target) =>
          check?.log === undefined ? attach(check, target) : real.attach(check, target),
      })
    }),
  )

/** What a supervisor, or whatever else starts and probes processes, stands on; in memory. */
export const ground = (world: World = {}): Layer.Layer<Ground> =>
  Layer.mergeAll(prober(world), PortHolder.layerMemory(world.holderOf), EventLog.layerMemory()).pipe(
    Layer.provideMerge(MemorySpawner.layerScripted(world.processes ?? MemorySpawner.runs())),
  )

/**
 * A supervisor in a world in memory. When it closes, no process ignores a signal any more, so that a test on `TestClock`
 * need not turn the clock to come to its end. Ports of units with `port: auto` are real ones of this machine.
 */
export const layer = (
  options: Options,
): Layer.Layer<Supervisor.Supervisor | Ground, InvalidPlan | InvalidSpec | TableUnreadable> =>
  Layer.scoped(
    Supervisor.Supervisor,
    Effect.gen(function* () {
      const { obey } = yield* MemorySpawner.ScriptedSpawner
      const supervisor = yield* Supervisor.make(options)
      yield* Effect.addFinalizer(() => obey)
      return supervisor
    }),
  ).pipe(Layer.provideMerge(ground(options)))
