/**
 * Which jobs may start now: an index of those that have not ended, in memory. It reads no clock and does no I/O. It is
 * told of every stored change, and answers from what it was told; the store stays the truth.
 *
 * A higher priority goes first, then the older job. Who waits for a time or for another job stands beside the line, and
 * holds up nobody.
 */
import type { JobId } from "../JobId.js"
import type { JobRecord } from "../JobRecord.js"
import { hasEnded, hasSucceeded } from "../JobRecord.js"
import type { QueueReason } from "../JobRunnerService.js"
import type { JobGroup } from "../JobStoreService.js"
import type { Entry, Lane, When } from "./QueueEntry.js"
import * as QueueEntry from "./QueueEntry.js"

/** What is to be done now. */
export interface Taken {
  /** The jobs to start, in this order. */
  readonly launch: ReadonlyArray<JobId>
  /** The queued jobs that can never start, because of how a job ended that they wait for. */
  readonly refuse: ReadonlyArray<{
    readonly id: JobId
    /** One sentence. */
    readonly reason: string
  }>
}

/** No group can be called so. */
const noGroup = ""

/**
 * Of how many jobs that are gone it is remembered how they ended: news of them that comes late is told from news of a
 * job that is new, and who waits for one of them needs no look into the store.
 */
const mostRemembered = 4_096

/** The index. Use {@link make}. */
export class JobQueue {
  private readonly entries = new Map<JobId, Entry>()
  private readonly lanes = new Map<string, Lane>()
  /** The lanes that can start a job now, the one whose first job goes before the others being first. */
  private readonly open = new QueueEntry.Heap<Lane>((a, b) =>
    QueueEntry.precedes(a.ready.first!, b.ready.first!),
  )
  private readonly timed = new QueueEntry.Heap(QueueEntry.isSooner)
  private readonly refusals = new Set<Entry>()
  private readonly waiters = new Map<JobId, Set<Entry>>()
  /** The jobs that are waited for and that nothing was told of. */
  private readonly unheard = new Set<JobId>()
  /** How jobs ended that are gone: undefined is success. */
  private readonly gone = new Map<JobId, string | undefined>()

  /**
   * Takes note of a record as it is now, in whatever state. One that is not newer than what is known changes nothing,
   * and so the same one may be told twice, also while its job is being started.
   */
  put(record: JobRecord): void {
    const { attempts, id, revision, spec, state } = record
    if (this.gone.has(id)) return
    const known = this.entries.get(id)
    if (known !== undefined && revision <= known.revision) return
    if (hasEnded(record)) {
      return this.close(id, hasSucceeded(record) ? undefined : QueueEntry.ending(record.state))
    }
    const entry = known ?? this.enter(record)
    this.leave(entry)
    entry.revision = revision
    entry.attempts = attempts.length
    // What it waited for has happened when it was started first, whatever has become of those records since.
    if (attempts.length > 0) {
      this.release(entry)
      entry.unmet = undefined
    } else if (known === undefined) {
      for (const { job, when } of spec.after) this.waitFor(entry, job as string as JobId, when)
    }
    if (state._tag === "queued") {
      entry.notBefore = state.notBefore ?? -Infinity
      this.line(entry)
    } else if (state._tag === "running") {
      this.occupy(entry, "running")
    } else {
      entry.place = "created"
    }
  }

  /** Takes note of the deletion of a record. Who asks for that job's success is refused, unless it was seen before. */
  drop(id: JobId): void {
    if (!this.gone.has(id)) this.close(id, QueueEntry.deleted)
  }

  /** The settings of a group from now on. What runs goes on. */
  setGroup({ name, parallelism, paused }: JobGroup): void {
    const lane = this.laneOf(name)
    lane.hasSettings = true
    lane.limit = parallelism ?? Infinity
    lane.paused = paused
    this.refresh(lane)
  }

  /** A group without settings has no limit and is not paused. */
  removeGroup(name: string): void {
    const lane = this.lanes.get(name)
    if (lane === undefined) return
    lane.hasSettings = false
    lane.limit = Infinity
    lane.paused = false
    this.refresh(lane)
    this.prune(lane)
  }

  /**
   * What is to be done at `now`, in milliseconds since the epoch. The jobs to start count as running in their group, and
   * are not given again, until a newer record of them is put or they are given back. Nor are those to refuse. At most
   * `most` are given to start (default: all): ask again until there are none.
   */
  take(now: number, most = Infinity): Taken {
    for (let next = this.timed.first; next !== undefined && next.notBefore <= now; next = this.timed.first) {
      this.timed.remove(next)
      this.makeReady(next)
    }
    const launch: Array<JobId> = []
    for (let lane = this.open.first; lane !== undefined && launch.length < most; lane = this.open.first) {
      const entry = lane.ready.first!
      lane.ready.remove(entry)
      this.occupy(entry, "taken")
      launch.push(entry.id)
    }
    const refuse = [...this.refusals].map(({ id, unmet }) => ({ id, reason: unmet!.sentence }))
    this.refusals.clear()
    return { launch, refuse }
  }

  /** Takes back a job that could not be started, or refused, as it was taken to be: the next `take` gives it again. */
  giveBack(id: JobId): void {
    const entry = this.entries.get(id)
    if (entry?.place === "taken") {
      this.leave(entry)
      this.makeReady(entry)
    } else if (entry?.place === "refused") {
      this.refusals.add(entry)
    }
  }

  /** A queued job is to wait until another time, in milliseconds by the clock of `take`. */
  reschedule(id: JobId, notBefore: number): void {
    const entry = this.entries.get(id)
    if (entry === undefined || entry.place === "taken" || entry.place === "running") return
    if (entry.place === "created" || entry.place === "refused") return
    this.leave(entry)
    entry.notBefore = notBefore
    this.line(entry)
  }

  /** Its process has ended, though that is not stored yet: its group has room again. */
  vacate(id: JobId): void {
    const entry = this.entries.get(id)
    if (entry?.lane.occupants.delete(entry) === true) this.refresh(entry.lane)
  }

  /**
   * When to `take` again if nothing happens until then, in milliseconds since the epoch and not before `now`: the first
   * time that a queued job waits for and nothing but its group besides. Undefined when there is none. Ask after `take`.
   */
  nextAt(now: number): number | undefined {
    const first = this.timed.first
    return first === undefined ? undefined : Math.max(first.notBefore, now)
  }

  /**
   * The jobs that others wait for and that nothing is known of, because they ended long ago or before this queue was
   * made. Nobody who waits for one starts or is refused until its record is put, or it is settled.
   */
  unknown(): ReadonlyArray<JobId> {
    return [...this.unheard]
  }

  /** What the store says of an unknown job: its record, or undefined when there is none. Late answers do no harm. */
  settle(id: JobId, record: JobRecord | undefined): void {
    if (record !== undefined) this.put(record)
    else if (!this.entries.has(id)) this.drop(id)
  }

  /** All that keeps a job from starting at `now` (milliseconds since the epoch); nothing for one that has started. */
  why(id: JobId, now: number): ReadonlyArray<QueueReason> {
    const entry = this.entries.get(id)
    if (entry === undefined) return []
    return QueueEntry.reasons(entry, now, (job) => this.entries.get(job)?.place)
  }

  private enter({ id, revision, spec }: JobRecord): Entry {
    const lane = this.laneOf(spec.group ?? noGroup)
    lane.members += 1
    const entry: Entry = {
      id,
      priority: spec.priority,
      lane,
      hasDelay: spec.delay !== undefined,
      revision,
      place: "created",
      attempts: 0,
      notBefore: -Infinity,
      pending: undefined,
      unmet: undefined,
      slot: -1,
    }
    this.entries.set(id, entry)
    this.unheard.delete(id)
    return entry
  }

  /** It is over, or deleted: `how` it ended, undefined being success. */
  private close(id: JobId, how: string | undefined): void {
    const entry = this.entries.get(id)
    if (entry !== undefined) {
      this.leave(entry)
      this.release(entry)
      this.entries.delete(id)
      entry.lane.members -= 1
      this.prune(entry.lane)
    }
    this.gone.set(id, how)
    if (this.gone.size > mostRemembered) {
      const [oldest] = this.gone.keys()
      this.gone.delete(oldest!)
    }
    const waiters = this.waiters.get(id)
    this.waiters.delete(id)
    this.unheard.delete(id)
    for (const waiter of waiters ?? []) {
      this.hear(waiter, id, how)
      if (waiter.place === "held" && waiter.pending === undefined) this.line(waiter)
    }
  }

  private waitFor(entry: Entry, job: JobId, when: When): void {
    if (entry.unmet !== undefined) return
    entry.pending ??= new Map()
    entry.pending.set(job, entry.pending.get(job) === "success" ? "success" : when)
    if (this.gone.has(job)) return this.hear(entry, job, this.gone.get(job))
    const waiters = this.waiters.get(job)
    if (waiters === undefined) this.waiters.set(job, new Set([entry]))
    else waiters.add(entry)
    if (!this.entries.has(job)) this.unheard.add(job)
  }

  /** Tells one that waits for a job how that ended. */
  private hear(entry: Entry, job: JobId, how: string | undefined): void {
    const when = entry.pending!.get(job)
    if (how !== undefined && when === "success") {
      this.release(entry)
      entry.unmet = { job, sentence: QueueEntry.unmet(job, how) }
      return
    }
    entry.pending!.delete(job)
    if (entry.pending!.size === 0) entry.pending = undefined
  }

  /** It waits for no job any more. */
  private release(entry: Entry): void {
    for (const job of entry.pending?.keys() ?? []) {
      const waiters = this.waiters.get(job)
      waiters?.delete(entry)
      if (waiters?.size !== 0) continue
      this.waiters.delete(job)
      this.unheard.delete(job)
    }
    entry.pending = undefined
  }

  /** Takes it out of where it is. */
  private leave(entry: Entry): void {
    const { lane, place } = entry
    if (place === "timed") this.timed.remove(entry)
    else if (place === "refused") this.refusals.delete(entry)
    else if (place === "ready") {
      lane.ready.remove(entry)
      this.refresh(lane)
    } else if (place === "taken" || place === "running") {
      lane.occupants.delete(entry)
      this.refresh(lane)
    }
  }

  /** Puts a queued one where it belongs. */
  private line(entry: Entry): void {
    if (entry.unmet !== undefined) {
      entry.place = "refused"
      this.refusals.add(entry)
    } else if (entry.pending !== undefined) {
      entry.place = "held"
    } else if (entry.notBefore > -Infinity) {
      entry.place = "timed"
      this.timed.add(entry)
    } else {
      this.makeReady(entry)
    }
  }

  private makeReady(entry: Entry): void {
    entry.place = "ready"
    entry.lane.ready.add(entry)
    this.refresh(entry.lane)
  }

  private occupy(entry: Entry, place: "taken" | "running"): void {
    entry.place = place
    entry.lane.occupants.add(entry)
    this.refresh(entry.lane)
  }

  private laneOf(name: string): Lane {
    const known = this.lanes.get(name)
    if (known !== undefined) return known
    const lane: Lane = {
      name,
      ready: new QueueEntry.Heap(QueueEntry.precedes),
      occupants: new Set(),
      hasSettings: false,
      limit: Infinity,
      paused: false,
      members: 0,
      slot: -1,
    }
    this.lanes.set(name, lane)
    return lane
  }

  /** To be called after every change of what a lane has ready, of its occupants and of its settings. */
  private refresh(lane: Lane): void {
    if (lane.slot >= 0) this.open.remove(lane)
    if (lane.ready.first !== undefined && QueueEntry.roomOf(lane) > 0) this.open.add(lane)
  }

  private prune(lane: Lane): void {
    if (lane.members === 0 && !lane.hasSettings) this.lanes.delete(lane.name)
  }
}

/** An empty queue. */
export const make = (): JobQueue => new JobQueue()
