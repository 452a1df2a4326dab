/**
 * The store of jobs in a SQLite file, `jobs.db` under a root that one program owns at a time.
 *
 * What it has answered is on disk: it outlives the death of the program, and with `synchronous: "full"`, the default,
 * a loss of power. The file (mode 0600) may hold the secrets of jobs that have not started; they are overwritten in it
 * and cut off its log of writes before anybody is told of the start.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Directory from "../process/Directory.js"
import type * as Mask from "../process/Mask.js"
import * as Tracing from "../process/Tracing.js"
import * as GroupCommit from "./store/GroupCommit.js"
import * as Inspection from "./store/Inspection.js"
import * as JobId from "./JobId.js"
import * as JobLedger from "./store/JobLedger.js"
import * as JobQuery from "./JobQuery.js"
import type { JobRecord } from "./JobRecord.js"
import { transition } from "./JobRecord.js"
import type { JobSpec } from "./JobSpec.js"
import type { InsertOptions, Service } from "./JobStoreService.js"
import { JobStore } from "./JobStore.js"
import * as Reserve from "./store/Reserve.js"
import * as SqlDatabase from "./store/SqlDatabase.js"
import * as SqlQueries from "./store/SqlQueries.js"
import * as SqlTables from "./store/SqlTables.js"
import { RecordCache } from "./store/RecordCache.js"
import type { OpenError, StoreError } from "./StoreError.js"
import { JobNotFound } from "./StoreError.js"
import * as StoreFile from "./store/StoreFile.js"
import * as StoreLock from "./StoreLock.js"

/** Where a store is, and how sure it has to be. */
export interface Options {
  /** The directory of the store, made with mode 0700 if there is none. One that is there keeps its mode. */
  readonly root: string
  /** Where this program answers, for others that find the store locked. See also `JobStore.announce`. */
  readonly address?: string | undefined
  /**
   * `full`, the default: every change waits for the disk, so that it outlives a loss of power. `normal` is quicker and
   * outlives the death of the program, KILL included; a loss of power may undo the last changes.
   */
  readonly synchronous?: "full" | "normal" | undefined
  /**
   * When the database has so many bytes, inserting fails with `StoreFull`; jobs that are there go on. Default: no limit
   * but the disk's.
   */
  readonly maxBytes?: number | undefined
  /** The variables that jobs inherit, whose masked values are hidden. Default: the program's own. */
  readonly inherited?: Mask.Variables | undefined
}

const unendedAtOnce = 200

/** Opens the store of a root for the length of the scope. */
export const make = (options: Options): Effect.Effect<Service, OpenError, Scope.Scope> =>
  Effect.gen(function* () {
    const { address, inherited, maxBytes, root, synchronous = "full" } = options
    yield* Effect.try({
      try: () => Directory.make(root, 0o700),
      catch: SqlDatabase.meaning(root),
    })
    const lock = yield* StoreLock.acquire(root, address)
    const path = StoreFile.pathIn(root)
    const database = yield* StoreFile.open(path, { synchronous })

    // An earlier life may have ended before it came to that.
    let hasErased = true
    /** Removes what the log of writes still holds of erased secrets. Where it fails it is tried again next time. */
    const forget = Effect.suspend(() =>
      hasErased
        ? database.run("PRAGMA wal_checkpoint(TRUNCATE)").pipe(
            Effect.map(([row]) => {
              hasErased = row?.["busy"] !== 0
            }),
            Effect.catchAll((error) =>
              Effect.logWarning(
                `Erased secrets are still in the log of writes of ${path}: ${SqlDatabase.reasonOf(error)}`,
              ),
            ),
          )
        : Effect.void,
    )
    yield* Effect.addFinalizer(() => Effect.ignore(database.run("PRAGMA wal_checkpoint(TRUNCATE)")))
    const cache = new RecordCache()
    let isDamaged = false
    const reserve = Reserve.beside(path)
    reserve.hold()
    const { commit, read } = yield* GroupCommit.make(
      database,
      path,
      Effect.zipRight(forget, Effect.sync(reserve.hold)),
      (error) =>
        Effect.suspend(() => {
          if (isDamaged || !SqlDatabase.isCorrupt(error)) return Effect.void
          isDamaged = true
          const { message } = SqlDatabase.meaning(path)(error)
          return Effect.zipRight(Effect.logError(message), StoreFile.suspect(path))
        }),
      () => cache.clear(),
      () => {
        // What is written now has to leave the log of writes again, so that there is room for the next.
        hasErased = true
        return reserve.release()
      },
      synchronous === "full",
    )
    // What it comes upon has been told by then.
    if (!(yield* Effect.orElseSucceed(Inspection.isShort(database), () => true)))
      yield* Inspection.inPieces(database, read).pipe(
        Effect.delay("1 second"),
        Effect.ignore,
        Effect.forkScoped,
      )
    const tables = SqlTables.make(
      database,
      () => {
        hasErased = true
      },
      maxBytes === undefined ? Effect.void : StoreFile.room(database, path, maxBytes),
      cache,
    )
    const nextId = JobId.factory()

    /** The records of rows; those that cannot be read are set aside. */
    const recordsOf = (
      rows: ReadonlyArray<SqlDatabase.Row>,
    ): Effect.Effect<ReadonlyArray<JobRecord>, StoreError> =>
      Effect.gen(function* () {
        const records: Array<JobRecord> = []
        for (const row of rows) {
          const record = SqlTables.recordOf(row)
          if (Either.isRight(record)) records.push(record.right)
          // Read again in the transaction: what is found unreadable there too is set aside.
          else yield* commit(tables.read(String(row["id"])))
        }
        return records
      })

    /** A look that writes nothing, unless there is something to be set aside. */
    const get = (id: JobId.JobId) =>
      Effect.gen(function* () {
        // Between two transactions: what is not on disk yet is not told.
        const known = yield* read(Effect.sync(() => cache.get(id)))
        if (known !== undefined) return known
        const [row] = yield* read(
          database.run(
            "SELECT j.id, r.record, r.checksum FROM jobs j LEFT JOIN records r ON r.n = j.n WHERE j.id = ?",
            id,
          ),
        )
        if (row === undefined) return yield* new JobNotFound({ id })
        const record = SqlTables.recordOf(row)
        return Either.isRight(record) ? record.right : yield* commit(JobLedger.get(tables, id))
      })

    const update: Service["update"] = (id, change, options = {}) =>
      commit(JobLedger.update(tables, id, change, options), {
        relaxed: options.relaxed,
        // What has happened already, an end above all: a job can be deleted only when its end is known.
        frees: options.relaxed,
      })

    return {
      insert: Tracing.fn("JobStore.insert")(function* (spec: JobSpec, options: InsertOptions = {}) {
        const id = yield* nextId
        return yield* commit(JobLedger.insert(tables, id, inherited ?? process.env, spec, options))
      }),
      get: Tracing.fn("JobStore.get")(get),
      find: Tracing.fn("JobStore.find")(function* (name: string) {
        const prefix = yield* JobId.parsePrefix(name)
        return yield* get(JobId.isComplete(prefix) ? prefix : yield* read(JobLedger.resolve(tables, prefix)))
      }),
      spec: Tracing.fn("JobStore.spec")((id: JobId.JobId) => commit(JobLedger.specOf(tables, id))),
      list: Tracing.fn("JobStore.list")(function* (query: JobQuery.JobQuery = {}) {
        const size = JobQuery.pageSize(query)
        const rows = yield* read(SqlQueries.list(database, query, size + 1))
        const shown = rows.slice(0, size)
        const next = rows.length > size ? (shown.at(-1)?.["id"] as JobId.JobId | undefined) : undefined
        return { jobs: yield* recordsOf(shown), next }
      }),
      transition: Tracing.fn("JobStore.transition")((id, event, options) =>
        update(id, (record) => transition(record, event), options),
      ),
      update: Tracing.fn("JobStore.update")(update) as Service["update"],
      remove: Tracing.fn("JobStore.remove")((id: JobId.JobId) =>
        commit(JobLedger.remove(tables, id), { frees: true }),
      ),
      garbage: Tracing.fn("JobStore.garbage")((policy: JobQuery.KeepPolicy) =>
        read(SqlQueries.garbage(database, policy)),
      ),
      unended: Stream.paginateChunkEffect("", (after) =>
        Effect.gen(function* () {
          const rows = yield* read(SqlQueries.unended(database, after, unendedAtOnce))
          const last = rows.length < unendedAtOnce ? undefined : String(rows.at(-1)!["id"])
          return [Chunk.fromIterable(yield* recordsOf(rows)), Option.fromNullable(last)] as const
        }),
      ),
      counts: read(SqlQueries.counts(database)),
      groups: read(SqlQueries.groups(database)),
      setGroup: (group) => commit(Effect.asVoid(SqlQueries.setGroup(database, group))),
      removeGroup: (name) =>
        commit(Effect.asVoid(database.run("DELETE FROM job_groups WHERE name = ?", name))),
      unreadable: read(SqlQueries.unreadable(database)),
      announce: lock.announce,
    }
  })

/**
 * The store of a root. Fails with `StoreLocked` when another program owns it, and with `StoreTooNew` when a later
 * version wrote it. A damaged file is set aside, loudly, and what can be read of it is kept.
 */
export const layer = (options: Options): Layer.Layer<JobStore, OpenError> =>
  Layer.scoped(JobStore, make(options))
