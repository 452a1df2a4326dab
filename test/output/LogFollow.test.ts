import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as FileWatcher from "../../src/output/FileWatcher.js"
import * as LogFollow from "../../src/output/LogFollow.js"
import * as LogTail from "../../src/output/LogTail.js"
import {
  descriptorsIn,
  directory,
  logFile,
  replacing,
  spyWatcher,
  turn,
  until,
  watchedBy,
} from "./support.js"

/** Follows in the background, and keeps what came. */
const following = (log: string, options?: LogFollow.Options) =>
  Effect.gen(function* () {
    const items: Array<string> = []
    const fiber = yield* LogFollow.follow(log, options).pipe(
      Stream.runForEach((item) =>
        Effect.sync(() => {
          items.push(
            item._tag === "Data"
              ? `${item.offset}: ${Buffer.from(item.bytes).toString()}`
              : `${item.reason} at ${item.offset}`,
          )
        }),
      ),
      Effect.forkScoped,
    )
    const came = (...expected: ReadonlyArray<string>) =>
      Effect.zipRight(
        until(`${expected.length} items: ${expected}`, () => items.length >= expected.length),
        Effect.sync(() => assert.deepStrictEqual(items, expected)),
      )
    return { items, came, fiber }
  })

/** Waits until somebody sleeps on the clock that stands still. */
const asleep: Effect.Effect<void> = Effect.flatMap(TestClock.sleeps(), (sleeping) =>
  Chunk.isEmpty(sleeping) ? Effect.zipRight(turn, asleep) : Effect.void,
)

type Answer = (cause: NodeJS.ErrnoException | null, count: number, buffer: Buffer) => void

const bytesOf = (item: LogFollow.Data | LogFollow.Restarted) =>
  item._tag === "Data" ? item.bytes : new Uint8Array(0)

// The clock of `it.scoped` stands still: whatever comes, comes by an event and by no look from time to time.
describe("follow", () => {
  it.scoped("gives what is there from an offset on, what is added, and ends with its writer", () =>
    Effect.gen(function* () {
      const log = yield* logFile("one two")
      const done = yield* Deferred.make<void>()
      const { came, fiber } = yield* following(log, { offset: 4, done: Deferred.await(done) })
      yield* came("4: two")
      fs.appendFileSync(log, " three")
      yield* came("4: two", "7:  three")
      fs.appendFileSync(log, " last")
      yield* Deferred.succeed(done, undefined)
      yield* Fiber.join(fiber)
      yield* came("4: two", "7:  three", "13:  last")
      assert.strictEqual(descriptorsIn(path.dirname(log)), 0)
    }),
  )

  it.scoped(
    "what is written between the read that found the end and the news that the writer is done comes too",
    () =>
      Effect.gen(function* () {
        const log = yield* logFile("first ")
        const done = yield* Deferred.make<void>()
        let isOver = false
        const items = yield* replacing(
          "read",
          (read) =>
            (fd: number, into: Buffer, offset: number, length: number, at: number, answer: Answer) => {
              read(fd, into, offset, length, at, (cause, count, buffer) => {
                // Not the rest of the first read, but a look that finds nothing.
                if (count === 0 && at === 6 && length === 65_536 && !isOver) {
                  isOver = true
                  fs.appendFileSync(log, "last")
                  Deferred.unsafeDone(done, Effect.void)
                }
                answer(cause, count, buffer)
              })
            },
          Stream.runCollect(LogFollow.follow(log, { done: Deferred.await(done) })),
        )
        assert.isTrue(isOver)
        assert.strictEqual(Buffer.concat(Chunk.toArray(items).map(bytesOf)).toString(), "first last")
      }),
  )

  it.scoped("a tail and a follower from its end on give everything once", () =>
    Effect.gen(function* () {
      const log = yield* logFile("a\nb\n日".slice(0, 4))
      fs.appendFileSync(log, Buffer.from("日").subarray(0, 2))
      const tail = yield* LogTail.tail(log, { lines: 1 })
      fs.appendFileSync(log, Buffer.from("日").subarray(2))
      const followed = yield* LogFollow.followText(log, { offset: tail.nextOffset, done: Effect.void }).pipe(
        Stream.runCollect,
      )
      const texts = Chunk.toArray(followed).map((item) => (item._tag === "Text" ? item.text : item.reason))
      assert.deepStrictEqual([tail.text, ...texts], ["b\n", "日"])
    }),
  )

  it.scoped("what is written just before and just after each watch is set is not missed", () =>
    Effect.gen(function* () {
      const log = yield* logFile("")
      const rounds = 300
      let written = 0
      const write = (): void => {
        if (written < 2 * rounds) fs.appendFileSync(log, `${written++}\n`)
      }
      const spy = yield* spyWatcher({ before: write, after: write })
      const seen = yield* LogFollow.follow(log).pipe(
        // Every watch is lost, so that a new one has to be set after everything was read, in a gap without events.
        Stream.tap(() => Effect.sync(() => [...spy.listeners].forEach(({ onLost }) => onLost()))),
        Stream.map((item) => Buffer.from(bytesOf(item)).toString()),
        Stream.scan("", (all, text) => all + text),
        Stream.takeUntil((all) => all.endsWith(`\n${2 * rounds - 1}\n`)),
        Stream.runLast,
        watchedBy(spy),
      )
      const expected = Array.from({ length: 2 * rounds }, (_, i) => `${i}\n`).join("")
      assert.strictEqual(Option.getOrThrow(seen), expected)
      assert.isAtLeast(spy.made(), rounds)
    }),
  )

  it.scoped(
    "a writer that waits for its reader each time, at every distance from the read, is heard each time",
    () =>
      Effect.gen(function* () {
        const log = yield* logFile("")
        const rounds = 3_000
        let next = 1
        const write = (turns: number): void => {
          if (turns > 0) setImmediate(() => write(turns - 1))
          else fs.appendFileSync(log, "x")
        }
        write(0)
        const count = yield* LogFollow.follow(log).pipe(
          Stream.map((item) => bytesOf(item).length),
          Stream.tap(() => Effect.sync(() => next < rounds && write(next++ % 7))),
          Stream.take(rounds),
          Stream.runSum,
        )
        assert.strictEqual(count, rounds)
      }),
  )

  it.scoped("another process floods it: every byte comes, in order, in pieces of 64 KiB at most", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      const lines = 200_000
      const descriptor = fs.openSync(log, "a")
      const child = spawn("seq", [String(lines)], { stdio: ["ignore", descriptor, "ignore"] })
      fs.closeSync(descriptor)
      const done = Effect.async<void>((resume) => void child.on("exit", () => resume(Effect.void)))
      const pieces = Chunk.toArray(yield* Stream.runCollect(LogFollow.follow(log, { done })))
      assert.isTrue(pieces.every((piece) => bytesOf(piece).length <= 65_536))
      const expected = Array.from({ length: lines }, (_, i) => `${i + 1}\n`).join("")
      assert.isTrue(Buffer.concat(pieces.map(bytesOf)).toString() === expected)
    }),
  )

  it.scoped("a slow consumer makes it read no further, and watch nothing meanwhile", () =>
    Effect.gen(function* () {
      const log = yield* logFile(Buffer.alloc(1_000_000, "x"))
      const spy = yield* spyWatcher()
      const held = yield* Deferred.make<void>()
      const first = yield* Deferred.make<number>()
      const done = yield* Deferred.make<void>()
      const total = yield* LogFollow.follow(log, { done: Deferred.await(done) }).pipe(
        Stream.map((item) => bytesOf(item).length),
        Stream.tap((length) => Effect.zipRight(Deferred.succeed(first, length), Deferred.await(held))),
        Stream.runSum,
        watchedBy(spy),
        Effect.fork,
      )
      assert.strictEqual(yield* Deferred.await(first), 65_536)
      for (let i = 0; i < 100; i++) yield* turn
      assert.strictEqual(spy.made(), 0)
      yield* Deferred.succeed(held, undefined)
      yield* until("the end was reached", () => spy.open() === 1)
      yield* Deferred.succeed(done, undefined)
      assert.strictEqual(yield* Fiber.join(total), 1_000_000)
      assert.strictEqual(spy.open(), 0)
    }),
  )

  it.scoped("news that nobody waits for ends the watch; it is set again before the next wait", () =>
    Effect.gen(function* () {
      const log = yield* logFile("")
      const spy = yield* spyWatcher()
      let hold = yield* Deferred.make<void>()
      const seen: Array<number> = []
      yield* LogFollow.follow(log).pipe(
        Stream.runForEach((item) => {
          seen.push(bytesOf(item).length)
          return Deferred.await(hold)
        }),
        watchedBy(spy),
        Effect.forkScoped,
      )
      yield* until("it waits", () => spy.open() === 1)
      fs.appendFileSync(log, "x")
      yield* until("it is busy", () => seen.length === 1)
      for (let i = 0; i < 100; i++) {
        fs.appendFileSync(log, "x")
        yield* turn
      }
      yield* until("the watch is closed", () => spy.open() === 0)
      const before = hold
      hold = yield* Deferred.make<void>()
      yield* Deferred.succeed(hold, undefined)
      yield* Deferred.succeed(before, undefined)
      yield* until("all came", () => seen.reduce((a, b) => a + b, 0) === 101)
      yield* until("it waits again", () => spy.open() === 1)
    }),
  )

  it.scoped("waits for the file, and for the directories it will be in", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const log = path.join(where, "a", "b", "out.log")
      const spy = yield* spyWatcher()
      const { came } = yield* watchedBy(spy)(following(log))
      yield* until("it watches", () => spy.open() === 1)
      fs.writeFileSync(path.join(where, "other"), "x")
      fs.mkdirSync(path.join(where, "a"))
      yield* until("it watches the next", () => spy.made() === 2)
      fs.mkdirSync(path.join(where, "a", "b"))
      yield* until("and the next", () => spy.made() === 3)
      fs.writeFileSync(log, "here")
      yield* came("0: here")
      fs.rmSync(path.join(where, "a"), { recursive: true })
      fs.mkdirSync(path.dirname(log), { recursive: true })
      fs.writeFileSync(log, "again")
      yield* came("0: here", "replaced at 4", "0: again")
    }),
  )

  it.scoped("a file that never comes ends with its writer, and gives nothing", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      const items = yield* Stream.runCollect(LogFollow.follow(log, { offset: 9, done: Effect.void }))
      assert.strictEqual(items.length, 0)
    }),
  )

  it.scoped("a truncated file is read from its beginning", () =>
    Effect.gen(function* () {
      const log = yield* logFile("0123456789")
      const { came } = yield* following(log)
      yield* came("0: 0123456789")
      fs.truncateSync(log, 0)
      yield* came("0: 0123456789", "truncated at 10")
      fs.appendFileSync(log, "new")
      yield* came("0: 0123456789", "truncated at 10", "0: new")
      const late = yield* following(log, { offset: 8, done: Effect.void })
      yield* Fiber.join(late.fiber)
      yield* late.came("truncated at 8", "0: new")
    }),
  )

  it.scoped(
    "a rotated file is followed under its new name until there is a new one, and read to its end",
    () =>
      Effect.gen(function* () {
        const log = yield* logFile("one ")
        const writer = fs.openSync(log, "a")
        const { came } = yield* following(log)
        yield* came("0: one ")
        fs.renameSync(log, `${log}.1`)
        fs.writeSync(writer, "two ")
        yield* came("0: one ", "4: two ")
        for (let i = 0; i < 50; i++) yield* turn
        fs.writeSync(writer, "three ")
        yield* came("0: one ", "4: two ", "8: three ")
        fs.writeSync(writer, "four")
        fs.closeSync(writer)
        fs.writeFileSync(log, "five")
        yield* came("0: one ", "4: two ", "8: three ", "14: four", "replaced at 18", "0: five")
        // And a new file moved over the old one, which another name keeps alive.
        fs.linkSync(log, `${log}.2`)
        fs.writeFileSync(`${log}.new`, "six")
        fs.renameSync(`${log}.new`, log)
        const before = ["0: one ", "4: two ", "8: three ", "14: four", "replaced at 18", "0: five"]
        yield* came(...before, "replaced at 4", "0: six")
        fs.appendFileSync(log, " seven")
        yield* came(...before, "replaced at 4", "0: six", "3:  seven")
      }),
  )

  it.scoped("where the system gives no events it looks once a second", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      const { came, items } = yield* Effect.provide(following(log), FileWatcher.layerPolling)
      yield* asleep
      fs.writeFileSync(log, "one")
      for (let i = 0; i < 20; i++) yield* turn
      assert.deepStrictEqual(items, [])
      const second = yield* Effect.forkScoped(
        Effect.forever(Effect.zipRight(TestClock.adjust("1 second"), turn)),
      )
      yield* came("0: one")
      fs.appendFileSync(log, "two")
      yield* came("0: one", "3: two")
      yield* Fiber.interrupt(second)
    }),
  )

  it.scoped("news that the system loses is made up for within ten seconds", () =>
    Effect.gen(function* () {
      const log = yield* logFile("")
      const deaf: FileWatcher.Service = { watch: () => Effect.succeed({ close: () => {} }) }
      const { came, items } = yield* watchedBy(deaf)(following(log))
      yield* asleep
      fs.writeFileSync(log, "one")
      yield* TestClock.adjust("9 seconds")
      for (let i = 0; i < 20; i++) yield* turn
      assert.deepStrictEqual(items, [])
      yield* TestClock.adjust("1 second")
      yield* came("0: one")
    }),
  )

  it.scoped("leaves no descriptor and no watch behind, wherever it is interrupted", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const log = path.join(where, "out.log")
      const spy = yield* spyWatcher()
      for (let round = 0; round < 100; round++) {
        if (round % 2 === 0) fs.writeFileSync(log, "x".repeat(round))
        else fs.rmSync(log, { force: true })
        const fiber = yield* Effect.fork(watchedBy(spy)(Stream.runDrain(LogFollow.follow(log))))
        for (let i = 0; i < round % 20; i++) yield* turn
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(spy.open(), 0)
        assert.strictEqual(descriptorsIn(where), 0)
      }
      assert.isAbove(spy.made(), 10)
    }),
  )

  it.scoped("says what cannot be followed", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const run = (target: string, options?: LogFollow.Options) =>
        Effect.flip(Stream.runDrain(LogFollow.follow(target, options)))
      assert.include((yield* run(where)).message, "it is a directory")
      fs.writeFileSync(path.join(where, "file"), "")
      assert.strictEqual((yield* run(path.join(where, "file", "out.log")))._tag, "LogUnreadable")
      assert.strictEqual((yield* run(where, { offset: -1 }))._tag, "InvalidSpec")
    }),
  )
})

describe("follow in text", () => {
  it.scoped(
    "a character written byte by byte comes when it is whole; half of one at an end is replaced",
    () =>
      Effect.gen(function* () {
        const log = yield* logFile("")
        const done = yield* Deferred.make<void>()
        const items: Array<LogFollow.Text | LogFollow.Restarted> = []
        const spy = yield* spyWatcher()
        const fiber = yield* LogFollow.followText(log, { done: Deferred.await(done) }).pipe(
          Stream.runForEach((item) => Effect.sync(() => void items.push(item))),
          watchedBy(spy),
          Effect.fork,
        )
        yield* until("it waits", () => spy.open() === 1)
        for (const character of ["日", "本"]) {
          const before = items.length
          for (const byte of Buffer.from(character)) {
            fs.appendFileSync(log, Uint8Array.of(byte))
            for (let i = 0; i < 20; i++) yield* turn
          }
          yield* until(character, () => items.length === before + 1)
        }
        fs.appendFileSync(log, Uint8Array.of(0x21, 0xe6))
        yield* until("the sign", () => items.length === 3)
        yield* Deferred.succeed(done, undefined)
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(items, [
          { _tag: "Text", offset: 0, nextOffset: 3, text: "日" },
          { _tag: "Text", offset: 3, nextOffset: 6, text: "本" },
          { _tag: "Text", offset: 6, nextOffset: 7, text: "!" },
          { _tag: "Text", offset: 7, nextOffset: 8, text: "\ufffd" },
        ])
      }),
  )
})
