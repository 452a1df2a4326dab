/** Signals to jobs, whatever state they are in. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { ForeignGroup } from "../../process/ForeignGroup.js"
import type { StopReport } from "../../process/Process.js"
import * as Process from "../../process/Process.js"
import type { TableUnreadable } from "../../process/ProcessTable.js"
import type { Signal } from "../../process/Signal.js"
import { markOf, redactorOf } from "./Attempt.js"
import * as AttemptFiles from "../keeper/AttemptFiles.js"
import type { Attempts } from "./Attempts.js"
import * as AttemptWatch from "./AttemptWatch.js"
import { JobEvent } from "../JobEvent.js"
import type { JobRecord } from "../JobRecord.js"
import { InvalidTransition, hasEnded, lastAttempt, transition } from "../JobRecord.js"
import type { KillOptions, KillReport } from "../JobRunnerService.js"
import type { RunnerContext } from "./RunnerContext.js"
import { now, publish } from "./RunnerContext.js"
import type { JobNotFound, StoreError } from "../StoreError.js"

/** The signals that ask a program to end. */
const ending: ReadonlySet<Signal> = new Set(["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGABRT", "SIGKILL"])

type Failure = InvalidTransition | JobNotFound | TableUnreadable | StoreError

/** How long the end of a job is waited for once its processes are gone. */
const endPatience = "2 seconds"

/** See `JobRunner.kill`. */
export const kill = (
  context: RunnerContext,
  attempts: Attempts,
  record: JobRecord,
  options: KillOptions,
): Effect.Effect<KillReport, Failure> => {
  const signal = options.signal ?? record.spec.stopSignal
  const escalate = options.escalate ?? ending.has(signal)
  const grace = options.grace ?? record.spec.killAfter

  const reach = (group: ForeignGroup): Effect.Effect<StopReport, TableUnreadable> =>
    escalate ? AttemptWatch.stopGroup(context, group, signal, grace) : once(group, signal)

  const running = Effect.gen(function* () {
    const attempt = attempts.of(record)
    // Its end is just being stored.
    if (attempt === undefined) return yield* Effect.flatMap(context.store.get(record.id), over)
    if (!escalate) {
      attempt.sent.add(signal)
      const group = yield* Deferred.await(attempt.group)
      const stop = group === undefined ? undefined : yield* once(group, signal)
      return { record: yield* context.store.get(record.id), signal, stop }
    }
    const stop = yield* AttemptWatch.stop(context, attempt, "stopped", signal, grace)
    // Its end comes at once, unless it is still there after KILL, its keeper is stopped, or the disk is full.
    yield* Effect.timeoutOption(attempts.ended(attempt), endPatience)
    return { record: yield* context.store.get(record.id), signal, stop }
  })

  const over = (record: JobRecord): Effect.Effect<KillReport, Failure> =>
    Effect.gen(function* () {
      const group = remains(context, record)
      if (group === undefined || (yield* group.members).length === 0)
        return { record, signal, stop: undefined }
      return { record, signal, stop: yield* reach(group) }
    })

  const waiting = Effect.gen(function* () {
    if (record.state._tag === "queued" && !escalate) {
      const reason = `it has no process yet that ${signal} could be sent to; TERM takes it back`
      return yield* new InvalidTransition({ id: record.id, state: "queued", event: "Signal", reason })
    }
    const at = yield* now
    const cancelled = yield* context.store
      .update(record.id, (record) =>
        // It may have been started since.
        record.state._tag === "running" || hasEnded(record)
          ? transition(record, JobEvent.Stopping({ at, cause: "stopped", signal }))
          : transition(record, JobEvent.Cancel({ at, signal })),
      )
      .pipe(Effect.catchTag("RevisionMismatch", Effect.die))
    if (cancelled.state._tag === "running") return yield* kill(context, attempts, cancelled, options)
    if (cancelled.spec.notifications.length > 0) yield* context.notifier.prepare(cancelled)
    yield* publish(context, cancelled)
    if (cancelled.spec.notifications.length > 0) yield* context.notifier.deliver(cancelled)
    return { record: cancelled, signal, stop: undefined }
  })

  switch (record.state._tag) {
    case "created":
    case "queued":
      return waiting
    case "running":
      return running
    default:
      return over(record)
  }
}

/** One signal, to whatever there is. */
const once = (group: ForeignGroup, signal: Signal): Effect.Effect<StopReport, TableUnreadable> =>
  Effect.map(
    Effect.timed(Effect.zip(group.members, group.signal(signal))),
    ([elapsed, [members, isSent]]) =>
      new Process.StopReport({
        sent: isSent ? [signal] : [],
        escalated: false,
        escapees: members.filter(({ inGroup }) => !inGroup).map(({ pid }) => pid),
        elapsedMillis: Duration.toMillis(elapsed),
        survivors: [],
      }),
  )

/** What may be left of a job that is over: the group of its last process, if that was of this boot. */
const remains = (context: RunnerContext, record: JobRecord): ForeignGroup | undefined => {
  const last = lastAttempt(record)
  if (last?.process === undefined || last.bootId !== context.bootId) return undefined
  const { number, process } = last
  let uptime = ""
  try {
    uptime =
      AttemptFiles.read(context.root, AttemptFiles.pathsOf(record.id, number).run)?.outcome?.uptime ?? ""
  } catch {
    // Then only what carries its mark is known to be its own.
  }
  const endedAt = uptime === "" ? process.startTime : context.table.timeAt(uptime)
  const redact = redactorOf(context, record, undefined)
  return new ForeignGroup(process, markOf(record.id, number), context.table, redact, endedAt)
}
