import { describe, expect, it } from "vitest"
import { parse } from "../../src/cli/Arguments.js"
import type { Syntax } from "../../src/cli/Syntax.js"
import { define } from "../../src/cli/Syntax.js"
import * as Syntaxes from "../../src/cli/Syntaxes.js"

const syntax = define({
  name: "do",
  summary: "do it",
  positionals: { name: "ID", count: "optional" },
  options: {
    fast: { kind: "flag", short: "f", help: "" },
    tag: { kind: "text", short: "t", value: "WORD", many: true, help: "" },
    time: { kind: "time", value: "TIME", help: "" },
    count: { kind: "count", value: "N", help: "" },
    number: { kind: "integer", value: "N", help: "" },
    size: { kind: "size", value: "SIZE", help: "" },
    colour: { kind: "text", among: ["red", "green"], value: "NAME", help: "" },
  },
})

const none = { fast: false, tag: [], root: undefined, json: false, help: false }

describe("parse", () => {
  it.each([
    [[], [], {}],
    [["x"], ["x"], {}],
    [["-f", "x", "--json"], ["x"], { fast: true, json: true }],
    [["--tag", "a", "-t", "b", "-tc", "--tag=--d"], [], { tag: ["a", "b", "c", "--d"] }],
    [["--time", "1m30s"], [], { time: 90_000 }],
    [["--time=2"], [], { time: 2_000 }],
    [["--count", "007"], [], { count: 7 }],
    [["--number", "-3"], [], { number: -3 }],
    [["--size", "1MiB"], [], { size: 1_048_576 }],
    [["--colour", "red"], [], { colour: "red" }],
    [["--root", "/a b"], [], { root: "/a b" }],
    [["--", "-x"], ["-x"], {}],
  ])("%j", (args, words, options) => {
    const input = parse(syntax, args)
    expect(input.args).toEqual(words)
    expect(JSON.parse(JSON.stringify(input.options))).toEqual(
      JSON.parse(JSON.stringify({ ...none, ...options })),
    )
  })

  it.each([
    [["a", "b"], 'do takes one argument, not also "b"'],
    [["--fsat"], 'do has no option "--fsat"; did you mean --fast?'],
    [["-x"], 'do has no option "-x"; see holdfast do --help'],
    [["--zebra"], 'do has no option "--zebra"; see holdfast do --help'],
    [["--__proto__"], 'do has no option "--__proto__"; see holdfast do --help'],
    [["--fast=yes"], "--fast takes no value"],
    [["--tag"], "--tag needs a value: --tag WORD"],
    [["--tag", "--fast"], "--tag needs a value: --tag WORD"],
    [
      ["--time", "soon"],
      '--time expects a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds), not "soon"',
    ],
    [
      ["--time", "-1"],
      '--time expects a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds), not "-1"',
    ],
    [["--count", "-1"], '--count expects a whole number, not "-1"'],
    [["--count", "1.5"], '--count expects a whole number, not "1.5"'],
    [["--count", "99999999999999999999"], '--count expects a whole number, not "99999999999999999999"'],
    [["--size", "big"], '--size expects a size such as 4096, 10kB or 1MiB, not "big"'],
    [["--colour", "rde"], '--colour cannot be "rde"; did you mean red?'],
    [["--colour", "mauve"], '--colour cannot be "mauve"; it is one of red, green'],
    [["--time", "1", "--time", "2"], "--time was given twice"],
    [[""], "ID is empty"],
  ])("%j is refused: %s", (args, sentence) => {
    expect(() => parse(syntax, args)).toThrow(
      new RegExp(`^${sentence.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`),
    )
  })

  it("counts the arguments of the commands there are", () => {
    expect(() => parse(Syntaxes.wait, [])).toThrow("wait needs ID: holdfast wait ID")
    expect(() => parse(Syntaxes.why, [])).toThrow("why needs NAME|ID: holdfast why NAME|ID")
    expect(parse(Syntaxes.up, []).args).toEqual([])
    expect(parse(Syntaxes.up, ["a", "b"]).args).toEqual(["a", "b"])
    expect(() => parse(Syntaxes.rm, [])).toThrow("rm needs ID...: holdfast rm ID...")
    expect(() => parse(Syntaxes.list, ["x"])).toThrow('list takes no arguments, not also "x"')
  })

  it.each([
    [
      ["--", "ls", "-l", "--", "--json"],
      ["ls", "-l", "--", "--json"],
    ],
    [
      ["ls", "-l", "--wait"],
      ["ls", "-l", "--wait"],
    ],
    [["--tag", "x", "--", "--odd"], ["--odd"]],
    [
      ["--tag", "x", "printf", "%s", ""],
      ["printf", "%s", ""],
    ],
  ])("run %j runs %j", (args, command) => {
    expect(parse(Syntaxes.run, args).args).toEqual(command)
  })

  it("asks what to run", () => {
    for (const args of [[], ["--"], ["--wait"], ["--wait", "--"]]) {
      expect(() => parse(Syntaxes.run, args)).toThrow(
        "say what to run: holdfast run -- COMMAND [ARGUMENT...]",
      )
    }
    expect(() => parse(Syntaxes.run, ["--", ""])).toThrow("the name of the command is empty")
  })
})

describe("the commands", () => {
  it("have no letter twice, and nothing that stands for two things", () => {
    for (const { name, options } of Syntaxes.syntaxes as ReadonlyArray<Syntax>) {
      const letters = Object.values(options).flatMap(({ short }) => short ?? [])
      expect([name, new Set([...letters, "h"]).size]).toEqual([name, letters.length + 1])
      expect([name, Object.keys(options)]).toEqual([
        name,
        expect.not.arrayContaining(["root", "json", "help"]),
      ])
    }
    const names = Syntaxes.syntaxes.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
  })
})
