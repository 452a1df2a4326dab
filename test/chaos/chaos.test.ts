/** A short beating of the built program, and the plan that it goes by. `npm run chaos` is the long one. */
import * as path from "node:path"
import { afterEach, describe, expect, it, vi } from "vitest"
import * as Chaos from "./chaos.js"
import { Verdicts } from "./verdicts.js"
import * as Plan from "./plan.js"
import { isGood, report } from "./report.js"

const program = path.resolve(import.meta.dirname, "../../dist/main.js")

afterEach(() => vi.restoreAllMocks())

describe("the plan", () => {
  const plan = (seed: number) => Plan.make({ seed, operations: 500, faults: Plan.faultNames })

  it("is the same for the same seed, and another one for another", () => {
    expect(plan(7)).toEqual(plan(7))
    expect(plan(7)).not.toEqual(plan(8))
  })

  it("has every operation and every fault, and ends quietly", () => {
    const steps = Plan.make({ seed: 1, operations: 10_000, faults: Plan.faultNames })
    const drawn = new Set(
      steps.map(({ action }) => ("fault" in action ? action.fault : action._tag) as string),
    )
    for (const fault of Plan.faultNames) expect(drawn).toContain(fault)
    for (const tag of ["Unit", "Units", "Reload", "Exec", "Wait", "Cancel", "JobLogs"])
      expect(drawn).toContain(tag)
    expect(steps.at(-1)!.action).toEqual({ _tag: "Quiet", final: true })
    expect(steps.map(({ number }) => number)).toEqual(steps.map((_, index) => index + 1))
  })

  it("leaves out what is not there", () => {
    const steps = Plan.make({ seed: 1, operations: 2_000, faults: ["kill"] })
    expect(new Set(steps.flatMap(({ action }) => ("fault" in action ? [action.fault] : [])))).toEqual(
      new Set(["kill"]),
    )
  })
})

describe("a suspicion", () => {
  it("counts as a break when it lasts longer than its patience, once, and not when it passes", () => {
    const found: Array<string> = []
    const verdicts = new Verdicts(({ text }) => found.push(text))
    const now = vi.spyOn(performance, "now")
    const rounds = [
      [0, "passes", "lasts"],
      [40, "lasts"],
      [60, "passes", "lasts"],
      [101, "passes", "lasts"],
      [150, "passes", "lasts"],
    ] as const
    for (const [at, ...seen] of rounds) {
      now.mockReturnValue(at)
      for (const text of seen) verdicts.suspect("owners", text, 100, text)
      verdicts.endRound()
    }
    expect(found).toEqual(["lasts (for 101 ms)"])
    expect(verdicts.breaks).toMatchObject([{ invariant: "owners" }])
  })
})

// It is /proc that tells what is there.
describe.runIf(process.platform === "linux")("the built program", () => {
  it(
    "keeps its word through 150 operations and whatever faults can be had here",
    { timeout: 120_000 },
    async () => {
      const lines: Array<string> = []
      const outcome = await Chaos.run({
        seed: 19_263,
        operations: 150,
        quietEvery: 30,
        // The other tests have the processor, too: that answers take 100 ms then says nothing of the daemon.
        stateMillis: 1_000,
        program,
        log: (text) => lines.push(text),
      })
      const told = [...lines, ...report(outcome)].join("\n")
      if (!isGood(outcome)) throw new Error(told)
      for (const invariant of [
        "instances",
        "owners",
        "truth",
        "accepted",
        "once",
        "results",
        "states",
      ] as const)
        expect(outcome.verdicts.checked.get(invariant)).toBeGreaterThan(10)
    },
  )
})
