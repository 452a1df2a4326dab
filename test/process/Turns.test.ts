import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Turns from "../../src/process/Turns.js"

const others = (seen: Array<string>) =>
  Effect.sync(() => {
    const again = () => {
      seen.push("others")
      if (seen.length < 20) setImmediate(again)
    }
    setImmediate(again)
  })

describe("turns", () => {
  it.live("let others have theirs between two of those who wait, and go on in order", () =>
    Effect.gen(function* () {
      const turn = Turns.make()
      const seen: Array<string> = []
      yield* others(seen)
      yield* Effect.forEach([1, 2, 3], (n) => Effect.map(turn, () => seen.push(String(n))), {
        concurrency: "unbounded",
      })
      const numbers = seen.filter((one) => one !== "others")
      assert.deepStrictEqual(numbers, ["1", "2", "3"])
      assert.strictEqual(seen[0], "1")
      assert.isAbove(seen.indexOf("others"), 0)
      assert.isBelow(seen.indexOf("others"), seen.indexOf("3"))
    }),
  )

  it.live("pass over who has gone meanwhile", () =>
    Effect.gen(function* () {
      const turn = Turns.make()
      yield* turn
      const left = yield* Effect.fork(turn)
      const stays = yield* Effect.fork(turn)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(left)
      yield* Fiber.join(stays)
      // And there is one at once when nobody waits any more.
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(() => setImmediate(resolve))))
      Effect.runSync(turn)
    }),
  )
})
