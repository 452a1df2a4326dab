import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as RecursionGuard from "../../src/handle/RecursionGuard.js"

describe("the guard", () => {
  it.each([undefined, "", " ", "\t\n", "0", " 0 ", "false", "FALSE", " False"])("is off for %j", (value) => {
    expect(RecursionGuard.isOn(value)).toBe(false)
  })

  it.each(["1", "true", "yes", "2", "00", "no", " 1 "])("is on for %j", (value) => {
    expect(RecursionGuard.isOn(value)).toBe(true)
  })

  it.effect("reads HOLDFAST_MANAGED unless told otherwise", () =>
    Effect.gen(function* () {
      const environment = { HOLDFAST_MANAGED: "1", OTHER: "0" }
      yield* RecursionGuard.check("It", { environment, variable: "OTHER" })
      const error = yield* Effect.flip(RecursionGuard.check("It", { environment }))
      expect(error).toMatchObject({ _tag: "RecursionGuarded", variable: "HOLDFAST_MANAGED", value: "1" })
      expect(error.retryable).toBe(false)
    }),
  )

  it.effect("reads the environment of the program at each check", () =>
    Effect.gen(function* () {
      const variable = "HOLDFAST_TEST_OF_THE_GUARD"
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env[variable] = "1"
        }),
        () => Effect.sync(() => delete process.env[variable]),
      )
      expect((yield* Effect.flip(RecursionGuard.check("It", { variable }))).variable).toBe(variable)
      process.env[variable] = "0"
      yield* RecursionGuard.check("It", { variable })
    }).pipe(Effect.scoped),
  )

  it.effect("says what was not started, why, and what to do", () =>
    Effect.gen(function* () {
      const environment = { HOLDFAST_MANAGED: "1" }
      const usual = yield* Effect.flip(RecursionGuard.check("opencode", { environment }))
      expect(usual.message).toContain("opencode was not started: HOLDFAST_MANAGED is set to")
      expect(usual.message).toContain("ask a person")
      const own = yield* Effect.flip(RecursionGuard.check("opencode", { environment, advice: "Stop it." }))
      expect(own.message).toMatch(/Stop it\.$/)
    }),
  )

  it("marks children with 1", () => {
    expect(RecursionGuard.childEnvironment()).toEqual({ HOLDFAST_MANAGED: "1" })
    expect(RecursionGuard.childEnvironment({ variable: "OPENCODE_ORCHESTRATOR_MANAGED" })).toEqual({
      OPENCODE_ORCHESTRATOR_MANAGED: "1",
    })
  })
})
