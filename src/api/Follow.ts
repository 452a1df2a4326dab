/** Follows a job through its server-sent events, and through restarts of the daemon. */
import type * as http from "node:http"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as JobId from "../job/JobId.js"
import * as EventFollow from "./EventFollow.js"
import type { ServerEvent } from "./EventStreamReader.js"
import * as EventStream from "./EventStream.js"
import type { StreamName } from "./Params.js"
import { toApiError } from "./Faults.js"
import type * as Transport from "./Transport.js"

/** Where to follow from. */
export interface Options extends EventFollow.Options {
  /** Only this one; default both. */
  readonly stream?: StreamName | undefined
  /** Default: the last, or the first to come. */
  readonly attempt?: number | undefined
  /** In bytes. Default 0. */
  readonly stdoutOffset?: number | undefined
  readonly stderrOffset?: number | undefined
}

/** What a follower is told. `Ended` is the last. */
export type Followed =
  | ({ readonly _tag: "Output" } & EventStream.Output)
  | { readonly _tag: "State"; readonly status: EventStream.State }
  | { readonly _tag: "Ended"; readonly status: EventStream.State }

const decodeOutput = Schema.decodeUnknownOption(Schema.parseJson(EventStream.Output))
const decodeState = Schema.decodeUnknownOption(Schema.parseJson(EventStream.State))

const read = ({ data, event }: ServerEvent): Option.Option<Followed> => {
  switch (event) {
    case "output":
      return Option.map(decodeOutput(data), (output) => ({ _tag: "Output" as const, ...output }))
    case "state":
    case "end":
      return Option.map(decodeState(data), (status) => ({
        _tag: event === "end" ? ("Ended" as const) : ("State" as const),
        status,
      }))
    default:
      return Option.none()
  }
}

/** See `ApiClient.follow`. */
export const make = (
  agent: http.Agent,
  locate: Effect.Effect<Transport.Target, Transport.LocateError>,
  name: string,
  options: Options = {},
): Stream.Stream<Followed, EventFollow.Failure> =>
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
    const source = {
      path: `/follow/${id.right}?${query}`,
      read,
      isLast: ({ event }: ServerEvent) => event === "end",
    }
    return EventFollow.make(agent, locate, source, options)
  })
