/** What a server says of itself in every state, and what start and stop do in each. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type * as Server from "../../src/handle/Server.js"
import { killPid } from "../process/killPid.js"
import { eventually, isAlive } from "../process/support.js"
import { failsWith, live, managed, ok, processes, program, signal, starts, until } from "./server-support.js"

/** Well until somebody asks for `/break`; ends as it is asked to. */
const fragile = program(`
  let broken = false
  serve((request, response) => {
    if (request.url === "/break") broken = true
    if (request.url === "/mend") broken = false
    if (request.url === "/exit") process.exit(9)
    if (broken && request.url === "/") response.writeHead(500)
    response.end('{"version":"v2"}')
  })`)

const version = { path: "/version", pointer: "/version" }

const ask = (baseUrl: string, path: string) =>
  Effect.promise(() => fetch(`${baseUrl}${path}`).catch(() => {}))

/** All of a status but the fields that every one has. */
const facts = (status: Server.ServerStatus) => {
  const { baseUrl, mode, name, ownership, ...rest } = status
  assert.deepStrictEqual([name, mode, ownership], ["web", "managed", "launched"])
  assert.match(baseUrl!, /^http:\/\/127\.0\.0\.1:\d+$/)
  return { ...rest }
}

describe("the status of a managed server", () => {
  live("is Stopped before anybody has asked for it", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: fragile, version, launcher: "web 2, from a test" })
      assert.deepStrictEqual(facts(yield* server.status), {
        state: "Stopped",
        launcher: "web 2, from a test",
      })
      assert.deepStrictEqual(yield* processes, [])
    }),
  )

  live("is Starting, with the process and what its last check said", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: program(`console.log("here"); setInterval(() => {}, 1e6)`) })
      yield* Effect.fork(server.handle.acquire)
      yield* Stream.runHead(server.log!.follow())
      const status = yield* until(server.status, ({ reason }) => reason !== undefined)
      const [pid] = yield* processes
      assert.deepStrictEqual([status.state, status.pid], ["Starting", pid!])
      assert.include(status.reason, "was refused by 127.0.0.1")
    }),
  )

  live("is Ready, with pid, launch time, version and launcher", () =>
    Effect.gen(function* () {
      const before = Date.now()
      const server = yield* managed({ command: fragile, version })
      const { launchedAt, launcher, ...status } = facts(yield* server.start)
      const [pid] = yield* processes
      assert.deepStrictEqual(status, { state: "Ready", pid: pid!, version: "2" })
      assert.isAtLeast(launchedAt!, before)
      assert.isAtMost(launchedAt!, Date.now())
      assert.include(launcher, process.execPath)
      const info = yield* server.handle.acquire
      assert.deepStrictEqual(
        { ...info },
        {
          name: "web",
          baseUrl: info.baseUrl,
          mode: "managed",
          ownership: "launched",
          pid: pid!,
          version: "2",
          launchedAt: launchedAt!,
          launcher: launcher!,
          outputs: {},
        },
      )
    }),
  )

  live("is Unreachable when its process runs and does not answer well", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: fragile })
      const { baseUrl, pid } = yield* server.start
      yield* ask(baseUrl!, "/break")
      const status = yield* server.status
      assert.deepStrictEqual([status.state, status.pid], ["Unreachable", pid])
      assert.match(status.reason!, /^GET http:.* answered 500/)
      assert.strictEqual((yield* server.handle.state)._tag, "Ready", "to look changes nothing")
      yield* ask(baseUrl!, "/mend")
      assert.strictEqual((yield* server.status).state, "Ready")
    }),
  )

  for (const [how, end] of [
    ["/exit", { code: 9 }],
    ["SIGKILL", { signal: "SIGKILL" }],
  ] as const) {
    live(`is Exited after ${JSON.stringify(end)}, with what was known of it, until the next start`, () =>
      Effect.gen(function* () {
        const down = signal<Server.ServerDown>()
        const server = yield* managed({ command: fragile, version }, { onDown: down.tell })
        const { baseUrl, launchedAt, launcher, pid } = yield* server.start
        if (how === "SIGKILL") killPid(pid!, how)
        else yield* ask(baseUrl!, how)
        yield* down.first
        const exited = {
          state: "Exited" as const,
          end,
          pid: pid!,
          launchedAt: launchedAt!,
          launcher: launcher!,
          version: "2",
        }
        const read = Effect.map(server.status, (status) => {
          const { reason: _, ...rest } = facts(status)
          return rest
        })
        // What is left of its group is being stopped first.
        yield* until(read, ({ state }) => state !== "Stopping")
        assert.deepStrictEqual(yield* read, exited)
        const { reason, ...stopped } = facts(yield* server.stop)
        assert.deepStrictEqual(stopped, exited, "a stop has nothing to do")
        assert.include(reason, how === "SIGKILL" ? "signal SIGKILL" : "exit code 9")
        const again = yield* server.start
        assert.strictEqual(again.state, "Ready")
        assert.notStrictEqual(again.pid, pid)
        assert.isUndefined(again.end)
        assert.isAtLeast(again.launchedAt!, launchedAt!)
      }),
    )
  }

  live("is Exited after an early exit, with that process and not an earlier one", () =>
    Effect.gen(function* () {
      const down = signal<Server.ServerDown>()
      const server = yield* managed(
        { command: ["/bin/sh", "-c", "exit 4"], version: "5" },
        { attempts: Schedule.stop, onDown: down.tell },
      )
      const { pid } = yield* failsWith("ServerExitedEarly")(server.handle.acquire)
      const status = yield* server.status
      assert.deepStrictEqual([status.state, status.end, status.version], ["Exited", { code: 4 }, "5"])
      assert.deepStrictEqual([status.pid, (yield* down.first).pid], [pid, pid])
    }),
  )

  live("is Stopped after a start that was not in time: it has not ended by itself", () =>
    Effect.gen(function* () {
      const command = program(`setInterval(() => {}, 1e6)`)
      const server = yield* managed({ command, startTimeout: "200ms" }, { attempts: Schedule.stop })
      yield* failsWith("ServerStartTimedOut")(server.handle.acquire)
      const status = yield* server.status
      assert.deepStrictEqual([status.state, status.pid, status.end], ["Stopped", undefined, undefined])
    }),
  )

  live(
    "is Stopped, and says why, after its liveness probe has failed: it has not ended by itself, either",
    () =>
      Effect.gen(function* () {
        const down = signal<Server.ServerDown>()
        const server = yield* managed(
          {
            command: fragile,
            probe: { tcp: {} },
            liveness: { http: { path: "/" }, period: "20ms", timeout: "2s", failureThreshold: 1 },
          },
          { onDown: down.tell },
        )
        const { baseUrl } = yield* server.start
        yield* ask(baseUrl!, "/break")
        assert.match(
          (yield* down.first).reason,
          /^its liveness probe failed 1 times? in a row\. GET .* answered 500/,
        )
        const status = yield* until(server.status, ({ state }) => state === "Stopped")
        assert.deepStrictEqual([status.pid, status.end], [undefined, undefined])
        assert.include(status.reason, "Its liveness probe failed")
        assert.strictEqual((yield* server.handle.state)._tag, "Stale")
      }),
  )

  live("is Stopped, and says why, when its program is not there", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: ["holdfast-no-such-program"] })
      yield* failsWith("ServerNotStarted")(server.handle.acquire)
      const status = yield* server.status
      assert.strictEqual(status.state, "Stopped")
      assert.include(status.reason, "holdfast-no-such-program")
    }),
  )
})

describe("start", () => {
  live("leaves one alone that is up", () =>
    Effect.gen(function* () {
      const server = yield* managed()
      const first = yield* server.start
      const second = yield* server.start
      assert.deepStrictEqual({ ...second }, { ...first })
      assert.strictEqual(yield* starts, 1)
    }),
  )

  live("replaces one that does not answer well", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: fragile })
      const first = yield* server.start
      yield* ask(first.baseUrl!, "/break")
      const second = yield* server.start
      assert.strictEqual(second.state, "Ready")
      assert.notStrictEqual(second.pid, first.pid)
      assert.isFalse(isAlive(first.pid!))
    }),
  )
})

describe("stop", () => {
  live("does nothing where nothing was started", () =>
    Effect.gen(function* () {
      const server = yield* managed({ version: "1" })
      const { launcher: _, ...status } = facts(yield* server.stop)
      assert.deepStrictEqual(status, { state: "Stopped", version: "1" })
      assert.strictEqual(yield* starts, 0)
    }),
  )

  live("tells what it has stopped, once", () =>
    Effect.gen(function* () {
      const down = signal<Server.ServerDown>()
      const server = yield* managed({ command: fragile, version }, { onDown: down.tell })
      const { launchedAt, pid } = yield* server.start
      const { launcher: _, ...stopped } = facts(yield* server.stop)
      assert.deepStrictEqual(stopped, { state: "Stopped", pid: pid!, launchedAt: launchedAt!, version: "2" })
      assert.isFalse(isAlive(pid!))
      assert.strictEqual((yield* server.handle.state)._tag, "Empty")
      const again = yield* server.stop
      assert.deepStrictEqual([again.state, again.pid], ["Stopped", undefined])
      assert.deepStrictEqual(
        down.all.map(({ pid, reason }) => [pid, reason]),
        [[pid, "it is being stopped"]],
      )
    }),
  )

  live("stops what was started, which can be started again", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: ok })
      const first = yield* server.start
      yield* server.stop
      const second = yield* server.start
      assert.notStrictEqual(second.pid, first.pid)
    }),
  )

  live("gives up a start that is under way, and all who wait for it are told", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: program(`console.log("here"); setInterval(() => {}, 1e6)`) })
      const waiting = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 5 }, () => failsWith("ServerNotStarted")(server.handle.acquire)),
          { concurrency: "unbounded" },
        ),
      )
      yield* Stream.runHead(server.log!.follow())
      const { state } = yield* server.stop
      assert.strictEqual(state, "Stopped")
      assert.deepStrictEqual(yield* processes, [])
      const errors = yield* Fiber.join(waiting)
      assert.deepStrictEqual([errors[0]!.kind, errors[0]!.retryable], ["Stopped", false])
      assert.strictEqual(new Set(errors).size, 1)
      assert.strictEqual((yield* server.handle.state)._tag, "Empty")
      assert.strictEqual(yield* starts, 1)
    }),
  )

  live("gives up a start at whatever point it is, and another start works at once", () =>
    Effect.gen(function* () {
      for (let turns = 0; turns < 10; turns++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const server = yield* managed()
            const starting = yield* Effect.fork(Effect.exit(server.handle.acquire))
            yield* Effect.sleep(turns * 25)
            const stopped = yield* server.stop
            assert.strictEqual(stopped.state, "Stopped")
            assert.deepStrictEqual(yield* processes, [])
            yield* Fiber.join(starting)
            assert.strictEqual((yield* server.start).state, "Ready")
          }),
        )
      }
    }),
  )

  live("of one that ignores TERM is over when it is killed", () =>
    Effect.gen(function* () {
      const command = program(`process.on("SIGTERM", () => {}); serve((_, response) => response.end("ok"))`)
      const server = yield* managed({ command, stop: { grace: "100ms" } })
      const { pid } = yield* server.start
      yield* server.stop
      assert.isFalse(isAlive(pid!))
      yield* eventually("nothing is left", () => !isAlive(pid!))
    }),
  )
})
