/**
 * An app that keeps jobs: what it accepts is on disk, runs on when the app dies, and is found again when it starts
 * anew. Run it twice, press Ctrl-C in between, kill it: `node examples/jobs.ts` (Node 22.18 or newer runs TypeScript as
 * it is; for others a bundler takes the types out). The jobs are kept under `JOBS_ROOT`, else in `jobs`.
 */
import { Console, Effect, Layer, Logger, LogLevel, Stream } from "effect"
import { EventLog, JobRunner, Notifier, ProcessSpawner } from "holdfast"
import * as SqliteJobStore from "holdfast/job/SqliteJobStore"

const root = process.env.JOBS_ROOT ?? "jobs"

const program = Effect.gen(function* () {
  const runner = yield* JobRunner.JobRunner

  // Two at a time, and never the same work twice: the key makes a second call give the first one's job.
  yield* runner.setGroup("squares", { parallelism: 2 })
  const jobs = yield* Effect.forEach([1, 2, 3], (n) =>
    runner.submit({
      command: ["sh", "-c", `echo "the square of ${n}"; sleep 0.1; echo $((${n} * ${n}))`],
      group: "squares",
      tags: ["example"],
      timeout: "1m",
      idempotencyKey: `square-${n}`,
    }),
  )

  // As it comes, over restarts too.
  const [first] = jobs
  yield* Stream.runForEach(runner.follow(first!.record.id), (item) =>
    item._tag === "Output" ? Console.log(item.text.trimEnd()) : Effect.void,
  )

  for (const { isNew, record } of jobs) {
    const ended = yield* runner.wait(record.id)
    const { stdout } = yield* runner.tail(record.id, { lines: 1 })
    yield* Console.log(`${isNew ? "new" : "known"} ${ended.record.state._tag} ${stdout.text.trimEnd()}`)
  }
})

const Live = JobRunner.layer({ root }).pipe(
  Layer.provide(Notifier.layer({ root })),
  Layer.provideMerge(Layer.merge(SqliteJobStore.layer({ root }), EventLog.layer({ root }))),
  Layer.provide(ProcessSpawner.layer),
  // Every change of a job is a line of the log otherwise.
  Layer.provideMerge(Logger.minimumLogLevel(LogLevel.Warning)),
)

await Effect.runPromise(Effect.provide(program, Live))
