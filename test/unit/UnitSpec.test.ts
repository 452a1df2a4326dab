import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as UnitSpec from "../../src/unit/UnitSpec.js"

const issuesOf = (input: unknown) =>
  Effect.map(Effect.flip(UnitSpec.make(input as UnitSpec.Input)), ({ issues, message }) => ({
    message,
    issues: issues.map(({ allowed, field, value }) => ({ allowed, field, value })),
  }))

const command = "node server.js"
const name = "a unit's name: 1 to 64 letters, digits, '.', '_' or '-', the first one a letter or a digit"
const length = "a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds)"
const commandAllowed =
  "a command: a list of texts (the program, then its arguments), or one text for the shell"
const names = "a list of units' names"

describe("a bad unit", () => {
  const whole = "(the whole spec)"
  const cases: ReadonlyArray<
    readonly [name: string, input: unknown, field: string, value: string, allowed: string]
  > = [
    ["nothing", null, whole, "null", "expected an object"],
    ["a text", "web", whole, "a text", "expected an object"],
    ["a list", [], whole, "a list", "expected an object"],
    ["no command", {}, "command", "nothing", "it is required"],
    ["an empty command", { command: "" }, "command", '""', `expected ${commandAllowed}`],
    ["an empty list", { command: [] }, "command", "[]", `expected ${commandAllowed}`],
    ["a number", { command: 5 }, "command", "5", `expected ${commandAllowed}`],
    [
      "a kind that is none",
      { kind: "servce", command },
      "kind",
      '"servce"',
      "expected service, oneshot, target or external, or task in a program that gives it an Effect",
    ],
    [
      "a misspelt field",
      { command, requirs: [] },
      "requirs",
      "(hidden)",
      "it is not known here; known are kind, description, command,",
    ],
    [
      "one name alone",
      { command, requires: "db" },
      "requires",
      '"db"',
      `expected ${names} or names each with a condition: started, ready, completed, succeeded`,
    ],
    [
      "a condition that is none",
      { command, requires: { db: "up" } },
      "requires.db",
      '"up"',
      "expected started, ready, completed or succeeded",
    ],
    ["a name that is none", { command, requires: ["a b"] }, "requires[0]", '"a b"', `expected ${name}`],
    [
      "a name that is none, with a condition",
      { command, after: { "../x": "ready" } },
      "after.../x",
      '"ready"',
      `expected ${name}`,
    ],
    [
      "a condition where there is none",
      { command, bindsTo: { db: "ready" } },
      "bindsTo",
      "an object",
      `expected ${names}`,
    ],
    ["a name that is a number", { command, wants: [5] }, "wants[0]", "5", `expected ${name}`],
    ["no list of conflicts", { command, conflicts: "x" }, "conflicts", '"x"', `expected ${names}`],
    ["port 0", { command, port: 0 }, "port", "0", "expected a port from 1 to 65535, or auto"],
    ["a port as a text", { command, port: "80" }, "port", '"80"', "expected a port from 1 to 65535, or auto"],
    [
      "a port beyond all",
      { command, ports: [80, 65_536] },
      "ports[1]",
      "65536",
      "expected a port: a number from 1 to 65535",
    ],
    ["no list of ports", { command, ports: 80 }, "ports", "80", "expected a list of ports"],
    ["a variable that is nothing", { command, env: { A: null } }, "env.A", "(hidden)", "expected a text"],
    [
      "a variable with a NUL",
      { command, env: { A: "a\0" } },
      "env.A",
      "(hidden)",
      "expected a text without a NUL character",
    ],
    [
      "a variable's name",
      { command, env: { "A=B": "x" } },
      "env.A=B",
      "(hidden)",
      "expected a variable name",
    ],
    ["a list of variables", { command, env: ["A=1"] }, "env", "(hidden)", "expected variables by name"],
    ["an empty path", { command, envFile: [""] }, "envFile", '[""]', "expected a path, or a list of paths"],
    ["an empty directory", { command, cwd: "" }, "cwd", '""', "expected a path: not empty, no NUL character"],
    ["an empty host", { command, host: "" }, "host", '""', "expected the name or address of a host"],
    [
      "a mask that is no list",
      { command, mask: "A" },
      "mask",
      '"A"',
      "expected a list of names of variables",
    ],
    [
      "a signal that is none",
      { command, stop: { signal: "BLA" } },
      "stop.signal",
      '"BLA"',
      "expected the name of a signal, such as TERM, INT, HUP or KILL",
    ],
    [
      "a grace that is none",
      { command, stop: { grace: "soon" } },
      "stop.grace",
      '"soon"',
      `expected ${length}`,
    ],
    [
      "a misspelt field inside",
      { command, stop: { sigal: "TERM" } },
      "stop.sigal",
      "(hidden)",
      "it is not known here; known are signal, grace",
    ],
    [
      "no lines",
      { command, logs: { lines: 0 } },
      "logs.lines",
      "0",
      "expected a whole number from 1 to 1000000",
    ],
    [
      "a size that is none",
      { command, logs: { maxSize: "10XB" } },
      "logs.maxSize",
      '"10XB"',
      "expected a size such as 10MB or 512KiB (a bare number is bytes), at least 1KiB",
    ],
    [
      "a size that is too small",
      { command, logs: { maxSize: 10 } },
      "logs.maxSize",
      "10",
      "expected a size such as 10MB",
    ],
    [
      "a policy that is none",
      { command, restart: "sometimes" },
      "restart",
      '"sometimes"',
      "expected on-failure, always or never or an object",
    ],
    [
      "a policy that is none, inside",
      { command, restart: { policy: "x" } },
      "restart.policy",
      '"x"',
      "expected on-failure, always or never",
    ],
    [
      "fewer failures than none",
      { command, restart: { maxFailures: -1 } },
      "restart.maxFailures",
      "-1",
      "expected a whole number from 0 to 1000000",
    ],
    [
      "an exit code beyond all",
      { command, restart: { success: [256] } },
      "restart.success[0]",
      "256",
      "expected an exit code from 0 to 255, or the name of a signal",
    ],
    [
      "a factor that shrinks",
      { command, restart: { backoff: { factor: 0.5 } } },
      "restart.backoff.factor",
      "0.5",
      "expected a number from 1 to 100",
    ],
    [
      "a probe path without slash",
      { command, readiness: { http: { path: "health" } } },
      "readiness.http.path",
      '"health"',
      "expected a path that starts with '/'",
    ],
    [
      "no probe",
      { command, liveness: {} },
      "liveness",
      "an object",
      "expected exactly one of http, tcp, exec, log, all, any; there is none",
    ],
    ["a time before now", { command, startTimeout: -1 }, "startTimeout", "-1", `expected ${length}`],
    [
      "a time that is none",
      { command, dependencyTimeout: "never" },
      "dependencyTimeout",
      '"never"',
      `expected ${length}`,
    ],
    [
      "a truth value that is none",
      { command, autostart: "yes" },
      "autostart",
      '"yes"',
      "expected true or false",
    ],
    [
      "a policy for strangers that is none",
      { command, foreign: "x" },
      "foreign",
      '"x"',
      "expected refuse or adopt-as-external",
    ],
    [
      "adoption of nobody knows what",
      { command, foreign: "adopt-as-external" },
      "foreign",
      '"adopt-as-external"',
      "expected it together with a readiness probe, which says what to adopt",
    ],
    ["a reclaim that is none", { command, reclaim: "all" }, "reclaim", '"all"', "expected recorded or never"],
    [
      "filters without killOthers",
      { command, processFilters: ["x"] },
      "processFilters",
      '["x"]',
      "expected it together with killOthers: true",
    ],
    [
      "killOthers of nobody",
      { command, killOthers: true },
      "killOthers",
      "true",
      "expected it together with port, ports or processFilters",
    ],
    [
      "a url of a service",
      { command, url: "http://x" },
      "url",
      '"http://x"',
      "expected it to be left out: only kind external has one",
    ],
    ["an external without url", { kind: "external" }, "url", "nothing", "it is required"],
    ["a relative url", { kind: "external", url: "x" }, "url", '"x"', "expected an absolute URL"],
    [
      "a url with a query",
      { kind: "external", url: "http://x/?token=1" },
      "url",
      '"http://x/?…"',
      "expected a URL without a query (?...)",
    ],
    [
      "a url with a password",
      { kind: "external", url: "http://me:secret@x/" },
      "url",
      '"http://***@x/"',
      "expected a URL without user name and password",
    ],
    [
      "an external that is run",
      { kind: "external", url: "http://x/", command },
      "command",
      `"${command}"`,
      "expected it to be left out: kind external has no process",
    ],
    [
      "an external that is restarted",
      { kind: "external", url: "http://x/", liveness: { tcp: {} } },
      "liveness",
      "an object",
      "expected it to be left out: somebody else's server is not restarted; use readiness",
    ],
    [
      "a target that is run",
      { kind: "target", command },
      "command",
      `"${command}"`,
      "expected it to be left out: kind target has no process",
    ],
    [
      "a target's health",
      { kind: "target", readiness: { tcp: {} } },
      "readiness",
      "an object",
      "expected it to be left out: kind target has no health",
    ],
    [
      "a oneshot's health",
      { kind: "oneshot", command, liveness: { tcp: {} } },
      "liveness",
      "an object",
      "expected it to be left out: kind oneshot has no health",
    ],
    [
      "a oneshot for ever",
      { kind: "oneshot", command, restart: "always" },
      "restart",
      '"always"',
      "expected on-failure or never: a oneshot is done when it has succeeded",
    ],
    [
      "a task's port",
      { kind: "task", port: 80 },
      "port",
      "80",
      "expected it to be left out: kind task has no process",
    ],
  ]
  for (const [name, input, field, value, allowed] of cases) {
    it.effect(`${name}: names the field, its value and what is allowed`, () =>
      Effect.gen(function* () {
        const { issues, message } = yield* issuesOf(input)
        expect(issues).toEqual([{ field, value, allowed: expect.stringContaining(allowed) }])
        expect(message).toContain(`${field}: got ${value}; `)
      }),
    )
  }

  it.effect("is told everything that is wrong with it at once", () =>
    Effect.gen(function* () {
      const { issues } = yield* issuesOf({ kind: "target", port: 0, wants: "x", logs: { lines: 0 }, x: 1 })
      expect(issues.map(({ field }) => field).toSorted()).toEqual(["logs.lines", "port", "wants", "x"])
    }),
  )

  it.effect("shows no secret, neither a text nor a number", () =>
    Effect.gen(function* () {
      const { message } = yield* issuesOf({
        command,
        mask: ["TOKEN", "PIN"],
        env: { TOKEN: "hunter2", PIN: 12_345_678 },
        foreign: "hunter2",
        reclaim: "12345678",
      })
      expect(message).not.toContain("hunter2")
      expect(message).not.toContain("12345678")
      expect(message).toContain('foreign: got "***"')
    }),
  )
})

describe("a unit", () => {
  it.effect("has defaults", () =>
    Effect.gen(function* () {
      const unit = yield* UnitSpec.make({ command })
      expect(unit).toMatchObject({
        kind: "service",
        env: {},
        envFile: [],
        inheritEnv: true,
        mask: [],
        ports: [],
        requires: {},
        after: {},
        wants: [],
        bindsTo: [],
        conflicts: [],
        verifyListener: true,
        autostart: true,
        foreign: "refuse",
        reclaim: "recorded",
        killOthers: false,
        processFilters: [],
        logs: { lines: 1_000, maxSize: 10_000_000, maxFiles: 10 },
        stop: { signal: "SIGTERM" },
        restart: { policy: "on-failure", maxFailures: 10 },
      })
      expect(Duration.toMillis(unit.stop.grace)).toBe(10_000)
      expect(Duration.toMillis(unit.minUptime)).toBe(1_000)
      expect(Duration.toMillis(unit.busyGrace)).toBe(120_000)
      expect(unit.startTimeout).toBeUndefined()
      expect(unit.dependencyTimeout).toBeUndefined()
      expect(unit.port).toBeUndefined()
    }),
  )

  it.effect("may say the same thing in several ways", () =>
    Effect.gen(function* () {
      const long = yield* UnitSpec.make({
        command,
        requires: { db: "started" },
        after: ["log"],
        envFile: ["a.env"],
        restart: { policy: "always" },
        logs: { maxSize: "10MB" },
      })
      expect(long.requires).toEqual({ db: "started" })
      expect(long.after).toEqual({ log: undefined })
      const short = yield* UnitSpec.make({ command, envFile: "a.env", restart: "always" })
      expect(short.envFile).toEqual(long.envFile)
      expect(short.restart).toEqual(long.restart)
      expect(short.logs).toEqual(long.logs)
    }),
  )

  for (const [name, input] of [
    ["the simplest service", { command }],
    [
      "a service with everything",
      {
        description: "the web",
        command: ["node", "server.js"],
        cwd: "./web",
        env: { PORT: "${port}", DEBUG: true, WORKERS: 4 },
        envFile: [".env", "local.env"],
        inheritEnv: false,
        mask: ["TOKEN"],
        stop: { signal: "int", grace: "1m30s" },
        logs: { lines: 10, maxSize: "1MiB", maxFiles: 0 },
        port: "auto",
        ports: [8_080],
        host: "127.0.0.1",
        requires: { db: "ready", migrate: "succeeded" },
        after: ["log"],
        wants: ["cache"],
        bindsTo: ["disk"],
        conflicts: ["old-web"],
        dependencyTimeout: "1m",
        startup: { tcp: {}, failureThreshold: 30 },
        readiness: { http: { path: "/health" }, period: "5s" },
        liveness: { exec: { command: ["check"] } },
        busy: { exec: { command: ["is-busy"] } },
        busyGrace: 30,
        startTimeout: "20s",
        minUptime: "500ms",
        verifyListener: false,
        restart: {
          policy: "always",
          maxFailures: 3,
          stableAfter: "1m",
          backoff: { initial: "1s", factor: 1.5, max: "10s", jitter: false },
          success: [3, "TERM"],
          permanent: [77],
        },
        autostart: false,
        foreign: "adopt-as-external",
        reclaim: "never",
        killOthers: true,
        processFilters: ["web"],
      },
    ],
    ["a oneshot", { kind: "oneshot", command, restart: "never" }],
    ["an external", { kind: "external", url: "http://127.0.0.1:9200/search", readiness: { tcp: {} } }],
    ["a target", { kind: "target", requires: ["web", "search"] }],
    ["a task", { kind: "task", liveness: { exec: { command: ["check"] } } }],
  ] as ReadonlyArray<readonly [string, UnitSpec.Input]>) {
    it.effect(`can be written again when it is decoded: ${name}`, () =>
      Effect.gen(function* () {
        const unit = yield* UnitSpec.make(input)
        const written = yield* Schema.encode(UnitSpec.UnitSpec)(unit)
        expect(yield* UnitSpec.make(written)).toEqual(unit)
        // As a file has it, too.
        expect(yield* UnitSpec.make(JSON.parse(JSON.stringify(written)) as UnitSpec.Input)).toEqual(unit)
      }),
    )
  }

  it("is named by what can name a directory", () => {
    for (const name of ["web", "Web-1.2_3", "0", "x".repeat(64)]) expect(UnitSpec.isName(name)).toBe(true)
    for (const name of ["", ".", "..", "-x", "_x", "a b", "a/b", "ä", "x".repeat(65), "a\n"]) {
      expect(UnitSpec.isName(name)).toBe(false)
    }
  })

  it("knows who has a process, and who says that it is ready", () => {
    expect(
      (["service", "oneshot", "target", "external", "task"] as const).map((kind) =>
        UnitSpec.hasProcess({ kind }),
      ),
    ).toEqual([true, true, false, false, false])
    const check = Effect.runSync(UnitSpec.make({ command, readiness: { tcp: {} } })).readiness
    expect([
      UnitSpec.isProbed({ readiness: check, startup: undefined }),
      UnitSpec.isProbed({ readiness: undefined, startup: check }),
      UnitSpec.isProbed({ readiness: undefined, startup: undefined }),
    ]).toEqual([true, true, false])
  })
})

describe("a group", () => {
  const decode = Schema.decodeUnknownSync(UnitSpec.Group)

  it("is one-for-one unless told otherwise", () => {
    expect(decode({ units: ["a"] })).toEqual({ strategy: "one-for-one", units: ["a"] })
    expect(decode({ strategy: "rest-for-one", units: ["a", "b"] })).toEqual({
      strategy: "rest-for-one",
      units: ["a", "b"],
    })
  })

  it("has members, and a strategy that there is", () => {
    expect(() => decode({ units: [] })).toThrow("a list of units' names, at least one")
    expect(() => decode({ units: ["a"], strategy: "all" })).toThrow(
      "one-for-one, one-for-all or rest-for-one",
    )
  })
})
