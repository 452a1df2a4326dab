/** What a store of jobs can do. The Tag is in `JobStore`. */
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Stream from "effect/Stream"
import type { JobEvent } from "./JobEvent.js"
import type { InvalidJobId, JobId } from "./JobId.js"
import type { Garbage, JobQuery, KeepPolicy, Page } from "./JobQuery.js"
import type { InvalidTransition, JobRecord } from "./JobRecord.js"
import type { JobSpec } from "./JobSpec.js"
import type { StateName } from "./JobState.js"
import type {
  AmbiguousJobId,
  JobNotEnded,
  JobNotFound,
  RevisionMismatch,
  SecretsErased,
  StoreError,
} from "./StoreError.js"

/** How to insert a job. */
export interface InsertOptions {
  /** Whether it may start at once (queued) or waits to be told to (created). Default true. */
  readonly queued?: boolean | undefined
  /** The job that it repeats. */
  readonly restartOf?: JobId | undefined
}

/** A job as it is stored. `isNew` is false when its idempotency key was known: then nothing was changed. */
export interface Inserted {
  readonly record: JobRecord
  readonly isNew: boolean
}

/** A change on a condition. */
export interface UpdateOptions {
  /** Only if this is the record's revision. */
  readonly ifRevision?: number | undefined
  /**
   * Not to wait for the disk: the change outlives the program, and perhaps not a loss of power. For what can be found
   * out again then, such as an end that a keeper has noted. Default false.
   */
  readonly relaxed?: boolean | undefined
}

/** The settings of a group of jobs. */
export interface JobGroup {
  readonly name: string
  /** How many of its jobs may run at the same time; undefined: no limit. */
  readonly parallelism: number | undefined
  /** Whether none of its jobs may start for now. */
  readonly paused: boolean
}

/** A record that could not be read. It was taken out, and is kept as it was found. */
export interface UnreadableRecord {
  /** Undefined when not even that could be read. */
  readonly id: string | undefined
  /** In milliseconds since the epoch. */
  readonly foundAt: number
  readonly reason: string
}

/**
 * The durable store of jobs. Whatever an Effect here has answered is on disk. Changes happen one after the other, in
 * the order they were asked for. One whose caller is interrupted may still happen, or not.
 */
export interface Service {
  /**
   * Stores a new job under a new id. Jobs that it waits for may be given by prefix, and must be there. Secrets are
   * put where no record shows them. Fails with `StoreFull` when the disk is.
   */
  readonly insert: (
    spec: JobSpec,
    options?: InsertOptions,
  ) => Effect.Effect<Inserted, JobNotFound | AmbiguousJobId | StoreError>
  /** The job of that id. */
  readonly get: (id: JobId) => Effect.Effect<JobRecord, JobNotFound | StoreError>
  /** The only job whose id begins so, in any case of letters. What is outside of the grammar is never looked up. */
  readonly find: (
    name: string,
  ) => Effect.Effect<JobRecord, InvalidJobId | JobNotFound | AmbiguousJobId | StoreError>
  /** What to start: the spec with its secrets, as long as these are kept. Never to be shown, logged or stored. */
  readonly spec: (id: JobId) => Effect.Effect<JobSpec, JobNotFound | SecretsErased | StoreError>
  /** The jobs asked for, the newest first, a page at a time. */
  readonly list: (query?: JobQuery) => Effect.Effect<Page, StoreError>
  /** Lets something happen to a job, and gives the record that came of it. */
  readonly transition: (
    id: JobId,
    event: JobEvent,
    options?: UpdateOptions,
  ) => Effect.Effect<JobRecord, InvalidTransition | JobNotFound | RevisionMismatch | StoreError>
  /**
   * Changes a record by a pure function of what is stored, which is called within the transaction, and more than once
   * if the transaction has to be repeated. Giving the same record back, or a `Left`, changes nothing.
   */
  readonly update: <E>(
    id: JobId,
    change: (record: JobRecord) => Either.Either<JobRecord, E>,
    options?: UpdateOptions,
  ) => Effect.Effect<JobRecord, E | JobNotFound | RevisionMismatch | StoreError>
  /** Deletes the record of a job that has ended or was never queued, and gives it. Its files are the caller's. */
  readonly remove: (id: JobId) => Effect.Effect<JobRecord, JobNotFound | JobNotEnded | StoreError>
  /** Ended jobs that a policy does not keep, the one that ended first being first. Nothing is deleted. */
  readonly garbage: (policy: KeepPolicy) => Effect.Effect<ReadonlyArray<Garbage>, StoreError>
  /** Every job that has not ended, the oldest first: what a daemon adopts when it starts. */
  readonly unended: Stream.Stream<JobRecord, StoreError>
  /** How many jobs are in each state. */
  readonly counts: Effect.Effect<Readonly<Record<StateName, number>>, StoreError>
  /** The groups with settings, by name. A group without any has no limit and is not paused. */
  readonly groups: Effect.Effect<ReadonlyArray<JobGroup>, StoreError>
  /** Sets what is to be known of a group. */
  readonly setGroup: (group: JobGroup) => Effect.Effect<void, StoreError>
  /** Forgets the settings of a group. */
  readonly removeGroup: (name: string) => Effect.Effect<void, StoreError>
  /** Records that were set aside because they could not be read, the latest first: at most 1,000. */
  readonly unreadable: Effect.Effect<ReadonlyArray<UnreadableRecord>, StoreError>
  /** Tells programs that find the store locked where its owner answers. */
  readonly announce: (address: string) => Effect.Effect<void, StoreError>
}
