/** Units in a table, and each in a line or two. */
import * as Format from "./Format.js"
import type { Unit } from "./Naming.js"
import { painterOf, unitStateColour } from "./Painter.js"
import type { Column } from "./Table.js"
import { render } from "./Table.js"
import type { World } from "./World.js"
import { printable } from "./World.js"

/** Since when it is up; empty when it is not. */
const upFor = (now: number, { ready_at, state }: Unit): string =>
  state === "ready" || state === "degraded" ? Format.since(now, ready_at) : ""

const count = (number: number): string => (number === 0 ? "" : String(number))

/** What is to be known besides the state. */
const reasonOf = (now: number, { end, reason, restart_at, state }: Unit): string => {
  if (state === "exited" && end?.exit_code === 0) return ""
  const left = restart_at === undefined ? 0 : Date.parse(restart_at) - now
  const again = left > 0 ? ` It starts again in ${Format.duration(left)}.` : ""
  return printable(`${reason ?? ""}${again}`.trim())
}

const columnsOf = (world: World, now: number): ReadonlyArray<Column<Unit>> => {
  const paint = painterOf(world.out, world)
  return [
    { title: "NAME", text: ({ name }) => name },
    { title: "KIND", text: ({ kind }) => kind, spare: 3 },
    {
      title: "STATE",
      text: ({ state }) => state,
      paint: (text, { end, state }) => paint(unitStateColour(state, end?.exit_code), text),
    },
    { title: "PID", text: ({ pid }) => pid?.toString() ?? "", align: "right" },
    { title: "PORT", text: ({ port }) => port?.toString() ?? "", align: "right", spare: 2 },
    { title: "UP", text: (unit) => upFor(now, unit), align: "right" },
    { title: "RESTARTS", text: ({ restarts }) => count(restarts), align: "right", spare: 4 },
    { title: "REASON", text: (unit) => reasonOf(now, unit) },
  ]
}

/** The lines of a table of units. */
export const table = (units: ReadonlyArray<Unit>, world: World): ReadonlyArray<string> =>
  render(columnsOf(world, Date.now()), units, world.out.columns())

/** Where a unit is, in a few words: `web ready (pid 4711, http://localhost:8080)`. */
export const line = ({ end, kind, name, pid, state, url }: Unit): string => {
  const about = [...(pid === undefined ? [] : [`pid ${pid}`]), ...(url === undefined ? [] : [url])]
  const word =
    state === "inactive"
      ? "stopped"
      : state === "exited" && kind === "oneshot" && (end?.exit_code ?? 0) === 0
        ? "done"
        : state
  const isUp = state === "ready" || state === "degraded" || state === "starting"
  return `${name} ${word}${isUp && about.length > 0 ? ` (${about.join(", ")})` : ""}`
}

const endOf = ({ end }: Unit): string | undefined =>
  end?.signal ?? end?.result ?? (end?.exit_code === undefined ? undefined : `exit code ${end.exit_code}`)

/** All that is known of one unit, as names and texts. */
export const details = (unit: Unit, world: World): ReadonlyArray<readonly [string, string]> => {
  const paint = painterOf(world.out, world)
  const now = Date.now()
  const { failure, outputs } = unit
  const all: ReadonlyArray<readonly [string, string | undefined]> = [
    ["unit", unit.name],
    ["about", unit.description],
    ["kind", unit.kind],
    [
      "state",
      `${paint(unitStateColour(unit.state, unit.end?.exit_code), unit.state)} for ${Format.since(now, unit.since)}`,
    ],
    ["reason", unit.reason],
    ["wanted", unit.desired === "manual" ? "nobody has said so yet" : unit.desired],
    ["owner", unit.ownership === "external" ? "somebody else: it is never signalled" : undefined],
    ["pid", unit.pid?.toString()],
    ["port", unit.port?.toString()],
    ["url", unit.url],
    ["started", unit.started_at],
    ["ready", unit.ready_at],
    ["restarts", count(unit.restarts) || undefined],
    ["failures", unit.failures === 0 ? undefined : `${unit.failures} in a row`],
    ["next start", unit.restart_at],
    ["last end", endOf(unit)],
    ["last fault", failure && `${failure.message} (${failure.at})`],
    ...Object.entries(outputs).map(([name, value]) => [name, value] as const),
    ["command", unit.command],
  ]
  return all.flatMap(([name, text]) => (text === undefined ? [] : [[name, text] as const]))
}
