/** Standard output and standard error as they are. */
import type { Sink } from "./World.js"

/**
 * A stream of the program as a sink. `process.stdout` is opened by looking at it, which is left to the first use.
 */
export const sinkOf = (stream: NodeJS.WriteStream): Sink => {
  // A reader that has left (`holdfast logs ID | head -1`) is no fault of ours, and nobody is left to work for.
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error
    process.exit()
  })
  return {
    write: (data) =>
      new Promise((resolve) => {
        if (stream.write(data)) resolve()
        else stream.once("drain", resolve)
      }),
    isTerminal: stream.isTTY === true,
    columns: () => (stream.isTTY === true ? (stream.columns ?? 80) : Infinity),
  }
}
