/** What may stand in a path or a query: texts on the wire, values on both sides of it. */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as JobId from "../job/JobId.js"
import { GroupName } from "../job/JobSpec.js"
import * as JobLimits from "../job/JobLimits.js"
import { StateName } from "../job/JobState.js"
import * as Limits from "../output/Limits.js"
import * as UnitSpec from "../unit/UnitSpec.js"
import * as UnitStatus from "../unit/UnitStatus.js"

/** A field that may be left out, with what the documents say of it. */
export const maybe = <S extends Schema.Schema.All>(schema: S, description?: string): Schema.optional<S> =>
  description === undefined ? Schema.optional(schema) : Schema.optional(schema).annotations({ description })

/** A field that is always there, with what the documents say of it. */
export const field = <S extends Schema.Schema.All>(
  schema: S,
  description: string,
): Schema.propertySignature<S> => Schema.propertySignature(schema).annotations({ description })

/** A schema whose one complaint is that something else was expected. */
const fromText = <A>(
  to: Schema.Schema<A>,
  allowed: string,
  read: (text: string) => A | undefined,
  write: (value: A) => string,
): Schema.Schema<A, string> =>
  Schema.transformOrFail(Schema.String, to, {
    strict: true,
    decode: (text, _options, ast) => {
      const value = read(text)
      return value === undefined
        ? ParseResult.fail(new ParseResult.Type(ast, text, `expected ${allowed}`))
        : ParseResult.succeed(value)
    },
    encode: (value) => ParseResult.succeed(write(value)),
  })

/** A whole number within bounds, written in digits. */
const whole = (least: number, most: number, unit: string) => {
  const range = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`
  const allowed = `a whole number of ${unit}, ${range}`
  return fromText(
    Schema.Int,
    allowed,
    (text) => {
      const value = /^\d{1,16}$/.test(text) ? Number(text) : undefined
      return value !== undefined && value >= least && value <= most ? value : undefined
    },
    String,
  ).annotations({
    jsonSchema: { type: "integer", minimum: least, maximum: most, description: allowed },
  })
}

const flag = fromText(
  Schema.Boolean,
  "true or false",
  (text) => (text === "true" ? true : text === "false" ? false : undefined),
  String,
).annotations({ jsonSchema: { type: "boolean" } })

/** A length of time in milliseconds, up to 365 days. */
export const Millis = whole(0, JobLimits.longestMillis, "milliseconds")
/** A number of lines. */
export const Lines = whole(0, Number.MAX_SAFE_INTEGER, "lines")
/** How much of a tail. */
export const TailBytes = whole(0, Limits.mostBytes, "bytes")
/** How much of a read. */
export const ReadBytes = whole(1, Limits.mostBytes, "bytes")
/** A place in a log. */
export const Offset = whole(0, Number.MAX_SAFE_INTEGER, "bytes")
/** The number of an attempt, from 1. */
export const Attempt = whole(1, 1_000_000, "attempts")
/** How many entries a page has. */
export const PageSize = whole(1, 1_000, "entries")
/** A place in the event log. */
export const EventCursor = whole(0, Number.MAX_SAFE_INTEGER, "events")
/** A place in a unit's output. */
export const LineCursor = whole(0, Number.MAX_SAFE_INTEGER, "lines")
/** How many lines of a unit's output. */
export const UnitLines = whole(0, 10_000, "lines")
/** How many lines of a unit's output a page has. */
export const LinePage = whole(1, 10_000, "lines")
/** Yes or no. */
export const Flag = flag

const timeAllowed = "a time such as 2030-01-31T08:00:00Z, or milliseconds since the epoch"

/** A time by the wall clock, in milliseconds since the epoch once decoded. */
export const Time = fromText(
  Schema.Int,
  timeAllowed,
  (text) => {
    const millis = /^\d{1,15}$/.test(text)
      ? Number(text)
      : /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text)
        ? Date.parse(text)
        : Number.NaN
    return millis >= 0 && millis <= JobLimits.lastDate ? millis : undefined
  },
  String,
).annotations({ jsonSchema: { type: "string", description: timeAllowed } })

/** Several words: the parameter again and again, or with commas between them. */
const list = <A extends string>(
  item: Schema.Schema<A>,
  allowed: string,
  jsonSchema: object,
): Schema.Schema<readonly [A, ...Array<A>], string | ReadonlyArray<string>> => {
  const isItem = Schema.is(item)
  return Schema.transformOrFail(
    Schema.Union(Schema.String, Schema.Array(Schema.String)),
    Schema.typeSchema(Schema.NonEmptyArray(item)),
    {
      strict: true,
      decode: (given, _options, ast) => {
        const [first, ...more] = (typeof given === "string" ? [given] : given).flatMap((text) =>
          text.split(","),
        )
        return isItem(first) && more.every(isItem)
          ? ParseResult.succeed([first, ...more] as const)
          : ParseResult.fail(new ParseResult.Type(ast, given, `expected ${allowed}`))
      },
      encode: (items) => ParseResult.succeed(items),
    },
  ).annotations({ jsonSchema: { type: "array", items: jsonSchema } })
}

/** Names of states. */
export const States = list(StateName, `states: ${StateName.literals.join(", ")}`, {
  type: "string",
  enum: StateName.literals,
})
/** Names of a unit's states. */
export const UnitStates = list(UnitStatus.StateName, `states: ${UnitStatus.StateName.literals.join(", ")}`, {
  type: "string",
  enum: UnitStatus.StateName.literals,
})
/** Kinds of units. */
export const UnitKinds = list(UnitSpec.Kind, `kinds: ${UnitSpec.Kind.literals.join(", ")}`, {
  type: "string",
  enum: UnitSpec.Kind.literals,
})
/** Words of any kind. */
export const Words = list(Schema.NonEmptyString, "words, none of them empty", {
  type: "string",
  minLength: 1,
})

/** The name of a job in a path: its id or any beginning that no other job shares. */
export const JobPath = Schema.Struct({
  id: Schema.String.pipe(
    Schema.filter((text) => Either.isRight(JobId.parsePrefix(text)), {
      message: () =>
        "expected a job's id or its beginning: 1 to 26 of the characters 0-9 and A-Z without I, L, O and U",
      jsonSchema: { pattern: "^[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{1,26}$" },
    }),
  ),
})

/** Where a follower is: the attempt (0: before the first), and how far it has read each of its logs, in bytes. */
export interface Place {
  readonly attempt: number
  readonly stdout: number
  readonly stderr: number
}

/** A {@link Place} as the id of a server-sent event: `2:4096:0`. */
export const Cursor: Schema.Schema<Place, string> = fromText(
  Schema.Struct({ attempt: Schema.Int, stdout: Schema.Int, stderr: Schema.Int }),
  "the id of an event of this stream: attempt:stdoutOffset:stderrOffset",
  (text) => {
    const [attempt, stdout, stderr] = /^\d{1,7}:\d{1,15}:\d{1,15}$/.test(text)
      ? text.split(":").map(Number)
      : []
    // Before the first attempt there is nothing to have read.
    return attempt === undefined || (attempt === 0 && stdout! + stderr! > 0)
      ? undefined
      : { attempt, stdout: stdout!, stderr: stderr! }
  },
  ({ attempt, stderr, stdout }) => `${attempt}:${stdout}:${stderr}`,
).annotations({ jsonSchema: { type: "string", pattern: "^[0-9]+:[0-9]+:[0-9]+$" } })

/** The name of a group in a path. */
export const GroupPath = Schema.Struct({ name: GroupName })

const UnitName = UnitSpec.UnitName.annotations({
  jsonSchema: { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$" },
})

/** The name of a unit in a path. */
export const UnitPath = Schema.Struct({ name: UnitName })

const unitNames = { message: () => "expected a list of units' names, at least one" }

/** Units by name. */
export const UnitNames = Schema.Array(UnitName)
  .annotations(unitNames)
  .pipe(Schema.minItems(1))
  .annotations(unitNames)

/** One of a job's two logs. */
export const StreamName = Schema.Literal("stdout", "stderr")
export type StreamName = typeof StreamName.Type
