/** From what was sent to what was meant: every fault is an `invalid_request` with one clear sentence. */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Mask from "../process/Mask.js"
import { nearest } from "../process/Nearest.js"
import * as ApiError from "./ApiError.js"
import * as JsonFault from "./JsonFault.js"

/** Turns an input into a value, or says what is wrong with it. */
export type Decoder<A> = (input: unknown) => Either.Either<A, ApiError.ApiError>

const refuse = (message: string) => Either.left(ApiError.make("invalid_request", message))

/** The one name that this is the beginning of: without its unit, mostly. */
const abbreviated = (name: string, known: ReadonlyArray<string>): string | undefined => {
  const found = known.filter((one) => one.startsWith(`${name}_`))
  return found.length === 1 ? found[0] : undefined
}

/**
 * The decoder of a struct's schema: unknown fields are refused.
 *
 * @param what how messages call the input, for example "query"
 * @param field how they call its fields
 */
export const make = <A, I>(what: string, field: string, schema: Schema.Schema<A, I>): Decoder<A> => {
  const known = SchemaAST.getPropertySignatures(SchemaAST.encodedAST(schema.ast)).map(({ name }) =>
    String(name),
  )
  const decode = ParseResult.decodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })
  return (input) => {
    if (!Predicate.isRecord(input)) return refuse(`The ${what} must be a JSON object.`)
    const stranger = Object.keys(input).find((name) => !known.includes(name))
    if (stranger !== undefined) {
      const near = abbreviated(stranger, known) ?? nearest(stranger, known)
      const shown = JSON.stringify(stranger.length > 60 ? `${stranger.slice(0, 60)}…` : stranger)
      const hint =
        near === undefined
          ? known.length === 0
            ? "there is none"
            : `there are ${known.join(", ")}`
          : `did you mean ${JSON.stringify(near)}?`
      return refuse(`The ${what} has no ${field} ${shown}; ${hint}${near === undefined ? "." : ""}`)
    }
    return Either.mapLeft(decode(input), (issue) => {
      const error = InvalidSpec.fromParseError(
        what,
        input,
        ParseResult.parseError(issue),
        Mask.ofInput(input),
      )
      return ApiError.make("invalid_request", error.message)
    })
  }
}

/** Nothing that is asked for needs more; what goes through a value recursively must not run out of stack. */
const mostDepth = 32

const isDeeper = (value: unknown, levels: number): boolean =>
  typeof value === "object" &&
  value !== null &&
  (levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1)))

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false })

/** The value of a body. */
export const json = (bytes: Uint8Array): Either.Either<unknown, ApiError.ApiError> => {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return refuse("The request body is not UTF-8.")
  }
  try {
    const value: unknown = JSON.parse(text)
    return isDeeper(value, mostDepth)
      ? refuse(`The request body is nested more than ${mostDepth} levels deep.`)
      : Either.right(value)
  } catch {
    const at = JsonFault.find(text) ?? text.length
    return refuse(
      at >= text.length
        ? `The request body is not JSON: it ends too early, at ${JsonFault.describe(text, at)}.`
        : `The request body is not JSON: wrong at ${JsonFault.describe(text, at)}.`,
    )
  }
}
