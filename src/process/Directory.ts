/** Makes directories. */
import { mkdirSync, statSync } from "node:fs"
import { dirname } from "node:path"

/**
 * Makes a directory and those above it, unless they are there. Throws the system's error. Node's own `recursive` goes
 * round for ever where a directory cannot have children, such as under /proc.
 */
export const make = (path: string, mode: number): void => {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
  const parent = dirname(path)
  if (parent !== path) make(parent, mode)
  try {
    mkdirSync(path, { mode })
  } catch (cause) {
    // Somebody else was quicker; what is there and no directory is told.
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST" || !statSync(path).isDirectory()) throw cause
  }
}
