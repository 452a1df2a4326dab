/** A disk without room: what runs goes on, what is new is refused with "try again", and nothing is damaged. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { fill } from "./full-disk.js"
import { makeRoot, smallDisk, withRunner } from "./runner-support.js"

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
