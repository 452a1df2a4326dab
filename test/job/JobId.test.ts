import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as JobId from "../../src/job/JobId.js"

describe("a job's id", () => {
  it.effect("tells when it was made, and each is greater than the one before, the clock going back too", () =>
    Effect.gen(function* () {
      const next = JobId.factory()
      yield* TestClock.setTime(1_700_000_000_000)
      const ids = yield* Effect.replicateEffect(next, 1_000)
      yield* TestClock.setTime(1_600_000_000_000)
      const later = yield* next
      assert.strictEqual(JobId.createdAt(ids[0]!), 1_700_000_000_000)
      const all = [...ids, later]
      assert.deepStrictEqual([...new Set(all)].sort(), all)
      for (const id of all) assert.isTrue(Schema.is(JobId.JobId)(id), id)
    }),
  )

  it("is bounded from below by its time", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.integer({ min: 0, max: 2 ** 48 - 2 }), (millis) => {
        const lowest = JobId.lowestAt(millis)
        assert.isTrue(Schema.is(JobId.JobId)(lowest))
        assert.isTrue(
          JobId.createdAt(lowest as JobId.JobId) === millis && lowest < JobId.lowestAt(millis + 1),
        )
      }),
    )
    assert.strictEqual(JobId.lowestAt(-5), "0".repeat(26))
  })

  it("may be given by its beginning, in any case; nothing else gets through", () => {
    assert.deepStrictEqual(JobId.parsePrefix("01hz"), Either.right("01HZ" as JobId.JobPrefix))
    const bad = [
      "",
      " ",
      "..",
      "../etc",
      "%2e%2e%2f",
      "01HZ/",
      "01HZ\0",
      "01HZ\n",
      "ILOU",
      "é",
      "٠",
      "ı",
      "ſ",
      "0".repeat(27),
      "A".repeat(10_000),
      "__proto__",
    ]
    for (const text of bad) {
      const refused = JobId.parsePrefix(text)
      assert.isTrue(Either.isLeft(refused), JSON.stringify(text.slice(0, 20)))
      if (Either.isLeft(refused)) assert.isBelow(refused.left.message.length, 250)
      assert.isTrue(Either.isLeft(Schema.decodeUnknownEither(JobId.JobPrefix)(text)))
      assert.isFalse(Schema.is(JobId.JobId)(text))
    }
    assert.isFalse(Schema.is(JobId.JobId)("8".repeat(26)), "beyond what a ULID can be")
  })
})
