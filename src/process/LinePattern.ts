/**
 * Looks for a pattern in lines, for a limited time. There are patterns, such as `(a+)+$`, that take longer than anybody
 * can wait for a line of a few dozen characters; only a virtual machine's watchdog gets V8 out of one.
 */
import { createContext, Script } from "node:vm"

/**
 * How long a pattern may take for the lines of one look, in ms: so long the event loop is held up, at most twice; longer
 * where others have the processor most of that time, as then it says nothing of the pattern.
 */
export const limitMillis = 250

/** However busy the machine is, no try is longer. */
const longestTryMillis = 4 * limitMillis

/** What came of a look: the first line that matches, or the one that takes too long. */
export type Result =
  | { readonly _tag: "Match"; readonly index: number; readonly match: RegExpExecArray }
  | { readonly _tag: "TooSlow"; readonly index: number }

const room: { search: () => void } = { search: () => {} }
let watched: ((timeout: number) => void) | undefined

/** A while of which the processor was ours for less than half of the limit is no fault of the pattern's. */
const wasOurs = (before: NodeJS.CpuUsage): boolean => {
  const { system, user } = process.cpuUsage(before)
  return (system + user) / 1_000 >= limitMillis / 2
}

/** Runs `search` here and now. Whether it came to its end in time. */
const inTime = (search: () => void): boolean => {
  if (watched === undefined) {
    const script = new Script("search()")
    const context = createContext(room)
    watched = (timeout) => script.runInContext(context, { timeout })
  }
  room.search = search
  try {
    for (let timeout = limitMillis; timeout <= longestTryMillis; timeout *= 2) {
      const before = process.cpuUsage()
      try {
        watched(timeout)
        return true
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw cause
        if (wasOurs(before)) return false
      }
    }
    return false
  } finally {
    room.search = () => {}
  }
}

/**
 * The first of the lines that matches; undefined when none does. The pattern must have neither the flag `g` nor `y`. A
 * line is blamed for being slow only when it had all the time for itself: it may have come last of many.
 */
export const search = (pattern: RegExp, lines: ReadonlyArray<string>): Result | undefined => {
  let index = 0
  let match: RegExpExecArray | null = null
  const run = (): void => {
    while (index < lines.length) {
      match = pattern.exec(lines[index]!)
      if (match !== null) return
      index++
    }
  }
  while (index < lines.length && match === null) {
    const before = index
    if (!inTime(run) && index === before) return { _tag: "TooSlow", index }
  }
  return match === null ? undefined : { _tag: "Match", index, match }
}

/** The named groups of a match that took part in it. */
export const groupsOf = (match: RegExpExecArray): Record<string, string> => {
  const groups: Record<string, string> = {}
  for (const [name, value] of Object.entries(match.groups ?? {}))
    if (value !== undefined) groups[name] = value
  return groups
}
