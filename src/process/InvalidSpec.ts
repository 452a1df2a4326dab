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

/** Turns a schema's complaints about `input` into an {@link InvalidSpec}. `what` names the spec: "process spec". */
export const fromParseError = (what: string, input: unknown, error: ParseResult.ParseError): InvalidSpec => {
  const seen = new Set<string>()
  const issues: Array<Issue> = []
  for (const { message, path } of ParseResult.ArrayFormatter.formatErrorSync(error)) {
    const issue = {
      field: printPath(path),
      value: print(path, valueAt(input, path)),
      // The formatter repeats the actual value, which may be a secret; only what is allowed is kept.
      allowed: message.replace(/, actual [\s\S]*$/, "").replace(/^E/, "e"),
    }
    const key = `${issue.field}\u0000${issue.allowed}`
    if (!seen.has(key)) issues.push(issue)
    seen.add(key)
  }
  return new InvalidSpec({ what, issues })
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
