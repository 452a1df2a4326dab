/**
 * Room that is kept on the disk for what gives room: a deletion needs some before the logs are gone, and so does a store
 * that is opened. It is a file of noise which goes when the disk is full and comes again when there is room. A file
 * system that copies on write may keep none of it; then the logs of what is deleted have to make the room.
 */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { dirname, join } from "node:path"

/** A deletion writes each page that it touches once: about ten of 4 kB, and those of a long record. */
const most = 262_144

/** Less than this helps nobody. */
const least = 65_536

/** Where the room of a root is kept. */
export const pathIn = (root: string): string => join(root, "jobs.reserve")

/** Room that is kept beside a file. */
export interface Reserve {
  /** Keeps the room, as far as there is any. */
  readonly hold: () => void
  /** Gives it up; false when there was none. */
  readonly release: () => boolean
}

const sizeOf = (path: string): number => fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** The room that is kept beside the database at `database`. */
export const beside = (database: string): Reserve => {
  const folder = dirname(database)
  const path = pathIn(folder)
  let isHeld = false
  return {
    hold: () => {
      if (isHeld) return
      try {
        const size = sizeOf(path)
        const { bavail, bsize } = fs.statfsSync(folder)
        const wanted = Math.min(most, size + bavail * bsize)
        // Not zeros, which a file system that compresses would not keep room for.
        if (wanted >= least && wanted > size)
          fs.writeFileSync(path, randomBytes(wanted - size), { flag: "a", mode: 0o600 })
        isHeld = wanted >= most
      } catch {
        // What there is has to do; it is looked at again after the next change.
      }
    },
    release: () => {
      isHeld = false
      try {
        const size = sizeOf(path)
        // Cut, and not only deleted: a backup that has it open would keep the room.
        if (size > 0) fs.truncateSync(path)
        return size > 0
      } catch {
        return false
      }
    },
  }
}
