/** Starts processes. The only place in Holdfast where one comes to life. */
import { randomBytes } from "node:crypto"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.js"
import { type Attempt, diagnose } from "./Diagnosis.js"
import * as Environment from "./Environment.js"
import * as Guardian from "./Guardian.js"
import { InvalidSpec } from "./InvalidSpec.js"
import * as Mask from "./Mask.js"
import { LiveProcess, release, type Services } from "./LiveProcess.js"
import * as PlatformTable from "./PlatformTable.js"
import type { Process } from "./Process.js"
import { ProcessGroup } from "./ProcessGroup.js"
import * as ProcessOutput from "./ProcessOutput.js"
import * as ProcessSpec from "./ProcessSpec.js"
import { ProcessTable } from "./ProcessTable.js"
import { type SpawnError, SpawnFailed } from "./SpawnError.js"
import * as Tracing from "./Tracing.js"
import * as Turns from "./Turns.js"

export { UnsupportedPlatform } from "./PlatformTable.js"

/** Options of `spawn`. */
export interface SpawnOptions {
  /** Where output goes; give one that already has listeners, so that they miss nothing. */
  readonly output?: ProcessOutput.Hub
}

/** Starts processes, each bound to the scope it is spawned in. */
export class ProcessSpawner extends Context.Tag("holdfast/process/ProcessSpawner")<
  ProcessSpawner,
  {
    /** The unguessable id of this program run; every child has it as `HOLDFAST_OWNER`. */
    readonly owner: string
    /**
     * Starts a process in a session and group of its own. Closing the scope stops it (stop signal, grace period,
     * KILL, until the group is empty) and waits for that, whatever way the scope closes. Interrupted when the
     * spawner's own layer has been closed.
     */
    readonly spawn: (
      spec: ProcessSpec.Input,
      options?: SpawnOptions,
    ) => Effect.Effect<Process, InvalidSpec | SpawnError, Scope.Scope>
  }
>() {}

/** Starts one process and gives its handle, which the caller has to release. */
const start = Effect.fnUntraced(function* (
  { guardian, table }: Services,
  spec: ProcessSpec.ProcessSpec,
  env: Mask.Variables,
  mark: string,
  output: ProcessOutput.Hub,
) {
  const redact = Mask.make(spec.mask, env)
  const command = Mask.formatCommand(spec.command, redact)
  const [program, ...args] = spec.command
  const attempt: Attempt = { program, args, cwd: spec.cwd, env, shown: command, redact }
  yield* Effect.mapError(guardian.ensure, (cause) =>
    diagnose({ ...attempt, program: "/bin/sh", cwd: "/" }, cause),
  )
  // Before the spawn: rather a moment too early, so that the end of the leader is rather a moment too late.
  const spawnedAt = process.hrtime.bigint()
  const child = yield* Child.start(spec, attempt, output)
  const identity = yield* Effect.mapError(table.identifyChild(child.pid), ({ reason }) => {
    // What cannot be identified could never be stopped safely.
    child.kill()
    return new SpawnFailed({ command, code: "EMFILE", reason })
  })
  const group = new ProcessGroup(identity, mark, table, spawnedAt, redact)
  const services = { guardian, table }
  return new LiveProcess(services, child, group, output, ProcessSpec.redacted(spec, redact), command, redact)
})

const make = (owner: string) =>
  Effect.gen(function* () {
    const services: Services = { table: yield* ProcessTable, guardian: yield* Guardian.Guardian }
    let spawned = 0
    // A fork copies the whole program, and nothing else happens meanwhile.
    const turn = Turns.make()

    // What is still alive, or on its way, when this service ends, though the scopes it was spawned in are open.
    const live = new Set<LiveProcess>()
    let starting = 0
    let isClosed = false
    const stopAll = Effect.gen(function* () {
      isClosed = true
      while (live.size > 0 || starting > 0) {
        yield* Effect.forEach([...live], letGo, { concurrency: "unbounded", discard: true })
        if (starting > 0) yield* Effect.sleep("5 millis")
      }
    })
    const letGo = (child: LiveProcess) =>
      Effect.map(release(child), () => {
        live.delete(child)
      })
    yield* Effect.addFinalizer(() => stopAll)

    const acquire = (
      spec: ProcessSpec.ProcessSpec,
      env: Mask.Variables,
      mark: string,
      output: ProcessOutput.Hub,
    ) =>
      Effect.suspend(() => {
        if (isClosed) return Effect.interrupt
        starting++
        return Effect.flatMap(start(services, spec, env, mark, output), (child) => {
          live.add(child)
          // Closed while this one was on its way: the closing waits for it, and lets it go.
          return isClosed ? Effect.interrupt : Effect.succeed(child)
        }).pipe(
          Effect.ensuring(
            Effect.sync(() => {
              starting--
            }),
          ),
        )
      })

    const spawn = (spec: ProcessSpec.ProcessSpec, output: ProcessOutput.Hub) => {
      const mark = `${owner}.${spawned++}`
      return Effect.flatMap(Environment.resolve(spec, owner, mark), (env) =>
        // Acquired without interruption: either there is no child, or its release is registered.
        Effect.zipRight(turn, Effect.acquireRelease(acquire(spec, env, mark, output), letGo)),
      )
    }

    return ProcessSpawner.of({
      owner,
      spawn: (input, options = {}) =>
        Tracing.withSpan(
          Effect.flatMap(ProcessSpec.make(input), (spec) =>
            Effect.flatMap(outputFor(spec, options), (output) => spawn(spec, output)),
          ),
          "ProcessSpawner.spawn",
          () => ({ unit: input?.unit, job: input?.job }),
        ),
    })
  })

/** The hub that was given, or a new one. One that drops cannot make a process wait. */
const outputFor = (
  { whenFull }: ProcessSpec.ProcessSpec,
  { output }: SpawnOptions,
): Effect.Effect<ProcessOutput.Hub, InvalidSpec> => {
  if (output === undefined) return Effect.sync(() => ProcessOutput.make({ whenFull }))
  if (whenFull === "drop" || output.whenFull === whenFull) return Effect.succeed(output)
  const allowed = 'expected an `output` made with whenFull "block", or "drop"'
  return Effect.fail(
    new InvalidSpec({ what: "process spec", issues: [{ field: "whenFull", value: '"block"', allowed }] }),
  )
}

/**
 * Starts real processes. One guardian per layer kills whatever is alive when the program dies; closing the layer
 * stops what is still running. Where Holdfast does not run, building it dies with `UnsupportedPlatform`.
 */
export const layer: Layer.Layer<ProcessSpawner> = Layer.suspend(() => {
  const owner = randomBytes(16).toString("hex")
  return Layer.scoped(ProcessSpawner, make(owner)).pipe(
    Layer.provide([PlatformTable.layer, Guardian.layer(owner)]),
  )
})
