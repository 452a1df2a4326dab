/** The files of a unit's log: how large they become, and what becomes of them when a program or a disk fails. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as LineTimes from "../../src/output/LineTimes.js"
import { RotatedWriter } from "../../src/output/RotatedWriter.js"
import * as UnitLog from "../../src/output/UnitLog.js"
import { descriptorsIn, directory, replacing, turn, until } from "./support.js"
import {
  collect,
  copyTo,
  count,
  files,
  flushed,
  logging,
  open,
  range,
  readAll,
  readPages,
  recordsOf,
  seqs,
  short,
  sizeOf,
  texts,
  using,
} from "./unit-log.js"

const place = Effect.map(directory, (made) => path.join(made, "log"))

/** Writes so many lines, in several writes, and closes the log. */
const filled = (where: string, lines: number, options: UnitLog.Options = {}, seconds = 1) =>
  using({ directory: where, ...options }, (log) =>
    Effect.gen(function* () {
      for (let i = 1; i <= lines; i += 10) {
        count(log, i, Math.min(lines, i + 9))
        yield* log.flush
        if (seconds > 0) yield* TestClock.adjust(`${seconds} seconds`)
      }
    }),
  )

const line = FastCheck.record({
  stream: FastCheck.constantFrom("stdout" as const, "stderr" as const, "holdfast" as const),
  text: FastCheck.oneof(
    FastCheck.string({ maxLength: 40 }),
    FastCheck.fullUnicodeString({ maxLength: 20 }),
    FastCheck.constant("w".repeat(20_000)),
  ),
  generation: FastCheck.nat(3),
})

/** From the start of a program to its end. */
const life = FastCheck.record({
  lines: FastCheck.array(line, { maxLength: 30 }),
  maxSize: FastCheck.integer({ min: 1, max: 30_000 }),
  ring: FastCheck.integer({ min: 1, max: 20 }),
})

const nothingSpecial = { at: 0, stream: 0, continued: false, generation: 1 }

/** Something that befalls a file. */
const damage = FastCheck.record({
  file: FastCheck.nat(20),
  kind: FastCheck.constantFrom(
    "flip" as const,
    "cut" as const,
    "zero" as const,
    "remove" as const,
    "grow" as const,
  ),
  at: FastCheck.double({ min: 0, max: 1, noNaN: true }),
})

describe("rotation", () => {
  it.scoped("no file, its sidecar included, is larger than asked for, nor are there more", () =>
    Effect.gen(function* () {
      for (const [maxSize, maxFiles] of [
        [500, 3],
        [4_000, 1],
        [5_000, 10],
      ] as const) {
        const where = yield* place
        const log = yield* open({ directory: where, maxSize, maxFiles })
        let most = 0
        for (let i = 1; i <= 3_000; i += 25) {
          yield* TestClock.adjust("1 milli")
          count(log, i, i + 24, i % 60)
          yield* log.flush
          assert.isAtMost(files(where).length, maxFiles)
          most = Math.max(most, sizeOf(where))
        }
        yield* log.close
        assert.isAtMost(most, maxSize * maxFiles)
        assert.isAbove(most, (maxSize * (maxFiles - 1)) / 2)
        for (const file of files(where)) {
          const size = fs.statSync(file).size + fs.statSync(file.replace(/log$/, "times")).size
          assert.isAtMost(size, maxSize)
          // Every file has whole lines, and is named by the first of them.
          const text = fs.readFileSync(file, "utf8")
          assert.match(text, /\n$/)
          assert.strictEqual(Number.parseInt(text), Number.parseInt(path.basename(file)))
        }
        assert.strictEqual(
          fs.realpathSync(path.join(where, "current")),
          fs.realpathSync(files(where).at(-1)!),
        )
      }
    }),
  )

  it.scoped("a line that is larger than a file may be has a file of its own", () =>
    Effect.gen(function* () {
      const where = yield* place
      const log = yield* UnitLog.make({ directory: where, maxSize: 100, maxFiles: 3 })
      for (const padding of [500, 1, 700, 800]) count(log, 1, 1, padding)
      yield* log.flush
      assert.deepStrictEqual(
        files(where).map((file) => fs.statSync(file).size),
        [3, 702, 802],
      )
    }),
  )

  it.scoped("what is noted about lines that are missing counts as well", () =>
    Effect.gen(function* () {
      const where = yield* place
      const limits = { maxSize: 300, maxFiles: 100 }
      const writer = new RotatedWriter(where, limits, [], undefined, 0, 0)
      const bytes = Buffer.from("a line\n")
      for (let first = 2; first <= 60; first += 1 + (first % 3)) {
        const stretch = { bytes, start: 0, end: bytes.length, first, lines: 1, ...nothingSpecial }
        yield* writer.write([stretch], first)
      }
      yield* writer.end(60)
      assert.isAbove(files(where).length, 5)
      for (const file of files(where))
        assert.isAtMost(fs.statSync(file).size + fs.statSync(file.replace(/log$/, "times")).size, 300)
      assert.isAbove(writer.lost, 20)
    }),
  )

  it.scoped("fewer files than there are drops the oldest ones", () =>
    Effect.gen(function* () {
      const where = yield* place
      yield* filled(where, 100, { maxSize: 200, maxFiles: 4 })
      assert.strictEqual(files(where).length, 4)
      const log = yield* UnitLog.make({ directory: where, maxSize: 200, maxFiles: 2 })
      count(log, 101, 110)
      count(log, 111, 120)
      yield* log.flush
      assert.strictEqual(files(where).length, 2)
      const last = (yield* readAll(log)).at(-1)!
      assert.strictEqual(last.text, "120")
    }),
  )

  it.scoped.prop(
    "random output, random sizes, random restarts: what is read is what was written",
    { lives: FastCheck.array(life, { maxLength: 4 }) },
    ({ lives }) =>
      Effect.gen(function* () {
        const where = yield* place
        const written: Array<string> = []
        for (const { lines, maxSize, ring } of lives) {
          yield* using({ directory: where, maxSize, maxFiles: 1_000, lines: ring }, (log) =>
            Effect.gen(function* () {
              const memory = yield* UnitLog.make()
              for (const [index, { generation, stream, text }] of lines.entries()) {
                log.write(stream, text, generation)
                memory.write(stream, text, generation)
                if (index % 5 === 0) yield* log.flush
              }
              const show = (line: UnitLog.LogLine) =>
                `${line.stream} ${line.generation} ${line.continued} ${line.text}`
              written.push(...(yield* memory.tail({ lines: 10_000 })).map(show))
              assert.deepStrictEqual((yield* readAll(log, 7)).map(show), written)
              assert.deepStrictEqual((yield* log.tail({ lines: 10_000 })).map(show), written)
              assert.deepStrictEqual((yield* log.tail({ lines: 25 })).map(show), written.slice(-25))
              assert.strictEqual(log.latest(), written.length)
            }).pipe(Effect.scoped),
          )
        }
      }),
    { fastCheck: { numRuns: 60 } },
  )
})

describe("a program that is killed", () => {
  it.scoped("leaves what it has written, and gives no number twice", () =>
    Effect.gen(function* () {
      const where = yield* place
      const { layer, lines: logged } = logging()
      const first = yield* UnitLog.make({ directory: where })
      count(first, 1, 100)
      yield* first.flush
      const copy = copyTo(where, "killed")
      const before = yield* collect(first.follow({ after: 0 }), 100)
      const second = yield* open({ directory: copy })
      assert.isAbove(second.latest(), 100)
      count(second, 101, 110)
      yield* second.flush
      // A reader from before goes on, and misses nothing that it could have seen.
      const after = yield* collect(second.follow({ after: 100 }), 11)
      assert.deepStrictEqual(texts(after as ReadonlyArray<UnitLog.LogLine>), [
        "Holdfast ended suddenly. The last lines before this one may be missing.",
        ...range(101, 110).map(String),
      ])
      assert.strictEqual(before.length, 100)
      assert.deepStrictEqual(texts(yield* second.tail({ lines: 13 })), [
        "99",
        "100",
        (after[0] as UnitLog.LogLine).text,
        ...range(101, 110).map(String),
      ])
      assert.strictEqual((yield* readAll(second)).length, 111)
      const { latest } = second
      yield* second.close
      // The next life knows of them as well, and ended well.
      const third = yield* Effect.provide(open({ directory: copy, lines: 1 }), layer)
      assert.strictEqual(third.latest(), latest())
      const all = yield* readAll(third, 3)
      assert.strictEqual(all.length, 111)
      const items = yield* collect(third.follow({ after: 50 }), 61)
      assert.strictEqual(items.filter(({ _tag }) => _tag === "Gap").length, 0)
      assert.deepStrictEqual(logged, [])
    }),
  )

  it.scoped("and what is dropped across its death is counted exactly", () =>
    Effect.gen(function* () {
      const where = yield* place
      const options = { maxSize: 1_000, maxFiles: 3, lines: 1 }
      const first = yield* UnitLog.make({ directory: where, ...options })
      count(first, 1, 100)
      yield* first.flush
      const copy = copyTo(where, "killed")
      const log = yield* UnitLog.make({ directory: copy, ...options })
      for (let i = 101; i <= 2_000; i++) {
        count(log, i, i)
        if (i % 10 === 0) yield* log.flush
      }
      yield* log.flush
      const page = yield* log.read({ after: 50, limit: 10_000 })
      assert.isAbove(Number(page.lines[0]!.text), 101)
      // 51 to 100, the note, and those before the first one.
      assert.strictEqual(page.gap!.missedLines, 50 + 1 + (Number(page.lines[0]!.text) - 101))
    }),
  )

  it.scoped("in the middle of a write: what can be read is read", () =>
    Effect.gen(function* () {
      const where = yield* place
      yield* filled(where, 200)
      const [log, times] = [files(where)[0]!, files(where, ".times")[0]!]
      const whole = { log: fs.readFileSync(log), times: fs.readFileSync(times) }
      const { layer, lines: logged } = logging()
      const records = recordsOf(times)
      assert.strictEqual(records.length, 20)
      const cut = (logSize: number, timesSize: number) =>
        Effect.gen(function* () {
          fs.writeFileSync(log, whole.log.subarray(0, logSize))
          fs.writeFileSync(times, whole.times.subarray(0, timesSize))
          return yield* using({ directory: where }, (opened) =>
            Effect.gen(function* () {
              const kept = yield* readAll(opened)
              opened.write("stdout", "next", 1)
              yield* opened.flush
              const again = yield* readAll(opened)
              assert.strictEqual(again.at(-1)!.text, "next")
              assert.deepStrictEqual(
                seqs(again).filter((seq, index) => index > 0 && seq <= again[index - 1]!.seq),
                [],
              )
              return kept.filter(({ stream }) => stream === "stdout")
            }),
          )
        }).pipe(Effect.provide(layer))
      // The lines are there, and their record is not, or only a part of it.
      for (const timesSize of [32 + 15 * 32, 32 + 15 * 32 + 1, 32 + 15 * 32 + 31, 32, 31, 0]) {
        const lines = yield* cut(whole.log.length, timesSize)
        assert.deepStrictEqual(texts(lines), range(1, 200).map(String))
        assert.deepStrictEqual(seqs(lines), range(1, 200))
        const known = Math.max(0, Math.floor((timesSize - 32) / 32)) * 10
        assert.deepStrictEqual(
          lines.slice(0, known).map(({ at }) => at),
          range(0, known - 1).map((index) => records[Math.floor(index / 10)]!.at),
        )
      }
      assert.isTrue(logged.every((line) => line.startsWith("WARN ")))
      assert.strictEqual(logged.length, 6)
      // The record is there, and its lines are not, or only a part of them.
      for (const size of [whole.log.length - 1, whole.log.length - 6, records[15]!.offset, 1, 0]) {
        const lines = yield* cut(size, whole.times.length)
        const expected = whole.log
          .toString("utf8", 0, size)
          .split("\n")
          .filter((text) => text !== "")
        assert.deepStrictEqual(texts(lines), expected)
      }
      fs.rmSync(times)
      const lines = yield* cut(whole.log.length, 0)
      assert.deepStrictEqual(texts(lines), range(1, 200).map(String))
    }),
  )

  it.scoped("before it wrote to the file it had begun: that file is nothing", () =>
    Effect.gen(function* () {
      const where = yield* place
      yield* filled(where, 20)
      fs.writeFileSync(path.join(where, "000000000021.log"), "")
      fs.writeFileSync(path.join(where, "000000000021.times"), "")
      const log = yield* UnitLog.make({ directory: where })
      assert.strictEqual(log.latest(), 20)
      assert.strictEqual(files(where).length, 1)
    }),
  )
})

describe("damage", () => {
  it.scoped("to some records costs the times of their lines only, also in older files", () =>
    Effect.gen(function* () {
      const where = yield* place
      yield* filled(where, 300, { maxSize: 1_000 })
      assert.isAbove(files(where).length, 2)
      const { layer, lines: logged } = logging()
      for (const times of files(where, ".times")) {
        const bytes = fs.readFileSync(times)
        bytes.fill(0xff, 40, 90)
        fs.writeFileSync(times, bytes)
      }
      const log = yield* Effect.provide(UnitLog.make({ directory: where }), layer)
      const lines = yield* Effect.provide(readAll(log), layer)
      assert.deepStrictEqual(texts(lines), range(1, 300).map(String))
      assert.deepStrictEqual(seqs(lines), range(1, 300))
      assert.deepStrictEqual(
        texts(yield* Effect.provide(log.tail({ lines: 250 }), layer)),
        texts(lines.slice(50)),
      )
      // Once for each file.
      assert.strictEqual(new Set(logged).size, logged.length)
      assert.isAtMost(logged.length, files(where).length)
    }),
  )

  it.scoped("to lines: those that are not there any more are missing, and no others", () =>
    Effect.gen(function* () {
      const where = yield* place
      yield* filled(where, 100)
      const [file] = files(where)
      const bytes = fs.readFileSync(file!)
      const { length, offset } = recordsOf(files(where, ".times")[0]!)[5]!
      fs.writeFileSync(file!, bytes.fill(0, offset, offset + length))
      const log = yield* UnitLog.make({ directory: where })
      const { lines, missed } = yield* readPages(log)
      assert.deepStrictEqual(texts(lines), [...range(1, 50), ...range(61, 100)].map(String))
      assert.strictEqual(missed, 10)
      assert.deepStrictEqual(short(yield* collect(log.follow({ after: 48 }), 52)), [
        "49",
        "50",
        "missed 10",
        ...range(61, 100).map(String),
      ])
    }),
  )

  it.scoped("a sidecar that is gone, of a long file: every line is there", () =>
    Effect.gen(function* () {
      const where = yield* place
      yield* using({ directory: where }, (log) =>
        Effect.gen(function* () {
          for (let i = 1; i <= 200; i++) {
            log.write("stderr", `${i} ${"x".repeat(i * 37)}`, 1)
            if (i % 50 === 0) yield* log.flush
          }
        }),
      )
      const [times] = files(where, ".times")
      fs.rmSync(times!)
      const log = yield* Effect.provide(UnitLog.make({ directory: where }), logging().layer)
      const lines = (yield* readAll(log)).filter(({ stream }) => stream !== "holdfast")
      assert.deepStrictEqual(
        texts(lines),
        range(1, 200).map((index) => `${index} ${"x".repeat(index * 37)}`),
      )
      assert.deepStrictEqual(seqs(lines), range(1, 200))
    }),
  )

  it.scoped.prop(
    "of any kind makes nothing fail",
    { damages: FastCheck.array(damage, { minLength: 1, maxLength: 4 }) },
    ({ damages }) =>
      Effect.gen(function* () {
        const where = yield* place
        yield* filled(where, 300, { maxSize: 1_000 }, 0)
        const all = [...files(where), ...files(where, ".times")]
        for (const { at, file: which, kind } of damages) {
          const file = all[which % all.length]!
          if (!fs.existsSync(file)) continue
          const bytes = fs.readFileSync(file)
          const place = Math.floor(at * bytes.length)
          if (kind === "flip" && bytes.length > place) bytes[place] = bytes[place]! ^ 0x55
          if (kind === "zero") bytes.fill(0, place, Math.min(bytes.length, place + 50))
          if (kind === "remove") fs.rmSync(file)
          else if (kind === "grow") fs.appendFileSync(file, "some more\nthat is")
          else fs.writeFileSync(file, kind === "cut" ? bytes.subarray(0, place) : bytes)
        }
        yield* using({ directory: where, maxSize: 1_000 }, (log) =>
          Effect.gen(function* () {
            count(log, 1_001, 1_050)
            assert.isTrue(yield* log.flush)
            assert.deepStrictEqual(texts(yield* log.tail({ lines: 50 })), range(1_001, 1_050).map(String))
            const { lines } = yield* readPages(log)
            assert.deepStrictEqual(texts(lines.slice(-50)), range(1_001, 1_050).map(String))
            assert.isTrue(lines.every(({ seq }, index) => index === 0 || seq > lines[index - 1]!.seq))
            yield* log.tail({ lines: 10_000 })
          }),
        ).pipe(Effect.provide(logging().layer))
      }),
    { fastCheck: { numRuns: 60 } },
  )

  it.scoped("the directory, or the file that is written, is deleted: it goes on in a new one", () =>
    Effect.gen(function* () {
      const where = yield* place
      yield* filled(where, 20)
      const log = yield* UnitLog.make({ directory: where, lines: 1 })
      fs.rmSync(where, { recursive: true })
      count(log, 21, 30)
      assert.isTrue(yield* log.flush)
      assert.deepStrictEqual(
        files(where).map((file) => path.basename(file)),
        ["000000000021.log"],
      )
      assert.deepStrictEqual(seqs(yield* log.tail()), range(21, 30))
      const page = yield* log.read({ after: 5 })
      assert.deepStrictEqual(page.gap, { _tag: "Gap", missedLines: 15, next: 20 })
    }),
  )

  it.scopedLive("the file is deleted while it is written: before long it goes on in a new one", () =>
    Effect.gen(function* () {
      const where = yield* place
      const log = yield* UnitLog.make({ directory: where, lines: 1 })
      count(log, 1, 10)
      yield* log.flush
      for (const file of [...files(where), ...files(where, ".times")]) fs.rmSync(file)
      let last = 10
      while (files(where).length === 0) {
        count(log, ++last, last)
        assert.isTrue(yield* log.flush)
        yield* turn
      }
      count(log, last + 1, last + 10)
      yield* log.flush
      const first = Number(path.basename(files(where)[0]!, ".log"))
      const { lines, missed } = yield* readPages(log)
      assert.deepStrictEqual([lines[0]!.seq, lines.at(-1)!.seq, missed], [first, last + 10, 0])
      const page = yield* log.read({ after: 0 })
      assert.strictEqual(page.gap!.missedLines, first - 1)
    }),
  )

  it.scoped("a directory that is none: memory, and one warning", () =>
    Effect.gen(function* () {
      const where = yield* place
      fs.writeFileSync(where, "a file")
      const { layer, lines: logged } = logging()
      const log = yield* Effect.provide(UnitLog.make({ directory: where }), layer)
      count(log, 1, 10)
      assert.isTrue(yield* log.flush)
      assert.deepStrictEqual(texts(yield* log.tail()), range(1, 10).map(String))
      assert.strictEqual(logged.length, 1)
      assert.match(logged[0]!, /^WARN Output cannot be kept in .*: a part of its path is not a directory\./)
    }),
  )
})

/** A small disk of its own, until the scope closes; undefined where nothing may be mounted. */
const smallDisk = Effect.gen(function* () {
  const disk = path.join(yield* directory, "disk")
  fs.mkdirSync(disk)
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "holdfast-test", disk])
  if (status !== 0) return undefined
  yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", ["-l", disk])))
  return disk
})

describe("a disk", () => {
  it.scoped(
    "that is full: the newest output waits for it, the rest is counted, and there is one warning",
    (context) =>
      Effect.gen(function* () {
        const disk = yield* smallDisk
        if (disk === undefined) return context.skip("no file system can be mounted here")
        const where = path.join(disk, "log")
        const ballast = path.join(disk, "ballast")
        const { layer, lines: logged } = logging()
        const log = yield* Effect.provide(open({ directory: where, maxSize: 20_000_000 }), layer)
        count(log, 1, 10)
        assert.isTrue(yield* log.flush)
        const full = fs.openSync(ballast, "w")
        assert.throws(() => {
          while (true) fs.writeSync(full, Buffer.alloc(4_096))
        })
        fs.closeSync(full)
        // What is left of the last page of the file is no room for this.
        count(log, 11, 20, 8_000)
        assert.isFalse(yield* log.flush)
        // Much more than waits: it does not wait for us either.
        const follower = yield* Stream.toPull(log.follow({ after: 20 }))
        for (let i = 21; i <= 2_000; i++) count(log, i, i, 8_000)
        assert.isFalse(yield* log.flush)
        for (let i = 0; i < 5; i++) {
          yield* TestClock.adjust("1 second")
          yield* turn
          assert.isFalse(yield* log.flush)
        }
        assert.strictEqual(logged.length, 1)
        assert.match(logged[0]!, /^WARN Output cannot be written to .*: the disk is full\./)
        const [gap, next] = yield* follower
        assert.strictEqual(gap!._tag === "Gap" && next!._tag === "Line" && next!.seq - gap!.missedLines, 21)
        // There is room again, for the disk is larger now.
        spawnSync("mount", ["-o", "remount,size=64m", disk])
        fs.rmSync(ballast)
        count(log, 2_001, 2_001)
        yield* TestClock.adjust("1 second")
        yield* flushed(log)
        yield* log.close
        assert.strictEqual(logged.length, 2)
        const lost = Number(/^INFO .* again; (\d+) lines are missing there\.$/.exec(logged[1]!)![1])
        assert.isAbove(lost, 500)
        const text = fs.readFileSync(files(where)[0]!, "utf8")
        assert.include(text, `\n--- ${lost} lines are missing here ---\n`)
        const again = yield* UnitLog.make({ directory: where })
        const items = yield* collect(again.follow({ after: 0 }), 2_001)
        const gaps = items.filter((item) => item._tag === "Gap")
        const lines = items.filter((item) => item._tag === "Line")
        assert.deepStrictEqual(short(gaps), [`missed ${lost}`])
        assert.strictEqual(lines.length + lost, 2_001)
        assert.isTrue(lines.every(({ seq, text }) => Number.parseInt(text) === seq))
        // Those that came first and last.
        assert.deepStrictEqual(seqs(lines.slice(0, 10)), range(1, 10))
        assert.deepStrictEqual(seqs(lines.slice(-400)), range(1_602, 2_001))
      }),
  )

  it.scoped("that is full when the program is killed: no number is given twice", (context) =>
    Effect.gen(function* () {
      const disk = yield* smallDisk
      if (disk === undefined) return context.skip("no file system can be mounted here")
      const where = path.join(disk, "log")
      const log = yield* Effect.provide(open({ directory: where }), logging().layer)
      count(log, 1, 10)
      yield* log.flush
      const full = fs.openSync(path.join(disk, "ballast"), "w")
      assert.throws(() => {
        while (true) fs.writeSync(full, Buffer.alloc(4_096))
      })
      fs.closeSync(full)
      // More than the numbers that are set aside ahead.
      const many = "\n".repeat(1_000_000)
      for (let i = 0; i < 20; i++) log.write("stdout", many, 1)
      assert.isFalse(yield* log.flush)
      const copy = copyTo(where, "../killed")
      const next = yield* Effect.provide(UnitLog.make({ directory: copy }), logging().layer)
      assert.isAtLeast(next.latest(), log.latest())
    }),
  )

  it.scoped("that takes only a part: that part is there, and the rest comes later", () =>
    Effect.gen(function* () {
      const where = yield* place
      let room = 0
      const log = yield* Effect.provide(open({ directory: where }), logging().layer)
      count(log, 0, 0)
      yield* log.flush
      yield* replacing(
        "writev",
        (original) =>
          (fd: number, buffers: Array<Buffer>, position: number, done: (...args: any) => void) => {
            const part = Buffer.concat(buffers).subarray(0, room)
            room -= part.length
            original(fd, [part], position, done)
          },
        Effect.gen(function* () {
          room = 101
          for (let i = 1; i <= 100; i++) {
            // A record each, and one write for all.
            yield* TestClock.setTime(i)
            count(log, i, i)
          }
          assert.isFalse(yield* log.flush)
          const text = fs.readFileSync(files(where)[0]!, "utf8")
          assert.match(text, /^0\n(\d+\n)+$/)
          assert.strictEqual(text.length, 2 + 99)
          const [times] = files(where, ".times")
          const last = recordsOf(times!).at(-1)!
          assert.strictEqual(last.offset + last.length, text.length)
          room = 100_000
          yield* TestClock.adjust("1 second")
          yield* flushed(log)
        }),
      )
      assert.strictEqual(fs.readFileSync(files(where)[0]!, "utf8"), `${range(0, 100).join("\n")}\n`)
      assert.deepStrictEqual(texts(yield* readAll(log)), range(0, 100).map(String))
    }),
  )

  it.scoped("that takes the lines and not their times: both come later, and once", () =>
    Effect.gen(function* () {
      const where = yield* place
      const { layer, lines: logged } = logging()
      const log = yield* Effect.provide(open({ directory: where }), layer)
      count(log, 1, 1)
      yield* log.flush
      yield* replacing(
        "write",
        (original) =>
          (fd: number, bytes: Buffer, offset: number, length: number, position: number, done: any) =>
            original(fd, bytes, offset, length - 5, position, done),
        Effect.gen(function* () {
          count(log, 2, 2)
          assert.isFalse(yield* log.flush)
          yield* until("nothing of it is left", () => fs.statSync(files(where)[0]!).size === 2)
          assert.strictEqual(fs.statSync(files(where, ".times")[0]!).size, 64)
        }),
      )
      yield* TestClock.adjust("1 second")
      yield* flushed(log)
      assert.strictEqual(fs.readFileSync(files(where)[0]!, "utf8"), "1\n2\n")
      assert.deepStrictEqual(texts(yield* readAll(log)), ["1", "2"])
      assert.deepStrictEqual(
        logged.map((line) => line.split(" ")[0]),
        ["WARN", "INFO"],
      )
    }),
  )

  it.scoped("that does not answer holds up neither the output nor, for more than 5 s, the end", () =>
    Effect.gen(function* () {
      const where = yield* place
      const answers: Array<() => void> = []
      const scope = yield* Scope.make()
      const log = yield* Scope.extend(UnitLog.make({ directory: where }), scope)
      count(log, 1, 1)
      yield* log.flush
      yield* replacing(
        "writev",
        (original) =>
          (...args: Parameters<typeof fs.writev>) =>
            void answers.push(() => original(...args)),
        Effect.gen(function* () {
          count(log, 2, 2)
          yield* until("it is written", () => answers.length === 1)
          const before = process.memoryUsage().arrayBuffers
          for (let i = 3; i <= 10_000; i++) count(log, i, i, 8_000)
          // 80 MB.
          assert.isBelow(process.memoryUsage().arrayBuffers - before, 24_000_000)
          assert.deepStrictEqual(seqs(log.last(2)), [9_999, 10_000])
          const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
          yield* turn
          yield* TestClock.adjust("4999 millis")
          yield* turn
          assert.isNull(closing.unsafePoll())
          yield* TestClock.adjust("1 milli")
          yield* Fiber.join(closing)
        }),
      )
      // It answers at last.
      for (const answer of answers) answer()
      yield* until("the files are closed", () => descriptorsIn(where) === 0)
      const again = yield* Effect.provide(UnitLog.make({ directory: where }), logging().layer)
      assert.strictEqual((yield* again.tail({ lines: 1 }))[0]!.text.slice(0, 6), "10000x")
    }),
  )
})

describe("a sidecar", () => {
  it.prop(
    "keeps what it is given, and knows when it is damaged",
    {
      record: FastCheck.record({
        kind: FastCheck.constantFrom("lines" as const, "note" as const, "unused" as const),
        first: FastCheck.integer({ min: 1, max: 2 ** 47 }),
        at: FastCheck.integer({ min: 0, max: 2 ** 47 }),
        stream: FastCheck.nat(2),
        continued: FastCheck.boolean(),
        generation: FastCheck.nat(2 ** 31),
        offset: FastCheck.nat(2 ** 31 - 1),
        length: FastCheck.nat(100_000),
        lines: FastCheck.nat(100_000),
      }),
      bit: FastCheck.nat(255),
    },
    ({ bit, record }) => {
      const bytes = LineTimes.encode([record, record])
      assert.deepStrictEqual(LineTimes.decode(bytes, 32), record)
      bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7))
      assert.isUndefined(LineTimes.decode(bytes, 0))
      const header = LineTimes.encodeHeader({ first: record.first, reserved: record.at })
      assert.deepStrictEqual(LineTimes.decodeHeader(header), { first: record.first, reserved: record.at })
      assert.isUndefined(LineTimes.decodeHeader(header.subarray(1)))
    },
  )
})
