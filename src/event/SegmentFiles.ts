/** The files of an event log: their names, and what is found in a directory when a program starts. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Either from "effect/Either"
import { codeOf, systemReason } from "../process/Diagnosis.js"
import { leastBytes, seqAt } from "./EventEntry.js"

/** A file of entries whose numbers follow one another. */
export interface Segment {
  /** The number of its first entry, which it is named by. */
  readonly first: number
  readonly path: string
}

const grammar = /^(\d{12,16})\.ndjson$/

/** The segment of a directory that begins with that entry. */
export const segment = (directory: string, first: number): Segment => ({
  first,
  path: path.join(directory, `${String(first).padStart(12, "0")}.ndjson`),
})

/** The segments of a directory, the oldest first. Throws what the system says. */
export const list = (directory: string): Array<Segment> =>
  fs
    .readdirSync(directory)
    .flatMap((name) => grammar.exec(name)?.[1] ?? [])
    .map((digits) => segment(directory, Number(digits)))
    .sort((a, b) => a.first - b.first)

/** Renames what cannot be used, so that it can be looked at. Gives what to tell of it. */
export const setAside = (file: string, reason: string): string => {
  const aside = `${file}.unreadable-${Date.now()}`
  try {
    fs.renameSync(file, aside)
    return `The file of events ${file} cannot be used: ${reason}. It was set aside as ${aside}; its entries are missing from the log.`
  } catch (cause) {
    return `The file of events ${file} cannot be used: ${reason}. It could not be set aside either: ${systemReason(cause)}. Its entries are missing from the log.`
  }
}

/** The segment that is written to. */
export interface Tail {
  readonly descriptor: number
  /** In bytes, without what was cut off. */
  readonly size: number
  /** The number of its last entry; one less than its first when it is empty. */
  readonly last: number
  /** How many bytes of an entry that was not written to its end were cut off. */
  readonly cut: number
}

/** Enough for some entries: only a damaged end needs more. */
const usualEnd = 262_144

const newline = 0x0a

/** Reads the end of an open segment. */
const look = (descriptor: number, first: number): { readonly end: number; readonly last: number } => {
  const { size } = fs.fstatSync(descriptor)
  for (const window of [Math.min(usualEnd, size), size]) {
    const bytes = Buffer.alloc(window)
    const from = size - window
    const tail = bytes.subarray(0, fs.readSync(descriptor, bytes, 0, window, from))
    const end = tail.lastIndexOf(newline) + 1
    let damaged = 0
    for (let stop = end; stop > 0; damaged++) {
      const begin = stop === 1 ? 0 : tail.lastIndexOf(newline, stop - 2) + 1
      const isWhole = begin > 0 || from === 0
      const seq = isWhole ? seqAt(tail, begin) : undefined
      if (seq !== undefined && seq >= first && seq <= first + size / leastBytes)
        return { end: from + end, last: seq + damaged }
      if (!isWhole) break
      stop = begin
    }
    // As many numbers as there are lines are in use, readable or not.
    if (from === 0) return { end, last: first - 1 + damaged }
  }
  throw new Error("it became shorter while it was read")
}

/** Whether the fault will go away by itself, so that nothing is to be set aside for it. */
const isPassing = (cause: unknown): boolean =>
  ["EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EINTR"].includes(codeOf(cause))

/**
 * Opens the last segment to write on; what was not written to its end is cut off. `Left` when it cannot be used: with
 * the reason and the last number that it may have used. Throws a fault that will go away by itself.
 */
export const openTail = ({
  first,
  path: file,
}: Segment): Either.Either<Tail, { readonly reason: string; readonly last: number }> => {
  let descriptor: number | undefined
  try {
    if (!fs.lstatSync(file).isFile()) throw new Error("it is not a regular file")
    descriptor = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
    const { size } = fs.fstatSync(descriptor)
    const { end, last } = look(descriptor, first)
    if (end < size) fs.ftruncateSync(descriptor, end)
    return Either.right({ descriptor, size: end, last, cut: size - end })
  } catch (cause) {
    if (descriptor !== undefined) fs.closeSync(descriptor)
    if (isPassing(cause)) throw cause
    // Its numbers must not be given again: it has at most as many as its size allows.
    const size = Either.getOrElse(
      Either.try(() => fs.lstatSync(file).size),
      () => 2 ** 30,
    )
    return Either.left({ reason: systemReason(cause), last: first + Math.ceil(size / leastBytes) })
  }
}

const marker = (directory: string): string => path.join(directory, "reserved")

const width = 16

/**
 * The highest number that readers have seen although its entry could not be written; 0 if there is none. Makes the file
 * for it where there is room: later there may be none.
 */
export const reserved = (directory: string): number => {
  try {
    const value = Number(fs.readFileSync(marker(directory), "latin1"))
    return Number.isSafeInteger(value) && value > 0 ? value : 0
  } catch {
    try {
      fs.writeFileSync(marker(directory), "0".padStart(width, "0"), { mode: 0o600 })
    } catch {
      // Then readers see an entry only when it is written.
    }
    return 0
  }
}

/** Lets no later life give a number up to `seq` again. Needs no room on the disk. False if it could not be done. */
export const reserve = (directory: string, seq: number): boolean => {
  try {
    const descriptor = fs.openSync(marker(directory), "r+")
    try {
      // Never makes the file longer: that would need room.
      return (
        fs.fstatSync(descriptor).size === width &&
        fs.writeSync(descriptor, String(seq).padStart(width, "0"), 0, "latin1") === width
      )
    } finally {
      fs.closeSync(descriptor)
    }
  } catch {
    return false
  }
}
