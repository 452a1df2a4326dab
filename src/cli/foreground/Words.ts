/** What happens to units, in words. Pure. */
import type { UnitChange } from "../../unit/SupervisorService.js"
import { hasProcess } from "../../unit/UnitSpec.js"
import type { StateName, UnitStatus } from "../../unit/UnitStatus.js"
import * as Format from "../Format.js"
import type { Colour } from "../Painter.js"
import { fit } from "../Table.js"
import { printable } from "../World.js"

/** Words about a unit. */
export interface Words {
  readonly text: string
  readonly colour?: Colour
  /** Lines of its output that say more. */
  readonly output?: ReadonlyArray<string>
}

/** A sentence as the end of another one. */
const clause = (sentence: string | undefined): string => {
  const text = printable(sentence ?? "")
  return `${text.slice(0, 1).toLowerCase()}${text.slice(1)}`.replace(/\.$/, "")
}

const because = (word: string, sentence: string | undefined): string =>
  sentence === undefined || sentence === "" ? word : `${word}: ${clause(sentence)}`

const after = (from: number | undefined, to: number): string =>
  from === undefined ? "" : ` after ${Format.duration(to - from)}`

/** Characters of a command that are shown: it is in the configuration, and in `holdfast status`. */
const mostCommand = 100

/** The command as it was written: what goes to the shell without the shell. */
const commandOf = (command: string): string => {
  const [, script] = /^\/bin\/sh -c '(.*)'$/s.exec(command) ?? []
  return fit(printable(script === undefined ? command : script.replaceAll("'\\''", "'")), mostCommand)
}

const starting = ({ command, generation, kind, url }: UnitStatus): Words | undefined => {
  if (kind === "target") return undefined
  if (kind === "external") return { text: `looks for ${url ?? "it"}` }
  const word = generation > 1 ? "starting again" : "starting"
  return { text: command === undefined || generation > 1 ? word : `${word}: ${commandOf(command)}` }
}

const ready = (status: UnitStatus, from: StateName, at: number): Words => {
  const { ownership, pid, startedAt, url } = status
  if (from === "degraded") return { text: "is well again", colour: "green" }
  const about = [...(pid === undefined ? [] : [`pid ${pid}`]), ...(url === undefined ? [] : [url])].join(", ")
  const where = about === "" ? "" : ` (${about})`
  if (hasProcess(status) && ownership === "external")
    return { text: `ready: somebody else's server answers, and is used as it is${where}`, colour: "yellow" }
  return { text: `ready${hasProcess(status) ? after(startedAt, at) : ""}${where}`, colour: "green" }
}

const backoff = ({ failure, failures, restartAt, startedAt }: UnitStatus, at: number): Words => {
  const wait = (restartAt ?? at) - at
  const when = wait < 1 ? "at once" : `in ${Format.duration(wait)}`
  const what = because(`down${after(startedAt, at)}`, failure?.message)
  return { text: `${what}; starts again ${when} (failure ${failures})`, colour: "yellow" }
}

/**
 * What to say of a change; undefined where there is nothing to say.
 *
 * @param since when the unit came to the state that it has left, in milliseconds since the epoch
 * @param isEnding whether all units are being stopped, which is no news of each
 */
export const of = (
  { at, from, status, to }: UnitChange,
  since: number | undefined,
  isEnding: boolean,
): Words | undefined => {
  const { end, failure, kind, reason, startedAt } = status
  switch (to) {
    case "blocked":
      // What it needs goes down with it.
      return isEnding ? undefined : { text: because("waits", reason) }
    case "starting":
      return starting(status)
    case "ready":
      return ready(status, from, at)
    case "degraded":
      return { text: because("not well", reason), colour: "yellow" }
    case "stopping":
      // One that has ended by itself says so when all of it is gone.
      if (end !== undefined) return undefined
      return { text: because("stopping", isEnding ? undefined : reason) }
    case "backoff":
      return backoff(status, at)
    case "exited":
      return kind === "service"
        ? { text: clause(reason).replace(/^it has /, "") }
        : { text: `done${after(startedAt, at)}`, colour: "green" }
    case "failed":
      return { text: because("failed", reason), colour: "red", output: failure?.output ?? [] }
    case "inactive":
      return { text: `stopped${from === "stopping" ? after(since, at) : ""}` }
  }
}

/** Whether a unit is up, or done. */
const isUp = (state: StateName): boolean => state === "ready" || state === "exited"

/** Whether nothing more will happen to a unit by itself. */
export const isSettled = (state: StateName): boolean =>
  state === "inactive" || state === "exited" || state === "failed"

const short: Partial<Record<StateName, string>> = {
  blocked: "waits",
  degraded: "not well",
  backoff: "starts again",
}

/** Where a unit is, as a part of the line at the bottom. */
export interface Standing {
  readonly name: string
  readonly state: StateName
  /** Since when, in milliseconds since the epoch. */
  readonly since: number
}

/** So many units are named on the line at the bottom. */
const mostNamed = 6

/** The line at the bottom: empty while nothing is on its way. */
export const progress = (units: ReadonlyArray<Standing>, now: number, isEnding: boolean): string => {
  const moving = units.filter(({ state }) => !isUp(state) && !isSettled(state))
  const left = isEnding ? units.filter(({ state }) => !isSettled(state)) : moving
  if (left.length === 0) return ""
  const named = left.slice(0, mostNamed).map(({ name, since, state }) => {
    const word = isEnding && state === "stopping" ? "" : ` ${short[state] ?? state}`
    // Whole seconds: what changes with every look at it cannot be read.
    const seconds = Math.floor((now - since) / 1_000)
    const isTimed = seconds >= 1 && (state === "starting" || state === "stopping")
    return `${name}${word}${isTimed ? ` ${Format.duration(seconds * 1_000)}` : ""}`
  })
  const more = left.length > mostNamed ? [`${left.length - mostNamed} more`] : []
  const head = isEnding
    ? `stopping, ${left.length} left`
    : `${units.filter(({ state }) => isUp(state)).length} of ${units.length} up`
  return [head, ...named, ...more].join(" · ")
}
