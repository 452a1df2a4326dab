/**
 * The output of one unit, over all its lives: a ring of its last lines in memory, files that are rotated, and any number
 * of followers. Every line has a number, so that whoever misses some is told how many.
 *
 * Bytes are taken per chunk and cut into lines when somebody reads. While the disk takes nothing, up to 4 MiB of output wait
 * for it in memory (64 MiB in the whole program); beyond that the oldest of it is left out of the files, which then say how
 * many lines are missing. A follower costs nothing but its place; what it has not seen yet it reads from memory, or
 * else from the files.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { systemReason } from "../process/Diagnosis.js"
import type { ProcessOutput } from "../process/ProcessOutput.js"
import * as Tracing from "../process/Tracing.js"
import { LineRing } from "./LineRing.js"
import { type LogGap, type LogLine, type Stream as Source, streams } from "./LogLine.js"
import { OutputBrake } from "./OutputBrake.js"
import { RotatedDrain } from "./RotatedDrain.js"
import * as RotatedFiles from "./RotatedFiles.js"
import { RotatedReader } from "./RotatedReader.js"
import * as RotatedRepair from "./RotatedRepair.js"
import { RotatedWriter } from "./RotatedWriter.js"
import { RunCutter } from "./RunCutter.js"
import * as UnitLogReader from "./UnitLogReader.js"
import { UnusedNumbers } from "./UnusedNumbers.js"

export type { LogGap, LogLine, Stream } from "./LogLine.js"
export type { FollowOptions, Page, ReadError, ReadOptions, TailOptions } from "./UnitLogReader.js"

/** How much of the output is kept. */
export interface Options {
  /**
   * Where the files are: a directory that no other program writes to meanwhile; made (mode 0700) for the first line.
   * Default: none, so that the output is in memory only.
   */
  readonly directory?: string | undefined
  /** So many of the last lines are kept in memory; default 1000. */
  readonly lines?: number | undefined
  /**
   * Of each file, in bytes, its sidecar included; default 10 MB (10,000,000), at most 2 GiB. A file has at least one line,
   * however small this is.
   */
  readonly maxSize?: number | undefined
  /** So many files are kept, the oldest one is dropped for a new one; default 10, at least 1. */
  readonly maxFiles?: number | undefined
}

/** The log of one unit. */
export interface UnitLog {
  /**
   * Takes everything that a process writes from now on, as the output of a generation; to be called before the spawn.
   * What is returned ends that; so does the end of the output. A last line without an end then is a line.
   *
   * Where the hub was made with `whenFull: "block"`, a process that writes faster than the disk does waits for it, a
   * quarter of a second at a time at most, before anything is left out of the files. (Its `stream` must not be used by
   * anybody then who does not want to hold up the process.)
   */
  readonly attach: (output: ProcessOutput, generation: number) => () => void
  /** Adds what is no process's output: the lines of a text, whose last one needs no end. */
  readonly write: (stream: Source, text: string, generation: number) => void
  /** The last lines, the oldest first: from memory, and from the files when more are asked for. */
  readonly tail: (
    options?: UnitLogReader.TailOptions,
  ) => Effect.Effect<ReadonlyArray<LogLine>, UnitLogReader.ReadError>
  /** Lines from a cursor on. */
  readonly read: (
    options?: UnitLogReader.ReadOptions,
  ) => Effect.Effect<UnitLogReader.Page, UnitLogReader.ReadError>
  /**
   * Lines from a cursor on, and then as they come. A follower that falls behind goes on from the files; where these do not
   * have the lines any more, or there are none, it is told how many it missed. It slows nobody else. Ends with the log.
   */
  readonly follow: (
    options?: UnitLogReader.FollowOptions,
  ) => Stream.Stream<LogLine | LogGap, UnitLogReader.ReadError>
  /** The last lines that are in memory, at once: for the report of a failure. Of one generation, if it is given. */
  readonly last: (count: number, generation?: number) => ReadonlyArray<LogLine>
  /** The `seq` of the latest line; 0 before the first one. */
  readonly latest: () => number
  /**
   * Waits until everything so far is in the files, and outlives the program. False when it cannot be written now. Always
   * true for a log in memory.
   */
  readonly flush: Effect.Effect<boolean>
}

const defaultLines = 1_000
const defaultSize = 10_000_000
const defaultFiles = 10

/** While somebody follows, so much is kept in memory for it, in bytes. */
const followedBytes = 1_048_576

/** So much waits for the disk at most, in bytes. */
const pendingBytes = 4_194_304

/** A process waits from the first of these on, until the second one. */
const brakeLimits = { high: pendingBytes / 2, low: pendingBytes / 8 }

/** The generation of what belongs to none. */
const noGeneration = 0

/** What a directory has. */
interface Found {
  readonly segments: Array<RotatedFiles.Segment>
  /** Of the last segment; undefined when nothing can be added to it. */
  readonly end: RotatedFiles.End | undefined
  /** The number of the last line. */
  readonly last: number
  /** No line was ever given a higher one. */
  readonly reserved: number
}

/** More numbers than a file has. */
const unknownNumbers = 2 ** 32

/** Looks at the last file of a directory only. Undefined, with a warning, when the directory cannot be used. */
const find = (directory: string): Effect.Effect<Found | undefined> =>
  Effect.gen(function* () {
    const segments = yield* Effect.try({
      try: () => {
        const found = RotatedFiles.list(directory)
        RotatedFiles.dropEmpty(found)
        return found
      },
      catch: systemReason,
    })
    const newest = segments.at(-1)
    if (newest === undefined) return { segments, end: undefined, last: 0, reserved: 0 }
    const end = RotatedFiles.endOf(newest) ?? (yield* mend(newest))
    if (end !== undefined) return { segments, end, last: end.last, reserved: end.reserved }
    return { segments, end, last: newest.first - 1, reserved: newest.first + unknownNumbers }
  }).pipe(
    Effect.catchAll((reason) =>
      Effect.as(
        Effect.logWarning(
          `Output cannot be kept in ${directory}: ${reason}. It is kept in memory only, until this program starts again.`,
        ),
        undefined,
      ),
    ),
  )

const mend = (segment: RotatedFiles.Segment): Effect.Effect<RotatedFiles.End | undefined> =>
  RotatedRepair.mend(segment).pipe(
    Effect.tap(() =>
      Effect.logWarning(
        `The output in ${segment.log} was not written to its end. The times of its last lines are not exact.`,
      ),
    ),
    Effect.catchAll(({ message }) => Effect.as(Effect.logWarning(message), undefined)),
  )

/**
 * Opens the log of a unit for the length of the scope. It goes on where it ended when the program ran before. It never
 * fails: when the disk cannot be used it says so, once, in the program's own log.
 */
export const make = ({
  directory,
  lines = defaultLines,
  maxFiles = defaultFiles,
  maxSize = defaultSize,
}: Options = {}): Effect.Effect<UnitLog, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const now = (): number => clock.unsafeCurrentTimeMillis()
    const runtime = yield* Effect.runtime()
    const found = directory === undefined ? undefined : yield* find(directory)
    const unused = new UnusedNumbers()
    const brake = new OutputBrake(brakeLimits)
    const last = found === undefined ? 0 : Math.max(found.last, found.reserved)
    let drain: RotatedDrain | undefined
    let files: UnitLogReader.Files | undefined
    const ring = new LineRing(
      last,
      { lines: Math.max(1, lines), followedBytes, pendingBytes: found === undefined ? 0 : pendingBytes },
      () => drain?.start(),
    )
    if (directory !== undefined && found !== undefined) {
      const { end, segments } = found
      unused.add(last + 1, last - found.last)
      const limits = { maxSize, maxFiles: Math.max(1, maxFiles) }
      const writer = new RotatedWriter(directory, limits, segments, end, found.last, last - found.last)
      drain = new RotatedDrain(directory, ring, writer, brake, runtime)
      files = { reader: new RotatedReader(writer, unused), drain, first: () => segments[0]?.first }
    }
    const reader = new UnitLogReader.UnitLogReader(ring, files, unused)
    const attached = new Set<() => void>()

    const write = (stream: Source, text: string, generation: number): void => {
      if (ring.isClosed) return
      const cutter = new RunCutter(ring, streams.indexOf(stream), generation, now)
      cutter.push(Buffer.from(text.endsWith("\n") ? text : `${text}\n`))
    }

    const attach = (output: ProcessOutput, generation: number): (() => void) => {
      if (ring.isClosed) return () => {}
      const stdout = new RunCutter(ring, streams.indexOf("stdout"), generation, now)
      const stderr = new RunCutter(ring, streams.indexOf("stderr"), generation, now)
      let unsubscribe = (): void => {}
      const end = (): void => {
        if (!attached.delete(end)) return
        unsubscribe()
        brake.remove(output)
        stdout.flush()
        stderr.flush()
      }
      attached.add(end)
      brake.add(output)
      unsubscribe = output.subscribe(
        ({ bytes, source }) => (source === "stdout" ? stdout : stderr).push(bytes),
        end,
      )
      return end
    }

    if (last > (found?.last ?? last))
      write(
        "holdfast",
        "Holdfast ended suddenly. The last lines before this one may be missing.",
        noGeneration,
      )

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        for (const end of attached) end()
        ring.close()
        return drain?.close() ?? Effect.void
      }),
    )

    return {
      attach,
      write,
      tail: (options) => Tracing.withSpan(reader.tail(options), "UnitLog.tail", () => ({ directory })),
      read: (options) => Tracing.withSpan(reader.read(options), "UnitLog.read", () => ({ directory })),
      follow: (options) => reader.follow(options),
      last: (count, generation) => ring.latest(count, generation),
      latest: () => ring.last,
      flush: Effect.suspend(() => drain?.settled(ring.last) ?? Effect.succeed(true)),
    } satisfies UnitLog
  }).pipe(Effect.uninterruptible)
