import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as UnitLog from "../../src/output/UnitLog.js"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { eventually, sh } from "../process/support.js"
import { descriptorsIn, directory, turn, until } from "./support.js"
import { collect, count, files, open, range, readAll, seqs, short, texts, using } from "./unit-log.js"

const bytes = (text: string) => Buffer.from(text)

/** A directory for a log that is not there yet. */
const place = Effect.map(directory, (made) => path.join(made, "deep", "log"))

describe("a log", () => {
  it.scoped("takes both streams of every life, and ends what a life leaves unfinished", () =>
    Effect.gen(function* () {
      const log = yield* UnitLog.make()
      yield* TestClock.setTime(1_000)
      const first = ProcessOutput.make()
      log.attach(first, 1)
      first.offer("stdout", bytes("on"))
      first.offer("stderr", bytes("oops\n"))
      yield* TestClock.setTime(2_000)
      first.offer("stdout", bytes("e\nunfinished"))
      first.end()
      log.write("holdfast", "restarted\nnow", 2)
      const second = ProcessOutput.make()
      const end = log.attach(second, 2)
      second.offer("stderr", bytes("half"))
      end()
      second.offer("stderr", bytes("not any more\n"))
      assert.deepStrictEqual(
        (yield* log.tail()).map(({ at, generation, seq, stream, text }) =>
          [seq, at, generation, stream, text].join(" "),
        ),
        [
          "1 1000 1 stderr oops",
          "2 2000 1 stdout one",
          "3 2000 1 stdout unfinished",
          "4 2000 2 holdfast restarted",
          "5 2000 2 holdfast now",
          "6 2000 2 stderr half",
        ],
      )
      assert.deepStrictEqual(texts(log.last(2)), ["now", "half"])
      assert.deepStrictEqual(texts(log.last(2, 1)), ["one", "unfinished"])
      assert.strictEqual(log.latest(), 6)
      assert.isTrue(yield* log.flush)
    }),
  )

  it.scoped("an output that has ended is taken as it is: nothing", () =>
    Effect.gen(function* () {
      const log = yield* UnitLog.make()
      const output = ProcessOutput.make()
      output.end()
      log.attach(output, 1)()
      assert.strictEqual(log.latest(), 0)
      assert.deepStrictEqual(yield* log.tail(), [])
      assert.deepStrictEqual(yield* log.read(), { lines: [], next: 0, latest: 0, gap: undefined })
    }),
  )

  it.effect("takes nothing when it is closed, and can still be read", () =>
    Effect.gen(function* () {
      const { close, ...log } = yield* open({})
      const output = ProcessOutput.make()
      log.attach(output, 1)
      output.offer("stdout", bytes("a\nb"))
      yield* close
      output.offer("stdout", bytes("c\n"))
      log.write("stdout", "d", 1)
      log.attach(output, 2)
      output.offer("stdout", bytes("e\n"))
      assert.deepStrictEqual(texts(yield* log.tail()), ["a", "b"])
    }).pipe(Effect.scoped),
  )

  it.scoped("refuses queries that make no sense", () =>
    Effect.gen(function* () {
      const log = yield* UnitLog.make()
      for (const query of [
        log.tail({ lines: -1 }),
        log.tail({ lines: 10_001 }),
        log.read({ after: -1 }),
        log.read({ limit: 0 }),
        Stream.runDrain(log.follow({ lines: 1.5 })),
      ]) {
        const error = yield* Effect.flip(query)
        assert.strictEqual(error._tag, "InvalidSpec")
      }
    }),
  )
})

describe("a follower", () => {
  it.scoped("gets the last lines, then each as it comes, and the end", () =>
    Effect.gen(function* () {
      const log = yield* open({})
      count(log, 1, 5)
      const follower = yield* Effect.fork(collect(log.follow({ lines: 2 })))
      const onlyNew = yield* Effect.fork(collect(log.follow()))
      const fromCursor = yield* Effect.fork(collect(log.follow({ after: 4 })))
      // Now they follow.
      yield* turn
      count(log, 6, 7)
      yield* turn
      count(log, 8, 8)
      yield* log.close
      assert.deepStrictEqual(short(yield* Fiber.join(follower)), ["4", "5", "6", "7", "8"])
      assert.deepStrictEqual(short(yield* Fiber.join(onlyNew)), ["6", "7", "8"])
      assert.deepStrictEqual(short(yield* Fiber.join(fromCursor)), ["5", "6", "7", "8"])
    }),
  )

  it.scoped("that stalls is told exactly how many lines it missed, and slows nobody else", () =>
    Effect.gen(function* () {
      const log = yield* UnitLog.make({ lines: 100 })
      const stalled = yield* Stream.toPull(log.follow({ after: 0 }))
      const quick = yield* Effect.fork(collect(log.follow({ after: 0 }), 50_000))
      count(log, 1, 1)
      const [first] = yield* stalled
      assert.strictEqual(first!._tag, "Line")
      for (let i = 2; i <= 50_000; i++) {
        log.write("stdout", `${i} ${"x".repeat(90)}`, 1)
        if (i % 100 === 0) yield* Effect.yieldNow()
      }
      const seen = yield* Fiber.join(quick)
      assert.deepStrictEqual(
        seen.map((item) => item._tag === "Line" && item.seq),
        range(1, 50_000),
      )
      const [gap, next] = yield* stalled
      assert.strictEqual(gap!._tag, "Gap")
      if (gap?._tag !== "Gap" || next?._tag !== "Line") return
      assert.isAbove(gap.missedLines, 10_000)
      assert.strictEqual(gap.next, next.seq - 1)
      assert.strictEqual(1 + gap.missedLines + 1, next.seq)
      assert.strictEqual(next.text, `${next.seq} ${"x".repeat(90)}`)
    }),
  )

  it.scoped("with a cursor that the log never gave begins with what is kept, and is told", () =>
    Effect.gen(function* () {
      const log = yield* UnitLog.make({ lines: 2 })
      count(log, 1, 3)
      const { first } = { first: log.latest() }
      const items = yield* collect(log.follow({ after: 99 }), first)
      assert.deepStrictEqual(items[0], { _tag: "Gap", missedLines: 0, next: 0 })
      const page = yield* log.read({ after: 99 })
      assert.deepStrictEqual(page.gap, { _tag: "Gap", missedLines: 0, next: 0 })
      assert.deepStrictEqual(seqs(page.lines), [1, 2, 3])
    }),
  )

  it.scopedLive("of a real process sees every line, another that stalls misses a known number", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const log = yield* UnitLog.make()
      const output = ProcessOutput.make()
      log.attach(output, 1)
      const lines = 200_000
      const stalled = yield* Stream.toPull(log.follow({ after: 0 }))
      let seen = 0
      const live = yield* log.follow({ after: 0 }).pipe(
        Stream.mapChunks((chunk) => {
          for (const item of chunk) {
            assert.strictEqual(item._tag === "Line" && item.text, `${++seen} padding padding padding`)
          }
          return chunk
        }),
        Stream.take(lines),
        Stream.runDrain,
        Effect.fork,
      )
      const script = `i=1; while [ $i -le ${lines} ]; do echo "$i padding padding padding"; i=$((i + 1)); done`
      const process = yield* spawner.spawn({ command: sh(script) }, { output })
      let got = (yield* stalled).length
      yield* process.exit
      yield* output.ended
      let missed = 0
      while (got + missed < lines) {
        for (const item of yield* stalled) {
          if (item._tag === "Line") got++
          else missed += item.missedLines
        }
      }
      yield* Fiber.join(live)
      assert.strictEqual(seen, lines)
      assert.strictEqual(got + missed, lines)
      assert.isAbove(missed, 0)
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )
})

describe("a log in files", () => {
  it.scoped("has plain lines that a person can read, for nobody else to see", () =>
    Effect.gen(function* () {
      const where = yield* place
      const log = yield* UnitLog.make({ directory: where })
      assert.isFalse(fs.existsSync(where))
      const output = ProcessOutput.make()
      log.attach(output, 1)
      output.offer("stdout", bytes("on"))
      output.offer("stderr", bytes("oops\r\n"))
      output.offer("stdout", bytes("e\nhalf"))
      output.end()
      assert.isTrue(yield* log.flush)
      const current = path.join(where, "current")
      yield* until("there is a link to the file", () => fs.existsSync(current))
      assert.strictEqual(fs.readFileSync(current, "utf8"), "oops\r\none\nhalf\n")
      assert.strictEqual(fs.statSync(where).mode & 0o777, 0o700)
      for (const file of [...files(where), ...files(where, ".times")])
        assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
    }),
  )

  it.scoped("goes on where it ended, with numbers, times and streams", () =>
    Effect.gen(function* () {
      const where = yield* place
      yield* TestClock.setTime(1_700_000_000_000)
      yield* using({ directory: where }, (log) =>
        Effect.gen(function* () {
          log.write("stdout", "a\nb", 1)
          yield* TestClock.adjust("1 second")
          log.write("stderr", "c".repeat(9_000), 2)
          log.write("holdfast", "d", 2)
        }),
      )
      assert.strictEqual(descriptorsIn(where), 0)
      const log = yield* UnitLog.make({ directory: where })
      assert.strictEqual(log.latest(), 5)
      assert.deepStrictEqual(log.last(10), [])
      yield* TestClock.adjust("1 second")
      log.write("stdout", "e", 1)
      const lines = yield* log.tail()
      assert.deepStrictEqual(
        lines.map(({ at, continued, generation, seq, stream, text }) =>
          [seq, at, generation, stream, text.length, continued].join(" "),
        ),
        [
          "1 1700000000000 1 stdout 1 false",
          "2 1700000000000 1 stdout 1 false",
          "3 1700000001000 2 stderr 8192 true",
          "4 1700000001000 2 stderr 808 false",
          "5 1700000001000 2 holdfast 1 false",
          "6 1700000002000 1 stdout 1 false",
        ],
      )
      assert.deepStrictEqual(short(yield* collect(log.follow({ after: 2 }), 4)), ["3", "4", "5", "6"])
      assert.strictEqual(files(where).length, 1)
    }),
  )

  it.scoped("tails and reads further back than memory goes", () =>
    Effect.gen(function* () {
      const where = yield* place
      const log = yield* UnitLog.make({ directory: where, lines: 10, maxSize: 1_000, maxFiles: 6 })
      for (let i = 1; i <= 200; i++) {
        yield* TestClock.setTime(i)
        count(log, i, i)
        if (i % 7 === 0) yield* log.flush
      }
      yield* log.flush
      assert.strictEqual(files(where).length, 6)
      for (const lines of [1, 9, 10, 11, 20, 57]) {
        const tail = yield* log.tail({ lines })
        assert.deepStrictEqual(texts(tail), range(201 - lines, 200).map(String))
        assert.deepStrictEqual(
          tail.map(({ at }) => at),
          range(201 - lines, 200),
        )
      }
      assert.deepStrictEqual(texts(yield* log.tail({ lines: 100, since: 190 })), range(190, 200).map(String))
      assert.deepStrictEqual(texts(yield* log.tail({ lines: 100, since: 150 })), range(150, 200).map(String))
      assert.deepStrictEqual(texts(yield* log.tail({ lines: 3, since: 150 })), range(198, 200).map(String))
      assert.deepStrictEqual(yield* log.tail({ lines: 100, since: 201 }), [])
      assert.deepStrictEqual(yield* log.tail({ lines: 0 }), [])
      for (const limit of [1, 3, 1_000]) {
        const all = yield* readAll(log, limit)
        const first = all[0]!.seq
        assert.isAbove(first, 1)
        assert.deepStrictEqual(seqs(all), range(first, 200))
        assert.deepStrictEqual(texts(all), range(first, 200).map(String))
        const page = yield* log.read({ after: 0, limit: 2 })
        assert.deepStrictEqual(page.gap, { _tag: "Gap", missedLines: first - 1, next: first - 1 })
        assert.deepStrictEqual(seqs(page.lines), [first, first + 1].slice(0, 2))
      }
    }),
  )

  it.scoped("a follower that stalls goes on from the files, and misses what is not in them any more", () =>
    Effect.gen(function* () {
      const where = yield* place
      const log = yield* UnitLog.make({ directory: where, lines: 10, maxSize: 100_000, maxFiles: 4 })
      const stalled = yield* Stream.toPull(log.follow({ after: 0 }))
      count(log, 1, 1)
      assert.strictEqual((yield* stalled).length, 1)
      for (let i = 2; i <= 20_000; i += 50) {
        count(log, i, Math.min(20_000, i + 49), 90)
        if (i % 500 === 2) yield* log.flush
      }
      yield* log.flush
      let seen = 1
      const gaps: Array<UnitLog.LogGap> = []
      while (seen + (gaps[0]?.missedLines ?? 0) < 20_000) {
        for (const item of yield* stalled) {
          if (item._tag === "Gap") gaps.push(item)
          else {
            assert.strictEqual(item.text.replaceAll("x", ""), String(item.seq))
            seen++
          }
        }
      }
      assert.strictEqual(gaps.length, 1)
      assert.isAbove(seen, 3_000)
      assert.strictEqual(seen + gaps[0]!.missedLines, 20_000)
    }),
  )

  it.scopedLive("holds no descriptor, and no timer, when nothing is written for a while", () =>
    Effect.gen(function* () {
      const where = yield* place
      const log = yield* UnitLog.make({ directory: where })
      assert.strictEqual(descriptorsIn(where), 0)
      count(log, 1, 10)
      yield* log.flush
      assert.strictEqual(descriptorsIn(where), process.platform === "linux" ? 2 : 0)
      yield* eventually("the files are closed", () => descriptorsIn(where) === 0)
      count(log, 11, 20)
      assert.isTrue(yield* log.flush)
      assert.deepStrictEqual(seqs(yield* log.tail()), range(1, 20))
      assert.strictEqual(files(where).length, 1)
    }),
  )

  it.scopedLive("a real process's output is all there when the process is gone", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const where = yield* place
      const log = yield* UnitLog.make({ directory: where })
      const output = ProcessOutput.make()
      log.attach(output, 7)
      const script = `yes "${"x".repeat(99)}" | head -n 50000; printf 'oops' >&2`
      const process = yield* spawner.spawn({ command: sh(script) }, { output })
      yield* process.exit
      yield* output.ended
      assert.strictEqual(log.latest(), 50_001)
      const [last] = log.last(1, 7)
      assert.deepInclude(last, { stream: "stderr", text: "oops" })
      assert.isTrue(yield* log.flush)
      const [file] = files(where)
      const text = fs.readFileSync(file!, "utf8")
      assert.strictEqual(text.length, 50_000 * 100 + 5)
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("many units that say nothing cost little", () =>
    Effect.gen(function* () {
      const where = yield* place
      globalThis.gc?.()
      const before = process.memoryUsage().heapUsed
      const logs = yield* Effect.forEach(range(1, 1_000), (index) =>
        UnitLog.make({ directory: path.join(where, String(index)) }),
      )
      globalThis.gc?.()
      const each = (process.memoryUsage().heapUsed - before) / logs.length
      assert.isBelow(each, 20_000)
      assert.isFalse(fs.existsSync(where))
    }),
  )
})
