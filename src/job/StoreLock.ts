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
import { StoreFailed, StoreLocked } from "./StoreError.js"
import { ownerFile, ownerOf, type StoreOwner } from "./StoreOwner.js"

export { ownerOf, StoreOwner } from "./StoreOwner.js"

/** What says who holds a root fills a block of the disk, in bytes. */
const block = 4_096

/** The file of the one before, whose block is kept: a full disk must not keep the next from starting. */
const spareOf = (file: string): string => `${file}.spare`

/** A lock that is held. */
export interface StoreLock {
  /** Says where its owner answers. */
  readonly announce: (address: string) => Effect.Effect<void, StoreError>
}

/** Writes into a file that is there. Throws the system's error. */
const overwrite = (path: string, text: string): void => {
  const descriptor = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW)
  try {
    fs.writeSync(descriptor, text, 0)
  } finally {
    fs.closeSync(descriptor)
  }
}

const attempt = (step: () => void): unknown => {
  try {
    step()
    return undefined
  } catch (cause) {
    return cause
  }
}

/** To be called by whoever holds the lock: there is no other who writes. */
const write = (root: string, owner: StoreOwner): Effect.Effect<void, StoreError> =>
  Effect.suspend(() => {
    const file = ownerFile(root)
    const fresh = `${file}.new`
    // All of the block, so that nothing is left of what it held, and the next text has room however full the disk is.
    const text = `${JSON.stringify(owner)}\n`.padEnd(block)
    const ways = [
      () => {
        overwrite(spareOf(file), text)
        fs.renameSync(spareOf(file), file)
      },
      () => {
        fs.writeFileSync(fresh, text, { mode: 0o600 })
        fs.renameSync(fresh, file)
      },
      // Whoever reads it in the middle finds nobody, which is as true of one that is dead or starts.
      () => {
        fs.rmSync(fresh, { force: true })
        overwrite(file, text)
      },
    ]
    let refusal: unknown
    for (const [index, way] of ways.entries()) {
      const cause = attempt(way)
      if (cause === undefined) return Effect.void
      if (index === 1) refusal = cause
    }
    attempt(() => fs.rmSync(fresh, { force: true }))
    const advice = SqlDatabase.isFull(refusal) ? ". Free some space (4 kB are enough) and try again" : ""
    return new StoreFailed({
      path: root,
      reason: `${file}, which says who uses it, cannot be written: ${SqlDatabase.reasonOf(refusal)}${advice}`,
      retryable: advice !== "",
    })
  })

/** Nobody holds it any more; the block is kept for the next. */
const withdraw = (root: string): void => {
  const file = ownerFile(root)
  if (attempt(() => fs.renameSync(file, spareOf(file))) !== undefined)
    attempt(() => fs.rmSync(file, { force: true }))
}

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
    yield* Effect.acquireRelease(write(root, own), () => Effect.sync(() => withdraw(root)))
    return { announce: (address) => write(root, { ...own, address }) }
  })
