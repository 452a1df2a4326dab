/**
 * Brings the lines of a ring to the files of its log, as soon as it can, and waits for the disk beside the event loop.
 * Nothing runs, and no file is open, while there is nothing to write.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import type { LineRing, Run } from "./LineRing.js"
import type { Stretch } from "./LogLine.js"
import type { OutputBrake } from "./OutputBrake.js"
import type { RotatedWriter } from "./RotatedWriter.js"

/** How often writing is tried again where it fails. */
const retryAfter = Duration.seconds(1)

/** After so long without a line the files are closed, in milliseconds. */
const idleAfter = 2_000

/** A disk that does not answer must not keep the program from ending. */
const closeWithin = Duration.seconds(5)

/** About so much is written together, in bytes. */
const batchBytes = 2_097_152

/** What comes within so many milliseconds is written together, unless it is much, in bytes. */
const gatherFor = 4
const muchBytes = 1_048_576

/** The writing side of a log. */
export class RotatedDrain {
  /** What is being written. */
  private lines: Array<Stretch> = []
  private held: ReadonlyArray<Run> = []
  private isRunning = false
  private isClosing = false
  private isFailing = false
  /** There was a fault in this program: nothing is written any more. */
  private isBroken = false
  /** Of the lines lost when writing began to fail; undefined when all is well again. */
  private lostBefore: number | undefined
  /** Lets the loop look, when it waits. */
  private onNews: (() => void) | undefined
  /** Those who wait for the loop. */
  private waiting: Array<() => void> = []

  constructor(
    private readonly directory: string,
    private readonly ring: LineRing,
    private readonly writer: RotatedWriter,
    private readonly brake: OutputBrake,
    private readonly runtime: Runtime.Runtime<never>,
  ) {}

  /** The number of the last line that is written, or was lost. */
  get written(): number {
    return this.writer.written
  }

  /** There is something to write. */
  start(): void {
    if (!this.isFailing) this.brake.press(this.ring.pending)
    this.onNews?.()
    if (this.isRunning || this.isBroken) return
    this.isRunning = true
    // Not here and now, but after the listener of an output that this is called by. A log is made without interruption,
    // and its runtime remembers that.
    const loop = Effect.interruptible(Effect.zipRight(Effect.yieldNow(), this.loop()))
    Runtime.runFork(this.runtime)(loop)
  }

  /** Waits until the lines up to `seq` are written, or lost; false when the disk does not take them now. */
  settled(seq: number): Effect.Effect<boolean> {
    return Effect.async<boolean>((resume) => {
      const look = (): void => {
        if (this.writer.written >= seq) resume(Effect.succeed(true))
        else if (this.isFailing || !this.isRunning) resume(Effect.succeed(false))
        else this.waiting.push(look)
      }
      look()
      this.onNews?.()
      return Effect.sync(() => {
        this.waiting = this.waiting.filter((other) => other !== look)
      })
    })
  }

  /** Writes what there is, once more where that failed, and closes the files. */
  close(): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      this.isClosing = true
      this.onNews?.()
      const end = Effect.zipRight(
        this.stopped(),
        Effect.suspend(() => this.writer.end(this.ring.last)),
      )
      const fiber = yield* Effect.forkDaemon(end)
      yield* Effect.timeoutOption(Effect.interruptible(Fiber.join(fiber)), closeWithin)
      this.brake.release()
    })
  }

  private loop(): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      while (true) {
        while (this.lines.length > 0 || this.ring.pending > 0) {
          if (this.lines.length === 0) yield* this.wait(gatherFor, this.isEnough)
          const isWritten = yield* this.write()
          this.brake.ease(this.ring.pending, this.isFailing)
          this.tell()
          if (isWritten) continue
          if (this.isClosing) return this.stop()
          yield* Effect.raceFirst(
            Effect.sleep(retryAfter),
            this.wait(undefined, () => this.isClosing),
          )
        }
        yield* this.recovered()
        if (this.isClosing) return this.stop()
        yield* this.wait(idleAfter, () => this.isClosing || this.ring.pending > 0)
        if (this.isClosing || this.ring.pending > 0) continue
        yield* this.writer.close()
        if (this.ring.pending === 0) return this.stop()
      }
    }).pipe(
      Effect.catchAllCause((cause) => {
        this.isBroken = true
        this.stop()
        return Effect.logError(`Output is not written to ${this.directory} any more.`, cause)
      }),
    )
  }

  /** Nothing may come between the look that there is nothing to do and this. */
  private stop(): void {
    this.letGo()
    if (this.isClosing || this.isBroken) this.ring.giveUp()
    this.isRunning = false
    this.tell()
  }

  private letGo(): void {
    this.ring.release(this.held)
    this.held = []
    this.lines = []
  }

  private stopped(): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = (): void => {
        if (this.isRunning) this.waiting.push(look)
        else resume(Effect.void)
      }
      look()
    })
  }

  private write(): Effect.Effect<boolean> {
    return Effect.gen(this, function* () {
      if (this.lines.length === 0) {
        this.held = this.ring.take(batchBytes)
        this.lines = [...this.held]
        this.brake.ease(this.ring.pending, false)
      }
      yield* this.writer.write(this.lines, this.ring.last)
      if (this.lines.length === 0) this.letGo()
      this.isFailing = false
      return true
    }).pipe(
      Effect.catchTag("WriteFailed", ({ reason }) =>
        Effect.suspend(() => {
          this.isFailing = true
          if (this.lostBefore !== undefined) return Effect.succeed(false)
          this.lostBefore = this.writer.lost
          return Effect.as(
            Effect.logWarning(
              `Output cannot be written to ${this.directory}: ${reason}. It is kept in memory, as far as there is room for it, and written as soon as that is possible.`,
            ),
            false,
          )
        }),
      ),
    )
  }

  /** Tells, when all is written that could not be written before. */
  private recovered(): Effect.Effect<void> {
    const { lostBefore } = this
    if (lostBefore === undefined) return Effect.void
    this.lostBefore = undefined
    const lost = this.writer.lost - lostBefore
    return Effect.logInfo(
      `Output is written to ${this.directory} again${lost === 0 ? "." : `; ${lost} lines are missing there.`}`,
    )
  }

  /** Whether it is time to write: there is much, or somebody waits for it. */
  private readonly isEnough = (): boolean =>
    this.isClosing || this.waiting.length > 0 || this.ring.pending >= muchBytes

  /** Waits until a condition holds, no longer than so many milliseconds; it is looked at when something has come. */
  private wait(millis: number | undefined, condition: () => boolean): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const look = (): void => {
        if (condition()) done()
      }
      const end = (): void => {
        clearTimeout(timer)
        if (this.onNews === look) this.onNews = undefined
      }
      const done = (): void => {
        end()
        resume(Effect.void)
      }
      const timer = millis === undefined ? undefined : setTimeout(done, millis)
      // What is only to be closed must not keep the program from ending.
      if (millis === idleAfter) timer?.unref()
      this.onNews = look
      look()
      return Effect.sync(end)
    })
  }

  private tell(): void {
    const told = this.waiting
    this.waiting = []
    for (const look of told) look()
  }
}
