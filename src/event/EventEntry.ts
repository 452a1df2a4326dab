/** One entry of the event log, and the line of text that it is kept as. */
import * as Schema from "effect/Schema"

/** Something that happened. */
export const EventEntry = Schema.Struct({
  /** Counts from 1. No two entries of a log ever have the same. */
  seq: Schema.Int.pipe(Schema.positive()),
  /** In milliseconds since the epoch. */
  at: Schema.Number,
  /** Such as `job.exited`: the kind of its subject, a dot, and what happened. */
  type: Schema.String,
  /** Whom it happened to: a job's id, a unit's name. */
  subject: Schema.String,
  /** What else is to be known, as JSON. */
  data: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
})
export type EventEntry = typeof EventEntry.Type

/** Which entries are wanted. */
export interface Filter {
  /** Only about this job or unit. */
  readonly subject?: string | undefined
  /** Only of these types. `job` also stands for every type that begins with `job.`; default all. */
  readonly types?: ReadonlyArray<string> | undefined
}

/** Whether an entry is wanted. */
export const isWanted = (filter: Filter, { subject, type }: Pick<EventEntry, "subject" | "type">): boolean =>
  (filter.subject === undefined || filter.subject === subject) &&
  (filter.types === undefined || filter.types.some((name) => type === name || type.startsWith(`${name}.`)))

/** Data that would make an entry longer than so many characters is left out: 64 KiB. */
export const mostData = 65_536

/** No entry is a shorter line than this one, in bytes. */
export const leastBytes = '{"seq":1,"at":1,"type":"","subject":"","data":{}}\n'.length

const left = (why: string): string => JSON.stringify({ leftOut: why })

const dataText = (data: unknown): string => {
  try {
    const text = JSON.stringify(data) as string | undefined
    if (text === undefined || !text.startsWith("{")) return left("it is no JSON object")
    return text.length > mostData ? left(`it has ${text.length} characters`) : text
  } catch (cause) {
    return left(cause instanceof Error ? cause.message : String(cause))
  }
}

/** The line of an entry. What cannot be kept of it is left out, and `data.leftOut` says why: it never fails. */
export const toLine = (
  seq: number,
  at: number,
  type: string,
  subject: string,
  data: Readonly<Record<string, unknown>>,
): string =>
  `{"seq":${seq},"at":${at},"type":${JSON.stringify(type)},"subject":${JSON.stringify(subject)},"data":${dataText(data)}}\n`

/** As `Schema.is`, which takes several times as long: whoever looks for something looks at every entry. */
const isEntry = (value: unknown): value is EventEntry => {
  if (typeof value !== "object" || value === null) return false
  const { at, data, seq, subject, type } = value as Partial<Record<keyof EventEntry, unknown>>
  return (
    typeof seq === "number" &&
    Number.isSafeInteger(seq) &&
    seq > 0 &&
    typeof at === "number" &&
    typeof type === "string" &&
    typeof subject === "string" &&
    typeof data === "object" &&
    data !== null &&
    !Array.isArray(data)
  )
}

/** The entry of a line; undefined when it is damaged. */
export const fromLine = (line: string): EventEntry | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return isEntry(value) ? value : undefined
  } catch {
    return undefined
  }
}

const prefix = Buffer.from('{"seq":')

/** The number of the line that begins at `start`, found without reading the rest of it; undefined if it is damaged. */
export const seqAt = (bytes: Buffer, start: number): number | undefined => {
  for (let index = 0; index < prefix.length; index++)
    if (bytes[start + index] !== prefix[index]) return undefined
  let seq = 0
  for (let at = start + prefix.length; ; at++) {
    const byte = bytes[at]
    if (byte === 0x2c) return seq > 0 && Number.isSafeInteger(seq) ? seq : undefined
    if (byte === undefined || byte < 0x30 || byte > 0x39) return undefined
    seq = seq * 10 + (byte - 0x30)
  }
}
