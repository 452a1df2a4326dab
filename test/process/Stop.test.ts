import { spawn as bareSpawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as ExitStatus from "../../src/process/ExitStatus.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { killPid } from "./killPid.js"
import { eventually, isAlive, marked, node, pidsOf, sh, spawnTalking } from "./support.js"

/** Runs a script to its end. */
const run = (script: string) =>
  Effect.flatMap(ProcessSpawner.ProcessSpawner, (spawner) =>
    Effect.flatMap(spawner.spawn({ command: sh(script) }), ({ exit }) => exit),
  )

const grace = Duration.millis(200)
const provide = Effect.provide(ProcessSpawner.layer)

describe("stop", () => {
  it.scopedLive("sends the stop signal to the group and reports what it did", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({ command: sh("sleep 60 & echo ready $!; wait") })
      const [child] = pidsOf(yield* process.line("ready"))
      const report = yield* process.stop()
      assert.deepStrictEqual(report.sent, ["SIGTERM"])
      assert.isFalse(report.escalated)
      assert.deepStrictEqual(report.survivors, [])
      assert.isBelow(report.elapsedMillis, 5_000)
      assert.deepStrictEqual(process.exitNow(), new ExitStatus.Signaled({ signal: "SIGTERM" }))
      assert.isFalse(isAlive(child!))
    }).pipe(provide),
  )

  it.scopedLive("the spec's own stop signal is used", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh(
          "trap 'echo got INT; exit 7' INT; trap '' TERM; echo ready; while :; do sleep 0.05; done",
        ),
        stop: { signal: "int", grace: "5s" },
      })
      yield* process.line("ready")
      const report = yield* process.stop()
      assert.deepStrictEqual(report.sent, ["SIGINT"])
      assert.deepStrictEqual(process.exitNow(), new ExitStatus.Exited({ code: 7 }))
      assert.include(process.output.tail(), "got INT")
    }).pipe(provide),
  )

  it.scopedLive("a group that ignores TERM is killed when the grace is over", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh("trap '' TERM; sleep 60 & echo ready $!; wait; while :; do sleep 1; done"),
      })
      const [child] = pidsOf(yield* process.line("ready"))
      const report = yield* process.stop({ grace })
      assert.deepStrictEqual(report.sent, ["SIGTERM", "SIGKILL"])
      assert.isTrue(report.escalated)
      assert.isAtLeast(report.elapsedMillis, 200)
      assert.isFalse(isAlive(child!))
    }).pipe(provide),
  )

  it.scopedLive("a stopped process is woken to be told, and gets one TERM only", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: node(`
          let terms = 0
          process.on("SIGTERM", () => { terms++; setTimeout(() => { console.log("terms", terms); process.exit(0) }, 100) })
          setInterval(() => {}, 1000)
          console.log("ready")
        `),
      })
      yield* process.line("ready")
      yield* process.signal("SIGSTOP")
      const report = yield* process.stop()
      assert.deepStrictEqual(report.sent, ["SIGTERM"])
      assert.deepStrictEqual(process.exitNow(), new ExitStatus.Exited({ code: 0 }))
      assert.include(process.output.tail(), "terms 1")
    }).pipe(provide),
  )

  it.scopedLive("what a process starts in order to clean up is not ended by the signal", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh(
          `trap 'sh -c "sleep 0.3; echo cleaned up"; exit 0' TERM; echo ready; while :; do sleep 0.05; done`,
        ),
      })
      yield* process.line("ready")
      yield* process.stop()
      assert.include(process.output.tail(), "cleaned up")
    }).pipe(provide),
  )

  it.scopedLive("grandchildren and setsid escapees are gone when stop is done", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh(`
          sh -c 'sleep 60 & echo $! >&3; setsid sh -c "trap \\"\\" TERM; echo \\$\\$ >&3; sleep 61 & echo \\$! >&3; wait" & wait' 3>&1 &
          wait
        `),
      })
      yield* eventually("three pids", () => process.output.tail().trim().split(/\s+/).length === 3)
      const pids = pidsOf(process.output.tail())
      const report = yield* process.stop({ grace })
      for (const pid of pids) assert.isFalse(isAlive(pid), `${pid} is alive`)
      assert.isAtLeast(report.escapees.length, 1)
      assert.isTrue(report.escalated)
    }).pipe(provide),
  )

  it.scopedLive("a living group whose leader is gone is stopped", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({ command: sh("sleep 60 & sleep 61 & echo $! ; exit 5") })
      yield* process.exit
      yield* eventually("a pid", () => process.output.tail().includes("\n"))
      const [child] = pidsOf(process.output.tail())
      assert.isTrue(isAlive(child!))
      assert.strictEqual((yield* process.members).length, 2)
      const report = yield* process.stop()
      assert.deepStrictEqual(report.sent, ["SIGTERM"])
      assert.isFalse(isAlive(child!))
      assert.deepStrictEqual(process.exitNow(), new ExitStatus.Exited({ code: 5 }))
    }).pipe(provide),
  )

  it.scopedLive("a group that cleared its environment and lost its leader is still ours", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({ command: sh("env -i sleep 60 & echo $!; exit 0") })
      yield* process.exit
      yield* eventually("a pid", () => process.output.tail().includes("\n"))
      const [child] = pidsOf(process.output.tail())
      yield* process.stop()
      assert.isFalse(isAlive(child!))
    }).pipe(provide),
  )

  it.scopedLive("a process that forks without end is caught up with", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh(
          `f() { trap '' TERM; while :; do (exec sleep 0.02) & setsid sleep 0.05 & wait $!; done; }; f & f & echo ready; exit 0`,
        ),
      })
      yield* process.line("ready")
      const report = yield* process.stop({ grace })
      assert.deepStrictEqual(report.survivors, [])
      assert.deepStrictEqual(yield* process.members, [])
    }).pipe(provide),
  )

  it.scopedLive("a process that hops from one short-lived session to the next is caught", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const directory = mkdtempSync(join(tmpdir(), "holdfast-hop-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
      const hop = join(directory, "hop")
      writeFileSync(join(directory, "beat"), "")
      writeFileSync(
        hop,
        `#!/bin/sh\n[ -e ${directory}/stop ] && exit\necho x >> ${directory}/beat\nsetsid ${hop} > /dev/null 2>&1 < /dev/null &\nexit 0\n`,
        { mode: 0o755 },
      )
      yield* Effect.addFinalizer(() => Effect.sync(() => writeFileSync(join(directory, "stop"), "")))
      const process_ = yield* spawnTalking({ command: [hop] })
      yield* eventually("it hops", () => readFileSync(join(directory, "beat")).length > 20)
      const report = yield* process_.stop({ grace: Duration.millis(50) })
      assert.deepStrictEqual(report.survivors, [])
      const beats = readFileSync(join(directory, "beat")).length
      // Long enough for dozens of hops.
      yield* run("sleep 0.3")
      assert.strictEqual(readFileSync(join(directory, "beat")).length, beats)
    }).pipe(provide),
  )

  it.scopedLive("an escapee in the middle of its exec is seen", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const spawner = yield* ProcessSpawner.ProcessSpawner
      // Its environment cannot be read for a moment; many tries, as that moment is short.
      for (let round = 0; round < 40; round++) {
        const child = yield* spawner.spawn({ command: ["setsid", "-f", "sleep", "60"] })
        yield* child.exit
        yield* child.stop({ grace: Duration.millis(500) })
        assert.deepStrictEqual(marked(spawner.owner), [], `round ${round}`)
      }
    }).pipe(provide),
  )

  it.scopedLive("a stop that is interrupted at any moment can be joined by another", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      for (let burnt = 1_000; burnt < 1_060; burnt += 2) {
        const child = yield* spawner.spawn({ command: ["sleep", "60"] })
        const before = Array.from({ length: burnt }).reduce<Effect.Effect<unknown>>(
          (chain) => Effect.flatMap(Effect.void, () => chain),
          child.stop(),
        )
        const fiber = Effect.runFork(before)
        fiber.unsafeInterruptAsFork(fiber.id())
        yield* child.stop()
        assert.isDefined(child.exitNow())
      }
    }).pipe(provide),
  )

  it.scopedLive("an escapee that is stopped is woken to be told", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh(`
          setsid sh -c 'trap "echo told; exit" TERM; echo pid $$; while :; do sleep 0.05; done' &
          wait
        `),
      })
      const [escapee] = pidsOf(yield* process.line("pid"))
      killPid(escapee!, "SIGSTOP")
      const report = yield* process.stop()
      assert.isFalse(report.escalated)
      assert.include(process.output.tail(), "told")
    }).pipe(provide),
  )

  it.scopedLive("a grace without end waits, and can be hastened", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh("trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"),
      })
      yield* process.line("ready")
      const stop = yield* Effect.fork(process.stop({ grace: Duration.infinity }))
      yield* process.line("term")
      yield* process.stop({ grace: Duration.zero })
      assert.isTrue((yield* Fiber.join(stop)).escalated)
    }).pipe(provide),
  )

  it.scopedLive("nothing left to stop: nothing is sent", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({ command: ["true"] })
      yield* process.exit
      assert.deepStrictEqual((yield* process.stop()).sent, [])
    }).pipe(provide),
  )

  it.scopedLive("stops at the same time are one stop, and a shorter grace hastens it", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh("trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"),
      })
      yield* process.line("ready")
      const slow = yield* Effect.fork(process.stop({ grace: Duration.hours(1) }))
      yield* process.line("term")
      const [hastened, hour] = yield* Effect.all([process.stop({ grace: Duration.zero }), Fiber.join(slow)], {
        concurrency: "unbounded",
      })
      assert.strictEqual(hastened, hour)
      assert.deepStrictEqual(hour.sent, ["SIGTERM", "SIGKILL"])
      assert.strictEqual(process.output.tail().match(/term/g)?.length, 1)
    }).pipe(provide),
  )

  it.scopedLive("interrupting a caller does not leave the group half stopped", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh("trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"),
      })
      yield* process.line("ready")
      const caller = yield* Effect.fork(process.stop({ grace: Duration.seconds(1) }))
      yield* process.line("term")
      yield* Fiber.interrupt(caller)
      assert.deepStrictEqual(yield* process.exit, new ExitStatus.Signaled({ signal: "SIGKILL" }))
    }).pipe(provide),
  )

  it.scopedLive("only the asked-for process is stopped, not one like it", () =>
    Effect.gen(function* () {
      const one = yield* spawnTalking({ command: sh("setsid sleep 60 & echo $!; wait"), unit: "same" })
      const two = yield* spawnTalking({ command: sh("setsid sleep 60 & echo $!; wait"), unit: "same" })
      yield* eventually("pids", () => [one, two].every((process) => process.output.tail().includes("\n")))
      const [kept] = pidsOf(two.output.tail())
      yield* one.stop()
      assert.isTrue(isAlive(kept!))
      assert.isUndefined(two.exitNow())
    }).pipe(provide),
  )

  it.scopedLive("a jump of the wall clock changes no grace period", () =>
    Effect.gen(function* () {
      const realNow = Date.now
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          Date.now = realNow
        }),
      )
      for (const jump of [3_600_000, -3_600_000]) {
        const before = performance.now()
        const one = yield* spawnTalking({
          command: sh("trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"),
        })
        yield* one.line("ready")
        const stop = yield* Effect.fork(one.stop({ grace: Duration.seconds(1) }))
        yield* one.line("term")
        Date.now = () => realNow() + jump
        const report = yield* Fiber.join(stop)
        assert.isTrue(report.escalated)
        assert.isAtLeast(report.elapsedMillis, 1_000)
        assert.isBelow(performance.now() - before, 10_000)
      }
    }).pipe(provide),
  )
})

describe("signal", () => {
  it.scopedLive("reaches every process of the group, and those that left it", () =>
    Effect.gen(function* () {
      const process = yield* spawnTalking({
        command: sh(`
          say() { trap "echo $1 got it" USR1; echo $1 is up; while :; do sleep 0.05; done; }
          say child & setsid sh -c 'trap "echo escapee got it" USR1; echo escapee is up; while :; do sleep 0.05; done' &
          say leader
        `),
      })
      for (const who of ["child", "escapee", "leader"]) yield* process.line(`${who} is up`)
      assert.isTrue(yield* process.signal("SIGUSR1"))
      for (const who of ["child", "escapee", "leader"]) yield* process.line(`${who} got it`)
      yield* process.stop()
      assert.isFalse(yield* process.signal("SIGUSR1"))
    }).pipe(provide),
  )

  it.scopedLive("never reaches processes that are not ours", () =>
    Effect.gen(function* () {
      const bystander = bareSpawn("sleep", ["60"], { detached: true, stdio: "ignore" })
      yield* Effect.addFinalizer(() => Effect.sync(() => bystander.kill("SIGKILL")))
      const process = yield* spawnTalking({ command: ["sleep", "60"] })
      yield* process.stop()
      assert.isTrue(isAlive(bystander.pid!))
    }).pipe(provide),
  )
})
