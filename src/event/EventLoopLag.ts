/** How late this program is: the time that its event loop was kept from what was due. */
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Metrics from "./Metrics.js"

/** How to measure. */
export interface Options {
  /** How often to look, in whole milliseconds; default 10. Shorter lags are seen less well. */
  readonly resolution?: number | undefined
}

const lag = (quantile: "p50" | "p99" | "max") =>
  Metric.tagged(
    Metric.gauge("holdfast_event_loop_lag_seconds", {
      description: "How late the event loop was since the last scrape.",
    }),
    "quantile",
    quantile,
  )

const gauges = { p50: lag("p50"), p99: lag("p99"), max: lag("max") }

/** A monitor that begins anew at each look without a moment that it does not see. */
class Monitor {
  private readonly histogram: IntervalHistogram
  private due = 0
  private timer: NodeJS.Timeout | undefined
  /** In milliseconds: the lag of the first interval, which the histogram leaves out after a reset. */
  private first = 0

  constructor(private readonly resolution: number) {
    this.histogram = monitorEventLoopDelay({ resolution })
    this.histogram.enable()
    this.begin()
  }

  /** In seconds, since the last look. */
  readonly look = (): { readonly p50: number; readonly p99: number; readonly max: number } => {
    const { histogram } = this
    const first = this.timer === undefined ? this.first : Math.max(0, performance.now() - this.due)
    // Each value is an interval from look to look, in nanoseconds, and zero of them have no percentiles.
    const late = (nanoseconds: number): number =>
      histogram.count === 0 ? 0 : Math.max(0, nanoseconds / 1e6 - this.resolution)
    const found = {
      p50: late(histogram.percentile(50)) / 1_000,
      p99: late(histogram.percentile(99)) / 1_000,
      max: Math.max(first, late(histogram.max)) / 1_000,
    }
    histogram.reset()
    this.begin()
    return found
  }

  readonly close = (): void => {
    clearTimeout(this.timer)
    this.histogram.disable()
  }

  private begin(): void {
    clearTimeout(this.timer)
    this.due = performance.now() + this.resolution
    this.timer = setTimeout(() => {
      this.first = Math.max(0, performance.now() - this.due)
      this.timer = undefined
    }, this.resolution).unref()
  }
}

/**
 * Measures while it is built. Each rendering of the metrics sets `holdfast_event_loop_lag_seconds`, with the label
 * `quantile` (`p50`, `p99`, `max`), to what was seen since the rendering before: whoever scrapes it should be alone.
 */
export const layer = ({ resolution = 10 }: Options = {}): Layer.Layer<never> =>
  Layer.scopedDiscard(
    Effect.gen(function* () {
      const monitor = yield* Effect.acquireRelease(
        Effect.sync(() => new Monitor(resolution)),
        ({ close }) => Effect.sync(close),
      )
      yield* Metrics.collector(
        Effect.gen(function* () {
          const { max, p50, p99 } = monitor.look()
          yield* Metric.set(gauges.p50, p50)
          yield* Metric.set(gauges.p99, p99)
          yield* Metric.set(gauges.max, max)
        }),
      )
    }),
  )
