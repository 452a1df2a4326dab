/** The process table as Linux shows it under /proc. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Batch from "./Batch.js"
import { systemReason } from "./Diagnosis.js"
import { ProcessIdentity } from "./ProcessIdentity.js"
import {
  type GroupQuery,
  type Marked,
  type Member,
  type Named,
  ProcessTable,
  TableUnreadable,
} from "./ProcessTable.js"
import {
  allPids,
  commandOf,
  describe,
  environOf,
  isDead,
  marksIn,
  read,
  type Stat,
  statOf,
  unitIn,
} from "./ProcFiles.js"

/** The pid that was handed out last; undefined when the system does not tell. */
const lastPid = (): number | undefined => {
  const last = Number((read("/proc/loadavg") ?? "").trim().split(" ").at(-1))
  return Number.isInteger(last) && last > 0 ? last : undefined
}

/** A spawn is young when the whole range of pids (at least 32,768) cannot have been handed out since. */
const youngMillis = 1_000

/** More than so many pids to visit one by one are no short cut. */
const fewPids = 8

/**
 * The pids from `first` up to the last one handed out, less those of our own spawns: the kernel hands them out
 * upwards, so the descendants of a young spawn are among these. Undefined when they are not few.
 */
const pidsSince = (
  first: number,
  isSpawn: (pid: number) => boolean,
): { readonly pids: ReadonlyArray<number>; readonly last: number } | undefined => {
  const last = lastPid()
  // Smaller: the kernel has started over at the bottom.
  if (last === undefined || last < first - 1 || last - first > 256) return undefined
  const pids: Array<number> = []
  for (let pid = first; pid <= last; pid++) {
    if (isSpawn(pid)) continue
    pids.push(pid)
    if (pids.length > fewPids) return undefined
  }
  return { pids, last }
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

const none: ReadonlyArray<number> = []

const push = <K>(map: Map<K, Array<number>>, key: K, index: number): void => {
  const known = map.get(key)
  if (known === undefined) map.set(key, [index])
  else known.push(index)
}

/** Collects the members of several spawns, one process after the other. Two may ask about the same one. */
class Collector {
  private readonly found: ReadonlyArray<Array<Member>>
  private readonly byGroup = new Map<number, Array<number>>()
  private readonly byMark = new Map<string, Array<number>>()
  /** The spawns whose leader's pid was given to somebody else: then their group had become empty. */
  private readonly reused = new Set<number>()
  private readonly oldest: number

  constructor(private readonly queries: ReadonlyArray<GroupQuery>) {
    this.found = queries.map(() => [])
    let oldest = Infinity
    queries.forEach(({ leader, mark }, index) => {
      push(this.byGroup, leader.pid, index)
      push(this.byMark, mark, index)
      oldest = Math.min(oldest, Number(leader.startTime))
    })
    this.oldest = oldest
  }

  leads(pid: number): boolean {
    return this.byGroup.has(pid)
  }

  /**
   * Looks at one process. `gone` when it had ended by then, and may have left another in its place; `busy` when it is
   * about to become another program and nothing can be said of it yet.
   */
  visit(pid: number, patient: boolean): "seen" | "gone" | "busy" {
    const stat = statOf(pid)
    if (stat === undefined || isDead(stat)) return "gone"
    for (const led of this.byGroup.get(pid) ?? none) {
      if (stat.startTime !== this.queries[led]!.leader.startTime) this.reused.add(led)
    }
    // Nothing that started before the oldest of them descends from any of them.
    if (Number(stat.startTime) < this.oldest) return "seen"
    const environment = environOf(pid, stat)
    if (environment === undefined && patient) return "busy"
    const marked = new Set<number>()
    for (const mark of marksIn(environment ?? "")) {
      for (const index of this.byMark.get(mark) ?? none) marked.add(index)
    }
    for (const index of marked) this.add(index, pid, stat, true)
    for (const index of this.byGroup.get(stat.groupId) ?? this.byGroup.get(stat.sessionId) ?? none) {
      if (!marked.has(index)) this.add(index, pid, stat, false)
    }
    return "seen"
  }

  /**
   * What was found for each query. Members of a group that has no proven member are left out: its id has been given
   * to strangers, and waiting for what will never be signalled helps nobody.
   */
  members(): ReadonlyArray<ReadonlyArray<Member>> {
    return this.found.map((members, index) => {
      const vouched = !this.reused.has(index) && members.some(({ inGroup, proven }) => inGroup && proven)
      return vouched ? members : members.filter(({ proven }) => proven)
    })
  }

  private add(index: number, pid: number, stat: Stat, marked: boolean): void {
    const { leader, leaderEndedAt } = this.queries[index]!
    this.found[index]!.push({
      pid,
      parentPid: stat.parentPid,
      groupId: stat.groupId,
      startTime: stat.startTime,
      command: commandOf(pid),
      inGroup: stat.groupId === leader.pid,
      proven: marked || leaderEndedAt === undefined || Number(stat.startTime) <= Number(leaderEndedAt),
    })
  }
}

/**
 * How often a look is repeated because processes ended while it went on. One that ends between being listed and being
 * visited may have started another; only when none does is the list known to have been complete.
 */
const rounds = 50

const unsteady = (): Error => new Error("its processes come and go too fast to be listed")

/** So many rounds are given to processes in the middle of an exec; those without arguments look like that for ever. */
const patientRounds = 20

const turn = (): Promise<void> => new Promise((resume) => setImmediate(resume))

/** Looks at every process but our other children, a few at a time. */
const lookAtAll = async (
  queries: ReadonlyArray<GroupQuery>,
  own: ReadonlySet<number>,
): Promise<ReadonlyArray<ReadonlyArray<Member>>> => {
  const collector = new Collector(queries)
  const seen = new Set<number>()
  for (let round = 0; round < rounds; round++) {
    const fresh = allPids().filter(
      (pid) => !seen.has(pid) && (collector.leads(pid) || (!own.has(pid) && pid !== process.pid)),
    )
    let isSteady = true
    let isBusy = false
    for (let start = 0; start < fresh.length; start += pidsPerTurn) {
      if (start > 0) await turn()
      for (const pid of fresh.slice(start, start + pidsPerTurn)) {
        const look = collector.visit(pid, round < patientRounds)
        if (look === "busy") isBusy = true
        else seen.add(pid)
        if (look !== "seen") isSteady = false
      }
    }
    if (isSteady) return collector.members()
    // An exec takes a moment.
    if (isBusy) await new Promise((resume) => setTimeout(resume, 1))
  }
  throw unsteady()
}

/**
 * The members of a young spawn whose leader has ended, by a look at the few processes that have started since. This
 * keeps the end of a short process cheap, however many processes the machine has. Undefined when it cannot be so.
 */
const lookAtFew = (
  query: GroupQuery,
  isSpawn: (pid: number, withinMillis: number) => boolean,
): ReadonlyArray<Member> | undefined => {
  if (query.ageMillis >= youngMillis || query.leaderEndedAt === undefined) return undefined
  const collector = new Collector([query])
  let first = query.leader.pid + 1
  for (let round = 0; round < rounds; round++) {
    const since = pidsSince(first, (pid) => isSpawn(pid, query.ageMillis))
    if (since === undefined) return undefined
    // One that has gone may have started another, which then is among those that come next.
    const looks = new Set(since.pids.map((pid) => collector.visit(pid, true)))
    if (looks.has("busy")) return undefined
    if (!looks.has("gone")) return collector.members()[0]!
    first = since.last + 1
  }
  return undefined
}

/** Looks once at every process. One that comes while it looks may be missed. */
const lookForMarks = async (wanted: RegExp): Promise<ReadonlyArray<Marked>> => {
  const found: Array<Marked> = []
  for (const [index, pid] of allPids().entries()) {
    if (index % pidsPerTurn === pidsPerTurn - 1) await turn()
    const stat = statOf(pid)
    if (stat === undefined || isDead(stat)) continue
    const environment = environOf(pid, stat) ?? ""
    const mark = marksIn(environment).findLast((mark) => wanted.test(mark))
    if (mark === undefined) continue
    const { groupId, parentPid, startTime } = stat
    found.push({
      pid,
      parentPid,
      groupId,
      startTime,
      command: commandOf(pid),
      mark,
      unit: unitIn(environment),
    })
  }
  return found
}

/** Looks once at each. */
const lookAt = async (pids: ReadonlyArray<number>): Promise<ReadonlyArray<Named>> => {
  const found: Array<Named> = []
  for (const [index, pid] of pids.entries()) {
    if (index % pidsPerTurn === pidsPerTurn - 1) await turn()
    const process = describe(pid)
    if (process === undefined) continue
    const { command, groupId, names, parentPid, startTime } = process
    found.push({ pid, parentPid, groupId, startTime, command, names })
  }
  return found
}

const unreadable = (cause: unknown) => new TableUnreadable({ reason: systemReason(cause) })

/** The kernel counts 100 ticks a second for those who read /proc. */
const millisPerTick = 10

/** Clock ticks since boot. */
const uptimeTicks = (): number =>
  Number((read("/proc/uptime") ?? "0").split(" ", 1)[0]) * (1_000 / millisPerTick)

/** The process table of Linux. */
export const layer: Layer.Layer<ProcessTable> = Layer.sync(ProcessTable, () => {
  const bootId = (read("/proc/sys/kernel/random/boot_id") ?? "unknown").trim()
  const own = new Set<number>()
  const recent = recentSpawns()
  const look = Batch.make((queries: ReadonlyArray<GroupQuery>) => lookAtAll(queries, own), unreadable)
  return {
    identify: (pid) =>
      Effect.try({
        try: () => {
          const stat = statOf(pid)
          return stat === undefined || isDead(stat)
            ? undefined
            : new ProcessIdentity({ pid, startTime: stat.startTime, bootId })
        },
        catch: unreadable,
      }),
    // An unreaped child has an entry, be it a zombie's.
    identifyChild: (pid) =>
      Effect.try({
        try: () => new ProcessIdentity({ pid, startTime: statOf(pid)?.startTime ?? "0", bootId }, true),
        catch: unreadable,
      }),
    // Two more: both the start and the lifetime are rounded.
    endOf: ({ startTime }, millis) => String(Number(startTime) + Math.ceil(millis / millisPerTick) + 2),
    isStill: ({ pid, startTime }) => {
      try {
        return statOf(pid)?.startTime === startTime
      } catch {
        return false
      }
    },
    ageOf: ({ startTime }) => (uptimeTicks() - Number(startTime)) * millisPerTick,
    timeAt: (uptime) => String(Math.round(Number(uptime) * (1_000 / millisPerTick)) + 2),
    membersOf: (query) =>
      Effect.suspend(() => {
        try {
          const few = lookAtFew(query, recent.within)
          return few === undefined ? look(query) : Effect.succeed(few)
        } catch (cause) {
          return Effect.fail(unreadable(cause))
        }
      }),
    marked: (mark) => Effect.tryPromise({ try: () => lookForMarks(mark), catch: unreadable }),
    list: (pids) => Effect.tryPromise({ try: async () => lookAt(pids ?? allPids()), catch: unreadable }),
    setOwn: (pid, isOwn) => {
      if (!isOwn) return own.delete(pid)
      recent.add(pid)
      return own.add(pid)
    },
    ownGroup: statOf(process.pid)?.groupId ?? process.pid,
  }
})
