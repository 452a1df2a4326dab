/**
 * Makes the records of a segment whose sidecar is damaged, missing, or behind its file: what is left of them is used, and
 * lines that none of them covers get the next numbers and the time of the record before.
 */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import { fromSystem, type LogError } from "./LogError.js"
import * as LogFile from "./LogFile.js"
import * as LineTimes from "./LineTimes.js"
import { lineCap } from "./RunCutter.js"
import type { End, Segment } from "./RotatedFiles.js"

/** The records of a segment, in order; together they cover all of the file. */
export interface Repaired extends End {
  readonly records: ReadonlyArray<LineTimes.TimesRecord>
}

const blockBytes = 262_144
/** No recovered record has more. */
const mostBytes = 65_536
const lineFeed = 0x0a

const attempt = <A>(path: string, run: () => Promise<A>): Effect.Effect<A, LogError> =>
  Effect.tryPromise({ try: run, catch: (cause) => fromSystem(path, cause) })

/** What is left of the sidecar. */
const readTimes = (times: string) =>
  Effect.map(LogFile.orMissing(attempt(times, () => fs.promises.readFile(times))), (bytes) => {
    const records: Array<LineTimes.TimesRecord> = []
    if (bytes === undefined) return { header: undefined, records }
    for (let at = LineTimes.blockBytes; at < bytes.length; at += LineTimes.blockBytes) {
      const record = LineTimes.decode(bytes, at)
      if (record !== undefined) records.push(record)
    }
    return { header: LineTimes.decodeHeader(bytes), records }
  })

/** Puts records together, each where the one before ends. */
class Rows {
  readonly records: Array<LineTimes.TimesRecord> = []
  /** Everything before it is covered. */
  offset = 0

  constructor(
    /** The number of the next line. */
    public next: number,
    private at: number,
  ) {}

  /** A record of the sidecar. */
  keep(record: LineTimes.TimesRecord): void {
    this.records.push(record)
    this.offset = record.offset + record.length
    this.next = LineTimes.nextOf(record)
    this.at = record.at
  }

  /** The next bytes: so many lines, or none. */
  recover(lines: number, length: number): void {
    if (length === 0) return
    const { at, next: first, offset, records } = this
    const kind = lines > 0 ? "lines" : "note"
    const origin = { at, stream: 0, continued: false, generation: records.at(-1)?.generation ?? 0 }
    this.keep({ ...origin, kind, first, lines, offset, length })
  }
}

/** Covers the bytes up to `end`, with numbers below `before`. */
const recover = (
  file: LogFile.LogFile,
  rows: Rows,
  end: number,
  before: number,
): Effect.Effect<void, LogError> =>
  Effect.gen(function* () {
    while (rows.offset < end) {
      const begin = rows.offset
      const bytes = Buffer.allocUnsafe(Math.min(blockBytes, end - begin))
      const count = yield* file.read(bytes, begin)
      if (count === 0) return
      const block = bytes.subarray(0, count)
      let at = 0
      let lines = 0
      const flush = (): void => {
        rows.recover(lines, begin + at - rows.offset)
        lines = 0
      }
      while (at < block.length) {
        const found = block.indexOf(lineFeed, at)
        const next = found === -1 ? block.length : found + 1
        // A line that goes on in the next block, which begins with it.
        if (found === -1 && at > 0 && next - at <= lineCap && begin + count < end) break
        // What is longer than any line, or has no end, was not written by us.
        const isLine = found !== -1 && next - at <= lineCap + 1 && rows.next + lines < before
        if (!isLine || begin + next - rows.offset > mostBytes) flush()
        at = next
        if (isLine) lines++
        else flush()
      }
      flush()
    }
  })

/** Ends a last line that was not written to its end. */
const endLastLine = (segment: Segment): Effect.Effect<void, LogError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const file = yield* LogFile.open(segment.log)
      const size = yield* file.size
      const last = Buffer.alloc(1)
      if (size === 0 || (yield* file.read(last, size - 1)) === 0 || last[0] === lineFeed) return
      yield* attempt(segment.log, () => fs.promises.appendFile(segment.log, "\n"))
    }),
  )

/** The records of a segment as far as they can be known. Its lines have numbers below `before`. */
export const repair = (segment: Segment, before = Infinity): Effect.Effect<Repaired, LogError> =>
  Effect.gen(function* () {
    // Without room on the disk it stays as it is.
    yield* Effect.ignore(endLastLine(segment))
    const { header, records } = yield* readTimes(segment.times)
    const file = yield* LogFile.open(segment.log)
    const { mtimeMs } = yield* attempt(segment.log, () => fs.promises.stat(segment.log))
    const size = yield* file.size
    const rows = new Rows(segment.first, Math.floor(mtimeMs))
    for (const record of records) {
      const isInOrder = record.offset >= rows.offset && record.first >= rows.next
      if (!isInOrder || LineTimes.nextOf(record) > before || record.offset + record.length > size) continue
      const unused = record.kind === "unused" ? record.lines : 0
      yield* recover(file, rows, record.offset, record.first - unused)
      rows.keep(record)
    }
    yield* recover(file, rows, size, before)
    return {
      records: rows.records,
      size: rows.offset,
      timesSize: (rows.records.length + 1) * LineTimes.blockBytes,
      last: rows.next - 1,
      reserved: Math.max(header?.reserved ?? rows.next + LineTimes.reserveStep, rows.next - 1),
    }
  }).pipe(Effect.scoped)

/** As {@link repair}, and puts the sidecar in order. */
export const mend = (segment: Segment): Effect.Effect<End, LogError> =>
  Effect.flatMap(repair(segment), (repaired) => {
    const { times } = segment
    const { last, records, reserved, size, timesSize } = repaired
    const draft = `${times}.new`
    const blocks = Buffer.concat([
      LineTimes.encodeHeader({ first: segment.first, reserved }),
      LineTimes.encode(records),
    ])
    return attempt(times, () => fs.promises.writeFile(draft, blocks, { mode: 0o600 })).pipe(
      Effect.zipRight(attempt(times, () => fs.promises.rename(draft, times))),
      Effect.tapErrorCause(() => Effect.ignore(attempt(draft, () => fs.promises.rm(draft, { force: true })))),
      Effect.as({ last, reserved, size, timesSize }),
      Effect.uninterruptible,
    )
  })
