/**
 * Decodes a part of a configuration and tells everything that is wrong with it. A schema's rules about several fields
 * are looked at only when each field for itself is right; so what is wrong is told, taken out, and the rest decoded
 * again.
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as InvalidSpec from "../process/InvalidSpec.js"
import type { Redact } from "../process/Mask.js"
import * as Nearest from "../process/Nearest.js"
import * as Place from "./Place.js"
import type { Found } from "./YamlText.js"

/** What is decoded. */
export interface Part {
  /** It is changed by it. */
  readonly input: unknown
  readonly place: Place.Place
  /** What leads to it from the top of the file. */
  readonly path: Place.Path
  /** What was found already: of these places nothing more is told. */
  readonly found: ReadonlyArray<Found>
  /** What to go on with in the place of keys that are missing or faulty. Default: without them. */
  readonly standIns?: Readonly<Record<string, unknown>>
  /** The key that says which rules there are about the others; nothing is told of these when it is faulty. */
  readonly decisive?: string
  /** Hides secrets in what is shown. */
  readonly redact: Redact
}

/** What came of it: `value` is undefined where too little is right to make anything of it. */
export interface Decoded<A> {
  readonly value: A | undefined
  readonly faults: ReadonlyArray<Found>
}

/** Rounds of telling and taking out: a schema's rules about its parts are nested no deeper. */
const mostRounds = 8
/** Faults of one round: whoever made more has other things to do first. */
const mostFaults = 100

/** Takes a value out of its mapping, and a list from it on; of what is missing, all that misses it. */
const takeOut = (input: unknown, path: Place.Path, standIns: Readonly<Record<string, unknown>>): void => {
  const last = path.at(-1)
  if (last === undefined) return
  let holder: unknown = input
  for (const key of path.slice(0, -1)) holder = isHolder(holder) ? holder[key] : undefined
  const standIn = path.length === 1 && Object.hasOwn(standIns, last) ? standIns[last] : undefined
  if (isHolder(holder) && standIn !== undefined && holder[last] !== standIn) holder[last] = standIn
  else if (!isHolder(holder) || !Object.hasOwn(holder, last)) takeOut(input, path.slice(0, -1), standIns)
  else if (Array.isArray(holder)) holder.length = Number(last)
  else delete holder[last]
}

const isHolder = (value: unknown): value is Record<string | number, unknown> =>
  typeof value === "object" && value !== null

/** The word among those allowed that was most likely meant. */
const guess = ({ allowed, value }: InvalidSpec.Issue): string => {
  const list = /^expected ([\w-]+(?:, [\w-]+)* or [\w-]+)/.exec(allowed)?.[1]
  const words = list?.split(/, | or /) ?? [...allowed.matchAll(/"([^"]+)"/g)].map(([, word]) => word!)
  const meant = /^".*"$/.test(value) ? Nearest.nearest(value.slice(1, -1), words) : undefined
  return meant === undefined ? "" : `; did you mean ${meant}?`
}

const sentence = (issue: InvalidSpec.Issue): string => {
  const { allowed, value } = issue
  return value === "(hidden)" || /^it is (?:not known|required)/.test(allowed)
    ? allowed
    : `got ${value}; ${allowed}${guess(issue)}`
}

/** Whether a complaint is about several fields, each of which is right for itself. */
const isRule = (issue: ParseResult.ParseIssue): boolean =>
  issue._tag === "Refinement" && issue.kind === "Predicate"

/** Decodes a part by its schema. */
export const decode = <A, I>(
  schema: Schema.Schema<A, I>,
  { decisive, found: before, input, path, place, redact, standIns = {} }: Part,
): Decoded<A> => {
  const parse = ParseResult.decodeUnknownEither(schema, { errors: "all", onExcessProperty: "error" })
  const inPart = (other: Place.Path | undefined): ReadonlyArray<Place.Path> =>
    other !== undefined && other.length > path.length && Place.isSameWay(other, path)
      ? [other.slice(path.length)]
      : []
  const told = before.flatMap((fault) => inPart(fault.path))
  const meant = before.flatMap((fault) => inPart(fault.instead))
  const misspelt = new Set(meant.map(InvalidSpec.printPath))
  // What it merges is not there.
  const isIncomplete = before.some(
    (fault) => InvalidSpec.printPath(fault.path) === InvalidSpec.printPath(path),
  )
  for (const [key = ""] of [...told, ...meant]) {
    if (isHolder(input) && !Object.hasOwn(input, key) && Object.hasOwn(standIns, key))
      input[key] = standIns[key]
  }
  const faults: Array<Found> = []

  const tell = (issue: InvalidSpec.Issue, inside: Place.Path): void => {
    const { isWhole, place: found } = Place.find(place, inside)
    if (told.some((other) => Place.isSameWay(other, inside))) return
    if (!isWhole && (isIncomplete || misspelt.has(issue.field))) return
    told.push(inside)
    faults.push({
      at: isWhole ? found.at : found.key,
      path: [...path, ...inside],
      // A regular expression is quoted by the engine.
      message: Place.hide(found, sentence(issue)),
    })
  }

  for (let round = 0; round < mostRounds; round++) {
    const result = parse(input)
    if (Either.isRight(result)) {
      // Nothing is dropped in silence.
      if (round > 0 && faults.length === 0 && before.length === 0)
        faults.push({ at: place.at, path, message: "this cannot be used as it is" })
      return { value: result.right, faults }
    }
    const byField = new Map<string, Place.Path>()
    const outer = new Set<string>()
    for (const { path } of ParseResult.ArrayFormatter.formatIssueSync(result.left)) {
      const inside: Place.Path = path.filter((key) => typeof key !== "symbol")
      byField.set(InvalidSpec.printPath(inside), inside)
      for (let length = 0; length < inside.length; length++)
        outer.add(InvalidSpec.printPath(inside.slice(0, length)))
    }
    const innermost = [...byField].filter(([field]) => !outer.has(field))
    const tooMany = innermost.slice(mostFaults)
    if (tooMany.length === 0) {
      const isInDoubt =
        decisive !== undefined && (misspelt.has(decisive) || told.some(([key]) => key === decisive))
      const error = ParseResult.parseError(result.left)
      for (const issue of InvalidSpec.fromParseError("unit", place.shown, error, redact).issues) {
        if (!isInDoubt || !isRule(result.left)) tell(issue, byField.get(issue.field) ?? [])
      }
    }
    for (const [, inside] of tooMany.length > 0 ? tooMany : innermost) takeOut(input, inside, standIns)
    // No more can be told of what is no mapping at all.
    if (!isHolder(input) || Array.isArray(input)) break
  }
  return { value: undefined, faults }
}
