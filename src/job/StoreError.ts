/** What can go wrong with the store of jobs: one error for each thing a person or a program would do about it. */
import * as Schema from "effect/Schema"
import { JobId } from "./JobId.js"
import { StateName } from "./JobState.js"

/** No job of that name. */
export class JobNotFound extends Schema.TaggedError<JobNotFound>()("JobNotFound", { id: Schema.String }) {
  override get message(): string {
    return `There is no job ${this.id}. It may have been deleted; list the jobs to see those that are there.`
  }
}

/** Several jobs begin so. */
export class AmbiguousJobId extends Schema.TaggedError<AmbiguousJobId>()("AmbiguousJobId", {
  prefix: Schema.String,
  /** Some of them, the newest first: at most 10. */
  candidates: Schema.Array(JobId),
  /** Whether there are more than those. */
  more: Schema.Boolean,
}) {
  override get message(): string {
    const list = `${this.candidates.join(", ")}${this.more ? " and more" : ""}`
    return `Several jobs begin with ${this.prefix}: ${list}. Give more characters.`
  }
}

/** The job still has something before it and cannot be deleted. */
export class JobNotEnded extends Schema.TaggedError<JobNotEnded>()("JobNotEnded", {
  id: JobId,
  state: StateName,
}) {
  override get message(): string {
    return `Job ${this.id} is ${this.state} and cannot be deleted. Stop it first.`
  }
}

/** Somebody else changed the job first. */
export class RevisionMismatch extends Schema.TaggedError<RevisionMismatch>()("RevisionMismatch", {
  id: JobId,
  expected: Schema.Int,
  actual: Schema.Int,
}) {
  readonly retryable = true
  override get message(): string {
    return `Job ${this.id} has changed meanwhile (revision ${this.actual}, not ${this.expected}). Look again and retry.`
  }
}

/** The secrets of a job are gone since it started, so that it cannot be run once more as it was. */
export class SecretsErased extends Schema.TaggedError<SecretsErased>()("SecretsErased", {
  id: JobId,
  /** Such as `env.TOKEN` and `stdin`. */
  fields: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return `What job ${this.id} was given as ${this.fields.join(", ")} was erased when it started. Give it again in a new job.`
  }
}

/** The disk is full. Nothing was stored and nothing is broken. */
export class StoreFull extends Schema.TaggedError<StoreFull>()("StoreFull", { path: Schema.String }) {
  readonly retryable = true
  override get message(): string {
    return `The store of jobs at ${this.path} cannot grow: the disk is full. Free some space, or delete old jobs, and try again.`
  }
}

/** A program that owns this store already. */
export class StoreLocked extends Schema.TaggedError<StoreLocked>()("StoreLocked", {
  root: Schema.String,
  /** Undefined when it does not say. */
  pid: Schema.optional(Schema.Int),
  /** Where it answers; undefined when it does not, or does not say. */
  address: Schema.optional(Schema.String),
}) {
  override get message(): string {
    const who = this.pid === undefined ? "another program" : `the program with pid ${this.pid}`
    const where = this.address === undefined ? "" : `, which answers at ${this.address}`
    return `The jobs under ${this.root} belong to ${who}${where}. Use that one, stop it, or choose another root.`
  }
}

/** The database is damaged. */
export class StoreCorrupt extends Schema.TaggedError<StoreCorrupt>()("StoreCorrupt", {
  path: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `The store of jobs at ${this.path} is damaged: ${this.reason}. Restart the daemon: it sets the file aside and saves what can be read.`
  }
}

/** The database was written by a later version of this program. It is left as it is. */
export class StoreTooNew extends Schema.TaggedError<StoreTooNew>()("StoreTooNew", {
  path: Schema.String,
  found: Schema.Int,
  known: Schema.Int,
}) {
  override get message(): string {
    return `The store of jobs at ${this.path} has format ${this.found}; this version knows up to ${this.known}. Use the later version again, or another root.`
  }
}

/** Anything else that the system or the database refused. */
export class StoreFailed extends Schema.TaggedError<StoreFailed>()("StoreFailed", {
  path: Schema.String,
  reason: Schema.String,
  /** Whether it may pass by itself, such as a lock that another program holds for a while. */
  retryable: Schema.Boolean,
}) {
  override get message(): string {
    return `The store of jobs at ${this.path} cannot be used: ${this.reason}.`
  }
}

/** What any use of an open store may meet. */
export const StoreError = Schema.Union(StoreFull, StoreCorrupt, StoreFailed)
export type StoreError = typeof StoreError.Type

/** Why a store could not be opened. */
export const OpenError = Schema.Union(StoreLocked, StoreTooNew, StoreFull, StoreCorrupt, StoreFailed)
export type OpenError = typeof OpenError.Type
