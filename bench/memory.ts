/**
 * What does a supervised process cost this program? Growth of resident memory for each of 1,000 `sleep`s with drained
 * output, against bare `child_process`, each measured in a Node of its own.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { paired } from "./harness.js"

const processes = 1_000

const residentBytes = (): number => {
  for (let i = 0; i < 4; i++) globalThis.gc?.()
  return process.memoryUsage.rss()
}

const report = (before: number): void => {
  console.log((residentBytes() - before) / processes / 1_024)
}

const measureOurs = async (): Promise<void> => {
  const { layer, ProcessSpawner } = await import("../src/process/ProcessSpawner.js")
  const program = Effect.gen(function* () {
    const spawner = yield* ProcessSpawner
    const one = spawner.spawn({ command: ["sleep", "600"], stop: { grace: "5s" } })
    // Both have done everything once before the first reading.
    yield* Effect.scoped(one)
    const before = residentBytes()
    yield* Effect.forEach(Array.from({ length: processes }), () => one)
    report(before)
  })
  await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layer)))
}

const measureBare = async (): Promise<void> => {
  const children: Array<ChildProcess> = []
  const one = (): ChildProcess => {
    const child = spawn("sleep", ["600"], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env },
    })
    child.on("error", () => {})
    child.on("exit", () => {})
    child.stdout!.on("data", () => {})
    child.stderr!.on("data", () => {})
    children.push(child)
    return child
  }
  one()
  const before = residentBytes()
  for (let i = 0; i < processes; i++) one()
  report(before)
  for (const child of children) process.kill(-child.pid!, "SIGKILL")
}

const measured = (which: string): Promise<number> =>
  Promise.resolve(
    Number(
      execFileSync(process.execPath, ["--expose-gc", fileURLToPath(import.meta.url), which], {
        encoding: "utf8",
      }),
    ),
  )

switch (process.argv[2]) {
  case "ours":
    await measureOurs()
    break
  case "bare":
    await measureBare()
    break
  default:
    await paired({
      name: "resident memory per supervised sleep, of 1,000",
      unit: "KiB",
      rounds: 5,
      ours: () => measured("ours"),
      bare: () => measured("bare"),
      atMost: 1.5,
    })
}
