/** Reads the log of a unit by the numbers of its lines: the old part from its files, the end of it from memory. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as InvalidSpec from "../process/InvalidSpec.js"
import type { LineRing } from "./LineRing.js"
import type { NoDescriptorLeft } from "./LogError.js"
import type { LogGap, LogLine } from "./LogLine.js"
import type { RotatedDrain } from "./RotatedDrain.js"
import type { RotatedReader } from "./RotatedReader.js"
import type { UnusedNumbers } from "./UnusedNumbers.js"

/** Which of the last lines are wanted. */
export interface TailOptions {
  /** At most so many; default 50, from 0 to 10,000. Fewer when they have more than 16 MiB. */
  readonly lines?: number | undefined
  /** None that came before this time, in milliseconds since 1970. */
  readonly since?: number | undefined
}

/** Which lines to read. */
export interface ReadOptions {
  /** A cursor: the `seq` of the last line that is known, or the `next` of a page. Default: the oldest that is kept. */
  readonly after?: number | undefined
  /** At most so many; default 100, from 1 to 10,000. Fewer when they have more than 4 MiB. */
  readonly limit?: number | undefined
}

/** Some lines, the oldest first; none is missing between them. */
export interface Page {
  readonly lines: ReadonlyArray<LogLine>
  /** To read on: pass it as `after`. */
  readonly next: number
  /** The `seq` of the latest line, 0 before the first one. When `next` has come so far, that is all for now. */
  readonly latest: number
  /** What is missing between the cursor and the first line here; undefined when nothing is. */
  readonly gap: LogGap | undefined
}

/** Where to begin to follow. Not both. */
export interface FollowOptions {
  /** A cursor, as for reading; 0 for all that is kept. */
  readonly after?: number | undefined
  /** So many of the last lines first, as `tail` has them. Default 0: only what is still to come. */
  readonly lines?: number | undefined
}

/** Why reading fails: the query is wrong, or no file can be opened just now. */
export type ReadError = InvalidSpec.InvalidSpec | NoDescriptorLeft

const mostLines = 10_000
const defaultTail = 50
const defaultLimit = 100

const tailBytes = 8_388_608
const pageBytes = 4_194_304

/** Few at a time: many followers that catch up take turns, and others come in between. */
const followLines = 4_096
const followBytes = 262_144

const whole = (least: number, most: number) =>
  Schema.Int.pipe(Schema.between(least, most)).annotations({
    message: () => ({ message: `expected a whole number from ${least} to ${most}`, override: true }),
  })

const Cursor = Schema.optional(whole(0, Number.MAX_SAFE_INTEGER))

const decodeTail = InvalidSpec.decoder(
  "log query",
  Schema.Struct({
    lines: Schema.optional(whole(0, mostLines)),
    since: Schema.optional(Schema.Finite),
  }),
)

const decodeRead = InvalidSpec.decoder(
  "log query",
  Schema.Struct({ after: Cursor, limit: Schema.optional(whole(1, mostLines)) }),
)

const decodeFollow = InvalidSpec.decoder(
  "log query",
  Schema.Struct({ after: Cursor, lines: Schema.optional(whole(0, mostLines)) }),
)

/** Part of the log, without a gap in it. */
interface Slice {
  readonly lines: ReadonlyArray<LogLine>
  /** How many are missing before the first one. */
  readonly missed: number
  /** The last line that was looked at. */
  readonly next: number
}

const gapOf = ({ lines, missed, next }: Slice): LogGap => ({
  _tag: "Gap",
  missedLines: missed,
  next: (lines[0]?.seq ?? next + 1) - 1,
})

/** The files of a log, where it has any. */
export interface Files {
  readonly reader: RotatedReader
  readonly drain: RotatedDrain
  /** The number of the oldest line in them. */
  readonly first: () => number | undefined
}

/** The readers of one log. */
export class UnitLogReader {
  constructor(
    private readonly ring: LineRing,
    private readonly files: Files | undefined,
    private readonly unused: UnusedNumbers,
  ) {}

  /** As `UnitLog.tail`. */
  tail(options: TailOptions = {}): Effect.Effect<ReadonlyArray<LogLine>, ReadError> {
    return Effect.gen(this, function* () {
      const { lines = defaultTail, since = 0 } = yield* decodeTail(options)
      if (lines === 0) return []
      const { last } = this.ring
      const found: Array<LogLine> = []
      let cursor = (yield* this.tailFrom(lines, since)) - 1
      while (cursor < last && found.length < lines) {
        const slice = yield* this.slice(cursor, lines - found.length, pageBytes)
        for (const line of slice.lines) if (line.at >= since) found.push(line)
        cursor = slice.next
      }
      return found
    })
  }

  /** As `UnitLog.read`. */
  read(options: ReadOptions = {}): Effect.Effect<Page, ReadError> {
    return Effect.gen(this, function* () {
      const { after, limit = defaultLimit } = yield* decodeRead(options)
      const { last } = this.ring
      const isForeign = after !== undefined && after > last
      let next = isForeign ? this.first - 1 : (after ?? this.first - 1)
      let gap: LogGap | undefined = isForeign ? { _tag: "Gap", missedLines: 0, next } : undefined
      const lines: Array<LogLine> = []
      let room = pageBytes
      while (next < last && lines.length < limit && room > 0) {
        const slice = yield* this.slice(next, limit - lines.length, room)
        if (slice.missed > 0) {
          if (lines.length > 0) break
          // Who begins with the oldest line misses none.
          if (after !== undefined) gap = gapOf(slice)
        }
        for (const line of slice.lines) {
          lines.push(line)
          room -= line.text.length
        }
        next = slice.next
      }
      return { lines, next, latest: this.ring.last, gap }
    })
  }

  /** As `UnitLog.follow`. */
  follow(options: FollowOptions = {}): Stream.Stream<LogLine | LogGap, ReadError> {
    return Stream.unwrapScoped(
      Effect.gen(this, function* () {
        const { after, lines = 0 } = yield* decodeFollow(options)
        const { ring } = this
        yield* Effect.acquireRelease(
          Effect.sync(() => ring.follow()),
          (leave) => Effect.sync(leave),
        )
        const isForeign = after !== undefined && after > ring.last
        let cursor = isForeign
          ? this.first - 1
          : (after ?? (lines === 0 ? ring.last : (yield* this.tailFrom(lines, 0)) - 1))
        const news = Effect.async<void>((resume) => {
          // It may have come since the last look.
          if (ring.last > cursor || ring.isClosed) return resume(Effect.void)
          return Effect.sync(ring.onNews(() => resume(Effect.void)))
        })
        const give = (slice: Slice): Chunk.Chunk<LogLine | LogGap> => {
          const { lines, missed, next } = slice
          cursor = next
          return Chunk.unsafeFromArray(missed === 0 ? lines : [gapOf(slice), ...lines])
        }
        const pull: Effect.Effect<Chunk.Chunk<LogLine | LogGap>, Option.Option<ReadError>> = Effect.suspend(
          () => {
            if (ring.last > cursor)
              return Effect.mapBoth(this.slice(cursor, followLines, followBytes), {
                onFailure: Option.some,
                onSuccess: give,
              })
            return ring.isClosed ? Effect.fail(Option.none()) : Effect.zipRight(news, pull)
          },
        )
        const all = Stream.repeatEffectChunkOption(pull)
        const foreign: LogGap = { _tag: "Gap", missedLines: 0, next: cursor }
        return isForeign ? Stream.concat(Stream.make(foreign), all) : all
      }),
    )
  }

  /** The number of the oldest line there is; that of the next one when there are none. */
  private get first(): number {
    return Math.min(this.files?.first() ?? Infinity, this.ring.first)
  }

  /** The number of the first of the last lines. */
  private tailFrom(lines: number, since: number): Effect.Effect<number, NoDescriptorLeft> {
    return Effect.suspend(() => {
      const { first: before, last, since: oldest = Infinity } = this.ring
      const left = lines - (last - before + 1)
      if (left <= 0) return Effect.succeed(last - lines + 1)
      if (this.files === undefined || oldest < since) return Effect.succeed(before)
      return this.files.reader.back({ before, lines: left, bytes: tailBytes, since })
    })
  }

  private slice(after: number, lines: number, bytes: number): Effect.Effect<Slice, NoDescriptorLeft> {
    return Effect.suspend(() =>
      after + 1 >= this.ring.first || this.files === undefined
        ? Effect.succeed(this.fromRing(after, lines, bytes, 0))
        : this.fromFiles(this.files, after, lines, bytes),
    )
  }

  private fromRing(after: number, lines: number, bytes: number, missedBefore: number): Slice {
    const { first } = this.ring
    const missed = missedBefore + this.unused.linesBetween(after, first)
    const begin = Math.max(after, first - 1)
    const found: Array<LogLine> = []
    this.ring.read(begin, lines, bytes, found)
    return { lines: found, missed, next: found.at(-1)?.seq ?? begin }
  }

  private fromFiles(
    { drain, reader }: Files,
    after: number,
    lines: number,
    bytes: number,
  ): Effect.Effect<Slice, NoDescriptorLeft> {
    return Effect.gen(this, function* () {
      let cursor = after
      let missed = 0
      while (cursor + 1 < this.ring.first) {
        const before = this.ring.first
        const isBehind = drain.written < before - 1
        let found = yield* reader.read({ after: cursor, before, lines, bytes })
        let first = found[0]?.seq ?? before
        if (isBehind && this.unused.linesBetween(cursor, first) > 0) {
          // Some may be on their way to the files.
          yield* drain.settled(first - 1)
          found = yield* reader.read({ after: cursor, before, lines, bytes })
          first = found[0]?.seq ?? before
        }
        missed += this.unused.linesBetween(cursor, first)
        if (found.length > 0) return { lines: found, missed, next: found.at(-1)!.seq }
        cursor = before - 1
      }
      return this.fromRing(cursor, lines, bytes, missed)
    })
  }
}
