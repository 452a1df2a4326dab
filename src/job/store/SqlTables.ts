/** Records in the tables of a database, and what is done with one that cannot be read. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { JobId } from "../JobId.js"
import type { Tables } from "./JobLedger.js"
import { searchedCommand } from "../JobQuery.js"
import type { JobRecord } from "../JobRecord.js"
import { endedAt, hasEnded, logBytes } from "../JobRecord.js"
import { JobSecrets } from "../JobSecrets.js"
import { RecordCache } from "./RecordCache.js"
import * as RecordText from "./RecordText.js"
import type { Database, Row, Value } from "./SqlDatabase.js"
import type { StoreFull } from "../StoreError.js"

const decodeSecrets = Schema.decodeUnknownOption(Schema.parseJson(JobSecrets))
const encodeSecrets = Schema.encodeSync(Schema.parseJson(JobSecrets))

/** The record in a row with `id`, `record` and `checksum`; a text says why there is none. */
export const recordOf = ({ checksum, id, record }: Row): Either.Either<JobRecord, string> =>
  Either.flatMap(RecordText.read(record, checksum), (read) =>
    read.id === id
      ? Either.right(read)
      : Either.left(`it is filed under ${String(id)} and holds the record of ${read.id}`),
  )

/** Takes an unreadable record out of the way, and keeps it as it is. */
export const setAside = (database: Database, id: string, reason: string): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const [row] = yield* database.run("SELECT n FROM jobs WHERE id = ?", id)
    const n = row?.["n"]
    // Somebody else has found it too.
    if (typeof n !== "number") return
    yield* Effect.logError(`The record of job ${id} was set aside: ${reason}`)
    const now = yield* Clock.currentTimeMillis
    yield* database.run(
      "INSERT INTO unreadable (id, found_at, reason, record) VALUES (?, ?, ?, (SELECT record FROM records WHERE n = ?))",
      id,
      now,
      reason,
      n,
    )
    yield* erase(database, id, n)
  })

const erase = (database: Database, id: string, n: number): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    yield* database.run("DELETE FROM secrets WHERE n = ?", n)
    yield* database.run("DELETE FROM records WHERE n = ?", n)
    yield* database.run("DELETE FROM waits WHERE id = ?", id)
    yield* database.run("DELETE FROM jobs WHERE n = ?", n)
    yield* database.run("DELETE FROM tags WHERE id = ?", id)
  })

/** Where the secrets of a job are, once it is in the tables. */
const nOf = "(SELECT n FROM jobs WHERE id = ?)"

/**
 * The tables of the ledger. To be used within a transaction.
 *
 * @param onErase is called when secrets were erased, whose traces then have to be removed from the log of writes
 * @param room fails when no further job is to be added
 * @param cache to be cleared when a transaction is undone
 */
export const make = (
  database: Database,
  onErase: () => void,
  room: Effect.Effect<void, SqlError | StoreFull> = Effect.void,
  cache: RecordCache = new RecordCache(),
): Tables<SqlError | StoreFull> => {
  const recordWhere = (condition: string, value: Value) =>
    Effect.gen(function* () {
      const [row] = yield* database.run(
        `SELECT j.id, r.record, r.checksum FROM jobs j LEFT JOIN records r ON r.n = j.n WHERE ${condition}`,
        value,
      )
      if (row === undefined) return undefined
      const record = recordOf(row)
      if (Either.isRight(record)) {
        cache.set(record.right)
        return record.right
      }
      cache.delete(String(row["id"]))
      yield* setAside(database, String(row["id"]), record.left)
      onErase()
      return undefined
    })

  return {
    read: (id) =>
      Effect.suspend(() => {
        const known = cache.get(id)
        return known === undefined ? recordWhere("j.id = ?", id) : Effect.succeed(known)
      }),
    withKey: (key) => recordWhere("j.idempotency_key = ?", key),
    withPrefix: (prefix, limit) =>
      Effect.map(
        database.run(
          "SELECT id FROM jobs WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT ?",
          prefix,
          prefix.padEnd(26, "Z"),
          limit,
        ),
        (rows) => rows.map(({ id }) => id as JobId),
      ),
    secretsOf: (id) =>
      Effect.map(database.run(`SELECT secrets FROM secrets WHERE n = ${nOf}`, id), ([row]) =>
        row === undefined ? undefined : Option.getOrUndefined(decodeSecrets(row["secrets"])),
      ),
    add: (record, secrets) =>
      Effect.gen(function* () {
        yield* room
        const { id, spec, state } = record
        const [row] = yield* database.run(
          `INSERT INTO jobs (id, state, cwd, job_group, command, ended_at, bytes, idempotency_key)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING n`,
          id,
          state._tag,
          spec.cwd,
          spec.group ?? null,
          searchedCommand(record),
          endedAt(record) ?? null,
          logBytes(record),
          spec.idempotencyKey ?? null,
        )
        const n = row!["n"]!
        const text = RecordText.write(record)
        yield* database.run(
          "INSERT INTO records (n, record, checksum) VALUES (?, ?, ?)",
          n,
          text,
          RecordText.checksumOf(text),
        )
        for (const tag of spec.tags) yield* database.run("INSERT INTO tags (tag, id) VALUES (?, ?)", tag, id)
        if (!hasEnded(record)) {
          for (const { job } of spec.after)
            yield* database.run("INSERT OR IGNORE INTO waits (awaited, id) VALUES (?, ?)", job, id)
        }
        cache.set(record)
        if (secrets !== undefined) {
          yield* database.run("INSERT INTO secrets (n, secrets) VALUES (?, ?)", n, encodeSecrets(secrets))
        }
      }),
    replace: (record) =>
      Effect.gen(function* () {
        const { id, spec, state } = record
        yield* database.run(
          "UPDATE jobs SET state = ?, ended_at = ?, bytes = ? WHERE id = ?",
          state._tag,
          endedAt(record) ?? null,
          logBytes(record),
          id,
        )
        const text = RecordText.write(record)
        yield* database.run(
          `UPDATE records SET record = ?, checksum = ? WHERE n = ${nOf}`,
          text,
          RecordText.checksumOf(text),
          id,
        )
        cache.set(record)
        if (hasEnded(record) && spec.after.length > 0)
          yield* database.run("DELETE FROM waits WHERE id = ?", id)
      }),
    eraseSecrets: (id) =>
      Effect.map(database.run(`DELETE FROM secrets WHERE n = ${nOf}`, id), () => onErase()),
    drop: (id) =>
      Effect.gen(function* () {
        const [row] = yield* database.run("SELECT n FROM jobs WHERE id = ?", id)
        cache.delete(id)
        yield* erase(database, id, row!["n"] as number)
        onErase()
      }),
  }
}
