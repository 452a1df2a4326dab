import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as HolePunch from "../../src/output/HolePunch.js"
import * as LogCursor from "../../src/output/LogCursor.js"
import * as LogFollow from "../../src/output/LogFollow.js"
import * as LogGap from "../../src/output/LogGap.js"
import * as LogPattern from "../../src/output/LogPattern.js"
import * as LogTail from "../../src/output/LogTail.js"
import { descriptorsIn, directory, logFile, until } from "./support.js"

/** A log with a gap in which there are zeros. */
const holed = (log: string, bytes: Uint8Array, from: number, to: number) => {
  const gap = LogGap.sidecarOf(log)
  fs.writeFileSync(log, Buffer.from(bytes).fill(0, from, to))
  if (from < to) fs.writeFileSync(gap, JSON.stringify({ from, to }))
  else fs.rmSync(gap, { force: true })
  return gap
}

const arbitrary = FastCheck.record({
  bytes: FastCheck.uint8Array({ min: 1, minLength: 1, maxLength: 60 }),
  a: FastCheck.nat(60),
  b: FastCheck.nat(60),
  maxBytes: FastCheck.integer({ min: 1, max: 20 }),
  offset: FastCheck.nat(60),
})

describe("a log with a gap", () => {
  it.scopedLive("no read, tail or follower gives a byte of it, and all give everything else once", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      const property = FastCheck.asyncProperty(
        arbitrary,
        async ({ a, b, bytes, maxBytes, offset: first }) => {
          const from = Math.min(a, b, bytes.length)
          const to = Math.min(Math.max(a, b), bytes.length)
          const gap = holed(log, bytes, from, to)
          const start = Math.min(first, bytes.length)
          const wanted = Buffer.concat([
            bytes.subarray(Math.min(start, from), from),
            bytes.subarray(Math.max(start, to)),
          ])
          const pieces: Array<Uint8Array> = []
          for (let offset = start, eof = false; !eof;) {
            const piece = await Effect.runPromise(LogCursor.read(log, { offset, maxBytes, gap }))
            assert.isTrue(piece.offset === offset || piece.offset === to)
            assert.deepStrictEqual(
              Buffer.from(piece.bytes),
              Buffer.from(bytes.subarray(piece.offset, piece.nextOffset)),
            )
            pieces.push(piece.bytes)
            ;({ eof, nextOffset: offset } = piece)
          }
          assert.deepStrictEqual(Buffer.concat(pieces), wanted)
          for (let offset = start, eof = false, reads = 0; !eof; reads++) {
            assert.isBelow(reads, 100)
            const piece = await Effect.runPromise(LogCursor.readText(log, { offset, gap, ended: true }))
            ;({ eof, nextOffset: offset } = piece)
          }
          const followed: Array<Uint8Array> = []
          await Effect.runPromise(
            Stream.runForEach(LogFollow.follow(log, { offset: start, gap, done: Effect.void }), (item) =>
              Effect.sync(() => {
                if (item._tag === "Data") followed.push(item.bytes)
              }),
            ),
          )
          assert.deepStrictEqual(Buffer.concat(followed), wanted)
          const tail = await Effect.runPromise(LogTail.tail(log, { lines: 100, maxBytes, gap, ended: true }))
          assert.isAtLeast(tail.startOffset, from < to ? to : 0)
          assert.strictEqual(tail.observedBytes, bytes.length)
          assert.strictEqual(tail.nextOffset, bytes.length)
          assert.strictEqual(tail.text, Buffer.from(bytes).toString("utf8", tail.startOffset))
        },
      )
      yield* Effect.promise(() => FastCheck.assert(property, { numRuns: 300 }))
    }),
  )

  it.scopedLive("one that grows while it is read is never taken for output", () =>
    Effect.gen(function* () {
      const size = 4_000_000
      const log = yield* logFile(Buffer.alloc(size, "x"))
      const gap = LogGap.sidecarOf(log)
      const punching = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, i) => 8_192 + (i + 1) * 81_920),
        (to) =>
          Effect.zipRight(LogGap.write(gap, { from: 8_192, to }), HolePunch.punch(log, 8_192, to - 8_192)),
        { discard: true },
      ).pipe(Effect.fork)
      let rounds = 0
      while (punching.unsafePoll() === null) {
        rounds++
        for (let offset = 0, eof = false; !eof;) {
          const piece = yield* LogCursor.read(log, { offset, maxBytes: 50_000, gap })
          assert.isFalse(piece.bytes.includes(0))
          ;({ eof, nextOffset: offset } = piece)
        }
        yield* Stream.runForEach(LogFollow.follow(log, { gap, done: Effect.void }), (item) =>
          Effect.sync(() => assert.isFalse(item._tag === "Data" && item.bytes.includes(0))),
        )
        const tail = yield* LogTail.tail(log, { maxBytes: size, gap })
        assert.notInclude(tail.text, "\0")
      }
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(punching)))
      assert.isAbove(rounds, 0)
      assert.strictEqual(fs.statSync(log).size, size)
      assert.isBelow(fs.statSync(log).blocks * 512, size - 40 * 81_920 + 8_192)
    }),
  )

  it.scoped("a follower that waits goes on behind it, and half a character before it is left out", () =>
    Effect.gen(function* () {
      const log = yield* logFile(Buffer.concat([Buffer.from("a"), Buffer.from("日").subarray(0, 2)]))
      const gap = LogGap.sidecarOf(log)
      const done = yield* Deferred.make<void>()
      const items: Array<string> = []
      const fiber = yield* LogFollow.followText(log, { gap, done: Deferred.await(done) }).pipe(
        Stream.runForEach((item) =>
          Effect.sync(() => items.push(item._tag === "Text" ? `${item.offset}: ${item.text}` : item._tag)),
        ),
        Effect.fork,
      )
      yield* until("the first came", () => items.length === 1)
      fs.writeFileSync(gap, JSON.stringify({ from: 3, to: 9 }))
      fs.appendFileSync(log, "\0\0\0\0\0\0end")
      yield* until("the second came", () => items.length === 2)
      yield* Deferred.succeed(done, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(items, ["0: a", "9: end"])
    }),
  )

  it.scoped("what is known of a line whose end was dropped is no line", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      const gap = holed(log, Buffer.from("one\nhalf.....\nwhole\n"), 8, 12)
      const done = Effect.void
      const found = yield* LogPattern.awaitPattern(log, { pattern: "half|whole", gap, done })
      assert.deepInclude(found, { line: "whole", offset: 14 })
    }),
  )

  it.scoped("a writer that outlives the one that was waited for does not keep the end away", () =>
    Effect.gen(function* () {
      const log = yield* logFile(Buffer.alloc(200_000, "x"))
      const done = yield* Deferred.make<void>()
      const bytes = yield* LogFollow.follow(log, { done: Deferred.await(done) }).pipe(
        Stream.map((item) => (item._tag === "Data" ? item.bytes.length : 0)),
        Stream.tap(() =>
          Effect.zipRight(
            Deferred.succeed(done, undefined),
            Effect.sync(() => fs.appendFileSync(log, Buffer.alloc(100_000, "y"))),
          ),
        ),
        Stream.runSum,
      )
      assert.isAtLeast(bytes, 200_000)
      assert.isAtMost(bytes, 400_000)
    }),
  )

  it.scoped("a sidecar that makes no sense is an error that names it", () =>
    Effect.gen(function* () {
      const log = yield* logFile("text")
      const gap = LogGap.sidecarOf(log)
      for (const text of ["", "{", "[]", '{"from":3,"to":2}', '{"from":-1,"to":2}', '{"from":1}']) {
        fs.writeFileSync(gap, text)
        for (const read of [
          LogCursor.read(log, { gap }),
          LogTail.tail(log, { gap }),
          Stream.runDrain(LogFollow.follow(log, { gap, done: Effect.void })),
        ]) {
          const error = yield* Effect.flip<
            unknown,
            { readonly _tag: string; readonly message: string },
            never
          >(read)
          assert.strictEqual(error._tag, "LogUnreadable")
          assert.include(error.message, gap)
        }
      }
    }),
  )
})

describe("punching a hole", () => {
  it.scopedLive("says why it does not work, and whether it ever will", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const missing = yield* Effect.flip(HolePunch.punch(`${where}/none`, 0, 4_096))
      assert.isFalse(missing.isForGood)
      assert.include(missing.message, `"${where}/none"`)
      assert.strictEqual(descriptorsIn(where), 0)
    }),
  )

  it.scopedLive("a draft that does not pass its check leaves no sidecar", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const sidecar = `${where}/stdout.gap`
      const failed = yield* Effect.flip(LogGap.write(sidecar, { from: 0, to: 1 }, Effect.fail("no")))
      assert.strictEqual(failed, "no")
      assert.deepStrictEqual(fs.readdirSync(where), [])
      yield* LogGap.write(sidecar, { from: 0, to: 1 })
      assert.deepStrictEqual(yield* LogGap.read(sidecar), { from: 0, to: 1 })
    }),
  )
})
