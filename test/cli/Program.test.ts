import { describe, expect, it } from "vitest"
import { command } from "../../src/cli/Handler.js"
import * as Help from "../../src/cli/Help.js"
import * as Program from "../../src/cli/Program.js"
import { define } from "../../src/cli/Syntax.js"
import * as Syntaxes from "../../src/cli/Syntaxes.js"
import type { World } from "../../src/cli/World.js"
import { Failure } from "../../src/cli/World.js"
import { run, start } from "./support.js"

const failing = define({
  name: "fail",
  summary: "fail",
  positionals: { name: "HOW", count: "one" },
  options: {},
})

const commands = [
  command(Syntaxes.status, () => Promise.reject(new Error("loaded without being asked for"))),
  command(failing, async () => async ({ args }) => {
    if (args[0] === "bug") throw new TypeError("a bug")
    throw new Failure("It is\u001B[31m not\nthere.", "job_not_found")
  }),
]

const attempt = async (args: ReadonlyArray<string>, options: Partial<World> = {}) => {
  const { err, out, world } = start(["--version"])
  await Promise.resolve()
  const begin = [out.text().length, err.text().length] as const
  const code = await Program.run(args, { ...world, ...options }, commands)
  return { code, out: out.text().slice(begin[0]), err: err.text().slice(begin[1]) }
}

describe("Program", () => {
  it.each(["--version", "-v"])("%s prints the version and nothing else", async (option) => {
    expect(await run([option])).toMatchObject({ code: 0, out: "1.2.3\n", err: "" })
  })

  it.each([[["--help"]], [["-h"]], [["help"]], [[]]])("%j prints the help", async (args) => {
    const { code, err, out } = await run(args)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toMatch(/^ {2}status +tell how units and jobs are$/m)
    expect(out).toMatch(/^ {2}-v, --version +show the version$/m)
  })

  it.each([
    [["status", "--help"]],
    [["status", "-h"]],
    [["help", "status"]],
    [["status", "a", "b", "--nope", "--help"]],
  ])("%j prints the help of the command, without loading it", async (args) => {
    const { code, err, out } = await attempt(args)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toMatch(
      /^holdfast status: tell how units and jobs are\.\n\nUsage: holdfast status \[options\] \[NAME\|ID\]\n/,
    )
    expect(out).toMatch(/^ {6}--root DIR +where everything lives/m)
  })

  it("has help that fits into a terminal, with each word of it", async () => {
    const words = (text: string) => text.split(/\s+/)
    for (const args of [["--help"], ["help", "run"], ["help", "serve"]]) {
      const { out: whole } = await run(args)
      const { out } = await run(args, { columns: 72 })
      expect(words(out)).toEqual(words(whole))
      expect(whole.split("\n").some((line) => line.length > 72)).toBe(true)
      expect(out.split("\n").filter((line) => line.length > 72)).toEqual([])
    }
    // What does not fit stands below where it began.
    expect(Help.fold("  --long X  one two three four five", 33)).toBe(
      "  --long X  one two three four\n            five",
    )
  })

  it("keeps the --help of the command that is to be run for that", async () => {
    const { code, err } = await run(["run", "--", "ls", "--help"], { root: "/dev/null/nowhere" })
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("No daemon can be started") })
  })

  it.each([
    ["sttaus", 'there is no command "sttaus"; did you mean status?'],
    ["version", 'there is no command "version"; did you mean --version?'],
    ["toString", 'there is no command "toString"; see holdfast --help'],
    ["", 'there is no command ""; see holdfast --help'],
    ["--hepl", 'there is no option "--hepl"; did you mean --help?'],
    ["-V", 'there is no option "-V"; did you mean -v?'],
    ["--serve", 'there is no option "--serve"; see holdfast --help'],
    ["a\nb", 'there is no command "a\\nb"; see holdfast --help'],
  ])("answers %j in one sentence and with exit code 2", async (word, sentence) => {
    expect(await attempt([word])).toEqual({ code: 2, out: "", err: `holdfast: ${sentence}\n` })
  })

  it("tells a failure in lines that no terminal obeys", async () => {
    expect(await attempt(["fail", "now"])).toEqual({
      code: 1,
      out: "",
      err: "holdfast: It is\uFFFD[31m not\nthere.\n",
    })
  })

  it("tells a failure as the API would to those who read JSON", async () => {
    const { code, err, out } = await attempt(["fail", "now", "--json"])
    expect({ code, err }).toEqual({ code: 1, err: "" })
    expect(JSON.parse(out)).toMatchObject({
      schema_version: "1",
      ok: false,
      type: "error",
      error: { code: "job_not_found", retryable: false },
    })
  })

  it.each([
    [["--root", "/nowhere", "fail", "now"], false],
    [["--root=/nowhere", "--json", "fail", "now"], true],
  ])("takes the options of every command before it, too: %j", async (args, isJson) => {
    const { code, out } = await attempt(args)
    expect({ code, isJson: out.startsWith("{") }).toEqual({ code: 1, isJson })
  })

  it("does not hide a bug", async () => {
    await expect(attempt(["fail", "bug"])).rejects.toThrow("a bug")
  })

  it("says in one sentence that it does not run on Windows yet, whatever it is asked", async () => {
    expect(await attempt(["serve"], { platform: "win32" })).toEqual({
      code: 1,
      out: "",
      err: "Holdfast does not run on Windows yet; it needs Linux or macOS.\n",
    })
  })
})
