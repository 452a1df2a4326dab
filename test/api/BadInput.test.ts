/** Whatever is sent: a code, one clear sentence, and the daemon goes on. */
import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as JsonFault from "../../src/api/JsonFault.js"
import { StoreFull } from "../../src/job/StoreError.js"
import { InvalidSpec } from "../../src/process/InvalidSpec.js"
import { type Asking, type Reply, serve } from "./support.js"
import { fakeUnits } from "./units.js"

const expectError = (reply: Reply, status: number, code: string, message: RegExp | string) => {
  expect(reply.body).toEqual({
    schema_version: "1",
    ok: false,
    type: "error",
    error: { code, message: expect.any(String), retryable: expect.any(Boolean) },
  })
  expect([reply.status, reply.body.error.code]).toEqual([status, code])
  expect(reply.body.error.message).toMatch(message)
  expect(reply.body.error.message).not.toMatch(/\n|\bat .*\.[jt]s:/)
}

/** What is asked, and what has to come of it. */
type Case = readonly [
  name: string,
  path: string,
  asking: Asking,
  status: number,
  code: string,
  message: RegExp,
]

const body = (given: unknown): Asking => ({ method: "POST", body: given })
const post: Asking = { method: "POST" }
const command = ["true"]
const bad = (name: string, given: unknown, message: RegExp): Case => [
  name,
  "/exec",
  body(given),
  400,
  "invalid_request",
  message,
]
const query = (path: string, message: RegExp): Case => [path, path, {}, 400, "invalid_request", message]

const id = "01HZX3V9Q4R8N7C2M5K6J1T0WB"

const cases: ReadonlyArray<Case> = [
  ["an empty body", "/exec", post, 400, "invalid_request", /^A request body is required\.$/],
  bad("an empty text", "", /^A request body is required\.$/),
  bad("broken JSON", '{"command": ["a",\n ]}', /not JSON: wrong at line 2, column 2\.$/),
  bad("JSON that ends too early", '{"command": ["a"', /ends too early, at line 1, column 17\.$/),
  bad("a secret in broken JSON", '{"env": {"TOKEN": hunter2}}', /^(?!.*hunter2).*line 1, column 19/),
  bad("bytes that are not UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), /not UTF-8/),
  bad("a list", "[]", /must be a JSON object/),
  bad("a number", "7", /must be a JSON object/),
  bad("half a million brackets", "[".repeat(500_000), /ends too early/),
  bad(
    "deep nesting",
    `{"command":${"[".repeat(100_000)}${"]".repeat(100_000)}}`,
    /nested more than 32 levels/,
  ),
  bad("a missing command", {}, /command: got nothing; it is required/),
  bad("an empty command", { command: [] }, /command/),
  bad("an empty program", { command: [" "] }, /command.*a program to run/),
  bad("a command that is a text", { command: "ls" }, /command: got "ls"; expected/),
  bad("a NUL in an argument", { command: ["a", "b\0c"] }, /command\[1\].*NUL/),
  bad("an unknown field", { comand: command }, /no field "comand"; did you mean "command"\?$/),
  bad("a field like none", { command, zzzzzz: 1 }, /no field "zzzzzz"; there are command, cwd/),
  bad("__proto__", '{"command":["a"],"__proto__":{"x":1}}', /no field "__proto__"/),
  bad(
    "an unknown field further down",
    { command, backoff: { dely_ms: 1 } },
    /backoff\.dely_ms.*not known.*delay_ms/,
  ),
  bad(
    "a negative timeout",
    { command, timeout_ms: -1 },
    /timeout_ms: got -1; expected a whole number of milliseconds/,
  ),
  bad("a huge timeout", { command, timeout_ms: 1e300 }, /timeout_ms/),
  bad("half a millisecond", { command, timeout_ms: 0.5 }, /timeout_ms/),
  bad("a number as text", { command, timeout_ms: "5" }, /timeout_ms/),
  bad("a priority beyond", { command, priority: 5_000 }, /priority.*-1000 to 1000/),
  bad("wait as text", { command, wait: "yes" }, /wait/),
  bad("until_ms alone", { command, until_ms: 5 }, /"until_ms" without "wait"/),
  bad("an unknown signal", { command, stop_signal: "FOO" }, /stop_signal.*a signal/),
  bad(
    "a field without its unit",
    { command, timeout: 5 },
    /no field "timeout"; did you mean "timeout_ms"\?$/,
  ),
  bad("a relative directory", { command, cwd: "sub" }, /cwd: got "sub"; expected an absolute path, such as/),
  bad(
    "a misspelt stdin",
    { command, stdin: { txt: "x" } },
    /^The request body cannot be used\. stdin: got \(hidden\); expected "null", "pipe", \{"text": a text\}, \{"base64": bytes in base 64\} or \{"file": an absolute path\}, with nothing beside it\.$/,
  ),
  bad(
    "wrong base64 as stdin",
    { command, stdin: { base64: "!!" } },
    /^[^:]+: got[^:]*; expected "null", "pipe"/,
  ),
  bad(
    "a notification of nobody",
    { command, notifications: [{ on: "start" }] },
    /^The request body cannot be used\. notifications\[0\]: got an object; expected \{"command": a list of texts\} or \{"file": an absolute path\}; beside it "on" may be [^;]*\.$/,
  ),
  bad(
    "a notification's wrong pattern",
    { command, notifications: [{ on: { output: "(" }, command }] },
    /notifications\[0\].*a regular expression/,
  ),
  bad("a relative file", { command, stdin: { file: "x" } }, /stdin.*absolute path/),
  bad(
    "delay and start",
    { command, delay_ms: 5, start_at: 7 },
    /both "delay_ms" and "start_at"; give one of them\.$/,
  ),
  bad("a variable's name", { command, env: { "A=B": "x" } }, /env/),
  bad("a group's name", { command, group: "../x" }, /group.*a group's name/),
  bad("a wrong dependency", { command, after: [{ job: "../x" }] }, /after\[0\]\.job/),
  bad("tags twice", { command, tags: ["a", "a"] }, /tags.*once/),
  [
    "a text type",
    "/exec",
    { ...body({ command }), headers: { "content-type": "text/plain" } },
    415,
    "invalid_request",
    /application\/json/,
  ],
  [
    "no type",
    "/exec",
    { ...body({ command }), headers: { "content-type": undefined } },
    415,
    "invalid_request",
    /application\/json/,
  ],
  [
    "a form",
    "/exec",
    { ...body("a=b"), headers: { "content-type": "application/x-www-form-urlencoded" } },
    415,
    "invalid_request",
    /application\/json/,
  ],
  [
    "a compressed body",
    "/exec",
    { ...body({ command }), headers: { "content-encoding": "gzip" } },
    415,
    "invalid_request",
    /compressed/,
  ],
  ["a wrong method", "/exec", {}, 405, "method_not_allowed", /no GET here; there is POST/],
  ["an unknown route", "/nope", {}, 404, "not_found", /no such endpoint/],
  ["a route too deep", `/status/${id}/x`, {}, 404, "not_found", /no such endpoint/],
  [
    "a body for GET",
    `/status/${id}`,
    { method: "GET", body: "{}", headers: { "content-length": "2" } },
    400,
    "invalid_request",
    /takes no body/,
  ],
  ["an id that is not there", `/status/${id}`, {}, 404, "job_not_found", /no job 01HZX/],
  ["an id of dots", "/status/..", {}, 400, "invalid_request", /id: got "\.\."; expected a job's id/],
  ["an id of encoded dots", "/status/%2e%2e%2f", {}, 400, "invalid_request", /id: got "\.\.\/"/],
  ["an empty id", "/status/", {}, 400, "invalid_request", /id: got ""/],
  ["a NUL in an id", "/tail/%00", {}, 400, "invalid_request", /id: got/],
  ["an id that is wrongly encoded", "/status/%zz", {}, 400, "invalid_request", /percent-encoded/],
  ["an id of 10 kB", `/wait/${"A".repeat(10_000)}`, {}, 400, "invalid_request", /^.{1,400}$/],
  ["an unknown signal", `/kill/${id}?signal=FOO`, post, 400, "invalid_request", /no signal "FOO"/],
  ["a signal that is a number", `/kill/${id}`, body({ signal: 9 }), 400, "invalid_request", /signal/],
  [
    "a grace below 0",
    `/kill/${id}`,
    body({ grace_ms: -1 }),
    400,
    "invalid_request",
    /grace_ms: got -1;.*365|grace_ms: got -1;.*31536000000/,
  ],
  ["half a grace", `/kill/${id}`, body({ grace_ms: 0.5 }), 400, "invalid_request", /grace_ms: got 0\.5/],
  [
    "a body for a start",
    `/start/${id}`,
    body({}),
    400,
    "invalid_request",
    /^POST \/start\/\{id\} takes no body\.$/,
  ],
  ...["wait", "follow"].map((name): Case => [
    `a HEAD of ${name}`,
    `/${name}/${id}`,
    { method: "HEAD" },
    405,
    "method_not_allowed",
    /no HEAD here; there is GET\.$/,
  ]),
  ["a HEAD of events", "/events/follow", { method: "HEAD" }, 405, "method_not_allowed", /there is GET\.$/],
  query(`/tail/${id}?lines=-1`, /lines: got "-1"; expected a whole number of lines, at least 0/),
  query(`/tail/${id}?max_bytes=99999999999999999999`, /max_bytes.*from 0 to 67108864/),
  query(`/tail/${id}?line=5`, /no parameter "line"; did you mean "lines"\?$/),
  query(`/tail/${id}?lines=1&lines=2`, /lines/),
  query(`/wait/${id}?until_ms=1e9`, /until_ms/),
  query(`/wait/${id}?pattern=a&silence_ms=5`, /both "pattern" and "silence_ms"/),
  query(`/wait/${id}?stream=stdout`, /"stream" without "pattern"/),
  query(`/log/${id}?attempt=0`, /attempt.*from 1/),
  query(`/log/${id}?encoding=latin1`, /encoding/),
  query("/jobs?state=done", /state: got "done"; expected states: created, queued, /),
  query("/jobs?state=running,done", /state: got "running,done"; /),
  query("/jobs?tag=", /tag: got ""; expected words, none of them empty\.$/),
  query("/jobs?limit=0", /limit.*from 1 to 1000/),
  query("/jobs?since=yesterday", /since.*a time such as/),
  query("/jobs?before=01", /"before"/),
  query("/health?x=1", /no parameter "x"; there is none\.$/),
  [
    `a wrong cursor`,
    `/follow/${id}`,
    { headers: { "last-event-id": "7" } },
    400,
    "invalid_request",
    /attempt:stdoutOffset/,
  ],
  ["nothing for stdin", `/stdin/${id}`, body({}), 400, "invalid_request", /nothing to do/],
  ["wrong base64", `/stdin/${id}`, body({ base64: "*" }), 400, "invalid_request", /base64/],
  ["a gc without a limit", "/gc", body({}), 400, "invalid_request", /no limit/],
  ...["", "..", ".web", "-web", "we b", "a/b", "wéb", "x".repeat(65), "web\n", "\0"].flatMap((name) =>
    ["", "/why", "/logs", "/follow"].map((what): Case => {
      const path = `/units/${encodeURIComponent(name)}${what}`
      return [
        path,
        path,
        {},
        400,
        "invalid_request",
        /^The path cannot be used\. name: got .*; expected a unit's name: /,
      ]
    }),
  ),
  ...["/start", "/stop", "/restart", "/kill"].map((what): Case => [
    `a bad name with ${what}`,
    `/units/..%2fweb${what}`,
    post,
    400,
    "invalid_request",
    /name: got "\.\.\/web"; expected a unit's name/,
  ]),
  ["a unit that is wrongly encoded", "/units/%zz/start", post, 400, "invalid_request", /percent-encoded/],
  ["half a character", "/units/%c3/why", {}, 400, "invalid_request", /percent-encoded/],
  ["a slash behind a unit", "/units/web/", {}, 404, "not_found", /no such endpoint/],
  ["nothing to be done with a unit", "/units/web/sing", post, 404, "not_found", /no such endpoint/],
  ["an encoded word", "/units/web/%73tart", post, 404, "not_found", /no such endpoint/],
  ["a path too deep", "/units/web/start/now", post, 404, "not_found", /no such endpoint/],
  ["two slashes", "//units", {}, 404, "not_found", /no such endpoint/],
  ["a job's path of three", `/kill/${id}/now`, post, 404, "not_found", /no such endpoint/],
  ["GET of a start", "/units/web/start", {}, 405, "method_not_allowed", /no GET here; there is POST\.$/],
  ["POST of a why", "/units/web/why", post, 405, "method_not_allowed", /no POST here; there is GET, HEAD\.$/],
  [
    "DELETE of a unit",
    "/units/web",
    { method: "DELETE" },
    405,
    "method_not_allowed",
    /there is GET, HEAD\.$/,
  ],
  ["PUT of units", "/units", { method: "PUT" }, 405, "method_not_allowed", /there is GET, HEAD, POST\.$/],
  ["GET of a reload", "/reload", {}, 405, "method_not_allowed", /there is POST\.$/],
  ["GET of a shutdown", "/shutdown", {}, 405, "method_not_allowed", /there is POST\.$/],
  ["a HEAD of a unit's follow", "/units/web/follow", { method: "HEAD" }, 405, "method_not_allowed", /GET\.$/],
  [
    "a unit's unknown signal",
    "/units/web/kill?signal=FOO",
    post,
    400,
    "invalid_request",
    /no signal "FOO"; give one/,
  ],
  ["a unit's empty signal", "/units/web/kill?signal=", post, 400, "invalid_request", /no signal ""/],
  ["a unit's signal twice", "/units/web/kill?signal=INT&signal=KILL", post, 400, "invalid_request", /signal/],
  [
    "a unit's signal as a body",
    "/units/web/kill",
    body({ signal: "INT" }),
    400,
    "invalid_request",
    /takes no body/,
  ],
  [
    "a grace for a start",
    "/units/web/start?grace_ms=5",
    post,
    400,
    "invalid_request",
    /no parameter "grace_ms"/,
  ],
  [
    "a grace below 0",
    "/units/web/stop?grace_ms=-1",
    post,
    400,
    "invalid_request",
    /grace_ms.*whole number of milli/,
  ],
  ["a deadline in words", "/units/web/start?until_ms=1s", post, 400, "invalid_request", /until_ms: got "1s"/],
  [
    "a misspelt deadline",
    "/units/web/stop?until=5",
    post,
    400,
    "invalid_request",
    /did you mean "until_ms"\?$/,
  ],
  ["a file for a reload", "/reload?file=/etc/passwd", post, 400, "invalid_request", /no parameter "file"/],
  ["a configuration for a reload", "/reload", body({ units: {} }), 400, "invalid_request", /takes no body/],
  ["a reload that may be dry", "/reload?dry_run=1", post, 400, "invalid_request", /dry_run.*true or false/],
  [
    "a dry reload that waits",
    "/reload?dry_run=true&until_ms=1",
    post,
    400,
    "invalid_request",
    /nothing to wait for/,
  ],
  ["a grace in words", "/shutdown?grace_ms=long", post, 400, "invalid_request", /grace_ms/],
  ["nothing to do", "/units", post, 400, "invalid_request", /^A request body is required\.$/],
  ...(
    [
      ["no action", {}, /action: got nothing; it is required/],
      [
        "an unknown action",
        { action: "kill" },
        /action: got "kill"; expected "start" or "stop" or "restart"/,
      ],
      [
        "an empty list",
        { action: "stop", names: [] },
        /names: got \[\]; expected a list of units' names, at least one/,
      ],
      [
        "one name",
        { action: "stop", names: "web" },
        /names: got "web"; expected a list of units' names, at least/,
      ],
      [
        "a bad name",
        { action: "stop", names: ["a", "../b"] },
        /names\[1\]: got "\.\.\/b"; expected a unit's name/,
      ],
      ["a name that is none", { action: "stop", names: [7] }, /names\[0\]: got 7; expected/],
      [
        "a wait",
        { action: "stop", wait: true },
        /no field "wait"; there are action, names, until_ms, grace_ms/,
      ],
      ["a misspelt field", { action: "stop", name: ["a"] }, /did you mean "names"\?$/],
      [
        "a grace for a start",
        { action: "start", grace_ms: 5 },
        /"grace_ms" with the action start; it says how long/,
      ],
      ["half a deadline", { action: "start", until_ms: 0.5 }, /until_ms: got 0\.5/],
    ] as const
  ).map(([name, given, message]): Case => [
    `${name} for units`,
    "/units",
    body(given),
    400,
    "invalid_request",
    message,
  ]),
  query("/units?state=running", /state: got "running"; expected states: inactive, blocked, /),
  query("/units?kind=job", /kind: got "job"; expected kinds: service, oneshot, target, external, task\.$/),
  query("/units?name=web", /no parameter "name"; there are state, kind\.$/),
  query("/units/web?x=1", /no parameter "x"; there is none\.$/),
  query("/units/web/logs?lines=10001", /lines.*from 0 to 10000/),
  query("/units/web/logs?after=0&limit=0", /limit.*from 1 to 10000/),
  query("/units/web/logs?after=1&lines=5", /"after" with "lines" or "since"; read on/),
  query("/units/web/logs?after=1&since=0", /"after" with "lines" or "since"; read on/),
  query("/units/web/logs?limit=5", /"limit" without "after"/),
  query("/units/web/logs?since=yesterday", /since.*a time such as/),
  query("/units/web/follow?after=1&lines=5", /both "after" and "lines"; give one of them\.$/),
  query("/units/web/follow?after=-1", /after: got "-1"; expected a whole number of lines, at least 0/),
  [
    "a wrong cursor of lines",
    "/units/web/follow",
    { headers: { "last-event-id": "1:0:0" } },
    400,
    "invalid_request",
    /last-event-id: got "1:0:0"; expected a whole number of lines/,
  ],
  [
    "a group's limit of 0",
    "/groups/x",
    { method: "PUT", body: { parallelism: 0 } },
    400,
    "invalid_request",
    /parallelism/,
  ],
  ["a group's wrong name", "/groups/%20", { method: "PUT", body: {} }, 400, "invalid_request", /name/],
]

describe("bad input", () => {
  it.scopedLive("gets its code and one clear sentence, and no job or unit is touched", () =>
    Effect.gen(function* () {
      const units = yield* fakeUnits()
      units.set("web")
      const { ask } = yield* serve({ supervisor: units.service, shutdown: () => Effect.dieMessage("no") })
      for (const [name, path, asking, status, code, message] of cases) {
        const reply = yield* ask(path, asking)
        if (asking.method === "HEAD") {
          expect([name, reply.status, reply.headers.allow]).toEqual([name, status, "GET"])
          continue
        }
        expect({ name, message: reply.body?.error?.message }).toEqual({ name, message: expect.any(String) })
        expectError(reply, status, code, message)
      }
      expect((yield* ask("/exec", {})).headers.allow).toBe("POST")
      expect((yield* ask("/jobs", { method: "PATCH" })).headers.allow).toBe("GET, HEAD")
      expect((yield* ask("/units/web/stop")).headers.allow).toBe("POST")
      expect((yield* ask("/units/web/why", { method: "HEAD" })).status).toBe(200)
      expect(units.calls).toEqual([])
      expect((yield* ask("/jobs")).body.jobs).toEqual([])
      expect((yield* ask("/health")).status).toBe(200)
    }),
  )

  it.scopedLive("a wait is refused in the words of its query", () =>
    Effect.gen(function* () {
      const { ask, fake, run } = yield* serve()
      const job = yield* run()
      const issue = { field: "for.pattern", value: '"("', allowed: "expected a regular expression" }
      fake.refuseWaits(new InvalidSpec({ what: "log wait", issues: [issue] }))
      expectError(
        yield* ask(`/wait/${job}?pattern=(`),
        400,
        "invalid_request",
        /^The query cannot be used\. pattern: got "\("; expected a regular expression\.$/,
      )
    }),
  )

  it.scopedLive("following from a place that cannot be is refused before the stream begins", () =>
    Effect.gen(function* () {
      const { ask, fake, run } = yield* serve()
      const job = yield* run()
      yield* fake.print(job, "stdout", "12345")
      for (const cursor of ["7:0:0", "1:6:0", "1:0:1", "0:5:0"]) {
        const reply = yield* ask(`/follow/${job}`, { headers: { "last-event-id": cursor } })
        expect([cursor, reply.status]).toEqual([cursor, 400])
        expectError(reply, 400, "invalid_request", /no attempt 7|no offset [16]|the id of an event/)
      }
      for (const query of ["attempt=2", "stdout_offset=6", "stream=stderr&stderr_offset=1"])
        expectError(
          yield* ask(`/follow/${job}?${query}`),
          400,
          "invalid_request",
          /there is no |no attempt 2/,
        )
      yield* fake.exit(job, 0)
      for (const cursor of ["0:0:0", "1:5:0"]) {
        const reply = yield* ask(`/follow/${job}`, { headers: { "last-event-id": cursor } })
        expect([reply.status, reply.headers["content-type"]]).toEqual([200, "text/event-stream"])
        expect(reply.text).toMatch(/event: end\n/)
      }
    }),
  )

  it.scopedLive("an ambiguous prefix names the candidates", () =>
    Effect.gen(function* () {
      const { ask, run } = yield* serve()
      const first = yield* run()
      const second = yield* run()
      const reply = yield* ask("/status/0")
      expectError(reply, 409, "ambiguous_job_id", first)
      expect(reply.body.error.message).toContain(second)
    }),
  )

  it.scopedLive("a body over 1 MiB gets 413, with its length given or not, sent whole or not", () =>
    Effect.gen(function* () {
      const { ask, raw, token } = yield* serve()
      const exact = `{"command":["true"],"cwd":"${"x".repeat(1_048_576 - 29)}"}`
      expect(Buffer.byteLength(exact)).toBe(1_048_576)
      expectError(yield* ask("/exec", { body: exact }), 400, "invalid_request", /cwd/)
      expectError(yield* ask("/exec", { body: `${exact} ` }), 413, "payload_too_large", /1048576 bytes/)
      const begin = "POST /exec HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      const start = `${begin}Authorization: Bearer ${token}\r\n`
      const chunk = `${(1_048_577).toString(16)}\r\n${"x".repeat(1_048_577)}\r\n`
      // Nobody goes on sending here: the answer comes, and the connection does not hang.
      expect(yield* raw(`${start}Transfer-Encoding: chunked\r\n\r\n${chunk}`)).toMatch(/^HTTP\/1.1 413 /)
      expect(yield* raw(`${start}Content-Length: 99999999999\r\n\r\nabc`)).toMatch(/^HTTP\/1.1 413 /)
      expect(yield* raw(`${start}Content-Length: 9999999\r\nExpect: 100-continue\r\n\r\n`)).toMatch(
        /^HTTP\/1.1 413 /,
      )
      expect(
        yield* raw(`${start}Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n{}`),
      ).toMatch(/^HTTP\/1.1 100 [\s\S]*HTTP\/1.1 400 [\s\S]*command: got nothing/)
    }),
  )

  it.scopedLive("a full disk is retryable and a fault of our own shows nothing of us", () =>
    Effect.gen(function* () {
      const { ask, fake, run } = yield* serve({ metrics: Effect.dieMessage("the inside") })
      const running = yield* run()
      fake.refuse(new StoreFull({ path: "/root" }))
      const full = yield* ask("/exec", { body: { command } })
      expectError(full, 507, "store_full", /disk is full/)
      expect(full.body.error.retryable).toBe(true)
      expect((yield* ask(`/status/${running}`)).body.state).toBe("running")
      const broken = yield* ask("/metrics")
      expectError(broken, 500, "internal_error", /^Something went wrong/)
      expect(broken.text).not.toContain("the inside")
    }),
  )

  it.scopedLive("what is no HTTP, or does not come in time, is answered and cut", () =>
    Effect.gen(function* () {
      const { ask, port, raw, token } = yield* serve({ headersTimeout: 300, bodyTimeout: 300 })
      expect(yield* raw("hello\r\n\r\n")).toMatch(/^HTTP\/1.1 400 [\s\S]*"invalid_request"/)
      expect(yield* raw(`GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 /)
      expect(
        yield* raw("GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
      ).toMatch(/^HTTP\/1.1 403 /)
      const say = (lines: ReadonlyArray<string>) =>
        raw(`${lines.join("\r\n")}\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`)
      const twice = yield* say(["GET /jobs HTTP/1.1", "Host: localhost", "hOST: evil.example"])
      expect(twice).toMatch(/^HTTP\/1.1 400 [\s\S]*more than one Host header/)
      for (const target of [`http://127.0.0.1:${port}/jobs?limit=1`, `HTTP://localhost/jobs`])
        expect(yield* say([`GET ${target} HTTP/1.1`, "Host: evil.example"])).toMatch(/^HTTP\/1.1 200 /)
      for (const target of ["http://evil.example/jobs", "http://me@localhost/jobs", "http:///jobs"])
        expect(yield* say([`GET ${target} HTTP/1.1`, "Host: localhost"])).toMatch(/^HTTP\/1.1 40[03] /)
      expect(yield* say(["GET https://localhost/jobs HTTP/1.1", "Host: localhost"])).toMatch(
        /^HTTP\/1.1 404 /,
      )
      expect(yield* say(["GET /jobs HTTP/1.1", "Host: localhost", "Expect: 200-ok"])).toMatch(
        /^HTTP\/1.1 417 [\s\S]*"invalid_request"/,
      )
      expect(yield* say(["CONNECT localhost:80 HTTP/1.1", "Host: localhost"])).toMatch(
        /^HTTP\/1.1 405 [\s\S]*\nAllow: [\s\S]*"method_not_allowed"/,
      )
      const slow = yield* Effect.all(
        [
          raw("GET /health HTTP/1.1\r\nHost: loc"),
          raw(
            `POST /exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"comm`,
          ),
        ],
        { concurrency: 2 },
      )
      expect(slow[0]).toMatch(/^HTTP\/1.1 408 [\s\S]*"request_timeout"/)
      expect(slow[1]).toMatch(/^HTTP\/1.1 408 [\s\S]*"request_timeout"/)
      expect((yield* ask("/health")).status).toBe(200)
    }),
  )

  it.scopedLive("1,000 idle connections are in nobody's way", () =>
    Effect.gen(function* () {
      const { ask, port } = yield* serve()
      const sockets = yield* Effect.acquireRelease(
        Effect.promise(() =>
          Promise.all(
            Array.from(
              { length: 1_000 },
              () =>
                new Promise<ReturnType<typeof connect>>((resolve, reject) => {
                  const socket = connect(port, "127.0.0.1", () => resolve(socket))
                  socket.on("error", reject)
                }),
            ),
          ),
        ),
        (all) => Effect.sync(() => all.forEach((socket) => socket.destroy())),
      )
      expect(sockets.length).toBe(1_000)
      expect((yield* ask("/jobs")).status).toBe(200)
    }),
  )
})

describe("where JSON breaks", () => {
  it("is found as JSON.parse finds it", () => {
    const good = [
      '{"a":[1,2,{"b":null}],"c":"\\u00e9\\n"}',
      " [] ",
      "-1.5e+3",
      '"x"',
      "{}",
      "[[],{}]",
      "true",
    ]
    expect(good.map((text) => JsonFault.find(text))).toEqual(good.map(() => undefined))
    const wrong: ReadonlyArray<readonly [string, number]> = [
      ["", 0],
      ["{", 1],
      ["[1,]", 3],
      ["{a:1}", 1],
      ['{"a" 1}', 5],
      ['{"a":1,}', 7],
      ["[1 2]", 3],
      ["01", 1],
      ['"a\nb"', 2],
      ['"\\x"', 1],
      ["tru", 0],
      ["{}}", 2],
      ["[}", 1],
      ['{"a":"b', 7],
    ]
    for (const [text, at] of wrong) {
      expect(() => JSON.parse(text)).toThrow(SyntaxError)
      expect([text, JsonFault.find(text)]).toEqual([text, at])
    }
  })
})
