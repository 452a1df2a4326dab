/** What the tests of the API share: a job runner that does what the test tells it, and bare HTTP. */
import { mkdtempSync, rmSync } from "node:fs"
import * as http from "node:http"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as EventLog from "../../src/event/EventLog.js"
import * as Server from "../../src/api/ApiServer.js"
import { PlanSource } from "../../src/api/PlanSource.js"
import { JobEvent } from "../../src/job/JobEvent.js"
import * as JobId from "../../src/job/JobId.js"
import * as JobRecord from "../../src/job/JobRecord.js"
import { JobRunner } from "../../src/job/JobRunner.js"
import type { Followed, LogTail, Service } from "../../src/job/JobRunnerService.js"
import type { Inserted } from "../../src/job/JobStoreService.js"
import * as JobSecrets from "../../src/job/JobSecrets.js"
import * as JobSpec from "../../src/job/JobSpec.js"
import { InputClosed, LogUnusable } from "../../src/job/RunnerError.js"
import { AmbiguousJobId, JobNotEnded, JobNotFound, type StoreError } from "../../src/job/StoreError.js"
import { PortHolders } from "../../src/probe/PortHolder.js"
import type { InvalidSpec } from "../../src/process/InvalidSpec.js"
import { ProcessIdentity } from "../../src/process/ProcessIdentity.js"
import { StopReport } from "../../src/process/Process.js"
import type { Service as Supervisors } from "../../src/unit/SupervisorService.js"
import { Supervisor } from "../../src/unit/SupervisorTag.js"

/** A directory that is gone after the test. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-api-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true })),
)

interface Entry {
  record: JobRecord.JobRecord
  stdout: Buffer
  stderr: Buffer
  input: string
}

/** A runner of jobs that runs nothing: what would be a process's doing is the test's. */
export interface Fake {
  readonly service: Service
  /** Lets a queued job start. */
  readonly launch: (id: string) => Effect.Effect<void>
  readonly print: (id: string, stream: "stdout" | "stderr", text: string | Buffer) => Effect.Effect<void>
  readonly exit: (id: string, code: number) => Effect.Effect<void>
  /** What the store has to say from now on to whoever submits. */
  readonly refuse: (error: StoreError | undefined) => void
  /** What every wait is refused for from now on. */
  readonly refuseWaits: (error: InvalidSpec) => void
  readonly input: (id: string) => string
  /** Done when somebody waits for a job or follows one. */
  readonly watched: Effect.Effect<void>
}

/** A new one, whose jobs start as soon as they are accepted unless told otherwise. */
export const fake = (root: string): Effect.Effect<Fake> =>
  Effect.gen(function* () {
    const jobs = new Map<string, Entry>()
    const groups = new Map<string, { name: string; parallelism: number | undefined; paused: boolean }>()
    const version = yield* SubscriptionRef.make(0)
    const watched = yield* Deferred.make<void>()
    const newId = JobId.factory()
    let refusal: StoreError | undefined
    let waitRefusal: InvalidSpec | undefined
    const now = () => Date.now()
    const bump = SubscriptionRef.update(version, (count) => count + 1)

    const find = (name: string) =>
      Effect.gen(function* () {
        const prefix = yield* JobId.parsePrefix(name)
        const found = [...jobs.values()].filter(({ record }) => record.id.startsWith(prefix))
        if (found.length > 1)
          return yield* new AmbiguousJobId({
            prefix,
            candidates: found.map(({ record }) => record.id),
            more: false,
          })
        return found[0] ?? (yield* new JobNotFound({ id: prefix }))
      })
    const change = (entry: Entry, event: JobEvent) =>
      Effect.gen(function* () {
        entry.record = yield* JobRecord.transition(entry.record, event)
        yield* bump
        return entry.record
      })
    const at = (id: string) => jobs.get(id)!
    const launch = (id: string) =>
      Effect.gen(function* () {
        const entry = at(id)
        const number = entry.record.attempts.length + 1
        const paths = { stdout: `jobs/${id}/${number}/stdout.log`, stderr: `jobs/${id}/${number}/stderr.log` }
        yield* change(entry, JobEvent.Launch({ at: now(), keeper: "k", bootId: "b", ...paths }))
        const process = new ProcessIdentity({ pid: 4_711, startTime: "1", bootId: "b" })
        yield* change(entry, JobEvent.Started({ at: now(), process }))
      }).pipe(Effect.orDie)

    /** The first answer that is given, now or after a change. */
    const when = <A>(look: () => A | undefined) =>
      Effect.zipRight(
        Deferred.succeed(watched, undefined),
        version.changes.pipe(
          Stream.map(look),
          Stream.filter((found) => found !== undefined),
          Stream.runHead,
          Effect.map(Option.getOrThrow),
        ),
      )

    const tailOf = (entry: Entry, name: "stdout" | "stderr", lines = 50): LogTail => {
      const whole = entry[name].toString()
      const kept =
        lines === 0
          ? ""
          : whole
              .split(/(?<=\n)/)
              .slice(-lines)
              .join("")
      return {
        path: join(root, `jobs/${entry.record.id}/1/${name}.log`),
        text: kept,
        truncated: kept.length < whole.length,
        observedBytes: entry[name].length,
        includedBytes: Buffer.byteLength(kept),
        nextOffset: entry[name].length,
      }
    }

    const service: Service = {
      root,
      submit: (input, options) =>
        Effect.gen(function* () {
          if (refusal !== undefined) return yield* refusal
          const spec = yield* JobSpec.make(input, { cwd: "/srv", env: {} })
          const key = spec.idempotencyKey
          const known = [...jobs.values()].find(
            ({ record }) => key !== undefined && record.spec.idempotencyKey === key,
          )
          if (known !== undefined) return { record: known.record, isNew: false } satisfies Inserted
          const { hidden, shown } = JobSecrets.hide(spec, {})
          const id = yield* newId
          const queued = options?.queued ?? true
          const record = JobRecord.make({ id, spec: shown, hidden, queued })
          jobs.set(id, { record, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), input: "" })
          if (queued && spec.group !== "held") yield* launch(id)
          return { record: at(id).record, isNew: true } satisfies Inserted
        }),
      start: (name) => Effect.flatMap(find(name), (entry) => change(entry, JobEvent.Queue({ at: now() }))),
      restart: (name) =>
        Effect.gen(function* () {
          const { record } = yield* find(name)
          const id = yield* newId
          const next = JobRecord.make({
            id,
            spec: record.spec,
            hidden: [],
            queued: true,
            restartOf: record.id,
          })
          jobs.set(id, { record: next, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), input: "" })
          return next
        }),
      get: (name) => Effect.map(find(name), ({ record }) => record),
      list: (query = {}) =>
        Effect.sync(() => {
          const all = [...jobs.values()].map(({ record }) => record).reverse()
          const wanted = all.filter(
            (record) =>
              (query.states === undefined || query.states.includes(record.state._tag)) &&
              (query.tags ?? []).every((tag) => record.spec.tags.includes(tag)) &&
              (query.before === undefined || record.id < query.before),
          )
          const page = wanted.slice(0, query.limit ?? 50)
          return { jobs: page, next: page.length < wanted.length ? page.at(-1)!.id : undefined }
        }),
      wait: (name, options = {}) =>
        Effect.gen(function* () {
          const entry = yield* find(name)
          if (waitRefusal !== undefined) return yield* waitRefusal
          const goal = options.for ?? "end"
          const found = when(() => {
            if (typeof goal === "object" && "pattern" in goal) {
              const line = entry.stdout
                .toString()
                .split("\n")
                .find((one) => new RegExp(goal.pattern).test(one))
              if (line !== undefined) {
                const match = { stream: "stdout" as const, line, offset: 0, groups: {} }
                return { record: entry.record, reason: "pattern" as const, match }
              }
            }
            return JobRecord.hasEnded(entry.record)
              ? { record: entry.record, reason: "ended" as const }
              : undefined
          })
          if (options.until === undefined) return yield* found
          const late = () => ({ record: entry.record, reason: "deadline" as const })
          return yield* Effect.timeoutTo(found, {
            duration: options.until,
            onSuccess: (value) => value,
            onTimeout: late,
          })
        }),
      kill: (name, options = {}) =>
        Effect.gen(function* () {
          const entry = yield* find(name)
          const signal = options.signal ?? "SIGTERM"
          if (JobRecord.hasEnded(entry.record)) return { record: entry.record, signal, stop: undefined }
          const event =
            entry.record.state._tag === "running"
              ? JobEvent.Signaled({ at: now(), signal })
              : JobEvent.Cancel({ at: now(), signal })
          const record = yield* change(entry, event)
          const stop = new StopReport({
            sent: [signal],
            escalated: false,
            escapees: [],
            elapsedMillis: 1,
            survivors: [],
          })
          return { record, signal, stop }
        }),
      why: (name) =>
        Effect.map(find(name), ({ record }) =>
          record.state._tag === "queued"
            ? [{ kind: "group-paused" as const, sentence: "Its group is paused.", jobs: [] }]
            : [],
        ),
      tail: (name, options = {}) =>
        Effect.map(find(name), (entry) => ({
          record: entry.record,
          attempt: entry.record.attempts.length,
          stdout: tailOf(entry, "stdout", options.lines),
          stderr: tailOf(entry, "stderr", options.lines),
        })),
      read: (name, { attempt = 1, maxBytes = 65_536, offset = 0, stream = "stdout" } = {}) =>
        Effect.gen(function* () {
          const entry = yield* find(name)
          const { length } = entry[stream]
          if (attempt > 1)
            return yield* new LogUnusable({
              id: entry.record.id,
              reason: `it has no attempt ${attempt}.`,
              isRequest: true,
            })
          if (offset > length)
            return yield* new LogUnusable({
              id: entry.record.id,
              reason: `there is no offset ${offset}.`,
              isRequest: true,
            })
          const bytes = entry[stream].subarray(offset, offset + maxBytes)
          const nextOffset = offset + bytes.length
          const ended = JobRecord.hasEnded(entry.record)
          const path = tailOf(entry, stream).path
          return {
            record: entry.record,
            attempt: 1,
            stream,
            path,
            offset,
            bytes,
            nextOffset,
            eof: nextOffset === length,
            ended,
          }
        }),
      follow: (name, options = {}) =>
        Stream.unwrap(
          Effect.map(find(name), (entry) => {
            const place = { stdout: options.stdoutOffset ?? 0, stderr: options.stderrOffset ?? 0 }
            let state: string | undefined
            const news = (): ReadonlyArray<Followed> => {
              const found: Array<Followed> = []
              for (const stream of ["stdout", "stderr"] as const) {
                const bytes = entry[stream].subarray(place[stream])
                if (bytes.length === 0) continue
                const offset = place[stream]
                place[stream] += bytes.length
                const text = bytes.toString()
                found.push({ _tag: "Output", attempt: 1, stream, offset, nextOffset: place[stream], text })
              }
              if (entry.record.state._tag !== state) found.push({ _tag: "State", record: entry.record })
              state = entry.record.state._tag
              return found
            }
            return Stream.fromEffect(Deferred.succeed(watched, undefined)).pipe(
              Stream.drain,
              Stream.concat(
                version.changes.pipe(
                  Stream.map(() => ({ events: news(), last: JobRecord.hasEnded(entry.record) })),
                  Stream.takeUntil(({ last }) => last),
                  Stream.flatMap(({ events }) => Stream.fromIterable(events)),
                ),
              ),
            )
          }),
        ),
      write: (name, bytes) =>
        Effect.gen(function* () {
          const entry = yield* find(name)
          const state = entry.record.state._tag
          if (state !== "running")
            return yield* new InputClosed({ id: entry.record.id, state, reason: "it does not run" })
          entry.input += Buffer.from(bytes).toString()
          return entry.record
        }),
      remove: (name) =>
        Effect.gen(function* () {
          const { record } = yield* find(name)
          if (!JobRecord.hasEnded(record))
            return yield* new JobNotEnded({ id: record.id, state: record.state._tag })
          jobs.delete(record.id)
          return record
        }),
      collect: () =>
        Effect.sync(() => ({
          removed: [...jobs.values()]
            .filter(({ record }) => JobRecord.hasEnded(record))
            .map(({ record }) => record.id),
          bytes: 12,
        })),
      groups: Effect.sync(() => [...groups.values()]),
      setGroup: (name, { parallelism, paused }) =>
        Effect.sync(() => {
          const group = { name, parallelism: parallelism ?? undefined, paused: paused ?? false }
          groups.set(name, group)
          return group
        }),
      removeGroup: (name) => Effect.sync(() => void groups.delete(name)),
      counts: Effect.succeed({ created: 0, queued: 0, running: 0, exited: 0, killed: 0, failed: 0, lost: 0 }),
      strays: Effect.succeed([]),
      unreadable: Effect.succeed([]),
      changes: Stream.never,
    }

    return {
      service,
      launch,
      print: (id, stream, text) =>
        Effect.suspend(() => {
          at(id)[stream] = Buffer.concat([at(id)[stream], Buffer.from(text)])
          return bump
        }),
      exit: (id, code) => Effect.asVoid(Effect.orDie(change(at(id), JobEvent.Exited({ at: now(), code })))),
      refuse: (error) => {
        refusal = error
      },
      refuseWaits: (error) => {
        waitRefusal = error
      },
      input: (id) => at(id).input,
      watched: Deferred.await(watched),
    }
  })

/** Nobody holds any port. */
export const noHolders = Layer.succeed(PortHolders, {
  find: () => Effect.succeed(undefined),
  listeners: () => Effect.succeed({ holders: [], unnamed: false }),
  isHeldBy: () => Effect.succeed(undefined),
  isFree: () => Effect.succeed(true),
})

/** What an answer was. */
export interface Reply {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any
}

/** How to ask, beside the path. */
export interface Asking {
  readonly method?: string
  readonly headers?: Record<string, string | undefined>
  /** What is no text is sent as JSON. */
  readonly body?: unknown
  /** Default: the server's own. */
  readonly token?: string | null
}

/** A server that is up, and how to speak with it. */
export interface Serving {
  readonly address: string
  readonly root: string
  readonly token: string | undefined
  readonly fake: Fake
  readonly events: EventLog.Service
  readonly port: number
  readonly ask: (path: string, asking?: Asking) => Effect.Effect<Reply>
  /** Runs a job and gives its id. */
  readonly run: (body?: object) => Effect.Effect<string>
  /** Writes these bytes to a fresh connection and gives all that comes until it is closed. */
  readonly raw: (text: string) => Effect.Effect<string>
}

const request = (address: string, path: string, asking: Asking, token: string | undefined) =>
  Effect.async<Reply>((resume) => {
    const isText = typeof asking.body === "string" || Buffer.isBuffer(asking.body)
    const body =
      asking.body === undefined ? undefined : isText ? (asking.body as string) : JSON.stringify(asking.body)
    const bearer = asking.token === undefined ? token : asking.token
    const headers = {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(bearer === undefined || bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
      ...asking.headers,
    }
    const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined))
    const target = address.startsWith("unix:")
      ? { socketPath: address.slice(5) }
      : { host: new URL(address).hostname.replace(/[[\]]/g, ""), port: new URL(address).port }
    const outgoing = http.request(
      {
        ...target,
        path,
        method: asking.method ?? (body === undefined ? "GET" : "POST"),
        headers: given,
        agent: false,
      },
      (incoming) => {
        const chunks: Array<Buffer> = []
        incoming.on("data", (chunk) => chunks.push(chunk))
        incoming.on("end", () => {
          const text = Buffer.concat(chunks).toString()
          const isJson = incoming.headers["content-type"]?.startsWith("application/json") === true
          const status = incoming.statusCode!
          resume(
            Effect.succeed({
              status,
              headers: incoming.headers,
              text,
              body: isJson && text !== "" ? JSON.parse(text) : undefined,
            }),
          )
        })
      },
    )
    outgoing.on("error", (error) => resume(Effect.die(error)))
    outgoing.end(body)
  })

/** What there is beside jobs. */
export interface Beside {
  readonly supervisor?: Supervisors
  readonly plan?: PlanSource["Type"]
}

/** Serves over a fake runner until the scope closes: over a new one in a new root, unless told otherwise. */
export const serve = (
  { plan, supervisor, ...options }: Partial<Server.Options> & Beside = {},
  at?: string,
  known?: Fake,
): Effect.Effect<Serving, never, Scope.Scope> =>
  Effect.gen(function* () {
    const root = at ?? (yield* temporary)
    const runner = known ?? (yield* fake(root))
    const events = Context.get(yield* Layer.build(EventLog.layerMemory()), EventLog.EventLog)
    const server = yield* Server.make({
      bind: "127.0.0.1:0",
      version: "1.2.3",
      metrics: Effect.succeed("holdfast_up 1\n"),
      ...options,
    }).pipe(
      Effect.provideService(JobRunner, runner.service),
      Effect.provideService(EventLog.EventLog, events),
      Effect.provide(noHolders),
      supervisor === undefined ? identity : Effect.provideService(Supervisor, supervisor),
      plan === undefined ? identity : Effect.provideService(PlanSource, plan),
      Effect.orDie,
    )
    const port = server.place._tag === "Tcp" ? server.place.port : 0
    const ask = (path: string, asking: Asking = {}) => request(server.address, path, asking, server.token)
    return {
      address: server.address,
      root,
      token: server.token,
      fake: runner,
      events,
      port,
      ask,
      run: (body = {}) =>
        Effect.map(ask("/exec", { body: { command: ["true"], ...body } }), (reply) => {
          if (reply.status !== 200) throw new Error(reply.text)
          return reply.body.job_id as string
        }),
      raw: (text) =>
        Effect.async<string>((resume) => {
          const socket = connect(port, "127.0.0.1")
          let all = ""
          socket.on("data", (chunk) => (all += chunk.toString()))
          socket.on("error", () => undefined)
          socket.on("close", () => resume(Effect.succeed(all)))
          socket.write(text)
        }),
    }
  })

/** A server-sent event. */
export interface Event {
  readonly event: string
  readonly id: string | undefined
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly data: any
}

/** An open stream: what has come so far, and when it is over. */
export interface Open {
  readonly events: Array<Event>
  /** Done when so many events have come. */
  readonly until: (count: number) => Effect.Effect<void>
  readonly ended: Effect.Effect<void>
  readonly cut: () => void
  readonly contentType: string | undefined
  /** All that was sent. */
  readonly text: () => string
}

/** Opens a stream of events. */
export const open = (serving: Serving, path: string, lastEventId?: string): Effect.Effect<Open> =>
  Effect.gen(function* () {
    const events: Array<Event> = []
    const ended = yield* Deferred.make<void>()
    let wake = () => {}
    return yield* Effect.async<Open>((resume) => {
      const { hostname, port } = new URL(serving.address)
      const headers = {
        authorization: `Bearer ${serving.token}`,
        ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }),
      }
      const outgoing = http.get({ hostname, port, path, headers, agent: false }, (incoming) => {
        let rest = ""
        let all = ""
        incoming.setEncoding("utf8")
        incoming.on("data", (text: string) => {
          all += text
          const blocks = (rest + text).split("\n\n")
          rest = blocks.pop()!
          for (const block of blocks) {
            const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1]
            const event = field("event")
            if (event !== undefined) events.push({ event, id: field("id"), data: JSON.parse(field("data")!) })
          }
          wake()
        })
        const over = () => {
          Deferred.unsafeDone(ended, Exit.void)
          wake()
        }
        incoming.on("end", over).on("error", over)
        resume(
          Effect.succeed({
            events,
            ended: Deferred.await(ended),
            cut: () => outgoing.destroy(),
            contentType: incoming.headers["content-type"],
            text: () => all,
            until: (count) =>
              Effect.async<void>((done) => {
                wake = () => {
                  if (events.length >= count) done(Effect.void)
                }
                wake()
              }),
          }),
        )
      })
      outgoing.on("error", () => undefined)
    })
  })
