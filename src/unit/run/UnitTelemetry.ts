/** Every change of a unit as a line of the log, an entry of the event log, an event of a span, and in the metrics. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { EventLog } from "../../event/EventLog.js"
import * as Metrics from "../../event/Metrics.js"
import * as Tracing from "../../process/Tracing.js"
import type { Change } from "../System.js"
import { type StateName, StateName as StateNames } from "../UnitStatus.js"
import * as Phases from "./Phases.js"

/** What is to be known of a change besides the two states. */
interface Details {
  readonly pid: number | undefined
  readonly port: number | undefined
}

const levelOf = (to: StateName) =>
  to === "failed"
    ? Effect.logError
    : to === "degraded" || to === "backoff"
      ? Effect.logWarning
      : Effect.logInfo

/** What has become of a unit, as the rest of a sentence that begins with it. */
const words: Readonly<Record<StateName, string>> = {
  inactive: "is down",
  blocked: "waits",
  starting: "is starting",
  ready: "is ready",
  degraded: "is not well",
  stopping: "is stopping",
  backoff: "will be started again",
  exited: "is done",
  failed: "has failed",
}

/** Tells of a change of phase. */
export const tell = (
  { event, from, to, unit }: Change,
  { pid, port }: Details,
  events: Context.Tag.Service<EventLog> | undefined,
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const [before, after] = [Phases.nameOf(from), Phases.nameOf(to)]
    const reason = Phases.reasonOf(to)
    const data = {
      from: before,
      to: after,
      event,
      generation: to.generation,
      ...(pid !== undefined && { pid }),
      ...(port !== undefined && { port }),
      ...(reason !== undefined && { reason }),
      ...(to.phase._tag === "Stopping" && { cause: to.phase.cause }),
      ...(to.phase._tag === "Backoff" && { attempt: to.phase.attempt, until: to.phase.until }),
    }
    yield* levelOf(after)(`Unit ${unit} ${words[after]}${reason === undefined ? "" : `. ${reason}`}`).pipe(
      Effect.annotateLogs({ unit, from: before, to: after, generation: to.generation }),
    )
    if (events !== undefined) yield* events.append(`unit.${after}`, unit, data)
    if (to.restarts > from.restarts) yield* Metric.increment(Metrics.restarts(unit))
  }).pipe((run) => Tracing.withSpan(run, "Unit.change", () => ({ unit, event })))

/** Sets the gauges of units by state. */
export const count = (states: Effect.Effect<ReadonlyArray<StateName>>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const counts = new Map<StateName, number>(StateNames.literals.map((name) => [name, 0]))
    for (const name of yield* states) counts.set(name, counts.get(name)! + 1)
    for (const [name, number] of counts) yield* Metric.set(Metrics.units(name), number)
  })
