/**
 * Keeps the head and the tail of an attempt's two logs, and drops what is between them, while the attempt writes on.
 *
 * **Which part.** The two logs share the cap. Nothing is dropped until they exceed it together. The smaller one then
 * keeps what it has, up to a half of the cap, and an eighth is set aside for it in any case; the larger one gets the
 * rest. Of its share a log keeps the first half for ever, rounded up to blocks; and a tail that is at least as long, and
 * a quarter longer before it is cut again. So a log that is alone takes no more than the cap, and two large ones an
 * eighth more for a moment. A cap below 64 KiB counts as 64 KiB.
 *
 * **Where exactly.** The head ends with a line and the tail begins with one, where one ends within 4 KiB; else no
 * character of UTF-8 is cut.
 */
import * as Effect from "effect/Effect"
import * as HolePunch from "../../output/HolePunch.js"
import type { LogError, LogMissing } from "../../output/LogError.js"
import * as LogFile from "../../output/LogFile.js"
import * as LogGap from "../../output/LogGap.js"
import * as Utf8 from "../../output/Utf8.js"

const block = HolePunch.blockSize

const smallestCap = 65_536

/** A log as it stands. */
export interface Extent {
  /** In bytes, with what was dropped. */
  readonly size: number
  readonly gap: LogGap.Gap | undefined
}

/** Where to cut a log, in whole blocks: there is at least one more on both sides. */
export interface Cut {
  /** Where the head ends at the latest. */
  readonly head: number
  /** Where the tail begins at the earliest. */
  readonly tail: number
}

const up = (bytes: number): number => Math.ceil(bytes / block) * block
const down = (bytes: number): number => Math.floor(bytes / block) * block

/** How many bytes of head, and of tail, a log keeps at least. */
const halfShare = (cap: number, log: Extent, other: Extent): number => {
  if (log.gap !== undefined) return log.gap.from
  const least = cap / 8
  const share =
    other.gap === undefined
      ? cap - Math.min(Math.max(other.size, least), cap / 2)
      : Math.max(cap - 2 * other.gap.from, least)
  return share / 2
}

/** Where to cut a log now; undefined when it is left as it is. */
export const cutOf = (maxLogBytes: number, log: Extent, other: Extent): Cut | undefined => {
  const cap = Math.max(maxLogBytes, smallestCap)
  const isUncut = log.gap === undefined && other.gap === undefined
  if (isUncut && log.size + other.size <= cap) return undefined
  const half = halfShare(cap, log, other)
  const head = log.gap === undefined ? up(half) + block : up(log.gap.from)
  const kept = log.size - (log.gap?.to ?? head)
  // Some blocks more, so that a small share is not cut all the time.
  return kept > half * 1.25 + 3 * block ? { head, tail: down(log.size - half - block) } : undefined
}

/** A log as it was seen. */
export interface Seen extends Extent {
  /** As `LogFile.Facts` has it; undefined when there is no file. */
  readonly id: string | undefined
}

type ReadError = Exclude<LogError, LogMissing>

/** The bytes of the file from `start` to `end`, both of which are there. */
const piece = (path: string, start: number, end: number): Effect.Effect<Buffer, LogError> =>
  Effect.scoped(
    Effect.flatMap(LogFile.open(path), (file) => {
      const buffer = Buffer.alloc(end - start)
      return Effect.map(file.read(buffer, start), (count) => buffer.subarray(0, count))
    }),
  )

const lineEnd = 0x0a

/** Where the head ends. */
const headEnd = (path: string, head: number): Effect.Effect<number, LogError> =>
  Effect.map(piece(path, head - block, head), (bytes) => {
    const found = bytes.lastIndexOf(lineEnd)
    return head - block + (found === -1 ? Utf8.completeEnd(bytes) : found + 1)
  })

/** So many bytes before the tail tell whether it begins within a character. */
const lookBack = 3

/** Where the tail begins. */
const tailStart = (path: string, tail: number): Effect.Effect<number, LogError> =>
  Effect.map(piece(path, tail - lookBack, tail + block), (bytes) => {
    const found = bytes.indexOf(lineEnd, lookBack - 1)
    return tail - lookBack + (found === -1 ? Utf8.startAt(bytes, lookBack) : found + 1)
  })

/** One log of which only the ends are kept. Goes on where an earlier one stopped, as the sidecar says. */
export class LogEnds {
  private readonly sidecar: string
  private gap: LogGap.Gap | undefined
  private isLoaded = false
  /** How far it is known to be freed. */
  private freedTo: number | undefined

  constructor(readonly path: string) {
    this.sidecar = LogGap.sidecarOf(path)
  }

  /** As it stands. Fails with `LogUnreadable` for a sidecar that makes no sense. */
  readonly look: Effect.Effect<Seen, ReadError> = Effect.gen(this, function* () {
    if (!this.isLoaded) {
      this.gap = yield* LogGap.read(this.sidecar)
      this.isLoaded = true
    }
    const facts = yield* LogFile.orMissing(LogFile.facts(this.path))
    return { id: facts?.id, size: facts?.size ?? 0, gap: this.gap }
  })

  /**
   * Drops what is between the ends; with no cut only what an earlier call, or an earlier program, left undone. Gives
   * how many bytes of space are free for it.
   */
  drop(cut: Cut | undefined): Effect.Effect<number, LogError | HolePunch.NotPunched> {
    return Effect.zipRight(
      cut === undefined ? Effect.void : this.record(cut),
      Effect.suspend(() => {
        if (this.gap === undefined) return Effect.succeed(0)
        const start = this.freedTo ?? up(this.gap.from)
        const end = down(this.gap.to)
        if (start >= end) return Effect.succeed(0)
        return Effect.map(HolePunch.punch(this.path, start, end - start), () => {
          this.freedTo = end
          return end - start
        })
      }),
    ).pipe(Effect.uninterruptible)
  }

  private record({ head, tail }: Cut): Effect.Effect<void, LogError | HolePunch.NotPunched> {
    return Effect.gen(this, function* () {
      const from = this.gap?.from ?? (yield* headEnd(this.path, head))
      const gap = { from, to: yield* tailStart(this.path, tail) }
      // Where no hole can be made, nothing must be called dropped: that is tried out on what is to become the sidecar.
      const check = HolePunch.punch(LogGap.draftOf(this.sidecar), block, block)
      yield* LogGap.write(this.sidecar, gap, this.gap === undefined ? check : Effect.void)
      this.gap = gap
    })
  }
}
