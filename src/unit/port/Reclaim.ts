/**
 * What an earlier program on the same root has left running when it crashed: found by its records, and stopped, so
 * that there are never two instances of a unit at once. Nothing else is ever touched.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { PortHolders } from "../../probe/PortHolder.js"
import { lineageVariable } from "../../process/Environment.js"
import { ForeignGroup } from "../../process/ForeignGroup.js"
import { cut } from "../../process/Kill.js"
import type { Redact } from "../../process/Mask.js"
import { StopReport } from "../../process/Process.js"
import { isSame, ProcessIdentity } from "../../process/ProcessIdentity.js"
import { type Member, ProcessTable, type TableUnreadable } from "../../process/ProcessTable.js"
import { isName } from "../UnitSpec.js"
import * as EarlierRuns from "./EarlierRuns.js"
import { InstanceRecord, type InstanceRecords } from "./InstanceRecords.js"
import * as RecordedCommand from "./RecordedCommand.js"

/** `recorded`: what this store recorded is stopped. `never`: nothing is. */
export type Policy = "recorded" | "never"

/** Something of this lives still, though the program that started it is gone. */
export interface Stray {
  readonly _tag: "Stray"
  readonly record: InstanceRecord
  /** Whether its leader lives; else those that descend from it do. */
  readonly isLed: boolean
  readonly processes: ReadonlyArray<Member>
  readonly group: ForeignGroup
}

/** Nothing of this lives, or can be shown to. */
export interface Gone {
  readonly _tag: "Gone"
  readonly record: InstanceRecord
}

/** Something lives that must be left alone, and why: a sentence's end, "it is ...". */
export interface Spared {
  readonly _tag: "Spared"
  readonly record: InstanceRecord
  readonly why: string
}

/** What has become of a recorded instance. */
export type Finding = Stray | Gone | Spared

const about = { unit: Schema.String, generation: Schema.Int, pid: Schema.Int, command: Schema.String }

/** A stray that was stopped; not all of it, if there are survivors. */
export class Reclaimed extends Schema.Class<Reclaimed>("Reclaimed")({ ...about, stop: StopReport }) {}

/** One that was left alone. */
export class LeftAlone extends Schema.Class<LeftAlone>("LeftAlone")({ ...about, why: Schema.String }) {}

/** What was found on a root, and done. */
export interface Report {
  readonly reclaimed: ReadonlyArray<Reclaimed>
  readonly leftAlone: ReadonlyArray<LeftAlone>
}

/** Finds and stops strays. */
export interface Reclaim {
  /**
   * What has become of recorded instances. One is a stray when its process lives (the same pid, start time and boot id,
   * and its mark or the recorded command), or when some other process carries its mark.
   */
  readonly find: (
    records: ReadonlyArray<InstanceRecord>,
  ) => Effect.Effect<ReadonlyArray<Finding>, TableUnreadable>
  /**
   * To be called before anything starts: stops every stray on the root, all at the same time, each in the way of its
   * unit (stop signal and CONT, KILL after the grace), and removes the records of what is proven gone. Each is logged.
   */
  readonly all: (policyOf: (unit: string) => Policy) => Effect.Effect<Report, TableUnreadable>
  /**
   * To be called when somebody listens on a port that a unit with the policy `recorded` is to have: stops those strays
   * that do. Whoever else it is stays: then the answer is empty, and the port in use.
   */
  readonly atPorts: (ports: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<Reclaimed>, TableUnreadable>
}

/** Where it looks, and how what it finds may be shown. */
export interface Options {
  readonly records: InstanceRecords
  /** Hides the secrets of a unit in the commands of its processes. */
  readonly redactOf?: (unit: string) => Redact
}

/** Before the start of any process, in the unit of `startTime` on every system: then only a mark is proof. */
const longAgo = "0"

/** Between two looks at a leader that is being stopped, in milliseconds: quick at first, as most end at once. */
const firstPause = 1
const longestPause = 50

const isMember = (pids: ReadonlySet<number>, { processes }: Stray): boolean =>
  processes.some(({ pid }) => pids.has(pid))

const plain: Redact = (text) => text

/** `node server.js (pid 4711), generation 3 of unit web`. */
const format = ({ command, generation, process, unit }: InstanceRecord): string =>
  `${cut(command)} (pid ${process.pid}), generation ${generation} of unit ${unit}`

/**
 * For one root, which one program has at a time. A stop that has begun goes on though its caller is interrupted, until
 * the scope closes.
 */
export const make = (
  options: Options,
): Effect.Effect<Reclaim, TableUnreadable, PortHolders | ProcessTable | Scope.Scope> =>
  Effect.gen(function* () {
    const { records, redactOf = () => plain } = options
    const table = yield* ProcessTable
    const holders = yield* PortHolders
    const scope = yield* Effect.scope
    const self = yield* table.identifyChild(process.pid)
    const lineage = new Set((process.env[lineageVariable] ?? "").split(" "))

    /** Made up for what has none: there is no file to remove, and the unit may have one of another instance. */
    const withoutFile = new WeakSet<InstanceRecord>()
    const forget = (record: InstanceRecord) =>
      withoutFile.has(record) ? Effect.void : records.remove(record)

    const isThere = (identity: ProcessIdentity): Effect.Effect<boolean, TableUnreadable> =>
      Effect.map(table.identify(identity.pid), (found) => found !== undefined && isSame(found, identity))

    const hasCommand = ({ command, process }: InstanceRecord): Effect.Effect<boolean, TableUnreadable> =>
      Effect.map(table.list([process.pid]), (found) =>
        found.some(
          (one) => one.startTime === process.startTime && RecordedCommand.isSame(command, one.command),
        ),
      )

    const look = (record: InstanceRecord): Effect.Effect<Finding, TableUnreadable> =>
      Effect.gen(function* () {
        const { mark, process: leader, program } = record
        const spared = (why: string): Finding => ({ _tag: "Spared", record, why })
        const gone: Finding = { _tag: "Gone", record }
        if (leader.bootId !== self.bootId) return gone
        if (record.owner === records.owner) return spared("it is this program's own")
        if (lineage.has(mark)) return spared("this program itself runs inside of it")
        if (!isSame(program, self) && (yield* isThere(program))) {
          return spared(`the program that started it (pid ${program.pid}) is still running`)
        }
        const members = yield* table.membersOf({
          leader,
          mark,
          leaderEndedAt: longAgo,
          ageMillis: Number.POSITIVE_INFINITY,
        })
        const marked = members.filter(({ pid, proven }) => proven && pid !== process.pid)
        const isAlive = yield* isThere(leader)
        const isLed = isAlive && (marked.some(({ pid }) => pid === leader.pid) || (yield* hasCommand(record)))
        if (!isLed && marked.length === 0) {
          return isAlive
            ? spared("that process runs another command now, and does not carry the unit's mark")
            : gone
        }
        const endedAt = isLed ? undefined : longAgo
        const group = new ForeignGroup(leader, mark, table, redactOf(record.unit), endedAt)
        const processes = yield* group.members
        return processes.length === 0 ? gone : { _tag: "Stray", record, isLed, processes, group }
      })

    const find = (
      found: ReadonlyArray<InstanceRecord>,
    ): Effect.Effect<ReadonlyArray<Finding>, TableUnreadable> =>
      // Together, so that one look at the table answers for all.
      Effect.forEach(found, look, { concurrency: "unbounded" })

    /** Nobody else tells the end of a process that is not our child. */
    const watch = ({ group, record }: Stray) =>
      Effect.gen(function* () {
        for (let millis = firstPause; ; millis = Math.min(millis * 2, longestPause)) {
          const isThereStill = yield* Effect.orElseSucceed(isThere(record.process), () => true)
          if (!isThereStill) break
          yield* Effect.sleep(millis)
        }
        group.leaderEnded(table.endOf(record.process, table.ageOf(record.process)))
      })

    const carryOut = (stray: Stray): Effect.Effect<Reclaimed> =>
      Effect.gen(function* () {
        const { group, isLed, record } = stray
        yield* Effect.logWarning(
          `${format(record)}, is left over from an earlier run and is stopped now: ${stray.processes.length} process(es).`,
        )
        const watcher = isLed ? yield* Effect.forkIn(watch(stray), scope) : undefined
        const stop = yield* group.stop(record.stop.signal, record.stop.grace, scope)
        if (watcher !== undefined) yield* Fiber.interrupt(watcher)
        if (stop.survivors.length === 0) yield* forget(record)
        else {
          const list = stop.survivors.map(({ command, pid }) => `${pid} ${command}`).join(", ")
          yield* Effect.logError(
            `${format(record)}, which was left over, was stopped, but processes of it survived: ${list}`,
          )
        }
        const { command, generation, process, unit } = record
        return new Reclaimed({ unit, generation, pid: process.pid, command, stop })
      })

    /** One stop of each, whoever asks for it: a second TERM makes many programs drop what they are about to save. */
    const stopping = new Map<string, Fiber.Fiber<Reclaimed>>()
    const stop = (stray: Stray): Effect.Effect<Reclaimed> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const key = `${stray.record.unit} ${stray.record.mark}`
          const known = stopping.get(key)
          if (known !== undefined) return restore(Fiber.join(known))
          return carryOut(stray).pipe(
            Effect.interruptible,
            Effect.ensuring(Effect.sync(() => stopping.delete(key))),
            Effect.forkIn(scope),
            Effect.tap((fiber) => Effect.sync(() => stopping.set(key, fiber))),
            Effect.flatMap((fiber) => restore(Fiber.join(fiber))),
          )
        }),
      )

    const leave = ({ record, why }: Spared): Effect.Effect<LeftAlone> => {
      const { command, generation, process, unit } = record
      return Effect.as(
        Effect.logWarning(
          `${format(record)}, may be left over from an earlier run and is left alone: ${why}.`,
        ),
        new LeftAlone({ unit, generation, pid: process.pid, command, why }),
      )
    }

    /** What runs without a record, as records: not those of files. */
    const unrecorded = (recorded: ReadonlyArray<InstanceRecord>) =>
      Effect.map(records.runs.leftovers, (found) => {
        const marks = new Set(recorded.map(({ mark }) => mark))
        return found.flatMap(({ mark, process, run, unit }) =>
          marks.has(mark) || !isName(unit)
            ? []
            : new InstanceRecord(
                {
                  unit,
                  generation: 0,
                  process: new ProcessIdentity({ ...process, bootId: self.bootId }),
                  program: run.program,
                  owner: run.owner,
                  mark,
                  command: RecordedCommand.make([redactOf(unit)(process.command)]),
                  ports: [],
                  stop: EarlierRuns.stop,
                  startedAt: 0,
                },
                true,
              ),
        )
      })

    const all = (policyOf: (unit: string) => Policy): Effect.Effect<Report, TableUnreadable> =>
      Effect.gen(function* () {
        const reclaimed: Array<Reclaimed> = []
        const leftAlone: Array<LeftAlone> = []
        const settle = (finding: Finding): Effect.Effect<void> =>
          Effect.gen(function* () {
            const { record } = finding
            if (finding._tag === "Gone") yield* forget(record)
            else if (finding._tag === "Spared") leftAlone.push(yield* leave(finding))
            else if (policyOf(record.unit) === "recorded") reclaimed.push(yield* stop(finding))
            else {
              const why = "its unit's policy is reclaim: never"
              leftAlone.push(yield* leave({ _tag: "Spared", record, why }))
            }
          })
        const recorded = yield* records.load
        const others = yield* unrecorded(recorded)
        for (const record of others) withoutFile.add(record)
        const findings = yield* find([...recorded, ...others])
        yield* Effect.forEach(findings, settle, { concurrency: "unbounded", discard: true })
        const left = new Set([
          ...leftAlone.map(({ pid }) => pid),
          ...reclaimed.filter(({ stop }) => stop.survivors.length > 0).map(({ pid }) => pid),
        ])
        yield* records.runs.note(
          new Set(others.filter(({ process }) => left.has(process.pid)).map(({ owner }) => owner)),
        )
        return { reclaimed, leftAlone }
      })

    const atPorts = (
      ports: ReadonlyArray<number>,
    ): Effect.Effect<ReadonlyArray<Reclaimed>, TableUnreadable> =>
      Effect.gen(function* () {
        const left = yield* records.load
        if (left.length === 0) return []
        const listeners = yield* Effect.forEach(ports, holders.listeners)
        const pids = new Set(listeners.flatMap((one) => one.holders.map(({ pid }) => pid)))
        if (pids.size === 0) return []
        const strays = (yield* find(left)).filter(
          (finding): finding is Stray => finding._tag === "Stray" && isMember(pids, finding),
        )
        return yield* Effect.forEach(strays, stop, { concurrency: "unbounded" })
      })

    return { find, all: Effect.fn("Reclaim.all")(all), atPorts: Effect.fn("Reclaim.atPorts")(atPorts) }
  })
