import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import type { Mode } from "../../src/handle/HandleState.js"
import { World } from "./simulation.js"

/** Every world that can be reached, whatever happens in whatever order, and the moves that lead there. */
const walk = (mode: Mode): { readonly worlds: Map<string, World>; readonly moves: number } => {
  const first = new World(mode)
  const worlds = new Map([[first.key(), first]])
  const paths = new Map<World, ReadonlyArray<string>>([[first, []]])
  const queue = [first]
  let moves = 0
  for (const world of queue) {
    for (const [name, move] of world.moves()) {
      moves++
      const path = [...paths.get(world)!, name]
      try {
        const next = move()
        const key = next.key()
        if (worlds.has(key)) continue
        worlds.set(key, next)
        paths.set(next, path)
        queue.push(next)
      } catch (error) {
        throw new Error(`${(error as Error).message}, after: ${path.join("; ")}`, { cause: error })
      }
    }
  }
  return { worlds, moves }
}

describe.each<Mode>(["managed", "external"])("all states of a handle that is presumed %s", (mode) => {
  const { moves, worlds } = walk(mode)

  it("are many, and nothing that may happen in any of them breaks a rule", () => {
    expect(worlds.size).toBeGreaterThan(500)
    expect(moves).toBeGreaterThan(10_000)
    const all = [...worlds.values()].map(({ state }) => `${state.status._tag} ${state.work._tag}`)
    expect(new Set(all)).toEqual(
      new Set([
        "Empty None",
        "Empty Starting",
        "Empty Stopping",
        "Ready None",
        "Stale None",
        "Stale Starting",
        "Stale Stopping",
        "Failed None",
        // What is presumed to be external is not tried again.
        ...(mode === "managed" ? ["Failed Starting"] : []),
        "Failed Stopping",
      ]),
    )
  })

  it("have an end: a close reaches it when everything that is under way is over", () => {
    for (const world of worlds.values()) {
      let now = world
      const go = (name: string): boolean => {
        const move = now.moves().find(([other]) => other === name)
        if (move !== undefined) now = move[1]()
        return move !== undefined
      }
      go("close")
      go("stopped")
      expect(now.isFinished).toBe(true)
      expect(now.live).toBeUndefined()
      expect(now.waiters).toBe(0)
    }
  })

  it("serve whoever asks: if all goes well from then on, everybody gets an answer", () => {
    for (const world of worlds.values()) {
      let now = world
      for (let moves = 0; now.waiters > 0; moves++) {
        expect(moves).toBeLessThan(4)
        const move = now
          .moves()
          .find(([name]) => ["stopped", "backoff over", "started managed"].includes(name))
        now = move![1]()
      }
    }
  })
})

describe("any order of events", () => {
  it("10,000 of them break no rule, and leave nothing behind when the handle is closed", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(FastCheck.nat(), { minLength: 1, maxLength: 60 }), (choices) => {
        let world = new World(choices.length % 3 === 0 ? "external" : "managed")
        for (const choice of choices) {
          const moves = world.moves()
          const [name, move] = moves[choice % moves.length]!
          // A close in the first few moves would hide most of the rest.
          if (name === "close" && choice % 7 !== 0) continue
          world = move()
        }
        for (const name of ["close", "stopped"]) {
          const move = world.moves().find(([other]) => other === name)
          if (move !== undefined) world = move[1]()
        }
        return world.isFinished && world.live === undefined && world.waiters === 0
      }),
      { numRuns: 10_000 },
    )
  })
})
