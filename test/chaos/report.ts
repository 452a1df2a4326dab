/** What came of a run, as tables. */
import { percentile } from "../../bench/harness.js"
import type { Outcome } from "./chaos.js"
import { missing } from "./faults.js"
import type { Latencies } from "./latency.js"
import { faultNames } from "./plan.js"
import { type Invariant, invariants } from "./verdicts.js"

const row = (...cells: ReadonlyArray<string | number>): string =>
  cells
    .map((cell, index) => (index === 0 ? String(cell).padEnd(88) : String(cell).padStart(16)))
    .join("")
    .trimEnd()

/** How long commands about the state took, as lines. */
export const latencyLines = ({ mark, measured, outliers }: Latencies): ReadonlyArray<string> => {
  const lines = [
    "",
    row("command about the state, in ms as its client sees it", "asked", "p50", "p99", "max", `> ${mark}`),
  ]
  for (const [name, values] of measured) {
    if (values.length === 0) continue
    const at = (percent: number) => percentile(values, percent).toFixed(1)
    const over = values.filter((value) => value > mark).length
    lines.push(row(name, values.length, at(50), at(99), at(100), over))
  }
  return [
    ...lines,
    `Nothing is subtracted, and whoever asks shares the processor with the daemon, all that it runs, and the looking`,
    `around here. Of the answers over ${mark} ms, ${outliers} were within it at the second asking: these are no breaks.`,
  ]
}

/** The lines of the report. */
export const report = (outcome: Outcome): ReadonlyArray<string> => {
  const { accepted, answers, drawn, latencies, left, measured, seconds, starts, verdicts } = outcome
  const lines = ["", row("what has to be true", "checked", "broken")]
  for (const name of Object.keys(invariants) as Array<Invariant>) {
    const broken = verdicts.breaks.filter(({ invariant }) => invariant === name).length
    lines.push(row(invariants[name], verdicts.checked.get(name) ?? 0, broken))
  }
  lines.push("", row("fault", "drawn", "came to nothing"))
  const without = missing()
  for (const name of faultNames) {
    const { idle, times } = drawn.get(name) ?? { times: 0, idle: 0 }
    const reason = without.get(name)
    lines.push(reason === undefined ? row(name, times, idle) : `${name}: not here, as ${reason}`)
  }
  lines.push(...latencyLines(latencies))
  const [first, last] = [measured[0], measured.at(-1)]
  if (first !== undefined && last !== undefined) {
    lines.push("", row("the daemon at quiet points, its garbage collected", "first", "last", "least", "most"))
    for (const name of ["megabytes", "descriptors"] as const) {
      const values = measured.map((one) => one[name])
      lines.push(
        row(
          name,
          ...[first[name], last[name], Math.min(...values), Math.max(...values)].map((value) =>
            value.toFixed(1),
          ),
        ),
      )
    }
  }
  lines.push("", row("answers", "times"))
  for (const [what, times] of [...answers].sort()) lines.push(row(what, times))
  if (starts.length > 0)
    lines.push(
      "",
      `${starts.length} starts of the daemon, the longest ${Math.round(Math.max(...starts))} ms; ${accepted} jobs accepted; ${Math.round(seconds)} s; ${left} processes left at the end.`,
    )
  if (verdicts.breaks.length > 0) {
    lines.push("", `${verdicts.breaks.length} breaks:`)
    for (const { invariant, step, text } of verdicts.breaks)
      lines.push(`  after #${step}, ${invariant}: ${text}`)
  }
  return lines
}

/** Whether nothing broke. */
export const isGood = ({ left, verdicts }: Outcome): boolean => verdicts.breaks.length === 0 && left === 0
