import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as FastCheck from "effect/FastCheck"
import * as LineSplitter from "../../src/process/LineSplitter.js"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { eventually, sh } from "./support.js"

/** Waits until a process sleeps. */
const asleep = (pid: number) =>
  process.platform === "linux"
    ? eventually("it sleeps", () => /\) S /.test(readFileSync(`/proc/${pid}/stat`, "latin1")))
    : Effect.void

const bytes = (text: string) => Buffer.from(text)

const texts = (items: Iterable<ProcessOutput.Chunk | ProcessOutput.Gap>) =>
  Array.from(items, (item) =>
    item._tag === "Chunk" ? Buffer.from(item.bytes).toString() : `gap ${item.missedBytes}`,
  )

describe("lines", () => {
  it("whatever way the bytes are cut, the lines are the same", () => {
    const text = "plain\nwith carriage return\r\n\nžluťoučký 日本語 🦊\n\r\nlast without end"
    const whole = LineSplitter.make()
    const expected = [...whole.push(bytes(text)), ...whole.flush()]
    assert.strictEqual(expected.length, 6)
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.integer({ min: 1, max: 7 }), { minLength: 1 }),
        (sizes) => {
          const splitter = LineSplitter.make()
          const lines: Array<LineSplitter.Line> = []
          const all = bytes(text)
          for (let start = 0, i = 0; start < all.length; i++) {
            const end = start + sizes[i % sizes.length]!
            lines.push(...splitter.push(all.subarray(start, end)))
            start = end
          }
          lines.push(...splitter.flush())
          assert.deepStrictEqual(lines, expected)
        },
      ),
    )
  })

  it("a line longer than the cap comes in marked pieces, none of which cuts a character", () => {
    const splitter = LineSplitter.make(5)
    const lines = [
      ...splitter.push(bytes("1234🦊5678")),
      ...splitter.push(bytes("9\nshort\n")),
      ...splitter.flush(),
    ]
    assert.deepStrictEqual(lines, [
      { text: "1234", continued: true },
      { text: "🦊567", continued: true },
      { text: "89", continued: false },
      { text: "short", continued: false },
    ])
  })

  it("bytes that are not UTF-8 become replacement characters", () => {
    const splitter = LineSplitter.make()
    assert.deepStrictEqual(splitter.push(new Uint8Array([0x61, 0xff, 0x62, 0x0a])), [
      { text: "a\ufffdb", continued: false },
    ])
  })
})

describe("output", () => {
  it.scoped("every reader gets everything from its subscription on, and the end", () =>
    Effect.gen(function* () {
      const hub = ProcessOutput.make()
      const seen: Array<string> = []
      hub.subscribeLines(
        ({ source, text }) => seen.push(`${source}: ${text}`),
        () => seen.push("end"),
      )
      hub.offer("stdout", bytes("on"))
      hub.offer("stderr", bytes("oops\n"))
      hub.offer("stdout", bytes("e\ntwo"))
      const late = yield* hub.stream()
      hub.offer("stdout", bytes("!"))
      hub.end()
      assert.deepStrictEqual(seen, ["stderr: oops", "stdout: one", "stdout: two!", "end"])
      assert.deepStrictEqual(texts(yield* Stream.runCollect(late)), ["!"])
      yield* hub.ended
      assert.deepStrictEqual(Chunk.toArray(yield* Stream.runCollect(yield* hub.stream())), [])
      assert.strictEqual(hub.bytes(), 13)
    }),
  )

  it.scoped("a slow reader is told how many bytes it missed; a quick one misses none", () =>
    Effect.gen(function* () {
      const hub = ProcessOutput.make()
      const slow = yield* hub.stream({ bufferBytes: 2 * (4 + 128) })
      const quick: Array<string> = []
      hub.subscribe((chunk) => quick.push(Buffer.from(chunk.bytes).toString()))
      for (const text of ["aaaa", "bbbb", "cccc", "dddd"]) hub.offer("stdout", bytes(text))
      hub.end()
      assert.deepStrictEqual(quick, ["aaaa", "bbbb", "cccc", "dddd"])
      assert.deepStrictEqual(texts(yield* Stream.runCollect(slow)), ["gap 8", "cccc", "dddd"])
    }),
  )

  it("the tail is the last 8 KiB and starts with a whole character", () => {
    const hub = ProcessOutput.make()
    for (let i = 0; i < 5_000; i++) hub.offer(i % 2 === 0 ? "stdout" : "stderr", bytes("日本"))
    const tail = hub.tail()
    assert.isAtMost(Buffer.byteLength(tail), 8_192)
    assert.isAbove(Buffer.byteLength(tail), 8_100)
    assert.notInclude(tail, "\ufffd")
    hub.offer("stdout", Buffer.alloc(100_000, "x"))
    assert.strictEqual(hub.tail(), "x".repeat(8_192))
  })

  it.scopedLive("a process that floods its output is drained though nobody reads", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const flood = yield* spawner.spawn({
        command: sh("head -c 50000000 /dev/zero; head -c 1000000 /dev/zero >&2"),
      })
      yield* flood.exit
      yield* flood.output.ended
      assert.strictEqual(flood.output.bytes(), 51_000_000)
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("a stalled reader does not hold up the process, unless the spec asks for it", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      for (const whenFull of ["drop", "block"] as const) {
        const output = ProcessOutput.make({ whenFull })
        const held = yield* Deferred.make<void>()
        const started = yield* Deferred.make<void>()
        const stream = yield* output.stream({ bufferBytes: 100_000 })
        const reader = yield* stream.pipe(
          Stream.tap(() => Effect.andThen(Deferred.succeed(started, undefined), Deferred.await(held))),
          Stream.runFold(0, (sum, item) => sum + (item._tag === "Chunk" ? item.bytes.length : 0)),
          Effect.fork,
        )
        const flood = yield* spawner.spawn(
          { command: ["head", "-c", "5000000", "/dev/zero"], whenFull },
          { output },
        )
        yield* Deferred.await(started)
        if (whenFull === "drop") {
          yield* flood.exit
          yield* output.ended
          yield* Deferred.succeed(held, undefined)
          assert.isBelow(yield* Fiber.join(reader), 5_000_000)
        } else {
          // It has filled the reader's buffer, the hub's pipe and its own, and waits: more than that is not read.
          yield* eventually("the pipe is full", () => output.bytes() >= 100_000)
          let read: number
          do {
            read = output.bytes()
            yield* asleep(flood.pid)
            yield* Effect.sleep("20 millis")
          } while (output.bytes() !== read)
          assert.isBelow(read, 5_000_000)
          assert.isUndefined(flood.exitNow())
          yield* Deferred.succeed(held, undefined)
          yield* flood.exit
          assert.strictEqual(yield* Fiber.join(reader), 5_000_000)
        }
      }
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )
})
