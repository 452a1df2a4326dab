/** What is done to several units at once, in an order that suits all of them. */
import type { Client } from "./Client.js"
import { Refused } from "./Client.js"
import * as Format from "./Format.js"
import type { Unit } from "./Naming.js"
import type { Given } from "./Routes.js"
import * as StatusLine from "./StatusLine.js"
import * as UnitTable from "./UnitTable.js"
import type { World } from "./World.js"
import { Failure } from "./World.js"

type Asked = Given<"actOnUnits">["body"]

/** From one look at the units to the next, in milliseconds. */
const pause = 500

/** So many units are named on the status line. */
const mostNamed = 6

const moving = new Set<Unit["state"]>(["blocked", "starting", "stopping", "backoff"])

const words: Partial<Record<Unit["state"], string>> = { blocked: "waits", backoff: "starts again" }

/** Those that are on their way somewhere. */
const progress = (units: ReadonlyArray<Unit>): string => {
  const left = units.filter(({ state }) => moving.has(state))
  const named = left.slice(0, mostNamed).map(({ name, state }) => `${name} ${words[state] ?? state}`)
  return [...named, ...(left.length > mostNamed ? [`${left.length - mostNamed} more`] : [])].join(" · ")
}

/** Shows on a terminal how far the units are while something goes on. */
export const watched = async <A>(client: Client, world: World, work: () => Promise<A>): Promise<A> => {
  if (!world.err.isTerminal) return work()
  const line = StatusLine.make(world.err)
  const begin = Date.now()
  let shown = ""
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  const look = async () => {
    try {
      shown = progress((await client.call("units", {}, { patience: 5_000 })).value.units)
    } catch {
      // Whoever does the work tells what is wrong.
    }
    if (isOver) return
    line.show(() => `${Format.duration(Date.now() - begin)}  ${shown}`)
    timer = setTimeout(() => void look(), pause)
  }
  // What is over at once needs no line.
  timer = setTimeout(() => void look(), pause)
  try {
    return await work()
  } finally {
    isOver = true
    clearTimeout(timer)
    line.end()
  }
}

/** Does it; answers where the units are then. One that did not come up, or not go down, is a failure. */
export const run = async (client: Client, asked: Asked, isJson: boolean, world: World): Promise<string> => {
  try {
    const { text, value } = await watched(client, world, () =>
      client.call("actOnUnits", { body: asked }, { patience: 0 }),
    )
    return isJson ? `${text}\n` : value.units.map((unit) => `${UnitTable.line(unit)}\n`).join("")
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== "unit_not_started" || isJson) throw error
    // The others go on, and somebody wants to know how far they are.
    const names = new Set(asked.names)
    const { units } = (await client.call("units", {})).value
    const all = units.filter(({ name }) => names.has(name))
    if (all.length > 1) await world.out.write(all.map((unit) => `${UnitTable.line(unit)}\n`).join(""))
    const { message, retryable } = error
    const failed = all.find(({ state }) => state === "failed")
    const more = failed === undefined ? "" : `\nMore: holdfast why ${failed.name}`
    throw new Failure(`${message}${more}`, error.code, retryable)
  }
}
