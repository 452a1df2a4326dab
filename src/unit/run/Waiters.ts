/** Whoever waits for units to come to a state. Told by the loop, on the turn on which it happens. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { System, World } from "../System.js"
import type { Outcome } from "./Outcomes.js"

/** What a wait comes to. */
export type Settled = Exclude<Outcome, { readonly _tag: "Pending" }>

/** Looks whether it has come about. */
export type Look = (system: System, world: World, name: string) => Outcome

interface Waiter {
  readonly look: Look
  readonly done: Deferred.Deferred<Settled>
}

/** Those who wait, by unit. */
export class Waiters {
  private readonly byUnit = new Map<string, Set<Waiter>>()
  private isClosed = false

  /** Waits from now on. The effect is the wait; whoever does not run it any more is forgotten. */
  add(system: System, world: World, name: string, look: Look): Effect.Effect<Settled> {
    const now = look(system, world, name)
    if (now._tag !== "Pending") return Effect.succeed(now)
    if (this.isClosed) return Effect.succeed({ _tag: "Closed" })
    const waiter: Waiter = { look, done: Deferred.unsafeMake<Settled>(FiberId.none) }
    const waiters = this.byUnit.get(name) ?? new Set()
    this.byUnit.set(name, waiters.add(waiter))
    return Effect.ensuring(
      Deferred.await(waiter.done),
      Effect.sync(() => this.remove(name, waiter)),
    )
  }

  /** To be called whenever a unit has changed, or there are no more units. */
  tell(system: System, world: World, name: string): void {
    for (const waiter of this.byUnit.get(name) ?? []) {
      const outcome = system.graph.nodes.has(name)
        ? waiter.look(system, world, name)
        : ({ _tag: "Failed", kind: "Removed", reason: "It was removed by a reload." } as const)
      if (outcome._tag === "Pending") continue
      this.remove(name, waiter)
      Deferred.unsafeDone(waiter.done, Effect.succeed(outcome))
    }
  }

  /** Nothing comes about any more: tells everybody, and whoever still comes. */
  close(): void {
    this.isClosed = true
    for (const [name, waiters] of this.byUnit) {
      for (const waiter of waiters) {
        this.remove(name, waiter)
        Deferred.unsafeDone(waiter.done, Effect.succeed({ _tag: "Closed" }))
      }
    }
  }

  /** Every unit that somebody waits for. */
  get names(): ReadonlyArray<string> {
    return [...this.byUnit.keys()]
  }

  private remove(name: string, waiter: Waiter): void {
    const waiters = this.byUnit.get(name)
    waiters?.delete(waiter)
    if (waiters?.size === 0) this.byUnit.delete(name)
  }
}
