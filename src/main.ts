/** The program: arguments -> command -> exit code. */
import type { Commands } from "./cli/Command.js"
import { run } from "./cli/Program.js"

/** Written in by the build. */
declare const HOLDFAST_VERSION: string

// A command's module is named in `import()` only, so that nothing of it is evaluated for another one.
const commands: Commands = {}

// A reader that has left (`holdfast --help | head -1`) is no fault of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error
})

process.exitCode = await run(process.argv.slice(2), {
  version: HOLDFAST_VERSION,
  platform: process.platform,
  commands,
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
})
