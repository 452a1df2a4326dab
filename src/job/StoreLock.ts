/**
 * One program per root. The lock is a transaction on a database of its own that is held for as long as the program
 * lives: the kernel lets go of it when the program dies, however that happens. A file beside it says who holds it.
 */
import * as fs from "node:fs"
import { join } from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Liveness from "../process/Liveness.js"
import * as SqlDatabase from "./store/SqlDatabase.js"
import type { StoreError } from "./StoreError.js"
import { StoreLocked } from "./StoreError.js"
import { ownerFile, ownerOf, type StoreOwner } from "./StoreOwner.js"

export { ownerOf, StoreOwner } from "./StoreOwner.js"

/** A lock that is held. */
export interface StoreLock {
  /** Says where its owner answers. */
  readonly announce: (address: string) => Effect.Effect<void, StoreError>
}

const write = (root: string, owner: StoreOwner): Effect.Effect<void, StoreError> =>
  Effect.try({
    try: () => {
      const draft = `${ownerFile(root)}.${owner.pid}`
      fs.writeFileSync(draft, `${JSON.stringify(owner)}\n`, { mode: 0o600 })
      fs.renameSync(draft, ownerFile(root))
    },
    catch: SqlDatabase.meaning(ownerFile(root)),
  })

/**
 * Takes the lock of a root, which must be there, for the length of the scope. Fails at once with `StoreLocked` when
 * another program, or another store of this one, holds it.
 */
export const acquire = (
  root: string,
  address?: string,
): Effect.Effect<StoreLock, StoreLocked | StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const path = join(root, "jobs.lock")
    yield* Effect.try({ try: () => SqlDatabase.createPrivate(path), catch: SqlDatabase.meaning(path) })
    const database = yield* Effect.mapError(SqlDatabase.open(path), SqlDatabase.meaning(path))
    yield* Effect.acquireRelease(
      // Nothing is ever written: the lock needs no journal, and no room on the disk.
      Effect.ignore(database.run("PRAGMA journal_mode = MEMORY")).pipe(
        Effect.zipRight(database.run("BEGIN EXCLUSIVE")),
        Effect.catchAll((error): Effect.Effect<never, StoreLocked | StoreError> =>
          SqlDatabase.codeOf(error).startsWith("SQLITE_BUSY")
            ? Effect.flatMap(ownerOf(root), (owner) =>
                Effect.fail(new StoreLocked({ root, pid: owner?.pid, address: owner?.address })),
              )
            : Effect.fail(SqlDatabase.meaning(path)(error)),
        ),
        // Whoever has just taken it has not yet said so, or has just died and is being buried.
        Effect.retry({
          schedule: Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(25)),
          while: (error) =>
            error._tag === "StoreLocked" &&
            (error.pid === undefined || !Liveness.isThere({ pid: error.pid })),
        }),
      ),
      () => Effect.ignore(database.run("ROLLBACK")),
    )
    const since = yield* Clock.currentTimeMillis
    const own: StoreOwner = { pid: process.pid, ...Liveness.birthOf(process.pid), address, since }
    yield* Effect.acquireRelease(write(root, own), () =>
      Effect.sync(() => fs.rmSync(ownerFile(root), { force: true })),
    )
    return { announce: (address) => write(root, { ...own, address }) }
  })
