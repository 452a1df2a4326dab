import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Health from "../../src/probe/Health.js"

const uses = (success: number, failure: number): Health.Uses => {
  const thresholds = { successThreshold: success, failureThreshold: failure }
  return { startup: thresholds, readiness: thresholds, liveness: thresholds }
}

const play = (declared: Health.Uses, verdicts: ReadonlyArray<Health.Verdict>) => {
  let health = Health.initial(declared)
  const decisions = verdicts.map((verdict) => {
    const stepped = Health.step(declared, health, verdict)
    health = stepped.health
    return stepped.decision
  })
  return { health, decisions }
}

/** `R+` a readiness pass, `L-` a liveness failure, `s-` an early startup failure. */
const read = (script: string): ReadonlyArray<Health.Verdict> =>
  script.split(" ").map((word) => ({
    use: ({ S: "startup", R: "readiness", L: "liveness" } as const)[
      word[0]!.toUpperCase() as "S" | "R" | "L"
    ],
    passed: word[1] === "+",
    early: word[0] === word[0]!.toLowerCase(),
  }))

describe("the Kubernetes truth table", () => {
  const onlyReadiness = { readiness: { successThreshold: 1, failureThreshold: 3 } }
  const onlyLiveness = { liveness: { successThreshold: 1, failureThreshold: 3 } }
  const slowToReady = { readiness: { successThreshold: 2, failureThreshold: 1 } }

  for (const [name, declared, script, decisions, final] of [
    ["readiness begins as not ready", onlyReadiness, "R- R- R- R-", "none none none none", { ready: false }],
    ["one pass makes ready", onlyReadiness, "R- R+", "none ready", { ready: true }],
    ["two failures do not end Ready", onlyReadiness, "R+ R- R-", "ready none none", { ready: true }],
    [
      "three do, and never restart",
      onlyReadiness,
      "R+ R- R- R- R- R-",
      "ready none none not-ready none none",
      { ready: false },
    ],
    [
      "a pass in between clears the count",
      onlyReadiness,
      "R+ R- R- R+ R- R-",
      "ready none none none none none",
      { ready: true },
    ],
    ["two passes in a row are needed", slowToReady, "R+ R- R+ R+", "none none none ready", { ready: true }],
    [
      "liveness begins as content",
      onlyLiveness,
      "L- L- L+ L- L-",
      "none none none none none",
      { ready: true },
    ],
    [
      "three failures restart",
      onlyLiveness,
      "L- L- L- L+ L+",
      "none none restart none none",
      { restart: "liveness", ready: false },
    ],
    [
      "startup gates the others",
      uses(1, 2),
      "L- L- L- R+ S+ R+",
      "none none none none started ready",
      { ready: true },
    ],
    [
      "startup failing restarts",
      uses(1, 2),
      "S- S- S+",
      "none restart none",
      { restart: "startup", started: false },
    ],
    [
      "startup is over once it passed",
      uses(1, 2),
      "S+ S- S- S-",
      "started none none none",
      { started: true },
    ],
    [
      "an early failure is not counted",
      uses(1, 2),
      "s- s- s- S- s- S+",
      "none none none none none started",
      { started: true },
    ],
    [
      "an early failure ends a row of passes",
      uses(2, 2),
      "s+ s- s+ s+",
      "none none none started",
      { started: true },
    ],
    [
      "readiness failing does not hinder liveness",
      uses(1, 2),
      "S+ R- R- L- L-",
      "started none none none restart",
      { restart: "liveness" },
    ],
  ] as const) {
    it(name, () => {
      const played = play(declared, read(script))
      expect(played.decisions.join(" ")).toBe(decisions)
      expect(played.health).toMatchObject(final)
    })
  }

  it("without probes an instance is started and ready", () => {
    expect(Health.initial({})).toMatchObject({ started: true, ready: true })
  })

  it("with startup only, it is ready once started", () => {
    const { health } = play({ startup: { successThreshold: 1, failureThreshold: 1 } }, read("S+"))
    expect(health).toMatchObject({ started: true, ready: true })
  })
})

describe("every reachable health", () => {
  const verdicts: ReadonlyArray<Health.Verdict> = (["startup", "readiness", "liveness"] as const).flatMap(
    (use) => [true, false].flatMap((passed) => [false, true].map((early) => ({ use, passed, early }))),
  )

  for (const success of [1, 2, 3]) {
    for (const failure of [1, 2, 3]) {
      it(`keeps the invariants with thresholds ${success} and ${failure}`, () => {
        const declared = uses(success, failure)
        const seen = new Map([[JSON.stringify(Health.initial(declared)), Health.initial(declared)]])
        for (const before of seen.values()) {
          for (const verdict of verdicts) {
            const { decision, health: after } = Health.step(declared, before, verdict)
            // Ready needs started; a restart is for ever; readiness never asks for one; passing never does.
            expect(after.ready && !after.started).toBe(false)
            if (before.restart !== undefined) expect(after).toEqual(before)
            if (decision === "restart") expect(verdict).toMatchObject({ passed: false, use: after.restart })
            expect(after.restart).not.toBe("readiness")
            expect(decision === "ready").toBe(!before.ready && after.ready)
            expect(decision === "started").toBe(!before.started && after.started)
            if (verdict.early === true && !verdict.passed) expect(decision).toBe("none")
            for (const run of Object.values(after.runs)) {
              expect(Math.min(run.passes, run.failures)).toBe(0)
              expect(run.passes).toBeLessThanOrEqual(success)
              expect(run.failures).toBeLessThanOrEqual(failure)
            }
            if (!Health.isDue(declared, before, verdict.use)) expect(after).toBe(before)
            const key = JSON.stringify(after)
            if (!seen.has(key)) seen.set(key, after)
          }
        }
        expect([...seen.values()].some(({ ready }) => ready)).toBe(true)
        expect(new Set([...seen.values()].map(({ restart }) => restart)).size).toBe(3)
      })
    }
  }
})

describe("thresholds", () => {
  it.prop(
    "Ready is what the last row of verdicts long enough says, as a plain reading of the rule gives it",
    {
      success: FastCheck.integer({ min: 1, max: 4 }),
      failure: FastCheck.integer({ min: 1, max: 4 }),
      verdicts: FastCheck.array(FastCheck.boolean(), { maxLength: 60 }),
    },
    ({ failure, success, verdicts }) => {
      const declared = { readiness: { successThreshold: success, failureThreshold: failure } }
      let expected = false
      verdicts.forEach((_, index) => {
        const last = (count: number, value: boolean) =>
          index + 1 >= count && verdicts.slice(index + 1 - count, index + 1).every((one) => one === value)
        if (last(success, true)) expected = true
        if (last(failure, false)) expected = false
      })
      const { health } = play(
        declared,
        verdicts.map((passed) => ({ use: "readiness", passed })),
      )
      expect(health.ready).toBe(expected)
    },
  )

  it.prop(
    "liveness restarts just when so many failures stand in a row",
    {
      failure: FastCheck.integer({ min: 1, max: 5 }),
      verdicts: FastCheck.array(FastCheck.boolean(), { maxLength: 60 }),
    },
    ({ failure, verdicts }) => {
      const declared = { liveness: { successThreshold: 1, failureThreshold: failure } }
      const { health } = play(
        declared,
        verdicts.map((passed) => ({ use: "liveness", passed })),
      )
      const rows = verdicts.map((passed) => (passed ? "+" : "-")).join("")
      expect(health.restart === "liveness").toBe(rows.includes("-".repeat(failure)))
    },
  )
})
