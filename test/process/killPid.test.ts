import { describe, expect, it } from "vitest"
import { killPid, mustBePid } from "./killPid.js"

describe("killPid", () => {
  it("refuses what would reach the whole run", () => {
    for (const pid of [0, -0, 1, -1, Number(""), Number.NaN, 2.5, Number.POSITIVE_INFINITY]) {
      expect(() => killPid(pid, "SIGCONT")).toThrow(RangeError)
      expect(() => mustBePid(pid)).toThrow(RangeError)
    }
  })

  it("reaches a process and a group", () => {
    expect(() => killPid(process.pid, 0)).not.toThrow()
    expect(() => killPid(-(2 ** 22 + 1), 0)).toThrow("ESRCH")
  })
})
