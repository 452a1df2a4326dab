/** The same handle, whose snapshots are seen as something that can do more. */
import * as Effect from "effect/Effect"
import type { Handle } from "../Handle.js"

/**
 * A handle that gives, for each snapshot of another one, the one thing that `to` has made of it: whoever asks for the
 * same snapshot gets the same thing.
 */
export const make = <A extends object, B extends object, E>(
  handle: Handle<A, E>,
  to: (snapshot: A) => B,
): Handle<B, E> => {
  const seen = new WeakMap<A, B>()
  const origins = new WeakMap<object, A>()
  const view = (snapshot: A): B => {
    const known = seen.get(snapshot)
    if (known !== undefined) return known
    const made = to(snapshot)
    seen.set(snapshot, made)
    origins.set(made, snapshot)
    return made
  }
  const originOf = (snapshot: unknown): unknown =>
    typeof snapshot === "object" && snapshot !== null ? (origins.get(snapshot) ?? snapshot) : snapshot
  return {
    name: handle.name,
    acquire: Effect.map(handle.acquire, view),
    hold: Effect.map(handle.hold, view),
    use: (f) => handle.use((snapshot) => f(view(snapshot))),
    state: Effect.map(handle.state, (state) =>
      state._tag === "Ready" ? { ...state, snapshot: view(state.snapshot) } : state,
    ),
    changes: handle.changes,
    invalidate: (reason, snapshot) => handle.invalidate(reason, originOf(snapshot)),
    reset: handle.reset,
  }
}
