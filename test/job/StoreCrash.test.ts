/** What has been answered is there, whenever the program is killed: the store in a process of its own. */
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import { JobEvent } from "../../src/job/JobEvent.js"
import type { JobId } from "../../src/job/JobId.js"
import { JobStore } from "../../src/job/JobStore.js"
import * as SqliteJobStore from "../../src/job/SqliteJobStore.js"
import * as Support from "./support.js"

const dist = (name: string) => JSON.stringify(pathToFileURL(resolve("dist/job", `${name}.js`)).href)

/** Takes and runs jobs without end, eight at a time, and writes down what it was told: id and revision. */
const busy = `
import { writeSync } from "node:fs"
import * as Effect from "effect/Effect"
import { JobEvent } from ${dist("JobEvent")}
import * as JobSpec from ${dist("JobSpec")}
import { JobStore } from ${dist("JobStore")}
import * as SqliteJobStore from ${dist("SqliteJobStore")}
const tell = (record) => writeSync(1, record.id + " " + record.revision + " " + record.state._tag + "\\n")
const one = Effect.gen(function* () {
  const store = yield* JobStore
  const spec = yield* JobSpec.make({ command: ["true"], cwd: "/", env: { TOKEN: "crash-secret-word" }, mask: ["TOKEN"], tags: ["t"] })
  const { record } = yield* store.insert(spec)
  tell(record)
  const at = Date.now()
  const process = { pid: 4711, startTime: "1", bootId: "b" }
  for (const event of [
    JobEvent.Launch({ at, keeper: "k", bootId: "b", stdout: "o", stderr: "e" }),
    JobEvent.Started({ at, process }),
    JobEvent.Exited({ at, code: 0 }),
  ]) tell(yield* store.transition(record.id, event))
})
await Effect.runPromise(Effect.provide(
  Effect.forEach(Array.from({ length: 8 }), () => Effect.forever(one), { concurrency: "unbounded", discard: true }),
  SqliteJobStore.layer({ root: process.argv[1], inherited: {} }),
))
`

/** In this directory, beside the dependencies. */
const evaluate = ["--input-type=module", "--eval"]

/** Runs the program until it has said `lines` lines, kills it, and gives all it had said. */
const killedAfter = (root: string, lines: number) =>
  Effect.async<{ readonly pid: number; readonly said: ReadonlyArray<string> }>((resume) => {
    const child = spawn(process.execPath, [...evaluate, busy, root], { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    let isKilled = false
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk
      if (!isKilled && text.split("\n").length > lines) {
        isKilled = true
        child.kill("SIGKILL")
      }
    })
    child.on("close", () => {
      const said = text.split("\n").slice(0, -1)
      resume(
        isKilled ? Effect.succeed({ pid: child.pid!, said }) : Effect.die(new Error("it ended by itself")),
      )
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const scoped = <A, E>(what: string, body: (directory: string) => Effect.Effect<A, E, Scope.Scope>) =>
  it.scopedLive(what, () => Effect.flatMap(Support.temporary, body), 60_000)

describe("a store whose program is killed", () => {
  scoped("has everything that was answered, at the moment it is opened again", (directory) =>
    Effect.gen(function* () {
      const root = join(directory, "root")
      const told = new Map<string, number>()
      for (const lines of [1, 40, 173, 400]) {
        const { said } = yield* killedAfter(root, lines)
        for (const line of said) {
          const [id, revision] = line.split(" ")
          told.set(id!, Number(revision))
        }
        yield* Effect.provide(
          Effect.gen(function* () {
            const store = yield* JobStore
            for (const [id, revision] of told) {
              assert.isAtLeast((yield* store.get(id as JobId)).revision, revision, id)
            }
            assert.deepStrictEqual(yield* store.unreadable, [])
            // Nothing half-done: every record is where the lists look for it.
            const counts = yield* store.counts
            const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
            const { jobs } = yield* store.list({ limit: 1_000, tags: ["t"] })
            assert.strictEqual(jobs.length, Math.min(total, 1_000))
            for (const { id, state } of jobs) {
              // So that in the end no secret is needed any more.
              if (state._tag === "queued")
                yield* store.transition(id, JobEvent.Cancel({ at: 1, signal: "SIGTERM" }))
              if (state._tag === "running")
                yield* store.transition(id, JobEvent.Lose({ at: 1, why: "killed", cause: "lost" }))
            }
            for (const name of ["jobs.db", "jobs.db-wal"])
              assert.isFalse(readFileSync(join(root, name)).includes("crash-secret-word"), name)
          }),
          SqliteJobStore.layer({ root, inherited: {} }),
        )
      }
      assert.isAbove(told.size, 100)
    }),
  )

  scoped("was not to be had by anybody else, and is at once", (directory) =>
    Effect.gen(function* () {
      const root = join(directory, "root")
      const child = spawn(process.execPath, [...evaluate, busy, root], {
        stdio: ["ignore", "pipe", "inherit"],
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
      const ended = new Promise((resume) => child.on("close", resume))
      yield* Effect.promise(() => new Promise((resume) => child.stdout.once("data", resume)))
      child.stdout.resume()
      const open = Effect.provide(JobStore, SqliteJobStore.layer({ root }))
      const refused = yield* Effect.flip(open)
      assert.deepInclude(refused, { _tag: "StoreLocked", pid: child.pid! })
      child.kill("SIGKILL")
      yield* Effect.promise(() => ended)
      yield* open
    }),
  )
})

const canMount = process.platform === "linux" && process.getuid?.() === 0

describe("a store on a full disk", () => {
  it.scopedLive.skipIf(!canMount)("refuses what is new for the time being, and loses nothing", () =>
    Effect.gen(function* () {
      const directory = yield* Support.temporary
      const disk = join(directory, "disk")
      mkdirSync(disk)
      const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "holdfast-test", disk])
      // Root in a container may not be allowed to.
      if (mounted.status !== 0) return
      yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", ["-l", disk])))
      const root = join(disk, "root")
      writeFileSync(join(disk, "ballast"), new Uint8Array(2_100_000))
      const spec = yield* Support.spec({ env: { FILL: "x".repeat(20_000) } })
      const layer = SqliteJobStore.layer({ root, inherited: {} })
      const stored = yield* Effect.provide(
        Effect.gen(function* () {
          const store = yield* JobStore
          const stored: Array<JobId> = []
          while (true) {
            const outcome = yield* Effect.either(
              Effect.all([store.insert(spec), store.insert(spec)], { concurrency: 2 }),
            )
            if (Either.isLeft(outcome)) {
              assert.deepInclude(outcome.left, { _tag: "StoreFull", retryable: true })
              break
            }
            stored.push(...outcome.right.map(({ record }) => record.id))
          }
          for (const id of stored) assert.strictEqual((yield* store.get(id)).id, id)
          return stored
        }),
        layer,
      )
      assert.isAbove(stored.length, 5)
      // Filled to the last byte, by others.
      spawnSync("sh", ["-c", `cat /dev/zero > ${join(disk, "filler")}`], { stdio: "ignore" })
      const full = yield* Effect.either(
        Effect.provide(
          Effect.flatMap(JobStore, (store) => store.insert(spec)),
          layer,
        ),
      )
      assert.isTrue(Either.isLeft(full))
      if (Either.isLeft(full)) assert.strictEqual(full.left._tag, "StoreFull", full.left.message)
      spawnSync("rm", [join(disk, "filler"), join(disk, "ballast")])
      yield* Effect.provide(
        Effect.gen(function* () {
          const store = yield* JobStore
          for (const id of stored) assert.strictEqual((yield* store.get(id)).id, id)
          assert.deepStrictEqual(yield* store.unreadable, [])
          yield* store.transition(stored[0]!, JobEvent.Cancel({ at: 1, signal: "SIGTERM" }))
          yield* store.remove(stored[0]!)
          yield* store.insert(yield* Support.spec())
        }),
        layer,
      )
    }),
  )
})
