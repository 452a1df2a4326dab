/** What is wrong with units together, as far as their names tell: before it is known what depends on what. */
import { nearest } from "../process/Nearest.js"
import type { Group, UnitSpec } from "./UnitSpec.js"

/** Something wrong with the units together. `path` is where it stands: `["units", "web", "requires"]`. */
export interface Fault {
  readonly path: ReadonlyArray<string | number>
  readonly message: string
}

/** Units by name. */
export type Units = ReadonlyMap<string, UnitSpec>
/** Groups by name. */
export type Groups = ReadonlyMap<string, Group>

/** So many unknown names get a suggestion: each is compared with all that there are. */
const mostSuggestions = 20

/** The words for names that are not there. */
const unknownAmong = (units: Units): ((name: string) => string) => {
  const known = [...units.keys()]
  let suggestions = 0
  return (name) => {
    const near = ++suggestions > mostSuggestions ? undefined : nearest(name, known)
    return `there is no unit ${JSON.stringify(name)}${near === undefined ? "" : `; did you mean ${near}?`}`
  }
}

/** Names that are not there, or that name the unit itself. */
const unknownNames = (units: Units): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  const unknown = unknownAmong(units)
  for (const [name, spec] of units) {
    const check = (field: string, names: ReadonlyArray<string>) => {
      for (const other of names) {
        const path = ["units", name, field, other]
        if (other === name) faults.push({ path, message: `${name} cannot name itself` })
        else if (!units.has(other)) faults.push({ path, message: unknown(other) })
      }
    }
    check("requires", Object.keys(spec.requires))
    check("after", Object.keys(spec.after))
    check("wants", spec.wants)
    check("bindsTo", spec.bindsTo)
    check("conflicts", spec.conflicts)
  }
  return faults
}

/** Conditions that can never come about: what waits for the end of a target or an external waits for ever. */
const conditionFaults = (units: Units): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  for (const [name, spec] of units) {
    for (const field of ["requires", "after"] as const) {
      for (const [other, condition] of Object.entries(spec[field])) {
        const kind = units.get(other)?.kind
        if (kind !== "target" && kind !== "external") continue
        if (condition !== "completed" && condition !== "succeeded") continue
        const path = ["units", name, field, other]
        faults.push({ path, message: `expected started or ready: kind ${kind} never ends` })
      }
    }
  }
  return faults
}

const groupFaults = (units: Units, groups: Groups): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  const unknown = unknownAmong(units)
  const taken = new Map<string, string>()
  for (const [name, group] of groups) {
    for (const member of group.units) {
      const path = ["groups", name, "units", member]
      const other = taken.get(member)
      if (!units.has(member)) faults.push({ path, message: unknown(member) })
      else if (other === name) faults.push({ path, message: `${member} stands twice in the group ${name}` })
      else if (other !== undefined)
        faults.push({ path, message: `${member} is in the group ${other} already` })
      taken.set(member, name)
    }
  }
  return faults
}

const portFaults = (units: Units): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  const taken = new Map<number, Array<string>>()
  for (const [name, spec] of units) {
    const own = new Set<number>(typeof spec.port === "number" ? [spec.port, ...spec.ports] : spec.ports)
    for (const port of own) {
      const others = taken.get(port) ?? []
      // Those that conflict take turns.
      const other = others.find(
        (other) => !spec.conflicts.includes(other) && !units.get(other)!.conflicts.includes(name),
      )
      const path = ["units", name, spec.port === port ? "port" : "ports"]
      if (other !== undefined) faults.push({ path, message: `port ${port} is the port of ${other} already` })
      taken.set(port, [...others, name])
    }
  }
  return faults
}

/** `${NAME.port}` in commands and variables. */
export const portReference = /\$\{([A-Za-z0-9][\w.-]*)\.port\}/g

const referenceFaults = (units: Units): ReadonlyArray<Fault> => {
  const faults: Array<Fault> = []
  const unknown = unknownAmong(units)
  for (const [name, spec] of units) {
    const texts: ReadonlyArray<readonly [ReadonlyArray<string | number>, string]> = [
      ...(typeof spec.command === "string"
        ? [[["units", name, "command"], spec.command] as const]
        : (spec.command ?? []).map((text, at) => [["units", name, "command", at], text] as const)),
      ...Object.entries(spec.env).map(
        ([key, value]) => [["units", name, "env", key], String(value)] as const,
      ),
    ]
    for (const [path, text] of texts) {
      if (text.includes("${port}") && spec.port === undefined)
        faults.push({
          path,
          message: `\${port} stands for the port of ${name}, which has none; give it \`port: auto\``,
        })
      for (const [whole, other] of text.matchAll(portReference)) {
        const target = units.get(other!)
        if (target === undefined) faults.push({ path, message: `${whole}: ${unknown(other!)}` })
        else if (target.port === undefined)
          faults.push({ path, message: `${whole}: ${other} has no port; give it \`port: auto\`` })
      }
    }
  }
  return faults
}

/** Names that are not there, conditions that never come about, ports that two use or that a text has and no unit. */
export const nameFaults = (units: Units, groups: Groups): ReadonlyArray<Fault> => [
  ...unknownNames(units),
  ...conditionFaults(units),
  ...groupFaults(units, groups),
  ...portFaults(units),
  ...referenceFaults(units),
]
