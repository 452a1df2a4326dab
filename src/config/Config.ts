/**
 * The configuration file, `holdfast.yaml`: from its text to a plan that can be kept, or to everything that is wrong with
 * it. Nothing is started here. Load it again and compare (`PlanDiff`) to see what a change of it would do.
 *
 * Paths in it (`cwd`, `envFile`) start from the directory that it is in, which is where units run that say nothing else.
 * Variables are put into its texts as `Interpolation` says; anchors, aliases, merge keys (`<<`) and keys `x-...` at
 * the top, which hold anything, spare writing things twice.
 */
import { existsSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Mask from "../process/Mask.js"
import * as SmallFile from "../process/SmallFile.js"
import type * as Graph from "../unit/Graph.js"
import * as Plan from "../unit/Plan.js"
import * as UnitSpec from "../unit/UnitSpec.js"
import { ConfigInvalid, ConfigNotFound, ConfigUnreadable, type Fault, mostFaults } from "./ConfigError.js"
import { ConfigSchema } from "./ConfigSchema.js"
import { decode } from "./Decoding.js"
import type { Variables } from "./Interpolation.js"
import * as Place from "./Place.js"
import * as Units from "./Units.js"
import * as YamlReader from "./YamlReader.js"
import * as YamlText from "./YamlText.js"

export { jsonSchema } from "./ConfigJsonSchema.js"

/** A configuration that can be used. */
export interface Config {
  /** Where it came from, absolute. */
  readonly file: string
  /** The directory that its paths start from. */
  readonly directory: string
  readonly plan: Plan.Plan
  /** What the env files of its units hold, by their absolute paths. They are read again whenever a unit starts. */
  readonly envFiles: ReadonlyMap<string, Redacted.Redacted<Variables>>
}

/** How to read a configuration. */
export interface Options {
  /** What `${NAME}` is looked up in. Default: this program's environment. */
  readonly env?: Variables
}

/** How to read the text of a configuration. */
export interface ParseOptions extends Options {
  /** Where it stands, or would. Need not be there. Default `holdfast.yaml` in this program's directory. */
  readonly file?: string
}

/** The names that {@link find} looks for, in this order. */
export const names = ["holdfast.yaml", "holdfast.yml"] as const

/** An env file that a unit names. */
interface EnvFile {
  readonly path: Place.Path
  readonly file: string
}

/** The text read, before anything is made of it. */
interface Draft {
  /** As it was named. */
  readonly name: string
  readonly file: string
  readonly text: string
  readonly env: Variables
  readonly reading: YamlReader.Reading
  readonly envFiles: ReadonlyArray<EnvFile>
}

type EnvFileResult = Either.Either<Variables, string>

const invalid = (file: string, text: string, found: ReadonlyArray<YamlText.Found>): ConfigInvalid => {
  const lineAndColumn = Place.lineCounter(text)
  const faults = new Map<string, Fault>()
  for (const { at, message, path } of [...found].sort((a, b) => a.at - b.at)) {
    if (faults.size >= mostFaults) break
    const { column, line } = lineAndColumn(at)
    // What is written once, and aliased many times, is told once.
    const key = `${line}:${column}:${message}`
    if (!faults.has(key)) faults.set(key, { line, column, path: Place.print(path), message })
  }
  return new ConfigInvalid({ file, faults: [...faults.values()] })
}

const Names = Schema.Record({ key: Schema.String, value: Schema.Unknown })
const allowed = "expected units by name, and what each of them is"
const message = (text: string) => ({ message: () => ({ message: text, override: true }) })

const Top = Schema.Struct({
  units: Names.annotations(message(allowed)),
  groups: Schema.optionalWith(Names.annotations(message("expected groups by name")), { exact: true }),
}).annotations({
  message: ({ actual, _tag }) => ({
    message: "expected `units:`, and what each of them is",
    override: _tag === "Type" || !Predicate.isRecord(actual),
  }),
})

const draft = (name: string, text: string, env: Variables): Either.Either<Draft, ConfigInvalid> =>
  Either.match(YamlText.parse(text), {
    onLeft: (found) => Either.left(invalid(name, text, found)),
    onRight: (yaml) => {
      const reading = YamlReader.read(yaml, [ConfigSchema.ast], env)
      if (reading.value === undefined) return Either.left(invalid(name, text, reading.faults))
      const file = resolve(name)
      return Either.right({
        name,
        file,
        text,
        env,
        reading,
        envFiles: envFilesOf(reading.value, dirname(file)),
      })
    },
  })

const envFilesOf = (value: unknown, directory: string): ReadonlyArray<EnvFile> => {
  const units =
    Predicate.isRecord(value) && Predicate.isRecord(value.units) ? Object.entries(value.units) : []
  return units.flatMap(([name, unit]) => {
    const given = Predicate.isRecord(unit) ? unit.envFile : undefined
    const isList = Array.isArray(given)
    return (isList ? given : [given]).flatMap((path: unknown, index) =>
      typeof path === "string" && path !== "" && !path.includes("\0")
        ? [
            {
              path: ["units", name, "envFile", ...(isList ? [index] : [])],
              file: Units.absolute(directory, path),
            },
          ]
        : [],
    )
  })
}

/** What hides the masked values of a unit, whatever it is. */
const redactFor = (unit: unknown, inherited: Variables, files: ReadonlyArray<Variables>): Mask.Redact => {
  const { env, mask } = Predicate.isRecord(unit) ? unit : {}
  const names = Array.isArray(mask) ? mask.filter((name) => typeof name === "string") : []
  if (names.length === 0) return (text) => text
  return Mask.make(names, Object.assign({}, inherited, ...files, Predicate.isRecord(env) ? env : {}))
}

const compile = (
  { env, envFiles, file, name, reading, text }: Draft,
  contents: ReadonlyMap<string, EnvFileResult>,
): Either.Either<Config, ConfigInvalid> => {
  const directory = dirname(file)
  const found: Array<YamlText.Found> = [...reading.faults]
  const at = ({ message, path }: Graph.Fault): void => {
    const { isWhole, place } = Place.find(reading.place, path)
    const isKey = !isWhole || path.length <= 2 || path[2] === "requires" || path[2] === "after"
    const hidden = isWhole && path.at(-1) === place.text ? [...path.slice(0, -1), String(place.shown)] : path
    found.push({ at: isKey ? place.key : place.at, path: hidden, message: Place.hide(place, message) })
  }

  const variables: Array<readonly [unit: unknown, Variables]> = []
  for (const { file, path } of envFiles) {
    const content = contents.get(file)
    if (content === undefined) continue
    if (Either.isRight(content)) variables.push([path[1], content.right])
    else at({ path, message: `the file "${file}" cannot be read: ${content.left}` })
  }

  const part = (path: Place.Path, input: unknown, redact: Mask.Redact) => ({
    input,
    path,
    place: Place.find(reading.place, path).place,
    found: reading.faults,
    redact,
  })
  const top = decode(
    Top,
    part([], reading.value, (text) => text),
  )
  found.push(...top.faults)

  const units = new Map<string, UnitSpec.UnitSpec>()
  for (const [name, input] of Object.entries(top.value?.units ?? {})) {
    const files = variables.filter(([unit]) => unit === name).map(([, content]) => content)
    const { faults, value } = decode(UnitSpec.UnitSpec, {
      ...part(["units", name], input, redactFor(input, env, files)),
      standIns: Units.standIns,
      decisive: "kind",
    })
    found.push(...faults)
    const spec = Units.placed(value ?? Units.anyUnit(), directory)
    units.set(name, spec)
    if (faults.length === 0) Units.probeFaults(name, spec).forEach(at)
  }
  const groups = new Map<string, UnitSpec.Group>()
  for (const [name, input] of Object.entries(top.value?.groups ?? {})) {
    const { faults, value } = decode(
      UnitSpec.Group,
      part(["groups", name], input, (text) => text),
    )
    found.push(...faults)
    if (value !== undefined) groups.set(name, value)
  }
  if (top.value !== undefined) Units.planFaults(units, groups).forEach(at)

  const plan = Plan.fromSpecs(units, groups)
  if (found.length > 0 || Either.isLeft(plan)) return Either.left(invalid(name, text, found))
  const held = new Map(
    [...contents].flatMap(([path, content]) =>
      Either.isRight(content) ? [[path, Redacted.make(content.right)] as const] : [],
    ),
  )
  return Either.right({ file, directory, plan: { ...plan.right, envFiles: held }, envFiles: held })
}

/**
 * Reads the text of a configuration, and no file: whether its env files are there is not looked at. Every fault is told
 * at once.
 */
export const parse = (
  text: string,
  { env = process.env, file = names[0] }: ParseOptions = {},
): Either.Either<Config, ConfigInvalid> =>
  Either.flatMap(draft(file, text, env), (draft) => compile(draft, new Map()))

/**
 * Reads a configuration file and the env files that it names. Fails with `ConfigUnreadable` when the file is missing, no
 * regular file, no UTF-8, or larger than 1 MiB; with `ConfigInvalid` for everything that is wrong in it, an env file that
 * cannot be read included.
 */
export const load = Effect.fn("Config.load")(function* (file: string, { env = process.env }: Options = {}) {
  const text = yield* Effect.mapError(
    SmallFile.read(file, YamlText.mostBytes),
    (reason) => new ConfigUnreadable({ file, reason }),
  )
  const read = yield* draft(file, text, env)
  const contents = new Map<string, EnvFileResult>()
  yield* Effect.forEach(
    new Set(read.envFiles.map(({ file }) => file)),
    (path) =>
      Effect.map(Effect.either(SmallFile.readVariables(path)), (content) => {
        contents.set(path, content)
      }),
    { concurrency: 8, discard: true },
  )
  return yield* compile(read, contents)
})

/** The configuration file of a directory: `holdfast.yaml`, else `holdfast.yml`. Fails with `ConfigNotFound`. */
export const find = (directory: string): Effect.Effect<string, ConfigNotFound> =>
  Effect.suspend(() => {
    const file = names.map((name) => join(directory, name)).find((path) => existsSync(path))
    return file === undefined
      ? Effect.fail(new ConfigNotFound({ directory: resolve(directory), names }))
      : Effect.succeed(file)
  })
