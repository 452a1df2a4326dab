/**
 * What a process writes, handed to any number of readers. The process is drained whether anybody reads or not; a
 * slow reader loses its oldest chunks and is told how many bytes it missed, and slows nobody else.
 */
import * as Chunks from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as LineSplitter from "./LineSplitter.js"

/** The name of one of the two output streams. */
export type Source = "stdout" | "stderr"

/** Bytes as they came. They must not be changed: every reader gets the same ones. */
export interface Chunk {
  readonly _tag: "Chunk"
  readonly source: Source
  readonly bytes: Uint8Array
}

/** Stands where a slow reader missed something. */
export interface Gap {
  readonly _tag: "Gap"
  readonly missedBytes: number
}

/** A line of output and where it came from. `continued`: it was longer than the line cap and goes on in the next. */
export interface OutputLine {
  readonly source: Source
  readonly text: string
  readonly continued: boolean
}

/** The readable side. */
export interface ProcessOutput {
  /**
   * Calls `listener` with every chunk from now on, in order, on the turn of the event loop that read it. Subscribe
   * before the spawn to see every byte. A listener must be quick and must not throw. `onEnd` is called once, at the
   * end of the output. Returns what ends the subscription.
   */
  readonly subscribe: (listener: (chunk: Chunk) => void, onEnd?: () => void) => () => void
  /** As `subscribe`, in lines. */
  readonly subscribeLines: (listener: (line: OutputLine) => void, onEnd?: () => void) => () => void
  /**
   * Subscribes, and gives everything from then on as a stream that ends with the output. At most `bufferBytes`
   * (default 1 MiB; each chunk counts 128 more than its length) wait for a slow reader. The scope ends the
   * subscription.
   */
  readonly stream: (options?: {
    readonly bufferBytes?: number
  }) => Effect.Effect<Stream.Stream<Chunk | Gap>, never, Scope.Scope>
  /** The last 8 KiB as text, both sources in the order of arrival: what an error shows. */
  readonly tail: () => string
  /** Bytes seen so far. */
  readonly bytes: () => number
  /** Whether every writer has closed the output. */
  readonly isEnded: () => boolean
  /** Waits for that. */
  readonly ended: Effect.Effect<void>
}

/** The writable side, held by whoever reads the pipes. */
export interface Hub extends ProcessOutput {
  readonly whenFull: "drop" | "block"
  readonly offer: (source: Source, bytes: Uint8Array) => void
  readonly end: () => void
  /** Tells the producer to pause (`true`) and to go on (`false`); only where `whenFull` is `block`. */
  readonly onPressure: (listener: (full: boolean) => void) => void
}

const tailBytes = 8_192

/** Options of {@link make}. */
export interface Options {
  /**
   * What a full reader of `stream` does: `drop` (default) loses its oldest chunks; `block` makes the hub ask its
   * producer to pause, so that the process itself waits.
   */
  readonly whenFull?: "drop" | "block"
}

/** What a chunk costs besides its bytes: a reader must not be buried in tiny ones. */
const chunkOverhead = 128

const weightOf = (chunk: Chunk): number => chunk.bytes.length + chunkOverhead

/** What one reader of `stream` has not taken yet. */
class Buffered {
  private chunks: Array<Chunk> = []
  /** Those before it were dropped, and are cut off now and then. */
  private head = 0
  private weight = 0
  private missedBytes = 0
  private over = false
  private isFull = false
  /** Answers the pull that waits; undefined when none does. */
  private wake: (() => void) | undefined

  constructor(
    private readonly capacity: number,
    /** Tells that this reader has become full, or no longer is; undefined where it drops instead. */
    private readonly onFull: ((full: boolean) => void) | undefined,
  ) {}

  readonly add = (chunk: Chunk): void => {
    this.chunks.push(chunk)
    this.weight += weightOf(chunk)
    if (this.onFull !== undefined) this.setFull(this.weight >= this.capacity)
    else this.drop()
    this.wake?.()
  }

  private drop(): void {
    while (this.weight > this.capacity && this.head < this.chunks.length) {
      const lost = this.chunks[this.head++]!
      this.weight -= weightOf(lost)
      this.missedBytes += lost.bytes.length
    }
    if (this.head > 1_024 && this.head * 2 > this.chunks.length) {
      this.chunks = this.chunks.slice(this.head)
      this.head = 0
    }
  }

  readonly end = (): void => {
    this.over = true
    this.wake?.()
  }

  readonly setFull = (full: boolean): void => {
    if (this.isFull === full) return
    this.isFull = full
    this.onFull?.(full)
  }

  /** All there is, or the next that comes; fails with `None` at the end. */
  readonly pull = Effect.async<Chunks.Chunk<Chunk | Gap>, Option.Option<never>>((resume) => {
    const answer = (): boolean => {
      const taken = this.take()
      if (taken.length > 0) resume(Effect.succeed(Chunks.unsafeFromArray(taken)))
      else if (this.over) resume(Effect.fail(Option.none()))
      else return false
      this.wake = undefined
      return true
    }
    if (!answer()) this.wake = answer
    return Effect.sync(() => {
      this.wake = undefined
    })
  })

  private take(): Array<Chunk | Gap> {
    const { missedBytes } = this
    const chunks = this.head === 0 ? this.chunks : this.chunks.slice(this.head)
    this.chunks = []
    this.head = 0
    this.weight = 0
    this.missedBytes = 0
    this.setFull(false)
    return missedBytes > 0 ? [{ _tag: "Gap", missedBytes }, ...chunks] : chunks
  }
}

interface Listener {
  readonly onChunk: (chunk: Chunk) => void
  readonly onEnd: (() => void) | undefined
}

/** A class, as there is one for every process: its methods are shared. */
class HubImpl implements Hub {
  private listeners: ReadonlyArray<Listener> = []
  private readonly done = Deferred.unsafeMake<void>(FiberId.none)
  private over = false
  private total = 0
  private recent: Array<Uint8Array> = []
  private recentBytes = 0
  private fullReaders = 0
  private tellPressure: ((full: boolean) => void) | undefined

  constructor(readonly whenFull: "drop" | "block") {}

  get ended(): Effect.Effect<void> {
    return Deferred.await(this.done)
  }

  isEnded(): boolean {
    return this.over
  }

  bytes(): number {
    return this.total
  }

  offer(source: Source, bytes: Uint8Array): void {
    if (this.over || bytes.length === 0) return
    this.total += bytes.length
    this.remember(bytes)
    const chunk: Chunk = { _tag: "Chunk", source, bytes }
    for (const { onChunk } of this.listeners) onChunk(chunk)
  }

  end(): void {
    if (this.over) return
    this.over = true
    const { listeners } = this
    this.listeners = []
    for (const { onEnd } of listeners) onEnd?.()
    Deferred.unsafeDone(this.done, Effect.void)
  }

  onPressure(listener: (full: boolean) => void): void {
    this.tellPressure = listener
  }

  subscribe(onChunk: (chunk: Chunk) => void, onEnd?: () => void): () => void {
    if (this.over) {
      onEnd?.()
      return () => {}
    }
    const listener: Listener = { onChunk, onEnd }
    // A new list each time: one that is being told is not changed.
    this.listeners = [...this.listeners, listener]
    return () => {
      this.listeners = this.listeners.filter((other) => other !== listener)
    }
  }

  subscribeLines(onLine: (line: OutputLine) => void, onEnd?: () => void): () => void {
    const splitters = { stdout: LineSplitter.make(), stderr: LineSplitter.make() }
    const tell = (source: Source, lines: ReadonlyArray<LineSplitter.Line>): void => {
      for (const { continued, text } of lines) onLine({ source, text, continued })
    }
    return this.subscribe(
      ({ bytes, source }) => tell(source, splitters[source].push(bytes)),
      () => {
        tell("stdout", splitters.stdout.flush())
        tell("stderr", splitters.stderr.flush())
        onEnd?.()
      },
    )
  }

  stream({ bufferBytes = 1_048_576 }: { readonly bufferBytes?: number } = {}) {
    return Effect.acquireRelease(
      Effect.sync(() => {
        const buffered = new Buffered(
          bufferBytes,
          this.whenFull === "block" ? (full) => this.setPressure(full) : undefined,
        )
        return { buffered, unsubscribe: this.subscribe(buffered.add, buffered.end) }
      }),
      ({ buffered, unsubscribe }) =>
        Effect.sync(() => {
          unsubscribe()
          buffered.setFull(false)
        }),
    ).pipe(Effect.map(({ buffered }) => Stream.repeatEffectChunkOption(buffered.pull)))
  }

  tail(): string {
    const all = Buffer.concat(this.recent)
    let start = Math.max(0, all.length - tailBytes)
    // Not in the middle of a character.
    while (start > 0 && start < all.length && (all[start]! & 0xc0) === 0x80) start++
    return all.toString("utf8", start)
  }

  private remember(bytes: Uint8Array): void {
    // Copied: a short line must not keep the whole read buffer it came in alive.
    const kept = Uint8Array.prototype.slice.call(bytes, Math.max(0, bytes.length - tailBytes))
    this.recent.push(kept)
    this.recentBytes += kept.length
    while (this.recentBytes - this.recent[0]!.length >= tailBytes) {
      this.recentBytes -= this.recent.shift()!.length
    }
    if (this.recent.length > 64) this.recent = [Buffer.concat(this.recent)]
  }

  private setPressure(full: boolean): void {
    this.fullReaders += full ? 1 : -1
    if (this.fullReaders === (full ? 1 : 0)) this.tellPressure?.(full)
  }
}

/** A hub with no reader. */
export const make = (options: Options = {}): Hub => new HubImpl(options.whenFull ?? "drop")
