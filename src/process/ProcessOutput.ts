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
   * before the spawn to see every byte. A listener must be quick and must not throw. Returns what ends it.
   */
  readonly subscribe: (listener: (chunk: Chunk) => void) => () => void
  /** As `subscribe`, in lines. `onEnd` is called once, after the last line. */
  readonly subscribeLines: (listener: (line: OutputLine) => void, onEnd?: () => void) => () => void
  /**
   * Subscribes, and gives everything from then on as a stream that ends with the output. At most `bufferBytes`
   * (default 1 MiB) wait for a slow reader. The scope ends the subscription.
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

/** A hub with no reader. */
export const make = (options: Options = {}): Hub => {
  const block = options.whenFull === "block"
  const listeners = new Set<(chunk: Chunk) => void>()
  const endListeners = new Set<() => void>()
  const ended = Deferred.unsafeMake<void>(FiberId.none)
  let isEnded = false
  let total = 0
  let recent: Array<Uint8Array> = []
  let recentBytes = 0
  let fullReaders = 0
  let tellPressure: (full: boolean) => void = () => {}

  const remember = (bytes: Uint8Array): void => {
    // Copied: a short line must not keep the whole read buffer it came in alive.
    const kept = Uint8Array.prototype.slice.call(bytes, Math.max(0, bytes.length - tailBytes))
    recent.push(kept)
    recentBytes += kept.length
    while (recentBytes - recent[0]!.length >= tailBytes) recentBytes -= recent.shift()!.length
    if (recent.length > 64) recent = [Buffer.concat(recent)]
  }

  const offer = (source: Source, bytes: Uint8Array): void => {
    if (isEnded || bytes.length === 0) return
    total += bytes.length
    remember(bytes)
    const chunk: Chunk = { _tag: "Chunk", source, bytes }
    for (const listener of listeners) listener(chunk)
  }

  const end = (): void => {
    if (isEnded) return
    isEnded = true
    for (const listener of endListeners) listener()
    listeners.clear()
    endListeners.clear()
    Deferred.unsafeDone(ended, Effect.void)
  }

  const subscribe = (listener: (chunk: Chunk) => void, onEnd?: () => void): (() => void) => {
    if (isEnded) {
      onEnd?.()
      return () => {}
    }
    listeners.add(listener)
    if (onEnd !== undefined) endListeners.add(onEnd)
    return () => {
      listeners.delete(listener)
      if (onEnd !== undefined) endListeners.delete(onEnd)
    }
  }

  const subscribeLines: Hub["subscribeLines"] = (listener, onEnd) => {
    const splitters = { stdout: LineSplitter.make(), stderr: LineSplitter.make() }
    const tell = (source: Source, lines: ReadonlyArray<LineSplitter.Line>): void => {
      for (const line of lines) listener({ source, text: line.text, continued: line.continued })
    }
    return subscribe(
      (chunk) => tell(chunk.source, splitters[chunk.source].push(chunk.bytes)),
      () => {
        tell("stdout", splitters.stdout.flush())
        tell("stderr", splitters.stderr.flush())
        onEnd?.()
      },
    )
  }

  const stream: Hub["stream"] = ({ bufferBytes = 1_048_576 } = {}) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        let buffered: Array<Chunk> = []
        let bytes = 0
        let missedBytes = 0
        let full = false
        let over = false
        let wake: (() => void) | undefined
        const setFull = (now: boolean): void => {
          if (!block || full === now) return
          full = now
          fullReaders += now ? 1 : -1
          if (fullReaders === (now ? 1 : 0)) tellPressure(now)
        }
        const unsubscribe = subscribe(
          (chunk) => {
            buffered.push(chunk)
            bytes += chunk.bytes.length
            if (block) setFull(bytes >= bufferBytes)
            else {
              while (bytes > bufferBytes && buffered.length > 0) {
                const lost = buffered.shift()!.bytes.length
                bytes -= lost
                missedBytes += lost
              }
            }
            wake?.()
          },
          () => {
            over = true
            wake?.()
          },
        )
        const take = (): ReadonlyArray<Chunk | Gap> => {
          const taken: Array<Chunk | Gap> = missedBytes > 0 ? [{ _tag: "Gap", missedBytes }] : []
          for (const chunk of buffered) taken.push(chunk)
          buffered = []
          bytes = 0
          missedBytes = 0
          setFull(false)
          return taken
        }
        const pull = Effect.async<Chunks.Chunk<Chunk | Gap>, Option.Option<never>>((resume) => {
          const answer = (): boolean => {
            const taken = take()
            if (taken.length > 0) resume(Effect.succeed(Chunks.unsafeFromArray(taken)))
            else if (over) resume(Effect.fail(Option.none()))
            else return false
            wake = undefined
            return true
          }
          if (!answer()) wake = answer
          return Effect.sync(() => {
            wake = undefined
          })
        })
        return {
          pull,
          release: () => {
            unsubscribe()
            setFull(false)
          },
        }
      }),
      (reader) => Effect.sync(reader.release),
    ).pipe(Effect.map((reader) => Stream.repeatEffectChunkOption(reader.pull)))

  return {
    subscribe: (listener) => subscribe(listener),
    subscribeLines,
    stream,
    tail: () => {
      const all = Buffer.concat(recent)
      let start = Math.max(0, all.length - tailBytes)
      // Not in the middle of a character.
      while (start > 0 && start < all.length && (all[start]! & 0xc0) === 0x80) start++
      return all.toString("utf8", start)
    },
    bytes: () => total,
    isEnded: () => isEnded,
    ended: Deferred.await(ended),
    offer,
    end,
    onPressure: (listener) => {
      tellPressure = listener
    },
  }
}
