import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricPair from "effect/MetricPair"
import * as MetricState from "effect/MetricState"
import * as EventLoopLag from "../../src/event/EventLoopLag.js"
import * as Metrics from "../../src/event/Metrics.js"
import * as ProcessMetrics from "../../src/event/ProcessMetrics.js"
import * as PrometheusText from "../../src/event/PrometheusText.js"
import { parse } from "./prometheus.js"

/** What is rendered for one name. */
const family = (name: string) =>
  Effect.map(Metrics.render(), (text) => {
    const found = parse(text).get(name)
    assert.isDefined(found, text)
    return found!
  })

const values = (samples: ReadonlyArray<{ readonly name: string; readonly value: number }>) =>
  samples.map(({ name, value }) => [name, value])

describe("metrics as Prometheus reads them", () => {
  it.effect("counters, gauges and frequencies, HELP and TYPE once for a name", () =>
    Effect.gen(function* () {
      yield* Metric.incrementBy(Metrics.jobsEnded("exited"), 3)
      yield* Metric.increment(Metrics.jobsEnded("killed"))
      const ended = yield* family("holdfast_jobs_ended_total")
      assert.deepInclude(ended, {
        type: "counter",
        help: "Jobs that ended since the start of the daemon, by final state.",
      })
      assert.deepStrictEqual(
        ended.samples.map(({ labels, value }) => [labels["state"], value]),
        [
          ["exited", 3],
          ["killed", 1],
        ],
      )

      yield* Metric.set(Metrics.jobs("running"), 7)
      assert.deepStrictEqual((yield* family("holdfast_jobs")).samples, [
        { name: "holdfast_jobs", labels: { state: "running" }, value: 7 },
      ])

      const words = Metric.frequency("test_words", { description: "words" })
      yield* Metric.update(words, "a")
      yield* Metric.update(words, "a")
      yield* Metric.update(words, 'b "c"')
      const frequency = yield* family("test_words")
      assert.strictEqual(frequency.type, "counter")
      assert.deepStrictEqual(
        frequency.samples.map(({ labels, value }) => [labels["key"], value]),
        [
          ["a", 2],
          ['b "c"', 1],
        ],
      )

      // It may go down: no counter.
      yield* Metric.incrementBy(Metric.counter("test_level"), -2)
      assert.deepInclude(yield* family("test_level"), { type: "gauge", help: "test_level" })
      yield* Metric.incrementBy(
        Metric.counter("test_big_total", { bigint: true, incremental: true }),
        2n ** 60n,
      )
      assert.include(yield* Metrics.render(), "\ntest_big_total 1152921504606846976\n")
    }),
  )

  it.effect("histograms, cumulative and with everything under +Inf", () =>
    Effect.gen(function* () {
      const histogram = Metric.histogram("test_seconds", MetricBoundaries.fromIterable([0.1, 1, 5]), "times")
      for (const value of [0.05, 0.5, 0.5, 3, 100]) yield* Metric.update(histogram, value)
      const { samples, type } = yield* family("test_seconds")
      assert.strictEqual(type, "histogram")
      assert.deepStrictEqual(
        samples
          .filter(({ name }) => name.endsWith("_bucket"))
          .map(({ labels, value }) => [labels["le"], value]),
        [
          ["0.1", 1],
          ["1", 3],
          ["5", 4],
          ["+Inf", 5],
        ],
      )
      assert.deepStrictEqual(values(samples.slice(-2)), [
        ["test_seconds_sum", 104.05],
        ["test_seconds_count", 5],
      ])
      yield* Metric.update(histogram, Number.NaN)
      const odd = (yield* family("test_seconds")).samples
      assert.strictEqual(odd.find(({ labels }) => labels["le"] === "+Inf")!.value, 6)
      assert.isNaN(odd.find(({ name }) => name.endsWith("_sum"))!.value)
    }),
  )

  it.live("summaries, with NaN for quantiles that nobody knows yet", () =>
    Effect.gen(function* () {
      const summary = Metric.summary({
        name: "test_summary",
        maxAge: "1 hour",
        maxSize: 100,
        error: 0.01,
        quantiles: [0.5, 0.99],
      })
      yield* Metric.value(summary)
      const empty = yield* family("test_summary")
      assert.strictEqual(empty.type, "summary")
      assert.isNaN(empty.samples[0]!.value)
      for (const value of [1, 2, 3, 4]) yield* Metric.update(summary, value)
      const { samples } = yield* family("test_summary")
      assert.deepStrictEqual(
        samples.slice(0, 2).map(({ labels }) => labels["quantile"]),
        ["0.5", "0.99"],
      )
      assert.deepStrictEqual(values(samples.slice(2)), [
        ["test_summary_sum", 10],
        ["test_summary_count", 4],
      ])
    }),
  )

  it.effect("values that are not finite", () =>
    Effect.gen(function* () {
      const gauge = (at: string) => Metric.tagged(Metric.gauge("test_odd"), "at", at)
      for (const value of [Infinity, -Infinity, Number.NaN, 1e21, -1.5e-9, -0])
        yield* Metric.set(gauge(String(value)), value)
      const { samples } = yield* family("test_odd")
      assert.deepStrictEqual(
        samples.map(({ value }) => value),
        [Infinity, -Infinity, Number.NaN, 1e21, -1.5e-9, 0],
      )
    }),
  )

  it.effect("labels and names with anything in them", () =>
    Effect.gen(function* () {
      const value = 'back\\slash "quote"\nline \\n é 𝄞 {a="b"},'
      yield* Metric.set(
        Metric.gauge("test.dotted-näme", { description: "a \\ and\na line" }).pipe(
          Metric.tagged("a.b", value),
          Metric.tagged("1st", ""),
        ),
        1,
      )
      const { help, samples } = yield* family("test_dotted_n_me")
      assert.strictEqual(help, "a \\ and\na line")
      assert.deepStrictEqual(samples[0]!.labels, { a_b: value, _1st: "" })
      yield* Metric.update(
        Metric.tagged(Metric.histogram("test_le", MetricBoundaries.fromIterable([1])), "le", "mine"),
        1,
      )
      assert.strictEqual((yield* family("test_le")).samples[0]!.labels["exported_le"], "mine")
    }),
  )

  it.effect("one name for several things: each line stays valid, and none is there twice", () =>
    Effect.gen(function* () {
      yield* Metric.set(Metric.gauge("test_shared"), 1)
      yield* Metric.increment(Metric.counter("test_shared", { incremental: true }))
      yield* Metric.set(Metric.gauge("test_shared", { description: "other" }), 2)
      yield* Metric.set(Metric.gauge("test.shared"), 3)
      yield* Metric.update(Metric.histogram("test_shared", MetricBoundaries.fromIterable([1])), 1)
      yield* Metric.set(Metric.gauge("test_shared_histogram_count"), 4)
      const families = parse(yield* Metrics.render())
      assert.deepStrictEqual(
        [...families].filter(([name]) => name.startsWith("test_shared")).map(([name]) => name),
        [
          "test_shared",
          "test_shared_counter",
          "test_shared_gauge",
          "test_shared_histogram",
          "test_shared_histogram_count_gauge",
        ],
      )
      assert.deepStrictEqual(values(families.get("test_shared")!.samples), [["test_shared", 1]])
      assert.strictEqual(families.get("test_shared")!.help, "other")
    }),
  )

  it("nothing at all is an empty text, and a pair alone is a family", () => {
    assert.strictEqual(PrometheusText.render([]), "")
    const pair = MetricPair.unsafeMake(MetricKey.gauge("one"), MetricState.gauge(1))
    assert.strictEqual(PrometheusText.render([pair]), "# HELP one one\n# TYPE one gauge\none 1\n")
  })
})

describe("what is looked at when the metrics are rendered", () => {
  it.live("is looked at as long as its scope is open, once for each time it was added", () =>
    Effect.gen(function* () {
      let looks = 0
      const look = Effect.sync(() => void looks++)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Metrics.collector(look)
          yield* Effect.scoped(Effect.zipRight(Metrics.collector(look), Metrics.render()))
          assert.strictEqual(looks, 2)
          yield* Metrics.render()
          assert.strictEqual(looks, 3)
        }),
      )
      yield* Metrics.render()
      assert.strictEqual(looks, 3)
    }),
  )

  const lag = Effect.map(family("holdfast_event_loop_lag_seconds"), ({ samples, type }) => {
    assert.strictEqual(type, "gauge")
    return Object.fromEntries(samples.map(({ labels, value }) => [labels["quantile"], value]))
  })

  const block = (milliseconds: number) =>
    Effect.sync(() => {
      const end = performance.now() + milliseconds
      while (performance.now() < end);
    })

  it.live("shows how long the event loop was blocked since the last look", () =>
    Effect.gen(function* () {
      yield* lag
      // At once: in the interval that the monitor itself does not see.
      yield* block(300)
      const blocked = yield* lag
      assert.isAtLeast(blocked["max"]!, 0.25)
      yield* Effect.sleep("50 millis")
      yield* block(300)
      yield* Effect.sleep("50 millis")
      const again = yield* lag
      assert.isAtLeast(again["max"]!, 0.25)
      assert.isAtMost(again["p50"]!, again["p99"]!)
      assert.isAtMost(again["p99"]!, again["max"]! + 0.001)
      yield* Effect.sleep("100 millis")
      // The look before has forgotten the block.
      assert.isBelow((yield* lag)["max"]!, again["max"]!)
    }).pipe(Effect.provide(EventLoopLag.layer())),
  )

  it.live("shows what the process takes", () =>
    Effect.gen(function* () {
      const resident = (yield* family("process_resident_memory_bytes")).samples[0]!.value
      assert.isAbove(resident, 20_000_000)
      assert.isBelow(Math.abs(resident / process.memoryUsage.rss() - 1), 0.5)
      const cpu = Effect.map(family("process_cpu_seconds_total"), ({ samples, type }) => {
        assert.strictEqual(type, "counter")
        return samples[0]!.value
      })
      const before = yield* cpu
      yield* block(200)
      const after = yield* cpu
      const { system, user } = process.cpuUsage()
      assert.isAbove(after, before)
      assert.isAtMost(after, (system + user) / 1e6)
      const started = (yield* family("process_start_time_seconds")).samples[0]!.value
      assert.isBelow(Math.abs(Date.now() / 1_000 - process.uptime() - started), 1)
    }).pipe(Effect.provide(ProcessMetrics.layer)),
  )
})
