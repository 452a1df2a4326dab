/** What this program itself takes, under the names that every Prometheus client uses. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Metrics from "./Metrics.js"

const residentBytes = Metric.gauge("process_resident_memory_bytes", {
  description: "Resident memory size in bytes.",
})

const cpuSeconds = Metric.counter("process_cpu_seconds_total", {
  description: "Total user and system CPU time spent in seconds.",
  incremental: true,
})

const startTime = Metric.gauge("process_start_time_seconds", {
  description: "Start time of the process since unix epoch in seconds.",
})

const startedAt = (): number => Date.now() / 1_000 - process.uptime()

const collect = Effect.gen(function* () {
  yield* Metric.set(residentBytes, process.memoryUsage.rss())
  const { system, user } = process.cpuUsage()
  // The counter is the program's, whoever counts: what is missing from it is added.
  const { count } = yield* Metric.value(cpuSeconds)
  yield* Metric.incrementBy(cpuSeconds, (system + user) / 1e6 - count)
})

/**
 * Sets `process_resident_memory_bytes`, `process_cpu_seconds_total` and `process_start_time_seconds` at each rendering
 * of the metrics.
 */
export const layer: Layer.Layer<never> = Layer.scopedDiscard(
  Effect.zipRight(
    Effect.suspend(() => Metric.set(startTime, startedAt())),
    Metrics.collector(collect),
  ),
)
