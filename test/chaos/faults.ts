/** What lasts: shortages of the system's goods, and a clock that is wrong. Each can be lifted again. */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fill } from "../job/full-disk.js"
import { Clock, library } from "./clock.js"
import { type Place, has } from "./place.js"
import { type FaultName, type Shortage, faultNames } from "./plan.js"
import { descriptors } from "./processes.js"

/** What cannot be had here, and why. */
export const missing = (): ReadonlyMap<FaultName, string> => {
  const reasons = new Map<FaultName, string>()
  const isRoot = process.getuid?.() === 0
  if (library() === undefined) reasons.set("clock", "libfaketime is not installed")
  if (!isRoot) reasons.set("disk", "only root may mount a small disk")
  if (!has("prlimit", "--version")) {
    reasons.set("descriptors", "prlimit is not installed")
    reasons.set("processes", "prlimit is not installed")
  }
  return reasons
}

/** All faults that can be had here. */
export const available = (): ReadonlyArray<FaultName> => {
  const without = missing()
  return faultNames.filter((name) => !without.has(name))
}

const limit = (kind: "nofile" | "nproc", pid: number, value: string): void => {
  spawnSync("prlimit", ["--pid", String(pid), `--${kind}=${value}`], { stdio: "ignore" })
}

/** The soft limit that a process has. */
const softLimit = (kind: "nofile" | "nproc", pid: number): string => {
  const name = kind === "nofile" ? "Max open files" : "Max processes"
  const text = fs.readFileSync(`/proc/${pid}/limits`, "latin1")
  return new RegExp(`^${name}\\s+(\\S+)`, "m").exec(text)![1]!
}

/** The one that lasts now, if any. */
export class Shortages {
  readonly clock: Clock | undefined
  /** What there is too little of now. */
  current: Shortage | undefined
  /** When the last one was lifted, by the steady clock. */
  liftedAt = Number.NEGATIVE_INFINITY
  private left = 0
  private undo: () => void = () => {}

  constructor(
    private readonly place: Place,
    faults: ReadonlyArray<FaultName>,
  ) {
    const preload = faults.includes("clock") ? library() : undefined
    this.clock = preload === undefined ? undefined : new Clock(preload, place.desk)
  }

  /** Begins, and answers whether it could. `pids` are the daemon and its keeper. */
  begin(fault: Shortage, operations: number, clockSeconds: number, pids: ReadonlyArray<number>): boolean {
    this.lift()
    const undo = this.take(fault, clockSeconds, pids)
    if (undo === undefined) return false
    this.current = fault
    this.left = operations
    this.undo = undo
    return true
  }

  private take(fault: Shortage, clockSeconds: number, pids: ReadonlyArray<number>): (() => void) | undefined {
    const { clock, place } = this
    switch (fault) {
      case "clock":
        if (clock === undefined) return undefined
        clock.set(clockSeconds)
        return () => clock.set(0)
      case "disk": {
        if (place.disk === undefined) return undefined
        const ballast = path.join(place.disk, "ballast")
        fill(ballast)
        return () => fs.rmSync(ballast, { force: true })
      }
      case "descriptors":
      case "processes": {
        const kind = fault === "descriptors" ? "nofile" : "nproc"
        const before = pids.map((pid) => [pid, softLimit(kind, pid)] as const)
        for (const pid of pids) limit(kind, pid, `${fault === "descriptors" ? descriptors(pid) : 0}:`)
        return () => {
          for (const [pid, value] of before) limit(kind, pid, `${value}:`)
        }
      }
    }
  }

  /** One more operation is done. */
  pass(): void {
    if (this.current !== undefined && --this.left <= 0) this.lift()
  }

  /** Ends it. */
  lift(): void {
    if (this.current === undefined) return
    this.undo()
    this.undo = () => {}
    this.current = undefined
    this.liftedAt = performance.now()
  }

  /** Whether there was too little of something within the last milliseconds. A wrong clock is no shortage. */
  isShort(millis: number): boolean {
    if (this.current !== undefined) return this.current !== "clock"
    return performance.now() - this.liftedAt < millis
  }
}
