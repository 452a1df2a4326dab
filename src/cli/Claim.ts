/**
 * One program keeps the units of a configuration file up, of all that use one root: two of them would start everything
 * twice. In the built program it is a part of `Daemon`.
 */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as StoreLock from "../job/StoreLock.js"
import { systemReason } from "../process/Diagnosis.js"
import * as Directory from "../process/Directory.js"
import { placeOfFile } from "./Root.js"
import { Failure } from "./World.js"

/** The file as the system names it, whatever links lead to it. */
const realOf = (file: string): string => {
  try {
    return fs.realpathSync(file)
  } catch {
    return file
  }
}

/** What is held. */
export interface Claim {
  /** A directory for what is to be kept of these units, by whoever has no other. */
  readonly directory: string
  /** Says where the daemon that has them answers. */
  readonly announce: (address: string) => Effect.Effect<void>
}

/** A name for the file that is good for a directory, and no other file's. */
const keyOf = (file: string): string => {
  const name = path
    .basename(path.dirname(file))
    .replaceAll(/[^\w.-]+/g, "-")
    .slice(0, 40)
  const hash = createHash("sha256").update(file).digest("hex").slice(0, 12)
  return name === "" ? hash : `${name}-${hash}`
}

/** Takes the file for the length of the scope; fails with a `Failure` when another program has it. */
export const make = (root: string, file: string) =>
  Effect.gen(function* () {
    const real = realOf(file)
    const directory = placeOfFile(root, keyOf(real))
    yield* Effect.try({
      try: () => Directory.make(directory, 0o700),
      catch: (cause) =>
        new Failure(
          `${directory} cannot be made: ${systemReason(cause)}. Choose another root with --root.`,
          "unavailable",
        ),
    })
    const lock = yield* Effect.mapError(StoreLock.acquire(directory), (error) => {
      if (error._tag !== "StoreLocked") return new Failure(error.message, "unavailable")
      const { address, pid } = error
      const who = pid === undefined ? "another program" : `the program with pid ${pid}`
      return new Failure(
        address === undefined
          ? `The units of ${real} are kept up by ${who} already. Stop that one first${pid === undefined ? "" : `: kill ${pid}`}.`
          : `The units of ${real} are kept up by a daemon already (pid ${pid}, at ${address}). Look at them with holdfast status, or end it with holdfast down.`,
        "unavailable",
      )
    })
    const claim: Claim = {
      directory,
      announce: (address) =>
        Effect.catchAll(lock.announce(address), (error) => Effect.logWarning(error.message)),
    }
    return claim
  })
