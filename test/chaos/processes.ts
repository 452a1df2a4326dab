/** The processes that carry a run's mark, and what each of them is. Linux only: it is `/proc` that tells. */
import * as fs from "node:fs"

/** The variable that everything a run starts inherits. */
export const markVariable = "HOLDFAST_CHAOS"

/** What a process is to Holdfast. */
export type Role =
  | { readonly _tag: "Unit"; readonly name: string; readonly mark: string; readonly owner: string }
  | { readonly _tag: "Job"; readonly id: string; readonly mark: string }
  | { readonly _tag: "Keeper" }
  | { readonly _tag: "Guardian" }
  /** The daemon itself, or what it starts for a moment. */
  | { readonly _tag: "Other" }

/** One that is alive. */
export interface Seen {
  readonly pid: number
  readonly parent: number
  /** Of the kernel: with the pid it names a process for good. */
  readonly start: string
  readonly state: string
  readonly isLeader: boolean
  readonly command: string
  readonly role: Role
}

/** The state of a process, its parent, its session and its start time; undefined when there is none. */
const statOf = (pid: number): Pick<Seen, "state" | "parent" | "start" | "isLeader"> | undefined => {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
    return {
      state: fields[0]!,
      parent: Number(fields[1]),
      isLeader: Number(fields[3]) === pid,
      start: fields[19]!,
    }
  } catch {
    return undefined
  }
}

/** Whether just this process is alive: not ended, and not another one with its pid. */
export const isAlive = ({ pid, start }: Pick<Seen, "pid" | "start">): boolean => {
  const found = statOf(pid)
  return found !== undefined && found.start === start && found.state !== "Z" && found.state !== "X"
}

/** Whether there is a process with this pid that has not ended. */
export const isPidAlive = (pid: number): boolean => {
  const found = statOf(pid)
  return found !== undefined && found.state !== "Z" && found.state !== "X"
}

const read = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, "latin1")
  } catch {
    return undefined
  }
}

const guardianName = "holdfast-guardian"
const keeperName = "holdfast-keeper"

const roleOf = (variables: ReadonlyMap<string, string>, command: string): Role => {
  const mark = variables.get("HOLDFAST_LINEAGE")?.split(" ").at(-1) ?? ""
  const unit = variables.get("HOLDFAST_UNIT")
  if (unit !== undefined)
    return { _tag: "Unit", name: unit, mark, owner: variables.get("HOLDFAST_OWNER") ?? "" }
  const job = variables.get("HOLDFAST_JOB")
  if (job !== undefined) return { _tag: "Job", id: job, mark }
  return command.startsWith(keeperName) ? { _tag: "Keeper" } : { _tag: "Other" }
}

/** Looks for the processes of one run. */
export class Watch {
  /** What was found out before: neither the pid with its start time nor these marks ever change. */
  private known = new Map<string, { readonly role: Role; readonly command: string } | undefined>()

  constructor(
    readonly mark: string,
    /** The daemons of the run: their guardians carry no mark. */
    private readonly isDaemon: (pid: number) => boolean,
  ) {}

  /** All of them that are alive now. */
  look(): ReadonlyArray<Seen> {
    const found: Array<Seen> = []
    const known: typeof this.known = new Map()
    // In the kernel's hundredths of a second, a second ago.
    const lately = Number(fs.readFileSync("/proc/uptime", "latin1").split(" ")[0]) * 100 - 100
    for (const name of fs.readdirSync("/proc")) {
      const pid = Number(name)
      if (!Number.isInteger(pid) || pid === process.pid) continue
      const stat = statOf(pid)
      if (stat === undefined || stat.state === "Z" || stat.state === "X") continue
      const key = `${pid} ${stat.start}`
      const what = this.known.has(key) ? this.known.get(key) : this.find(pid, stat.parent)
      // A process that was forked a moment ago has the variables and the command of its parent still.
      if (what === undefined ? Number(stat.start) < lately : what.role._tag !== "Other") known.set(key, what)
      if (what !== undefined) found.push({ pid, ...stat, ...what })
    }
    this.known = known
    return found
  }

  private find(pid: number, parent: number) {
    const command = read(`/proc/${pid}/cmdline`)?.replaceAll("\0", " ").trim()
    const text = read(`/proc/${pid}/environ`)
    if (command === undefined || text === undefined) return undefined
    if (command.endsWith(guardianName) && this.isDaemon(parent))
      return { role: { _tag: "Guardian" } as const, command: guardianName }
    if (!text.includes(`${markVariable}=${this.mark}`)) return undefined
    const variables = new Map(
      text.split("\0").map((line) => {
        const at = line.indexOf("=")
        return [line.slice(0, at), line.slice(at + 1)] as const
      }),
    )
    return { role: roleOf(variables, command), command: command.slice(0, 120) }
  }
}

/** The memory that a process holds, in MB. */
export const residentMegabytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) / 1_024

/** How many file descriptors a process has open. */
export const descriptors = (pid: number): number => fs.readdirSync(`/proc/${pid}/fd`).length
