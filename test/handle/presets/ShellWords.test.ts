/** A command line as a shell splits it: compared with a real shell, too. */
import { execFileSync } from "node:child_process"
import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as ShellWords from "../../../src/handle/presets/ShellWords.js"

const words = (text: string) => Either.getOrThrowWith(ShellWords.split(text), (fault) => new Error(fault))

const fault = (text: string) => Either.getOrThrow(Either.flip(ShellWords.split(text)))

/** What /bin/sh makes of it. */
const shell = (text: string): ReadonlyArray<string> =>
  execFileSync("/bin/sh", ["-c", `set -f; for word in ${text}; do printf '%s\\0' "$word"; done`], {
    encoding: "utf8",
    env: { PATH: "/usr/bin:/bin", HOME: "/" },
  })
    .split("\0")
    .slice(0, -1)

describe("ShellWords", () => {
  it.each([
    ["", []],
    [" \t\n ", []],
    ["--yes opencode-ai@1.18.33", ["--yes", "opencode-ai@1.18.33"]],
    ["  a   b\tc\nd ", ["a", "b", "c", "d"]],
    [`'a b' "c d"`, ["a b", "c d"]],
    [`--name="a b"'c'd`, ["--name=a bcd"]],
    [`'' "" x`, ["", "", "x"]],
    [`a\\ b \\' \\"`, ["a b", "'", '"']],
    [`"\\" \\\\ \\$x \\\` \\n"`, ['" \\ $x ` \\n']],
    [`'\\ $x \`'`, ["\\ $x `"]],
    ["a\\\nb", ["ab"]],
    ['"a\\\nb"', ["ab"]],
    ["'a\nb'", ["a\nb"]],
    ["~/x *.ts [a] {b}", ["~/x", "*.ts", "[a]", "{b}"]],
    ["costs 5$ $", ["costs", "5$", "$"]],
    [`'>' "|" \\;`, [">", "|", ";"]],
  ])("%j", (text, expected) => expect(words(text)).toEqual(expected))

  it.each([
    ["a 'b", "an end to the single quote at character 3"],
    ['"b', "an end to the double quote at character 1"],
    ['"b\\"', "an end to the double quote at character 1"],
    ["a\\", "a character after the backslash at its end"],
    ["a > b", 'no ">" at character 3'],
    ["a;b", 'no ";" at character 2'],
    ["a | b", 'no "|" at character 3'],
    ["$HOME/x", 'no "$" at character 1'],
    ['"${HOME}"', 'no "$" at character 2'],
    ["$(id)", 'no "$" at character 1'],
    ["a`id`", 'no "`" at character 2'],
  ])("%j is refused, and it is said where", (text, expected) => expect(fault(text)).toContain(expected))

  it("splits whatever it does not refuse as /bin/sh does", () => {
    const part = FastCheck.constantFrom(
      "a",
      "Z",
      "0",
      " ",
      "  ",
      "'",
      '"',
      "\\",
      "-",
      "=",
      "@",
      "/",
      "\t",
      "$ ",
      "\\n",
    )
    const texts = FastCheck.sample(FastCheck.array(part, { maxLength: 14 }), { numRuns: 300, seed: 7 })
      .map((parts) => parts.join(""))
      .filter((text) => Either.isRight(ShellWords.split(text)))
    expect(texts.length).toBeGreaterThan(50)
    for (const text of texts) expect({ text, words: words(text) }).toEqual({ text, words: shell(text) })
  })
})
