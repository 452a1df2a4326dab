import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as LogCursor from "../../src/output/LogCursor.js"
import { logFile } from "./support.js"

const contents = FastCheck.oneof(
  FastCheck.uint8Array({ maxLength: 60 }),
  FastCheck.array(FastCheck.constantFrom("a", "\n", "é", "日", "🦊"), { maxLength: 40 }).map((parts) =>
    Uint8Array.from(Buffer.from(parts.join(""))),
  ),
)

const check = (property: FastCheck.IAsyncProperty<Array<unknown>> | FastCheck.IAsyncProperty<any>) =>
  Effect.promise(() => FastCheck.assert(property, { numRuns: 500 }))

describe("cursor", () => {
  it.scopedLive("reads of any size give all bytes, each once, and then the end", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      yield* check(
        FastCheck.asyncProperty(contents, FastCheck.integer({ min: 1, max: 70 }), async (bytes, maxBytes) => {
          fs.writeFileSync(log, bytes)
          const pieces: Array<Uint8Array> = []
          for (let offset = 0, eof = false; !eof;) {
            const piece = await Effect.runPromise(LogCursor.read(log, { offset, maxBytes }))
            assert.strictEqual(piece.nextOffset, offset + piece.bytes.length)
            assert.isAtMost(piece.bytes.length, maxBytes)
            pieces.push(piece.bytes)
            ;({ eof, nextOffset: offset } = piece)
          }
          assert.deepStrictEqual(Uint8Array.from(Buffer.concat(pieces)), bytes)
        }),
      )
    }),
  )

  it.scopedLive("reads of any size as text make the text of the whole, no character cut", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      yield* check(
        FastCheck.asyncProperty(contents, FastCheck.integer({ min: 4, max: 70 }), async (bytes, maxBytes) => {
          fs.writeFileSync(log, bytes)
          let text = ""
          for (let offset = 0, eof = false; !eof;) {
            const piece = await Effect.runPromise(LogCursor.readText(log, { offset, maxBytes, ended: true }))
            text += piece.text
            ;({ eof, nextOffset: offset } = piece)
          }
          assert.strictEqual(text, new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes))
        }),
      )
    }),
  )

  it.scopedLive("half a character waits for its rest, unless the writer is done or nothing else fits", () =>
    Effect.gen(function* () {
      const fox = Buffer.from("🦊")
      const log = yield* logFile(Buffer.concat([Buffer.from("a"), fox.subarray(0, 2)]))
      const going = yield* LogCursor.readText(log)
      assert.deepStrictEqual(going, { offset: 0, text: "a", nextOffset: 1, eof: true })
      const rest = yield* LogCursor.readText(log, { offset: 1 })
      assert.deepStrictEqual(rest, { offset: 1, text: "", nextOffset: 1, eof: true })
      const ended = yield* LogCursor.readText(log, { offset: 1, ended: true })
      assert.deepStrictEqual(ended, { offset: 1, text: "\ufffd", nextOffset: 3, eof: true })
      fs.appendFileSync(log, fox.subarray(2))
      assert.strictEqual((yield* LogCursor.readText(log, { offset: 1 })).text, "🦊")
      const tight = yield* LogCursor.readText(log, { offset: 1, maxBytes: 2 })
      assert.deepStrictEqual(tight, { offset: 1, text: "\ufffd", nextOffset: 3, eof: false })
    }),
  )

  it.scopedLive("at the end there is nothing yet; beyond it, and for what is no offset, an error", () =>
    Effect.gen(function* () {
      const log = yield* logFile("12345")
      const end = yield* LogCursor.read(log, { offset: 5 })
      assert.deepStrictEqual(
        { ...end, bytes: end.bytes.length },
        { offset: 5, bytes: 0, nextOffset: 5, eof: true },
      )
      fs.appendFileSync(log, "6")
      assert.strictEqual((yield* LogCursor.readText(log, { offset: 5 })).text, "6")
      const past = yield* Effect.flip(LogCursor.read(log, { offset: 7 }))
      assert.deepInclude(past, { _tag: "OffsetPastEnd", offset: 7, size: 6 })
      assert.include(past.message, "Read again from 0")
      for (const offset of [-1, 0.5, Number.NaN, Infinity, 2 ** 60]) {
        const invalid = yield* Effect.flip(LogCursor.readText(log, { offset }))
        assert.strictEqual(invalid._tag, "InvalidSpec")
        assert.include(invalid.message, "offset: got")
      }
      assert.strictEqual((yield* Effect.flip(LogCursor.read(log, { maxBytes: 0 })))._tag, "InvalidSpec")
      assert.strictEqual((yield* Effect.flip(LogCursor.read(`${log}.none`)))._tag, "LogMissing")
    }),
  )
})
