/** Disks that are full, or slow, under the output of units. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fill } from "../../job/full-disk.js"
import { smallDisk } from "../../job/runner-support.js"
import { replacing } from "../../output/support.js"
import { eventually, sh } from "../../process/support.js"
import { makeRoot } from "../port/support.js"
import { line, supervised } from "../support.js"

describe("a full disk", () => {
  it.scopedLive(
    "keeps no unit from running, starting and stopping; its output is kept in memory meanwhile",
    (context) =>
      Effect.gen(function* () {
        const directory = yield* makeRoot
        const disk = yield* smallDisk(directory)
        if (disk === undefined) return context.skip("no file system can be mounted here")
        const go = join(directory, "go")
        yield* supervised(
          {
            units: {
              talks: {
                command: sh(
                  `echo up; while [ ! -e ${go} ]; do sleep 0.02; done; seq 1 2000; echo done; exec sleep 300`,
                ),
                readiness: { log: { pattern: "^up" } },
              },
              late: { command: sh("echo here; exec sleep 300"), readiness: { log: { pattern: "^here" } } },
            },
          },
          (supervisor) =>
            Effect.gen(function* () {
              yield* supervisor.start(["talks"])
              fill(join(disk, "ballast"))
              fs.writeFileSync(go, "")
              yield* line(supervisor, "talks", "done")
              const [late] = yield* supervisor.start(["late"])
              assert.strictEqual(late?.state, "ready")
              const log = yield* supervisor.log("talks")
              assert.strictEqual(log.latest(), 2_002)
              assert.strictEqual((yield* log.tail({ lines: 3 })).at(-1)?.text, "done")
              yield* supervisor.stop(["talks", "late"])
              fs.rmSync(join(disk, "ballast"))
              yield* supervisor.start(["late"])
              // What waited for the disk is there.
              yield* eventually("it is written", () => Effect.runSync(Effect.sync(() => wrote(disk))))
            }),
          { root: join(disk, "root") },
        )
        // Closed, and all of it is in the files.
        const logs = join(disk, "root", "units", "talks", "logs")
        const text = fs
          .readdirSync(logs)
          .filter((name) => !name.includes("times"))
          .map((name) => fs.readFileSync(join(logs, name), "latin1"))
          .join("")
        assert.include(text, "done")
      }),
  )

  const wrote = (disk: string): boolean =>
    fs.existsSync(join(disk, "root", "units", "talks", "logs")) &&
    fs
      .readdirSync(join(disk, "root", "units", "talks", "logs"))
      .some((name) =>
        fs.readFileSync(join(disk, "root", "units", "talks", "logs", name), "latin1").includes("done"),
      )
})

describe("a slow disk", () => {
  it.scopedLive("makes a unit that floods wait for it: no line is missing in its files", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const lines = 200_000
      yield* replacing(
        "writev",
        (original) =>
          (...args: Parameters<typeof fs.writev>) =>
            void setTimeout(() => original(...args), 10),
        supervised(
          {
            units: { flood: { kind: "oneshot", command: sh(`yes "${"x".repeat(99)}" | head -n ${lines}`) } },
          },
          ({ start }) => start(["flood"]),
          { root },
        ),
      )
      const logs = join(root, "units", "flood", "logs")
      const sizes = fs
        .readdirSync(logs)
        .filter((name) => /^\d+\.log$/.test(name))
        .map((name) => fs.statSync(join(logs, name)).size)
      assert.strictEqual(
        sizes.reduce((sum, size) => sum + size, 0),
        lines * 100,
      )
    }),
  )
})
