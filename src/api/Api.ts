/**
 * The contract: one value that the server serves, the client is derived from, and the OpenAPI document describes. JSON
 * in snake case; every answer carries `schema_version`, `ok` and `type`.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import * as Answers from "./Answers.js"
import { answered } from "./ApiError.js"
import { describe, EventStream } from "./Describe.js"
import { ExecRequest, Millis } from "./ExecRequest.js"
import * as Params from "./Params.js"
import { Units } from "./UnitApi.js"

const { maybe } = Params

const notFound = answered(404, "No such job.")
const ambiguous = answered(409, "Several jobs begin so.")
const diskFull = answered(507, "The disk is full. Retryable.")

const Exec = HttpApiEndpoint.post("exec", "/exec")
  .setPayload(ExecRequest)
  .addSuccess(Answers.Run)
  .addError(notFound)
  .addError(ambiguous)
  .addError(diskFull)
  .annotateContext(
    describe("Run a command", "The job is on disk before the answer is sent. It outlives the daemon."),
  )

const Status = HttpApiEndpoint.get("status", "/status/:id")
  .setPath(Params.JobPath)
  .addSuccess(Answers.Status)
  .addError(notFound)
  .addError(ambiguous)
  .annotateContext(describe("Where a job is"))

const Tail = HttpApiEndpoint.get("tail", "/tail/:id")
  .setPath(Params.JobPath)
  .setUrlParams(
    Schema.Struct({
      lines: maybe(Params.Lines, "Lines of each log. Default 50."),
      max_bytes: maybe(Params.TailBytes, "Bytes of each log. Default 65536."),
      attempt: maybe(Params.Attempt, "Which attempt, from 1. Default: the last."),
    }),
  )
  .addSuccess(Answers.Tail)
  .addError(notFound)
  .addError(ambiguous)
  .annotateContext(describe("The ends of both logs"))

const Wait = HttpApiEndpoint.get("wait", "/wait/:id")
  .setPath(Params.JobPath)
  .setUrlParams(
    Schema.Struct({
      until_ms: maybe(
        Params.Millis,
        "Answer after so many milliseconds at the latest. Default: never give up.",
      ),
      pattern: maybe(Schema.NonEmptyString, "A regular expression for one line of output."),
      stream: maybe(Params.StreamName, "Where to look for the pattern. Default: both."),
      silence_ms: maybe(
        Params.Millis,
        "Wait for so many milliseconds without output. Not together with `pattern`.",
      ),
    }),
  )
  .addSuccess(Answers.Wait)
  .addError(notFound)
  .addError(ambiguous)
  .annotateContext(describe("Wait for the end of a job, for a line of its output, or for silence"))

const Kill = HttpApiEndpoint.post("kill", "/kill/:id")
  .setPath(Params.JobPath)
  .setUrlParams(
    Schema.Struct({
      signal: maybe(Schema.String, "By name, with or without `SIG`. Default TERM."),
      grace_ms: maybe(
        Params.Millis,
        "From the signal to KILL, in milliseconds. Default: the job's `kill_after_ms`.",
      ),
      escalate: maybe(
        Params.Flag,
        "Whether KILL follows. Default: for the signals that ask a program to end.",
      ),
    }),
  )
  .setPayload(
    Schema.Struct({
      signal: maybe(Schema.String),
      grace_ms: maybe(Millis),
      escalate: maybe(Schema.Boolean),
    }).annotations({ description: "As the query, which the body wins over. It may be left out." }),
  )
  .addSuccess(Answers.Kill)
  .addError(notFound)
  .addError(ambiguous)
  .addError(diskFull)
  .annotateContext(
    OpenApi.annotations({
      summary: "Signal every process of a job",
      transform: (operation) => ({
        ...operation,
        requestBody: { ...(operation["requestBody"] as object), required: false },
      }),
    }),
  )

const List = HttpApiEndpoint.get("list", "/jobs")
  .setUrlParams(
    Schema.Struct({
      state: maybe(Params.States, "In one of these states."),
      tag: maybe(Params.Words, "With each of these tags."),
      cwd: maybe(Schema.String, "Run in this directory."),
      group: maybe(Schema.String, "Of this group."),
      text: maybe(Schema.String, "Somewhere in the command."),
      since: maybe(Params.Time, "Created then or later."),
      until: maybe(Params.Time, "Created before."),
      before: maybe(Schema.String, "Older than this job: the `next` of the page before."),
      limit: maybe(Params.PageSize, "So many at most. Default 50."),
    }),
  )
  .addSuccess(Answers.JobList)
  .annotateContext(describe("List jobs, the newest first"))

const Job = HttpApiEndpoint.get("job", "/jobs/:id")
  .setPath(Params.JobPath)
  .addSuccess(Answers.Job)
  .addError(notFound)
  .addError(ambiguous)
  .annotateContext(describe("Everything about a job"))

const Delete = HttpApiEndpoint.del("delete", "/jobs/:id")
  .setPath(Params.JobPath)
  .addSuccess(Answers.Deleted)
  .addError(notFound)
  .addError(ambiguous)
  .addError(diskFull)
  .annotateContext(describe("Delete a job that is over, or was never queued, with its logs"))

const Start = HttpApiEndpoint.post("start", "/start/:id")
  .setPath(Params.JobPath)
  .addSuccess(Answers.Started)
  .addError(notFound)
  .addError(ambiguous)
  .addError(diskFull)
  .annotateContext(describe("Let a created job start"))

const Restart = HttpApiEndpoint.post("restart", "/restart/:id")
  .setPath(Params.JobPath)
  .addSuccess(Answers.Restarted)
  .addError(notFound)
  .addError(ambiguous)
  .addError(diskFull)
  .annotateContext(describe("Stop a job if it runs, and run the same again as a new one"))

const Log = HttpApiEndpoint.get("log", "/log/:id")
  .setPath(Params.JobPath)
  .setUrlParams(
    Schema.Struct({
      stream: maybe(Params.StreamName, "Which log. Default stdout."),
      offset: maybe(Params.Offset, "Where to begin, in bytes. Default 0."),
      max_bytes: maybe(Params.ReadBytes, "So many at most. Default 65536."),
      attempt: maybe(Params.Attempt, "Which attempt, from 1. Default: the last."),
      encoding: maybe(
        Schema.Literal("utf-8", "base64"),
        "How it is answered. Default utf-8, which never cuts a character in two.",
      ),
    }),
  )
  .addSuccess(Answers.Log)
  .addError(notFound)
  .addError(ambiguous)
  .annotateContext(describe("A piece of a log, from an offset on"))

const Follow = HttpApiEndpoint.get("follow", "/follow/:id")
  .setPath(Params.JobPath)
  .setUrlParams(
    Schema.Struct({
      stream: maybe(Params.StreamName, "Only this log. Default: both."),
      attempt: maybe(Params.Attempt, "Which attempt to begin with. Default: the last, or the first to come."),
      stdout_offset: maybe(Params.Offset, "Where to begin, in bytes. Default 0."),
      stderr_offset: maybe(Params.Offset, "Where to begin, in bytes. Default 0."),
    }),
  )
  .setHeaders(Schema.Struct({ "last-event-id": maybe(Params.Cursor) }))
  .addSuccess(EventStream)
  .addError(notFound)
  .addError(ambiguous)
  .annotateContext(
    describe(
      "Output as it comes",
      "Server-sent events `output`, `state` and `end`. Their ids are `attempt:stdoutOffset:stderrOffset`; a request with one as `Last-Event-ID` goes on exactly there.",
    ),
  )

const Stdin = HttpApiEndpoint.post("stdin", "/stdin/:id")
  .setPath(Params.JobPath)
  .setPayload(
    Schema.Struct({
      text: maybe(Schema.String, "What to write. Not together with `base64`."),
      base64: maybe(Schema.String, "Bytes to write, in base 64."),
      end: maybe(Schema.Boolean, "Whether this is all. Default false."),
    }),
  )
  .addSuccess(Answers.Written)
  .addError(notFound)
  .addError(ambiguous)
  .annotateContext(describe('Write to the standard input of a running job with `stdin: "pipe"`'))

const Why = HttpApiEndpoint.get("why", "/why/:id")
  .setPath(Params.JobPath)
  .addSuccess(Answers.Why)
  .addError(notFound)
  .addError(ambiguous)
  .annotateContext(describe("Why a job has not started"))

const Collect = HttpApiEndpoint.post("gc", "/gc")
  .setPayload(
    Schema.Struct({
      older_than_ms: maybe(Schema.NonNegativeInt, "Those that ended more milliseconds ago go."),
      keep: maybe(Schema.NonNegativeInt, "So many of those that ended last stay."),
      max_bytes: maybe(Schema.NonNegativeInt, "Those that ended last stay, up to so many bytes of logs."),
      dry_run: maybe(Schema.Boolean, "Only say which. Default false."),
    }).annotations({ description: "At least one limit. What breaks any of them goes." }),
  )
  .addSuccess(Answers.Collected)
  .addError(diskFull)
  .annotateContext(describe("Delete old jobs that have ended, with their logs"))

const Leftovers = HttpApiEndpoint.get("leftovers", "/leftovers")
  .addSuccess(Answers.Leftovers)
  .annotateContext(describe("Processes of jobs that are over, and records that could not be read"))

const Groups = HttpApiEndpoint.get("groups", "/groups")
  .addSuccess(Answers.Groups)
  .annotateContext(describe("The groups that have settings"))

const SetGroup = HttpApiEndpoint.put("setGroup", "/groups/:name")
  .setPath(Params.GroupPath)
  .setPayload(
    Schema.Struct({
      parallelism: maybe(
        Schema.NullOr(Schema.Int.pipe(Schema.positive())),
        "How many of its jobs may run at the same time; null: no limit.",
      ),
      paused: maybe(Schema.Boolean, "Whether no more of its jobs start."),
    }),
  )
  .addSuccess(Answers.GroupSet)
  .addError(diskFull)
  .annotateContext(describe("Change what is given of a group's settings"))

const DeleteGroup = HttpApiEndpoint.del("deleteGroup", "/groups/:name")
  .setPath(Params.GroupPath)
  .addSuccess(Answers.GroupDeleted)
  .addError(diskFull)
  .annotateContext(describe("Forget a group's settings"))

const Health = HttpApiEndpoint.get("health", "/health")
  .addSuccess(Answers.Health)
  .annotateContext(describe("Whether the daemon answers", "Needs no token."))

const eventFilter = {
  after: maybe(Params.EventCursor, "A cursor: the `seq` of the last entry that is known."),
  subject: maybe(Schema.String, "Only about this job or unit."),
  type: maybe(Params.Words, "Only of these types; `job` stands for all that begin with `job.`."),
}

const Events = HttpApiEndpoint.get("events", "/events")
  .setUrlParams(
    Schema.Struct({
      ...eventFilter,
      limit: maybe(Params.PageSize, "So many at most. Default 100."),
    }),
  )
  .addSuccess(Answers.Events)
  .annotateContext(describe("What happened, from a cursor on"))

const FollowEvents = HttpApiEndpoint.get("followEvents", "/events/follow")
  .setUrlParams(Schema.Struct(eventFilter))
  .setHeaders(Schema.Struct({ "last-event-id": maybe(Params.EventCursor) }))
  .addSuccess(EventStream)
  .annotateContext(
    describe(
      "What happens, as it does",
      "Server-sent events `event` and `missed`, which says how many were dropped before this reader came to them. Their ids are cursors; a request with one as `Last-Event-ID` goes on there.",
    ),
  )

const Metrics = HttpApiEndpoint.get("metrics", "/metrics")
  .addSuccess(HttpApiSchema.Text({ contentType: "text/plain; version=0.0.4; charset=utf-8" }))
  .annotateContext(describe("What the daemon does, for Prometheus"))

const Document = HttpApiEndpoint.get("openapi", "/openapi.json")
  .addSuccess(Schema.Unknown)
  .annotateContext(describe("This description"))

const Docs = HttpApiEndpoint.get("docs", "/docs")
  .addSuccess(HttpApiSchema.Text({ contentType: "text/html; charset=utf-8" }))
  .annotateContext(describe("This description as a page"))

/** Run commands and look after them. */
class Jobs extends HttpApiGroup.make("jobs", { topLevel: true })
  .add(Exec)
  .add(Status)
  .add(Tail)
  .add(Wait)
  .add(Kill)
  .add(List)
  .add(Job)
  .add(Delete)
  .add(Start)
  .add(Restart)
  .add(Log)
  .add(Follow)
  .add(Stdin)
  .add(Why)
  .add(Collect)
  .add(Leftovers)
  .add(Groups)
  .add(SetGroup)
  .add(DeleteGroup)
  .annotateContext(OpenApi.annotations({ description: "Run commands and look after them." })) {}

const Shutdown = HttpApiEndpoint.post("shutdown", "/shutdown")
  .setUrlParams(
    Schema.Struct({
      grace_ms: maybe(
        Params.Millis,
        "From a unit's stop signal to KILL, in milliseconds. Default: each unit's own.",
      ),
    }),
  )
  .addSuccess(Answers.ShuttingDown)
  .annotateContext(
    describe(
      "End the daemon",
      "Units stop, each before what it depends on; jobs go on. Answers before it has ended.",
    ),
  )

/** About the daemon itself. */
class Daemon extends HttpApiGroup.make("daemon", { topLevel: true })
  .add(Health)
  .add(Events)
  .add(FollowEvents)
  .add(Metrics)
  .add(Shutdown)
  .add(Document)
  .add(Docs)
  .annotateContext(OpenApi.annotations({ description: "About the daemon itself." })) {}

// What does not decode is answered as an `ApiError` too, not in the form that an `HttpApi` has for it by itself.
const Empty = Object.assign(HttpApi.make("holdfast"), {
  errorSchema: Schema.Never,
}) as unknown as HttpApi.HttpApi<"holdfast">

/** The whole contract. */
export const Api = Empty.add(Jobs)
  .add(Units)
  .add(Daemon)
  .addError(answered(400, "The request is wrong, or does not fit the state of what it is about."))
  .addError(answered(401, "No token, or not the right one."))
  .addError(answered(403, "The Host is not this daemon's, or the Origin is foreign."))
  .addError(answered(408, "The request did not arrive in time. Retryable."))
  .addError(answered(413, "The body has more than 1 MiB."))
  .addError(answered(415, "The body is not application/json."))
  .addError(answered(500, "A fault of the daemon, which its log tells about."))
  .addError(answered(503, "The daemon cannot do it now. Retryable."))
  .annotateContext(
    OpenApi.annotations({
      title: "Holdfast",
      description: "Keeps servers up and keeps jobs from getting lost.",
    }),
  )
