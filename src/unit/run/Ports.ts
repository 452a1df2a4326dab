/** What stands for ports in a unit's command and variables: `${port}` for its own, `${NAME.port}` for another unit's. */
import { portReference } from "../Graph.js"
import type { UnitSpec } from "../UnitSpec.js"

/** The ports of all units, by name. */
export type PortOf = (unit: string) => number | undefined

/** A text with its ports filled in. What has no port stays as it is. */
export const fill = (text: string, own: number | undefined, portOf: PortOf): string =>
  text.includes("${")
    ? text
        .replaceAll("${port}", own === undefined ? "${port}" : String(own))
        .replaceAll(portReference, (whole, name: string) => String(portOf(name) ?? whole))
    : text

/** The command of a unit as it is executed: a text by the shell. */
export const commandOf = (
  { command }: UnitSpec,
  own: number | undefined,
  portOf: PortOf,
): readonly [string, ...Array<string>] => {
  if (typeof command === "string") return ["/bin/sh", "-c", fill(command, own, portOf)]
  return command!.map((part) => fill(part, own, portOf)) as [string, ...Array<string>]
}

/** The variables of a unit. */
export const variablesOf = (
  { env }: UnitSpec,
  own: number | undefined,
  portOf: PortOf,
): Record<string, string> =>
  Object.fromEntries(Object.entries(env).map(([name, value]) => [name, fill(String(value), own, portOf)]))

/** Every port that a unit uses, its own first. */
export const all = ({ ports }: UnitSpec, own: number | undefined): ReadonlyArray<number> =>
  own === undefined ? ports : [own, ...ports.filter((port) => port !== own)]
