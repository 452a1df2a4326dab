/**
 * What a supervisor has running, on disk: one small file a unit, written right after the spawn and removed when the
 * group is proven empty. The next program on the same root finds by it what a crash has left.
 */
import * as fs from "node:fs"
import { dirname, join } from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { systemReason } from "../../process/Diagnosis.js"
import * as Directory from "../../process/Directory.js"
import type { Process } from "../../process/Process.js"
import { ProcessIdentity } from "../../process/ProcessIdentity.js"
import { StopPolicy } from "../../process/ProcessSpec.js"
import { ProcessTable, type TableUnreadable } from "../../process/ProcessTable.js"
import { isName, UnitName } from "../UnitSpec.js"
import * as EarlierRuns from "./EarlierRuns.js"
import * as RecordFile from "./RecordFile.js"
import * as RecordedCommand from "./RecordedCommand.js"

const Leader = ProcessIdentity.pipe(Schema.filter(({ pid }) => pid > 1))

/** One life of a unit, as it is on disk. */
export class InstanceRecord extends Schema.Class<InstanceRecord>("InstanceRecord")({
  unit: UnitName,
  generation: Schema.Int,
  /** The leader of its group. */
  process: Leader,
  /** The program that started it. */
  program: Leader,
  /** The `HOLDFAST_OWNER` of that program's run. */
  owner: Schema.NonEmptyString,
  /** What its descendants carry in `HOLDFAST_LINEAGE`. */
  mark: Schema.String.pipe(Schema.pattern(/^[\w-]+\.\d+$/)),
  /** See `RecordedCommand.make`. */
  command: Schema.String,
  ports: Schema.Array(Schema.Int),
  /** How its unit is stopped. */
  stop: StopPolicy,
  /** By the wall clock, in milliseconds since the epoch. */
  startedAt: Schema.Int,
}) {}

/** An instance that has just come to life. */
export interface Instance {
  readonly unit: string
  readonly generation: number
  readonly process: Pick<Process, "identity" | "mark" | "spec">
  /** Those that its unit declares or has on lease. */
  readonly ports: ReadonlyArray<number>
}

/**
 * The records under one root. Nothing here fails, as a unit runs as well without a record; what goes wrong is logged.
 */
export interface InstanceRecords {
  /** The `HOLDFAST_OWNER` of this program's run. */
  readonly owner: string
  /**
   * Writes the record of an instance, in the place of the one that its unit had. It is not synchronized to the disk:
   * after a loss of power nothing runs. A disk that is full, or cannot be written to for another reason, is warned of
   * once until it can be.
   */
  readonly write: (instance: Instance) => Effect.Effect<InstanceRecord>
  /** Removes a record; not the one that its unit may have instead by now. */
  readonly remove: (record: InstanceRecord) => Effect.Effect<void>
  /** The runs on this root: what has no record is found by them. */
  readonly runs: EarlierRuns.EarlierRuns
  /** What earlier programs have left. A damaged record is skipped, with a warning. */
  readonly load: Effect.Effect<ReadonlyArray<InstanceRecord>>
}

const Text = Schema.parseJson(InstanceRecord)
const encode = Schema.encodeSync(Text)
const decode = Schema.decodeUnknownEither(Text)

/** Why a text is no record, in one line. */
const faultOf = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error)
    .slice(0, 1)
    .map(({ message, path }) => [...path.map(String), message].join(": ").replaceAll(/\s+/g, " "))
    .join("")

/**
 * The records under a root, for the program run with that owner id. Without a root nothing is recorded, and nothing
 * found.
 */
export const make = (options: {
  readonly root: string | undefined
  readonly owner: string
}): Effect.Effect<InstanceRecords, TableUnreadable, ProcessTable> =>
  Effect.gen(function* () {
    const { owner, root } = options
    const table = yield* ProcessTable
    const program = yield* table.identifyChild(process.pid)
    const recordOf = ({ generation, ports, process, unit }: Instance, startedAt: number): InstanceRecord => {
      const { identity, mark, spec } = process
      const about = { unit, generation, process: identity, program, owner, mark }
      const how = { command: RecordedCommand.make(spec.command), ports, stop: spec.stop, startedAt }
      // Every spawn waits for this; it is checked when it is encoded.
      return new InstanceRecord({ ...about, ...how }, true)
    }
    const files = root === undefined ? undefined : new Files(join(root, "units"), owner)
    return {
      owner,
      runs: EarlierRuns.make(root, { owner, program }, table),
      write: (instance) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const record = recordOf(instance, now)
          return Effect.as(files?.write(record) ?? Effect.void, record)
        }),
      remove: (record) => files?.remove(record) ?? Effect.void,
      load: files?.load ?? Effect.succeed([]),
    }
  })

/** The files of one root. Each call does its work in one turn, so that nothing comes between. */
class Files {
  /** The mark of the instance that each unit's file is about, as far as this program has written it. */
  private readonly written = new Map<string, string>()
  private readonly made = new Set<string>()
  private hasWarned = false

  constructor(
    private readonly directory: string,
    private readonly owner: string,
  ) {}

  write(record: InstanceRecord): Effect.Effect<void> {
    return Effect.suspend(() => {
      try {
        this.put(record)
      } catch (cause) {
        return this.warnOnce(record.unit, systemReason(cause))
      }
      this.written.set(record.unit, record.mark)
      this.hasWarned = false
      return Effect.void
    })
  }

  remove({ mark, owner, unit }: InstanceRecord): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.written.get(unit) !== (owner === this.owner ? mark : undefined)) return Effect.void
      const path = this.pathOf(unit)
      try {
        fs.renameSync(path, RecordFile.spareOf(path))
      } catch (cause) {
        if (!RecordFile.isMissing(cause)) {
          return Effect.logWarning(`The record ${path} could not be removed: ${systemReason(cause)}.`)
        }
      }
      this.written.delete(unit)
      return Effect.void
    })
  }

  get load(): Effect.Effect<ReadonlyArray<InstanceRecord>> {
    return Effect.suspend(() => {
      let units: ReadonlyArray<string>
      try {
        units = fs.readdirSync(this.directory)
      } catch (cause) {
        if (RecordFile.isMissing(cause)) return Effect.succeed([])
        const reason = systemReason(cause)
        return Effect.as(
          Effect.logWarning(`What earlier runs recorded in ${this.directory} cannot be read: ${reason}.`),
          [],
        )
      }
      const others = units.filter((unit) => isName(unit) && !this.written.has(unit))
      return Effect.map(
        Effect.forEach(others, (unit) => this.read(unit)),
        (found) => found.flat(),
      )
    })
  }

  private pathOf(unit: string): string {
    return join(this.directory, unit, "instance.json")
  }

  private put(record: InstanceRecord): void {
    const text = `${encode(record)}\n`
    const path = this.pathOf(record.unit)
    const directory = dirname(path)
    if (!this.made.has(directory)) Directory.make(directory, 0o700)
    this.made.add(directory)
    try {
      RecordFile.replace(path, text)
    } catch (cause) {
      if (!RecordFile.isMissing(cause)) throw cause
      // Somebody has removed the directory.
      Directory.make(directory, 0o700)
      RecordFile.replace(path, text)
    }
  }

  private read(unit: string): Effect.Effect<ReadonlyArray<InstanceRecord>> {
    const path = this.pathOf(unit)
    const damaged = (reason: string) =>
      Effect.as(
        Effect.logWarning(
          `The record ${path} cannot be used: ${reason}. What an earlier run may have left of unit ${unit} is not looked for. The unit's next start replaces the record; delete it if there is no such unit any more.`,
        ),
        [],
      )
    let text: string
    try {
      text = RecordFile.read(path)
    } catch (cause) {
      return RecordFile.isMissing(cause) ? Effect.succeed([]) : damaged(systemReason(cause))
    }
    return Either.match(decode(text), {
      onLeft: (error) => damaged(faultOf(error)),
      onRight: (record) =>
        record.unit === unit ? Effect.succeed([record]) : damaged(`it is about unit ${record.unit}`),
    })
  }

  private warnOnce(unit: string, reason: string): Effect.Effect<void> {
    if (this.hasWarned) return Effect.void
    this.hasWarned = true
    return Effect.logWarning(
      `What runs of unit ${unit} could not be recorded in ${this.pathOf(unit)}: ${reason}. The unit runs all the same; but should both this program and its guardian be killed, the next program would not find the unit's processes. There is no further warning until a record can be written.`,
    )
  }
}
