/** Writes entries to segments, one after the other, and drops the oldest ones. */
import * as fs from "node:fs"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { codeOf, systemReason } from "../process/Diagnosis.js"
import * as Directory from "../process/Directory.js"
import type { Line, RecentEvents } from "./RecentEvents.js"
import * as SegmentFiles from "./SegmentFiles.js"

/** How large a log may become. */
export interface Limits {
  /** A segment is not made longer than this. */
  readonly maxBytes: number
  /** So many segments are kept. */
  readonly segments: number
}

/** Nothing could be written, and nothing was damaged. */
export class WriteFailed extends Data.TaggedError("WriteFailed")<{ readonly reason: string }> {}

const failed = (cause: unknown): WriteFailed => new WriteFailed({ reason: systemReason(cause) })

/** Written at once, so that one large batch does not hold up those who wait for its first entries. */
const batchBytes = 262_144

const newline = 0x0a

/** The directory of a log. Its methods are called one after the other. */
export class SegmentWriter {
  private descriptor: number | undefined
  /** The segment that is written to. */
  private active: SegmentFiles.Segment | undefined
  /** Of that segment, without what is being written. */
  private size = 0
  private mustRotate = false

  private constructor(
    readonly directory: string,
    /** The oldest first; the last one is written to. */
    readonly segments: Array<SegmentFiles.Segment>,
    private readonly limits: Limits,
  ) {}

  /**
   * Opens the log of a directory, and looks at its last segment only. Throws what the system says of the directory.
   * `last` is the last number that was used; `news` is what a person should be told.
   */
  static open(
    directory: string,
    limits: Limits,
  ): { readonly writer: SegmentWriter; readonly last: number; readonly news: ReadonlyArray<string> } {
    Directory.make(directory, 0o700)
    const segments = SegmentFiles.list(directory)
    const writer = new SegmentWriter(directory, segments, limits)
    const seen = SegmentFiles.reserved(directory)
    const news: Array<string> = []
    let last = 0
    const newest = segments.at(-1)
    if (newest !== undefined) {
      const tail = SegmentFiles.openTail(newest)
      if (Either.isRight(tail)) {
        last = tail.right.last
        writer.descriptor = tail.right.descriptor
        writer.active = newest
        writer.size = tail.right.size
        if (tail.right.cut > 0)
          news.push(
            `The last entry in ${newest.path} was not written to its end; ${tail.right.cut} bytes were cut off.`,
          )
      } else {
        last = tail.left.last
        news.push(SegmentFiles.setAside(newest.path, tail.left.reason))
        segments.pop()
      }
    }
    if (seen > last) {
      news.push(`${seen - last} events are lost: they could not be written before the program ended.`)
      writer.mustRotate = true
    }
    return { writer, last: Math.max(last, seen), news }
  }

  /** How far a segment may be read, in bytes. */
  endOf(segment: SegmentFiles.Segment): number {
    return segment === this.active ? this.size : Infinity
  }

  /**
   * Writes what follows the last written entry, as much as goes in one write, and moves `recent.written` on. What was
   * dropped unwritten leaves a gap, and a gap begins a segment: gives how many entries are lost so.
   */
  append(recent: RecentEvents): Effect.Effect<number, WriteFailed> {
    return Effect.suspend(() => {
      const first = recent.get(Math.max(recent.written + 1, recent.first))
      if (first === undefined) return Effect.succeed(0)
      const gap = first.seq - recent.written - 1
      try {
        const isFull = this.size > 0 && this.size + first.bytes > this.limits.maxBytes
        if (this.descriptor === undefined || this.mustRotate || gap > 0 || isFull) this.rotate(first.seq)
      } catch (cause) {
        return Effect.fail(failed(cause))
      }
      const lines = this.batch(recent, first)
      const text = Buffer.from(lines.map(({ text }) => text).join(""))
      return Effect.flatMap(this.write(this.descriptor!, text), (count) =>
        Effect.try({
          try: () => {
            const done = count === text.length ? lines.length : this.wholeLines(text, count)
            recent.written = lines[done - 1]!.seq
            return gap
          },
          catch: failed,
        }),
      )
    })
  }

  /** Forgets a segment that is not there or cannot be used any more. */
  forget(segment: SegmentFiles.Segment): void {
    const index = this.segments.indexOf(segment)
    if (index === -1) return
    this.segments.splice(index, 1)
    if (segment !== this.active) return
    this.active = undefined
    this.mustRotate = true
  }

  /** Closes the file. */
  close(): void {
    if (this.descriptor === undefined) return
    try {
      fs.closeSync(this.descriptor)
    } catch {
      // What was written to it is with the system.
    }
    this.descriptor = undefined
  }

  private batch(recent: RecentEvents, first: Line): ReadonlyArray<Line> {
    const room = Math.min(batchBytes, this.limits.maxBytes - this.size)
    const lines: Array<Line> = []
    let bytes = 0
    for (let line: Line | undefined = first; line !== undefined; line = recent.get(line.seq + 1)) {
      bytes += line.bytes
      if (lines.length > 0 && bytes > room) break
      lines.push(line)
    }
    return lines
  }

  private write(descriptor: number, bytes: Buffer): Effect.Effect<number, WriteFailed> {
    return Effect.async<number, WriteFailed>((resume) => {
      fs.write(descriptor, bytes, 0, bytes.length, this.size, (cause, count) => {
        if (cause !== null) return resume(Effect.fail(failed(cause)))
        if (count === bytes.length) this.size += count
        resume(Effect.succeed(count))
      })
    })
  }

  /** The disk took a part only: keeps the whole lines of it. */
  private wholeLines(bytes: Buffer, count: number): number {
    const end = count === 0 ? 0 : bytes.lastIndexOf(newline, count - 1) + 1
    fs.ftruncateSync(this.descriptor!, this.size + end)
    if (end === 0) throw new Error("the disk is full")
    this.size += end
    let lines = 0
    for (let at = bytes.indexOf(newline); at !== -1 && at < end; at = bytes.indexOf(newline, at + 1)) lines++
    return lines
  }

  private rotate(first: number): void {
    const { directory, limits, segments } = this
    // Its name would tell of entries that are lost.
    const empty = this.size === 0 ? this.active : undefined
    // Begun by an attempt that failed when it wrote.
    if (empty?.first === first && this.descriptor !== undefined) return
    this.close()
    // Before the new one is made: on a full disk this makes room for it.
    while (segments.length >= limits.segments) fs.rmSync(segments.shift()!.path, { force: true })
    const next = SegmentFiles.segment(directory, first)
    const flags = fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL
    try {
      this.descriptor = fs.openSync(next.path, flags, 0o600)
    } catch (cause) {
      if (codeOf(cause) === "ENOENT") Directory.make(directory, 0o700)
      else if (codeOf(cause) === "EEXIST") SegmentFiles.setAside(next.path, "another program made it")
      else throw cause
      this.descriptor = fs.openSync(next.path, flags, 0o600)
    }
    const index = empty === undefined ? -1 : segments.indexOf(empty)
    if (index !== -1) fs.rmSync(segments.splice(index, 1)[0]!.path, { force: true })
    segments.push(next)
    this.active = next
    this.size = 0
    this.mustRotate = false
  }
}
