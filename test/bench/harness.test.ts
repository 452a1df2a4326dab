import { afterEach, describe, expect, it, vi } from "vitest"
import { median, paired, percentile } from "../../bench/harness.js"

afterEach(() => vi.restoreAllMocks())

describe("the bench harness", () => {
  it("knows the median and the percentiles of values in any order", () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([10, 9, 1, 2])).toBe(5.5)
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
    expect([0, 1, 50, 99, 100].map((percent) => percentile(hundred, percent))).toEqual([1, 1, 50, 99, 100])
  })

  it("warms up, takes turns, and judges the median of the ratios in the pairs", async () => {
    const log = vi.spyOn(console, "log").mockReturnValue()
    const turns: Array<string> = []
    const figures = { ours: [99, 2, 6, 8], bare: [99, 1, 2, 4] }
    const take = (who: "ours" | "bare") => async () => {
      turns.push(who)
      return figures[who].shift()!
    }
    const question = { name: "turns", unit: "ms", rounds: 3, ours: take("ours"), bare: take("bare") }
    expect(await paired({ ...question, atMost: 2 })).toEqual({
      ours: [2, 6, 8],
      bare: [1, 2, 4],
      ratio: 2,
      holds: true,
    })
    expect(turns.join(" ")).toBe("ours bare ours bare bare ours ours bare")
    expect(log.mock.lastCall?.[0]).toMatch(
      /^turns +6\.00 ms +2\.00 ms +2\.00 \(2\.00-3\.00\) +at most 2 +holds$/,
    )
  })

  it("says that a mark is missed, whichever way it points", async () => {
    vi.spyOn(console, "log").mockReturnValue()
    const question = { name: "", unit: "", rounds: 1, ours: async () => 3, bare: async () => 2 }
    expect(await paired({ ...question, atMost: 1.4 })).toMatchObject({ holds: false })
    expect(await paired({ ...question, atLeast: 1.6 })).toMatchObject({ holds: false })
    expect(await paired({ ...question, atLeast: 1.5 })).toMatchObject({ holds: true })
    expect(await paired(question)).toMatchObject({ holds: undefined })
  })
})
