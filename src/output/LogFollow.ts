/**
 * What a writer adds to a log file, as it comes. The file itself is the buffer: it is read as fast as the consumer
 * pulls, 64 KiB at a time, and nothing is lost to a slow one. The system's events say when to read on.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Changes from "./Changes.js"
import * as Limits from "./Limits.js"
import type { LogError, LogMissing } from "./LogError.js"
import * as LogFile from "./LogFile.js"
import * as LogGap from "./LogGap.js"
import * as Utf8 from "./Utf8.js"

/** What was added. */
export interface Data {
  readonly _tag: "Data"
  /** Of the first byte. What follows is at `offset + bytes.length`. */
  readonly offset: number
  readonly bytes: Uint8Array
}

/** What was added, as text without a character cut in two. */
export interface Text {
  readonly _tag: "Text"
  /** Of the first character, in bytes. */
  readonly offset: number
  /** Where to follow on, in bytes. */
  readonly nextOffset: number
  /** What is not UTF-8 is U+FFFD. */
  readonly text: string
}

/** The file starts anew: offsets begin at 0 again. */
export interface Restarted {
  readonly _tag: "Restarted"
  /**
   * `truncated`: it has become shorter than what was read of it, or than the offset to start from. `replaced`: another
   * file has its name; the old one was read to its end.
   */
  readonly reason: "truncated" | "replaced"
  /** How far the old contents were read, in bytes. */
  readonly offset: number
}

/** How to follow. */
export interface Options {
  /** Where to start, in bytes from the beginning of the file; default 0. `LogTail` tells it for "from the end on". */
  readonly offset?: number | undefined
  /**
   * Completes when the writer is done; default never. The stream then gives what there is up to the end that the file
   * has at that time, and ends, also when somebody else writes on.
   */
  readonly done?: Effect.Effect<unknown> | undefined
  /**
   * The sidecar of a log whose middle may be dropped (see `LogGap`); default: nothing is. What was dropped
   * is left out: the next `Data` has an offset behind it.
   */
  readonly gap?: string | undefined
}

/** Why following ends with a failure. A file that is missing is waited for. */
export type Failure = Exclude<LogError, LogMissing> | InvalidSpec.InvalidSpec

const decode = InvalidSpec.decoder(
  "log follow",
  Schema.Struct({ offset: Schema.optional(Limits.Offset), gap: Schema.optional(Schema.String) }),
)

type ReadError = Exclude<LogError, LogMissing>

/** One reader of one path, over all the files that have this name one after the other. */
class Follower {
  isDone = false
  private open: { readonly file: LogFile.LogFile; readonly close: () => void } | undefined
  private isSuperseded = false
  /** How far the open file reached when its writer was done. */
  private end: number | undefined

  constructor(
    private readonly path: string,
    private readonly changes: Changes.Changes,
    private offset: number,
    private readonly sidecar: string | undefined,
  ) {}

  readonly close = (): void => {
    this.open?.close()
    this.open = undefined
  }

  /** The next that there is, when there is; fails with `None` at the end. */
  readonly pull: Effect.Effect<Chunk.Chunk<Data | Restarted>, Option.Option<ReadError>> = Effect.suspend(
    () => {
      // Before the look: what is written before the writer is done is seen by a look that begins after it.
      const isLast = this.isDone
      return Effect.flatMap(Effect.mapError(this.look, Option.some), (item) => {
        if (item !== undefined) return Effect.succeed(Chunk.of(item))
        if (isLast) return Effect.fail(Option.none())
        return Effect.zipRight(
          Effect.flatMap(this.watch, (isNew) => (isNew ? Effect.void : this.changes.wait())),
          this.pull,
        )
      })
    },
  )

  private seen: Changes.Seen | undefined

  private readonly watch = Effect.suspend(() => this.changes.watch(this.seen))

  /** What is to be given out next; undefined when everything was. */
  private readonly look: Effect.Effect<Data | Restarted | undefined, ReadError> = Effect.gen(
    this,
    function* () {
      if (this.open === undefined) {
        this.open = yield* LogFile.orMissing(LogFile.openUnscoped(this.path))
        this.seen = undefined
        if (this.open === undefined) return undefined
      }
      const { file } = this.open
      if (this.isDone) this.end ??= yield* orFound(file.size)
      // A buffer for each look: a follower that waits, as most do, holds none.
      const room = Math.min(Limits.defaultBytes, (this.end ?? Infinity) - this.offset)
      const buffer = Buffer.allocUnsafeSlow(Math.max(0, room))
      const count = yield* orFound(file.read(buffer, this.offset))
      if (count > 0) return (yield* this.take(buffer, count)) ?? (yield* this.look)
      if ((yield* orFound(file.size)) < this.offset) return this.restart("truncated")
      if (this.isSuperseded) {
        this.close()
        return this.restart("replaced")
      }
      const named = yield* LogFile.orMissing(LogFile.facts(this.path))
      if (named !== undefined && named.id !== file.id) {
        // Once more to the end: its writer may have added to it before it gave the name to another.
        this.isSuperseded = true
        return yield* this.look
      }
      const { descriptor, id } = file
      this.seen = named === undefined ? { id, hasName: false, descriptor } : { id, hasName: true }
      return undefined
    },
  ).pipe(Effect.uninterruptible)

  /** What was read, without what was dropped; undefined when nothing of it is left, and there is more to read. */
  private take(buffer: Buffer, count: number): Effect.Effect<Data | undefined, ReadError> {
    return Effect.map(LogGap.read(this.sidecar), (gap) => {
      const { offset } = this
      const start = LogGap.skip(gap, offset)
      if (start > offset) {
        this.offset = start
        return undefined
      }
      const kept = LogGap.limit(gap, offset, offset + count) - offset
      this.offset += kept
      const bytes = buffer.subarray(0, kept)
      return { _tag: "Data", offset, bytes: kept * 2 > buffer.length ? bytes : Buffer.from(bytes) }
    })
  }

  private restart(reason: Restarted["reason"]): Restarted {
    const { offset } = this
    this.offset = 0
    this.end = undefined
    this.isSuperseded = false
    return { _tag: "Restarted", reason, offset }
  }
}

/** An open file is not missing, whatever the system says of it. */
const orFound = <A>(effect: Effect.Effect<A, LogError>): Effect.Effect<A, ReadError> =>
  Effect.catchTag(effect, "LogMissing", (error) => Effect.die(error))

const start = (
  path: string,
  { done, gap, offset }: Options,
): Effect.Effect<Follower, InvalidSpec.InvalidSpec, Scope.Scope> =>
  Effect.gen(function* () {
    const decoded = yield* decode({ offset, gap })
    const changes = yield* Changes.make(path)
    const follower = yield* Effect.acquireRelease(
      Effect.sync(() => new Follower(path, changes, decoded.offset ?? 0, gap)),
      (follower) => Effect.sync(follower.close),
    )
    if (done !== undefined) {
      yield* changes.onDone(done, () => {
        follower.isDone = true
      })
    }
    return follower
  })

/**
 * The bytes of the file at `path` from an offset on, those to come included.
 *
 * - A file that is not there yet, or its directory, is waited for.
 * - One that becomes shorter than what was read of it (or is shorter than `offset`) gives `Restarted` and is read from
 *   its beginning. One that is truncated and grows past that point between two looks is not told from one that only grew.
 * - One that is renamed or deleted is followed on until another has its name. Then the old one is read to its end, and
 *   after `Restarted` the new one from its beginning. What is written to the old one later is not given, nor are files
 *   that had the name only between two looks.
 * - Events that the system loses are made up for by a look every ten seconds, or every second where it has none to give
 *   (too many watches, a file system without events).
 *
 * A reader has one descriptor and one or two watches, until the stream ends, fails or is interrupted.
 * Fails with `InvalidSpec`, `LogUnreadable` and `NoDescriptorLeft`.
 */
export const follow = (path: string, options: Options = {}): Stream.Stream<Data | Restarted, Failure> =>
  Stream.unwrapScoped(Effect.map(start(path, options), ({ pull }) => Stream.repeatEffectChunkOption(pull)))

/** Keeps back the beginning of a character until the rest of it comes. */
class Decoder {
  private held = new Uint8Array(0)
  private offset = 0

  push({ bytes, offset }: Data): ReadonlyArray<Text> {
    // The rest of a character that was dropped will not come.
    if (offset !== this.offset + this.held.length) this.held = new Uint8Array(0)
    if (this.held.length === 0) this.offset = offset
    const all = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes])
    const end = Utf8.completeEnd(all)
    this.held = all.slice(end)
    return this.emit(all, end)
  }

  /** What is still held will never be whole. */
  flush(): ReadonlyArray<Text> {
    const { held } = this
    this.held = new Uint8Array(0)
    return this.emit(held, held.length)
  }

  private emit(bytes: Uint8Array, end: number): ReadonlyArray<Text> {
    if (end === 0) return []
    const { offset } = this
    this.offset += end
    return [{ _tag: "Text", offset, nextOffset: this.offset, text: Utf8.decode(bytes, 0, end) }]
  }
}

/**
 * As {@link follow}, in text: a character that is written in two pieces is given when it is whole, or as U+FFFD when
 * the file ends or starts anew before.
 */
export const followText = (path: string, options: Options = {}): Stream.Stream<Text | Restarted, Failure> =>
  Stream.suspend(() => {
    const decoder = new Decoder()
    return Stream.concat(
      Stream.mapConcat(follow(path, options), (item): ReadonlyArray<Text | Restarted> =>
        item._tag === "Data" ? decoder.push(item) : [...decoder.flush(), item],
      ),
      Stream.suspend(() => Stream.fromIterable(decoder.flush())),
    )
  })
