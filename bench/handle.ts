/**
 * What does a handle cost? An acquire of what is there, with a validation that does nothing; and 10,000 acquires at once
 * of what has to be started first: how much later they are served than one alone, and what they take of memory.
 */
import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type * as Scope from "effect/Scope"
import * as Handle from "../src/handle/Handle.js"
import { limited, paired } from "./harness.js"

const acquires = 100_000
const waiters = 10_000
const startMillis = 200

const run = <A>(effect: Effect.Effect<A, unknown, Scope.Scope>): Promise<A> =>
  Effect.runPromise(Logger.withMinimumLogLevel(Effect.scoped(effect), LogLevel.None))

const make = (start: Effect.Effect<object>, validation: Effect.Effect<void> = Effect.void) =>
  Handle.make({ name: "bench", guard: false, start: () => start, validate: () => validation })

/** Microseconds of processor time for one acquire of a handle that is Ready: the mark is for one core. */
const acquireReady = (validation: Effect.Effect<void>) =>
  run(
    Effect.gen(function* () {
      const handle = yield* make(Effect.succeed({}), validation)
      yield* Effect.repeatN(handle.acquire, acquires)
      const figures: Array<number> = []
      for (let round = 0; round < 7; round++) {
        const begin = process.cpuUsage()
        yield* Effect.repeatN(handle.acquire, acquires - 1)
        const { system, user } = process.cpuUsage(begin)
        figures.push((user + system) / acquires)
      }
      return figures
    }),
  )

/** Lets so many acquire an empty handle at once. */
const acquireEmpty = (count: number, whileWaiting: () => void = () => {}) =>
  run(
    Effect.gen(function* () {
      let starts = 0
      const start = Effect.suspend(() => {
        starts++
        return Effect.sleep(startMillis)
      })
      const handle = yield* make(Effect.as(start, {}))
      const begin = performance.now()
      const fibers = []
      for (let index = 0; index < count; index++) fibers.push(yield* Effect.fork(handle.acquire))
      yield* Effect.sleep(1)
      whileWaiting()
      let served = 0
      for (const fiber of fibers) if ((yield* fiber.await)._tag === "Success") served++
      if (starts !== 1 || served !== count) throw new Error(`${starts} starts served ${served} of ${count}`)
      return performance.now() - begin
    }),
  )

/** Megabytes that those who wait take, garbage included, in a Node that has done it once with a few. */
const measureMemory = async (): Promise<void> => {
  await acquireEmpty(10)
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  await acquireEmpty(waiters, () => console.log((process.memoryUsage.rss() - before) / 1e6))
}

const memory = (): number =>
  Number(
    execFileSync(process.execPath, ["--expose-gc", fileURLToPath(import.meta.url), "memory"], {
      encoding: "utf8",
    }),
  )

if (process.argv[2] === "memory") {
  await measureMemory()
} else {
  // 100,000 a second.
  limited({
    name: "acquire of a Ready handle, nothing validated",
    unit: "us",
    figures: await acquireReady(Effect.void),
    atMost: 10,
  })
  limited({
    name: "the same, with a validation that runs",
    unit: "us",
    figures: await acquireReady(Effect.sync(() => {})),
    atMost: 10,
  })
  await paired({
    name: "10,000 acquires of an empty handle / one",
    unit: "ms",
    ours: () => acquireEmpty(waiters),
    bare: () => acquireEmpty(1),
    atMostMore: 200,
  })
  limited({
    name: "memory of 10,000 that wait for a start",
    unit: "MB",
    figures: Array.from({ length: 5 }, memory),
    atMost: 100,
  })
}
