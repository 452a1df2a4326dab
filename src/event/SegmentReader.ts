/** Reads entries from segments. */
import * as Effect from "effect/Effect"
import type { NoDescriptorLeft } from "../output/LogError.js"
import * as LogFile from "../output/LogFile.js"
import { type EventEntry, fromLine, seqAt } from "./EventEntry.js"
import type { Segment } from "./SegmentFiles.js"
import * as SegmentFiles from "./SegmentFiles.js"
import type { SegmentWriter } from "./SegmentWriter.js"

/** Is given each entry in turn; false when it wants no more. */
export type Visit = (entry: EventEntry) => boolean

const chunkBytes = 16_384
const newline = 0x0a

/** The end of a read is where the next one will likely begin: so many are remembered. */
const mostPlaces = 64

interface Place {
  readonly segment: Segment
  readonly offset: number
}

/** The reading side of a directory of segments. */
export class SegmentReader {
  /** Where the line after an entry begins. */
  private readonly places = new Map<number, Place>()
  /** Of the segments that were told of already. */
  private readonly damaged = new Set<string>()

  constructor(private readonly writer: SegmentWriter) {}

  /**
   * Visits what is written from the entry after `after` on, and reads no more than it has to. Damaged lines are
   * skipped with a warning; a segment that cannot be read is set aside. True when the visitor wanted no more.
   */
  scan(after: number, visit: Visit): Effect.Effect<boolean, NoDescriptorLeft> {
    return Effect.gen(this, function* () {
      let done = 0
      while (true) {
        // Looked for anew each time: the oldest ones may be dropped meanwhile.
        const { segments } = this.writer
        const segment =
          done > 0
            ? segments.find(({ first }) => first > done)
            : (segments.findLast(({ first }) => first <= after + 1) ?? segments[0])
        if (segment === undefined) return false
        if (yield* this.scanSegment(segment, after, visit)) return true
        done = segment.first
      }
    })
  }

  private scanSegment(
    segment: Segment,
    after: number,
    visit: Visit,
  ): Effect.Effect<boolean, NoDescriptorLeft> {
    return Effect.gen(this, function* () {
      const end = this.writer.endOf(segment)
      const file = yield* LogFile.open(segment.path)
      const place = this.places.get(after)
      let offset = place?.segment === segment ? place.offset : 0
      let rest = Buffer.alloc(0)
      while (offset < end) {
        const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, end - offset))
        const count = yield* file.read(chunk, offset)
        if (count === 0) break
        const bytes = Buffer.concat([rest, chunk.subarray(0, count)])
        let start = 0
        let isDamaged = false
        for (let stop = bytes.indexOf(newline); stop !== -1; stop = bytes.indexOf(newline, start)) {
          const seq = seqAt(bytes, start)
          if (seq === undefined || seq > after) {
            const entry = fromLine(bytes.toString("utf8", start, stop))
            isDamaged ||= entry === undefined
            if (entry !== undefined && entry.seq > after && !visit(entry)) {
              this.remember(entry.seq, { segment, offset: offset - rest.length + stop + 1 })
              return true
            }
          }
          start = stop + 1
        }
        if (isDamaged) yield* this.warn(segment)
        rest = bytes.subarray(start)
        offset += count
      }
      return false
    }).pipe(
      Effect.scoped,
      Effect.catchTags({
        // Dropped meanwhile, or deleted by somebody else.
        LogMissing: () => Effect.sync(() => this.forget(segment)),
        LogUnreadable: ({ reason }) =>
          Effect.zipRight(
            Effect.suspend(() => Effect.logError(SegmentFiles.setAside(segment.path, reason))),
            Effect.sync(() => this.forget(segment)),
          ),
      }),
    )
  }

  private forget(segment: Segment): false {
    this.writer.forget(segment)
    return false
  }

  private warn({ path }: Segment): Effect.Effect<void> {
    if (this.damaged.has(path)) return Effect.void
    this.damaged.add(path)
    return Effect.logWarning(`The file of events ${path} has damaged lines. They are skipped.`)
  }

  private remember(seq: number, place: Place): void {
    this.places.delete(seq)
    this.places.set(seq, place)
    const [oldest] = this.places.keys()
    if (this.places.size > mostPlaces) this.places.delete(oldest!)
  }
}
