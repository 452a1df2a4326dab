/**
 * The files of a log, the oldest of which are dropped: their names, and what is found in a directory when a program
 * starts. `000000000001.log` has the plain lines from the first one on, `000000000001.times` beside it their times (see
 * `LineTimes`), and `current` is a symbolic link to the file that is written to.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as LineTimes from "./LineTimes.js"

/** A file of lines, and its sidecar. */
export interface Segment {
  /** The number of its first line, which it is named by. */
  readonly first: number
  readonly log: string
  readonly times: string
}

/** How long both are, in bytes. */
export interface Sizes {
  readonly size: number
  readonly timesSize: number
}

const grammar = /^(\d{12,16})\.log$/

/** The name of the link. */
export const link = "current"

/** The segment of a directory that begins with that line. */
export const segment = (directory: string, first: number): Segment => {
  const name = path.join(directory, String(first).padStart(12, "0"))
  return { first, log: `${name}.log`, times: `${name}.times` }
}

/** The segments of a directory, the oldest first; none when it is not there. Throws what the system says. */
export const list = (directory: string): Array<Segment> => {
  try {
    return fs
      .readdirSync(directory)
      .flatMap((name) => grammar.exec(name)?.[1] ?? [])
      .map((digits) => segment(directory, Number(digits)))
      .sort((a, b) => a.first - b.first)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return []
    throw cause
  }
}

const sizeOf = (file: string): number => fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0

/** Removes the last segments that a program has begun and written nothing to. Throws what the system says. */
export const dropEmpty = (segments: Array<Segment>): void => {
  for (let last = segments.at(-1); last !== undefined; last = segments.at(-1)) {
    if (sizeOf(last.log) > 0 || sizeOf(last.times) >= LineTimes.blockBytes) return
    for (const file of [last.log, last.times]) fs.rmSync(file, { force: true })
    segments.pop()
  }
}

/** The end of the newest segment. */
export interface End extends Sizes {
  /** The number of its last line; one less than its first when it has none. */
  readonly last: number
  readonly reserved: number
}

const readBlock = (descriptor: number, position: number): Buffer => {
  const bytes = Buffer.alloc(LineTimes.blockBytes)
  return bytes.subarray(0, fs.readSync(descriptor, bytes, 0, bytes.length, position))
}

/**
 * The end of a segment that was written to its end. Undefined when it was not, or is damaged, and has to be mended.
 * Looks at the header and the last record only.
 */
export const endOf = ({ first, log, times }: Segment): End | undefined => {
  let descriptor: number | undefined
  try {
    const stats = fs.lstatSync(log)
    if (!stats.isFile()) return undefined
    descriptor = fs.openSync(times, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
    const { size } = stats
    const timesSize = fs.fstatSync(descriptor).size
    if (timesSize < LineTimes.blockBytes || timesSize % LineTimes.blockBytes !== 0) return undefined
    const header = LineTimes.decodeHeader(readBlock(descriptor, 0))
    if (header?.first !== first) return undefined
    if (timesSize === LineTimes.blockBytes)
      return size === 0 ? { size, timesSize, last: first - 1, reserved: header.reserved } : undefined
    const record = LineTimes.decode(readBlock(descriptor, timesSize - LineTimes.blockBytes), 0)
    if (record === undefined || record.offset + record.length !== size) return undefined
    return { size, timesSize, last: LineTimes.nextOf(record) - 1, reserved: header.reserved }
  } catch {
    return undefined
  } finally {
    if (descriptor !== undefined) fs.closeSync(descriptor)
  }
}
