/** Servers of somebody else's: looked at and used, never started, never signalled. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Server from "../../src/handle/Server.js"
import { AddressResolver } from "../../src/probe/AddressResolver.js"
import * as Prober from "../../src/probe/Prober.js"
import { freePort, httpServer, httpsServer, silent, tcpServer } from "../probe/support.js"
import { spawnServer } from "../probe/servers.js"
import { killPid } from "../process/killPid.js"
import { isAlive } from "../process/support.js"
import { failsWith, fetchJson, live, managed, processes, starts, until } from "./server-support.js"

/** A server in this program that can be made ill. */
const turning = Effect.gen(function* () {
  const status = { now: 200, asked: 0 }
  const { port, sockets } = yield* httpServer((request, response) => {
    status.asked++
    response.writeHead(status.now).end(JSON.stringify({ version: "v4", path: request.url }))
  })
  return { status, sockets, baseUrl: `http://127.0.0.1:${port}` }
})

describe("an external server", () => {
  live("is Ready when its probe passes; nothing is asked before somebody wants it", () =>
    Effect.gen(function* () {
      const { baseUrl, status } = yield* turning
      const server = yield* Server.external({ baseUrl: `${baseUrl}/`, version: { pointer: "/version" } })
      assert.strictEqual(status.asked, 0)
      const info = yield* server.handle.acquire
      assert.deepStrictEqual(
        { ...info },
        { name: baseUrl, baseUrl, mode: "external", ownership: "external", version: "4", outputs: {} },
      )
      assert.strictEqual(yield* server.handle.acquire, info)
      assert.isUndefined(server.log)
      assert.deepStrictEqual(yield* processes, [])
    }),
  )

  live("keeps the path of its URL before that of the probe", () =>
    Effect.gen(function* () {
      const paths: Array<string | undefined> = []
      const { port } = yield* httpServer((request, response) => {
        paths.push(request.url)
        response.end('{"info":{"version":"1"}}')
      })
      for (const base of ["/runtime", "/runtime/", ""]) {
        const server = yield* Server.external({
          baseUrl: `http://127.0.0.1:${port}${base}`,
          probe: { http: { path: "/openapi.json" } },
          version: { pointer: "/info/version" },
        })
        yield* server.handle.acquire
        yield* server.handle.acquire
      }
      const once = ["/runtime/openapi.json", "/runtime/openapi.json", "/runtime/openapi.json"]
      assert.deepStrictEqual(paths, [...once, ...once, "/openapi.json", "/openapi.json", "/openapi.json"])
    }),
  )

  live("may speak https, or no http at all", () =>
    Effect.gen(function* () {
      const tls = yield* httpsServer((_, response) => response.end("ok"))
      const secure = yield* Server.external({
        baseUrl: `https://127.0.0.1:${tls.port}`,
        probe: { http: { path: "/", verifyCertificate: false }, timeout: "2s" },
      })
      const info = yield* secure.handle.acquire
      assert.strictEqual(yield* secure.handle.acquire, info)
      assert.strictEqual(tls.sockets.length, 2, "the second question and those after it share a connection")
      yield* secure.handle.acquire
      assert.strictEqual(tls.sockets.length, 2)
      const distrusted = yield* Server.external({
        baseUrl: `https://127.0.0.1:${tls.port}`,
        probe: { http: { path: "/" }, timeout: "2s" },
      })
      assert.include(
        (yield* failsWith("ServerUnavailable")(distrusted.handle.acquire)).message,
        "certificate",
      )

      const mute = yield* tcpServer(silent)
      const tcp = yield* Server.external({ baseUrl: `http://127.0.0.1:${mute.port}`, probe: { tcp: {} } })
      yield* tcp.handle.acquire
      assert.strictEqual((yield* tcp.status).state, "Ready")
    }),
  )

  live("cannot be known by an output that is not here", () =>
    Effect.gen(function* () {
      const baseUrl = "http://127.0.0.1:1"
      yield* failsWith("InvalidSpec")(Server.external({ baseUrl, probe: { log: { pattern: "ready" } } }))
    }),
  )

  live("is at every address of its name", () =>
    Effect.gen(function* () {
      const { port, sockets } = yield* httpServer((_, response) => response.end("ok"))
      const server = yield* Server.external({
        baseUrl: `http://two.test:${port}`,
        probe: { http: { path: "/" } },
      })
      yield* server.handle.acquire
      const { length } = sockets
      yield* server.handle.acquire
      yield* server.handle.acquire
      assert.strictEqual(sockets.length, length + 1, "the connection is kept")
    }).pipe(
      Effect.provide(
        Layer.provide(
          Prober.layer,
          Layer.succeed(AddressResolver, () => Effect.succeed(["127.0.0.9", "127.0.0.1"])),
        ),
      ),
    ),
  )

  live("fails for good when it is not there: the same error again, and nothing is asked, until a reset", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const server = yield* Server.external({ name: "search", baseUrl: `http://127.0.0.1:${port}` })
      const error = yield* failsWith("ServerUnavailable")(server.handle.acquire)
      assert.match(error.message, /^The external server search at http:.* was refused by 127.0.0.1/)
      assert.isFalse(error.retryable)
      const later = yield* httpServer((_, response) => response.end("ok"), "127.0.0.1", port)
      assert.strictEqual(yield* failsWith("ServerUnavailable")(server.handle.acquire), error)
      assert.strictEqual(yield* failsWith("ServerUnavailable")(server.start), error)
      assert.strictEqual(later.sockets.length, 0)
      yield* server.handle.reset
      yield* server.handle.acquire
    }),
  )

  live("fails for good when it falls ill, and is not ours to restart", () =>
    Effect.gen(function* () {
      const { baseUrl, status } = yield* turning
      const server = yield* Server.external({ baseUrl })
      const info = yield* server.handle.acquire
      status.now = 503
      const error = yield* failsWith("ExternalUnavailable")(server.handle.acquire)
      assert.include(error.message, baseUrl)
      assert.include(error.message, "answered 503")
      status.now = 200
      const { asked } = status
      assert.strictEqual(yield* failsWith("ExternalUnavailable")(server.handle.acquire), error)
      assert.strictEqual(status.asked, asked)
      assert.strictEqual(info.baseUrl, baseUrl)
      yield* server.handle.reset
      assert.notStrictEqual(yield* server.handle.acquire, info)
    }),
  )

  live(
    "is said to be Ready or Unreachable, whatever the handle knows; start and stop start and stop nothing",
    () =>
      Effect.gen(function* () {
        const { baseUrl, status } = yield* turning
        const server = yield* Server.external({ name: "search", baseUrl })
        const about = { name: "search", baseUrl, mode: "external", ownership: "external" } as const
        assert.deepStrictEqual({ ...(yield* server.status) }, { ...about, state: "Ready" })
        assert.deepStrictEqual({ ...(yield* server.stop) }, { ...about, state: "Ready" })
        assert.strictEqual((yield* server.handle.state)._tag, "Empty")
        assert.deepStrictEqual({ ...(yield* server.start) }, { ...about, state: "Ready" })
        status.now = 404
        const { reason, ...ill } = yield* server.stop
        assert.deepStrictEqual(ill, { ...about, state: "Unreachable" })
        assert.include(reason, "answered 404")
        status.now = 200
        assert.strictEqual((yield* server.status).state, "Ready")
        assert.strictEqual((yield* server.handle.state)._tag, "Ready")
      }),
  )

  live("answers within 250 ms or is not there", () =>
    Effect.gen(function* () {
      const { port } = yield* tcpServer(silent)
      const server = yield* Server.external({ baseUrl: `http://127.0.0.1:${port}` })
      const before = performance.now()
      const error = yield* failsWith("ServerUnavailable")(server.handle.acquire)
      assert.include(error.reason, "timed out after 250ms")
      assert.isBelow(performance.now() - before, 3_000)
    }),
  )

  live("has to have the version that is expected", () =>
    Effect.gen(function* () {
      const { baseUrl, status } = yield* turning
      const version = { path: "/about", pointer: "/version" }
      const good = yield* Server.external({ baseUrl, version, expectedVersion: "v4" })
      yield* good.handle.acquire
      const server = yield* Server.external({ baseUrl, version, expectedVersion: "5" })
      const error = yield* failsWith("VersionMismatch")(server.handle.acquire)
      assert.deepStrictEqual([error.expected, error.actual], ["5", "4"])
      const { asked } = status
      assert.strictEqual(yield* failsWith("VersionMismatch")(server.handle.acquire), error)
      assert.strictEqual(status.asked, asked)
    }),
  )

  live("fails without anybody asking, where its health is looked after", () =>
    Effect.gen(function* () {
      const { baseUrl, status } = yield* turning
      const health = { schedule: Schedule.spaced("10 millis"), failureThreshold: 2 }
      const server = yield* Server.external({ baseUrl }, { health })
      yield* server.handle.acquire
      status.now = 500
      yield* until(server.handle.state, ({ _tag }) => _tag === "Failed")
      yield* failsWith("ExternalUnavailable")(server.handle.acquire)
    }),
  )
})

describe("a foreign server that may be adopted", () => {
  // The other server is a process of its own, and is asked once.
  const timeout = "5s"
  const adopting = { foreign: "adopt-as-external", probe: { http: { path: "/" }, timeout } } as const

  live("is used as somebody else's: never stopped, never signalled", () =>
    Effect.gen(function* () {
      const other = yield* spawnServer()
      const server = yield* managed({ ...adopting, port: other.port })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const inner = yield* managed({ ...adopting, port: other.port }, { idleTimeout: "50 millis" })
          const info = yield* inner.handle.acquire
          assert.deepStrictEqual([info.mode, info.ownership, info.pid], ["external", "external", undefined])
          assert.strictEqual(info.baseUrl, `http://127.0.0.1:${other.port}`)
          yield* Effect.sleep("200 millis")
          assert.strictEqual(yield* inner.handle.acquire, info)
          const stopped = yield* inner.stop
          assert.deepStrictEqual(
            [stopped.mode, stopped.ownership, stopped.state],
            ["external", "external", "Ready"],
          )
          yield* inner.handle.invalidate("for a test")
          yield* inner.handle.reset
        }),
      )
      yield* server.handle.acquire
      assert.strictEqual(yield* starts, 0)
      assert.deepStrictEqual(yield* processes, [other.process.pid])
      assert.isTrue(isAlive(other.process.pid))
    }),
  )

  live("is a failure for good when it goes away, until a reset, after which one is started", () =>
    Effect.gen(function* () {
      const other = yield* spawnServer()
      const server = yield* managed({ ...adopting, port: other.port })
      const info = yield* server.handle.acquire
      yield* other.process.stop()
      const error = yield* failsWith("ExternalUnavailable")(server.handle.acquire)
      assert.strictEqual(yield* failsWith("ExternalUnavailable")(server.handle.acquire), error)
      const status = yield* server.status
      assert.deepStrictEqual(
        [status.mode, status.ownership, status.state, status.baseUrl],
        ["external", "external", "Unreachable", info.baseUrl],
      )
      assert.include(status.reason, "was refused")
      assert.strictEqual((yield* server.stop).state, "Unreachable")
      assert.strictEqual(yield* starts, 0)
      yield* server.handle.reset
      const own = yield* server.handle.acquire
      assert.deepStrictEqual([own.mode, own.ownership, own.baseUrl], ["managed", "launched", info.baseUrl])
      assert.deepStrictEqual(yield* processes, [own.pid!])
    }),
  )

  live("is not needed where nobody is: one is started", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const server = yield* managed({ ...adopting, port })
      const info = yield* server.handle.acquire
      assert.deepStrictEqual([info.mode, info.ownership], ["managed", "launched"])
      assert.strictEqual((yield* fetchJson(info.baseUrl)).pid, info.pid)
    }),
  )

  live("is never our own, which has restarted by itself", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const server = yield* managed({ ...adopting, port, restart: "on-failure" })
      const one = yield* server.handle.acquire
      killPid(one.pid!, "SIGKILL")
      yield* until(server.status, ({ pid, state }) => state === "Ready" && pid !== one.pid)
      const two = yield* server.handle.acquire
      assert.deepStrictEqual([two.mode, two.ownership], ["managed", "launched"])
      assert.notStrictEqual(two.pid, one.pid)
    }),
  )

  live("has to have the version that is expected, too", () =>
    Effect.gen(function* () {
      const other = yield* spawnServer(`response.end('{"version":"1"}')`)
      const about = { ...adopting, port: other.port, version: { pointer: "/version" } }
      const good = yield* managed({ ...about, expectedVersion: "1" })
      assert.strictEqual((yield* good.handle.acquire).version, "1")
      const server = yield* managed({ ...about, expectedVersion: "2" })
      yield* failsWith("VersionMismatch")(server.handle.acquire)
      assert.isTrue(isAlive(other.process.pid))
      assert.strictEqual(yield* starts, 0)
    }),
  )

  live("is used where nothing may be started: the recursion guard is about starts", () =>
    Effect.gen(function* () {
      const other = yield* spawnServer()
      const guard = { environment: { HOLDFAST_MANAGED: "1" } }
      const server = yield* managed({ ...adopting, port: other.port }, { guard })
      yield* server.handle.acquire
      const inner = yield* managed({ ...adopting, port: yield* freePort }, { guard })
      yield* failsWith("RecursionGuarded")(inner.handle.acquire)
    }),
  )

  live("is found by the parts of the probe that can be asked", () =>
    Effect.gen(function* () {
      const other = yield* spawnServer()
      const probe = { all: [{ log: { pattern: "listening" } }, { http: { path: "/" } }], timeout } as const
      const server = yield* managed({ ...adopting, port: other.port, probe })
      assert.strictEqual((yield* server.handle.acquire).ownership, "external")
    }),
  )
})

describe("the health of a held server", () => {
  live("waits for whoever holds it", () =>
    Effect.gen(function* () {
      const seen = yield* Ref.make(0)
      const { baseUrl, status } = yield* turning
      const health = {
        schedule: Schedule.tapOutput(Schedule.spaced("10 millis"), () => Ref.update(seen, (n) => n + 1)),
        failureThreshold: 1,
      }
      const server = yield* Server.external({ baseUrl }, { health })
      yield* server.handle.use(() =>
        Effect.gen(function* () {
          status.now = 500
          const from = yield* Ref.get(seen)
          yield* until(Ref.get(seen), (now) => now > from + 5)
          assert.strictEqual((yield* server.handle.state)._tag, "Ready")
        }),
      )
      yield* until(server.handle.state, ({ _tag }) => _tag === "Failed")
    }),
  )
})
