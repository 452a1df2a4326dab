/** Brings the entries of an event log to its files, as soon as it can. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Wake from "../process/Wake.js"
import type { RecentEvents } from "./RecentEvents.js"
import * as SegmentFiles from "./SegmentFiles.js"
import type { SegmentWriter } from "./SegmentWriter.js"

/** How often writing is tried again where it fails. */
const retryAfter = Duration.seconds(1)

/** A disk that does not answer must not keep the program from ending. */
const closeWithin = Duration.seconds(5)

/** What is added in one turn of the event loop is written together. */
const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Writes what is added to `recent` until the scope closes. Gives what is to be called for each entry added. */
export const make = (
  recent: RecentEvents,
  writer: SegmentWriter,
): Effect.Effect<() => void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const wake = Wake.make()
    const closing = yield* Deferred.make<void>()
    let isClosing = false
    /** The last entry before writing began to fail; undefined while it does not. */
    let failingSince: number | undefined
    let lost = 0

    const publish = (): void => {
      recent.settled = Math.max(recent.settled, recent.written)
      recent.attempted = Math.max(recent.attempted, recent.written)
      recent.publish()
    }

    /** Writes all there is. False when the disk does not take it. */
    const write: Effect.Effect<boolean> = Effect.gen(function* () {
      while (recent.written < recent.latest) {
        lost += yield* writer.append(recent)
        publish()
      }
      if (failingSince !== undefined) {
        const since = failingSince
        failingSince = undefined
        const count = lost
        lost = 0
        yield* Effect.logInfo(
          `Events are written to ${writer.directory} again: ${recent.written - since - count} that were kept in memory, without ${count} that there was no memory for.`,
        )
      }
      return true
    }).pipe(
      Effect.catchTag("WriteFailed", ({ reason }) =>
        Effect.gen(function* () {
          // Seen from memory, then: but only with numbers that no later life of the program gives again.
          const seq = recent.latest
          if (SegmentFiles.reserve(writer.directory, seq)) recent.settled = Math.max(recent.settled, seq)
          recent.attempted = seq
          recent.publish()
          if (failingSince === undefined) {
            failingSince = recent.written
            yield* Effect.logWarning(
              `Events cannot be written to ${writer.directory}: ${reason}. They are kept in memory, as far as there is room for them, and written as soon as that is possible.`,
            )
          }
          return false
        }),
      ),
    )

    const loop: Effect.Effect<void> = Effect.gen(function* () {
      while (true) {
        if (!isClosing) {
          yield* wake.wait
          yield* turn
        }
        const isLast = isClosing
        while (!(yield* write) && !isClosing) yield* Effect.timeoutOption(Deferred.await(closing), retryAfter)
        if (isLast) break
      }
    })

    const fiber = yield* Effect.forkDaemon(Effect.interruptible(loop))
    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        isClosing = true
        yield* Deferred.succeed(closing, undefined)
        wake.signal()
        const ended = yield* Effect.timeoutOption(Effect.interruptible(Fiber.join(fiber)), closeWithin)
        // A write that hangs goes on in the background, and must find its file.
        if (Option.isSome(ended)) writer.close()
        recent.isClosed = true
        recent.publish()
      }),
    )
    return wake.signal
  })
