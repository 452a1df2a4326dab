/**
 * What the queue keeps of one job and of its group, in which order jobs go, and why one of them has not started, or never
 * will.
 */
import * as Duration from "effect/Duration"
import type { JobId } from "../JobId.js"
import type { QueueReason } from "../JobRunnerService.js"
import type { Ended } from "../JobState.js"

/** Where a job is. All but `created` and `running` are of the state `queued`. */
export type Place =
  | "created"
  /** Waits for other jobs. */
  | "held"
  /** Waits for its time. */
  | "timed"
  /** In the line of its group. */
  | "ready"
  /** To be refused, or about to be. */
  | "refused"
  /** To be started, or about to be. */
  | "taken"
  | "running"

/** Which end of another job is waited for. */
export type When = "success" | "end"

/** What is kept of a job: of 100,000 there are as many. */
export interface Entry {
  readonly id: JobId
  readonly priority: number
  readonly lane: Lane
  readonly hasDelay: boolean
  revision: number
  place: Place
  attempts: number
  notBefore: number
  /** The jobs it waits for. */
  pending: Map<JobId, When> | undefined
  /** Why it can never start. */
  unmet: { readonly job: JobId; readonly sentence: string } | undefined
  slot: number
}

/** The jobs of a group; those without one share a lane that has no limit. */
export interface Lane {
  readonly name: string
  readonly ready: Heap<Entry>
  /** Those that run or were taken. */
  readonly occupants: Set<Entry>
  hasSettings: boolean
  limit: number
  paused: boolean
  members: number
  slot: number
}

/** A binary heap whose items know where they are, so that any of them can be taken out. */
export class Heap<A extends { slot: number }> {
  private readonly items: Array<A> = []

  constructor(private readonly precedes: (a: A, b: A) => boolean) {}

  get first(): A | undefined {
    return this.items[0]
  }

  add(item: A): void {
    this.items.push(item)
    this.rise(item, this.items.length - 1)
  }

  /** Takes out an item that is in it. Does not compare it, so that its order may have changed already. */
  remove(item: A): void {
    const { slot } = item
    item.slot = -1
    const last = this.items.pop()!
    if (last !== item) this.sink(last, this.rise(last, slot))
  }

  /** How many come before an item that is in it. Takes time in proportion to that. */
  countBefore(item: A): number {
    // What comes below an item that is not before is not before either.
    const count = (slot: number): number =>
      slot < this.items.length && this.precedes(this.items[slot]!, item)
        ? 1 + count(2 * slot + 1) + count(2 * slot + 2)
        : 0
    return count(0)
  }

  /** The first few, in order. */
  take(few: number): ReadonlyArray<A> {
    // The n-th of them has at most n - 1 above it.
    const candidates = this.items.slice(0, 2 ** few - 1)
    return candidates.sort((a, b) => (this.precedes(a, b) ? -1 : 1)).slice(0, few)
  }

  private put(item: A, slot: number): void {
    this.items[slot] = item
    item.slot = slot
  }

  private rise(item: A, from: number): number {
    let slot = from
    while (slot > 0) {
      const above = (slot - 1) >> 1
      if (!this.precedes(item, this.items[above]!)) break
      this.put(this.items[above]!, slot)
      slot = above
    }
    this.put(item, slot)
    return slot
  }

  private sink(item: A, from: number): void {
    const { length } = this.items
    let slot = from
    for (;;) {
      let below = 2 * slot + 1
      if (below >= length) break
      if (below + 1 < length && this.precedes(this.items[below + 1]!, this.items[below]!)) below += 1
      if (!this.precedes(this.items[below]!, item)) break
      this.put(this.items[below]!, slot)
      slot = below
    }
    this.put(item, slot)
  }
}

/** Whether a job goes before another: by priority, then by age. */
export const precedes = (a: Entry, b: Entry): boolean =>
  a.priority === b.priority ? a.id < b.id : a.priority > b.priority

/** Whether the time of a job comes before that of another. */
export const isSooner = (a: Entry, b: Entry): boolean =>
  a.notBefore === b.notBefore ? precedes(a, b) : a.notBefore < b.notBefore

/** How many more jobs of a lane may start now. */
export const roomOf = ({ limit, occupants, paused }: Lane): number =>
  paused ? 0 : Math.max(0, limit - occupants.size)

/** The most jobs that one reason names. */
const mostNamed = 10

const stopped = {
  timeout: "was stopped at its timeout",
  stopped: "was stopped",
  "log-limit": "was stopped because it wrote more than it may",
}

/** How a job ended, to follow "which": `exited with code 1`. */
export const ending = (end: Ended): string => {
  switch (end._tag) {
    case "exited":
      return end.cause === "exit"
        ? `exited with code ${end.code}`
        : `${stopped[end.cause]} and exited with code ${end.code}`
    case "killed":
      return end.cause === "signal"
        ? `was killed by ${end.signal}`
        : `${stopped[end.cause]} with ${end.signal}`
    case "failed":
      return end.cause === "dependency"
        ? "could not start because of a job that it was to wait for"
        : `could not be started (${end.error})`
    case "lost":
      return "was lost, so that its result is not known"
  }
}

/** How a job ended whose record is gone, to follow "which". */
export const deleted = "was deleted, so that its result is not known"

/** Why a job can never start, in one sentence. `how` is how the job ended whose success it asks for. */
export const unmet = (job: JobId, how: string): string =>
  `It was to start after the success of job ${job}, which ${how}.`

/** That job has ended without the success that was asked for. */
const failed = (job: JobId, sentence: string): QueueReason => ({
  kind: "dependency",
  sentence,
  jobs: [job],
})

/** It was accepted to be started later, by hand. */
const created = (id: JobId): QueueReason => ({
  kind: "created",
  sentence: `It waits to be started: holdfast start ${id}`,
  jobs: [],
})

/** Up to the millisecond below one second, and up to the second above. */
const words = (millis: number): string =>
  Duration.format(Duration.millis(millis < 1_000 ? Math.ceil(millis) : Math.ceil(millis / 1_000) * 1_000))

/** Its time has not come. After an attempt that is the backoff. */
const notBefore = ({ attempts, hasDelay, notBefore }: Entry, now: number): QueueReason => {
  const when = `${new Date(notBefore).toISOString()}, in ${words(notBefore - now)}`
  const sentence =
    attempts > 0
      ? `It is tried again after a backoff: attempt ${attempts + 1} may start at ${when}.`
      : hasDelay
        ? `It waits for its delay, which ends at ${when}.`
        : `It waits for its start time, ${when}.`
  return { kind: "not-before", sentence, jobs: [] }
}

const doing = (job: JobId, place: Place | undefined): string => {
  if (place === undefined) return "being looked up"
  if (place === "created") return `not started yet: holdfast start ${job}`
  return place === "running" ? "running" : "queued"
}

/** It waits for those jobs, the first of which are named. */
const dependencies = (
  pending: ReadonlyMap<JobId, When>,
  placeOf: (job: JobId) => Place | undefined,
): QueueReason => {
  const first = [...pending].slice(0, mostNamed)
  const parts = first.map(([job, when]) => `the ${when} of job ${job} (${doing(job, placeOf(job))})`)
  if (pending.size > first.length) parts.push(`${pending.size - first.length} more`)
  const list = parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts[0]
  return { kind: "dependency", sentence: `It waits for ${list}.`, jobs: first.map(([job]) => job) }
}

/** Its group starts nothing for now. */
const paused = (group: string): QueueReason => ({
  kind: "group-paused",
  sentence: `Its group ${group} is paused: it can start once the group is resumed.`,
  jobs: [],
})

/** Its group has as many running jobs as it may, or more when that was lowered. */
const full = ({ limit, name, occupants }: Lane): QueueReason => ({
  kind: "group-full",
  sentence:
    limit === 0
      ? `The group ${name} may run no jobs: raise its parallelism.`
      : occupants.size > limit
        ? `${occupants.size} jobs of the group ${name} are running, where only ${limit} may.`
        : `${occupants.size} of ${limit} jobs of the group ${name} are running.`,
  jobs: [...occupants].slice(0, mostNamed).map(({ id }) => id),
})

/** Others of its group are first. */
const turn = (count: number, { ready }: Lane): QueueReason => ({
  kind: "turn",
  sentence:
    count === 1 ? "1 job of its group comes before it." : `${count} jobs of its group come before it.`,
  jobs: ready.take(Math.min(count, mostNamed)).map(({ id }) => id),
})

/** Nothing is in its way any more. */
const starting: QueueReason = { kind: "starting", sentence: "It is about to start.", jobs: [] }

/**
 * All that keeps a job from starting at `now` (milliseconds since the epoch); nothing for one that runs. `placeOf` tells
 * of the jobs that it waits for.
 */
export const reasons = (
  entry: Entry,
  now: number,
  placeOf: (job: JobId) => Place | undefined,
): ReadonlyArray<QueueReason> => {
  const { id, lane, pending, place, unmet } = entry
  if (place === "running") return []
  if (place === "taken") return [starting]
  const found: Array<QueueReason> = []
  if (place === "created") found.push(created(id))
  if (unmet !== undefined) found.push(failed(unmet.job, unmet.sentence))
  if (place === "refused") return found
  if (pending !== undefined) found.push(dependencies(pending, placeOf))
  // Once it was in line its time had come, also when the clock is set back.
  if (place !== "ready" && entry.notBefore > now) found.push(notBefore(entry, now))
  if (lane.paused) found.push(paused(lane.name))
  if (lane.occupants.size >= lane.limit) found.push(full(lane))
  if (place === "ready" && lane.limit < Infinity) {
    const ahead = lane.ready.countBefore(entry)
    if (ahead > 0 && ahead >= lane.limit - lane.occupants.size) found.push(turn(ahead, lane))
  }
  return found.length > 0 ? found : [starting]
}
