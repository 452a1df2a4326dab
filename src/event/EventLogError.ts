/** What can go wrong with an event log. Appending to it never fails. */
import * as Schema from "effect/Schema"

/** The directory of the log cannot be used. */
export class EventLogUnusable extends Schema.TaggedError<EventLogUnusable>()("EventLogUnusable", {
  path: Schema.String,
  /** The system's name of the fault, such as `EACCES`. */
  code: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `The event log in "${this.path}" cannot be opened: ${this.reason} (${this.code}). Make it a directory that this user may write to, or choose another root.`
  }
}
