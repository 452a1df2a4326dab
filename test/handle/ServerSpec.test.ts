/** What a server may be described as, and what is refused before anything is started or asked. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ServerSpec from "../../src/handle/ServerSpec.js"
import type { InvalidSpec } from "../../src/process/InvalidSpec.js"
import { lasting } from "../../src/handle/ServerCheck.js"
import { failsWith } from "./server-support.js"

const managed = (input: object) => ServerSpec.managed({ name: "web", command: ["serve"], ...input } as never)
const external = (input: object) => ServerSpec.external(input as never)

const refused = (decoded: Effect.Effect<unknown, InvalidSpec>) =>
  Effect.map(failsWith("InvalidSpec")(decoded), ({ issues }) => issues.map(({ field }) => field))

describe("a managed server", () => {
  it.effect("has the defaults of the source: every 100 ms, 250 ms, 10 s in all", () =>
    Effect.gen(function* () {
      const { foreign, host, port, probe, restart, startTimeout } = yield* managed({})
      assert.deepStrictEqual(Duration.toMillis(probe.period), 100)
      assert.deepStrictEqual(Duration.toMillis(probe.timeout), 250)
      assert.deepStrictEqual(Duration.toMillis(startTimeout), 10_000)
      assert.deepStrictEqual(
        [host, port, foreign, restart.policy, probe.http?.path],
        ["127.0.0.1", "auto", "refuse", "never", "/"],
      )
    }),
  )

  it.effect("has the times that its probe says", () =>
    Effect.gen(function* () {
      const { probe } = yield* managed({ probe: { tcp: {}, period: "1s" } })
      assert.deepStrictEqual(
        [Duration.toMillis(probe.period), Duration.toMillis(probe.timeout)],
        [1_000, 250],
      )
    }),
  )

  const wrong: ReadonlyArray<readonly [what: string, input: object, field: string]> = [
    ["a probe path that does not start with '/'", { probe: { http: { path: "health" } } }, "probe.http.path"],
    ["an empty probe path", { probe: { http: { path: "" } } }, "probe.http.path"],
    ["a probe without a kind", { probe: { period: "1s" } }, "probe"],
    ["an unknown field of a probe", { probe: { http: { path: "/" }, periode: "1s" } }, "probe.periode"],
    ["a probe that never ends", { probe: { tcp: {}, timeout: 0 } }, "probe.timeout"],
    [
      "a version path that does not start with '/'",
      { version: { path: "v", pointer: "/v" } },
      "version.path",
    ],
    ["a pointer that is none", { version: { pointer: "version" } }, "version.pointer"],
    ["an expected version with nothing to compare", { expectedVersion: "1" }, "expectedVersion"],
    ["a blank expected version", { version: "1", expectedVersion: " " }, "expectedVersion"],
    [
      "a version in the answer of a probe that has none",
      { probe: { tcp: {} }, version: { pointer: "/version" } },
      "version.path",
    ],
    ["a port that is none", { port: 70_000 }, "port"],
    ["a host that is a URL", { host: "http://127.0.0.1" }, "host"],
    ["a host with a port", { host: "127.0.0.1:80" }, "host"],
    ["adopting at a port that is chosen anew", { foreign: "adopt-as-external" }, "foreign"],
    ["an unknown field", { prot: 80 }, "prot"],
    ["no command", { command: [] }, "command"],
    ["a name that is no directory", { name: "../web" }, "name"],
  ]
  for (const [what, input, field] of wrong) {
    it.effect(`refuses ${what}`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* refused(managed(input)), [field])
      }),
    )
  }
})

describe("an external server", () => {
  const good = {
    "http://127.0.0.1:8080": "http://127.0.0.1:8080",
    "http://127.0.0.1:8080/": "http://127.0.0.1:8080",
    "https://example.com/runtime": "https://example.com/runtime",
    "https://example.com/runtime//": "https://example.com/runtime",
    "http://[::1]:8080/runtime/": "http://[::1]:8080/runtime",
    "HTTP://Example.com:8080": "http://example.com:8080",
  }
  for (const [url, base] of Object.entries(good)) {
    it.effect(`takes ${url}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(ServerSpec.normalizeBase((yield* external({ baseUrl: url })).baseUrl), base)
      }),
    )
  }

  const bad = [
    "127.0.0.1:8080",
    "/runtime",
    "",
    "ftp://example.com",
    "http:example.com",
    "ws://example.com",
    "http://user@example.com",
    "http://user:secret@example.com",
    "http://example.com?x=1",
    "http://example.com/?",
    "http://example.com/#top",
    "http://example.com/#",
    "http://",
    "http://example.com:0",
    " http://example.com",
  ]
  for (const url of bad) {
    it.effect(`refuses ${JSON.stringify(url)}`, () =>
      Effect.gen(function* () {
        const error = yield* failsWith("InvalidSpec")(external({ baseUrl: url }))
        assert.deepStrictEqual(
          error.issues.map(({ field }) => field),
          ["baseUrl"],
        )
        assert.notInclude(error.message, "secret")
      }),
    )
  }

  it.effect("is given 250 ms for its first answer from here, and 5 s from elsewhere", () =>
    Effect.gen(function* () {
      const patience = (baseUrl: string, probe: object = {}) =>
        Effect.map(external({ baseUrl, probe: { http: { path: "/" }, ...probe } }), (spec) =>
          Duration.toMillis(spec.probe.timeout),
        )
      assert.strictEqual(yield* patience("http://127.0.0.1:1"), 250)
      assert.strictEqual(yield* patience("http://localhost:1"), 250)
      assert.strictEqual(yield* patience("http://[::1]:1"), 250)
      assert.strictEqual(yield* patience("https://example.com"), 5_000)
      assert.strictEqual(yield* patience("http://127.0.0.1.example.com"), 250 * 20)
      assert.strictEqual(yield* patience("https://example.com", { timeout: "1s" }), 1_000)
    }),
  )

  it.effect("refuses a probe path that does not start with '/'", () =>
    Effect.gen(function* () {
      const spec = external({ baseUrl: "http://127.0.0.1", probe: { http: { path: "openapi.json" } } })
      assert.deepStrictEqual(yield* refused(spec), ["probe.http.path"])
    }),
  )
})

describe("what is asked of a probe again", () => {
  const http = { http: { path: "/" } } as never
  const log = { log: { pattern: "ready" } } as never

  it("is all of it, but for what its output has said", () => {
    assert.deepStrictEqual(lasting(http), http)
    assert.isUndefined(lasting(log))
    assert.deepStrictEqual(lasting({ all: [http, log] }), http)
    assert.deepStrictEqual(lasting({ all: [http, log, http] }), { all: [http, http] })
    assert.isUndefined(lasting({ all: [log] }))
    assert.isUndefined(lasting({ all: [log, { all: [log] }] }))
  })

  it("is nothing where the output alone may have been enough", () => {
    assert.isUndefined(lasting({ any: [http, log] }))
    assert.deepStrictEqual(lasting({ any: [http, http] }), { any: [http, http] })
    assert.deepStrictEqual(lasting({ all: [http, { any: [http, log] }] }), http)
  })
})
