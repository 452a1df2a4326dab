/** Reads the output of jobs: `tail` and `read` of `JobRunnerService`, which says what they promise. */
import * as Effect from "effect/Effect"
import type { InvalidSpec } from "../../process/InvalidSpec.js"
import * as Tracing from "../../process/Tracing.js"
import * as LogCursor from "../../output/LogCursor.js"
import type { LogError, OffsetPastEnd } from "../../output/LogError.js"
import * as LogTail from "../../output/LogTail.js"
import { type JobRecord, lastAttempt } from "../JobRecord.js"
import type {
  LogPiece,
  LogTail as Tail,
  NameError,
  ReadOptions,
  StreamName,
  TailOptions,
  Tails,
} from "../JobRunnerService.js"
import type { Attempt } from "../JobState.js"
import { type Log, type Source, logOf, noAttempt, pastEnd, unusable } from "./LogSource.js"
import type { LogUnusable } from "../RunnerError.js"
import type { StoreError } from "../StoreError.js"

export { follow } from "./JobFollow.js"
export { wait } from "./JobWait.js"
export type { Source, Watched } from "./LogSource.js"

/** Why the output of a job cannot be given. */
export type Failure = NameError | InvalidSpec | LogUnusable | StoreError

const attemptOf = (
  record: JobRecord,
  number: number | undefined,
): Effect.Effect<Attempt | undefined, LogUnusable> => {
  if (number === undefined) return Effect.succeed(lastAttempt(record))
  const found = record.attempts.find((attempt) => attempt.number === number)
  return found === undefined ? Effect.fail(noAttempt(record, number)) : Effect.succeed(found)
}

/** Reads a log. One that is not there has no bytes yet, or is lost: with its job, or without. */
const reading = <A>(
  source: Source,
  { id }: JobRecord,
  log: Log,
  read: Effect.Effect<A, LogError | OffsetPastEnd | InvalidSpec>,
  empty: Effect.Effect<A, LogUnusable>,
): Effect.Effect<A, Failure> =>
  Effect.catchAll(read, (error): Effect.Effect<A, Failure> => {
    if (error._tag === "InvalidSpec") return Effect.fail(error)
    if (error._tag !== "LogMissing") return Effect.fail(unusable(id, error))
    return log.isExpected ? Effect.zipRight(source.get(id), Effect.fail(unusable(id, error))) : empty
  })

/**
 * The ends of both logs of an attempt, by default of the last one. The paths are absolute. Both are empty when it has
 * not begun. With `keep-ends` they reach back to what was dropped and no further.
 *
 * Fails with `LogUnusable` for an attempt that never was, and for logs that are gone or cannot be read.
 */
export const tail = Tracing.fn("JobLogs.tail")(function* (
  source: Source,
  name: string,
  options: TailOptions = {},
): Effect.fn.Return<Tails, Failure> {
  const record = yield* source.get(name)
  const attempt = yield* attemptOf(record, options.attempt)
  const one = (stream: StreamName): Effect.Effect<Tail, Failure> => {
    const log = logOf(source.root, record, attempt, stream)
    const { ended, gap, path } = log
    const { lines, maxBytes } = options
    return reading(
      source,
      record,
      log,
      Effect.map(
        LogTail.tail(path, { lines, maxBytes, ended, gap }),
        ({ includedBytes, nextOffset, observedBytes, text, truncated }) => ({
          path,
          text,
          truncated,
          observedBytes,
          includedBytes,
          nextOffset,
        }),
      ),
      Effect.succeed({ path, text: "", truncated: false, observedBytes: 0, includedBytes: 0, nextOffset: 0 }),
    )
  }
  const [stdout, stderr] = yield* Effect.all([one("stdout"), one("stderr")], { concurrency: 2 })
  return { record, attempt: attempt?.number ?? 0, stdout, stderr }
})

/**
 * A piece of one log of an attempt, by default of the last one and of its standard output. The path is absolute.
 *
 * Fails with `LogUnusable` for an attempt that never was, an offset behind the end, and a log that is gone or cannot be
 * read.
 */
export const read = Tracing.fn("JobLogs.read")(function* (
  source: Source,
  name: string,
  options: ReadOptions = {},
): Effect.fn.Return<LogPiece, Failure> {
  const record = yield* source.get(name)
  const attempt = yield* attemptOf(record, options.attempt)
  const { maxBytes, offset, stream = "stdout" } = options
  const log = logOf(source.root, record, attempt, stream)
  const { ended, gap, path } = log
  const nothing = { offset: 0, bytes: new Uint8Array(0), nextOffset: 0, eof: true }
  const piece = yield* reading<LogCursor.Piece>(
    source,
    record,
    log,
    LogCursor.read(path, { offset, maxBytes, gap }),
    (offset ?? 0) > 0 ? Effect.fail(pastEnd(record.id, path, offset!, 0)) : Effect.succeed(nothing),
  )
  return { record, attempt: attempt?.number ?? 0, stream, path, ...piece, ended }
})
