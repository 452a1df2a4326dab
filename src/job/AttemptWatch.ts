/** What goes on beside a running attempt: its timeout, the cap of its logs, what its output is watched for. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { Signal } from "../process/Signal.js"
import type { Attempt } from "./Attempt.js"
import { JobEvent } from "./JobEvent.js"
import { transition } from "./JobRecord.js"
import type { StopCause } from "./JobState.js"
import * as LogCap from "./LogCap.js"
import type { RunnerContext } from "./RunnerContext.js"
import { now, persist, publish } from "./RunnerContext.js"

/** Timers of Node end early beyond 24.8 days. */
const longestSleep = Duration.days(1)

const sleep = (millis: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let left = millis; left > 0; left -= Duration.toMillis(longestSleep)) {
      yield* Effect.sleep(Math.min(left, Duration.toMillis(longestSleep)))
    }
  })

/** Notes why an attempt is being stopped, before it is. The first cause stays. */
export const note = (context: RunnerContext, attempt: Attempt, cause: StopCause, signal: Signal) =>
  Effect.gen(function* () {
    const at = yield* now
    const record = yield* persist(context, attempt.id, (record) =>
      transition(record, JobEvent.Stopping({ at, cause, signal })),
    )
    if (record !== undefined) yield* publish(context, record)
  })

const stop = (
  context: RunnerContext,
  attempt: Attempt,
  cause: StopCause,
  signal: Signal,
  grace: Duration.Duration,
) =>
  Effect.gen(function* () {
    yield* note(context, attempt, cause, signal)
    const group = yield* Deferred.await(attempt.group)
    if (group === undefined) return
    const { survivors } = yield* group.stop(signal, grace)
    if (survivors.length > 0) {
      yield* Effect.logError(
        `Job ${attempt.id} was to be stopped (${cause}), and is not gone: ${survivors.map(({ command, pid }) => `${pid} ${command}`).join(", ")}`,
      )
    }
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
      const left = Math.max(0, Duration.toMillis(killAfter) - ((yield* now) - at))
      yield* attempt.watch(stop(context, attempt, cause, signal as Signal, Duration.millis(left)))
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
