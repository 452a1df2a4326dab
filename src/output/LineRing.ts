/**
 * The last lines of a log, in memory: those that are kept in any case, those that are still to be written to files, and
 * some more while somebody follows. Whoever waits for lines waits here.
 *
 * Lines are kept as bytes, in runs that came at once, and are cut when somebody reads them.
 */
import { cut, type LogLine, type Origin, type Stretch } from "./LogLine.js"
import { hold, letGo, type Slab, Slabs } from "./Slab.js"

/** Lines that came at once. It may grow at its end until it is taken. */
export interface Run extends Stretch {
  readonly slab: Slab
  end: number
  lines: number
}

/** The number of the last line of a run. */
const lastOf = (run: Run): number => run.first + run.lines - 1

/** How much is kept. */
export interface Limits {
  /** So many of the last lines in any case. */
  readonly lines: number
  /** While somebody follows, lines of so many bytes. */
  readonly followedBytes: number
  /** Lines that were not taken yet, of so many bytes; 0 when nobody takes any. */
  readonly pendingBytes: number
}

/** What was not taken yet, or is not released, of all rings of the program, in bytes. */
let waiting = 0

/** When more than this waits altogether, in bytes, each ring keeps no more of it than the least. */
const mostWaiting = 67_108_864
const leastPending = 65_536

/** A run does not grow beyond this, in bytes. */
const mostRunBytes = 65_536

const nothing: Slab = { bytes: Buffer.alloc(0), used: 0, holders: 1 }

/** Stands for a run that was dropped, whose memory must not be kept. */
const dropped: Run = {
  at: 0,
  stream: 0,
  continued: false,
  generation: 0,
  bytes: nothing.bytes,
  start: 0,
  end: 0,
  first: 0,
  lines: 0,
  slab: nothing,
}

/** The end of a log. Its numbers have no gaps. */
export class LineRing {
  /** How many are following. */
  followers = 0
  /** No line will come any more. */
  isClosed = false

  private readonly slabs = new Slabs()
  private runs: Array<Run> = []
  /** Those before it were dropped, and are cut off now and then. */
  private head = 0
  private lines = 0
  private bytes = 0
  /** Runs up to this line were taken. */
  private taken: number
  /** How much there is to take, in bytes. */
  pending = 0
  private listeners: Array<() => void> = []

  constructor(
    /** The number of the latest line; 0 before the first one. */
    public last: number,
    private readonly limits: Limits,
    /** Called when there is something to take. */
    private readonly onPending: (() => void) | undefined,
  ) {
    this.taken = last
  }

  /** The number of the oldest line held here; that of the next one when there are none. */
  get first(): number {
    return this.last - this.lines + 1
  }

  /** Memory for so many bytes of whole lines, which {@link add} is to be called for at once. */
  reserve(length: number): Slab {
    return this.slabs.reserve(length)
  }

  /** Adds the lines that were put into a slab behind `used`. */
  add(slab: Slab, length: number, lines: number, origin: Origin): void {
    const start = slab.used
    slab.used += length
    const first = this.last + 1
    this.last += lines
    this.lines += lines
    this.bytes += length
    this.pending += length
    if (this.limits.pendingBytes > 0) waiting += length
    const { at, continued, generation, stream } = origin
    const run = this.runs.at(-1)
    if (
      run?.slab === slab &&
      run.end === start &&
      run.first > this.taken &&
      run.at === at &&
      run.stream === stream &&
      run.continued === continued &&
      run.generation === generation &&
      start + length - run.start <= mostRunBytes
    ) {
      run.end += length
      run.lines += lines
    } else {
      hold(slab)
      const end = start + length
      this.runs.push({ at, stream, continued, generation, bytes: slab.bytes, start, end, first, lines, slab })
    }
    this.trim()
    this.wake()
    this.onPending?.()
  }

  /**
   * Takes the oldest runs that were not taken, of about so many bytes; there may be lines missing before them. They are
   * to be given to {@link release}.
   */
  take(bytes: number): Array<Run> {
    const taken: Array<Run> = []
    let size = 0
    for (let index = this.indexOf(this.taken + 1); index < this.runs.length && size < bytes; index++) {
      const run = this.runs[index]!
      hold(run.slab)
      taken.push(run)
      size += run.end - run.start
      this.taken = lastOf(run)
    }
    this.pending -= size
    this.trim()
    return taken
  }

  /** What was taken is not needed any more. */
  release(runs: Iterable<Run>): void {
    for (const { end, slab, start } of runs) {
      waiting -= end - start
      letGo(slab)
    }
  }

  /** Nobody will take anything any more. */
  giveUp(): void {
    if (this.limits.pendingBytes > 0) waiting -= this.pending
    this.pending = 0
    this.taken = this.last
  }

  /** Lines from the one after `after` on that are held here: so many, and of about so many bytes, at most. */
  read(after: number, lines: number, bytes: number, into: Array<LogLine>): void {
    let left = lines
    let room = bytes
    for (let index = this.indexOf(after + 1); index < this.runs.length && left > 0 && room > 0; index++) {
      const run = this.runs[index]!
      const before = into.length
      cut(run, Math.max(0, after + 1 - run.first), left, into)
      left -= into.length - before
      room -= run.end - run.start
    }
  }

  /** The last lines held here, of one generation or of all, the oldest first. */
  latest(count: number, generation: number | undefined): Array<LogLine> {
    let found: Array<LogLine> = []
    for (let index = this.runs.length - 1; index >= this.head && found.length < count; index--) {
      const run = this.runs[index]!
      if (generation !== undefined && run.generation !== generation) continue
      const lines: Array<LogLine> = []
      cut(run, Math.max(0, run.lines - (count - found.length)), count, lines)
      found = lines.concat(found)
    }
    return found
  }

  /** The time of the oldest line held here; undefined when there are none. */
  get since(): number | undefined {
    return this.runs[this.head]?.at
  }

  /** Calls `listener` once, when a line has come or none will come any more. Gives what takes that back. */
  onNews(listener: () => void): () => void {
    this.listeners.push(listener)
    return () => {
      this.listeners = this.listeners.filter((other) => other !== listener)
    }
  }

  /** One more follower; gives what is to be called when it is gone. */
  follow(): () => void {
    this.followers++
    return () => {
      this.followers--
      this.trim()
    }
  }

  /** No line will come any more: lets everybody know. What is held here can still be read. */
  close(): void {
    this.isClosed = true
    this.slabs.close()
    this.wake()
  }

  private wake(): void {
    if (this.listeners.length === 0) return
    const woken = this.listeners
    this.listeners = []
    for (const listener of woken) listener()
  }

  /** Where the run is that has this line; the first one that comes after it if there is none. */
  private indexOf(seq: number): number {
    let low = this.head
    let high = this.runs.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (lastOf(this.runs[middle]!) < seq) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Whether there is room for all that was not taken yet. */
  private mayWait(): boolean {
    return (
      this.pending <= this.limits.pendingBytes && (waiting <= mostWaiting || this.pending <= leastPending)
    )
  }

  private trim(): void {
    const { followedBytes, lines } = this.limits
    while (this.head < this.runs.length) {
      const oldest = this.runs[this.head]!
      const size = oldest.end - oldest.start
      const isPending = oldest.first > this.taken
      if (this.lines - oldest.lines < lines) break
      if (this.followers > 0 && this.bytes - size < followedBytes) break
      if (isPending && this.mayWait()) break
      this.lines -= oldest.lines
      this.bytes -= size
      if (isPending) {
        this.pending -= size
        if (this.limits.pendingBytes > 0) waiting -= size
        this.taken = lastOf(oldest)
      }
      letGo(oldest.slab)
      this.runs[this.head++] = dropped
    }
    // Moved in one go, now and then: taking the first one off an array moves all the others.
    if (this.head > 1_024 && this.head * 2 > this.runs.length) {
      this.runs = this.runs.slice(this.head)
      this.head = 0
    }
  }
}
