/**
 * Runs jobs so that they outlive the program: accepts, queues, starts, adopts, signals and reads them. `layer` does so on
 * a `JobStore`, with keepers on this machine.
 */
import * as fs from "node:fs"
import { join, resolve } from "node:path"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Option from "effect/Option"
import { EventLog } from "../event/EventLog.js"
import * as Metrics from "../event/Metrics.js"
import { systemReason } from "../process/Diagnosis.js"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as PlatformTable from "../process/PlatformTable.js"
import { ProcessTable } from "../process/ProcessTable.js"
import type { TableUnreadable } from "../process/ProcessTable.js"
import * as Tracing from "../process/Tracing.js"
import * as Wake from "../process/Wake.js"
import * as Adoption from "./run/Adoption.js"
import { Attempts } from "./run/Attempts.js"
import * as JobChanges from "./run/JobChanges.js"
import { JobEvent } from "./JobEvent.js"
import type { JobId } from "./JobId.js"
import * as JobInput from "./run/JobInput.js"
import * as JobKill from "./run/JobKill.js"
import * as JobLogs from "./log/JobLogs.js"
import * as JobQueue from "./queue/JobQueue.js"
import { hasEnded, transition } from "./JobRecord.js"
import type { JobRecord } from "./JobRecord.js"
import type { Collected, Service } from "./JobRunnerService.js"
import type { JobGroup } from "./JobStoreService.js"
import * as JobTelemetry from "./run/JobTelemetry.js"
import * as JobSpec from "./JobSpec.js"
import { JobStore } from "./JobStore.js"
import * as Keeper from "./keeper/Keeper.js"
import { Launcher } from "./run/Launcher.js"
import { Notifier } from "./Notifier.js"
import type { RunnerContext } from "./run/RunnerContext.js"
import { background, now, publish, steadily } from "./run/RunnerContext.js"
import * as Strays from "./run/Strays.js"
import * as Trash from "./run/Trash.js"
import type { StoreError, StoreFull } from "./StoreError.js"

export type * from "./JobRunnerService.js"
export { KeeperUnavailable, type KeeperProgram } from "./keeper/Keeper.js"

/** Runs jobs. */
export class JobRunner extends Context.Tag("holdfast/job/JobRunner")<JobRunner, Service>() {}

/** What is kept of jobs that are over. Whatever breaks one of the limits goes, the one that ended first being first. */
export interface Keep {
  /** Those that ended within this time. */
  readonly age?: Duration.Duration | undefined
  /** So many of those that ended last. */
  readonly count?: number | undefined
  /** Those that ended last, up to so many bytes of logs in total. */
  readonly bytes?: number | undefined
}

/** How often what is not to be kept is deleted. */
const collectEvery = "1 minute"

/** Where and how jobs are run. */
export interface Options {
  /** The directory under which everything is kept; one program at a time runs jobs in it. */
  readonly root: string
  /** What keeps the jobs; default `perl` where it is installed, else `node`. */
  readonly keeper?: Keeper.KeeperProgram | undefined
  /** What jobs inherit. Default: this program's own variables. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** What is kept of jobs that are over; all else is deleted, looked at once a minute. Default: everything is kept. */
  readonly keep?: Keep | undefined
  /** Told of every stored change, in order for each job. Default: nothing. */
  readonly onChange?: ((record: JobRecord) => Effect.Effect<void>) | undefined
}

const decodeGroup = InvalidSpec.decoder(
  "group of jobs",
  Schema.Struct({
    name: JobSpec.GroupName,
    parallelism: Schema.optional(
      Schema.NullOr(
        Schema.Int.pipe(Schema.between(1, 10_000)).annotations({
          message: () => ({
            message: "expected a whole number from 1 to 10000, or null for no limit",
            override: true,
          }),
        }),
      ),
    ),
    paused: Schema.optional(Schema.Boolean),
  }),
)

const make = (options: Options) =>
  Effect.gen(function* () {
    const root = resolve(options.root)
    const env = { ...(options.env ?? process.env) }
    const store = yield* JobStore
    const table = yield* ProcessTable
    const notifier = yield* Notifier
    const scope = yield* Effect.scope
    yield* Effect.try({
      try: () => fs.mkdirSync(join(root, "jobs"), { recursive: true, mode: 0o700 }),
      catch: (cause) =>
        new Keeper.KeeperUnavailable({ root, reason: `its folder "jobs": ${systemReason(cause)}` }),
    })
    const own = yield* Effect.orDie(table.identifyChild(process.pid))
    const keeper = yield* Keeper.make({ root, program: options.keeper, env }, table)
    const queue = JobQueue.make()
    const changes = JobChanges.make()
    const wake = Wake.make()
    const events = Option.getOrUndefined(yield* Effect.serviceOption(EventLog))
    const { onChange = () => Effect.void } = options
    const tell = (record: JobRecord) => Effect.zipRight(JobTelemetry.tell(record, events), onChange(record))
    const context: RunnerContext = {
      root,
      env,
      store,
      table,
      keeper,
      notifier,
      queue,
      changes,
      wake,
      bootId: own.bootId,
      startTimes: new Map(),
      stopping: new Set(),
      scope,
      tell,
    }
    const launcher = new Launcher(context)
    const attempts = new Attempts(context, launcher.refused, launcher.begun)
    yield* Metrics.collector(JobTelemetry.count(store.counts))
    yield* Trash.empty(root)
    for (const group of yield* store.groups) queue.setGroup(group)
    yield* notifier.recover((id) =>
      Effect.catchTag(store.get(id), "JobNotFound", () => Effect.succeed(undefined)),
    )
    yield* Adoption.run(context, attempts)
    yield* background(
      context,
      Effect.gen(function* () {
        const [heard, isDone] = yield* keeper.news.takeAll
        for (const news of Chunk.toReadonlyArray(heard)) yield* attempts.hear(news)
        if (isDone) yield* Effect.never
      }).pipe(Effect.forever),
    )
    yield* Adoption.sweep(context, attempts)
    yield* launcher.run(attempts)

    // Before all else ends: what was told to go and has lost its leader would never be looked for again.
    yield* Effect.addFinalizer(() =>
      Effect.forEach(
        [...context.stopping].filter((group) => group.hasEnded()),
        (group) => group.stop("SIGKILL", Duration.zero, scope),
        { concurrency: "unbounded", discard: true },
      ).pipe(Effect.interruptible, Effect.timeoutOption("3 seconds")),
    )

    const source: JobLogs.Source = {
      root,
      get: store.find,
      watch: (id) =>
        Effect.gen(function* () {
          const later = yield* changes.of(id)
          const record = yield* store.get(id)
          return { record, changes: Stream.takeUntil(later, hasEnded) }
        }),
    }

    const kill: Service["kill"] = (name, options = {}) =>
      Effect.flatMap(store.find(name), (record) => JobKill.kill(context, attempts, record, options))

    const remove = (record: JobRecord) =>
      Effect.gen(function* () {
        // The folder out of the way first: what is left of it after a crash is found in the trash.
        if (!hasEnded(record) && record.state._tag !== "created") return yield* store.remove(record.id)
        const restore = yield* Trash.put(root, record.id)
        // A record without a folder can be deleted once more; a folder without a record would never be found.
        if (restore === undefined) yield* Trash.erase(root, record.id)
        const removed = yield* store.remove(record.id).pipe(
          // On a full disk what goes anyway makes the room.
          Effect.catchTag("StoreFull", () => Effect.zipRight(Trash.empty(root), store.remove(record.id))),
          Effect.tapError(() => restore ?? Effect.void),
        )
        queue.drop(record.id)
        wake.signal()
        yield* background(context, Trash.empty(root))
        return removed
      }).pipe(Effect.uninterruptible)

    const collect: Service["collect"] = Tracing.fn("JobRunner.collect")(function* (
      policy,
      { dryRun = false } = {},
    ) {
      const removed: Array<JobId> = []
      let bytes = 0
      while (true) {
        const garbage = yield* store.garbage(policy)
        let full: StoreFull | undefined
        let isStuck = true
        for (const job of garbage) {
          if (!dryRun) {
            const outcome = yield* Effect.either(Effect.flatMap(store.get(job.id), remove))
            const error = Either.isLeft(outcome) ? outcome.left : undefined
            if (error?._tag === "StoreFailed" || error?._tag === "StoreCorrupt") return yield* error
            // The output of the others may make room for this one.
            if (error?._tag === "StoreFull") full = error
            // Where somebody else was quicker, it is gone all the same.
            else isStuck = false
            if (error !== undefined) continue
          }
          removed.push(job.id)
          bytes += job.bytes
        }
        if (dryRun || garbage.length === 0) return { removed, bytes } satisfies Collected
        if (isStuck && full !== undefined) return yield* full
      }
    })

    if (options.keep !== undefined) {
      const { age, bytes, count } = options.keep
      const round = Effect.gen(function* () {
        const endedSince = age === undefined ? undefined : (yield* now) - Duration.toMillis(age)
        const { removed } = yield* collect({ endedSince, count, bytes })
        if (removed.length > 0) yield* Effect.logInfo(`Deleted ${removed.length} old jobs`)
      })
      yield* background(
        context,
        Effect.forever(
          Effect.zipRight(
            Effect.catchAll(round, (error) => Effect.logWarning(error.message)),
            Effect.sleep(collectEvery),
          ),
        ),
      )
    }

    return JobRunner.of({
      root,
      submit: Tracing.fn("JobRunner.submit")(function* (input: JobSpec.Input, { queued = true } = {}) {
        const spec = yield* JobSpec.make(input, { env })
        const inserted = yield* store.insert(spec, { queued })
        if (inserted.isNew) yield* publish(context, inserted.record)
        return inserted
      }),
      start: Tracing.fn("JobRunner.start")(function* (name: string) {
        const found = yield* store.find(name)
        if (found.state._tag === "queued") return found
        const at = yield* now
        const record = yield* unconditional(
          store.update(found.id, (record) => transition(record, JobEvent.Queue({ at }))),
        )
        yield* publish(context, record)
        return record
      }),
      restart: Tracing.fn("JobRunner.restart")(function* (name: string) {
        const found = yield* store.find(name)
        const spec = yield* store.spec(found.id)
        if (!hasEnded(found) && found.state._tag !== "created") yield* kill(found.id)
        const { idempotencyKey: _, ...repeated } = spec
        const { record } = yield* Effect.catchTag(
          store.insert(repeated, { restartOf: found.id }),
          "AmbiguousJobId",
          Effect.die,
        )
        yield* publish(context, record)
        return record
      }),
      get: Tracing.fn("JobRunner.get")((name: string) => store.find(name)),
      list: store.list,
      wait: (name, options) => JobLogs.wait(source, name, options),
      kill: Tracing.fn("JobRunner.kill")(kill),
      why: Tracing.fn("JobRunner.why")(function* (name: string) {
        const { id } = yield* store.find(name)
        return queue.why(id, yield* steadily)
      }),
      tail: (name, options) => JobLogs.tail(source, name, options),
      read: (name, options) => JobLogs.read(source, name, options),
      follow: (name, options) => JobLogs.follow(source, name, options),
      write: Tracing.fn("JobRunner.write")(function* (name, bytes, { end = false } = {}) {
        const record = yield* store.find(name)
        return yield* JobInput.write(context, attempts, record, bytes, end)
      }),
      remove: Tracing.fn("JobRunner.remove")(function* (name: string) {
        return yield* remove(yield* store.find(name))
      }),
      collect,
      groups: store.groups,
      setGroup: Tracing.fn("JobRunner.setGroup")(function* (name, settings) {
        const given = yield* decodeGroup({ name, ...settings } as never)
        const known = (yield* store.groups).find((group) => group.name === name)
        const parallelism =
          given.parallelism === undefined ? known?.parallelism : (given.parallelism ?? undefined)
        const group: JobGroup = { name, parallelism, paused: given.paused ?? known?.paused ?? false }
        yield* store.setGroup(group)
        queue.setGroup(group)
        wake.signal()
        return group
      }),
      removeGroup: Tracing.fn("JobRunner.removeGroup")(function* (name: string) {
        yield* store.removeGroup(name)
        queue.removeGroup(name)
        wake.signal()
      }),
      strays: Strays.find(context),
      counts: store.counts,
      unreadable: store.unreadable,
      changes: changes.all,
    })
  })

/** A change without a condition. */
const unconditional = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<A, Exclude<E, { readonly _tag: "RevisionMismatch" }>, R> =>
  Effect.catchAll(effect, (error) =>
    (error as { readonly _tag?: string })._tag === "RevisionMismatch"
      ? Effect.die(error)
      : Effect.fail(error as Exclude<E, { readonly _tag: "RevisionMismatch" }>),
  )

/**
 * Runs the jobs of a root. When it is built, what an earlier program left has been taken over. Closing it leaves the
 * running jobs running: the next one takes them over.
 */
export const layer = (
  options: Options,
): Layer.Layer<JobRunner, Keeper.KeeperUnavailable | StoreError | TableUnreadable, JobStore | Notifier> =>
  Layer.scoped(JobRunner, make(options)).pipe(Layer.provide(PlatformTable.layer))
