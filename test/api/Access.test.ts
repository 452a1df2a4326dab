/** Who gets in: not a page in a browser, not another user of the machine, not a forged Host. */
import * as fs from "node:fs"
import * as os from "node:os"
import { join } from "node:path"
import * as HttpApi from "@effect/platform/HttpApi"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Access from "../../src/api/Access.js"
import { Api } from "../../src/api/Api.js"
import * as Token from "../../src/api/Token.js"
import { type Asking, serve, temporary } from "./support.js"
import { fakeUnits } from "./units.js"

const exec: Asking = { method: "POST", body: { command: ["true"] } }
const withHeaders = (headers: Record<string, string>, asking: Asking = {}): Asking => ({ ...asking, headers })

describe("access", () => {
  it.scopedLive("needs the token for everything but /health", () =>
    Effect.gen(function* () {
      const { ask, token } = yield* serve()
      expect((yield* ask("/health", { token: null })).body).toEqual({
        schema_version: "1",
        ok: true,
        type: "health",
        version: "1.2.3",
        pid: process.pid,
      })
      const paths = ["/jobs", "/status/0", "/metrics", "/docs", "/openapi.json", "/nope", "/health/x", "/"]
      for (const path of paths) {
        for (const wrong of [null, "", "x", `${token}x`, token!.slice(1), token!.toLowerCase()]) {
          const reply = yield* ask(path, { token: wrong })
          expect([path, reply.status, reply.body.error.code]).toEqual([path, 401, "unauthorized"])
        }
      }
      const refused = yield* ask("/exec", { ...exec, token: "wrong" })
      expect(refused).toMatchObject({
        status: 401,
        headers: { "www-authenticate": 'Bearer realm="holdfast"' },
      })
      expect(refused.text).not.toContain(token)
      expect((yield* ask("/jobs")).body.jobs).toEqual([])
    }),
  )

  it.scopedLive("is judged before anything else, for every endpoint there is", () =>
    Effect.gen(function* () {
      const units = yield* fakeUnits()
      units.set("web", { pid: 77 })
      const { ask, root } = yield* serve({
        supervisor: units.service,
        shutdown: () => Effect.dieMessage("Nobody was let in."),
      })
      const endpoints: Array<readonly [method: string, path: string]> = []
      HttpApi.reflect(Api, {
        onGroup: () => undefined,
        onEndpoint: ({ endpoint: { method, path } }) => {
          const name = path.startsWith("/units/") ? "web" : "01HZX3V9Q4R8N7C2M5K6J1T0WB"
          endpoints.push([method, path.replace(/:\w+/, name)])
        },
      })
      expect(endpoints.filter(([, path]) => path.startsWith("/units")).length).toBeGreaterThan(9)
      for (const [method, path] of endpoints) {
        const asking = path === "/units" && method === "POST" ? { body: { action: "stop" } } : { method }
        const refused: ReadonlyArray<readonly [Asking, number, string]> = [
          [withHeaders({ host: "evil.example" }, asking), 403, "forbidden"],
          [withHeaders({ origin: "https://evil.example" }, asking), 403, "forbidden"],
          [withHeaders({ "sec-fetch-site": "cross-site" }, asking), 403, "forbidden"],
          ...(path === "/health" ? [] : ([[{ ...asking, token: null }, 401, "unauthorized"]] as const)),
        ]
        for (const [given, status, code] of refused) {
          const reply = yield* ask(path, given)
          expect([method, path, reply.status, reply.body.error.code]).toEqual([method, path, status, code])
        }
      }
      expect(units.calls).toEqual([])
      expect(fs.readdirSync(root)).toEqual(["token"])
    }),
  )

  it.scopedLive("lets a browser show the documents with the token as password", () =>
    Effect.gen(function* () {
      const { ask, token } = yield* serve()
      const basic = (password: string) =>
        withHeaders(
          { authorization: `Basic ${Buffer.from(`me:${password}`).toString("base64")}` },
          { token: null },
        )
      expect((yield* ask("/docs", { token: null })).headers["www-authenticate"]).toMatch(/^Basic /)
      expect((yield* ask("/docs", basic(token!))).status).toBe(200)
      expect((yield* ask("/openapi.json", basic(token!))).status).toBe(200)
      expect((yield* ask("/docs", basic("wrong"))).status).toBe(401)
      expect((yield* ask("/jobs", basic(token!))).status).toBe(401)
    }),
  )

  it.scopedLive("goes by the Host, against names that were made to point here", () =>
    Effect.gen(function* () {
      const { ask, port, raw } = yield* serve()
      const good = ["localhost", `localhost:${port}`, "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:5"]
      for (const host of good)
        expect([host, (yield* ask("/health", withHeaders({ host }))).status]).toEqual([host, 200])
      const forged = [
        "evil.example",
        `evil.example:${port}`,
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.evil",
        "0.0.0.0",
        "192.168.1.1",
        "[::2]",
        "user@localhost",
        "localhost:80:80",
      ]
      for (const host of forged) {
        for (const path of ["/health", "/jobs", "/nope"]) {
          const reply = yield* ask(path, withHeaders({ host }))
          expect([host, reply.status, reply.body?.error?.code]).toEqual([host, 403, "forbidden"])
        }
      }
      expect(yield* raw("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1.1 403 /)
      expect(yield* raw("GET /health HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")).toMatch(
        /^HTTP\/1.1 403 /,
      )
      expect(yield* raw("GET /health HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1.1 403 /)
    }),
  )

  it.scopedLive("refuses pages of other origins, and answers none of them with CORS headers", () =>
    Effect.gen(function* () {
      const { address, ask, port } = yield* serve()
      const foreign = [
        { origin: "https://evil.example" },
        { origin: "null" },
        { origin: `http://localhost:${port}` },
        { origin: `https://127.0.0.1:${port}` },
        { origin: `http://127.0.0.1:${port + 1}` },
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" },
      ]
      for (const headers of foreign) {
        for (const [path, asking] of [
          ["/exec", exec],
          ["/health", {}],
          ["/exec", { method: "OPTIONS" }],
        ] as const) {
          const reply = yield* ask(path, withHeaders(headers, asking))
          expect([headers, reply.status, reply.body.error.code]).toEqual([headers, 403, "forbidden"])
          expect(Object.keys(reply.headers).filter((name) => name.startsWith("access-control"))).toEqual([])
        }
      }
      for (const headers of [
        { origin: address },
        { "sec-fetch-site": "none" },
        { "sec-fetch-site": "same-origin" },
      ]) {
        expect((yield* ask("/exec", withHeaders(headers, exec))).status).toBe(200)
      }
      expect((yield* ask("/exec", { method: "OPTIONS" })).status).toBe(405)
    }),
  )

  it.scopedLive("without a token, a page still gets nothing", () =>
    Effect.gen(function* () {
      const { ask, root } = yield* serve({ auth: "none" })
      expect(fs.existsSync(join(root, "token"))).toBe(false)
      expect((yield* ask("/exec", exec)).status).toBe(200)
      expect((yield* ask("/exec", withHeaders({ origin: "https://evil.example" }, exec))).status).toBe(403)
      expect((yield* ask("/exec", withHeaders({ host: "evil.example" }, exec))).status).toBe(403)
      expect((yield* ask("/exec", withHeaders({ "content-type": "text/plain" }, exec))).status).toBe(415)
    }),
  )

  it("where it listens elsewhere, goes by the address that was connected to", () => {
    const judge = Access.make({ token: undefined, host: "0.0.0.0" })
    const visit = (host: string) =>
      judge({ path: "/jobs", headers: { host }, localAddress: "::ffff:192.168.1.5" })?.code
    expect(visit("192.168.1.5:19263")).toBeUndefined()
    expect(visit("localhost")).toBeUndefined()
    expect(visit("192.168.1.6")).toBe("forbidden")
    expect(visit("evil.example")).toBe("forbidden")
    const named = Access.make({ token: undefined, host: "build.example" })
    expect(
      named({ path: "/", headers: { host: "Build.example:80" }, localAddress: "10.0.0.1" }),
    ).toBeUndefined()
  })
})

describe("the token", () => {
  it.scopedLive("is made once, for its owner's eyes only", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      expect(yield* Token.read(root)).toBeUndefined()
      const made = yield* Effect.all(
        Array.from({ length: 20 }, () => Token.obtain(root)),
        { concurrency: "unbounded" },
      )
      expect(new Set(made).size).toBe(1)
      expect(made[0]).toMatch(/^[\w-]{43}$/)
      expect(fs.statSync(Token.tokenFile(root)).mode & 0o777).toBe(0o600)
      expect(yield* Token.read(root)).toBe(made[0])
      expect(fs.readdirSync(root)).toEqual(["token"])
    }),
  )

  it.scopedLive("is not trusted once others could read it", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      yield* Token.obtain(root)
      fs.chmodSync(Token.tokenFile(root), 0o640)
      const exposed = yield* Effect.flip(Token.obtain(root))
      expect(exposed).toMatchObject({ _tag: "TokenExposed" })
      expect(exposed.message).toMatch(/its mode 640 lets other users at it\. Delete the file/)
    }),
  )

  it.scopedLive("is refused where it is none, a link, or cannot be made", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      fs.writeFileSync(Token.tokenFile(root), "short\n", { mode: 0o600 })
      expect((yield* Effect.flip(Token.read(root))).message).toMatch(/holds no token/)
      fs.rmSync(Token.tokenFile(root))
      fs.symlinkSync("/etc/hostname", Token.tokenFile(root))
      expect((yield* Effect.flip(Token.read(root)))._tag).toBe("TokenUnusable")
      const missing = join(os.tmpdir(), "holdfast-no-such-directory")
      expect((yield* Effect.flip(Token.obtain(missing)))._tag).toBe("TokenUnusable")
    }),
  )
})
