/**
 * The middle of a log that was dropped in place. The file keeps its size, and offsets stay what they were; where the
 * dropped bytes stood, it reads as zeros. A file beside the log, its *sidecar*, says which these are. It is written
 * before they go: who reads first and looks at the sidecar then never takes zeros for output.
 */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { fromSystem, type LogError, type LogMissing, LogUnreadable } from "./LogError.js"
import * as LogFile from "./LogFile.js"

/** What was dropped of a log. `to` may grow, nothing else changes. */
export const Gap = Schema.Struct({
  /** Of the first byte that was dropped. */
  from: Schema.NonNegativeInt,
  /** Of the first byte after them; never behind the end of the log. */
  to: Schema.NonNegativeInt,
}).pipe(Schema.filter(({ from, to }) => from < to))
export type Gap = typeof Gap.Type

/** The sidecar of a log: `stdout.gap` for `stdout.log`. */
export const sidecarOf = (log: string): string => `${log.replace(/\.log$/, "")}.gap`

/** Where the sidecar is put together before it takes its name. */
export const draftOf = (sidecar: string): string => `${sidecar}.new`

const decode = Schema.decodeUnknownEither(Schema.parseJson(Gap))

const parse = (sidecar: string, text: string): Effect.Effect<Gap, LogUnreadable> =>
  Either.match(decode(text), {
    onLeft: () =>
      Effect.fail(
        new LogUnreadable({
          path: sidecar,
          code: "EILSEQ",
          reason: "it does not say which part of the log was dropped, as a file of this name has to",
        }),
      ),
    onRight: Effect.succeed,
  })

/**
 * What was dropped of the log with that sidecar; undefined when nothing was, or `sidecar` is undefined.
 *
 * Fails with `LogUnreadable`, also for a sidecar that makes no sense, and `NoDescriptorLeft`.
 */
export const read = (
  sidecar: string | undefined,
): Effect.Effect<Gap | undefined, Exclude<LogError, LogMissing>> =>
  sidecar === undefined
    ? Effect.succeed(undefined)
    : Effect.async<string, LogError>((resume) =>
        fs.readFile(sidecar, "utf8", (cause, text) =>
          resume(cause === null ? Effect.succeed(text) : Effect.fail(fromSystem(sidecar, cause))),
        ),
      ).pipe(
        Effect.flatMap((text) => parse(sidecar, text)),
        LogFile.orMissing,
      )

/**
 * Writes the sidecar, as a whole or not at all, and onto the disk.
 *
 * @param check runs when there is a draft of the sidecar (see {@link draftOf}), and decides whether it is to count
 */
export const write = <E>(
  sidecar: string,
  gap: Gap,
  check: Effect.Effect<void, E> = Effect.void,
): Effect.Effect<void, LogError | E> => {
  const draft = draftOf(sidecar)
  const attempt = (run: () => Promise<void>): Effect.Effect<void, LogError> =>
    Effect.tryPromise({ try: run, catch: (cause) => fromSystem(sidecar, cause) })
  return attempt(() => fs.promises.writeFile(draft, JSON.stringify(gap), { mode: 0o600, flush: true })).pipe(
    Effect.zipRight(check),
    Effect.zipRight(attempt(() => fs.promises.rename(draft, sidecar))),
    Effect.tapErrorCause(() => Effect.ignore(attempt(() => fs.promises.rm(draft, { force: true })))),
    Effect.uninterruptible,
  )
}

/** Where a read that is to begin at `offset` begins. */
export const skip = (gap: Gap | undefined, offset: number): number =>
  gap !== undefined && offset >= gap.from && offset < gap.to ? gap.to : offset

/** Where a read that begins at `offset`, outside of the gap, has to end: at `end` or before the gap. */
export const limit = (gap: Gap | undefined, offset: number, end: number): number =>
  gap !== undefined && offset < gap.from ? Math.min(end, gap.from) : end

/**
 * Reads what is outside of the gap, once more when the gap has grown over it meanwhile.
 *
 * @param attempt a read that gives nothing of the gap that it is told, which is undefined when there is none
 */
export const around = <A, E, R>(
  sidecar: string | undefined,
  attempt: (gap: Gap | undefined) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | Exclude<LogError, LogMissing>, R> => {
  const again = (gap: Gap | undefined): Effect.Effect<A, E | Exclude<LogError, LogMissing>, R> =>
    Effect.flatMap(attempt(gap), (result) =>
      Effect.flatMap(read(sidecar), (now) => (now?.to === gap?.to ? Effect.succeed(result) : again(now))),
    )
  return sidecar === undefined ? attempt(undefined) : Effect.flatMap(read(sidecar), again)
}
