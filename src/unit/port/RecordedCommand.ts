/** A command as the record of an instance has it, and whether a live process still has it. */
import { basename } from "node:path"
import * as Mask from "../../process/Mask.js"

/** Longer ones are cut, as records are to be small: at so many characters. */
const cap = 1_000

const cutSign = "…"

/** A command as the system shows it, but with masked values replaced, and cut. */
export const make = (redacted: ReadonlyArray<string>): string => {
  const text = redacted.join(" ").trimEnd()
  return text.length > cap ? `${text.slice(0, cap)}${cutSign}` : text
}

/** What of a command was recorded, and whether that is all of it. */
const read = (recorded: string): { readonly text: string; readonly isWhole: boolean } => {
  const isWhole = recorded.length <= cap || !recorded.endsWith(cutSign)
  return { text: isWhole ? recorded : recorded.slice(0, -cutSign.length), isWhole }
}

/** Whether `live` has the pieces one after the other, the first one at `start`; the last one at its end if `isWhole`. */
const hasAt = (pieces: ReadonlyArray<string>, live: string, start: number, isWhole: boolean): boolean => {
  const [first = "", ...others] = pieces
  if (!live.startsWith(first, start)) return false
  const last = isWhole ? others.pop() : undefined
  let end = start + first.length
  for (const piece of others) {
    const found = live.indexOf(piece, end)
    if (found === -1) return false
    end = found + piece.length
  }
  if (last !== undefined) return live.endsWith(last) && live.length - last.length >= end
  return !isWhole || end === live.length
}

/**
 * Whether a process that the system shows with the command `live` has the recorded one. A masked value stands for any.
 * A script is shown with its interpreter before it, and with the directory where it was found.
 */
export const isSame = (recorded: string, live: string): boolean => {
  const { isWhole, text } = read(recorded)
  const shown = live.trimEnd()
  if (hasAt(text.split(Mask.placeholder), shown, 0, isWhole)) return true
  const [program = ""] = text.split(" ", 1)
  const name = basename(program)
  if (name === "") return false
  const pieces = `${name}${text.slice(program.length)}`.split(Mask.placeholder)
  for (let at = shown.indexOf(name, 1); at !== -1; at = shown.indexOf(name, at + 1)) {
    if ((shown[at - 1] === "/" || shown[at - 1] === " ") && hasAt(pieces, shown, at, isWhole)) return true
  }
  return false
}
