/** The OpenCode preset over a program that behaves as `opencode serve` does; the real one is in `OpenCodeServe.test.ts`. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as OpenCode from "../../../src/handle/presets/OpenCode.js"
import type * as RecursionGuard from "../../../src/handle/RecursionGuard.js"
import { get, members, nobody, silently } from "./support.js"
import { temporary } from "./tool-directory.js"

const fake = fileURLToPath(new URL("fake-opencode.mjs", import.meta.url))

interface Told {
  readonly pid: number
  readonly arguments: ReadonlyArray<string>
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly lists: number
}

const told = (baseUrl: string, headers: Record<string, string> = {}): Effect.Effect<Told> =>
  Effect.map(get(`${baseUrl}/told`, headers), ({ body }) => JSON.parse(body) as Told)

/** The preset over the fake, out of no environment. */
const managed = (input: OpenCode.ManagedInput = {}, options: OpenCode.Options = {}) =>
  OpenCode.managed(
    { binary: process.execPath, binaryArgs: [fake], ...input },
    { environment: {}, ...options },
  )

const basic = (login: string) => ({ Authorization: `Basic ${btoa(login)}` })

describe("OpenCode.managed", () => {
  it.scopedLive("runs opencode serve at a free port, marked as managed", () =>
    Effect.gen(function* () {
      const opencode = yield* managed({ args: ["--print-logs"], cwd: "/", env: { EXTRA: "1" } })
      const server = yield* opencode.handle.acquire
      const { port } = new URL(server.baseUrl)
      expect(server).toMatchObject({ name: "opencode", version: "1.18.33", mode: "managed" })
      expect(server).toBeInstanceOf(OpenCode.OpenCodeServer)
      const child = yield* told(server.baseUrl)
      expect(child).toMatchObject({
        pid: server.pid,
        cwd: "/",
        arguments: ["serve", "--hostname", "127.0.0.1", "--port", port, "--print-logs"],
        env: { EXTRA: "1", [OpenCode.guardVariable]: "1" },
      })
      expect(child.env).not.toHaveProperty(OpenCode.configVariable)
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("gives the same snapshot as long as it is the same server, and takes it back", () =>
    Effect.gen(function* () {
      const opencode = yield* managed()
      const [one, two] = yield* Effect.all([opencode.handle.acquire, opencode.handle.use(Effect.succeed)], {
        concurrency: "unbounded",
      })
      const state = yield* opencode.handle.state
      expect(one).toBe(two)
      expect(state._tag === "Ready" && state.snapshot).toBe(one)
      expect(yield* opencode.handle.invalidate("a test says so", one)).toBe(true)
      const three = yield* opencode.handle.acquire
      expect(three.pid).not.toBe(one.pid)
      // An old one means nothing any more.
      expect(yield* opencode.handle.invalidate("a test says so", one)).toBe(false)
      expect(yield* opencode.handle.acquire).toBe(three)
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("is started by what OPENCODE_BINARY and OPENCODE_BINARY_ARGS say", () =>
    Effect.gen(function* () {
      const opencode = yield* OpenCode.managed(
        {},
        { environment: { OPENCODE_BINARY: process.execPath, OPENCODE_BINARY_ARGS: `'${fake}' "two words"` } },
      )
      const { baseUrl } = yield* opencode.handle.acquire
      expect((yield* told(baseUrl)).arguments.slice(0, 2)).toEqual(["two words", "serve"])
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("names the variable that cannot be split, before anything is started", () =>
    Effect.gen(function* () {
      const environment = { OPENCODE_BINARY_ARGS: "--x $HOME" }
      const error = yield* Effect.flip(OpenCode.managed({}, { environment }))
      expect(error.issues.map(({ field }) => field)).toEqual(["OPENCODE_BINARY_ARGS"])
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("hands over a configuration, whatever stands in it", () =>
    Effect.gen(function* () {
      const config = { username: "${port}", agent: { "${other.port}": { prompt: 'a "b"\n' } } }
      const opencode = yield* managed({ config })
      const { env } = yield* told((yield* opencode.handle.acquire).baseUrl)
      expect(JSON.parse(env[OpenCode.configVariable]!)).toEqual(config)

      const text = '{ "username": "x" } // as it is'
      const other = yield* managed({ name: "other", config: text })
      const { env: second } = yield* told((yield* other.handle.acquire).baseUrl)
      expect(second[OpenCode.configVariable]).toBe(text)
      const third = yield* managed({ name: "third", config: JSON.stringify(config) })
      const { env: last } = yield* told((yield* third.handle.acquire).baseUrl)
      expect(JSON.parse(last[OpenCode.configVariable]!)).toEqual(config)
    }).pipe(Effect.provide(silently)),
  )

  it.effect("refuses what it cannot hand over, and shows no secret of it", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const loop: Record<string, unknown> = {}
        loop.self = loop
        const refused = (input: unknown) => Effect.flip(managed(input as OpenCode.ManagedInput))
        expect((yield* refused({ config: loop })).message).toContain(
          "config: got (hidden); expected what JSON",
        )
        expect((yield* refused({ config: 3 })).message).toContain("config: got 3; expected a configuration")
        expect((yield* refused({ config: " " })).message).toContain("expected a configuration")
        expect((yield* refused({ config: "s3cret\0" })).message).not.toContain("s3cret")
        expect((yield* refused({ password: "s3cret\0" })).message).not.toContain("s3cret")
        expect((yield* refused({ username: "a:b" })).message).toContain("without a colon")
        expect((yield* refused({ binaryArgs: ["a", 1] })).message).toContain("binaryArgs[1]")
        expect((yield* refused({ binary: "" })).message).toContain("binary: got")
        expect((yield* refused({ port: 0 })).message).toContain("port: got 0")
        expect((yield* refused({ prot: 1 })).message).toContain("prot: got (hidden)")
        expect(
          (yield* refused({ config: "{}", env: { [OpenCode.configVariable]: "{}" } })).message,
        ).toContain(
          `env.${OpenCode.configVariable}: got (hidden); expected nothing, as it is given as config`,
        )
      }),
    ).pipe(Effect.provide(silently)),
  )

  it.scopedLive("is refused in a program that an OpenCode server has started, and says what to do", () =>
    Effect.gen(function* () {
      const refused = (value: string, guard?: RecursionGuard.Options) =>
        Effect.flatMap(
          managed({}, { environment: { [OpenCode.guardVariable]: value }, ...(guard && { guard }) }),
          ({ handle }) => Effect.flip(handle.acquire),
        )
      const error = yield* refused("1")
      expect(error._tag).toBe("RecursionGuarded")
      expect(error.message).toContain(`${OpenCode.guardVariable} is set to "1"`)
      expect(error.message).toContain("ask a person")
      expect((yield* refused("true", { advice: "Stop here." })).message).toMatch(/ Stop here\.$/)
      expect(yield* members).toEqual([])
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("is not refused for other values of the variable, or when the guard is off", () =>
    Effect.gen(function* () {
      const started = (value: string, guard?: false) =>
        Effect.scoped(
          Effect.flatMap(
            managed(
              {},
              { environment: { [OpenCode.guardVariable]: value }, ...(guard === false && { guard }) },
            ),
            ({ handle }) => Effect.flatMap(handle.acquire, ({ baseUrl }) => told(baseUrl)),
          ),
        )
      expect((yield* started("0")).env[OpenCode.guardVariable]).toBe("1")
      expect((yield* started("1", false)).env).not.toHaveProperty(OpenCode.guardVariable)
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("requires and sends the password that it is given or finds, and does not show it", () =>
    Effect.gen(function* () {
      const opencode = yield* managed({ password: "s3cret-one", expectedVersion: "1.18.33" })
      const server = yield* opencode.handle.acquire
      expect(server.version).toBe("1.18.33")
      expect((yield* get(`${server.baseUrl}/told`)).status).toBe(401)
      const child = yield* told(server.baseUrl, basic("opencode:s3cret-one"))
      expect(child.env[OpenCode.usernameVariable]).toBe("opencode")
      const client = OpenCode.client(opencode, yield* HttpClient.HttpClient)
      expect(yield* Effect.flatMap(client.get("/told"), ({ json }) => json)).toMatchObject({
        pid: server.pid,
      })
      const status = yield* opencode.status
      expect(status.state).toBe("Ready")
      expect(JSON.stringify([status, server])).not.toContain("s3cret")

      const found = yield* managed(
        { name: "found" },
        { environment: { [OpenCode.passwordVariable]: "s3cret:two", [OpenCode.usernameVariable]: "me" } },
      )
      const { baseUrl } = yield* found.handle.acquire
      expect((yield* told(baseUrl, basic("me:s3cret:two"))).env[OpenCode.usernameVariable]).toBe("me")
    }).pipe(Effect.provide([silently, FetchHttpClient.layer])),
  )

  it.scopedLive("is not ready before it has said so, nor when it says that it is unhealthy", () =>
    Effect.gen(function* () {
      const attempts = { attempts: Schedule.recurs(0) } as const
      const silent = yield* managed({ env: { FAKE_SILENT: "1" }, startTimeout: "3s" }, attempts)
      const first = yield* Effect.flip(silent.handle.acquire)
      expect(first._tag).toBe("ServerStartTimedOut")
      expect(first.message).toContain("opencode server listening on")
      const unhealthy = yield* managed({ env: { FAKE_HEALTHY: "false" }, startTimeout: "3s" }, attempts)
      const second = yield* Effect.flip(unhealthy.handle.acquire)
      expect(second._tag).toBe("ServerStartTimedOut")
      expect(second.message).toContain("/healthy")
      yield* nobody
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("is not started twice when its version is another one, or its program is not there", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const script = path.join(directory, "opencode")
      fs.writeFileSync(
        script,
        `#!/bin/sh\necho >> ${directory}/starts\n"${process.execPath}" "${fake}" "$@"\n`,
        {
          mode: 0o755,
        },
      )
      const opencode = yield* managed({ binary: script, binaryArgs: [], expectedVersion: "1.18.32" })
      const error = yield* Effect.flip(opencode.handle.acquire)
      expect(error).toMatchObject({ _tag: "VersionMismatch", expected: "1.18.32", actual: "1.18.33" })
      expect(fs.readFileSync(`${directory}/starts`, "utf8")).toBe("\n")
      yield* nobody

      const gone = yield* managed({ binary: path.join(directory, "gone"), binaryArgs: [] })
      expect(yield* Effect.flip(gone.handle.acquire)).toMatchObject({
        _tag: "ServerNotStarted",
        kind: "CommandNotFound",
        retryable: false,
      })
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("reads its model limits once for each life of it, when somebody asks for them", () =>
    Effect.gen(function* () {
      const providers = { all: [{ id: "a", models: { m: { limit: { context: 8192 } } } }] }
      const opencode = yield* managed({
        password: "s3cret",
        env: { FAKE_PROVIDERS: JSON.stringify(providers), FAKE_REFUSALS: "1" },
      })
      const server = yield* opencode.handle.acquire
      const lists = Effect.map(told(server.baseUrl, basic("opencode:s3cret")), (child) => child.lists)
      expect(yield* lists).toBe(0)
      // A failure to read them is none of the server.
      expect((yield* server.modelLimits).size).toBe(0)
      expect(yield* opencode.handle.acquire).toBe(server)
      const [one, two, three] = yield* Effect.all(
        [server.modelLimits, server.modelLimits, server.contextLimit("a", "m")],
        { concurrency: "unbounded" },
      )
      expect(one).toBe(two)
      expect(three).toEqual(Option.some(8192))
      expect(yield* server.contextLimit("a", "other")).toEqual(Option.none())
      expect(yield* server.contextLimit("other", "m")).toEqual(Option.none())
      expect(yield* lists).toBe(2)
    }).pipe(Effect.provide(silently)),
  )
})

describe("OpenCode.external", () => {
  it.scopedLive("uses a server that is there, lets itself in, and never stops it", () =>
    Effect.gen(function* () {
      const opencode = yield* managed({ password: "s3cret" })
      const { baseUrl, pid } = yield* opencode.handle.acquire
      const external = yield* OpenCode.external(
        { baseUrl, password: "s3cret", expectedVersion: "v1.18.33" },
        { environment: {} },
      )
      const server = yield* external.handle.acquire
      expect(server).toBeInstanceOf(OpenCode.OpenCodeServer)
      expect(server).toMatchObject({ baseUrl, version: "1.18.33", mode: "external" })
      expect((yield* external.stop).state).toBe("Ready")
      expect(yield* members).toEqual([pid])

      const found = { environment: { [OpenCode.passwordVariable]: "s3cret" } }
      const other = yield* OpenCode.external({ baseUrl, expectedVersion: "1.0.0" }, found)
      expect(yield* Effect.flip(other.handle.acquire)).toMatchObject({
        _tag: "VersionMismatch",
        actual: "1.18.33",
      })
      const locked = yield* OpenCode.external({ baseUrl }, { environment: {} })
      const error = yield* Effect.flip(locked.handle.acquire)
      expect(error._tag).toBe("ServerUnavailable")
      expect(error.message).toContain("401")
    }).pipe(Effect.provide(silently)),
  )
})
