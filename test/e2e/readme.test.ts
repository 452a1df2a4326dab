/** What the README and the other pages show, done as they say. */
import { execFile } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import { commands } from "../../src/cli/Registry.js"
import { common } from "../../src/cli/Syntax.js"
import type { Options } from "../../src/cli/Syntax.js"
import * as Config from "../../src/config/Config.js"
import * as Check from "../../src/probe/Check.js"
import { killPid } from "../process/killPid.js"
import { eventually, gone } from "./daemon.js"
import { place } from "./program.js"
import { anchors, blocks, foreground, links, page, pages, root, spans, terminal } from "./readme.js"

const readme = page("README.md")

/** Made from the program itself: `reference.test.ts` looks after them. */
const isMade = (file: string): boolean => /reference\/(?:api|cli|config)\.md$/.test(file)

/** The address that the README writes; a daemon of somebody else's may have it. */
const usual = "http://127.0.0.1:19263"

/** Parts of commands that are not run, and why. */
const notRun = {
  "npm ci && ": "it was done before the tests, and would take away what runs them",
  "npm ci && npm test": "it would run these tests",
}

const withoutInstall = (block: string): string => block.replace(Object.keys(notRun)[0]!, "")

/** As it stands, but at a port that is free. */
const atFreePort = (block: string): string =>
  withoutInstall(block).replace(/npm start$/m, "npm start -- --bind 127.0.0.1:0")

/** The names, kinds and states of a table of units. */
const unitsOf = (table: string): ReadonlyArray<string> =>
  [...table.matchAll(/^(\w+) +(\w+) +(\w+)/gm)].map(([, ...cells]) => cells.join(" "))

describe("the README", () => {
  it("is done from its first shell block to the last", { timeout: 90_000 }, async () => {
    const shells = [...blocks(readme, "sh")]
    /** The next block, which is to begin so: one that nobody here knows is an error. */
    const take = (begin: string): string => {
      const block = shells.shift() ?? ""
      expect(block.slice(0, begin.length), "the next shell block of README.md").toBe(begin)
      return block
    }
    const [table, tree] = blocks(readme, "text")
    const here = place()
    try {
      const first = foreground(here, atFreePort(take("npm ci && npm start\n")))
      const [, address] = await first.err(/listens at (http:\S+)/)
      await first.err(/Unit all is ready/)

      const second = terminal(here)
      const alias = take("alias holdfast=")
      const looked = await second.run(alias)
      expect(looked).toMatchObject({ code: 0, out: expect.stringContaining("web: sent KILL") })
      const status = async (name: string) => {
        const { out } = await second.run(`holdfast status ${name} --json`)
        return JSON.parse(out) as { readonly state: string; readonly restarts: number; readonly pid: number }
      }
      const after = await eventually("the example is back", async () => {
        const { out } = await second.run("holdfast ps")
        return /^web .* 1\n/m.test(out) && /^all .* ready /m.test(out) && out
      })
      expect(unitsOf(after)).toEqual(unitsOf(table!))
      expect(after.split(/\s+/, 9)).toEqual(table!.split(/\s+/, 9))
      const pids = [(await status("web")).pid, (await status("worker")).pid]

      const killed = await second.run(take("id=$(holdfast run").replaceAll(usual, address!))
      expect(killed).toEqual({ code: 0, out: "" })
      await first.done
      for (const pid of pids) await gone(pid)

      const third = foreground(here, atFreePort(take("EXAMPLE_DATA=/nowhere/data.json npm start\n")))
      await third.err(/Unit all waits/)
      const told = await second.run(take('holdfast wait "$id"'))
      expect(told.out).toMatch(/^exit code 4\ndone\nall is (?:blocked|failed)\./)
      const why = await eventually("the first cause is told", async () => {
        const { out } = await second.run("holdfast why all")
        return /in a row.*\n.*prepare is in backoff/.test(out) && out
      })
      const shown = tree!.split("\n").filter((line) => !line.endsWith("| ..."))
      const sameNumber = (line: string) => line.replace(/\(\d+ in a row\)/, "(N in a row)")
      expect(why.split("\n").map(sameNumber)).toEqual(expect.arrayContaining(shown.map(sameNumber)))
      third.interrupt()
      expect((await third.done).err).toContain("The daemon ends.")

      expect(Object.keys(notRun)).toContain(take("npm ci && npm test\n").trim())

      expect((await second.run(take("id=$(holdfast run"))).out).toMatch(/exit code 3\nhello\n$/)
      const { address: own } = JSON.parse(fs.readFileSync(path.join(here.root, "daemon.json"), "utf8"))
      const { out } = await second.run(take("curl -s").replaceAll(usual, own))
      expect(JSON.parse(out)).toMatchObject({
        type: "run",
        state: "exited",
        exit_code: 0,
        final_snapshot: { stdout_tail: "hello\n" },
      })
      expect(await second.run("holdfast down")).toMatchObject({ code: 0 })
      await second.close()

      const up = foreground(here, alias.split("\n")[0] + "\n" + take("holdfast up -f"))
      await up.err(/^all +\. ready/m)
      up.interrupt()
      expect(await up.done).toMatchObject({ code: 0, out: expect.stringMatching(/^web +\| listening on/m) })
      expect(shells, "shell blocks of README.md that no test knows").toEqual([])
    } finally {
      await here.close()
    }
  })

  it("has an app of under 30 lines that does what it says", async () => {
    const [app] = blocks(readme, "ts")
    expect(app!.split("\n").length).toBeLessThanOrEqual(30)
    // Run from the package's own directory, its name leads to itself.
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", app!], {
      cwd: root,
    })
    const [, pid] = /^pid (\d+) says hello$/m.exec(stdout) ?? []
    expect(stdout).toMatch(/^pid \d+ says hello$/m)
    expect(() => killPid(Number(pid), 0)).toThrow("ESRCH")
  })

  it("shows a configuration of ten lines that can be used", () => {
    const [yaml] = blocks(readme, "yaml")
    expect(yaml!.trimEnd().split("\n").length).toBeLessThanOrEqual(10)
    const config = Either.getOrThrow(Config.parse(yaml!))
    expect(config.plan.graph.order).toEqual(["migrate", "web"])
  })

  it("names commands that the package has", () => {
    const { scripts } = JSON.parse(page("package.json"))
    const named = [...readme.matchAll(/`npm (?:run )?(\w+)/g)].map(([, name]) => name!)
    expect(named).toContain("check")
    for (const name of named) if (name !== "ci") expect(Object.keys(scripts)).toContain(name)
  })
})

describe("the pages", () => {
  it("have no shell blocks but those of the README, which are run", () => {
    expect(pages.slice(1).filter((file) => blocks(page(file), "sh").length > 0)).toEqual([])
  })

  it("show probes that are taken as they stand", async () => {
    const [code] = blocks(page("docs/reference/probes.md"), "ts")
    const checks = new Function(`${code}; return checks`)() as ReadonlyArray<Check.Input>
    expect(checks).toHaveLength(6)
    for (const check of checks) await Effect.runPromise(Check.make(check))
  })

  it("link to what is there", () => {
    const broken = pages.flatMap((file) =>
      links(page(file))
        .filter(({ anchor, file: target }) => {
          const found = target === "" ? file : path.join(path.dirname(file), target)
          if (!fs.existsSync(path.join(root, found))) return true
          return anchor !== "" && !anchors(page(found)).includes(anchor)
        })
        .map(({ anchor, file: target }) => `${file}: ${target}#${anchor}`),
    )
    expect(broken).toEqual([])
  })

  it("name commands and options that there are", () => {
    const syntaxes = new Map<string, Options>(
      commands.map(({ syntax }) => [syntax.name, { ...syntax.options, ...common }]),
    )
    const all: Options = Object.assign({}, ...syntaxes.values())
    let seen = 0
    /** What is wrong with a command, or with options alone; text of another kind is not looked at. */
    const faultsOf = (span: string): ReadonlyArray<string> => {
      const [, program, word = ""] = /^(holdfast )?([a-z]+)(?= |$)/.exec(span) ?? []
      const named = syntaxes.get(word)
      if (program !== undefined && named === undefined) return [`${span}: no command`]
      const options = span.startsWith("--") ? all : named
      // What follows a lone -- is the command of a job.
      const [own = ""] = span.split(/ -- /)
      if (options === undefined) return []
      const shorts = new Set(Object.values(options).map(({ short }) => short))
      const longs = [...own.matchAll(/(?<![\w-])--([a-z-]+)/g)].map(([, name]) => name!)
      seen += longs.length
      return [
        ...longs.filter((name) => name !== "version" && !Object.hasOwn(options, name)),
        ...[...own.matchAll(/(?<=[ [])-([a-z])(?![\w-])/g)].flatMap(([, one]) =>
          shorts.has(one) ? [] : one!,
        ),
      ].map((name) => `${span}: no option ${name}`)
    }
    const faults = pages
      .filter((file) => !isMade(file))
      .flatMap((file) => spans(page(file)).flatMap((span) => faultsOf(span)))
    expect(faults).toEqual([])
    expect(seen).toBeGreaterThan(30)
  })

  it("name modules, and what is in them, that there are", () => {
    const architecture = spans(page("docs/architecture.md"))
    const named = architecture.filter((span) => /^[a-z]+\/[\w/]+\.ts$/.test(span))
    expect(named.length).toBeGreaterThan(15)
    const src = path.join(root, "src")
    const placeOf = (file: string) => path.join(file.startsWith("bench/") ? root : src, file)
    expect(named.filter((file) => !fs.existsSync(placeOf(file)))).toEqual([])

    const files = fs.readdirSync(src, { recursive: true, encoding: "utf8" })
    const members = architecture.filter((span) => /^[A-Z]\w+\.[a-z]\w+$/.test(span))
    expect(members.length).toBeGreaterThan(25)
    const isThere = (span: string): boolean => {
      const [module, member] = span.split(".")
      return files
        .filter((file) => path.basename(file) === `${module}.ts`)
        .some((file) => new RegExp(`\\b${member}\\b`).test(fs.readFileSync(path.join(src, file), "utf8")))
    }
    expect(members.filter((span) => !isThere(span))).toEqual([])
  })
})
