/**
 * What does supervision cost a short process? From the spawn to the end of the scope, eight at a time, against a bare
 * `child_process.spawn` with the same options that waits for the end of the child and of its output.
 */
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as ProcessSpawner from "../src/process/ProcessSpawner.js"
import { paired } from "./harness.js"

const processes = 400
const concurrency = 8

const runtime = ManagedRuntime.make(ProcessSpawner.layer)

const ours = Effect.gen(function* () {
  const spawner = yield* ProcessSpawner.ProcessSpawner
  const one = Effect.scoped(
    Effect.flatMap(spawner.spawn({ command: ["/bin/true"] }), (process) => process.exit),
  )
  yield* Effect.forEach(Array.from({ length: processes }), () => one, { concurrency, discard: true })
})

const bareOne = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const child = spawn("/bin/true", [], { detached: true, stdio: ["ignore", "pipe", "pipe"] })
    child.stdout.resume()
    child.stderr.resume()
    child.on("error", reject)
    child.on("close", () => resolve())
  })

const bare = async (): Promise<void> => {
  let left = processes
  const worker = async (): Promise<void> => {
    while (left-- > 0) await bareOne()
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}

const rate = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await run()
  return (processes / (performance.now() - start)) * 1_000
}

/** Nothing but an Effect scope around a bare spawn: what no supervision written in Effect can be quicker than. */
const scopeOnly = Effect.forEach(
  Array.from({ length: processes }),
  () =>
    Effect.scoped(
      Effect.flatMap(
        Effect.acquireRelease(
          Effect.sync(() => ({ ended: bareOne() })),
          () => Effect.void,
        ),
        ({ ended }) => Effect.promise(() => ended),
      ),
    ),
  { concurrency, discard: true },
)

await paired({
  name: "for comparison: a bare spawn in an Effect scope",
  unit: "/s",
  rounds: 9,
  ours: () => rate(() => Effect.runPromise(scopeOnly)),
  bare: () => rate(bare),
})
await paired({
  name: "spawn to exit of /bin/true, 8 at a time",
  unit: "/s",
  rounds: 9,
  ours: () => rate(() => runtime.runPromise(ours)),
  bare: () => rate(bare),
  atLeast: 0.85,
})
await runtime.dispose()
