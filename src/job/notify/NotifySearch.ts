/** Looks for the line of a job's output that a notification is about, over all attempts, one after the other. */
import { resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import type * as LogFollow from "../../output/LogFollow.js"
import * as LogPattern from "../../output/LogPattern.js"
import type { JobRecord } from "../JobRecord.js"
import type { Attempt } from "../JobState.js"

/** A line that matches, and where it stood. */
export interface Found {
  readonly attempt: Attempt
  readonly stream: "stderr" | "stdout"
  readonly match: LogPattern.Match
}

type PatternFailure = LogPattern.PatternNotFound | LogPattern.PatternTooSlow

interface Source {
  readonly attempt: Attempt
  readonly done: Effect.Effect<unknown>
}

/** The attempts of one job that are to be searched. */
export interface Sources {
  /**
   * Adds the attempts that were not there before. The last one's output ends when `done` completes; that of the others
   * has ended.
   */
  readonly add: (record: JobRecord, done: Effect.Effect<unknown>) => Effect.Effect<void>
  /** No more will come. */
  readonly end: Effect.Effect<void>
  /** Waits for the next; `None` at the end. */
  readonly next: Effect.Effect<Option.Option<Source>>
}

/** No attempts yet. */
export const make: Effect.Effect<Sources> = Effect.gen(function* () {
  const mailbox = yield* Mailbox.make<Source>()
  let added = 0
  return {
    add: ({ attempts }, done) =>
      Effect.suspend(() => {
        const fresh = attempts.filter(({ number }) => number > added)
        added = attempts.at(-1)?.number ?? 0
        return mailbox.offerAll(
          fresh.map((attempt) => ({ attempt, done: attempt.number === added ? done : Effect.void })),
        )
      }),
    end: Effect.asVoid(mailbox.end),
    next: Effect.option(mailbox.take),
  }
})

/** How often a line is tried again that took too long: on a busy machine that need not be the pattern's fault. */
const moreTries = 2

/** The first match in either log of an attempt, whichever is found first; what goes wrong is logged. */
const inAttempt = (root: string, pattern: string, { attempt, done }: Source) => {
  const within = (stream: "stderr" | "stdout") => {
    const path = resolve(root, attempt[stream])
    const from = (
      offset: number,
      triesLeft: number,
    ): Effect.Effect<LogPattern.Match, LogFollow.Failure | PatternFailure> =>
      Effect.catchTag(
        LogPattern.awaitPattern(path, { pattern, done, offset }),
        "PatternTooSlow",
        (error): Effect.Effect<LogPattern.Match, LogFollow.Failure | PatternFailure> =>
          triesLeft === 0
            ? Effect.fail(error)
            : Effect.delay(
                from(error.offset, error.offset > offset ? moreTries - 1 : triesLeft - 1),
                "1 second",
              ),
      )
    return from(0, moreTries).pipe(
      Effect.map((match): Found => ({ attempt, stream, match })),
      Effect.tapError((error) =>
        error._tag === "PatternNotFound"
          ? Effect.void
          : Effect.logWarning(`A notification waits for output no more: ${error.message}`),
      ),
    )
  }
  return Effect.option(Effect.raceAll([within("stdout"), within("stderr")]))
}

/** The first match in any attempt; `None` when there are no more and none matched. */
export const first = (root: string, pattern: string, sources: Sources): Effect.Effect<Option.Option<Found>> =>
  Effect.flatMap(
    sources.next,
    Option.match({
      onNone: () => Effect.succeedNone,
      onSome: (source) =>
        Effect.flatMap(inAttempt(root, pattern, source), (found) =>
          Option.isSome(found) ? Effect.succeed(found) : first(root, pattern, sources),
        ),
    }),
  )
