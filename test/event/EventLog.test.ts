import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventLog from "../../src/event/EventLog.js"
import { suite } from "./log-suite.js"
import * as Support from "./support.js"

const { fill, firstOf, range, readAll, seqs } = Support

describe("an event log in memory", () => {
  suite(() => EventLog.layerMemory())

  it.live("drops the oldest entries, and says so", () =>
    Effect.gen(function* () {
      const log = yield* EventLog.EventLog
      yield* fill(25)
      const page = yield* log.read({ after: 3 })
      assert.deepInclude(page, { first: 16, last: 25, next: 25, missed: true })
      assert.deepStrictEqual(seqs(page), range(16, 25))
      assert.isFalse((yield* log.read()).missed)
      assert.isFalse((yield* log.read({ after: 15 })).missed)
      assert.deepStrictEqual(yield* firstOf(log.follow({ after: 3 }), 2), ["missed 12", "16"])
    }).pipe(Effect.provide(EventLog.layerMemory({ entries: 10 }))),
  )
})

/** Uses the log of a root and closes it again. */
const using = <A, E>(options: EventLog.Options, body: Effect.Effect<A, E, EventLog.EventLog>) =>
  Effect.provide(body, EventLog.layer(options))

const segments = (root: string): ReadonlyArray<string> =>
  readdirSync(join(root, "events"))
    .filter((name) => name.endsWith(".ndjson"))
    .sort()

const segment = (root: string, index: number): string => join(root, "events", segments(root).at(index)!)

const scoped = <E>(what: string, body: (root: string) => Effect.Effect<void, E, Scope.Scope>) =>
  it.scopedLive(what, () => Effect.flatMap(Support.temporary, body), 60_000)

/** How many bytes this process has read so far; 0 where the system does not tell. */
const bytesRead = (): number =>
  process.platform === "linux" ? Number(/^rchar: (\d+)/.exec(readFileSync("/proc/self/io", "utf8"))![1]) : 0

/** Some 22 entries to a segment. */
const small = { maxBytes: 2_048, segments: 4 }

describe("an event log in files", () => {
  suite(() => Layer.unwrapScoped(Effect.map(Support.temporary, (root) => EventLog.layer({ root }))))

  scoped("is there again when it is opened again, and goes on counting", (root) =>
    Effect.gen(function* () {
      for (const life of [0, 1, 2]) {
        yield* using(
          { root },
          Effect.gen(function* () {
            const log = yield* EventLog.EventLog
            assert.strictEqual((yield* log.read()).last, life * 10)
            yield* fill(10)
            assert.deepStrictEqual(seqs(yield* log.read()), range(1, life * 10 + 10))
          }),
        )
      }
      assert.deepStrictEqual(segments(root), ["000000000001.ndjson"])
      const text = readFileSync(segment(root, 0), "utf8")
      assert.deepStrictEqual(
        text
          .trimEnd()
          .split("\n")
          .map((line): unknown => JSON.parse(line).seq),
        range(1, 30),
      )
      assert.strictEqual(statSync(segment(root, 0)).mode & 0o777, 0o600)
      assert.strictEqual(statSync(join(root, "events")).mode & 0o777, 0o700)
    }),
  )

  scoped("drops the oldest file, and says to whom it matters", (root) =>
    Effect.gen(function* () {
      yield* using(
        { root, ...small },
        Effect.gen(function* () {
          const log = yield* EventLog.EventLog
          yield* fill(2_000, 20)
          assert.strictEqual(segments(root).length, 4)
          for (const name of segments(root))
            assert.isAtMost(statSync(join(root, "events", name)).size, small.maxBytes)
          const page = yield* log.read({ after: 7, limit: 1_000 })
          assert.isTrue(page.missed)
          assert.strictEqual(page.first, Number.parseInt(segments(root)[0]!, 10))
          assert.deepStrictEqual(seqs(page), range(page.first, 2_000))
          assert.isAbove(page.first, 1_500)
        }),
      )
      // From the files alone.
      yield* using(
        { root, ...small },
        Effect.gen(function* () {
          const log = yield* EventLog.EventLog
          const { first } = yield* log.read()
          const pages = yield* readAll({ after: 7, limit: 10 })
          assert.deepStrictEqual(pages.flatMap(seqs), range(first, 2_000))
          assert.deepStrictEqual(
            pages.map(({ missed }) => missed),
            pages.map((_, index) => index === 0),
          )
          assert.isFalse((yield* log.read({ after: first - 1 })).missed)
          const followed = yield* firstOf(log.follow({ after: 7 }), 2_002 - first)
          assert.deepStrictEqual(followed, [`missed ${first - 8}`, ...range(first, 2_000).map(String)])
        }),
      )
    }),
  )

  scoped("is read from any cursor across all its files", (root) =>
    using(
      { root, maxBytes: 2_048, segments: 100 },
      Effect.gen(function* () {
        const log = yield* EventLog.EventLog
        yield* fill(1_500)
        assert.isAbove(segments(root).length, 20)
        for (let after = 0; after < 1_500; after += 41)
          assert.deepStrictEqual(
            seqs(yield* log.read({ after, limit: 50 })),
            range(after + 1, Math.min(after + 50, 1_500)),
          )
        assert.strictEqual((yield* readAll({ subject: "j1", limit: 7 })).flatMap(seqs).length, 500)
      }),
    ),
  )

  scoped("tells a slow follower what it missed, and nobody waits for it", (root) =>
    using(
      { root, ...small },
      Effect.gen(function* () {
        const log = yield* EventLog.EventLog
        const mayGoOn = yield* Deferred.make<void>()
        const hasBegun = yield* Deferred.make<void>()
        const slow = yield* log.follow({ after: 0 }).pipe(
          Stream.tap(() => Effect.zipRight(Deferred.succeed(hasBegun, undefined), Deferred.await(mayGoOn))),
          Stream.takeUntil((item) => item._tag === "Entry" && item.entry.seq === 5_001),
          Stream.runCollect,
          Effect.fork,
        )
        yield* fill(1)
        yield* Deferred.await(hasBegun)
        for (let after = 1; after < 5_001; after += 50) {
          const quick = yield* Effect.fork(firstOf(log.follow({ after }), 50))
          yield* fill(50)
          assert.deepStrictEqual(yield* Fiber.join(quick), range(after + 1, after + 50).map(String))
        }
        yield* Deferred.succeed(mayGoOn, undefined)
        const items = [...(yield* Fiber.join(slow))]
        const entries = items.flatMap((item) => (item._tag === "Entry" ? [item.entry.seq] : []))
        const missed = items.flatMap((item) => (item._tag === "Missed" ? [item.count] : []))
        assert.isAbove(missed.length, 0)
        assert.strictEqual(entries.length + missed.reduce((sum, count) => sum + count, 0), 5_001)
      }),
    ),
  )

  scoped("cuts off the end of an entry that was not written whole, and uses its number", (root) =>
    Effect.gen(function* () {
      yield* using({ root }, fill(5))
      const whole = readFileSync(segment(root, 0), "utf8")
      for (const torn of [
        '{"seq":6,"at":17',
        '{"seq":6,"at":1,"type":"a","subject":"b","data":{}}',
        "\0\0\0",
      ]) {
        appendFileSync(segment(root, 0), torn)
        const { lines } = yield* Support.logging(using({ root }, Effect.void))
        assert.match(lines.join(), /WARN.*not written to its end/)
        assert.strictEqual(readFileSync(segment(root, 0), "utf8"), whole)
      }
      // Nothing but a torn entry.
      truncateSync(segment(root, 0), 20)
      yield* Support.logging(
        using(
          { root },
          Effect.gen(function* () {
            yield* fill(2)
            assert.deepStrictEqual(seqs(yield* (yield* EventLog.EventLog).read()), [1, 2])
          }),
        ),
      )
    }),
  )

  scoped("skips damaged lines, says so once, and never gives their numbers again", (root) =>
    Effect.gen(function* () {
      yield* using({ root }, fill(9))
      const lines = readFileSync(segment(root, 0), "utf8").trimEnd().split("\n")
      lines[3] = lines[3]!.replace('"type"', "#####")
      lines[4] = "\u0000garbage"
      lines[8] = "{}"
      writeFileSync(segment(root, 0), `${lines.join("\n")}\n`)
      const { lines: told } = yield* Support.logging(
        using(
          { root },
          Effect.gen(function* () {
            const log = yield* EventLog.EventLog
            yield* fill(1)
            const pages = yield* readAll({ after: 0 })
            assert.deepStrictEqual(pages.map(seqs), [[1, 2, 3], [6, 7, 8], [10]])
            assert.deepStrictEqual(
              pages.map(({ missed }) => missed),
              [false, true, true],
            )
            assert.deepStrictEqual(yield* firstOf(log.follow({ after: 2 }), 7), [
              "3",
              "missed 2",
              "6",
              "7",
              "8",
              "missed 1",
              "10",
            ])
            assert.deepStrictEqual(seqs(yield* log.read({ after: 5, subject: "j0" })), [7])
          }),
        ),
      )
      assert.strictEqual(told.filter((line) => line.includes("damaged lines")).length, 1, told.join("\n"))
    }),
  )

  scoped("gets over an end that is nothing but damage", (root) =>
    Effect.gen(function* () {
      yield* using({ root }, fill(4))
      appendFileSync(segment(root, 0), new Uint8Array(600_000))
      appendFileSync(segment(root, 0), "\n")
      const { lines } = yield* Support.logging(
        using(
          { root },
          Effect.gen(function* () {
            const log = yield* EventLog.EventLog
            const { missed, next } = yield* log.read({ after: 4 })
            assert.deepStrictEqual({ missed, next }, { missed: true, next: 5 })
            assert.strictEqual(yield* log.append("a", "b"), 6)
            assert.deepStrictEqual(seqs(yield* log.read({ after: next })), [6])
          }),
        ),
      )
      assert.match(lines.join("\n"), /damaged lines/)
    }),
  )

  scoped("sets aside a last file that cannot be read, and keeps the rest", (root) =>
    Effect.gen(function* () {
      yield* using({ root, ...small }, fill(60))
      const newest = segment(root, -1)
      const first = Number.parseInt(segments(root).at(-1)!, 10)
      rmSync(newest)
      mkdirSync(newest)
      writeFileSync(join(newest, "evidence"), "")
      const { lines } = yield* Support.logging(
        using(
          { root, ...small },
          Effect.gen(function* () {
            const log = yield* EventLog.EventLog
            const seq = yield* log.append("a", "b")
            assert.isAbove(seq, 60)
            const pages = yield* readAll({ after: 0 })
            assert.deepStrictEqual(pages.map(seqs), [range(1, first - 1), [seq]])
            assert.isTrue(pages[1]!.missed)
          }),
        ),
      )
      assert.match(lines.join("\n"), /set aside as .*unreadable/)
      const aside = readdirSync(join(root, "events")).find((name) => name.includes("unreadable"))
      assert.isTrue(existsSync(join(root, "events", aside!, "evidence")))
    }),
  )

  scoped("sets aside an older file when it turns out that it cannot be read", (root) =>
    Effect.gen(function* () {
      yield* using({ root, ...small }, fill(80))
      const names = segments(root)
      assert.isAtLeast(names.length, 3)
      rmSync(segment(root, 1))
      mkdirSync(join(root, "events", names[1]!))
      const [, from, to] = names.map((name) => Number.parseInt(name, 10))
      const { lines } = yield* Support.logging(
        using(
          { root, ...small },
          Effect.gen(function* () {
            const pages = yield* readAll({ after: 0 })
            assert.deepStrictEqual(pages.map(seqs), [range(1, from! - 1), range(to!, 80)])
            assert.isTrue(pages[1]!.missed)
          }),
        ),
      )
      assert.match(lines.join("\n"), /ERROR.*set aside/)
    }),
  )

  scoped("goes on when somebody deletes its files meanwhile", (root) =>
    using(
      { root, ...small },
      Effect.gen(function* () {
        const log = yield* EventLog.EventLog
        yield* fill(2_000)
        rmSync(join(root, "events"), { recursive: true })
        const page = yield* log.read({ after: 0, limit: 1_000 })
        assert.isTrue(page.missed)
        assert.strictEqual(page.last, 2_000)
        yield* fill(60)
        assert.deepStrictEqual(seqs(yield* log.read({ after: 2_000 })), range(2_001, 2_060))
        assert.isAbove(segments(root).length, 0)
      }),
    ),
  )

  scoped("cannot be where no directory can be", (root) =>
    Effect.gen(function* () {
      writeFileSync(join(root, "events"), "")
      const error = yield* Effect.flip(using({ root }, Effect.void))
      assert.strictEqual(error._tag, "EventLogUnusable")
      assert.include(error.message, join(root, "events"))
    }),
  )

  scoped("looks at the end of its last file only when it opens, and at one file for a cursor", (root) =>
    Effect.gen(function* () {
      const line = (seq: number) =>
        `{"seq":${seq},"at":1,"type":"job.queued","subject":"j","data":{"padding":"${"x".repeat(60)}"}}\n`
      mkdirSync(join(root, "events"))
      for (let first = 1; first <= 160_001; first += 40_000)
        writeFileSync(
          join(root, "events", `${String(first).padStart(12, "0")}.ndjson`),
          range(first, first + 39_999)
            .map(line)
            .join(""),
        )
      const size = statSync(segment(root, -1)).size
      const before = bytesRead()
      yield* using(
        { root, maxBytes: 8_000_000 },
        Effect.gen(function* () {
          const log = yield* EventLog.EventLog
          assert.isBelow(bytesRead() - before, 500_000)
          const { first } = yield* log.read({ after: 130_000, limit: 1 })
          assert.strictEqual(first, 1)
          const page = yield* log.read({ after: 130_001, limit: 2 })
          assert.deepStrictEqual(seqs(page), [130_002, 130_003])
          assert.isBelow(bytesRead() - before, size)
          assert.strictEqual(yield* log.append("a", "b"), 200_001)
        }),
      )
    }),
  )
})
