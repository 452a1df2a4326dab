import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Check from "../../src/probe/Check.js"
import * as JsonPointer from "../../src/probe/JsonPointer.js"
import * as ProbePlan from "../../src/probe/ProbePlan.js"
import * as ProbeSpec from "../../src/probe/ProbeSpec.js"

const issuesOf = (input: unknown) =>
  Effect.map(Effect.flip(Check.make(input as Check.Input)), (error) => ({
    text: error.message,
    fields: error.issues.map(({ field }) => field),
  }))

describe("a check", () => {
  it.effect("has the defaults of Kubernetes", () =>
    Effect.gen(function* () {
      const check = yield* Check.make({ tcp: {} })
      expect(Duration.toMillis(check.period)).toBe(10_000)
      expect(Duration.toMillis(check.timeout)).toBe(1_000)
      expect(Duration.toMillis(check.initialDelay)).toBe(0)
      expect(check).toMatchObject({ successThreshold: 1, failureThreshold: 3 })
    }),
  )

  it.effect("can be written again when it is decoded", () =>
    Effect.gen(function* () {
      const check = yield* Check.make({
        all: [
          { http: { path: "/x", status: [200, "3xx"] } },
          { any: [{ tcp: {} }, { log: { pattern: "up" } }] },
        ],
        period: "5s",
      })
      expect(yield* Check.make(check)).toEqual(check)
    }),
  )

  for (const [name, input, field, words] of [
    ["no kind", { period: 1 }, "(the whole spec)", "there is none"],
    ["two kinds", { tcp: {}, log: { pattern: "x" } }, "(the whole spec)", "there are tcp and log"],
    ["an unknown kind", { ping: {} }, "ping", "http, tcp, exec"],
    ["an unknown field", { http: { path: "/", hedaers: {} } }, "http.hedaers", "headers"],
    ["a path without slash", { http: { path: "health" } }, "http.path", "starts with '/'"],
    ["an empty path", { http: { path: "" } }, "http.path", "starts with '/'"],
    ["a path with a blank", { http: { path: "/a b" } }, "http.path", "percent-encode"],
    ["a path with a fragment", { http: { path: "/a#b" } }, "http.path", "no fragment"],
    ["no path", { http: {} }, "http.path", "starts with '/'"],
    ["a relative url", { http: { url: "/health" } }, "http.url", "absolute URL"],
    ["another scheme", { http: { url: "ftp://x/" } }, "http.url", "http://"],
    ["a fragment", { http: { url: "http://x/#a" } }, "http.url", "fragment"],
    ["port 0 in a url", { http: { url: "http://x:0/" } }, "http.url", "1 to 65535"],
    ["url and path", { http: { url: "http://x/", path: "/" } }, "http.url", "not both"],
    ["port 0", { tcp: { port: 0 } }, "tcp.port", "1 to 65535"],
    ["port 65536", { tcp: { port: 65_536 } }, "tcp.port", "1 to 65535"],
    ["half a port", { tcp: { port: 80.5 } }, "tcp.port", "1 to 65535"],
    ["a host with a port", { tcp: { host: "a:1", port: 1 } }, "tcp.host", "without port"],
    ["a host beyond ASCII", { tcp: { host: "bücher.example", port: 1 } }, "tcp.host", "xn--"],
    ["a host with a control character", { http: { path: "/", host: "a\u0001" } }, "http.host", "host name"],
    [
      "a header about a body",
      { http: { path: "/", headers: { Trailer: "x" } } },
      "http.headers.Trailer",
      "body",
    ],
    [
      "a value that JSON has not",
      { http: { path: "/", json: { "/a": Number.NaN } } },
      "http.json./a",
      "number",
    ],
    [
      "a body check of HEAD",
      { http: { path: "/", method: "HEAD", json: { "/a": 1 } } },
      "http.method",
      "no body",
    ],
    ["a bad pattern", { log: { pattern: "(" } }, "log.pattern", "Unterminated group"],
    ["an empty pattern", { log: { pattern: "" } }, "log.pattern", "not empty"],
    ["a status out of range", { http: { path: "/", status: 99 } }, "http.status", "200"],
    ["a range backwards", { http: { path: "/", status: "399-200" } }, "http.status", "200-399"],
    ["no status", { http: { path: "/", status: [] } }, "http.status", "200"],
    [
      "a pointer without slash",
      { http: { path: "/", json: { healthy: true } } },
      "http.json.healthy",
      "JSON Pointer",
    ],
    ["an empty list", { all: [] }, "all", "at least one probe"],
    ["no list", { any: {} }, "any", "at least one probe"],
    [
      "a fault deep inside",
      { all: [{ tcp: {} }, { any: [{ http: { path: "x" } }] }] },
      "all[1].any[0].http.path",
      "'/'",
    ],
    ["an empty command", { exec: { command: [] } }, "exec.command", "list of texts"],
    ["no period", { tcp: {}, period: 0 }, "period", "at least 1ms"],
    ["a period that is none", { tcp: {}, period: "soon" }, "period", "length of time"],
    ["threshold 0", { tcp: {}, failureThreshold: 0 }, "failureThreshold", "at least 1"],
  ] as const) {
    it.effect(`refuses ${name}`, () =>
      Effect.gen(function* () {
        const { fields, text } = yield* issuesOf(input)
        expect(fields).toContain(field)
        expect(text).toContain(words)
      }),
    )
  }

  for (const [name, input] of [
    ["a header's value", { http: { path: "/", headers: { a: "hunter2\n" } } }],
    ["a header beside a fault", { http: { path: "/", headers: { a: "hunter2" } }, tcp: {} }],
    ["a misspelt header", { http: { path: "/", header: { a: "hunter2" } } }],
    ["a misspelt field", { http: { path: "/", authorization: "hunter2" } }],
    ["a variable", { exec: { command: ["x"], env: { A: 1, B: "hunter2" } }, tcp: {} }],
    ["a password in a url", { http: { url: "http://me:hunter2@x/" } }],
    ["a query in a url", { http: { url: "http://x/?t=hunter2#f" } }],
    ["something else than a probe", ["hunter2"]],
  ] as const) {
    it.effect(`does not print ${name}`, () =>
      Effect.gen(function* () {
        const { fields, text } = yield* issuesOf(input)
        expect(fields.length).toBeGreaterThan(0)
        expect(text).not.toContain("hunter2")
      }),
    )
  }

  for (const host of ["localhost", "127.0.0.1", "::1", "[::1]", "a-b.example"]) {
    it.effect(`takes the host ${host}`, () => ProbeSpec.make({ tcp: { host, port: 1 } }))
  }
})

describe("a start timeout", () => {
  const use = (input: Omit<Check.Input, "tcp">) => Check.make({ tcp: {}, ...input })
  const millis = (configured: Duration.Duration | undefined, check: Check.Check) =>
    Duration.toMillis(Check.startTimeout(configured, check))

  it.effect("is the larger of the configured one and what the check may take", () =>
    Effect.gen(function* () {
      const defaults = yield* use({})
      // 0 + 3 x (10 + 1) + 5
      expect(millis(undefined, defaults)).toBe(38_000)
      expect(millis(Duration.minutes(1), defaults)).toBe(60_000)
      const quick = yield* use({ period: "100ms", timeout: "250ms", failureThreshold: 1, initialDelay: "2s" })
      expect(millis(undefined, quick)).toBe(30_000)
      expect(millis(Duration.seconds(1), quick)).toBe(7_350)
    }),
  )
})

describe("a plan", () => {
  const plan = (input: ProbeSpec.Input, target: ProbePlan.Target) =>
    Effect.map(ProbeSpec.make(input), (probe) => ProbePlan.make(probe, target))
  const issues = (input: ProbeSpec.Input, target: ProbePlan.Target) =>
    Effect.map(plan(input, target), (either) =>
      Either.match(either, { onLeft: (error) => error.issues.map(({ field }) => field), onRight: () => [] }),
    )

  it.effect("names every part that lacks a port or output", () =>
    Effect.gen(function* () {
      expect(yield* issues({ tcp: {} }, {})).toEqual(["tcp.port"])
      expect(
        yield* issues(
          { all: [{ http: { path: "/" } }, { log: { pattern: "x" } }, { tcp: { port: 1 } }] },
          {},
        ),
      ).toEqual(["all[0].http.port", "all[1].log"])
      expect(yield* issues({ tcp: {} }, { port: 70_000 })).toEqual(["tcp.port"])
      expect(yield* issues({ http: { path: "/" } }, { baseUrl: "http://x/?q" })).toEqual(["baseUrl"])
      expect(yield* issues({ http: { path: "/" } }, { baseUrl: "x" })).toEqual(["baseUrl"])
      expect(yield* issues({ tcp: {} }, { port: 1, host: "a b" })).toEqual(["tcp.host"])
      expect(yield* issues({ tcp: {} }, { port: 1 })).toEqual([])
    }),
  )

  for (const [url, host, tls, port, path] of [
    ["http://example.com/a?b=c", "example.com", false, 80, "/a?b=c"],
    ["http://example.com:80", "example.com", false, 80, "/"],
    ["https://example.com", "example.com", true, 443, "/"],
    ["https://example.com:80/", "example.com:80", true, 80, "/"],
    ["http://[::1]:8080/", "[::1]:8080", false, 8080, "/"],
    ["http://[::1]/", "[::1]", false, 80, "/"],
    ["https://[::1]:443/", "[::1]", true, 443, "/"],
  ] as const) {
    it.effect(`of ${url} has the Host header ${host}`, () =>
      Effect.gen(function* () {
        const settled = Either.getOrThrow(yield* plan({ http: { url } }, {}))
        expect(settled).toMatchObject({ tls, port, path, headers: { Host: host } })
      }),
    )
  }

  it.effect("keeps the zone of an address to itself", () =>
    Effect.gen(function* () {
      const settled = Either.getOrThrow(
        yield* plan({ http: { path: "/", host: "fe80::1%lo", port: 8080 } }, {}),
      )
      expect(settled).toMatchObject({ host: "fe80::1%lo", headers: { Host: "[fe80::1]:8080" } })
    }),
  )

  it.effect("goes to localhost when nobody says where", () =>
    Effect.gen(function* () {
      expect(Either.getOrThrow(yield* plan({ tcp: {} }, { port: 1 }))).toMatchObject({ host: "localhost" })
      expect(Either.getOrThrow(yield* plan({ tcp: {} }, { port: 1, host: "[::1]" }))).toMatchObject({
        host: "::1",
      })
    }),
  )
})

describe("a JSON pointer", () => {
  // The examples of RFC 6901, section 5.
  const document = {
    foo: ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
  }
  for (const [pointer, value] of [
    ["", document],
    ["/foo", ["bar", "baz"]],
    ["/foo/0", "bar"],
    ["/", 0],
    ["/a~1b", 1],
    ["/c%d", 2],
    ["/e^f", 3],
    ["/g|h", 4],
    ["/i\\j", 5],
    ['/k"l', 6],
    ["/ ", 7],
    ["/m~0n", 8],
    ["/foo/2", undefined],
    ["/foo/-", undefined],
    ["/foo/length", undefined],
    ["/toString", undefined],
  ] as const) {
    it(`"${pointer}"`, () => {
      expect(JsonPointer.isPointer(pointer)).toBe(true)
      expect(JsonPointer.get(document, pointer)).toEqual(value)
    })
  }

  it("is refused without its slash, and with a tilde that escapes nothing", () => {
    for (const text of ["a", "a/b", "/~", "/~2"]) expect(JsonPointer.isPointer(text)).toBe(false)
  })
})
