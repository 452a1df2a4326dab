/**
 * A program that embeds a supervisor is killed, its guardian with it: what it kept lives on, and the next program on the
 * same root finds and stops it before it starts anything. Never are there two of one unit.
 */
import * as fs from "node:fs"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Plan from "../../../src/unit/Plan.js"
import { serving } from "../../probe/servers.js"
import { freePort } from "../../probe/support.js"
import { killPid } from "../../process/killPid.js"
import { eventually, isAlive, node, pidsOf, sh } from "../../process/support.js"
import { fileOf, firstLine, makeRoot, spawnStray } from "../port/support.js"
import { line, ours, supervised, supervisedAndLogged } from "../support.js"

const dist = (path: string): string => pathToFileURL(resolve("dist", path)).href

/** Keeps the units of a plan up until it is killed; says `pids`, the guardian's first, when all are up. */
const program = (plan: Plan.Input, root: string): string => `
import { readdirSync, readFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as PortHolder from "${dist("probe/PortHolder.js")}"
import * as Prober from "${dist("probe/Prober.js")}"
import * as ProcessSpawner from "${dist("process/ProcessSpawner.js")}"
import * as Supervisor from "${dist("unit/Supervisor.js")}"
const ground = Layer.mergeAll(Prober.layer, PortHolder.layer).pipe(Layer.provideMerge(ProcessSpawner.layer))
const guardian = () => readdirSync("/proc").filter((pid) => /^\\d+$/.test(pid)).find((pid) => {
  try {
    return readFileSync("/proc/" + pid + "/cmdline", "latin1").includes("\\0holdfast-guardian\\0")
      && readFileSync("/proc/" + pid + "/stat", "latin1").split(") ").at(-1).split(" ")[1] === String(process.pid)
  } catch { return false }
})
await Effect.runPromise(Effect.gen(function* () {
  const supervisor = yield* Supervisor.make({ plan: ${JSON.stringify(plan)}, root: ${JSON.stringify(root)} })
  yield* supervisor.start([])
  const list = yield* supervisor.list
  console.log("pids", guardian(), ...list.flatMap(({ pid }) => pid === undefined ? [] : [pid]))
  yield* Effect.never
}).pipe(Effect.scoped, Effect.provide(ground), Logger.withMinimumLogLevel(LogLevel.None)))
`

/** Runs it, and gives what it says. */
const daemon = (plan: Plan.Input, root: string) =>
  Effect.gen(function* () {
    const child = yield* spawnStray(process.execPath, ["--input-type=module", "-e", program(plan, root)], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    const said = yield* firstLine(child)
    const [guardian, ...units] = pidsOf(said.slice("pids ".length))
    return { pid: child.pid, guardian: guardian!, units }
  })

/** Ends both at once, so that neither can do anything about the other's end. */
const killBoth = ({ guardian, pid }: { readonly guardian: number; readonly pid: number }) =>
  Effect.gen(function* () {
    killPid(pid, "SIGSTOP")
    killPid(guardian, "SIGKILL")
    yield* eventually("the guardian is dead", () => !isAlive(guardian))
    killPid(pid, "SIGKILL")
    yield* eventually("the daemon is dead", () => !isAlive(pid))
  })

/** What is in the files of a unit's output. */
const written = (root: string, unit: string): string => {
  const directory = join(root, "units", unit, "logs")
  if (!fs.existsSync(directory)) return ""
  return fs
    .readdirSync(directory)
    .map((name) => fs.readFileSync(join(directory, name), "latin1"))
    .join("")
}

/** A unit that keeps a journal of its lives, and tells of it when it is not alone. */
const journaled = (journal: string, port: number): Plan.UnitInput => ({
  command: node(
    `const { appendFileSync } = require("fs");
     const note = (text) => appendFileSync(${JSON.stringify(journal)}, text + " " + process.pid + "\\n");
     note("begun"); process.on("exit", () => note("ended")); process.on("SIGTERM", () => process.exit(0));
     ${serving(port).replace("console.error(error.message)", 'note("not alone")')}`,
  ),
  port,
  readiness: { log: { pattern: "^port" } },
})

describe("a program that is killed together with its guardian", () => {
  it.scopedLive("leaves its units, which the next one on the root stops first, each in its own way", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const journal = join(root, "journal")
      const port = yield* freePort
      const plan: Plan.Input = {
        units: {
          web: journaled(journal, port),
          // Ignores its stop signal, and has a child in a session of its own.
          stubborn: {
            command: sh(
              "trap '' TERM; setsid sleep 300 & echo child $!; echo up; while :; do sleep 0.1; done",
            ),
            readiness: { log: { pattern: "^up" } },
            stop: { grace: "300ms" },
          },
        },
      }
      const first = yield* daemon(plan, root)
      assert.strictEqual(first.units.length, 2)
      yield* eventually("its output is in files", () => written(root, "web").includes("port"))
      yield* killBoth(first)
      for (const pid of first.units) assert.isTrue(isAlive(pid))

      yield* supervised(
        plan,
        (supervisor) =>
          Effect.gen(function* () {
            // Nothing has been started yet.
            for (const pid of first.units) assert.isFalse(isAlive(pid))
            assert.deepStrictEqual(yield* ours, [])
            assert.isFalse(fs.existsSync(fileOf(root, "web")))
            const started = yield* supervisor.start([])
            assert.deepStrictEqual(
              started.map(({ state }) => state),
              ["ready", "ready"],
            )
            // Its log goes on where that of the first program ended.
            yield* line(supervisor, "stubborn", "child")
            const lines = (yield* supervisor.log("web")).last(100)
            assert.isAbove(lines[0]!.seq, 1)
          }),
        { root },
      )
      const lives = fs.readFileSync(journal, "utf8").trim().split("\n")
      assert.deepStrictEqual(
        lives.map((text) => text.replace(/ \d+$/, "")),
        ["begun", "ended", "begun", "ended"],
      )
    }),
  )

  it.scopedLive("again and again: there is one of each at any time", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const journal = join(root, "journal")
      const plan: Plan.Input = { units: { web: journaled(journal, yield* freePort) } }
      let previous: ReadonlyArray<number> = []
      for (let round = 0; round < 3; round++) {
        const next = yield* daemon(plan, root)
        for (const pid of previous) assert.isFalse(isAlive(pid))
        previous = next.units
        yield* killBoth(next)
      }
      yield* supervised(plan, ({ start }) => start([]), { root })
      for (const pid of previous) assert.isFalse(isAlive(pid))
      const lives = fs.readFileSync(journal, "utf8").trim().split("\n")
      assert.deepStrictEqual(
        lives.map((text) => text.replace(/ \d+$/, "")),
        ["begun", "ended", "begun", "ended", "begun", "ended", "begun", "ended"],
      )
      // Each end is that of the one that had begun before it.
      for (let at = 0; at < lives.length; at += 2) {
        assert.strictEqual(lives[at]!.split(" ")[1], lives[at + 1]!.split(" ")[1])
      }
    }),
  )

  it.scopedLive("with reclaim: never its unit is left alone, and keeps its port", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const port = yield* freePort
      const plan: Plan.Input = {
        units: { web: { ...journaled(join(root, "journal"), port), reclaim: "never", restart: "never" } },
      }
      const first = yield* daemon(plan, root)
      const [web] = first.units
      yield* Effect.addFinalizer(() => Effect.sync(() => isAlive(web!) && killPid(web!, "SIGKILL")))
      yield* killBoth(first)
      const [error, said] = yield* supervisedAndLogged(plan, ({ start }) => Effect.flip(start([])), { root })
      assert.include(error.message, `(pid ${web})`)
      assert.isTrue(isAlive(web!))
      assert.include(said.join("\n"), "is left alone: its unit's policy is reclaim: never.")
    }),
  )

  it.scopedLive("whose unit has been replaced by a stranger of the same pid touches nobody", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const plan: Plan.Input = { units: { web: journaled(join(root, "journal"), yield* freePort) } }
      const first = yield* daemon(plan, root)
      yield* killBoth(first)
      const stranger = yield* spawnStray("sleep", ["300"])
      const file = fileOf(root, "web")
      const record = JSON.parse(fs.readFileSync(file, "utf8"))
      killPid(first.units[0]!, "SIGKILL")
      yield* eventually("it is dead", () => !isAlive(first.units[0]!))
      fs.writeFileSync(file, JSON.stringify({ ...record, process: { ...record.process, pid: stranger.pid } }))
      yield* supervised(plan, ({ start }) => start([]), { root })
      assert.isTrue(isAlive(stranger.pid))
    }),
  )
})

describe("a program that is killed alone", () => {
  it.scopedLive("has its units ended by its guardian, and the next one finds nothing to stop", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const journal = join(root, "journal")
      const plan: Plan.Input = { units: { web: journaled(journal, yield* freePort) } }
      const first = yield* daemon(plan, root)
      const killedAt = performance.now()
      killPid(first.pid, "SIGKILL")
      yield* eventually("its unit is dead", () => !first.units.some(isAlive))
      assert.isBelow(performance.now() - killedAt, 5_000)
      yield* supervised(plan, ({ start }) => start([]), { root })
      assert.notInclude(fs.readFileSync(journal, "utf8"), "not alone")
    }),
  )
})
