import { describe, expect, it } from "vitest"
import * as Format from "../../src/cli/Format.js"
import { fit, render, widthOf } from "../../src/cli/Table.js"

describe("widthOf", () => {
  it.each([
    ["abc", 3],
    ["h\u00e9", 2],
    ["he\u0301", 2],
    ["中文", 4],
    ["\u001B[31mred\u001B[0m", 3],
    ["", 0],
  ])("%j", (text, width) => expect(widthOf(text)).toBe(width))
})

describe("fit", () => {
  it.each([
    ["abc", 3, "abc"],
    ["abcd", 3, "ab…"],
    ["中文字", 4, "中…"],
    ["abc", 1, "…"],
    ["abc", 0, ""],
  ])("%j into %i", (text, width, fitted) => expect(fit(text, width)).toBe(fitted))
})

describe("render", () => {
  const columns = [
    { title: "A", text: ([a]: ReadonlyArray<string>) => a! },
    { title: "N", text: ([, b]: ReadonlyArray<string>) => b!, align: "right" as const },
    { title: "TAGS", text: ([, , c]: ReadonlyArray<string>) => c!, most: 10 },
    { title: "LAST", text: ([, , , d]: ReadonlyArray<string>) => d! },
  ]
  const rows = [
    ["x", "1", "some tags here", "a long command that goes on"],
    ["yyy", "22", "", "b"],
  ]

  it("cuts nothing where there is no terminal", () => {
    expect(render(columns, rows, Infinity)).toEqual([
      "A     N  TAGS            LAST",
      "x     1  some tags here  a long command that goes on",
      "yyy  22                  b",
    ])
  })

  it("fits into a width, the last column first, then those that may be cut", () => {
    for (const width of [200, 60, 45, 40, 30, 20, 12]) {
      const lines = render(columns, rows, width)
      expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(width)
    }
    expect(render(columns, rows, 40)[1]).toBe("x     1  some ta…  a long command that …")
  })

  it("spares columns before nothing is left of the last one", () => {
    const spare = columns.map((column, index) =>
      index === 1 || index === 2 ? { ...column, spare: index } : column,
    )
    expect(render(spare, rows, 28)).toEqual(["A     N  LAST", "x     1  a long command tha…", "yyy  22  b"])
    expect(render(spare, rows, 18)[1]).toBe("x    a long comma…")
    expect(render(spare, rows, Infinity)).toEqual(render(columns, rows, Infinity))
  })

  it("leaves out a column with nothing in it", () => {
    expect(render(columns, [["x", "", "", "d"]], 80)).toEqual(["A  LAST", "x  d"])
  })
})

describe("Format", () => {
  it.each([
    [-5, "0ms"],
    [850, "850ms"],
    [1_000, "1s"],
    [1_549, "1.5s"],
    [59_999, "59s"],
    [185_000, "3m05s"],
    [7_800_000, "2h10m"],
    [5 * 86_400_000 + 3 * 3_600_000, "5d03h"],
  ])("%i ms is %s", (millis, text) => expect(Format.duration(millis)).toBe(text))

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1.0 kB"],
    [12_345, "12 kB"],
    [999_999, "1.0 MB"],
    [4e9, "4.0 GB"],
  ])("%i bytes are %s", (bytes, text) => expect(Format.bytes(bytes)).toBe(text))

  it("shows a command as one would type it", () => {
    expect(Format.command(["a", "b c", "it's", "", "x\u001B[2J"])).toBe("a 'b c' 'it'\\''s' '' 'x\uFFFD[2J'")
  })
})
