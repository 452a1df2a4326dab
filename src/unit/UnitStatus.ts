/** A unit as it may be shown to people and programs: no secrets, times by the clock on the wall. */
import * as Schema from "effect/Schema"
import { Kind } from "./UnitSpec.js"

/** What a unit is doing, as a word. */
export const StateName = Schema.Literal(
  "inactive",
  "blocked",
  "starting",
  "ready",
  "degraded",
  "stopping",
  "backoff",
  "exited",
  "failed",
)
export type StateName = typeof StateName.Type

/** How an instance ended by itself: exactly one of the three. */
export const EndStatus = Schema.Struct({
  code: Schema.optional(Schema.Int),
  signal: Schema.optional(Schema.String),
  /** Of a task: `success`, or what it failed with. */
  result: Schema.optional(Schema.String),
})
export type EndStatus = typeof EndStatus.Type

/** What went wrong: a word for programs, a sentence or two for people. */
export const FailureStatus = Schema.Struct({
  /** `EarlyExit`, `Crashed`, `StartTimeout`, `Unhealthy`, `RestartsExhausted`, `DependencyFailed`, ... */
  kind: Schema.String,
  message: Schema.String,
  /** The last lines of output at that time. */
  output: Schema.Array(Schema.String),
  /** In milliseconds since the epoch. */
  at: Schema.Number,
})
export type FailureStatus = typeof FailureStatus.Type

/** Where a unit is. */
export const UnitStatus = Schema.Struct({
  name: Schema.String,
  kind: Kind,
  description: Schema.optional(Schema.String),
  state: StateName,
  /** Why it is not simply up, as a sentence. Absent where there is nothing to say. */
  reason: Schema.optional(Schema.String),
  /** What is wanted of it: `up`, `down`, or `manual` while nobody has said so. */
  desired: Schema.Literal("up", "down", "manual"),
  /** Since when it is in that state, in milliseconds since the epoch. */
  since: Schema.Number,
  /** Of the current instance, else of the last one; 0: there was none. */
  generation: Schema.Int,
  /** Whose process it is: started here, or somebody else's. Absent for targets and tasks. */
  ownership: Schema.optional(Schema.Literal("launched", "external")),
  /** Of the current instance. */
  pid: Schema.optional(Schema.Int),
  /** When the current instance, else the last one, was started, in milliseconds since the epoch. */
  startedAt: Schema.optional(Schema.Number),
  /** When it became Ready. */
  readyAt: Schema.optional(Schema.Number),
  /** When the next restart is due. */
  restartAt: Schema.optional(Schema.Number),
  /** Failures in a row since it was last stable. */
  failures: Schema.Int,
  /** Restarts that nobody asked for, since the supervisor started. */
  restarts: Schema.Int,
  /** How the last instance ended by itself. */
  end: Schema.optional(EndStatus),
  /** The last thing that went wrong since somebody started it. */
  failure: Schema.optional(FailureStatus),
  port: Schema.optional(Schema.Int),
  /** Where it answers, as far as its spec says so. */
  url: Schema.optional(Schema.String),
  /** What its probes learned: named groups of a `log` probe, `version` of an `http` probe. */
  outputs: Schema.Record({ key: Schema.String, value: Schema.String }),
  /** What it runs, masked values replaced. */
  command: Schema.optional(Schema.String),
}).annotations({ identifier: "UnitStatus" })
export type UnitStatus = typeof UnitStatus.Type
