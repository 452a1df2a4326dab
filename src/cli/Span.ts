/** Lengths of time, times and sizes as people write them. */
import * as Millis from "../process/Millis.js"

export { parse as parseBytes } from "../process/Bytes.js"

/** Whole milliseconds of `500ms`, `10s`, `5m`, `1h30m`; a bare number is seconds. Undefined when it is none of these. */
export const parseMillis = (input: string): number | undefined => {
  const millis = Millis.parse(input)
  return millis === undefined ? undefined : Math.round(millis)
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
