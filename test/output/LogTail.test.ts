import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as LogTail from "../../src/output/LogTail.js"
import { descriptorsIn, directory, logFile, replacing } from "./support.js"

/** The same, of the whole file in memory: decoded character by character. */
const naive = (bytes: Buffer, lines: number, maxBytes: number): { text: string; startOffset: number } => {
  const text = new TextDecoder("utf-8", { ignoreBOM: true })
  // Every place at which decoding can begin without changing the text.
  const all = text.decode(bytes)
  const isBoundary = (at: number) =>
    text.decode(bytes.subarray(0, at)) + text.decode(bytes.subarray(at)) === all
  let start = bytes.length
  let left = lines
  while (start > 0 && left > 0) {
    const before = bytes.lastIndexOf(0x0a, start - 2)
    start = start >= 2 && before !== -1 ? before + 1 : 0
    left--
  }
  start = Math.max(start, bytes.length - maxBytes)
  while (!isBoundary(start)) start++
  return { text: text.decode(bytes.subarray(start)), startOffset: start }
}

const contents = FastCheck.array(
  FastCheck.oneof(
    FastCheck.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)),
    FastCheck.constantFrom("\n", "\r\n", "\n\n", "line", "žluť", "日本", "🦊").map((text) =>
      Buffer.from(text),
    ),
  ),
  { maxLength: 40 },
).map((parts) => Buffer.concat(parts))

describe("tail", () => {
  it.scopedLive("of any bytes is what a naive reading of the whole file gives", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      yield* Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(
            contents,
            FastCheck.nat(12),
            FastCheck.nat(60),
            async (bytes, lines, maxBytes) => {
              fs.writeFileSync(log, bytes)
              const tail = await Effect.runPromise(LogTail.tail(log, { lines, maxBytes, ended: true }))
              const { startOffset, text } = naive(bytes, lines, maxBytes)
              assert.deepStrictEqual(tail, {
                text,
                encoding: "utf-8-lossy",
                observedBytes: bytes.length,
                includedBytes: bytes.length - startOffset,
                truncated: startOffset > 0,
                startOffset,
                nextOffset: bytes.length,
              })
            },
          ),
          { numRuns: 1_000 },
        ),
      )
    }),
  )

  it.scopedLive("over many blocks, of lines longer than a block", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 40 }, (_, i) => `${i} ${"日".repeat((i % 7) * 9_000)}`)
      const log = yield* logFile(`${lines.join("\n")}\n`)
      for (const count of [1, 2, 7, 20, 39, 40, 41]) {
        const tail = yield* LogTail.tail(log, { lines: count, maxBytes: 67_108_864 })
        assert.strictEqual(tail.text, `${lines.slice(-count).join("\n")}\n`)
        assert.strictEqual(tail.truncated, count < 40)
      }
    }),
  )

  it.scopedLive("has 50 lines and 65536 bytes at most by default, and starts with a whole character", () =>
    Effect.gen(function* () {
      const many = yield* logFile(Array.from({ length: 1_000 }, (_, i) => `${i}\r\n`).join(""))
      const lines = yield* LogTail.tail(many)
      assert.strictEqual(lines.text, Array.from({ length: 50 }, (_, i) => `${i + 950}\r\n`).join(""))
      const long = yield* logFile(`first\n${"日本語🦊".repeat(10_000)}`)
      const bytes = yield* LogTail.tail(long)
      assert.isAtMost(bytes.includedBytes, 65_536)
      assert.isAbove(bytes.includedBytes, 65_532)
      assert.isTrue(bytes.truncated)
      assert.notInclude(bytes.text, "\ufffd")
      assert.strictEqual(Buffer.byteLength(bytes.text), bytes.includedBytes)
    }),
  )

  it.scopedLive("half a character at the end is left to whoever reads on, or shown when nobody will", () =>
    Effect.gen(function* () {
      const log = yield* logFile(Buffer.from([0x61, 0x0a, 0xe6, 0x97]))
      const going = yield* LogTail.tail(log)
      assert.deepInclude(going, {
        text: "a\n",
        observedBytes: 4,
        includedBytes: 2,
        nextOffset: 2,
        truncated: false,
      })
      const ended = yield* LogTail.tail(log, { ended: true })
      assert.deepInclude(ended, { text: "a\n\ufffd", includedBytes: 4, nextOffset: 4 })
      const none = yield* LogTail.tail(log, { lines: 0 })
      assert.deepInclude(none, { text: "", includedBytes: 0, nextOffset: 2, truncated: true })
      const one = yield* LogTail.tail(log, { maxBytes: 1 })
      assert.deepInclude(one, { text: "", includedBytes: 0, nextOffset: 2, truncated: true })
    }),
  )

  it.scopedLive("reads a few blocks of a huge file, whatever there is in front", () =>
    Effect.gen(function* () {
      const log = yield* logFile()
      const descriptor = fs.openSync(log, "w")
      const end = Buffer.from("\nlast but one\nlast\n")
      const size = 4 * 2 ** 30
      fs.writeSync(descriptor, end, 0, end.length, size - end.length)
      fs.closeSync(descriptor)
      const { readBytes } = yield* countingReads(() => LogTail.tail(log, { lines: 2 }))
      assert.strictEqual(readBytes, 16_384)
      const tail = yield* LogTail.tail(log, { lines: 2 })
      assert.deepInclude(tail, {
        text: "last but one\nlast\n",
        observedBytes: size,
        includedBytes: 18,
        truncated: true,
      })
      // Without a newline: as much as the cap, and the few bytes that tell where a character starts.
      fs.truncateSync(log, 2 ** 30)
      const oneLine = yield* countingReads(() => LogTail.tail(log))
      assert.strictEqual(oneLine.readBytes, 65_536 + 3)
      assert.deepInclude(oneLine.result, { includedBytes: 65_536, observedBytes: 2 ** 30, truncated: true })
    }),
  )

  it.scopedLive(
    "an empty file is empty, a missing one is missing, and others are told by what is wrong",
    () =>
      Effect.gen(function* () {
        const log = yield* logFile("")
        const empty = yield* LogTail.tail(log)
        assert.deepInclude(empty, {
          text: "",
          observedBytes: 0,
          includedBytes: 0,
          truncated: false,
          nextOffset: 0,
        })
        const missing = yield* Effect.flip(LogTail.tail(`${log}.none`))
        assert.strictEqual(missing._tag, "LogMissing")
        assert.include(missing.message, `${log}.none`)
        const folder = yield* Effect.flip(LogTail.tail(path.dirname(log)))
        assert.include(folder.message, "it is a directory (EISDIR)")
        const device = yield* Effect.flip(LogTail.tail("/dev/zero"))
        assert.include(device.message, "not a regular file")
        const nul = yield* Effect.flip(LogTail.tail("a\0b"))
        assert.include(nul.message, "NUL")
        for (const options of [{ lines: -1 }, { lines: 1.5 }, { maxBytes: Number.NaN }, { maxBytes: 1e12 }]) {
          const invalid = yield* Effect.flip(LogTail.tail(log, options))
          assert.strictEqual(invalid._tag, "InvalidSpec")
          assert.include(invalid.message, `${Object.keys(options)[0]}: got`)
        }
      }),
  )

  it.scopedLive.skipIf(process.getuid?.() === 0)("a file that may not be read says so", () =>
    Effect.gen(function* () {
      const log = yield* logFile("secret")
      fs.chmodSync(log, 0)
      const refused = yield* Effect.flip(LogTail.tail(log))
      assert.include(refused.message, "permission is denied (EACCES)")
    }),
  )

  it.scopedLive("what the system refuses is told by its name, and what to do", () =>
    Effect.gen(function* () {
      const log = yield* logFile("text")
      for (const [code, tag, words] of [
        ["EMFILE", "NoDescriptorLeft", "raise the limit"],
        ["ENFILE", "NoDescriptorLeft", "the system has no file descriptor left"],
        ["EACCES", "LogUnreadable", "permission is denied (EACCES). Give its reader"],
        ["EIO", "LogUnreadable", "(EIO)"],
      ] as const) {
        const fails = (...args: ReadonlyArray<unknown>): void => {
          const done = args.at(-1) as (cause: Error) => void
          setImmediate(() => done(Object.assign(new Error(`${code}: made up`), { code })))
        }
        const opening = yield* replacing("open", () => fails, Effect.flip(LogTail.tail(log)))
        assert.strictEqual(opening._tag, tag)
        assert.include(opening.message, log)
        assert.include(opening.message, words)
        const reading = yield* replacing("read", () => fails, Effect.flip(LogTail.tail(log)))
        assert.strictEqual(reading._tag, tag)
        assert.strictEqual(descriptorsIn(log), 0)
      }
    }),
  )

  it.scopedLive("a file that gets shorter while it is read gives the tail of what is left", () =>
    Effect.gen(function* () {
      const lines = Array.from({ length: 100_000 }, (_, i) => `line ${i}\n`)
      const log = yield* logFile(lines.join(""))
      for (const left of [0, 1, 600_000]) {
        fs.writeFileSync(log, lines.join(""))
        const tail = yield* duringRead(LogTail.tail(log, { lines: 3 }), () => fs.truncateSync(log, left))
        const expected = yield* LogTail.tail(log, { lines: 3 })
        assert.deepStrictEqual(tail, expected)
        assert.strictEqual(tail.observedBytes, left)
      }
    }),
  )

  it.scopedLive("a file that is replaced while it is read gives the old one", () =>
    Effect.gen(function* () {
      const log = yield* logFile("old\n")
      const tail = yield* duringRead(LogTail.tail(log), () => {
        fs.writeFileSync(`${log}.new`, "newer and longer\n")
        fs.renameSync(`${log}.new`, log)
      })
      assert.strictEqual(tail.text, "old\n")
    }),
  )

  it.scopedLive("closes what it opens, whether it succeeds, fails or is interrupted", () =>
    Effect.gen(function* () {
      const where = yield* directory
      const log = path.join(where, "out.log")
      fs.writeFileSync(log, "text\n".repeat(100_000))
      yield* Effect.all(
        Array.from({ length: 50 }, (_, i) =>
          i % 3 === 0
            ? Effect.timeoutOption(LogTail.tail(log, { lines: 100_000, maxBytes: 600_000 }), i / 10)
            : Effect.either(LogTail.tail(i % 3 === 1 ? log : where)),
        ),
        { concurrency: 10 },
      )
      assert.strictEqual(descriptorsIn(where), 0)
    }),
  )
})

/** Runs `change` when the file is open and its size is known, before the first read of it. */
const duringRead = <A, E>(run: Effect.Effect<A, E>, change: () => void): Effect.Effect<A, E> =>
  withRead(run, () => {
    const once = change
    change = () => {}
    once()
  })

const countingReads = <A, E>(run: () => Effect.Effect<A, E>) => {
  let readBytes = 0
  return Effect.map(
    withRead(run(), (length) => {
      readBytes += length
    }),
    (result) => ({ result, readBytes }),
  )
}

/** Sees every read before it is made. */
const withRead = <A, E>(run: Effect.Effect<A, E>, onRead: (length: number) => void): Effect.Effect<A, E> =>
  replacing(
    "read",
    (read) =>
      (fd: number, buffer: Buffer, offset: number, length: number, position: number, done: () => void) => {
        onRead(length)
        read(fd, buffer, offset, length, position, done)
      },
    run,
  )
