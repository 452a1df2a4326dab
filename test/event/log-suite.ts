/** What every event log does, wherever it is kept. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { EventLog } from "../../src/event/EventLog.js"
import { fill, firstOf, range, seqs } from "./support.js"

export const suite = <E>(layer: () => Layer.Layer<EventLog, E>): void => {
  const test = <E2>(what: string, body: Effect.Effect<void, E2, EventLog>) =>
    it.live(what, () => Effect.provide(body, layer()))

  test(
    "gives back what was added, in order and numbered from 1",
    Effect.gen(function* () {
      const log = yield* EventLog
      assert.deepStrictEqual(yield* log.read(), { events: [], next: 0, first: 1, last: 0, missed: false })
      const before = Date.now()
      const data = { code: 3, why: 'a "quoted"\nline \u2028 é 𝄞', list: [1, { a: null }] }
      assert.strictEqual(yield* log.append("job.exited", "a", data), 1)
      assert.strictEqual(yield* log.append("unit.ready", "web"), 2)
      const page = yield* log.read()
      assert.deepInclude(page, { next: 2, first: 1, last: 2, missed: false })
      const [first, second] = page.events
      assert.deepInclude(first, { seq: 1, type: "job.exited", subject: "a", data })
      assert.deepInclude(second, { seq: 2, type: "unit.ready", subject: "web", data: {} })
      assert.isAtLeast(first!.at, before)
      assert.isAtMost(first!.at, Date.now())
      assert.deepStrictEqual(yield* log.read({ after: 2 }), {
        events: [],
        next: 2,
        first: 1,
        last: 2,
        missed: false,
      })
    }),
  )

  test(
    "lets readers go on from their own cursors, page by page",
    Effect.gen(function* () {
      const log = yield* EventLog
      yield* fill(250)
      const one = yield* log.read()
      assert.deepStrictEqual(seqs(one), range(1, 100))
      const other = yield* log.read({ after: 240, limit: 5 })
      assert.deepStrictEqual(seqs(other), range(241, 245))
      assert.deepStrictEqual(seqs(yield* log.read({ after: one.next, limit: 1_000 })), range(101, 250))
      assert.deepStrictEqual(seqs(yield* log.read({ after: other.next })), range(246, 250))
      assert.deepStrictEqual(seqs(yield* log.read({ after: 0, limit: 1 })), [1])
    }),
  )

  test(
    "reads by subject and type, and moves the cursor past what is not wanted",
    Effect.gen(function* () {
      const log = yield* EventLog
      for (const type of ["job.queued", "job.exited", "jobs", "unit.ready", "job"]) {
        yield* log.append(type, "a")
        yield* log.append(type, "b")
      }
      const types = (page: { readonly events: ReadonlyArray<{ readonly type: string }> }) =>
        page.events.map(({ type }) => type)
      const jobs = yield* log.read({ subject: "a", types: ["job"] })
      assert.deepStrictEqual(types(jobs), ["job.queued", "job.exited", "job"])
      assert.strictEqual((yield* log.read({ subject: "a", types: ["unit"], after: 1 })).next, 10)
      const two = yield* log.read({ types: ["unit.ready", "job.exited"], limit: 3 })
      assert.deepStrictEqual(seqs(two), [3, 4, 7])
      assert.deepStrictEqual(seqs(yield* log.read({ types: ["unit"], after: two.next })), [8])
      assert.deepStrictEqual((yield* log.read({ subject: "c" })).events, [])
    }),
  )

  test(
    "refuses queries that mean nothing, naming the field",
    Effect.gen(function* () {
      const log = yield* EventLog
      for (const [query, field] of [
        [{ limit: 0 }, "limit"],
        [{ limit: 1_001 }, "limit"],
        [{ after: -1 }, "after"],
        [{ after: 1.5 }, "after"],
        [{ after: Number.NaN }, "after"],
        [{ types: [3] as any }, "types[0]"],
        [{ typo: 1 } as any, "typo"],
      ] as const) {
        const refused = yield* Effect.flip(log.read(query))
        assert.strictEqual(refused._tag, "InvalidSpec")
        assert.include(refused.message, field)
      }
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(log.follow({ after: -1 }))))._tag, "InvalidSpec")
    }),
  )

  test(
    "takes a cursor that it never gave for none, and says so",
    Effect.gen(function* () {
      const log = yield* EventLog
      yield* fill(3)
      const page = yield* log.read({ after: 4_711 })
      assert.deepStrictEqual(seqs(page), [1, 2, 3])
      assert.isTrue(page.missed)
      assert.deepStrictEqual(yield* firstOf(log.follow({ after: 4_711 }), 4), ["missed 0", "1", "2", "3"])
    }),
  )

  test(
    "leaves out of an entry what cannot be kept, and never fails",
    Effect.gen(function* () {
      const log = yield* EventLog
      const circle: Record<string, unknown> = {}
      circle["self"] = circle
      const odd: ReadonlyArray<unknown> = [
        circle,
        { n: 1n },
        { long: "x".repeat(70_000) },
        { toJSON: () => 3 },
        [1],
        () => 1,
        null,
      ]
      for (const data of odd) yield* log.append("odd", "s", data as Record<string, unknown>)
      yield* log.append("even", "s", { n: 1 })
      const { events } = yield* log.read()
      assert.strictEqual(events.length, odd.length + 1)
      for (const { data } of events.slice(0, -1)) assert.isString(data["leftOut"])
      assert.deepStrictEqual(events.at(-1)!.data, { n: 1 })
    }),
  )

  test(
    "is followed from a cursor on, and from now on",
    Effect.gen(function* () {
      const log = yield* EventLog
      yield* fill(300)
      const all = yield* Effect.fork(firstOf(log.follow({ after: 0 }), 302))
      const some = yield* Effect.fork(firstOf(log.follow({ after: 299, subject: "z" }), 1))
      const typed = yield* Effect.fork(firstOf(log.follow({ after: 300, types: ["unit"] }), 1))
      yield* Effect.yieldNow()
      yield* log.append("job.queued", "y")
      yield* log.append("unit.ready", "z")
      assert.deepStrictEqual(yield* Fiber.join(all), range(1, 302).map(String))
      assert.deepStrictEqual(yield* Fiber.join(some), ["302"])
      assert.deepStrictEqual(yield* Fiber.join(typed), ["302"])
      const fresh = yield* Effect.fork(firstOf(log.follow(), 2))
      const ticking = yield* Effect.fork(
        Effect.forever(Effect.zipRight(log.append("tick", "t"), Effect.sleep("1 millis"))),
      )
      const [first, second] = (yield* Fiber.join(fresh)).map(Number)
      yield* Fiber.interrupt(ticking)
      assert.isAbove(first!, 302)
      assert.strictEqual(second, first! + 1)
    }),
  )

  it.live("ends its followers when it is closed, when they have everything", () =>
    Effect.gen(function* () {
      const follower = yield* Effect.provide(
        Effect.gen(function* () {
          const log = yield* EventLog
          const follower = yield* Effect.forkDaemon(Stream.runCount(log.follow({ after: 0 })))
          for (let count = 0; count < 1_000; count++) yield* log.append("a", "b")
          return follower
        }),
        layer(),
      )
      assert.strictEqual(yield* Fiber.join(follower), 1_000)
    }),
  )
}
