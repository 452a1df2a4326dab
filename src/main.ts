/** The program: arguments -> command -> exit code. */
import { fileURLToPath } from "node:url"
import { sinkOf } from "./cli/Terminal.js"

/** Written in by the build. */
declare const HOLDFAST_VERSION: string

const args = process.argv.slice(2)

// The one question that is answered without loading anything; everything else is behind this.
if (args.length === 1 && args[0] === "--version" && process.platform !== "win32") {
  await sinkOf(process.stdout).write(`${HOLDFAST_VERSION}\n`)
} else {
  const { start } = await import("./cli/Start.js")
  process.exitCode = await start(args, fileURLToPath(import.meta.url), HOLDFAST_VERSION)
}
