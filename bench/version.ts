/** Does the program answer at once? `holdfast --version` against a Node that does nothing; whole-process wall time. */
import { spawnSync } from "node:child_process"
import { paired } from "./harness.js"

const wallTime = (...args: ReadonlyArray<string>) => {
  const begin = performance.now()
  const { error, status } = spawnSync(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] })
  const millis = performance.now() - begin
  if (error !== undefined || status !== 0) throw new Error(`node ${args.join(" ")} failed`, { cause: error })
  return millis
}

await paired({
  name: "holdfast --version / node -e 0",
  unit: "ms",
  rounds: 21,
  ours: async () => wallTime("dist/main.js", "--version"),
  bare: async () => wallTime("-e", "0"),
  atMost: 1.5,
})
