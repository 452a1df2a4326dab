/** Waits until a writer puts nothing more into its log files. */
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
  /** The size of the file, or of all of them, in bytes; 0 when there is none. */
  readonly size: number
}

const decodeQuiet = InvalidSpec.decoder("log wait", Schema.Struct({ quiet: TimeSpan.TimeSpan }))

/** How long not to look again at a file that is being written: a tenth of the time, and no longer than this. */
const longestPause = 50

/** A file, what was seen of it last, and what tells of more. */
interface Watched {
  readonly path: string
  readonly changes: Changes.Changes
  known: LogFile.Facts | undefined
}

const look = (file: Watched) => LogFile.orMissing(LogFile.facts(file.path))

/** Whether there is anything new in a file. */
const refresh = (file: Watched): Effect.Effect<boolean, Exclude<LogError, LogMissing>> =>
  Effect.map(look(file), (seen) => {
    const { known } = file
    file.known = seen
    return seen !== undefined && (seen.id !== known?.id ? seen.size > 0 : seen.size !== known.size)
  })

/** Whether a file is watched that was not before. */
const arm = ({ changes, known }: Watched): Effect.Effect<boolean> =>
  changes.watch(known === undefined ? undefined : { id: known.id, hasName: true })

const anyOf = <E>(files: ReadonlyArray<Watched>, ask: (file: Watched) => Effect.Effect<boolean, E>) =>
  Effect.map(Effect.forEach(files, ask), (answers) => answers.includes(true))

const waitForSilence = (
  paths: ReadonlyArray<string>,
  options: SilenceOptions,
): Effect.Effect<Silence, Exclude<LogError, LogMissing> | InvalidSpec.InvalidSpec> =>
  Effect.gen(function* () {
    const quiet = Duration.toMillis((yield* decodeQuiet({ quiet: options.quiet })).quiet)
    const files = yield* Effect.forEach(paths, (path) =>
      Effect.map(Changes.make(path), (changes): Watched => ({ path, changes, known: undefined })),
    )
    let isDone = false
    if (options.done !== undefined) {
      const [first] = files
      yield* first!.changes.onDone(options.done, () => {
        isDone = true
      })
    }
    // Of the monotonic clock: `currentTimeMillis` jumps when somebody sets the time.
    const now = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000n) / 1_000)
    const size = (): number => files.reduce((sum, { known }) => sum + (known?.size ?? 0), 0)
    yield* anyOf(files, refresh)
    let since = yield* now
    while (true) {
      const isLast = isDone
      // Before the look, as what is written after it may not be seen; and news counts from after it, for the same reason.
      const time = yield* now
      const isNews = yield* anyOf(files, refresh)
      if (isLast) return { reason: "ended" as const, size: size() }
      if (isNews) since = yield* now
      if (yield* anyOf(files, arm)) continue
      const left = since + quiet - time
      if (left <= 0) return { reason: "silent" as const, size: size() }
      if (isNews) yield* Effect.sleep(Duration.millis(Math.min(left, quiet / 10, longestPause)))
      else yield* Effect.raceAll(files.map(({ changes }) => changes.wait(Duration.millis(left))))
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
  Tracing.withSpan(waitForSilence([path], options), "LogSilence.awaitSilence", () => ({ path }))

/** As {@link awaitSilence}, in all of several files, of which there must be one: news in any of them ends the silence. */
export const awaitSilenceOfAll = (
  paths: readonly [string, ...ReadonlyArray<string>],
  options: SilenceOptions,
): Effect.Effect<Silence, Exclude<LogError, LogMissing> | InvalidSpec.InvalidSpec> =>
  Tracing.withSpan(waitForSilence(paths, options), "LogSilence.awaitSilenceOfAll", () => ({ paths }))
