import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { parse } from "yaml"
import * as Config from "../../src/config/Config.js"
import { help } from "../../src/config/ConfigHelp.js"
import { accept, refuse } from "./support.js"

type Json = Readonly<Record<string, unknown>>

const schema = Config.jsonSchema()
const definitions = schema.definitions as Readonly<Record<string, Json>>

const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Every word of JSON Schema that occurs, and what it means; another one is an error. */
const rules: Readonly<Record<string, (word: never, value: never, schema: Json) => boolean>> = {
  $schema: () => true,
  title: () => true,
  description: () => true,
  default: () => true,
  definitions: () => true,
  $ref: (ref: string, value: unknown) => matches(definitions[ref.replace("#/definitions/", "")]!, value),
  type: (type: string | ReadonlyArray<string>, value: unknown) =>
    [type]
      .flat()
      .some((one) =>
        one === "object"
          ? isRecord(value)
          : one === "array"
            ? Array.isArray(value)
            : one === "integer"
              ? Number.isInteger(value)
              : typeof value === one,
      ),
  enum: (words: ReadonlyArray<unknown>, value: unknown) => words.includes(value),
  minimum: (least: number, value: unknown) => typeof value !== "number" || value >= least,
  maximum: (most: number, value: unknown) => typeof value !== "number" || value <= most,
  minLength: (least: number, value: unknown) => typeof value !== "string" || value.length >= least,
  pattern: (pattern: string, value: unknown) =>
    typeof value !== "string" || new RegExp(pattern, "u").test(value),
  minItems: (least: number, value: unknown) => !Array.isArray(value) || value.length >= least,
  items: (inner: Json, value: unknown) => !Array.isArray(value) || value.every((one) => matches(inner, one)),
  properties: (inner: Readonly<Record<string, Json>>, value: unknown) =>
    !isRecord(value) ||
    Object.entries(value).every(([key, one]) => inner[key] === undefined || matches(inner[key], one)),
  patternProperties: () => true,
  additionalProperties: (
    inner: Json | false,
    value: unknown,
    { patternProperties = {}, properties = {} }: Json,
  ) =>
    !isRecord(value) ||
    Object.entries(value).every(
      ([key, one]) =>
        Object.hasOwn(properties as Json, key) ||
        Object.keys(patternProperties as Json).some((pattern) => new RegExp(pattern, "u").test(key)) ||
        (inner !== false && matches(inner, one)),
    ),
  required: (keys: ReadonlyArray<string>, value: unknown) =>
    !isRecord(value) || keys.every((key) => Object.hasOwn(value, key)),
  anyOf: (all: ReadonlyArray<Json>, value: unknown) => all.some((one) => matches(one, value)),
  allOf: (all: ReadonlyArray<Json>, value: unknown) => all.every((one) => matches(one, value)),
  oneOf: (all: ReadonlyArray<Json>, value: unknown) => all.filter((one) => matches(one, value)).length === 1,
  if: (condition: Json, value: unknown, { then = {} }: Json) =>
    !matches(condition, value) || matches(then as Json, value),
  // oxlint-disable-next-line unicorn/no-thenable
  then: () => true,
}

const matches = (schema: Json, value: unknown): boolean =>
  Object.entries(schema).every(([word, argument]) => {
    assert.property(rules, word)
    return rules[word]!(argument as never, value as never, schema)
  })

const isValid = (text: string): boolean => matches(schema, parse(text, { merge: true }))

const inUnit = (line: string) => `units:\n  web:\n    command: x\n    port: 1\n    ${line}\n`

describe("the JSON Schema", () => {
  it("allows nothing that it does not name", () => {
    const structs: Array<string> = []
    const walk = (value: unknown, where: string): void => {
      if (!isRecord(value) && !Array.isArray(value)) return
      if (isRecord(value) && isRecord(value.properties) && value.type === "object") {
        assert.strictEqual(value.additionalProperties, false, where)
        structs.push(where)
      }
      for (const [key, inner] of Object.entries(value)) walk(inner, `${where}/${key}`)
    }
    walk(schema, "")
    assert.isAbove(structs.length, 12)
    assert.notInclude(JSON.stringify(schema), "$id")
  })

  it("has every reference that is used, and nothing beside one", () => {
    const text = JSON.stringify(schema)
    const used = [...text.matchAll(/"#\/definitions\/(\w+)"/g)].map(([, name]) => name!)
    for (const name of used) assert.property(definitions, name)
    assert.sameMembers(Object.keys(definitions), [...new Set(used)])
    assert.notMatch(text, /"\$ref":"[^"]*",(?!"definitions")/)
  })

  it("explains every key, with its default", () => {
    for (const [name, definition] of Object.entries(definitions)) {
      const struct = [definition, ...((definition.anyOf as ReadonlyArray<Json>) ?? [])].find(
        ({ properties }) => properties !== undefined,
      )
      if (struct === undefined) continue
      const properties = struct.properties as Readonly<Record<string, Json>>
      assert.sameMembers(Object.keys(properties), Object.keys(help[name as keyof typeof help]), name)
      for (const [key, { description }] of Object.entries(properties))
        assert.isString(description, `${name}.${key}`)
    }
    const unit = definitions.Unit!.properties as Readonly<Record<string, Json>>
    assert.strictEqual(unit.busyGrace!.default, "2m")
    assert.strictEqual(unit.autostart!.default, true)
    assert.strictEqual((definitions.Check!.properties as Record<string, Json>).period!.default, "10s")
  })

  it("the example is valid", () => {
    assert.isTrue(
      isValid(fs.readFileSync(path.resolve(import.meta.dirname, "../../examples/holdfast.yaml"), "utf8")),
    )
  })

  const good = [
    "env: { A: b, C: 1, D: true }",
    "envFile: .env",
    "envFile: [a, b]",
    "requires: {}",
    "restart: always",
    "restart: { policy: never, success: [3, TERM], backoff: { initial: 1s, factor: 1.5 } }",
    "restart: ${POLICY}",
    "autostart: ${AUTOSTART}",
    "stop: { signal: sigint, grace: 1m30s }",
    "stop: { signal: SIGUSR2, grace: 1.5 }",
    "stop: { grace: '${GRACE}' }",
    "logs: { maxSize: 10 MB }",
    "logs: { maxSize: 1024, lines: '${LINES}' }",
    "ports: ['${PORT}', 8080]",
    "readiness: { http: { path: /, status: 200 } }",
    "readiness: { http: { path: '${P}', status: [2xx, 300-399], json: { /a: null, /b: 1 }, headers: { A: 1 } } }",
    "readiness: { all: [{ tcp: {} }, { any: [{ log: { pattern: x } }, { exec: { command: [a, 1] } }] }] }",
  ]
  const values = {
    PORT: "9090",
    POLICY: "never",
    AUTOSTART: "false",
    GRACE: "3s",
    LINES: "7",
    P: "/",
  }
  for (const line of good) {
    it(`takes what the configuration takes: ${line}`, () => {
      accept(inUnit(line), { env: values })
      assert.isTrue(isValid(inUnit(line)))
    })
  }

  const bad = [
    "autostart: maybe",
    "cwd: [a]",
    "command: {}",
    "env: [A]",
    "env: { A: [b] }",
    "kind: task",
    "kind: servce",
    "logs: { maxSize: 10XB }",
    "logs: { maxSize: 10 }",
    "logs: { lines: 0 }",
    "mask: ['']",
    "port: 0",
    "port: 1.5",
    "port: any",
    "ports: 80",
    "readiness: {}",
    "readiness: { tcp: {}, log: { pattern: x } }",
    "readiness: { http: { path: health } }",
    "readiness: { http: { path: /, status: 99 } }",
    "readiness: { http: { path: /, status: 6xx } }",
    "readiness: { all: [] }",
    "readiness: { all: [{}] }",
    "readiness: { tcp: {}, period: soon }",
    "readiness: { tcp: {}, failureThreshold: 0 }",
    "requires: { web: up }",
    "restart: sometimes",
    "restart: { maxFailures: -1 }",
    "restart: { success: [256] }",
    "stop: { grace: 1 parsec }",
    "stop: { grace: -1 }",
    "stop: { signals: TERM }",
    "prot: 80",
  ]
  for (const line of bad) {
    it(`refuses what the configuration refuses: ${line}`, () => {
      const text = inUnit(line).replace(/ {4}(port|command): \w+\n(?=[\s\S]*\1)/, "")
      refuse(text)
      assert.isFalse(isValid(text))
    })
  }

  for (const text of [
    "foo: 1",
    "groups: {}",
    "units: []",
    "units: { a: {} }",
    "units: { a: { kind: external } }",
    "units: {}\ngroups: { g: { units: [] } }",
    "units: {}\ngroups: { g: { strategy: none, units: [a] } }",
  ]) {
    it(`refuses what the configuration refuses: ${JSON.stringify(text)}`, () => {
      refuse(text)
      assert.isFalse(isValid(text))
    })
  }
})
