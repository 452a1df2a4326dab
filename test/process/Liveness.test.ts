import { spawnSync } from "node:child_process"
import { describe, expect, it } from "vitest"
import * as Directory from "../../src/process/Directory.js"
import * as Liveness from "../../src/process/Liveness.js"

describe("a process that a file names", () => {
  const own = { pid: process.pid, ...Liveness.birthOf(process.pid) }

  it("is told from a later one with the same pid, and from one of another boot", () => {
    expect(own).toHaveProperty("startTime")
    expect(Liveness.isThere(own)).toBe(true)
    expect(Liveness.isThere({ pid: process.pid })).toBe(true)
    expect(Liveness.isThere({ ...own, startTime: "1" })).toBe(false)
    expect(Liveness.isThere({ ...own, bootId: "another" })).toBe(false)
  })

  it("is gone when it has ended", () => {
    const { pid } = spawnSync("true")
    expect(Liveness.isThere({ pid })).toBe(false)
  })
})

describe.skipIf(process.platform !== "linux")("a directory", () => {
  it("that cannot be made is an error, not a wait without end", () => {
    expect(() => Directory.make("/proc/none/at/all", 0o700)).toThrow("ENOENT")
    expect(() => Directory.make("/dev/null/x", 0o700)).toThrow(/EEXIST|ENOTDIR/)
  })
})
