/** What `npm run chaos` is told. */
import { type FaultName, faultNames } from "./plan.js"

/** How to call it. */
export const usage = `npm run chaos -- [OPTIONS]
  --ops N            operations (1000)
  --seed S           a whole number; the same one plans the same operations (drawn, and printed)
  --faults A,B,...   only these: ${faultNames.join(", ")} (all that can be had here)
  --quiet-every N    operations between two quiet points (250)
  --soak MINUTES     restarts, logs and clients that ask, and the slope of the memory, instead of operations
  --keep             leave the files for inspection
  --quiet            print the tables only
  --program FILE     the built program (dist/main.js)
  --no-build         do not build it first`

/** The options. */
export interface Options {
  readonly operations: number
  readonly seed: number
  readonly faults: ReadonlyArray<FaultName> | undefined
  readonly quietEvery: number
  readonly soakMinutes: number | undefined
  readonly keep: boolean
  readonly quiet: boolean
  readonly program: string
}

/** Reads the arguments; a text says what is wrong with them. */
export const parse = (args: ReadonlyArray<string>): Options | string => {
  const given = new Map<string, string>()
  const flags = new Set<string>()
  for (let index = 0; index < args.length; index++) {
    const [name, joined] = args[index]!.split("=", 2) as [string, string | undefined]
    if (["--keep", "--quiet", "--no-build"].includes(name)) flags.add(name)
    else if (["--ops", "--seed", "--faults", "--quiet-every", "--soak", "--program"].includes(name)) {
      const value = joined ?? args[++index]
      if (value === undefined) return `${name} wants a value`
      given.set(name, value)
    } else return `there is no option ${name}`
  }
  for (const name of ["--ops", "--seed", "--quiet-every"]) {
    if (given.has(name) && !/^\d+$/.test(given.get(name)!)) return `${name} wants a whole number`
  }
  if (given.has("--soak") && !(Number(given.get("--soak")) > 0)) return "--soak wants a number of minutes"
  const faults = given
    .get("--faults")
    ?.split(",")
    .filter((name) => name !== "")
  const unknown = faults?.find((name) => !faultNames.includes(name as FaultName))
  if (unknown !== undefined) return `there is no fault ${unknown}; there are ${faultNames.join(", ")}`
  return {
    operations: Number(given.get("--ops") ?? 1_000),
    seed: Number(given.get("--seed") ?? Math.floor(Math.random() * 1_000_000)),
    faults: faults as ReadonlyArray<FaultName> | undefined,
    quietEvery: Math.max(1, Number(given.get("--quiet-every") ?? 250)),
    soakMinutes: given.has("--soak") ? Number(given.get("--soak")) : undefined,
    keep: flags.has("--keep"),
    quiet: flags.has("--quiet"),
    program: given.get("--program") ?? "dist/main.js",
  }
}
