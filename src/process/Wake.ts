/** A signal that is handed out once: to whoever waits, or else to the next who does. */
import * as Effect from "effect/Effect"

/** One signal. */
export interface Wake {
  readonly signal: () => void
  /** Completes at the next signal, or at once when one came that nobody has taken. */
  readonly wait: Effect.Effect<void>
}

/** A signal that has not been given. */
export const make = (): Wake => {
  const waiting = new Set<() => void>()
  let pending = false
  return {
    signal: () => {
      const [first] = waiting
      if (first === undefined) pending = true
      else first()
    },
    wait: Effect.async<void>((resume) => {
      if (pending) {
        pending = false
        return resume(Effect.void)
      }
      const go = (): void => {
        waiting.delete(go)
        resume(Effect.void)
      }
      waiting.add(go)
      return Effect.sync(() => waiting.delete(go))
    }),
  }
}
