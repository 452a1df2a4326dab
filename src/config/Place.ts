/** Where the values of a configuration stand in its text: a tree beside the tree of values. */

/** A way into a configuration: keys, and indices of lists. */
export type Path = ReadonlyArray<string | number>

/** Where one value stands. */
export interface Place {
  /** Characters before it. */
  readonly at: number
  /** Characters before its key; in a list, as `at`. */
  readonly key: number
  /** What to show of it: with its variables as they were written, for what they hold may be a secret. */
  readonly shown: unknown
  /** Of a text: what it is, with what its variables hold. */
  readonly text?: string
  /** What is in it, by key or by index. */
  readonly inner: ReadonlyMap<string | number, Place>
}

/**
 * The place that a path leads to, or as far as it goes. A name within a list leads to the last element that is that
 * name, as the units of `requires` are told by name.
 */
export const find = (root: Place, path: Path): { readonly place: Place; readonly isWhole: boolean } => {
  let place = root
  for (const step of path) {
    const next =
      place.inner.get(step) ??
      (isList(place) ? [...place.inner.values()].findLast(({ text }) => text === step) : undefined)
    if (next === undefined) return { place, isWhole: false }
    place = next
  }
  return { place, isWhole: true }
}

const isList = ({ shown }: Place): boolean => Array.isArray(shown)

const mostPrinted = 16

const printStep = (step: string | number, index: number): string => {
  if (typeof step === "number") return `[${step}]`
  const short = step.length > 60 ? `${step.slice(0, 60)}…` : step
  return /^[\w-]+$/.test(step) ? `${index === 0 ? "" : "."}${short}` : `[${JSON.stringify(short)}]`
}

/** A path as it is printed: `units.web.ports[0]`, `units.web.readiness.http.json["/healthy"]`. */
export const print = (path: Path): string =>
  `${path.slice(0, mostPrinted).map(printStep).join("")}${path.length > mostPrinted ? "…" : ""}`

/** A sentence about the value of a place, without what its variables hold. */
export const hide = ({ shown, text }: Place, sentence: string): string => {
  if (text === undefined || text === "" || typeof shown !== "string" || text === shown) return sentence
  // As a word, first: a short one is part of many others.
  const word = new RegExp(`(?<!\\w)${text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}(?!\\w)`, "g")
  const hidden = sentence.replace(word, () => shown)
  return hidden === sentence && text.length > 3 ? sentence.replaceAll(text, () => shown) : hidden
}

/** Whether one of two paths begins with the other. */
export const isSameWay = (a: Path, b: Path): boolean => {
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index++) if (a[index] !== b[index]) return false
  return true
}

/** From characters before a place to its line and column, both from 1. */
export const lineCounter = (
  text: string,
): ((at: number) => { readonly line: number; readonly column: number }) => {
  const starts = [0]
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1)
  return (at) => {
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (starts[middle]! <= at) low = middle
      else high = middle - 1
    }
    return { line: low + 1, column: at - starts[low]! + 1 }
  }
}
