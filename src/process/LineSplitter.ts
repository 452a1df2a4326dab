/**
 * Cuts bytes into lines, whatever way they were split into chunks. A character is never cut in two, a line without
 * an end never grows past the cap, and memory stays below one line.
 */
import { StringDecoder } from "node:string_decoder"

/** The longest line kept whole, in UTF-16 code units: 8 Ki. A longer one is handed out in pieces. */
export const defaultLineCap = 8_192

/** A line without its end. `continued` says that the line was longer than the cap and goes on in the next one. */
export interface Line {
  readonly text: string
  readonly continued: boolean
}

/** A splitter for one byte stream. */
export interface LineSplitter {
  /** The lines that `bytes` completes. */
  readonly push: (bytes: Uint8Array) => ReadonlyArray<Line>
  /** What is left when the stream ends: the last line, if it had no line end. */
  readonly flush: () => ReadonlyArray<Line>
}

/** Lines end with `\n` or `\r\n`; bytes that are not UTF-8 become U+FFFD. */
export const make = (lineCap: number = defaultLineCap): LineSplitter => {
  const decoder = new StringDecoder("utf8")
  let rest = ""

  const emit = (lines: Array<Line>, text: string, ended: boolean): void => {
    let start = 0
    while (text.length - start > lineCap) {
      // Not between the two halves of a surrogate pair.
      const last = text.charCodeAt(start + lineCap - 1)
      const end = start + lineCap - (last >= 0xd800 && last <= 0xdbff ? 1 : 0)
      lines.push({ text: text.slice(start, end), continued: true })
      start = end
    }
    const left = start === 0 ? text : text.slice(start)
    if (ended) lines.push({ text: left.endsWith("\r") ? left.slice(0, -1) : left, continued: false })
    else rest = left
  }

  const take = (text: string): Array<Line> => {
    const lines: Array<Line> = []
    let start = 0
    let newline = text.indexOf("\n")
    while (newline !== -1) {
      const line = text.slice(start, newline)
      const whole = rest === "" ? line : rest + line
      rest = ""
      emit(lines, whole, true)
      start = newline + 1
      newline = text.indexOf("\n", start)
    }
    if (start < text.length) {
      const whole = rest + text.slice(start)
      rest = ""
      emit(lines, whole, false)
    }
    return lines
  }

  return {
    push: (bytes) => take(decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))),
    flush: () => {
      const lines = take(decoder.end())
      if (rest !== "") {
        const text = rest
        rest = ""
        lines.push({ text, continued: false })
      }
      return lines
    },
  }
}
