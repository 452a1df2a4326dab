import { describe, expect, it } from "vitest"
import * as Words from "../../../src/cli/foreground/Words.js"
import type { StateName, UnitStatus } from "../../../src/unit/UnitStatus.js"

const status = (fields: Partial<UnitStatus> = {}): UnitStatus => ({
  name: "web",
  kind: "service",
  state: "ready",
  desired: "up",
  since: 0,
  generation: 1,
  failures: 0,
  restarts: 0,
  outputs: {},
  ...fields,
})

const failure = (message: string, output: ReadonlyArray<string> = []) => ({
  kind: "X",
  message,
  output,
  at: 0,
})

const say = (
  from: StateName,
  to: StateName,
  fields: Partial<UnitStatus> = {},
  { isEnding = false, since }: { readonly isEnding?: boolean; readonly since?: number } = {},
) =>
  Words.of({ name: "web", from, to, at: 10_000, status: status({ ...fields, state: to }) }, since, isEnding)
    ?.text

describe("what is said of a change", () => {
  it("names what is started, once, and without the shell around it", () => {
    expect(say("inactive", "starting", { command: "node server.js" })).toBe("starting: node server.js")
    expect(say("backoff", "starting", { command: "node server.js", generation: 2 })).toBe("starting again")
    expect(say("inactive", "starting", { command: "/bin/sh -c 'echo '\\''a'\\'' && b\n'" })).toBe(
      "starting: echo 'a' && b ",
    )
    expect(say("inactive", "starting", { command: "x".repeat(500) })).toHaveLength("starting: ".length + 100)
    expect(say("inactive", "starting", { kind: "external", url: "http://localhost:9200" })).toBe(
      "looks for http://localhost:9200",
    )
    expect(say("inactive", "starting", { kind: "target" })).toBeUndefined()
  })

  it("says when it is ready, how long that took, and where it is", () => {
    const fields = {
      startedAt: 8_800,
      pid: 123,
      url: "http://localhost:8080",
      ownership: "launched",
    } as const
    expect(say("starting", "ready", fields)).toBe("ready after 1.2s (pid 123, http://localhost:8080)")
    expect(say("degraded", "ready", fields)).toBe("is well again")
    expect(say("starting", "ready", { kind: "target" })).toBe("ready")
    expect(say("starting", "ready", { kind: "external", ownership: "external", url: "http://x" })).toBe(
      "ready (http://x)",
    )
    expect(say("starting", "ready", { ownership: "external", url: "http://x" })).toBe(
      "ready: somebody else's server answers, and is used as it is (http://x)",
    )
  })

  it("says why it is down, and when it starts again", () => {
    const fields = { startedAt: 6_000, failures: 3, failure: failure("It ended with exit code 3.") }
    expect(say("stopping", "backoff", { ...fields, restartAt: 10_400 })).toBe(
      "down after 4s: it ended with exit code 3; starts again in 400ms (failure 3)",
    )
    expect(say("stopping", "backoff", fields)).toMatch(/; starts again at once \(failure 3\)$/)
  })

  it("says why it waits, is not well, has failed, with its last lines", () => {
    expect(say("inactive", "blocked", { reason: "db is starting. cache is starting." })).toBe(
      "waits: db is starting. cache is starting",
    )
    expect(say("ready", "degraded", { reason: "2 checks in a row failed. It was refused." })).toBe(
      "not well: 2 checks in a row failed. It was refused",
    )
    const words = Words.of(
      {
        name: "web",
        from: "stopping",
        to: "failed",
        at: 0,
        status: status({ state: "failed", reason: "It was given up.", failure: failure("", ["a", "b"]) }),
      },
      undefined,
      false,
    )
    expect(words).toEqual({ text: "failed: it was given up", colour: "red", output: ["a", "b"] })
  })

  it("says that it is stopping, and why where that is news, and how long it took", () => {
    expect(say("ready", "stopping", { reason: "It is being restarted." })).toBe(
      "stopping: it is being restarted",
    )
    expect(say("ready", "stopping", { reason: "The supervisor is closing." }, { isEnding: true })).toBe(
      "stopping",
    )
    expect(
      say("ready", "blocked", { reason: "db is about to be stopped." }, { isEnding: true }),
    ).toBeUndefined()
    // One that has ended by itself says so when nothing is left of it.
    expect(say("ready", "stopping", { reason: "It has ended.", end: { code: 0 } })).toBeUndefined()
    expect(say("stopping", "inactive", {}, { since: 9_965 })).toBe("stopped after 35ms")
    expect(say("blocked", "inactive", {}, { since: 0 })).toBe("stopped")
  })

  it("tells what is done from what has ended", () => {
    expect(say("stopping", "exited", { kind: "oneshot", startedAt: 9_680 })).toBe("done after 320ms")
    expect(say("stopping", "exited", { reason: "It has ended with exit code 0." })).toBe(
      "ended with exit code 0",
    )
  })

  it("lets no text of a unit do anything to a terminal", () => {
    expect(say("inactive", "blocked", { reason: "a\u001B[2J\nb" })).toBe("waits: a\uFFFD[2J b")
  })
})

describe("the line at the bottom", () => {
  const unit = (name: string, state: StateName, since = 0) => ({ name, state, since })

  it("says how many are up, and what is on its way", () => {
    const units = [
      unit("db", "ready"),
      unit("migrate", "exited"),
      unit("web", "starting", 7_500),
      unit("api", "blocked"),
      unit("old", "failed"),
    ]
    expect(Words.progress(units, 10_000, false)).toBe("2 of 5 up · web starting 2s · api waits")
    expect(Words.progress(units, 8_000, false)).toBe("2 of 5 up · web starting · api waits")
  })

  it("is empty while nothing moves", () => {
    expect(Words.progress([unit("a", "ready"), unit("b", "failed")], 0, false)).toBe("")
  })

  it("says what is left of a stop, and does not grow beyond use", () => {
    const units = Array.from({ length: 9 }, (_, index) =>
      unit(`u${index}`, index === 0 ? "stopping" : "ready"),
    )
    expect(Words.progress(units, 3_000, true)).toBe(
      "stopping, 9 left · u0 3s · u1 ready · u2 ready · u3 ready · u4 ready · u5 ready · 3 more",
    )
    expect(Words.progress([unit("a", "inactive")], 0, true)).toBe("")
  })
})
