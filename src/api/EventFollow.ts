/** Follows server-sent events, and goes on where it was when the daemon comes back. */
import type * as http from "node:http"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ApiError from "./ApiError.js"
import { EventStreamReader, type ServerEvent } from "./EventStreamReader.js"
import * as Transport from "./Transport.js"

/** For how long to look for a daemon that went away. */
export interface Options {
  /** When to try again while nobody answers. Default: for ever, from 100 ms to 2 s apart. */
  readonly reconnect?: Schedule.Schedule<unknown, unknown> | undefined
}

/** Why following ends before its time. */
export type Failure = ApiError.ApiError | Transport.LocateError | Transport.Unreachable

/** What is followed. */
export interface Source<A> {
  /** With its query. */
  readonly path: string
  /** What an event means. None for one of a later version, which is left out. */
  readonly read: (event: ServerEvent) => Option.Option<A>
  /** Whether nothing comes after it; without it the stream was cut. */
  readonly isLast: (event: ServerEvent) => boolean
}

const always = Schedule.exponential("100 millis").pipe(
  Schedule.modifyDelay((_, delay) => Duration.min(delay, Duration.seconds(2))),
)

const decodeError = Schema.decodeUnknownEither(Schema.parseJson(ApiError.ErrorEnvelope))

/** The connection ended before what is followed did. */
const cut = (address: string) =>
  new Transport.Unreachable({ address, code: "ECONNRESET", reason: "the connection was cut" })

const told = (text: string, status: number): ApiError.ApiError =>
  Either.match(decodeError(text), {
    onLeft: () =>
      ApiError.make("internal_error", `The answer has the status ${status} and is no event stream.`, {
        status,
      }),
    onRight: ({ error }) => new ApiError.ApiError({ ...error, status }),
  })

/** Whether it may pass: what went away may come back, and be another one. */
const mayPass = (error: Failure): boolean =>
  error._tag === "Unreachable" || error._tag === "NoDaemon" || (error._tag === "ApiError" && error.retryable)

/** Follows until the last event. */
export const make = <A>(
  agent: http.Agent,
  locate: Effect.Effect<Transport.Target, Transport.LocateError>,
  source: Source<A>,
  options: Options = {},
): Stream.Stream<A, Failure> =>
  Stream.suspend(() => {
    let cursor: string | undefined
    let hasEnded = false

    const once = Effect.gen(function* () {
      const target = yield* locate
      const incoming = yield* Transport.open(agent, target, {
        method: "GET",
        path: source.path,
        headers: {
          accept: "text/event-stream",
          ...(cursor === undefined ? {} : { "last-event-id": cursor }),
        },
      })
      if (incoming.statusCode !== 200) {
        const text = Buffer.from(yield* Transport.read(target, incoming)).toString()
        return yield* Effect.fail(told(text, incoming.statusCode ?? 0))
      }
      const reader = new EventStreamReader()
      const take = (event: ServerEvent): Option.Option<Either.Either<A, ApiError.ApiError>> => {
        hasEnded = source.isLast(event)
        return event.event === "error"
          ? Option.some(Either.left(told(event.data, 200)))
          : Option.map(source.read(event), Either.right)
      }
      const events = Stream.fromAsyncIterable(incoming as AsyncIterable<Uint8Array>, () =>
        cut(target.address),
      ).pipe(
        Stream.mapConcat((bytes) => {
          const found = reader.push(bytes)
          // What was read is passed on before anything can fail.
          cursor = reader.id ?? cursor
          return found
        }),
        Stream.filterMap(take),
        Stream.mapEffect((event): Effect.Effect<A, ApiError.ApiError> => event),
      )
      const end = Stream.suspend(() => (hasEnded ? Stream.empty : Stream.fail(cut(target.address))))
      return Stream.ensuring(
        Stream.concat(events, end),
        Effect.sync(() => incoming.destroy()),
      )
    })

    return Stream.retry(
      Stream.unwrap(once),
      Schedule.whileInput(options.reconnect ?? always, (error: Failure) => mayPass(error)),
    )
  })
