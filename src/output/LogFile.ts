/** A log file as its readers see it: opened for reading only, closed with the scope, its faults typed. */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { fromSystem, type LogError, type LogMissing, LogUnreadable } from "./LogError.js"

/** What the system knows of a file at one moment. */
export interface Facts {
  /** Tells the file from every other that exists meanwhile, whatever their names. */
  readonly id: string
  /** In bytes. */
  readonly size: number
}

/** An open file. Its methods must not be used after it is closed. */
export interface LogFile {
  readonly path: string
  readonly descriptor: number
  /** As {@link Facts}. */
  readonly id: string
  /** Its size now, in bytes. */
  readonly size: Effect.Effect<number, LogError>
  /**
   * Fills `buffer` from `position` on and gives the number of bytes: fewer than its length only where the file ends.
   */
  readonly read: (buffer: Uint8Array, position: number) => Effect.Effect<number, LogError>
}

const factsOf = (stats: fs.BigIntStats): Facts => ({
  id: `${stats.dev}:${stats.ino}`,
  size: Number(stats.size),
})

/**
 * Not interruptible: a descriptor must not be closed, and its number given to another file, while the system still
 * reads from it. A regular file answers at once or with an error.
 */
const call = <A>(
  path: string,
  start: (done: (cause: NodeJS.ErrnoException | null, value?: A) => void) => void,
): Effect.Effect<A, LogError> =>
  Effect.uninterruptible(
    Effect.async<A, LogError>((resume) =>
      start((cause, value) =>
        resume(cause === null ? Effect.succeed(value!) : Effect.fail(fromSystem(path, cause))),
      ),
    ),
  )

const close = (descriptor: number): void => {
  try {
    fs.closeSync(descriptor)
  } catch {
    // It was open for reading: nothing can be lost.
  }
}

// Without waiting: opening a named pipe would otherwise last until somebody writes to it.
const flags = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0) | (fs.constants.O_NOCTTY ?? 0)

const openDescriptor = (path: string): Effect.Effect<number, LogError> =>
  Effect.suspend(() =>
    path.includes("\0")
      ? Effect.fail(new LogUnreadable({ path, code: "EINVAL", reason: "its path contains a NUL character" }))
      : call<number>(path, (done) => fs.open(path, flags, done)),
  )

const statDescriptor = (path: string, descriptor: number): Effect.Effect<fs.BigIntStats, LogError> =>
  call<fs.BigIntStats>(path, (done) => fs.fstat(descriptor, { bigint: true }, done))

const readFrom =
  (path: string, descriptor: number) =>
  (buffer: Uint8Array, position: number): Effect.Effect<number, LogError> => {
    const rest = (filled: number): Effect.Effect<number, LogError> =>
      filled === buffer.length
        ? Effect.succeed(filled)
        : Effect.flatMap(
            call<number>(path, (done) =>
              fs.read(descriptor, buffer, filled, buffer.length - filled, position + filled, done),
            ),
            (count) => (count === 0 ? Effect.succeed(filled) : rest(filled + count)),
          )
    return Effect.suspend(() => rest(0))
  }

/** An open file and what closes it, for an owner that changes files; it must not be interrupted in between. */
export const openUnscoped = (
  path: string,
): Effect.Effect<{ readonly file: LogFile; readonly close: () => void }, LogError> =>
  Effect.uninterruptible(
    Effect.flatMap(openDescriptor(path), (descriptor) =>
      Effect.flatMap(statDescriptor(path, descriptor), (stats) =>
        stats.isFile()
          ? Effect.succeed({
              file: {
                path,
                descriptor,
                id: factsOf(stats).id,
                size: Effect.map(statDescriptor(path, descriptor), ({ size }) => Number(size)),
                read: readFrom(path, descriptor),
              },
              close: () => close(descriptor),
            })
          : Effect.fail(
              new LogUnreadable({
                path,
                code: stats.isDirectory() ? "EISDIR" : "EINVAL",
                reason: stats.isDirectory() ? "it is a directory" : "it is not a regular file",
              }),
            ),
      ).pipe(Effect.tapErrorCause(() => Effect.sync(() => close(descriptor)))),
    ),
  )

/**
 * Opens a regular file; a symbolic link is followed. The scope closes it.
 *
 * Fails with `LogMissing`, `LogUnreadable` (also for a directory, a pipe or a device) or `NoDescriptorLeft`.
 */
export const open = (path: string): Effect.Effect<LogFile, LogError, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(openUnscoped(path), ({ close }) => Effect.sync(close)),
    ({ file }) => file,
  )

/** What stands at `path` now. Fails as {@link open}, and needs no permission to read the file. */
export const facts = (path: string): Effect.Effect<Facts, LogError> =>
  Effect.map(
    call<fs.BigIntStats>(path, (done) => fs.stat(path, { bigint: true }, done)),
    factsOf,
  )

/** Turns the failure to find a file into undefined. */
export const orMissing = <A, R>(
  effect: Effect.Effect<A, LogError, R>,
): Effect.Effect<A | undefined, Exclude<LogError, LogMissing>, R> =>
  Effect.catchTag(effect, "LogMissing", () => Effect.succeed(undefined))
