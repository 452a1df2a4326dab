/** The daemon's death at every moment of a job's life: each accepted job runs once and ends with its true result. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { makeRoot, withRunner } from "./runner-support.js"

const dist = (name: string) => JSON.stringify(pathToFileURL(resolve("dist", `${name}.js`)).href)

/**
 * A program that accepts jobs and kills itself (KILL) when the store is at the given point for one of them.
 * It says the id of each job that it has accepted.
 */
const program = `
import { writeSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import { JobRunner, layer as jobs } from ${dist("job/JobRunner")}
import { JobStore } from ${dist("job/JobStore")}
import * as Notifier from ${dist("job/Notifier")}
import * as SqliteJobStore from ${dist("job/SqliteJobStore")}
import * as ProcessSpawner from ${dist("process/ProcessSpawner")}
const [root, point, script, keeper] = process.argv.slice(1)
const die = Effect.sync(() => process.kill(process.pid, "SIGKILL")).pipe(Effect.zipRight(Effect.never))
const stage = ({ attempts, state }) =>
  state._tag === "running" ? (attempts.at(-1).process === undefined ? "launched" : "started") : state._tag
const Watched = Layer.effect(JobStore, Effect.map(JobStore, (store) => ({
  ...store,
  update: (id, change) => Effect.gen(function* () {
    const before = yield* store.get(id)
    const after = yield* Effect.either(change(before))
    if (after._tag === "Right" && point === "before " + stage(after.right)) return yield* die
    const stored = yield* store.update(id, change)
    if (point === "after " + stage(stored)) return yield* die
    return stored
  }),
})))
const layer = jobs({ root, keeper }).pipe(
  Layer.provide(Notifier.layer({ root })),
  Layer.provide(Watched.pipe(Layer.provide(SqliteJobStore.layer({ root, synchronous: "normal" })))),
  Layer.provide(ProcessSpawner.layer),
  Layer.provideMerge(Logger.minimumLogLevel(LogLevel.None)),
)
await Effect.runPromise(Effect.provide(Effect.gen(function* () {
  const runner = yield* JobRunner
  const accept = Effect.gen(function* () {
    const { record } = yield* runner.submit({ command: ["sh", "-c", script], cwd: root })
    writeSync(1, record.id + "\\n")
  })
  yield* point === "any" ? Effect.forever(Effect.delay(accept, 5)) : accept
  if (point === "after accepted") return yield* die
  yield* Effect.never
}), layer))
`

/** Runs it until it dies, by its own hand or after \`millis\`; gives the ids of the jobs it had accepted. */
const untilDeath = (root: string, point: string, script: string, keeper: string, millis?: number) =>
  Effect.async<ReadonlyArray<string>>((resume) => {
    const args = ["--input-type=module", "--eval", program, root, point, script, keeper]
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
    let text = ""
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      // From the first job on: before it there is nothing to lose.
      if (text === "" && millis !== undefined) setTimeout(() => child.kill("SIGKILL"), millis)
      text += chunk
    })
    child.on("close", (_code, signal) =>
      resume(
        signal === "SIGKILL"
          ? Effect.succeed(text.split("\n").slice(0, -1))
          : Effect.die(new Error(`it ended by itself, having said ${text}`)),
      ),
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Notes each run, writes to both streams, and ends in a way that nothing else would. */
const script = 'echo run >> "runs-$HOLDFAST_JOB"; echo out; echo err >&2; sleep 0.1; echo more; exit 7'

const runsOf = (root: string, id: string): number => {
  try {
    return fs.readFileSync(join(root, `runs-${id}`), "utf8").split("\n").length - 1
  } catch {
    return 0
  }
}

const verify = (root: string, ids: ReadonlyArray<string>, keeper: "perl" | "node") =>
  withRunner(
    root,
    (runner) =>
      Effect.forEach(
        ids,
        (id) =>
          Effect.gen(function* () {
            const { record } = yield* runner.wait(id)
            assert.deepInclude(
              record.state,
              { _tag: "exited", code: 7, cause: "exit" },
              JSON.stringify(record),
            )
            const { stderr, stdout } = yield* runner.tail(id)
            assert.deepStrictEqual([stdout.text, stderr.text], ["out\nmore\n", "err\n"])
            assert.strictEqual(runsOf(root, id), 1, `${id} ran ${runsOf(root, id)} times`)
          }),
        { concurrency: 8, discard: true },
      ),
    keeper,
  )

for (const keeper of ["perl", "node"] as const) {
  describe(`killed, with the ${keeper} keeper`, () => {
    for (const point of [
      "after accepted",
      "before launched",
      "after launched",
      "before started",
      "after started",
      "before exited",
      "after exited",
    ]) {
      it.scopedLive(`${point}: the job ends once, and truly`, () =>
        Effect.gen(function* () {
          const root = yield* makeRoot
          const ids = yield* untilDeath(root, point, script, keeper)
          assert.lengthOf(ids, 1)
          yield* verify(root, ids, keeper)
        }),
      )
    }

    it.scopedLive(
      "at any moment, again and again: no job is lost, and none runs twice",
      () =>
        Effect.gen(function* () {
          const root = yield* makeRoot
          const ids: Array<string> = []
          for (let round = 0; round < 5; round++) {
            ids.push(...(yield* untilDeath(root, "any", script, keeper, Math.random() * 300)))
          }
          assert.isNotEmpty(ids)
          yield* verify(root, ids, keeper)
        }),
      60_000,
    )
  })
}
