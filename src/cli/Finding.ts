/** What `doctor` finds. */
import * as fs from "node:fs"
import { Failure } from "./World.js"

/** One thing that was looked at. */
export interface Finding {
  readonly what: string
  readonly level: "ok" | "note" | "bad"
  readonly sentence: string
  /** Repairs it; resolves to what was done. Only where nothing can be lost. */
  readonly fix?: () => string | Promise<string>
}

/** The system's name for an error. */
export const because = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error)

/** Runs what looks at a path; throws a `Failure` where that may not be looked at. */
export const looking = <A>(path: string, look: () => A): A => {
  try {
    return look()
  } catch (error) {
    throw new Failure(`${path} cannot be looked at (${because(error)}).`, "unavailable")
  }
}

/** What is at a path; undefined when nothing is. */
export const statOf = (path: string): fs.Stats | undefined =>
  looking(path, () => fs.lstatSync(path, { throwIfNoEntry: false }))

/** Repairs by deleting a file. */
export const removing = (file: string) => (): string => {
  fs.rmSync(file)
  return "it is deleted"
}
