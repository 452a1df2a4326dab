/**
 * Whether the process that a file names is still that process: by pid, kernel start time and boot. Without Effect, for
 * programs that have to start quickly.
 */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"

/** A process as a file names it. Without `startTime` and `bootId` its pid alone has to do. */
export interface Named {
  readonly pid: number
  readonly startTime?: string | undefined
  readonly bootId?: string | undefined
}

/** What tells a process from a later one with the same pid. */
export interface Birth {
  readonly startTime: string
  readonly bootId: string
}

const onLinux = (pid: number): Birth | undefined => {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  if (fields[0] === "Z" || fields[0] === "X") return undefined
  return {
    startTime: fields[19]!,
    bootId: readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim(),
  }
}

const elsewhere = (pid: number): Birth | undefined => {
  const ask = (file: string, ...args: ReadonlyArray<string>): string =>
    execFileSync(file, args, {
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C", TZ: "UTC" },
      stdio: ["ignore", "pipe", "ignore"],
    }).trim()
  const startTime = ask("ps", "-o", "lstart=", "-p", String(pid))
  return startTime === "" ? undefined : { startTime, bootId: ask("sysctl", "-n", "kern.bootsessionuuid") }
}

/** When a process was born; undefined when there is none of that pid, or the system does not tell. */
export const birthOf = (pid: number): Birth | undefined => {
  try {
    return process.platform === "linux" ? onLinux(pid) : elsewhere(pid)
  } catch {
    return undefined
  }
}

/** Whether it is that process, and alive. */
export const isThere = ({ bootId, pid, startTime }: Named): boolean => {
  const birth = birthOf(pid)
  return (
    birth !== undefined &&
    (startTime === undefined || startTime === birth.startTime) &&
    (bootId === undefined || bootId === birth.bootId)
  )
}
