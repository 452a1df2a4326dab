/**
 * What a file of plain lines does not tell: their numbers, times and streams. A sidecar beside the file, with the suffix
 * `.times`, has a record for each run of lines that came at once, so that the lines are written as they came.
 *
 * The sidecar is a row of blocks of 32 bytes, numbers in little-endian order. Each ends with a check of its first 29
 * bytes (the lower 24 bits of their FNV-1a hash), so that a damaged one is told from a whole one. The first block is the
 * header:
 *
 *     0  8 bytes    "HFTIMES1"
 *     8  6 bytes    the number of the first line of the file
 *    14  6 bytes    the highest number that may have been given to a line; see `Header.reserved`
 *
 * and each of the others a record:
 *
 *     0  6 bytes    the number of its first line
 *     6  6 bytes    the time, in milliseconds since 1970
 *    12  4 bytes    where in the file its bytes begin
 *    16  4 bytes    how many they are
 *    20  4 bytes    how many lines
 *    24  4 bytes    the generation
 *    28  1 byte     bits 0 and 1: the stream (0 stdout, 1 stderr, 2 holdfast); bit 2: the lines were too long and go on;
 *                   bit 3: the bytes are a note for people and no lines; bit 4: no bytes, and so many numbers before this
 *                   one were never used
 */
import type { Origin } from "./LogLine.js"

/** The size of a block, in bytes. */
export const blockBytes = 32

/** By so many numbers `Header.reserved` is ahead: more than a program can use up while one block is written. */
export const reserveStep = 16_777_216

/** The first block. */
export interface Header {
  readonly first: number
  /**
   * No line has a higher number, written or not; written ahead, and put back to the last line when the log is closed.
   * After a sudden death the next life goes on behind it: no number is given twice.
   */
  readonly reserved: number
}

/** What a record stands for. */
export type Kind = "lines" | "note" | "unused"

/** A part of the file. */
export interface TimesRecord extends Origin {
  readonly kind: Kind
  /** The number of its first line; of the next line where it has none. */
  readonly first: number
  /** How many lines; for `unused`, how many numbers. */
  readonly lines: number
  readonly offset: number
  readonly length: number
}

const magic = Buffer.from("HFTIMES1", "latin1")
const checkAt = 29
const continuedBit = 4
const noteBit = 8
const unusedBit = 16

/** More than any record has: what claims more is damaged. */
const mostBytes = 16_777_216
const most32 = 0xff_ff_ff_ff

const checkOf = (bytes: Buffer, start: number): number => {
  let hash = 0x811c9dc5
  for (let at = start; at < start + checkAt; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash & 0xffffff
}

const seal = (bytes: Buffer, start: number): void => {
  bytes.writeUIntLE(checkOf(bytes, start), start + checkAt, 3)
}

const isWhole = (bytes: Buffer, start: number): boolean =>
  start + blockBytes <= bytes.length && bytes.readUIntLE(start + checkAt, 3) === checkOf(bytes, start)

/** The block of a header. */
export const encodeHeader = ({ first, reserved }: Header): Buffer => {
  const bytes = Buffer.alloc(blockBytes)
  magic.copy(bytes)
  bytes.writeUIntLE(first, 8, 6)
  bytes.writeUIntLE(reserved, 14, 6)
  seal(bytes, 0)
  return bytes
}

/** The header at the beginning of `bytes`; undefined when it is damaged. */
export const decodeHeader = (bytes: Buffer): Header | undefined =>
  isWhole(bytes, 0) && bytes.compare(magic, 0, magic.length, 0, magic.length) === 0
    ? { first: bytes.readUIntLE(8, 6), reserved: bytes.readUIntLE(14, 6) }
    : undefined

/** The blocks of some records. */
export const encode = (records: ReadonlyArray<TimesRecord>): Buffer => {
  const bytes = Buffer.allocUnsafe(records.length * blockBytes)
  let start = 0
  for (const { at, continued, first, generation, kind, length, lines, offset, stream } of records) {
    bytes.writeUIntLE(first, start, 6)
    bytes.writeUIntLE(Math.max(0, at), start + 6, 6)
    bytes.writeUInt32LE(offset, start + 12)
    bytes.writeUInt32LE(length, start + 16)
    bytes.writeUInt32LE(Math.min(lines, most32), start + 20)
    bytes.writeUInt32LE(generation >>> 0, start + 24)
    bytes[start + 28] =
      stream |
      (continued ? continuedBit : 0) |
      (kind === "note" ? noteBit : kind === "unused" ? unusedBit : 0)
    seal(bytes, start)
    start += blockBytes
  }
  return bytes
}

/** The record at `start`; undefined when it is damaged. */
export const decode = (bytes: Buffer, start: number): TimesRecord | undefined => {
  if (!isWhole(bytes, start)) return undefined
  const bits = bytes[start + 28]!
  const length = bytes.readUInt32LE(start + 16)
  const stream = bits & 3
  if (length > mostBytes || stream > 2) return undefined
  return {
    kind: (bits & noteBit) !== 0 ? "note" : (bits & unusedBit) !== 0 ? "unused" : "lines",
    first: bytes.readUIntLE(start, 6),
    lines: bytes.readUInt32LE(start + 20),
    at: bytes.readUIntLE(start + 6, 6),
    stream,
    continued: (bits & continuedBit) !== 0,
    generation: bytes.readUInt32LE(start + 24),
    offset: bytes.readUInt32LE(start + 12),
    length,
  }
}

/** The number of the next line after a record. */
export const nextOf = (record: TimesRecord): number =>
  record.kind === "lines" ? record.first + record.lines : record.first

/** How many blocks a number of bytes has, the header among them. */
export const blocksIn = (bytes: number): number => Math.floor(bytes / blockBytes)
