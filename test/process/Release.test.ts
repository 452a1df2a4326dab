import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { eventually, isAlive, pidsOf, sh, spawnTalking } from "./support.js"

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
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const spawned: Array<number> = []
      // The interruption falls on another step of the spawn in every round.
      for (let round = 0; round < 40; round++) {
        const fiber = yield* spawner.spawn({ command: ["sleep", "60"], stop: { grace: 0 } }).pipe(
          Effect.tap(({ pid }) => {
            spawned.push(pid)
          }),
          Effect.andThen(Effect.never),
          Effect.scoped,
          Effect.fork,
        )
        for (let turn = 0; turn < round % 10; turn++) yield* Effect.yieldNow()
        if (round % 4 === 3) yield* Effect.promise(() => new Promise((resume) => setImmediate(resume)))
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
      }
      assert.isAbove(spawned.length, 0)
      for (const pid of spawned) assert.isFalse(isAlive(pid))
      const marks = yield* Effect.scoped(
        Effect.flatMap(
          spawnTalking({
            command: sh(
              `for f in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $f 2>/dev/null | grep -q "^HOLDFAST_OWNER=$HOLDFAST_OWNER$" && echo $f; done; echo end`,
            ),
          }),
          (process) => Effect.as(process.line("end"), process.output),
        ),
      )
      // The searching shell and its own children carry the mark; a sleep would be a fourth.
      assert.notInclude(marks.tail(), "sleep")
    }).pipe(provide),
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
