/** The process table as Linux shows it under /proc. */
import { closeSync, openSync, readdirSync, readSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Batch from "./Batch.js"
import { systemReason } from "./Diagnosis.js"
import { lineageVariable } from "./Environment.js"
import { ProcessIdentity } from "./ProcessIdentity.js"
import { type GroupQuery, type Member, ProcessTable, TableUnreadable } from "./ProcessTable.js"

/** One /proc/PID/stat, see proc(5). */
export interface Stat {
  readonly state: string
  readonly parentPid: number
  readonly groupId: number
  readonly sessionId: number
  /** Clock ticks since boot. */
  readonly startTime: string
}

/** Reads the text of /proc/PID/stat. The command in it may contain spaces, parentheses and line ends. */
export const parseStat = (text: string): Stat | undefined => {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const [state, parentPid, groupId, sessionId] = fields
  const startTime = fields[19]
  return state === undefined || startTime === undefined
    ? undefined
    : {
        state,
        parentPid: Number(parentPid),
        groupId: Number(groupId),
        sessionId: Number(sessionId),
        startTime,
      }
}

/** Files of /proc are read some ten times a spawn: one buffer for all of them, and no call that is not needed. */
let buffer = Buffer.allocUnsafeSlow(16_384)

const readWhole = (path: string): string => {
  const descriptor = openSync(path, "r")
  try {
    let length = 0
    while (true) {
      const read = readSync(descriptor, buffer, length, buffer.length - length, null)
      if (read === 0) return buffer.toString("latin1", 0, length)
      length += read
      if (length === buffer.length) buffer = Buffer.concat([buffer], length * 2)
    }
  } finally {
    closeSync(descriptor)
  }
}

/** The file's text; undefined when the process is gone or may not be looked at. Anything else is thrown. */
const read = (path: string): string | undefined => {
  try {
    return readWhole(path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES" || code === "EPERM") return undefined
    throw cause
  }
}

const statOf = (pid: number): Stat | undefined => {
  const text = read(`/proc/${pid}/stat`)
  return text === undefined ? undefined : parseStat(text)
}

const isDead = (stat: Stat): boolean => stat.state === "Z" || stat.state === "X" || stat.state === "x"

const commandOf = (pid: number): string => {
  const text = (read(`/proc/${pid}/cmdline`) ?? "").replace(/\0+$/, "").replaceAll("\0", " ")
  const command = text === "" ? `[${(read(`/proc/${pid}/comm`) ?? "?").trim()}]` : text
  return command.length > 200 ? `${command.slice(0, 200)}…` : command
}

/** The marks in a process's environment; none when it may not be read. */
const marksOf = (pid: number): ReadonlyArray<string> => {
  const environment = read(`/proc/${pid}/environ`)
  if (environment === undefined) return []
  const start = `\0${environment}`.indexOf(`\0${lineageVariable}=`)
  if (start === -1) return []
  const value = environment.slice(start + lineageVariable.length + 1)
  const end = value.indexOf("\0")
  return (end === -1 ? value : value.slice(0, end)).split(" ")
}

const allPids = (): ReadonlyArray<number> => {
  const pids: Array<number> = []
  for (const name of readdirSync("/proc")) {
    const first = name.charCodeAt(0)
    if (first >= 48 && first <= 57) pids.push(Number(name))
  }
  return pids
}

/** The pid that was handed out last; undefined when the system does not tell. */
const lastPid = (): number | undefined => {
  const last = Number((read("/proc/loadavg") ?? "").trim().split(" ").at(-1))
  return Number.isInteger(last) && last > 0 ? last : undefined
}

/** A spawn is young when the whole range of pids (at least 32,768) cannot have been handed out since. */
const youngMillis = 1_000

/**
 * The pids that may be descendants of a young spawn: the kernel hands them out upwards, so only those between its own
 * and the last one can be, less those of our other spawns. Undefined when that cannot be said in a few words. This
 * keeps the end of a short process cheap, however many processes the machine has.
 */
const fewCandidates = (
  query: GroupQuery,
  isSpawn: (pid: number, withinMillis: number) => boolean,
): ReadonlyArray<number> | undefined => {
  if (query.ageMillis >= youngMillis || query.leaderEndedAt === undefined) return undefined
  const last = lastPid()
  const first = query.leader.pid + 1
  // Smaller: the kernel has started over at the bottom.
  if (last === undefined || last < query.leader.pid || last - first > 256) return undefined
  const candidates: Array<number> = []
  for (let pid = first; pid <= last; pid++) {
    if (isSpawn(pid, query.ageMillis)) continue
    candidates.push(pid)
    if (candidates.length > 8) return undefined
  }
  return candidates
}

const pidsPerTurn = 256

/** Remembers when each of our recent spawns was. */
const recentSpawns = () => {
  // Two generations of pid -> time: the older one is dropped whole, so nothing has to be searched.
  let older = new Map<number, number>()
  let newer = new Map<number, number>()
  let turnedAt = performance.now()
  return {
    add: (pid: number): void => {
      const time = performance.now()
      if (time - turnedAt > youngMillis) {
        older = newer
        newer = new Map()
        turnedAt = time
      }
      newer.set(pid, time)
    },
    /** Whether that pid was given to a spawn of ours in the last `millis`. */
    within: (pid: number, millis: number): boolean => {
      const time = newer.get(pid) ?? older.get(pid)
      return time !== undefined && performance.now() - time <= millis
    },
  }
}

/** Collects the members of several spawns, one process after the other. */
const collector = (queries: ReadonlyArray<GroupQuery>) => {
  const found: Array<Array<Member>> = queries.map(() => [])
  const byGroup = new Map<number, number>()
  const byMark = new Map<string, number>()
  let oldest = Infinity
  queries.forEach(({ leader, mark }, index) => {
    byGroup.set(leader.pid, index)
    byMark.set(mark, index)
    oldest = Math.min(oldest, Number(leader.startTime))
  })

  const visit = (pid: number): void => {
    const stat = statOf(pid)
    // Nothing that started before the oldest of them descends from any of them.
    if (stat === undefined || isDead(stat) || Number(stat.startTime) < oldest) return
    const add = (index: number, marked: boolean): void => {
      const { leader, leaderEndedAt } = queries[index]!
      found[index]!.push({
        pid,
        parentPid: stat.parentPid,
        groupId: stat.groupId,
        startTime: stat.startTime,
        command: commandOf(pid),
        inGroup: stat.groupId === leader.pid,
        proven: marked || leaderEndedAt === undefined || Number(stat.startTime) <= Number(leaderEndedAt),
      })
    }
    const marked = new Set<number>()
    for (const mark of marksOf(pid)) {
      const index = byMark.get(mark)
      if (index !== undefined) marked.add(index)
    }
    for (const index of marked) add(index, true)
    const grouped = byGroup.get(stat.groupId) ?? byGroup.get(stat.sessionId)
    if (grouped !== undefined && !marked.has(grouped)) add(grouped, false)
  }
  return { found, visit, leads: (pid: number) => byGroup.has(pid) }
}

/** Looks at every process but our other children, a few at a time. */
const look = async (
  queries: ReadonlyArray<GroupQuery>,
  own: ReadonlySet<number>,
): Promise<ReadonlyArray<ReadonlyArray<Member>>> => {
  const { found, leads, visit } = collector(queries)
  const candidates = allPids().filter((pid) => leads(pid) || (!own.has(pid) && pid !== process.pid))
  for (let start = 0; start < candidates.length; start += pidsPerTurn) {
    if (start > 0) await new Promise((resume) => setImmediate(resume))
    for (const pid of candidates.slice(start, start + pidsPerTurn)) visit(pid)
  }
  return found
}

const unreadable = (cause: unknown) => new TableUnreadable({ reason: systemReason(cause) })

/** The process table of Linux. */
export const layer: Layer.Layer<ProcessTable> = Layer.sync(ProcessTable, () => {
  const bootId = (read("/proc/sys/kernel/random/boot_id") ?? "unknown").trim()
  const own = new Set<number>()
  const recent = recentSpawns()
  const lookAtAll = Batch.make((queries: ReadonlyArray<GroupQuery>) => look(queries, own), unreadable)
  const identify = (pid: number): ProcessIdentity | undefined => {
    const stat = statOf(pid)
    return stat === undefined || isDead(stat)
      ? undefined
      : new ProcessIdentity({ pid, startTime: stat.startTime, bootId })
  }
  return {
    identify: (pid) => Effect.try({ try: () => identify(pid), catch: unreadable }),
    // An unreaped child has an entry, be it a zombie's.
    identifyChild: (pid) =>
      Effect.try({
        try: () => new ProcessIdentity({ pid, startTime: statOf(pid)?.startTime ?? "unknown", bootId }, true),
        catch: unreadable,
      }),
    now: () => {
      // Seconds with two decimals: the kernel's 100 user-space ticks a second.
      const [uptime] = (read("/proc/uptime") ?? "").split(" ")
      return String(Math.ceil(Number(uptime) * 100))
    },
    membersOf: (query) =>
      Effect.suspend(() => {
        try {
          const few = fewCandidates(query, recent.within)
          if (few === undefined) return lookAtAll(query)
          const { found, visit } = collector([query])
          for (const pid of few) visit(pid)
          return Effect.succeed(found[0]!)
        } catch (cause) {
          return Effect.fail(unreadable(cause))
        }
      }),
    setOwn: (pid, isOwn) => {
      if (!isOwn) return own.delete(pid)
      recent.add(pid)
      return own.add(pid)
    },
    ownGroup: statOf(process.pid)?.groupId ?? process.pid,
  }
})
