/** What the tests of events share. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventLog from "../../src/event/EventLog.js"

/** A directory that is gone after the test. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-event-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
)

/** Adds so many entries to the log; the n-th one of all has `n` as its data, and `padding` more characters. */
export const fill = (count: number, padding = 0) =>
  Effect.gen(function* () {
    const log = yield* EventLog.EventLog
    for (let index = 0; index < count; index++) {
      const seq = yield* log.append("job.queued", `j${index % 3}`, { padding: "x".repeat(padding) })
      // As a program would: with turns of the event loop in between.
      if (seq % 50 === 0) yield* log.flush
    }
    assertTrue(yield* log.flush)
  })

const assertTrue = (value: boolean): void => {
  if (!value) throw new Error("not written")
}

/** The numbers of entries. */
export const seqs = (page: { readonly events: ReadonlyArray<EventLog.EventEntry> }): Array<number> =>
  page.events.map(({ seq }) => seq)

/** From a number to another one. */
export const range = (from: number, to: number): Array<number> =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)

/** Reads page after page until the end. Gives the pages. */
export const readAll = (options: EventLog.ReadOptions = {}) =>
  Effect.gen(function* () {
    const log = yield* EventLog.EventLog
    const pages: Array<EventLog.Page> = []
    for (let after = options.after; ;) {
      const page = yield* log.read({ ...options, ...(after === undefined ? {} : { after }) })
      if (page.events.length > 0 || page.missed) pages.push(page)
      if (page.next === page.last) return pages
      after = page.next
    }
  })

/** What a stream gives first, as short texts: the number of an entry, or how many were missed. */
export const firstOf = <E>(stream: Stream.Stream<EventLog.Followed, E>, count: number) =>
  Effect.map(Stream.runCollect(Stream.take(stream, count)), (found) =>
    Chunk.toReadonlyArray(found).map((item) =>
      item._tag === "Entry" ? String(item.entry.seq) : `missed ${item.count}`,
    ),
  )

/** Collects what is logged. */
export const logging = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(
      ({ logLevel, message }) => void lines.push(`${logLevel.label} ${String(message)}`),
    )
    const result = yield* Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger))
    return { lines, result }
  })
