import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { Follower } from "../../../src/cli/foreground/Follower.js"
import type * as FollowerModule from "../../../src/cli/foreground/Follower.js"
import * as UnitLog from "../../../src/output/UnitLog.js"

/** A view whose reader can be stuck or gone. */
const view = () => {
  const shown: Array<string> = []
  const missed: Array<readonly [number, string]> = []
  const state = { isGone: false, gate: Promise.resolve() }
  const made: FollowerModule.View = {
    lines: (_name, lines) => lines.map(({ text }) => text).join(","),
    print: async (text) => {
      await state.gate
      if (!state.isGone) shown.push(...text.split(","))
      return !state.isGone
    },
    begun: async () => {},
    missed: (_name, count, sentence) => void missed.push([count, sentence]),
  }
  const stick = () => {
    let release = () => {}
    state.gate = new Promise((resolve) => {
      release = resolve
    })
    return () => release()
  }
  return { made, shown, missed, state, stick }
}

const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index))

describe("Follower", () => {
  it.live("shows what comes from now on, to the end of the log", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const log = yield* Scope.extend(UnitLog.make(), scope)
      log.write("stdout", "before\n", 1)
      const { made, shown } = view()
      const follower = new Follower("web", log, made)
      const fiber = yield* Effect.fork(follower.run)
      log.write("stdout", lines(1, 100).join("\n"), 1)
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(fiber)
      expect(shown).toEqual(lines(1, 100))
      expect(follower.behind).toBe(0)
    }),
  )

  it.live("tells exactly how many lines a stuck reader has missed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const log = yield* Scope.extend(UnitLog.make({ lines: 10 }), scope)
      const { made, missed, shown, stick } = view()
      const release = stick()
      const follower = new Follower("web", log, made)
      const fiber = yield* Effect.fork(follower.run)
      log.write("stdout", "0\n", 1)
      yield* Effect.sleep("20 millis")
      // More than is kept for one that follows.
      const line = "x".repeat(999)
      for (let count = 0; count < 6_000; count++) log.write("stdout", line, 1)
      expect(follower.behind).toBe(6_001)
      release()
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(fiber)
      const lost = missed.reduce((sum, [count]) => sum + count, 0)
      expect(lost).toBeGreaterThan(0)
      expect(shown.length + lost).toBe(6_001)
    }),
  )

  it.live("goes on when its reader has left, and counts what could not be written", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const log = yield* Scope.extend(UnitLog.make(), scope)
      const { made, missed, shown, state } = view()
      const follower = new Follower("web", log, made)
      const fiber = yield* Effect.fork(follower.run)
      state.isGone = true
      log.write("stdout", "1\n2\n", 1)
      while (follower.behind > 0) yield* Effect.sleep("5 millis")
      state.isGone = false
      log.write("stdout", "3\n", 1)
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(fiber)
      expect(shown).toEqual(["3"])
      expect(missed).toEqual([[2, "2 lines could not be written"]])
    }),
  )

  it.live("has news of an end wait for the lines before it, but not for ever", () =>
    Effect.gen(function* () {
      const log = yield* UnitLog.make()
      const { made, shown, stick } = view()
      const follower = new Follower("web", log, made)
      yield* Effect.forkScoped(follower.run)
      log.write("stdout", "1\n", 1)
      yield* Effect.promise(() => follower.caughtUp())
      expect(shown).toEqual(["1"])
      const release = stick()
      log.write("stdout", "2\n", 1)
      yield* Effect.promise(() => follower.caughtUp())
      expect(shown).toEqual(["1"])
      release()
    }).pipe(Effect.scoped),
  )
})
