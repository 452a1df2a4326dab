import { connect } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PortHolder from "../../src/probe/PortHolder.js"
import * as Preflight from "../../src/probe/Preflight.js"
import * as Prober from "../../src/probe/Prober.js"
import * as Spawner from "../../src/process/ProcessSpawner.js"
import { eventually } from "../process/support.js"
import { spawnServer } from "./servers.js"
import { freePort, httpServer, silent, tcpServer } from "./support.js"

const live = Layer.mergeAll(Prober.layer, PortHolder.layer).pipe(Layer.provideMerge(Spawner.layer))

const isLinux = process.platform === "linux"

const local = (port: number) => ({ port, host: "127.0.0.1" })
const health = { http: { path: "/health" }, timeout: "2s" } as const

describe("before a spawn", () => {
  it.scopedLive("a free port is clear", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      expect(yield* Preflight.run(health, local(port))).toEqual({ _tag: "Clear" })
      expect(yield* Preflight.run({ tcp: {} }, { port })).toEqual({ _tag: "Clear" })
      expect(yield* Preflight.run({ exec: { command: "x" } }, {})).toEqual({ _tag: "Clear" })
      expect(yield* Preflight.run({ exec: { command: "x" } }, { port })).toEqual({ _tag: "Clear" })
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("a server that passes is foreign, and named", () =>
    Effect.gen(function* () {
      const server = yield* spawnServer()
      const error = yield* Effect.flip(Preflight.run(health, local(server.port)))
      expect(error).toMatchObject({ _tag: "ForeignServer", healthy: true, port: server.port })
      expect(error.message).toContain(`(pid ${server.process.pid})`)
      expect(error.message).toContain("adopt-as-external")
      expect(server.process.exitNow()).toBeUndefined()
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("with adopt-as-external it is used, and left alone", () =>
    Effect.gen(function* () {
      const server = yield* spawnServer('response.end(JSON.stringify({ version: "v7" }))')
      const check = {
        http: { path: "/health", version: { pointer: "/version", equals: "7" } },
        timeout: "2s",
      } as const
      const verdict = yield* Preflight.run(check, local(server.port), "adopt-as-external")
      expect(verdict).toMatchObject({
        _tag: "Adopt",
        outputs: { version: "7" },
        holder: { pid: server.process.pid },
      })
      expect(server.process.exitNow()).toBeUndefined()
    }).pipe(Effect.provide(live)),
  )

  for (const [name, answer] of [
    ["a wrong status", "response.writeHead(503).end()"],
    ["a redirect", 'response.writeHead(302, { location: "/" }).end()'],
    ["a body that is not the one asked for", 'response.end("<html>")'],
    ["a wrong version", `response.end('{"healthy":true,"version":"6"}')`],
  ] as const) {
    it.scopedLive(`${name} is an answer too, and nothing to adopt`, () =>
      Effect.gen(function* () {
        const server = yield* spawnServer(answer)
        const check = {
          http: {
            path: "/health",
            json: { "/healthy": true },
            version: { pointer: "/version", equals: "7" },
          },
          timeout: "2s",
        } as const
        for (const policy of ["refuse", "adopt-as-external"] as const) {
          const error = yield* Effect.flip(Preflight.run(check, local(server.port), policy))
          expect(error).toMatchObject({
            _tag: "ForeignServer",
            healthy: false,
            holder: { pid: server.process.pid },
          })
          expect(error.message).not.toContain("adopt-as-external")
        }
      }).pipe(Effect.provide(live)),
    )
  }

  for (const [name, onConnection] of [
    ["says nothing", silent],
    ["hangs up", (socket: import("node:net").Socket) => void socket.destroy()],
    ["does not speak HTTP", (socket: import("node:net").Socket) => void socket.end("SSH-2.0-x\r\n")],
  ] as const) {
    it.scopedLive(`a listener that ${name} is a port in use`, () =>
      Effect.gen(function* () {
        const server = yield* tcpServer(onConnection)
        const error = yield* Effect.flip(Preflight.run({ ...health, timeout: "500ms" }, local(server.port)))
        expect(error).toMatchObject({ _tag: "PortInUse", port: server.port, holder: { pid: process.pid } })
        expect(error.message).toContain(`Port ${server.port} is in use by`)
      }).pipe(Effect.provide(live)),
    )
  }

  it.scopedLive("a declared port is looked at also when the probe does not use it", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(silent)
      const error = yield* Effect.flip(Preflight.run({ exec: { command: "x" } }, local(server.port)))
      expect(error).toMatchObject({ _tag: "PortInUse", port: server.port, holder: { pid: process.pid } })
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("also when the probe uses another port", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(silent)
      const check = { http: { path: "/", port: yield* freePort }, timeout: "2s" } as const
      const error = yield* Effect.flip(Preflight.run(check, local(server.port)))
      expect(error).toMatchObject({ _tag: "PortInUse", port: server.port, holder: { pid: process.pid } })
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive.runIf(isLinux)(
    "a port that is bound and does not listen is in use, and its holder named",
    () =>
      Effect.gen(function* () {
        const server = yield* tcpServer(silent)
        const socket = connect(server.port, "127.0.0.1")
        yield* server.connected(1)
        const port = socket.localPort!
        for (const check of [health, { exec: { command: "x" } }] as const) {
          const error = yield* Effect.flip(Preflight.run(check, local(port)))
          expect(error).toMatchObject({ _tag: "PortInUse", port, holder: { pid: process.pid } })
          expect(error.message).toContain("no other server can listen at 127.0.0.1")
        }
        // Closing connections are nobody's.
        socket.end()
        yield* server.allClosed
        yield* eventually("the socket is closed", () => socket.closed)
        expect(yield* Preflight.run(health, local(port))).toEqual({ _tag: "Clear" })
      }).pipe(Effect.provide(live)),
  )

  it.scopedLive.runIf(isLinux)("a listener at another address is in the way of all addresses only", () =>
    Effect.gen(function* () {
      const { port } = yield* tcpServer(silent, "127.0.0.2")
      expect(yield* Preflight.run(health, local(port))).toEqual({ _tag: "Clear" })
      const error = yield* Effect.flip(Preflight.run(health, { port, host: "0.0.0.0" }))
      expect(error).toMatchObject({ _tag: "PortInUse", port, holder: { pid: process.pid } })
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("the holder is the one at the address that answered", () =>
    Effect.gen(function* () {
      const server = yield* spawnServer()
      // The same port, another address of this machine.
      yield* tcpServer(silent, "::1", server.port)
      const error = yield* Effect.flip(
        Preflight.run({ http: { path: "/", status: 404 } }, local(server.port)),
      )
      expect(error).toMatchObject({ _tag: "ForeignServer", holder: { pid: server.process.pid } })
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("of several parts one that answers is enough to refuse, and all must pass to adopt", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end())
      const free = yield* freePort
      const check = { any: [{ http: { path: "/" } }, { tcp: { port: free } }], timeout: "2s" } as const
      for (const policy of ["refuse", "adopt-as-external"] as const) {
        const error = yield* Effect.flip(Preflight.run(check, local(server.port), policy))
        expect(error).toMatchObject({ _tag: "ForeignServer", port: server.port, healthy: false })
      }
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("a missing port is a configuration error", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(Preflight.run(health))).toMatchObject({ _tag: "InvalidSpec" })
    }).pipe(Effect.provide(live)),
  )
})
