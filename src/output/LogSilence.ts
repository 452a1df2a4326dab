/** Waits until a writer puts nothing more into a log file. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as TimeSpan from "../process/TimeSpan.js"
import * as Tracing from "../process/Tracing.js"
import * as Changes from "./Changes.js"
import type { LogError, LogMissing } from "./LogError.js"
import * as LogFile from "./LogFile.js"

/** How long nothing must be written. */
export interface SilenceOptions {
  /** A time without a new byte, counted from the call at the earliest; a bare number is seconds. */
  readonly quiet: TimeSpan.Input
  /** As in `LogFollow.Options`: after it there is no need to wait any longer. */
  readonly done?: Effect.Effect<unknown> | undefined
}

/** What came of waiting for silence. */
export interface Silence {
  /** `silent`: nothing was written for the time; `ended`: the writer is done before. */
  readonly reason: "silent" | "ended"
  /** The size of the file, in bytes; 0 when there is none. */
  readonly size: number
}

const decodeQuiet = InvalidSpec.decoder("log wait", Schema.Struct({ quiet: TimeSpan.TimeSpan }))

/** How long not to look again at a file that is being written: a tenth of the time, and no longer than this. */
const longestPause = 50

const waitForSilence = (
  path: string,
  options: SilenceOptions,
): Effect.Effect<Silence, Exclude<LogError, LogMissing> | InvalidSpec.InvalidSpec> =>
  Effect.gen(function* () {
    const quiet = Duration.toMillis((yield* decodeQuiet({ quiet: options.quiet })).quiet)
    const changes = yield* Changes.make(path)
    let isDone = false
    if (options.done !== undefined) {
      yield* changes.onDone(options.done, () => {
        isDone = true
      })
    }
    // Of the monotonic clock: `currentTimeMillis` jumps when somebody sets the time.
    const now = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000n) / 1_000)
    const look = LogFile.orMissing(LogFile.facts(path))
    let known = yield* look
    let since = yield* now
    while (true) {
      const isLast = isDone
      // Before the look, as what is written after it may not be seen; and news counts from after it, for the same reason.
      const time = yield* now
      const seen = yield* look
      if (isLast) return { reason: "ended" as const, size: seen?.size ?? 0 }
      const isNews = seen !== undefined && (seen.id !== known?.id ? seen.size > 0 : seen.size !== known.size)
      if (isNews) since = yield* now
      known = seen
      if (yield* changes.watch(seen === undefined ? undefined : { id: seen.id, hasName: true })) continue
      const left = since + quiet - time
      if (left <= 0) return { reason: "silent" as const, size: seen?.size ?? 0 }
      if (isNews) yield* Effect.sleep(Duration.millis(Math.min(left, quiet / 10, longestPause)))
      else yield* changes.wait(Duration.millis(left))
    }
  }).pipe(Effect.scoped)

/**
 * Waits until no byte was written for a time, by the monotonic clock: never sooner, and while somebody writes all the
 * time up to a tenth of the time (50 ms at most) later. A file that is missing is silent; one that becomes shorter,
 * or another one of its name with something in it, is news.
 *
 * Fails with `InvalidSpec` and `LogUnreadable`. When it is interrupted, no watch is left.
 */
export const awaitSilence = (
  path: string,
  options: SilenceOptions,
): Effect.Effect<Silence, Exclude<LogError, LogMissing> | InvalidSpec.InvalidSpec> =>
  Tracing.withSpan(waitForSilence(path, options), "LogSilence.awaitSilence", () => ({ path }))
