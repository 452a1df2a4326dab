import { describe, expect, it } from "vitest"
import { painterOf } from "../../src/cli/Painter.js"
import * as UnitLine from "../../src/cli/UnitLine.js"
import { keeping } from "./support.js"

const linesOf = (options: {
  readonly columns?: number
  readonly timestamps?: boolean
  readonly isBare?: boolean
}) => {
  const { sink } = keeping(options.columns)
  const paint = painterOf(sink, { env: {} })
  const { isBare = false, timestamps = false } = options
  return UnitLine.make({ names: ["db", "worker"], isBare, timestamps, paint, sink })
}

const at = Date.UTC(2030, 0, 31, 8, 0, 0, 7)

describe("UnitLine", () => {
  it("puts the name before each line, as wide as the longest, and keeps the streams apart", () => {
    const { line, word } = linesOf({})
    expect(line("db", { stream: "stdout", text: "hello", at })).toBe("db     | hello\n")
    expect(line("worker", { stream: "stderr", text: "oh no", at })).toBe("worker : oh no\n")
    expect(line("db", { stream: "holdfast", text: "used as it is", at })).toBe("db     . used as it is\n")
    expect(line("db", { stream: "stdout", text: "", at })).toBe("db     |\n")
    expect(word("db", at, "ready")).toBe("db     . ready\n")
  })

  it("shows the time where it is asked to, whole to programs", () => {
    const { line } = linesOf({ timestamps: true })
    expect(line("db", { stream: "stdout", text: "x", at })).toBe("2030-01-31T08:00:00.007Z db     | x\n")
    expect(
      linesOf({ timestamps: true, columns: 80 }).line("db", { stream: "stdout", text: "x", at }),
    ).toMatch(/\d\d:\d\d:\d\d\.007/)
  })

  it("adds nothing to the lines of a single unit", () => {
    const { line } = linesOf({ isBare: true })
    expect(line("db", { stream: "stderr", text: "as it is", at })).toBe("as it is\n")
  })

  it("gives each unit a colour, and red to what is on standard error", () => {
    const { line } = linesOf({ columns: 80 })
    expect(line("db", { stream: "stdout", text: "x", at })).toBe("\u001B[36mdb     |\u001B[0m x\n")
    expect(line("worker", { stream: "stderr", text: "x", at })).toBe(
      "\u001B[33mworker\u001B[0m \u001B[31m:\u001B[0m x\n",
    )
  })

  it("lets a unit colour its lines on a terminal, and do nothing else to it", () => {
    const { line } = linesOf({ columns: 80, isBare: true })
    const shown = (text: string) => line("db", { stream: "stdout", text, at })
    expect(shown("\u001B[1;32mok\u001B[0m and\tmore")).toBe("\u001B[1;32mok\u001B[0m and\tmore\u001B[0m\n")
    expect(shown("\u001B[2J\u001B[Hgone?")).toBe("\uFFFD[2J\uFFFD[Hgone?\n")
    expect(shown("\u001B]0;title\u0007x")).toBe("\uFFFD]0;title\uFFFDx\n")
    expect(shown("10%\r50%\r100%")).toBe("100%\n")
    expect(shown("a\u009Bb\u0000")).toBe("a\uFFFDb\uFFFD\n")
    expect(shown("\u001B[31mred")).toBe("\u001B[31mred\u001B[0m\n")
    expect(shown("\r\r")).toBe("\n")
  })

  it("passes on to a program what a unit wrote", () => {
    const { line } = linesOf({ isBare: true })
    expect(line("db", { stream: "stdout", text: "\u001B[2J10%\r20%", at })).toBe("\u001B[2J10%\r20%\n")
  })
})
