/** Lines of units' output side by side: each behind its unit's name, in its colour. */
import type { Painter } from "./Painter.js"
import { unitColour } from "./Painter.js"
import type { Sink } from "./World.js"

/** A line as its sources have it. */
export interface Line {
  readonly stream: "stdout" | "stderr" | "holdfast"
  readonly text: string
  /** In milliseconds since the epoch. */
  readonly at: number
}

/** How to show lines. */
export interface Options {
  /** The units, in the order of their colours; each has its name before its lines, unless `isBare`. */
  readonly names: ReadonlyArray<string>
  readonly isBare?: boolean
  readonly timestamps: boolean
  readonly paint: Painter
  readonly sink: Pick<Sink, "isTerminal">
}

/** Shows lines of units. */
export interface UnitLines {
  /** One line, its end included. */
  readonly line: (name: string, line: Line) => string
  /** A line of Holdfast's own about a unit, its end included; the text may have colours. */
  readonly word: (name: string, at: number, text: string) => string
}

/** What stands between a name and the line. */
const marks = { stdout: "|", stderr: ":", holdfast: "." } as const

// oxlint-disable-next-line no-control-regex
const control = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/

/** Colours and the like: all that a unit may do to a terminal. */
// oxlint-disable-next-line no-control-regex
const colours = /^\u001B\[[\d;:]*m/

/** A line as a terminal may be given it: with its colours, but nothing that moves the cursor, or worse. */
export const tamed = (text: string): string => {
  if (!control.test(text)) return text
  // What was written over and over, such as a progress bar, is shown as it was in the end.
  const last = text.split("\r").findLast((part) => part !== "") ?? ""
  let result = ""
  for (let at = 0; at < last.length;) {
    const [colour] = colours.exec(last.slice(at, at + 64)) ?? []
    const character = last[at]!
    if (colour !== undefined) result += colour
    else result += control.test(character) ? "\uFFFD" : character
    at += colour?.length ?? 1
  }
  return result.includes("\u001B") ? `${result}\u001B[0m` : result
}

/** The time of day, as far as a person needs it; the whole of it for a program. */
const timeOf = (at: number, isTerminal: boolean): string => {
  if (!isTerminal) return new Date(at).toISOString()
  const date = new Date(at)
  const pad = (value: number, width = 2) => String(value).padStart(width, "0")
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`
}

/** Makes what shows lines. */
export const make = ({ isBare = false, names, paint, sink, timestamps }: Options): UnitLines => {
  const width = Math.max(0, ...names.map(({ length }) => length))
  const heads = new Map<string, Readonly<Record<Line["stream"], string>>>()
  const headOf = (name: string) => {
    const known = heads.get(name)
    if (known !== undefined) return known
    const colour = unitColour(Math.max(0, names.indexOf(name)))
    const head = {
      stdout: paint(colour, `${name.padEnd(width)} ${marks.stdout}`),
      stderr: `${paint(colour, name.padEnd(width))} ${paint("red", marks.stderr)}`,
      holdfast: paint(colour, `${name.padEnd(width)} ${marks.holdfast}`),
    }
    heads.set(name, head)
    return head
  }
  const stamp = (at: number) => (timestamps ? `${paint("dim", timeOf(at, sink.isTerminal))} ` : "")
  const shown = sink.isTerminal ? tamed : (text: string) => text
  return {
    line: (name, { at, stream, text }) =>
      isBare
        ? `${stamp(at)}${shown(text)}\n`
        : `${stamp(at)}${headOf(name)[stream]}${text === "" ? "" : ` ${shown(text)}`}\n`,
    word: (name, at, text) => `${stamp(at)}${headOf(name).holdfast} ${text}\n`,
  }
}
