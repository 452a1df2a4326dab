/**
 * Data on standard output, words on standard error, and on a terminal a line below both that says how far things are.
 * Nothing that happens to the two holds up anything but those who wait for their own text to be taken.
 */
import * as Format from "../Format.js"
import type { Painter } from "../Painter.js"
import { fit } from "../Table.js"
import type { Sink, World } from "../World.js"

/** Where text goes. */
export interface Screen {
  /** Writes data; resolves to whether it was taken, however long that takes. */
  readonly print: (text: string) => Promise<boolean>
  /** Writes words. When too many wait to be taken, some are left out, and their number is told. */
  readonly say: (text: string) => void
  /** Takes the line at the bottom away, and resolves when all is written; to false when that takes longer. */
  readonly end: (millis: number) => Promise<boolean>
}

interface Piece {
  readonly sink: Sink
  readonly text: string
  readonly done: (taken: boolean) => void
}

const erase = "\r\u001B[K"

/** How many words may wait. */
const mostWords = 1_000

/** From one look at the bottom line to the next, in milliseconds. */
const tick = 250

/** Pieces that are written one after the other. */
class Lane {
  private readonly queue: Array<Piece> = []
  private isBusy = false
  private idle: Array<() => void> = []
  private shown = ""

  /** `line`: what the line at the bottom says; undefined where there is none. */
  constructor(private line: (() => string) | undefined) {}

  add(sink: Sink, text: string): Promise<boolean> {
    return new Promise((done) => {
      this.queue.push({ sink, text, done })
      void this.pump()
    })
  }

  /** Brings the bottom line up to date, unless that has to wait. */
  refresh(sink: Sink): void {
    if (this.line !== undefined && !this.isBusy && this.line() !== this.shown) void this.add(sink, "")
  }

  endLine(): void {
    this.line = this.line === undefined ? undefined : () => ""
  }

  settled(millis: number): Promise<boolean> {
    return new Promise((resolve) => {
      if (!this.isBusy) return resolve(true)
      const timer = setTimeout(() => resolve(false), millis)
      this.idle.push(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  }

  private async pump(): Promise<void> {
    if (this.isBusy) return
    this.isBusy = true
    while (this.queue.length > 0) {
      const { sink } = this.queue[0]!
      const other = this.queue.findIndex((piece) => piece.sink !== sink)
      const pieces = this.queue.splice(0, other === -1 ? this.queue.length : other)
      const before = this.shown === "" ? "" : erase
      this.shown = this.line?.() ?? ""
      const taken = await sink.offer(before + pieces.map(({ text }) => text).join("") + this.shown)
      for (const { done } of pieces) done(taken)
    }
    this.isBusy = false
    for (const resolve of this.idle.splice(0)) resolve()
  }
}

/**
 * Makes one. From now on the two sinks end nothing and block nothing.
 *
 * @param line what the line at the bottom says now; empty for nothing
 */
export const make = (
  { env, err, out }: Pick<World, "env" | "err" | "out">,
  paint: Painter,
  line: () => string,
): Screen => {
  err.endure()
  out.endure()
  const bottom = () => {
    const text = line()
    // The last column stays free: a cursor that wraps would leave a line behind.
    return text === "" ? "" : paint("dim", fit(text, err.columns() - 1))
  }
  const words = new Lane(err.isTerminal && env["TERM"] !== "dumb" ? bottom : undefined)
  // Both go to the same terminal then, where one must not get into the other.
  const data = err.isTerminal && out.isTerminal ? words : new Lane(undefined)
  let pending = 0
  let leftOut = 0
  const timer = setInterval(() => words.refresh(err), tick)
  timer.unref()
  return {
    print: (text) => data.add(out, text),
    say: (text) => {
      if (pending >= mostWords) {
        leftOut += 1
        return
      }
      const note = leftOut === 0 ? "" : `${Format.counted(leftOut, "message")} could not be shown.\n`
      leftOut = 0
      pending += 1
      void (async () => {
        await words.add(err, note + text)
        pending -= 1
      })()
    },
    end: async (millis) => {
      clearInterval(timer)
      words.endLine()
      words.refresh(err)
      const settled = await Promise.all([words.settled(millis), data.settled(millis)])
      return !settled.includes(false)
    },
  }
}
