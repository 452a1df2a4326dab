import { describe, expect, it } from "vitest"
import { Board } from "../../../src/cli/foreground/Board.js"
import type { UnitChange } from "../../../src/unit/SupervisorService.js"

const change = (to: UnitChange["to"], at: number, generation = 1) =>
  ({ name: "web", from: "inactive", to, at, status: { kind: "service", generation } }) as UnitChange

describe("Board", () => {
  it("knows since when a unit was in the state that it leaves", () => {
    const board = new Board(["web", "db"], 1_000)
    expect(board.note(change("starting", 2_000))).toBe(1_000)
    expect(board.note(change("ready", 3_000))).toBe(2_000)
    expect(board.line(3_000)).toBe("")
    board.isEnding = true
    expect(board.line(3_000)).toBe("stopping, 1 left · web ready")
    expect(board.isQuiet).toBe(false)
    board.note(change("failed", 4_000))
    expect(board.isQuiet).toBe(true)
  })

  it("has output wait until it was told that the unit has begun", async () => {
    const board = new Board(["web"], 0)
    board.told(change("starting", 0, 1))
    await board.begun("web", 1)
    let hasBegun = false
    const waiting = board.begun("web", 2).then(() => {
      hasBegun = true
      return undefined
    })
    board.told(change("backoff", 0, 1))
    await Promise.resolve()
    expect(hasBegun).toBe(false)
    board.told(change("starting", 0, 2))
    await waiting
    expect(hasBegun).toBe(true)
  })

  it("does not have it wait for what nobody tells", async () => {
    const begin = performance.now()
    await new Board(["web"], 0).begun("web", 5)
    expect(performance.now() - begin).toBeLessThan(5_000)
  })
})
