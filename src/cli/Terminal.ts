/** Standard output and standard error as they are. */
import * as fs from "node:fs"
import { isatty } from "node:tty"
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
 * Lets a terminal that takes nothing (Ctrl-S, a stuck connection) stop nobody: Node writes to terminals such that the
 * whole program waits for them.
 */
const unblock = (stream: NodeJS.WriteStream): void => {
  const { _handle: handle } = stream as { _handle?: { setBlocking?: (on: boolean) => number } }
  if (stream.isTTY !== true || handle?.setBlocking === undefined) return
  handle.setBlocking(false)
  // Whoever has the terminal after us may share its settings.
  process.once("exit", () => handle.setBlocking!(true))
}

/** Whether this program has no terminal, or none any more. */
export const hasNoTerminal = (): boolean => {
  try {
    fs.closeSync(
      fs.openSync("/dev/tty", fs.constants.O_RDWR | fs.constants.O_NOCTTY | fs.constants.O_NONBLOCK),
    )
    return false
  } catch {
    return true
  }
}

/** Whether one of the standard streams is a terminal, and this program is told when that is closed. */
export const isInTerminal = (): boolean =>
  [0, 1, 2].some((descriptor) => isatty(descriptor)) && !hasNoTerminal()

/**
 * Ends a program whose terminal is closed as the signal that said so would have: Node aborts, with a core dump, when it
 * ends by itself and cannot give the terminal its settings back.
 */
export const endHungUp = (): void => {
  process.removeAllListeners("SIGHUP")
  process.kill(process.pid, "SIGHUP")
}

/**
 * A stream of the program as a sink. `process.stdout` is opened by looking at it, which is left to the first use. When
 * it cannot be written to, the program ends, with 0 if its reader has left and with 1 otherwise; not so after `endure`.
 */
export const sinkOf = (stream: NodeJS.WriteStream): Sink => {
  let enduring: Lasting | undefined
  let offered = 0
  let taken: Array<() => void> = []
  const take = (resolve: (isTaken: boolean) => void, isTaken: boolean): void => {
    offered -= 1
    resolve(isTaken)
    if (offered === 0) for (const each of taken.splice(0)) each()
  }
  const allTaken = (millis: number): Promise<boolean> =>
    new Promise((resolve) => {
      if (offered === 0) return resolve(true)
      const timer = setTimeout(() => resolve(false), millis)
      taken = [
        ...taken,
        () => {
          clearTimeout(timer)
          resolve(true)
        },
      ]
    })
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
      if (enduring === undefined) unblock(stream)
      enduring ??= lasting(stream, note)
    },
    offer: (data) =>
      new Promise((resolve) => {
        offered += 1
        try {
          stream.write(data, (error) => take(resolve, error === undefined || error === null))
        } catch {
          take(resolve, false)
        }
      }),
    settled: async (millis) => {
      const all = await Promise.all([enduring?.settled(millis) ?? true, allTaken(millis)])
      return !all.includes(false)
    },
    isTerminal: stream.isTTY === true,
    columns: () => (stream.isTTY === true ? (stream.columns ?? 80) : Infinity),
  }
}
