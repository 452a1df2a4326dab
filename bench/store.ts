/**
 * What does a durable record cost? Jobs inserted and taken through their life, one at a time and many at once, against
 * bare SQLite transactions that write as many rows, each with its own wait for the disk; and what 100,000 finished
 * jobs in the store do to a list page and to the start.
 */
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { JobEvent } from "../src/job/JobEvent.js"
import type { JobId } from "../src/job/JobId.js"
import type { JobQuery } from "../src/job/JobQuery.js"
import * as JobSpec from "../src/job/JobSpec.js"
import { JobStore } from "../src/job/JobStore.js"
import * as SqliteJobStore from "../src/job/SqliteJobStore.js"
import { paired } from "./harness.js"

interface Bare {
  readonly exec: (sql: string) => void
  readonly prepare: (sql: string) => { readonly run: (...values: ReadonlyArray<unknown>) => unknown }
  readonly close: () => void
}

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-bench-store-"))
process.on("exit", () => fs.rmSync(directory, { recursive: true, force: true }))
let roots = 0
const freshRoot = () => path.join(directory, String(roots++))

const open = (root: string, synchronous: "full" | "normal" = "full") =>
  ManagedRuntime.make(SqliteJobStore.layer({ root, inherited: {}, synchronous }))

const spec = Effect.runSync(
  JobSpec.make({ command: ["make", "-C", "/srv/build", "all"], cwd: "/srv", tags: ["ci"], timeout: "10m" }),
)
const secretSpec = { ...spec, env: { TOKEN: "a-secret-of-some-length" }, mask: ["TOKEN"] }

const insert = (of: JobSpec.JobSpec = spec) =>
  Effect.flatMap(JobStore, (store) => Effect.map(store.insert(of), ({ record }) => record.id))

const finish = (id: JobId, at: number) =>
  Effect.gen(function* () {
    const store = yield* JobStore
    const log = `jobs/${id}/1`
    yield* store.transition(
      id,
      JobEvent.Launch({
        at,
        keeper: "k",
        bootId: "b",
        stdout: `${log}/stdout.log`,
        stderr: `${log}/stderr.log`,
      }),
    )
    return yield* store.transition(id, JobEvent.Exited({ at, code: 0, stdoutBytes: 100, stderrBytes: 0 }))
  })

const rate = async (count: number, run: () => Promise<unknown>) => {
  const begin = performance.now()
  await run()
  return (count / (performance.now() - begin)) * 1_000
}

const inserting = async (count: number, concurrency: number, synchronous: "full" | "normal", of = spec) => {
  const runtime = open(freshRoot(), synchronous)
  await runtime.runPromise(JobStore)
  const all = Effect.forEach(Array.from({ length: count }), () => insert(of), { concurrency, discard: true })
  const figure = await rate(count, () => runtime.runPromise(all))
  await runtime.dispose()
  return figure
}

/** Transitions: two to a job. */
const finishing = async (count: number, concurrency: number, of = spec) => {
  const runtime = open(freshRoot())
  const ids = await runtime.runPromise(Effect.replicateEffect(insert(of), count))
  const all = Effect.forEach(ids, (id) => finish(id, 1), { concurrency, discard: true })
  const figure = await rate(count * 2, () => runtime.runPromise(all))
  await runtime.dispose()
  return figure
}

const Database = createRequire(import.meta.resolve("@effect/sql-sqlite-node"))("better-sqlite3") as new (
  file: string,
) => Bare

const bareTransactions = async (count: number) => {
  const database = new Database(path.join(directory, `bare-${roots++}.db`))
  database.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (n INTEGER PRIMARY KEY, id TEXT UNIQUE, record TEXT)",
  )
  const row = database.prepare("INSERT INTO t (id, record) VALUES (?, ?)")
  const record = "x".repeat(700)
  const figure = await rate(count, async () => {
    for (let n = 0; n < count; n++) {
      database.exec("BEGIN IMMEDIATE")
      row.run(`01HZX3V9Q4R8N7C2M5K6J${String(n).padStart(5, "0")}`, record)
      database.exec("COMMIT")
    }
  })
  database.close()
  return figure
}

for (const [name, ours] of [
  ["insert, one at a time", () => inserting(500, 1, "full")],
  ["insert, one at a time, synchronous normal", () => inserting(500, 1, "normal")],
  ["insert, 64 at once", () => inserting(2_000, 64, "full")],
  ["insert with a secret, 64 at once", () => inserting(2_000, 64, "full", secretSpec)],
  ["transition, one at a time", () => finishing(250, 1)],
  ["transition, 64 at once", () => finishing(1_000, 64)],
  ["transition with a secret, one at a time", () => finishing(100, 1, secretSpec)],
  ["transition with a secret, 64 at once", () => finishing(1_000, 64, secretSpec)],
] as const) {
  await paired({ name, unit: "/s", rounds: 5, ours, bare: () => bareTransactions(1_000) })
}

/** A store of 100,000 jobs: what a long life leaves. */
const filled = freshRoot()
const filler = open(filled, "normal")
await filler.runPromise(
  Effect.forEach(
    Array.from({ length: 100_000 }, (_, index) => index),
    (index) =>
      Effect.gen(function* () {
        const id = yield* insert({ ...spec, cwd: `/srv/${index % 100}`, tags: [`t${index % 10}`] })
        // One of them in a thousand is waiting still.
        if (index % 1_000 !== 0) yield* finish(id, index)
      }),
    { concurrency: 256, discard: true },
  ),
)
await filler.dispose()
const empty = freshRoot()
await open(empty).dispose()

const time = async (run: () => Promise<unknown>) => {
  const begin = performance.now()
  await run()
  return performance.now() - begin
}

/** Whoever opens it next must find it closed. */
const opening = (root: string) => async () => {
  const runtime = open(root)
  const took = await time(() => runtime.runPromise(JobStore))
  await runtime.dispose()
  return took
}

await paired({
  name: "open, 100,000 jobs / none",
  unit: "ms",
  rounds: 5,
  ours: opening(filled),
  bare: opening(empty),
  atMostMore: 500,
})

const full = open(filled)
const none = open(empty)
const last = (
  await full.runPromise(Effect.flatMap(JobStore, (store) => store.list({ limit: 1_000 })))
).jobs.at(-1)!
const questions: ReadonlyArray<readonly [string, JobQuery]> = [
  ["list", {}],
  ["list, a page further back", { before: last.id }],
  ["list by state (many)", { states: ["exited"] }],
  ["list by state (few)", { states: ["queued", "running"] }],
  ["list by tag", { tags: ["t3"] }],
  ["list by directory", { cwd: "/srv/77" }],
  ["list by two that never meet", { tags: ["t3"], cwd: "/srv/77" }],
  ["list by a time long ago", { until: last.createdAt - 60_000 }],
  ["list by a text that is nowhere", { text: "nowhere" }],
  ["list, 500 to a page", { limit: 500 }],
]
for (const [name, query] of questions) {
  const list = Effect.flatMap(JobStore, (store) => store.list(query))
  await paired({
    name,
    unit: "ms",
    rounds: 9,
    ours: () => time(() => full.runPromise(list)),
    bare: () => time(() => none.runPromise(list)),
    ...(name.includes("text") || name.includes("500") || name.includes("never") ? {} : { atMostMore: 20 }),
  })
}
for (const [name, question] of [
  ["counts", Effect.flatMap(JobStore, (store) => store.counts)],
  ["garbage", Effect.flatMap(JobStore, (store) => store.garbage({ count: 50_000 }))],
] as const) {
  await paired({
    name,
    unit: "ms",
    rounds: 9,
    ours: () => time(() => full.runPromise<unknown, unknown>(question)),
    bare: () => time(() => none.runPromise<unknown, unknown>(question)),
  })
}
await full.dispose()
await none.dispose()
