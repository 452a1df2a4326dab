/**
 * An OpenHands agent server, or rather its nearest real stand-in: a FastAPI application under uvicorn, behind a launcher
 * that does not `exec` it.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as OpenHands from "../../../src/handle/presets/OpenHands.js"
import { killPid } from "../../process/killPid.js"
import { eventually, isAlive } from "../../process/support.js"
import { members, nextChange, nobody, silently } from "./support.js"
import { type Files, make, tooling } from "./tool-directory.js"

const python = "/usr/bin/python3"

const whyMissing = (): string | undefined => {
  try {
    execFileSync(python, ["-c", "import fastapi, uvicorn"], { stdio: "pipe" })
    return undefined
  } catch {
    return "Debian's python3-fastapi and python3-uvicorn are not installed"
  }
}

const missing = whyMissing()

const application = fileURLToPath(new URL("agent-server.py", import.meta.url))

/** Stays there as the parent of the server, as a script does that runs it by `uv run`. */
const launcher = `#!/bin/sh
RUNTIME="\${RUNTIME:-none}" ${python} "${application}" "$@"
echo "the server has ended with $?"
`

const files = (fields: Readonly<Record<string, unknown>> = {}, more: Files = {}): Files => ({
  "tooling.json": tooling({
    version: "1.4.0",
    launcher: "run-local.sh",
    args: ["--some", "two words"],
    env: { RUNTIME: "process" },
    files: ["uv.lock"],
    versionAt: { path: "/server_info", pointer: "/version" },
    ...fields,
  }),
  "run-local.sh": launcher,
  "uv.lock": "",
  ...more,
})

interface Told {
  readonly pid: number
  readonly runtime: string
  readonly guard: string
  readonly directory: string
  readonly arguments: ReadonlyArray<string>
}

const told = (baseUrl: string): Effect.Effect<Told> =>
  Effect.promise(async () => (await fetch(`${baseUrl}/server_info`)).json() as Promise<Told>)

/** An agent server on a free port, with a start that has the time which a busy machine needs. */
const managed = (toolDir: string, input: Partial<OpenHands.ManagedInput> = {}, options?: OpenHands.Options) =>
  OpenHands.managed({ toolDir, port: "auto", startTimeout: "60s", ...input }, { environment: {}, ...options })

const ordered = (...pids: ReadonlyArray<number>) => pids.toSorted((a, b) => a - b)

const suite = missing === undefined ? describe : describe.skip

suite(
  `OpenHands, as uvicorn behind a launcher${missing === undefined ? "" : ` (skipped: ${missing})`}`,
  () => {
    it.scopedLive(
      "is started once for two who ask at the same time, by its launcher, and is gone with its scope",
      () =>
        Effect.gen(function* () {
          const toolDir = yield* make(files())
          const scope = yield* Scope.make()
          const openhands = yield* Scope.extend(managed(toolDir), scope)
          expect((yield* openhands.status).state).toBe("Stopped")
          const [one, two] = yield* Effect.all([openhands.handle.acquire, openhands.handle.acquire], {
            concurrency: "unbounded",
          })
          expect(one).toBe(two)
          expect(one).toMatchObject({ name: "openhands", version: "1.4.0", ownership: "launched" })
          expect(one.launcher).toBe(`${toolDir}/run-local.sh --some 'two words'`)
          const server = yield* told(one.baseUrl)
          expect(server).toMatchObject({
            runtime: "process",
            guard: "1",
            directory: fs.realpathSync(toolDir),
            arguments: ["--some", "two words"],
          })
          // Both are there: the launcher, which is the process, and the server, which it has started.
          expect(server.pid).not.toBe(one.pid)
          expect(yield* members).toEqual(ordered(one.pid!, server.pid))
          expect((yield* openhands.status).state).toBe("Ready")

          yield* Scope.close(scope, Exit.void)
          expect(yield* members).toEqual([])
          expect(isAlive(server.pid)).toBe(false)
          expect(fs.readdirSync(toolDir).toSorted()).toEqual(["run-local.sh", "tooling.json", "uv.lock"])
        }).pipe(Effect.provide(silently)),
      120_000,
    )

    it.scopedLive(
      "stops the launcher with the server, and starts anew for the next one who asks",
      () =>
        Effect.gen(function* () {
          const openhands = yield* managed(yield* make(files()))
          const first = yield* openhands.handle.acquire
          const { pid } = yield* told(first.baseUrl)
          const stopped = yield* openhands.stop
          expect(stopped).toMatchObject({ state: "Stopped", pid: first.pid, version: "1.4.0" })
          expect(isAlive(pid)).toBe(false)
          yield* nobody
          const second = yield* openhands.handle.acquire
          expect(second.pid).not.toBe(first.pid)
          expect(isAlive((yield* told(second.baseUrl)).pid)).toBe(true)
        }).pipe(Effect.provide(silently)),
      120_000,
    )

    it.scopedLive(
      "replaces a server that was killed behind its launcher, and one whose launcher was killed",
      () =>
        Effect.gen(function* () {
          const openhands = yield* managed(yield* make(files()))
          const first = yield* openhands.handle.acquire
          const { pid } = yield* told(first.baseUrl)
          killPid(pid, "SIGKILL")
          yield* eventually("the launcher has ended", () => !isAlive(first.pid!))
          const second = yield* openhands.handle.acquire
          expect(second.pid).not.toBe(first.pid)
          const orphan = (yield* told(second.baseUrl)).pid
          killPid(second.pid!, "SIGKILL")
          yield* eventually("the launcher has ended", () => !isAlive(second.pid!))
          // The server that the launcher leaves must not live on beside the next one.
          const third = yield* openhands.handle.acquire
          expect(isAlive(orphan)).toBe(false)
          expect(yield* members).toEqual(ordered(third.pid!, (yield* told(third.baseUrl)).pid))
        }).pipe(Effect.provide(silently)),
      120_000,
    )

    it.scopedLive(
      "is found hung by the health monitor, which replaces it",
      () =>
        Effect.gen(function* () {
          const openhands = yield* managed(
            yield* make(files()),
            { stop: { grace: "1s" } },
            { health: { schedule: Schedule.spaced("200 millis"), failureThreshold: 1 } },
          )
          const first = yield* openhands.handle.acquire
          const { pid } = yield* told(first.baseUrl)
          const stale = yield* nextChange(openhands.handle, "Stale")
          killPid(pid, "SIGSTOP")
          expect((yield* stale).reason).toMatch(/\b5 ?s\b/)
          const second = yield* openhands.handle.acquire
          expect(second.pid).not.toBe(first.pid)
          expect((yield* told(second.baseUrl)).pid).not.toBe(pid)
        }).pipe(Effect.provide(silently)),
      120_000,
    )

    it.scopedLive(
      "has the version that it is pinned to, or is not used and not started a second time",
      () =>
        Effect.gen(function* () {
          const starts = path.join(yield* make({}), "starts")
          const openhands = yield* managed(
            yield* make({
              ...files(),
              "run-local.sh": `#!/bin/sh\necho >> ${starts}\n${python} "${application}"\n`,
            }),
            { env: { STANDIN_VERSION: "1.3.9" } },
          )
          const error = yield* Effect.flip(openhands.handle.acquire)
          expect(error).toMatchObject({ _tag: "VersionMismatch", expected: "1.4.0", actual: "1.3.9" })
          expect(fs.readFileSync(starts, "utf8")).toBe("\n")
          yield* nobody
        }).pipe(Effect.provide(silently)),
      120_000,
    )

    it.scopedLive(
      "has the version of its directory where the server names none",
      () =>
        Effect.gen(function* () {
          const openhands = yield* managed(
            yield* make(files({ versionAt: undefined, version: "v2.0.0", program: "sh" })),
            { command: [python, application], expectedVersion: "2.0.0" },
          )
          expect((yield* openhands.status).version).toBe("2.0.0")
          const { launcher, version } = yield* openhands.handle.acquire
          expect(version).toBe("2.0.0")
          expect(launcher).toBe(`${python} ${application}`)
        }).pipe(Effect.provide(silently)),
      120_000,
    )

    it.scopedLive(
      "refuses to start where another one answers already, and uses that one when it is told its URL",
      () =>
        Effect.gen(function* () {
          const other = yield* managed(yield* make(files()))
          const { baseUrl, pid } = yield* other.handle.acquire
          const refused = yield* managed(yield* make(files()), { port: Number(new URL(baseUrl).port) })
          expect(yield* Effect.flip(refused.handle.acquire)).toMatchObject({
            _tag: "ServerPlaceTaken",
            kind: "ForeignServer",
          })
          const external = yield* OpenHands.external({ baseUrl: `${baseUrl}/` })
          expect(yield* external.handle.acquire).toMatchObject({ baseUrl, ownership: "external" })
          expect((yield* external.stop).state).toBe("Ready")
          expect(isAlive(pid!)).toBe(true)
        }).pipe(Effect.provide(silently)),
      120_000,
    )
  },
)

describe("OpenHands", () => {
  it.scopedLive("is not taken for a server that answers everything with a page", () =>
    Effect.gen(function* () {
      const page = yield* Effect.acquireRelease(
        Effect.async<ReturnType<typeof createServer>>((resume) => {
          const server = createServer((_, response) => {
            response.setHeader("Content-Type", "text/html")
            response.end("<!doctype html>")
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.sync(() => {
            server.closeAllConnections()
            server.close()
          }),
      )
      const { port } = page.address() as AddressInfo
      const openhands = yield* OpenHands.external({ baseUrl: `http://127.0.0.1:${port}` })
      const error = yield* Effect.flip(openhands.handle.acquire)
      expect(error._tag).toBe("ServerUnavailable")
      expect(error.message).toContain("content-type")
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive("is refused in a program that a managed server has started", () =>
    Effect.gen(function* () {
      const toolDir = yield* make({
        "tooling.json": tooling({ version: "1", launcher: "run.sh" }),
        "run.sh": "#!/bin/sh\n",
      })
      const openhands = yield* OpenHands.managed(
        { toolDir, port: "auto" },
        { guard: { environment: { HOLDFAST_MANAGED: "1" } } },
      )
      expect(yield* Effect.flip(openhands.handle.acquire)).toMatchObject({ _tag: "RecursionGuarded" })
      yield* nobody
    }).pipe(Effect.provide(silently)),
  )
})
