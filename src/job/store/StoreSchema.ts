/** The tables of the store, as the sequence of changes that made them. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Database } from "./SqlDatabase.js"
import { StoreTooNew } from "../StoreError.js"

/** Never changed once it was released: what follows is added at the end. */
const migrations: ReadonlyArray<{ readonly name: string; readonly statements: ReadonlyArray<string> }> = [
  {
    name: "jobs",
    statements: [
      // Narrow, so that a filter reads little; the records, which are wide, are apart.
      `CREATE TABLE jobs (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        cwd TEXT NOT NULL,
        job_group TEXT,
        command TEXT NOT NULL,
        ended_at INTEGER,
        bytes INTEGER NOT NULL,
        idempotency_key TEXT UNIQUE
      ) STRICT`,
      "CREATE INDEX jobs_by_state ON jobs (state, id)",
      "CREATE INDEX jobs_by_cwd ON jobs (cwd, id)",
      "CREATE INDEX jobs_by_group ON jobs (job_group, id) WHERE job_group IS NOT NULL",
      "CREATE INDEX jobs_unended ON jobs (id) WHERE ended_at IS NULL",
      "CREATE INDEX jobs_by_end ON jobs (ended_at, id, bytes) WHERE ended_at IS NOT NULL",
      "CREATE TABLE records (n INTEGER PRIMARY KEY, record TEXT NOT NULL, checksum TEXT NOT NULL) STRICT",
      "CREATE TABLE secrets (n INTEGER PRIMARY KEY, secrets TEXT NOT NULL) STRICT",
      "CREATE TABLE tags (tag TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tag, id)) STRICT, WITHOUT ROWID",
      "CREATE INDEX tags_by_id ON tags (id)",
      // Which jobs wait for which: rows of jobs that have not ended.
      "CREATE TABLE waits (awaited TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (awaited, id)) STRICT, WITHOUT ROWID",
      "CREATE INDEX waits_by_id ON waits (id)",
      "CREATE TABLE job_groups (name TEXT PRIMARY KEY, parallelism INTEGER, paused INTEGER NOT NULL) STRICT",
      `CREATE TABLE unreadable (
        n INTEGER PRIMARY KEY,
        id TEXT,
        found_at INTEGER NOT NULL,
        reason TEXT NOT NULL,
        record ANY
      ) STRICT`,
    ],
  },
]

/** The latest format that this version knows. */
export const known = migrations.length

/** Brings a database to the latest format, or refuses one that is beyond it. */
export const migrate = (database: Database, path: string): Effect.Effect<void, SqlError | StoreTooNew> =>
  Effect.gen(function* () {
    yield* database.run(
      "CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    )
    const [row] = yield* database.run("SELECT coalesce(max(version), 0) AS version FROM schema_versions")
    const found = Number(row?.["version"] ?? 0)
    if (found > known) return yield* new StoreTooNew({ path, found, known })
    for (const [index, { name, statements }] of migrations.entries()) {
      if (index < found) continue
      yield* database.run("BEGIN IMMEDIATE")
      for (const statement of statements) yield* database.run(statement)
      const now = yield* Clock.currentTimeMillis
      yield* database.run("INSERT INTO schema_versions VALUES (?, ?, ?)", index + 1, name, now)
      yield* database.run("COMMIT")
    }
  })
