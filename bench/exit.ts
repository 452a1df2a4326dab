/**
 * Is an exit noticed at once? From a signal to the end of a process until its exit is known, against the bare `exit`
 * event; the median of many.
 */
import { once } from "node:events"
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as ProcessSpawner from "../src/process/ProcessSpawner.js"
import { median, paired } from "./harness.js"

const ends = 30

const runtime = ManagedRuntime.make(ProcessSpawner.layer)

const ours = ProcessSpawner.ProcessSpawner.pipe(
  Effect.flatMap((spawner) => spawner.spawn({ command: ["sleep", "60"] })),
  Effect.flatMap((child) =>
    Effect.gen(function* () {
      const start = performance.now()
      process.kill(child.pid, "SIGKILL")
      yield* child.exit
      return performance.now() - start
    }),
  ),
  Effect.scoped,
)

const bare = async (): Promise<number> => {
  const child = spawn("sleep", ["60"], { detached: true, stdio: ["ignore", "pipe", "pipe"] })
  const exit = once(child, "exit")
  const start = performance.now()
  process.kill(child.pid!, "SIGKILL")
  await exit
  return performance.now() - start
}

const medianOf = async (measure: () => Promise<number>): Promise<number> => {
  const millis: Array<number> = []
  for (let i = 0; i < ends; i++) millis.push(await measure())
  return median(millis)
}

await paired({
  name: "from KILL to the exit being known",
  unit: "ms",
  ours: () => medianOf(() => runtime.runPromise(ours)),
  bare: () => medianOf(bare),
  atMostMore: 1,
})
await runtime.dispose()
