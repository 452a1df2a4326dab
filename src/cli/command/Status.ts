/** `status`: how units and jobs are. */
import type { Client, Reply } from "../Client.js"
import { Refused, connect } from "../Client.js"
import * as Format from "../Format.js"
import type { Handler } from "../Handler.js"
import type { Unit } from "../Naming.js"
import * as Naming from "../Naming.js"
import { painterOf, stateColour } from "../Painter.js"
import { rootOf } from "../Root.js"
import type * as Syntaxes from "../Syntaxes.js"
import type { World } from "../World.js"
import { exitCode, printable } from "../World.js"

/** How wide the names before the texts are. */
const wide = 13

const print = async (lines: ReadonlyArray<readonly [string, string]>, world: World): Promise<void> => {
  const text = lines.map(([name, text]) => `${`${name}:`.padEnd(wide)}${text}\n`).join("")
  await world.out.write(text)
}

const showJob = async ({ value }: Reply<"status">, world: World): Promise<void> => {
  const paint = painterOf(world.out, world)
  const end = Format.exit(value)
  const began = value.started_at === undefined ? undefined : Date.parse(value.started_at)
  const until = value.finished_at === undefined ? Date.now() : Date.parse(value.finished_at)
  // One that waits for another attempt has started, and does not run.
  const isTimed = value.finished_at !== undefined || value.state === "running"
  const lines: ReadonlyArray<readonly [string, string | number | undefined]> = [
    ["job", value.job_id],
    [
      "state",
      paint(stateColour(value.state, value.exit_code), value.state) + (end === "" ? "" : ` (${end})`),
    ],
    ["exit code", value.exit_code],
    ["signal", value.signal],
    ["cause", value.cause],
    ["reason", value.reason === undefined ? undefined : printable(value.reason)],
    ["created", value.created_at],
    ["started", value.started_at],
    ["finished", value.finished_at],
    [
      value.finished_at === undefined ? "running for" : "took",
      isTimed && began !== undefined ? Format.duration(until - began) : undefined,
    ],
  ]
  await print(
    lines.flatMap(([name, text]) => (text === undefined ? [] : [[name, String(text)] as const])),
    world,
  )
}

const showUnit = async (unit: Unit, world: World): Promise<void> => {
  // Named above, it would be evaluated for a job, too, whose answer is to come at once.
  const { details } = await import("../UnitTable.js")
  const lines = details(unit, world)
  await print(
    lines.map(([name, text]) => [name, name === "state" ? text : printable(text)] as const),
    world,
  )
  const isWell = unit.state === "ready" || unit.state === "exited"
  for (const [index, line] of (isWell ? [] : (unit.failure?.output ?? [])).entries())
    await world.out.write(`${(index === 0 ? "last output:" : "").padEnd(wide)}| ${printable(line)}\n`)
}

type Found =
  | { readonly unit: Reply<"unit">; readonly job: undefined }
  | { readonly unit: undefined; readonly job: Reply<"status"> }

/** The unit, else the job of that name. */
const lookUp = async (client: Client, name: string, { job, unit }: Naming.Forced): Promise<Found> => {
  const asJob = async (): Promise<Found> => ({
    unit: undefined,
    job: await client.call("status", { path: { id: name } }),
  })
  const asUnit = async (): Promise<Found | undefined> => {
    const found = await Naming.unitOf(client, name)
    return found === undefined ? undefined : { unit: found, job: undefined }
  }
  if (unit) return { unit: await client.call("unit", { path: { name } }), job: undefined }
  if (job) return asJob()
  if (!Naming.isWholeId(name)) return (await asUnit()) ?? asJob()
  try {
    return await asJob()
  } catch (error) {
    const found = error instanceof Refused && error.code === "job_not_found" ? await asUnit() : undefined
    if (found === undefined) throw error
    return found
  }
}

/** Tells how one unit or job is, or gives an overview of all. */
export const status: Handler<typeof Syntaxes.status> = async ({ args, options }, world) => {
  Naming.checkForced(options)
  const client = connect(rootOf(options.root, world), world)
  const name = args[0]
  if (name === undefined) return (await import("./List.js")).overview(client, options, world)
  const { job, unit } = await lookUp(client, name, options)
  if (options.json) await world.out.write(`${(unit ?? job).text}\n`)
  else if (unit === undefined) await showJob(job, world)
  else await showUnit(unit.value, world)
  return exitCode.ok
}
