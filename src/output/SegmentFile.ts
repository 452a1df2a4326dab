/** A segment that is written to: its file and its sidecar, always to the same length. */
import * as fs from "node:fs"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { codeOf, systemReason } from "../process/Diagnosis.js"
import * as LineTimes from "./LineTimes.js"
import type { Segment } from "./RotatedFiles.js"

/** Nothing was written, and nothing was damaged. */
export class WriteFailed extends Data.TaggedError("WriteFailed")<{
  readonly code: string
  readonly reason: string
}> {}

/** What the system says, as a {@link WriteFailed}. */
export const failed = (cause: unknown): WriteFailed =>
  new WriteFailed({ code: codeOf(cause), reason: systemReason(cause) })

const diskFull = new WriteFailed({ code: "ENOSPC", reason: "the disk is full" })

type Done<A> = (cause: NodeJS.ErrnoException | null, value: A) => void

/**
 * Several calls of the system at once. It ends when all of them have, and fails if one of them did. Not interruptible:
 * memory and descriptors that they use must not become somebody else's meanwhile.
 */
const callAll = <A>(calls: ReadonlyArray<(done: Done<A>) => void>): Effect.Effect<Array<A>, WriteFailed> =>
  Effect.uninterruptible(
    Effect.async<Array<A>, WriteFailed>((resume) => {
      const values: Array<A> = []
      let failure: NodeJS.ErrnoException | undefined
      let left = calls.length
      calls.forEach((start, index) =>
        start((cause, value) => {
          values[index] = value
          failure ??= cause ?? undefined
          if (--left > 0) return
          resume(failure === undefined ? Effect.succeed(values) : Effect.fail(failed(failure)))
        }),
      )
    }),
  )

/** Closes descriptors, whatever the system says: what was written is with it. */
const closeAll = (descriptors: ReadonlyArray<number>): Promise<unknown> =>
  Promise.all(
    descriptors.map((descriptor) => new Promise<void>((resolve) => fs.close(descriptor, () => resolve()))),
  )

const asNew = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_TRUNC
const asItIs = fs.constants.O_RDWR | fs.constants.O_NOFOLLOW

/** How long a file is taken for what it was when it was last looked at, in milliseconds. */
const trustedFor = 200

/** What makes a file that was there before useless. */
const useless = new Set(["ENOENT", "ENOTDIR", "ELOOP", "EISDIR", "EACCES", "EPERM"])

/** The files of a segment, open only while there is something to write. */
export class SegmentFile {
  private log: number | undefined
  private times: number | undefined
  private trustedAt = -Infinity

  constructor(
    readonly segment: Segment,
    /** How long the file is, in bytes, without what was not written to its end. */
    public size: number,
    /** As `size`, of the sidecar; 0 before its header is written. */
    public timesSize: number,
    /** As it stands in the header. */
    public reserved: number,
  ) {}

  /** Opens the files. What stands there under their names is lost with `isNew`. */
  open(isNew: boolean): Effect.Effect<void, WriteFailed> {
    return Effect.suspend(() => {
      const { log, times } = this.segment
      const flags = isNew ? asNew : asItIs
      const opened: Array<number> = []
      const open =
        (file: string) =>
        (done: Done<number>): void =>
          fs.open(file, flags, 0o600, (cause, descriptor) => {
            if (cause === null) opened.push(descriptor)
            done(cause, descriptor)
          })
      return Effect.matchEffect(callAll([open(log), open(times)]), {
        onFailure: (failure) => {
          void closeAll(opened)
          return Effect.fail(failure)
        },
        onSuccess: ([log, times]) => {
          this.log = log
          this.times = times
          if (isNew) this.trustedAt = performance.now()
          return Effect.void
        },
      })
    })
  }

  /** Opens the files if they are not. False when they are not what they were: somebody has deleted or cut them. */
  isThere(): Effect.Effect<boolean, WriteFailed> {
    return Effect.gen(this, function* () {
      if (performance.now() - this.trustedAt < trustedFor) return true
      if (this.log === undefined) yield* this.open(false)
      const descriptors = [this.log!, this.times!]
      const [log, times] = yield* callAll<fs.Stats>(
        descriptors.map((descriptor) => (done) => fs.fstat(descriptor, done)),
      )
      const isThere =
        [log!, times!].every(({ nlink }) => nlink > 0) &&
        log!.size >= this.size &&
        times!.size >= this.timesSize
      if (isThere) this.trustedAt = performance.now()
      else void this.close()
      return isThere
    }).pipe(
      Effect.catchIf(
        ({ code }) => useless.has(code),
        () => Effect.succeed(false),
      ),
    )
  }

  /**
   * Adds lines, and their records: those that the disk took in whole, and gives how many. Lets no later life give a number up
   * to `reserve` again.
   */
  append(
    buffers: ReadonlyArray<Buffer>,
    records: ReadonlyArray<LineTimes.TimesRecord>,
    reserve: number,
  ): Effect.Effect<number, WriteFailed> {
    return Effect.gen(this, function* () {
      const { log, size, times, timesSize } = this
      const hasHeader = timesSize > 0
      const header = this.header(reserve)
      const blocks = LineTimes.encode(records)
      const added = hasHeader ? blocks : Buffer.concat([header, blocks])
      const calls: Array<(done: Done<number>) => void> = [
        (done) => fs.writev(log!, buffers, size, done),
        (done) => fs.write(times!, added, 0, added.length, timesSize, done),
      ]
      if (hasHeader && reserve !== this.reserved)
        calls.push((done) => fs.write(times!, header, 0, header.length, 0, done))
      const [count, timesCount, headerCount] = yield* callAll(calls)
      if (timesCount! < added.length || (headerCount ?? header.length) < header.length) return yield* diskFull
      this.reserved = reserve
      const end = size + count!
      const whole = records.findIndex(({ length, offset }) => offset + length > end)
      const taken = whole === -1 ? records.length : whole
      const last = records[taken - 1]
      if (last === undefined) return yield* diskFull
      this.size = last.offset + last.length
      this.timesSize = timesSize + added.length - (records.length - taken) * LineTimes.blockBytes
      return taken
    }).pipe(Effect.tapError(() => this.cut()))
  }

  /** Writes the header anew. Needs no room on the disk. */
  reserve(reserve: number): Effect.Effect<void, WriteFailed> {
    return Effect.suspend(() => {
      const header = this.header(reserve)
      const { times } = this
      return Effect.map(
        callAll<number>([(done) => fs.write(times!, header, 0, header.length, 0, done)]),
        () => {
          this.reserved = reserve
        },
      )
    })
  }

  /** Closes the files, at once for all that is done here; resolves when they are closed. */
  close(): Promise<unknown> {
    const descriptors = [this.log, this.times].filter((descriptor) => descriptor !== undefined)
    this.log = this.times = undefined
    this.trustedAt = -Infinity
    return closeAll(descriptors)
  }

  private header(reserved: number): Buffer {
    return LineTimes.encodeHeader({ first: this.segment.first, reserved })
  }

  /** What was written of what failed must not be there: it will be written again. */
  private cut(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { log, size, times, timesSize } = this
      if (log === undefined) return Effect.void
      return callAll<void>([
        (done) => fs.ftruncate(log, size, (cause) => done(cause)),
        (done) => fs.ftruncate(times!, timesSize, (cause) => done(cause)),
      ]).pipe(Effect.ignore, Effect.zipRight(Effect.promise(() => this.close())))
    })
  }
}
