/** What the tests of real processes share. */
import { readdirSync, readFileSync } from "node:fs"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { InvalidSpec } from "../../src/process/InvalidSpec.js"
import type { Process } from "../../src/process/Process.js"
import type * as ProcessSpec from "../../src/process/ProcessSpec.js"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
import { ProcessSpawner } from "../../src/process/ProcessSpawner.js"
import type { SpawnError } from "../../src/process/SpawnError.js"
import { killPid, mustBePid } from "./killPid.js"

/** Whether a process is there and not a zombie. */
export const isAlive = (pid: number): boolean => {
  mustBePid(pid)
  try {
    killPid(pid, 0)
  } catch {
    return false
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    return stat[stat.lastIndexOf(")") + 2] !== "Z"
  } catch (cause) {
    // No /proc on this system: a process that answers counts as alive.
    return (cause as NodeJS.ErrnoException).code === "ENOENT" ? process.platform !== "linux" : false
  }
}

/** Waits, looking again and again, until `condition` holds; dies after ten seconds. */
export const eventually = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry(Schedule.spaced("5 millis")),
    Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => new Error(`never happened: ${what}`) }),
    Effect.orDie,
  )

/** Spawns, and gives a way to wait for lines of its output. */
export const spawnTalking = (
  spec: ProcessSpec.Input,
): Effect.Effect<
  Process & { readonly line: (start: string) => Effect.Effect<string> },
  InvalidSpec | SpawnError,
  ProcessSpawner | Scope.Scope
> =>
  Effect.gen(function* () {
    const spawner = yield* ProcessSpawner
    const output = ProcessOutput.make()
    const seen: Array<string> = []
    let waiting: Array<() => void> = []
    output.subscribeLines(({ text }) => {
      seen.push(text)
      const woken = waiting
      waiting = []
      for (const wake of woken) wake()
    })
    const line = (start: string): Effect.Effect<string> =>
      Effect.gen(function* () {
        let hasEnded = false
        while (true) {
          const found = seen.find((text) => text.startsWith(start))
          if (found !== undefined) return found.slice(start.length)
          if (hasEnded) return yield* Effect.dieMessage(`no line began with ${start}: ${output.tail()}`)
          const next = yield* Deferred.make<void>()
          waiting.push(() => Deferred.unsafeDone(next, Effect.void))
          hasEnded = yield* Effect.raceFirst(
            Effect.as(Deferred.await(next), false),
            Effect.as(output.ended, true),
          )
        }
      })
    const handle = yield* spawner.spawn(spec, { output })
    return Object.assign(handle, { line })
  })

/** A shell script as a command. */
export const sh = (script: string): [string, ...Array<string>] => ["/bin/sh", "-c", script]

/** A Node program as a command. */
export const node = (script: string): [string, ...Array<string>] => [process.execPath, "-e", script]

/** The pids that a line `a b c` lists. */
export const pidsOf = (text: string): ReadonlyArray<number> => text.trim().split(/\s+/).map(Number)

/** The live processes that carry this owner's mark; Linux only. */
export const marked = (owner: string): ReadonlyArray<number> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/environ`, "latin1").includes(`HOLDFAST_OWNER=${owner}`) && isAlive(pid)
        )
      } catch {
        return false
      }
    })
