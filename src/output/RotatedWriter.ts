/** Writes lines to the files of a log, one after the other, and drops the oldest ones. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Directory from "../process/Directory.js"
import { countLines, type Stretch } from "./LogLine.js"
import * as LineTimes from "./LineTimes.js"
import * as RotatedFiles from "./RotatedFiles.js"
import type { Segment, Sizes } from "./RotatedFiles.js"
import { failed, SegmentFile, type WriteFailed } from "./SegmentFile.js"

/** How large a log may become. */
export interface Limits {
  /** Of a file and its sidecar together, in bytes. */
  readonly maxSize: number
  /** So many files are kept. */
  readonly maxFiles: number
}

/** What goes into a file with one write. */
interface Plan {
  readonly buffers: Array<Buffer>
  readonly records: ReadonlyArray<LineTimes.TimesRecord>
}

/** No offset is larger. */
const mostFileBytes = 2 ** 31

const lineFeed = 0x0a

const noteOf = (lines: number): Buffer =>
  Buffer.from(`--- ${lines} ${lines === 1 ? "line is" : "lines are"} missing here ---\n`)

/** How many bytes of the first lines of a stretch fit into `room`. */
const portion = ({ bytes, end, start }: Stretch, room: number): number => {
  if (end - start <= room) return end - start
  return room <= 0 ? 0 : Math.max(0, bytes.lastIndexOf(lineFeed, start + room - 1) + 1 - start)
}

const split = (stretch: Stretch, size: number): [Stretch, Stretch] => {
  const at = stretch.start + size
  const lines = countLines(stretch.bytes, stretch.start, at)
  return [
    { ...stretch, end: at, lines },
    { ...stretch, start: at, first: stretch.first + lines, lines: stretch.lines - lines },
  ]
}

/** The directory of a log. Its effects are run one after the other. */
export class RotatedWriter {
  /** How many lines were lost so far. */
  lost = 0

  /** What is written to. */
  private file: SegmentFile | undefined
  private readonly maxSize: number
  /** What is being done to the directory meanwhile. */
  private chores: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly directory: string,
    private readonly limits: Limits,
    /** The oldest first. */
    readonly segments: Array<Segment>,
    /** What there is in the last of them; undefined when nothing can be added to it. */
    end: RotatedFiles.End | undefined,
    /** The number of the last line that is written, or was lost. */
    public written: number,
    /** So many numbers after that one are not used. */
    private unused: number,
  ) {
    this.maxSize = Math.min(limits.maxSize, mostFileBytes)
    const segment = segments.at(-1)
    if (segment !== undefined && end !== undefined)
      this.file = new SegmentFile(segment, end.size, end.timesSize, end.reserved)
  }

  /** How far a segment may be read; undefined for one that nothing is added to. */
  readonly sizesOf = (segment: Segment): Sizes | undefined =>
    this.file?.segment === segment ? this.file : undefined

  /**
   * Writes lines, as many as go into one file with one write, and takes them off `lines`. `handedOut` is the highest
   * number that a reader may know.
   */
  write(lines: Array<Stretch>, handedOut: number): Effect.Effect<void, WriteFailed> {
    return Effect.gen(this, function* () {
      const { first } = lines[0]!
      let { file } = this
      // There may have been more of them in an earlier life.
      yield* this.dropTo(this.limits.maxFiles)
      if (file === undefined || !(yield* file.isThere())) file = yield* this.create(first)
      let plan = this.plan(file, lines)
      if (plan === undefined) {
        file = yield* this.create(first)
        plan = this.plan(file, lines)!
      }
      const { buffers, records } = plan
      const isReserved = file.reserved >= handedOut + LineTimes.reserveStep / 2
      const reserve = isReserved ? file.reserved : handedOut + LineTimes.reserveStep
      const count = yield* file.append(buffers, records, reserve)
      for (const { kind, lines } of records.slice(0, count)) {
        if (kind === "unused") this.unused = 0
        if (kind === "note") this.lost += lines
      }
      this.written = LineTimes.nextOf(records[count - 1]!) - 1
      const left = lines.findIndex((stretch) => stretch.first > this.written)
      lines.splice(0, left === -1 ? lines.length : left)
    })
  }

  /** Ends the log, and closes its files: the next one goes on after the last number that was handed out. */
  end(handedOut: number): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      const { file } = this
      if (file === undefined || file.timesSize === 0 || file.reserved === handedOut) return
      if (yield* file.isThere()) yield* file.reserve(handedOut)
    }).pipe(Effect.ignore, Effect.zipRight(Effect.promise(() => this.chores)), Effect.zipRight(this.close()))
  }

  /** Closes the files, until there is more to write. */
  close(): Effect.Effect<void> {
    return Effect.promise(async () => {
      await this.file?.close()
    })
  }

  /** Chooses what to write; undefined when nothing more goes into the file. May split the last lines that fit. */
  private plan(active: SegmentFile, lines: Array<Stretch>): Plan | undefined {
    const buffers: Array<Buffer> = []
    const records: Array<LineTimes.TimesRecord> = []
    let offset = active.size
    let room = this.maxSize - active.size - Math.max(active.timesSize, LineTimes.blockBytes)
    const add = (record: Omit<LineTimes.TimesRecord, "offset">): void => {
      records.push({ ...record, offset })
      offset += record.length
      room -= record.length + LineTimes.blockBytes
    }
    const { at, generation } = lines[0]!
    const own = { at, generation, stream: 2, continued: false }
    let next = this.written + 1
    if (this.unused > 0) {
      next += this.unused
      add({ ...own, kind: "unused", first: next, lines: this.unused, length: 0 })
    }
    let bytes: Buffer | undefined
    let from = 0
    let to = 0
    const flush = (): void => {
      if (bytes !== undefined) buffers.push(bytes.subarray(from, to))
      bytes = undefined
    }
    let chosen = 0
    while (chosen < lines.length) {
      let stretch = lines[chosen]!
      const missing = stretch.first - next
      const note = missing > 0 ? noteOf(missing) : undefined
      const noteCost = note === undefined ? 0 : note.length + LineTimes.blockBytes
      let size = portion(stretch, room - noteCost - LineTimes.blockBytes)
      if (size === 0) {
        if (chosen > 0) break
        if (active.size > 0) return undefined
        // A file has at least one line.
        size = stretch.bytes.indexOf(lineFeed, stretch.start) + 1 - stretch.start
      }
      if (size < stretch.end - stretch.start) {
        const parts = split(stretch, size)
        lines.splice(chosen, 1, ...parts)
        stretch = parts[0]
      }
      if (note !== undefined) {
        flush()
        buffers.push(note)
        add({ ...own, kind: "note", first: stretch.first, lines: missing, length: note.length })
      }
      add({
        kind: "lines",
        at: stretch.at,
        stream: stretch.stream,
        continued: stretch.continued,
        generation: stretch.generation,
        first: stretch.first,
        lines: stretch.lines,
        length: size,
      })
      if (bytes !== stretch.bytes || to !== stretch.start) {
        flush()
        bytes = stretch.bytes
        from = stretch.start
      }
      to = stretch.end
      next = stretch.first + stretch.lines
      chosen++
    }
    flush()
    return { buffers, records }
  }

  /** Drops the oldest files, until so many are left. */
  private dropTo(files: number): Effect.Effect<unknown> {
    const { segments } = this
    return segments.length <= files ? Effect.void : removeAll(segments.splice(0, segments.length - files))
  }

  /** Begins a file. */
  private create(first: number): Effect.Effect<SegmentFile, WriteFailed> {
    return Effect.gen(this, function* () {
      const { directory, file: previous, segments } = this
      this.file = undefined
      yield* Effect.promise(() => this.chores)
      const closing = previous?.close()
      // Before the new one is made: on a full disk this makes room for it.
      yield* this.dropTo(this.limits.maxFiles - 1)
      // One of the same name had no line.
      const segment = RotatedFiles.segment(directory, first)
      const same = segments.findIndex((other) => other.first === first)
      if (same !== -1) segments.splice(same, 1)
      const file = new SegmentFile(segment, 0, 0, previous?.reserved ?? 0)
      yield* Effect.orElse(file.open(true), () =>
        Effect.zipRight(
          Effect.try({ try: () => Directory.make(directory, 0o700), catch: failed }),
          file.open(true),
        ),
      )
      this.file = file
      segments.push(segment)
      this.chores = Promise.all([closing, point(directory, segment)])
      return file
    })
  }
}

/** Points the link of a directory to a segment. It is for people: that it cannot be made is no failure. */
const point = async (directory: string, { log }: Segment): Promise<void> => {
  const link = path.join(directory, RotatedFiles.link)
  const draft = `${link}.new`
  try {
    await fs.promises.rm(draft, { force: true })
    await fs.promises.symlink(path.basename(log), draft)
    await fs.promises.rename(draft, link)
  } catch {
    // The next one is tried with the next file.
  }
}

/** Removes files, as far as that can be done. */
const removeAll = (segments: ReadonlyArray<Segment>): Effect.Effect<unknown> =>
  Effect.promise(() =>
    Promise.allSettled(
      segments.flatMap(({ log, times }) => [log, times]).map((file) => fs.promises.rm(file, { force: true })),
    ),
  )
