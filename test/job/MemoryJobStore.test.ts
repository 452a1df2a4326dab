import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { JobEvent } from "../../src/job/JobEvent.js"
import { JobStore, StoreContents, layerMemory } from "../../src/job/JobStore.js"
import { suite } from "./store-suite.js"
import * as Support from "./support.js"

describe("a store in memory", () => {
  suite((maxJobs) => layerMemory({ inherited: {}, maxJobs }))

  it.effect("counts a delay from now, though the clock was set back after an earlier id", () =>
    Effect.gen(function* () {
      const store = yield* JobStore
      yield* TestClock.setTime(3_600_000)
      yield* store.insert(yield* Support.spec())
      yield* TestClock.setTime(5_000)
      const { record } = yield* store.insert(yield* Support.spec({ delay: "300ms" }))
      assert.isAbove(record.createdAt, 3_599_999)
      assert.deepStrictEqual(record.state, { _tag: "queued", since: 5_000, notBefore: 5_300 })
    }).pipe(Effect.provide(layerMemory())),
  )

  it.effect("can be looked into", () =>
    Effect.gen(function* () {
      const store = yield* JobStore
      const contents = yield* StoreContents
      const { record } = yield* store.insert(
        yield* Support.spec({ env: { TOKEN: "secret-word" }, mask: ["TOKEN"] }),
      )
      yield* store.announce("http://127.0.0.1:1")
      const before = yield* contents
      assert.deepStrictEqual([...before.records.values()], [record])
      assert.strictEqual(before.secrets.get(record.id)?.env["TOKEN"], "secret-word")
      assert.strictEqual(before.address, "http://127.0.0.1:1")
      yield* store.transition(record.id, JobEvent.Cancel({ at: 1, signal: "SIGTERM" }))
      assert.strictEqual((yield* contents).secrets.size, 0)
    }).pipe(Effect.provide(layerMemory())),
  )
})
