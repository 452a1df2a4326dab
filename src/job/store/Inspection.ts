/**
 * Looks through the database for damage: before it is used where that takes no time, and otherwise soon after, a piece
 * at a time and in between what else is asked of it. Damage that nobody has met yet would be met by a job.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { GroupCommit } from "./GroupCommit.js"
import type { Database, Row, Value } from "./SqlDatabase.js"
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

/** What is walked along, and the key that says how far. What of it is read to its end as well, such as a long text. */
interface Walk {
  readonly from: string
  readonly key: ReadonlyArray<string>
  readonly where?: string
  readonly whole?: string
}

const walks: ReadonlyArray<Walk> = [
  { from: "jobs INDEXED BY sqlite_autoindex_jobs_1", key: ["id"] },
  { from: "jobs INDEXED BY sqlite_autoindex_jobs_2", key: ["n"], where: "idempotency_key IS NULL" },
  {
    from: "jobs INDEXED BY sqlite_autoindex_jobs_2",
    key: ["idempotency_key"],
    where: "idempotency_key IS NOT NULL",
  },
  { from: "jobs INDEXED BY jobs_by_state", key: ["state", "id"] },
  { from: "jobs INDEXED BY jobs_by_cwd", key: ["cwd", "id"] },
  { from: "jobs INDEXED BY jobs_by_group", key: ["job_group", "id"], where: "job_group IS NOT NULL" },
  { from: "jobs INDEXED BY jobs_unended", key: ["id"], where: "ended_at IS NULL" },
  { from: "jobs INDEXED BY jobs_by_end", key: ["ended_at", "id"], where: "ended_at IS NOT NULL" },
  { from: "tags NOT INDEXED", key: ["tag", "id"] },
  { from: "tags INDEXED BY tags_by_id", key: ["id", "tag"] },
  { from: "waits NOT INDEXED", key: ["awaited", "id"] },
  { from: "waits INDEXED BY waits_by_id", key: ["id", "awaited"] },
  { from: "job_groups NOT INDEXED", key: ["name"] },
  { from: "secrets NOT INDEXED", key: ["n"], whole: "secrets" },
  { from: "unreadable NOT INDEXED", key: ["n"], whole: "reason" },
  { from: "jobs NOT INDEXED", key: ["n"], whole: "command" },
  { from: "records NOT INDEXED", key: ["n"], whole: "record" },
]

/** So many rows are a piece: about 2 ms. */
const rowsAtOnce = { short: 5_000, whole: 500 }

/** Lets the program do what it is there for. */
const pause = Effect.sleep("10 millis")

/** The next piece of a walk, behind a row that is given as the values of its key, or from the first on. */
const pieceOf = ({ from, key, where, whole }: Walk, isFirst: boolean): string => {
  const columns = key.join(", ")
  const behind = isFirst ? undefined : `(${columns}) > (${key.map(() => "?").join(", ")})`
  const conditions = [where, behind].filter((condition) => condition !== undefined)
  const rows = `FROM ${from}${conditions.length > 0 ? ` WHERE ${conditions.join(" AND ")}` : ""} ORDER BY ${columns}`
  return whole === undefined
    ? `SELECT ${columns} ${rows} LIMIT 1 OFFSET ${rowsAtOnce.short - 1}`
    : `SELECT max(n) AS n, sum(length(${whole})) FROM (SELECT n, ${whole} ${rows} LIMIT ${rowsAtOnce.whole})`
}

/** Walks through all tables and indexes; fails at the first that cannot be read. */
export const inPieces = (database: Database, read: GroupCommit["read"]): Effect.Effect<void, StoreError> =>
  Effect.forEach(
    walks,
    (walk) =>
      Effect.gen(function* () {
        let last: ReadonlyArray<Value> = []
        do {
          const [row]: ReadonlyArray<Row> = yield* read(
            database.run(pieceOf(walk, last.length === 0), ...last),
          )
          last = walk.key.map((column) => row?.[column] ?? null)
          yield* pause
        } while (last.every((value) => value !== null))
      }),
    { discard: true },
  )
