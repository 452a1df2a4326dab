/**
 * The error for a specification that cannot be used: which field, what stood there, what is allowed. Every spec of
 * Holdfast is decoded through {@link decoder} before anything is started.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Redact } from "./Mask.js"

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

const hidden = "(hidden)"

const print = (path: ReadonlyArray<PropertyKey>, value: unknown, redact: Redact): string => {
  if (path.some((key) => secretFields.has(String(key)))) return hidden
  if (value === undefined) return "nothing"
  // Something else than a spec altogether: nothing says which part of it is secret.
  if (path.length === 0 && typeof value === "string") return "a text"
  if (path.length === 0 && Array.isArray(value)) return "a list"
  if (Array.isArray(value)) {
    const isFlat = value.every((item) => typeof item !== "object" || item === null)
    return isFlat ? cut(JSON.stringify(value.map((item) => printable(item, redact)))) : "a list"
  }
  // What is in it may be secret, and its fields are told of one by one.
  if (typeof value === "object" && value !== null) return "an object"
  return cut(typeof value === "string" ? JSON.stringify(printable(value, redact)) : String(value))
}

/** Redacted before it is quoted or cut: either would hide the secret from the eye that looks for it. */
const printable = (value: unknown, redact: Redact): unknown =>
  typeof value === "string" ? hideCredentials(redact(value)) : typeof value === "bigint" ? `${value}n` : value

/** A URL may be refused for the password in it, and carry another in its query. */
const hideCredentials = (text: string): string =>
  /^\w+:\/\//.test(text) ? text.replace(/\/\/[^/\s]*@/, "//***@").replace(/\?.*/s, "?…") : text

const cut = (text: string): string => (text.length > 120 ? `${text.slice(0, 120)}…` : text)

/** A path within a spec, as text: `command[0]`, `readiness.http.path`. */
export const printPath = (path: ReadonlyArray<PropertyKey>): string =>
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

const unknownField = /^is unexpected, expected: ([\s\S]*)$/

/** The formatter's words for what is allowed, without the value, which may be a secret. */
const allowedBy = (message: string): string => {
  const unknown = unknownField.exec(message)
  if (unknown !== null)
    return `it is not known here; known are ${unknown[1]!.replaceAll('"', "").split(" | ").join(", ")}`
  return message
    .replace(/, actual [\s\S]*$/, "")
    .replace(/^is missing$/, "it is required")
    .replace(/^Expected .*\(Encoded side\)$/s, "Expected an object")
    .replace(/^E/, "e")
}

const keyOf = (path: ReadonlyArray<PropertyKey>): string =>
  path.map((key) => `${typeof key} ${String(key)}`).join("\0")

/** The same complaints about a spec that has a name. */
export const inside =
  (what: string) =>
  ({ issues }: InvalidSpec): InvalidSpec =>
    new InvalidSpec({ what, issues })

/** Turns a schema's complaints about `input` into an {@link InvalidSpec}. `what` names the spec: "process spec". */
export const fromParseError = (
  what: string,
  input: unknown,
  error: ParseResult.ParseError,
  redact: Redact = (text) => text,
): InvalidSpec => {
  const complaints = ParseResult.ArrayFormatter.formatErrorSync(error)
    .map(({ message, path }) => ({ path, allowed: allowedBy(message), known: !unknownField.test(message) }))
    // That an optional field may also be left out helps nobody who gave it.
    .filter(({ allowed }) => allowed !== "expected undefined")
  // What has a complaint within it, as text: told from each other by what no key of a path is.
  const outer = new Set(complaints.flatMap(({ path }) => path.map((_, end) => keyOf(path.slice(0, end)))))
  const byField = new Map<string, { readonly value: string; readonly allowed: Set<string> }>()
  for (const { allowed, known, path } of complaints) {
    // The innermost complaint says most.
    if (outer.has(keyOf(path))) continue
    const field = printPath(path)
    // A field that is not known may be a misspelt secret one.
    const value = known ? print(path, valueAt(input, path), redact) : hidden
    const issue = byField.get(field) ?? { value, allowed: new Set<string>() }
    issue.allowed.add(issue.allowed.size === 0 ? allowed : allowed.replace(/^expected /, ""))
    byField.set(field, issue)
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
 * @param redactFor what hides the secrets that an input names itself
 */
export const decoder = <A, I>(
  what: string,
  schema: Schema.Schema<A, I>,
  redactFor?: (input: I) => Redact,
): ((input: I) => Effect.Effect<A, InvalidSpec>) => {
  const decode = ParseResult.decodeUnknown(schema, { errors: "all", onExcessProperty: "error" })
  return (input) =>
    Effect.mapError(decode(input), (issue) =>
      fromParseError(what, input, ParseResult.parseError(issue), redactFor?.(input)),
    )
}
