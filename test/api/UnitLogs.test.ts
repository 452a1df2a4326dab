/** A unit's output through the API: pages by cursor, and server-sent events that are resumed without a loss. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { open, serve } from "./support.js"
import { type FakeUnits, fakeUnits } from "./units.js"

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)

const serving = (lines?: number) =>
  Effect.gen(function* () {
    const units = yield* fakeUnits(lines)
    units.set("web", { generation: 3 })
    return { ...(yield* serve({ supervisor: units.service })), units }
  })

const texts = (lines: ReadonlyArray<{ readonly text: string }>) => lines.map(({ text }) => text)

const numbered = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, index) => `${from + index}\n`).join("")

/** Lines that are dropped one by one: what comes at once from one stream is dropped as a whole. */
const flood = (units: FakeUnits, from: number, to: number): void => {
  for (let line = from; line <= to; line++)
    units.print("web", `${line}\n`, line % 2 === 0 ? "stdout" : "stderr")
}

describe("logs", () => {
  it.scopedLive("gives the last lines, and a cursor to read on from", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* serving()
      expect((yield* ask("/units/web/logs")).body).toEqual({
        schema_version: "1",
        ok: true,
        type: "unit-logs",
        name: "web",
        lines: [],
        next: 0,
        latest: 0,
      })
      units.print("web", "one\n")
      units.print("web", `→ two${"x".repeat(9_000)}\n`, "stderr")
      const { body } = yield* ask("/units/web/logs")
      expect(body).toMatchObject({ next: 3, latest: 3 })
      expect(body.lines).toEqual([
        { seq: 1, at: time, stream: "stdout", text: "one", generation: 3 },
        {
          seq: 2,
          at: time,
          stream: "stderr",
          text: expect.stringMatching(/^→ twox+$/),
          continued: true,
          generation: 3,
        },
        { seq: 3, at: time, stream: "stderr", text: expect.stringMatching(/^x+$/), generation: 3 },
      ])
      expect((yield* ask("/units/web/logs?lines=1")).body.lines).toMatchObject([{ seq: 3 }])
      expect((yield* ask("/units/web/logs?lines=0")).body).toMatchObject({ lines: [], next: 3, latest: 3 })
      expect((yield* ask("/units/web/logs?since=2000-01-01")).body.lines).toHaveLength(3)
      expect((yield* ask("/units/web/logs?since=2100-01-01")).body).toMatchObject({ lines: [], next: 3 })
    }),
  )

  it.scopedLive("reads on from a cursor, page by page, and says what is not there any more", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* serving(10)
      units.print("web", numbered(1, 7))
      const first = yield* ask("/units/web/logs?after=0&limit=4")
      expect(first.body).toMatchObject({ next: 4, latest: 7 })
      expect(first.body.missed).toBeUndefined()
      expect(texts(first.body.lines)).toEqual(["1", "2", "3", "4"])
      const second = yield* ask(`/units/web/logs?after=${first.body.next}&limit=4`)
      expect(second.body).toMatchObject({ next: 7, latest: 7 })
      expect(texts(second.body.lines)).toEqual(["5", "6", "7"])
      expect((yield* ask("/units/web/logs?after=7")).body).toMatchObject({ lines: [], next: 7 })
      flood(units, 8, 40)
      const third = yield* ask("/units/web/logs?after=7")
      expect(third.body).toMatchObject({ missed: { count: 23, next: 30 }, next: 40, latest: 40 })
      expect(texts(third.body.lines)[0]).toBe("31")
      // A cursor that this log never gave.
      const foreign = yield* ask("/units/web/logs?after=1000000&limit=1")
      expect(foreign.body).toMatchObject({
        missed: { count: 0, next: 30 },
        lines: [{ seq: 31 }],
      })
    }),
  )
})

describe("follow", () => {
  it.scopedLive("gives the last lines, then lines as they come", () =>
    Effect.gen(function* () {
      const all = yield* serving()
      const { units } = all
      units.print("web", numbered(1, 5))
      const stream = yield* open(all, "/units/web/follow?lines=2")
      expect(stream.contentType).toBe("text/event-stream")
      yield* stream.until(2)
      units.print("web", "oops\n", "stderr")
      yield* stream.until(3)
      stream.cut()
      expect(stream.events).toEqual([
        { event: "line", id: "4", data: { seq: 4, at: time, stream: "stdout", text: "4", generation: 3 } },
        { event: "line", id: "5", data: { seq: 5, at: time, stream: "stdout", text: "5", generation: 3 } },
        { event: "line", id: "6", data: { seq: 6, at: time, stream: "stderr", text: "oops", generation: 3 } },
      ])
    }),
  )

  it.scopedLive("goes on after the last event, and counts what was dropped meanwhile", () =>
    Effect.gen(function* () {
      const all = yield* serving(10)
      const { units } = all
      units.print("web", numbered(1, 3))
      const first = yield* open(all, "/units/web/follow?after=1")
      yield* first.until(2)
      first.cut()
      expect(first.events.map(({ id }) => id)).toEqual(["2", "3"])

      units.print("web", "4\n")
      const second = yield* open(all, "/units/web/follow?after=1", first.events.at(-1)!.id)
      yield* second.until(1)
      second.cut()
      expect(second.events).toMatchObject([{ event: "line", id: "4", data: { text: "4" } }])

      // While somebody follows, more is kept for them: the server has to have seen that they are gone.
      yield* Effect.repeat(
        Effect.tap(all.ask("/units/web/logs?after=4&limit=1"), () => Effect.sync(() => flood(units, 1, 60))),
        { until: ({ body }) => body.missed !== undefined },
      )
      const latest: number = (yield* all.ask("/units/web/logs?lines=0")).body.latest
      const third = yield* open(all, "/units/web/follow", "4")
      yield* third.until(11)
      third.cut()
      expect(third.events.slice(0, 2)).toMatchObject([
        { event: "missed", id: String(latest - 10), data: { count: latest - 14, next: latest - 10 } },
        { event: "line", id: String(latest - 9) },
      ])
      // From the event that says so nothing is missed twice.
      const fourth = yield* open(all, "/units/web/follow", third.events[0]!.id)
      yield* fourth.until(1)
      fourth.cut()
      expect(fourth.events[0]).toMatchObject({ event: "line", id: String(latest - 9) })
    }),
  )

  it.scopedLive("tells where it is before the first line, and that a cursor is foreign", () =>
    Effect.gen(function* () {
      const all = yield* serving()
      const { units } = all
      units.print("web", numbered(1, 3))
      const silent = yield* open(all, "/units/web/follow")
      // Opened after the first one was answered: what is printed now is news to both.
      const second = yield* open(all, "/units/web/follow", "1000000")
      yield* second.until(4)
      units.print("web", "4\n")
      yield* silent.until(1)
      yield* second.until(5)
      silent.cut()
      second.cut()
      expect(silent.text()).toMatch(/^retry: 1000\n\nid: 3\n\nevent: line\nid: 4\n/)
      expect(second.events.map(({ event, id }) => `${event} ${id}`)).toEqual([
        "missed 0",
        "line 1",
        "line 2",
        "line 3",
        "line 4",
      ])
      expect(second.events[0]!.data).toEqual({ count: 0, next: 0 })
    }),
  )

  it.scopedLive("a flood comes whole, and leaves nothing behind for each time that it had to wait", () =>
    Effect.gen(function* () {
      const warnings: Array<Error> = []
      const listen = (warning: Error) => void warnings.push(warning)
      yield* Effect.acquireRelease(
        Effect.sync(() => process.on("warning", listen)),
        () => Effect.sync(() => process.off("warning", listen)),
      )
      const all = yield* serving(50_000)
      const { units } = all
      const text = "x".repeat(99)
      units.print("web", `${text}\n`.repeat(40_000))
      const stream = yield* open(all, "/units/web/follow?after=0")
      yield* stream.until(40_000)
      stream.cut()
      expect(stream.events.map(({ id }) => id)).toEqual(
        Array.from({ length: 40_000 }, (_, index) => String(index + 1)),
      )
      expect(stream.events.every(({ data }) => data.text === text)).toBe(true)
      expect(warnings).toEqual([])
    }),
  )
})
