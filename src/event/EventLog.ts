/**
 * What happened, in order: an append-only log that is read from a cursor, and follows what comes.
 *
 * `layer` keeps it in files. An entry is visible as soon as it is written, which takes a turn of the event loop and no
 * wait for the disk: from then on it outlives the death of the program, KILL included. The entries of the last few
 * milliseconds before a KILL, and those of the last seconds before a loss of power, may be lost. The log tells what
 * happened; what is true of a job is in its store.
 */
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { codeOf, systemReason } from "../process/Diagnosis.js"
import * as Tracing from "../process/Tracing.js"
import { EventLogUnusable } from "./EventLogError.js"
import * as EventReader from "./EventReader.js"
import * as EventWriter from "./EventWriter.js"
import * as RecentEvents from "./RecentEvents.js"
import { SegmentReader } from "./SegmentReader.js"
import { SegmentWriter } from "./SegmentWriter.js"

export { EventEntry, type Filter } from "./EventEntry.js"
export { EventLogUnusable } from "./EventLogError.js"
export type { Followed, FollowOptions, Page, ReadError, ReadOptions } from "./EventReader.js"

/** A log of what happened. */
export interface Service {
  /**
   * Adds an entry and gives its `seq`. It never fails, and waits for nothing. What cannot be written as JSON, or is
   * longer than 64 KiB, is left out of `data`, and `data.leftOut` says why.
   *
   * While the disk takes nothing, up to 4 MiB of entries are kept in memory and written later; beyond that the oldest of
   * them are lost, and readers are told.
   */
  readonly append: (
    type: string,
    subject: string,
    data?: Readonly<Record<string, unknown>>,
  ) => Effect.Effect<number>
  /** Entries from a cursor on, among them all that were added before the call. */
  readonly read: (options?: EventReader.ReadOptions) => Effect.Effect<EventReader.Page, EventReader.ReadError>
  /**
   * Entries from a cursor on, as they come. A slow follower slows nobody down and costs no memory: it reads from the
   * files what it has not seen yet, and is told how many entries were dropped before it came to them. Ends with the log.
   */
  readonly follow: (
    options?: EventReader.FollowOptions,
  ) => Stream.Stream<EventReader.Followed, EventReader.ReadError>
  /**
   * Waits until everything added so far is written: then it outlives the program. False when it could not be written,
   * and is kept in memory. (Always true for a log in memory.)
   */
  readonly flush: Effect.Effect<boolean>
}

/** The log of what happened. */
export class EventLog extends Context.Tag("holdfast/event/EventLog")<EventLog, Service>() {}

/** How large a log in files may become. */
export interface Options {
  /** Its files are in the directory `events` under this one. One program at a time may use it: see `StoreLock`. */
  readonly root: string
  /** Of each file, in bytes. Default 4 MiB. */
  readonly maxBytes?: number | undefined
  /** How many files are kept, at least 2; the oldest one is dropped for a new one. Default 8. */
  readonly segments?: number | undefined
}

/** How much a log in memory keeps. */
export interface MemoryOptions {
  /** Beyond this number of entries the oldest one is dropped for a new one. Default 10,000. */
  readonly entries?: number | undefined
}

const mebibyte = 1_048_576

const service = (
  recent: RecentEvents.RecentEvents,
  reader: EventReader.EventReader,
  onAppend: () => void,
): Service => ({
  // No span: it is a part of other operations, each of which has its own, and costs less than one.
  append: (type, subject, data = {}) =>
    Effect.map(Clock.currentTimeMillis, (at) => {
      const seq = recent.add(at, type, subject, data)
      onAppend()
      return seq
    }),
  read: Tracing.fn("EventLog.read")(reader.read),
  follow: reader.follow,
  flush: Effect.suspend(() => {
    const { latest } = recent
    return Effect.map(reader.caughtUp, () => recent.written >= latest)
  }),
})

/** Opens the log of a root for the length of the scope. */
export const make = ({
  maxBytes = 4 * mebibyte,
  root,
  segments = 8,
}: Options): Effect.Effect<Service, EventLogUnusable, Scope.Scope> =>
  Effect.gen(function* () {
    const directory = path.join(path.resolve(root), "events")
    const { last, news, writer } = yield* Effect.try({
      try: () => SegmentWriter.open(directory, { maxBytes, segments: Math.max(2, segments) }),
      catch: (cause) =>
        new EventLogUnusable({ path: directory, code: codeOf(cause), reason: systemReason(cause) }),
    })
    for (const line of news) yield* Effect.logWarning(line)
    const recent = new RecentEvents.RecentEvents(last, {
      keptEntries: 1_024,
      // Less than what is in the files, so that they are where the log begins.
      keptBytes: Math.min(mebibyte, maxBytes / 2),
      heldBytes: 4 * mebibyte,
    })
    const onAppend = yield* EventWriter.make(recent, writer)
    const reader = new EventReader.EventReader(recent, {
      reader: new SegmentReader(writer),
      first: () => writer.segments[0]?.first,
    })
    return service(recent, reader, onAppend)
  }).pipe(Effect.uninterruptible)

/**
 * The log of a root, in files `events/000000000001.ndjson` of one entry a line, each named by its first entry and
 * readable by its owner only (mode 0600). Opening it looks at the last file only, however long the log is. Files that
 * cannot be read are set aside under another name, damaged lines skipped, both with a warning.
 */
export const layer = (options: Options): Layer.Layer<EventLog, EventLogUnusable> =>
  Layer.scoped(EventLog, make(options))

/** A log in memory, which ends with the program. */
export const layerMemory = ({ entries = 10_000 }: MemoryOptions = {}): Layer.Layer<EventLog> =>
  Layer.scoped(
    EventLog,
    Effect.acquireRelease(
      Effect.sync(
        () =>
          new RecentEvents.RecentEvents(0, {
            keptEntries: entries,
            keptBytes: Infinity,
            heldBytes: Infinity,
          }),
      ),
      (recent) =>
        Effect.sync(() => {
          recent.isClosed = true
          recent.publish()
        }),
    ).pipe(
      Effect.map((recent) =>
        service(recent, new EventReader.EventReader(recent, undefined), () => {
          recent.written = recent.settled = recent.attempted = recent.latest
          recent.publish()
        }),
      ),
    ),
  )
