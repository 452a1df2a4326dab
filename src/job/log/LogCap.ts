/**
 * Watches how much a running attempt writes, and acts when it is more than `maxLogBytes`: tells whoever stops it, or
 * keeps only the ends of its logs (see `LogEnds`). The writer is not in its way and is not slowed down.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Changes from "../../output/Changes.js"
import type { NotPunched } from "../../output/HolePunch.js"
import type { LogError } from "../../output/LogError.js"
import * as LogEnds from "./LogEnds.js"

/** Which logs, and what to do. */
export interface Options {
  /** Absolute. They need not be there yet. */
  readonly paths: { readonly stdout: string; readonly stderr: string }
  /** Of both logs together. */
  readonly maxLogBytes: number
  readonly policy: "kill" | "keep-ends"
  /** What is done once when a `kill` is due. */
  readonly onExceeded: Effect.Effect<unknown>
}

/** How long a log that is being written is not looked at, in ms. */
const pause = 50

/** What may be written between two cuts, in bytes, or else pass, in ms: a slow writer costs one `fallocate` a second. */
const bytesBetweenCuts = 16_777_216
const longestPause = 1_000

/** After what the disk refused, in ms. */
const afterFailure = 10_000

type Both = readonly [LogEnds.Seen, LogEnds.Seen]

/** Both logs of one attempt. */
class Logs {
  private readonly stdout: LogEnds.LogEnds
  private readonly stderr: LogEnds.LogEnds
  /** Whether they cannot be cut at all. */
  isHopeless = false
  private hasWarned = false

  constructor(private readonly options: Options) {
    this.stdout = new LogEnds.LogEnds(options.paths.stdout)
    this.stderr = new LogEnds.LogEnds(options.paths.stderr)
  }

  /** As they stand; undefined when that cannot be told. */
  readonly look: Effect.Effect<Both | undefined> = Effect.suspend(() =>
    Effect.all([this.stdout.look, this.stderr.look]).pipe(
      Effect.catchAll((error) => Effect.as(this.warn(error), undefined)),
    ),
  )

  /** Whether there is something to cut. */
  areDue([stdout, stderr]: Both): boolean {
    const { maxLogBytes } = this.options
    const cuts = [LogEnds.cutOf(maxLogBytes, stdout, stderr), LogEnds.cutOf(maxLogBytes, stderr, stdout)]
    return cuts.some((cut) => cut !== undefined)
  }

  /** Cuts them where it is due. Gives how many bytes that freed, undefined when it did not work. */
  cut([stdout, stderr]: Both): Effect.Effect<number | undefined> {
    const { maxLogBytes } = this.options
    return Effect.zipWith(
      this.stdout.drop(LogEnds.cutOf(maxLogBytes, stdout, stderr)),
      this.stderr.drop(LogEnds.cutOf(maxLogBytes, stderr, stdout)),
      (a, b) => a + b,
    ).pipe(
      Effect.catchAll((error) => {
        this.isHopeless = error._tag === "NotPunched" && error.isForGood
        return Effect.as(this.warn(error), undefined)
      }),
    )
  }

  /** Once: what is wrong with a disk stays wrong for a while. */
  private warn(error: LogError | NotPunched): Effect.Effect<void> {
    if (this.hasWarned) return Effect.void
    this.hasWarned = true
    return Effect.logWarning(
      `The output of a job is not held to its limit of ${this.options.maxLogBytes} bytes, and its logs grow on. ${error.message}`,
    )
  }
}

const sleep = (millis: number): Effect.Effect<void> => Effect.sleep(Duration.millis(millis))

/** In ms, of the monotonic clock. */
const now = Effect.map(Clock.currentTimeNanos, (nanos) => Number(nanos / 1_000n) / 1_000)

/** Watches until there is nothing left to do. */
const run = (options: Options, logs: Logs): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { maxLogBytes, onExceeded, paths, policy } = options
    const stdout = yield* Changes.make(paths.stdout)
    const stderr = yield* Changes.make(paths.stderr)
    const arm = (changes: Changes.Changes, { id }: LogEnds.Seen) =>
      changes.watch(id === undefined ? undefined : { id, hasName: true })
    let known = 0
    let last = { size: 0, time: -Infinity }
    while (true) {
      const both = yield* logs.look
      if (both === undefined) {
        yield* sleep(afterFailure)
        continue
      }
      const size = both[0].size + both[1].size
      if (policy === "kill" && size > maxLogBytes) {
        yield* onExceeded
        return
      }
      if (policy === "keep-ends") {
        const mayWait = size - last.size < bytesBetweenCuts && (yield* now) - last.time < longestPause
        const freed = mayWait ? 0 : yield* logs.cut(both)
        if (logs.isHopeless) return
        if (freed !== 0) last = { size, time: yield* now }
        if (freed !== 0 || logs.areDue(both)) {
          yield* sleep(freed === undefined ? afterFailure : pause)
          continue
        }
      }
      // Whoever writes all the time is looked at from time to time: the news of it would come too often.
      if (size !== known) {
        known = size
        yield* sleep(pause)
        continue
      }
      const isOutNew = yield* arm(stdout, both[0])
      const isErrNew = yield* arm(stderr, both[1])
      if (!isOutNew && !isErrNew) yield* Effect.raceFirst(stdout.wait(), stderr.wait())
    }
  })

/**
 * Watches the logs of an attempt until the scope closes. With `keep-ends` they are cut once more when it does.
 *
 * - `kill`: when they have more than `maxLogBytes` together, `onExceeded` is run, once; then the watch is over.
 * - `keep-ends`: the middle is dropped as `LogEnds` says. Offsets stay valid, and readers that are told of the sidecar
 *   (the option `gap` of `LogTail`, `LogCursor` and `LogFollow`) skip it. Where the file system cannot do that (no
 *   holes, no `fallocate`), a warning says so, and the logs grow on without a limit.
 *
 * It learns of output by the system's events, looks 20 times a second while there is some, and (for events that were
 * lost) every ten seconds while there is none. So the limit is exceeded by what is written meanwhile: 50 MB by a job that
 * writes 1 GB/s. A cut is made when 16 MiB were written since the last one, or after a second; what is written while it
 * is made (some 50 ms for 100 MB) comes on top for as long: a job with 0.8 GB/s was seen to need 190 MB at times. A watch that is begun anew for the same logs, as after a
 * restart of the daemon, goes on where the last one was.
 */
export const watch = (options: Options): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const logs = new Logs(options)
    if (options.policy === "keep-ends") {
      const last = Effect.flatMap(logs.look, (both) =>
        both === undefined || logs.isHopeless ? Effect.void : logs.cut(both),
      )
      yield* Effect.addFinalizer(() => last)
    }
    yield* Effect.forkScoped(Effect.scoped(run(options, logs)))
  })
