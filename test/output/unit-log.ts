/** What the tests of the logs of units share. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as LineTimes from "../../src/output/LineTimes.js"
import * as UnitLog from "../../src/output/UnitLog.js"
import { turn } from "./support.js"

/** A log that lives until it is closed, or the scope is. */
export const open = (options: UnitLog.Options) =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const log = yield* Scope.extend(UnitLog.make(options), scope)
    return Object.assign(log, { close: Scope.close(scope, Exit.void) })
  })

/** Uses a log, and closes it. */
export const using = <A, E>(
  options: UnitLog.Options,
  use: (log: UnitLog.UnitLog) => Effect.Effect<A, E>,
): Effect.Effect<A, E> => Effect.scoped(Effect.flatMap(UnitLog.make(options), use))

/** Writes the numbers from `from` to `to`, each in a line of its own. */
export const count = (log: UnitLog.UnitLog, from: number, to: number, padding = 0): void => {
  for (let i = from; i <= to; i++) log.write("stdout", `${i}${"x".repeat(padding)}`, 1)
}

/** The texts of lines. */
export const texts = (lines: ReadonlyArray<UnitLog.LogLine>): Array<string> => lines.map(({ text }) => text)

/** The numbers of lines. */
export const seqs = (lines: ReadonlyArray<UnitLog.LogLine>): Array<number> => lines.map(({ seq }) => seq)

/** From a number to another one. */
export const range = (from: number, to: number): Array<number> =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index)

/** All that is kept, page by page, and how many lines are missing in between. */
export const readPages = (log: UnitLog.UnitLog, limit = 1_000) =>
  Effect.gen(function* () {
    const lines: Array<UnitLog.LogLine> = []
    let missed = 0
    let page = yield* log.read({ limit })
    while (true) {
      lines.push(...page.lines)
      missed += page.gap?.missedLines ?? 0
      if (page.next >= page.latest) return { lines, missed }
      page = yield* log.read({ limit, after: page.next })
    }
  })

/** As {@link readPages}; dies where something is missing. */
export const readAll = (log: UnitLog.UnitLog, limit?: number) =>
  Effect.flatMap(readPages(log, limit), ({ lines, missed }) =>
    missed > 0 ? Effect.dieMessage(`${missed} lines are missing`) : Effect.succeed(lines),
  )

/** What a stream gives until its end, or until it has given so many lines and missed ones. */
export const collect = <E>(stream: Stream.Stream<UnitLog.LogLine | UnitLog.LogGap, E>, lines = Infinity) => {
  let seen = 0
  return stream.pipe(
    Stream.takeUntil((item) => {
      seen += item._tag === "Line" ? 1 : item.missedLines
      return seen >= lines
    }),
    Stream.runCollect,
    Effect.map(Chunk.toReadonlyArray),
  )
}

/** As short texts: the number of a line, or how many were missed. */
export const short = (items: ReadonlyArray<UnitLog.LogLine | UnitLog.LogGap>): Array<string> =>
  items.map((item) => (item._tag === "Line" ? String(item.seq) : `missed ${item.missedLines}`))

/** The files of a directory with that end of their names, the oldest first. */
export const files = (directory: string, end: ".log" | ".times" = ".log"): Array<string> =>
  fs
    .readdirSync(directory)
    .filter((name) => name.endsWith(end))
    .sort()
    .map((name) => path.join(directory, name))

/** What all the files of a directory have together, in bytes. */
export const sizeOf = (directory: string): number =>
  [...files(directory), ...files(directory, ".times")].reduce((sum, file) => sum + fs.statSync(file).size, 0)

/** The records of a sidecar. */
export const recordsOf = (times: string): Array<LineTimes.TimesRecord> => {
  const bytes = fs.readFileSync(times)
  const records: Array<LineTimes.TimesRecord> = []
  for (let at = LineTimes.blockBytes; at < bytes.length; at += LineTimes.blockBytes)
    records.push(LineTimes.decode(bytes, at)!)
  return records
}

/** A copy of the files as they are now: what a program finds that was killed at this moment. */
export const copyTo = (directory: string, name: string): string => {
  const copy = path.join(path.dirname(directory), name)
  fs.cpSync(directory, copy, { recursive: true, verbatimSymlinks: true })
  return copy
}

/** Waits until everything is written, however often it has to be tried again. */
export const flushed = (log: UnitLog.UnitLog): Effect.Effect<void> =>
  Effect.repeat(Effect.zipLeft(log.flush, turn), { until: (done) => done }).pipe(Effect.asVoid)

/** Collects what is logged. */
export const logging = () => {
  const lines: Array<string> = []
  const logger = Logger.make(
    ({ logLevel, message }) => void lines.push(`${logLevel.label} ${String(message)}`),
  )
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}
