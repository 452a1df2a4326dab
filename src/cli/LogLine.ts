/** Lines of the daemon's log for somebody who sits in front of it. */
import * as Cause from "effect/Cause"
import * as Logger from "effect/Logger"
import type { LogLevel } from "effect/LogLevel"
import type { Colour, Painter } from "./Painter.js"
import { printableLines } from "./World.js"

const colours: Partial<Record<LogLevel["_tag"], Colour>> = { Fatal: "red", Error: "red", Warning: "yellow" }

const two = (number: number): string => String(number).padStart(2, "0")

const clock = (date: Date): string =>
  `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`

const textOf = (message: unknown): string =>
  (Array.isArray(message) ? message : [message])
    .map((part) => (typeof part === "string" ? part : JSON.stringify(part)))
    .join(" ")

/**
 * What happened and when, by the local clock; the level only where it is not the usual one, and no annotations: these are
 * for programs, which get `logfmt` or JSON.
 */
export const forTerminal = (paint: Painter): Logger.Logger<unknown, string> =>
  Logger.make(({ cause, date, logLevel, message }) => {
    const colour = colours[logLevel._tag]
    const level = logLevel._tag === "Info" ? "" : `${logLevel.label} `
    const fault = Cause.isEmpty(cause) ? "" : `\n${Cause.pretty(cause, { renderErrorCause: true })}`
    const words = printableLines(`${level}${textOf(message)}${fault}`)
    return `${paint("dim", clock(date))} ${colour === undefined ? words : paint(colour, words)}`
  })
