/**
 * Slows processes down to the speed of the disk, where that is only a little too slow: what is lost from the files of a
 * log is lost for ever, and a process that writes to a pipe waits now and then anyhow. A disk that does not answer, or is
 * full, holds nothing up.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { ProcessOutput } from "../process/ProcessOutput.js"

/** When to slow down. */
export interface Limits {
  /** So many bytes wait for the disk: no more of them now. */
  readonly high: number
  /** So few are left: go on. */
  readonly low: number
}

/** No longer than this at a time, in milliseconds; then not again before the disk has caught up. */
const longest = 250

/** The brake of all outputs of one log. It only works for hubs made with `whenFull: "block"`. */
export class OutputBrake {
  private readonly outputs = new Set<ProcessOutput>()
  /** Its end lets all of them go on. */
  private hold: Scope.CloseableScope | undefined
  private timer: NodeJS.Timeout | undefined
  private isSpent = false

  constructor(private readonly limits: Limits) {}

  /** An output to slow down. */
  add(output: ProcessOutput): void {
    this.outputs.add(output)
  }

  /** An output that has ended. */
  remove(output: ProcessOutput): void {
    this.outputs.delete(output)
  }

  /** More bytes wait for the disk: so many now. May be called by a listener of an output. */
  press(pending: number): void {
    if (pending >= this.limits.high && this.hold === undefined && !this.isSpent) this.stop()
  }

  /**
   * Fewer bytes wait for the disk: so many now; or it takes nothing at all. Not to be called by a listener of an output:
   * the chunk that this one is told of would go to the reader that is taken away, and make it full for ever.
   */
  ease(pending: number, isFailing: boolean): void {
    if (pending <= this.limits.low) this.isSpent = false
    if (pending <= this.limits.low || isFailing) this.release()
  }

  /** Lets all outputs go on. */
  release(): void {
    clearTimeout(this.timer)
    if (this.hold === undefined) return
    const hold = this.hold
    this.hold = undefined
    Effect.runSync(Scope.close(hold, Exit.void))
  }

  private stop(): void {
    // A reader that takes nothing is full with the next chunk, and then the process waits.
    const readers = Effect.forEach(this.outputs, (output) => output.stream({ bufferBytes: 1 }))
    this.hold = Effect.runSync(Scope.make())
    Effect.runSync(Scope.extend(readers, this.hold))
    this.timer = setTimeout(() => {
      this.isSpent = true
      this.release()
    }, longest)
  }
}
