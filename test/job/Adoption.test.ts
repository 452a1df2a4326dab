/** What one life of the runner leaves to the next: closing its layer stands for the daemon's end. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { JobId } from "../../src/job/JobId.js"
import { lastAttempt } from "../../src/job/JobRecord.js"
import * as Jobs from "../../src/job/JobRunner.js"
import type { JobRunner } from "../../src/job/JobRunner.js"
import { killPid } from "../process/killPid.js"
import { layer, makeRoot, withRunner } from "./runner-support.js"

type Runner = JobRunner["Type"]

/** Waits until the process of a job is known. */
const started = (runner: Runner, id: JobId) =>
  Stream.runHead(
    Stream.filter(
      runner.follow(id),
      (item) => item._tag === "State" && lastAttempt(item.record)?.process !== undefined,
    ),
  )

/** Submits a job and waits until its process is known. */
const begin = (runner: Runner, script: string, options: object = {}) =>
  Effect.gen(function* () {
    const { record } = yield* runner.submit({ command: ["sh", "-c", script], ...options })
    yield* started(runner, record.id)
    return record.id
  })

/** Waits for a file, by asking for it. */
const appears = (path: string) =>
  Effect.repeat(
    Effect.sync(() => fs.existsSync(path)),
    { until: (is) => is, schedule: Schedule.spaced("10 millis") },
  )

const keeperPid = (runner: Runner, id: JobId) =>
  Effect.map(runner.get(id), (record) => (JSON.parse(lastAttempt(record)!.keeper) as { pid: number }).pid)

describe("adoption", () => {
  it.scopedLive("tells code 137 from KILL, though nobody was there", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const ids = yield* withRunner(root, (runner) =>
        Effect.all([
          begin(runner, `while [ ! -e ${root}/go ]; do sleep 0.02; done; exit 137`),
          begin(runner, `while [ ! -e ${root}/go ]; do sleep 0.02; done; kill -KILL $$`),
        ]),
      )
      fs.writeFileSync(join(root, "go"), "")
      // The keeper notes an end by itself.
      for (const id of ids) {
        const run = join(root, "jobs", id, "run")
        yield* Effect.repeat(
          Effect.sync(() => fs.readFileSync(run, "utf8").trim().split("\n").length),
          { until: (lines) => lines === 2, schedule: Schedule.spaced("10 millis") },
        )
      }
      const states = yield* withRunner(root, (runner) =>
        Effect.forEach(ids, (id) => Effect.map(runner.wait(id), ({ record }) => record.state)),
      )
      assert.deepInclude(states[0], { _tag: "exited", code: 137 })
      assert.deepInclude(states[1], { _tag: "killed", signal: "SIGKILL", cause: "signal" })
    }),
  )

  it.scopedLive("counts the timeout from the original start", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const id = yield* withRunner(root, (runner) => begin(runner, "sleep 103", { timeout: "4s" }))
      // Counted from the adoption it would take so much longer.
      yield* Effect.sleep("1500 millis")
      const [elapsed, record] = yield* withRunner(root, (runner) =>
        Effect.map(
          runner.wait(id),
          ({ record }) =>
            [(record.state as { at: number }).at - lastAttempt(record)!.startedAt!, record] as const,
        ),
      )
      assert.deepInclude(record.state, { _tag: "killed", signal: "SIGTERM", cause: "timeout" })
      assert.isAtLeast(elapsed, 3_900)
      assert.isBelow(elapsed, 5_400)
    }),
  )

  it.scopedLive("enforces at once a timeout that is over", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const id = yield* withRunner(root, (runner) => begin(runner, "sleep 104", { timeout: "300ms" }))
      yield* Effect.sleep("400 millis")
      const { record } = yield* withRunner(root, (runner) => runner.wait(id))
      assert.deepInclude(record.state, { _tag: "killed", cause: "timeout" })
    }),
  )

  it.scopedLive("goes on with a stop that was begun", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const id = yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          const id = yield* begin(runner, `trap '' TERM; touch ${root}/ready; while :; do sleep 0.05; done`, {
            killAfter: "1s",
          })
          yield* appears(join(root, "ready"))
          yield* Effect.fork(runner.kill(id))
          yield* Effect.repeat(
            Effect.map(runner.get(id), (record) => lastAttempt(record)?.stopping),
            {
              until: (stopping) => stopping !== undefined,
              schedule: Schedule.spaced("10 millis"),
            },
          )
          return id
        }),
      )
      const { record } = yield* withRunner(root, (runner) => runner.wait(id))
      assert.deepInclude(record.state, { _tag: "killed", signal: "SIGKILL", cause: "stopped" })
    }),
  )

  it.scopedLive("loses a job whose keeper was killed, once its process is gone, and says so", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          const id = yield* begin(runner, `echo before; while [ ! -e ${root}/go ]; do sleep 0.02; done`)
          killPid(yield* keeperPid(runner, id), "SIGKILL")
          assert.strictEqual((yield* runner.get(id)).state._tag, "running")
          fs.writeFileSync(join(root, "go"), "")
          const { record } = yield* runner.wait(id)
          assert.deepInclude(record.state, { _tag: "lost", cause: "lost" })
          assert.match((record.state as { why: string }).why, /keeper/)
          assert.strictEqual((yield* runner.tail(id)).stdout.text, "before\n")
          // Another keeper takes its place.
          const next = yield* runner.submit({ command: ["true"] })
          assert.deepInclude((yield* runner.wait(next.record.id)).record.state, { _tag: "exited", code: 0 })
        }),
      )
    }),
  )

  it.scopedLive("can still stop a job whose keeper was killed", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          const id = yield* begin(runner, "sleep 105")
          killPid(yield* keeperPid(runner, id), "SIGKILL")
          const { record } = yield* runner.kill(id)
          assert.strictEqual(record.state._tag, "lost")
        }),
      )
    }),
  )

  it.scopedLive("leaves no secret behind, neither on disk nor in an argument", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          const secret = "s3cr3t-of-the-test-0815"
          const { record } = yield* runner.submit({
            command: [
              "sh",
              "-c",
              `test "$TOKEN" = "$(cat)" && touch ok; while [ ! -e ${root}/go ]; do sleep 0.02; done`,
            ],
            cwd: root,
            env: { TOKEN: secret },
            mask: ["TOKEN"],
            stdin: { text: secret },
          })
          yield* started(runner, record.id)
          yield* appears(join(root, "ok"))
          const files = fs.readdirSync(root, { recursive: true, withFileTypes: true })
          for (const file of files) {
            if (!file.isFile()) continue
            const text = fs.readFileSync(join(file.parentPath ?? file.path, file.name), "latin1")
            assert.notInclude(text, secret, file.name)
          }
          for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
            try {
              assert.notInclude(fs.readFileSync(`/proc/${pid}/cmdline`, "latin1"), secret)
            } catch (cause) {
              if ((cause as NodeJS.ErrnoException).code === undefined) throw cause
            }
          }
          fs.writeFileSync(join(root, "go"), "")
          assert.deepInclude((yield* runner.wait(record.id)).record.state, { _tag: "exited", code: 0 })
        }),
      )
    }),
  )
})

describe("the queue of the runner", () => {
  it.scopedLive("keeps to a group's parallelism, pauses and goes on", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          yield* runner.setGroup("build", { parallelism: 2, paused: true })
          const ids = yield* Effect.forEach(Array.from({ length: 6 }), () =>
            Effect.map(
              runner.submit({ command: ["sh", "-c", "echo + ; sleep 0.1"], group: "build" }),
              ({ record }) => record.id,
            ),
          )
          assert.strictEqual((yield* runner.why(ids[0]!))[0]?.kind, "group-paused")
          let most = 0
          let running = 0
          const watching = yield* Effect.fork(
            Stream.runForEach(runner.changes, ({ attempts, state }) =>
              Effect.sync(() => {
                if (state._tag === "running" && attempts[0]?.process === undefined) running += 1
                if (state._tag === "exited") running -= 1
                most = Math.max(most, running)
              }),
            ),
          )
          yield* Effect.yieldNow()
          yield* runner.setGroup("build", { paused: false })
          for (const id of ids) assert.deepInclude((yield* runner.wait(id)).record.state, { code: 0 })
          assert.strictEqual(most, 2)
          yield* Fiber.interrupt(watching)
        }),
      )
    }),
  )

  it.scopedLive("tries again as often as it is told to, and keeps each log", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          const { record } = yield* runner.submit({
            command: [
              "sh",
              "-c",
              'n=$(cat n 2>/dev/null || echo 0); echo try $n; echo $((n+1)) > n; [ "$n" -ge 2 ]',
            ],
            cwd: root,
            retries: 5,
            backoff: { delay: "10ms" },
          })
          const ended = (yield* runner.wait(record.id)).record
          assert.deepInclude(ended.state, { _tag: "exited", code: 0 })
          const logs = yield* Effect.forEach([1, 2, 3], (attempt) =>
            Effect.map(runner.tail(record.id, { attempt }), ({ stdout }) => stdout.text),
          )
          assert.deepStrictEqual(logs, ["try 0\n", "try 1\n", "try 2\n"])
        }),
      )
    }),
  )

  it.scopedLive("starts a job after another one, or refuses it when that failed", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          const first = (yield* runner.submit({ command: ["sh", "-c", "sleep 0.1; exit 1"] })).record.id
          const needs = (yield* runner.submit({ command: ["true"], after: [{ job: first }] })).record.id
          const follows = (yield* runner.submit({ command: ["true"], after: [{ job: first, when: "end" }] }))
            .record.id
          assert.deepInclude((yield* runner.wait(needs)).record.state, {
            _tag: "failed",
            cause: "dependency",
          })
          assert.deepInclude((yield* runner.wait(follows)).record.state, { _tag: "exited", code: 0 })
        }),
      )
    }),
  )

  it.scopedLive("deletes what is over with its folder, and collects the rest", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          const ids = yield* Effect.forEach([1, 2, 3], () =>
            Effect.gen(function* () {
              const { record } = yield* runner.submit({ command: ["echo", "x"] })
              yield* runner.wait(record.id)
              return record.id
            }),
          )
          yield* runner.remove(ids[0]!)
          assert.isFalse(fs.existsSync(join(root, "jobs", ids[0]!)))
          assert.lengthOf((yield* runner.collect({ count: 1 }, { dryRun: true })).removed, 1)
          assert.deepStrictEqual((yield* runner.collect({ count: 1 })).removed, [ids[1]!])
          assert.deepStrictEqual(
            (yield* runner.list()).jobs.map(({ id }) => id),
            [ids[2]!],
          )
        }),
      )
    }),
  )

  it.scopedLive("deletes by itself what is not to be kept", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const ids = yield* withRunner(root, (runner) =>
        Effect.forEach([1, 2, 3], () =>
          Effect.gen(function* () {
            const { record } = yield* runner.submit({ command: ["true"] })
            return (yield* runner.wait(record.id)).record.id
          }),
        ),
      )
      yield* Effect.provide(
        Effect.gen(function* () {
          const runner = yield* Jobs.JobRunner
          // The record goes after the folder.
          const { jobs } = yield* Effect.repeat(Effect.delay(runner.list(), "10 millis"), {
            until: (page) => page.jobs.length === 1,
          })
          assert.deepStrictEqual(
            jobs.map(({ id }) => id),
            [ids[2]!],
          )
          assert.deepStrictEqual(fs.readdirSync(join(root, "jobs")), [ids[2]!])
        }),
        layer(root, { keep: { count: 1 } }),
      )
    }),
  )
})
