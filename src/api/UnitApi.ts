/** The part of the contract that is about units. See `Api`. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { answered } from "./ApiError.js"
import { describe, EventStream } from "./Describe.js"
import { Millis } from "./ExecRequest.js"
import * as Params from "./Params.js"
import * as Answers from "./UnitAnswers.js"

const { maybe } = Params

const notFound = answered(404, "No such unit.")
const notStarted = answered(409, "It did not come up, and will not by itself.")

const untilWords =
  "Answer after so many milliseconds at the latest, 0 for at once; what has been begun goes on. Default: when it is done."
const graceWords = "From the stop signal to KILL, in milliseconds. Default: each unit's own."

const until = { until_ms: maybe(Params.Millis, untilWords) }

const List = HttpApiEndpoint.get("units", "/units")
  .setUrlParams(
    Schema.Struct({
      state: maybe(Params.UnitStates, "In one of these states."),
      kind: maybe(Params.UnitKinds, "Of one of these kinds."),
    }),
  )
  .addSuccess(Answers.UnitList)
  .annotateContext(describe("List units, each before what depends on it"))

const Act = HttpApiEndpoint.post("actOnUnits", "/units")
  .setPayload(
    Schema.Struct({
      action: Schema.Literal("start", "stop", "restart").annotations({
        description: "What to do, in an order that suits all of them.",
      }),
      names: maybe(
        Params.UnitNames,
        "Which units. Default: of a start all that start with the daemon, of a restart all that are wanted up, of a stop every one.",
      ),
      until_ms: maybe(Millis, untilWords),
      grace_ms: maybe(Millis, `Of a stop only. ${graceWords}`),
    }).annotations({ identifier: "UnitRequest", description: "What to do with which units." }),
  )
  .addSuccess(Answers.UnitAction)
  .addError(notFound)
  .addError(notStarted)
  .annotateContext(describe("Start, stop or restart several units"))

const Get = HttpApiEndpoint.get("unit", "/units/:name")
  .setPath(Params.UnitPath)
  .addSuccess(Answers.Unit)
  .addError(notFound)
  .annotateContext(describe("Everything about a unit"))

const Start = HttpApiEndpoint.post("startUnit", "/units/:name/start")
  .setPath(Params.UnitPath)
  .setUrlParams(Schema.Struct(until))
  .addSuccess(Answers.UnitAction)
  .addError(notFound)
  .addError(notStarted)
  .annotateContext(
    describe(
      "Start a unit, and what it needs",
      "Answers when it is up (a oneshot: done), or has failed for good. One that is up already is left alone.",
    ),
  )

const Stop = HttpApiEndpoint.post("stopUnit", "/units/:name/stop")
  .setPath(Params.UnitPath)
  .setUrlParams(Schema.Struct({ ...until, grace_ms: maybe(Params.Millis, graceWords) }))
  .addSuccess(Answers.UnitAction)
  .addError(notFound)
  .annotateContext(
    describe(
      "Stop a unit, after what needs it",
      "Answers when no process is left. Processes that outlive KILL are an error, `unit_not_stopped`.",
    ),
  )

const Restart = HttpApiEndpoint.post("restartUnit", "/units/:name/restart")
  .setPath(Params.UnitPath)
  .setUrlParams(Schema.Struct(until))
  .addSuccess(Answers.UnitAction)
  .addError(notFound)
  .addError(notStarted)
  .annotateContext(
    describe("Stop a unit and start it anew", "Answers when it is up. One that is not up is started."),
  )

const Kill = HttpApiEndpoint.post("killUnit", "/units/:name/kill")
  .setPath(Params.UnitPath)
  .setUrlParams(
    Schema.Struct({ signal: maybe(Schema.String, "By name, with or without `SIG`. Default TERM.") }),
  )
  .addSuccess(Answers.UnitKill)
  .addError(notFound)
  .annotateContext(
    describe(
      "Signal every process of a unit",
      "When it ends of that, its restart policy decides what comes next. To have it stay down, stop it.",
    ),
  )

const Why = HttpApiEndpoint.get("whyUnit", "/units/:name/why")
  .setPath(Params.UnitPath)
  .addSuccess(Answers.UnitWhy)
  .addError(notFound)
  .annotateContext(describe("Why a unit is not up, down to the first cause"))

const Logs = HttpApiEndpoint.get("unitLogs", "/units/:name/logs")
  .setPath(Params.UnitPath)
  .setUrlParams(
    Schema.Struct({
      lines: maybe(Params.UnitLines, "So many of the last lines. Default 50."),
      since: maybe(Params.Time, "Of the last lines, only those that came then or later."),
      after: maybe(
        Params.LineCursor,
        "Read on from a cursor instead: the `next` of the page before, or the `seq` of a line. 0: from the oldest line that is kept.",
      ),
      limit: maybe(Params.LinePage, "With `after`: so many lines at most. Default 100."),
    }),
  )
  .addSuccess(Answers.UnitLogs)
  .addError(notFound)
  .annotateContext(
    describe("A unit's output, over all its instances", "The last lines, or those from a cursor on."),
  )

const Follow = HttpApiEndpoint.get("followUnit", "/units/:name/follow")
  .setPath(Params.UnitPath)
  .setUrlParams(
    Schema.Struct({
      lines: maybe(
        Params.UnitLines,
        "So many of the last lines first. Default 0. Not together with `after`.",
      ),
      after: maybe(Params.LineCursor, "A cursor: the `seq` of the last line that is known."),
    }),
  )
  .setHeaders(Schema.Struct({ "last-event-id": maybe(Params.LineCursor) }))
  .addSuccess(EventStream)
  .addError(notFound)
  .annotateContext(
    describe(
      "A unit's output as it comes",
      "Server-sent events `line` and `missed`, which says how many lines were dropped before this reader came to them. Their ids are cursors; a request with one as `Last-Event-ID` goes on there.",
    ),
  )

const Graph = HttpApiEndpoint.get("graph", "/graph")
  .addSuccess(Answers.UnitGraph)
  .annotateContext(describe("What depends on what, and where each unit is"))

const Reload = HttpApiEndpoint.post("reload", "/reload")
  .setUrlParams(
    Schema.Struct({
      dry_run: maybe(Params.Flag, "Only say what would be done. Default false."),
      ...until,
    }),
  )
  .addSuccess(Answers.Reloaded)
  .annotateContext(
    describe(
      "Read the daemon's configuration again, and do what has changed",
      "What is not in it any more is stopped, what has changed and was up is restarted, what is new is started, and nothing else is touched. A configuration that cannot be used changes nothing, and is an error, `config_invalid`.",
    ),
  )

/** Keep units up. */
export class Units extends HttpApiGroup.make("units", { topLevel: true })
  .add(List)
  .add(Act)
  .add(Get)
  .add(Start)
  .add(Stop)
  .add(Restart)
  .add(Kill)
  .add(Why)
  .add(Logs)
  .add(Follow)
  .add(Graph)
  .add(Reload)
  .annotateContext(OpenApi.annotations({ description: "Keep units up." })) {}
