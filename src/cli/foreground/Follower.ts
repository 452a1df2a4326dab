/** Shows the output of one unit as it comes. A screen that takes nothing holds up the showing, and nothing else. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { LogGap, LogLine, UnitLog } from "../../output/UnitLog.js"
import * as Format from "../Format.js"

/** How lines are shown. */
export interface View {
  /** Lines of a unit as data; empty for none. */
  readonly lines: (name: string, lines: ReadonlyArray<LogLine>) => string
  /** Resolves to whether the data was taken. */
  readonly print: (text: string) => Promise<boolean>
  /** Waits until it was shown that this generation of a unit has begun. */
  readonly begun: (name: string, generation: number) => Promise<void>
  /** Says that so many lines cannot be shown. */
  readonly missed: (name: string, count: number, sentence: string) => void
}

/** How long news of an end wait for the output before it, in milliseconds. */
const patience = 50

/** Until data is offered again that was not taken, in milliseconds: a reader that has left does not come back. */
const pause = 250

/** One unit's output on its way to the screen. */
export class Follower {
  /** The number of the last line that was shown, or given up. */
  private shown: number
  private lost = 0
  /** Lines that the screen took. */
  taken = 0
  private waiting: Array<() => void> = []

  constructor(
    readonly name: string,
    private readonly log: UnitLog,
    private readonly view: View,
  ) {
    this.shown = log.latest()
  }

  /** The lines that are there and have not been shown. */
  get behind(): number {
    return this.log.latest() - this.shown
  }

  /** Waits until all that is there was shown, or that takes too long. */
  async caughtUp(): Promise<void> {
    const end = performance.now() + patience
    for (let left = patience; this.behind > 0 && left > 0; left = end - performance.now()) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.waiting.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** Goes on until the log is closed and all of it was shown. */
  get run(): Effect.Effect<void> {
    return Stream.suspend(() => this.log.follow({ after: this.shown })).pipe(
      Stream.runForEachChunk((chunk) => Effect.promise(() => this.show([...chunk]))),
      Effect.catchAll((error) =>
        Effect.logWarning(`The output of ${this.name} cannot be shown. ${error.message}`),
      ),
    )
  }

  private async show(found: ReadonlyArray<LogLine | LogGap>): Promise<void> {
    for (const one of found) {
      if (one._tag === "Gap" && one.missedLines > 0)
        this.view.missed(
          this.name,
          one.missedLines,
          `${Format.counted(one.missedLines, "line")} came too fast to be kept and shown`,
        )
    }
    const lines = found.filter((one) => one._tag === "Line")
    const newest = lines.at(-1)
    if (newest !== undefined) await this.view.begun(this.name, newest.generation)
    const text = this.view.lines(this.name, lines)
    const isTaken = text === "" || (await this.view.print(text))
    if (!isTaken) {
      this.lost += lines.length
      await new Promise((resolve) => setTimeout(resolve, pause))
    } else {
      this.taken += lines.length
      if (this.lost > 0) {
        this.view.missed(this.name, this.lost, `${Format.counted(this.lost, "line")} could not be written`)
        this.lost = 0
      }
    }
    const last = found.at(-1)
    if (last !== undefined) this.shown = last._tag === "Line" ? last.seq : last.next
    for (const resolve of this.waiting.splice(0)) resolve()
  }
}
