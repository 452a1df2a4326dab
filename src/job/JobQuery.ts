/** Questions to the store: which jobs to list, and which are old enough to go. */
import * as Schema from "effect/Schema"
import * as Mask from "../process/Mask.js"
import { JobId, lowestAt } from "./JobId.js"
import type { JobRecord } from "./JobRecord.js"
import { StateName } from "./JobState.js"

/** Which jobs to list. What is left out does not matter; what is given must all hold. */
export const JobQuery = Schema.Struct({
  /** In one of these states. */
  states: Schema.optional(Schema.NonEmptyArray(StateName)),
  /** With each of these tags. */
  tags: Schema.optional(Schema.Array(Schema.String)),
  /** Exactly this directory. */
  cwd: Schema.optional(Schema.String),
  group: Schema.optional(Schema.String),
  /** Somewhere in the command as it is shown (its first 1,024 characters), in any case of ASCII letters. */
  text: Schema.optional(Schema.String),
  /** Created at this time or later, in milliseconds since the epoch. */
  since: Schema.optional(Schema.Number),
  /** Created before this time, in milliseconds since the epoch. */
  until: Schema.optional(Schema.Number),
  /** Older than this job: the `next` of the page before. */
  before: Schema.optional(JobId),
  /** Default 50. */
  limit: Schema.optional(Schema.Int.pipe(Schema.between(1, 1_000))),
})
export type JobQuery = typeof JobQuery.Type

/** Some of the jobs that were asked for, the newest first. */
export interface Page {
  readonly jobs: ReadonlyArray<JobRecord>
  /** The `before` of the next page; undefined when there is none. */
  readonly next: JobId | undefined
}

/** How many jobs a page has at most. */
export const pageSize = ({ limit = 50 }: JobQuery): number => Math.min(Math.max(Math.trunc(limit), 1), 1_000)

/** The ids that a query reaches: from `lowest` to below `end`. */
export const idRange = ({ before, since, until }: JobQuery) => {
  const end = until === undefined ? "~" : lowestAt(until)
  return {
    lowest: since === undefined ? "" : lowestAt(since),
    end: before !== undefined && before < end ? before : end,
  }
}

/** What is kept at least. Jobs that others wait for are kept anyway, and so are those that have not ended. */
export interface KeepPolicy {
  /** Those that ended at this time or later, in milliseconds since the epoch. */
  readonly endedSince?: number | undefined
  /** So many of those that ended last. */
  readonly count?: number | undefined
  /** Those that ended last, up to so many bytes of logs. */
  readonly bytes?: number | undefined
  /** At most so many are named at once. Default 1,000. */
  readonly limit?: number | undefined
}

/** An ended job that need not be kept. */
export interface Garbage {
  readonly id: JobId
  readonly endedAt: number
  /** Bytes of its logs. */
  readonly bytes: number
}

/**
 * Which of the ended jobs may go, the one that ended first being first: whatever breaks one of the limits.
 *
 * @param oldest ended jobs, the one that ended first being first, as many as are looked at
 * @param total all ended jobs
 */
export const garbageOf = (
  oldest: ReadonlyArray<Garbage>,
  total: { readonly count: number; readonly bytes: number },
  policy: KeepPolicy,
): ReadonlyArray<Garbage> => {
  let { bytes, count } = total
  const found: Array<Garbage> = []
  for (const job of oldest) {
    const isGarbage =
      (policy.endedSince !== undefined && job.endedAt < policy.endedSince) ||
      (policy.count !== undefined && count > policy.count) ||
      (policy.bytes !== undefined && bytes > policy.bytes)
    if (!isGarbage) break
    found.push(job)
    count -= 1
    bytes -= job.bytes
  }
  return found
}

/** The most characters of a command that a text is looked for in. */
export const searchedLength = 1_024

/** The command as it is searched. */
export const searchedCommand = ({ spec }: JobRecord): string =>
  Mask.formatCommand(spec.command, (text) => text).slice(0, searchedLength)

/** In small letters as far as ASCII goes, which is how SQLite compares. */
export const lower = (text: string): string => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
