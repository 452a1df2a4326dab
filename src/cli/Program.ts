/**
 * The way from arguments to an exit code. It answers `--version`, `--help` and mistakes by itself, without Effect, so
 * that they come at once; everything else is a command, loaded when it is asked for.
 */
import type { Commands } from "./Command.js"
import { nearest } from "./Nearest.js"

/** What `run` needs to know about the world. Words for the user go to `err`, data to `out`. */
export interface Surroundings {
  readonly version: string
  readonly platform: NodeJS.Platform
  readonly commands: Commands
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

/** The exit codes the program gives by itself. */
export const exitCode = { ok: 0, failed: 1, usage: 2 } as const

const options = ["--help", "-h", "--version", "-v"]

/** Does what the arguments say; resolves to the exit code. */
export const run = async (args: ReadonlyArray<string>, world: Surroundings): Promise<number> => {
  if (world.platform === "win32") {
    world.err("Holdfast does not run on Windows yet; it needs Linux or macOS.\n")
    return exitCode.failed
  }
  const [first, ...rest] = args
  if (first === undefined || first === "--help" || first === "-h") {
    world.out(help(world))
    return exitCode.ok
  }
  if (first === "--version" || first === "-v") {
    world.out(`${world.version}\n`)
    return exitCode.ok
  }
  const command = Object.hasOwn(world.commands, first) ? world.commands[first] : undefined
  if (command !== undefined) return (await command.load()).run(rest)
  world.err(unknown(first, world.commands))
  return exitCode.usage
}

const help = ({ commands, version }: Surroundings): string => {
  const names = Object.keys(commands)
  const width = Math.max(...[...names, "-h, --help    "].map((name) => name.length))
  const row = (name: string, text: string) => `  ${name.padEnd(width)}  ${text}`
  return [
    `Holdfast ${version}: keeps servers up and keeps jobs from getting lost.`,
    "",
    "Usage: holdfast [option]" + (names.length > 0 ? " | holdfast <command> [arguments]" : ""),
    "",
    ...(names.length > 0
      ? ["Commands:", ...names.map((name) => row(name, commands[name]!.summary)), ""]
      : [
          "This version is the ground floor, a library: processes that are stopped with everything they started, and",
          'probes that tell whether a server is up. Import it from "holdfast". The daemon and its commands come with',
          "the next releases; so far this program only tells about itself.",
          "",
        ]),
    "Options:",
    row("-h, --help", "show this text"),
    row("-v, --version", "show the version"),
    "",
  ].join("\n")
}

const unknown = (word: string, commands: Commands): string => {
  const isOption = word.startsWith("-")
  const near = nearest(word, isOption ? options : [...Object.keys(commands), ...options])
  const hint = near === undefined ? "see holdfast --help" : `did you mean ${near}?`
  return `holdfast: there is no ${isOption ? "option" : "command"} ${JSON.stringify(word)}; ${hint}\n`
}
