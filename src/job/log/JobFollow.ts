/** Follows the output of a job over all its attempts: `follow` of `JobRunnerService`, which says what it promises. */
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Limits from "../../output/Limits.js"
import * as LogFile from "../../output/LogFile.js"
import * as LogFollow from "../../output/LogFollow.js"
import * as InvalidSpec from "../../process/InvalidSpec.js"
import * as Wake from "../../process/Wake.js"
import type { FollowOptions, Followed, NameError, StreamName } from "../JobRunnerService.js"
import { type JobRecord, hasEnded, lastAttempt } from "../JobRecord.js"
import type { Attempt } from "../JobState.js"
import { type JobTracker, isOver, track } from "./JobTracker.js"
import { type Source, logOf, noAttempt, pastEnd, streams, unusable } from "./LogSource.js"
import { LogUnusable } from "../RunnerError.js"
import type { StoreError } from "../StoreError.js"

/** Why following a job ends with a failure. */
export type Failure = NameError | InvalidSpec.InvalidSpec | LogUnusable | StoreError

/** So many pieces of output, each of 64 KiB at most, wait for a slow reader; the rest stays in the files. */
const capacity = 2

/** So many changes of the job wait for a slow reader; older ones are left out. */
const mostStates = 64

/** One reader of one job. */
class Follower {
  private readonly pending: Array<JobRecord> = []
  private readonly wake = Wake.make()
  /** The attempt that is being read. */
  private number: number
  private isDrained = false

  constructor(
    private readonly source: Source,
    private readonly options: FollowOptions,
    private readonly tracker: JobTracker,
    private readonly emit: (item: Followed) => Effect.Effect<unknown>,
  ) {
    this.pending.push(tracker.record)
    this.number = options.attempt ?? Math.max(1, tracker.record.attempts.length)
  }

  readonly note = (): void => {
    const { record } = this.tracker
    if (this.pending.at(-1)?.revision !== record.revision) this.pending.push(record)
    if (this.pending.length > mostStates) this.pending.shift()
    this.wake.signal()
  }

  /** Gives everything there is to give, and ends after the job. */
  readonly run: Effect.Effect<void, Failure> = Effect.gen(this, function* () {
    const first = this.number
    yield* this.emit({ _tag: "State", record: this.pending.shift()! })
    while (true) {
      yield* this.states
      const { record } = this.tracker
      const attempt = record.attempts[this.number - 1]
      if (attempt !== undefined) {
        this.isDrained = false
        const drained = Effect.zipRight(
          this.drain(attempt, this.number === first),
          Effect.sync(() => {
            this.isDrained = true
            this.wake.signal()
          }),
        )
        yield* Effect.all([drained, this.statesMeanwhile], { concurrency: "unbounded" })
        this.number++
      } else if (hasEnded(record)) {
        if (this.pending.length === 0) return
      } else yield* this.tracker.until((now) => now.revision > record.revision)
    }
  })

  /** The changes that may be told: that an attempt is over is told after its output. */
  private readonly states: Effect.Effect<void> = Effect.suspend(() => {
    const [next] = this.pending
    if (next === undefined || next.attempts[this.number - 1]?.end !== undefined) return Effect.void
    this.pending.shift()
    return Effect.zipRight(this.emit({ _tag: "State", record: next }), this.states)
  })

  private readonly statesMeanwhile: Effect.Effect<void> = Effect.suspend(() =>
    this.isDrained
      ? Effect.void
      : Effect.zipRight(this.states, Effect.zipRight(this.wake.wait, this.statesMeanwhile)),
  )

  private offsetOf(stream: StreamName): number {
    return this.options[`${stream}Offset`] ?? 0
  }

  /** The logs of one attempt, both at once, to their ends. */
  private drain(attempt: Attempt, isFirst: boolean): Effect.Effect<void, Failure> {
    const { record } = this.tracker
    const { number } = attempt
    const done = Effect.ignore(this.tracker.until(isOver(number)))
    return Effect.forEach(
      streams(this.options.stream),
      (stream) => {
        const { gap, path } = logOf(this.source.root, record, attempt, stream)
        const offset = isFirst ? this.offsetOf(stream) : 0
        return LogFollow.followText(path, { offset, done, gap }).pipe(
          Stream.mapError((error) => (error._tag === "InvalidSpec" ? error : unusable(record.id, error))),
          Stream.runForEach((item) =>
            item._tag === "Restarted"
              ? Effect.fail(
                  new LogUnusable({
                    id: record.id,
                    reason: `somebody ${item.reason} its log "${path}" while it was read.`,
                    isRequest: false,
                  }),
                )
              : this.emit({
                  _tag: "Output",
                  attempt: number,
                  stream,
                  offset: item.offset,
                  nextOffset: item.nextOffset,
                  text: item.text,
                }),
          ),
        )
      },
      { concurrency: "unbounded", discard: true },
    )
  }
}

const decode = InvalidSpec.decoder(
  "log follow",
  Schema.Struct({
    stdoutOffset: Schema.optional(Limits.Offset),
    stderrOffset: Schema.optional(Limits.Offset),
  }),
)

/** Fails for what is not there. Logs only grow: what is behind their ends now was never told by anybody. */
const check = (root: string, record: JobRecord, options: FollowOptions): Effect.Effect<void, Failure> =>
  Effect.gen(function* () {
    const { attempt: asked, stderrOffset, stdoutOffset, stream: only } = options
    const offsets = yield* decode({ stdoutOffset, stderrOffset })
    const attempt = asked === undefined ? lastAttempt(record) : record.attempts[asked - 1]
    if (asked !== undefined && attempt === undefined) return yield* noAttempt(record, asked)
    for (const stream of streams(only)) {
      const { isExpected, path } = logOf(root, record, attempt, stream)
      const offset = offsets[`${stream}Offset`] ?? 0
      const size = yield* Effect.catchAll(
        Effect.map(LogFile.facts(path), (facts) => facts.size),
        (error) =>
          error._tag === "LogMissing" && !isExpected
            ? Effect.succeed(0)
            : Effect.fail(unusable(record.id, error)),
      )
      if (offset > size) return yield* pastEnd(record.id, path, offset, size)
    }
  })

const start = (
  source: Source,
  name: string,
  options: FollowOptions,
): Effect.Effect<Stream.Stream<Followed, Failure>, Failure, Scope.Scope> =>
  Effect.gen(function* () {
    const tracker = yield* track(source, name)
    yield* check(source.root, tracker.record, options)
    const mailbox = yield* Mailbox.make<Followed, Failure>(capacity)
    const follower = new Follower(source, options, tracker, (item) => mailbox.offer(item))
    yield* Effect.acquireRelease(
      Effect.sync(() => tracker.subscribe(follower.note)),
      (unsubscribe) => Effect.sync(unsubscribe),
    )
    yield* Effect.forkScoped(Mailbox.into(follower.run, mailbox))
    return Mailbox.toStream(mailbox)
  })

/**
 * The output of a job as it comes, over all attempts from the wanted one on, and every change of its record; the record
 * as it is now comes first. What both logs get is given in the order of arrival, as text without a character cut in
 * two. That an attempt is over is told when all that it had written by then was given; what its descendants write
 * later is not waited for. The stream ends after the job.
 *
 * A slow reader makes it read no further: some 64 KiB pieces are held, and no more than 64 changes. With `keep-ends`
 * one that was overtaken goes on behind what was dropped. When it is interrupted, no watch and no descriptor is left.
 *
 * Fails with `LogUnusable` for an attempt that never was, an offset behind the end, and logs that are gone, replaced,
 * truncated or cannot be read; and with `JobNotFound` when the job is deleted before it began.
 */
export const follow = (
  source: Source,
  name: string,
  options: FollowOptions = {},
): Stream.Stream<Followed, Failure> =>
  Stream.withSpan(Stream.unwrapScoped(start(source, name, options)), "JobLogs.follow")
