/** A disk without room: what runs goes on, what is new is refused with "try again", and nothing is damaged. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import type { TestContext } from "vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { JobId } from "../../src/job/JobId.js"
import type { JobRunner } from "../../src/job/JobRunner.js"
import { JobStore } from "../../src/job/JobStore.js"
import * as Trash from "../../src/job/run/Trash.js"
import * as Reserve from "../../src/job/store/Reserve.js"
import * as SqliteJobStore from "../../src/job/SqliteJobStore.js"
import * as StoreLock from "../../src/job/StoreLock.js"
import { fill } from "./full-disk.js"
import { makeRoot, runShell, smallDisk, withRunner } from "./runner-support.js"

const onSmallDisk = <A, E>(what: string, body: (disk: string) => Effect.Effect<A, E, Scope.Scope>) =>
  it.scopedLive(what, (context: TestContext) =>
    Effect.gen(function* () {
      const disk = yield* smallDisk(yield* makeRoot)
      if (disk === undefined) return context.skip("no file system can be mounted here")
      return yield* body(disk)
    }),
  )

/** A job whose output fills so many bytes. */
const noisy = (runner: JobRunner["Type"], bytes: number) =>
  runShell(runner, `head -c ${bytes} /dev/zero`, { cwd: "/" })

/** Whether anything is left of a job's files. */
const isLeft = (root: string, id: string) =>
  fs.existsSync(join(root, "jobs", id)) || fs.existsSync(join(root, "trash", id))

for (const keeper of ["perl", "node"] as const) {
  describe(`a full disk, with the ${keeper} keeper`, () => {
    it.scopedLive("refuses new jobs, and loses nothing of those that run", (context) =>
      Effect.gen(function* () {
        const directory = yield* makeRoot
        const disk = yield* smallDisk(directory)
        if (disk === undefined) return context.skip("no file system can be mounted here")
        const root = join(disk, "root")
        const go = join(directory, "go")
        const script = `echo before; while [ ! -e ${go} ]; do sleep 0.02; done; echo after; exit 5`
        const id = yield* withRunner(
          root,
          (runner) =>
            Effect.gen(function* () {
              const running = (yield* runner.submit({ command: ["sh", "-c", script], cwd: directory })).record
                .id
              yield* runner.wait(running, { for: { pattern: "before" } })
              // Accepted, and not to be started before there is room again.
              yield* runner.setGroup("later", { paused: true })
              const queued = (yield* runner.submit({ command: ["echo", "late"], group: "later" })).record.id
              fill(join(disk, "ballast"))
              const refused = yield* Effect.flip(
                runner.submit({ command: ["true"], env: { FILL: "x".repeat(100_000) } }),
              )
              assert.strictEqual(refused._tag, "StoreFull")
              fs.writeFileSync(go, "")
              // Its end is noted, though nothing can be stored.
              const run = join(root, "jobs", running, "run")
              yield* Effect.repeat(
                Effect.sync(() => fs.readFileSync(run, "latin1")),
                { until: (text) => /^code 5 /m.test(text), schedule: Schedule.spaced("10 millis") },
              )
              fs.rmSync(join(disk, "ballast"))
              const { record } = yield* runner.wait(running)
              assert.deepInclude(record.state, { _tag: "exited", code: 5 })
              yield* runner.setGroup("later", { paused: false })
              assert.deepInclude((yield* runner.wait(queued)).record.state, { _tag: "exited", code: 0 })
              assert.strictEqual((yield* runner.tail(queued)).stdout.text, "late\n")
              return running
            }),
          keeper,
        )
        const { state } = yield* withRunner(root, (runner) => runner.get(id), keeper)
        assert.deepInclude(state, { _tag: "exited", code: 5 })
      }),
    )
  })
}

describe("deleting on a full disk", () => {
  onSmallDisk("an old job goes, and there is room again", (disk) =>
    withRunner(join(disk, "root"), (runner) =>
      Effect.gen(function* () {
        const { id } = yield* noisy(runner, 500_000)
        fill(join(disk, "ballast"))
        assert.strictEqual((yield* Effect.flip(runner.submit({ command: ["true"] })))._tag, "StoreFull")
        assert.strictEqual((yield* runner.remove(id)).id, id)
        assert.strictEqual((yield* Effect.flip(runner.get(id)))._tag, "JobNotFound")
        yield* Effect.repeat(
          Effect.sync(() => isLeft(join(disk, "root"), id)),
          { while: (is) => is, schedule: Schedule.spaced("5 millis") },
        )
        assert.deepInclude((yield* runShell(runner, "exit 4", { cwd: "/" })).state, { code: 4 })
      }),
    ),
  )

  onSmallDisk("the one that filled it, too, whose end is stored in what is kept for that", (disk) =>
    withRunner(join(disk, "root"), (runner) =>
      Effect.gen(function* () {
        const { id, state } = yield* Effect.timeout(noisy(runner, 20_000_000), "10 seconds")
        assert.deepInclude(state, { _tag: "exited", code: 1 })
        yield* runner.remove(id)
        assert.deepStrictEqual((yield* runner.list()).jobs, [])
      }),
    ),
  )

  onSmallDisk("one without output goes too, and what is kept for that is there again afterwards", (disk) =>
    withRunner(join(disk, "root"), (runner) =>
      Effect.gen(function* () {
        const [first, second, third] = yield* Effect.replicateEffect(
          runShell(runner, "true", { cwd: "/" }),
          3,
        )
        fill(join(disk, "ballast"))
        yield* runner.remove(first!.id)
        yield* runner.remove(second!.id)
        assert.deepStrictEqual((yield* runner.collect({ count: 0 })).removed, [third!.id])
        assert.isTrue(fs.existsSync(Reserve.pathIn(join(disk, "root"))))
      }),
    ),
  )

  onSmallDisk("where nothing is kept for it, the output makes the room", (disk) =>
    withRunner(join(disk, "root"), (runner) =>
      Effect.gen(function* () {
        const root = join(disk, "root")
        const { id } = yield* noisy(runner, 500_000)
        fs.rmSync(Reserve.pathIn(root))
        // No folder can be made either.
        fs.rmSync(join(root, "trash"), { recursive: true, force: true })
        fill(join(disk, "ballast"))
        yield* runner.remove(id)
        assert.strictEqual((yield* Effect.flip(runner.get(id)))._tag, "JobNotFound")
        yield* Effect.repeat(
          Effect.sync(() => isLeft(root, id)),
          { while: (is) => is, schedule: Schedule.spaced("5 millis") },
        )
      }),
    ),
  )

  onSmallDisk("all that need not be kept goes, though some of it alone makes no room", (disk) =>
    withRunner(join(disk, "root"), (runner) =>
      Effect.gen(function* () {
        const quiet = yield* runShell(runner, "true", { cwd: "/" })
        const loud = yield* noisy(runner, 500_000)
        fs.rmSync(Reserve.pathIn(join(disk, "root")))
        fill(join(disk, "ballast"))
        const { removed } = yield* runner.collect({ count: 0 })
        assert.sameMembers([...removed], [quiet.id, loud.id])
        assert.deepStrictEqual((yield* runner.list()).jobs, [])
      }),
    ),
  )

  onSmallDisk("where nothing helps it fails, and the jobs are still there to be deleted", (disk) =>
    withRunner(join(disk, "root"), (runner) =>
      Effect.gen(function* () {
        const jobs = yield* Effect.replicateEffect(runShell(runner, "true", { cwd: "/" }), 2)
        fs.rmSync(Reserve.pathIn(join(disk, "root")))
        const ballast = join(disk, "ballast")
        fill(ballast)
        // Whatever room is made is gone at once.
        const eating = Effect.acquireRelease(
          Effect.sync(() => setInterval(() => fill(ballast), 0)),
          (eater) => Effect.sync(() => clearInterval(eater)),
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* eating
            const collected = yield* Effect.flip(runner.collect({ count: 0 })).pipe(
              Effect.timeout("10 seconds"),
            )
            assert.strictEqual(collected._tag, "StoreFull")
            assert.strictEqual((yield* Effect.flip(runner.remove(jobs[0]!.id)))._tag, "StoreFull")
          }),
        )
        assert.strictEqual((yield* runner.list()).jobs.length, 2)
        fs.rmSync(ballast)
        assert.strictEqual((yield* runner.collect({ count: 0 })).removed.length, 2)
      }),
    ),
  )
})

describe("a program that dies while it deletes a job", () => {
  const steps: Readonly<
    Record<string, (root: string, id: JobId) => Effect.Effect<unknown, unknown, JobStore>>
  > = {
    "the folder is in the trash": Trash.put,
    "the output was given up to make room": (root, id) =>
      Effect.zipRight(Trash.put(root, id), Trash.empty(root)),
    "the output was deleted where it was, as it could not be moved": Trash.erase,
    "the record is gone, and the folder is in the trash": (root, id) =>
      Effect.zipRight(
        Trash.put(root, id),
        Effect.flatMap(JobStore, (store) => store.remove(id)),
      ),
    "what is kept for deletions was given up": (root, id) =>
      Effect.sync(() => {
        Reserve.beside(join(root, "jobs.db")).release()
        return id
      }),
  }
  for (const [step, run] of Object.entries(steps)) {
    it.scopedLive(`leaves nothing that cannot be deleted by the next one: ${step}`, () =>
      Effect.gen(function* () {
        const root = yield* makeRoot
        const id = yield* withRunner(root, (runner) => Effect.map(noisy(runner, 10_000), (job) => job.id))
        // As it died there: nothing after it was done.
        yield* Effect.provide(run(root, id), Layer.fresh(SqliteJobStore.layer({ root })))
        yield* withRunner(root, (runner) =>
          Effect.gen(function* () {
            const found = yield* Effect.option(runner.remove(id))
            assert.strictEqual(Option.isNone(found), step.startsWith("the record is gone"))
            assert.deepStrictEqual((yield* runner.list()).jobs, [])
          }),
        )
        yield* withRunner(root, () => Effect.void)
        assert.isFalse(isLeft(root, id))
        assert.strictEqual(fs.statSync(Reserve.pathIn(root)).size, 262_144)
      }),
    )
  }
})

describe("starting on a full disk", () => {
  const open = (root: string) =>
    Effect.flatMap(JobStore, (store) => store.announce("http://127.0.0.1:19263")).pipe(
      Effect.zipRight(StoreLock.ownerOf(root)),
      Effect.provide(Layer.fresh(SqliteJobStore.layer({ root }))),
    )

  onSmallDisk("the one before has ended in order", (disk) =>
    Effect.gen(function* () {
      const root = join(disk, "root")
      const { id } = yield* withRunner(root, (runner) => noisy(runner, 500_000))
      fill(join(disk, "ballast"))
      for (let time = 0; time < 3; time++) {
        const owner = yield* open(root)
        assert.deepInclude(owner, { pid: process.pid, address: "http://127.0.0.1:19263" })
        assert.isUndefined(yield* StoreLock.ownerOf(root))
        fill(join(disk, "ballast"))
      }
      yield* withRunner(root, (runner) => runner.remove(id))
    }),
  )

  onSmallDisk("the one before was killed", (disk) =>
    Effect.gen(function* () {
      const root = join(disk, "root")
      yield* withRunner(root, (runner) => noisy(runner, 500_000))
      const killed = { pid: 1, startTime: "1", bootId: "b", address: "x".repeat(200), since: 1 }
      fs.writeFileSync(join(root, "daemon.json"), JSON.stringify(killed), { mode: 0o600 })
      fs.rmSync(join(root, "daemon.json.spare"), { force: true })
      fill(join(disk, "ballast"))
      const owner = yield* open(root)
      assert.deepInclude(owner, { pid: process.pid, address: "http://127.0.0.1:19263" })
      const left = fs.readdirSync(root).filter((name) => name.startsWith("daemon"))
      assert.deepStrictEqual(left, ["daemon.json.spare"])
    }),
  )

  onSmallDisk("in a root that never had one, it says what there is no room for, and leaves nothing", (disk) =>
    Effect.gen(function* () {
      const root = join(disk, "root")
      fs.mkdirSync(root)
      fill(join(disk, "ballast"))
      const refused = yield* Effect.flip(Effect.scoped(StoreLock.acquire(root)))
      assert.deepInclude(refused, { _tag: "StoreFailed", retryable: true })
      assert.include(refused.message, join(root, "daemon.json"))
      assert.include(refused.message, "Free some space")
      assert.deepStrictEqual(
        fs.readdirSync(root).filter((name) => name.startsWith("daemon")),
        [],
      )
    }),
  )
})

describe("the trash", () => {
  it.scopedLive("takes folders while it is being emptied", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const ids = Array.from({ length: 400 }, (_, index) => `J${index}` as JobId)
      for (const id of ids) {
        fs.mkdirSync(join(root, "jobs", id), { recursive: true })
        fs.writeFileSync(join(root, "jobs", id, "stdout.log"), "")
      }
      yield* Effect.forEach(ids, (id) => Effect.zipRight(Trash.put(root, id), Trash.empty(root)), {
        concurrency: 4,
        discard: true,
      })
      assert.deepStrictEqual(fs.readdirSync(join(root, "jobs")), [])
      assert.deepStrictEqual(fs.readdirSync(join(root, "trash")), [])
    }),
  )
})
