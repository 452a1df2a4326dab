import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import { accept, refuse, unit } from "./support.js"

describe("anchors, aliases and merge keys", () => {
  const text = `
x-defaults: &defaults
  restart: { policy: always, maxFailures: 3 }
  stop: { grace: 3s }
x-env: &env { LEVEL: info, REGION: eu }
units:
  web: &web
    <<: *defaults
    command: [node, web.js]
    env: { <<: *env, LEVEL: debug }
  worker:
    <<: [{ command: first }, *defaults, *web]
    stop: { grace: 7s }
  copy: *web
`
  it("spare writing things twice; what is nearer wins", () => {
    const config = accept(text)
    const [web, worker, copy] = ["web", "worker", "copy"].map((name) => unit(config, name))
    assert.deepStrictEqual(web!.env, { LEVEL: "debug", REGION: "eu" })
    assert.strictEqual(web!.restart.policy, "always")
    assert.deepStrictEqual(worker!.command, "first")
    assert.deepStrictEqual(worker!.env, web!.env)
    assert.isTrue(Duration.equals(worker!.stop.grace, Duration.seconds(7)))
    assert.isTrue(Duration.equals(web!.stop.grace, Duration.seconds(3)))
    assert.deepStrictEqual(copy, web)
  })

  it("an alias means the anchor before it, though a later one has its name", () => {
    const config = accept(
      "units:\n  a: { command: &c one }\n  b: { command: *c }\n  c: { command: &c two }\n  d: { command: *c }\n",
    )
    assert.deepStrictEqual(
      ["a", "b", "c", "d"].map((name) => unit(config, name).command),
      ["one", "one", "two", "two"],
    )
  })

  it("<< in quotes is a key like any other", () => {
    assert.deepStrictEqual(refuse('units:\n  a: { command: x, "<<": {} }\n'), [
      '2:20: units.a["<<"]: there is no such key',
    ])
  })

  it("what is wrong is told once, where it is written", () => {
    assert.deepStrictEqual(
      refuse("x-a: &a { command: x, port: 0, prot: 1 }\nunits:\n  a: *a\n  b: { <<: *a }\n"),
      [
        "1:29: units.a.port: got 0; expected a port from 1 to 65535, or auto",
        "1:32: units.a.prot: there is no such key; did you mean port?",
      ],
    )
  })

  const faulty: ReadonlyArray<[string, string, string]> = [
    [
      "no such anchor",
      "units:\n  a: { <<: *b }\n  b: &b { command: x }\n",
      "2:12: units.a: there is no anchor &b of this alias before it; put quotes around a text that begins with *",
    ],
    [
      "an alias within its anchor",
      "units: &all\n  a: *all\n",
      "2:6: units.a: the anchor of this alias holds the alias itself",
    ],
    [
      "a mapping that merges itself",
      "units:\n  a: &a { <<: *a, command: x }\n",
      "2:15: units.a: the anchor of this alias holds the alias itself",
    ],
    [
      "no mapping to merge",
      "units:\n  a: { <<: 1, command: x }\n",
      "2:12: units.a: expected a mapping to merge, or a list of them",
    ],
    [
      "nothing to merge",
      "units:\n  a:\n    <<:\n    command: x\n",
      "3:8: units.a: expected a mapping to merge, or a list of them",
    ],
  ]
  for (const [name, text, expected] of faulty) {
    it(`${name} is refused`, () => assert.deepStrictEqual(refuse(text), [expected]))
  }
})

/** The faults, and the time it took at best: others use this machine, too. */
const refused = (text: string): { readonly faults: ReadonlyArray<string>; readonly millis: number } => {
  let millis = Infinity
  let faults: ReadonlyArray<string> = []
  for (let time = 0; time < 3; time++) {
    const begin = process.cpuUsage()
    faults = refuse(text)
    millis = Math.min(millis, process.cpuUsage(begin).user / 1_000)
  }
  return { faults, millis }
}

describe("a hostile file is refused quickly", () => {
  const names = [..."abcdefghi"]
  const laughs = (line: (name: string, inner: string) => string) =>
    names
      .slice(1)
      .map((name, at) => line(name, names[at]!))
      .join("\n")
  const nine = (inner: string) => Array<string>(9).fill(`*${inner}`).join(", ")

  const cases: ReadonlyArray<[string, string, ReadonlyArray<string>]> = [
    [
      "a billion laughs",
      `x-a: &a [lol]\n${laughs((name, inner) => `x-${name}: &${name} [${nine(inner)}]`)}\nunits: { web: { command: *i } }\n`,
      ["10:26: units.web.command: the aliases make more than 20000 values out of this file"],
    ],
    [
      "a billion laughs by merge keys",
      `x-a: &a { p: 1 }\n${Array.from({ length: 50 }, (_, at) => `x-${at}: &m${at} { l: { <<: *${at === 0 ? "a" : `m${at - 1}`} }, m: { <<: *${at === 0 ? "a" : `m${at - 1}`} } }`).join("\n")}\nunits: { web: { command: x, env: *m49 } }\n`,
      ["52:34: units.web.env: the aliases make more than 20000 values out of this file"],
    ],
    [
      "aliases one in the other",
      `x-0: &c0 [1]\n${Array.from({ length: 2_000 }, (_, at) => `x-${at + 1}: &c${at + 1} [*c${at}]`).join("\n")}\nunits: { web: { command: *c2000 } }\n`,
      [
        "1941:17: units.web.command[0][0][0][0][0][0][0][0][0][0][0][0][0]…: this is nested more than 64 levels deep",
      ],
    ],
    [
      "10 MB",
      `units:\n${"  web: { command: x }\n".repeat(500_000)}`,
      ["1:1: the file is larger than a configuration may be (1048576 bytes)"],
    ],
    ["half a million [", `units: ${"[".repeat(500_000)}`, ["1:71: this is nested more than 64 levels deep"]],
    [
      "half a million {a:",
      `units: ${"{a: ".repeat(200_000)}`,
      ["1:257: this is nested more than 64 levels deep"],
    ],
    ["half a million -", "- ".repeat(500_000), ["1:128: this is nested more than 64 levels deep"]],
    ["half a million ?", "? ".repeat(500_000), ["1:128: this is nested more than 64 levels deep"]],
    [
      "a thousand levels of indentation",
      Array.from({ length: 1_000 }, (_, at) => `${" ".repeat(at)}a:`).join("\n"),
      ["64:65: this is nested more than 64 levels deep"],
    ],
  ]
  for (const [name, text, expected] of cases) {
    it(name, () => {
      const { faults, millis } = refused(text)
      assert.deepStrictEqual(faults, expected)
      assert.isBelow(millis, 200)
    })
  }

  it("64 levels that mean nothing are no defect", () => {
    const deep = (levels: number) =>
      `units: { web: { command: x, env: ${"{a: ".repeat(levels)}1${"}".repeat(levels)} } }`
    assert.deepStrictEqual(refuse(deep(40)), ["1:38: units.web.env.a: expected a text"])
  })

  it("thousands of faults cost no more than seconds", () => {
    for (const noise of [",", '"', "&a ", "%\n", "a: b: c\n", "@\n", "}\n", "- "]) {
      assert.isBelow(refused(`units: [${noise.repeat(20_000)}]`).millis, 3_000, noise)
    }
  })

  it("a thousand units are accepted", () => {
    const units = Array.from(
      { length: 1_000 },
      (_, at) => `  u${at}: { command: [sleep, ${at}], requires: [${at === 0 ? "" : `u${at - 1}`}] }`,
    )
    assert.strictEqual(accept(`units:\n${units.join("\n")}\n`).plan.graph.order.length, 1_000)
  })
})

describe("what YAML has besides", () => {
  it("JSON is YAML", () => {
    assert.strictEqual(unit(accept('{"units": {"web": {"command": "x"}}}'), "web").command, "x")
  })

  it("a byte order mark, Windows line ends, YAML 1.1 and standard tags are no faults", () => {
    const config = accept(
      "\uFEFF%YAML 1.1\r\n---\r\nunits:\r\n  web:\r\n    command: !!str 5\r\n    autostart: no\r\n    port: !!int '80'\r\n...\r\n",
    )
    const { autostart, command, port } = unit(config, "web")
    assert.deepStrictEqual([command, autostart, port], ["5", false, 80])
  })

  it("lines and columns are right after Windows line ends", () => {
    assert.deepStrictEqual(refuse("units:\r\n  web:\r\n    command: x\r\n    prot: 1\r\n"), [
      "4:5: units.web.prot: there is no such key; did you mean port?",
    ])
  })

  it("keys x-... hold anything, at the top only", () => {
    accept("x-note: [${NOPE}, { a: 1 }]\nunits: {}\n".replace("${NOPE}", '"${NOPE}"'))
    assert.deepStrictEqual(refuse("units:\n  web: { command: x, x-note: 1 }\n"), [
      "2:22: units.web.x-note: there is no such key",
    ])
  })
})
