/** What can go wrong with a job that is known: one error for each thing a person would do about it. */
import * as Schema from "effect/Schema"
import { JobId } from "./JobId.js"
import { StateName } from "./JobState.js"

/** A log of a job cannot be read, or not from there. */
export class LogUnusable extends Schema.TaggedError<LogUnusable>()("LogUnusable", {
  id: JobId,
  reason: Schema.String,
  /** Whether what was asked for is at fault (an offset past the end, an attempt that never was), not the disk. */
  isRequest: Schema.Boolean,
}) {
  override get message(): string {
    return `The output of job ${this.id} cannot be read: ${this.reason}`
  }
}

/** Nothing can be written to a job's standard input. */
export class InputClosed extends Schema.TaggedError<InputClosed>()("InputClosed", {
  id: JobId,
  state: StateName,
  reason: Schema.String,
}) {
  override get message(): string {
    return `Nothing can be written to the standard input of job ${this.id}, which is ${this.state}: ${this.reason}.`
  }
}
