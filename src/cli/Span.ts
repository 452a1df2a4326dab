/** Lengths of time, times and sizes as people write them. */
import * as Millis from "../process/Millis.js"

/** Whole milliseconds of `500ms`, `10s`, `5m`, `1h30m`; a bare number is seconds. Undefined when it is none of these. */
export const parseMillis = (input: string): number | undefined => {
  const millis = Millis.parse(input)
  return millis === undefined ? undefined : Math.round(millis)
}

const bytesPerUnit: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  kib: 2 ** 10,
  m: 1e6,
  mb: 1e6,
  mib: 2 ** 20,
  g: 1e9,
  gb: 1e9,
  gib: 2 ** 30,
}

/** Bytes of `4096`, `10kB`, `1MiB`, in any case. Undefined when it is none of these. */
export const parseBytes = (input: string): number | undefined => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(input.trim()) ?? []
  const factor = unit === undefined ? undefined : bytesPerUnit[unit.toLowerCase()]
  if (amount === undefined || factor === undefined) return undefined
  const bytes = Math.round(Number(amount) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The next time that a clock on the wall shows `HH:MM`, or an ISO time, which is local where it has no zone. */
export const parseDate = (input: string, now: number): number | undefined => {
  const text = input.trim()
  const [, hours, minutes] = /^(\d{1,2}):(\d\d)$/.exec(text) ?? []
  if (hours !== undefined && Number(hours) < 24 && Number(minutes) < 60) {
    const date = new Date(now)
    date.setHours(Number(hours), Number(minutes), 0, 0)
    if (date.getTime() <= now) date.setDate(date.getDate() + 1)
    return date.getTime()
  }
  if (!/^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text)) return undefined
  // A date by itself would be midnight in Greenwich.
  const time = Date.parse(text.length === 10 ? `${text}T00:00` : text.replace(" ", "T"))
  return Number.isNaN(time) ? undefined : time
}
