/** Where a run has its files, as whom its daemons run, and what is cleared away when it is over. */
import { spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { killPid } from "../process/killPid.js"
import { jobScript } from "./jobs.js"
import { isPidAlive, markVariable } from "./processes.js"
import { programs } from "./units.js"

/** A run's place. */
export interface Place {
  readonly base: string
  /** What everything that the run starts carries in its environment. */
  readonly mark: string
  /** The daemon's. On a small disk of its own where one can be mounted. */
  readonly root: string
  /** The small disk, if there is one. */
  readonly disk: string | undefined
  /** Where the configuration and the programs are, and where jobs run. */
  readonly desk: string
  readonly config: string
  readonly jobProgram: string
  readonly jobLedger: string
  readonly unitLedger: string
  /** The user that daemons run as; undefined: the one that this program has. */
  readonly user: number | undefined
}

/** Whether a command can be run here. */
export const has = (command: string, ...args: ReadonlyArray<string>): boolean =>
  spawnSync(command, args, { stdio: "ignore" }).status === 0

/** Nobody else's, so that the limits of this user are those of the run alone. */
const freeUser = (): number => 60_000 + (process.pid % 5_000)

/** The processes that carry a mark, whatever they are. */
export const marked = (mark: string): ReadonlyArray<number> =>
  fs.readdirSync("/proc").flatMap((name) => {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) return []
    try {
      return fs.readFileSync(`/proc/${name}/environ`, "latin1").includes(`${markVariable}=${mark}`) &&
        isPidAlive(pid)
        ? [pid]
        : []
    } catch {
      return []
    }
  })

const kill = (pid: number): void => {
  try {
    killPid(pid, "SIGKILL")
  } catch {
    // It has ended meanwhile.
  }
}

/** Kills whatever carries the mark, again and again until nothing does; answers how many there were. */
export const sweep = (mark: string): number => {
  const killed = new Set<number>()
  for (let round = 0, quiet = 0; round < 500 && quiet < 2; round++) {
    const pids = marked(mark)
    quiet = pids.length === 0 ? quiet + 1 : 0
    for (const pid of pids) {
      killed.add(pid)
      kill(pid)
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
  }
  return killed.size
}

/** Makes a place. `small` asks for a disk of its own. */
export const make = (options: {
  readonly base?: string | undefined
  readonly mark?: string | undefined
  readonly small: boolean
}): Place => {
  const base = options.base ?? fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "holdfast-chaos-"))
  const desk = path.join(base, "desk")
  const disk = path.join(base, "disk")
  for (const directory of [desk, disk]) fs.mkdirSync(directory, { recursive: true })
  const isSmall =
    options.small && has("mount", "-t", "tmpfs", "-o", "size=96m,mode=0755", "holdfast-chaos", disk)
  // Root has no limit of processes.
  const user = process.getuid?.() === 0 ? freeUser() : undefined
  for (const [name, text] of [...programs(), ["job.sh", jobScript] as const])
    fs.writeFileSync(path.join(desk, name), text)
  const place: Place = {
    base,
    mark: options.mark ?? randomUUID(),
    root: path.join(disk, "root"),
    disk: isSmall ? disk : undefined,
    desk,
    config: path.join(desk, "holdfast.yaml"),
    jobProgram: path.join(desk, "job.sh"),
    jobLedger: path.join(desk, "jobs.ledger"),
    unitLedger: path.join(desk, "units.ledger"),
    user,
  }
  for (const ledger of [place.jobLedger, place.unitLedger]) fs.writeFileSync(ledger, "")
  fs.chmodSync(base, 0o755)
  if (user !== undefined) {
    for (const one of [base, desk, disk, place.jobLedger, place.unitLedger]) fs.chownSync(one, user, user)
  }
  return place
}

/** Ends all that is left of a run, and clears its place away; answers how many processes were left. */
export const clear = (
  { base, mark }: Pick<Place, "base" | "mark">,
  keep: boolean,
  daemons: Iterable<number> = [],
): number => {
  const left = sweep(mark)
  // What the library that sets the clock leaves behind of a program that was killed.
  for (const pid of daemons) {
    for (const name of [`faketime_shm_${pid}`, `sem.faketime_sem_${pid}`])
      fs.rmSync(path.join("/dev/shm", name), { force: true })
  }
  if (keep) return left
  if (fs.existsSync(path.join(base, "disk")))
    spawnSync("umount", ["-l", path.join(base, "disk")], { stdio: "ignore" })
  fs.rmSync(base, { recursive: true, force: true, maxRetries: 10 })
  return left
}
