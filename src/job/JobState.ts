/** The states of a job, and what is known of each time it was run. */
import * as Schema from "effect/Schema"
import { ProcessIdentity } from "../process/ProcessIdentity.js"

/** A time by the wall clock, in milliseconds since the epoch. */
export const Millis = Schema.Int

/** Why Holdfast began to stop an attempt: its deadline, an operator, or too much output. */
export const StopCause = Schema.Literal("timeout", "stopped", "log-limit")
export type StopCause = typeof StopCause.Type

/** Accepted, and not to be started before somebody says so. */
export const Created = Schema.TaggedStruct("created", {})

/** Waits for its turn. */
export const Queued = Schema.TaggedStruct("queued", {
  since: Millis,
  /** Not to be started earlier: by its delay, its start time, or the backoff of a retry. */
  notBefore: Schema.optional(Millis),
})

/** Handed to a keeper; the last attempt tells whether its process is known. */
export const Running = Schema.TaggedStruct("running", { since: Millis })

/** Ended by itself, with this code. The cause tells whether it did so because it was being stopped. */
export const Exited = Schema.TaggedStruct("exited", {
  code: Schema.Int.pipe(Schema.between(0, 255)),
  cause: Schema.Literal("exit", ...StopCause.literals),
  at: Millis,
})

/** Ended by a signal. The cause `signal` is one that Holdfast did not send. */
export const Killed = Schema.TaggedStruct("killed", {
  signal: Schema.String,
  cause: Schema.Literal("signal", ...StopCause.literals),
  at: Millis,
})

/** Could not be started: the system refused, or what it was to wait for did not succeed. */
export const Failed = Schema.TaggedStruct("failed", {
  /** The name of the error, such as `CommandNotFound`. */
  error: Schema.String,
  /** One sentence for people. */
  reason: Schema.String,
  cause: Schema.Literal("spawn-error", "dependency"),
  at: Millis,
})

/** Its result cannot be known. */
export const Lost = Schema.TaggedStruct("lost", {
  why: Schema.String,
  cause: Schema.Literal("lost", "reboot"),
  at: Millis,
})

/** How a job ended. */
export const Ended = Schema.Union(Exited, Killed, Failed, Lost)
export type Ended = typeof Ended.Type

/** Where a job is. `exited`, `killed`, `failed` and `lost` are for ever. */
export const JobState = Schema.Union(Created, Queued, Running, Exited, Killed, Failed, Lost)
export type JobState = typeof JobState.Type

/** The names of the states. */
export const StateName = Schema.Literal("created", "queued", "running", "exited", "killed", "failed", "lost")
export type StateName = typeof StateName.Type

/** Why a job ended, over all states. */
export type Cause = Ended["cause"]

/** The keeper was asked and never began: nothing ran. It does not count as a try. */
export const Withdrawn = Schema.TaggedStruct("withdrawn", { why: Schema.String, at: Millis })

/** A stop that was begun. It is recorded before the signal is sent, so that the cause survives a crash. */
export const Stopping = Schema.Struct({ cause: StopCause, signal: Schema.String, at: Millis })
export type Stopping = typeof Stopping.Type

/** One run of a job. Never changed once it has `end`, and never dropped. */
export const Attempt = Schema.Struct({
  /** Counts from 1. */
  number: Schema.Int.pipe(Schema.positive()),
  /** Who runs it, in the keeper's own words; enough to find it again after a restart. */
  keeper: Schema.String,
  /** The boot it was launched in. */
  bootId: Schema.String,
  /** Relative to the root. */
  stdout: Schema.String,
  /** Relative to the root. */
  stderr: Schema.String,
  /** When it was handed to the keeper. */
  launchedAt: Millis,
  /** The process group's leader, once it is known. */
  process: Schema.optional(ProcessIdentity),
  /** When that process began. A timeout counts from here. */
  startedAt: Schema.optional(Millis),
  stopping: Schema.optional(Stopping),
  end: Schema.optional(Schema.Union(Ended, Withdrawn)),
  /** Bytes of its logs when it ended. */
  stdoutBytes: Schema.optional(Schema.NonNegativeInt),
  /** Bytes of its logs when it ended. */
  stderrBytes: Schema.optional(Schema.NonNegativeInt),
})
export type Attempt = typeof Attempt.Type

/** Whether a state is one that a job never leaves. */
export const isEnded = (state: JobState): state is Ended => "cause" in state
