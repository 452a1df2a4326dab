/**
 * The error for a specification that cannot be used: which field, what stood there, what is allowed. Every spec of
 * Holdfast is decoded through {@link decoder} before anything is started.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** One thing wrong with a spec. `value` is printed text, or `(hidden)` where it may hold a secret. */
export const Issue = Schema.Struct({ field: Schema.String, value: Schema.String, allowed: Schema.String })
export type Issue = typeof Issue.Type

/** A specification that cannot be used. Nothing was started. */
export class InvalidSpec extends Schema.TaggedError<InvalidSpec>()("InvalidSpec", {
  what: Schema.String,
  issues: Schema.Array(Issue),
}) {
  override get message(): string {
    const lines = this.issues.map((issue) => `${issue.field}: got ${issue.value}; ${issue.allowed}`)
    return `The ${this.what} cannot be used. ${lines.join(". ")}.`
  }
}

/** Fields whose values may be secrets and are never printed. */
const secretFields = new Set(["env", "headers", "stdin"])

const print = (path: ReadonlyArray<PropertyKey>, value: unknown): string => {
  if (path.some((key) => secretFields.has(String(key)))) return "(hidden)"
  if (value === undefined) return "nothing"
  let text: string
  try {
    text = typeof value === "bigint" ? `${value}n` : (JSON.stringify(value) ?? String(value))
  } catch {
    text = String(value)
  }
  return text.length > 120 ? `${text.slice(0, 120)}…` : text
}

const printPath = (path: ReadonlyArray<PropertyKey>): string =>
  path.length === 0
    ? "(the whole spec)"
    : path
        .map((key, index) =>
          typeof key === "number" ? `[${key}]` : `${index === 0 ? "" : "."}${String(key)}`,
        )
        .join("")

const valueAt = (input: unknown, path: ReadonlyArray<PropertyKey>): unknown =>
  path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined,
    input,
  )

/** The formatter's words for what is allowed, without the value, which may be a secret. */
const allowedBy = (message: string): string => {
  const unknown = /^is unexpected, expected: ([\s\S]*)$/.exec(message)
  if (unknown !== null)
    return `it is not known here; known are ${unknown[1]!.replaceAll('"', "").split(" | ").join(", ")}`
  return message
    .replace(/, actual [\s\S]*$/, "")
    .replace(/^is missing$/, "it is required")
    .replace(/^Expected .*\(Encoded side\)$/s, "Expected an object")
    .replace(/^E/, "e")
}

const isInside = (path: ReadonlyArray<PropertyKey>, outer: ReadonlyArray<PropertyKey>): boolean =>
  path.length > outer.length && outer.every((key, index) => path[index] === key)

/** Turns a schema's complaints about `input` into an {@link InvalidSpec}. `what` names the spec: "process spec". */
export const fromParseError = (what: string, input: unknown, error: ParseResult.ParseError): InvalidSpec => {
  const complaints = ParseResult.ArrayFormatter.formatErrorSync(error)
    .map(({ message, path }) => ({ path, allowed: allowedBy(message) }))
    // That an optional field may also be left out helps nobody who gave it.
    .filter(({ allowed }) => allowed !== "expected undefined")
  const byField = new Map<string, { readonly value: string; readonly allowed: Set<string> }>()
  for (const { allowed, path } of complaints) {
    // The innermost complaint says most.
    if (complaints.some((other) => isInside(other.path, path))) continue
    const field = printPath(path)
    const known = byField.get(field) ?? { value: print(path, valueAt(input, path)), allowed: new Set() }
    known.allowed.add(known.allowed.size === 0 ? allowed : allowed.replace(/^expected /, ""))
    byField.set(field, known)
  }
  return new InvalidSpec({
    what,
    issues: [...byField].map(([field, { allowed, value }]) => ({
      field,
      value,
      allowed: [...allowed].join(" or "),
    })),
  })
}

/**
 * The decoder of a spec's schema: all errors at once, unknown fields refused.
 *
 * @param what how messages call the spec, for example "process spec"
 */
export const decoder = <A, I>(
  what: string,
  schema: Schema.Schema<A, I>,
): ((input: I) => Effect.Effect<A, InvalidSpec>) => {
  const decode = ParseResult.decodeUnknown(schema, { errors: "all", onExcessProperty: "error" })
  return (input) =>
    Effect.mapError(decode(input), (issue) => fromParseError(what, input, ParseResult.parseError(issue)))
}
