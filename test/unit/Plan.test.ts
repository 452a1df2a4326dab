import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Plan from "../../src/unit/Plan.js"

const command = "node server.js"

describe("a plan", () => {
  it.effect("has the graph of its units, and what a program gives them", () =>
    Effect.gen(function* () {
      const run = () => Effect.never
      const delays = Schedule.forever
      const plan = yield* Plan.make({
        units: {
          web: { command, requires: ["job"], isBusy: Effect.succeed(false), onDown: () => Effect.void },
          job: { kind: "task", run, delays },
        },
        groups: { all: { strategy: "rest-for-one", units: ["job", "web"] } },
      })
      expect(plan.graph.order).toEqual(["job", "web"])
      expect(plan.graph.nodes.get("web")!.group).toMatchObject({ name: "all", strategy: "rest-for-one" })
      expect(plan.hooks.get("job")).toEqual({ run, delays })
      expect(Object.keys(plan.hooks.get("web")!)).toEqual(["isBusy", "onDown"])
    }),
  )

  it.effect("may be empty", () =>
    Effect.gen(function* () {
      expect((yield* Plan.make({ units: {} })).graph.order).toEqual([])
    }),
  )

  for (const [name, input, message] of [
    [
      "a unit that cannot be used",
      { units: { web: {} } },
      "The unit web cannot be used. command: got nothing; it is required.",
    ],
    [
      "a unit that is nothing",
      { units: { web: null } },
      "The unit web cannot be used. (the whole spec): got null; expected an object.",
    ],
    [
      "a unit that is a text",
      { units: { web: command } },
      "The unit web cannot be used. (the whole spec): got a text; expected an object.",
    ],
    [
      "a group that cannot be used",
      { units: { web: { command } }, groups: { all: { units: [] } } },
      "The group all cannot be used. units: got []; expected a list of units' names, at least one.",
    ],
    [
      "a name that is none",
      { units: { "a b": { command } } },
      "The units do not fit together. units.a b: expected a unit's name: 1 to 64 letters, digits, '.', '_' or '-', the first one a letter or a digit.",
    ],
    [
      "a task with nothing to do",
      { units: { job: { kind: "task" } } },
      "The units do not fit together. units.job.kind: a task needs an Effect to run, which only a program can give it.",
    ],
    [
      "an Effect that nobody runs",
      { units: { web: { command, run: () => Effect.void } } },
      "The units do not fit together. units.web.run: only kind task runs an Effect.",
    ],
    [
      "everything that does not fit, at once",
      { units: { job: { kind: "task", requires: ["x"] }, web: { command, after: ["web"] } } },
      'The units do not fit together. units.job.kind: a task needs an Effect to run, which only a program can give it. units.job.requires.x: there is no unit "x". units.web.after.web: web cannot name itself.',
    ],
  ] as ReadonlyArray<readonly [string, unknown, string]>) {
    it.effect(`refuses ${name}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Plan.make(input as Plan.Input))
        expect(error.message).toBe(message)
      }),
    )
  }

  it.effect("says where each fault stands", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Plan.make({ units: { a: { command, requires: ["b"] }, b: { command, bindsTo: ["a"] } } }),
      )
      expect(error).toMatchObject({
        _tag: "InvalidPlan",
        faults: [{ path: ["units", "a", "requires", "b"], message: "a cycle: a -> b -> a" }],
      })
    }),
  )
})
