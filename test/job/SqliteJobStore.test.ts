import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { JobEvent } from "../../src/job/JobEvent.js"
import { JobStore } from "../../src/job/JobStore.js"
import * as Inspection from "../../src/job/store/Inspection.js"
import * as SqlDatabase from "../../src/job/store/SqlDatabase.js"
import * as SqliteJobStore from "../../src/job/SqliteJobStore.js"
import type { OpenError } from "../../src/job/StoreError.js"
import * as StoreLock from "../../src/job/StoreLock.js"
import { suite } from "./store-suite.js"
import * as Support from "./support.js"

/** Uses the store of a root and closes it again. */
const using = <A, E>(
  options: SqliteJobStore.Options,
  body: Effect.Effect<A, E, JobStore>,
): Effect.Effect<A, E | OpenError> =>
  Effect.provide(body, SqliteJobStore.layer({ inherited: {}, ...options }))

const insert = (input = {}) =>
  Effect.gen(function* () {
    const store = yield* JobStore
    return (yield* store.insert(yield* Support.spec(input))).record
  })

/** Runs statements on the database of a root that nobody has open. */
const sql = (root: string, ...statements: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const database = yield* SqlDatabase.open(join(root, "jobs.db"))
      for (const statement of statements) yield* database.run(statement)
    }),
  )

/** Collects what is logged. */
const logging = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String(message)))
    const result = yield* Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger))
    return { lines, result }
  })

const scoped = <E>(what: string, body: (root: string) => Effect.Effect<void, E>) =>
  it.scopedLive(what, () => Effect.flatMap(Support.temporary, (directory) => body(join(directory, "root"))))

describe("a store in a file", () => {
  suite((maxJobs) =>
    Layer.unwrapScoped(
      Effect.map(Support.temporary, (root) =>
        SqliteJobStore.layer({
          root,
          inherited: {},
          ...(maxJobs === undefined ? {} : { maxBytes: maxJobs * 10_000 }),
        }),
      ),
    ),
  )

  scoped("is there again, and readable to its owner alone", (root) =>
    Effect.gen(function* () {
      const record = yield* using(
        { root },
        Effect.gen(function* () {
          const record = yield* insert({ timeout: "90s", startAt: 5, backoff: { delay: "1500ms" } })
          for (const name of readdirSync(root)) {
            assert.strictEqual(statSync(join(root, name)).mode & 0o777, 0o600, name)
          }
          assert.strictEqual(statSync(root).mode & 0o777, 0o700)
          assert.isTrue(existsSync(join(root, "jobs.db-wal")))
          return record
        }),
      )
      assert.deepStrictEqual(
        yield* using(
          { root, synchronous: "normal" },
          Effect.flatMap(JobStore, (store) => store.get(record.id)),
        ),
        record,
      )
      assert.isFalse(existsSync(join(root, "daemon.json")))
    }),
  )

  scoped("belongs to one at a time, and says to whom", (root) =>
    Effect.gen(function* () {
      const second = using({ root }, Effect.void)
      yield* using(
        { root, address: "http://127.0.0.1:19263" },
        Effect.gen(function* () {
          const store = yield* JobStore
          const refused = yield* Effect.flip(second)
          assert.deepInclude(refused, {
            _tag: "StoreLocked",
            pid: process.pid,
            address: "http://127.0.0.1:19263",
          })
          assert.include(refused.message, `pid ${process.pid}, which answers at http://127.0.0.1:19263`)
          yield* store.announce("unix:/run/x.sock")
          assert.deepInclude(yield* Effect.flip(second), { address: "unix:/run/x.sock" })
          assert.deepInclude(yield* StoreLock.ownerOf(root), { pid: process.pid })
          // The refused ones have not loosened the lock.
          assert.strictEqual((yield* Effect.flip(second))._tag, "StoreLocked")
          yield* insert()
        }),
      )
      assert.isUndefined(yield* StoreLock.ownerOf(root))
      yield* second
    }),
  )

  scoped("leaves no trace of a secret once the job has started", (root) =>
    Effect.gen(function* () {
      const secret = "correct-horse-battery-staple"
      const traces = () => readdirSync(root).filter((name) => readFileSync(join(root, name)).includes(secret))
      yield* using(
        { root },
        Effect.gen(function* () {
          const store = yield* JobStore
          // More than a page of it, too, in the middle of others.
          const inputs = [secret, secret.repeat(1_000)].map((TOKEN) => ({ env: { TOKEN }, mask: ["TOKEN"] }))
          const records = yield* Effect.forEach(inputs, insert)
          const others = yield* Effect.forEach(Array.from({ length: 20 }), () => insert())
          assert.isNotEmpty(traces())
          for (const { id } of [...records, ...others]) {
            yield* store.transition(id, Support.launch(1))
            yield* store.transition(id, Support.started(2))
          }
          assert.deepStrictEqual(traces(), [])
          const cancelled = yield* insert(inputs[0])
          const deleted = (yield* store.insert(yield* Support.spec(inputs[1]), { queued: false })).record
          assert.isNotEmpty(traces())
          yield* store.transition(cancelled.id, JobEvent.Cancel({ at: 1, signal: "SIGTERM" }))
          yield* store.remove(deleted.id)
          assert.deepStrictEqual(traces(), [])
        }),
      )
      assert.deepStrictEqual(traces(), [])
    }),
  )

  scoped("sets one unreadable record aside, keeps it, and serves the rest", (root) =>
    Effect.gen(function* () {
      const records = yield* using({ root }, Effect.replicateEffect(insert({ tags: ["t"] }), 5))
      const broken = records.slice(1, 4).map(({ id }) => id)
      const where = (id: string) => `WHERE n = (SELECT n FROM jobs WHERE id = '${id}')`
      yield* sql(
        root,
        `UPDATE records SET record = substr(record, 1, 40) ${where(broken[0]!)}`,
        `UPDATE records SET record = replace(record, '"queued"', '"exploded"') ${where(broken[1]!)}`,
        `DELETE FROM records ${where(broken[2]!)}`,
      )
      const { lines } = yield* logging(
        using(
          { root },
          Effect.gen(function* () {
            const store = yield* JobStore
            const unended = yield* Stream.runCollect(store.unended)
            assert.deepStrictEqual([...unended], [records[0]!, records[4]!])
            const { jobs } = yield* store.list({ tags: ["t"] })
            assert.deepStrictEqual(jobs, [records[4]!, records[0]!])
            assert.strictEqual((yield* Effect.flip(store.get(broken[0]!)))._tag, "JobNotFound")
            const unreadable = yield* store.unreadable
            assert.sameMembers(
              unreadable.map(({ id }) => id),
              broken,
            )
            for (const { reason } of unreadable) assert.isNotEmpty(reason)
          }),
        ),
      )
      assert.strictEqual(lines.filter((line) => /was set aside/.test(line)).length, 3)
    }),
  )

  scoped("finds an unreadable record in whatever way it is asked for", (root) =>
    Effect.gen(function* () {
      const ways: ReadonlyArray<(id: string) => Effect.Effect<{ readonly _tag: string }, unknown, JobStore>> =
        [
          (id) => Effect.flatMap(JobStore, (store) => Effect.flip(store.find(id))),
          (id) => Effect.flatMap(JobStore, (store) => Effect.flip(store.spec(id as never))),
          (id) =>
            Effect.flatMap(JobStore, (store) =>
              Effect.flip(store.transition(id as never, Support.launch(1))),
            ),
        ]
      for (const way of ways) {
        const { id } = yield* using({ root }, insert())
        yield* sql(root, "UPDATE records SET record = '{}'")
        const { result } = yield* logging(using({ root }, way(id)))
        assert.strictEqual(result._tag, "JobNotFound")
      }
      assert.strictEqual(
        (yield* using(
          { root },
          Effect.flatMap(JobStore, (store) => store.unreadable),
        )).length,
        3,
      )
    }),
  )

  scoped("sets a file aside that is no database, and goes on with a fresh one", (root) =>
    Effect.gen(function* () {
      mkdirSync(root)
      writeFileSync(join(root, "jobs.db"), "this is no database, but somebody's text ".repeat(300))
      chmodSync(join(root, "jobs.db"), 0o644)
      const { lines } = yield* logging(using({ root }, insert()))
      const aside = readdirSync(root).filter((name) => /^jobs\.db\.corrupt-\d{4}-/.test(name))
      assert.strictEqual(aside.length, 1)
      assert.include(readFileSync(join(root, aside[0]!), "utf8"), "somebody's text")
      assert.strictEqual(statSync(join(root, aside[0]!)).mode & 0o777, 0o600)
      assert.match(lines.join(), /was damaged .* set aside as .*corrupt/)
      const counts = yield* using(
        { root },
        Effect.flatMap(JobStore, (store) => store.counts),
      )
      assert.strictEqual(counts.queued, 1)
    }),
  )

  scoped("saves what can be read of a damaged file", (root) =>
    Effect.gen(function* () {
      const input = { env: { TOKEN: "not-yet-started", FILL: "x".repeat(3_000) }, mask: ["TOKEN"] }
      const records = yield* using(
        { root },
        Effect.gen(function* () {
          yield* (yield* JobStore).setGroup({ name: "g", parallelism: 2, paused: true })
          return yield* Effect.replicateEffect(insert(input), 60)
        }),
      )
      const path = join(root, "jobs.db")
      const bytes = readFileSync(path)
      // Somewhere in the middle: pages of records.
      bytes.fill(0xee, 4_096 * 60, 4_096 * 66)
      writeFileSync(path, bytes)
      const { lines } = yield* logging(
        using(
          { root },
          Effect.gen(function* () {
            const store = yield* JobStore
            const { jobs } = yield* store.list({ limit: 1_000 })
            assert.isAtLeast(jobs.length, 20)
            assert.isBelow(jobs.length, 60)
            for (const job of jobs)
              assert.deepStrictEqual(
                job,
                records.find(({ id }) => id === job.id)!,
              )
            assert.strictEqual((yield* store.groups).length, 1)
            yield* insert()
          }),
        ),
      )
      assert.match(lines.join(), /of its jobs could be read and are kept/)
      assert.isFalse(existsSync(join(root, "jobs.db.suspect")))
    }),
  )

  scoped("finds at its start the damage that nobody has met yet, and says so in one line", (root) =>
    Effect.gen(function* () {
      yield* using({ root }, Effect.replicateEffect(insert(), 10))
      const path = join(root, "jobs.db")
      const bytes = readFileSync(path)
      bytes.fill(0xaa, 12_288, 20_480)
      writeFileSync(path, bytes)
      const { lines } = yield* logging(using({ root }, insert()))
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0]!, /was damaged \([^*\n]+\)\. It was set aside/)
      assert.notInclude(lines[0]!, "\n")
      const counts = yield* using(
        { root },
        Effect.flatMap(JobStore, (store) => store.counts),
      )
      assert.isAtLeast(counts.queued, 1)
    }),
  )

  scoped(
    "looks through a long file soon after its start, and asks for another one where it is damaged",
    (root) =>
      Effect.gen(function* () {
        yield* using(
          { root, synchronous: "normal" },
          Effect.replicateEffect(insert({ env: { FILL: "x".repeat(100_000) } }), 200),
        )
        const path = join(root, "jobs.db")
        const bytes = readFileSync(path)
        assert.isAbove(bytes.length, 17_000_000)
        // To its end: a sound one has nothing that could be taken for damage.
        yield* Effect.scoped(
          Effect.flatMap(SqlDatabase.open(path), (database) => Inspection.inPieces(database, Effect.orDie)),
        )
        bytes.fill(0xee, 4_096 * 2_000, 4_096 * 2_006)
        writeFileSync(path, bytes)
        const { lines } = yield* logging(
          using(
            { root },
            Effect.repeat(
              Effect.sync(() => existsSync(`${path}.suspect`)),
              { until: (is) => is, schedule: Schedule.spaced("20 millis") },
            ),
          ),
        )
        assert.strictEqual(lines.length, 1)
        assert.match(lines[0]!, /is damaged: .*Restart the daemon/)
        const next = yield* logging(using({ root }, insert()))
        assert.match(next.lines.join(), /set aside as .* of its jobs could be read and are kept/)
      }),
  )

  scoped("does not touch what a later version wrote", (root) =>
    Effect.gen(function* () {
      yield* using({ root }, insert())
      yield* sql(root, "INSERT INTO schema_versions VALUES (99, 'later', 0)")
      const refused = yield* Effect.flip(using({ root }, Effect.void))
      assert.deepInclude(refused, { _tag: "StoreTooNew", found: 99 })
      assert.match(refused.message, /format 99; this version knows up to \d+/)
      assert.isEmpty(readdirSync(root).filter((name) => name.includes("corrupt")))
      yield* sql(root, "DELETE FROM schema_versions WHERE version = 99")
      const counts = yield* using(
        { root },
        Effect.flatMap(JobStore, (store) => store.counts),
      )
      assert.strictEqual(counts.queued, 1)
    }),
  )

  scoped("says why it cannot be opened", (root) =>
    Effect.gen(function* () {
      writeFileSync(root, "a file")
      const refused = yield* Effect.flip(using({ root }, Effect.void))
      assert.strictEqual(refused._tag, "StoreFailed")
      assert.include(refused.message, root)
    }),
  )

  scoped("answers nothing after it was closed", (root) =>
    Effect.gen(function* () {
      const store = yield* using({ root }, JobStore)
      const spec = yield* Support.spec()
      const refused = yield* Effect.flip(store.insert(spec))
      assert.strictEqual(refused._tag, "StoreFailed")
    }),
  )
})
