/** Reads the event log by cursor: the old part from its files, the end of it from memory. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { NoDescriptorLeft } from "../output/LogError.js"
import * as InvalidSpec from "../process/InvalidSpec.js"
import { type EventEntry, type Filter, fromLine, isWanted } from "./EventEntry.js"
import type { RecentEvents } from "./RecentEvents.js"
import type { SegmentReader } from "./SegmentReader.js"

/** Which entries to read. */
export interface ReadOptions extends Filter {
  /** A cursor: the `seq` of the last entry that is known, or the `next` of a page. Default: the oldest that is kept. */
  readonly after?: number | undefined
  /** So many entries at most; default 100, from 1 to 1,000. */
  readonly limit?: number | undefined
}

/** Some entries, the oldest first. */
export interface Page {
  readonly events: ReadonlyArray<EventEntry>
  /** To read on: pass it as `after`. */
  readonly next: number
  /** The `seq` of the oldest entry that is kept; that of the next one when there is none. */
  readonly first: number
  /** The `seq` of the latest entry, 0 before the first one. When `next` has come so far, that is all for now. */
  readonly last: number
  /**
   * Whether entries between the cursor and the first one here are not there any more: dropped, damaged, or lost. Also
   * for a cursor that this log never gave, which is read as none.
   */
  readonly missed: boolean
}

/** Which entries to follow. */
export interface FollowOptions extends Filter {
  /** A cursor, as for reading. Default: only what is still to come; 0 for all that is kept. */
  readonly after?: number | undefined
}

/** What a follower is given. */
export type Followed =
  | { readonly _tag: "Entry"; readonly entry: EventEntry }
  | {
      readonly _tag: "Missed"
      /** How many entries, of any type, were dropped before the follower came to them; 0 where it cannot be known. */
      readonly count: number
      /** Where the follower goes on: a cursor. */
      readonly next: number
    }

/** Why reading fails. */
export type ReadError = InvalidSpec.InvalidSpec | NoDescriptorLeft

const whole = (least: number, most: number, allowed: string) =>
  Schema.Int.pipe(Schema.between(least, most)).annotations({
    message: () => ({ message: `expected a whole number, ${allowed}`, override: true }),
  })

const filter = {
  after: Schema.optional(whole(0, Number.MAX_SAFE_INTEGER, "at least 0")),
  subject: Schema.optional(Schema.String),
  types: Schema.optional(Schema.Array(Schema.String)),
}

const decodeRead = InvalidSpec.decoder(
  "event query",
  Schema.Struct({ ...filter, limit: Schema.optional(whole(1, 1_000, "from 1 to 1000")) }),
)

const decodeFollow = InvalidSpec.decoder("event query", Schema.Struct(filter))

const defaultLimit = 100
/** Few at a time: many followers that catch up take turns, and others come in between. */
const followLimit = 128

/** Part of the log without a gap in it. */
interface Slice {
  readonly events: ReadonlyArray<EventEntry>
  /** The last entry that was looked at. */
  readonly next: number
  /** How many are missing before the first one. */
  readonly missed: number
}

/** The readers of one log; `files` is where older entries are, if anywhere. */
export class EventReader {
  constructor(
    private readonly recent: RecentEvents,
    private readonly files:
      | { readonly reader: SegmentReader; readonly first: () => number | undefined }
      | undefined,
  ) {}

  /** As `EventLog.read`. */
  readonly read = (options: ReadOptions = {}): Effect.Effect<Page, ReadError> =>
    Effect.gen(this, function* () {
      const { after, limit = defaultLimit, ...wanted } = yield* decodeRead(options)
      yield* this.caughtUp
      const isForeign = after !== undefined && after > this.recent.latest
      const cursor = isForeign ? undefined : after
      const slice = yield* this.slice(cursor ?? this.first - 1, limit, wanted)
      return {
        events: slice.events,
        next: slice.next,
        first: this.first,
        last: this.recent.settled,
        missed: isForeign || (cursor !== undefined && slice.missed > 0),
      }
    })

  /** As `EventLog.follow`. */
  readonly follow = (options: FollowOptions = {}): Stream.Stream<Followed, ReadError> =>
    Stream.unwrap(
      Effect.gen(this, function* () {
        const { after, ...wanted } = yield* decodeFollow(options)
        const { recent } = this
        const isForeign = after !== undefined && after > recent.latest
        let cursor = isForeign ? this.first - 1 : (after ?? recent.latest)
        const pull: Effect.Effect<Chunk.Chunk<Followed>, Option.Option<ReadError>> = Effect.gen(
          this,
          function* () {
            while (true) {
              yield* recent.until(() => recent.settled > cursor || recent.isClosed)
              if (recent.settled <= cursor) return yield* Effect.fail(Option.none())
              const { events, missed, next } = yield* Effect.mapError(
                this.slice(cursor, followLimit, wanted),
                Option.some,
              )
              cursor = next
              const found: Array<Followed> = events.map((entry) => ({ _tag: "Entry", entry }))
              if (missed > 0)
                found.unshift({ _tag: "Missed", count: missed, next: (events[0]?.seq ?? next + 1) - 1 })
              if (found.length > 0) return Chunk.unsafeFromArray(found)
            }
          },
        )
        const entries = Stream.repeatEffectChunkOption(pull)
        const foreign: Followed = { _tag: "Missed", count: 0, next: cursor }
        return isForeign ? Stream.concat(Stream.make(foreign), entries) : entries
      }),
    )

  /** Completes when everything added so far is visible, or could not be written. */
  readonly caughtUp: Effect.Effect<void> = Effect.suspend(() => {
    const { latest } = this.recent
    return this.recent.attempted >= latest
      ? Effect.void
      : this.recent.until(() => this.recent.attempted >= latest || this.recent.isClosed)
  })

  private get first(): number {
    return Math.min(this.files?.first() ?? Infinity, this.recent.first)
  }

  private slice(after: number, limit: number, wanted: Filter): Effect.Effect<Slice, NoDescriptorLeft> {
    return Effect.gen(this, function* () {
      const { files, recent } = this
      const { settled } = recent
      const events: Array<EventEntry> = []
      let next = after
      let missed = 0
      /** Moves on to an entry; false for one that is not to be seen yet, and before a gap that follows something. */
      const advance = (seq: number): boolean => {
        if (seq > settled || (seq > next + 1 && events.length > 0)) return false
        missed += seq - next - 1
        next = seq
        return true
      }
      while (files !== undefined && next + 1 < recent.first && next < settled) {
        const { first } = recent
        const isEnough = yield* files.reader.scan(next, (entry) => {
          if (entry.seq <= next) return true
          if (!advance(entry.seq)) return false
          if (isWanted(wanted, entry)) events.push(entry)
          return events.length < limit
        })
        if (isEnough && events.length > 0) return { events, next, missed }
        // Some may have gone from memory to the files during this look.
        if (recent.first === first) break
      }
      for (let seq = Math.max(next + 1, recent.first); seq <= settled && events.length < limit; seq++) {
        const line = recent.get(seq)
        if (line === undefined || !advance(seq)) break
        const entry = isWanted(wanted, line) ? fromLine(line.text) : undefined
        if (entry !== undefined) events.push(entry)
      }
      if (events.length === 0 && next < settled) {
        // What nobody can read: the reader must get past it.
        missed += settled - next
        next = settled
      }
      return { events, next, missed }
    })
  }
}
