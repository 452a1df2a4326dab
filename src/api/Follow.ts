/** Follows a job through its server-sent events, and through restarts of the daemon. */
import type * as http from "node:http"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as JobId from "../job/JobId.js"
import * as ApiError from "./ApiError.js"
import { EventStreamReader, type ServerEvent } from "./EventStreamReader.js"
import * as EventStream from "./EventStream.js"
import type { StreamName } from "./Params.js"
import { toApiError } from "./Faults.js"
import * as Transport from "./Transport.js"

/** Where to follow from, and for how long to look for a daemon that went away. */
export interface Options {
  /** Only this one; default both. */
  readonly stream?: StreamName | undefined
  /** Default: the last, or the first to come. */
  readonly attempt?: number | undefined
  /** In bytes. Default 0. */
  readonly stdoutOffset?: number | undefined
  readonly stderrOffset?: number | undefined
  /** When to try again while nobody answers. Default: for ever, from 100 ms to 2 s apart. */
  readonly reconnect?: Schedule.Schedule<unknown, unknown> | undefined
}

/** What a follower is told. `Ended` is the last. */
export type Followed =
  | ({ readonly _tag: "Output" } & EventStream.Output)
  | { readonly _tag: "State"; readonly status: EventStream.State }
  | { readonly _tag: "Ended"; readonly status: EventStream.State }

const always = Schedule.exponential("100 millis").pipe(
  Schedule.modifyDelay((_, delay) => Duration.min(delay, Duration.seconds(2))),
)

const decodeOutput = Schema.decodeUnknownEither(Schema.parseJson(EventStream.Output))
const decodeState = Schema.decodeUnknownEither(Schema.parseJson(EventStream.State))
const decodeError = Schema.decodeUnknownEither(Schema.parseJson(ApiError.ErrorEnvelope))

/** The connection ended before the job did. */
const cut = (address: string) =>
  new Transport.Unreachable({ address, code: "ECONNRESET", reason: "the connection was cut" })

type Failure = ApiError.ApiError | Transport.LocateError | Transport.Unreachable

const told = (text: string, status: number): ApiError.ApiError =>
  Either.match(decodeError(text), {
    onLeft: () =>
      ApiError.make("internal_error", `The answer has the status ${status} and is no event stream.`, {
        status,
      }),
    onRight: ({ error }) => new ApiError.ApiError({ ...error, status }),
  })

/** Unknown events are for later versions of this client. */
const read = ({ data, event }: ServerEvent): Option.Option<Either.Either<Followed, ApiError.ApiError>> => {
  switch (event) {
    case "output":
      return Option.map(Option.getRight(decodeOutput(data)), (output) =>
        Either.right({ _tag: "Output" as const, ...output }),
      )
    case "state":
    case "end":
      return Option.map(Option.getRight(decodeState(data)), (status) =>
        Either.right({ _tag: event === "end" ? ("Ended" as const) : ("State" as const), status }),
      )
    case "error":
      return Option.some(Either.left(told(data, 200)))
    default:
      return Option.none()
  }
}

/** Whether it may pass: what went away may come back, and be another one. */
const mayPass = (error: Failure): boolean =>
  error._tag === "Unreachable" || error._tag === "NoDaemon" || (error._tag === "ApiError" && error.retryable)

/** See `ApiClient.follow`. */
export const make = (
  agent: http.Agent,
  locate: Effect.Effect<Transport.Target, Transport.LocateError>,
  name: string,
  options: Options = {},
): Stream.Stream<Followed, Failure> =>
  Stream.suspend(() => {
    const id = JobId.parsePrefix(name)
    if (Either.isLeft(id)) return Stream.fail(toApiError(id.left))
    const query = new URLSearchParams()
    for (const [key, value] of [
      ["stream", options.stream],
      ["attempt", options.attempt],
      ["stdout_offset", options.stdoutOffset],
      ["stderr_offset", options.stderrOffset],
    ] as const)
      if (value !== undefined) query.set(key, String(value))
    let cursor: string | undefined
    let hasEnded = false

    const once = Effect.gen(function* () {
      const target = yield* locate
      const incoming = yield* Transport.open(agent, target, {
        method: "GET",
        path: `/follow/${id.right}?${query}`,
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
      const events = Stream.fromAsyncIterable(incoming as AsyncIterable<Uint8Array>, () =>
        cut(target.address),
      ).pipe(
        Stream.mapConcat((bytes) => reader.push(bytes)),
        Stream.tap((event) =>
          Effect.sync(() => {
            cursor = event.id ?? cursor
            hasEnded = event.event === "end"
          }),
        ),
        Stream.filterMap(read),
        Stream.mapEffect((event): Effect.Effect<Followed, ApiError.ApiError> => event),
        Stream.rechunk(1),
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
