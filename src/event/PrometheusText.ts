/** Effect's metrics in the text format of Prometheus, version 0.0.4. */
import * as MetricKeyType from "effect/MetricKeyType"
import type * as MetricPair from "effect/MetricPair"
import * as MetricState from "effect/MetricState"
import * as Option from "effect/Option"

/** What an HTTP answer with this text is. */
export const contentType = "text/plain; version=0.0.4; charset=utf-8"

type Pair = MetricPair.MetricPair.Untyped
type Labels = ReadonlyArray<readonly [name: string, value: string]>
type Kind = "counter" | "gauge" | "histogram" | "summary"

/** All metrics of one name and kind. */
interface Family {
  readonly kind: Kind
  readonly pairs: Array<Pair>
}

const number = (value: number | bigint): string =>
  value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value)

const metricName = (name: string): string =>
  name.replaceAll(/[^a-zA-Z0-9_:]/g, "_").replace(/^(?![a-zA-Z_:])/, "_")

const labelName = (name: string): string =>
  name.replaceAll(/[^a-zA-Z0-9_]/g, "_").replace(/^(?![a-zA-Z_])/, "_")

const help = (text: string): string => text.replaceAll("\\", String.raw`\\`).replaceAll("\n", String.raw`\n`)

const labelValue = (text: string): string => help(text).replaceAll('"', String.raw`\"`)

const series = (name: string, labels: Labels): string =>
  labels.length === 0
    ? name
    : `${name}{${labels.map(([label, value]) => `${label}="${labelValue(value)}"`).join(",")}}`

/** A counter that may also go down is what Prometheus calls a gauge. */
const kindOf = ({ metricKey: { keyType } }: Pair): Kind =>
  MetricKeyType.isHistogramKey(keyType)
    ? "histogram"
    : MetricKeyType.isSummaryKey(keyType)
      ? "summary"
      : MetricKeyType.isFrequencyKey(keyType) || (MetricKeyType.isCounterKey(keyType) && keyType.incremental)
        ? "counter"
        : "gauge"

/** The label that the format itself gives to the lines of such a metric. */
const ownLabel = ({ metricKey: { keyType } }: Pair): string | undefined =>
  MetricKeyType.isHistogramKey(keyType)
    ? "le"
    : MetricKeyType.isSummaryKey(keyType)
      ? "quantile"
      : MetricKeyType.isFrequencyKey(keyType)
        ? "key"
        : undefined

/** One value for each name: the last one, as in Effect. */
const labelsOf = (pair: Pair): Labels => {
  const own = ownLabel(pair)
  const labels = new Map<string, string>()
  for (const { key, value } of pair.metricKey.tags) {
    const name = labelName(key)
    labels.set(name === own ? `exported_${name}` : name, value)
  }
  return [...labels].sort(([a], [b]) => (a < b ? -1 : 1))
}

const samples = (name: string, { metricState: state }: Pair, labels: Labels): ReadonlyArray<string> => {
  const line = (suffix: string, value: number | bigint, ...more: Labels): string =>
    `${series(name + suffix, [...labels, ...more])} ${number(value)}`
  if (MetricState.isCounterState(state)) return [line("", state.count)]
  if (MetricState.isGaugeState(state)) return [line("", state.value)]
  if (MetricState.isFrequencyState(state))
    return [...state.occurrences].map(([key, count]) => line("", count, ["key", key]))
  if (MetricState.isHistogramState(state))
    return [
      ...state.buckets
        .filter(([bound]) => bound !== Infinity)
        .map(([bound, count]) => line("_bucket", count, ["le", number(bound)])),
      // Also what is no number at all is counted, and belongs to no other bucket.
      line("_bucket", state.count, ["le", "+Inf"]),
      line("_sum", state.sum),
      line("_count", state.count),
    ]
  if (MetricState.isSummaryState(state))
    return [
      ...state.quantiles.map(([quantile, value]) =>
        line(
          "",
          Option.getOrElse(value, () => Number.NaN),
          ["quantile", number(quantile)],
        ),
      ),
      line("_sum", state.sum),
      line("_count", state.count),
    ]
  return []
}

/** The names that the lines of a family have. */
const namesOf = (name: string, kind: Kind): ReadonlyArray<string> =>
  kind === "histogram"
    ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]
    : kind === "summary"
      ? [name, `${name}_sum`, `${name}_count`]
      : [name]

/**
 * The text of a snapshot, by name.
 *
 * - Names are kept, but for characters that the format does not know, which become `_`. A name that two kinds of metric
 *   share gets its kind appended for the second one.
 * - A frequency is a counter with the label `key`. A counter that is not `incremental` is a gauge.
 * - Of two metrics with the same name, kind and labels the first one is given (they differ in description or buckets).
 */
export const render = (snapshot: ReadonlyArray<Pair>): string => {
  const families = new Map<string, Family>()
  for (const pair of snapshot) {
    const kind = kindOf(pair)
    const key = `${pair.metricKey.name}\n${kind}`
    const family = families.get(key)
    if (family === undefined) families.set(key, { kind, pairs: [pair] })
    else family.pairs.push(pair)
  }
  const taken = new Set<string>()
  const texts = [...families.values()].map(({ kind, pairs }) => {
    let name = metricName(pairs[0]!.metricKey.name)
    while (namesOf(name, kind).some((used) => taken.has(used))) name += `_${kind}`
    for (const used of namesOf(name, kind)) taken.add(used)
    const described = pairs.find(({ metricKey }) => Option.isSome(metricKey.description))
    const description = Option.getOrElse(
      described?.metricKey.description ?? Option.none<string>(),
      () => pairs[0]!.metricKey.name,
    )
    const lines = new Map<string, ReadonlyArray<string>>()
    for (const pair of pairs) {
      const labels = labelsOf(pair)
      const key = series(name, labels)
      if (!lines.has(key)) lines.set(key, samples(name, pair, labels))
    }
    const head = [`# HELP ${name} ${help(description)}`, `# TYPE ${name} ${kind}`]
    return { name, text: [...head, ...[...lines.values()].flat(), ""].join("\n") }
  })
  return texts
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ text }) => text)
    .join("")
}
