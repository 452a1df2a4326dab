/** Where it listens, and what happens when it cannot. */
import * as fs from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import * as Bind from "../../src/api/Bind.js"
import * as Server from "../../src/api/ApiServer.js"
import * as EventLog from "../../src/event/EventLog.js"
import { JobRunner } from "../../src/job/JobRunner.js"
import * as PortHolder from "../../src/probe/PortHolder.js"
import { fake, noHolders, serve, temporary } from "./support.js"

const options = { version: "1", metrics: Effect.succeed("") }

const fault = (bind: string, auth: "token" | "none" = "token") =>
  Effect.gen(function* () {
    const runner = yield* fake(yield* temporary)
    return yield* Effect.flip(Server.make({ ...options, bind, auth })).pipe(
      Effect.provideService(JobRunner, runner.service),
      Effect.provide(EventLog.layerMemory()),
      Effect.provide(process.platform === "linux" ? PortHolder.layerProc : noHolders),
    )
  })

describe("where it listens", () => {
  it("is read from text", () => {
    const read = (bind: string) => Either.getOrElse(Bind.parse(bind), (error) => error.message)
    expect(read("127.0.0.1:19263")).toEqual({ _tag: "Tcp", host: "127.0.0.1", port: 19_263 })
    expect(read("[::1]:0")).toEqual({ _tag: "Tcp", host: "::1", port: 0 })
    expect(read("localhost:80")).toEqual({ _tag: "Tcp", host: "localhost", port: 80 })
    expect(read("unix:/run/x.sock")).toEqual({ _tag: "Unix", path: "/run/x.sock" })
    expect(read("unix:x.sock")).toEqual({ _tag: "Unix", path: join(process.cwd(), "x.sock") })
    for (const wrong of [
      "",
      "19263",
      "localhost",
      "::1:5",
      "a b:5",
      "x:65536",
      "unix:",
      `unix:/${"x".repeat(200)}`,
    ])
      expect(read(wrong)).toMatch(/^Cannot listen at .*: .*\. Give HOST:PORT/)
    expect(Bind.format({ _tag: "Tcp", host: "::", port: 5 })).toBe("http://[::1]:5")
    expect(Bind.format({ _tag: "Tcp", host: "0.0.0.0", port: 5 })).toBe("http://127.0.0.1:5")
  })

  it.scopedLive("may be a Unix socket, for its owner alone", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const path = join(directory, "api.sock")
      const scope = yield* Scope.make()
      const serving = yield* Scope.extend(serve({ bind: `unix:${path}` }), scope)
      expect(serving.address).toBe(`unix:${path}`)
      expect(fs.statSync(path).mode & 0o777).toBe(0o600)
      expect((yield* serving.ask("/jobs")).status).toBe(200)
      expect((yield* serving.ask("/jobs", { token: null })).status).toBe(401)
      const second = yield* fault(`unix:${path}`)
      expect(second).toMatchObject({ _tag: "AddressInUse", address: `unix:${path}` })
      yield* Scope.close(scope, Exit.void)
      expect(fs.existsSync(path)).toBe(false)
    }),
  )

  it.scopedLive("says that the directory of a socket is missing", () =>
    Effect.gen(function* () {
      const missing = join(yield* temporary, "no such")
      const error = yield* fault(`unix:${missing}/api.sock`)
      expect(error).toMatchObject({ _tag: "BindFailed" })
      expect(error.message).toContain(`there is no directory ${missing}; make it first`)
    }),
  )

  it.scopedLive("takes over the socket of a dead program, and no file", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "api.sock")
      // What a program leaves that had no time to tidy up: its server is closed while the file has another name.
      yield* Effect.promise(
        () =>
          new Promise<void>((resolve) => {
            const dead = createServer().listen(path, () => {
              fs.renameSync(path, `${path}.kept`)
              dead.close(() => {
                fs.renameSync(`${path}.kept`, path)
                resolve()
              })
            })
          }),
      )
      expect(fs.lstatSync(path).isSocket()).toBe(true)
      const { ask } = yield* serve({ bind: `unix:${path}` })
      expect((yield* ask("/health")).status).toBe(200)
      const file = join(yield* temporary, "file")
      fs.writeFileSync(file, "mine")
      expect(yield* fault(`unix:${file}`)).toMatchObject({ _tag: "BindFailed" })
      expect(fs.readFileSync(file, "utf8")).toBe("mine")
    }),
  )

  it.scopedLive("is told to be taken, by whom", () =>
    Effect.gen(function* () {
      const { port } = yield* serve()
      const error = yield* fault(`127.0.0.1:${port}`)
      expect(error).toMatchObject({ _tag: "AddressInUse" })
      if (process.platform === "linux") expect(error.message).toContain(`(pid ${process.pid})`)
      expect((yield* fault("192.0.2.1:0"))._tag).toBe("BindFailed")
      expect((yield* fault("nonsense"))._tag).toBe("InvalidBind")
    }),
  )

  it.scopedLive("is never open to the network without a token", () =>
    Effect.gen(function* () {
      for (const bind of ["0.0.0.0:0", "[::]:0", "192.168.1.5:0", "build.example:0"])
        expect((yield* fault(bind, "none"))._tag).toBe("UnsafeBind")
      const { ask } = yield* serve({ bind: "0.0.0.0:0" })
      expect((yield* ask("/health")).status).toBe(200)
      expect((yield* ask("/jobs", { token: null })).status).toBe(401)
    }),
  )

  it("is known to stand for all addresses", () => {
    const isEverywhere = (bind: string) => Either.map(Bind.parse(bind), Bind.isEverywhere)
    for (const bind of ["0.0.0.0:1", "[::]:1"]) expect(isEverywhere(bind)).toEqual(Either.right(true))
    for (const bind of ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/run/0.0.0.0:1"])
      expect(isEverywhere(bind)).toEqual(Either.right(false))
  })

  it.scopedLive("is a Layer too", () =>
    Effect.gen(function* () {
      const runner = yield* fake(yield* temporary)
      const layer = Server.layer({ ...options, bind: "127.0.0.1:0" }).pipe(
        Layer.provide(
          Layer.mergeAll(Layer.succeed(JobRunner, runner.service), EventLog.layerMemory(), noHolders),
        ),
      )
      const { address } = yield* Effect.provide(Server.ApiServer, layer)
      expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    }),
  )
})

describe("the documents", () => {
  it.scopedLive("say of each field what it means", () =>
    Effect.gen(function* () {
      const { ask } = yield* serve()
      const { body: spec } = yield* ask("/openapi.json")
      const untold: Array<string> = []
      const look = (where: string, schema: unknown): void => {
        if (typeof schema !== "object" || schema === null) return
        const { properties, ...rest } = schema as { properties?: Record<string, { description?: string }> }
        for (const [name, field] of Object.entries(properties ?? {})) {
          // What every answer begins with is told at the beginning of the document.
          const isTold =
            ["schema_version", "ok", "type"].includes(name) || /^[A-Z].*\.$/.test(field.description ?? "")
          if (!isTold) untold.push(`${where}.${name}: ${field.description ?? "nothing"}`)
          look(`${where}.${name}`, field)
        }
        for (const inner of Object.values(rest)) {
          if (Array.isArray(inner)) for (const one of inner) look(where, one)
          else look(where, inner)
        }
      }
      for (const [name, schema] of Object.entries(spec.components.schemas)) look(name, schema)
      expect(untold).toEqual([])
    }),
  )

  it.scopedLive("list every endpoint, in a form that OpenAPI allows", () =>
    Effect.gen(function* () {
      const { ask } = yield* serve()
      const { body: spec } = yield* ask("/openapi.json")
      expect(spec).toMatchObject({ openapi: "3.1.0", info: { title: "Holdfast", version: "1.2.3" } })
      expect(Object.keys(spec.paths).sort()).toEqual(
        [
          "/docs /events /events/follow /exec /follow/{id} /gc /graph /groups /groups/{name} /health /jobs /jobs/{id}",
          "/kill/{id} /leftovers /log/{id} /metrics /openapi.json /reload /restart/{id} /shutdown /start/{id} /status/{id}",
          "/stdin/{id} /tail/{id} /units /units/{name} /units/{name}/follow /units/{name}/kill /units/{name}/logs",
          "/units/{name}/restart /units/{name}/start /units/{name}/stop /units/{name}/why /wait/{id} /why/{id}",
        ]
          .join(" ")
          .split(" "),
      )
      const { priority } = spec.components.schemas.ExecRequest.properties
      expect(priority.description).toBe("Higher ones start first; from -1000 to 1000. Default 0.")
      const references = JSON.stringify(spec).matchAll(/"#\/components\/schemas\/([^"]+)"/g)
      for (const [, name] of references) expect(spec.components.schemas).toHaveProperty([name!])
      const ids = new Set<string>()
      for (const [path, methods] of Object.entries<Record<string, never>>(spec.paths)) {
        for (const operation of Object.values<Record<string, never>>(methods)) {
          const { operationId, parameters, responses, security, summary } = operation as never as {
            operationId: string
            parameters: Array<{ in: string; name: string; required: boolean }>
            responses: Record<string, { description: string }>
            security: Array<object>
            summary: string
          }
          expect(ids.has(operationId)).toBe(false)
          ids.add(operationId)
          expect(summary).toBeTruthy()
          expect(security).toEqual(path === "/health" ? [] : [{ token: [] }])
          const named = parameters.filter((one) => one.in === "path").map(({ name }) => `{${name}}`)
          expect(named).toEqual(path.match(/\{\w+\}/g) ?? [])
          expect(responses).toHaveProperty("200")
          expect(responses).toHaveProperty("default")
          expect("401" in responses).toBe(path !== "/health")
          for (const one of parameters)
            if (one.in === "query")
              expect([path, one]).toEqual([
                path,
                expect.objectContaining({ description: expect.stringMatching(/^[A-Z].*\.$/) }),
              ])
          for (const { description } of Object.values(responses)) expect(description).toBeTruthy()
        }
      }
      const writes = ["/exec post", "/kill/{id} post", "/jobs/{id} delete", "/gc post", "/start/{id} post"]
      writes.push("/restart/{id} post", "/groups/{name} put", "/groups/{name} delete")
      for (const [path, method] of writes.map((one) => one.split(" ")))
        expect(spec.paths[path!][method!].responses).toHaveProperty("507")
      expect(spec.paths["/kill/{id}"].post.requestBody.required).toBe(false)
      expect(spec.paths["/exec"].post.requestBody.required).toBe(true)
      expect(spec.components.schemas.ApiError.description).toMatch(/^Why a request was not done/)
      expect(spec.paths["/status/{id}"].get.responses).toHaveProperty("409")
      const acting = ["/units", "/units/{name}/start", "/units/{name}/restart"]
      for (const path of acting) expect(spec.paths[path].post.responses).toHaveProperty("409")
      for (const [path, { get, post }] of Object.entries<Record<string, { responses: object }>>(spec.paths))
        if (path.startsWith("/units/")) expect((get ?? post)!.responses).toHaveProperty("404")
      expect(spec.paths["/units/{name}"].get.parameters[0].schema.pattern).toMatch(/^\^\[A-Z/)
      expect(spec.components.schemas.ApiError.properties.error.properties.code.enum).toContain(
        "unit_not_started",
      )
      expect(JSON.stringify(spec)).not.toContain("HttpApiDecodeError")
    }),
  )

  it.scopedLive("have a page that loads nothing", () =>
    Effect.gen(function* () {
      const { ask } = yield* serve()
      const { headers, text } = yield* ask("/docs")
      expect(headers["content-type"]).toBe("text/html; charset=utf-8")
      expect(headers["content-security-policy"]).toMatch(/^default-src 'none'/)
      expect(text).toMatch(/^<!DOCTYPE html>/)
      expect(text).toContain("Lines of each log. Default 50.")
      expect(text).toContain("/follow/{id}")
      expect(text).not.toMatch(/<script|src=|https?:\/\//)
      expect(text.length).toBeLessThan(150_000)
      const { headers: plain, text: metrics } = yield* ask("/metrics")
      expect(plain["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/)
      expect(metrics).toBe("holdfast_up 1\n")
    }),
  )

  it.scopedLive("answer HEAD as GET, without a body", () =>
    Effect.gen(function* () {
      const { ask } = yield* serve()
      const reply = yield* ask("/openapi.json", { method: "HEAD" })
      expect([reply.status, reply.text]).toEqual([200, ""])
      expect(Number(reply.headers["content-length"])).toBeGreaterThan(1_000)
    }),
  )
})
