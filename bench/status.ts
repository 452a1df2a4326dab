/** Is a question on the command line answered quickly? `holdfast status ID` against a Node that does nothing. */
import { spawnSync } from "node:child_process"
import * as Daemon from "./daemon.js"
import { paired } from "./harness.js"

const wallTime = (...args: ReadonlyArray<string>) => {
  const begin = performance.now()
  const { error, status } = spawnSync(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
  const millis = performance.now() - begin
  if (error !== undefined || status !== 0) throw new Error(`node ${args.join(" ")} failed`, { cause: error })
  return millis
}

const daemon = await Daemon.start(Daemon.temporary())
const id = await Daemon.runJob(daemon, ["true"])

await paired({
  name: "holdfast status ID / node -e 0",
  unit: "ms",
  rounds: 21,
  ours: async () => wallTime(Daemon.program, "status", "--root", daemon.root, id),
  bare: async () => wallTime("-e", "0"),
  atMost: 2.5,
})
await daemon.stop()
