/** Follows a unit's output through its server-sent events, and through restarts of the daemon. */
import type * as http from "node:http"
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as UnitSpec from "../unit/UnitSpec.js"
import * as ApiError from "./ApiError.js"
import * as EventFollow from "./EventFollow.js"
import type { ServerEvent } from "./EventStreamReader.js"
import type * as Transport from "./Transport.js"
import * as Answers from "./UnitAnswers.js"

/** Where to follow from. Not both of `after` and `lines`. */
export interface Options extends EventFollow.Options {
  /** A cursor: the `seq` of the last line that is known, or the `next` of a page; 0 for all that is kept. */
  readonly after?: number | undefined
  /** So many of the last lines first. Default 0: only what is still to come. */
  readonly lines?: number | undefined
}

/** What a follower is told. */
export type Followed =
  | ({ readonly _tag: "Line" } & Answers.UnitLine)
  | ({ readonly _tag: "Missed" } & Answers.Missed)

const decodeLine = Schema.decodeUnknownOption(Schema.parseJson(Answers.UnitLine))
const decodeMissed = Schema.decodeUnknownOption(Schema.parseJson(Answers.Missed))

const read = ({ data, event }: ServerEvent): Option.Option<Followed> => {
  switch (event) {
    case "line":
      return Option.map(decodeLine(data), (line) => ({ _tag: "Line" as const, ...line }))
    case "missed":
      return Option.map(decodeMissed(data), (missed) => ({ _tag: "Missed" as const, ...missed }))
    default:
      return Option.none()
  }
}

/** See `ApiClient.followUnit`. */
export const make = (
  agent: http.Agent,
  locate: Effect.Effect<Transport.Target, Transport.LocateError>,
  name: string,
  { after, lines, ...options }: Options = {},
): Stream.Stream<Followed, EventFollow.Failure> =>
  Stream.suspend(() => {
    if (!UnitSpec.isName(name)) {
      const message = `There is no unit ${JSON.stringify(name.slice(0, 80))}: expected ${UnitSpec.nameAllowed}.`
      return Stream.fail(ApiError.make("invalid_request", message))
    }
    const query = new URLSearchParams()
    if (after !== undefined) query.set("after", String(after))
    if (lines !== undefined) query.set("lines", String(lines))
    // It ends with the unit, which is not there any more then.
    const source = { path: `/units/${name}/follow?${query}`, read, isLast: () => false }
    return EventFollow.make(agent, locate, source, options)
  })
