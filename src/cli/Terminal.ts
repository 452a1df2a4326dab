/** Standard output and standard error as they are. */
import * as fs from "node:fs"
import type { Sink } from "./World.js"

/** What may wait for a stuck reader, in bytes. */
const mostQueued = 262_144

/** How a stream is written to by a program that outlives it. */
interface Lasting {
  readonly write: (data: string | Uint8Array) => void
  readonly settled: (millis: number) => Promise<boolean>
}

/**
 * Writes one piece after the other and never fails: what cannot be written is dropped and counted, and `note` says how
 * much that was, before the next piece.
 */
const lasting = (stream: NodeJS.WriteStream, note: (dropped: number) => string): Lasting => {
  let queue: Array<Buffer> = []
  let queued = 0
  let dropped = 0
  let isBusy = false
  let idle: Array<() => void> = []

  const attempt = (data: Buffer, done: (failed: boolean) => void) => {
    let isDone = false
    const once = (error?: Error | null) => {
      if (isDone) return
      isDone = true
      done(error !== undefined && error !== null)
    }
    try {
      stream.write(data, once)
    } catch (error) {
      // A file is written at once, and so is the failure to.
      once(error as Error)
    }
  }

  const pump = (): void => {
    if (isBusy) return
    if (queue.length === 0) {
      for (const resolve of idle.splice(0)) resolve()
      return
    }
    const pieces = queue
    const missed = dropped
    const head = missed === 0 ? "" : note(missed)
    queue = []
    isBusy = true
    attempt(Buffer.concat([Buffer.from(head), ...pieces]), (failed) => {
      queued -= pieces.reduce((sum, { length }) => sum + length, 0)
      dropped += failed ? pieces.length : -missed
      isBusy = false
      // Not at once: a stream calls back before it has told its listeners of the error.
      setImmediate(pump)
    })
  }

  return {
    write: (data) => {
      const piece = Buffer.from(data as string)
      if (queued + piece.length > mostQueued) {
        dropped += 1
        return
      }
      queue.push(piece)
      queued += piece.length
      pump()
    },
    settled: (millis) =>
      new Promise((resolve) => {
        if (!isBusy && queue.length === 0) return resolve(true)
        const timer = setTimeout(() => resolve(false), millis)
        idle = [
          ...idle,
          () => {
            clearTimeout(timer)
            resolve(true)
          },
        ]
      }),
  }
}

/** Ends a program that nobody reads, or whose words have no room. */
const giveUp = (stream: NodeJS.WriteStream, error: NodeJS.ErrnoException): void => {
  // A reader that has left (`holdfast logs ID | head -1`) is no fault of ours, and nobody is left to work for.
  if (error.code === "EPIPE") return process.exit()
  const name = "fd" in stream && stream.fd === 2 ? "error" : "output"
  try {
    fs.writeSync(2, `holdfast: Standard ${name} cannot be written to (${error.code ?? error.message}).\n`)
  } catch {
    // Then there is nobody to tell.
  }
  process.exit(1)
}

/**
 * A stream of the program as a sink. `process.stdout` is opened by looking at it, which is left to the first use. When
 * it cannot be written to, the program ends, with 0 if its reader has left and with 1 otherwise; not so after `endure`.
 */
export const sinkOf = (stream: NodeJS.WriteStream): Sink => {
  let enduring: Lasting | undefined
  const onError = (error: NodeJS.ErrnoException) => {
    if (enduring === undefined) giveUp(stream, error)
  }
  stream.on("error", onError)
  return {
    write: (data) =>
      new Promise((resolve) => {
        if (enduring !== undefined) {
          enduring.write(data)
          return resolve()
        }
        try {
          if (stream.write(data)) resolve()
          else stream.once("drain", resolve)
        } catch (error) {
          onError(error as NodeJS.ErrnoException)
        }
      }),
    endure: (note = () => "") => {
      enduring ??= lasting(stream, note)
    },
    settled: (millis) => enduring?.settled(millis) ?? Promise.resolve(true),
    isTerminal: stream.isTTY === true,
    columns: () => (stream.isTTY === true ? (stream.columns ?? 80) : Infinity),
  }
}
