/** Output as server-sent events: what comes, where it goes on, and how it ends. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { open, serve } from "./support.js"

describe("follow", () => {
  it.scopedLive("gives output as it comes, changes of state, and the end", () =>
    Effect.gen(function* () {
      const serving = yield* serve()
      const { fake, run } = serving
      const id = yield* run()
      yield* fake.print(id, "stdout", "before\n")
      const stream = yield* open(serving, `/follow/${id}`)
      expect(stream.contentType).toBe("text/event-stream")
      yield* stream.until(2)
      yield* fake.print(id, "stderr", "→ a\nb")
      yield* stream.until(3)
      yield* fake.exit(id, 3)
      yield* stream.ended
      const state = { schema_version: "1", ok: true, type: "status", job_id: id }
      expect(stream.events).toMatchObject([
        {
          event: "output",
          id: "1:7:0",
          data: { attempt: 1, stream: "stdout", offset: 0, next_offset: 7, text: "before\n" },
        },
        { event: "state", id: "1:7:0", data: { ...state, state: "running" } },
        { event: "output", id: "1:7:7", data: { stream: "stderr", text: "→ a\nb", next_offset: 7 } },
        { event: "state", id: "1:7:7", data: { ...state, state: "exited", exit_code: 3 } },
        { event: "end", id: "1:7:7", data: { ...state, state: "exited", exit_code: 3 } },
      ])
    }),
  )

  it.scopedLive("goes on exactly where the last event ended", () =>
    Effect.gen(function* () {
      const serving = yield* serve()
      const { fake, run } = serving
      const id = yield* run()
      yield* fake.print(id, "stdout", "one\n")
      yield* fake.print(id, "stderr", "x")
      const first = yield* open(serving, `/follow/${id}`)
      yield* first.until(3)
      first.cut()
      yield* fake.print(id, "stdout", "two\n")
      const last = first.events.findLast(({ event }) => event === "output")!
      expect(last.id).toBe("1:4:1")
      const second = yield* open(serving, `/follow/${id}?stdout_offset=0`, last.id)
      yield* fake.exit(id, 0)
      yield* second.ended
      const output = second.events.filter(({ event }) => event === "output")
      expect(output.map(({ data }) => data)).toEqual([
        { attempt: 1, stream: "stdout", offset: 4, next_offset: 8, text: "two\n" },
      ])
    }),
  )

  it.scopedLive("says before the stream what is wrong with the request", () =>
    Effect.gen(function* () {
      const { ask } = yield* serve()
      expect(yield* ask("/follow/01HZX3V9Q4R8N7C2M5K6J1T0WB")).toMatchObject({
        status: 404,
        body: { error: { code: "job_not_found" } },
      })
    }),
  )
})

describe("events", () => {
  it.scopedLive("are read and followed from a cursor", () =>
    Effect.gen(function* () {
      const serving = yield* serve()
      const { ask, events } = serving
      yield* events.append("job.exited", "A", { code: 1 })
      yield* events.append("unit.ready", "B")
      yield* events.append("job.lost", "A")
      expect((yield* ask("/events?type=job&limit=1")).body).toMatchObject({
        schema_version: "1",
        ok: true,
        type: "events",
        events: [
          { seq: 1, at: expect.stringMatching(/Z$/), type: "job.exited", subject: "A", data: { code: 1 } },
        ],
        first: 1,
        last: 3,
        missed: false,
      })
      expect((yield* ask("/events?after=1&subject=B")).body.events).toMatchObject([{ seq: 2 }])
      const stream = yield* open(serving, "/events/follow?after=0&type=unit,job.lost", "2")
      yield* stream.until(1)
      yield* events.append("unit.down", "B")
      yield* stream.until(2)
      stream.cut()
      expect(stream.events).toMatchObject([
        { event: "event", id: "3", data: { seq: 3, type: "job.lost" } },
        { event: "event", id: "4", data: { seq: 4, type: "unit.down" } },
      ])
      expect((yield* ask("/events?type=unit&subject=B")).body.events).toMatchObject([
        { seq: 2, type: "unit.ready", subject: "B" },
        { seq: 4, type: "unit.down", subject: "B" },
      ])
      expect((yield* ask("/events?type=unit.ready&subject=A")).body.events).toEqual([])
      expect(yield* ask("/events?after=x")).toMatchObject({ status: 400 })
    }),
  )
})

describe("shutdown", () => {
  it.live("ends streams and waits, answers what was accepted, and takes no long time", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const serving = yield* Scope.extend(serve({ grace: "20 seconds" }), scope)
      const { ask, fake, run } = serving
      const id = yield* run()
      const stream = yield* open(serving, `/follow/${id}`)
      yield* stream.until(1)
      const waiting = yield* Effect.forkDaemon(ask(`/wait/${id}`))
      const accepted = yield* Effect.forkDaemon(ask("/exec", { body: { command: ["true"], wait: true } }))
      yield* fake.watched
      // Asked for afterwards, answered before: both of the others have arrived.
      yield* Effect.repeat(ask("/jobs"), { until: ({ body }) => body.jobs.length === 2 })
      const begin = performance.now()
      yield* Scope.close(scope, Exit.void)
      expect(performance.now() - begin).toBeLessThan(5_000)
      yield* stream.ended
      expect(stream.events.map(({ event }) => event)).not.toContain("end")
      expect(yield* Fiber.join(waiting)).toMatchObject({
        status: 503,
        body: { error: { code: "unavailable", retryable: true } },
      })
      expect(yield* Fiber.join(accepted)).toMatchObject({
        status: 200,
        body: { type: "run", state: "running" },
      })
      expect(yield* Effect.exit(ask("/health"))).toMatchObject({ _tag: "Failure" })
    }),
  )
})
