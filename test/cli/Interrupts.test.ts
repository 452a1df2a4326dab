import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import * as Interrupts from "../../src/cli/Interrupts.js"

describe("Interrupts", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }))
  afterEach(() => void vi.useRealTimers())

  it("counts requests, and takes what comes at once for one", () => {
    const counts: Array<number> = []
    let listener = () => {}
    const off = vi.fn<() => void>(() => {})
    const end = Interrupts.watch(
      ["SIGINT", "SIGTERM"],
      {
        onSignal: (signals, own) => {
          expect(signals).toEqual(["SIGINT", "SIGTERM"])
          listener = own
          return off
        },
      },
      (count) => counts.push(count),
    )
    listener()
    listener()
    vi.advanceTimersByTime(99)
    listener()
    expect(counts).toEqual([1])
    vi.advanceTimersByTime(1)
    listener()
    vi.advanceTimersByTime(5_000)
    listener()
    expect(counts).toEqual([1, 2, 3])
    end()
    expect(off).toHaveBeenCalledOnce()
  })
})
