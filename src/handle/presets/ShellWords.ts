/**
 * The words of a command line in one text, as a POSIX shell splits them: blanks, quotes and backslashes. Nothing is
 * expanded, and what a shell would expand or act upon is a fault, unless it is quoted.
 */
import * as Either from "effect/Either"

const blank = /[ \t\r\n]/
const operator = /[|&;<>()]/

/** What a backslash stands for between double quotes; before anything else it is a character like any other. */
const escapable = new Set(['"', "\\", "$", "`"])

const at = (index: number): string => `at character ${index + 1}`

/** Whether a shell would put something else in the place of what begins here. */
const expands = (text: string, index: number): boolean =>
  text[index] === "`" || (text[index] === "$" && /[\w{(@*#?$!-]/.test(text[index + 1] ?? ""))

/**
 * Splits a text, or says what is wrong with it, as the rest of a sentence that begins with "expected". Quotes that are
 * empty are an empty word; `~` and patterns such as `*.ts` stay what they are.
 */
export const split = (text: string): Either.Either<ReadonlyArray<string>, string> => {
  const words: Array<string> = []
  let word: string | undefined
  let index = 0
  const add = (part: string): void => {
    word = (word ?? "") + part
  }
  const expansion = () =>
    Either.left(
      `no ${JSON.stringify(text[index])} ${at(index)}, as nothing is expanded (put single quotes around it to mean it literally)`,
    )

  while (index < text.length) {
    const character = text[index]!
    if (blank.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
      index++
    } else if (character === "'") {
      const end = text.indexOf("'", index + 1)
      if (end === -1) return Either.left(`an end to the single quote ${at(index)}`)
      add(text.slice(index + 1, end))
      index = end + 1
    } else if (character === '"') {
      const start = index++
      add("")
      for (;;) {
        const inner = text[index]
        if (inner === undefined) return Either.left(`an end to the double quote ${at(start)}`)
        if (inner === '"') break
        if (expands(text, index)) return expansion()
        const next = text[index + 1]
        if (inner === "\\" && next !== undefined && (escapable.has(next) || next === "\n")) {
          if (next !== "\n") add(next)
          index += 2
        } else {
          add(inner)
          index++
        }
      }
      index++
    } else if (character === "\\") {
      const next = text[index + 1]
      if (next === undefined) return Either.left("a character after the backslash at its end")
      // A line that goes on: neither of the two is part of anything.
      if (next !== "\n") add(next)
      index += 2
    } else if (operator.test(character)) {
      return Either.left(
        `no ${JSON.stringify(character)} ${at(index)}, as no shell runs it (put quotes around it to mean it literally)`,
      )
    } else if (expands(text, index)) {
      return expansion()
    } else {
      add(character)
      index++
    }
  }
  if (word !== undefined) words.push(word)
  return Either.right(words)
}
