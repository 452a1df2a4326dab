/** The `http` probe of a server that has answered before: over connections that are kept, and by many at once. */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { AddressResolver } from "../../src/probe/AddressResolver.js"
import type * as Check from "../../src/probe/Check.js"
import * as Prober from "../../src/probe/Prober.js"
import { eventually } from "../process/support.js"
import { freePort, httpServer, noSpawner, proberLive, silent, tcpServer } from "./support.js"

const attach = (port: number, more: Partial<Check.Input> = {}, host = "127.0.0.1") =>
  Effect.flatMap(Prober.Prober, (prober) =>
    prober.attach({ http: { path: "/", host, port }, timeout: "5s", ...more } as Check.Input),
  )

/** Answers when it is told to. */
const doorkeeper = Effect.gen(function* () {
  const waiting: Array<ServerResponse> = []
  const requests: Array<IncomingMessage> = []
  const listener = yield* httpServer((request, response) => {
    requests.push(request)
    waiting.push(response)
  })
  const answer = (status = 200) => {
    for (const response of waiting.splice(0)) response.writeHead(status).end()
  }
  return { ...listener, requests, waiting, answer }
})

const isOver = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.unsafePoll() !== null

const quiet = Effect.sleep("30 millis")

const test = (name: string, body: () => Effect.Effect<unknown, unknown, Prober.Prober | Scope.Scope>) =>
  it.scopedLive(name, () => Effect.provide(body(), proberLive))

describe("a question put again", () => {
  test("goes over the connection of the one before", () =>
    Effect.gen(function* () {
      const { port, sockets } = yield* httpServer((_, response) => response.end("ok"))
      const { check, recheck } = yield* attach(port)
      for (let round = 0; round < 5; round++) yield* recheck
      assert.strictEqual(sockets.length, 1)
      yield* check
      assert.strictEqual(sockets.length, 2, "a check has a connection of its own")
    }))

  test("judges as a check does", () =>
    Effect.gen(function* () {
      let body = '{"healthy":true}'
      const { port } = yield* httpServer((_, response) => response.end(body))
      const { recheck } = yield* attach(port, { http: { path: "/", port, json: { "/healthy": true } } })
      yield* recheck
      body = '{"healthy":false}'
      const failure = yield* Effect.flip(recheck)
      assert.include(failure.message, "/healthy is false")
      body = "x".repeat(100_000)
      assert.include((yield* Effect.flip(recheck)).message, "too long to be checked")
      body = '{"healthy":true}'
      yield* recheck
    }))

  const answers: Readonly<Record<string, (response: ServerResponse) => void>> = {
    "in pieces": (response) => {
      response.write("a")
      setTimeout(() => response.end("b"), 5)
    },
    "without a body": (response) => response.writeHead(204).end(),
    "with a body that is too long to be read": (response) => response.end("x".repeat(1_000_000)),
    "and closes": (response) => response.writeHead(200, { connection: "close" }).end("ok"),
    "early first": (response) => {
      response.writeProcessing()
      response.end("ok")
    },
  }
  for (const [how, answer] of Object.entries(answers)) {
    test(`may be answered ${how}`, () =>
      Effect.gen(function* () {
        const { port } = yield* httpServer((_, response) => answer(response))
        const { recheck } = yield* attach(port)
        yield* recheck
        yield* recheck
      }))
  }

  test("is put once more when the connection that was kept is gone", () =>
    Effect.gen(function* () {
      const { port, sockets } = yield* httpServer((_, response) => response.end("ok"))
      const { recheck } = yield* attach(port)
      yield* recheck
      sockets[0]!.destroy()
      yield* recheck
      // Gone in the very moment of the question.
      const before = sockets.at(-1)!
      before.once("data", () => before.destroy())
      yield* recheck
      assert.isTrue(sockets.length >= 3)
    }))

  test("is refused at once when nobody is there any more", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { port } = yield* Scope.extend(
        httpServer((_, response) => response.end("ok")),
        scope,
      )
      const { recheck } = yield* attach(port)
      yield* recheck
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(recheck)).class, "refused")
    }))

  test("is cut off in the middle of its answer, which is no pass", () =>
    Effect.gen(function* () {
      let asked = 0
      const { port } = yield* tcpServer((socket: Socket) => {
        socket.on("data", () => {
          asked++
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
          socket.end()
        })
      })
      const { recheck } = yield* attach(port)
      assert.strictEqual((yield* Effect.flip(recheck)).class, "reset")
      assert.strictEqual(asked, 2)
    }))

  test("is over at its deadline", () =>
    Effect.gen(function* () {
      const { port } = yield* tcpServer(silent)
      const { recheck } = yield* attach(port, { timeout: "100ms" })
      const before = performance.now()
      const failure = yield* Effect.flip(recheck)
      assert.deepStrictEqual([failure.class, failure.transient], ["timeout", true])
      assert.include(failure.message, "timed out after 100ms")
      assert.isBelow(performance.now() - before, 2_000)
    }))

  test("of a name has half of its time for the connection that was kept, and half for all addresses", () =>
    Effect.gen(function* () {
      let isMute = false
      const { port } = yield* httpServer((_, response) => void (isMute || response.end("ok")))
      const { recheck } = yield* attach(port, { timeout: "1s" }, "localhost")
      yield* recheck
      isMute = true
      const asked = yield* Effect.fork(recheck)
      yield* Effect.sleep("250 millis")
      isMute = false
      assert.isFalse(isOver(asked))
      yield* Fiber.join(asked)
    }))

  test("needs somebody there", () =>
    Effect.gen(function* () {
      const { recheck } = yield* attach(yield* freePort)
      assert.strictEqual((yield* Effect.flip(recheck)).class, "refused")
    }))
})

describe("many questions at once", () => {
  test("overlap", () =>
    Effect.gen(function* () {
      const { answer, port, waiting } = yield* doorkeeper
      const { recheck } = yield* attach(port)
      const fibers = yield* Effect.all(Array.from({ length: 3 }, () => Effect.fork(recheck)))
      yield* eventually("three are asked", () => waiting.length === 3)
      answer()
      yield* Fiber.joinAll(fibers)
    }))

  test("share those that are put after they came, and no earlier one", () =>
    Effect.gen(function* () {
      const { answer, port, requests, waiting } = yield* doorkeeper
      const { recheck } = yield* attach(port)
      const first = yield* Effect.all(Array.from({ length: 8 }, () => Effect.fork(recheck)))
      yield* eventually("eight are asked", () => waiting.length === 8)
      const later = yield* Effect.all(Array.from({ length: 50 }, () => Effect.fork(recheck)))
      yield* quiet
      assert.strictEqual(waiting.length, 8)
      const [one, ...others] = waiting.splice(0)
      one!.end()
      yield* eventually("another one is asked", () => waiting.length === 1)
      assert.strictEqual(first.filter(isOver).length, 1)
      assert.strictEqual(later.filter(isOver).length, 0, "an answer to an earlier question is none to them")
      answer()
      yield* Fiber.joinAll(later)
      assert.strictEqual(requests.length, 9)
      assert.strictEqual(first.filter(isOver).length, 1)
      for (const response of others) response.end()
      yield* Fiber.joinAll(first)
    }))

  test("that are not answered well ask once more together, not each", () =>
    Effect.gen(function* () {
      let asked = 0
      const { port } = yield* httpServer((_, response) => {
        asked++
        response.writeHead(503).end()
      })
      const { recheck } = yield* attach(port)
      const failures = yield* Effect.all(
        Array.from({ length: 100 }, () => Effect.flip(recheck)),
        { concurrency: "unbounded" },
      )
      assert.strictEqual(failures.length, 100)
      assert.isAtMost(asked, 2 * 10)
    }))

  test("are cancelled when nobody wants them any more, and not before", () =>
    Effect.gen(function* () {
      const { answer, port, requests, sockets, waiting } = yield* doorkeeper
      const { recheck } = yield* attach(port)
      const eight = yield* Effect.all(Array.from({ length: 8 }, () => Effect.fork(recheck)))
      yield* eventually("eight are asked", () => waiting.length === 8)
      const two = yield* Effect.all(Array.from({ length: 2 }, () => Effect.fork(recheck)))
      yield* quiet
      yield* Fiber.interrupt(eight[0]!)
      yield* eventually("the connection is closed", () => sockets.some((socket) => socket.closed))
      yield* eventually("the two are asked for", () => requests.length === 9)
      yield* Fiber.interrupt(two[0]!)
      yield* quiet
      assert.strictEqual(sockets.filter((socket) => socket.closed).length, 1)
      answer()
      yield* Fiber.joinAll([...eight.slice(1), two[1]!])
      assert.strictEqual(requests.length, 9, "and none is put again for an interruption")
    }))

  test("are told when nobody is to ask any more", () =>
    Effect.gen(function* () {
      const { port, sockets, waiting } = yield* doorkeeper
      const scope = yield* Scope.make()
      const { recheck } = yield* Scope.extend(attach(port), scope)
      const fibers = yield* Effect.all(Array.from({ length: 20 }, () => Effect.fork(Effect.flip(recheck))))
      yield* eventually("they are asked", () => waiting.length === 8)
      yield* Scope.close(scope, Exit.void)
      const failures = yield* Fiber.joinAll(fibers)
      assert.strictEqual(failures.length, 20)
      assert.include(failures[0]!.message, "nobody is to ask it any more")
      yield* eventually("every connection is closed", () => sockets.every((socket) => socket.closed))
      assert.strictEqual(waiting.length, 8, "and nothing is asked anew")
    }))
})

describe("the names in a question put again", () => {
  it.scopedLive("are resolved as those of a check are, each address tried", () =>
    Effect.gen(function* () {
      const { port, sockets } = yield* httpServer((_, response) => response.end("ok"))
      const { recheck } = yield* attach(port, {}, "two.test")
      yield* recheck
      yield* recheck
      assert.strictEqual(sockets.length, 1)
    }).pipe(
      Effect.provide(
        Layer.provide(
          Prober.layer,
          Layer.merge(
            noSpawner,
            Layer.succeed(AddressResolver, () => Effect.succeed(["127.0.0.9", "127.0.0.1"])),
          ),
        ),
      ),
    ),
  )
})
