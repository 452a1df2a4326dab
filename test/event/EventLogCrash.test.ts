/** What was flushed is there, whenever the program is killed; and what a full disk does to a log. */
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs"
import { join, resolve } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { build } from "esbuild"
import * as EventLog from "../../src/event/EventLog.js"
import * as Support from "./support.js"

const { fill, logging, range, readAll, seqs } = Support

/** Appends without end, and writes down how far it was told that all is written. */
const busy = `
import { writeSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as EventLog from ${JSON.stringify(resolve("src/event/EventLog.ts"))}
await Effect.runPromise(Effect.provide(
  Effect.gen(function* () {
    const log = yield* EventLog.EventLog
    while (true) {
      let seq = 0
      for (let count = 0; count < 7; count++) seq = yield* log.append("job.running", "j", { pid: process.pid })
      if (yield* log.flush) writeSync(1, seq + "\\n")
    }
  }),
  EventLog.layer({ root: process.argv[1], maxBytes: 100_000 }),
))
`

/** The program as one text, to be run in this directory, beside the dependencies. */
const program = Effect.promise(async () => {
  const { outputFiles } = await build({
    stdin: { contents: busy, resolveDir: resolve("."), loader: "ts" },
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    write: false,
  })
  return outputFiles[0]!.text
})

/** Runs the program until it has said `lines` lines, kills it, and gives the last number that it was told of. */
const killedAfter = (text: string, root: string, lines: number) =>
  Effect.async<{ readonly pid: number; readonly seq: number }>((resume) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", text, root], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    let said = ""
    let isKilled = false
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      said += chunk
      if (!isKilled && said.split("\n").length > lines) {
        isKilled = true
        child.kill("SIGKILL")
      }
    })
    child.on("close", () =>
      resume(
        isKilled
          ? Effect.succeed({ pid: child.pid!, seq: Number(said.split("\n").at(-2)) })
          : Effect.die(new Error("it ended by itself")),
      ),
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

describe("an event log whose program is killed", () => {
  it.scopedLive(
    "has everything that was flushed, without a gap, and goes on counting",
    () =>
      Effect.gen(function* () {
        const root = yield* Support.temporary
        const text = yield* program
        let known = 0
        for (const lines of [1, 30, 111, 400]) {
          const { pid, seq } = yield* killedAfter(text, root, lines)
          assert.isAbove(seq, known)
          yield* Effect.provide(
            Effect.gen(function* () {
              const log = yield* EventLog.EventLog
              const pages = yield* readAll({ after: known, limit: 1_000 })
              const found = pages.flatMap(({ events }) => events)
              assert.isAtLeast(found.length, seq - known)
              assert.deepStrictEqual(seqs({ events: found }), range(known + 1, known + found.length))
              for (const { data } of found) assert.deepStrictEqual(data, { pid })
              known += found.length + 1
              assert.strictEqual(yield* log.append("daemon.started", "d"), known)
            }),
            EventLog.layer({ root }),
          )
        }
      }),
    60_000,
  )
})

/** A disk of so many bytes, gone after the test; undefined where this user may not make one. */
const disk = (bytes: number) =>
  Effect.gen(function* () {
    const directory = yield* Support.temporary
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "holdfast-test", directory])
    if (mounted.status !== 0) return undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", ["-l", directory])))
    return directory
  })

const fillUp = (directory: string): void => {
  spawnSync("sh", ["-c", `cat /dev/zero > ${join(directory, "filler")}`], { stdio: "ignore" })
}

/** Waits until the log is written. */
const written = (log: EventLog.Service) =>
  Stream.runDrain(
    Stream.takeUntilEffect(Stream.repeatEffect(log.flush), (isWritten) =>
      isWritten ? Effect.succeed(true) : Effect.as(Effect.sleep("20 millis"), false),
    ),
  )

describe("an event log on a full disk", () => {
  const test = (what: string, body: (directory: string) => Effect.Effect<void, unknown>) =>
    it.scopedLive(what, (context) =>
      Effect.gen(function* () {
        const directory = yield* disk(8_000_000)
        if (directory === undefined) return context.skip("this user may not mount a disk of its own")
        yield* body(directory)
      }),
    )

  test("keeps entries in memory, shows them, and writes them as soon as there is room", (directory) =>
    Effect.gen(function* () {
      const { lines } = yield* logging(
        Effect.provide(
          Effect.gen(function* () {
            const log = yield* EventLog.EventLog
            yield* fill(100)
            fillUp(directory)
            const follower = yield* Effect.fork(
              Stream.runCollect(Stream.take(log.follow({ after: 100 }), 3_000)),
            )
            let seq = 0
            for (let count = 0; count < 3_000; count++) seq = yield* log.append("a", "b", { count })
            assert.strictEqual(seq, 3_100)
            assert.isFalse(yield* log.flush)
            assert.deepStrictEqual(
              (yield* readAll({ after: 0, limit: 1_000 })).flatMap(seqs),
              range(1, 3_100),
            )
            assert.strictEqual((yield* Fiber.join(follower)).length, 3_000)
            rmSync(join(directory, "filler"))
            yield* written(log)
          }),
          EventLog.layer({ root: directory }),
        ),
      )
      assert.strictEqual(
        lines.filter((line) => line.includes("cannot be written")).length,
        1,
        lines.join("\n"),
      )
      assert.match(lines.join("\n"), /INFO Events are written to .* again/)
      yield* Effect.provide(
        Effect.gen(function* () {
          assert.deepStrictEqual((yield* readAll({ after: 0, limit: 1_000 })).flatMap(seqs), range(1, 3_100))
        }),
        EventLog.layer({ root: directory }),
      )
    }))

  test("never gives a number again that somebody has seen", (directory) =>
    Effect.gen(function* () {
      yield* Effect.provide(fill(10), EventLog.layer({ root: directory }))
      fillUp(directory)
      const { lines } = yield* logging(
        Effect.gen(function* () {
          const seen = yield* Effect.provide(
            Effect.gen(function* () {
              const log = yield* EventLog.EventLog
              for (let count = 0; count < 2_000; count++) yield* log.append("a", "b", { count })
              assert.isFalse(yield* log.flush)
              return (yield* log.read()).last
            }),
            EventLog.layer({ root: directory }),
          )
          assert.strictEqual(seen, 2_010)
          // They were never written: the program has ended.
          rmSync(join(directory, "filler"))
          yield* Effect.provide(
            Effect.gen(function* () {
              const log = yield* EventLog.EventLog
              assert.strictEqual(yield* log.append("a", "b"), 2_011)
              const page = yield* log.read({ after: 2_010 })
              assert.deepInclude(page, { missed: false, next: 2_011 })
              const [whole, rest] = yield* readAll({ after: 0, limit: 1_000 })
              assert.deepInclude(rest, { missed: true, next: 2_011 })
              assert.deepStrictEqual(seqs(whole!), range(1, whole!.next))
            }),
            EventLog.layer({ root: directory }),
          )
        }),
      )
      assert.match(lines.join("\n"), /WARN \d+ events are lost/)
    }))

  test("gives up the oldest in memory when there is no end to it, and tells readers", (directory) =>
    Effect.gen(function* () {
      mkdirSync(join(directory, "root"))
      const { lines } = yield* logging(
        Effect.provide(
          Effect.gen(function* () {
            const log = yield* EventLog.EventLog
            yield* fill(10)
            fillUp(directory)
            const data = { padding: "x".repeat(1_000) }
            // The disk takes some of them, and a part of the next one.
            for (let count = 0; count < 20; count++) yield* log.append("a", "b", data)
            assert.isFalse(yield* log.flush)
            assert.isAbove(statSync(join(directory, "root", "events", "000000000001.ndjson")).size, 2_000)
            for (let count = 0; count < 7_980; count++) yield* log.append("a", "b", data)
            assert.isFalse(yield* log.flush)
            const pages = yield* readAll({ after: 0, limit: 1_000 })
            const found = pages.flatMap(seqs)
            assert.strictEqual(found.at(-1), 8_010)
            assert.isBelow(found.length, 5_000)
            assert.isAbove(found.length, 3_000)
            assert.isTrue(pages.some(({ missed }) => missed))
            rmSync(join(directory, "filler"))
            yield* written(log)
            assert.deepStrictEqual((yield* readAll({ after: 0, limit: 1_000 })).flatMap(seqs), found)
          }),
          EventLog.layer({ root: join(directory, "root") }),
        ),
      )
      assert.strictEqual(lines.length, 2)
      assert.notInclude(lines[1], "without 0 ")
      // No half of an entry stays where the disk had taken only that.
      const events = join(directory, "root", "events")
      for (const name of readdirSync(events).filter((name) => name.endsWith(".ndjson"))) {
        const [end, ...whole] = readFileSync(join(events, name), "utf8").split("\n").reverse()
        assert.strictEqual(end, "")
        for (const line of whole) JSON.parse(line)
      }
    }))
})
