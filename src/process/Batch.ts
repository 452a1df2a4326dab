/** Answers many callers from one look at something expensive. */
import * as Effect from "effect/Effect"

interface Waiting<Q, A, E> {
  readonly query: Q
  readonly answer: (result: Effect.Effect<A, E>) => void
}

/**
 * Between two looks is about as long a rest as a look takes, at most this, in milliseconds: questions that trickle in,
 * such as the ends of a thousand processes, are answered together.
 */
const longestRest = 30

/**
 * A function whose concurrent calls are answered by one run of `look`. A call that comes while a look is under way
 * waits for the next one, so an answer is never older than its question. A `look` that rejects fails every caller
 * it was for, with what `onError` makes of the cause.
 */
export const make = <Q, A, E>(
  look: (queries: ReadonlyArray<Q>) => Promise<ReadonlyArray<A>>,
  onError: (cause: unknown) => E,
): ((query: Q) => Effect.Effect<A, E>) => {
  let waiting: Array<Waiting<Q, A, E>> = []
  let running = false
  /** When the last look was over, and how long it took. */
  let endedAt = -Infinity
  let took = 0

  const run = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      const startedAt = performance.now()
      try {
        const answers = await look(batch.map(({ query }) => query))
        batch.forEach(({ answer }, index) => answer(Effect.succeed(answers[index]!)))
      } catch (cause) {
        for (const { answer } of batch) answer(Effect.fail(onError(cause)))
      }
      endedAt = performance.now()
      took = endedAt - startedAt
      if (waiting.length > 0) await new Promise((resume) => setTimeout(resume, Math.min(took, longestRest)))
    }
    running = false
  }

  return (query) =>
    Effect.async<A, E>((resume) => {
      const entry: Waiting<Q, A, E> = { query, answer: resume }
      waiting.push(entry)
      if (!running) {
        running = true
        const rest = Math.min(took, longestRest) - (performance.now() - endedAt)
        if (rest > 1) setTimeout(() => void run(), rest)
        else setImmediate(() => void run())
      }
      return Effect.sync(() => {
        waiting = waiting.filter((other) => other !== entry)
      })
    })
}
