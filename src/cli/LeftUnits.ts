/** Processes of units that outlive the program that kept them up, looked at from outside: by the records of each. */
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Finding } from "./Finding.js"
import { because, looking, removing, statOf } from "./Finding.js"
import { filesOf, isAlive, ownerFile, ownerOf } from "./Root.js"

/** A process as a record has it. */
interface Leader {
  readonly pid: number
  readonly startTime: string
  readonly bootId: string
}

/** How long a stray may take to end before it is killed, in milliseconds. */
const grace = 10_000
const pause = 20

const entriesOf = (directory: string): ReadonlyArray<string> =>
  statOf(directory)?.isDirectory() === true ? looking(directory, () => fs.readdirSync(directory)) : []

const leaderOf = (file: string): Leader | undefined => {
  try {
    const { process: leader } = JSON.parse(fs.readFileSync(file, "utf8")) as {
      readonly process?: Partial<Leader>
    }
    const { bootId, pid, startTime } = leader ?? {}
    const isWhole =
      Number.isSafeInteger(pid) && pid! > 1 && typeof startTime === "string" && typeof bootId === "string"
    return isWhole ? (leader as Leader) : undefined
  } catch {
    return undefined
  }
}

/** While its leader is that very process, the group is the unit's. */
const signal = (leader: Leader, name: NodeJS.Signals): boolean => {
  if (!isAlive(leader)) return false
  try {
    process.kill(-leader.pid, name)
    return true
  } catch (error) {
    if (because(error) === "ESRCH") return false
    throw error
  }
}

const end = async (leader: Leader): Promise<string> => {
  const until = performance.now() + grace
  if (signal(leader, "SIGTERM")) signal(leader, "SIGCONT")
  while (isAlive(leader) && performance.now() < until) await sleep(pause)
  const isKilled = signal(leader, "SIGKILL")
  while (isAlive(leader)) await sleep(pause)
  return isKilled ? "it was killed, as it did not end by itself" : "it has ended"
}

const strays = (directory: string, keeper: string): ReadonlyArray<Finding> =>
  entriesOf(path.join(directory, "units")).flatMap((unit) => {
    const leader = leaderOf(path.join(directory, "units", unit, "instance.json"))
    if (leader === undefined || !isAlive(leader)) return []
    return [
      {
        what: "stray",
        level: "bad" as const,
        sentence: `Process ${leader.pid} of the unit ${unit} outlives ${keeper} that kept it up; the next one stops it.`,
        fix: () => end(leader),
      },
    ]
  })

const isHeld = (directory: string): boolean => {
  const owner = ownerOf(directory)
  return owner !== undefined && isAlive(owner)
}

/** Finds them under a root: of its daemon, and of each `holdfast up`. Those that are kept up now are none. */
export const find = (root: string): ReadonlyArray<Finding> => {
  const ofDaemon = isHeld(root) ? [] : strays(root, "the daemon")
  const places = entriesOf(filesOf(root)).map((key) => path.join(filesOf(root), key))
  const ofUps = places.flatMap((place): ReadonlyArray<Finding> => {
    if (isHeld(place)) return []
    const found = strays(place, "the holdfast up")
    if (ownerOf(place) === undefined) return found
    const file = ownerFile(place)
    const sentence = `${file} is left over from a program that is gone.`
    return [{ what: "up", level: "bad", sentence, fix: removing(file) }, ...found]
  })
  return [...ofDaemon, ...ofUps]
}
