/**
 * Looks through the database for damage: before it is used where that takes no time, and otherwise soon after, a piece
 * at a time and in between what else is asked of it. Damage that nobody has met yet would be met by a job.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { GroupCommit } from "./GroupCommit.js"
import type { Database } from "./SqlDatabase.js"
import * as SqlDatabase from "./SqlDatabase.js"
import type { StoreError } from "../StoreError.js"

/** The pages of 4 kB that are looked through before the start: 16 MB, the records of 7,000 jobs, take about 12 ms. */
const pagesAtOnce = 4_096

/** Whether it is short enough to be looked through at once. */
export const isShort = (database: Database): Effect.Effect<boolean, SqlError> =>
  Effect.map(database.run("PRAGMA page_count"), ([row]) => Number(row?.["page_count"]) <= pagesAtOnce)

/**
 * Fails when the file is damaged.
 *
 * @param thorough whether each index has to agree with its table too, which takes twice as long
 */
export const whole = (database: Database, thorough: boolean): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const [row] = yield* database.run(`PRAGMA ${thorough ? "integrity" : "quick"}_check(1)`)
    const verdict = row === undefined ? "it says nothing" : String(Object.values(row)[0])
    if (verdict === "ok") return
    yield* SqlDatabase.corruption(
      verdict
        .replace(/\*\*\*.*\*\*\*/, "")
        .trim()
        .replace(/\s*\n\s*/g, "; "),
    )
  })

/** Read in pieces, by their key; what is summed up is read to its end. */
const tables = [
  ["jobs", "command"],
  ["records", "record"],
] as const

/** So many rows are a piece: about 2 ms. */
const rowsAtOnce = 500

/** Small beside the tables: each is counted in one go, 3 ms for 100,000 jobs. */
const trees = [
  "jobs INDEXED BY sqlite_autoindex_jobs_1 WHERE id >= ''",
  "jobs INDEXED BY sqlite_autoindex_jobs_2 WHERE idempotency_key >= ''",
  "jobs INDEXED BY jobs_by_state WHERE state >= ''",
  "jobs INDEXED BY jobs_by_cwd WHERE cwd >= ''",
  "jobs INDEXED BY jobs_by_group WHERE job_group >= ''",
  "jobs INDEXED BY jobs_unended WHERE ended_at IS NULL",
  "jobs INDEXED BY jobs_by_end WHERE ended_at IS NOT NULL",
  "secrets NOT INDEXED",
  "tags NOT INDEXED",
  "tags INDEXED BY tags_by_id WHERE id >= ''",
  "waits NOT INDEXED",
  "waits INDEXED BY waits_by_id WHERE id >= ''",
  "job_groups NOT INDEXED",
  "unreadable NOT INDEXED",
]

/** Lets the program do what it is there for. */
const pause = Effect.sleep("10 millis")

/** Walks through all tables and indexes; fails at the first that cannot be read. */
export const inPieces = (database: Database, read: GroupCommit["read"]): Effect.Effect<void, StoreError> =>
  Effect.gen(function* () {
    for (const tree of trees) {
      yield* read(database.run(`SELECT count(*) AS count FROM ${tree}`))
      yield* pause
    }
    for (const [table, column] of tables) {
      let last: unknown = -1
      while (typeof last === "number") {
        const [row] = yield* read(
          database.run(
            `SELECT max(n) AS last, sum(length(${column})) AS size
             FROM (SELECT n, ${column} FROM ${table} WHERE n > ? ORDER BY n LIMIT ${rowsAtOnce})`,
            last,
          ),
        )
        last = row?.["last"]
        yield* pause
      }
    }
  })
