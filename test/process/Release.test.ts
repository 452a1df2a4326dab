import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { eventually, isAlive, marked, pidsOf, sh, spawnTalking } from "./support.js"

const provide = Effect.provide(ProcessSpawner.layer)

/** A process that only KILL ends, with a child and an escapee; all their pids. */
const stubborn = Effect.gen(function* () {
  const process = yield* spawnTalking({
    command: sh(`
      trap '' TERM
      sleep 60 & one=$!
      setsid sleep 61 & echo pids $one $! $$
      while :; do sleep 1; done
    `),
    stop: { grace: "100ms" },
  })
  return pidsOf(yield* process.line("pids"))
})

const assertGone = (pids: ReadonlyArray<number>): void => {
  assert.strictEqual(pids.length, 3)
  for (const pid of pids) assert.isFalse(isAlive(pid), `${pid} is alive`)
}

describe("release", () => {
  const ways: Record<string, Effect.Effect<unknown, unknown>> = {
    success: Effect.void,
    "an error": Effect.fail("failed"),
    "a defect": Effect.die("died"),
    "an exception": Effect.sync(() => {
      throw new Error("thrown")
    }),
    "a timeout": Effect.timeout(Effect.never, "50 millis"),
  }
  for (const [way, after] of Object.entries(ways)) {
    it.live(`stops the group, and waits for it, on the way out by ${way}`, () =>
      Effect.gen(function* () {
        let pids: ReadonlyArray<number> = []
        yield* stubborn.pipe(
          Effect.tap((found) => {
            pids = found
          }),
          Effect.andThen(after),
          Effect.scoped,
          Effect.exit,
        )
        assertGone(pids)
      }).pipe(provide),
    )
  }

  it.live("stops the group, and waits for it, when its user is interrupted", () =>
    Effect.gen(function* () {
      const up = yield* Deferred.make<ReadonlyArray<number>>()
      const fiber = yield* stubborn.pipe(
        Effect.tap((pids) => Deferred.succeed(up, pids)),
        Effect.andThen(Effect.never),
        Effect.scoped,
        Effect.fork,
      )
      const pids = yield* Deferred.await(up)
      yield* Fiber.interrupt(fiber)
      assertGone(pids)
    }).pipe(provide),
  )

  it.live("a spawn whose caller is interrupted at any moment leaves nothing behind", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const spawner = yield* ProcessSpawner.ProcessSpawner
      // Every ten steps are a turn of their own, and the interruption falls on another one in every round.
      const turns: Scheduler.Scheduler = {
        shouldYield: (fiber) => (fiber.currentOpCount > 10 ? 1 : false),
        scheduleTask: (task) => void setImmediate(task),
      }
      let finished = 0
      for (let round = 0; finished < 3 && round < 500; round++) {
        const fiber = yield* spawner.spawn({ command: ["sleep", "60"], stop: { grace: 0 } }).pipe(
          Effect.tap(() => {
            finished++
          }),
          Effect.andThen(Effect.never),
          Effect.scoped,
          Effect.withScheduler(turns),
          Effect.fork,
        )
        for (let turn = 0; turn < round; turn++) {
          yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
        }
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(marked(spawner.owner), [], `after ${round} turns`)
      }
      assert.strictEqual(finished, 3)
    }).pipe(provide),
  )

  it.live("an exit is seen though others had their turn between the spawn and its end", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const late: Scheduler.Scheduler = {
        shouldYield: (fiber) => (fiber.currentOpCount > 10 ? 1 : false),
        scheduleTask: (task) => void setTimeout(task, 5),
      }
      for (let round = 0; round < 5; round++) {
        const child = yield* spawner.spawn({ command: sh("echo out") }).pipe(
          Effect.tap(({ exit, output }) => Effect.andThen(exit, output.ended)),
          Effect.scoped,
          Effect.withScheduler(late),
        )
        assert.strictEqual(child.output.tail(), "out\n")
      }
    }).pipe(provide),
  )

  it.live("a spawn during or after the closing of the layer leaves nothing behind", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const directory = mkdtempSync(join(tmpdir(), "holdfast-closing-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
      const envFiles = Array.from({ length: 50 }, (_, index) => join(directory, `${index}.env`))
      for (const file of envFiles) writeFileSync(file, "A=1\n")
      const scope = yield* Scope.make()
      const spawner = Context.get(
        yield* Layer.buildWithScope(ProcessSpawner.layer, scope),
        ProcessSpawner.ProcessSpawner,
      )
      const outer = yield* Scope.make()
      const during = yield* Effect.fork(
        Scope.extend(spawner.spawn({ command: ["sleep", "60"], envFiles, stop: { grace: 0 } }), outer),
      )
      yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.await(during)))
      const later = yield* Effect.exit(Scope.extend(spawner.spawn({ command: ["sleep", "60"] }), outer))
      assert.isTrue(Exit.isInterrupted(later))
      assert.deepStrictEqual(marked(spawner.owner), [])
      yield* Scope.close(outer, Exit.void)
    }).pipe(Effect.scoped),
  )

  it.live("closing the layer lets no new process through while it waits for the old ones", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(ProcessSpawner.layer, scope)
      const spawner = Context.get(context, ProcessSpawner.ProcessSpawner)
      const outer = yield* Scope.make()
      const slow = yield* spawnTalking({
        command: sh("trap 'echo told' TERM; echo ready; while :; do sleep 0.05; done"),
        stop: { grace: "1s" },
      }).pipe(Scope.extend(outer), Effect.provide(context))
      yield* slow.line("ready")
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* slow.line("told")
      const late = yield* Effect.exit(Scope.extend(spawner.spawn({ command: ["sleep", "60"] }), outer))
      assert.isTrue(Exit.isInterrupted(late))
      yield* Fiber.join(closing)
      assert.deepStrictEqual(marked(spawner.owner), [])
      yield* Scope.close(outer, Exit.void)
    }),
  )

  it.live("closing the layer stops what is still running, though its scope is open", () =>
    Effect.gen(function* () {
      const layerScope = yield* Scope.make()
      const processScope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(ProcessSpawner.layer, layerScope)
      const pids = yield* stubborn.pipe(Scope.extend(processScope), Effect.provide(context))
      yield* Scope.close(layerScope, Exit.void)
      assertGone(pids)
      yield* Scope.close(processScope, Exit.void)
    }),
  )

  it.live("what was written before the end has been read when the scope is closed", () =>
    Effect.gen(function* () {
      const output = yield* Effect.scoped(
        Effect.gen(function* () {
          const process = yield* spawnTalking({
            command: sh(
              "trap 'head -c 300000 /dev/zero; echo last words; exit 0' TERM; echo ready; while :; do sleep 0.05; done",
            ),
            stderr: "null",
          })
          yield* process.line("ready")
          return process.output
        }),
      )
      assert.strictEqual(output.bytes(), "ready\n".length + 300_000 + "last words\n".length)
      assert.isTrue(output.tail().endsWith("last words\n"))
    }).pipe(provide),
  )

  it.live("many scopes close in parallel", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const pids: Array<number> = []
      yield* Effect.forEach(
        Array.from({ length: 100 }),
        () =>
          spawner.spawn({ command: ["sleep", "60"] }).pipe(
            Effect.tap(({ pid }) => {
              pids.push(pid)
            }),
            Effect.scoped,
          ),
        { concurrency: "unbounded" },
      )
      assert.strictEqual(pids.filter(isAlive).length, 0)
      yield* eventually("all hundred", () => pids.length === 100)
    }).pipe(provide),
  )
})
