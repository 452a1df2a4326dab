/**
 * Takes the bytes of one stream, whatever way they were split into chunks, and adds its lines to a ring. The work is done
 * per chunk: line ends are counted, and the bytes are copied once.
 */
import * as LineSplitter from "../process/LineSplitter.js"
import type { LineRing } from "./LineRing.js"
import * as PassingBytes from "./PassingBytes.js"
import * as Utf8 from "./Utf8.js"

/** The longest line kept whole, in bytes: 8 KiB. A longer one becomes several, none of which cuts a character. */
export const lineCap = LineSplitter.defaultLineCap

/** A larger chunk is taken in parts. */
const mostBytes = 65_536

const lineFeed = 0x0a

/** How many lines end in `bytes`, of which so many bytes were held before; -1 when one of them is too long. */
const countLines = (bytes: Buffer, held: number): number => {
  let lines = 0
  let latest = lineCap - held
  for (let at = bytes.indexOf(lineFeed); at !== -1; at = bytes.indexOf(lineFeed, at + 1)) {
    if (at > latest) return -1
    lines++
    latest = at + 1 + lineCap
  }
  return lines
}

/** Cuts one stream of one process. */
export class RunCutter {
  /** The line that has no end yet. */
  private held = Buffer.alloc(0)
  private size = 0

  constructor(
    private readonly ring: LineRing,
    private readonly stream: number,
    private readonly generation: number,
    private readonly now: () => number,
  ) {}

  /** Takes the next bytes. They are not kept. */
  push(bytes: Uint8Array): void {
    const { buffer, byteLength, byteOffset } = bytes
    PassingBytes.pass(byteLength)
    for (let start = 0; start < byteLength; start += mostBytes)
      this.take(Buffer.from(buffer, byteOffset + start, Math.min(mostBytes, byteLength - start)))
  }

  /** The stream has ended: a last line without an end is a line. */
  flush(): void {
    if (this.size > 0) this.add(this.held, 0, 0, 1, false, true)
    this.held = Buffer.alloc(0)
  }

  private take(bytes: Buffer): void {
    const end = bytes.lastIndexOf(lineFeed) + 1
    const left = bytes.length - end
    const lines = end === 0 ? 0 : countLines(bytes, this.size)
    if (lines < 0 || (end === 0 ? this.size : 0) + left > lineCap) return this.takeLong(bytes)
    if (lines > 0) this.add(bytes, 0, end, lines, false, false)
    if (left > 0) this.keep(bytes, end)
  }

  /** As `take`, where there is a line that has to be split. */
  private takeLong(bytes: Buffer): void {
    const all = Buffer.concat([this.held.subarray(0, this.size), bytes])
    this.size = 0
    /** Where the lines begin that are not too long, and were not added yet. */
    let from = 0
    let lines = 0
    let start = 0
    while (true) {
      const found = all.indexOf(lineFeed, start)
      const end = found === -1 ? all.length : found
      if (end - start > lineCap) {
        if (lines > 0) this.add(all, from, start, lines, false, false)
        while (end - start > lineCap) {
          const stop = Utf8.completeEnd(all, start + lineCap)
          this.add(all, start, stop, 1, true, true)
          start = stop
        }
        from = start
        lines = 0
      }
      if (found === -1) break
      lines++
      start = found + 1
    }
    if (lines > 0) this.add(all, from, start, lines, false, false)
    this.keep(all, start)
  }

  /** Adds lines: what was held, then the bytes from `start` to `end`, then the end of the line if they lack it. */
  private add(
    bytes: Buffer,
    start: number,
    end: number,
    lines: number,
    continued: boolean,
    isOpen: boolean,
  ): void {
    const length = this.size + end - start + (isOpen ? 1 : 0)
    const slab = this.ring.reserve(length)
    const behind = slab.used + this.size
    if (this.size > 0) this.held.copy(slab.bytes, slab.used, 0, this.size)
    bytes.copy(slab.bytes, behind, start, end)
    if (isOpen) slab.bytes[slab.used + length - 1] = lineFeed
    this.size = 0
    const { generation, stream } = this
    this.ring.add(slab, length, lines, { at: this.now(), stream, continued, generation })
  }

  /** Copies the beginning of a line: it must not keep the whole chunk it came in alive. */
  private keep(bytes: Buffer, start: number): void {
    const needed = this.size + bytes.length - start
    if (needed > this.held.length) {
      const held = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(lineCap, this.held.length * 2)))
      this.held.copy(held, 0, 0, this.size)
      this.held = held
    }
    bytes.copy(this.held, this.size, start)
    this.size = needed
  }
}
