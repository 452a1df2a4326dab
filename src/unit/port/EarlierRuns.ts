/**
 * Which programs have kept units on a root. A record of an instance is written a moment after its spawn, and not at all
 * where the disk is full: what a program has left that was killed in that moment, together with its guardian, is found
 * by the owner id of its run, which is noted before it starts anything.
 */
import * as path from "node:path"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { systemReason } from "../../process/Diagnosis.js"
import * as Directory from "../../process/Directory.js"
import { isSame, ProcessIdentity } from "../../process/ProcessIdentity.js"
import type { Marked, ProcessTable, TableUnreadable } from "../../process/ProcessTable.js"
import * as RecordFile from "./RecordFile.js"

/** One run of a program on a root. */
export const Run = Schema.Struct({
  /** Its `HOLDFAST_OWNER`. */
  owner: Schema.String.pipe(Schema.pattern(/^[\w-]+$/)),
  program: ProcessIdentity,
})
export type Run = typeof Run.Type

/** What of a unit lives and carries the mark of an earlier run. */
export interface Leftover {
  readonly run: Run
  readonly unit: string
  readonly mark: string
  /** The leader of its group, if that lives; else the oldest of its processes. */
  readonly process: Marked
}

/** The runs on one root. Without a root there are none. */
export interface EarlierRuns {
  /** What earlier runs have left of units, each spawn once. One look at the table, if there were any. */
  readonly leftovers: Effect.Effect<ReadonlyArray<Leftover>, TableUnreadable>
  /**
   * Notes this run, before it starts anything, in the place of the earlier ones; those of `unfinished` owners, and those
   * whose programs live, stay.
   */
  readonly note: (unfinished: ReadonlySet<string>) => Effect.Effect<void, TableUnreadable>
}

/** How such a leftover is stopped: nobody has recorded how its unit was to be. */
export const stop = { signal: "SIGTERM", grace: Duration.seconds(10) } as const

const Text = Schema.parseJson(Schema.Struct({ runs: Schema.Array(Run) }))
const decode = Schema.decodeUnknownEither(Text)
const encode = Schema.encodeSync(Text)

/**
 * Of each spawn the oldest process, as nothing older than its leader is taken for its descendant. (On macOS, where times
 * are dates, the first one: there that rule is not made use of.)
 */
const oldest = (marked: ReadonlyArray<Marked>): ReadonlyArray<Marked> => {
  const found = new Map<string, Marked>()
  for (const one of marked) {
    const known = found.get(one.mark)
    const isFirst = known === undefined || Number(one.startTime) < Number(known.startTime)
    if (one.unit !== undefined && isFirst) found.set(one.mark, one)
  }
  return [...found.values()]
}

/** The runs on a root; `own` is this one. */
export const make = (
  root: string | undefined,
  own: Run,
  table: Context.Tag.Service<ProcessTable>,
): EarlierRuns => {
  if (root === undefined) return { leftovers: Effect.succeed([]), note: () => Effect.void }
  const file = path.join(root, "runs.json")

  /** What cannot be read says nothing: the records of instances are there all the same. */
  const earlier = (): ReadonlyArray<Run> => {
    let text: string
    try {
      text = RecordFile.read(file)
    } catch {
      return []
    }
    const { runs } = Either.getOrElse(decode(text), () => ({ runs: [] }))
    return runs.filter(({ owner, program }) => owner !== own.owner && program.bootId === own.program.bootId)
  }

  const isThere = ({ program }: Run) =>
    Effect.map(table.identify(program.pid), (found) => found !== undefined && isSame(found, program))

  const leftovers = Effect.suspend(() => {
    const runs = new Map(earlier().map((run) => [run.owner, run]))
    if (runs.size === 0) return Effect.succeed([])
    const pattern = new RegExp(`^(?:${[...runs.keys()].join("|")})\\.\\d+$`)
    return Effect.map(table.marked(pattern), (marked) =>
      oldest(marked).map((process): Leftover => {
        const { mark, unit } = process
        return { run: runs.get(mark.slice(0, mark.lastIndexOf(".")))!, unit: unit!, mark, process }
      }),
    )
  })

  const note = (unfinished: ReadonlySet<string>) =>
    Effect.gen(function* () {
      const kept = yield* Effect.filter(earlier(), (run) =>
        unfinished.has(run.owner) ? Effect.succeed(true) : isThere(run),
      )
      try {
        Directory.make(root, 0o700)
        RecordFile.replace(file, `${encode({ runs: [...kept, own] })}\n`)
      } catch (cause) {
        yield* Effect.logWarning(
          `This run could not be noted in ${file}: ${systemReason(cause)}. Should this program and its guardian both be killed, the next one finds those units only that are recorded.`,
        )
      }
    })

  return { leftovers, note }
}
