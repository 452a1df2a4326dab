/** What may stand on a command line: the one description that parsing, help and completions are made from. */

/** What the value of an option is; `flag` is an option without one. */
export type Kind =
  | "flag"
  | "text"
  /** `500ms`, `10s`, `5m`; in milliseconds once read. */
  | "time"
  /** A whole number, not negative. */
  | "count"
  /** A whole number. */
  | "integer"
  /** `4096`, `10kB`, `1MiB`; in bytes once read. */
  | "size"

/** One option, written `--name` or `-s`. */
export interface Option {
  readonly kind: Kind
  /** One letter. */
  readonly short?: string
  /** How its value is called in the help. */
  readonly value?: string
  /** The only values there are, if it is a text. */
  readonly among?: ReadonlyArray<string>
  /** What completes it, besides others that there may be. */
  readonly words?: ReadonlyArray<string>
  /** Whether it may be given more than once. */
  readonly many?: true
  /** One line. */
  readonly help: string
}

/** The options of a command by name. */
export type Options = Readonly<Record<string, Option>>

/** What may follow besides options. `command` takes all the rest as it stands, with or without a `--` before it. */
export interface Positionals {
  readonly name: string
  readonly count: "none" | "optional" | "one" | "some" | "any" | "command"
  /** What completes it: these words, ids of jobs, or ids of jobs and names of units; default nothing. */
  readonly among?: ReadonlyArray<string> | "jobs" | "names"
}

/** One command. */
export interface Syntax<O extends Options = Options> {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  readonly positionals: Positionals
  readonly options: O
  /** What else to know, for the command's own help. */
  readonly notes?: ReadonlyArray<string>
}

type Single<O extends Option> = O["kind"] extends "flag"
  ? boolean
  : O["kind"] extends "text"
    ? O["among"] extends ReadonlyArray<infer Word>
      ? Word
      : string
    : number

/** What was given for an option: a flag is false, and a list empty, when it was not. */
export type Value<O extends Option> = O["many"] extends true
  ? ReadonlyArray<Single<O>>
  : O["kind"] extends "flag"
    ? boolean
    : Single<O> | undefined

/** What was given for all of them. */
export type Values<O extends Options> = { readonly [Name in keyof O]: Value<O[Name]> }

/** The options that every command has. */
export const common = {
  root: {
    kind: "text",
    value: "DIR",
    help: "where everything lives (HOLDFAST_ROOT, or the XDG state directory)",
  },
  json: { kind: "flag", help: "print the answer as JSON, as the HTTP API gives it" },
  help: { kind: "flag", short: "h", help: "show this text" },
} as const satisfies Options

/** A command line that was understood. */
export interface Input<S extends Syntax = Syntax> {
  readonly args: ReadonlyArray<string>
  readonly options: Values<S["options"] & typeof common>
}

/** Keeps the literal types, from which `Input` is told. */
export const define = <const O extends Options>(syntax: Syntax<O>): Syntax<O> => syntax
