/** A log file read piece by piece: every read says where the next one goes on. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Tracing from "../process/Tracing.js"
import * as Limits from "./Limits.js"
import { type LogError, OffsetPastEnd } from "./LogError.js"
import * as LogFile from "./LogFile.js"
import * as LogGap from "./LogGap.js"
import * as Utf8 from "./Utf8.js"

/** Which piece is wanted. */
export interface Options {
  /** Where to start, in bytes from the beginning of the file; default 0. For places near the end see `LogTail`. */
  readonly offset?: number | undefined
  /** At most so many bytes of the file; default 65536, from 1 to 64 MiB. */
  readonly maxBytes?: number | undefined
  /**
   * The sidecar of a log whose middle may be dropped (see `LogGap`); default: nothing is. What was dropped is
   * skipped: a read that would start within it starts behind it, and one that starts before it ends there.
   */
  readonly gap?: string | undefined
}

/** As {@link Options}. */
export interface TextOptions extends Options {
  /**
   * That nothing will be written any more; default false. Only then does half a character at the end of the file
   * count as one that is wrong; else it is left for the next read.
   */
  readonly ended?: boolean | undefined
}

/** Where a read began and ended. */
export interface Place {
  /** Of the first byte: later than what was asked for when that was dropped (`Options.gap`). */
  readonly offset: number
  /** The offset of the next read. */
  readonly nextOffset: number
  /**
   * Whether there was no more when this was read: a writer may add to it. Half a character that was left for the next
   * read does not count, so that a loop until `eof` ends.
   */
  readonly eof: boolean
}

/** A piece of a log file. */
export interface Piece extends Place {
  readonly bytes: Uint8Array
}

/** A piece of a log file as text. */
export interface TextPiece extends Place {
  /** What is not UTF-8 is U+FFFD. */
  readonly text: string
}

const decode = InvalidSpec.decoder(
  "log read",
  Schema.Struct({
    offset: Schema.optional(Limits.Offset),
    maxBytes: Schema.optional(Limits.ReadBytes),
    ended: Schema.optional(Schema.Boolean),
    gap: Schema.optional(Schema.String),
  }),
)

/** What makes the place of a read wrong, beside what makes the file unreadable. */
export type Failure = LogError | OffsetPastEnd | InvalidSpec.InvalidSpec

/** Whether the bytes behind the piece were dropped. */
interface Cut {
  readonly isCut: boolean
}

const readBytes = (path: string, options: TextOptions): Effect.Effect<Piece & Cut, Failure> =>
  Effect.flatMap(decode(options), ({ gap: sidecar, maxBytes = Limits.defaultBytes, offset: wanted = 0 }) =>
    Effect.flatMap(LogFile.open(path), (file) =>
      LogGap.around(sidecar, (gap) =>
        Effect.gen(function* () {
          const size = yield* file.size
          if (wanted > size) return yield* new OffsetPastEnd({ path, offset: wanted, size })
          const offset = Math.min(LogGap.skip(gap, wanted), size)
          const end = LogGap.limit(gap, offset, Math.min(offset + maxBytes, size))
          const buffer = Buffer.allocUnsafeSlow(end - offset)
          const count = yield* file.read(buffer, offset)
          // Shorter than a moment ago: there is nothing behind what came.
          const eof = count < buffer.length || end >= size
          const bytes = buffer.subarray(0, count)
          return { offset, bytes, nextOffset: offset + count, eof, isCut: !eof && end === gap?.from }
        }),
      ),
    ),
  ).pipe(Effect.scoped)

/**
 * The bytes from an offset on. At the end of the file there are none, and `eof`.
 *
 * Fails with `InvalidSpec` for an offset or a cap that is no whole number in its range (a negative offset, for one),
 * `OffsetPastEnd`, `LogMissing`, `LogUnreadable` and `NoDescriptorLeft`.
 */
export const read = (path: string, options: Options = {}): Effect.Effect<Piece, Failure> =>
  Effect.map(readBytes(path, options), ({ bytes, eof, nextOffset, offset }) => ({
    offset,
    bytes,
    nextOffset,
    eof,
  })).pipe((run) => Tracing.withSpan(run, "LogCursor.read", () => ({ path })))

/**
 * As {@link read}, in text. It never ends within a character: what there is of it is left for the next read, unless
 * the file has ended for good, the rest of it was dropped, or the whole read is less than that one character (`maxBytes`
 * below 4). It does start within one when the offset does.
 */
export const readText = (path: string, options: TextOptions = {}): Effect.Effect<TextPiece, Failure> =>
  Effect.map(readBytes(path, options), ({ bytes, eof, isCut, nextOffset, offset }) => {
    const complete = Utf8.completeEnd(bytes)
    const cannotGrow = isCut || (complete === 0 && bytes.length === (options.maxBytes ?? Limits.defaultBytes))
    const end = cannotGrow || (eof && options.ended === true) ? bytes.length : complete
    return { offset, text: Utf8.decode(bytes, 0, end), nextOffset: nextOffset - (bytes.length - end), eof }
  }).pipe((run) => Tracing.withSpan(run, "LogCursor.readText", () => ({ path })))
