/** Times, sizes and commands in the words of a person. */
import { printable } from "./World.js"

/** A length of time in at most two units: `850ms`, `12s`, `3m05s`, `2h10m`, `5d3h`. */
export const duration = (millis: number): string => {
  const whole = Math.max(0, millis)
  if (whole < 1_000) return `${Math.round(whole)}ms`
  const seconds = Math.floor(whole / 1_000)
  if (seconds < 60) return `${whole < 10_000 ? (Math.floor(whole / 100) / 10).toString() : seconds}s`
  const pair = (large: number, unit: string, small: number, below: string) =>
    `${large}${unit}${String(small).padStart(2, "0")}${below}`
  if (seconds < 3_600) return pair(Math.floor(seconds / 60), "m", seconds % 60, "s")
  if (seconds < 86_400) return pair(Math.floor(seconds / 3_600), "h", Math.floor((seconds % 3_600) / 60), "m")
  return pair(Math.floor(seconds / 86_400), "d", Math.floor((seconds % 86_400) / 3_600), "h")
}

/** How long ago a time was; empty where there is none. */
export const since = (now: number, time: string | undefined): string =>
  time === undefined ? "" : duration(now - Date.parse(time))

/** A number of bytes in decimal units: `512 B`, `1.2 kB`, `34 MB`. */
export const bytes = (count: number): string => {
  const units = ["B", "kB", "MB", "GB", "TB"]
  let [value, unit] = [count, 0]
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1_000, unit + 1]
  return `${unit === 0 || value >= 9.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

/** One word as a shell would need it, and without control characters. */
const quoted = (word: string): string =>
  // oxlint-disable-next-line no-control-regex
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${printable(word).replaceAll("'", "'\\''")}'`

/** A command as one would type it. */
export const command = (words: ReadonlyArray<string>): string => words.map(quoted).join(" ")

/** `1 job`, `2 jobs`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

/** What is known of how a job is, as far as the answers share it. */
export interface Ending {
  readonly state: string
  readonly exit_code?: number | undefined
  readonly signal?: string | undefined
  readonly cause?: string | undefined
}

/** How a job ended in a word or two: `0`, `3`, `SIGKILL`, `timeout`. Empty when it has not. */
export const exit = ({ cause, exit_code, signal, state }: Ending): string => {
  if (cause === "timeout" || cause === "log-limit" || cause === "stopped") return cause
  if (exit_code !== undefined) return String(exit_code)
  if (signal !== undefined) return signal
  return state === "failed" || state === "lost" ? (cause ?? "") : ""
}
