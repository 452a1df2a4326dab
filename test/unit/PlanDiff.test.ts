import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fc from "effect/FastCheck"
import * as Redacted from "effect/Redacted"
import * as PlanDiff from "../../src/unit/PlanDiff.js"
import * as Plan from "../../src/unit/Plan.js"
import { accept } from "../config/support.js"

const base = `
units:
  migrate: { kind: oneshot, command: [node, migrate.js] }
  web:
    command: node server.js
    port: 8080
    env: { PORT: "\${port}", TOKEN: hunter2 }
    envFile: .env
    mask: [TOKEN, KEY]
    requires: [migrate]
    wants: [worker, search]
    readiness: { http: { path: /health, headers: { Authorization: hunter2 } }, period: 10s }
    stop: { signal: TERM, grace: 10s }
  worker: { command: "work \${web.port}", restart: always }
  search: { kind: external, url: "http://127.0.0.1:9200" }
  all: { kind: target, requires: [web] }
groups:
  g: { units: [web, worker] }
`

const diff = (before: string, after: string) => PlanDiff.make(accept(before), accept(after))
const replaced = (...pairs: ReadonlyArray<readonly [string, string]>) =>
  diff(
    base,
    pairs.reduce((text, [from, to]) => {
      assert.include(text, from)
      return text.replace(from, to)
    }, base),
  )

describe("the difference between two plans", () => {
  it("none, though everything was read anew", () => {
    const same = diff(base, base)
    assert.isTrue(PlanDiff.isEmpty(same))
    assert.deepStrictEqual(same.unchanged, ["migrate", "web", "worker", "search", "all"])
  })

  it("none, where the same is written in another way", () => {
    const other = replaced(
      [
        "command: [node, migrate.js]",
        "command:\n      - node\n      - migrate.js".replace(
          "\n      - node\n      - migrate.js",
          " ['node', \"migrate.js\"]",
        ),
      ],
      ["period: 10s", "period: 10000ms"],
      ["requires: [migrate]", "requires: { migrate: succeeded }"],
      ["wants: [worker, search]", "wants: [search, worker, search]"],
      ["mask: [TOKEN, KEY]", "mask: [KEY, TOKEN]"],
      ["signal: TERM, grace: 10s", "grace: 10, signal: sigterm"],
      ["restart: always", "restart: { policy: always, stableAfter: 10s }"],
      ["requires: [web] }", "requires: { web: ready }, kind: target }".replace(", kind: target", "")],
    )
    assert.isTrue(PlanDiff.isEmpty(other), JSON.stringify(other))
  })

  const fields: ReadonlyArray<[string, string, string, ReadonlyArray<string>]> = [
    ["a command", "node server.js", "node other.js", ["command"]],
    ["a variable", "TOKEN: hunter2", "TOKEN: hunter3", ["env.TOKEN"]],
    ["a new variable", "TOKEN: hunter2", "TOKEN: hunter2, A: b", ["env.A"]],
    ["an env file", "envFile: .env", "envFile: [.env, b.env]", ["envFile"]],
    ["a length of time", "period: 10s", "period: 9s", ["readiness.period"]],
    ["deep inside", "path: /health", "path: /healthz", ["readiness.http.path"]],
    [
      "a header",
      "Authorization: hunter2",
      "Authorization: hunter3",
      ["readiness.http.headers.Authorization"],
    ],
    [
      "a probe of another kind",
      "http: { path: /health, headers: { Authorization: hunter2 } }",
      "tcp: {}",
      ["readiness.http", "readiness.tcp"],
    ],
    [
      "no probe",
      "    readiness: { http: { path: /health, headers: { Authorization: hunter2 } }, period: 10s }\n",
      "",
      ["readiness"],
    ],
    ["a condition", "requires: [migrate]", "requires: { migrate: completed }", ["requires.migrate"]],
    ["what it wants", "wants: [worker, search]", "wants: [search]", ["wants"]],
    [
      "several at once",
      "stop: { signal: TERM, grace: 10s }",
      "stop: { signal: INT, grace: 1s }\n    cwd: sub",
      ["cwd", "stop.signal", "stop.grace"],
    ],
  ]
  for (const [what, from, to, expected] of fields) {
    it(`${what}`, () => {
      const { added, changed, removed, unchanged } = replaced([from, to])
      assert.deepStrictEqual([added, removed], [[], []])
      assert.lengthOf(changed, 1)
      assert.strictEqual(changed[0]!.name, "web")
      assert.sameMembers([...changed[0]!.fields], [...expected])
      assert.notInclude(unchanged, "web")
      assert.notInclude(JSON.stringify(changed), "hunter")
    })
  }

  it("the port of another unit that is named", () => {
    assert.deepStrictEqual(replaced(["port: 8080", "port: 8081"]).changed, [
      { name: "web", fields: ["port"] },
      { name: "worker", fields: ["web.port"] },
    ])
  })

  it("a port that is named for the first time is no change of itself", () => {
    assert.deepStrictEqual(replaced(["work ${web.port}", "work"]).changed, [
      { name: "worker", fields: ["command"] },
    ])
    assert.deepStrictEqual(
      PlanDiff.make(accept(base.replace("work ${web.port}", "work")), accept(base)).changed,
      [{ name: "worker", fields: ["command"] }],
    )
  })

  it("what a condition that is not written means", () => {
    const { changed } = replaced([
      "kind: oneshot, command: [node, migrate.js]",
      "command: [node, migrate.js]",
    ])
    assert.deepStrictEqual(
      changed.map(({ name, fields }) => [name, ...fields]),
      [
        ["migrate", "kind"],
        ["web", "requires.migrate"],
      ],
    )
  })

  it("units and groups that come and go", () => {
    const result = diff(
      base,
      base
        .replace('  search: { kind: external, url: "http://127.0.0.1:9200" }\n', "  find: { command: x }\n")
        .replace("wants: [worker, search]", "wants: [worker]")
        .replace("g: { units: [web, worker] }", "h: { units: [find] }"),
    )
    assert.deepStrictEqual([result.added, result.removed], [["find"], ["search"]])
    assert.deepStrictEqual(result.groups, { added: ["h"], removed: ["g"], changed: [] })
    assert.isFalse(PlanDiff.isEmpty(result))
    assert.deepStrictEqual(
      replaced(["g: { units: [web, worker] }", "g: { strategy: one-for-all, units: [worker, web] }"]).groups
        .changed,
      [{ name: "g", fields: ["strategy", "units"] }],
    )
  })

  it("the contents of env files, by variable", () => {
    const [before, after] = [accept(base), accept(base)]
    const file = "/etc/holdfast/.env"
    const make = (from: Record<string, string>, to: Record<string, string>) =>
      PlanDiff.make(
        { ...before, envFiles: new Map([[file, Redacted.make(from)]]) },
        { ...after, envFiles: new Map([[file, Redacted.make(to)]]) },
      ).changed
    assert.deepStrictEqual(make({ A: "1", B: "2" }, { B: "2", A: "1" }), [])
    assert.deepStrictEqual(make({ A: "1", B: "2" }, { B: "hunter", C: "" }), [
      { name: "web", fields: ["envFile.A", "envFile.B", "envFile.C"] },
    ])
  })

  it.effect("plans that a program made, whose functions are the same only if they are the very same", () =>
    Effect.gen(function* () {
      const run = () => Effect.never
      const plan = (hook: Plan.Hooks["run"]) => Plan.make({ units: { t: { kind: "task", run: hook! } } })
      const [first, same, other] = [yield* plan(run), yield* plan(run), yield* plan(() => Effect.never)]
      assert.isTrue(PlanDiff.isEmpty(PlanDiff.make({ plan: first }, { plan: same })))
      assert.deepStrictEqual(PlanDiff.make({ plan: first }, { plan: other }).changed, [
        { name: "t", fields: ["run"] },
      ])
    }),
  )

  const names = ["a", "b", "c", "d"]
  const units = fc.record(
    Object.fromEntries(
      names.map((name, index) => [
        name,
        fc.option(
          fc.record({
            command: fc.constantFrom("x", "y"),
            grace: fc.integer({ min: 1, max: 2 }),
            requires: fc.subarray(names.slice(0, index)),
          }),
          { nil: undefined },
        ),
      ]),
    ),
  )
  const toText = (
    all: Record<string, { command: string; grace: number; requires: ReadonlyArray<string> } | undefined>,
  ) => {
    const there = Object.entries(all).filter(([, one]) => one !== undefined)
    const lines = there.map(
      ([name, one]) =>
        `  ${name}: { command: ${one!.command}, stop: { grace: ${one!.grace}s }, requires: [${one!.requires.filter((other) => all[other] !== undefined).join(", ")}] }`,
    )
    return lines.length === 0 ? "units: {}\n" : `units:\n${lines.join("\n")}\n`
  }
  it.prop(
    "each unit is one of four things, and the way back is the mirror image",
    [units, units],
    ([a, b]) => {
      const [from, to] = [accept(toText(a)), accept(toText(b))]
      const there = PlanDiff.make(from, to)
      const back = PlanDiff.make(to, from)
      const changed = (diff: PlanDiff.PlanDiff) =>
        diff.changed.map(({ name, fields }) => `${name} ${[...fields].sort().join()}`).sort()
      assert.sameMembers(
        [...there.added, ...there.unchanged, ...there.changed.map(({ name }) => name)],
        [...to.plan.graph.order],
      )
      assert.sameMembers([...there.added], [...back.removed])
      assert.sameMembers([...there.removed], [...back.added])
      assert.sameMembers([...there.unchanged], [...back.unchanged])
      assert.deepStrictEqual(changed(there), changed(back))
      assert.isTrue(PlanDiff.isEmpty(PlanDiff.make(from, accept(toText(a)))))
    },
  )
})
