/**
 * What Holdfast counts and measures, as Effect metrics: an app that exports these elsewhere has them too. `render` gives
 * them, and all others in Effect's registry, as Prometheus reads them. Times are in seconds, sizes in bytes.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import type * as Scope from "effect/Scope"
import * as PrometheusText from "./PrometheusText.js"

/** From half a millisecond to half a minute. */
const seconds = MetricBoundaries.fromIterable([
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
])

/** Jobs by `state`. */
export const jobs = (state: string) =>
  Metric.tagged(Metric.gauge("holdfast_jobs", { description: "Jobs in the store by state." }), "state", state)

/** Jobs accepted since the program started. */
export const jobsAccepted = Metric.counter("holdfast_jobs_accepted_total", {
  description: "Jobs accepted since the start of the daemon.",
  incremental: true,
})

/** Jobs that ended since the program started, by the `state` that they ended in. */
export const jobsEnded = (state: string) =>
  Metric.tagged(
    Metric.counter("holdfast_jobs_ended_total", {
      description: "Jobs that ended since the start of the daemon, by final state.",
      incremental: true,
    }),
    "state",
    state,
  )

/** How long jobs ran, attempts that were repeated included. */
export const jobSeconds = Metric.histogram(
  "holdfast_job_duration_seconds",
  MetricBoundaries.fromIterable([0.01, 0.1, 1, 10, 60, 600, 3_600, 86_400]),
  "How long attempts of jobs ran.",
)

/** Bytes that ended jobs wrote, by `stream` (stdout, stderr). */
export const outputBytes = (stream: string) =>
  Metric.tagged(
    Metric.counter("holdfast_output_bytes_total", {
      description: "Bytes of output of ended attempts, by stream.",
      incremental: true,
    }),
    "stream",
    stream,
  )

/** From the order to start a process until it runs. */
export const spawnSeconds = Metric.histogram(
  "holdfast_spawn_duration_seconds",
  seconds,
  "From the order to start a process until it runs.",
)

/** Units by `state`. */
export const units = (state: string) =>
  Metric.tagged(Metric.gauge("holdfast_units", { description: "Units by state." }), "state", state)

/** Restarts of a `unit` after a crash. */
export const restarts = (unit: string) =>
  Metric.tagged(
    Metric.counter("holdfast_unit_restarts_total", {
      description: "Restarts after a crash, by unit.",
      incremental: true,
    }),
    "unit",
    unit,
  )

/** How long a probe of a `unit` took until its verdict. */
export const probeSeconds = (unit: string) =>
  Metric.tagged(
    Metric.histogram("holdfast_probe_duration_seconds", seconds, "How long probes took, by unit."),
    "unit",
    unit,
  )

/** What looks at the world before each rendering. */
class Collectors extends Context.Reference<Collectors>()("holdfast/event/Collectors", {
  defaultValue: () => new Set<{ readonly collect: Effect.Effect<void> }>(),
}) {}

/** Runs `collect` before each rendering, until the scope closes: for gauges that nobody would set otherwise. */
export const collector = (collect: Effect.Effect<void>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const collectors = yield* Collectors
    // One of its own each time: the same effect may be added twice, and taken away once.
    const own = { collect }
    yield* Effect.acquireRelease(
      Effect.sync(() => void collectors.add(own)),
      () => Effect.sync(() => void collectors.delete(own)),
    )
  })

/** What an HTTP answer with the text of {@link render} is. */
export const contentType = PrometheusText.contentType

/** Every metric of this program in the text format of Prometheus; see `PrometheusText.render` for the names. */
export const render: () => Effect.Effect<string> = Effect.fn("Metrics.render")(function* () {
  for (const { collect } of yield* Collectors) yield* collect
  return PrometheusText.render(yield* Metric.snapshot)
})
