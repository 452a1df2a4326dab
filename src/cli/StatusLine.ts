/** One line at the bottom of the terminal that says how far things are, and leaves no trace. */
import { fit } from "./Table.js"
import type { Sink } from "./World.js"

const erase = "\r\u001B[K"

/** A line that is rewritten in place. Where there is no terminal it shows nothing. */
export interface StatusLine {
  /** Shows a text, again and again as it changes with time, until told otherwise. */
  readonly show: (text: () => string) => void
  /** Takes the line away, for other output to be written; it comes back with the next tick. */
  readonly hide: () => void
  /** Takes the line away for good. */
  readonly end: () => void
}

/** Makes one on a sink. `millis` is the time from tick to tick. */
export const make = (sink: Sink, millis = 250): StatusLine => {
  if (!sink.isTerminal) return { show: () => {}, hide: () => {}, end: () => {} }
  let current: (() => string) | undefined
  let isShown = false
  const draw = () => {
    if (current === undefined) return
    isShown = true
    // The last column stays free: a cursor that wraps would leave a line behind.
    void sink.write(erase + fit(current(), sink.columns() - 1))
  }
  const hide = () => {
    if (isShown) void sink.write(erase)
    isShown = false
  }
  const timer = setInterval(draw, millis)
  timer.unref()
  return {
    show: (text) => {
      current = text
      draw()
    },
    hide,
    end: () => {
      clearInterval(timer)
      current = undefined
      hide()
    },
  }
}
