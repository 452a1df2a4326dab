/** Server-sent events: how they are written, and a job's output as a stream of them. */
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { JobRecord } from "../job/JobRecord.js"
import type { Followed } from "../job/JobRunnerService.js"
import * as Answers from "./Answers.js"
import * as ApiError from "./ApiError.js"
import { type Place, StreamName } from "./Params.js"
import * as Present from "./Present.js"

/** The data of `output`: a piece of a log. It never ends within a character. */
export const Output = Schema.Struct({
  attempt: Schema.Int,
  stream: StreamName,
  /** Where the piece begins, in bytes. */
  offset: Schema.Int,
  next_offset: Schema.Int,
  /** What is not UTF-8 is U+FFFD. */
  text: Schema.String,
}).annotations({ identifier: "OutputEvent" })
export type Output = typeof Output.Type

/** The data of `state`, and of `end`, after which nothing more comes: what `GET /status/{id}` says. */
export const State = Answers.Status
export type State = Answers.Status

/** How often a stream that has nothing to say shows that it is alive. */
const heartbeat = "15 seconds"

/** How long a browser waits before it connects again, in milliseconds. */
const retry = 1_000

/** One event as it is sent. */
export const write = (event: string, id: string | undefined, data: unknown): string =>
  `event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`

/** Where a reader is before the first event: no event itself, but what a client goes on from that is cut off. */
export const place = (id: number): string => `id: ${id}\n\n`

/** The events with a comment before them and whenever nothing else has come for a while; faults become events. */
export const alive = <R>(
  events: Stream.Stream<string, ApiError.ApiError, R>,
): Stream.Stream<string, never, R> =>
  events.pipe(
    Stream.catchAll((error) => Stream.make(write("error", undefined, ApiError.envelope(error)))),
    Stream.merge(
      Stream.tick(heartbeat).pipe(
        Stream.drop(1),
        Stream.map(() => ":\n\n"),
      ),
      {
        haltStrategy: "left",
      },
    ),
    (all) => Stream.concat(Stream.make(`retry: ${retry}\n\n`), all),
  )

const idOf = ({ attempt, stderr, stdout }: Place): string => `${attempt}:${stdout}:${stderr}`

const advance = (place: Place, output: Followed & { readonly _tag: "Output" }): Place => {
  const { attempt, nextOffset, stream } = output
  const from = attempt === place.attempt ? place : { attempt, stdout: 0, stderr: 0 }
  return { ...from, [stream]: nextOffset }
}

/**
 * What happens to a job as events: `output` and `state`, and `end` when there is no more. The id of each says where
 * to go on after it.
 *
 * @param from where the follower is
 */
export const ofJob = <E, R>(
  followed: Stream.Stream<Followed, E, R>,
  record: JobRecord,
  from: Place,
): Stream.Stream<string, E, R> =>
  Stream.suspend(() => {
    let place = from
    let last = record
    const status = (one: JobRecord) => ({ ...Present.head("status"), ...Present.status(one) }) satisfies State
    return Stream.concat(
      Stream.map(followed, (event) => {
        if (event._tag === "State") {
          last = event.record
          return write("state", idOf(place), status(last))
        }
        place = advance(place, event)
        const { attempt, nextOffset, offset, stream, text } = event
        const data: Output = { attempt, stream, offset, next_offset: nextOffset, text }
        return write("output", idOf(place), data)
      }),
      Stream.suspend(() => Stream.make(write("end", idOf(place), status(last)))),
    )
  })
