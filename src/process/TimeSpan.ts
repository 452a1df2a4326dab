/**
 * Lengths of time as people write them in a configuration: `500ms`, `10s`, `5m`, `1h30m`; a bare number is
 * seconds. One notation for specs, the configuration file and the command line.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Millis from "./Millis.js"

/** What a user may write for a length of time: a `Duration`, seconds as a number, or text such as `1m30s`. */
export type Input = Duration.Duration | number | string

const allowed = "a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds)"

/** Reads a length of time; `None` when the input is not one, is negative or is not finite. */
export const parse = (input: Input): Option.Option<Duration.Duration> => {
  if (Duration.isDuration(input)) {
    return Duration.isFinite(input) ? Option.some(input) : Option.none()
  }
  if (typeof input === "number") {
    return Number.isFinite(input) && input >= 0 ? Option.some(Duration.millis(input * 1_000)) : Option.none()
  }
  return Option.map(Option.fromNullable(Millis.parse(input)), Duration.millis)
}

const Encoded = Schema.Union(Schema.DurationFromSelf, Schema.Number, Schema.String).annotations({
  identifier: "TimeSpanInput",
  message: () => ({ message: `expected ${allowed}`, override: true }),
})

/**
 * The schema of a length of time. Decodes {@link Input} to a finite, non-negative `Duration`; encodes to text in
 * milliseconds.
 */
export const TimeSpan: Schema.Schema<Duration.Duration, Input> = Schema.transformOrFail(
  Encoded,
  Schema.DurationFromSelf,
  {
    strict: true,
    decode: (input, _options, ast) =>
      Option.match(parse(input), {
        onNone: () => ParseResult.fail(new ParseResult.Type(ast, input, `expected ${allowed}`)),
        onSome: ParseResult.succeed,
      }),
    encode: (duration) => ParseResult.succeed(`${Duration.toMillis(duration)}ms`),
  },
).annotations({ identifier: "TimeSpan" })
