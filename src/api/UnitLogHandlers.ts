/** What the endpoints that give a unit's output do. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { LogGap, LogLine, UnitLog } from "../output/UnitLog.js"
import type { Service } from "../unit/SupervisorService.js"
import * as ApiError from "./ApiError.js"
import * as EventStream from "./EventStream.js"
import { type Fault, toApiError } from "./Faults.js"
import * as Present from "./Present.js"
import { type Handlers, Streamed } from "./Routes.js"
import * as UnitPresent from "./UnitPresent.js"

type Logs = Pick<Service, "log">

const refuse = (message: string) => Effect.fail(ApiError.make("invalid_request", message))

const answered = <A>(effect: Effect.Effect<A, Fault>): Effect.Effect<A, ApiError.ApiError> =>
  Effect.mapError(effect, toApiError)

/** The last lines as a page: what comes next is read after it. */
const tail = (log: UnitLog, lines: number | undefined, since: number | undefined) =>
  Effect.suspend(() => {
    const latest = log.latest()
    return Effect.map(log.tail({ lines, since }), (found) => ({
      lines: found,
      next: Math.max(latest, found.at(-1)?.seq ?? 0),
      latest: log.latest(),
      gap: undefined,
    }))
  })

const logs = (units: Logs): Handlers["unitLogs"] =>
  Effect.fnUntraced(function* ({ path: { name }, urlParams: { after, limit, lines, since } }) {
    if (after !== undefined && (lines !== undefined || since !== undefined))
      return yield* refuse(
        'The query has "after" with "lines" or "since"; read on from a cursor, or give the last lines.',
      )
    if (after === undefined && limit !== undefined)
      return yield* refuse('The query has "limit" without "after"; the last lines are counted by "lines".')
    const log = yield* answered(units.log(name))
    const page = yield* answered(after === undefined ? tail(log, lines, since) : log.read({ after, limit }))
    return {
      ...Present.head("unit-logs"),
      name,
      lines: page.lines.map(UnitPresent.line),
      next: page.next,
      latest: page.latest,
      missed: page.gap && UnitPresent.missed(page.gap),
    }
  })

const written = (one: LogLine | LogGap): string =>
  one._tag === "Line"
    ? EventStream.write("line", String(one.seq), UnitPresent.line(one))
    : EventStream.write("missed", String(one.next), UnitPresent.missed(one))

/** As one text: a follower of a flood takes thousands of lines at a time. */
const allWritten = (chunk: Chunk.Chunk<LogLine | LogGap>): Chunk.Chunk<string> => {
  let text = ""
  for (const one of chunk) text += written(one)
  return Chunk.of(text)
}

const follow = (units: Logs, stopping: Effect.Effect<void>): Handlers["followUnit"] =>
  Effect.fnUntraced(function* ({ headers, path: { name }, urlParams: { after, lines } }) {
    if (after !== undefined && lines !== undefined)
      return yield* refuse('The query has both "after" and "lines"; give one of them.')
    const log = yield* answered(units.log(name))
    const known = headers["last-event-id"] ?? after
    // Who is cut off before the first line must find it again.
    const begin = known ?? (lines === undefined || lines === 0 ? log.latest() : undefined)
    const events = log
      .follow(begin === undefined ? { lines } : { after: begin })
      .pipe(Stream.mapChunks(allWritten), Stream.mapError(toApiError))
    const all = begin === undefined ? events : Stream.concat(Stream.make(EventStream.place(begin)), events)
    return new Streamed(Stream.interruptWhen(EventStream.alive(all), stopping))
  })

/**
 * The handlers of `GET /units/{name}/logs` and `GET /units/{name}/follow`.
 *
 * @param stopping done when the daemon begins to stop: streams end then
 */
export const make = (
  units: Logs,
  stopping: Effect.Effect<void>,
): Pick<Handlers, "unitLogs" | "followUnit"> => ({
  unitLogs: logs(units),
  followUnit: follow(units, stopping),
})
