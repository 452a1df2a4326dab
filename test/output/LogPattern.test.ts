import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as LogPattern from "../../src/output/LogPattern.js"
import { descriptorsIn, logFile, spyWatcher, turn, until, watchedBy } from "./support.js"

const done = Effect.void

// The clock stands still: see LogFollow.test.ts.
describe("waiting for a pattern", () => {
  it.scoped("finds the first line that matches, its offset and named groups; the next from there on", () =>
    Effect.gen(function* () {
      const log = yield* logFile("žluť\nport 1 as web\r\nport 2\n")
      const pattern = /port (?<port>\d+)(?: as (?<name>\w+))?$/g
      const first = yield* LogPattern.awaitPattern(log, { pattern })
      assert.deepStrictEqual(first, {
        line: "port 1 as web",
        offset: 7,
        nextOffset: 22,
        groups: { port: "1", name: "web" },
      })
      const second = yield* LogPattern.awaitPattern(log, { pattern, offset: first.nextOffset })
      assert.deepStrictEqual(second, { line: "port 2", offset: 22, nextOffset: 29, groups: { port: "2" } })
    }),
  )

  it.scoped("waits for the rest of a line that is written byte by byte", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      const spy = yield* spyWatcher()
      const waiting = yield* Effect.fork(
        watchedBy(spy)(LogPattern.awaitPattern(log, { pattern: "ready: (?<what>.*é)" })),
      )
      yield* until("it watches", () => spy.open() > 0)
      for (const byte of Buffer.from("not yet\nready: é 日é")) {
        fs.appendFileSync(log, Uint8Array.of(byte))
        for (let i = 0; i < 5; i++) yield* turn
      }
      assert.isNull(waiting.unsafePoll())
      fs.appendFileSync(log, "\n")
      const found = yield* Fiber.join(waiting)
      assert.deepInclude(found, { line: "ready: é 日é", offset: 8, groups: { what: "é 日é" } })
      assert.strictEqual(spy.open(), 0)
      assert.strictEqual(descriptorsIn(path.dirname(log)), 0)
    }),
  )

  it.scoped("a line that straddles two reads is one line", () =>
    Effect.gen(function* () {
      for (const before of [65_530, 65_535, 65_536, 131_070]) {
        const log = yield* logFile(
          `${"x".repeat(99)}\n`.repeat(1_400).slice(0, before - 1) + "\nlisten here\n",
        )
        const found = yield* LogPattern.awaitPattern(log, { pattern: "^listen here$", done })
        assert.deepInclude(found, { offset: before, nextOffset: before + 12 })
      }
    }),
  )

  it.scoped("the last line needs no end once the writer is done; and then no line is an error", () =>
    Effect.gen(function* () {
      const log = yield* logFile("first\nlast")
      const last = yield* LogPattern.awaitPattern(log, { pattern: "^last$", done })
      assert.deepInclude(last, { offset: 6, nextOffset: 10 })
      const none = yield* Effect.flip(LogPattern.awaitPattern(log, { pattern: "^none$", done }))
      assert.deepInclude(none, { _tag: "PatternNotFound", pattern: "^none$", searchedTo: 10 })
      assert.include(none.message, log)
    }),
  )

  it.scoped("of a line of many megabytes each 8 KiB are a line, at their offset", () =>
    Effect.gen(function* () {
      const log = yield* logFile(`${"日".repeat(1_000_000)}needle`)
      const found = yield* LogPattern.awaitPattern(log, { pattern: /needle/, done })
      assert.isAtMost(Buffer.byteLength(found.line), 8_192)
      assert.notInclude(found.line, "\ufffd")
      assert.strictEqual(found.offset + Buffer.byteLength(found.line), 3_000_006)
      const whole = yield* Effect.flip(LogPattern.awaitPattern(log, { pattern: /^.{2731}/, done }))
      assert.strictEqual(whole._tag, "PatternNotFound")
    }),
  )

  it.scoped("a pattern that would take for ever is given up, and says which line it was", () =>
    Effect.gen(function* () {
      const line = `${"a".repeat(60)}b`
      const log = yield* logFile(`fine\n${line}\n`)
      const begin = performance.now()
      const slow = yield* Effect.flip(LogPattern.awaitPattern(log, { pattern: "^(a+)+$", done }))
      assert.deepInclude(slow, { _tag: "PatternTooSlow", offset: 5, length: 61 })
      assert.include(slow.message, "(a+)+")
      assert.isBelow(performance.now() - begin, 5_000)
      // What comes before it is found all the same.
      const found = yield* LogPattern.awaitPattern(log, { pattern: "^fine$|^(a+)+$", done })
      assert.strictEqual(found.line, "fine")
    }),
  )

  it.scoped("half a line that a truncation cut off is none; of a file that was replaced it is the last", () =>
    Effect.gen(function* () {
      const log = yield* logFile(`${"x".repeat(99)}\nhalf a`)
      const spy = yield* spyWatcher()
      const waiting = yield* Effect.fork(
        watchedBy(spy)(LogPattern.awaitPattern(log, { pattern: "half a|second" })),
      )
      yield* until("it watches", () => spy.open() === 1)
      fs.truncateSync(log, 0)
      for (let i = 0; i < 20; i++) yield* turn
      fs.appendFileSync(log, "\nsecond")
      for (let i = 0; i < 20; i++) yield* turn
      assert.isNull(waiting.unsafePoll())
      fs.writeFileSync(`${log}.new`, "")
      fs.renameSync(`${log}.new`, log)
      assert.deepInclude(yield* Fiber.join(waiting), { line: "second", offset: 1 })
    }),
  )

  it.scoped("leaves nothing behind when it is interrupted, and refuses what is no pattern", () =>
    Effect.gen(function* () {
      const log = yield* logFile("nothing\n")
      const spy = yield* spyWatcher()
      for (let round = 0; round < 30; round++) {
        const waiting = yield* Effect.fork(watchedBy(spy)(LogPattern.awaitPattern(log, { pattern: "never" })))
        for (let i = 0; i < round; i++) yield* turn
        yield* Fiber.interrupt(waiting)
        assert.strictEqual(spy.open(), 0)
        assert.strictEqual(descriptorsIn(path.dirname(log)), 0)
      }
      const never = yield* Deferred.make<void>()
      const invalid = yield* Effect.flip(
        LogPattern.awaitPattern(log, { pattern: "(", done: Deferred.await(never) }),
      )
      assert.strictEqual(invalid._tag, "InvalidSpec")
      assert.include(invalid.message, "expected a regular expression")
    }),
  )
})
