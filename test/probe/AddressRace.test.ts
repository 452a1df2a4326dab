import dns from "node:dns"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { vi } from "vitest"
import { AddressResolver, NameNotResolved, type Resolve } from "../../src/probe/AddressResolver.js"
import { eventually } from "../process/support.js"
import {
  ask,
  askFailing,
  freePort,
  httpServer,
  jsonServer,
  proberLive,
  silent,
  tcpServer,
} from "./support.js"

const named = (resolve: Resolve) => Layer.provide(proberLive, Layer.succeed(AddressResolver, resolve))
const names = (...addresses: ReadonlyArray<string>) => named(() => Effect.succeed(addresses))

describe("the address rule", () => {
  it.scopedLive("a dead first address does not hide a living second one", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end())
      // Nothing listens on ::1 at that port.
      const success = yield* ask({ http: { url: `http://app.test:${server.port}/` } })
      expect(success.peers).toEqual([{ address: "127.0.0.1", port: server.port }])
      const connected = yield* ask({ tcp: { host: "app.test", port: server.port } })
      expect(connected.peers).toEqual([{ address: "127.0.0.1", port: server.port }])
    }).pipe(Effect.provide(names("::1", "127.0.0.1"))),
  )

  it.scopedLive("a server on IPv6 only is found by name", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end(), "::1")
      const success = yield* ask({ http: { url: `http://app.test:${server.port}/` } })
      expect(success.peers).toEqual([{ address: "::1", port: server.port }])
    }).pipe(Effect.provide(names("127.0.0.1", "::1"))),
  )

  it.scopedLive("a silent first address is overtaken, and its socket closed", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end())
      const mute = yield* tcpServer(silent, "::1", server.port)
      const [elapsed, success] = yield* Effect.timed(
        ask({ http: { url: `http://app.test:${server.port}/` }, timeout: "10s" }),
      )
      expect(success.peers[0]!.address).toBe("127.0.0.1")
      expect(mute.sockets).toHaveLength(1)
      yield* mute.allClosed
      expect(Duration.toMillis(elapsed)).toBeGreaterThanOrEqual(240)
      expect(Duration.toMillis(elapsed)).toBeLessThan(5_000)
    }).pipe(Effect.provide(names("::1", "127.0.0.1"))),
  )

  it.scopedLive("a short deadline leaves time for every address", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end())
      const mute = yield* tcpServer(silent, "::1", server.port)
      // At 250 ms each the eighth would have its turn after 1750 ms.
      const success = yield* ask({ http: { url: `http://app.test:${server.port}/` }, timeout: "1.6s" })
      expect(success.peers[0]!.address).toBe("127.0.0.1")
      expect(mute.sockets).toHaveLength(7)
      yield* mute.allClosed
    }).pipe(Effect.provide(names(...Array.from({ length: 7 }, () => "::1"), "127.0.0.1"))),
  )

  it.scopedLive("a success wins even after a failure that is not transient", () =>
    Effect.gen(function* () {
      const server = yield* jsonServer({ version: "2" })
      yield* tcpServer(
        (socket) => void socket.once("data", () => socket.end("garbage\r\n\r\n")),
        "::1",
        server.port,
      )
      yield* ask({
        http: { url: `http://app.test:${server.port}/`, version: { pointer: "/version", equals: "2" } },
      })
    }).pipe(Effect.provide(names("::1", "127.0.0.1"))),
  )

  it.scopedLive(
    "the failure that is not transient is reported, not the refused address before or after it",
    () =>
      Effect.gen(function* () {
        const server = yield* jsonServer({ version: "1" })
        const failure = yield* askFailing({
          http: { url: `http://app.test:${server.port}/`, version: { pointer: "/version", equals: "2" } },
        })
        expect(failure).toMatchObject({ transient: false, mismatch: { what: "version" } })
        expect(failure.message).toContain(`Also tried [::1]:${server.port}: it was refused`)
      }).pipe(Effect.provide(names("::1", "127.0.0.1"))),
  )

  it.scopedLive("among transient failures the one that got furthest is reported", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.writeHead(503).end())
      const failure = yield* askFailing({ http: { url: `http://app.test:${server.port}/` } })
      expect(failure).toMatchObject({ class: "unhealthy", transient: true, contact: "answered" })
    }).pipe(Effect.provide(names("::1", "127.0.0.1"))),
  )

  it.scopedLive("a name without address", () =>
    Effect.gen(function* () {
      const failure = yield* askFailing({ http: { url: "http://app.test:1/" } })
      expect(failure).toMatchObject({ class: "dns", transient: false, contact: "none" })
      expect(failure.message).toContain('the name "app.test" has no address (ENOTFOUND)')
    }).pipe(Effect.provide(named((host) => Effect.fail(new NameNotResolved({ host, code: "ENOTFOUND" }))))),
  )

  it.scopedLive("a name server that does not answer is transient", () =>
    Effect.gen(function* () {
      expect(yield* askFailing({ tcp: { host: "app.test", port: 1 } })).toMatchObject({
        class: "dns",
        transient: true,
      })
    }).pipe(Effect.provide(named((host) => Effect.fail(new NameNotResolved({ host, code: "EAI_AGAIN" }))))),
  )

  it.scopedLive("the deadline covers the lookup", () =>
    Effect.gen(function* () {
      const failure = yield* askFailing({ http: { url: "http://app.test:1/" }, timeout: "50ms" })
      expect(failure).toMatchObject({ class: "timeout", transient: true, contact: "none" })
    }).pipe(Effect.provide(named(() => Effect.never))),
  )

  it.scopedLive("what the lookup took is missing to the rest", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(silent)
      const [elapsed, failure] = yield* Effect.timed(
        askFailing({ http: { url: `http://app.test:${server.port}/` }, timeout: "5s" }),
      )
      expect(failure).toMatchObject({ class: "timeout", contact: "connected" })
      expect(Duration.toMillis(elapsed)).toBeLessThan(7_900)
    }).pipe(Effect.provide(named(() => Effect.as(Effect.sleep(3_000), ["127.0.0.1"])))),
  )

  it.scopedLive("the system's resolver knows localhost, and that .invalid has no address", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end())
      yield* ask({ tcp: {} }, { port: server.port })
      expect((yield* askFailing({ http: { url: "http://holdfast.invalid/" }, timeout: "20s" })).class).toBe(
        "dns",
      )
    }).pipe(Effect.provide(proberLive)),
  )

  it.scopedLive("checks of one name share a lookup that takes its time", () =>
    Effect.gen(function* () {
      // Before the lookup is replaced, as listening uses it too.
      const server = yield* tcpServer(silent)
      const answers: Array<(error: null, found: ReadonlyArray<{ address: string }>) => void> = []
      const spy = vi.spyOn(dns, "lookup").mockImplementation(((_: string, __: unknown, answer: never) => {
        answers.push(answer)
      }) as never)
      yield* Effect.addFinalizer(() => Effect.sync(() => spy.mockRestore()))
      const check = { tcp: { host: "slow.test", port: server.port } }
      const patient = yield* Effect.fork(ask({ ...check, timeout: "20s" }))
      expect((yield* askFailing({ ...check, timeout: "20ms" })).class).toBe("timeout")
      expect(answers).toHaveLength(1)
      answers[0]!(null, [{ address: "127.0.0.1" }])
      expect((yield* Fiber.join(patient)).peers).toHaveLength(1)
      const next = yield* Effect.fork(ask({ ...check, timeout: "20s" }))
      yield* eventually("it is looked up anew", () => answers.length === 2)
      yield* Fiber.interrupt(next)
      answers[1]!(null, [])
    }).pipe(Effect.provide(proberLive)),
  )

  it.scopedLive("the addresses that were tried are told, the one that got furthest first", () =>
    Effect.gen(function* () {
      const { port } = yield* tcpServer((socket) => socket.destroy())
      const failure = yield* askFailing({ http: { url: `http://app.test:${port}/` } })
      expect(failure).toMatchObject({
        class: "reset",
        contact: "connected",
        peers: [
          { address: "127.0.0.1", port },
          { address: "::1", port },
        ],
      })
    }).pipe(Effect.provide(names("::1", "127.0.0.1"))),
  )

  it.scopedLive("interruption closes every socket", () =>
    Effect.gen(function* () {
      const one = yield* tcpServer(silent)
      const two = yield* tcpServer(silent, "::1", one.port)
      const fiber = yield* Effect.fork(ask({ http: { url: `http://app.test:${one.port}/` }, timeout: "1m" }))
      yield* one.connected(1)
      yield* two.connected(1)
      yield* Fiber.interrupt(fiber)
      yield* Effect.all([one.allClosed, two.allClosed])
    }).pipe(Effect.provide(names("::1", "127.0.0.1"))),
  )
})

describe("the tcp probe", () => {
  it.scopedLive("connects and closes", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(silent)
      yield* ask({ tcp: { host: "127.0.0.1" } }, { port: server.port })
      yield* server.connected(1)
      yield* server.allClosed
    }).pipe(Effect.provide(proberLive)),
  )

  it.scopedLive("refused", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const failure = yield* askFailing({ tcp: { port } }, { host: "127.0.0.1" })
      expect(failure).toMatchObject({ class: "refused", transient: true, kind: "tcp" })
      expect(failure.message).toContain(`A connection to 127.0.0.1:${port} was refused`)
    }).pipe(Effect.provide(proberLive)),
  )
})
