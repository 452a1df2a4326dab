import { spawn as bareSpawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Guardian from "../../src/process/Guardian.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { killPid } from "./killPid.js"
import { distProgram } from "./program.js"
import { eventually, isAlive, pidsOf, spawnTalking } from "./support.js"

const provide = Effect.provide(ProcessSpawner.layer)

const program = (body: string): [string, ...Array<string>] => [
  process.execPath,
  "--input-type=module",
  "-e",
  distProgram(body),
]

/**
 * A tree of 50 processes in five groups: each a shell with four children and four grandchildren that ignore
 * TERM, one of them in a session of its own, one with an environment of its own.
 */
const tree = `
  const shell = \`
    trap "" TERM HUP
    for i in 1 2 3; do sh -c 'sleep 300 & echo pids $$ $!; wait' & done
    setsid sh -c 'sleep 301 & echo pids $$ $!; wait' &
    env -i sleep 302 & echo pids $$ $!
    wait
  \`
  const spawner = yield* ProcessSpawner.ProcessSpawner
  for (let i = 0; i < 5; i++) {
    const child = yield* spawner.spawn({ command: ["/bin/sh", "-c", shell] })
    child.output.subscribe(({ bytes }) => process.stdout.write(bytes))
  }
  yield* Effect.never
`

describe("sudden death", () => {
  it.scopedLive(
    "a program ended by KILL: every scoped descendant is dead within a second, others live on",
    () =>
      Effect.gen(function* () {
        const bystander = bareSpawn("sleep", ["60"], { detached: true, stdio: "ignore" })
        yield* Effect.addFinalizer(() => Effect.sync(() => bystander.kill("SIGKILL")))
        const doomed = yield* spawnTalking({ command: program(tree) })
        const lines = () => doomed.output.tail().match(/^pids \d+ \d+$/gm) ?? []
        yield* eventually("the whole tree is up", () => lines().length === 25)
        const pids = lines().flatMap((line) => pidsOf(line.slice("pids ".length)))
        assert.strictEqual(new Set(pids).size, 50)
        for (const pid of pids) assert.isTrue(isAlive(pid))

        // Not `doomed.stop`, which would look for the descendants itself.
        const killedAt = performance.now()
        killPid(doomed.pid, "SIGKILL")
        yield* eventually("all of them are dead", () => !pids.some(isAlive))
        const elapsed = performance.now() - killedAt
        assert.isBelow(elapsed, 5_000)
        assert.isTrue(isAlive(bystander.pid!))
      }).pipe(provide),
  )

  for (const [way, code] of Object.entries({
    "process.exit": "process.exit(3)",
    "an uncaught exception": "setTimeout(() => { throw new Error('crash') }, 0); yield* Effect.never",
    abort: "process.abort()",
  })) {
    it.scopedLive(`a program that ends by ${way} takes its processes along`, () =>
      Effect.gen(function* () {
        const doomed = yield* spawnTalking({
          command: program(`
            const spawner = yield* ProcessSpawner.ProcessSpawner
            const child = yield* spawner.spawn({ command: ["/bin/sh", "-c", "trap '' TERM; setsid sleep 60 & echo pids $$ $!; wait"] })
            yield* Effect.async((resume) => {
              child.output.subscribeLines(({ text }) => { console.log(text); resume(Effect.void) })
            })
            ${code}
          `),
        })
        const pids = pidsOf(yield* doomed.line("pids"))
        yield* doomed.exit
        yield* eventually("both are dead", () => !pids.some(isAlive))
      }).pipe(provide),
    )
  }

  for (const [what, script] of Object.entries({
    "a member without a mark that is younger than its dead leader":
      "(sleep 0.2; env -i sleep 60 & echo pids $!; exec sleep 61) & exit 0",
    "a member of the session that has a group of its own and no mark":
      "set -m; env -i sleep 60 & echo pids $!; wait",
  })) {
    it.scopedLive(`a program ended by KILL takes along ${what}`, () =>
      Effect.gen(function* () {
        // Job control without a terminal is bash's.
        if (process.platform !== "linux" || !existsSync("/bin/bash")) return
        const doomed = yield* spawnTalking({
          command: program(`
            const spawner = yield* ProcessSpawner.ProcessSpawner
            const child = yield* spawner.spawn({ command: ["/bin/bash", "-c", ${JSON.stringify(script)}] })
            child.output.subscribeLines(({ text }) => console.log(text))
            yield* Effect.never
          `),
        })
        const pids = pidsOf(yield* doomed.line("pids"))
        killPid(doomed.pid, "SIGKILL")
        yield* eventually("it is dead", () => !pids.some(isAlive))
      }).pipe(provide),
    )
  }

  it.scopedLive("a Holdfast inside a Holdfast: both lives end with the outer one's stop", () =>
    Effect.gen(function* () {
      const inner = yield* spawnTalking({
        command: program(`
          const spawner = yield* ProcessSpawner.ProcessSpawner
          const child = yield* spawner.spawn({ command: ["/bin/sh", "-c", "trap '' TERM; setsid sleep 60 & echo pids $$ $!; wait"] })
          child.output.subscribeLines(({ text }) => console.log(text))
          process.on("SIGTERM", () => {})
          yield* Effect.never
        `),
        stop: { grace: "100ms" },
      })
      const pids = pidsOf(yield* inner.line("pids"))
      const report = yield* inner.stop()
      for (const pid of pids) assert.isFalse(isAlive(pid))
      assert.deepStrictEqual(report.survivors, [])
    }).pipe(provide),
  )
})

describe("the guardian", () => {
  const guardianModule = pathToFileURL(resolve("dist/process/Guardian.js")).href
  const owner = randomBytes(16).toString("hex")

  it.scopedLive("is replaced when somebody ends it, and the new one knows what to guard", () =>
    Effect.gen(function* () {
      const doomed = yield* spawnTalking({
        command: program(`
          const { readdirSync, readFileSync } = yield* Effect.promise(() => import("node:fs"))
          const guardian = () => readdirSync("/proc").filter((pid) => /^\\d+$/.test(pid)).find((pid) => {
            try {
              return readFileSync("/proc/" + pid + "/cmdline", "latin1").includes("\\0holdfast-guardian\\0")
                && readFileSync("/proc/" + pid + "/stat", "latin1").split(") ").at(-1).split(" ")[1] === String(process.pid)
            } catch { return false }
          })
          const spawner = yield* ProcessSpawner.ProcessSpawner
          // Without an environment to find it by: only its group can be known.
          const child = yield* spawner.spawn({ command: ["/bin/sh", "-c", "exec env -i sleep 60"] })
          let first
          while ((first = guardian()) === undefined) yield* Effect.sleep(5)
          process.kill(Number(first), "SIGKILL")
          // Asked once each time: the first one may end between two questions.
          let second
          do {
            yield* Effect.sleep(5)
            second = guardian()
          } while (second === undefined || second === first)
          console.log("pids", child.pid, second)
          yield* Effect.never
        `),
      })
      if (process.platform !== "linux") return
      const [child, guardian] = pidsOf(yield* doomed.line("pids"))
      killPid(doomed.pid, "SIGKILL")
      yield* eventually("the child is dead", () => !isAlive(child!))
      yield* eventually("the guardian has ended", () => !isAlive(guardian!))
    }).pipe(provide),
  )

  it.live("ends with its layer", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const guardian = yield* Effect.map(Layer.buildWithScope(Guardian.layer(owner), scope), (context) =>
        Context.get(context, Guardian.Guardian),
      )
      yield* guardian.ensure
      const pid = guardian.pid()!
      assert.isTrue(isAlive(pid))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(pid))
    }),
  )

  it.live("that is stopped by SIGSTOP does not hold up the end of its layer", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const guardian = Context.get(
        yield* Layer.buildWithScope(Guardian.layer(owner), scope),
        Guardian.Guardian,
      )
      yield* guardian.ensure
      const pid = guardian.pid()!
      killPid(pid, "SIGSTOP")
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(pid))
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(guardian.ensure)))
    }),
  )

  it.scopedLive("is not fooled by programs of the user's that have the names of the system's", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(join(tmpdir(), "holdfast-path-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
      writeFileSync(join(directory, "grep"), "#!/bin/sh\nexit 1\n", { mode: 0o755 })
      const doomed = yield* spawnTalking({
        command: program(`
          const spawner = yield* ProcessSpawner.ProcessSpawner
          const child = yield* spawner.spawn({ command: ["/bin/sh", "-c", "setsid sleep 60 & echo pids $!; wait"] })
          child.output.subscribeLines(({ text }) => console.log(text))
          yield* Effect.never
        `),
        env: { PATH: `${directory}:${process.env.PATH}` },
      })
      const pids = pidsOf(yield* doomed.line("pids"))
      killPid(doomed.pid, "SIGKILL")
      yield* eventually("the escapee is dead", () => !pids.some(isAlive))
    }).pipe(provide),
  )

  /** The start time of a process, and the pid of a group whose leader has gone: that of a `sleep` in it. */
  const startOf = (pid: number): number =>
    Number(readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)!.split(" ")[19])
  const orphaned = Effect.gen(function* () {
    const leader = bareSpawn("/bin/sh", ["-c", "sleep 60 & echo $!"], { detached: true, env: {} })
    const [text] = yield* Effect.promise(() => once(leader.stdout, "data"))
    yield* Effect.promise(() => once(leader, "exit"))
    const pid = Number(String(text))
    yield* Effect.addFinalizer(() => Effect.sync(() => isAlive(pid) && killPid(pid, "SIGKILL")))
    return { group: leader.pid!, pid }
  })

  it.scopedLive("leaves pids and groups alone that were handed out again", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const bystander = bareSpawn("sleep", ["60"], { detached: true, stdio: "ignore" })
      yield* Effect.addFinalizer(() => Effect.sync(() => bystander.kill("SIGKILL")))
      const ours = bareSpawn("sleep", ["60"], { detached: true, stdio: "ignore" })
      yield* Effect.addFinalizer(() => Effect.sync(() => ours.kill("SIGKILL")))
      const orphan = yield* orphaned
      const stranger = yield* orphaned
      const doomed = yield* spawnTalking({
        command: program(`
          const { Guardian, layer } = yield* Effect.promise(() => import("${guardianModule}"))
          const context = yield* Layer.build(layer("${owner}"))
          const guardian = Context.get(context, Guardian)
          yield* guardian.ensure
          guardian.watch({ pid: ${ours.pid}, startTime: "${startOf(ours.pid!)}" })
          guardian.watch({ pid: ${bystander.pid}, startTime: "1" })
          guardian.watch({ pid: ${orphan.group}, startTime: "1" })
          guardian.leaderEnded({ pid: ${orphan.group} }, "${startOf(orphan.pid)}")
          guardian.leaderEnded({ pid: ${stranger.group} }, "${startOf(stranger.pid) - 1}")
          setImmediate(() => console.log("guardian", guardian.pid()))
          yield* Effect.never
        `),
      })
      const [guardian] = pidsOf(yield* doomed.line("guardian"))
      killPid(doomed.pid, "SIGKILL")
      yield* eventually("the guardian has done its work", () => !isAlive(guardian!))
      assert.isFalse(isAlive(ours.pid!), "a group whose leader lives")
      assert.isFalse(isAlive(orphan.pid), "one whose leader is gone")
      assert.isTrue(isAlive(bystander.pid!), "another leader with that pid")
      assert.isTrue(isAlive(stranger.pid), "a group with that id that is younger than the leader's end")
    }).pipe(provide),
  )
})
