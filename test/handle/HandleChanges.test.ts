import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as EventLog from "../../src/event/EventLog.js"
import * as HandleChanges from "../../src/handle/HandleChanges.js"
import { broken, forkOne, gate, Lab, make, makeReady, quiet } from "./support.js"

describe("changes", () => {
  it.effect(
    "are told in order, with from, to, reason, mode and what describes the resource, until the end",
    () =>
      Effect.gen(function* () {
        const lab = new Lab()
        const scope = yield* Scope.make()
        const handle = yield* Scope.extend(
          make(lab, { attempts: Schedule.stop, mode: ({ id }) => (id < 3 ? "managed" : "external") }),
          scope,
        )
        const fiber = yield* forkOne(Stream.runCollect(handle.changes))
        yield* handle.acquire
        lab.onStart = ({ id }) => (id === 2 ? Effect.fail(broken) : Effect.void)
        yield* handle.invalidate("it was told so")
        yield* Effect.flip(handle.acquire)
        yield* quiet
        yield* TestClock.adjust("2 seconds")
        yield* handle.acquire
        lab.onValidate = () => Effect.fail("it was refused")
        yield* Effect.flip(handle.acquire)
        yield* handle.reset
        yield* handle.acquire
        yield* Scope.close(scope, Exit.void)
        const changes = Chunk.toReadonlyArray(yield* Fiber.join(fiber))
        const managed = {
          handle: "web",
          mode: "managed",
          generation: 1,
          attributes: { baseUrl: "http://127.0.0.1:4001" },
        }
        const external = (generation: number, port: number) => ({
          handle: "web",
          mode: "external",
          generation,
          attributes: { baseUrl: `http://127.0.0.1:${port}` },
        })
        const failed = "It did not start: it is broken"
        expect(changes).toEqual([
          { ...managed, seq: 1, at: 0, from: "Empty", to: "Ready", reason: "it was started" },
          { ...managed, seq: 2, at: 0, from: "Ready", to: "Stale", reason: "it was told so" },
          { ...managed, seq: 3, at: 0, from: "Stale", to: "Failed", reason: failed },
          { ...external(3, 4_003), seq: 4, at: 2_000, from: "Failed", to: "Ready", reason: failed },
          { ...external(3, 4_003), seq: 5, at: 2_000, from: "Ready", to: "Failed", reason: "it was refused" },
          { ...external(3, 4_003), seq: 6, at: 2_000, from: "Failed", to: "Empty", reason: "it was reset" },
          { ...external(4, 4_004), seq: 7, at: 2_000, from: "Empty", to: "Ready", reason: "it was started" },
          { ...external(4, 4_004), seq: 8, at: 2_000, from: "Ready", to: "Empty", reason: "it was closed" },
        ])
        // Whoever comes too late is not kept waiting.
        expect(Chunk.size(yield* Stream.runCollect(handle.changes))).toBe(0)
      }),
  )

  it.scoped("a slow reader loses the oldest, sees that by their numbers, and slows nobody down", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* make(lab)
      const { open, pass } = yield* gate
      const seen: Array<number> = []
      yield* Effect.forkScoped(
        Stream.runForEach(handle.changes, ({ seq }) =>
          Effect.zipRight(
            Effect.sync(() => seen.push(seq)),
            pass,
          ),
        ),
      )
      yield* quiet
      yield* handle.acquire
      yield* quiet
      const rounds = 400
      for (let round = 0; round < rounds; round++) {
        yield* handle.invalidate("just so")
        yield* handle.acquire
      }
      expect(lab.starts).toBe(rounds + 1)
      yield* open
      yield* quiet
      const last = 1 + 2 * rounds
      const kept = seen.filter((seq) => seq > 1)
      expect(seen[0]).toBe(1)
      expect(kept.at(-1)).toBe(last)
      expect(kept).toHaveLength(HandleChanges.backlog)
      expect(kept).toEqual(kept.map((_, index) => last - kept.length + 1 + index))
    }),
  )

  it.scoped("are lines of the log, warnings where something is wrong", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ annotations, logLevel, message }) => {
        lines.push([logLevel.label, message, Object.fromEntries(HashMap.toEntries(annotations))])
      })
      const lab = new Lab()
      yield* Effect.gen(function* () {
        const handle = yield* Effect.annotateLogs(makeReady(lab), "app", "mine")
        // Who brings a change about does not leave a mark on it.
        yield* Effect.annotateLogs(handle.invalidate("it was told so"), "who", "me")
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      const about = {
        app: "mine",
        handle: "web",
        mode: "managed",
        generation: 1,
        baseUrl: "http://127.0.0.1:4001",
      }
      expect(lines).toEqual([
        [
          "INFO",
          ["web: Empty -> Ready, as it was started"],
          { ...about, from: "Empty", to: "Ready", reason: "it was started" },
        ],
        [
          "WARN",
          ["web: Ready -> Stale, as it was told so"],
          { ...about, from: "Ready", to: "Stale", reason: "it was told so" },
        ],
      ])
    }),
  )

  it.scoped("an attempt that fails before another one is a warning", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => {
        lines.push([logLevel.label, message])
      })
      const lab = new Lab()
      lab.onStart = (_, { attempt }) => (attempt === 1 ? Effect.fail(broken) : Effect.void)
      yield* Effect.provide(makeReady(lab), Logger.replace(Logger.defaultLogger, logger))
      expect(lines[0]).toEqual([
        "WARN",
        ["web is started once more, as it failed: It did not start: it is broken"],
      ])
    }),
  )

  it.scoped("are spans, beside those of the acquire and the start", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      // Effect's own one, noting its spans.
      const native = yield* Effect.tracer
      const tracer = Tracer.make({
        span: (...about) => {
          const span = native.span(...about)
          spans.push(span)
          return span
        },
        context: (f) => f(),
      })
      const lab = new Lab()
      yield* Effect.gen(function* () {
        const handle = yield* Effect.withSpan(make(lab), "making")
        lab.onValidate = () => Effect.withSpan(Effect.void, "probe")
        yield* handle.acquire
        yield* Effect.withSpan(handle.acquire, "caller")
      }).pipe(Effect.withTracer(tracer))
      const named = (name: string) => spans.filter((span) => span.name === name)
      expect(spans.map(({ name }) => name).sort()).toEqual([
        "Handle.acquire",
        "Handle.acquire",
        "Handle.start",
        "caller",
        "handle.ready",
        "making",
        "probe",
      ])
      expect(Object.fromEntries(named("handle.ready")[0]!.attributes)).toMatchObject({
        handle: "web",
        from: "Empty",
        to: "Ready",
        baseUrl: "http://127.0.0.1:4001",
      })
      // A validation belongs to whoever asks, a start to nobody: it outlives them.
      expect(named("probe")[0]!.parent).toMatchObject({ value: named("Handle.acquire")[1] })
      expect(named("Handle.acquire")[1]!.parent).toMatchObject({ value: named("caller")[0] })
      expect(named("Handle.start")[0]!.parent._tag).toBe("None")
    }),
  )

  it.scoped("are entries of the event log, where there is one", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      yield* handle.invalidate("it was told so")
      const log = yield* EventLog.EventLog
      const { events } = yield* log.read()
      expect(events.map(({ data, subject, type }) => [type, subject, data["reason"]])).toEqual([
        ["handle.ready", "web", "it was started"],
        ["handle.stale", "web", "it was told so"],
      ])
    }).pipe(Effect.provide(EventLog.layerMemory())),
  )
})
