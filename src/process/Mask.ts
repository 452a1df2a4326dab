/** Keeps secrets out of everything a person or a file gets to see. */
import * as Predicate from "effect/Predicate"

/** Stands in the place of a masked value. */
export const placeholder = "***"

/** The variables of one process. What is undefined is not passed on. */
export type Variables = Record<string, string | undefined>

/** Replaces every masked value that occurs in a text. */
export type Redact = (text: string) => string

/** The replacer for the variables of `env` that `names` lists. An empty value hides nothing. */
export const make = (
  names: ReadonlyArray<string>,
  env: Readonly<Record<string, string | undefined>>,
): Redact => {
  if (names.length === 0) return (text) => text
  const values = new Set<string>()
  for (const name of names) {
    // A spec that is still to be checked may name anything.
    if (typeof name !== "string") continue
    const value = env[name]
    if (typeof value !== "string" || value === "") continue
    values.add(value)
    // A value with several lines is seen line by line in a log.
    for (const line of value.split(/\r?\n/)) if (line.trim().length >= 8) values.add(line)
  }
  if (values.size === 0) return (text) => text
  // The longest first: one value may contain another.
  const ordered = [...values].sort((a, b) => b.length - a.length)
  return (text) => ordered.reduce((masked, value) => masked.replaceAll(value, placeholder), text)
}

/**
 * The replacer for a description that is still to be checked: it may be anything at all, and so may its `mask` and `env`.
 * A variable that it does not set is one of this program, which its process inherits.
 */
export const ofInput = (input: unknown): Redact => {
  const { env, mask } = Predicate.isRecord(input) ? input : {}
  // To copy the environment takes longer than all the rest.
  if (!Array.isArray(mask) || mask.length === 0) return (text) => text
  // A number may be a secret, too.
  const own = Object.entries(Predicate.isRecord(env) ? env : {}).map(
    ([name, value]) => [name, typeof value === "number" ? String(value) : value] as const,
  )
  return make(mask, { ...process.env, ...(Object.fromEntries(own) as Variables) })
}

/** The command line for people: quoted where a shell would need it, masked values replaced. */
export const formatCommand = (command: ReadonlyArray<string>, redact: Redact): string =>
  command
    .map(redact)
    .map((part) => (/^[\w@%+=:,./*-]+$/.test(part) ? part : `'${part.replaceAll("'", `'\\''`)}'`))
    .join(" ")

/** Variables as they may be shown: those of `names` not at all, in the others every masked value replaced. */
export const redactVariables = (
  env: Readonly<Record<string, string>>,
  names: ReadonlyArray<string>,
  redact: Redact,
): Record<string, string> =>
  Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, names.includes(name) ? placeholder : redact(value)]),
  )
