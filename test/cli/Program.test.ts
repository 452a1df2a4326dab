import { describe, expect, it } from "vitest"
import type { Commands } from "../../src/cli/Command.js"
import * as Program from "../../src/cli/Program.js"

const commands: Commands = {
  serve: {
    summary: "run the daemon",
    load: async () => ({ run: async (args) => args.length }),
  },
  status: {
    summary: "tell how things are",
    load: () => Promise.reject(new Error("loaded without being asked for")),
  },
}

const run = async (args: ReadonlyArray<string>, options: Partial<Program.Surroundings> = {}) => {
  const [out, err]: [Array<string>, Array<string>] = [[], []]
  const code = await Program.run(args, {
    version: "1.2.3",
    platform: "linux",
    commands,
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    ...options,
  })
  return { code, out: out.join(""), err: err.join("") }
}

describe("Program", () => {
  it.each(["--version", "-v"])("%s prints the version and nothing else", async (option) => {
    expect(await run([option])).toEqual({ code: 0, out: "1.2.3\n", err: "" })
  })

  it.each([[["--help"]], [["-h"]], [[]]])("%j prints the help", async (args) => {
    const { code, err, out } = await run(args)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toMatch(/^ {2}serve +run the daemon$/m)
    expect(out).toMatch(/^ {2}-v, --version +show the version$/m)
  })

  it("has no list of commands in its help while there are none", async () => {
    const { out } = await run([], { commands: {} })
    expect(out).not.toMatch(/Commands:|<command>/)
  })

  it("loads the command that is named, and gives it the rest and its exit code back", async () => {
    expect(await run(["serve", "--bind", "--help"])).toEqual({ code: 2, out: "", err: "" })
  })

  it.each([
    ["srve", 'there is no command "srve"; did you mean serve?'],
    ["sttaus", 'there is no command "sttaus"; did you mean status?'],
    ["version", 'there is no command "version"; did you mean --version?'],
    ["toString", 'there is no command "toString"; see holdfast --help'],
    ["", 'there is no command ""; see holdfast --help'],
    ["--hepl", 'there is no option "--hepl"; did you mean --help?'],
    ["-V", 'there is no option "-V"; did you mean -v?'],
    ["--serve", 'there is no option "--serve"; see holdfast --help'],
    ["a\nb", 'there is no command "a\\nb"; see holdfast --help'],
  ])("answers %j in one sentence and with exit code 2", async (word, sentence) => {
    expect(await run([word])).toEqual({ code: 2, out: "", err: `holdfast: ${sentence}\n` })
  })

  it("says in one sentence that it does not run on Windows yet, whatever it is asked", async () => {
    const { code, err, out } = await run(["serve"], { platform: "win32" })
    expect({ code, out }).toEqual({ code: 1, out: "" })
    expect(err).toBe("Holdfast does not run on Windows yet; it needs Linux or macOS.\n")
  })
})
