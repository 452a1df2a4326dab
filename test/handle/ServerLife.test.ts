/** The life of a managed server after its start: crashes, hangs, restarts by itself, idleness, its end. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type * as Server from "../../src/handle/Server.js"
import { killPid } from "../process/killPid.js"
import { eventually, isAlive } from "../process/support.js"
import {
  failsWith,
  fetchJson,
  live,
  managed,
  ok,
  processes,
  program,
  signal,
  starts,
  until,
} from "./server-support.js"

const kill = (pid: number | undefined, name: NodeJS.Signals) => Effect.sync(() => killPid(pid!, name))

/** Comes to a state of the handle; to be made before what brings it there. */
const states = (server: Server.Server) => {
  const told = signal<string>()
  return Effect.as(
    Effect.zipRight(
      Effect.forkScoped(Stream.runForEach(server.handle.changes, ({ to }) => told.tell(to))),
      Effect.sleep("1 millis"),
    ),
    told.all,
  )
}

describe("a managed server that crashes", () => {
  live("is told down once, after the handle has ceased to give it; the next acquire starts another one", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const first = signal<Server.ServerDown>()
      const server: Server.Server = yield* managed(
        {},
        {
          onDown: (down) =>
            Effect.gen(function* () {
              seen.push((yield* server.handle.state)._tag)
              yield* first.tell(down)
            }),
        },
      )
      const one = yield* server.handle.acquire
      yield* kill(one.pid, "SIGKILL")
      const down = yield* first.first
      assert.deepStrictEqual(down, {
        name: "web",
        baseUrl: one.baseUrl,
        pid: one.pid!,
        end: { signal: "SIGKILL" },
        reason: "it ended with signal SIGKILL",
      })
      const two = yield* server.handle.acquire
      assert.notStrictEqual(two.pid, one.pid)
      assert.deepStrictEqual(yield* processes, [two.pid!])
      assert.strictEqual((yield* fetchJson(two.baseUrl)).pid, two.pid)
      assert.strictEqual(one.baseUrl.startsWith("http://127.0.0.1:"), true, "the old one stays readable")
      assert.deepStrictEqual([first.all.length, seen], [1, ["Stale"]])
    }),
  )

  live("is Stale at once, and nothing is started for that", () =>
    Effect.gen(function* () {
      const down = signal<unknown>()
      const server = yield* managed({}, { onDown: down.tell })
      const { pid } = yield* server.handle.acquire
      yield* kill(pid, "SIGKILL")
      yield* down.first
      const state = yield* server.handle.state
      assert.strictEqual(state._tag, "Stale")
      yield* until(server.status, ({ state }) => state === "Exited")
      assert.strictEqual(yield* starts, 1)
      assert.deepStrictEqual(yield* processes, [])
    }),
  )

  live("is one start for all who ask then, and never two processes", () =>
    Effect.gen(function* () {
      const server = yield* managed()
      const one = yield* server.handle.acquire
      yield* kill(one.pid, "SIGKILL")
      const all = yield* Effect.all(
        Array.from({ length: 30 }, () => server.handle.acquire),
        { concurrency: "unbounded" },
      )
      const last = all.at(-1)!
      assert.notStrictEqual(last.pid, one.pid)
      assert.strictEqual(yield* starts, 2)
      assert.deepStrictEqual(yield* processes, [last.pid!])
    }),
  )

  live("takes what it has started along, before the next one starts", () =>
    Effect.gen(function* () {
      const command = program(
        `const { spawn } = require("child_process");
         spawn("sleep", ["1000"]); spawn("sh", ["-c", "trap '' TERM; sleep 1000"]);
         serve((_, response) => response.end("ok"))`,
      )
      const server = yield* managed({ command, stop: { grace: "300ms" } })
      const { pid } = yield* server.handle.acquire
      const before = yield* until(processes, ({ length }) => length >= 4)
      yield* kill(pid, "SIGKILL")
      yield* server.handle.acquire
      assert.deepStrictEqual(before.filter(isAlive), [])
    }),
  )

  live("again and again is started again and again", () =>
    Effect.gen(function* () {
      const down = signal<unknown>()
      const server = yield* managed({}, { onDown: down.tell })
      const pids = new Set<number>()
      for (let round = 1; round <= 5; round++) {
        const { pid } = yield* server.handle.acquire
        pids.add(pid!)
        yield* kill(pid, "SIGKILL")
        yield* eventually("it is told", () => down.all.length === round)
      }
      assert.strictEqual(pids.size, 5)
    }),
  )

  live("in the middle of a validation is replaced for whoever validates", () =>
    Effect.gen(function* () {
      // Its first answer is the probe's; it dies of the second.
      const command = program(
        `let asked = 0; serve((_, response) => ++asked > 1 ? process.exit(1) : response.end("ok"))`,
      )
      const server = yield* managed({ command })
      const one = yield* server.handle.acquire
      const two = yield* server.handle.acquire
      assert.notStrictEqual(two.pid, one.pid)
      assert.isFalse(isAlive(one.pid!))
    }),
  )
})

describe("a managed server that restarts by itself", () => {
  const selfish = { restart: "on-failure" } as const

  live("is back without anybody asking, and the handle has it; the old snapshot stays readable", () =>
    Effect.gen(function* () {
      const down = signal<unknown>()
      const server = yield* managed(selfish, { onDown: down.tell })
      const changes = yield* states(server)
      const one = yield* server.handle.acquire
      const copy = { ...one }
      yield* kill(one.pid, "SIGKILL")
      yield* down.first
      assert.strictEqual((yield* server.handle.state)._tag, "Stale")
      const back = yield* until(server.handle.state, ({ _tag }) => _tag === "Ready")
      const two = yield* server.handle.acquire
      assert.isTrue(back._tag === "Ready" && back.snapshot === two)
      assert.notStrictEqual(two.pid, one.pid)
      assert.deepStrictEqual({ ...one }, copy)
      assert.deepStrictEqual(yield* processes, [two.pid!])
      assert.strictEqual((yield* server.status).pid, two.pid)
      assert.strictEqual(yield* starts, 2)
      yield* eventually("it is told", () => changes.length >= 3)
      assert.deepStrictEqual(changes, ["Ready", "Stale", "Ready"])
    }),
  )

  live("is stopped when nobody uses it, as any other", () =>
    Effect.gen(function* () {
      const down = signal<unknown>()
      const server = yield* managed(selfish, { onDown: down.tell, idleTimeout: "2 seconds" })
      const one = yield* server.handle.acquire
      yield* kill(one.pid, "SIGKILL")
      yield* down.first
      yield* until(server.status, ({ pid, state }) => state === "Ready" && pid !== one.pid)
      yield* until(server.status, ({ state }) => state === "Stopped")
      assert.deepStrictEqual(yield* processes, [])
      assert.strictEqual(yield* starts, 2)
    }),
  )

  live("is joined by who asks meanwhile: there is never a second process", () =>
    Effect.gen(function* () {
      const server = yield* managed(selfish)
      let { pid } = yield* server.handle.acquire
      for (let round = 0; round < 4; round++) {
        yield* kill(pid, "SIGKILL")
        // At different points of its restart.
        yield* Effect.sleep(round * 20)
        const all = yield* Effect.all(
          Array.from({ length: 10 }, () => server.handle.acquire),
          { concurrency: "unbounded" },
        )
        const next = all.at(-1)!.pid
        assert.notStrictEqual(next, pid)
        assert.deepStrictEqual(yield* processes, [next!])
        pid = next
      }
      assert.strictEqual(yield* starts, 5)
    }),
  )

  live("is stopped by a stop, at whatever point of its restart", () =>
    Effect.gen(function* () {
      for (let turns = 0; turns < 8; turns++) {
        const down = signal<unknown>()
        yield* Effect.scoped(
          Effect.gen(function* () {
            const server = yield* managed(selfish, { onDown: down.tell })
            const one = yield* server.handle.acquire
            yield* kill(one.pid, "SIGKILL")
            yield* down.first
            yield* Effect.sleep(turns * 30)
            assert.strictEqual((yield* server.stop).state, "Stopped")
            assert.deepStrictEqual(yield* processes, [])
            yield* Effect.sleep("50 millis")
            assert.strictEqual((yield* server.status).state, "Stopped")
            assert.deepStrictEqual(yield* processes, [])
          }),
        )
      }
    }),
  )

  live("comes back after its liveness probe has failed", () =>
    Effect.gen(function* () {
      const down = signal<Server.ServerDown>()
      const command = program(
        `let ill = false; serve((request, response) => {
           if (request.url === "/ill") ill = true
           response.writeHead(ill && request.url === "/live" ? 500 : 200).end("ok")
         })`,
      )
      const server = yield* managed(
        {
          ...selfish,
          command,
          liveness: { http: { path: "/live" }, period: "50ms", timeout: "2s", failureThreshold: 2 },
        },
        { onDown: down.tell },
      )
      const one = yield* server.handle.acquire
      yield* Effect.promise(() => fetch(`${one.baseUrl}/ill`))
      const { end, reason } = yield* down.first
      assert.isUndefined(end)
      assert.match(reason, /^its liveness probe failed 2 times in a row\. GET .*\/live answered 500/)
      const back = yield* until(server.status, ({ pid, state }) => state === "Ready" && pid !== one.pid)
      assert.strictEqual((yield* server.handle.acquire).pid, back.pid)
      assert.isFalse(isAlive(one.pid!))
    }),
  )
})

describe("a managed server that hangs", () => {
  live("is replaced for the next one who asks, after 5 s", () =>
    Effect.gen(function* () {
      const server = yield* managed()
      const one = yield* server.handle.acquire
      yield* kill(one.pid, "SIGSTOP")
      assert.strictEqual((yield* server.status).state, "Unreachable")
      const two = yield* server.handle.acquire
      assert.notStrictEqual(two.pid, one.pid)
      assert.isFalse(isAlive(one.pid!))
    }),
  )

  live("is replaced without anybody asking, where its health is looked after", () =>
    Effect.gen(function* () {
      const health = { schedule: Schedule.spaced("20 millis"), failureThreshold: 1 }
      const server = yield* managed({}, { health })
      const one = yield* server.handle.acquire
      yield* kill(one.pid, "SIGSTOP")
      const ready = yield* until(
        server.handle.state,
        (state) => state._tag === "Ready" && state.snapshot.pid !== one.pid,
      )
      assert.strictEqual(ready._tag, "Ready")
      assert.isFalse(isAlive(one.pid!))
      assert.strictEqual(yield* starts, 2)
    }),
  )

  live("is spared while it is busy, and replaced as soon as it is not", () =>
    Effect.gen(function* () {
      const command = program(
        `let ill = false; serve((request, response) => {
           if (request.url === "/ill") ill = true
           response.writeHead(ill && request.url === "/" ? 500 : 200).end("ok")
         })`,
      )
      const asked = yield* Ref.make(0)
      const busy = yield* Ref.make(true)
      const health: Server.Options["health"] = {
        schedule: Schedule.spaced("10 millis"),
        failureThreshold: 2,
        isBusy: () =>
          Effect.zipRight(
            Ref.update(asked, (count) => count + 1),
            Ref.get(busy),
          ),
      }
      const server = yield* managed({ command }, { health })
      const { baseUrl, pid } = yield* server.handle.acquire
      yield* Effect.promise(() => fetch(`${baseUrl}/ill`))
      yield* until(Ref.get(asked), (count) => count > 10)
      assert.isTrue(isAlive(pid!))
      yield* Ref.set(busy, false)
      yield* until(server.handle.state, (state) => state._tag === "Ready" && state.snapshot.pid !== pid)
      assert.isFalse(isAlive(pid!))
    }),
  )
})

describe("a managed server that nobody uses", () => {
  live("is stopped, and started for the next one; whoever holds it keeps it", () =>
    Effect.gen(function* () {
      const server = yield* managed({}, { idleTimeout: "300 millis" })
      const changes = yield* states(server)
      const held = yield* Deferred.make<number>()
      const free = yield* Deferred.make<void>()
      const holding = yield* Effect.fork(
        server.handle.use(({ pid }) => Effect.zipRight(Deferred.succeed(held, pid!), Deferred.await(free))),
      )
      const pid = yield* Deferred.await(held)
      yield* Effect.sleep("600 millis")
      assert.isTrue(isAlive(pid))
      yield* Deferred.succeed(free, undefined)
      yield* Fiber.join(holding)
      yield* eventually("it is stopped", () => !isAlive(pid))
      yield* until(server.status, ({ state }) => state === "Stopped")
      assert.notStrictEqual((yield* server.handle.acquire).pid, pid)
      yield* eventually("it is told", () => changes.length >= 3)
      assert.deepStrictEqual(changes.slice(0, 3), ["Ready", "Empty", "Ready"])
    }),
  )
})

describe("the end of a managed server", () => {
  live("comes with its scope, at whatever point of a start that is", () =>
    Effect.gen(function* () {
      for (let turns = 0; turns < 12; turns++) {
        const starting = yield* Effect.scoped(
          Effect.gen(function* () {
            const server = yield* managed()
            const starting = yield* Effect.forkDaemon(Effect.exit(server.handle.acquire))
            yield* Effect.sleep(turns * 20)
            return starting
          }),
        )
        assert.deepStrictEqual(yield* processes, [])
        yield* Fiber.join(starting)
      }
    }),
  )

  live("refuses whoever comes later, and still tells its status", () =>
    Effect.gen(function* () {
      const server = yield* Effect.scoped(Effect.tap(managed(), ({ start }) => start))
      yield* failsWith("Closed")(server.handle.acquire)
      assert.strictEqual((yield* server.status).state, "Stopped")
      assert.strictEqual((yield* server.stop).state, "Stopped")
    }),
  )

  live("is proven for a group that escapes from it", () =>
    Effect.gen(function* () {
      const command = program(
        `require("child_process").spawn("setsid", ["sleep", "1000"], { detached: true, stdio: "ignore" }).unref();
         serve((_, response) => response.end("ok"))`,
      )
      const pids = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* managed({ command })
          yield* server.handle.acquire
          return yield* until(processes, ({ length }) => length >= 2)
        }),
      )
      assert.deepStrictEqual(pids.filter(isAlive), [])
    }),
  )

  live("is an exit with success, too: the next acquire starts another one", () =>
    Effect.gen(function* () {
      const down = signal<Server.ServerDown>()
      const command = program(
        `serve((request, response) => { response.end("ok"); if (request.url === "/quit") process.exit(0) })`,
      )
      const server = yield* managed({ command }, { onDown: down.tell })
      const { baseUrl, pid } = yield* server.handle.acquire
      yield* Effect.promise(() => fetch(`${baseUrl}/quit`).catch(() => {}))
      assert.deepStrictEqual((yield* down.first).end, { code: 0 })
      const status = yield* until(server.status, ({ state }) => state === "Exited")
      assert.deepStrictEqual(status.end, { code: 0 })
      assert.notStrictEqual((yield* server.handle.acquire).pid, pid)
    }),
  )

  live("leaves its port to the next one, which is the same", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: ok })
      const one = yield* server.handle.acquire
      yield* server.handle.invalidate("for a test")
      const two = yield* server.handle.acquire
      assert.strictEqual(two.baseUrl, one.baseUrl)
      assert.notStrictEqual(two.pid, one.pid)
    }),
  )

  live("leaves its output under the root, where other servers may have theirs", () =>
    Effect.gen(function* () {
      const root = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-servers-"))),
        (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true })),
      )
      const command = program(`console.log("hello"); serve((_, response) => response.end("ok"))`)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const one = yield* managed({ name: "one", command }, { root })
          yield* one.handle.acquire
          const two = yield* managed({ name: "two", command }, { root })
          yield* two.handle.acquire
          assert.strictEqual((yield* processes).length, 2)
          assert.strictEqual((yield* one.status).state, "Ready")
        }),
      )
      for (const name of ["one", "two"]) {
        const directory = join(root, "units", name, "logs")
        const text = readdirSync(directory)
          .map((file) => readFileSync(join(directory, file), "latin1"))
          .join("")
        assert.include(text, "hello")
      }
    }),
  )
})
