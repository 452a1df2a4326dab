/**
 * Processes that live in memory, on the clock of Effect: for tests of whatever starts processes. Their specs, variables,
 * masks and outputs, their groups and stops are those of real ones; only that there is nothing in the operating system.
 * So a test says what a program does, and lets an hour of it go by in milliseconds on a `TestClock`.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Environment from "./Environment.js"
import { type Ending, MemoryProcess, type Program } from "./MemoryProcess.js"
import type { Variables } from "./Mask.js"
import * as ProcessOutput from "./ProcessOutput.js"
import { ProcessSpawner, type SpawnOptions } from "./ProcessSpawner.js"
import * as ProcessSpec from "./ProcessSpec.js"
import type { SpawnError } from "./SpawnError.js"
import * as Tracing from "./Tracing.js"

export type { Child, Ending, MemoryProcess, Program } from "./MemoryProcess.js"

/** A spawn that somebody asks for. */
export interface Attempt {
  /** How many were asked for before, over all. */
  readonly index: number
  /** How many were asked for before of the same unit, or the same job; else, of what is neither. */
  readonly life: number
  readonly spec: ProcessSpec.ProcessSpec
  /** The whole environment, as a real process would get it. */
  readonly env: Readonly<Variables>
}

/** What comes of a spawn: a program, or the error of one that fails. It may wait first: then the spawn takes that long. */
export type Script = (attempt: Attempt) => Effect.Effect<Program, SpawnError>

/** What a spawner in memory has been asked for so far. */
export class ScriptedSpawner extends Context.Tag("holdfast/process/ScriptedSpawner")<
  ScriptedSpawner,
  {
    /** Every spawn that was asked for, those that failed among them. */
    readonly attempts: () => ReadonlyArray<Attempt>
    /** Every process there was, in the order of their spawns. */
    readonly processes: () => ReadonlyArray<MemoryProcess>
    /** Those of which something is left: the process itself, or a child. */
    readonly alive: () => ReadonlyArray<MemoryProcess>
    /** The last process of a unit. */
    readonly latest: (unit: string) => MemoryProcess | undefined
    /** The most processes that one unit ever had at the same time. */
    readonly mostAtOnce: () => number
    /**
     * From now on every process ends by any signal, whatever its program says. For the end of a test, when nobody turns
     * the clock any more and a process that ignores its stop signal would never be killed.
     */
    readonly obey: Effect.Effect<void>
  }
>() {}

/** A program that runs until it is stopped. */
export const runs =
  (program: Program = {}): Script =>
  () =>
    Effect.succeed(program)

/** How a process ends that {@link exits}. */
export interface Exits extends Omit<Program, "run"> {
  /** How long it runs first. Default: it ends at once. */
  readonly after?: Duration.DurationInput
  /** The lines that it writes before. */
  readonly prints?: ReadonlyArray<string>
}

/** A program that ends by itself: with that exit code, or by that signal. */
export const exits =
  (ending: Ending, { after = 0, prints = [], ...program }: Exits = {}): Script =>
  () =>
    Effect.succeed({
      ...program,
      run: ({ print }) =>
        Effect.forEach(prints, (line) => print(line), { discard: true }).pipe(
          Effect.andThen(Effect.sleep(after)),
          Effect.as(ending),
        ),
    })

/** A spawn that fails. */
export const fails =
  (error: SpawnError): Script =>
  () =>
    Effect.fail(error)

/** One script for each life of a unit, in order. The last one is for all further lives too. */
export const inTurn =
  (...scripts: readonly [Script, ...Array<Script>]): Script =>
  (attempt) =>
    (scripts[attempt.life] ?? scripts.at(-1)!)(attempt)

/** A script for each unit by its name; those that are not named run until they are stopped. */
export const byUnit =
  (scripts: Readonly<Record<string, Script>>): Script =>
  (attempt) => {
    const { unit } = attempt.spec
    return unit !== undefined && Object.hasOwn(scripts, unit) ? scripts[unit]!(attempt) : runs()(attempt)
  }

/** What is known of the processes of one layer. */
class Memory {
  readonly attempts: Array<Attempt> = []
  readonly processes: Array<MemoryProcess> = []
  mostAtOnce = 0
  isOver = false
  private readonly lives = new Map<string, number>()
  private readonly byUnit = new Map<string, Array<MemoryProcess>>()

  attempt(spec: ProcessSpec.ProcessSpec, env: Variables): Attempt {
    const of = JSON.stringify([spec.unit, spec.job])
    const life = this.lives.get(of) ?? 0
    this.lives.set(of, life + 1)
    const attempt = { index: this.attempts.length, life, spec, env }
    this.attempts.push(attempt)
    return attempt
  }

  get alive(): ReadonlyArray<MemoryProcess> {
    return this.processes.filter((process) => !process.isEmpty())
  }

  add(process: MemoryProcess): void {
    this.processes.push(process)
    const { unit } = process.spec
    if (unit === undefined) return
    const all = this.byUnit.get(unit) ?? []
    this.byUnit.set(unit, all)
    all.push(process)
    this.mostAtOnce = Math.max(this.mostAtOnce, all.filter((one) => !one.isEmpty()).length)
  }

  latest(unit: string): MemoryProcess | undefined {
    return this.byUnit.get(unit)?.at(-1)
  }
}

/** What a real spawner does when its scope closes. */
const release = (process: MemoryProcess): Effect.Effect<void> =>
  Effect.flatMap(process.stop(), ({ survivors }) =>
    survivors.length === 0
      ? Effect.void
      : Effect.logError(
          `${process.command} was stopped, but processes of it survived: ${survivors.map(({ pid }) => pid).join(", ")}`,
        ),
  )

const owner = "in-memory"

/**
 * Starts processes in memory, as a script says. What they read from `stdin` is kept for the test; what they write to files
 * goes nowhere. Closing the layer ends them all at once.
 *
 * ```ts
 * MemorySpawner.layerScripted(
 *   MemorySpawner.inTurn(
 *     MemorySpawner.exits(1, { after: "2 seconds", prints: ["out of luck"] }),
 *     MemorySpawner.runs(),
 *   ),
 * )
 * ```
 */
export const layerScripted = (script: Script): Layer.Layer<ProcessSpawner | ScriptedSpawner> =>
  Layer.scopedContext(
    Effect.gen(function* () {
      const memory = new Memory()
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          for (const process of memory.alive) process.vanish()
        }),
      )
      const start = Effect.fnUntraced(function* (input: ProcessSpec.Input, { output }: SpawnOptions) {
        const spec = yield* ProcessSpec.make(input)
        const mark = `${owner}.${memory.attempts.length}`
        const env = yield* Environment.resolve(spec, owner, mark)
        const attempt = memory.attempt(spec, env)
        // A spawn takes its time only here, and nobody has to wait for it who gives it up.
        const program = yield* Effect.interruptible(script(attempt))
        const runtime = yield* Effect.runtime()
        const acquire = Effect.sync(() => {
          const hub = output ?? ProcessOutput.make({ whenFull: spec.whenFull })
          const about = { index: attempt.index, spec, env, mark, output: hub, runtime }
          const process = new MemoryProcess(program, about, () => memory.isOver)
          memory.add(process)
          process.begin()
          return process
        })
        return yield* Effect.acquireRelease(acquire, release)
      })
      return Context.make(ProcessSpawner, {
        owner,
        spawn: (input, options = {}) =>
          Tracing.withSpan(start(input, options), "ProcessSpawner.spawn", () => ({
            unit: input?.unit,
            job: input?.job,
          })),
      }).pipe(
        Context.add(ScriptedSpawner, {
          attempts: () => memory.attempts,
          processes: () => memory.processes,
          alive: () => memory.alive,
          latest: (unit) => memory.latest(unit),
          mostAtOnce: () => memory.mostAtOnce,
          obey: Effect.sync(() => {
            memory.isOver = true
            for (const process of memory.alive) process.obey()
          }),
        }),
      )
    }),
  )
