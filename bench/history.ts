/**
 * What does a long life cost? A daemon whose store has 100,000 finished jobs, and an event log as long as it gets,
 * against one that has none: from its spawn until it listens, a page of the list, and the memory that it holds after
 * the same questions. (The jobs have no folders: neither the start nor the list looks into them.) Linux only: memory is
 * read in /proc.
 */
import * as Effect from "effect/Effect"
import * as EventLog from "../src/event/EventLog.js"
import { JobEvent } from "../src/job/JobEvent.js"
import * as JobId from "../src/job/JobId.js"
import * as JobSpec from "../src/job/JobSpec.js"
import { JobStore } from "../src/job/JobStore.js"
import * as SqliteJobStore from "../src/job/SqliteJobStore.js"
import * as SqlTables from "../src/job/store/SqlTables.js"
import * as StoreFile from "../src/job/store/StoreFile.js"
import * as Daemon from "./daemon.js"
import { limited, median, paired } from "./harness.js"

const jobs = 100_000

/** A finished job, made as all are. */
const finished = Effect.gen(function* () {
  const store = yield* JobStore
  const spec = yield* JobSpec.make({ command: ["make", "-C", "/srv/build", "all"], timeout: "10m" })
  const { record } = yield* store.insert(spec)
  const log = `jobs/${record.id}`
  const files = { stdout: `${log}/stdout.log`, stderr: `${log}/stderr.log` }
  const at = Date.now()
  yield* store.transition(record.id, JobEvent.Launch({ at, keeper: "k", bootId: "b", ...files }))
  return yield* store.transition(
    record.id,
    JobEvent.Exited({ at, code: 0, stdoutBytes: 100, stderrBytes: 0 }),
  )
})

/** As the store writes them, but all of them in one transaction. */
const fill = (root: string) =>
  Effect.gen(function* () {
    const record = yield* Effect.provide(finished, SqliteJobStore.layer({ root, inherited: {} }))
    const database = yield* StoreFile.open(StoreFile.pathIn(root), { synchronous: "normal" })
    const tables = SqlTables.make(database, () => {})
    const events = yield* EventLog.make({ root })
    const nextId = JobId.factory()
    yield* database.run("BEGIN")
    for (let index = 1; index < jobs; index++) {
      const id = yield* nextId
      const spec = { ...record.spec, cwd: `/srv/${index % 100}`, tags: [`t${index % 10}`] }
      yield* tables.add({ ...record, id, spec }, undefined)
      for (const state of ["queued", "running", "exited"])
        yield* events.append(`job.${state}`, id, { job_id: id, state })
      if (index % 1_000 === 0) yield* events.flush
    }
    yield* database.run("COMMIT")
  }).pipe(Effect.scoped)

const filled = Daemon.temporary()
const empty = Daemon.temporary()
await Effect.runPromise(fill(filled))

const startUp = async (root: string): Promise<number> => {
  const daemon = await Daemon.start(root)
  await daemon.stop()
  return daemon.startedIn
}

await paired({
  name: "start of the daemon, 100,000 jobs / none",
  unit: "ms",
  rounds: 7,
  ours: () => startUp(filled),
  bare: () => startUp(empty),
  atMostMore: 500,
})

const pages = ["", "state=exited", "state=queued,running", "tag=t3", "cwd=/srv/77"]
const first = await Daemon.start(filled)
const page = async (query: string): Promise<number> => {
  const begin = performance.now()
  await first.ask("GET", `/jobs?${query}`)
  return performance.now() - begin
}
const { jobs: newest } = await first.ask("GET", "/jobs?limit=1000")
if (newest.length !== 1_000) throw new Error(`a page of ${newest.length} jobs`)
for (const [name, query] of [
  ["GET /jobs", ""],
  ["GET /jobs, further back", `before=${newest.at(-1).job_id}`],
  ["GET /jobs, by state", "state=exited"],
  ["GET /jobs, by tag", "tag=t3"],
  ["GET /jobs, by directory", "cwd=/srv/77"],
] as const) {
  const figures: Array<number> = []
  for (let round = 0; round < 40; round++) figures.push(await page(query))
  // The first ones run code that is not compiled yet.
  limited({ name, unit: "ms", figures: figures.slice(10), atMost: 20 })
}
await first.stop()

/** What a daemon holds after a while of the same questions, in MB: the middle of what it holds in the next second. */
const resident = async (root: string): Promise<number> => {
  const daemon = await Daemon.start(root)
  for (let round = 0; round < 4; round++) for (const query of pages) await daemon.ask("GET", `/jobs?${query}`)
  const figures: Array<number> = []
  for (let i = 0; i < 5; i++) {
    await Daemon.sleep(200)
    figures.push(Daemon.residentMegabytes(daemon.pid))
  }
  await daemon.stop()
  return median(figures)
}

await paired({
  name: "resident memory, 100,000 jobs / none",
  unit: "MB",
  rounds: 3,
  ours: () => resident(filled),
  bare: () => resident(empty),
  atMostMore: 30,
})
