/**
 * The look after each operation: cheap, and tolerant where the contract is. What may be so for a moment is suspected
 * and looked at again after the next operation, until its time is over.
 */
import * as fs from "node:fs"
import type { Life } from "./daemon.js"
import type { Latencies } from "./latency.js"
import { narrowGroup } from "./jobs.js"
import { isOver } from "./model.js"
import { type Seen, isAlive } from "./processes.js"
import { type World, isSame } from "./world.js"

/** What is said of a unit, as far as it is looked at. */
export interface UnitInfo {
  readonly name: string
  readonly kind: string
  readonly state: string
  readonly desired: string
  readonly since: string
  readonly generation: number
  readonly pid?: number
  readonly reason?: string
  readonly failure?: { readonly kind: string; readonly message: string }
}

interface JobLine {
  readonly job_id: string
  readonly state: string
}

/** How long a state may last, in milliseconds; what is not here may last for ever. See the configuration in `units`. */
const stateLimits: Readonly<Record<string, number>> = {
  starting: 7_600,
  stopping: 300,
  backoff: 500,
  degraded: 2_600,
}

/** How long a job may wait or run in this run, in milliseconds: all of them are short. */
const jobLimit = 10_000

/** How long something of a unit may be there that nobody speaks of: it was told before, or is being killed. */
const ownerPatience = 1_000

/** Which instances of units are alive: by unit, by mark, the processes. */
export const instancesOf = (seen: ReadonlyArray<Seen>): Map<string, Map<string, Array<Seen>>> => {
  const units = new Map<string, Map<string, Array<Seen>>>()
  for (const one of seen) {
    if (one.role._tag !== "Unit") continue
    const marks = units.get(one.role.name) ?? new Map<string, Array<Seen>>()
    units.set(one.role.name, marks)
    marks.set(one.role.mark, [...(marks.get(one.role.mark) ?? []), one])
  }
  return units
}

/** The look is no instant: only what is alive together, before and after another look, is two. */
const twoAtATime = (marks: ReadonlyMap<string, ReadonlyArray<Seen>>): ReadonlyArray<Seen> => {
  const alive = [...marks.values()].flatMap((processes) => processes.filter(isAlive).slice(0, 1))
  return alive.length > 1 && alive.every(isAlive) ? alive : []
}

const named = (processes: Iterable<Seen>): string =>
  [...processes].map(({ command, pid, state }) => `${pid} (${state}, ${command})`).join(", ")

/** Looks after operations. */
export class Checks {
  private unitLedgerSize = 0

  constructor(
    private readonly world: World,
    private readonly latencies: Latencies,
  ) {}

  /** Looks at everything once. */
  async look(): Promise<void> {
    const { daemon, verdicts } = this.world
    const { life } = daemon
    const units = await this.askUnits(life)
    const jobs = await this.askJobs(life)
    const seen = this.world.watch.look()
    this.instances(seen)
    this.limit(seen)
    // Between two daemons nobody can say what belongs to whom; what is left then is looked at by itself.
    if (isSame(this.world, life)) {
      if (units !== undefined) {
        this.unitOwners(seen, units)
        this.unitStates(units)
      }
      if (jobs !== undefined) this.jobOwners(seen, jobs)
      verdicts.endRound()
    } else {
      verdicts.forgive()
    }
  }

  private async askUnits(life: Life | undefined): Promise<ReadonlyArray<UnitInfo> | undefined> {
    const answer = await this.latencies.ask("GET /units")
    const job = this.world.model.at(0.95)
    if (job?.id !== undefined) await this.latencies.ask("GET /status/ID", job.id)
    await this.latencies.ask("GET /health")
    return answer?.status === 200 && isSame(this.world, life) ? answer.body.units : undefined
  }

  private async askJobs(life: Life | undefined): Promise<ReadonlyArray<JobLine> | undefined> {
    const { daemon } = this.world
    const answer = await daemon.ask("GET", "/jobs?state=created,queued,running&limit=1000")
    return answer.status === 200 && isSame(this.world, life) ? answer.body.jobs : undefined
  }

  /** Never two, whatever else is going on. */
  instances(seen: ReadonlyArray<Seen>): void {
    const { place, verdicts } = this.world
    verdicts.check("instances")
    for (const [name, marks] of instancesOf(seen)) {
      const two = marks.size > 1 ? twoAtATime(marks) : []
      if (two.length > 0) verdicts.broken("instances", `unit ${name} has ${named(two)} at the same time`)
    }
    // What the units themselves have seen when they began.
    const { size } = fs.statSync(place.unitLedger)
    if (size === this.unitLedgerSize) return
    const lines = fs.readFileSync(place.unitLedger, "latin1").slice(this.unitLedgerSize)
    this.unitLedgerSize = size
    for (const line of lines.trim().split("\n"))
      verdicts.broken("instances", `an instance saw another: ${line}`)
  }

  /** No more than two of the group. */
  private limit(seen: ReadonlyArray<Seen>): void {
    const { model, verdicts } = this.world
    const roots = seen.filter(
      (one) => one.role._tag === "Job" && one.isLeader && model.byId(one.role.id)?.kind === "narrow",
    )
    verdicts.check("limit")
    if (roots.length <= 2) return
    const alive = roots.filter(isAlive)
    if (alive.length > 2 && alive.every(isAlive))
      verdicts.broken("limit", `${alive.length} of the group ${narrowGroup} run: ${named(alive)}`)
  }

  private unitOwners(seen: ReadonlyArray<Seen>, units: ReadonlyArray<UnitInfo>): void {
    const { slack, verdicts } = this.world
    const infos = new Map(units.map((one) => [one.name, one]))
    const instances = instancesOf(seen)
    verdicts.check("owners")
    verdicts.check("truth", units.length)
    for (const [name, marks] of instances) {
      const info = infos.get(name)
      for (const [mark, processes] of marks) {
        if (info !== undefined && ["starting", "ready", "degraded", "stopping"].includes(info.state)) continue
        verdicts.suspect(
          "owners",
          `owner ${mark}`,
          ownerPatience + slack,
          `unit ${name} is ${info?.state ?? "not known"}, and has ${named(processes)}`,
        )
      }
    }
    for (const { name, pid, state } of units) {
      if (pid === undefined || (state !== "ready" && state !== "degraded")) continue
      const marks = instances.get(name)
      const isThere = [...(marks?.values() ?? [])].some((processes) =>
        processes.some((one) => one.pid === pid),
      )
      if (isThere) continue
      verdicts.suspect(
        "truth",
        `truth ${name} ${pid}`,
        ownerPatience + slack,
        `unit ${name} is ${state} with pid ${pid}, which is not there`,
      )
    }
  }

  private unitStates(units: ReadonlyArray<UnitInfo>): void {
    const { shortages, slack, verdicts } = this.world
    verdicts.check("states", units.length)
    for (const { failure, generation, kind, name, reason, since, state } of units) {
      const key = `state ${name} ${state} ${generation} ${since}`
      const limit = stateLimits[state]
      // A oneshot runs as long as it likes; and what cannot be looked at, or started, takes as long as that is so.
      if (limit === undefined || (kind === "oneshot" && state === "starting") || shortages.isShort(limit))
        continue
      verdicts.suspect(
        "states",
        key,
        limit + slack,
        `unit ${name} is ${state} still: ${reason ?? failure?.message ?? "no reason is given"}`,
      )
    }
  }

  private jobOwners(seen: ReadonlyArray<Seen>, jobs: ReadonlyArray<JobLine>): void {
    const { keeperKilledAt, model, shortages, slack, verdicts } = this.world
    const states = new Map(jobs.map(({ job_id, state }) => [job_id, state]))
    const stopped = new Set<string>()
    for (const one of seen) {
      if (one.role._tag === "Other" && one.pid !== this.world.daemon.life?.pid)
        verdicts.suspect(
          "owners",
          `other ${one.pid} ${one.start}`,
          5_000 + slack,
          `nobody knows ${named([one])}`,
        )
      if (one.role._tag !== "Job") continue
      if (one.state === "T") stopped.add(one.role.id)
      const job = model.byId(one.role.id)
      const state = states.get(one.role.id)
      if (state === "running") continue
      // A signal from outside, or one that was asked for, ends what it hits: the rest of the job is a stray then.
      if (
        job === undefined ||
        job.touches.has("struck") ||
        job.touches.has("signalled") ||
        job.touches.has("keeper")
      )
        continue
      verdicts.suspect(
        "owners",
        `job ${one.role.mark} ${one.pid}`,
        ownerPatience + slack,
        `job ${one.role.id} (${job.kind}) is ${state ?? "over"}, and has ${named([one])}`,
      )
    }
    verdicts.check("states", jobs.length)
    for (const { job_id: id, state } of jobs) {
      // The launcher rests for up to half a minute after it was refused.
      if (state === "created" || isOver(state) || stopped.has(id) || shortages.isShort(35_000)) continue
      if (performance.now() - keeperKilledAt < 35_000) continue
      verdicts.suspect(
        "states",
        `state ${id} ${state}`,
        jobLimit + slack,
        `job ${id} (${model.byId(id)?.kind ?? "unknown"}) is ${state} still`,
      )
    }
  }
}
