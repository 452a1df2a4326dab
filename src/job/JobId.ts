/**
 * The names of jobs: ULIDs, which sort by the time they were made. A job may also be named by any beginning of its id
 * that no other job shares. What is not of this grammar is refused before it gets near a path or a query.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { decodeTime, encodeTime, monotonicFactory } from "ulid"

/** A job's id: 26 characters of Crockford's base 32, in capitals. The first ten tell the time it was made. */
export const JobId = Schema.String.pipe(
  Schema.filter((text) => /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text), {
    message: () => "expected a job's id: 26 characters, such as 01HZX3V9Q4R8N7C2M5K6J1T0WB",
  }),
  Schema.brand("JobId"),
)
export type JobId = typeof JobId.Type

const allowed = "a job's id or its beginning: 1 to 26 of the characters 0-9 and A-Z without I, L, O and U"

const isPrefix = (text: string): boolean => /^[0-9A-HJKMNP-TV-Z]{1,26}$/i.test(text)

/** The beginning of an id, or a whole one. Decodes any case to capitals. */
export const JobPrefix = Schema.String.pipe(
  Schema.filter(isPrefix, { message: () => `expected ${allowed}` }),
  Schema.transform(Schema.String, {
    strict: true,
    decode: (text) => text.toUpperCase(),
    encode: (text) => text,
  }),
  Schema.brand("JobPrefix"),
)
export type JobPrefix = typeof JobPrefix.Type

/** A text that can name no job. `given` is cut to 40 characters. */
export class InvalidJobId extends Schema.TaggedError<InvalidJobId>()("InvalidJobId", {
  given: Schema.String,
}) {
  override get message(): string {
    return `${JSON.stringify(this.given)} names no job: expected ${allowed}.`
  }
}

/** Makes ids. Each is greater than the one before, also within a millisecond and when the clock goes back. */
export type Factory = Effect.Effect<JobId>

/** A new factory. One store uses one, so that the order of ids is the order of creation. */
export const factory = (): Factory => {
  const next = monotonicFactory()
  return Effect.map(Clock.currentTimeMillis, (now) => next(now) as JobId)
}

/** When the job of that id was created, in milliseconds since the epoch. */
export const createdAt = (id: JobId): number => decodeTime(id)

const lastMillis = 281_474_976_710_655

/** The lowest text that an id made at that time (milliseconds since the epoch) or later can be. */
export const lowestAt = (millis: number): string =>
  encodeTime(Math.min(Math.max(Math.ceil(millis), 0), lastMillis), 10) + "0".repeat(16)

/** Reads what a user wrote to name a job; `InvalidJobId` when it is outside of the grammar. */
export const parsePrefix = (text: string): Either.Either<JobPrefix, InvalidJobId> =>
  isPrefix(text)
    ? Either.right(text.toUpperCase() as JobPrefix)
    : Either.left(new InvalidJobId({ given: text.length > 40 ? `${text.slice(0, 40)}…` : text }))

/** Whether a prefix is a whole id. */
export const isComplete: (prefix: string) => prefix is JobId = Schema.is(JobId)
