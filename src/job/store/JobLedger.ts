/** How records are inserted, changed and removed, over whatever tables hold them. Each runs as one transaction. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Mask from "../../process/Mask.js"
import type * as JobId from "../JobId.js"
import * as JobRecord from "../JobRecord.js"
import * as JobSecrets from "../JobSecrets.js"
import type { JobSpec } from "../JobSpec.js"
import type { Inserted, InsertOptions, UpdateOptions } from "../JobStoreService.js"
import { AmbiguousJobId, JobNotEnded, JobNotFound, RevisionMismatch, SecretsErased } from "../StoreError.js"

/** What holds the records. */
export interface Tables<E> {
  readonly read: (id: string) => Effect.Effect<JobRecord.JobRecord | undefined, E>
  /** The newest ids that begin so. */
  readonly withPrefix: (prefix: string, limit: number) => Effect.Effect<ReadonlyArray<JobId.JobId>, E>
  readonly withKey: (key: string) => Effect.Effect<JobRecord.JobRecord | undefined, E>
  readonly secretsOf: (id: JobId.JobId) => Effect.Effect<JobSecrets.JobSecrets | undefined, E>
  readonly add: (
    record: JobRecord.JobRecord,
    secrets: JobSecrets.JobSecrets | undefined,
  ) => Effect.Effect<void, E>
  readonly replace: (record: JobRecord.JobRecord) => Effect.Effect<void, E>
  readonly eraseSecrets: (id: JobId.JobId) => Effect.Effect<void, E>
  readonly drop: (id: JobId.JobId) => Effect.Effect<void, E>
}

const candidates = 10

/** The only id that begins so. */
export const resolve = <E>(
  tables: Tables<E>,
  prefix: string,
): Effect.Effect<JobId.JobId, JobNotFound | AmbiguousJobId | E> =>
  Effect.gen(function* () {
    const found = yield* tables.withPrefix(prefix, candidates + 1)
    const [first] = found
    if (first === undefined) return yield* new JobNotFound({ id: prefix })
    if (found.length === 1) return first
    const more = found.length > candidates
    return yield* new AmbiguousJobId({ prefix, candidates: found.slice(0, candidates), more })
  })

/** The record of that id. */
export const get = <E>(
  tables: Tables<E>,
  id: JobId.JobId,
): Effect.Effect<JobRecord.JobRecord, JobNotFound | E> =>
  Effect.flatMap(tables.read(id), (record) =>
    record === undefined ? Effect.fail(new JobNotFound({ id })) : Effect.succeed(record),
  )

/** Adds a job under that id, or finds the one of the same idempotency key. */
export const insert = <E>(
  tables: Tables<E>,
  id: JobId.JobId,
  inherited: Mask.Variables,
  spec: JobSpec,
  { queued = true, restartOf }: InsertOptions,
): Effect.Effect<Inserted, JobNotFound | AmbiguousJobId | E> =>
  Effect.gen(function* () {
    if (spec.idempotencyKey !== undefined) {
      const record = yield* tables.withKey(spec.idempotencyKey)
      if (record !== undefined) return { record, isNew: false }
    }
    const after = yield* Effect.forEach(spec.after, (dependency) =>
      Effect.map(resolve(tables, dependency.job), (job) => ({ ...dependency, job: job as string })),
    )
    const resolved = { ...spec, after: after as unknown as JobSpec["after"] }
    const { hidden, secrets, shown } = JobSecrets.hide(resolved, inherited)
    const at = Math.trunc(yield* Clock.currentTimeMillis)
    const record = JobRecord.make({ id, spec: shown, hidden, queued, at, restartOf })
    yield* tables.add(record, secrets)
    return { record, isNew: true }
  })

/** Changes a record, and erases its secrets as soon as nothing needs them. */
export const update = <E, E2>(
  tables: Tables<E>,
  id: JobId.JobId,
  change: (record: JobRecord.JobRecord) => Either.Either<JobRecord.JobRecord, E2>,
  { ifRevision }: UpdateOptions,
): Effect.Effect<JobRecord.JobRecord, E2 | JobNotFound | RevisionMismatch | E> =>
  Effect.gen(function* () {
    const record = yield* get(tables, id)
    const { revision } = record
    if (ifRevision !== undefined && ifRevision !== revision) {
      return yield* new RevisionMismatch({ id, expected: ifRevision, actual: revision })
    }
    const changed = yield* change(record)
    if (changed === record) return record
    // What was asked for does not change, nor does what goes by it: tags, key, dependencies.
    const { createdAt, hidden, spec } = record
    const stored = { ...changed, id, createdAt, hidden, spec, revision: revision + 1 }
    yield* tables.replace(stored)
    if (JobSecrets.areNeeded(record) && !JobSecrets.areNeeded(stored) && hidden.length > 0) {
      yield* tables.eraseSecrets(id)
    }
    return stored
  })

/** Removes a record that nothing will happen to any more. */
export const remove = <E>(
  tables: Tables<E>,
  id: JobId.JobId,
): Effect.Effect<JobRecord.JobRecord, JobNotFound | JobNotEnded | E> =>
  Effect.gen(function* () {
    const record = yield* get(tables, id)
    const state = record.state._tag
    if (!JobRecord.hasEnded(record) && state !== "created") return yield* new JobNotEnded({ id, state })
    yield* tables.drop(id)
    return record
  })

/** What to start. */
export const specOf = <E>(
  tables: Tables<E>,
  id: JobId.JobId,
): Effect.Effect<JobSpec, JobNotFound | SecretsErased | E> =>
  Effect.gen(function* () {
    const { hidden, spec } = yield* get(tables, id)
    if (hidden.length === 0) return spec
    const secrets = yield* tables.secretsOf(id)
    return secrets === undefined
      ? yield* new SecretsErased({ id, fields: hidden })
      : JobSecrets.reveal(spec, secrets)
  })
