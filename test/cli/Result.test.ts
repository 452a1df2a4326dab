import { describe, expect, it } from "vitest"
import { codeOf, isOver, sentenceOf } from "../../src/cli/Result.js"
import * as SpawnError from "../../src/process/SpawnError.js"

const failed = ({ _tag, message }: SpawnError.SpawnError) => ({
  state: "failed",
  cause: "spawn-error",
  error: _tag,
  reason: message,
})

describe("codeOf", () => {
  it("is the job's own", () => {
    expect(codeOf({ state: "exited", exit_code: 137 })).toBe(137)
    expect(codeOf({ state: "exited", exit_code: 0, cause: "stopped" })).toBe(0)
  })

  it("is a shell's for a signal", () => {
    expect(codeOf({ state: "killed", signal: "SIGKILL" })).toBe(137)
    expect(codeOf({ state: "killed", signal: "SIGTERM", cause: "timeout" })).toBe(143)
  })

  it("is a shell's for what could not be started", () => {
    const missing = new SpawnError.CommandNotFound({ program: "nope", searched: ["/bin"] })
    expect(codeOf(failed(missing))).toBe(127)
    const absent = new SpawnError.CommandNotFound({ program: "/nope", searched: [] })
    expect(codeOf(failed(absent))).toBe(127)
    const refused = new SpawnError.NotExecutable({ path: "/etc/passwd", reason: "you have no permission" })
    expect(codeOf(failed(refused))).toBe(126)
    const elsewhere = new SpawnError.BadWorkingDirectory({ cwd: "/nope", reason: "it does not exist" })
    expect(codeOf(failed(elsewhere))).toBe(1)
  })

  it("is 1 for what cannot be known, and for what never began", () => {
    expect(codeOf({ state: "lost", cause: "reboot", reason: "The machine was restarted" })).toBe(1)
    expect(codeOf({ state: "failed", cause: "dependency", reason: "There is no program at x" })).toBe(1)
  })
})

describe("sentenceOf", () => {
  it("says nothing about an exit by itself", () => {
    expect(sentenceOf("A", { state: "exited", exit_code: 3, cause: "exit" })).toBeUndefined()
  })

  it("tells everything else", () => {
    expect(sentenceOf("A", { state: "killed", signal: "SIGTERM", cause: "log-limit" })).toMatch(/wrote more/)
    expect(sentenceOf("A", { state: "killed", signal: "SIGSEGV", cause: "signal" })).toBe(
      "Job A was ended by SIGSEGV.",
    )
    expect(sentenceOf("A", { state: "lost", cause: "lost", reason: "gone." })).toBe("Job A is lost: gone.")
  })
})

describe("isOver", () => {
  it("knows the states that are for ever", () => {
    const states = ["created", "queued", "running", "exited", "killed", "failed", "lost"]
    expect(states.filter(isOver)).toEqual(["exited", "killed", "failed", "lost"])
  })
})
