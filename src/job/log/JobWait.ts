/** Waits for a job's end or for its output: `wait` of `JobRunnerService`, which says what it promises. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { LogError } from "../../output/LogError.js"
import * as LogFile from "../../output/LogFile.js"
import * as LogPattern from "../../output/LogPattern.js"
import * as LogSilence from "../../output/LogSilence.js"
import { quote } from "../../probe/ProbeResult.js"
import { InvalidSpec } from "../../process/InvalidSpec.js"
import * as LinePattern from "../../process/LinePattern.js"
import * as Tracing from "../../process/Tracing.js"
import { hasEnded } from "../JobRecord.js"
import type { NameError, StreamName, WaitOptions, Waited } from "../JobRunnerService.js"
import type { Attempt } from "../JobState.js"
import { type JobTracker, isOver, track } from "./JobTracker.js"
import { type Log, type Source, logOf, streams, unusable } from "./LogSource.js"
import type { LogUnusable } from "../RunnerError.js"
import type { StoreError } from "../StoreError.js"

/** Why waiting for a job ends with a failure. */
export type Failure = NameError | InvalidSpec | LogUnusable | StoreError

/** What a wait for output is answered with, but for the record. */
type Found = Omit<Waited, "record">

/** Asks attempt after attempt, from the last one on, until one answers or the job is over. */
const overAttempts = (
  tracker: JobTracker,
  ask: (attempt: Attempt) => Effect.Effect<Found | undefined, Failure>,
): Effect.Effect<Found, Failure> => {
  const from = (number: number): Effect.Effect<Found, Failure> =>
    Effect.flatMap(
      tracker.until((record) => record.attempts.length >= number || hasEnded(record)),
      ({ attempts }) => {
        const attempt = attempts[number - 1]
        if (attempt === undefined) return Effect.succeed({ reason: "ended" })
        return Effect.flatMap(ask(attempt), (found) =>
          found === undefined ? from(number + 1) : Effect.succeed(found),
        )
      },
    )
  return Effect.suspend(() => from(Math.max(1, tracker.record.attempts.length)))
}

/** The first of several to find something, or to fail; undefined when all end without. */
const firstFound = <A, E>(
  searches: ReadonlyArray<Effect.Effect<A | undefined, E>>,
): Effect.Effect<A | undefined, E> =>
  Effect.forEach(
    searches,
    (search): Effect.Effect<void, Either.Either<A, E>> =>
      Effect.matchEffect(search, {
        onFailure: (error) => Effect.fail(Either.left(error)),
        onSuccess: (found) => (found === undefined ? Effect.void : Effect.fail(Either.right(found))),
      }),
    { concurrency: "unbounded", discard: true },
  ).pipe(
    Effect.as(undefined),
    Effect.catchAll((first): Effect.Effect<A, E> =>
      Either.match(first, {
        onLeft: (error) => Effect.fail(error),
        onRight: (found) => Effect.succeed(found),
      }),
    ),
  )

/** One job whose output is waited for. */
class Waiter {
  constructor(
    private readonly source: Source,
    private readonly tracker: JobTracker,
  ) {}

  readonly end: Effect.Effect<Found, Failure> = Effect.suspend(() =>
    Effect.as(this.tracker.until(hasEnded), { reason: "ended" }),
  )

  pattern(pattern: RegExp, only: StreamName | undefined): Effect.Effect<Found, Failure> {
    return overAttempts(this.tracker, (attempt) =>
      firstFound(streams(only).map((stream) => this.patternIn(attempt, stream, pattern))),
    )
  }

  /** Only while it runs: before its start, and between two attempts, a job has no output to be missed. */
  silence(quiet: Duration.Duration): Effect.Effect<Found, Failure> {
    return overAttempts(this.tracker, (attempt) =>
      Effect.gen(this, function* () {
        const { path: stdout } = yield* this.log(attempt, "stdout")
        const { path: stderr } = yield* this.log(attempt, "stderr")
        const done = this.done(attempt)
        const { reason } = yield* Effect.mapError(
          LogSilence.awaitSilenceOfAll([stdout, stderr], { quiet, done }),
          this.explain,
        )
        return reason === "silent" ? { reason: "silence" as const } : undefined
      }),
    )
  }

  private patternIn(
    attempt: Attempt,
    stream: StreamName,
    pattern: RegExp,
  ): Effect.Effect<Found | undefined, Failure> {
    return Effect.flatMap(this.log(attempt, stream), ({ gap, path }) =>
      LogPattern.awaitPattern(path, { pattern, gap, done: this.done(attempt) }).pipe(
        Effect.map(({ groups, line, offset }) => ({
          reason: "pattern" as const,
          match: { stream, line, offset, groups },
        })),
        Effect.catchAll((error) => {
          if (error._tag === "PatternNotFound") return Effect.succeed(undefined)
          return Effect.fail(error._tag === "PatternTooSlow" ? tooSlow(stream, error) : this.explain(error))
        }),
      ),
    )
  }

  /** A log of an attempt. Fails when it is gone. */
  private log(attempt: Attempt, stream: StreamName): Effect.Effect<Log, Failure> {
    const log = logOf(this.source.root, this.tracker.record, attempt, stream)
    return Effect.as(
      Effect.catchAll(LogFile.facts(log.path), (error) =>
        error._tag === "LogMissing" && !log.isExpected ? Effect.void : Effect.fail(this.explain(error)),
      ),
      log,
    )
  }

  private done({ number }: Attempt): Effect.Effect<void> {
    return Effect.ignore(this.tracker.until(isOver(number)))
  }

  private readonly explain = (error: LogError | InvalidSpec): InvalidSpec | LogUnusable =>
    error._tag === "InvalidSpec" ? error : unusable(this.tracker.record.id, error)
}

const tooSlow = (stream: StreamName, { length, offset, pattern }: LogPattern.PatternTooSlow): InvalidSpec =>
  new InvalidSpec({
    what: "wait",
    issues: [
      {
        field: "for.pattern",
        value: JSON.stringify(quote(pattern)),
        allowed: `a pattern that takes at most ${LinePattern.limitMillis} ms for a line; this one took longer for the ${length} characters at offset ${offset} of ${stream}. Repetitions within repetitions, such as (a+)+, do that`,
      },
    ],
  })

/**
 * Waits for a job's end, for the first line of output that matches, or for a time without output; `until` at the
 * longest. Whoever waits is woken by events.
 *
 * A pattern is looked for in the last attempt's output from its beginning on, then in that of the attempts to come;
 * what a job has written to both logs before the call has no order. Silence counts while an attempt runs, from the call
 * at the earliest; neither log may get a byte. Both end with the job.
 *
 * Fails with `InvalidSpec` for what is no pattern or takes more than 250 ms for a line, and with `LogUnusable` when the
 * logs are gone or cannot be read.
 */
export const wait = Tracing.fn("JobLogs.wait")(function* (
  source: Source,
  name: string,
  options: WaitOptions = {},
): Effect.fn.Return<Waited, Failure> {
  const { for: wanted = "end", until } = options
  const ask =
    wanted === "end"
      ? (waiter: Waiter) => waiter.end
      : "silence" in wanted
        ? (waiter: Waiter) => waiter.silence(wanted.silence)
        : searchFor(yield* LogPattern.compile(wanted.pattern), wanted.stream)
  const answer = Effect.gen(function* () {
    const tracker = yield* track(source, name)
    const found = ask(new Waiter(source, tracker))
    const first: Found =
      until === undefined ? yield* found : yield* Effect.raceFirst(found, deadlineAfter(until))
    return { record: tracker.record, ...first }
  })
  return yield* Effect.scoped(answer)
})

const searchFor = (pattern: RegExp, only: StreamName | undefined) => (waiter: Waiter) =>
  waiter.pattern(pattern, only)

const deadlineAfter = (until: Duration.Duration): Effect.Effect<Found> =>
  Effect.as(Effect.sleep(until), { reason: "deadline" })
