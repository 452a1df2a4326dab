/** From the words on a command line to what they mean, or one sentence why they mean nothing. */
import { parseArgs } from "node:util"
import { nearest } from "../process/Nearest.js"
import { parseBytes, parseMillis } from "./Span.js"
import type { Input, Kind, Option, Options, Syntax } from "./Syntax.js"
import { common } from "./Syntax.js"

/** A command line that means nothing. Its message is one sentence without the program's name. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

/** Whether an error is one of these, also one of another file's class of the same text. */
export const isUsageError = (error: unknown): error is UsageError =>
  error instanceof Error && error.name === "UsageError"

type Token = NonNullable<ReturnType<typeof parseArgs>["tokens"]>[number]

/** Reads what stands behind a command's name; throws a `UsageError`. */
export const parse = <S extends Syntax>(syntax: S, args: ReadonlyArray<string>): Input<S> => {
  const options: Options = { ...syntax.options, ...common }
  const tokens = tokenize(options, args)
  const isCommand = syntax.positionals.count === "command"
  // What follows the first word is the other command's own, whatever it looks like.
  const cut = isCommand ? tokens.findIndex(({ kind }) => kind !== "option") : -1
  const own = cut === -1 ? tokens : tokens.slice(0, cut)
  const rest =
    cut === -1 ? [] : args.slice(tokens[cut]!.index + (tokens[cut]!.kind === "option-terminator" ? 1 : 0))
  const values: Record<string, unknown> = {}
  for (const [name, option] of Object.entries(options)) {
    if (option.many) values[name] = []
    else if (option.kind === "flag") values[name] = false
  }
  const seen = new Set<string>()
  for (const token of own) {
    if (token.kind !== "option") continue
    const option = Object.hasOwn(options, token.name) ? options[token.name]! : undefined
    if (option === undefined) throw unknownOption(syntax.name, options, token.rawName)
    if (seen.has(token.name) && option.many === undefined && option.kind !== "flag") {
      throw new UsageError(`${token.rawName} was given twice`)
    }
    seen.add(token.name)
    const value = read(option, token)
    if (option.many) (values[token.name] as Array<unknown>).push(value)
    else values[token.name] = value
  }
  const words = isCommand ? rest : own.flatMap((token) => (token.kind === "positional" ? [token.value] : []))
  if (values["help"] !== true) checkCount(syntax, words)
  return { args: words, options: values as Input<S>["options"] }
}

/** Whether help is asked for, by whoever knows what the command is but not yet whether the rest makes sense. */
export const asksForHelp = (syntax: Syntax, args: ReadonlyArray<string>): boolean => {
  const tokens = tokenize({ ...syntax.options, ...common }, args)
  const cut = syntax.positionals.count === "command" ? tokens.findIndex(({ kind }) => kind !== "option") : -1
  return (cut === -1 ? tokens : tokens.slice(0, cut)).some(
    (token) => token.kind === "option" && token.name === "help",
  )
}

const tokenize = (options: Options, args: ReadonlyArray<string>): ReadonlyArray<Token> => {
  const described = Object.entries(options).map(([name, { kind, short }]) => [
    name,
    { type: kind === "flag" ? "boolean" : "string", ...(short === undefined ? {} : { short }) } as const,
  ])
  return parseArgs({
    args: [...args],
    options: Object.fromEntries(described),
    strict: false,
    allowPositionals: true,
    tokens: true,
  }).tokens
}

const read = (option: Option, token: Token & { kind: "option" }): unknown => {
  const { inlineValue, rawName, value } = token
  if (option.kind === "flag") {
    if (value !== undefined) throw new UsageError(`${rawName} takes no value`)
    return true
  }
  // `--tag --wait` is a value forgotten; who means it writes `--tag=--wait`. A number may be below zero.
  if (value === undefined || (inlineValue === false && /^-(?!\d)./.test(value))) {
    throw new UsageError(`${rawName} needs a value: ${rawName} ${option.value ?? "VALUE"}`)
  }
  const allowed = option.among
  if (allowed !== undefined && !allowed.includes(value)) {
    const near = nearest(value, allowed)
    throw new UsageError(
      `${rawName} cannot be ${JSON.stringify(value)}; ` +
        (near === undefined ? `it is one of ${allowed.join(", ")}` : `did you mean ${near}?`),
    )
  }
  const result = readers[option.kind].read(value)
  if (result === undefined) {
    throw new UsageError(`${rawName} expects ${readers[option.kind].expects}, not ${JSON.stringify(value)}`)
  }
  return result
}

const whole = (text: string): number | undefined =>
  /^-?\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined

const readers: Record<
  Exclude<Kind, "flag">,
  { readonly expects: string; readonly read: (text: string) => unknown }
> = {
  text: { expects: "a text", read: (text) => text },
  time: {
    expects: "a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds)",
    read: parseMillis,
  },
  count: { expects: "a whole number", read: (text) => (text.startsWith("-") ? undefined : whole(text)) },
  integer: { expects: "a whole number", read: whole },
  size: { expects: "a size such as 4096, 10kB or 1MiB", read: parseBytes },
}

const checkCount = ({ name, positionals }: Syntax, words: ReadonlyArray<string>): void => {
  const [least, most] = {
    none: [0, 0],
    optional: [0, 1],
    one: [1, 1],
    some: [1, Infinity],
    any: [0, Infinity],
    command: [1, Infinity],
  }[positionals.count] as [number, number]
  if (words.length < least) {
    throw new UsageError(
      positionals.count === "command"
        ? `say what to ${name}: holdfast ${name} -- COMMAND [ARGUMENT...]`
        : `${name} needs ${positionals.name}: holdfast ${name} ${positionals.name}`,
    )
  }
  if (words.length > most) {
    throw new UsageError(
      `${name} takes ${most === 0 ? "no arguments" : "one argument"}, not also ${JSON.stringify(words[most])}`,
    )
  }
  if (words.includes("") && positionals.count !== "command")
    throw new UsageError(`${positionals.name} is empty`)
  if (positionals.count === "command" && words[0] === "")
    throw new UsageError("the name of the command is empty")
}

const unknownOption = (command: string, options: Options, given: string): UsageError => {
  const names = Object.entries(options).flatMap(([name, { short }]) => [
    `--${name}`,
    ...(short === undefined ? [] : [`-${short}`]),
  ])
  const near = nearest(given, names)
  const hint = near === undefined ? `see holdfast ${command} --help` : `did you mean ${near}?`
  return new UsageError(`${command} has no option ${JSON.stringify(given)}; ${hint}`)
}
