/** Small files that say what runs: read without being fooled or held up, and put whole in the place of another. */
import * as fs from "node:fs"

/** No record comes near this size, in bytes. */
const sizeCap = 65_536

/** The text of a regular file. Throws what is wrong with it. */
export const read = (path: string): string => {
  // A FIFO in its place must not be waited for, nor a link be followed.
  const flags = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOFOLLOW
  const descriptor = fs.openSync(path, flags)
  try {
    const stat = fs.fstatSync(descriptor)
    if (!stat.isFile()) throw new Error("it is not a regular file")
    if (stat.size > sizeCap) throw new Error(`it has ${stat.size} bytes`)
    return fs.readFileSync(descriptor, "utf8")
  } finally {
    fs.closeSync(descriptor)
  }
}

/** Records fill a block of the disk, in bytes: what one has had is enough for the next, however full the disk is. */
const block = 4_096

/** The file of a record that was removed: its block is kept for the unit's next one. */
export const spareOf = (path: string): string => `${path}.spare`

/** Puts a text into a file that is there. Throws the system's error. */
const overwrite = (path: string, text: string): void => {
  const descriptor = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW)
  try {
    fs.ftruncateSync(descriptor, fs.writeSync(descriptor, text, 0))
  } finally {
    fs.closeSync(descriptor)
  }
}

/** Puts a whole file in the place of another, or none, if it can in the spare block. Throws the system's error. */
export const replace = (path: string, text: string): void => {
  const spare = spareOf(path)
  const fresh = `${path}.new`
  const padded = text.padEnd(block)
  try {
    overwrite(spare, padded)
    return fs.renameSync(spare, path)
  } catch {
    // There is none, or it is of no use: a file of its own then.
  }
  try {
    fs.writeFileSync(fresh, padded, { mode: 0o600 })
    fs.renameSync(fresh, path)
  } catch (cause) {
    fs.rmSync(fresh, { force: true })
    throw cause
  }
}

export const isMissing = (cause: unknown): boolean =>
  ["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "")
