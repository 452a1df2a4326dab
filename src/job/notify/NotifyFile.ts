/** Appends lines to a file that others may append to as well: each line whole, or not at all. */
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { codeOf, systemReason } from "../../process/Diagnosis.js"

/** A line could not be appended. The file is as it was before. */
export class NotAppended extends Data.TaggedError("NotAppended")<{
  readonly path: string
  readonly reason: string
}> {
  override get message(): string {
    return `nothing can be appended to "${this.path}": ${this.reason}`
  }
}

// Without waiting: opening a named pipe would otherwise last until somebody reads from it.
const flags =
  constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK | constants.O_NOCTTY

const lineFeed = 0x0a

class Refused extends Error {}

/** Whether the file ends within a line: another writer's, or one that could not be taken back. */
const isTorn = async (file: fs.FileHandle, size: number): Promise<boolean> => {
  if (size === 0) return false
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, size - 1)
  return bytesRead === 1 && buffer[0] !== lineFeed
}

const append = async (path: string, line: string): Promise<void> => {
  const file = await fs.open(path, flags, 0o600)
  try {
    const before = await file.stat()
    if (!before.isFile()) throw new Refused("it is not a regular file")
    const bytes = Buffer.from(`${(await isTorn(file, before.size)) ? "\n" : ""}${line}\n`)
    const { bytesWritten } = await file.write(bytes)
    if (bytesWritten === bytes.length) return
    // The disk is full. A part of a line is taken back, unless somebody else has written behind it.
    const after = await file.stat()
    if (after.size === before.size + bytesWritten) await file.truncate(before.size)
    throw new Refused("the disk is full")
  } finally {
    await file.close()
  }
}

const reasonOf = (cause: unknown): string => {
  if (cause instanceof Refused) return cause.message
  switch (codeOf(cause)) {
    case "ENOENT":
      return "its directory does not exist"
    case "ENXIO":
      return "it is not a regular file"
    default:
      return systemReason(cause)
  }
}

/** How long a disk may take, in ms. So long the program may have to wait for it when it ends. */
const limitMillis = 10_000

/**
 * Appends `line` and its end in one write. A missing file is made, readable to its owner alone; its directory is not.
 * A file that ends within a line gets that line's end first. Fails with `NotAppended`, after ten seconds at the latest.
 * Not interruptible: a line that has been appended is known to have been.
 */
export const appendLine = (path: string, line: string): Effect.Effect<void, NotAppended> =>
  Effect.async<void, NotAppended>((resume) => {
    const fail = (reason: string): void => resume(Effect.fail(new NotAppended({ path, reason })))
    // A timeout of Effect's would not do: its fibers are interrupted with the one that waits for them.
    const timer = setTimeout(() => fail(`it took more than ${limitMillis / 1_000} s`), limitMillis)
    append(path, line)
      .then(
        () => resume(Effect.void),
        (cause: unknown) => fail(reasonOf(cause)),
      )
      .finally(() => clearTimeout(timer))
  }).pipe(Effect.uninterruptible)
