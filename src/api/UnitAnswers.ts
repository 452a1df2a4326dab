/** What the API answers about units. See `Answers`. */
import * as Schema from "effect/Schema"
import { GraphView } from "../unit/GraphView.js"
import { Kind } from "../unit/UnitSpec.js"
import { StateName } from "../unit/UnitStatus.js"
import { answer, Time } from "./Answers.js"

const maybe = Schema.optional

/** Where a unit is. Masked values are `***`. */
export const UnitInfo = Schema.Struct({
  name: Schema.String,
  kind: Kind,
  description: maybe(Schema.String),
  state: StateName,
  /** Why it is not simply up, as a sentence. */
  reason: maybe(Schema.String),
  /** What is wanted of it; `manual`: nobody has said so yet. */
  desired: Schema.Literal("up", "down", "manual"),
  /** Since when it is in that state. */
  since: Time,
  /** Of the current instance, else of the last one; 0: there was none. */
  generation: Schema.Int,
  /** Whose process it is: started here, or somebody else's. */
  ownership: maybe(Schema.Literal("launched", "external")),
  /** Of the current instance. */
  pid: maybe(Schema.Int),
  /** When the current instance, else the last one, was started. */
  started_at: maybe(Time),
  /** When it became ready. */
  ready_at: maybe(Time),
  /** When the next restart is due. */
  restart_at: maybe(Time),
  /** Failures in a row since it was last stable. */
  failures: Schema.Int,
  /** Restarts that nobody asked for, since the daemon started. */
  restarts: Schema.Int,
  /** How the last instance ended by itself. */
  end: maybe(
    Schema.Struct({
      exit_code: maybe(Schema.Int),
      /** Such as `SIGKILL`. */
      signal: maybe(Schema.String),
      /** Of a task: `success`, or what it failed with. */
      result: maybe(Schema.String),
    }),
  ),
  /** The last thing that went wrong since somebody started it. */
  failure: maybe(
    Schema.Struct({
      /** A word for programs, such as `EarlyExit` or `StartTimeout`. */
      kind: Schema.String,
      message: Schema.String,
      /** The last lines of output at that time. */
      output: Schema.Array(Schema.String),
      at: Time,
    }),
  ),
  port: maybe(Schema.Int),
  /** Where it answers, as far as its description says so. */
  url: maybe(Schema.String),
  /** What its probes learned. */
  outputs: Schema.Record({ key: Schema.String, value: Schema.String }),
  /** What it runs. */
  command: maybe(Schema.String),
}).annotations({ identifier: "UnitInfo" })
export type UnitInfo = typeof UnitInfo.Type

/** `GET /units`. */
export const UnitList = answer("units", {
  /** Each before what depends on it. */
  units: Schema.Array(UnitInfo),
}).annotations({ identifier: "UnitList" })
export type UnitList = typeof UnitList.Type

/** `GET /units/{name}`. */
export const Unit = answer("unit", UnitInfo.fields).annotations({ identifier: "Unit" })
export type Unit = typeof Unit.Type

/** Why an answer about something that takes its time comes now. */
const Reason = Schema.Literal("done", "deadline")

/** `POST /units`, and `start`, `stop` and `restart` of one unit. */
export const UnitAction = answer("unit-action", {
  action: Schema.Literal("start", "stop", "restart"),
  /** Why the answer comes now. What has been begun goes on after a `deadline`. */
  reason: Reason,
  /** The units that it is about, as they are now; of a stop that is done, all that were stopped. */
  units: Schema.Array(UnitInfo),
}).annotations({ identifier: "UnitAction" })
export type UnitAction = typeof UnitAction.Type

/** `POST /units/{name}/kill`. */
export const UnitKill = answer("unit-kill", {
  name: Schema.String,
  signal: Schema.String,
  /** False: no process was left to signal. */
  sent: Schema.Boolean,
}).annotations({ identifier: "UnitKill" })
export type UnitKill = typeof UnitKill.Type

/** `GET /units/{name}/why`. */
export const UnitWhy = answer("unit-why", {
  name: Schema.String,
  state: StateName,
  is_up: Schema.Boolean,
  /** From the unit itself to the first cause; all branches where there are several. Empty when it is up. */
  chain: Schema.Array(
    Schema.Struct({
      unit: Schema.String,
      state: StateName,
      /** For people. */
      reason: Schema.String,
      /** What to do about it. */
      advice: maybe(Schema.String),
      /** The last lines of output, of a first cause. */
      output: Schema.Array(Schema.String),
    }),
  ),
}).annotations({ identifier: "UnitWhy" })
export type UnitWhy = typeof UnitWhy.Type

/** `GET /graph`. */
export const UnitGraph = answer("graph", GraphView.fields).annotations({ identifier: "UnitGraph" })
export type UnitGraph = typeof UnitGraph.Type

/** One line of a unit's output; the data of the event `line`. */
export const UnitLine = Schema.Struct({
  /** Counts from 1. It is a cursor: what is read `after` it begins with the next line. */
  seq: Schema.Int,
  /** When it was complete. */
  at: Time,
  /** `holdfast`: said by the daemon about the unit. */
  stream: Schema.Literal("stdout", "stderr", "holdfast"),
  /** Without its end. What is not UTF-8 is U+FFFD. */
  text: Schema.String,
  /** Only of a line that was too long, and goes on in the next one of its stream. */
  continued: maybe(Schema.Literal(true)),
  /** The instance that wrote it. */
  generation: Schema.Int,
}).annotations({ identifier: "UnitLine" })
export type UnitLine = typeof UnitLine.Type

/** How many lines are not there any more; the data of the event `missed`. */
export const Missed = Schema.Struct({
  /** How many; 0 where it cannot be known. */
  count: Schema.Int,
  /** Where it goes on: a cursor. */
  next: Schema.Int,
}).annotations({ identifier: "Missed" })
export type Missed = typeof Missed.Type

/** `GET /units/{name}/logs`. */
export const UnitLogs = answer("unit-logs", {
  name: Schema.String,
  /** The oldest first; none is missing between them. Fewer than asked for when they are very long. */
  lines: Schema.Array(UnitLine),
  /** A cursor: to read or follow on, pass it as `after`. */
  next: Schema.Int,
  /** The `seq` of the latest line; 0 before the first one. When `next` has come so far, that is all for now. */
  latest: Schema.Int,
  /** What is not there any more between the cursor and the first line here. */
  missed: maybe(Missed),
}).annotations({ identifier: "UnitLogs" })
export type UnitLogs = typeof UnitLogs.Type

const Changed = Schema.Array(
  Schema.Struct({
    name: Schema.String,
    /** What differs, such as `command` or `env.PORT`; never its value. */
    fields: Schema.Array(Schema.String),
  }),
)

/** `POST /reload`. */
export const Reloaded = answer("reload", {
  /** The configuration that was read. */
  file: Schema.String,
  /** Whether this is only what would be done. */
  dry_run: Schema.Boolean,
  /** Why the answer comes now. What has been begun goes on after a `deadline`. */
  reason: Reason,
  added: Schema.Array(Schema.String),
  removed: Schema.Array(Schema.String),
  changed: Changed,
  unchanged: Schema.Array(Schema.String),
  /** Those of the unchanged that restart all the same, as they are bound to one that has changed. */
  follows: Schema.Array(Schema.Struct({ name: Schema.String, to: Schema.String })),
  /** Groups of units. Their members are not touched for it. */
  groups: Schema.Struct({
    added: Schema.Array(Schema.String),
    removed: Schema.Array(Schema.String),
    changed: Changed,
  }),
  /** Units that were started by it, as they are now. */
  started: Schema.Array(UnitInfo),
}).annotations({ identifier: "Reloaded" })
export type Reloaded = typeof Reloaded.Type
