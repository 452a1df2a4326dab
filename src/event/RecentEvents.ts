/**
 * The latest entries, in memory: those that are still to be written, and some more for readers who are up to date.
 * Whoever waits for entries waits here.
 */
import * as Effect from "effect/Effect"
import { toLine } from "./EventEntry.js"

/** An entry as it is to be written. */
export interface Line {
  readonly seq: number
  readonly type: string
  readonly subject: string
  /** With its line feed. */
  readonly text: string
  readonly bytes: number
}

/** How much is held. */
export interface Limits {
  /** Entries that are written as well are dropped beyond this number or these bytes. */
  readonly keptEntries: number
  readonly keptBytes: number
  /** Beyond these bytes also those that are not are dropped, the oldest first. */
  readonly heldBytes: number
}

/** The end of a log. Its numbers have no gaps. */
export class RecentEvents {
  /** The last entry that is written. */
  written: number
  /** The last entry that readers may see: its number will not be given to another one. */
  settled: number
  /** Every entry up to here is written, or writing it has failed. */
  attempted: number
  /** No entry will come any more. */
  isClosed = false

  private lines: Array<Line> = []
  private start = 0
  private bytes = 0
  private readonly waiting = new Set<() => void>()

  constructor(
    private last: number,
    private readonly limits: Limits,
  ) {
    this.written = this.settled = this.attempted = last
  }

  /** The number of the latest entry; 0 before the first one. */
  get latest(): number {
    return this.last
  }

  /** The number of the oldest entry held here; that of the next one when there are none. */
  get first(): number {
    return this.last - (this.lines.length - this.start) + 1
  }

  /** Adds an entry and gives its number. */
  add(at: number, type: string, subject: string, data: Readonly<Record<string, unknown>>): number {
    const seq = ++this.last
    const text = toLine(seq, at, type, subject, data)
    const bytes = Buffer.byteLength(text)
    this.lines.push({ seq, type, subject, text, bytes })
    this.bytes += bytes
    this.shrink()
    return seq
  }

  /** The entry of that number, if it is held here. */
  get(seq: number): Line | undefined {
    return seq < this.first ? undefined : this.lines[this.start + seq - this.first]
  }

  /** Lets everybody look who waits for what has changed. */
  publish(): void {
    this.shrink()
    for (const look of this.waiting) look()
  }

  /** Completes when `condition` holds, which is looked at after each {@link publish}. */
  until(condition: () => boolean): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = (): void => {
        if (!condition()) return
        this.waiting.delete(look)
        resume(Effect.void)
      }
      this.waiting.add(look)
      look()
      return Effect.sync(() => this.waiting.delete(look))
    })
  }

  private shrink(): void {
    const { heldBytes, keptBytes, keptEntries } = this.limits
    while (this.start < this.lines.length) {
      const oldest = this.lines[this.start]!
      const isTooMuch = this.bytes > keptBytes || this.lines.length - this.start > keptEntries
      if (!(oldest.seq <= this.written ? isTooMuch : this.bytes > heldBytes)) break
      this.bytes -= oldest.bytes
      this.start++
    }
    // Moved in one go, now and then: taking the first one off an array moves all the others.
    if (this.start > 1_024 && this.start * 2 > this.lines.length) {
      this.lines = this.lines.slice(this.start)
      this.start = 0
    }
  }
}
