/** What may go wrong when a supervisor is asked for something: one error for each thing a person would do about it. */
import * as Schema from "effect/Schema"
import { nearest } from "../process/Nearest.js"
import { StateName } from "./UnitStatus.js"

/** There is no such unit. */
export class UnitNotFound extends Schema.TaggedError<UnitNotFound>()("UnitNotFound", {
  name: Schema.String,
  known: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const near = nearest(this.name, this.known)
    const hint =
      near === undefined
        ? this.known.length === 0
          ? "There are none"
          : `There are ${this.known.slice(0, 20).join(", ")}${this.known.length > 20 ? ", ..." : ""}`
        : `Did you mean ${near}?`
    return `There is no unit ${JSON.stringify(this.name)}. ${hint}${hint.endsWith("?") ? "" : "."}`
  }
}

/** A unit did not come up. */
export class UnitNotStarted extends Schema.TaggedError<UnitNotStarted>()("UnitNotStarted", {
  name: Schema.String,
  /** Where it is now. */
  state: StateName,
  /** What went wrong, by its kind: `EarlyExit`, `StartTimeout`, ...; `Stopped` when somebody stopped it meanwhile. */
  kind: Schema.String,
  reason: Schema.String,
  /** The last lines of its output, as far as they say something about it. */
  output: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const tail = this.output.length === 0 ? "" : ` Its last output:\n${this.output.join("\n")}`
    return `The unit ${this.name} did not come up. ${this.reason}${tail}`
  }
}

/** Some processes of a unit survived KILL, or a task cannot be interrupted. */
export class UnitNotStopped extends Schema.TaggedError<UnitNotStopped>()("UnitNotStopped", {
  name: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `The unit ${this.name} could not be stopped. ${this.reason}`
  }
}

/** There is nothing of the unit that a signal could be sent to. */
export class UnitHasNoProcess extends Schema.TaggedError<UnitHasNoProcess>()("UnitHasNoProcess", {
  name: Schema.String,
  state: StateName,
}) {
  override get message(): string {
    return `The unit ${this.name} is ${this.state} and has no process of ours to signal.`
  }
}

/** The supervisor is closing, or closed. */
export class SupervisorClosed extends Schema.TaggedError<SupervisorClosed>()("SupervisorClosed", {}) {
  override get message(): string {
    return "The supervisor is closing: nothing is started any more."
  }
}
