import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as LogSilence from "../../src/output/LogSilence.js"
import { logFile, spyWatcher, turn, until, watchedBy } from "./support.js"

/** Waits until something sleeps until so many milliseconds after the start of the test's clock. */
const sleepsUntil = (millis: number): Effect.Effect<void> =>
  Effect.flatMap(TestClock.sleeps(), (sleeping) =>
    Chunk.some(sleeping, (time) => time === millis)
      ? Effect.void
      : Effect.zipRight(turn, sleepsUntil(millis)),
  )

describe("waiting for silence", () => {
  it.scoped("takes the whole time without a new byte, and every byte starts it anew", () =>
    Effect.gen(function* () {
      const log = yield* logFile("begun\n")
      const spy = yield* spyWatcher()
      const waiting = yield* Effect.fork(watchedBy(spy)(LogSilence.awaitSilence(log, { quiet: "5s" })))
      for (let second = 4; second <= 12; second += 4) {
        // So long it has to sleep after what was written last, if nothing comes.
        yield* sleepsUntil(second * 1_000 + 1_000)
        yield* TestClock.adjust("4 seconds")
        fs.appendFileSync(log, "x")
        // It has seen that, and pauses before it looks again.
        yield* sleepsUntil(second * 1_000 + 50)
        yield* TestClock.adjust("50 millis")
        yield* sleepsUntil(second * 1_000 + 5_000)
        assert.isNull(waiting.unsafePoll())
        yield* TestClock.setTime(second * 1_000)
      }
      yield* TestClock.setTime(16_999)
      for (let i = 0; i < 50; i++) yield* turn
      assert.isNull(waiting.unsafePoll())
      yield* TestClock.setTime(17_000)
      assert.deepStrictEqual(yield* Fiber.join(waiting), { reason: "silent", size: 9 })
      assert.strictEqual(spy.open(), 0)
    }),
  )

  it.scoped("ends when the writer is done, and a file that is not there is silent", () =>
    Effect.gen(function* () {
      const log = yield* logFile("text")
      const done = yield* Deferred.make<void>()
      const waiting = yield* Effect.fork(
        LogSilence.awaitSilence(log, { quiet: 60, done: Deferred.await(done) }),
      )
      yield* sleepsUntil(10_000)
      yield* Deferred.succeed(done, undefined)
      assert.deepStrictEqual(yield* Fiber.join(waiting), { reason: "ended", size: 4 })
      const missing = yield* Effect.fork(LogSilence.awaitSilence(`${log}.none`, { quiet: "2s" }))
      yield* sleepsUntil(2_000)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(missing), { reason: "silent", size: 0 })
    }),
  )

  it.scoped("a new file of the name is news, one touched is not", () =>
    Effect.gen(function* () {
      const log = yield* logFile("text")
      const waiting = yield* Effect.fork(LogSilence.awaitSilence(log, { quiet: "5s" }))
      yield* sleepsUntil(5_000)
      yield* TestClock.setTime(2_000)
      fs.utimesSync(log, 1, 1)
      for (let i = 0; i < 50; i++) yield* turn
      yield* sleepsUntil(5_000)
      yield* TestClock.setTime(4_000)
      fs.writeFileSync(`${log}.new`, "text")
      fs.renameSync(`${log}.new`, log)
      // Whether it pauses before it looks again depends on what it was at when the file was replaced.
      const pauses = yield* Effect.fork(Effect.zipRight(sleepsUntil(4_050), TestClock.setTime(4_050)))
      yield* sleepsUntil(9_000)
      yield* Fiber.interrupt(pauses)
      yield* TestClock.setTime(9_000)
      assert.strictEqual((yield* Fiber.join(waiting)).reason, "silent")
    }),
  )

  it.scopedLive("by the real clock: not sooner than the time after the last byte", () =>
    Effect.gen(function* () {
      const log = yield* logFile("")
      const quiet = 200
      let last = performance.now()
      // Measured when it says so: a machine that stands still for a while makes pauses that are longer than meant.
      const waiting = yield* Effect.fork(
        Effect.map(LogSilence.awaitSilence(log, { quiet: quiet / 1_000 }), () => performance.now() - last),
      )
      for (let i = 0; i < 10; i++) {
        yield* Effect.sleep(20)
        last = performance.now()
        fs.appendFileSync(log, "x")
      }
      // Timers of Node round to a millisecond.
      assert.isAtLeast(yield* Fiber.join(waiting), quiet - 1)
    }),
  )

  it.scoped("leaves no watch behind when it is interrupted, and refuses what is no time", () =>
    Effect.gen(function* () {
      const log = yield* logFile("text")
      const spy = yield* spyWatcher()
      for (let round = 0; round < 20; round++) {
        const waiting = yield* Effect.fork(watchedBy(spy)(LogSilence.awaitSilence(log, { quiet: "1h" })))
        for (let i = 0; i < round; i++) yield* turn
        yield* Fiber.interrupt(waiting)
        assert.strictEqual(spy.open(), 0)
      }
      yield* until("it watched", () => spy.made() > 0)
      const invalid = yield* Effect.flip(LogSilence.awaitSilence(log, { quiet: "soon" }))
      assert.include(invalid.message, "quiet: got")
    }),
  )
})
