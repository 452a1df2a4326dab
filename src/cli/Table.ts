/** Tables for people: columns side by side, cut to the width of the terminal. */
import { stripVTControlCharacters } from "node:util"

/** One column. */
export interface Column<Row> {
  readonly title: string
  readonly text: (row: Row) => string
  /** Puts colours around a text that is already fitted. */
  readonly paint?: ((text: string, row: Row) => string) | undefined
  readonly align?: "right"
  /** The most characters on a terminal; the last column needs none. */
  readonly most?: number
  /** Left out where there is no room, the highest number first. */
  readonly spare?: number
}

/** The width of a text on a terminal: wide for most of the scripts of East Asia and for emoji. */
export const widthOf = (text: string): number => {
  let width = 0
  for (const character of stripVTControlCharacters(text)) {
    if (/^\p{Mark}$/u.test(character)) continue
    width +=
      /^(?:\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6])$/u.test(
        character,
      )
        ? 2
        : 1
  }
  return width
}

/** The beginning of a text that fits, with an ellipsis where something was cut off. */
export const fit = (text: string, width: number): string => {
  if (widthOf(text) <= width) return text
  let fitted = ""
  let used = 1
  for (const character of text) {
    used += widthOf(character)
    if (used > width) break
    fitted += character
  }
  return width <= 0 ? "" : `${fitted}…`
}

const pad = (text: string, width: number, align: "left" | "right"): string => {
  const blanks = " ".repeat(Math.max(0, width - widthOf(text)))
  return align === "right" ? blanks + text : text + blanks
}

/** What the last column has at least, as long as others can give. */
const leastRoom = 24
/** What a column that gives keeps. */
const leastWidth = 8

/** The widths of all columns but the last, and what is left for that one. */
const layout = <Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  width: number,
): { readonly widths: ReadonlyArray<number>; readonly room: number } => {
  const widths = columns
    .slice(0, -1)
    .map(({ most = Infinity, text, title }) =>
      Math.min(
        width === Infinity ? Infinity : most,
        Math.max(widthOf(title), ...rows.map((row) => widthOf(text(row)))),
      ),
    )
  const left = () => width - widths.reduce((sum, each) => sum + each + 2, 0)
  for (const [index, { most }] of columns.slice(0, -1).entries()) {
    if (most !== undefined && left() < leastRoom) {
      widths[index] = Math.max(Math.min(widths[index]!, leastWidth), widths[index]! - (leastRoom - left()))
    }
  }
  return { widths, room: left() }
}

/** The same, with the widest columns made narrower until something is left for the last one, if that can be. */
const squeezed = (widths: ReadonlyArray<number>, room: number) => {
  const narrow = [...widths]
  let missing = 1 - room
  for (; missing > 0; missing--) {
    const widest = Math.max(...narrow)
    if (widest <= 1) break
    narrow[narrow.indexOf(widest)] = widest - 1
  }
  return { widths: narrow, room: 1 - missing }
}

/**
 * The lines of a table. The last column gets what is left of `width` and is cut where that is not enough; the others
 * are as wide as what is in them, except that those with a `most` give way, those that can be spared go, and the widest
 * of the rest are cut when even that is not enough. Only a terminal that has less than three characters for each column
 * that is left gets lines that are too long. With a width of Infinity nothing is cut. A column with nothing in it is left out.
 */
export const render = <Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: ReadonlyArray<Row>,
  width: number,
): ReadonlyArray<string> => {
  let shown = columns.filter(
    (column, index) => index === columns.length - 1 || rows.some((row) => column.text(row) !== ""),
  )
  let { room, widths } = layout(shown, rows, width)
  while (room < leastRoom / 2 && shown.some(({ spare }) => spare !== undefined)) {
    const highest = Math.max(...shown.map(({ spare = 0 }) => spare))
    shown = shown.filter(({ spare = 0 }) => spare !== highest)
    ;({ room, widths } = layout(shown, rows, width))
  }
  if (room < 1) ({ room, widths } = squeezed(widths, room))
  const last = shown.length - 1
  const line = (cells: ReadonlyArray<string>, row?: Row) =>
    cells
      .map((cell, index) => {
        const { align = "left", paint } = shown[index]!
        const fitted =
          index === last
            ? fit(cell, Math.max(1, room))
            : pad(fit(cell, widths[index]!), widths[index]!, align)
        return row === undefined || paint === undefined ? fitted : paint(fitted, row)
      })
      .join("  ")
      .trimEnd()
  return [
    line(shown.map(({ title }) => title)),
    ...rows.map((row) =>
      line(
        shown.map(({ text }) => text(row)),
        row,
      ),
    ),
  ]
}
