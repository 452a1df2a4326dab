/** What the endpoints about jobs do. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as JobId from "../job/JobId.js"
import { type JobRecord, hasEnded } from "../job/JobRecord.js"
import { JobRunner } from "../job/JobRunner.js"
import type { KillOptions, Service, WaitOptions } from "../job/JobRunnerService.js"
import { InvalidSpec } from "../process/InvalidSpec.js"
import type * as Answers from "./Answers.js"
import * as ApiError from "./ApiError.js"
import * as ExecRequest from "./ExecRequest.js"
import { type Fault, toApiError } from "./Faults.js"
import * as LogHandlers from "./LogHandlers.js"
import * as Present from "./Present.js"
import type { Handlers } from "./Routes.js"
import * as SignalName from "./SignalName.js"
import type { UnitHandlers } from "./UnitHandlers.js"

/** Those of everything about jobs. */
export type JobHandlers = Omit<
  Handlers,
  keyof UnitHandlers | "events" | "followEvents" | "health" | "metrics" | "shutdown" | "openapi" | "docs"
>

const refuse = (message: string) => Effect.fail(ApiError.make("invalid_request", message))

const answered = <A, R>(effect: Effect.Effect<A, Fault, R>): Effect.Effect<A, ApiError.ApiError, R> =>
  Effect.mapError(effect, toApiError)

const span = (millis: number | undefined) => (millis === undefined ? undefined : Duration.millis(millis))

const stoppingNow = ApiError.make(
  "unavailable",
  "The daemon is stopping; the job goes on. Ask again when it is back.",
)

const isBase64 = (text: string): boolean => /^(?:[\w+/]{4})*(?:[\w+/]{2}==|[\w+/]{3}=)?$/.test(text)

const exec = (runner: Service, stopping: Effect.Effect<void>): JobHandlers["exec"] =>
  Effect.fnUntraced(function* ({ payload }) {
    if (payload.until_ms !== undefined && payload.wait !== true)
      return yield* refuse('The request body has "until_ms" without "wait"; it says how long to wait.')
    if (payload.delay_ms !== undefined && payload.start_at !== undefined)
      return yield* refuse('The request body has both "delay_ms" and "start_at"; give one of them.')
    const begin = yield* Clock.currentTimeNanos
    const { isNew, record } = yield* answered(
      runner.submit(ExecRequest.toJob(payload), { queued: payload.start ?? true }),
    )
    const tail = (id: string) =>
      answered(runner.tail(id, { lines: payload.tail_lines, maxBytes: payload.tail_max_bytes }))
    // The job is accepted: when the daemon stops meanwhile, that has to be said all the same.
    const wait = (until: Duration.Duration | undefined) =>
      Effect.raceFirst(
        Effect.map(answered(runner.wait(record.id, { until })), (waited) => waited.record),
        Effect.andThen(stopping, answered(runner.get(record.id))),
      )

    const waitBegin = yield* Clock.currentTimeNanos
    const sinceNanos = (from: bigint) =>
      Effect.map(Clock.currentTimeNanos, (now) => Math.round(Number(now - from) / 1e6))
    let current: JobRecord = record
    let snapshot: Answers.Snapshot | undefined
    const { snapshot_after_ms: after, until_ms: until } = payload
    if (after !== undefined) {
      const first = payload.wait === true && until !== undefined ? Math.min(after, until) : after
      if (first > 0) current = yield* wait(Duration.millis(first))
      snapshot = Present.snapshot(yield* tail(record.id))
    }
    if (payload.wait === true && !hasEnded(current)) {
      const left = until === undefined ? undefined : Math.max(0, until - (yield* sinceNanos(waitBegin)))
      current = left === 0 ? yield* answered(runner.get(record.id)) : yield* wait(span(left))
    }
    const waited = after === undefined && payload.wait !== true ? 0 : yield* sinceNanos(waitBegin)
    const final =
      payload.wait === true && hasEnded(current) ? Present.snapshot(yield* tail(record.id)) : undefined
    const paths =
      final ??
      snapshot ??
      Present.snapshot(yield* answered(runner.tail(record.id, { lines: 0, maxBytes: 0 })))
    const { exit_code, finished_at, signal, cause, reason } = Present.status(current)
    return {
      ...Present.head("run"),
      ...Present.identified(current),
      exit_code,
      signal,
      cause,
      reason,
      tags: current.spec.tags,
      stdout_log_path: paths.stdout_log_path,
      stderr_log_path: paths.stderr_log_path,
      elapsed_ms: yield* sinceNanos(begin),
      waited_ms: waited,
      finished_at,
      snapshot,
      final_snapshot: final,
      is_new: isNew,
    }
  })

/** What a wait is refused for is what stands in the query. */
const asQuery = (fault: Fault): Fault =>
  fault._tag === "InvalidSpec"
    ? new InvalidSpec({
        what: "query",
        issues: fault.issues.map((issue) => ({ ...issue, field: issue.field.replace(/^for\./, "") })),
      })
    : fault

const wait = (runner: Service, stopping: Effect.Effect<void>): JobHandlers["wait"] =>
  Effect.fnUntraced(function* ({ path, urlParams }) {
    const { pattern, silence_ms, stream, until_ms } = urlParams
    if (pattern !== undefined && silence_ms !== undefined)
      return yield* refuse('The query has both "pattern" and "silence_ms"; wait for one of them.')
    if (stream !== undefined && pattern === undefined)
      return yield* refuse('The query has "stream" without "pattern"; it says where to look for that.')
    const goal: WaitOptions["for"] =
      pattern !== undefined
        ? { pattern, stream }
        : silence_ms !== undefined
          ? { silence: Duration.millis(silence_ms) }
          : "end"
    const { match, reason, record } = yield* Effect.raceFirst(
      answered(Effect.mapError(runner.wait(path.id, { until: span(until_ms), for: goal }), asQuery)),
      Effect.andThen(stopping, Effect.fail(stoppingNow)),
    )
    const { cause, exit_code, finished_at, signal } = Present.status(record)
    return {
      ...Present.head("wait"),
      ...Present.identified(record),
      exit_code,
      signal,
      cause,
      reason,
      match,
      finished_at,
    }
  })

const kill = (runner: Service): JobHandlers["kill"] =>
  Effect.fnUntraced(function* ({ path, payload, urlParams }) {
    const signal = yield* SignalName.read(payload.signal ?? urlParams.signal ?? "TERM")
    const options: KillOptions = {
      signal,
      escalate: payload.escalate ?? urlParams.escalate,
      grace: span(payload.grace_ms ?? urlParams.grace_ms),
    }
    const report = yield* answered(runner.kill(path.id, options))
    const { stop } = report
    return {
      ...Present.head("kill"),
      ...Present.identified(report.record),
      signal: SignalName.short(report.signal),
      sent: (stop?.sent ?? []).map(SignalName.short),
      escalated: stop?.escalated ?? false,
      escapees: stop?.escapees ?? [],
      elapsed_ms: stop?.elapsedMillis ?? 0,
      survivors: (stop?.survivors ?? []).map(({ command, pid }) => ({ pid, command })),
    }
  })

const list = (runner: Service): JobHandlers["list"] =>
  Effect.fnUntraced(function* ({ urlParams }) {
    const { before, state, tag, ...rest } = urlParams
    const older = before?.toUpperCase()
    if (older !== undefined && !JobId.isComplete(older))
      return yield* refuse('The query has no whole job\'s id as "before"; use the "next" of the page before.')
    const page = yield* answered(runner.list({ ...rest, states: state, tags: tag, before: older }))
    return {
      ...Present.head("list"),
      jobs: page.jobs.map((record) => Present.info(runner.root, record)),
      next: page.next,
    }
  })

const stdin = (runner: Service): JobHandlers["stdin"] =>
  Effect.fnUntraced(function* ({ path, payload }) {
    const { base64, end = false, text } = payload
    if (text !== undefined && base64 !== undefined)
      return yield* refuse('The request body has both "text" and "base64"; give one of them.')
    if (text === undefined && base64 === undefined && !end)
      return yield* refuse(
        'The request body has neither "text" nor "base64" nor "end": there is nothing to do.',
      )
    if (base64 !== undefined && !isBase64(base64)) return yield* refuse('What is given as "base64" is none.')
    const bytes = base64 === undefined ? Buffer.from(text ?? "") : Buffer.from(base64, "base64")
    const record = yield* answered(runner.write(path.id, bytes, { end }))
    return { ...Present.head("stdin"), ...Present.identified(record), bytes: bytes.length, end }
  })

const collect = (runner: Service): JobHandlers["gc"] =>
  Effect.fnUntraced(function* ({ payload }) {
    const { dry_run: dryRun = false, keep, max_bytes: bytes, older_than_ms: age } = payload
    if (age === undefined && keep === undefined && bytes === undefined)
      return yield* refuse('The request body has no limit; give "older_than_ms", "keep" or "max_bytes".')
    const now = yield* Clock.currentTimeMillis
    const policy = { endedSince: age === undefined ? undefined : now - age, count: keep, bytes }
    const collected = yield* answered(runner.collect(policy, { dryRun }))
    return { ...Present.head("gc"), ...collected, dry_run: dryRun }
  })

const group = (one: {
  readonly name: string
  readonly parallelism: number | undefined
  readonly paused: boolean
}) => ({
  name: one.name,
  parallelism: one.parallelism ?? null,
  paused: one.paused,
})

/**
 * The handlers of everything about jobs.
 *
 * @param stopping done when the daemon begins to stop: whatever would wait answers then
 */
export const make = (stopping: Deferred.Deferred<void>): Effect.Effect<JobHandlers, never, JobRunner> =>
  Effect.map(JobRunner, (runner) => {
    const stopped = Deferred.await(stopping)
    return {
      exec: exec(runner, stopped),
      status: ({ path }) =>
        Effect.map(answered(runner.get(path.id)), (record) => ({
          ...Present.head("status"),
          ...Present.status(record),
        })),
      tail: ({ path, urlParams: { attempt, lines, max_bytes } }) =>
        Effect.map(answered(runner.tail(path.id, { lines, maxBytes: max_bytes, attempt })), (tails) => ({
          ...Present.head("tail"),
          job_id: tails.record.id,
          ...Present.snapshot(tails),
        })),
      wait: wait(runner, stopped),
      kill: kill(runner),
      list: list(runner),
      job: ({ path }) =>
        Effect.map(answered(runner.get(path.id)), (record) => ({
          ...Present.head("job"),
          ...Present.info(runner.root, record),
        })),
      delete: ({ path }) =>
        Effect.map(answered(runner.remove(path.id)), (record) => ({
          ...Present.head("delete"),
          ...Present.identified(record),
        })),
      start: ({ path }) =>
        Effect.map(answered(runner.start(path.id)), (record) => ({
          ...Present.head("start"),
          ...Present.identified(record),
        })),
      restart: ({ path }) =>
        Effect.map(answered(runner.restart(path.id)), (record) => ({
          ...Present.head("restart"),
          ...Present.identified(record),
          restart_of: record.restartOf ?? path.id,
        })),
      ...LogHandlers.make(runner, stopped),
      stdin: stdin(runner),
      why: ({ path }) =>
        answered(
          Effect.zipWith(runner.get(path.id), runner.why(path.id), (record, reasons) => ({
            ...Present.head("why"),
            ...Present.identified(record),
            reasons,
          })),
        ),
      gc: collect(runner),
      leftovers: Effect.fnUntraced(function* () {
        const [strays, unreadable] = yield* answered(Effect.all([runner.strays, runner.unreadable]))
        return {
          ...Present.head("leftovers"),
          strays: strays.map(({ command, id, pid }) => ({ job_id: id, pid, command })),
          unreadable: unreadable.map(({ foundAt, id, reason }) => ({
            ...(id === undefined ? {} : { job_id: id }),
            found_at: Present.time(foundAt),
            reason,
          })),
        }
      }),
      groups: Effect.fnUntraced(function* () {
        const groups = yield* answered(runner.groups)
        return { ...Present.head("groups"), groups: groups.map(group) }
      }),
      setGroup: ({ path, payload }) =>
        Effect.map(answered(runner.setGroup(path.name, payload)), (settings) => ({
          ...Present.head("group"),
          ...group(settings),
        })),
      deleteGroup: ({ path }) =>
        Effect.as(answered(runner.removeGroup(path.name)), {
          ...Present.head("group-delete"),
          name: path.name,
        }),
    }
  })
