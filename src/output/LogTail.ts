/**
 * The end of a log file, read from its end: the time and the memory it takes are those of what it gives, whatever the
 * file's size.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Tracing from "../process/Tracing.js"
import * as Limits from "./Limits.js"
import type { LogError } from "./LogError.js"
import * as LogFile from "./LogFile.js"
import * as LogGap from "./LogGap.js"
import * as Utf8 from "./Utf8.js"

/** How many lines a tail has unless told otherwise. */
export const defaultLines = 50

/** How much of the end is wanted. */
export interface Options {
  /** At most so many lines; default 50. What follows the last line end is a line too, and an end at the very end begins none. */
  readonly lines?: number | undefined
  /**
   * At most so many bytes of the file; default 65536, at most 64 MiB. Where they do not reach back to the beginning of
   * a line, the tail starts within that line.
   */
  readonly maxBytes?: number | undefined
  /**
   * That nothing will be written any more; default false. Only then does half a character at the end of the file
   * count as one that is wrong; else it is left for whoever reads on at `nextOffset`.
   */
  readonly ended?: boolean | undefined
  /**
   * The sidecar of a log whose middle may be dropped (see `LogGap`); default: nothing is. A tail reaches
   * back to what was dropped and no further.
   */
  readonly gap?: string | undefined
}

/** The end of a log file. */
export interface Tail {
  /** As it stands in the file, line ends included. What is not UTF-8 is U+FFFD, so that it may encode to more bytes. */
  readonly text: string
  /** How the bytes became text: whatever is not UTF-8 was replaced. */
  readonly encoding: "utf-8-lossy"
  /** The size of the file when it was read, in bytes. */
  readonly observedBytes: number
  /** How many bytes of the file the text stands for. */
  readonly includedBytes: number
  /** Whether there is something before the text that was left out. */
  readonly truncated: boolean
  /** The offset at which the text starts. */
  readonly startOffset: number
  /** Where to read or follow on so that nothing is missed and nothing comes twice. */
  readonly nextOffset: number
}

const decode = InvalidSpec.decoder(
  "log tail",
  Schema.Struct({
    lines: Schema.optional(Limits.Lines),
    maxBytes: Schema.optional(Limits.TailBytes),
    ended: Schema.optional(Schema.Boolean),
    gap: Schema.optional(Schema.String),
  }),
)

/** Fifty lines most often fit in the first one. */
const firstBlock = 16_384
const largestBlock = 1_048_576

const lineEnd = 0x0a

/** The bytes of the file from `start` on, to where it ended. */
interface Region {
  readonly start: number
  readonly bytes: Buffer
}

/** What is to be read, or only as much of it as holds `lines` lines: block by block from `end` backwards. */
const readBack = (
  file: LogFile.LogFile,
  end: number,
  /** Nothing before this place is read, also when the file becomes shorter; `cap` bytes and no more are. */
  floor: number,
  cap: number,
  lines: number,
  ended: boolean,
): Effect.Effect<Region, LogError> =>
  Effect.gen(function* () {
    const blocks: Array<Buffer> = []
    let start = end
    let left = lines
    const stop = Math.max(floor, end - cap)
    let size = firstBlock
    while (start > stop) {
      const from = Math.max(stop, start - size)
      const block = Buffer.allocUnsafe(start - from)
      const count = yield* file.read(block, from)
      if (count < block.length) {
        // The file has become shorter. What lay behind is gone, and what was read of it is worth nothing.
        const shorter = Math.min(from + count, yield* file.size)
        return yield* readBack(file, shorter, floor, cap, lines, ended)
      }
      blocks.push(block)
      // The end of the last line ends no line before it, and what is left out at the end is no line.
      const visible = start < end || ended ? block.length : Utf8.completeEnd(block)
      for (let at = visible - (start === end ? 2 : 1); at >= 0; at--) {
        if (block[at] !== lineEnd || --left > 0) continue
        blocks[blocks.length - 1] = block.subarray(at + 1)
        return { start: from + at + 1, bytes: Buffer.concat(blocks.reverse()) }
      }
      start = from
      size = Math.min(size * 2, largestBlock)
    }
    return { start, bytes: Buffer.concat(blocks.reverse()) }
  })

/** So many bytes before the cut tell whether it lies within a character. */
const lookBack = 3

/**
 * The last lines of the file at `path`, and no more than a number of bytes.
 *
 * The text starts with a whole character: it is a part of the whole file's text, to the last U+FFFD. A file that is
 * replaced while it is read gives the tail of the old one, one that gets shorter the tail of what is left, and one that
 * grows what was there at first. A file that is overwritten in place can give a mixture, as nobody can lock it.
 *
 * Fails with `InvalidSpec` for options that are not whole numbers in their range, `LogMissing`, `LogUnreadable` and
 * `NoDescriptorLeft`.
 */
export const tail = (
  path: string,
  options: Options = {},
): Effect.Effect<Tail, LogError | InvalidSpec.InvalidSpec> =>
  Effect.flatMap(
    decode(options),
    ({ ended = false, gap: sidecar, lines = defaultLines, maxBytes = Limits.defaultBytes }) =>
      Effect.flatMap(LogFile.open(path), (file) =>
        LogGap.around(sidecar, (gap) =>
          Effect.gen(function* () {
            const cap = lines === 0 ? 0 : maxBytes
            const size = yield* file.size
            const floor = Math.min(size, gap?.to ?? 0)
            const region = yield* readBack(file, size, floor, cap + lookBack, Math.max(1, lines), ended)
            const { bytes, start } = region
            const observedBytes = start + bytes.length
            const to = ended ? bytes.length : Utf8.completeEnd(bytes)
            const from = Math.min(to, Utf8.startAt(bytes, Math.max(0, bytes.length - cap)))
            return {
              text: Utf8.decode(bytes, from, to),
              encoding: "utf-8-lossy" as const,
              observedBytes,
              includedBytes: to - from,
              truncated: start + from > 0,
              startOffset: start + from,
              nextOffset: start + to,
            }
          }),
        ),
      ),
  ).pipe(Effect.scoped, (run) => Tracing.withSpan(run, "LogTail.tail", () => ({ path })))
