import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import { describe, expect, it } from "vitest"
import * as Span from "../../src/cli/Span.js"
import * as TimeSpan from "../../src/process/TimeSpan.js"

describe("Span", () => {
  it("reads times as everything else does", () => {
    const piece = FastCheck.constantFrom("1", "10", "0.5", ".", "-", " ", "ms", "s", "m", "h", "d", "x", "")
    const property = FastCheck.property(FastCheck.array(piece, { maxLength: 7 }), (pieces) => {
      const text = pieces.join("")
      const expected = Option.getOrUndefined(
        Option.map(TimeSpan.parse(text), (span) => Math.round(Duration.toMillis(span))),
      )
      expect(Span.parseMillis(text)).toBe(expected)
    })
    FastCheck.assert(property, { numRuns: 10_000 })
  })

  it.each([
    ["4096", 4_096],
    ["10kB", 10_000],
    ["10KiB", 10_240],
    ["1.5 MB", 1_500_000],
    ["2g", 2_000_000_000],
    ["1tb", undefined],
    ["-1", undefined],
    ["", undefined],
    ["1e3", undefined],
  ])("reads the size %j", (text, bytes) => {
    expect(Span.parseBytes(text)).toBe(bytes)
  })

  it("reads the time of a clock as the next time that it shows it", () => {
    const now = new Date(2030, 0, 31, 12, 0, 0).getTime()
    expect(Span.parseDate("13:30", now)).toBe(new Date(2030, 0, 31, 13, 30).getTime())
    expect(Span.parseDate("12:00", now)).toBe(new Date(2030, 1, 1, 12, 0).getTime())
    expect(Span.parseDate("8:05", now)).toBe(new Date(2030, 1, 1, 8, 5).getTime())
  })

  it("reads dates, local where they have no zone", () => {
    expect(Span.parseDate("2030-01-31T08:00:00Z", 0)).toBe(Date.UTC(2030, 0, 31, 8))
    expect(Span.parseDate("2030-01-31T08:00", 0)).toBe(new Date(2030, 0, 31, 8).getTime())
    expect(Span.parseDate("2030-01-31 08:00", 0)).toBe(new Date(2030, 0, 31, 8).getTime())
    expect(Span.parseDate("2030-01-31", 0)).toBe(new Date(2030, 0, 31).getTime())
    for (const text of ["tomorrow", "25:00", "12:60", "2030-13-01", "1.2.2030", ""]) {
      expect(Span.parseDate(text, 0)).toBeUndefined()
    }
  })
})
