import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Utf8 from "../../src/output/Utf8.js"

/** Much of what is hard: beginnings, continuations, what is never in UTF-8, whole characters. */
const nasty = FastCheck.array(
  FastCheck.oneof(
    FastCheck.constantFrom(0x0a, 0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf),
    FastCheck.constantFrom(0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff),
    FastCheck.constantFrom("é", "日", "🦊", "\ud7ff", "\u{10ffff}").map((text) => [...Buffer.from(text)]),
  ),
  { maxLength: 24 },
).map((parts) => Uint8Array.from(parts.flat()))

const whole = new TextDecoder("utf-8", { ignoreBOM: true })

describe("UTF-8", () => {
  it("cut at a boundary, two pieces make the text of the whole, also of what is not UTF-8", () => {
    FastCheck.assert(
      FastCheck.property(nasty, FastCheck.nat(), (bytes, n) => {
        const position = n % (bytes.length + 1)
        const text = whole.decode(bytes)
        for (const cut of [Utf8.startAt(bytes, position), Utf8.completeEnd(bytes, position)]) {
          assert.strictEqual(Utf8.decode(bytes, 0, cut) + Utf8.decode(bytes, cut), text)
        }
      }),
      { numRuns: 5_000 },
    )
  })

  it("finds the nearest boundary, and moves by no more than three bytes", () => {
    FastCheck.assert(
      FastCheck.property(nasty, FastCheck.nat(), (bytes, n) => {
        const position = n % (bytes.length + 1)
        const text = whole.decode(bytes)
        const cuts = (at: number) => Utf8.decode(bytes, 0, at) + Utf8.decode(bytes, at) !== text
        const start = Utf8.startAt(bytes, position)
        assert.isTrue(start >= position && start <= position + 3)
        for (let at = position; at < start; at++) assert.isTrue(cuts(at), `${at} of ${bytes}`)
        // An unfinished character at the end is left out though nothing that is there is cut.
        const end = Utf8.completeEnd(bytes, position)
        assert.isTrue(end <= position && end >= position - 3)
        const finished = Buffer.concat([bytes.subarray(0, position), Buffer.from("a")])
        if (end < position) assert.isTrue(Utf8.decode(finished, end).startsWith("\ufffd"))
      }),
      { numRuns: 5_000 },
    )
  })

  it("an unfinished character is left out, a wrong one is not", () => {
    const end = (...bytes: ReadonlyArray<number>) => Utf8.completeEnd(Uint8Array.from(bytes))
    assert.strictEqual(end(0x61, 0xe6, 0x97), 1)
    assert.strictEqual(end(0x61, 0xf0, 0x9f, 0xa6), 1)
    assert.strictEqual(end(0x61, 0xe6, 0x97, 0xa5), 4)
    assert.strictEqual(end(0x61, 0xff), 2)
    assert.strictEqual(end(0x61, 0xed, 0xa0), 3)
    assert.strictEqual(end(0x80, 0x80, 0x80), 3)
    assert.strictEqual(end(), 0)
  })
})
