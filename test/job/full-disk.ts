/** Disks without room. */
import * as fs from "node:fs"

/** Takes all the room there is, by writing to a file. */
export const fill = (file: string): void => {
  const descriptor = fs.openSync(file, "a")
  for (const size of [65_536, 4_096, 64, 1]) {
    try {
      while (true) fs.writeSync(descriptor, Buffer.alloc(size))
    } catch {
      // Until not a byte goes in.
    }
  }
  fs.closeSync(descriptor)
}
