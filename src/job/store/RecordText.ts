/**
 * A record as the store keeps it: JSON and a checksum. What the checksum vouches for was written by this program and is
 * not checked field by field again, which would make a page of a list ten times as dear.
 */
import { createHash } from "node:crypto"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import { ProcessIdentity } from "../../process/ProcessIdentity.js"
import type { JobRecord } from "../JobRecord.js"

/** The checksum of a text. */
export const checksumOf = (text: string): string =>
  createHash("sha256").update(text).digest("base64url").slice(0, 16)

const millis = (length: Duration.Duration | undefined): number | undefined =>
  length === undefined ? undefined : Duration.toMillis(length)

/** The text of a record: lengths of time as milliseconds, all else as it is. */
export const write = (record: JobRecord): string => {
  const { spec } = record
  const { backoff, delay, killAfter, timeout } = spec
  return JSON.stringify({
    ...record,
    spec: {
      ...spec,
      timeout: millis(timeout),
      killAfter: millis(killAfter),
      delay: millis(delay),
      backoff: { ...backoff, delay: millis(backoff.delay), max: millis(backoff.max) },
    },
  })
}

/** Reads what {@link write} wrote; a text says why it cannot be read. A later format needs a migration. */
export const read = (text: unknown, checksum: unknown): Either.Either<JobRecord, string> => {
  if (typeof text !== "string") return Either.left("the record is missing, or is no text")
  if (checksumOf(text) !== checksum)
    return Either.left("the record is not what was written: its checksum differs")
  try {
    const written = JSON.parse(text)
    const { attempts, spec } = written
    for (const field of ["timeout", "killAfter", "delay"]) {
      if (spec[field] !== undefined) spec[field] = Duration.millis(spec[field])
    }
    spec.backoff.delay = Duration.millis(spec.backoff.delay)
    spec.backoff.max = Duration.millis(spec.backoff.max)
    for (const attempt of attempts) {
      if (attempt.process !== undefined) attempt.process = new ProcessIdentity(attempt.process, true)
    }
    return Either.right(written)
  } catch (cause) {
    return Either.left(`the record cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
}
