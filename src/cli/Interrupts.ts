/** How often somebody has asked a program to end: the first time in order, the second at once, the third by force. */
import type { World } from "./World.js"

/**
 * A terminal sends Ctrl-C to everybody in it, and npm, for one, passes it on: what comes within this time, in
 * milliseconds, is the same request.
 */
const sameRequest = 100

/**
 * Calls back with 1 at the first request, with 2 at the second, and so on. The returned function ends that.
 */
export const watch = (
  signals: ReadonlyArray<NodeJS.Signals>,
  { onSignal }: Pick<World, "onSignal">,
  ask: (count: number) => void,
): (() => void) => {
  let count = 0
  let last = -Infinity
  return onSignal(signals, () => {
    const now = performance.now()
    if (now - last < sameRequest) return
    last = now
    count += 1
    ask(count)
  })
}
