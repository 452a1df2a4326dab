/**
 * What a scalar of a configuration is.
 *
 * Without quotes, YAML says it (`8080` is a number), unless the schema takes a text only, which it is then, as it was
 * written: `command: [sleep, 60]`. Variables of a unit are always texts as they were written: `1.10` is not 1.1. In
 * quotes it is a text. Where variables were put in, it is read as if it had been written so; and if that is not what the
 * schema takes, the other way: `port: "${PORT}"` is a number.
 */
import type { Scalar } from "yaml"
import { expand, type Fault, type Variables } from "./Interpolation.js"
import type { Path } from "./Place.js"
import * as Shape from "./Shape.js"

/** What was read, or what is wrong: `at` counts from the beginning of the file. */
export interface Reading {
  readonly value: unknown
  /** The value, with its variables as they were written. */
  readonly shown: unknown
  readonly faults: ReadonlyArray<Fault>
}

/** A text without quotes, by YAML's core schema. What variables leave empty is an empty text. */
const core = (text: string): unknown => {
  if (/^(?:true|True|TRUE|false|False|FALSE)$/.test(text)) return text.toLowerCase() === "true"
  if (/^[-+]?\d+$/.test(text) || /^0o[0-7]+$/.test(text) || /^0x[\da-fA-F]+$/.test(text)) return Number(text)
  return /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/.test(text) ? Number(text) : text
}

/** Neither a date nor bytes, which tags can make. */
const isPlainValue = (value: unknown): boolean =>
  value === null || typeof value === "number" || typeof value === "boolean"

/** Where a `${` of a scalar stands in the file: escapes and folded lines do not change how many come before it. */
const offsetOf = (file: string, { range }: Scalar, written: string, index: number): number => {
  const [start, end] = range ?? [0, 0]
  let at = start - 1
  for (let count = written.slice(0, index).split("${").length; count > 0; count--) {
    at = file.indexOf("${", at + 1)
    if (at === -1 || at >= end) return start
  }
  return at
}

/** Reads a scalar of the text `file` that stands at `path`, where `shape` is allowed. */
export const read = (
  node: Scalar,
  shape: Shape.Shape,
  path: Path,
  file: string,
  variables: Variables,
): Reading => {
  const isQuoted = node.type !== "PLAIN" && typeof node.value === "string"
  const written = isQuoted ? String(node.value) : (node.source ?? "")
  // Not the keys of a unit that is called `env`.
  const isVariable = path.length > 3 && path.at(-2) === "env"
  const { faults, hasVariables, text } = expand(written, variables)
  const fitting = (first: unknown, second: unknown): unknown =>
    !Shape.takes(shape, first) && Shape.takes(shape, second) ? second : first
  if (faults.length > 0)
    return {
      value: undefined,
      shown: written,
      faults: faults.map(({ at, message }) => ({ at: offsetOf(file, node, written, at), message })),
    }
  if (hasVariables) {
    const typed = core(text)
    const value = isVariable || typed === text ? text : isQuoted ? fitting(text, typed) : fitting(typed, text)
    return { value, shown: written, faults }
  }
  if (isQuoted || !isPlainValue(node.value)) return { value: text, shown: text, faults }
  if (node.value === null) return { value: null, shown: written === "" ? undefined : null, faults }
  const value = isVariable || Shape.isText(shape) ? text : fitting(node.value, text)
  return { value, shown: value, faults }
}
