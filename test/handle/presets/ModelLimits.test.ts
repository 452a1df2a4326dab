/** Context limits out of a provider list, and out of servers that do not give one. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ModelLimits from "../../../src/handle/presets/ModelLimits.js"

const plain = (limits: ModelLimits.ModelLimits) =>
  Object.fromEntries([...limits].map(([provider, models]) => [provider, Object.fromEntries(models)]))

describe("ModelLimits.fromProviders", () => {
  it("is the context of each model of each provider, whether it can be used or not", () => {
    const list = {
      all: [
        {
          id: "anthropic",
          models: {
            opus: { id: "opus", limit: { context: 200_000, output: 32_000 } },
            sonnet: { limit: { context: 1_000_000 } },
          },
        },
        { id: "local", models: { opus: { limit: { context: 8_192 } } } },
      ],
      default: { anthropic: "opus" },
      connected: ["anthropic"],
    }
    expect(plain(ModelLimits.fromProviders(list))).toEqual({
      anthropic: { opus: 200_000, sonnet: 1_000_000 },
      local: { opus: 8_192 },
    })
  })

  it("leaves out what names no limit, 0 included, and keeps the rest", () => {
    const list = {
      all: [
        {
          id: "a",
          models: {
            video: { limit: { context: 0, output: 0 } },
            bare: {},
            none: { limit: null },
            text: { limit: { context: "8192" } },
            negative: { limit: { context: -1 } },
            good: { limit: { context: 1 } },
          },
        },
        { id: "empty", models: {} },
        { id: 7, models: { good: { limit: { context: 1 } } } },
        { id: "list", models: [{ limit: { context: 1 } }] },
        null,
        "text",
      ],
    }
    expect(plain(ModelLimits.fromProviders(list))).toEqual({ a: { good: 1 } })
  })

  it.each([[undefined], [null], [3], ["text"], [[]], [{}], [{ all: {} }], [{ all: null }]])(
    "is empty for %j",
    (list) => expect(ModelLimits.fromProviders(list).size).toBe(0),
  )

  it("takes names that are also those of an object's own", () => {
    const list = JSON.parse('{"all":[{"id":"__proto__","models":{"constructor":{"limit":{"context":5}}}}]}')
    const limits = ModelLimits.fromProviders(list)
    expect(limits.get("__proto__")?.get("constructor")).toBe(5)
    expect(limits.get("toString")).toBeUndefined()
  })
})

describe("ModelLimits.read", () => {
  const asking = (answer: { status?: number; body: string }, headers: Record<string, string> = {}) =>
    Effect.gen(function* () {
      const seen: Array<{ url: string | undefined; authorization: string | undefined }> = []
      const server = yield* Effect.acquireRelease(
        Effect.async<ReturnType<typeof createServer>>((resume) => {
          const made = createServer(({ headers, url }, response) => {
            seen.push({ url, authorization: headers.authorization })
            response.statusCode = answer.status ?? 200
            response.end(answer.body)
          })
          made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
        }),
        (made) =>
          Effect.sync(() => {
            made.closeAllConnections()
            made.close()
          }),
      )
      const { port } = server.address() as AddressInfo
      const result = yield* Effect.either(ModelLimits.read(`http://127.0.0.1:${port}/base`, headers))
      return { result, seen, baseUrl: `http://127.0.0.1:${port}` }
    })

  it.scopedLive("asks under the base URL, and lets itself in", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({ all: [{ id: "a", models: { m: { limit: { context: 9 } } } }] })
      const { result, seen } = yield* asking({ body }, { Authorization: "Basic eA==" })
      expect(result).toMatchObject({ _tag: "Right" })
      expect(seen).toEqual([{ url: "/base/provider", authorization: "Basic eA==" }])
    }),
  )

  it.scopedLive("says why there is none", () =>
    Effect.gen(function* () {
      const { result: refused } = yield* asking({ status: 401, body: "" })
      expect(refused).toMatchObject({
        left: expect.stringContaining("answered 401 Unauthorized; expected 2xx."),
      })
      const { result: page } = yield* asking({ body: "<!doctype html>" })
      expect(page).toMatchObject({ left: expect.stringContaining("answered with what is not JSON.") })
      const { baseUrl } = yield* Effect.scoped(asking({ body: "" }))
      const nobody = yield* Effect.either(ModelLimits.read(baseUrl, {}))
      expect(nobody).toMatchObject({ left: expect.stringContaining("was not answered.") })
    }),
  )
})
