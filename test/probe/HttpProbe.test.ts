import { gzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import {
  ask,
  askFailing,
  freePort,
  httpServer,
  httpsServer,
  jsonServer,
  proberLive,
  rawServer,
  silent,
  tcpServer,
} from "./support.js"

const url = (port: number, path = "/", host = "127.0.0.1") => `http://${host}:${port}${path}`

const live = <E, R>(name: string, test: () => Effect.Effect<unknown, E, R>) =>
  it.scopedLive(name, () => Effect.provide(test(), proberLive) as Effect.Effect<unknown, E>)

describe("the http probe", () => {
  live("passes on 200 and says how long it took and who answered", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end("ok"))
      const success = yield* ask({ http: { url: url(server.port) } })
      expect(success.outputs).toEqual({})
      expect(success.peers).toEqual([{ address: "127.0.0.1", port: server.port }])
      expect(Duration.toMillis(success.latency)).toBeGreaterThan(0)
      yield* server.allClosed
    }),
  )

  live("takes port from the target and sends path, query, method and headers", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const server = yield* httpServer((request, response) => {
        seen.push(
          request.method,
          request.url,
          request.headers.host,
          request.headers["x-key"],
          request.headers.connection,
        )
        response.end()
      })
      const path = "/health?deep=1"
      yield* ask(
        { http: { path, method: "POST", headers: { "X-Key": "k" } } },
        { port: server.port, host: "127.0.0.1" },
      )
      expect(seen).toEqual(["POST", path, `127.0.0.1:${server.port}`, "k", "close"])
    }),
  )

  live("puts the path of the target's base URL before its own", () =>
    Effect.gen(function* () {
      let seen: string | undefined
      const server = yield* httpServer((request, response) => {
        seen = request.url
        response.end()
      })
      yield* ask({ http: { path: "/openapi.json" } }, { baseUrl: url(server.port, "/runtime/") })
      expect(seen).toBe("/runtime/openapi.json")
    }),
  )

  live("names the host and the port in the Host header, with the name and not the address", () =>
    Effect.gen(function* () {
      let host: string | undefined
      const server = yield* httpServer((request, response) => {
        host = request.headers.host
        response.end()
      })
      yield* ask({ http: { path: "/" } }, { port: server.port })
      expect(host).toBe(`localhost:${server.port}`)
      yield* ask({ http: { path: "/", headers: { host: "tenant.example" } } }, { port: server.port })
      expect(host).toBe("tenant.example")
    }),
  )

  live("speaks to an IPv6 literal", () =>
    Effect.gen(function* () {
      let host: string | undefined
      const server = yield* httpServer((request, response) => {
        host = request.headers.host
        response.end()
      }, "::1")
      const success = yield* ask({ http: { url: url(server.port, "/", "[::1]") } })
      expect(host).toBe(`[::1]:${server.port}`)
      expect(success.peers).toEqual([{ address: "::1", port: server.port }])
      yield* ask({ http: { path: "/", host: "::1", port: server.port } })
    }),
  )

  live("refused: nothing listens", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const failure = yield* askFailing({ http: { url: url(port, "/health?token=abc") } })
      expect(failure).toMatchObject({ class: "refused", transient: true, contact: "none", kind: "http" })
      expect(failure.message).toBe(
        `GET http://127.0.0.1:${port}/health?… was refused by 127.0.0.1:${port}: nothing listens there.`,
      )
    }),
  )

  live("reset: the connection is closed without an answer", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => void socket.once("data", () => socket.end()))
      const failure = yield* askFailing({ http: { url: url(server.port) } })
      expect(failure).toMatchObject({ class: "reset", transient: true, contact: "connected" })
    }),
  )

  live("reset: RST in the middle of the body", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => {
        socket.once("data", () =>
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", () => socket.resetAndDestroy()),
        )
      })
      expect(yield* askFailing({ http: { url: url(server.port) } })).toMatchObject({
        class: "reset",
        transient: true,
      })
    }),
  )

  live("reset: the end comes before the promised length", () =>
    Effect.gen(function* () {
      const server = yield* rawServer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
      const failure = yield* askFailing({ http: { url: url(server.port) } })
      expect(failure).toMatchObject({ class: "reset", transient: true, contact: "answered" })
    }),
  )

  live("timeout: accepted and silent; the socket is closed", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(silent)
      const failure = yield* askFailing({ http: { url: url(server.port) }, timeout: "80ms" })
      expect(failure).toMatchObject({ class: "timeout", transient: true, contact: "connected" })
      expect(failure.message).toContain("timed out after 80ms")
      expect(failure.message).toContain("took the connection and gave no answer")
      yield* server.allClosed
    }),
  )

  live("timeout: a body that trickles does not prolong the deadline", () =>
    Effect.gen(function* () {
      let sent = 0
      const server = yield* httpServer((_, response) => {
        response.writeHead(200)
        const timer = setInterval(() => {
          sent++
          response.write(".")
        }, 50)
        response.on("close", () => clearInterval(timer))
      })
      const [elapsed, failure] = yield* Effect.timed(
        askFailing({ http: { url: url(server.port) }, timeout: "300ms" }),
      )
      expect(failure).toMatchObject({ class: "timeout", transient: true, contact: "answered" })
      expect(failure.message).toContain("its body did not end")
      expect(sent).toBeGreaterThan(0)
      expect(Duration.toMillis(elapsed)).toBeGreaterThanOrEqual(290)
      expect(Duration.toMillis(elapsed)).toBeLessThan(3_000)
      yield* server.allClosed
    }),
  )

  live("timeout: headers that trickle do not prolong the deadline", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => {
        const timer = setInterval(() => socket.write("X-A: b\r\n"), 20)
        socket.write("HTTP/1.1 200 OK\r\n")
        socket.on("close", () => clearInterval(timer))
      })
      expect(yield* askFailing({ http: { url: url(server.port) }, timeout: "150ms" })).toMatchObject({
        class: "timeout",
      })
      yield* server.allClosed
    }),
  )

  live("reads at most 64 KiB of 10 MB: passes without a body check, and hangs up", () =>
    Effect.gen(function* () {
      const size = 50_000_000
      const piece = Buffer.alloc(65_536, "x")
      let sent = 0
      const server = yield* httpServer((_, response) => {
        response.writeHead(200, { "content-length": size })
        const more = (): void => {
          while (sent < size && !response.destroyed) {
            sent += piece.length
            if (!response.write(piece)) return
          }
        }
        response.on("drain", more)
        more()
      })
      yield* ask({ http: { url: url(server.port) }, timeout: "5s" })
      yield* server.allClosed
      // The kernel's buffers on both sides take what they can hold; the rest was never sent.
      expect(sent).toBeLessThan(size / 4)
    }),
  )

  live("a body beyond the cap cannot be checked", () =>
    Effect.gen(function* () {
      const server = yield* jsonServer({ healthy: true, padding: "x".repeat(70_000) })
      const failure = yield* askFailing({ http: { url: url(server.port), json: { "/healthy": true } } })
      expect(failure).toMatchObject({ class: "invalid-response", transient: false, contact: "answered" })
    }),
  )

  live("a body just at the cap is checked", () =>
    Effect.gen(function* () {
      const frame = JSON.stringify({ healthy: true, padding: "" }).length
      const server = yield* jsonServer({ healthy: true, padding: "x".repeat(65_536 - frame) })
      yield* ask({ http: { url: url(server.port), json: { "/healthy": true } } })
    }),
  )

  live("a redirect is not followed, and the failure says where it points", () =>
    Effect.gen(function* () {
      let asked = 0
      const server = yield* httpServer((_, response) => {
        asked++
        response.writeHead(302, { location: "/login?secret=1" }).end()
      })
      const failure = yield* askFailing({ http: { url: url(server.port) } })
      expect(failure).toMatchObject({ class: "unhealthy", transient: true, contact: "answered" })
      expect(failure.message).toContain("answered 302 Found and points to /login?…")
      expect(failure.message).not.toContain("secret")
      expect(asked).toBe(1)
    }),
  )

  live("204 without a body passes", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.writeHead(204).end())
      yield* ask({ http: { url: url(server.port) } })
    }),
  )

  for (const [name, answer] of [
    ["HTTP/1.0 200 without a reason phrase", "HTTP/1.0 200\r\n\r\nok"],
    ["a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
    ["a body that ends with the connection", "HTTP/1.1 200 OK\r\n\r\nok"],
    [
      "an interim 100 before the answer",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
  ] as const) {
    live(`passes: ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* rawServer(answer)
        yield* ask({ http: { url: url(server.port) } })
      }),
    )
  }

  for (const [name, answer] of [
    ["no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["a status that is no number", "HTTP/1.1 OK\r\n\r\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"],
    ["a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ["headers beyond 16 KiB", `HTTP/1.1 200 OK\r\nX-A: ${"x".repeat(20_000)}\r\n\r\n`],
  ] as const) {
    live(`invalid-response: ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* rawServer(answer)
        const failure = yield* askFailing({ http: { url: url(server.port) } })
        expect(failure).toMatchObject({ class: "invalid-response", transient: false })
        expect(failure.message).toContain("is not HTTP")
        yield* server.allClosed
      }),
    )
  }

  live("https against a server that speaks http is an invalid-response that says so", () =>
    Effect.gen(function* () {
      const server = yield* rawServer("HTTP/1.1 400 Bad Request\r\n\r\n")
      const failure = yield* askFailing({ http: { url: `https://127.0.0.1:${server.port}/` } })
      expect(failure).toMatchObject({ class: "invalid-response", transient: false })
      expect(failure.message).toContain("not TLS")
    }),
  )

  live("https: a certificate that nobody vouches for is refused, unless it is to be taken", () =>
    Effect.gen(function* () {
      const server = yield* httpsServer((_, response) => response.end('{"healthy":true}'))
      const http = { url: `https://127.0.0.1:${server.port}/`, json: { "/healthy": true } }
      const failure = yield* askFailing({ http, timeout: "10s" })
      expect(failure).toMatchObject({ class: "error", transient: false, contact: "connected" })
      expect(failure.message).toContain("does not trust the certificate")
      expect(failure.message).toContain("verifyCertificate: false")
      yield* ask({ http: { ...http, verifyCertificate: false }, timeout: "10s" })
      yield* server.allClosed
    }),
  )

  live("https: a TLS session that does not come about ends at the deadline", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(silent)
      const failure = yield* askFailing({
        http: { url: `https://127.0.0.1:${server.port}/` },
        timeout: "80ms",
      })
      expect(failure).toMatchObject({ class: "timeout", transient: true, contact: "connected" })
      yield* server.allClosed
    }),
  )

  live("https: what the other side objects to is told", () =>
    Effect.gen(function* () {
      // A fatal alert: handshake failure.
      const server = yield* rawServer(Buffer.from([21, 3, 3, 0, 2, 2, 40]))
      const failure = yield* askFailing({ http: { url: `https://127.0.0.1:${server.port}/` } })
      expect(failure).toMatchObject({ class: "invalid-response", transient: false })
      expect(failure.message).toContain("could not agree")
      expect(failure.message).toContain("handshake failure")
    }),
  )

  live("another protocol is an answer: 101 passes where it is expected, and nowhere else", () =>
    Effect.gen(function* () {
      const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
      const server = yield* tcpServer((socket) => void socket.once("data", () => socket.write(answer)))
      const headers = { Connection: "Upgrade", Upgrade: "websocket" }
      yield* ask({ http: { url: url(server.port), headers, status: 101 } })
      const failure = yield* askFailing({ http: { url: url(server.port), headers } })
      expect(failure).toMatchObject({ class: "unhealthy", contact: "answered" })
      expect(failure.message).toContain("answered 101 Switching Protocols; expected 2xx")
      yield* server.allClosed
    }),
  )

  live("asks for a plain body, and says so when it comes in a coding all the same", () =>
    Effect.gen(function* () {
      let asked: unknown
      const server = yield* httpServer((request, response) => {
        asked = request.headers["accept-encoding"]
        response.setHeader("content-encoding", "gzip")
        response.end(gzipSync('{"healthy":true}'))
      })
      const failure = yield* askFailing({ http: { url: url(server.port), json: { "/healthy": true } } })
      expect(asked).toBe("identity")
      expect(failure).toMatchObject({ class: "invalid-response", transient: false })
      expect(failure.message).toContain("in the coding gzip")
    }),
  )

  live("HEAD: the length of the body that is not sent does not matter", () =>
    Effect.gen(function* () {
      const server = yield* rawServer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
      yield* ask({ http: { url: url(server.port), method: "HEAD" } })
    }),
  )

  live("any number of interim answers does not prolong the deadline", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer((socket) => {
        const timer = setInterval(() => socket.write("HTTP/1.1 103 Early Hints\r\n\r\n"), 10)
        socket.on("close", () => clearInterval(timer))
      })
      const failure = yield* askFailing({ http: { url: url(server.port) }, timeout: "150ms" })
      expect(failure).toMatchObject({ class: "timeout", contact: "connected" })
      yield* server.allClosed
    }),
  )

  live("bytes that are not UTF-8: fine without a check, and no hindrance to one", () =>
    Effect.gen(function* () {
      const body = Buffer.concat([
        Buffer.from('{"healthy":true,"name":"'),
        Buffer.from([0xff, 0xfe]),
        Buffer.from('"}'),
      ])
      const server = yield* httpServer((_, response) => response.end(body))
      yield* ask({ http: { url: url(server.port) } })
      yield* ask({ http: { url: url(server.port), json: { "/healthy": true } } })
    }),
  )

  live("a proxy in the environment is ignored", () =>
    Effect.gen(function* () {
      const proxy = yield* tcpServer((socket) => socket.destroy())
      const names = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NODE_USE_ENV_PROXY"]
      const before = names.map((name) => process.env[name])
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          names.forEach((name) => (process.env[name] = name.startsWith("NODE") ? "1" : url(proxy.port))),
        ),
        () =>
          Effect.sync(() =>
            names.forEach((name, index) => {
              if (before[index] === undefined) delete process.env[name]
              else process.env[name] = before[index]
            }),
          ),
      )
      const server = yield* httpServer((_, response) => response.end("ok"))
      yield* ask({ http: { url: url(server.port) } })
      expect(proxy.sockets).toHaveLength(0)
    }),
  )

  live("each check has a connection of its own", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end("ok"))
      yield* ask({ http: { url: url(server.port), headers: { connection: "keep-alive" } } })
      yield* ask({ http: { url: url(server.port), headers: { connection: "keep-alive" } } })
      expect(server.sockets).toHaveLength(2)
      yield* server.allClosed
    }),
  )

  live("interruption closes the socket", () =>
    Effect.gen(function* () {
      const server = yield* tcpServer(silent)
      const fiber = yield* Effect.fork(ask({ http: { url: url(server.port) }, timeout: "1m" }))
      yield* server.connected(1)
      yield* Fiber.interrupt(fiber)
      yield* server.allClosed
    }),
  )

  live("leaves no timer and no socket behind, however it ends", () =>
    Effect.gen(function* () {
      const count = () =>
        process.getActiveResourcesInfo().filter((kind) => kind === "Timeout" || kind === "TCPSocketWrap")
          .length
      const refused = yield* freePort
      const before = count()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const good = yield* httpServer((_, response) => response.end("ok"))
          const mute = yield* tcpServer(silent)
          yield* ask({ http: { url: url(good.port) }, timeout: "1m" })
          yield* Effect.flip(ask({ http: { url: url(refused) }, timeout: "1m" }))
          yield* Effect.flip(ask({ http: { url: url(mute.port) }, timeout: "20ms" }))
          yield* good.allClosed
          yield* mute.allClosed
        }),
      )
      yield* Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))
      expect(count()).toBeLessThanOrEqual(before)
    }),
  )
})

describe("the expected status", () => {
  for (const [status, given, passes] of [
    [undefined, 200, true],
    [undefined, 299, true],
    [undefined, 301, false],
    [undefined, 404, false],
    [404, 404, true],
    [404, 200, false],
    [[200, 401], 401, true],
    [[200, "4xx"], 404, true],
    ["200-399", 302, true],
    ["200-399", 400, false],
    ["4xx", 503, false],
  ] as const) {
    live(`${JSON.stringify(status) ?? "default"}: ${given} ${passes ? "passes" : "fails"}`, () =>
      Effect.gen(function* () {
        const server = yield* httpServer((_, response) => response.writeHead(given).end())
        const http = { url: url(server.port), ...(status !== undefined && { status }) }
        if (passes) yield* ask({ http })
        else {
          const failure = yield* askFailing({ http })
          expect(failure).toMatchObject({ class: "unhealthy", transient: true, contact: "answered" })
          expect(failure.message).toContain(`answered ${given}`)
        }
      }),
    )
  }
})

describe("the body check", () => {
  live('{"healthy": false} is unhealthy', () =>
    Effect.gen(function* () {
      const server = yield* jsonServer({ healthy: false })
      const failure = yield* askFailing({ http: { url: url(server.port), json: { "/healthy": true } } })
      expect(failure).toMatchObject({ class: "unhealthy", transient: true, contact: "answered" })
      expect(failure.message).toContain("/healthy is false, expected true")
    }),
  )

  live("compares strictly, and finds values in lists and under escaped names", () =>
    Effect.gen(function* () {
      const server = yield* jsonServer({ list: [{ "a/b": 1 }], nothing: null, one: "1" })
      const http = { url: url(server.port) }
      yield* ask({ http: { ...http, json: { "/list/0/a~1b": 1, "/nothing": null } } })
      yield* askFailing({ http: { ...http, json: { "/one": 1 } } })
      yield* askFailing({ http: { ...http, json: { "/absent": null } } })
      yield* askFailing({ http: { ...http, json: { "/list/00/a~1b": 1 } } })
      yield* askFailing({ http: { ...http, json: { "/constructor/name": "Object" } } })
    }),
  )

  live("a byte order mark, NUL characters and names that stand twice are read as JSON.parse does", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) =>
        response.end('\ufeff{"a":1,"a":2,"nul":"\\u0000","__proto__":3}'),
      )
      const http = { url: url(server.port) }
      yield* ask({ http: { ...http, json: { "/a": 2, "/nul": "\0", "/__proto__": 3 } } })
      const failure = yield* askFailing({ http: { ...http, json: { "/nul": "" } } })
      expect(failure.message).not.toContain("\0")
    }),
  )

  live("values nested deeper than the stack are told apart, and harm nobody", () =>
    Effect.gen(function* () {
      const depth = 30_000
      const server = yield* httpServer((_, response) => response.end("[".repeat(depth) + "]".repeat(depth)))
      const http = { url: url(server.port) }
      const failure = yield* askFailing({ http: { ...http, json: { "": true } } })
      expect(failure.message).toContain("the body is a list, expected true")
      const pinned = { ...http, version: { pointer: "/0", equals: "1" } }
      expect((yield* askFailing({ http: pinned })).mismatch).toEqual({ what: "version", expected: "1" })
    }),
  )

  live("an HTML page with status 200 is an invalid-response", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => {
        response.setHeader("content-type", "text/html")
        response.end("<!doctype html>")
      })
      const failure = yield* askFailing({ http: { url: url(server.port), json: { "/healthy": true } } })
      expect(failure).toMatchObject({ class: "invalid-response", transient: false, contact: "answered" })
      expect(failure.message).toContain("text/html")
    }),
  )

  for (const [expected, actual] of [
    ["1.2.3", "1.2.3"],
    ["v1.2.3", "1.2.3"],
    ["1.2.3", " v1.2.3\n"],
  ] as const) {
    live(`version ${JSON.stringify(actual)} is ${expected}`, () =>
      Effect.gen(function* () {
        const server = yield* jsonServer({ version: actual })
        const success = yield* ask({
          http: { url: url(server.port), version: { pointer: "/version", equals: expected } },
        })
        expect(success.outputs).toEqual({ version: "1.2.3" })
      }),
    )
  }

  for (const actual of ["1.2.30", "vv1.2.3", "1.2", undefined]) {
    live(`version ${actual} is not 1.2.3: not transient, and marked`, () =>
      Effect.gen(function* () {
        const server = yield* jsonServer({ version: actual, healthy: false })
        const failure = yield* askFailing({
          http: {
            url: url(server.port),
            version: { pointer: "/version", equals: "1.2.3" },
            json: { "/healthy": true },
          },
        })
        expect(failure).toMatchObject({ class: "unhealthy", transient: false })
        expect(failure.mismatch).toEqual({
          what: "version",
          expected: "1.2.3",
          ...(actual !== undefined && { actual }),
        })
      }),
    )
  }

  live("identity by header and by body", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => {
        response.setHeader("X-App", "mine")
        response.end('{"name":"mine"}')
      })
      const at = { url: url(server.port) }
      yield* ask({ http: { ...at, identity: { header: "x-app", equals: "mine" } } })
      yield* ask({ http: { ...at, identity: { pointer: "/name", equals: "mine" } } })
      for (const identity of [
        { header: "x-app", equals: "yours" },
        { header: "x-other", equals: "mine" },
        { pointer: "/name", equals: "yours" },
      ]) {
        const failure = yield* askFailing({ http: { ...at, identity } })
        expect(failure).toMatchObject({
          transient: false,
          mismatch: { what: "identity", expected: identity.equals },
        })
      }
    }),
  )

  live("no header's value gets into a failure, also when the server sends it back", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((request, response) => {
        response.statusMessage = String(request.headers["x-key"])
        response.writeHead(403).end()
      })
      const failure = yield* askFailing({
        http: { url: url(server.port), headers: { "X-Key": "hunter2hunter2" } },
      })
      expect(failure.message).toContain("403 ***")
      expect(JSON.stringify(failure) + failure.stack).not.toContain("hunter2")
    }),
  )
})
