/**
 * The way from arguments to an exit code. It answers `--version`, `--help` and mistakes by itself, so that they come
 * at once; everything else is a command, loaded when it is asked for.
 */
import { asksForHelp, isUsageError, parse } from "./Arguments.js"
import type { Command } from "./Handler.js"
import * as Help from "./Help.js"
import { nearest } from "../process/Nearest.js"
import type { Failure, World } from "./World.js"
import { exitCode, isFailure, printableLines } from "./World.js"

const options = ["--help", "-h", "--version", "-v"]

/** Does what the arguments say; resolves to the exit code. */
export const run = async (
  args: ReadonlyArray<string>,
  world: World,
  commands: ReadonlyArray<Command>,
): Promise<number> => {
  if (world.platform === "win32") {
    await world.err.write("Holdfast does not run on Windows yet; it needs Linux or macOS.\n")
    return exitCode.failed
  }
  const [first, ...rest] = reordered(args)
  const isHelp = first === "help" && rest.length === 1 && !rest[0]!.startsWith("-")
  if (first === undefined || first === "--help" || first === "-h" || (first === "help" && !isHelp)) {
    await world.out.write(
      Help.fold(
        Help.overview(
          world.version,
          commands.map(({ syntax }) => syntax),
        ),
        world.out.columns(),
      ),
    )
    return exitCode.ok
  }
  if (first === "--version" || first === "-v") {
    await world.out.write(`${world.version}\n`)
    return exitCode.ok
  }
  const name = isHelp ? rest[0]! : first
  const command = commands.find(({ syntax }) => syntax.name === name)
  if (command === undefined) {
    await world.err.write(unknown(name, commands))
    return exitCode.usage
  }
  if (isHelp || asksForHelp(command.syntax, rest)) {
    await world.out.write(Help.fold(Help.ofCommand(command.syntax), world.out.columns()))
    return exitCode.ok
  }
  return perform(command, rest, world)
}

/** Options that every command has may stand before it, too. */
const reordered = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  let at = 0
  while (at < args.length) {
    const word = args[at]!
    if (word === "--root") at += 2
    else if (word === "--json" || word.startsWith("--root=")) at += 1
    else break
  }
  return at < args.length ? [args[at]!, ...args.slice(0, at), ...args.slice(at + 1)] : args
}

const perform = async (command: Command, args: ReadonlyArray<string>, world: World): Promise<number> => {
  let isJson = false
  try {
    const input = parse(command.syntax, args)
    isJson = input.options.json
    return await (
      await command.load()
    )(input, world)
  } catch (error) {
    if (isUsageError(error)) {
      await world.err.write(`holdfast: ${error.message}\n`)
      return exitCode.usage
    }
    if (!isFailure(error)) throw error
    if (isJson) await world.out.write(`${JSON.stringify(envelopeOf(error))}\n`)
    else await world.err.write(`holdfast: ${printableLines(error.message)}\n`)
    return exitCode.failed
  }
}

/** An error in the form in which the API answers one. */
const envelopeOf = ({ code, message, retryable }: Failure) => ({
  schema_version: "1",
  ok: false,
  type: "error",
  error: { code, message, retryable },
})

const unknown = (word: string, commands: ReadonlyArray<Command>): string => {
  const isOption = word.startsWith("-")
  const names = commands.map(({ syntax }) => syntax.name)
  const near = nearest(word, isOption ? options : [...names, ...options])
  const hint = near === undefined ? "see holdfast --help" : `did you mean ${near}?`
  return `holdfast: there is no ${isOption ? "option" : "command"} ${JSON.stringify(word)}; ${hint}\n`
}
