/** Who holds a root, as a file beside the lock says. Read by clients, which need not load a database for it. */
import * as fs from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** Who holds a root. */
export const StoreOwner = Schema.Struct({
  pid: Schema.Int,
  /** With the pid it names one process for ever: see `ProcessIdentity`. */
  startTime: Schema.optional(Schema.String),
  bootId: Schema.optional(Schema.String),
  /** Where it answers, once it does. */
  address: Schema.optional(Schema.String),
  /** Since when, in milliseconds since the epoch. */
  since: Schema.Int,
})
export type StoreOwner = typeof StoreOwner.Type

/** The file that says it. */
export const ownerFile = (root: string): string => join(root, "daemon.json")

const decodeOwner = Schema.decodeUnknownOption(Schema.parseJson(StoreOwner))

/**
 * Who says that it holds a root: to find the daemon of a root, or to name it. It may have died since; only the lock
 * itself is proof. Undefined when there is no such file, or none that can be read.
 */
export const ownerOf = (root: string): Effect.Effect<StoreOwner | undefined> =>
  Effect.sync(() => {
    try {
      return Option.getOrUndefined(decodeOwner(fs.readFileSync(ownerFile(root), "utf8")))
    } catch {
      return undefined
    }
  })
