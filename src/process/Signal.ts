/** Signals by name, as people write them: `TERM`, `SIGTERM`, `term`. */
import { constants } from "node:os"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** A signal's full name, such as `SIGTERM`. */
export type Signal = NodeJS.Signals

const names = Object.keys(constants.signals) as Array<Signal>
const known: ReadonlySet<string> = new Set(names)

/** The signal of that name, with or without `SIG`, in any case; undefined when this system has none. */
export const parse = (name: string): Signal | undefined => {
  const upper = name.trim().toUpperCase()
  const full = upper.startsWith("SIG") ? upper : `SIG${upper}`
  return known.has(full) ? (full as Signal) : undefined
}

const allowed = "expected the name of a signal, such as TERM, INT, HUP or KILL"

/** Decodes any spelling of a signal's name to the full one. */
export const SignalName: Schema.Schema<Signal, string> = Schema.transformOrFail(
  Schema.String,
  Schema.Literal(...names),
  {
    strict: true,
    decode: (name, _options, ast) => {
      const signal = parse(name)
      return signal === undefined
        ? ParseResult.fail(new ParseResult.Type(ast, name, allowed))
        : ParseResult.succeed(signal)
    },
    encode: ParseResult.succeed,
  },
).annotations({ identifier: "SignalName" })
