/** Reads the text format of Prometheus as strictly as its own parser: whatever is not valid is an error. */

/** One line with a value. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** All lines under one `TYPE`. */
export interface Family {
  readonly help: string
  readonly type: string
  readonly samples: Array<Sample>
}

const unescape = (text: string): string =>
  text.replaceAll(/\\(.)/g, (_, character: string) => {
    if (character === "n") return "\n"
    if (character === "\\" || character === '"') return character
    throw new Error(`unknown escape \\${character}`)
  })

const numberOf = (text: string): number => {
  if (text === "+Inf") return Infinity
  if (text === "-Inf") return -Infinity
  if (text === "NaN") return Number.NaN
  if (!/^-?\d+(\.\d+)?(e[+-]\d+)?$/.test(text)) throw new Error(`no number: ${text}`)
  return Number(text)
}

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)$/

const suffixes: Readonly<Record<string, ReadonlyArray<string>>> = {
  counter: [""],
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count"],
  summary: ["", "_sum", "_count"],
}

/** The families of a text by name. Throws at the first line that is not valid. */
export const parse = (text: string): ReadonlyMap<string, Family> => {
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end")
  let current: { readonly name: string; readonly help: string } | undefined
  for (const line of text.split("\n").slice(0, -1)) {
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line)
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary)$/.exec(line)
    if (help !== null) {
      current = { name: help[1]!, help: unescape(help[2]!) }
      continue
    }
    if (type !== null) {
      if (current?.name !== type[1] || families.has(type[1]!)) throw new Error(`TYPE out of place: ${line}`)
      families.set(type[1]!, { help: current!.help, type: type[2]!, samples: [] })
      continue
    }
    const sample = sampleLine.exec(line)
    const family = families.get(current?.name ?? "")
    if (sample === null || family === undefined) throw new Error(`no sample: ${line}`)
    const [, name, labelText = "", value] = sample
    if (!suffixes[family.type]!.some((suffix) => name === current!.name + suffix))
      throw new Error(`a line of another family: ${line}`)
    const labels: Record<string, string> = {}
    for (const [, label, labelValue] of labelText.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      if (Object.hasOwn(labels, label!)) throw new Error(`a label twice: ${line}`)
      labels[label!] = unescape(labelValue!)
    }
    const series = `${name} ${JSON.stringify(Object.entries(labels).sort())}`
    if (seen.has(series)) throw new Error(`twice: ${line}`)
    seen.add(series)
    family.samples.push({ name: name!, labels, value: numberOf(value!) })
  }
  return families
}
