/** What goes on beside a running attempt: its timeout, the cap of its logs, what its output is watched for. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { join } from "node:path"
import type { ForeignGroup } from "../../process/ForeignGroup.js"
import type { StopReport } from "../../process/Process.js"
import type { Signal } from "../../process/Signal.js"
import type { Attempt } from "./Attempt.js"
import { JobEvent } from "../JobEvent.js"
import { lastAttempt, transition } from "../JobRecord.js"
import type { StopCause } from "../JobState.js"
import * as LogCap from "../log/LogCap.js"
import type { RunnerContext } from "./RunnerContext.js"
import { background, now, persist, publish } from "./RunnerContext.js"

/** Timers of Node end early beyond 24.8 days. */
const longestSleep = Duration.days(1)

const sleep = (millis: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let left = millis; left > 0; left -= Duration.toMillis(longestSleep)) {
      yield* Effect.sleep(Math.min(left, Duration.toMillis(longestSleep)))
    }
  })

/** So long the store is waited for before the signal: a full disk must keep nobody from stopping a job. */
const storePatience = "100 millis"

/** Notes why an attempt is being stopped. The first cause stays. Its end is stored with it, if it is not before. */
const note = (context: RunnerContext, attempt: Attempt, cause: StopCause, signal: Signal) =>
  Effect.gen(function* () {
    if (attempt.stopping !== undefined) return
    const at = yield* now
    attempt.stopping = { cause, signal, at }
    const stored = yield* Deferred.make<void>()
    yield* background(
      context,
      persist(context, attempt.id, (record) =>
        lastAttempt(record)?.number === attempt.number && record.state._tag === "running"
          ? transition(record, JobEvent.Stopping({ at, cause, signal }))
          : Either.right(record),
      ).pipe(
        Effect.tap((record) =>
          record === undefined || attempt.isEnding ? Effect.void : publish(context, record),
        ),
        Effect.ensuring(Deferred.succeed(stored, undefined)),
      ),
    )
    yield* Effect.timeoutOption(Deferred.await(stored), storePatience)
  })

/** A stop of a group, which goes on though nobody waits for it any more. */
export const stopGroup = (
  context: RunnerContext,
  group: ForeignGroup,
  signal: Signal,
  grace: Duration.Duration,
): Effect.Effect<StopReport> =>
  Effect.suspend(() => {
    context.stopping.add(group)
    return Effect.ensuring(
      group.stop(signal, grace, context.scope),
      Effect.sync(() => context.stopping.delete(group)),
    )
  })

/**
 * Stops an attempt, whether or not somebody waits for that; undefined when it ended before it had a process. What
 * survived is logged.
 */
export const stop = (
  context: RunnerContext,
  attempt: Attempt,
  cause: StopCause,
  signal: Signal,
  grace: Duration.Duration,
): Effect.Effect<StopReport | undefined> =>
  Effect.gen(function* () {
    const done = yield* Deferred.make<StopReport | undefined>()
    const work = Effect.gen(function* () {
      yield* note(context, attempt, cause, signal)
      const group = yield* Deferred.await(attempt.group)
      if (group === undefined) return undefined
      const report = yield* stopGroup(context, group, signal, grace)
      if (report.survivors.length > 0) {
        const left = report.survivors.map(({ command, pid }) => `${pid} ${command}`).join(", ")
        yield* Effect.logError(`Job ${attempt.id} was to be stopped (${cause}), and is not gone: ${left}`)
      }
      return report
    })
    yield* background(context, Effect.intoDeferred(work, done))
    return yield* Deferred.await(done)
  })

/** Begins with the attempt's process; `elapsed` is measured by the system, from the process's own start. */
export const begin = (context: RunnerContext, attempt: Attempt): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { begun, paths, record } = attempt
    const { killAfter, maxLogBytes, notifications, stopSignal, timeout, whenLogFull } = record.spec
    const last = record.attempts.at(-1)
    // A stop that an earlier life of this program began, and may not have brought to its end.
    if (last?.number === attempt.number && last.stopping !== undefined) {
      const { at, cause, signal } = last.stopping
      attempt.stopping = { cause, signal: signal as Signal, at }
      // The clock may have been set meanwhile. The signal itself is not repeated: a second TERM makes many programs drop
      // what they are about to save.
      const grace = Duration.toMillis(killAfter)
      const left = Math.min(grace, Math.max(0, grace - ((yield* now) - at)))
      yield* attempt.watch(
        Effect.zipRight(sleep(left), stop(context, attempt, cause, "SIGKILL", Duration.zero)),
      )
    } else if (timeout !== undefined) {
      const left = Duration.toMillis(timeout) - context.table.ageOf(begun!)
      yield* attempt.watch(
        Effect.zipRight(sleep(left), stop(context, attempt, "timeout", stopSignal, killAfter)),
      )
    }
    if (maxLogBytes !== undefined) {
      const options = {
        paths: { stdout: join(context.root, paths.stdout), stderr: join(context.root, paths.stderr) },
        maxLogBytes,
        policy: whenLogFull,
        onExceeded: stop(context, attempt, "log-limit", "SIGKILL", Duration.zero),
      }
      yield* attempt.watch(Effect.zipRight(LogCap.watch(options), Effect.never))
    }
    if (notifications.length > 0) {
      yield* context.notifier.begin(record, { done: Deferred.await(attempt.over) })
    }
  })
