import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { LineCutter } from "../../src/output/LineCutter.js"
import { LineRing } from "../../src/output/LineRing.js"
import { cut, type LogLine } from "../../src/output/LogLine.js"
import { lineCap, RunCutter } from "../../src/output/RunCutter.js"

const bytes = (text: string) => Buffer.from(text)

const limits = { lines: 1_000, followedBytes: 0, pendingBytes: 0 }

/** A ring, and the two streams of a process that write to it. */
const make = (options: Partial<typeof limits> = {}, now = () => 0) => {
  const ring = new LineRing(0, { ...limits, ...options }, undefined)
  const cutters = { stdout: new RunCutter(ring, 0, 1, now), stderr: new RunCutter(ring, 1, 1, now) }
  return { ring, ...cutters }
}

const all = (ring: LineRing): Array<LogLine> => {
  const lines: Array<LogLine> = []
  ring.read(0, Infinity, Infinity, lines)
  return lines
}

const texts = (lines: ReadonlyArray<LogLine>) => lines.map(({ text }) => text)

interface Plain {
  readonly seq: number
  readonly stream: "stdout" | "stderr"
  readonly text: string
  readonly continued: boolean
}

/** What a plain reading of the rules makes of the same chunks: line by line, with one cutter for each stream. */
class Model {
  readonly lines: Array<Plain> = []
  private readonly streams = {
    stdout: { cutter: new LineCutter(), bytes: Buffer.alloc(0) },
    stderr: { cutter: new LineCutter(), bytes: Buffer.alloc(0) },
  }

  push(stream: "stdout" | "stderr", chunk: Buffer): void {
    const { bytes, cutter } = this.streams[stream]
    const all = (this.streams[stream].bytes = Buffer.concat([bytes, chunk]))
    for (const { nextOffset, text } of cutter.push(chunk, bytes.length))
      this.add(stream, text, all[nextOffset - 1] !== 0x0a)
  }

  /** What is left ends like a line, which may have a carriage return before its end. */
  flush(): void {
    for (const stream of ["stdout", "stderr"] as const)
      for (const { text } of this.streams[stream].cutter.flush())
        this.add(stream, text.replace(/\r$/, ""), false)
  }

  private add(stream: "stdout" | "stderr", text: string, continued: boolean): void {
    this.lines.push({ seq: this.lines.length + 1, stream, text, continued })
  }
}

const long = "y".repeat(lineCap - 3)

/** Short and long lines, with and without ends, whole characters and parts of some. */
const chunk = FastCheck.record({
  stream: FastCheck.constantFrom("stdout" as const, "stderr" as const),
  parts: FastCheck.array(
    FastCheck.oneof(
      FastCheck.constantFrom(
        "\n",
        "\r\n",
        "\r",
        "a",
        "word ",
        "日本語",
        "🦊",
        long,
        "z".repeat(3 * lineCap),
      ).map(bytes),
      FastCheck.uint8Array({ maxLength: 5 }).map((array) => Buffer.from(array)),
    ),
    { maxLength: 6 },
  ),
})

describe("lines", () => {
  it.prop(
    "of random chunks of random streams are those that a plain reading of the rules gives",
    {
      chunks: FastCheck.array(chunk, { maxLength: 30 }),
      cuts: FastCheck.array(FastCheck.nat(40), { minLength: 1 }),
    },
    ({ chunks, cuts }) => {
      const { ring, stderr, stdout } = make({ lines: 1e9 })
      const model = new Model()
      chunks.forEach(({ parts, stream }, index) => {
        const whole = Buffer.concat(parts)
        // Cut anywhere, so that characters and line ends are cut as well.
        const at = Math.min(whole.length, cuts[index % cuts.length]!)
        for (const piece of [whole.subarray(0, at), whole.subarray(at)]) {
          ;(stream === "stdout" ? stdout : stderr).push(piece)
          model.push(stream, piece)
        }
      })
      model.flush()
      stdout.flush()
      stderr.flush()
      const seen = all(ring).map(({ continued, seq, stream, text }) => ({ seq, stream, text, continued }))
      assert.deepStrictEqual<unknown>(seen, model.lines)
    },
  )

  it("half lines of two streams do not mix", () => {
    const { ring, stderr, stdout } = make()
    stdout.push(bytes("on"))
    stderr.push(bytes("oo"))
    stdout.push(bytes("e\ntw"))
    stderr.push(bytes("ps\n"))
    stdout.push(bytes("o"))
    stdout.flush()
    stderr.flush()
    assert.deepStrictEqual(
      all(ring).map(({ seq, stream, text }) => `${seq} ${stream} ${text}`),
      ["1 stdout one", "2 stderr oops", "3 stdout two"],
    )
  })

  it("a character that is cut between chunks is whole", () => {
    const { ring, stdout } = make()
    for (const byte of bytes("žluť 🦊\n")) stdout.push(Uint8Array.of(byte))
    assert.deepStrictEqual(texts(all(ring)), ["žluť 🦊"])
  })

  it("line ends of both kinds and empty lines", () => {
    const { ring, stdout } = make()
    stdout.push(bytes("\n\r\na\r"))
    stdout.push(bytes("\nb\rc\n"))
    assert.deepStrictEqual(texts(all(ring)), ["", "", "a", "b\rc"])
  })

  it("of up to 8 KiB are whole, longer ones are split and marked, and no character is cut", () => {
    const { ring, stdout } = make()
    const whole = "x".repeat(lineCap)
    stdout.push(bytes(`${whole}\n${whole}y\nshort\n${"🦊".repeat(lineCap / 4)}é`))
    stdout.flush()
    const lines = all(ring)
    assert.deepStrictEqual(
      lines.map(({ continued, seq, text }) => [seq, Buffer.byteLength(text), continued]),
      [
        [1, lineCap, false],
        [2, lineCap, true],
        [3, 1, false],
        [4, 5, false],
        [5, lineCap, true],
        [6, 2, false],
      ],
    )
    assert.notInclude(texts(lines).join(""), "\ufffd")
  })

  it("a line of 64 MiB without an end costs no more than the lines that are kept", () => {
    const { ring, stdout } = make({ lines: 10 })
    const piece = Buffer.alloc(65_536, "x")
    let most = 0
    for (let i = 0; i < 1_024; i++) {
      stdout.push(piece)
      most = Math.max(most, ring.last - ring.first + 1)
    }
    // One run more than asked for, at most.
    assert.isAtMost(most, 10 + 9)
    assert.strictEqual(ring.last, (1_024 * 65_536) / lineCap - 1)
    stdout.push(bytes("end\n"))
    const [before, last] = ring.latest(2, undefined)
    assert.deepInclude(before, { continued: true, text: "x".repeat(lineCap) })
    assert.deepInclude(last, { continued: false, text: "end" })
  })

  it("of one chunk are kept with less memory than a chunk each", () => {
    const { ring, stdout } = make({}, () => 5)
    const chunk = Buffer.alloc(65_536)
    for (let i = 0; i < 500; i++) {
      chunk.write("x\n")
      stdout.push(chunk.subarray(0, 2))
    }
    // What was read is not what is kept.
    chunk.fill(0)
    assert.strictEqual(ring.first, 1)
    assert.isTrue(all(ring).every(({ text }) => text === "x"))
    const runs = ring.take(Infinity)
    assert.strictEqual(runs.length < 10, true, `${runs.length} runs`)
    ring.release(runs)
  })
})

describe("a ring", () => {
  it("keeps the last lines, and the numbers go on", () => {
    const { ring, stdout } = make({ lines: 3 })
    for (let i = 1; i <= 10; i++) stdout.push(bytes(`${i}\n`))
    assert.isAtLeast(ring.last - ring.first + 1, 3)
    assert.deepStrictEqual(texts(ring.latest(3, undefined)), ["8", "9", "10"])
    assert.deepStrictEqual(
      ring.latest(2, undefined).map(({ seq }) => seq),
      [9, 10],
    )
    assert.deepStrictEqual(ring.latest(0, undefined), [])
  })

  it("gives the last lines of one life", () => {
    const ring = new LineRing(0, limits, undefined)
    for (const generation of [1, 2, 1]) {
      new RunCutter(ring, 0, generation, () => 0).push(bytes(`a${generation}\nb${generation}\n`))
    }
    assert.deepStrictEqual(texts(ring.latest(3, 1)), ["b1", "a1", "b1"])
    assert.deepStrictEqual(texts(ring.latest(9, 2)), ["a2", "b2"])
  })

  it("keeps more while somebody follows, and lets it go again", () => {
    const { ring, stdout } = make(
      { lines: 2, followedBytes: 10_000 },
      (() => {
        let time = 0
        return () => time++
      })(),
    )
    const push = () => {
      for (let i = 0; i < 100; i++) stdout.push(Buffer.alloc(1_000, "x\n"))
    }
    push()
    assert.strictEqual(ring.last - ring.first + 1, 500)
    const leave = ring.follow()
    push()
    assert.strictEqual(ring.last - ring.first + 1, 5_000)
    leave()
    assert.strictEqual(ring.last - ring.first + 1, 500)
  })

  it("drops what nobody takes, the oldest first, and what was taken stays as it is", () => {
    let time = 0
    const { ring, stdout } = make({ lines: 1, pendingBytes: 1_000_000 }, () => time++)
    const line = (index: number) => `${index} `.padEnd(99_999, "x").replaceAll("x", "x\n") + "\n"
    stdout.push(bytes(line(0)))
    const taken = ring.take(1)
    for (let i = 1; i <= 40; i++) stdout.push(bytes(line(i)))
    assert.isAtMost(ring.pending, 1_000_000)
    const lines: Array<LogLine> = []
    for (const run of taken) cut(run, 0, 1, lines)
    assert.strictEqual(lines[0]!.text, "0 x")
    assert.strictEqual(taken[0]!.first, 1)
    ring.release(taken)
    const [next] = ring.take(1)
    assert.isAbove(next!.first, taken.at(-1)!.first + taken.at(-1)!.lines)
  })

  it("when many of them wait at once, all together keep no more than 64 MiB and a little each", () => {
    const rings = Array.from({ length: 24 }, () => make({ lines: 1, pendingBytes: 4_194_304 }))
    const piece = Buffer.alloc(65_536, "x\n")
    for (const { stdout } of rings) for (let i = 0; i < 80; i++) stdout.push(piece)
    const pending = rings.map(({ ring }) => ring.pending)
    assert.isAtMost(Math.max(...pending), 4_194_304)
    assert.isAtMost(
      pending.reduce((sum, bytes) => sum + bytes, 0),
      67_108_864 + rings.length * 65_536,
    )
    assert.isAbove(Math.min(...pending), 0)
    for (const { ring } of rings) ring.giveUp()
    // Then there is room again.
    const { ring, stdout } = make({ lines: 1, pendingBytes: 4_194_304 })
    for (let i = 0; i < 80; i++) stdout.push(piece)
    assert.isAbove(ring.pending, 4_000_000)
    ring.giveUp()
  })
})
