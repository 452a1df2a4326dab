/** One thing in a turn of the event loop: what takes the whole program's time must not take that of others, too. */
import * as Effect from "effect/Effect"

/**
 * Waits for a turn of the event loop that nobody else has had by this; done at once where there is one. Between two of
 * those who wait, whatever else has come is dealt with: requests, signals, the ends of processes.
 */
export const make = (): Effect.Effect<void> => {
  const waiting: Array<() => void> = []
  let isTaken = false
  const next = (): void => {
    const first = waiting.shift()
    if (first === undefined) {
      isTaken = false
      return
    }
    setImmediate(next)
    first()
  }
  return Effect.async<void>((resume) => {
    const go = () => resume(Effect.void)
    if (!isTaken) {
      isTaken = true
      setImmediate(next)
      return go()
    }
    waiting.push(go)
    return Effect.sync(() => {
      const index = waiting.indexOf(go)
      if (index !== -1) waiting.splice(index, 1)
    })
  })
}
