/**
 * The file of the store: opened, brought to the latest format, and, when it is damaged, set aside under another name
 * with whatever can be read of it carried over into a fresh one.
 */
import * as fs from "node:fs"
import { join } from "node:path"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { hasEnded } from "../JobRecord.js"
import * as JobSecrets from "../JobSecrets.js"
import * as Inspection from "./Inspection.js"
import * as Reserve from "./Reserve.js"
import * as SqlDatabase from "./SqlDatabase.js"
import * as SqlTables from "./SqlTables.js"
import type { StoreError, StoreTooNew } from "../StoreError.js"
import { StoreFull } from "../StoreError.js"
import * as StoreSchema from "./StoreSchema.js"

/** How to open the file. */
export interface Options {
  /** `full` outlives a loss of power, `normal` a death of the program. */
  readonly synchronous: "full" | "normal"
}

/** Where the database of a root is. */
export const pathIn = (root: string): string => join(root, "jobs.db")

const suspicion = (path: string): string => `${path}.suspect`

/** Remembers that damage was seen, so that the next start looks through the whole file. */
export const suspect = (path: string): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => fs.writeFileSync(suspicion(path), "", { mode: 0o600 })))

/** What SQLite makes a page of, unless told otherwise. */
const pageBytes = 4_096

const companions = ["", "-wal", "-shm"]

/** Fails when the records fill so many bytes of the file. */
export const room = (
  database: SqlDatabase.Database,
  path: string,
  maxBytes: number,
): Effect.Effect<void, SqlError | StoreFull> =>
  Effect.gen(function* () {
    const [pages] = yield* database.run("PRAGMA page_count")
    const [free] = yield* database.run("PRAGMA freelist_count")
    const used = Number(pages?.["page_count"]) - Number(free?.["freelist_count"])
    if (used * pageBytes >= maxBytes) return yield* new StoreFull({ path })
  })

/** Opens the file and makes sure that it can be used. */
const openSound = (
  path: string,
  { synchronous }: Options,
): Effect.Effect<SqlDatabase.Database, SqlError | StoreTooNew, Scope.Scope> =>
  Effect.gen(function* () {
    const database = yield* SqlDatabase.open(path)
    // Another program may look into the file for a moment, such as the sqlite3 shell.
    yield* database.run("PRAGMA busy_timeout = 1000")
    yield* database.run("PRAGMA journal_mode = WAL")
    yield* database.run(`PRAGMA synchronous = ${synchronous}`)
    yield* database.run("PRAGMA secure_delete = ON")
    yield* database.run("PRAGMA temp_store = MEMORY")
    yield* database.run("PRAGMA cache_size = -4000")
    yield* StoreSchema.migrate(database, path)
    const isSuspect = fs.existsSync(suspicion(path))
    if (isSuspect || (yield* Inspection.isShort(database))) yield* Inspection.whole(database, isSuspect)
    if (isSuspect) fs.rmSync(suspicion(path), { force: true })
    // What a life that ended suddenly left in the log of writes, secrets among it perhaps.
    yield* Effect.catchIf(
      database.run("PRAGMA wal_checkpoint(TRUNCATE)"),
      // On a full disk there is no room for it, and the jobs have to be known all the same.
      (error) => !SqlDatabase.isCorrupt(error),
      (error) => Effect.logWarning(`The log of writes of ${path} stays: ${SqlDatabase.reasonOf(error)}`),
    )
    return database
  })

/** A free name for a file that is set aside: the time is in it. */
const asideName = (path: string, now: number): string => {
  const stamp = new Date(now).toISOString().replaceAll(":", "-")
  let name = `${path}.corrupt-${stamp}`
  for (let count = 2; fs.existsSync(name); count++) name = `${path}.corrupt-${stamp}-${count}`
  return name
}

const decodeSecrets = Schema.decodeUnknownOption(Schema.parseJson(JobSecrets.JobSecrets))

const rowsOf = (direction: "ASC" | "DESC") =>
  `SELECT r.n, j.id, r.record, r.checksum FROM records r LEFT JOIN jobs j ON j.n = r.n
   WHERE r.n ${direction === "ASC" ? ">" : "<"} ? ORDER BY r.n ${direction} LIMIT 1`

/** Reads the records of a damaged file from both ends, each way up to the first damage. */
const salvage = (damaged: SqlDatabase.Database, fresh: SqlDatabase.Database) =>
  Effect.gen(function* () {
    const tables = SqlTables.make(fresh, () => {})
    const seen = new Set<number>()
    yield* fresh.run("BEGIN IMMEDIATE")
    for (const direction of ["ASC", "DESC"] as const) {
      let n = direction === "ASC" ? -1 : Number.MAX_SAFE_INTEGER
      while (true) {
        const read = yield* Effect.either(damaged.run(rowsOf(direction), n))
        if (Either.isLeft(read)) break
        const [row] = read.right
        if (row === undefined || seen.has(Number(row["n"]))) break
        n = Number(row["n"])
        const text = row["record"]
        const id =
          row["id"] ?? (typeof text === "string" ? /"id":"(\w{26})"/.exec(text)?.[1] : undefined) ?? null
        const record = SqlTables.recordOf({ ...row, id })
        if (Either.isLeft(record)) continue
        const secrets = hasEnded(record.right)
          ? []
          : yield* Effect.orElseSucceed(damaged.run("SELECT secrets FROM secrets WHERE n = ?", n), () => [])
        const kept = Option.getOrUndefined(decodeSecrets(secrets[0]?.["secrets"]))
        if (yield* Effect.isSuccess(tables.add(record.right, kept))) seen.add(n)
      }
    }
    const groups = yield* Effect.orElseSucceed(damaged.run("SELECT * FROM job_groups"), () => [])
    for (const { name, parallelism, paused } of groups) {
      yield* fresh.run("INSERT INTO job_groups VALUES (?, ?, ?)", name!, parallelism!, paused!)
    }
    yield* fresh.run("COMMIT")
    return seen.size
  })

/** Moves a damaged file out of the way, and saves what can be read. */
const replace = (path: string, reason: string, options: Options) =>
  Effect.gen(function* () {
    const aside = asideName(path, yield* Clock.currentTimeMillis)
    yield* Effect.try({
      try: () => {
        for (const companion of companions) {
          if (fs.existsSync(path + companion)) fs.renameSync(path + companion, aside + companion)
        }
        fs.rmSync(suspicion(path), { force: true })
        SqlDatabase.createPrivate(path)
      },
      catch: SqlDatabase.meaning(path),
    })
    const fresh = yield* openSound(path, options)
    const saved = yield* Effect.scoped(
      Effect.flatMap(SqlDatabase.open(aside), (damaged) => salvage(damaged, fresh)),
    ).pipe(
      Effect.tapError(() => Effect.ignore(fresh.run("ROLLBACK"))),
      Effect.orElseSucceed(() => 0),
    )
    yield* Effect.logError(
      `The store of jobs was damaged (${reason}). It was set aside as ${aside}; ${saved} of its jobs could be read and are kept. Jobs that are missing may still run: their folders are under the same root.`,
    )
    return fresh
  })

/** Opens the file at `path` for the length of the scope, a fresh one if there is none or it is damaged. */
export const open = (
  path: string,
  options: Options,
): Effect.Effect<SqlDatabase.Database, StoreError | StoreTooNew, Scope.Scope> =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    yield* Effect.try({
      try: () => SqlDatabase.createPrivate(path),
      catch: SqlDatabase.meaning(path),
    })
    // A scope of its own, so that a damaged file is closed before it is moved.
    const inner = yield* Scope.fork(outer, outer.strategy)
    const opened = yield* Effect.either(Scope.extend(openSound(path, options), inner))
    if (Either.isRight(opened)) return opened.right
    // The index of the log of writes needs a little room, even to read.
    if (SqlDatabase.isFull(opened.left) && Reserve.beside(path).release()) {
      yield* Scope.close(inner, Exit.void)
      return yield* open(path, options)
    }
    if (!SqlDatabase.isCorrupt(opened.left)) return yield* Effect.fail(opened.left)
    yield* Scope.close(inner, Exit.void)
    return yield* replace(path, SqlDatabase.reasonOf(opened.left), options)
  }).pipe(Effect.catchTag("SqlError", (error) => Effect.fail(SqlDatabase.meaning(path)(error))))
