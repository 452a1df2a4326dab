/**
 * The way Holdfast measures itself: always against a bare counterpart, in pairs that run one after the other, so that
 * whatever else the machine is doing falls on both. What counts is the ratio within the pairs.
 */

/** A question with a figure for an answer. */
export interface Question {
  readonly name: string
  readonly unit: string
  /** How many pairs, after one warm-up of each; 7 unless told otherwise. */
  readonly rounds?: number
  /** Measures Holdfast once. */
  readonly ours: () => Promise<number>
  /** Measures the bare counterpart once. */
  readonly bare: () => Promise<number>
  /** The mark for the ratio `ours / bare`, where a higher figure is better. */
  readonly atLeast?: number
  /** The mark for the ratio `ours / bare`, where a lower figure is better. */
  readonly atMost?: number
  /** The mark for the difference `ours - bare` within the pairs, in `unit`, where a lower figure is better. */
  readonly atMostMore?: number
}

/** What came of a question. `holds` is undefined when there is no mark to hold. */
export interface Answer {
  readonly ours: ReadonlyArray<number>
  readonly bare: ReadonlyArray<number>
  readonly ratio: number
  readonly holds: boolean | undefined
}

/** The smallest value that at least `percent` per cent of the values do not exceed (nearest rank). */
export const percentile = (values: ReadonlyArray<number>, percent: number): number => {
  if (values.length === 0) throw new Error("there is no percentile of no values")
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]!
}

/** The middle value, or the mean of the two in the middle. */
export const median = (values: ReadonlyArray<number>): number => {
  if (values.length === 0) throw new Error("there is no median of no values")
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const line = (...cells: readonly [string, string, string, string, string, string]): string => {
  const [name, ours, bare, ratio, mark, verdict] = cells
  return [
    name.padEnd(44),
    ours.padStart(14),
    bare.padStart(14),
    ratio.padStart(22),
    mark.padStart(14),
    verdict,
  ]
    .join("  ")
    .trimEnd()
}

/** The head of the table whose rows `paired` prints. */
export const header = line("", "ours", "bare", "ratio (min-max)", "mark", "")

/** Asks a question and prints the answer as a row of the table. */
export const paired = async (question: Question): Promise<Answer> => {
  const { atLeast, atMost, atMostMore, name, unit } = question
  const ours: Array<number> = []
  const bare: Array<number> = []
  await question.ours()
  await question.bare()
  for (let round = 0; round < (question.rounds ?? 7); round++) {
    // A B, B A: neither of the two is always the one that runs in the other's wake.
    if (round % 2 === 0) ours.push(await settled(question.ours))
    bare.push(await settled(question.bare))
    if (round % 2 === 1) ours.push(await settled(question.ours))
  }
  const ratios = ours.map((figure, round) => figure / bare[round]!)
  const ratio = median(ratios)
  const more = median(ours.map((figure, round) => figure - bare[round]!))
  const holds =
    atLeast === undefined && atMost === undefined && atMostMore === undefined
      ? undefined
      : ratio >= (atLeast ?? -Infinity) && ratio <= (atMost ?? Infinity) && more <= (atMostMore ?? Infinity)
  const range = `${short(ratio)} (${short(Math.min(...ratios))}-${short(Math.max(...ratios))})`
  const mark =
    atMost !== undefined
      ? `at most ${atMost}`
      : atLeast !== undefined
        ? `at least ${atLeast}`
        : atMostMore !== undefined
          ? `+${atMostMore} ${unit} at most`
          : ""
  const verdict = holds === undefined ? "" : holds ? "holds" : "misses"
  console.log(
    line(name, `${short(median(ours))} ${unit}`, `${short(median(bare))} ${unit}`, range, mark, verdict),
  )
  if (holds === false && process.argv.includes("--strict")) process.exitCode = 1
  return { ours, bare, ratio, holds }
}

/** Figures against a mark of their own, for what has no counterpart. */
export interface Limit {
  readonly name: string
  readonly unit: string
  readonly figures: ReadonlyArray<number>
  /** What has to keep the mark: the middle one, the default, or every one. */
  readonly of?: "median" | "worst"
  readonly atMost: number
}

/** Judges figures by their mark, and prints them as a row of the table; true when the mark is kept. */
export const limited = ({ atMost, figures, name, of = "median", unit }: Limit): boolean => {
  const worst = Math.max(...figures)
  const judged = of === "worst" ? worst : median(figures)
  const holds = judged <= atMost
  const range = `(${short(Math.min(...figures))}-${short(worst)})`
  const mark = `${of === "worst" ? "never over" : "at most"} ${atMost}`
  console.log(line(name, `${short(judged)} ${unit}`, "", range, mark, holds ? "holds" : "misses"))
  if (!holds && process.argv.includes("--strict")) process.exitCode = 1
  return holds
}

/** One measurement that does not pay for the garbage of the one before. */
const settled = (measure: () => Promise<number>): Promise<number> => {
  globalThis.gc?.()
  return measure()
}

const short = (figure: number): string =>
  figure >= 100 ? figure.toFixed(0) : figure >= 10 ? figure.toFixed(1) : figure.toPrecision(3)
