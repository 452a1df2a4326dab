/**
 * From YAML nodes to plain values, guided by the schema: aliases and merge keys resolved, variables put in, each scalar
 * read as what the schema wants of it. Unknown keys come to light here, where their place is known.
 */
import type { Node, Pair, YAMLMap, YAMLSeq } from "yaml"
import { isAlias, isMap, isScalar, isSeq } from "yaml"
import { nearest } from "../process/Nearest.js"
import { extension } from "./ConfigSchema.js"
import type { Variables } from "./Interpolation.js"
import { lineCounter, type Path, type Place } from "./Place.js"
import * as Shape from "./Shape.js"
import * as YamlScalar from "./YamlScalar.js"
import { type Found, mostDepth, type YamlText } from "./YamlText.js"

/** What was read. */
export interface Reading {
  /** The values, without those that are faulty; undefined where there was too much to read. */
  readonly value: unknown
  readonly place: Place
  readonly faults: ReadonlyArray<Found>
}

/** Values that aliases may add to what the file has itself: a bomb has billions. */
const mostAliased = 20_000

/** What people write who know other tools. */
const synonyms: Readonly<Record<string, string>> = {
  args: "command",
  autorestart: "restart",
  cmd: "command",
  dependson: "requires",
  depends: "requires",
  dir: "cwd",
  directory: "cwd",
  entrypoint: "command",
  environment: "env",
  exec: "command",
  healthcheck: "readiness",
  interval: "period",
  needs: "requires",
  processes: "units",
  programs: "units",
  retries: "failureThreshold",
  services: "units",
  type: "kind",
  workdir: "cwd",
  workingdir: "cwd",
  workingdirectory: "cwd",
}

const mostListed = 12

/** The key that was meant, most likely. */
const meantBy = (key: string, known: ReadonlyArray<string>): string | undefined => {
  const bare = key.replace(/[-_]/g, "").toLowerCase()
  const synonym = Object.hasOwn(synonyms, bare) ? synonyms[bare]! : ""
  return known.includes(synonym) ? synonym : nearest(key, known)
}

const unknownKey = (meant: string | undefined, known: ReadonlyArray<string>): string => {
  if (meant !== undefined) return `there is no such key; did you mean ${meant}?`
  return known.length > mostListed
    ? "there is no such key"
    : `there is no such key; there ${known.length === 1 ? "is" : "are"} ${known.join(", ")}`
}

/** One key and what stands under it. */
interface Entry {
  readonly name: string
  readonly key: number
  readonly value: Node | null
  /** The alias that it was merged through. */
  readonly via: Via
}

/** An alias of the file's own text. */
type Via = Pick<Found, "at" | "path"> | undefined

const isSecret = (key: string | number): boolean => key === "env" || key === "headers"

const notMergeable = "expected a mapping to merge, or a list of them"

type Read = { readonly value: unknown; readonly place: Place }

const start = (node: Node): number => node.range?.[0] ?? 0

/** Reads the whole document. */
export const read = (
  { aliases, root, text }: YamlText,
  shape: Shape.Shape,
  variables: Variables,
): Reading => {
  const faults: Array<Found> = []
  const lineOf = lineCounter(text)
  /** What stands above the node that is read: nothing may hold itself. */
  const open = new Set<Node>()
  const seen = new Set<Node>()
  let aliased = 0
  let bomb: Found | undefined

  const refuse = (at: number, path: Path, message: string): undefined => {
    faults.push({ at, path, message })
  }

  /** What is being read through, where it is anything. */
  let current: Via

  const through = <A>(via: Via, run: () => A): A => {
    const outer = current
    current ??= via
    const result = run()
    current = outer
    return result
  }

  /** Whether there may be so much more. */
  const spend = (node: Node, amount: number): boolean => {
    if (seen.has(node)) aliased += amount
    seen.add(node)
    if (aliased > mostAliased && current !== undefined)
      bomb ??= { ...current, message: `the aliases make more than ${mostAliased} values out of this file` }
    return bomb === undefined
  }

  /** What an alias stands for. */
  const resolve = (node: Node, path: Path): Node | undefined => {
    if (!isAlias(node)) return node
    const target = aliases.get(node)
    if (target === undefined)
      return refuse(
        start(node),
        path,
        // It may be a secret that begins with *.
        `there is no anchor ${path.some(isSecret) ? "" : `&${node.source.slice(0, 60)} `}of this alias before it; put quotes around a text that begins with *`,
      )
    if (open.has(target)) return refuse(start(node), path, "the anchor of this alias holds the alias itself")
    return target
  }

  const keyOf = (node: unknown, path: Path, at: number): string | undefined => {
    const key = isAlias(node) ? resolve(node, path) : node
    if (!isScalar(key) || key.source === undefined)
      return refuse(
        at,
        path,
        isScalar(key) || key === null ? "a key is missing before the colon" : "a key is a text",
      )
    const name = key.type === "PLAIN" ? key.source : String(key.value)
    if (name === "") return refuse(at, path, "a key is missing before the colon")
    if (name.includes("${"))
      return refuse(at, [...path, name], "variables are put into values only, not into keys")
    // No property of that name can be set.
    if (name === "__proto__") return refuse(at, [...path, name], "there can be no such key")
    return name
  }

  const isMerge = ({ key }: Pair): boolean => isScalar(key) && key.type === "PLAIN" && key.source === "<<"

  /** The keys of a mapping, its own before those that it merges. */
  const entriesOf = (map: Node, path: Path, found: Map<string, Entry>): void => {
    if (!isMap(map)) {
      refuse(start(map), path, notMergeable)
      return
    }
    if (!spend(map, map.items.length)) return
    const own = new Map<string, number>()
    const pairs = map.items as ReadonlyArray<Pair<Node | null, Node | null>>
    for (const { key, value } of pairs.filter((pair) => !isMerge(pair))) {
      const at = start(key ?? value ?? map)
      const name = keyOf(key, path, at)
      if (name === undefined) continue
      const first = own.get(name)
      if (first !== undefined)
        refuse(
          at,
          [...path, name],
          `this key stands here twice, the first time in line ${lineOf(first).line}`,
        )
      else if (!found.has(name)) found.set(name, { name, key: at, value, via: current })
      own.set(name, first ?? at)
    }
    for (const { key, value } of pairs.filter(isMerge)) {
      if (value === null) refuse(start(key ?? map), path, notMergeable)
      else
        enter(value, path, (source) => {
          if (!isSeq(source)) return entriesOf(source, path, found)
          for (const one of source.items as ReadonlyArray<Node>)
            enter(one, path, (merged) => entriesOf(merged, path, found))
        })
    }
  }

  /** Reads what is in a node, or in what it is an alias of, unless that is too deep or too much. */
  const enter = <A>(given: Node, path: Path, run: (node: Node) => A): A | undefined => {
    const node = resolve(given, path)
    if (node === undefined || bomb !== undefined) return undefined
    if (open.size >= mostDepth)
      return refuse(start(given), path, `this is nested more than ${mostDepth} levels deep`)
    open.add(node)
    const result = through(node === given ? undefined : { at: start(given), path }, () => run(node))
    open.delete(node)
    return result
  }

  const go = (given: Node | null, shape: Shape.Shape, path: Path, key: number): Read | undefined =>
    given === null
      ? { value: null, place: { at: key, key, shown: undefined, inner: new Map() } }
      : enter(given, path, (node) => {
          if (isMap(node)) return mapping(node, shape, path, key)
          if (!spend(node, 1)) return undefined
          if (isSeq(node)) return list(node, shape, path, key)
          if (!isScalar(node)) return refuse(start(node), path, "this is no value")
          const { faults, shown, value } = YamlScalar.read(node, shape, path, text, variables)
          for (const { at, message } of faults) refuse(at, path, message)
          return faults.length > 0
            ? undefined
            : {
                value,
                place: {
                  at: start(node),
                  key,
                  shown,
                  inner: new Map(),
                  ...(typeof value === "string" && { text: value }),
                },
              }
        })

  const list = (node: YAMLSeq, shape: Shape.Shape, path: Path, key: number): Read | undefined => {
    const reads = (node.items as ReadonlyArray<Node>).map((item, index) =>
      go(item, Shape.item(shape, index), [...path, index], start(item)),
    )
    // Without one of its elements the others would not be where they are.
    const whole = reads.filter((read) => read !== undefined)
    return whole.length < reads.length
      ? undefined
      : {
          value: whole.map(({ value }) => value),
          place: {
            at: start(node),
            key,
            shown: whole.map(({ place }) => place.shown),
            inner: new Map(whole.map(({ place }, index) => [index, place])),
          },
        }
  }

  const mapping = (node: YAMLMap, shape: Shape.Shape, path: Path, key: number): Read => {
    const entries = new Map<string, Entry>()
    entriesOf(node, path, entries)
    const known = Shape.keys(shape)
    const value: Record<string, unknown> = {}
    const shown: Record<string, unknown> = {}
    const inner = new Map<string, Place>()
    for (const { key, name, value: one, via } of entries.values()) {
      if (path.length === 0 && name.startsWith(extension)) continue
      const inside = [...path, name]
      if (known !== undefined && !known.includes(name)) {
        const meant = meantBy(name, known)
        const instead = meant === undefined ? {} : { instead: [...path, meant] }
        faults.push({ at: key, path: inside, message: unknownKey(meant, known), ...instead })
        continue
      }
      const read = through(via, () => go(one, Shape.field(shape, name), inside, key))
      if (read === undefined) continue
      value[name] = read.value
      shown[name] = read.place.shown
      inner.set(name, read.place)
    }
    return { value, place: { at: start(node), key, shown, inner } }
  }

  const result = go(root, shape, [], start(root))
  return {
    value: bomb === undefined ? result?.value : undefined,
    place: result?.place ?? { at: start(root), key: start(root), shown: undefined, inner: new Map() },
    faults: bomb === undefined ? faults : [bomb],
  }
}
