/** Colours, where somebody sees them and wants them. */
import type { Sink, World } from "./World.js"

const codes = {
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
  brightGreen: 92,
  brightYellow: 93,
  brightBlue: 94,
  brightMagenta: 95,
  brightCyan: 96,
  dim: 2,
  bold: 1,
} as const
export type Colour = keyof typeof codes

/** Colours that tell units apart, each for the unit of that index. Red is for what goes wrong. */
const palette = [
  "cyan",
  "yellow",
  "green",
  "magenta",
  "blue",
  "brightCyan",
  "brightYellow",
  "brightGreen",
  "brightMagenta",
  "brightBlue",
] as const satisfies ReadonlyArray<Colour>

/** The colour of the unit with that index. */
export const unitColour = (index: number): Colour => palette[index % palette.length]!

/** Puts a colour around a text. */
export type Painter = (colour: Colour, text: string) => string

const plain: Painter = (_colour, text) => text

const colourful: Painter = (colour, text) => `\u001B[${codes[colour]}m${text}\u001B[0m`

/** Colours on a terminal, unless it is a dumb one or `NO_COLOR` is set to anything (no-color.org). */
export const painterOf = (sink: Sink, { env }: Pick<World, "env">): Painter =>
  sink.isTerminal && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb" ? colourful : plain

/** The colour of a unit's state. */
export const unitStateColour = (state: string, exitCode?: number): Colour => {
  switch (state) {
    case "ready":
      return "green"
    case "starting":
    case "stopping":
      return "cyan"
    case "blocked":
    case "degraded":
    case "backoff":
      return "yellow"
    case "exited":
      return (exitCode ?? 0) === 0 ? "green" : "red"
    case "failed":
      return "red"
    default:
      return "dim"
  }
}

/** The colour of a job's state: by its cause and code, what went well is green and what did not is red. */
export const stateColour = (state: string, exitCode?: number): Colour => {
  switch (state) {
    case "running":
      return "cyan"
    case "exited":
      return exitCode === 0 ? "green" : "red"
    case "created":
    case "queued":
      return "yellow"
    default:
      return "red"
  }
}
