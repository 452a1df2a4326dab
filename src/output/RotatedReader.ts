/** Reads lines from the files of a log. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { type LogError, NoDescriptorLeft } from "./LogError.js"
import * as LogFile from "./LogFile.js"
import { cut, type LogLine } from "./LogLine.js"
import * as LineTimes from "./LineTimes.js"
import type { Segment, Sizes } from "./RotatedFiles.js"
import * as RotatedRepair from "./RotatedRepair.js"
import type { UnusedNumbers } from "./UnusedNumbers.js"

/** What the reader has to know of the writer. */
export interface Source {
  /** The oldest first. */
  readonly segments: ReadonlyArray<Segment>
  /** How far the segment that is written to may be read; undefined for any other. */
  readonly sizesOf: (segment: Segment) => Sizes | undefined
}

/** Which lines are wanted. */
export interface Range {
  /** Those after this one */
  readonly after: number
  /** and before this one. */
  readonly before: number
  /** At most so many, and of about so many bytes. */
  readonly lines: number
  readonly bytes: number
}

/** Which of the last lines are wanted. */
export interface Back {
  /** Those before this one: */
  readonly before: number
  /** so many, */
  readonly lines: number
  /** of about so many bytes, */
  readonly bytes: number
  /** and none that is older; in milliseconds since 1970. */
  readonly since: number
}

/** A sidecar is damaged. */
class Damaged extends Data.TaggedError("Damaged") {}

type Failure = LogError | Damaged

/** The records of a segment. */
interface Times {
  readonly count: number
  readonly read: (from: number, count: number) => Effect.Effect<ReadonlyArray<LineTimes.TimesRecord>, Failure>
}

/** So many records are looked at together: 4 KiB. */
const blockRecords = 128

const lineFeed = 0x0a

const fileTimes = (file: LogFile.LogFile, size: number): Times => ({
  count: Math.max(0, LineTimes.blocksIn(size) - 1),
  read: (from, count) =>
    Effect.suspend(() => {
      const bytes = Buffer.allocUnsafe(count * LineTimes.blockBytes)
      return Effect.flatMap(
        file.read(bytes, (from + 1) * LineTimes.blockBytes),
        (length): Effect.Effect<ReadonlyArray<LineTimes.TimesRecord>, Damaged> => {
          const records: Array<LineTimes.TimesRecord> = []
          for (let at = 0; at < bytes.length; at += LineTimes.blockBytes) {
            const record = at + LineTimes.blockBytes <= length ? LineTimes.decode(bytes, at) : undefined
            if (record === undefined) return Effect.fail(new Damaged())
            records.push(record)
          }
          return Effect.succeed(records)
        },
      )
    }),
})

/**
 * Opens a file, and closes it after use. Without a scope, as this is done again and again: scopes that end make V8 keep
 * what they have to do with for much longer than it is used.
 */
const using = <A, E>(
  path: string,
  use: (file: LogFile.LogFile) => Effect.Effect<A, E>,
): Effect.Effect<A, E | LogError> =>
  Effect.acquireUseRelease(
    LogFile.openUnscoped(path),
    ({ file }) => use(file),
    ({ close }) => Effect.sync(close),
  )

const arrayTimes = (records: ReadonlyArray<LineTimes.TimesRecord>): Times => ({
  count: records.length,
  read: (from, count) => Effect.succeed(records.slice(from, from + count)),
})

/** The reading side of a directory of segments. */
export class RotatedReader {
  /** Of a segment whose sidecar is damaged. */
  private repaired: { readonly segment: Segment; readonly times: Times } | undefined
  /** Of the segments that were told of already. */
  private readonly told = new Set<string>()

  constructor(
    private readonly source: Source,
    private readonly unused: UnusedNumbers,
  ) {}

  /** The next lines of a range, none of which is missing between them; none when there are none. */
  read(range: Range): Effect.Effect<ReadonlyArray<LogLine>, NoDescriptorLeft> {
    return Effect.gen(this, function* () {
      for (let done = 0; ;) {
        // Looked for anew each time: the oldest ones may be dropped meanwhile.
        const { segments } = this.source
        const segment =
          done > 0
            ? segments.find(({ first }) => first > done)
            : (segments.findLast(({ first }) => first <= range.after + 1) ?? segments[0])
        if (segment === undefined || segment.first >= range.before) return []
        const lines = yield* this.within(segment, [], (times) => this.readSegment(segment, times, range))
        if (lines.length > 0) return lines
        done = segment.first
      }
    })
  }

  /** Before which line the last lines begin; `before` when there are none in the files. */
  back({ before, bytes, lines, since }: Back): Effect.Effect<number, NoDescriptorLeft> {
    return Effect.gen(this, function* () {
      let begin = before
      let left = lines
      let room = bytes
      for (const segment of this.source.segments.filter(({ first }) => first < before).reverse()) {
        const isEnough = yield* this.within(segment, false, (times) =>
          Effect.gen(function* () {
            for (let end = times.count; end > 0; end -= blockRecords) {
              const from = Math.max(0, end - blockRecords)
              for (const record of (yield* times.read(from, end - from)).toReversed()) {
                if (record.kind !== "lines" || record.first >= begin) continue
                if (record.at < since) return true
                const count = Math.min(record.lines, begin - record.first)
                begin = record.first + Math.max(0, count - left)
                left -= count
                room -= record.length
                if (left <= 0 || room <= 0) return true
              }
            }
            return false
          }),
        )
        if (isEnough) break
      }
      return begin
    })
  }

  private readSegment(
    segment: Segment,
    times: Times,
    range: Range,
  ): Effect.Effect<ReadonlyArray<LogLine>, Failure> {
    return using(segment.log, (log) => this.readLines(log, times, range))
  }

  private readLines(
    log: LogFile.LogFile,
    times: Times,
    range: Range,
  ): Effect.Effect<ReadonlyArray<LogLine>, Failure> {
    return Effect.gen(this, function* () {
      let index = yield* this.indexOf(times, range.after + 1)
      while (index < times.count) {
        const records = yield* times.read(index, Math.min(blockRecords, times.count - index))
        const { isLast, looked, wanted } = this.choose(records, range)
        const lines: Array<LogLine> = []
        const [oldest] = wanted
        if (oldest !== undefined) {
          const newest = wanted.at(-1)!
          const bytes = Buffer.allocUnsafe(newest.offset + newest.length - oldest.offset)
          const end = oldest.offset + (yield* log.read(bytes, oldest.offset))
          for (const record of wanted) {
            const isThere = record.offset + record.length <= end
            const start = record.offset - oldest.offset
            const stretch = { ...record, bytes, start, end: start + record.length }
            if (isThere && bytes[stretch.end - 1] === lineFeed) {
              const skip = Math.max(0, range.after + 1 - record.first)
              const most = Math.min(range.lines - lines.length, range.before - record.first - skip)
              cut(stretch, skip, most, lines)
            } else if (lines.length > 0) break
          }
        }
        if (lines.length > 0 || isLast) return lines
        index += looked
      }
      return []
    })
  }

  /** Those of the records that lines are to be taken from, and whether none after them is to be looked at. */
  private choose(records: ReadonlyArray<LineTimes.TimesRecord>, range: Range) {
    const wanted: Array<LineTimes.TimesRecord> = []
    let lines = 0
    let bytes = 0
    let looked = 0
    for (const record of records) {
      if (lines >= range.lines || bytes >= range.bytes) break
      if (record.kind === "unused") this.unused.add(record.first, record.lines)
      if (record.kind === "lines" && record.first >= range.before) return { wanted, looked, isLast: true }
      if (record.kind === "lines" && LineTimes.nextOf(record) > range.after + 1) {
        const before = wanted.at(-1)
        const isNext =
          before === undefined || this.unused.linesBetween(LineTimes.nextOf(before) - 1, record.first) === 0
        if (!isNext) break
        wanted.push(record)
        lines += LineTimes.nextOf(record) - Math.max(record.first, range.after + 1)
        bytes += record.length
      }
      looked++
    }
    return { wanted, looked, isLast: false }
  }

  /** The last record that begins at or before a line. */
  private indexOf(times: Times, seq: number): Effect.Effect<number, Failure> {
    return Effect.gen(function* () {
      let low = 0
      let high = times.count
      while (high - low > blockRecords) {
        const middle = (low + high) >> 1
        const [record] = yield* times.read(middle, 1)
        if (record!.first > seq) high = middle
        else low = middle
      }
      const records = yield* times.read(low, high - low)
      return (
        low +
        Math.max(
          0,
          records.findLastIndex(({ first }) => first <= seq),
        )
      )
    })
  }

  /** Uses the records of a segment; gives `otherwise` when it cannot be read, or is not there any more. */
  private within<A>(
    segment: Segment,
    otherwise: A,
    use: (times: Times) => Effect.Effect<A, Failure>,
  ): Effect.Effect<A, NoDescriptorLeft> {
    return this.withTimes(segment, use).pipe(
      Effect.catchTag("Damaged", () => Effect.flatMap(this.repair(segment), use)),
      Effect.catchTags({
        Damaged: () => Effect.succeed(otherwise),
        LogMissing: () => Effect.succeed(otherwise),
        LogUnreadable: ({ message }) => Effect.as(this.warn(segment, message), otherwise),
      }),
    )
  }

  private withTimes<A>(
    segment: Segment,
    use: (times: Times) => Effect.Effect<A, Failure>,
  ): Effect.Effect<A, Failure> {
    return Effect.suspend(() => {
      if (this.repaired?.segment === segment) return use(this.repaired.times)
      const sizes = this.source.sizesOf(segment)
      if (sizes?.timesSize === 0) return use(arrayTimes([]))
      return using(segment.times, (file) =>
        Effect.gen(function* () {
          const header = Buffer.alloc(LineTimes.blockBytes)
          const count = yield* file.read(header, 0)
          const { first } = LineTimes.decodeHeader(header.subarray(0, count)) ?? {}
          const size = sizes?.timesSize ?? (yield* file.size)
          if (first !== segment.first || size % LineTimes.blockBytes !== 0) return yield* new Damaged()
          return yield* use(fileTimes(file, size))
        }),
      ).pipe(Effect.catchTag("LogMissing", () => Effect.fail(new Damaged())))
    })
  }

  private repair(segment: Segment): Effect.Effect<Times, LogError> {
    return Effect.gen(this, function* () {
      const { segments } = this.source
      const next = segments[segments.indexOf(segment) + 1]?.first
      const times = arrayTimes((yield* RotatedRepair.repair(segment, next)).records)
      yield* this.warn(
        segment,
        `The file ${segment.times} is damaged: the times of some lines are not right.`,
      )
      // What is being written changes.
      if (this.source.sizesOf(segment) === undefined) this.repaired = { segment, times }
      return times
    })
  }

  private warn({ log }: Segment, message: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.told.has(log)) return Effect.void
      this.told.add(log)
      return Effect.logWarning(message)
    })
  }
}
