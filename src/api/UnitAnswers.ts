/** What the API answers about units. See `Answers`. */
import * as Schema from "effect/Schema"
import { GraphView } from "../unit/GraphView.js"
import { Kind } from "../unit/UnitSpec.js"
import { StateName } from "../unit/UnitStatus.js"
import { answer, Time } from "./Answers.js"
import { field, maybe } from "./Params.js"

const UnitName = field(Schema.String, "The unit's name.")
const Names = Schema.Array(Schema.String)

/** Where a unit is. Masked values are `***`. */
export const UnitInfo = Schema.Struct({
  name: UnitName,
  kind: field(Kind, "What it is."),
  description: maybe(Schema.String, "What its configuration says about it."),
  state: field(StateName, "Where it is."),
  reason: maybe(Schema.String, "Why it is not simply up, as a sentence."),
  desired: field(
    Schema.Literal("up", "down", "manual"),
    "What is wanted of it; `manual`: nobody has said so yet.",
  ),
  since: field(Time, "Since when it is in that state."),
  generation: field(Schema.Int, "Of the current instance, else of the last one; 0: there was none."),
  ownership: maybe(
    Schema.Literal("launched", "external"),
    "Whose process it is: started here, or somebody else's.",
  ),
  pid: maybe(Schema.Int, "Of the current instance."),
  started_at: maybe(Time, "When the current instance, else the last one, was started."),
  ready_at: maybe(Time, "When it became ready."),
  restart_at: maybe(Time, "When the next restart is due."),
  failures: field(Schema.Int, "Failures in a row since it was last stable."),
  restarts: field(Schema.Int, "Restarts that nobody asked for, since the daemon started."),
  end: maybe(
    Schema.Struct({
      exit_code: maybe(Schema.Int, "Of one that ended by itself."),
      signal: maybe(Schema.String, "Of one that a signal ended, such as `SIGKILL`."),
      result: maybe(Schema.String, "Of a task: `success`, or what it failed with."),
    }),
    "How the last instance ended, if there is no other by now.",
  ),
  failure: maybe(
    Schema.Struct({
      kind: field(Schema.String, "A word for programs, such as `EarlyExit` or `StartTimeout`."),
      message: field(Schema.String, "The same for people."),
      output: field(Schema.Array(Schema.String), "The last lines of output at that time."),
      at: field(Time, "When it went wrong."),
    }),
    "The last thing that went wrong since somebody started it.",
  ),
  port: maybe(Schema.Int, "The port that it was given."),
  url: maybe(Schema.String, "Where it answers, as far as its description says so."),
  outputs: field(Schema.Record({ key: Schema.String, value: Schema.String }), "What its probes learned."),
  command: maybe(Schema.String, "What it runs."),
}).annotations({ identifier: "UnitInfo" })
export type UnitInfo = typeof UnitInfo.Type

/** `GET /units`. */
export const UnitList = answer("units", {
  units: field(Schema.Array(UnitInfo), "Each before what depends on it."),
}).annotations({ identifier: "UnitList" })
export type UnitList = typeof UnitList.Type

/** `GET /units/{name}`. */
export const Unit = answer("unit", UnitInfo.fields).annotations({ identifier: "Unit" })
export type Unit = typeof Unit.Type

/** Why an answer about something that takes its time comes now. */
const Reason = Schema.Literal("done", "deadline")

/** `POST /units`, and `start`, `stop` and `restart` of one unit. */
export const UnitAction = answer("unit-action", {
  action: field(Schema.Literal("start", "stop", "restart"), "What was asked for."),
  reason: field(Reason, "Why the answer comes now. What has been begun goes on after a `deadline`."),
  units: field(
    Schema.Array(UnitInfo),
    "The units that it is about, as they are now; of a stop that is done, all that were stopped.",
  ),
}).annotations({ identifier: "UnitAction" })
export type UnitAction = typeof UnitAction.Type

/** `POST /units/{name}/kill`. */
export const UnitKill = answer("unit-kill", {
  name: UnitName,
  signal: field(Schema.String, "What was sent."),
  sent: field(Schema.Boolean, "False: no process was left to signal."),
}).annotations({ identifier: "UnitKill" })
export type UnitKill = typeof UnitKill.Type

/** `GET /units/{name}/why`. */
export const UnitWhy = answer("unit-why", {
  name: UnitName,
  state: field(StateName, "Where it is."),
  is_up: field(Schema.Boolean, "Whether it is up."),
  chain: field(
    Schema.Array(
      Schema.Struct({
        unit: UnitName,
        state: field(StateName, "Where that is."),
        reason: field(Schema.String, "Why it is not up, for people."),
        advice: maybe(Schema.String, "What to do about it."),
        output: field(Schema.Array(Schema.String), "The last lines of output, of a first cause."),
      }),
    ),
    "From the unit itself to the first cause; all branches where there are several. Empty when it is up.",
  ),
}).annotations({ identifier: "UnitWhy" })
export type UnitWhy = typeof UnitWhy.Type

/** `GET /graph`. */
export const UnitGraph = answer("graph", GraphView.fields).annotations({ identifier: "UnitGraph" })
export type UnitGraph = typeof UnitGraph.Type

/** One line of a unit's output; the data of the event `line`. */
export const UnitLine = Schema.Struct({
  seq: field(
    Schema.Int,
    "Grows from line to line, by more than 1 after a crash of the daemon. It is a cursor: what is read `after` it begins with the next line.",
  ),
  at: field(Time, "When it was complete."),
  stream: field(
    Schema.Literal("stdout", "stderr", "holdfast"),
    "Where it was written; `holdfast`: said by the daemon about the unit.",
  ),
  text: field(Schema.String, "Without its end. What is not UTF-8 is U+FFFD."),
  continued: maybe(
    Schema.Literal(true),
    "Only of a line that was too long, and goes on in the next one of its stream.",
  ),
  generation: field(Schema.Int, "The instance that wrote it."),
}).annotations({ identifier: "UnitLine" })
export type UnitLine = typeof UnitLine.Type

/** How many lines are not there any more; the data of the event `missed`. */
export const Missed = Schema.Struct({
  count: field(Schema.Int, "How many; 0 where it cannot be known."),
  next: field(Schema.Int, "Where it goes on: a cursor."),
}).annotations({ identifier: "Missed" })
export type Missed = typeof Missed.Type

/** `GET /units/{name}/logs`. */
export const UnitLogs = answer("unit-logs", {
  name: UnitName,
  lines: field(
    Schema.Array(UnitLine),
    "The oldest first; none is missing between them. Fewer than asked for when they are very long.",
  ),
  next: field(Schema.Int, "A cursor: to read or follow on, pass it as `after`."),
  latest: field(
    Schema.Int,
    "The `seq` of the latest line; 0 before the first one. When `next` has come so far, that is all for now.",
  ),
  missed: maybe(Missed, "What is not there any more between the cursor and the first line here."),
}).annotations({ identifier: "UnitLogs" })
export type UnitLogs = typeof UnitLogs.Type

const Changed = Schema.Array(
  Schema.Struct({
    name: UnitName,
    fields: field(
      Schema.Array(Schema.String),
      "What differs, such as `command` or `env.PORT`; never its value.",
    ),
  }),
)

/** `POST /reload`. */
export const Reloaded = answer("reload", {
  file: field(Schema.String, "The configuration that was read."),
  dry_run: field(Schema.Boolean, "Whether this is only what would be done."),
  reason: field(Reason, "Why the answer comes now. What has been begun goes on after a `deadline`."),
  added: field(Names, "Units that are new."),
  removed: field(Names, "Units that are gone."),
  changed: field(Changed, "Units that are described in another way."),
  unchanged: field(Names, "Units that stay as they are."),
  follows: field(
    Schema.Array(Schema.Struct({ name: UnitName, to: field(Schema.String, "What it is bound to.") })),
    "Those of the unchanged that restart all the same, as they are bound to one that has changed.",
  ),
  groups: field(
    Schema.Struct({
      added: field(Names, "Groups that are new."),
      removed: field(Names, "Groups that are gone."),
      changed: field(Changed, "Groups that are described in another way."),
    }),
    "Groups of units. Their members are not touched for it.",
  ),
  started: field(Schema.Array(UnitInfo), "Units that were started by it, as they are now."),
}).annotations({ identifier: "Reloaded" })
export type Reloaded = typeof Reloaded.Type
