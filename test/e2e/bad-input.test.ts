/** Whatever the built daemon is sent: a code, one clear sentence, and it goes on, with no job touched. */
import { spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import type * as net from "node:net"
import * as path from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { isAlive } from "../process/support.js"
import { type Asking, eventually, open, type Reply, type Site } from "./daemon.js"

/** The one that is to bear it all, and the one that {@link dawdle} keeps busy meanwhile. */
let shared: Site
let slow: Awaited<ReturnType<typeof dawdle>>
beforeAll(async () => {
  shared = await open()
  slow = await dawdle(await open())
})
afterAll(() => Promise.all([shared?.close(), slow?.daemon.close()]))

/** The daemon with a job that runs, one that waits, and one that has ended. */
const site = async (daemon = shared) => {
  const made = { ...daemon, ...daemon.desk() }
  const running = await made.exec("echo up; exec sleep 300")
  await made.line(running, "^up$")
  const queued = await made.exec({ command: ["true"], delay_ms: 3_600_000 })
  const ended = await made.exec("echo done; exit 3")
  await made.end(ended)
  const jobs = async (): Promise<ReadonlyArray<object>> => (await made.get("/jobs?limit=1000")).jobs
  const before = await jobs()
  const pid = made.pid()
  /** The daemon is the same, answers, works, and has the jobs that it had. */
  const isUntouched = async () => {
    expect(await made.get("/health", { token: null })).toMatchObject({ ok: true, pid })
    expect(await jobs()).toEqual(before)
    expect(isAlive((await made.get(`/jobs/${running}`)).pid)).toBe(true)
    expect(made.words()).not.toMatch(/level=(?:ERROR|FATAL)|\n\s+at /)
  }
  return { ...made, running, queued, ended, isUntouched }
}

const sentence = /^[A-Z"].*[.!?]$/

const expectError = (name: string, reply: Reply, status: number, code: string, message: RegExp | string) => {
  // All that is wrong is told at once.
  expect.soft({ name, status: reply.status, body: reply.body }).toEqual({
    name,
    status,
    body: {
      schema_version: "1",
      ok: false,
      type: "error",
      error: { code, message: expect.stringMatching(message), retryable: expect.any(Boolean) },
    },
  })
  if (reply.body?.error === undefined) return
  const said: string = reply.body.error.message
  // For people: no inside of the program, not a page of it.
  expect.soft({ name, said }).toEqual({ name, said: expect.stringMatching(sentence) })
  expect.soft(said).not.toMatch(/\n|\.[jt]s:\d|\[object|undefined|ParseError/)
  expect.soft(said.length).toBeLessThan(600)
  expect.soft(reply.headers["content-type"]).toBe("application/json")
}

/** What is asked, and what has to come of it. */
type Case = readonly [
  name: string,
  path: string,
  asking: Asking,
  status: number,
  code: string,
  message: RegExp | string,
]

const command = ["true"]
const exec = (name: string, body: unknown, message: RegExp | string): Case => [
  name,
  "/exec",
  { method: "POST", body },
  400,
  "invalid_request",
  message,
]
const asked = (target: string, message: RegExp | string, asking: Asking = {}): Case => [
  target.slice(0, 80),
  target,
  asking,
  400,
  "invalid_request",
  message,
]
const post: Asking = { method: "POST" }
const typed = (type: string | undefined, body: unknown = { command }): Asking => ({
  body,
  headers: { "content-type": type },
})

/** All that comes until the other side ends it. */
const answerOf = async (socket: net.Socket): Promise<string> => {
  let text = ""
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()))
  if (!socket.destroyed && !socket.closed) await once(socket, "close")
  return text
}

/**
 * A daemon with 1,000 connections that say nothing, and some that are too slow: it takes ten seconds until they are
 * cut, which go by while other tests run. It works for others all the same.
 */
const dawdle = async (daemon: Site) => {
  const { connect, end, exec, get, isUntouched, pid, token } = await site(daemon)
  const descriptors = () => (process.platform === "linux" ? fs.readdirSync(`/proc/${pid()}/fd`).length : 0)
  const spare = descriptors()
  const idle = await Promise.all(Array.from({ length: 1_000 }, connect))
  const begin = performance.now()
  const timed = async (socket: net.Socket) => {
    const text = await answerOf(socket)
    return { text, after: performance.now() - begin }
  }
  const head = `POST /exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token()}\r\nConnection: close\r\n`
  const beginning = `${head}Content-Type: application/json\r\nContent-Length: 24\r\n\r\n{"command":`
  const [silent, trickling, halfBody, halfHeaders, finished] = (await Promise.all(
    Array.from({ length: 5 }, connect),
  )) as [net.Socket, net.Socket, net.Socket, net.Socket, net.Socket]
  const late = Promise.all([silent, trickling, halfBody, halfHeaders].map(timed))
  trickling.write("GET /health HTTP/1.1\r\n")
  const trickle = setInterval(() => trickling.writable && trickling.write("X: y\r\n"), 400)
  void late.finally(() => clearInterval(trickle))
  halfBody.write(beginning)
  halfHeaders.write("POST /exec HTTP/1.1\r\nHost: loc")

  // A body that is slow, but comes.
  const answer = answerOf(finished)
  finished.write(beginning)
  for (const piece of ["[", '"true"', "] ", "}   "]) {
    await delay(100)
    finished.write(piece)
  }
  const [, made] = /^HTTP\/1\.1 200 [\s\S]*"job_id":"(\w+)"/.exec(await answer) ?? []
  expect(await end(made!)).toMatchObject({ state: "exited" })
  await get(`/jobs/${made}`, { method: "DELETE" })
  const asking = performance.now()
  for (let n = 0; n < 20; n += 1) await get("/jobs")
  expect((performance.now() - asking) / 20).toBeLessThan(1_000)
  const id = await exec("echo in time")
  expect(await end(id)).toMatchObject({ state: "exited", exit_code: 0 })
  await get(`/jobs/${id}`, { method: "DELETE" })
  return { daemon, descriptors, idle, isUntouched, late, spare }
}

describe("a bad body", () => {
  it("is refused by name, and runs nothing", async () => {
    const { ask, isUntouched, work } = await site()
    const wrongType = (type: string | undefined, body?: unknown): Case => [
      `content type ${type}`,
      "/exec",
      typed(type, body),
      415,
      "invalid_request",
      "application/json",
    ]
    const touch = { command: ["touch", path.join(work, "ran")] }
    const cases: ReadonlyArray<Case> = [
      exec("no body", undefined, "body is required"),
      exec("an empty body", "", "body is required"),
      exec("blanks", " \n ", "JSON"),
      exec("broken JSON", '{"command": ["touch" "ran"]}', /not JSON.*line 1, column 22/),
      exec("half of it", '{"command": ["touch", "ran"]', /not JSON.*too early/),
      exec("two of it", '{"command": ["true"]}{}', /not JSON/),
      exec("no UTF-8", Buffer.from('{"command": ["\xff"]}', "latin1"), "UTF-8"),
      exec("UTF-16", Buffer.from('{"command": ["true"]}', "utf16le"), /UTF-8|JSON/),
      exec("a list", [touch], "JSON object"),
      exec("null", "null", "JSON object"),
      exec("a text", '"true"', "JSON object"),
      exec("deep nesting", `${'{"env":'.repeat(50_000)}1${"}".repeat(50_000)}`, "nested"),
      exec("an unknown field", { ...touch, timeout: 5 }, /no field "timeout"; .*"?timeout_ms/),
      exec("an unknown field of another kind", { ...touch, shell: true }, /no field "shell"/),
      exec("an unknown field within", { ...touch, backoff: { delay: 5 } }, /backoff\.delay/),
      exec("no command", { cwd: "/" }, /command.*required/),
      exec("an empty command", { command: [] }, "command"),
      exec("an empty program", { command: [""] }, "command"),
      exec("a command that is a text", { command: "touch ran" }, "command"),
      exec("a command that is null", { command: null }, "command"),
      exec("a number as argument", { command: ["sleep", 5] }, /command\[1\]/),
      exec("NUL in an argument", { command: ["touch", "a\0b"] }, /command\[1\].*NUL/),
      exec("NUL in the program", { command: ["touch\0"] }, /command\[0\].*NUL/),
      exec("NUL in a variable", { ...touch, env: { A: "a\0b" } }, /env.*NUL/),
      exec("NUL in a directory", { ...touch, cwd: "/tmp\0" }, /cwd.*NUL/),
      exec("an empty directory", { ...touch, cwd: "" }, "cwd"),
      exec("a negative timeout", { ...touch, timeout_ms: -1 }, /timeout_ms: got -1/),
      exec("a huge timeout", { ...touch, timeout_ms: 1e308 }, "timeout_ms"),
      exec("a timeout beyond numbers", `{"command":["true"],"timeout_ms":1e999}`, "timeout_ms"),
      exec("a timeout beyond whole numbers", { ...touch, timeout_ms: 2 ** 53 }, "timeout_ms"),
      exec("half a timeout", { ...touch, timeout_ms: 0.5 }, "timeout_ms"),
      exec("negative retries", { ...touch, retries: -1 }, "retries"),
      exec("too many retries", { ...touch, retries: 1e9 }, "retries"),
      exec("a log of no bytes", { ...touch, max_log_bytes: 0 }, "max_log_bytes"),
      exec("a negative delay", { ...touch, delay_ms: -5 }, "delay_ms"),
      exec("a time before all", { ...touch, start_at: -1 }, "start_at"),
      exec("a time after all", { ...touch, start_at: 1e300 }, "start_at"),
      exec("a signal that is none", { ...touch, stop_signal: "SIGFOO" }, "stop_signal"),
      exec("a job after no id", { ...touch, after: [{ job: ".." }] }, /after\[0\]\.job/),
      exec(
        "a pattern that is none",
        { ...touch, notifications: [{ on: { output: "(" }, file: "/x" }] },
        "regular",
      ),
      exec("text and wait", { ...touch, wait: "true" }, "wait"),
      [
        "a job after one that is not there",
        "/exec",
        { body: { ...touch, after: [{ job: "7ZZZZZZZZZZZZZZZZZZZZZZZZZ" }] } },
        404,
        "job_not_found",
        "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
      ],
      wrongType("text/plain", JSON.stringify(touch)),
      wrongType("application/x-www-form-urlencoded", "command=touch"),
      wrongType("multipart/form-data; boundary=x", "--x--"),
      wrongType("application/jsonp", JSON.stringify(touch)),
      wrongType("application/json; charset=utf-16", JSON.stringify(touch)),
      wrongType(undefined, JSON.stringify(touch)),
    ]
    for (const [name, target, asking, status, code, message] of cases) {
      expectError(name, await ask(target, asking), status, code, message)
    }
    expect(fs.existsSync(path.join(work, "ran"))).toBe(false)
    await isUntouched()
  })

  it("of 1 MiB is read, and of one byte more is not, with its length told or not", async () => {
    const { ask, isUntouched, work } = await site()
    const around = (bytes: number) => {
      const [head, end] = [`{"comand":["touch","${work}/ran"],"x":"`, '"}']
      return head + "x".repeat(bytes - head.length - end.length) + end
    }
    expectError("1 MiB", await ask("/exec", { body: around(1_048_576) }), 400, "invalid_request", "comand")
    const over = around(1_048_577)
    const code = "payload_too_large"
    expectError("1 MiB + 1", await ask("/exec", { body: over }), 413, code, /1048576/)
    const chunked = { "content-length": undefined, "transfer-encoding": "chunked" }
    expectError("in chunks", await ask("/exec", { body: over, headers: chunked }), 413, code, /1048576/)
    const large = "x".repeat(20_000_000)
    expectError("20 MB", await ask("/exec", { body: large }), 413, code, /1048576/)
    expectError(
      "20 MB in chunks",
      await ask("/exec", { body: large, headers: chunked }),
      413,
      code,
      /1048576/,
    )
    await isUntouched()
  })
})

describe("a bad name, number, signal or method", () => {
  it("is refused by name, and touches nothing", async () => {
    const { ask, ended, isUntouched, queued, running } = await site()
    const noIds: ReadonlyArray<readonly [string, RegExp]> = [
      ["..", /id: got "\.\."/],
      ["%2e%2e%2f", /id: got "\.\.\/"/],
      ["%2e%2e%2f%2e%2e%2ftoken", /id: got "\.\.\/\.\.\/token"/],
      ["", /id: got ""/],
      ["%20", /id: got/],
      ["%00", /id: got/],
      ["*", /id: got/],
      ["A".repeat(10_000), /id: got "A+/],
      [`${running}0`, /id: got/],
      ["%CE%BB", /id: got "\u03bb"/],
      ["%zz", /percent-encoded/],
    ]
    const named = ["status", "tail", "wait", "log", "follow", "why", "jobs"].map(
      (name) => [name, {}] as const,
    )
    const doing = ["kill", "start", "restart"].map((name) => [name, post] as const)
    const cases: ReadonlyArray<Case> = [
      ...[...named, ...doing, ["jobs", { method: "DELETE" }] as const].flatMap(([name, asking]) =>
        noIds.map(([id, message]) => asked(`/${name}/${id}`, message, asking)),
      ),
      ...["FOO", "SIGFOO", "", "9", "-9", "TERM%20KILL", "KILL%00", "x".repeat(5_000)].map((signal) =>
        asked(`/kill/${running}?signal=${signal}`, /no signal "/, post),
      ),
      asked(`/kill/${running}`, "signal", { body: { signal: 9 } }),
      asked(`/kill/${running}`, /no field "sig"/, { body: { sig: "KILL" } }),
      asked(`/kill/${running}?grace_ms=-1`, /grace_ms: got "-1"/, post),
      asked(`/kill/${running}?grace_ms=99999999999999999999`, "grace_ms", post),
      asked(`/kill/${running}?escalate=maybe`, "escalate", post),
      ...["lines", "max_bytes", "attempt"].flatMap((name) =>
        ["-1", "1e3", "0x10", "", "1.5", "99999999999999999999", "NaN"].map((value) =>
          asked(`/tail/${ended}?${name}=${value}`, `${name}: got "${value}"`),
        ),
      ),
      asked(`/log/${ended}?offset=-1`, /offset: got "-1"/),
      asked(`/log/${ended}?offset=9007199254740993`, "offset"),
      asked(`/log/${ended}?offset=1000`, "1000"),
      asked(`/log/${ended}?max_bytes=0`, "max_bytes"),
      asked(`/log/${ended}?attempt=2`, "attempt"),
      asked(`/log/${ended}?stream=stdin`, "stream"),
      asked(`/wait/${ended}?until_ms=-1`, "until_ms"),
      asked(`/wait/${ended}?until_ms=1e400`, "until_ms"),
      asked(`/wait/${running}?pattern=(`, "pattern"),
      asked(`/wait/${running}?silence_ms=-1`, "silence_ms"),
      asked("/jobs?limit=-1", "limit"),
      asked("/jobs?limit=1000000", "limit"),
      asked("/jobs?state=gone", "state"),
      asked("/jobs?before=..", "before"),
      asked("/jobs?limits=1", /did you mean "limit"/),
      asked("/groups/..%2fx", "name", { method: "PUT", body: { paused: true } }),
      asked("/groups/g", "parallelism", { method: "PUT", body: { parallelism: -1 } }),
      asked("/groups/g", "parallelism", { method: "PUT", body: { parallelism: 1e300 } }),
      asked("/gc", "older_than_ms", { body: { older_than_ms: -1 } }),
      asked("/gc", /limit/, { body: {} }),
      asked("/events?after=-1", "after"),
      asked(`/status/${running}`, "no body", { method: "GET", body: { x: 1 } }),
    ]
    for (const [name, target, asking, status, code, message] of cases) {
      expectError(`${asking.method ?? ""} ${name}`, await ask(target, asking), status, code, message)
    }
    // Ids begin with the time.
    const common = ended.slice(
      0,
      [...ended].findIndex((letter, at) => letter !== queued[at]),
    )
    const missing = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
    for (const name of ["status", "tail", "wait", "log", "follow", "why", "jobs"]) {
      expectError(name, await ask(`/${name}/${missing}`), 404, "job_not_found", missing)
      expectError(name, await ask(`/${name}/${common}`), 409, "ambiguous_job_id", ended)
    }
    expectError("kill", await ask(`/kill/${common}`, post), 409, "ambiguous_job_id", queued)
    expectError("kill", await ask(`/kill/${missing}`, post), 404, "job_not_found", missing)
    expectError(
      "a running one",
      await ask(`/jobs/${running}`, { method: "DELETE" }),
      400,
      "invalid_state",
      running,
    )
    expectError(
      "stdin",
      await ask(`/stdin/${running}`, { body: { text: "x" } }),
      400,
      "invalid_state",
      running,
    )
    for (const [method, target, allow] of [
      ["GET", "/exec", "POST"],
      ["PUT", "/exec", "POST"],
      ["DELETE", `/status/${running}`, "GET, HEAD"],
      ["POST", `/jobs/${running}`, "GET, HEAD, DELETE"],
      ["GET", `/kill/${running}`, "POST"],
      ["OPTIONS", "/exec", "POST"],
      ["TRACE", "/health", "GET, HEAD"],
    ] as const) {
      const reply = await ask(target, { method })
      expectError(`${method} ${target}`, reply, 405, "method_not_allowed", method)
      expect(reply.headers.allow).toBe(allow)
    }
    for (const target of [
      "/",
      "/nope",
      `/status/${running}/x`,
      "//exec",
      "/EXEC",
      "/exec/",
      "/jobs/../token",
    ]) {
      const reply = await ask(target)
      expectError(target, reply, reply.status, reply.body.error.code, sentence)
      expect([target, reply.status]).toEqual([target, 404])
    }
    await isUntouched()
  })

  it("a kill whose grace is no length of time kills nothing", async () => {
    const { ask, isUntouched, queued, running } = await site()
    for (const id of [running, queued]) {
      for (const grace_ms of [-1, 0.5, 1e300, 365 * 86_400_000 + 1, "5"]) {
        const reply = await ask(`/kill/${id}`, { body: { grace_ms, escalate: false, signal: "WINCH" } })
        expectError(`grace_ms ${grace_ms}`, reply, 400, "invalid_request", "grace_ms")
      }
    }
    await isUntouched()
  })

  it("a directory or a program that is not there is that job's failure, in a sentence", async () => {
    const { end, exec, get, holdfast, isUntouched, work } = await site()
    const missing = path.join(work, "no such place")
    fs.writeFileSync(path.join(work, "file"), "")
    for (const [job, words] of [
      [{ command, cwd: missing }, missing],
      [{ command, cwd: path.join(work, "file") }, path.join(work, "file")],
      [{ command: ["/no/such/program"] }, "/no/such/program"],
      [{ command: [work] }, work],
      [{ command, stdin: { file: missing } }, missing],
    ] as const) {
      const id = await exec(job)
      const status = await end(id)
      expect(status).toMatchObject({ state: "failed", cause: "spawn-error" })
      expect(status.reason).toContain(words)
      expect(status.reason).toMatch(sentence)
      expect(status.exit_code).toBeUndefined()
      await get(`/jobs/${id}`, { method: "DELETE" })
    }
    const { code, err } = await holdfast("run", "--wait", "--cwd", missing, "--", "true")
    expect(code).toBeGreaterThan(0)
    expect(err).toContain(missing)
    const [{ job_id }] = (await get("/jobs?limit=1")).jobs
    await get(`/jobs/${job_id}`, { method: "DELETE" })
    await isUntouched()
  })

  it("on the command line is one sentence and an exit code", async () => {
    const { holdfast, isUntouched, running } = await site()
    const cases: ReadonlyArray<readonly [code: number, words: RegExp, ...args: ReadonlyArray<string>]> = [
      [2, /command/i, "run"],
      [2, /command/i, "run", "--"],
      [2, /command/i, "run", "--", ""],
      [2, /--timeout/, "run", "--timeout", "-1", "--", "true"],
      [2, /--timeout/, "run", "--timeout", "soon", "--", "true"],
      [2, /--retries/, "run", "--retries", "-1", "--", "true"],
      [2, /--wiat.*--wait/, "run", "--wiat", "--", "true"],
      [1, /\.\./, "status", ".."],
      [2, /ID is empty/, "status", ""],
      [1, /several|begin/i, "kill", "0"],
      [1, /no signal "FOO"/, "kill", "--signal", "FOO", running],
      [2, /-n expects/, "tail", "-n", "-1", running],
      [2, /sttaus.*status/, "sttaus", running],
    ]
    const results = await Promise.all(cases.map(([, , ...args]) => holdfast(...args)))
    for (const [at, [code, words, ...args]] of cases.entries()) {
      const result = results[at]!
      expect({ args, code: result.code, out: result.out }).toEqual({ args, code, out: "" })
      expect(result.err).toMatch(/^holdfast: .{5,500}\n$/)
      expect(result.err).toMatch(words)
    }
    await isUntouched()
  })
})

describe("who must not get in", () => {
  it("a page in a browser, a forged Host, nobody without the token", async () => {
    const { ask, isUntouched, port, token, work } = await site()
    const run: Asking = { body: { command: ["touch", path.join(work, "ran")] } }
    const here = `127.0.0.1:${port()}`
    const forms = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    const pages: ReadonlyArray<Asking["headers"]> = [
      { origin: "http://evil.example" },
      { origin: "null" },
      { origin: `https://${here}` },
      { origin: `http://127.0.0.1:${port() + 1}` },
      { origin: "http://localhost.evil.example" },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { host: "evil.example" },
      { host: `evil.example:${port()}` },
      { host: `127.0.0.1.evil.example:${port()}` },
      // DNS rebinding: page and server go by the same foreign name.
      { host: "evil.example", origin: "http://evil.example" },
    ]
    for (const headers of pages) {
      for (const given of [token(), null]) {
        for (const [target, asking] of [
          ["/exec", run],
          ["/jobs", {}],
          ["/health", {}],
          ["/docs", {}],
        ] as const) {
          const reply = await ask(target, { ...asking, token: given, headers: headers ?? {} })
          expectError(`${target} ${JSON.stringify(headers)}`, reply, 403, "forbidden", sentence)
          expect(Object.keys(reply.headers).filter((name) => name.startsWith("access-control"))).toEqual([])
        }
      }
    }
    const preflight = await ask("/exec", {
      method: "OPTIONS",
      token: null,
      headers: { origin: "http://evil.example", "access-control-request-method": "POST" },
    })
    expect(preflight.status).toBe(403)
    for (const type of forms) {
      const headers = { "content-type": type, origin: "http://evil.example" }
      expect((await ask("/exec", { ...run, token: null, headers })).status).toBe(403)
    }
    for (const wrong of [null, "", "x", `${token()}x`, token().slice(0, -1), token().toUpperCase()]) {
      for (const [target, asking] of [
        ["/exec", run],
        ["/jobs", {}],
        ["/status/0", {}],
        ["/events", {}],
        ["/metrics", {}],
        ["/openapi.json", {}],
        ["/nope", {}],
      ] as const) {
        const reply = await ask(target, { ...asking, token: wrong })
        expectError(target, reply, 401, "unauthorized", "token")
        expect(reply.text).not.toContain(token())
      }
      expect((await ask("/health", { token: wrong })).status).toBe(200)
    }
    expectError(
      "in the query",
      await ask(`/jobs?token=${token()}`, { token: null }),
      401,
      "unauthorized",
      "token",
    )
    // Its own page, and its user's programs, by any name of this machine.
    for (const host of [here, `localhost:${port()}`, "localhost", `[::1]:${port()}`]) {
      expect((await ask("/jobs", { headers: { host, origin: `http://${host}` } })).status).toBe(200)
    }
    expect(fs.existsSync(path.join(work, "ran"))).toBe(false)
    await isUntouched()
  })

  it("a request without a Host, with an empty one, or with two of them", async () => {
    const { connect, isUntouched, token } = await site()
    for (const host of [
      "",
      "Host: \r\n",
      "Host: evil.example\r\n",
      "Host: localhost\r\nHost: evil.example\r\n",
    ]) {
      const socket = await connect()
      socket.end(`GET /jobs HTTP/1.1\r\n${host}Authorization: Bearer ${token()}\r\nConnection: close\r\n\r\n`)
      const text = await answerOf(socket)
      expect(host + text).toMatch(/HTTP\/1\.1 40[03] [\s\S]*"code":"(?:forbidden|invalid_request)"/)
    }
    await isUntouched()
  })

  it("another user of the machine: nothing of it can be read or entered, no secret is in any command line", async () => {
    const { end, exec, get, isUntouched, root } = await site()
    const secret = "hunter2-\u03bb"
    const id = await exec({
      command: ["sh", "-c", 'echo "$SECRET"; cat; exec sleep 300'],
      env: { SECRET: secret },
      mask: ["SECRET"],
      stdin: { text: "given\n" },
    })
    expect((await get(`/wait/${id}?pattern=given`)).reason).toBe("pattern")
    const entries = fs.readdirSync(root, { recursive: true, withFileTypes: true })
    const open = [{ parentPath: path.dirname(root), name: path.basename(root) }, ...entries].flatMap(
      (entry) => {
        const name = path.join(entry.parentPath, entry.name)
        const mode = fs.lstatSync(name).mode & 0o777
        return (mode & 0o077) === 0 ? [] : [`${name.slice(root.length)} ${mode.toString(8)}`]
      },
    )
    // Whoever cannot pass the root cannot reach what is in it; the modes within count where it was made by others.
    expect(fs.statSync(root).mode & 0o777).toBe(0o700)
    expect(open).toEqual([])
    // The log holds what the job wrote; nothing else holds the secret, once the job has started.
    const holders = () =>
      fs
        .readdirSync(root, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => path.join(entry.parentPath, entry.name))
        .filter((name) => fs.readFileSync(name).includes(secret))
    await eventually("the secret is only in the log", () => holders().length === 1)
    expect(holders()).toEqual([path.join(root, "jobs", id, "stdout.log")])
    if (process.platform === "linux") {
      const lines = fs.readdirSync("/proc").flatMap((name) => {
        try {
          return /^\d+$/.test(name) ? [fs.readFileSync(`/proc/${name}/cmdline`, "utf8")] : []
        } catch {
          return []
        }
      })
      expect(lines.filter((line) => line.includes(secret))).toEqual([])
    }
    // Only who is root may try it as somebody else.
    if (process.getuid?.() === 0) {
      fs.chmodSync(path.dirname(root), 0o755)
      const nobody = (...command: [string, ...Array<string>]) =>
        spawnSync(command[0], command.slice(1), { uid: 65_534, gid: 65_534, encoding: "utf8" })
      expect(nobody("cat", path.join(root, "token")).stderr).toMatch(/denied/)
      expect(nobody("ls", path.join(root, "jobs")).stderr).toMatch(/denied/)
      expect(nobody("cat", path.join(root, "jobs", id, "stdout.log")).stderr).toMatch(/denied/)
    }
    expect(await get(`/kill/${id}?grace_ms=0`, post)).toMatchObject({ state: "killed" })
    expect(await end(id)).toMatchObject({ state: "killed" })
    await get(`/jobs/${id}`, { method: "DELETE" })
    await isUntouched()
  })
})

describe("connections that do nothing, or too little", () => {
  it("slow headers and bodies are cut with 408, and 1,000 idle connections are in nobody's way", async () => {
    const { descriptors, idle, isUntouched, late, spare } = slow
    for (const { after, text } of await late) {
      expect(text === "" ? "silent" : text).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"request_timeout"/)
      expect(text).toMatch(/"retryable":true/)
      expect(after).toBeGreaterThan(8_000)
      expect(after).toBeLessThan(20_000)
    }
    for (const socket of idle) socket.destroy()
    await eventually("the descriptors are given back", () => descriptors() <= spare + 2)
    await isUntouched()
  })

  it("what is no HTTP is refused, and a connection that is dropped in the middle starts nothing", async () => {
    const { connect, isUntouched, token, work } = await site()
    const say = async (text: string) => {
      const socket = await connect()
      socket.write(text)
      return answerOf(socket)
    }
    expect(await say("hello there\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 [\s\S]*"invalid_request"/)
    expect(await say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")).toMatch(/^HTTP\/1\.1 400 /)
    expect(await say(`GET / HTTP/1.1\r\nX: ${"x".repeat(100_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 [\s\S]*too large/,
    )
    const head = `POST /exec HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token()}\r\nContent-Type: application/json\r\n`
    // What proxies have been fooled with.
    expect(await say(`${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 400 /,
    )
    expect(await say(`${head}Content-Length: -5\r\n\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
    expect(await say(`${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
    const body = JSON.stringify({ command: ["touch", path.join(work, "ran")] })
    for (const part of [0, 1, body.length - 1]) {
      const socket = await connect()
      socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body.slice(0, part)}`)
      socket.resetAndDestroy()
    }
    await isUntouched()
    expect(fs.existsSync(path.join(work, "ran"))).toBe(false)
  })
})
