/** The output of a unit as its readers see it: numbered lines, and what stands where some are missing. */

/** Where a line comes from: one of the two streams of a process, or Holdfast itself. */
export type Stream = "stdout" | "stderr" | "holdfast"

/** A line without its end. */
export interface LogLine {
  readonly _tag: "Line"
  /** The number of the line in the log of its unit, from 1 on. It is a cursor: reading `after` it gives the next line. */
  readonly seq: number
  /** When it was complete, in milliseconds since 1970. */
  readonly at: number
  readonly stream: Stream
  /** Bytes that are not UTF-8 are U+FFFD. */
  readonly text: string
  /** The line is longer than 8 KiB and goes on in the next one of its stream. */
  readonly continued: boolean
  /** The life of the unit that wrote it. */
  readonly generation: number
}

/** Stands where a reader missed something. */
export interface LogGap {
  readonly _tag: "Gap"
  /** How many lines; 0 where it cannot be known, for a cursor that this log never gave. */
  readonly missedLines: number
  /** Where the reader goes on: a cursor. */
  readonly next: number
}

/** Every stream, by the number that stands for it in memory and in files. */
export const streams = ["stdout", "stderr", "holdfast"] as const

/** What lines that were kept together have in common, but for their numbers. */
export interface Origin {
  readonly at: number
  /** An index of {@link streams}. */
  readonly stream: number
  readonly continued: boolean
  readonly generation: number
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/** The place behind the next `count` line ends; `end` when there are not so many. */
const skipLines = (bytes: Buffer, start: number, end: number, count: number): number => {
  let at = start
  for (let left = count; left > 0; left--) {
    const found = bytes.indexOf(lineFeed, at)
    if (found === -1 || found >= end) return end
    at = found + 1
  }
  return at
}

/** How many lines end in a part of `bytes`. */
export const countLines = (bytes: Buffer, start: number, end: number): number => {
  let lines = 0
  for (let at = bytes.indexOf(lineFeed, start); at !== -1 && at < end; at = bytes.indexOf(lineFeed, at + 1))
    lines++
  return lines
}

/** Part of some bytes that holds whole lines, all of one origin. */
export interface Stretch extends Origin {
  readonly bytes: Buffer
  readonly start: number
  /** Behind the end of the last line. */
  readonly end: number
  /** The number of the first line. */
  readonly first: number
  readonly lines: number
}

/**
 * Adds lines of a stretch to `into`, but for the first `skip` of them, and no more than `most`. What is added keeps no
 * more than itself in memory.
 */
export const cut = (stretch: Stretch, skip: number, most: number, into: Array<LogLine>): void => {
  const { at, bytes, continued, first, generation, lines } = stretch
  const count = Math.min(lines - skip, most)
  if (count <= 0) return
  const start = skip === 0 ? stretch.start : skipLines(bytes, stretch.start, stretch.end, skip)
  const end = skip + count === lines ? stretch.end : skipLines(bytes, start, stretch.end, count)
  // Damaged files have fewer lines than they should.
  if (start >= end) return
  const stream = streams[stretch.stream]!
  const text = bytes.toString("utf8", start, bytes[end - 1] === lineFeed ? end - 1 : end)
  const hasReturns = !continued && text.includes("\r")
  let from = 0
  for (let index = 0; index < count && from <= text.length; index++) {
    const found = text.indexOf("\n", from)
    const to = found === -1 ? text.length : found
    const isReturned = hasReturns && to > from && text.charCodeAt(to - 1) === carriageReturn
    into.push({
      _tag: "Line",
      seq: first + skip + index,
      at,
      stream,
      text: text.slice(from, isReturned ? to - 1 : to),
      continued,
      generation,
    })
    from = to + 1
  }
}
