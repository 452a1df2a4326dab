/** The program behind `npm run chaos`. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Chaos from "./chaos.js"
import { parse, usage } from "./options.js"
import * as Place from "./place.js"
import { isGood, latencyLines, report } from "./report.js"
import { soak, soakReport } from "./soak.js"

const args = process.argv.slice(2)
if (args.includes("--help")) {
  console.log(usage)
  process.exit(0)
}
const options = parse(args)
if (typeof options === "string") {
  console.error(`chaos: ${options}\n\n${usage}`)
  process.exit(2)
}

const { HOLDFAST_CHAOS_BASE: base, HOLDFAST_CHAOS_MARK: mark } = process.env
delete process.env["HOLDFAST_CHAOS_BASE"]
delete process.env["HOLDFAST_CHAOS_MARK"]

// Whoever started this clears up as well, whatever becomes of it; this is for a start by hand.
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.on(signal, () => {
    if (base !== undefined && mark !== undefined) Place.clear({ base, mark }, options.keep)
    process.exit(code)
  })
}

const program = path.resolve(options.program)
if (!fs.existsSync(program)) {
  console.error(`chaos: there is no ${program}; build it first`)
  process.exit(2)
}

const settings = { ...options, program, base, mark, log: options.quiet ? () => {} : console.log }
if (options.soakMinutes !== undefined) {
  console.log(`chaos: --seed ${options.seed} --soak ${options.soakMinutes}`)
  const soaked = await soak(settings, options.soakMinutes)
  for (const line of [...latencyLines(soaked.latencies), ...soakReport(soaked, options.soakMinutes)])
    console.log(line)
  process.exit(soaked.breaks.length === 0 && soaked.left === 0 ? 0 : 1)
}

console.log(`chaos: --seed ${options.seed} --ops ${options.operations}`)
const outcome = await Chaos.run(settings)
for (const line of report(outcome)) console.log(line)
if (options.keep) console.log(`\nEverything is left under ${outcome.place.base}`)
console.log(
  `\nchaos: --seed ${options.seed} --ops ${options.operations} ${isGood(outcome) ? "holds" : "BREAKS"}`,
)
process.exit(isGood(outcome) ? 0 : 1)
