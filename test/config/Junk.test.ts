/** Whatever stands in a file: it is a configuration, or it is refused with reasons. */
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as fc from "effect/FastCheck"
import { stringify } from "yaml"
import * as Config from "../../src/config/Config.js"
import * as PlanDiff from "../../src/unit/PlanDiff.js"

const secret = "hunter2-of-the-environment"

const check = (text: string): void => {
  const result = Config.parse(text, { file: "h.yaml", env: { SECRET: secret } })
  if (Either.isRight(result)) {
    assert.isTrue(PlanDiff.isEmpty(PlanDiff.make(result.right, result.right)))
    return
  }
  const error = result.left
  assert.strictEqual(error._tag, "ConfigInvalid")
  assert.isNotEmpty(error.faults)
  const lines = text.split("\n")
  let last = 0
  for (const { column, line, message } of error.faults) {
    assert.isAtLeast(line, Math.max(1, last))
    assert.isAtMost(line, lines.length)
    assert.isAtLeast(column, 1)
    assert.isAtMost(column, lines[line - 1]!.length + 1)
    assert.isNotEmpty(message)
    last = line
  }
  assert.notInclude(error.message, secret)
}

/** Words that mean something, so that junk gets somewhere. */
const words = [
  ..."units groups x-a web db kind command cwd env envFile mask stop signal grace logs lines maxSize port".split(
    " ",
  ),
  ..."ports url requires after wants bindsTo conflicts startup readiness liveness http tcp exec log all".split(
    " ",
  ),
  ..."any path pattern json status identity version pointer header equals headers restart policy".split(" "),
  ..."strategy period timeout killOthers foreign __proto__ constructor toString length 0 <<".split(" "),
  "a b",
  "",
]
const scalars: ReadonlyArray<unknown> = [
  ..."service oneshot target external task auto web db 10s 1MB TERM / 2xx http://a/ ( ~/x x *a &a !x %".split(
    " ",
  ),
  ..."${SECRET} ${NOPE} ${NOPE:-80} ${port} ${web.port} ${db.port} $$ ${".split(" "),
  "",
  " ",
  "\0",
  "\n",
  "\u2028",
  "\ud800",
  "- ",
  ": ",
  0,
  1,
  80,
  99_999,
  -1,
  1.5,
  Number.NaN,
  Infinity,
  1e300,
  true,
  false,
  null,
]
const key = fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...words) }, fc.string({ maxLength: 8 }))
const scalar = fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...scalars) }, fc.string(), fc.double())
const tree = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 7, depthSize: "large", withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }),
    // From pairs: a key may be one that no object literal can have.
    fc.array(fc.tuple(key, tie("value")), { maxLength: 5 }).map((pairs) => new Map(pairs)),
  ),
})).value
const unit = fc
  .array(fc.tuple(key, tree), { maxLength: 5 })
  .map((pairs) => new Map<unknown, unknown>([["command", "x"], ...pairs]))
const plausible = fc
  .tuple(fc.array(fc.tuple(fc.constantFrom("web", "db", "all"), unit), { maxLength: 3 }), tree)
  .map(
    ([units, groups]) =>
      new Map<string, unknown>([
        ["units", new Map(units)],
        ["groups", groups],
      ]),
  )

const options = { fastCheck: { numRuns: 400 } }

describe("junk", () => {
  it.prop("any text", [fc.string({ unit: "binary", maxLength: 200 })], ([text]) => check(text), options)

  const pieces = [
    "units:",
    "web:",
    "command: x",
    "port: ",
    " ",
    "  ",
    "\n",
    "\n  ",
    "\n    ",
    "\t",
    "- ",
    "? ",
    ": ",
    ",",
  ]
  const signs = [
    "[",
    "]",
    "{",
    "}",
    "'",
    '"',
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "|",
    ">",
    "---",
    "...",
    "%",
    "#",
    "<<: ",
    "${",
    "${SECRET}",
    "$",
    "\r",
    "\0",
    "\uFEFF",
    "\ud800",
    "x",
    "1",
    "~",
  ]
  it.prop(
    "pieces of YAML",
    [fc.array(fc.constantFrom(...pieces, ...signs), { maxLength: 60 }).map((all) => all.join(""))],
    ([text]) => check(text),
    options,
  )

  it.prop("any value as YAML", [tree], ([value]) => check(stringify(value)), options)

  it.prop("any unit as YAML", [plausible], ([value]) => check(stringify(value)), options)

  it.prop(
    "a configuration with something missing or too much",
    [fc.nat(), fc.nat({ max: 12 }), fc.constantFrom(...signs)],
    ([at, length, sign]) => {
      const start = at % sample.length
      check(sample.slice(0, start) + sign + sample.slice(start + length))
    },
    options,
  )
})

const sample = `x-env: &env { A: b, SECRET: "\${SECRET}" }
units:
  migrate: { kind: oneshot, command: [node, 'migrate.js', 5] }
  web:
    command: |
      node server.js \${port}
    env: { <<: *env, PORT: "\${port}" }
    port: auto
    requires: { migrate: succeeded }
    readiness: { all: [{ http: { path: /health, status: [2xx] } }, { tcp: {} }], period: 10s }
    restart: { policy: on-failure, backoff: { max: 10s } }
  search: { kind: external, url: "http://127.0.0.1:9200" }
  all:
    kind: target
    requires: [web, search]
groups:
  g: { units: [web, migrate], strategy: rest-for-one }
`
