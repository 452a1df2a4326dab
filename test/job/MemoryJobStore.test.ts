import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { JobEvent } from "../../src/job/JobEvent.js"
import { JobStore, StoreContents, layerMemory } from "../../src/job/JobStore.js"
import { suite } from "./store-suite.js"
import * as Support from "./support.js"

describe("a store in memory", () => {
  suite((maxJobs) => layerMemory({ inherited: {}, maxJobs }))

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
