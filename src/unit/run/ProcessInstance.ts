/** One life of a `service` or a `oneshot`: from the look at its place to the proof that nothing of it is left. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import * as Metrics from "../../event/Metrics.js"
import * as Listener from "../../probe/Listener.js"
import { PortHolders } from "../../probe/PortHolder.js"
import type * as ProbePlan from "../../probe/ProbePlan.js"
import type { ExitStatus } from "../../process/ExitStatus.js"
import type { Process } from "../../process/Process.js"
import * as ProcessOutput from "../../process/ProcessOutput.js"
import type * as ProcessSpec from "../../process/ProcessSpec.js"
import type { SpawnError } from "../../process/SpawnError.js"
import type { InstanceRecord } from "../port/InstanceRecords.js"
import type { UnitEvent } from "../UnitEvent.js"
import type { End } from "../UnitState.js"
import * as Ending from "./Ending.js"
import * as HealthWatch from "./HealthWatch.js"
import * as Place from "./Place.js"
import * as Ports from "./Ports.js"
import type { Instance, Services, UnitContext } from "./UnitContext.js"

/** How a process ended, as a unit sees it. */
export const endOf = (status: ExitStatus): End =>
  status._tag === "Exited"
    ? { _tag: "Exited", code: status.code }
    : { _tag: "Signaled", signal: status.signal }

/** The errors of a spawn that another attempt would meet again, as long as nobody changes anything. */
export const permanentErrors: ReadonlySet<string> = new Set<(SpawnError | Place.PlaceError)["_tag"]>([
  "InvalidSpec",
  "CommandNotFound",
  "NotExecutable",
  "BadWorkingDirectory",
  "FileUnusable",
  "ArgumentListTooLong",
])

const spawnFailed = (
  generation: number,
  { _tag, message }: { readonly _tag: string; readonly message: string },
): UnitEvent => ({
  _tag: "SpawnFailed",
  generation,
  error: { kind: _tag, message },
  retryable: !permanentErrors.has(_tag),
})

/** What is to be run. */
const processSpec = (
  { portOf }: Services,
  { name, spec }: UnitContext,
  port: number | undefined,
): ProcessSpec.Input => ({
  command: Ports.commandOf(spec, port, portOf),
  cwd: spec.cwd,
  inheritEnv: spec.inheritEnv,
  envFiles: spec.envFile,
  env: Ports.variablesOf(spec, port, portOf),
  mask: spec.mask,
  stop: spec.stop,
  unit: name,
})

/** What its probes are about. Without an output there are no `log` probes. */
export const targetOf = (
  { portOf }: Services,
  { name, spec }: UnitContext,
  port: number | undefined,
  output?: ProcessOutput.ProcessOutput,
): ProbePlan.Target => ({
  ...(port !== undefined && { port }),
  ...(spec.host !== undefined && { host: spec.host }),
  ...(spec.cwd !== undefined && { cwd: spec.cwd }),
  ...(output !== undefined && { output }),
  env: Ports.variablesOf(spec, port, portOf),
  mask: spec.mask,
  unit: name,
})

/** Begins a life. It goes on by itself, and tells what happens to it. */
export const start = (
  services: Services,
  context: UnitContext,
  generation: number,
): Effect.Effect<Instance> =>
  Effect.gen(function* () {
    const { facts, log, spec, tell } = context
    const scope = yield* Scope.make()
    // A unit that writes faster than the disk takes waits for it, a little; see `UnitLog.attach`.
    const output = ProcessOutput.make({ whenFull: "block" })
    let running: Process | undefined
    let record: InstanceRecord | undefined
    const ending = yield* Deferred.make<(graceMillis?: number) => Effect.Effect<void>>()
    const end = (graceMillis?: number) => Effect.flatMap(Deferred.await(ending), (run) => run(graceMillis))

    let isEndTold = false
    const tellEnd = (status: ExitStatus): void => {
      if (isEndTold) return
      isEndTold = true
      tell({ _tag: "Ended", generation, end: endOf(status) })
    }

    /** Without interruption: either there is no process, or it is known, watched and told of. */
    const spawn = (port: number | undefined) =>
      Effect.gen(function* () {
        const ordered = yield* Clock.currentTimeNanos
        const process = yield* services.spawner
          .spawn(processSpec(services, context, port), { output })
          .pipe(Scope.extend(scope))
        running = process
        facts.process = process
        facts.startedNanos = yield* Clock.currentTimeNanos
        facts.startedAt = yield* Clock.currentTimeMillis
        yield* Metric.update(Metrics.spawnSeconds, Number(facts.startedNanos - ordered) / 1e9)
        record = yield* services.records.write({
          unit: context.name,
          generation,
          process,
          ports: Ports.all(spec, port),
        })
        tell({ _tag: "Spawned", generation, adopted: false })
        yield* Effect.forkIn(
          Effect.flatMap(process.exit, (status) => {
            tellEnd(status)
            return end()
          }),
          scope,
        )
        return process
      }).pipe(Effect.uninterruptible)

    const watchOwn = (process: Process) => (peers: ReadonlyArray<Listener.Answered["peers"][number]>) =>
      Listener.foreignAmong(process, { peers, healthy: true }).pipe(
        Effect.provideService(PortHolders, services.holders),
      )

    const live = Effect.gen(function* () {
      const targetAt = (port: number | undefined) => targetOf(services, context, port, output)
      const { adopt, port } = yield* Place.find(services, context, targetAt)
      const detach = log.attach(output, generation)
      yield* Scope.addFinalizer(scope, Effect.sync(detach))
      const probes = yield* HealthWatch.attach(services, spec, targetAt(port)).pipe(Scope.extend(scope))
      if (adopt !== undefined) {
        facts.outputs = adopt.outputs
        log.write("holdfast", "Somebody else's server answers here; it is used as it is.", generation)
        tell({ _tag: "Spawned", generation, adopted: true })
        return yield* HealthWatch.run(context, probes, { generation, isExternal: true })
      }
      const process = yield* spawn(port)
      if (HealthWatch.isEmpty(probes)) return
      const foreignAmong = spec.verifyListener ? { foreignAmong: watchOwn(process) } : {}
      yield* HealthWatch.run(context, probes, { generation, isExternal: false, ...foreignAmong })
    })

    const life = yield* live.pipe(
      Effect.catchAll((error) =>
        Effect.andThen(
          Scope.close(scope, Exit.void),
          Effect.sync(() => tell(spawnFailed(generation, error))),
        ),
      ),
      Effect.catchAllCause((cause) => {
        if (Cause.isInterruptedOnly(cause)) return Effect.void
        return Effect.logError(`Unit ${context.name} cannot be watched any more`, cause).pipe(
          Effect.andThen(
            Effect.sync(() => {
              if (running === undefined)
                tell(spawnFailed(generation, { _tag: "Defect", message: String(Cause.squash(cause)) }))
            }),
          ),
          Effect.andThen(running === undefined ? Scope.close(scope, Exit.void) : Effect.forkDaemon(end())),
        )
      }),
      Effect.interruptible,
      Effect.forkIn(services.scope),
    )

    const stop = Ending.make(context, services.scope, {
      generation,
      life,
      scope,
      stop: (grace) =>
        Effect.gen(function* () {
          if (running === undefined) return []
          const { survivors } = yield* running.stop(grace === undefined ? {} : { grace })
          const status = running.exitNow()
          if (status !== undefined) tellEnd(status)
          return survivors.map(({ command, pid }) => `${command} (pid ${pid})`)
        }),
      onGone: Effect.suspend(() => (record === undefined ? Effect.void : services.records.remove(record))),
    })
    yield* Deferred.succeed(ending, stop)
    return { generation, stop }
  })
