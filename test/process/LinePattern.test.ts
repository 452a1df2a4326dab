import { afterEach, describe, expect, it, vi } from "vitest"
import * as LinePattern from "../../src/process/LinePattern.js"

afterEach(() => vi.restoreAllMocks())

/** A pattern that takes so long for a line. */
const taking = (millis: number): RegExp => {
  const pattern = /^ready/
  const exec = pattern.exec.bind(pattern)
  pattern.exec = (line) => {
    for (const end = performance.now() + millis; performance.now() < end;);
    return exec(line)
  }
  return pattern
}

/** As if others had the processor all the time, or nobody else had. */
const ours = (share: number): void => {
  let begin = performance.now()
  vi.spyOn(process, "cpuUsage").mockImplementation((before) => {
    if (before === undefined) begin = performance.now()
    return { user: (performance.now() - begin) * 1_000 * share, system: 0 }
  })
}

describe("a look for a pattern in lines", () => {
  it("gives the first line that matches, and its groups", () => {
    const found = LinePattern.search(/^port (?<port>\d+)/, ["begun", "port 7", "port 8"])
    expect(found).toMatchObject({ _tag: "Match", index: 1 })
    expect(found?._tag === "Match" && LinePattern.groupsOf(found.match)).toEqual({ port: "7" })
    expect(LinePattern.search(/none/, ["begun"])).toBeUndefined()
  })

  it("gives up a line that takes too long, and not for what the lines before it took", () => {
    ours(1)
    expect(LinePattern.search(/^(a+)+$/, ["a", "b"])).toMatchObject({ _tag: "Match" })
    expect(LinePattern.search(/^(a+)+$/, [`${"a".repeat(40)}b`])).toEqual({ _tag: "TooSlow", index: 0 })
    expect(LinePattern.search(taking(150), ["one", "two", "ready"])).toMatchObject({
      _tag: "Match",
      index: 2,
    })
  })

  it("blames no pattern for the time in which others had the processor", () => {
    ours(0.1)
    expect(LinePattern.search(taking(LinePattern.limitMillis + 150), ["ready"])).toMatchObject({
      _tag: "Match",
    })
  })

  it("comes to an end though others have the processor all the time", () => {
    ours(0)
    expect(LinePattern.search(taking(60_000), ["ready"])).toEqual({ _tag: "TooSlow", index: 0 })
  })
})
