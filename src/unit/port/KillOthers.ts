/**
 * `killOthers: true`, which somebody has to ask for: kills whoever listens on a unit's ports, or has exactly a name
 * that is told. Never the first process of the system, this program, what it descends from, its guardian or what it
 * has started, a unit's process, or a keeper of jobs. Everything it does is logged as a warning.
 */
import type * as Context from "effect/Context"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type PortHolder, PortHolders } from "../../probe/PortHolder.js"
import { cut, kill } from "../../process/Kill.js"
import {
  type Marked,
  type Member,
  type Named,
  type ProcessInfo,
  ProcessTable,
  type TableUnreadable,
} from "../../process/ProcessTable.js"
import type { Signal } from "../../process/Signal.js"
import * as Stopping from "../../process/Stopping.js"

/** A live process of a unit. */
export interface UnitProcess extends Pick<ProcessInfo, "pid" | "startTime"> {
  readonly unit: string
}

/** What a unit asks for. */
export interface Request {
  readonly unit: string
  /** Whoever listens on one of these, at whatever address. */
  readonly ports: ReadonlyArray<number>
  /** Whoever has one of these names: the system's for it, or that of its first argument without a directory. */
  readonly processFilters: ReadonlyArray<string>
  /** From TERM to KILL. Default 10 s. */
  readonly grace?: Duration.Duration
}

/** Whom to spare. */
export interface Options {
  /** The `HOLDFAST_OWNER` of this program's run: what it has started carries it. */
  readonly owner: string
  /** Every live process of every unit. Asked after those to be killed have been found, so that none is missed. */
  readonly members: Effect.Effect<ReadonlyArray<UnitProcess>, TableUnreadable>
}

/** Kills for the units of one supervisor. */
export interface KillOthers {
  /**
   * Kills: TERM (and CONT), KILL after the grace, each only while it is still the process that was found. Done when all
   * are gone, or have survived KILL for 5 s. The descendants of those that are killed are not touched.
   */
  readonly run: (request: Request) => Effect.Effect<KillReport, TableUnreadable>
}

const victim = {
  pid: Schema.Int,
  /** At most 200 characters. */
  command: Schema.String,
  /** What it is to be killed for: `it listens on port 8080`. */
  because: Schema.String,
}

/** Somebody who was killed, or is still there after KILL. */
export class Victim extends Schema.Class<Victim>("Victim")(victim) {}

/** Somebody who was to be killed and is spared. */
export class Refusal extends Schema.Class<Refusal>("Refusal")({
  ...victim,
  /** Such as `it is this program`, `it belongs to unit web`. */
  why: Schema.String,
}) {}

/** What was done. */
export interface KillReport {
  readonly killed: ReadonlyArray<Victim>
  readonly refused: ReadonlyArray<Refusal>
  readonly survived: ReadonlyArray<Victim>
  /** Ports on which somebody listens whom the system does not name; most often another user's process. */
  readonly unnamed: ReadonlyArray<number>
}

/** Somebody that one look has found. */
interface Candidate extends Named {
  readonly because: string
}

interface Look {
  readonly all: ReadonlyArray<Named>
  readonly candidates: ReadonlyArray<Candidate>
  readonly unnamed: ReadonlyArray<number>
}

interface Services extends Options {
  readonly table: Context.Tag.Service<ProcessTable>
  readonly holders: Context.Tag.Service<PortHolders>
}

const keyOf = ({ pid, startTime }: Pick<ProcessInfo, "pid" | "startTime">): string => `${pid} ${startTime}`

/** Ports first: one whose port is taken over while this looks is not blamed, as the second look tells. */
const look = Effect.fnUntraced(function* ({ holders, table }: Services, { ports, processFilters }: Request) {
  const listeners = yield* Effect.forEach([...new Set(ports)], (port) =>
    Effect.map(holders.listeners(port), (found) => ({ ...found, port })),
  )
  const listens = (pid: number) =>
    listeners.flatMap(({ holders, port }) =>
      holders.some((holder: PortHolder) => holder.pid === pid) ? [`it listens on port ${port}`] : [],
    )
  const all = yield* table.list()
  const candidates = all.flatMap((process): ReadonlyArray<Candidate> => {
    const named = processFilters.filter((name) => process.names.includes(name))
    const because = [...listens(process.pid), ...named.map((name) => `its name is ${name}`)].join(", ")
    return because === "" ? [] : [{ ...process, because }]
  })
  const unnamed = listeners.flatMap(({ port, unnamed }) => (unnamed ? [port] : []))
  const found: Look = { all, candidates, unnamed }
  return found
})

/**
 * Those that two looks have found: whoever is about to become another program, has died between the answers of one
 * look, or has just given a port up, is in one of them only.
 */
const lookTwice = Effect.fnUntraced(function* (
  services: Services,
  request: Request,
  handled: ReadonlySet<string>,
) {
  const first = yield* look(services, request)
  if (first.candidates.every((one) => handled.has(keyOf(one)))) return { ...first, candidates: [] }
  const before = new Set(first.candidates.map(keyOf))
  const second = yield* look(services, request)
  const candidates = second.candidates.filter((one) => before.has(keyOf(one)) && !handled.has(keyOf(one)))
  return { ...second, candidates }
})

/** Those that this program descends from. */
const ancestorsIn = (all: ReadonlyArray<Named>): ReadonlySet<number> => {
  const parents = new Map(all.map(({ parentPid, pid }) => [pid, parentPid]))
  const ancestors = new Set<number>()
  for (let pid: number | undefined = process.ppid; pid !== undefined && pid > 0; pid = parents.get(pid)) {
    if (ancestors.has(pid)) break
    ancestors.add(pid)
  }
  return ancestors
}

/** See `Guardian`. */
const isGuardian = ({ command }: Named): boolean => command.endsWith(" holdfast-guardian")

/** The marks of jobs, of whatever root. */
const jobMark = /^[0-7][0-9A-HJKMNP-TV-Z]{25}\.\d+$/

/** Those that have started the process of a job: without them nobody would learn how it ends. */
const keepersIn = (marked: ReadonlyArray<Marked>): ReadonlySet<number> => {
  const marks = new Map(marked.map(({ mark, pid }) => [pid, mark]))
  return new Set(
    marked.flatMap(({ groupId, mark, parentPid, pid }) =>
      jobMark.test(mark) && pid === groupId && marks.get(parentPid) !== mark ? [parentPid] : [],
    ),
  )
}

/** A text that a regular expression takes as it stands. */
const literally = (text: string): string => text.replaceAll(/[^\w]/g, "\\$&")

/** Tells who must be spared, and why. Looks after the candidates were found: whoever is one was there then. */
const makeGuard = Effect.fnUntraced(function* (
  { members, owner, table }: Services,
  all: ReadonlyArray<Named>,
) {
  const units = new Map((yield* members).map((one) => [keyOf(one), one.unit]))
  const ours = yield* table.marked(new RegExp(`^${literally(owner)}\\.\\d+$`))
  const keepers = keepersIn(yield* table.marked(jobMark))
  const own = new Set(ours.map(keyOf))
  const ancestors = ancestorsIn(all)
  return (one: Candidate): string | undefined => {
    if (one.pid <= 1) return "it is the first process of the system"
    if (one.pid === process.pid) return "it is this program"
    if (one.groupId === table.ownGroup) return "it is in the process group of this program"
    if (ancestors.has(one.pid)) return "it is an ancestor of this program"
    if (isGuardian(one)) return "it guards a program of Holdfast"
    const unit = units.get(keyOf(one))
    if (unit !== undefined) return `it belongs to unit ${unit}`
    if (own.has(keyOf(one))) return "it was started by this program"
    return keepers.has(one.pid) ? "it keeps jobs" : undefined
  }
})

/** All that are to be killed, each known by pid and start time. */
class Victims implements Stopping.Target {
  /** Those that the system does not let us signal. */
  readonly forbidden = new Set<number>()
  readonly ended = Effect.void

  constructor(
    private readonly table: Context.Tag.Service<ProcessTable>,
    private readonly candidates: ReadonlyArray<Candidate>,
  ) {}

  hasEnded(): boolean {
    return true
  }

  get members(): Effect.Effect<ReadonlyArray<Member>, TableUnreadable> {
    return Effect.suspend(() =>
      Effect.filter(
        this.candidates.filter(({ pid }) => !this.forbidden.has(pid)),
        ({ pid, startTime }) =>
          Effect.map(this.table.identify(pid), (found) => found?.startTime === startTime),
      ),
    ).pipe(Effect.map((alive) => alive.map((one) => ({ ...one, inGroup: false, proven: true }))))
  }

  signalGroup(): boolean {
    return false
  }

  signalEscapees(signal: Signal, found: ReadonlyArray<Member>): ReadonlyArray<Member> {
    return found.filter((member) => {
      if (!this.table.isStill(member)) return false
      const sent = kill(member.pid, signal, this.table.ownGroup)
      if (sent === "refused") this.forbidden.add(member.pid)
      return sent === "sent"
    })
  }
}

const format = ({ because, command, pid }: Victim): string => `${pid} ${command} (${because})`

const victimOf = ({ because, command, pid }: Candidate): Victim =>
  new Victim({ pid, command: cut(command), because })

/** Who starts anew what was killed, or forks in time, gets so many rounds. */
const rounds = 3

const run = (services: Services, request: Request): Effect.Effect<KillReport, TableUnreadable> =>
  Effect.gen(function* () {
    const { grace = Duration.seconds(10), unit } = request
    const killed: Array<Victim> = []
    const refused: Array<Refusal> = []
    const survived: Array<Victim> = []
    const handled = new Set<string>()
    const refuse = (candidate: Candidate, why: string) => {
      refused.push(new Refusal({ ...victimOf(candidate), why }))
      return Effect.logWarning(
        `killOthers of unit ${unit} spares ${format(victimOf(candidate))}, because ${why}.`,
      )
    }
    let unnamed: ReadonlyArray<number> = []
    for (let round = 0; round < rounds; round++) {
      const seen = yield* lookTwice(services, request, handled)
      unnamed = seen.unnamed
      if (seen.candidates.length === 0) break
      const guard = yield* makeGuard(services, seen.all)
      const condemned: Array<Candidate> = []
      for (const candidate of seen.candidates) {
        handled.add(keyOf(candidate))
        const why = guard(candidate)
        if (why === undefined) condemned.push(candidate)
        else yield* refuse(candidate, why)
      }
      if (condemned.length === 0) continue
      for (const candidate of condemned) {
        yield* Effect.logWarning(`killOthers of unit ${unit} kills ${format(victimOf(candidate))}.`)
      }
      const victims = new Victims(services.table, condemned)
      const deadline = Stopping.after(yield* Clock.currentTimeNanos, grace)
      const stop = yield* Stopping.run(victims, new Stopping.Stopping("SIGTERM", deadline), condemned[0]!.pid)
      const survivors = new Set(stop.survivors.map(({ pid }) => pid))
      const reached = new Set(stop.escapees)
      for (const candidate of condemned) {
        if (victims.forbidden.has(candidate.pid)) yield* refuse(candidate, "it is another user's")
        else if (survivors.has(candidate.pid)) survived.push(victimOf(candidate))
        // Else it had ended by itself.
        else if (reached.has(candidate.pid)) killed.push(victimOf(candidate))
      }
    }
    for (const one of survived) {
      yield* Effect.logError(`killOthers of unit ${unit}: ${format(one)} has survived KILL.`)
    }
    if (unnamed.length > 0) {
      yield* Effect.logWarning(
        `killOthers of unit ${unit}: somebody whom the system does not name listens on port ${unnamed.join(", ")}. It may be another user's.`,
      )
    }
    return { killed, refused, survived, unnamed }
  })

/** For the units of one supervisor. */
export const make = (options: Options): Effect.Effect<KillOthers, never, PortHolders | ProcessTable> =>
  Effect.map(Effect.all([ProcessTable, PortHolders]), ([table, holders]) => ({
    run: Effect.fn("KillOthers.run")((request: Request) => run({ ...options, table, holders }, request)),
  }))
