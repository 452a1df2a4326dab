/** Starts processes. The only place in Holdfast where one comes to life. */
import { randomBytes } from "node:crypto"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Child from "./Child.js"
import { type Attempt, diagnose } from "./Diagnosis.js"
import * as Environment from "./Environment.js"
import * as Guardian from "./Guardian.js"
import type { InvalidSpec } from "./InvalidSpec.js"
import * as LinuxProcessTable from "./LinuxProcessTable.js"
import * as MacProcessTable from "./MacProcessTable.js"
import * as Mask from "./Mask.js"
import type { Process, StopOptions } from "./Process.js"
import * as ProcessGroup from "./ProcessGroup.js"
import * as ProcessOutput from "./ProcessOutput.js"
import * as ProcessSpec from "./ProcessSpec.js"
import { ProcessTable } from "./ProcessTable.js"
import { type SpawnError, SpawnFailed } from "./SpawnError.js"
import * as Stdio from "./Stdio.js"

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
     * KILL, until the group is empty) and waits for that, whatever way the scope closes.
     */
    readonly spawn: (
      spec: ProcessSpec.Input,
      options?: SpawnOptions,
    ) => Effect.Effect<Process, InvalidSpec | SpawnError, Scope.Scope>
  }
>() {}

/** Holdfast does not run on this system. */
export class UnsupportedPlatform extends Schema.TaggedError<UnsupportedPlatform>()("UnsupportedPlatform", {
  platform: Schema.String,
}) {
  override get message(): string {
    return `Holdfast runs on Linux and macOS; it does not run on ${this.platform} yet.`
  }
}

type Services = {
  readonly owner: string
  readonly table: Context.Tag.Service<ProcessTable>
  readonly guardian: Context.Tag.Service<Guardian.Guardian>
}

/** The identity of a child just started. A child that cannot be identified could never be stopped safely. */
const identify = ({ table }: Services, { pid }: Child.Child, command: string) =>
  table.identifyChild(pid).pipe(
    Effect.mapError(({ message }) => {
      // Not reaped yet: the group cannot be anybody else's.
      process.kill(-pid, "SIGKILL")
      return new SpawnFailed({ command, code: "EMFILE", reason: message })
    }),
  )

/** Starts one process and builds its handle and its release. */
const start = Effect.fnUntraced(function* (
  services: Services,
  spec: ProcessSpec.ProcessSpec,
  env: Record<string, string>,
  mark: string,
  output: ProcessOutput.Hub,
) {
  const { guardian, table } = services
  const redact = Mask.make(spec.mask, env)
  const command = Mask.formatCommand(spec.command, redact)
  const [program, ...args] = spec.command
  const attempt: Attempt = { program, args, cwd: spec.cwd, env, shown: command, redact }

  yield* Effect.mapError(guardian.ensure, (cause) =>
    diagnose({ ...attempt, program: "/bin/sh", cwd: "/" }, cause),
  )
  const child = yield* Child.start(spec, attempt)
  const { pid } = child
  const spawnedAt = yield* Clock.currentTimeNanos
  const identity = yield* identify(services, child, command)
  const group = ProcessGroup.make(identity, mark, table, spawnedAt)
  guardian.watch(identity)
  table.setOwn(pid, true)
  child.process.once("exit", (code, signal) => {
    table.setOwn(pid, false)
    group.leaderEnded(Child.exitStatus(code, signal))
  })
  Stdio.drain(child.process, output)
  const { end, write } = Stdio.input(pid, child.process.stdin, spec)

  const stop = (options?: StopOptions) =>
    Effect.tap(
      group.stop({
        signal: options?.signal ?? spec.stop.signal,
        grace: options?.grace ?? spec.stop.grace,
      }),
      (report) => {
        if (report.survivors.length > 0) return Effect.void
        guardian.unwatch(identity)
        return Child.closeOutput(child.process, output)
      },
    )
  const release = Effect.flatMap(stop(), ({ survivors }) =>
    survivors.length === 0
      ? Effect.void
      : Effect.logError(
          `${command} (pid ${pid}) was stopped, but processes of it survived: ${survivors
            .map((leak) => `${leak.pid} ${redact(leak.command)}`)
            .join(", ")}`,
        ),
  )
  const handle: Process = {
    pid,
    identity,
    spec: Mask.redactSpec(spec, redact),
    command,
    redact,
    exit: group.exit,
    exitNow: group.exitNow,
    output,
    write,
    endInput: end,
    members: group.members,
    signal: group.signal,
    stop: (options) =>
      Effect.withSpan(stop(options), "Process.stop", {
        attributes: { pid, command },
        captureStackTrace: false,
      }),
  }
  return { handle, release }
})

const make = (owner: string) =>
  Effect.gen(function* () {
    const services = { owner, table: yield* ProcessTable, guardian: yield* Guardian.Guardian }
    let spawned = 0

    // What is still alive when this service ends, though the scopes it was spawned in are open.
    const live = new Set<Effect.Effect<void>>()
    yield* Effect.addFinalizer(() =>
      Effect.forEach([...live], (release) => release, { concurrency: "unbounded", discard: true }),
    )

    return ProcessSpawner.of({
      owner,
      spawn: (input, options) =>
        Effect.flatMap(ProcessSpec.make(input), (spec) => {
          const mark = `${owner}.${spawned++}`
          const output = options?.output ?? ProcessOutput.make({ whenFull: spec.whenFull })
          return Effect.flatMap(Environment.resolve(spec, owner, mark), (env) =>
            // Acquired without interruption: either there is no child, or its release is registered.
            Effect.acquireRelease(
              Effect.tap(start(services, spec, env, mark, output), ({ release }) => {
                live.add(release)
              }),
              ({ release }) =>
                Effect.map(release, () => {
                  live.delete(release)
                }),
            ),
          )
        }).pipe(
          Effect.map(({ handle }) => handle),
          Effect.tap(({ command, pid }) => Effect.annotateCurrentSpan({ pid, command })),
          // No stack traces in the span: they would be a tenth of the cost of a spawn.
          Effect.withSpan("ProcessSpawner.spawn", { captureStackTrace: false }),
        ),
    })
  })

/** The table of processes of the system this runs on. */
const platformTable = Layer.suspend(() => {
  switch (process.platform) {
    case "linux":
      return LinuxProcessTable.layer
    case "darwin":
      return MacProcessTable.layer
    default:
      return Layer.die(new UnsupportedPlatform({ platform: process.platform }))
  }
})

/**
 * Starts real processes. One guardian per layer kills whatever is alive when the program dies; closing the layer
 * stops what is still running. Where Holdfast does not run, building it dies with `UnsupportedPlatform`.
 */
export const layer: Layer.Layer<ProcessSpawner> = Layer.suspend(() => {
  const owner = randomBytes(16).toString("hex")
  return Layer.scoped(ProcessSpawner, make(owner)).pipe(Layer.provide([platformTable, Guardian.layer(owner)]))
})
