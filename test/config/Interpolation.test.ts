import { assert, describe, it } from "@effect/vitest"
import * as Interpolation from "../../src/config/Interpolation.js"
import { accept, refuse, unit } from "./support.js"

const env = { A: "one", B: "two words", EMPTY: "", PORT: "8080", port: "captured", DOLLAR: "$A ${A}" }

describe("variables in a text", () => {
  const cases: ReadonlyArray<[string, string]> = [
    ["nothing", "nothing"],
    ["${A}", "one"],
    ["<${A}-${B}>", "<one-two words>"],
    ["${EMPTY}", ""],
    ["${NOPE:-default}", "default"],
    ["${EMPTY:-default}", "default"],
    ["${A:-default}", "one"],
    ["${NOPE:-}", ""],
    ["${NOPE:-a:-b}", "a:-b"],
    ["${NOPE:-${A}}", "one"],
    ["${NOPE:-<${EMPTY:-${B}}>}!", "<two words>!"],
    ["${NOPE:-$$}", "$"],
    ["${A:-${NOPE}}", "one"],
    ["${NOPE:-${port}}", "${port}"],
    // Not read again.
    ["${DOLLAR}", "$A ${A}"],
    // For the shell.
    ["$A $1 $? $(date) $", "$A $1 $? $(date) $"],
    ["$${A}", "${A}"],
    ["$$A", "$A"],
    ["$$$$", "$$"],
    ["$$${A}", "$one"],
    ["a$${b", "a${b"],
    // For the supervisor.
    ["${port} ${web.port} ${a-b.c.port}", "${port} ${web.port} ${a-b.c.port}"],
  ]
  for (const [source, expected] of cases) {
    it(`${source} is ${expected}`, () => {
      const { faults, text } = Interpolation.expand(source, env)
      assert.deepStrictEqual({ faults, text }, { faults: [], text: expected })
    })
  }

  const literally = "write $${ for the text ${"
  const faulty: ReadonlyArray<[string, number, string]> = [
    [
      "a ${NOPE}",
      2,
      `the variable NOPE is not set; set it, give it a default (\${NOPE:-...}), or ${literally}`,
    ],
    // What every object has is no variable.
    [
      "${constructor}",
      0,
      `the variable constructor is not set; set it, give it a default (\${constructor:-...}), or ${literally}`,
    ],
    [
      "${NOPE:-${NEITHER}}",
      8,
      `the variable NEITHER is not set; set it, give it a default (\${NEITHER:-...}), or ${literally}`,
    ],
    ["${A", 0, `this \${ is not closed by a }; ${literally}`],
    ["x${A:-b", 1, `this \${ is not closed by a }; ${literally}`],
    ["${A:-${B}", 0, `this \${ is not closed by a }; ${literally}`],
    ["${A:?hunter2}", 0, `\${A…} is no variable; there are \${NAME} and \${NAME:-default}; ${literally}`],
    ["${A%.js}", 0, `\${A…} is no variable; there are \${NAME} and \${NAME:-default}; ${literally}`],
    ["${}", 0, `\${…} is no variable; there are \${NAME} and \${NAME:-default}; ${literally}`],
    ["${1}", 0, `\${…} is no variable; there are \${NAME} and \${NAME:-default}; ${literally}`],
    ["${port:-80}", 0, `\${port} is the unit's own port, and always there; ${literally}`],
    ["${web.port:-80}", 0, `\${web…} is no variable; there are \${NAME} and \${NAME:-default}; ${literally}`],
  ]
  for (const [source, at, message] of faulty) {
    it(`${source} is refused`, () => {
      assert.deepStrictEqual(Interpolation.expand(source, env).faults, [{ at, message }])
    })
  }

  it("every fault is told", () => {
    assert.deepStrictEqual(
      Interpolation.expand("${X} ${A} ${Y%z} ${Z}", env).faults.map(({ at }) => at),
      [0, 10, 17],
    )
  })

  it("a default within a default, without end", () => {
    const deep = (times: number) => "${N:-".repeat(times) + "x" + "}".repeat(times)
    assert.strictEqual(Interpolation.expand(deep(16), env).text, "x")
    assert.isNotEmpty(Interpolation.expand(deep(17), env).faults)
    assert.isNotEmpty(Interpolation.expand(deep(100_000), env).faults)
  })
})

describe("variables in a configuration", () => {
  const one = (...lines: ReadonlyArray<string>) =>
    unit(
      accept(["units:", "  web:", "    command: x", ...lines.map((line) => `    ${line}`)].join("\n")),
      "web",
    )

  it("are put into texts of every kind", () => {
    const { command } = unit(
      accept(
        [
          "units:",
          "  web:",
          "    command:",
          "      - ${PORT}",
          "      - '${PORT} it''s'",
          '      - "\\"${PORT}\\""',
          "      - >-",
          "        folded",
          "        ${PORT}",
          "      - |",
          "        kept",
          "        ${PORT}",
          "",
        ].join("\n"),
      ),
      "web",
    )
    assert.deepStrictEqual(command, ["8080", "8080 it's", '"8080"', "folded 8080", "kept\n8080\n"])
  })

  it("are a number where the schema wants one, in quotes or not", () => {
    assert.strictEqual(one("port: ${PORT}").port, 8080)
    assert.strictEqual(one('port: "${PORT}"').port, 8080)
    assert.strictEqual(one("port: ${NOPE:-8081}").port, 8081)
    assert.strictEqual(one("port: 80${NOPE:-90}").port, 8090)
    assert.strictEqual(one("port: ${NOPE:-auto}").port, "auto")
    assert.strictEqual(one("autostart: ${NOPE:-false}").autostart, false)
    assert.deepStrictEqual(one("ports: ['${PORT}', ${NOPE:-1}]".replace(", ${NOPE:-1}", "")).ports, [8080])
    assert.deepStrictEqual(one("stop: { grace: '${NOPE:-3}' }").stop, one("stop: { grace: 3 }").stop)
    assert.deepStrictEqual(
      one("port: 1", "readiness: { http: { path: /, status: '${NOPE:-204}' } }").readiness?.http?.status,
      204,
    )
  })

  it("stay a text where that will do: a variable is passed on as it is", () => {
    const { env } = one(
      "env:",
      "  ZIP: ${ZIP}",
      "  LIST: [${ZIP}]".replace("[${ZIP}]", "'${ZIP}'"),
      "  NONE: ${EMPTY}",
    )
    assert.deepStrictEqual(env, { ZIP: "00123", LIST: "00123", NONE: "" })
  })

  it("are what YAML makes of them where both will do", () => {
    const { readiness } = one(
      "port: 1",
      "readiness:",
      "  http:",
      "    path: /",
      "    json: { /a: '${NOPE:-true}' }",
    )
    assert.deepStrictEqual(readiness?.http?.json, { "/a": "true" })
    const plain = one(
      "port: 1",
      "readiness:",
      "  http:",
      "    path: /",
      "    json:",
      "      /a: ${NOPE:-true}",
    )
    assert.deepStrictEqual(plain.readiness?.http?.json, { "/a": true })
  })

  it("leave the supervisor's words alone, whatever the environment has", () => {
    const { command, env } = unit(
      accept(
        'units:\n  web:\n    command: x $HOME $${HOME} ${port} ${db.port}\n    port: auto\n    env: { P: "${port}" }\n  db: { command: y, port: 1 }\n',
        { env: { port: "7", HOME: "/root" } },
      ),
      "web",
    )
    assert.deepStrictEqual([command, env], ["x $HOME ${HOME} ${port} ${db.port}", { P: "${port}" }])
  })

  it("a fault is told where it stands, in a text of several lines too", () => {
    assert.deepStrictEqual(
      refuse(
        [
          "units:",
          "  web:",
          "    command: |",
          "      echo $${HOME}",
          "      echo ${NOPE} ${HOME} ${HOME%/}",
          '    cwd: "\\t${NEITHER}"',
          "",
        ].join("\n"),
      ),
      [
        "5:12: units.web.command: the variable NOPE is not set; set it, give it a default (${NOPE:-...}), or write $${ for the text ${",
        "5:28: units.web.command: ${HOME…} is no variable; there are ${NAME} and ${NAME:-default}; write $${ for the text ${",
        "6:13: units.web.cwd: the variable NEITHER is not set; set it, give it a default (${NEITHER:-...}), or write $${ for the text ${",
      ],
    )
  })
})

describe("what a scalar is", () => {
  const command = (text: string) => unit(accept(`units:\n  web:\n    command: [${text}]\n`), "web").command

  it("a text where only texts will do, as it was written", () => {
    assert.deepStrictEqual(command("sleep, 60, 1.50, 0x10, 007, true, no, 1e3, 2020-01-01"), [
      "sleep",
      "60",
      "1.50",
      "0x10",
      "007",
      "true",
      "no",
      "1e3",
      "2020-01-01",
    ])
  })

  it("variables of a unit are texts, as they were written", () => {
    const { env } = unit(
      accept(
        "units:\n  env:\n    command: x\n    port: 80\n    env: { A: 1.10, B: 0x1F, C: True, D: 12345678901234567890, E: '' }\n",
      ),
      "env",
    )
    assert.deepStrictEqual(env, { A: "1.10", B: "0x1F", C: "True", D: "12345678901234567890", E: "" })
  })

  it("nothing is no empty text", () => {
    assert.deepStrictEqual(refuse("units:\n  web:\n    command: x\n    env: { A: }\n"), [
      "4:15: units.web.env.A: expected a text",
    ])
  })

  it("a text in quotes is no number", () => {
    assert.deepStrictEqual(refuse('units:\n  web:\n    command: x\n    port: "80"\n'), [
      '4:11: units.web.port: got "80"; expected a port from 1 to 65535, or auto',
    ])
  })
})
