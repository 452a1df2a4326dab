/** A store of jobs in memory, for tests and for apps whose jobs need not outlive them. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as Mask from "../../process/Mask.js"
import * as Tracing from "../../process/Tracing.js"
import * as JobId from "../JobId.js"
import * as JobLedger from "./JobLedger.js"
import * as JobQuery from "../JobQuery.js"
import type { JobRecord } from "../JobRecord.js"
import { endedAt, hasEnded, logBytes, transition } from "../JobRecord.js"
import type { JobSecrets } from "../JobSecrets.js"
import type { JobSpec } from "../JobSpec.js"
import { StateName } from "../JobState.js"
import type { InsertOptions, JobGroup, Service } from "../JobStoreService.js"
import { StoreFull } from "../StoreError.js"

/** How much it may hold, and what its jobs inherit. */
export interface Options {
  /** So many jobs; then inserting fails with `StoreFull`. Default: no limit. */
  readonly maxJobs?: number | undefined
  /** The variables that jobs inherit, whose masked values are hidden. Default: the program's own. */
  readonly inherited?: Mask.Variables | undefined
}

/** What it holds, to look at. */
export interface Contents {
  /** Every record by id, the oldest first. */
  readonly records: ReadonlyMap<JobId.JobId, JobRecord>
  /** The secrets that are still kept. */
  readonly secrets: ReadonlyMap<JobId.JobId, JobSecrets>
  /** Where the owner said that it answers. */
  readonly address: string | undefined
}

const matches =
  (query: JobQuery.JobQuery) =>
  (record: JobRecord): boolean => {
    const { lowest, end } = JobQuery.idRange(query)
    const { id, spec, state } = record
    return (
      id >= lowest &&
      id < end &&
      (query.states === undefined || query.states.includes(state._tag)) &&
      (query.tags ?? []).every((tag) => spec.tags.includes(tag)) &&
      (query.cwd === undefined || spec.cwd === query.cwd) &&
      (query.group === undefined || spec.group === query.group) &&
      (query.text === undefined ||
        JobQuery.lower(JobQuery.searchedCommand(record)).includes(JobQuery.lower(query.text)))
    )
  }

/** A new empty store, and a way to look into it. */
export const make = ({ inherited, maxJobs = Infinity }: Options = {}): {
  readonly service: Service
  readonly contents: Effect.Effect<Contents>
} => {
  const records = new Map<JobId.JobId, JobRecord>()
  const secrets = new Map<JobId.JobId, JobSecrets>()
  const groups = new Map<string, JobGroup>()
  let address: string | undefined
  const nextId = JobId.factory()
  const newestFirst = () => [...records.values()].sort((a, b) => (a.id < b.id ? 1 : -1))

  const tables: JobLedger.Tables<StoreFull> = {
    read: (id) => Effect.sync(() => records.get(id as JobId.JobId)),
    withPrefix: (prefix, limit) =>
      Effect.sync(() =>
        newestFirst()
          .map(({ id }) => id)
          .filter((id) => id.startsWith(prefix))
          .slice(0, limit),
      ),
    withKey: (key) => Effect.sync(() => newestFirst().find(({ spec }) => spec.idempotencyKey === key)),
    secretsOf: (id) => Effect.sync(() => secrets.get(id)),
    add: (record, hidden) =>
      Effect.suspend(() => {
        if (records.size >= maxJobs) return Effect.fail(new StoreFull({ path: "memory" }))
        records.set(record.id, record)
        if (hidden !== undefined) secrets.set(record.id, hidden)
        return Effect.void
      }),
    replace: (record) => Effect.sync(() => void records.set(record.id, record)),
    eraseSecrets: (id) => Effect.sync(() => void secrets.delete(id)),
    drop: (id) =>
      Effect.sync(() => {
        records.delete(id)
        secrets.delete(id)
      }),
  }

  // One transaction at a time: Effect may let others run between two steps.
  const writer = Effect.unsafeMakeSemaphore(1).withPermits(1)
  const update: Service["update"] = (id, change, options = {}) =>
    writer(JobLedger.update(tables, id, change, options))

  const service: Service = {
    insert: Tracing.fn("JobStore.insert")(function* (spec: JobSpec, options: InsertOptions = {}) {
      const id = yield* nextId
      return yield* writer(JobLedger.insert(tables, id, inherited ?? process.env, spec, options))
    }),
    get: Tracing.fn("JobStore.get")((id: JobId.JobId) => JobLedger.get(tables, id)),
    find: Tracing.fn("JobStore.find")(function* (name: string) {
      const id = yield* JobLedger.resolve(tables, yield* JobId.parsePrefix(name))
      return yield* JobLedger.get(tables, id)
    }),
    spec: Tracing.fn("JobStore.spec")((id: JobId.JobId) => JobLedger.specOf(tables, id)),
    list: Tracing.fn("JobStore.list")((query: JobQuery.JobQuery = {}) =>
      Effect.sync(() => {
        const found = newestFirst().filter(matches(query))
        const jobs = found.slice(0, JobQuery.pageSize(query))
        return { jobs, next: found.length > jobs.length ? jobs.at(-1)?.id : undefined }
      }),
    ),
    transition: Tracing.fn("JobStore.transition")((id, event, options) =>
      update(id, (record) => transition(record, event), options),
    ),
    update: Tracing.fn("JobStore.update")(update) as Service["update"],
    remove: Tracing.fn("JobStore.remove")((id: JobId.JobId) => writer(JobLedger.remove(tables, id))),
    garbage: Tracing.fn("JobStore.garbage")((policy: JobQuery.KeepPolicy) =>
      Effect.sync(() => {
        const all = [...records.values()]
        const awaited = new Set<string>(
          all.filter((record) => !hasEnded(record)).flatMap(({ spec }) => spec.after.map(({ job }) => job)),
        )
        const ended = all
          .filter(hasEnded)
          .map((record) => ({ id: record.id, endedAt: endedAt(record)!, bytes: logBytes(record) }))
          .sort((a, b) => a.endedAt - b.endedAt || (a.id < b.id ? -1 : 1))
        const total = { count: ended.length, bytes: ended.reduce((sum, { bytes }) => sum + bytes, 0) }
        const oldest = ended.filter(({ id }) => !awaited.has(id)).slice(0, policy.limit ?? 1_000)
        return JobQuery.garbageOf(oldest, total, policy)
      }),
    ),
    unended: Stream.unwrap(
      Effect.sync(() =>
        Stream.fromIterable(
          newestFirst()
            .filter((record) => !hasEnded(record))
            .reverse(),
        ),
      ),
    ),
    counts: Effect.sync(() => {
      const counts = Object.fromEntries(StateName.literals.map((name) => [name, 0])) as Record<
        StateName,
        number
      >
      for (const { state } of records.values()) counts[state._tag] += 1
      return counts
    }),
    groups: Effect.sync(() => [...groups.values()].sort((a, b) => (a.name < b.name ? -1 : 1))),
    setGroup: (group) => Effect.sync(() => void groups.set(group.name, group)),
    removeGroup: (name) => Effect.sync(() => void groups.delete(name)),
    unreadable: Effect.succeed([]),
    announce: (where) =>
      Effect.sync(() => {
        address = where
      }),
  }

  const contents = Effect.sync(() => ({ records: new Map(records), secrets: new Map(secrets), address }))
  return { service, contents }
}
