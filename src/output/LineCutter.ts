/** Cuts bytes into lines that know their offsets, whatever way the bytes were split into chunks. */
import * as LineSplitter from "../process/LineSplitter.js"
import * as Utf8 from "./Utf8.js"

/** A line without its end. */
export interface Line {
  readonly text: string
  /** Of its first byte. */
  readonly offset: number
  /** Of the first byte after its end. */
  readonly nextOffset: number
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

/** The longest piece, in bytes: 8 KiB. A longer line comes in pieces, none of which cuts a character. */
const lineCap = LineSplitter.defaultLineCap

/** Cuts one file. Lines end with `\n` or `\r\n`; bytes that are not UTF-8 become U+FFFD. */
export class LineCutter {
  private rest = new Uint8Array(0)
  /** Where `rest` ends. */
  private offset = 0

  /** The lines that `bytes`, which stand at `offset`, complete. */
  push(bytes: Uint8Array, offset: number): ReadonlyArray<Line> {
    const all = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    const first = offset - this.rest.length
    this.offset = offset + bytes.length
    const lines: Array<Line> = []
    const emit = (start: number, end: number, next: number): void => {
      lines.push({ text: Utf8.decode(all, start, end), offset: first + start, nextOffset: first + next })
    }
    let start = 0
    while (true) {
      const found = all.indexOf(lineFeed, start)
      const end = found === -1 ? all.length : found
      while (end - start > lineCap) {
        const cut = Utf8.completeEnd(all, start + lineCap)
        emit(start, cut, cut)
        start = cut
      }
      if (found === -1) break
      emit(start, found > start && all[found - 1] === carriageReturn ? found - 1 : found, found + 1)
      start = found + 1
    }
    this.rest = all.slice(start)
    return lines
  }

  /** The last line, when it has no end. Then the cutter is as new. */
  flush(): ReadonlyArray<Line> {
    const { offset, rest } = this
    this.rest = new Uint8Array(0)
    if (rest.length === 0) return []
    return [{ text: Utf8.decode(rest), offset: offset - rest.length, nextOffset: offset }]
  }
}
