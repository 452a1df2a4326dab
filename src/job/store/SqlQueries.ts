/** The questions to the tables: each goes by an index, so that it costs what it gives, not what there is. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { JobId } from "../JobId.js"
import * as JobQuery from "../JobQuery.js"
import { StateName } from "../JobState.js"
import type { JobGroup, UnreadableRecord } from "../JobStoreService.js"
import type { Database, Row, Value } from "./SqlDatabase.js"

interface Plan {
  /** The table or index to walk along, in the order of ids. */
  readonly from: string
  readonly conditions: ReadonlyArray<string>
  readonly values: ReadonlyArray<Value>
}

const marks = (values: ReadonlyArray<unknown>): string => values.map(() => "?").join(", ")

/** One walk for most questions; one per state where only the states narrow it down. */
const plansOf = (query: JobQuery.JobQuery): ReadonlyArray<Plan> => {
  const { cwd, group, states, tags = [], text } = query
  const { end, lowest } = JobQuery.idRange(query)
  const [tag, ...otherTags] = tags
  const conditions = ["j.id >= ?", "j.id < ?"]
  const values: Array<Value> = [lowest, end]
  const add = (condition: string, ...more: ReadonlyArray<Value>) => {
    conditions.push(condition)
    values.push(...more)
  }
  for (const other of otherTags) add("EXISTS (SELECT 1 FROM tags x WHERE x.tag = ? AND x.id = j.id)", other)
  if (cwd !== undefined) add("j.cwd = ?", cwd)
  if (group !== undefined) add("j.job_group = ?", group)
  if (text !== undefined) add("instr(lower(j.command), ?) > 0", JobQuery.lower(text))

  if (tag !== undefined) {
    add("t.tag = ?", tag)
    add("t.id >= ?", lowest)
    add("t.id < ?", end)
    if (states !== undefined) add(`j.state IN (${marks(states)})`, ...states)
    return [{ from: "tags t CROSS JOIN jobs j ON j.id = t.id", conditions, values }]
  }
  const index =
    cwd !== undefined ? "jobs_by_cwd" : group !== undefined ? "jobs_by_group" : "sqlite_autoindex_jobs_1"
  if (cwd === undefined && group === undefined && states !== undefined) {
    return [...new Set(states)].map((state) => ({
      from: "jobs j INDEXED BY jobs_by_state",
      conditions: ["j.state = ?", ...conditions],
      values: [state, ...values],
    }))
  }
  if (states !== undefined) add(`j.state IN (${marks(states)})`, ...states)
  return [{ from: `jobs j INDEXED BY ${index}`, conditions, values }]
}

/** Rows with `id`, `record` and `checksum`, the newest first, at most `limit`. */
export const list = (
  database: Database,
  query: JobQuery.JobQuery,
  limit: number,
): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  Effect.gen(function* () {
    const plans = plansOf(query)
    const found: Array<Row> = []
    for (const { conditions, from, values } of plans) {
      found.push(
        ...(yield* database.run(
          `SELECT j.n, j.id FROM ${from} WHERE ${conditions.join(" AND ")} ORDER BY ${from.startsWith("tags") ? "t" : "j"}.id DESC LIMIT ?`,
          ...values,
          limit,
        )),
      )
    }
    const newest = found.sort((a, b) => (String(a["id"]) < String(b["id"]) ? 1 : -1)).slice(0, limit)
    const rows: Array<Row> = []
    for (const { id, n } of newest) {
      const [row] = yield* database.run("SELECT record, checksum FROM records WHERE n = ?", n!)
      rows.push({ ...row, id: id! })
    }
    return rows
  })

/** Rows with `id`, `record` and `checksum` of jobs that have not ended, the oldest first, after the job `after`. */
export const unended = (
  database: Database,
  after: string,
  limit: number,
): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  database.run(
    `SELECT j.id, r.record, r.checksum FROM jobs j INDEXED BY jobs_unended LEFT JOIN records r ON r.n = j.n
     WHERE j.ended_at IS NULL AND j.id > ? ORDER BY j.id LIMIT ?`,
    after,
    limit,
  )

/** How many jobs are in each state. */
export const counts = (database: Database): Effect.Effect<Record<StateName, number>, SqlError> =>
  Effect.map(database.run("SELECT state, count(*) AS count FROM jobs GROUP BY state"), (rows) => {
    const none = Object.fromEntries(StateName.literals.map((name) => [name, 0]))
    return Object.assign(none, Object.fromEntries(rows.map(({ count, state }) => [state, count]))) as Record<
      StateName,
      number
    >
  })

/** Ended jobs that a policy does not keep. */
export const garbage = (
  database: Database,
  policy: JobQuery.KeepPolicy,
): Effect.Effect<ReadonlyArray<JobQuery.Garbage>, SqlError> =>
  Effect.gen(function* () {
    const [total] = yield* database.run(
      "SELECT count(*) AS count, coalesce(sum(bytes), 0) AS bytes FROM jobs INDEXED BY jobs_by_end WHERE ended_at IS NOT NULL",
    )
    const oldest = yield* database.run(
      `SELECT id, ended_at, bytes FROM jobs j INDEXED BY jobs_by_end
       WHERE ended_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM waits w WHERE w.awaited = j.id)
       ORDER BY ended_at, id LIMIT ?`,
      policy.limit ?? 1_000,
    )
    return JobQuery.garbageOf(
      oldest.map((row) => ({
        id: row["id"] as JobId,
        endedAt: row["ended_at"] as number,
        bytes: row["bytes"] as number,
      })),
      { count: Number(total!["count"]), bytes: Number(total!["bytes"]) },
      policy,
    )
  })

/** The groups with settings. */
export const groups = (database: Database): Effect.Effect<ReadonlyArray<JobGroup>, SqlError> =>
  Effect.map(database.run("SELECT name, parallelism, paused FROM job_groups ORDER BY name"), (rows) =>
    rows.map(({ name, parallelism, paused }) => ({
      name: String(name),
      parallelism: parallelism === null ? undefined : Number(parallelism),
      paused: paused === 1,
    })),
  )

/** Sets what is to be known of a group. */
export const setGroup = (database: Database, { name, parallelism, paused }: JobGroup) =>
  database.run(
    "INSERT OR REPLACE INTO job_groups (name, parallelism, paused) VALUES (?, ?, ?)",
    name,
    parallelism ?? null,
    paused ? 1 : 0,
  )

/** The records that were set aside. */
export const unreadable = (database: Database): Effect.Effect<ReadonlyArray<UnreadableRecord>, SqlError> =>
  Effect.map(database.run("SELECT id, found_at, reason FROM unreadable ORDER BY n DESC LIMIT 1000"), (rows) =>
    rows.map((row) => ({
      id: typeof row["id"] === "string" ? row["id"] : undefined,
      foundAt: Number(row["found_at"]),
      reason: String(row["reason"]),
    })),
  )
