/** The units of a configuration: where their paths lead, and what is wrong with them together. */
import { homedir } from "node:os"
import { resolve } from "node:path"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Check from "../probe/Check.js"
import * as ProbePlan from "../probe/ProbePlan.js"
import type * as ProbeSpec from "../probe/ProbeSpec.js"
import type { ProcessOutput } from "../process/ProcessOutput.js"
import type * as Graph from "../unit/Graph.js"
import * as Plan from "../unit/Plan.js"
import * as UnitSpec from "../unit/UnitSpec.js"
import type { Path } from "./Place.js"

/** A path of the file, from the directory that the file is in; `~/` is the home directory. */
export const absolute = (directory: string, path: string): string =>
  resolve(directory, path.startsWith("~/") ? `${homedir()}/${path.slice(2)}` : path)

const placeProbe = <P extends ProbeSpec.Probe>(probe: P, directory: string): P => ({
  ...probe,
  ...(probe.exec?.cwd !== undefined && {
    exec: { ...probe.exec, cwd: absolute(directory, probe.exec.cwd) },
  }),
  ...(probe.all !== undefined && { all: probe.all.map((one) => placeProbe(one, directory)) }),
  ...(probe.any !== undefined && { any: probe.any.map((one) => placeProbe(one, directory)) }),
})

const probes = ["startup", "readiness", "liveness", "busy"] as const

/** A spec with all its paths from the file's directory, which is where a process runs that says nothing else. */
export const placed = (spec: UnitSpec.UnitSpec, directory: string): UnitSpec.UnitSpec => {
  const checks: { -readonly [name in (typeof probes)[number]]?: Check.Check } = {}
  for (const name of probes) {
    const check = spec[name]
    if (check !== undefined) checks[name] = placeProbe(check, directory)
  }
  return {
    ...spec,
    ...checks,
    envFile: spec.envFile.map((path) => absolute(directory, path)),
    ...(UnitSpec.hasProcess(spec) && { cwd: absolute(directory, spec.cwd ?? ".") }),
  }
}

/** What probes need and neither they nor their unit have. */
export const probeFaults = (name: string, spec: UnitSpec.UnitSpec): ReadonlyArray<Graph.Fault> => {
  if (!UnitSpec.hasProcess(spec)) return []
  const { host, port } = spec
  const target = {
    ...(port !== undefined && { port: port === "auto" ? 1 : port }),
    ...(host !== undefined && { host }),
    // It is there once the process is.
    output: {} as ProcessOutput,
  }
  return probes.flatMap((kind) => {
    const check = spec[kind]
    if (check === undefined) return []
    return Either.match(ProbePlan.make(check, target), {
      onRight: () => [],
      onLeft: ({ issues }) =>
        issues.map(({ allowed, field }) => ({
          path: ["units", name, ...(field.endsWith(".host") ? ["host"] : [kind, ...steps(field)])],
          message: field.endsWith(".port")
            ? "a port is required here, as the unit has none; give it `port: auto`"
            : allowed,
        })),
    })
  })
}

const steps = (field: string): Path =>
  field.split(/[.[]/).map((step) => (step.endsWith("]") ? Number(step.slice(0, -1)) : step))

/** What to go on with in the place of these keys of a unit, for the sake of what is said about them elsewhere. */
export const standIns = { command: "true", port: "auto", url: "http://127.0.0.1" }

let anything: UnitSpec.UnitSpec | undefined

/** In the place of a unit that nothing can be made of, for the sake of those that name it. */
export const anyUnit = (): UnitSpec.UnitSpec =>
  (anything ??= Schema.decodeSync(UnitSpec.UnitSpec)({ command: "true", port: "auto" }))

type Units = Map<string, UnitSpec.UnitSpec>
type Groups = Map<string, UnitSpec.Group>

/** Takes out what a fault is about, so that others come to light. */
const mend = (units: Units, groups: Groups, [top, name, field, item]: Path): void => {
  if (top === "groups") {
    const group = groups.get(String(name))
    const [first, ...rest] = group?.units.filter((member) => member !== item) ?? []
    if (group === undefined || first === undefined) groups.delete(String(name))
    else groups.set(String(name), { ...group, units: [first, ...rest] })
    return
  }
  const unit = units.get(String(name))
  if (unit === undefined) return
  const without = <A>(record: Readonly<Record<string, A>>): Record<string, A> =>
    Object.fromEntries(Object.entries(record).filter(([key]) => key !== item))
  const mended = (): Partial<UnitSpec.UnitSpec> => {
    switch (field) {
      case "requires":
      case "after":
      case "env":
        return { [field]: without<unknown>(unit[field]) }
      case "wants":
      case "bindsTo":
      case "conflicts":
        return { [field]: unit[field].filter((other) => other !== item) }
      case "command":
        return { command: "true" }
      case "port":
        return { port: "auto" }
      case "ports":
        return { ports: [] }
      default:
        return {}
    }
  }
  units.set(String(name), { ...unit, ...mended() })
}

const mostRounds = 20

/**
 * Everything that is wrong with all together. One cycle hides others, and a wrong name all of them: what was found is
 * taken out, and the rest looked at again.
 */
export const planFaults = (
  units: ReadonlyMap<string, UnitSpec.UnitSpec>,
  groups: ReadonlyMap<string, UnitSpec.Group>,
): ReadonlyArray<Graph.Fault> => {
  const [left, leftGroups] = [new Map(units), new Map(groups)]
  const found = new Map<string, Graph.Fault>()
  for (let round = 0; round < mostRounds; round++) {
    const plan = Plan.fromSpecs(left, leftGroups)
    if (Either.isRight(plan)) break
    const before = found.size
    for (const fault of plan.left.faults) {
      found.set(JSON.stringify(fault), fault)
      mend(left, leftGroups, fault.path)
    }
    if (found.size === before) break
  }
  return [...found.values()]
}
