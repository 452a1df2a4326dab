/** An HttpClient that is pointed at a server, and servers as services. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import type { ResponseError } from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Server from "../../src/handle/Server.js"
import { httpServer } from "../probe/support.js"
import { killPid } from "../process/killPid.js"
import { failsWith, live, managed, ok, processes, program, quiet, starts } from "./server-support.js"

interface Answer {
  readonly pid: number
  readonly path: string
}

const json = <E, R>(answer: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>) =>
  Effect.flatMap(answer, (response) => response.json as Effect.Effect<Answer, ResponseError>)

const clients: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient>>> = {
  FetchHttpClient: FetchHttpClient.layer,
  NodeHttpClient: NodeHttpClient.layer,
  "NodeHttpClient over undici": NodeHttpClient.layerUndici,
}

describe("an HttpClient that is pointed at a managed server", () => {
  for (const [name, layer] of Object.entries(clients)) {
    live(`starts it with the first request, and replaces it after a crash: ${name}`, () =>
      Effect.gen(function* () {
        const server = yield* managed()
        const client = yield* Server.httpClient(server)
        assert.deepStrictEqual(yield* processes, [])
        const first = yield* json(client.get("/one?x=1"))
        assert.strictEqual(first.path, "/one?x=1")
        assert.strictEqual((yield* json(client.get("/two", { urlParams: { y: 2 } }))).path, "/two?y=2")
        assert.strictEqual(yield* starts, 1)
        killPid(first.pid, "SIGKILL")
        const second = yield* json(client.get("/three"))
        assert.strictEqual(second.path, "/three")
        assert.notStrictEqual(second.pid, first.pid)
        assert.strictEqual(yield* starts, 2)
        const many = yield* Effect.all(
          Array.from({ length: 20 }, (_, index) => json(client.get(`/${index}`))),
          { concurrency: "unbounded" },
        )
        assert.deepStrictEqual(
          many.map(({ path, pid }) => [path, pid]),
          many.map((_, index) => [`/${index}`, second.pid]),
        )
      }).pipe(Effect.provide(layer)),
    )
  }

  live("fails with the failure of its start", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: program(`process.exit(1)`) })
      const client = yield* Server.httpClient(server)
      const error = yield* failsWith("ServerExitedEarly")(client.get("/"))
      assert.deepStrictEqual(error.end, { code: 1 })
    }).pipe(Effect.provide(FetchHttpClient.layer)),
  )

  live("sends what it is given, and composes as any other", () =>
    Effect.gen(function* () {
      const command = program(
        `serve((request, response) => {
           let body = ""; request.on("data", (chunk) => body += chunk)
           request.on("end", () => response.end(JSON.stringify({ path: [request.method, request.url, request.headers.authorization, body].join(" ") })))
         })`,
      )
      const client = (yield* Server.httpClient(yield* managed({ command }))).pipe(
        HttpClient.mapRequest(HttpClientRequest.prependUrl("/api")),
        HttpClient.mapRequest(HttpClientRequest.bearerToken("t")),
        HttpClient.filterStatusOk,
        HttpClient.retry(Schedule.recurs(1)),
      )
      const { path } = yield* json(client.post("/things", { body: HttpBody.text("hello") }))
      assert.strictEqual(path, "POST /api/things Bearer t hello")
    }).pipe(Effect.provide(FetchHttpClient.layer)),
  )

  live("asks that server only, whatever the path", () =>
    Effect.gen(function* () {
      const elsewhere = yield* httpServer((_, response) => response.end("{}"))
      const { port } = elsewhere
      const client = yield* Server.httpClient(yield* managed())
      for (const path of [
        `@127.0.0.1:${port}/`,
        `http://127.0.0.1:${port}/`,
        `//127.0.0.1:${port}/`,
        "80/",
        "x",
      ]) {
        const answer = yield* json(client.get(path))
        assert.strictEqual(answer.path, path.startsWith("/") ? path : `/${path}`)
      }
      assert.strictEqual(elsewhere.sockets.length, 0)
    }).pipe(Effect.provide(FetchHttpClient.layer)),
  )

  live("keeps it in use while a request is under way", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const open = yield* Deferred.make<void>()
      const server = yield* managed({}, { idleTimeout: "100 millis" })
      const slow = HttpClient.transform(yield* HttpClient.HttpClient, (response) =>
        Effect.zipLeft(response, Effect.zipRight(Deferred.succeed(asked, undefined), Deferred.await(open))),
      )
      const request = yield* Effect.fork(json(Server.client(server.handle, slow).get("/")))
      yield* Deferred.await(asked)
      yield* Effect.sleep("400 millis")
      assert.strictEqual((yield* server.handle.state)._tag, "Ready")
      yield* Deferred.succeed(open, undefined)
      assert.deepStrictEqual(yield* processes, [(yield* Fiber.join(request)).pid])
    }).pipe(Effect.provide(FetchHttpClient.layer)),
  )

  live("keeps the path of an external server's URL", () =>
    Effect.gen(function* () {
      const { port } = yield* httpServer((request, response) =>
        response.end(JSON.stringify({ path: request.url })),
      )
      const server = yield* Server.external({ baseUrl: `http://127.0.0.1:${port}/runtime/` })
      const client = yield* Server.httpClient(server)
      assert.strictEqual((yield* json(client.get("/openapi.json"))).path, "/runtime/openapi.json")
      assert.strictEqual((yield* json(client.get("openapi.json"))).path, "/runtime/openapi.json")
    }).pipe(Effect.provide(FetchHttpClient.layer)),
  )
})

describe("a server as a service", () => {
  class Search extends Context.Tag("test/Search")<Search, Server.Server>() {}

  it.live("is started when somebody asks, and gone with its layer", () =>
    Effect.gen(function* () {
      const pid = yield* Effect.gen(function* () {
        const search = yield* Search
        return (yield* search.handle.acquire).pid!
      }).pipe(Effect.provide(Server.layerManaged(Search, { name: "search", command: ok })))
      assert.throws(() => killPid(pid, 0))
    }).pipe(Effect.provide(quiet)),
  )

  it.live("may be somebody else's", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { port } = yield* httpServer((_, response) => response.end("ok"))
        const baseUrl = `http://127.0.0.1:${port}`
        const info = yield* Effect.provide(
          Effect.flatMap(Search, ({ handle }) => handle.acquire),
          Server.layerExternal(Search, { baseUrl }),
        )
        assert.strictEqual(info.baseUrl, baseUrl)
      }),
    ).pipe(Effect.provide(quiet)),
  )

  it.live("fails to be built from what cannot be used", () =>
    Effect.gen(function* () {
      const layer = Server.layerExternal(Search, { baseUrl: "ftp://example.com" })
      yield* failsWith("InvalidSpec")(Effect.scoped(Layer.build(layer)))
    }).pipe(Effect.provide(quiet)),
  )
})
