/**
 * The OpenCode preset over the real `opencode serve`, one after the other, as it takes half a gigabyte. It runs where the
 * program is installed (`node test/handle/presets/install-opencode.mjs`), and installs it where `CI` or
 * `HOLDFAST_TEST_OPENCODE` is `true`.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import { afterAll, describe, expect, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as OpenCode from "../../../src/handle/presets/OpenCode.js"
import * as OpenHands from "../../../src/handle/presets/OpenHands.js"
import * as Server from "../../../src/handle/Server.js"
import { killPid } from "../../process/killPid.js"
import { isAlive } from "../../process/support.js"
import { install, installed, version } from "./install-opencode.mjs"
import { get, members, nextChange, nobody, silently } from "./support.js"

const wanted = process.env.CI === "true" || process.env.HOLDFAST_TEST_OPENCODE === "true"

const find = (): { readonly binary: string } | { readonly missing: string } => {
  try {
    const binary = wanted ? install() : installed()
    return binary === undefined ? { missing: "it is not installed" } : { binary }
  } catch (error) {
    return { missing: `it cannot be installed: ${String(error).split("\n").slice(0, 3).join(" ")}` }
  }
}

const found = find()
const binary = "binary" in found ? found.binary : "opencode"
const suite = "binary" in found ? describe : describe.skip
const title = `OpenCode ${version}${"missing" in found ? ` (skipped: ${found.missing})` : ""}`

/** Everything that it writes goes here; it is removed in the end. */
const home = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-opencode-")))
const work = path.join(home, "work")
const temporary = path.join(home, "tmp")
for (const directory of [work, temporary]) fs.mkdirSync(directory)

/** Where it would write without that; who works here may use it. */
const elsewhere = [
  ...[".config", ".local/share", ".local/state", ".cache"].map((directory) =>
    path.join(os.homedir(), directory, "opencode"),
  ),
  path.join(os.tmpdir(), "opencode"),
]
const there = () => elsewhere.filter((directory) => fs.existsSync(directory))
const before = there()

afterAll(() => fs.rmSync(home, { recursive: true, force: true }))

/** Its own home, and no network: it has a list of models with it. */
const env = {
  HOME: home,
  XDG_CONFIG_HOME: path.join(home, "config"),
  XDG_DATA_HOME: path.join(home, "data"),
  XDG_STATE_HOME: path.join(home, "state"),
  XDG_CACHE_HOME: path.join(home, "cache"),
  TMPDIR: temporary,
  OPENCODE_DISABLE_MODELS_FETCH: "1",
  OPENCODE_DISABLE_AUTOUPDATE: "1",
  OPENCODE_DISABLE_DEFAULT_PLUGINS: "1",
}

/** The variables of a process. */
const variablesOf = (pid: number): Record<string, string> =>
  Object.fromEntries(
    fs
      .readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .filter((entry) => entry.includes("="))
      .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  )

/** A start has the time which a busy machine needs. */
const input: OpenCode.ManagedInput = { binary, cwd: work, env, startTimeout: "90s" }
const options: OpenCode.Options = { environment: {} }

const patience = 180_000

suite(title, () => {
  layer(
    Layer.provideMerge(
      OpenCode.layerManaged(
        { ...input, expectedVersion: `v${version}`, config: { username: "holdfast", share: "disabled" } },
        options,
      ),
      Layer.merge(silently, FetchHttpClient.layer),
    ),
    { excludeTestServices: true, timeout: patience },
  )("one server, from its start to its end", (it) => {
    it.effect(
      "is one process for two who ask at once, with the version that it is pinned to",
      () =>
        Effect.gen(function* () {
          const opencode = yield* OpenCode.OpenCode
          expect((yield* opencode.status).state).toBe("Stopped")
          expect(yield* members).toEqual([])
          const [one, two] = yield* Effect.all([opencode.handle.acquire, opencode.handle.acquire], {
            concurrency: "unbounded",
          })
          expect(one).toBe(two)
          expect(one).toMatchObject({ version, mode: "managed", ownership: "launched" })
          expect(yield* members).toEqual([one.pid])
          expect(yield* opencode.status).toMatchObject({ state: "Ready", pid: one.pid, version })
          expect(opencode.log!.last(10).map(({ text }) => text)).toContain(
            `opencode server listening on ${one.baseUrl}`,
          )
        }),
      patience,
    )

    it.effect(
      "has the guard variable as 1, and listens at the port that it was given",
      () =>
        Effect.gen(function* () {
          const opencode = yield* OpenCode.OpenCode
          const { baseUrl, pid } = yield* opencode.handle.acquire
          expect(variablesOf(pid!)[OpenCode.guardVariable]).toBe("1")
          const command = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1)
          expect(command).toEqual([
            binary,
            "serve",
            "--hostname",
            "127.0.0.1",
            "--port",
            new URL(baseUrl).port,
          ])
        }),
      patience,
    )

    it.effect(
      "has taken the configuration that was handed over, as a client of it sees",
      () =>
        Effect.gen(function* () {
          const client = OpenCode.client(yield* OpenCode.OpenCode, yield* HttpClient.HttpClient)
          const config = yield* Effect.flatMap(client.get("/config"), ({ json }) => json)
          expect(config).toMatchObject({ username: "holdfast", share: "disabled" })
        }),
      patience,
    )

    it.effect(
      "fools whoever goes by the status of /openapi.json, and neither of the presets",
      () =>
        Effect.gen(function* () {
          const { baseUrl } = yield* Effect.flatMap(OpenCode.OpenCode, ({ handle }) => handle.acquire)
          const page = yield* get(`${baseUrl}/openapi.json`)
          expect(page).toMatchObject({ status: 200, type: expect.stringContaining("text/html") })
          const naive = yield* Server.external({ baseUrl, probe: { http: { path: "/openapi.json" } } })
          expect((yield* naive.handle.acquire).baseUrl).toBe(baseUrl)
          const openhands = yield* OpenHands.external({ baseUrl })
          expect(yield* Effect.flip(openhands.handle.acquire)).toMatchObject({ _tag: "ServerUnavailable" })
          const external = yield* OpenCode.external({ baseUrl }, options)
          expect((yield* external.handle.acquire).version).toBe(version)
        }).pipe(Effect.scoped),
      patience,
    )

    it.effect(
      "gives the context limits of its models, without a network",
      () =>
        Effect.gen(function* () {
          const { handle } = yield* OpenCode.OpenCode
          const server = yield* handle.acquire
          const limits = yield* server.modelLimits
          expect(limits.size).toBeGreaterThan(10)
          const [model, limit] = [...limits.get("anthropic")!][0]!
          expect(limit).toBeGreaterThan(10_000)
          expect(yield* server.contextLimit("anthropic", model)).toEqual(Option.some(limit))
          expect(yield* server.contextLimit("anthropic", "no-such-model")).toEqual(Option.none())
          // It was at work for a while, and is still the same.
          expect(yield* handle.acquire).toBe(server)
        }),
      patience,
    )

    it.effect(
      "is started anew when it was killed, for the next two who ask, once",
      () =>
        Effect.gen(function* () {
          const { handle } = yield* OpenCode.OpenCode
          const first = yield* handle.acquire
          killPid(first.pid!, "SIGKILL")
          const [one, two] = yield* Effect.all([handle.acquire, handle.acquire], { concurrency: "unbounded" })
          expect(one).toBe(two)
          expect(one.pid).not.toBe(first.pid)
          expect(yield* members).toEqual([one.pid])
          // What was handed out before stays what it was.
          expect(first.version).toBe(version)
        }),
      patience,
    )

    it.effect(
      "is stopped when it is told to",
      () =>
        Effect.gen(function* () {
          const { handle, status, stop } = yield* OpenCode.OpenCode
          const { pid } = yield* handle.acquire
          expect(yield* stop).toMatchObject({ state: "Stopped", pid, version })
          expect(isAlive(pid!)).toBe(false)
          yield* nobody
          expect(yield* status).toMatchObject({ state: "Stopped" })
        }),
      patience,
    )
  })

  it.scopedLive(
    "is found hung by the health monitor, and replaced",
    () =>
      Effect.gen(function* () {
        const opencode = yield* OpenCode.managed(
          { ...input, stop: { grace: "2s" } },
          { ...options, health: { schedule: Schedule.spaced("500 millis"), failureThreshold: 2 } },
        )
        const first = yield* opencode.handle.acquire
        const stale = yield* nextChange(opencode.handle, "Stale")
        killPid(first.pid!, "SIGSTOP")
        expect((yield* stale).reason).toMatch(/timed out after 5s|not over within 5s/)
        const second = yield* opencode.handle.acquire
        expect(second.pid).not.toBe(first.pid)
        expect(yield* members).toEqual([second.pid])
      }).pipe(Effect.provide(silently)),
    patience,
  )

  it.scopedLive(
    "is refused with another version than the pinned one, is not tried again, and leaves no process",
    () =>
      Effect.gen(function* () {
        // Counts its starts, and stays there as the parent of the server.
        const launcher = path.join(home, "launch here.sh")
        fs.writeFileSync(launcher, `echo >> "${home}/starts"\n"${binary}" "$@"\n`)
        const { binary: _, ...rest } = input
        const opencode = yield* OpenCode.managed(
          { ...rest, expectedVersion: "1.18.0" },
          { environment: { OPENCODE_BINARY: "/bin/sh", OPENCODE_BINARY_ARGS: `'${launcher}'` } },
        )
        const errors = yield* Effect.all(
          [opencode.handle.acquire, opencode.handle.acquire].map(Effect.flip),
          {
            concurrency: "unbounded",
          },
        )
        expect(errors[0]).toMatchObject({ _tag: "VersionMismatch", expected: "1.18.0", actual: version })
        expect(errors[1]).toBe(errors[0])
        expect(fs.readFileSync(`${home}/starts`, "utf8")).toBe("\n")
        yield* nobody
        expect((yield* opencode.status).state).toBe("Stopped")
      }).pipe(Effect.provide(silently)),
    patience,
  )

  it.scopedLive(
    "is let in where it requires a password, and nobody else is",
    () =>
      Effect.gen(function* () {
        const opencode = yield* OpenCode.managed(
          { ...input, password: "hold fast", expectedVersion: version },
          options,
        )
        const { baseUrl } = yield* opencode.handle.acquire
        expect((yield* get(`${baseUrl}/global/health`)).status).toBe(401)
        const client = OpenCode.client(opencode, yield* HttpClient.HttpClient)
        expect((yield* client.get("/global/health")).status).toBe(200)
      }).pipe(Effect.provide(Layer.merge(silently, FetchHttpClient.layer))),
    patience,
  )

  it.scopedLive("is not started in a program that an OpenCode server has started", () =>
    Effect.gen(function* () {
      const opencode = yield* OpenCode.managed(input, { environment: { [OpenCode.guardVariable]: "1" } })
      expect(yield* Effect.flip(opencode.handle.acquire)).toMatchObject({ _tag: "RecursionGuarded" })
      yield* nobody
    }).pipe(Effect.provide(silently)),
  )

  it("has written nothing but in the home that it was given", () => {
    expect(fs.existsSync(path.join(home, "data", "opencode"))).toBe(true)
    expect(fs.readdirSync(work)).toEqual([])
    expect(there()).toEqual(before)
  })
})
