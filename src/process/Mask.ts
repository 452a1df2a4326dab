/** Keeps secrets out of everything a person or a file gets to see. */
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
