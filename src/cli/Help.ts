/** The help, made from the descriptions of the commands. */
import type { Options, Syntax } from "./Syntax.js"
import { common } from "./Syntax.js"

/** What stands at the left of a row, with the space after it. */
const leftOf = /^ {2}(?:\S| (?! ))+ {2,}/

/** Breaks lines at spaces where they are wider than the terminal. A row goes on below where its text began. */
export const fold = (text: string, columns: number): string =>
  text
    .split("\n")
    .flatMap((line) => {
      const indent = leftOf.exec(line)?.[0].length ?? 0
      const room = columns - indent
      if (line.length <= columns || room < 20) return [line]
      const lines: Array<string> = [line.slice(0, indent)]
      let length = 0
      for (const word of line.slice(indent).split(" ")) {
        if (length > 0 && length + 1 + word.length > room) {
          lines.push(" ".repeat(indent))
          length = 0
        }
        lines[lines.length - 1] += `${length > 0 ? " " : ""}${word}`
        length += word.length + (length > 0 ? 1 : 0)
      }
      return lines
    })
    .join("\n")

const row = (width: number) => (left: string, text: string) => `  ${left.padEnd(width)}  ${text}`

/** What `holdfast --help` says. */
export const overview = (version: string, syntaxes: ReadonlyArray<Syntax>): string => {
  const line = row(Math.max(...syntaxes.map(({ name }) => name.length), "-v, --version".length))
  return [
    `Holdfast ${version}: keeps servers up and keeps jobs from getting lost.`,
    "",
    "Usage: holdfast <command> [arguments]",
    "",
    "Commands:",
    ...syntaxes.map(({ name, summary }) => line(name, summary)),
    "",
    "Options:",
    line("-h, --help", "show this text, or a command's: holdfast run --help"),
    line("-v, --version", "show the version"),
    "",
    "A unit is named by its name; a job by its id, or by any beginning of it that no other job has. Where a name",
    "could be either, it is the unit's. Times are written 500ms, 10s, 5m, 1h30m; a bare number is seconds. Data goes",
    "to standard output, words to standard error.",
    "",
  ].join("\n")
}

/** What `holdfast COMMAND --help` says. */
export const ofCommand = ({ name, notes, options, positionals, summary }: Syntax): string => {
  const every: Options = { ...options, ...common }
  const all = Object.entries(every)
  const left = all.map(([name, { short, value }]) => {
    const long = `--${name}${value === undefined ? "" : ` ${value}`}`
    return short === undefined ? `    ${long}` : `-${short}, ${long}`
  })
  const line = row(Math.max(...left.map(({ length }) => length)))
  const dashes = positionals.count === "command" ? " --" : ""
  const isOptional = positionals.count === "optional" || positionals.count === "any"
  const words = isOptional ? `[${positionals.name}]` : positionals.name
  return [
    `holdfast ${name}: ${summary}.`,
    "",
    `Usage: holdfast ${name} [options]${dashes}${words === "" ? "" : ` ${words}`}`,
    "",
    "Options:",
    ...all.map(([, { among, help, many }], index) => {
      const extra = [
        ...(among === undefined || help.includes(among[0]!) ? [] : [among.join(", ")]),
        ...(many ? ["may be repeated"] : []),
      ]
      return line(left[index]!, help + (extra.length > 0 ? ` (${extra.join("; ")})` : ""))
    }),
    "",
    ...(notes === undefined ? [] : [...notes, ""]),
  ].join("\n")
}
