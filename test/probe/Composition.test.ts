import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import * as Prober from "../../src/probe/Prober.js"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
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

const at = (port: number) => ({ url: `http://127.0.0.1:${port}/` })

describe("all and any", () => {
  it.scopedLive("all passes when each passes, with the outputs of each", () =>
    Effect.gen(function* () {
      const server = yield* jsonServer({ version: "v3" })
      const output = ProcessOutput.make()
      output.offer("stdout", Buffer.from("up as web\n"))
      const success = yield* ask(
        {
          all: [
            { http: { ...at(server.port), version: { pointer: "/version", equals: "3" } } },
            { tcp: {} },
            { log: { pattern: "up as (?<name>\\w+)" } },
          ],
        },
        { output, port: server.port, host: "127.0.0.1" },
      )
      expect(success.outputs).toEqual({ version: "3", name: "web" })
      expect(success.peers).toHaveLength(2)
    }).pipe(Effect.provide(proberLive)),
  )

  it.scopedLive("all fails with every sentence; what is not transient decides", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const server = yield* jsonServer({ version: "1" })
      const failure = yield* askFailing({
        all: [
          { tcp: { host: "127.0.0.1", port } },
          { http: { ...at(server.port), version: { pointer: "/version", equals: "2" } } },
          { tcp: { host: "127.0.0.1", port: server.port } },
        ],
      })
      expect(failure).toMatchObject({
        kind: "all",
        class: "unhealthy",
        transient: false,
        contact: "answered",
        mismatch: { what: "version" },
      })
      expect(failure.message).toContain("was refused")
      expect(failure.message).toContain("answered with version 1")
    }).pipe(Effect.provide(proberLive)),
  )

  it.scopedLive("any passes with the first, and cancels the rest", () =>
    Effect.gen(function* () {
      const server = yield* httpServer((_, response) => response.end())
      const slow = yield* tcpServer(silent)
      const [elapsed] = yield* Effect.timed(
        ask({ any: [{ http: at(slow.port) }, { http: at(server.port) }], timeout: "20s" }),
      )
      expect(Duration.toMillis(elapsed)).toBeLessThan(10_000)
      yield* slow.allClosed
    }).pipe(Effect.provide(proberLive)),
  )

  it.scopedLive("any fails when all fail, and is not ready as long as one may become so", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const server = yield* jsonServer("not what was asked")
      const failure = yield* askFailing({
        any: [
          { http: { ...at(server.port), version: { pointer: "/version", equals: "2" } } },
          { tcp: { host: "127.0.0.1", port } },
        ],
      })
      expect(failure).toMatchObject({ kind: "any", class: "refused", transient: true })
      expect(failure.message).toContain("no version")
    }).pipe(Effect.provide(proberLive)),
  )

  it.scopedLive("all share one deadline", () =>
    Effect.gen(function* () {
      const one = yield* tcpServer(silent)
      const two = yield* tcpServer(silent)
      const [elapsed, failure] = yield* Effect.timed(
        askFailing({
          all: [{ http: at(one.port) }, { all: [{ http: at(two.port) }, { http: at(one.port) }] }],
          timeout: "3s",
        }),
      )
      expect(failure.class).toBe("timeout")
      expect(Duration.toMillis(elapsed)).toBeLessThan(5_900)
      yield* Effect.all([one.allClosed, two.allClosed])
    }).pipe(Effect.provide(proberLive)),
  )
})

describe("a scripted prober", () => {
  it.scoped("answers from its script and can be looked into", () =>
    Effect.gen(function* () {
      const prober = yield* Prober.Prober
      const scripted = yield* Prober.ScriptedProber
      const probe = yield* prober.attach({ tcp: {} }, { port: 4 })
      expect((yield* probe.check).outputs).toEqual({ index: "0" })
      expect((yield* probe.check).outputs).toEqual({ index: "1" })
      expect(scripted.asked()).toBe(2)
      expect(scripted.running()).toBe(0)
      expect(scripted.attached()).toMatchObject([{ target: { port: 4 }, spec: { tcp: {} } }])
      scripted.wake()
      yield* probe.wake
      expect((yield* Effect.flip(prober.attach({ tcp: {} })))._tag).toBe("InvalidSpec")
    }).pipe(Effect.provide(Prober.layerScripted(({ index }) => Effect.succeed({ index: String(index) })))),
  )
})

describe("a check", () => {
  it.scoped("is a span where the app gathers spans", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      const native = yield* Effect.tracer
      const noting = Tracer.make({
        context: (run) => run(),
        span: (name, ...rest) => {
          names.push(name)
          return native.span(name, ...rest)
        },
      })
      const prober = yield* Prober.Prober
      const probe = yield* prober.attach({ tcp: {} }, { port: 4 })
      yield* Effect.withTracer(probe.check, noting)
      expect(names).toEqual(["Prober.check"])
    }).pipe(Effect.provide(Prober.layerScripted(() => Effect.void))),
  )
})
