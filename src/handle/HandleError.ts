/** Why a handle has nothing to give: one error for each thing a person would do about it. */
import * as Cause from "effect/Cause"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { RecursionGuarded } from "./RecursionGuard.js"

/** The handle is closed, or was while somebody waited. */
export class Closed extends Schema.TaggedError<Closed>()("Closed", {
  /** The handle's name. */
  handle: Schema.String,
}) {
  override get message(): string {
    return `The handle to ${this.handle} is closed: its scope has ended. Make another one.`
  }
}

/** What to tell of a resource besides its name, such as its base URL. */
export const Attributes = Schema.Record({
  key: Schema.String,
  value: Schema.Union(Schema.String, Schema.Number, Schema.Boolean),
})
export type Attributes = typeof Attributes.Type

/** Somebody else's resource has failed its validation. It stays so until the handle is reset. */
export class ExternalUnavailable extends Schema.TaggedError<ExternalUnavailable>()("ExternalUnavailable", {
  handle: Schema.String,
  /** What was wrong with it. */
  reason: Schema.String,
  /** What the resource was described by. */
  attributes: Attributes,
  /** The failure of the validation itself, where there was one. */
  cause: Schema.optional(Schema.Defect),
}) {
  readonly retryable = false
  override get message(): string {
    const about = Object.values(this.attributes).join(", ")
    return `${this.handle}${about === "" ? "" : ` (${about})`}, which is not ours to start, is unavailable: ${sentence(this.reason)} Bring it up, then reset the handle.`
  }
}

/** The resource told that it was gone before its start was over. */
export class ResourceLost extends Schema.TaggedError<ResourceLost>()("ResourceLost", {
  handle: Schema.String,
  reason: Schema.String,
}) {
  readonly retryable = true
  override get message(): string {
    return `${this.handle} was lost while it was being started: ${sentence(this.reason)}`
  }
}

/** Why a start has failed: its own errors, and the handle's. */
export type StartError<E> = E | RecursionGuarded | ResourceLost

/** Why there is nothing to give. */
export type AcquireError<E> = StartError<E> | ExternalUnavailable | Closed

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)

const wordsOf = (error: unknown): string => {
  if (typeof error === "string") return error
  if (Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message !== "") {
    return error.message
  }
  if (Predicate.hasProperty(error, "_tag") && typeof error._tag === "string") return error._tag
  if (error instanceof Error) return error.name
  return Inspectable.toStringUnknown(error, 0)
}

/** The error that says most: what it failed with, else what it died of. */
export const errorOf = (cause: Cause.Cause<unknown>): unknown =>
  Option.getOrUndefined(Option.orElse(Cause.failureOption(cause), () => Cause.dieOption(cause)))

/** A cause in one sentence, without a stack. */
export const reasonOf = (cause: Cause.Cause<unknown>): string =>
  Cause.isInterruptedOnly(cause) ? "it was interrupted" : wordsOf(errorOf(cause))
