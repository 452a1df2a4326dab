import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as LogCap from "../../src/job/log/LogCap.js"
import * as LogEnds from "../../src/job/log/LogEnds.js"
import * as LogCursor from "../../src/output/LogCursor.js"
import * as LogFollow from "../../src/output/LogFollow.js"
import * as LogGap from "../../src/output/LogGap.js"
import * as LogTail from "../../src/output/LogTail.js"
import { spyWatcher, until, watchedBy } from "../output/support.js"
import { temporary } from "./support.js"

const mebibyte = 1_048_576

/** The logs of an attempt that has not begun. */
const logs = Effect.map(temporary, (directory) => ({
  stdout: path.join(directory, "stdout.log"),
  stderr: path.join(directory, "stderr.log"),
}))

type Paths = Effect.Effect.Success<typeof logs>

const append = (file: string): number => fs.openSync(file, "a")

/** A shell that writes as an attempt does: by descriptor, with nobody in between. Ends with it. */
const shell = (script: string, paths: Paths) =>
  Effect.async<void>((resume) => {
    const [stdout, stderr] = [append(paths.stdout), append(paths.stderr)]
    const child = spawn("sh", ["-c", script], { stdio: ["ignore", stdout, stderr] })
    fs.closeSync(stdout)
    fs.closeSync(stderr)
    child.on("exit", () => resume(Effect.void))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const keepingEnds = (paths: Paths, maxLogBytes: number): LogCap.Options => ({
  paths,
  maxLogBytes,
  policy: "keep-ends",
  onExceeded: Effect.dieMessage("nothing is to be stopped"),
})

const sizeOf = (file: string): number => fs.statSync(file).size
const onDisk = (file: string): number => fs.statSync(file).blocks * 512

const gapOf = (log: string): LogGap.Gap => JSON.parse(fs.readFileSync(LogGap.sidecarOf(log), "utf8"))

/** What readers give of a log, piece by piece. */
const readAll = (log: string) =>
  Effect.gen(function* () {
    const pieces: Array<LogCursor.Piece> = []
    const gap = LogGap.sidecarOf(log)
    for (let offset = 0, eof = false; !eof;) {
      const piece = yield* LogCursor.read(log, { offset, gap, maxBytes: 300_000 })
      pieces.push(piece)
      ;({ eof, nextOffset: offset } = piece)
    }
    return pieces
  })

/** The lines of `seq 10000000 N`, nine bytes each: what stands at an offset is known from it. */
const numbers = (count: number) => `seq 10000000 ${10_000_000 + count - 1}`

const isRight = (offset: number, bytes: Uint8Array): boolean => {
  const first = Math.floor(offset / 9)
  const last = Math.ceil((offset + bytes.length) / 9)
  let expected = ""
  for (let line = first; line < last; line++) expected += `${10_000_000 + line}\n`
  const start = offset - first * 9
  return Buffer.from(bytes).toString("latin1") === expected.slice(start, start + bytes.length)
}

describe("which part is kept", () => {
  const size = FastCheck.integer({ min: 0, max: 50_000_000 })
  const extents = (cap: number, stdout: number, stderr: number) => {
    let out: LogEnds.Extent = { size: stdout, gap: undefined }
    let err: LogEnds.Extent = { size: stderr, gap: undefined }
    const cut = (mine: LogEnds.Extent, other: LogEnds.Extent): LogEnds.Extent => {
      const found = LogEnds.cutOf(cap, mine, other)
      return found === undefined
        ? mine
        : { size: mine.size, gap: { from: mine.gap?.from ?? found.head, to: found.tail } }
    }
    const step = (moreOut: number, moreErr: number) => {
      const before = [
        (out = { ...out, size: out.size + moreOut }),
        (err = { ...err, size: err.size + moreErr }),
      ]
      ;[out, err] = [cut(before[0]!, before[1]!), cut(before[1]!, before[0]!)]
    }
    return { step, get: () => [out, err] as const }
  }
  const kept = ({ gap, size }: LogEnds.Extent) => size - (gap === undefined ? 0 : gap.to - gap.from)

  it("never more than the cap and a quarter, nothing below the cap, and gaps that only grow at their ends", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.integer({ min: 65_536, max: 10_000_000 }),
        FastCheck.array(FastCheck.tuple(size, size), { minLength: 1, maxLength: 6 }),
        (cap, steps) => {
          const both = extents(cap, 0, 0)
          for (const [stdout, stderr] of steps) {
            const before = both.get()
            both.step(stdout, stderr)
            const after = both.get()
            const blocks = 16 * 4_096
            assert.isAtMost(kept(after[0]) + kept(after[1]), cap * 1.25 + blocks)
            if (after[0].size + after[1].size <= cap)
              assert.deepEqual(
                after.map((log) => log.gap),
                [undefined, undefined],
              )
            for (const index of [0, 1] as const) {
              const [was, is] = [before[index].gap, after[index].gap]
              if (was !== undefined) assert.strictEqual(is!.from, was.from)
              if (was !== undefined) assert.isAtLeast(is!.to, was.to)
              if (is === undefined) continue
              assert.strictEqual(is.to % 4_096, 0)
              assert.isAtLeast(after[index].size - is.to, is.from - 3 * 4_096)
              assert.isAtLeast(is.from, cap / 16)
            }
          }
        },
      ),
    )
  })

  it("a log that is alone has nearly all of the cap, half of it at each end; two large ones a half each", () => {
    const alone = LogEnds.cutOf(8 * mebibyte, { size: 2e9, gap: undefined }, { size: 10, gap: undefined })!
    assert.isAtLeast(alone.head, 3.5 * mebibyte)
    assert.isAtLeast(2e9 - alone.tail, 3.5 * mebibyte)
    assert.isAtMost(alone.head + 2e9 - alone.tail, 7.1 * mebibyte)
    const large = LogEnds.cutOf(8 * mebibyte, { size: 2e9, gap: undefined }, { size: 1e9, gap: undefined })!
    assert.approximately(large.head, 2 * mebibyte, 3 * 4_096)
    assert.approximately(2e9 - large.tail, 2 * mebibyte, 3 * 4_096)
  })
})

describe("keeping the ends", () => {
  it.scopedLive(
    "200 MB need about 1 MB of disk; head and tail are exact, offsets stay, followers skip what is gone",
    () =>
      Effect.gen(function* () {
        const paths = yield* logs
        const count = 22_222_222
        const done = yield* Deferred.make<void>()
        let wrong = 0
        let end = 0
        const gap = LogGap.sidecarOf(paths.stdout)
        const following = yield* LogFollow.follow(paths.stdout, { gap, done: Deferred.await(done) }).pipe(
          Stream.runForEach((item) =>
            Effect.sync(() => {
              if (item._tag !== "Data" || item.offset < end || !isRight(item.offset, item.bytes)) wrong++
              else end = item.offset + item.bytes.length
            }),
          ),
          Effect.fork,
        )
        yield* Effect.scoped(
          Effect.zipRight(LogCap.watch(keepingEnds(paths, mebibyte)), shell(numbers(count), paths)),
        )
        yield* Deferred.succeed(done, undefined)
        assert.strictEqual(sizeOf(paths.stdout), count * 9)
        assert.isBelow(onDisk(paths.stdout), 1.1 * mebibyte)
        const { from, to } = gapOf(paths.stdout)
        assert.isAtLeast(from, (7 / 16) * mebibyte)
        assert.isAtLeast(count * 9 - to, (7 / 16) * mebibyte)
        const pieces = yield* readAll(paths.stdout)
        assert.isTrue(pieces.every(({ bytes, offset }) => isRight(offset, bytes)))
        assert.strictEqual(
          pieces.reduce((sum, { bytes }) => sum + bytes.length, 0),
          from + count * 9 - to,
        )
        // Cut at lines.
        assert.strictEqual(from % 9, 0)
        assert.strictEqual(to % 9, 0)
        const inside = yield* LogCursor.read(paths.stdout, { offset: from + 10, gap, maxBytes: 9 })
        assert.deepInclude(inside, { offset: to, nextOffset: to + 9, eof: false })
        const before = yield* LogCursor.read(paths.stdout, { offset: from - 9, gap })
        assert.deepInclude(before, { offset: from - 9, nextOffset: from, eof: false })
        const tail = yield* LogTail.tail(paths.stdout, { lines: count, maxBytes: 8 * mebibyte, gap })
        assert.deepInclude(tail, { startOffset: to, truncated: true, observedBytes: count * 9 })
        assert.isTrue(isRight(to, Buffer.from(tail.text)))
        yield* following.await
        assert.deepStrictEqual([wrong, end], [0, count * 9])
        assert.deepStrictEqual(fs.readdirSync(path.dirname(paths.stdout)).sort(), [
          "stderr.log",
          "stdout.gap",
          "stdout.log",
        ])
      }),
    30_000,
  )

  it.scopedLive("no character is cut where there are no lines, and both logs have their share", () =>
    Effect.gen(function* () {
      const paths = yield* logs
      const forever = (text: string, bytes: number) => `yes '${text}' | tr -d '\\n' | head -c ${bytes}`
      // Whole characters at the end: 3 + 3 + 2 + 4 bytes, and 3.
      const script = `${forever("日本é🦊", 12_000_000)}; ${forever("語", 6_000_000)} >&2`
      yield* Effect.scoped(Effect.zipRight(LogCap.watch(keepingEnds(paths, 400_000)), shell(script, paths)))
      for (const [log, size, text] of [
        [paths.stdout, 12_000_000, "日本é🦊"],
        [paths.stderr, 6_000_000, "語"],
      ] as const) {
        const gap = LogGap.sidecarOf(log)
        assert.strictEqual(sizeOf(log), size)
        let all = ""
        for (let offset = 0, eof = false; !eof;) {
          const piece = yield* LogCursor.readText(log, { offset, gap, ended: true })
          all += piece.text
          ;({ eof, nextOffset: offset } = piece)
        }
        assert.notInclude(all, "\ufffd")
        assert.notInclude(all, "\0")
        const { from, to } = gapOf(log)
        assert.strictEqual(Buffer.byteLength(all), from + size - to)
        const unit = Buffer.byteLength(text)
        const whole = (bytes: number) => text.repeat(Math.ceil(bytes / unit) + 1)
        assert.isTrue(Buffer.from(whole(from)).subarray(0, from).equals(Buffer.from(all).subarray(0, from)))
        const tail = yield* LogTail.tail(log, { maxBytes: 8 * mebibyte, gap })
        assert.strictEqual(tail.startOffset, to)
        assert.isTrue(whole(size - to).endsWith(tail.text.slice(-1_000)))
        assert.notInclude(tail.text, "\ufffd")
      }
      assert.isBelow(onDisk(paths.stdout) + onDisk(paths.stderr), 400_000 * 1.2 + 65_536)
    }),
  )

  it.scopedLive("binary output is kept byte by byte", () =>
    Effect.gen(function* () {
      const paths = yield* logs
      const copy = path.join(path.dirname(paths.stdout), "copy")
      yield* Effect.scoped(
        Effect.zipRight(
          LogCap.watch(keepingEnds(paths, 200_000)),
          shell(`head -c 10000000 /dev/urandom | tee '${copy}'`, paths),
        ),
      )
      const expected = fs.readFileSync(copy)
      const pieces = yield* readAll(paths.stdout)
      for (const { bytes, offset } of pieces)
        assert.isTrue(expected.subarray(offset, offset + bytes.length).equals(bytes))
      const { from, to } = gapOf(paths.stdout)
      assert.strictEqual(Buffer.concat(pieces.map(({ bytes }) => bytes)).length, from + 10_000_000 - to)
      const text = yield* LogFollow.followText(paths.stdout, {
        gap: LogGap.sidecarOf(paths.stdout),
        done: Effect.void,
      }).pipe(
        Stream.runFold(0, (end, item) =>
          item._tag === "Text" && item.offset >= end ? item.nextOffset : Infinity,
        ),
      )
      assert.strictEqual(text, 10_000_000)
    }),
  )

  it.scopedLive(
    "cuts while the job runs; a later watch goes on, and frees what an earlier one only announced",
    () =>
      Effect.gen(function* () {
        const paths = yield* logs
        const first = yield* Scope.make()
        yield* Scope.extend(LogCap.watch(keepingEnds(paths, mebibyte)), first)
        yield* shell(numbers(2_000_000), paths)
        yield* until("it is cut", () => fs.existsSync(LogGap.sidecarOf(paths.stdout)))
        yield* until("space is free", () => onDisk(paths.stdout) < 2 * mebibyte)
        yield* Scope.close(first, Exit.void)
        const before = gapOf(paths.stdout)
        // As if the program had been killed between the sidecar and the hole.
        fs.appendFileSync(paths.stdout, Buffer.alloc(4 * mebibyte, "x"))
        const announced = { from: before.from, to: sizeOf(paths.stdout) - before.from }
        yield* LogGap.write(LogGap.sidecarOf(paths.stdout), announced)
        assert.isAbove(onDisk(paths.stdout), 4 * mebibyte)
        yield* Effect.scoped(LogCap.watch(keepingEnds(paths, mebibyte)))
        assert.deepStrictEqual(gapOf(paths.stdout), announced)
        assert.isBelow(onDisk(paths.stdout), 1.1 * mebibyte)
        fs.appendFileSync(paths.stdout, Buffer.alloc(mebibyte, "y"))
        yield* Effect.scoped(LogCap.watch(keepingEnds(paths, mebibyte)))
        const after = gapOf(paths.stdout)
        assert.strictEqual(after.from, before.from)
        assert.isAbove(after.to, announced.to)
        assert.isBelow(onDisk(paths.stdout), 1.1 * mebibyte)
      }),
  )

  it.scopedLive(
    "where no hole can be made, one warning says that the logs grow on, and nothing is dropped",
    () =>
      Effect.gen(function* () {
        const paths = yield* logs
        const warnings: Array<string> = []
        const logger = Logger.make(({ message }) => warnings.push(String(message)))
        const PATH = process.env["PATH"]
        yield* Effect.acquireRelease(
          Effect.sync(() => (process.env["PATH"] = path.dirname(paths.stdout))),
          () => Effect.sync(() => (process.env["PATH"] = PATH)),
        )
        yield* Effect.gen(function* () {
          yield* LogCap.watch(keepingEnds(paths, 65_536))
          for (let round = 1; round <= 2; round++) {
            fs.appendFileSync(paths.stdout, Buffer.alloc(mebibyte, "x"))
            yield* until("the warning", () => warnings.length > 0)
          }
        }).pipe(Effect.scoped, Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
        assert.lengthOf(warnings, 1)
        assert.match(warnings[0]!, /grow on\. .*fallocate \(of util-linux\) is not installed/)
        assert.deepStrictEqual(fs.readdirSync(path.dirname(paths.stdout)), ["stdout.log"])
        assert.strictEqual(onDisk(paths.stdout), 2 * mebibyte)
      }),
  )
})

describe("killing", () => {
  const killing = (paths: Paths, onExceeded: Effect.Effect<unknown>): LogCap.Options => ({
    paths,
    maxLogBytes: 100_000,
    policy: "kill",
    onExceeded,
  })

  it.scopedLive("is asked for once, when both logs together have more than the limit", () =>
    Effect.gen(function* () {
      const paths = yield* logs
      const exceeded = yield* Deferred.make<number>()
      let times = 0
      const spy = yield* spyWatcher()
      const watching = LogCap.watch(
        killing(
          paths,
          Effect.suspend(() => {
            times++
            return Deferred.succeed(exceeded, sizeOf(paths.stdout) + sizeOf(paths.stderr))
          }),
        ),
      )
      fs.appendFileSync(paths.stdout, Buffer.alloc(60_000))
      fs.appendFileSync(paths.stderr, Buffer.alloc(40_000))
      yield* watchedBy(spy)(watching)
      yield* until("both were looked at and are watched", () => spy.open() === 2)
      fs.appendFileSync(paths.stderr, "x")
      assert.strictEqual(yield* Deferred.await(exceeded), 100_001)
      yield* until("the watch is over", () => spy.open() === 0)
      assert.strictEqual(times, 1)
    }),
  )

  it.scopedLive("also for what was written before it was watched", () =>
    Effect.gen(function* () {
      const paths = yield* logs
      fs.writeFileSync(paths.stderr, Buffer.alloc(200_000))
      const exceeded = yield* Deferred.make<void>()
      yield* LogCap.watch(killing(paths, Deferred.succeed(exceeded, undefined)))
      yield* Deferred.await(exceeded)
    }),
  )
})
