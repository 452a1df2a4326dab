/** Every change of a job as a line of the log, an entry of the event log, an event of a span, and in the metrics. */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { EventLog } from "../../event/EventLog.js"
import * as Metrics from "../../event/Metrics.js"
import * as Tracing from "../../process/Tracing.js"
import type { JobRecord } from "../JobRecord.js"
import { hasEnded, lastAttempt } from "../JobRecord.js"
import type { JobState } from "../JobState.js"
import type { StoreError } from "../StoreError.js"

/** A tagged metric costs more to make than to update. */
const once = <A>(make: (tag: string) => A): ((tag: string) => A) => {
  const made = new Map<string, A>()
  return (tag) => {
    const metric = made.get(tag) ?? make(tag)
    made.set(tag, metric)
    return metric
  }
}

const jobsEnded = once(Metrics.jobsEnded)
const outputBytes = once(Metrics.outputBytes)

/** What is to be known of a state besides its name. */
const particulars = (state: JobState): Record<string, unknown> => {
  const { _tag, ...rest } = state
  return rest
}

const sentence = (record: JobRecord): string => {
  const { id, state } = record
  switch (state._tag) {
    case "exited":
      return `Job ${id} has exited with code ${state.code} (${state.cause})`
    case "killed":
      return `Job ${id} was ended by ${state.signal} (${state.cause})`
    case "failed":
      return `Job ${id} has failed: ${state.reason}`
    case "lost":
      return `Job ${id} is lost: ${state.why}`
    case "running": {
      const last = lastAttempt(record)
      const pid = last?.process === undefined ? "" : `, pid ${last.process.pid}`
      return last?.stopping === undefined
        ? `Job ${id} is running${pid}`
        : `Job ${id} is being stopped by ${last.stopping.signal} (${last.stopping.cause})`
    }
    default:
      return `Job ${id} is ${state._tag}`
  }
}

const measure = (record: JobRecord): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { revision, state } = record
    const last = lastAttempt(record)
    if (revision === 0) yield* Metric.increment(Metrics.jobsAccepted)
    if (last?.end !== undefined && last.end._tag !== "withdrawn" && state._tag !== "running") {
      if (last.startedAt !== undefined) {
        yield* Metric.update(Metrics.spawnSeconds, Math.max(0, last.startedAt - last.launchedAt) / 1_000)
        yield* Metric.update(Metrics.jobSeconds, Math.max(0, last.end.at - last.startedAt) / 1_000)
      }
      yield* Metric.incrementBy(outputBytes("stdout"), last.stdoutBytes ?? 0)
      yield* Metric.incrementBy(outputBytes("stderr"), last.stderrBytes ?? 0)
    }
    if (hasEnded(record)) yield* Metric.increment(jobsEnded(state._tag))
  })

/** Tells of a stored change. */
export const tell = (record: JobRecord, events: EventLog["Type"] | undefined): Effect.Effect<void> => {
  const { attempts, id, revision, state } = record
  const about = { job_id: id, state: state._tag, revision, attempt: attempts.length }
  return Effect.gen(function* () {
    yield* measure(record)
    const details = particulars(state)
    if (events !== undefined) yield* events.append(`job.${state._tag}`, id, { ...about, ...details })
    yield* Effect.annotateLogs(Effect.logInfo(sentence(record)), about)
  }).pipe((effect) => Tracing.withSpan(effect, `job.${state._tag}`, () => about))
}

/** Sets the gauges of jobs by state. They stay as they were when the store cannot be asked. */
export const count = (
  counts: Effect.Effect<Readonly<Record<string, number>>, StoreError>,
): Effect.Effect<void> =>
  counts.pipe(
    Effect.flatMap((counts) =>
      Effect.forEach(Object.entries(counts), ([state, number]) => Metric.set(Metrics.jobs(state), number), {
        discard: true,
      }),
    ),
    Effect.catchAll((error) => Effect.logWarning(error.message)),
  )
