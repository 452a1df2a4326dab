/** What the endpoints that give a job's output piece by piece do. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type JobRecord, lastAttempt } from "../job/JobRecord.js"
import type { LogPiece, Service } from "../job/JobRunnerService.js"
import * as Limits from "../output/Limits.js"
import * as Utf8 from "../output/Utf8.js"
import type * as ApiError from "./ApiError.js"
import * as EventStream from "./EventStream.js"
import { type Fault, toApiError } from "./Faults.js"
import type { Place, StreamName } from "./Params.js"
import * as Present from "./Present.js"
import { type Handlers, Streamed } from "./Routes.js"

const answered = <A, R>(effect: Effect.Effect<A, Fault, R>): Effect.Effect<A, ApiError.ApiError, R> =>
  Effect.mapError(effect, toApiError)

/** The most bytes that a character has. */
const characterBytes = 4

/**
 * How much of a piece to give as text, so that no character is cut in two: the whole characters within `cap` bytes, or
 * the first one when it alone is longer. An unfinished one is waited for, unless nothing more will come.
 */
const textEnd = ({ bytes, ended, eof }: LogPiece, cap: number): number => {
  const limit = Math.min(cap, bytes.length)
  const complete = Utf8.completeEnd(bytes, limit)
  if (complete > 0 && limit < bytes.length) return complete
  for (let end = limit; end <= bytes.length; end++) if (Utf8.completeEnd(bytes, end) === end) return end
  return eof && ended ? bytes.length : complete
}

const log = (runner: Service): Handlers["log"] =>
  Effect.fnUntraced(function* ({ path, urlParams }) {
    const { attempt, encoding = "utf-8", max_bytes: cap = Limits.defaultBytes, offset, stream } = urlParams
    const isText = encoding === "utf-8"
    const maxBytes = isText ? Math.max(cap, characterBytes) : cap
    const piece = yield* answered(runner.read(path.id, { stream, offset, maxBytes, attempt }))
    const { bytes } = piece
    const end = isText ? textEnd(piece, cap) : bytes.length
    return {
      ...Present.head("log"),
      job_id: piece.record.id,
      stream: piece.stream,
      attempt: piece.attempt,
      offset: piece.offset,
      next_offset: piece.nextOffset - (bytes.length - end),
      // What is left of a character is nothing to give yet.
      eof:
        piece.eof && (end === bytes.length || (!piece.ended && Utf8.completeEnd(bytes.subarray(end)) === 0)),
      ended: piece.ended,
      encoding,
      text: isText ? Utf8.decode(bytes, 0, end) : undefined,
      base64: isText ? undefined : Buffer.from(bytes).toString("base64"),
    }
  })

/** Where a follower begins, and what it asks for. */
interface Beginning {
  readonly place: Place
  readonly attempt: number | undefined
  readonly stream: StreamName | undefined
}

/** Fails for a place that cannot be: in a stream of events it would make a client ask again for ever. */
const check = (runner: Service, { id }: JobRecord, { attempt, place, stream }: Beginning) =>
  Effect.forEach(
    stream === undefined ? (["stdout", "stderr"] as const) : [stream],
    (one) =>
      attempt === undefined && place[one] === 0
        ? Effect.void
        : runner.read(id, { stream: one, attempt, offset: place[one], maxBytes: 1 }),
    { discard: true },
  )

const follow = (runner: Service, stopping: Effect.Effect<void>): Handlers["follow"] =>
  Effect.fnUntraced(function* ({ headers, path, urlParams: query }) {
    const record = yield* answered(runner.get(path.id))
    const cursor = headers["last-event-id"]
    const last = lastAttempt(record)?.number
    const place: Place = cursor ?? {
      attempt: query.attempt ?? last ?? 0,
      stdout: query.stdout_offset ?? 0,
      stderr: query.stderr_offset ?? 0,
    }
    // Who has seen that there was no attempt goes on with the first.
    const unseen = last === undefined ? undefined : 1
    const attempt = cursor === undefined ? query.attempt : cursor.attempt === 0 ? unseen : cursor.attempt
    yield* answered(check(runner, record, { place, attempt, stream: query.stream }))
    const followed = runner.follow(record.id, {
      stream: query.stream,
      attempt: attempt ?? last,
      stdoutOffset: place.stdout,
      stderrOffset: place.stderr,
    })
    const events = Stream.mapError(EventStream.ofJob(followed, record, place), toApiError)
    return new Streamed(Stream.interruptWhen(EventStream.alive(events), stopping))
  })

/**
 * The handlers of `GET /log/{id}` and `GET /follow/{id}`.
 *
 * @param stopping done when the daemon begins to stop: streams end then
 */
export const make = (runner: Service, stopping: Effect.Effect<void>): Pick<Handlers, "log" | "follow"> => ({
  log: log(runner),
  follow: follow(runner, stopping),
})
