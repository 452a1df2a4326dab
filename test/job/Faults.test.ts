/** What was found by people who tried to break the runner. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Jobs from "../../src/job/JobRunner.js"
import { lastAttempt } from "../../src/job/JobRecord.js"
import * as Notifier from "../../src/job/Notifier.js"
import * as SqliteJobStore from "../../src/job/SqliteJobStore.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { isAlive } from "../process/support.js"
import { fill } from "./full-disk.js"
import { makeRoot, runShell, smallDisk, withRunner } from "./runner-support.js"

const every10ms = Schedule.spaced("10 millis")

const polled = <A, E>(effect: Effect.Effect<A, E>, isIt: (value: A) => boolean): Effect.Effect<A, E> =>
  Effect.flatMap(effect, (value) =>
    isIt(value) ? Effect.succeed(value) : Effect.delay(polled(effect, isIt), "10 millis"),
  )

const begin = (runner: Jobs.JobRunner["Type"], script: string, options: object = {}) =>
  Effect.gen(function* () {
    const { record } = yield* runner.submit({ command: ["sh", "-c", `echo begun; ${script}`], ...options })
    yield* runner.wait(record.id, { for: { pattern: "begun" } })
    return yield* polled(runner.get(record.id), (record) => lastAttempt(record)?.process !== undefined)
  })

describe("the runner", () => {
  it.scopedLive("stops jobs and keeps to timeouts though the disk is full", (context) =>
    Effect.gen(function* () {
      const directory = yield* makeRoot
      const disk = yield* smallDisk(directory)
      if (disk === undefined) return context.skip("no file system can be mounted here")
      yield* withRunner(join(disk, "root"), (runner) =>
        Effect.gen(function* () {
          const options = { cwd: directory, env: { FILL: "x".repeat(20_000) } }
          const killed = yield* begin(runner, "sleep 201", options)
          const timed = yield* begin(runner, "sleep 202", { ...options, timeout: "1s" })
          fill(join(disk, "ballast"))
          // So that not even the room within the database is left.
          yield* Effect.forever(runner.submit({ command: ["true"], env: { FILL: "y".repeat(30_000) } })).pipe(
            Effect.flip,
          )
          const report = yield* runner.kill(killed.id, { signal: "SIGKILL" })
          assert.deepStrictEqual(report.stop?.survivors, [])
          const pid = lastAttempt(timed)!.process!.pid
          yield* Effect.repeat(
            Effect.sync(() => isAlive(pid)),
            { until: (is) => !is, schedule: every10ms },
          )
          fs.rmSync(join(disk, "ballast"))
          assert.deepInclude((yield* runner.wait(killed.id)).record.state, {
            signal: "SIGKILL",
            cause: "stopped",
          })
          assert.deepInclude((yield* runner.wait(timed.id)).record.state, { cause: "timeout" })
        }),
      )
    }),
  )

  for (const [damage, harm] of [
    ["its notes are a directory", (run: string) => (fs.rmSync(run), fs.mkdirSync(run))],
    ["its notes are a FIFO", (run: string) => (fs.rmSync(run), void spawnSync("mkfifo", [run]))],
    [
      "its folder is a file",
      (run: string) => (
        fs.rmSync(join(run, ".."), { recursive: true }),
        fs.writeFileSync(join(run, ".."), "")
      ),
    ],
  ] as const) {
    it.scopedLive(`starts and serves the other jobs though of one ${damage}`, () =>
      Effect.gen(function* () {
        const root = yield* makeRoot
        const [sick, sound] = yield* withRunner(root, (runner) =>
          Effect.all([begin(runner, "sleep 203"), begin(runner, "sleep 0.2; exit 6")]),
        )
        harm(join(root, "jobs", sick.id, "run"))
        yield* withRunner(root, (runner) =>
          Effect.gen(function* () {
            assert.deepInclude((yield* runner.wait(sound.id)).record.state, { _tag: "exited", code: 6 })
            // It can still be stopped: the record knows its process.
            const { stop } = yield* runner.kill(sick.id)
            assert.deepStrictEqual(stop?.survivors, [])
            assert.isFalse(isAlive(lastAttempt(sick)!.process!.pid))
          }),
        )
      }),
    )
  }

  it.scopedLive("hears of ends though somebody took the bell away", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          yield* runShell(runner, "true")
          fs.rmSync(join(root, "bell"))
          yield* Effect.repeat(
            Effect.sync(() => fs.existsSync(join(root, "bell"))),
            {
              until: (is) => is,
              schedule: every10ms,
            },
          )
          const [elapsed] = yield* Effect.timed(runShell(runner, "true"))
          assert.isBelow(Duration.toMillis(elapsed), 10_000)
        }),
      )
    }),
  )

  it.scopedLive("goes on with a stop though nobody waits for it any more", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* withRunner(root, (runner) =>
        Effect.gen(function* () {
          const { id } = yield* begin(runner, "trap '' TERM; while :; do sleep 0.05; done", {
            killAfter: "300ms",
          })
          yield* Effect.timeoutOption(runner.kill(id), "50 millis")
          assert.deepInclude((yield* runner.wait(id)).record.state, { signal: "SIGKILL", cause: "stopped" })
        }),
      )
    }),
  )

  it.scopedLive("keeps its keeper from what is meant for other Perl programs, and gives it to jobs", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const env = { ...process.env, PERL_UNICODE: "SDA", PERL5OPT: "-Mutf8 -CSDA" }
      const layer = Jobs.layer({ root, env, keeper: "perl" }).pipe(
        Layer.provide(Notifier.layer({ root })),
        Layer.provide(SqliteJobStore.layer({ root })),
        Layer.provide(ProcessSpawner.layer),
      )
      const text = yield* Effect.provide(
        Effect.gen(function* () {
          const runner = yield* Jobs.JobRunner
          const { id } = yield* runShell(runner, "echo $PERL_UNICODE é")
          return (yield* runner.tail(id)).stdout.text
        }),
        layer,
      )
      assert.strictEqual(text, "SDA é\n")
    }),
  )
})
