/** What can be done with jobs. The Tag is in `JobRunner`. */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import type { StopReport } from "../process/Process.js"
import type { TableUnreadable } from "../process/ProcessTable.js"
import type { Signal } from "../process/Signal.js"
import type { InvalidJobId, JobId } from "./JobId.js"
import type { JobQuery, KeepPolicy, Page } from "./JobQuery.js"
import type { InvalidTransition, JobRecord } from "./JobRecord.js"
import type * as JobSpec from "./JobSpec.js"
import type { StateName } from "./JobState.js"
import type { Inserted, JobGroup, UnreadableRecord } from "./JobStoreService.js"
import type { InputClosed, LogUnusable } from "./RunnerError.js"
import type { AmbiguousJobId, JobNotEnded, JobNotFound, SecretsErased, StoreError } from "./StoreError.js"

/** Why a name stands for no job. */
export type NameError = InvalidJobId | JobNotFound | AmbiguousJobId

/** How to accept a job. */
export interface SubmitOptions {
  /** Whether it may start at once, or waits to be told to with `start`. Default true. */
  readonly queued?: boolean | undefined
}

/** How to signal a job. */
export interface KillOptions {
  /** Default: the job's `stopSignal`. */
  readonly signal?: Signal | undefined
  /**
   * Whether KILL follows when something of it is left after the grace period. Default: for the signals that ask a
   * program to end (TERM, INT, QUIT, HUP, ABRT and KILL); others are sent once.
   */
  readonly escalate?: boolean | undefined
  /** From the signal to KILL. Default: the job's `killAfter`. */
  readonly grace?: Duration.Duration | undefined
}

/** What a kill did. */
export interface KillReport {
  /** As it is afterwards. */
  readonly record: JobRecord
  /** The signal that was asked for. */
  readonly signal: Signal
  /** Undefined when there was nothing to signal: it was queued and is cancelled, or it is over and left nothing. */
  readonly stop: StopReport | undefined
}

/** What to wait for, and how long. */
export interface WaitOptions {
  /** Answer after this time at the latest. Default: never give up. */
  readonly until?: Duration.Duration | undefined
  /** Default `end`. A pattern is a regular expression for one line of output; silence is a time without any. */
  readonly for?:
    | "end"
    | { readonly pattern: string; readonly stream?: StreamName | undefined }
    | { readonly silence: Duration.Duration }
    | undefined
}

/** Why a wait is over. */
export interface Waited {
  readonly record: JobRecord
  /** `ended` also answers a wait for a pattern or for silence that can no longer come. */
  readonly reason: "ended" | "deadline" | "pattern" | "silence"
  /** The line that matched. */
  readonly match?:
    | {
        readonly stream: StreamName
        readonly line: string
        readonly offset: number
        readonly groups: Readonly<Record<string, string>>
      }
    | undefined
}

/** One of a job's two logs. */
export type StreamName = "stdout" | "stderr"

/** How much of the end of the logs is wanted, of each of the two. */
export interface TailOptions {
  /** Default 50. */
  readonly lines?: number | undefined
  /** Default 65536. */
  readonly maxBytes?: number | undefined
  /** Which attempt; default the last. */
  readonly attempt?: number | undefined
}

/** The end of one log. */
export interface LogTail {
  readonly path: string
  readonly text: string
  readonly truncated: boolean
  /** Size of the log when it was read, in bytes. */
  readonly observedBytes: number
  /** How many bytes of it the text stands for. */
  readonly includedBytes: number
  /** Where to read or follow on. */
  readonly nextOffset: number
}

/** The ends of a job's logs. Both are empty before it has started. */
export interface Tails {
  readonly record: JobRecord
  /** 0 before the first attempt. */
  readonly attempt: number
  readonly stdout: LogTail
  readonly stderr: LogTail
}

/** Which piece of a log to read. */
export interface ReadOptions {
  readonly stream?: StreamName | undefined
  /** In bytes. Default 0. */
  readonly offset?: number | undefined
  /** Default 65536. */
  readonly maxBytes?: number | undefined
  /** Which attempt; default the last. */
  readonly attempt?: number | undefined
}

/** A piece of a log. */
export interface LogPiece {
  readonly record: JobRecord
  readonly attempt: number
  readonly stream: StreamName
  readonly path: string
  /** Where the piece begins: later than what was asked for when what was there had been dropped (`keep-ends`). */
  readonly offset: number
  readonly bytes: Uint8Array
  readonly nextOffset: number
  /** Whether this is all there is for now. */
  readonly eof: boolean
  /** Whether nothing more will ever be written. */
  readonly ended: boolean
}

/** Where to follow from. */
export interface FollowOptions {
  /** Only this one; default both. */
  readonly stream?: StreamName | undefined
  /** Default: the last attempt when the call is made, or the first to come. */
  readonly attempt?: number | undefined
  /** In bytes of that attempt's logs. Default 0; what `Tails` and `LogPiece` call `nextOffset` joins without a gap. */
  readonly stdoutOffset?: number | undefined
  readonly stderrOffset?: number | undefined
}

/** What a follower is told. The stream ends after the job's end, when all output was given. */
export type Followed =
  | {
      readonly _tag: "Output"
      readonly attempt: number
      readonly stream: StreamName
      readonly offset: number
      readonly nextOffset: number
      readonly text: string
    }
  | { readonly _tag: "State"; readonly record: JobRecord }

/** One reason why a job has not started. */
export interface QueueReason {
  readonly kind: "created" | "not-before" | "dependency" | "group-paused" | "group-full" | "turn" | "starting"
  /** One sentence. */
  readonly sentence: string
  /** The jobs that it waits for, at most 10 of them. */
  readonly jobs: ReadonlyArray<JobId>
}

/** What a garbage collection removed, or would have. */
export interface Collected {
  readonly removed: ReadonlyArray<JobId>
  /** Of logs. */
  readonly bytes: number
}

/** A live process of a job that is over. */
export interface Stray {
  readonly id: JobId
  readonly pid: number
  /** Empty where the job has secrets that are not known any more. */
  readonly command: string
}

/** Where jobs are run. Names are ids or their beginnings. */
export interface Service {
  /** The directory under which everything is kept. The paths in records are relative to it. */
  readonly root: string
  /**
   * Accepts a job: it is on disk when this answers. Relative paths are taken from the program's own directory. The
   * same idempotency key gives the same job back, with `isNew` false.
   */
  readonly submit: (
    input: JobSpec.Input,
    options?: SubmitOptions,
  ) => Effect.Effect<Inserted, InvalidSpec | JobNotFound | AmbiguousJobId | StoreError>
  /** Lets a created job start. One that is queued already is given as it is. */
  readonly start: (name: string) => Effect.Effect<JobRecord, NameError | InvalidTransition | StoreError>
  /** Stops a job if it runs, and accepts a new one that asks for the same. */
  readonly restart: (
    name: string,
  ) => Effect.Effect<JobRecord, NameError | SecretsErased | InvalidTransition | TableUnreadable | StoreError>
  readonly get: (name: string) => Effect.Effect<JobRecord, NameError | StoreError>
  readonly list: (query?: JobQuery) => Effect.Effect<Page, StoreError>
  readonly wait: (
    name: string,
    options?: WaitOptions,
  ) => Effect.Effect<Waited, NameError | InvalidSpec | LogUnusable | StoreError>
  /**
   * Signals every process of a job, also those that outlive its root process or left its group, and answers when
   * nothing of it is left or, where it does not escalate, at once. A queued job is cancelled. A job that is over and
   * left nothing is given as it is. Fails with `InvalidTransition` for a created one.
   */
  readonly kill: (
    name: string,
    options?: KillOptions,
  ) => Effect.Effect<KillReport, NameError | InvalidTransition | TableUnreadable | StoreError>
  /** Why it has not started: empty for a job that has. */
  readonly why: (name: string) => Effect.Effect<ReadonlyArray<QueueReason>, NameError | StoreError>
  readonly tail: (
    name: string,
    options?: TailOptions,
  ) => Effect.Effect<Tails, NameError | InvalidSpec | LogUnusable | StoreError>
  readonly read: (
    name: string,
    options?: ReadOptions,
  ) => Effect.Effect<LogPiece, NameError | InvalidSpec | LogUnusable | StoreError>
  /** The output from an offset on, as it comes, over all attempts from there on, and every change of the job. */
  readonly follow: (
    name: string,
    options?: FollowOptions,
  ) => Stream.Stream<Followed, NameError | InvalidSpec | LogUnusable | StoreError>
  /** Writes to the standard input of a running job that was accepted with `stdin: "pipe"`. */
  readonly write: (
    name: string,
    bytes: Uint8Array,
    options?: { readonly end?: boolean | undefined },
  ) => Effect.Effect<JobRecord, NameError | InputClosed | StoreError>
  /** Deletes a job that is over, or was never queued, with its logs. */
  readonly remove: (name: string) => Effect.Effect<JobRecord, NameError | JobNotEnded | StoreError>
  /** Deletes the ended jobs that a policy does not keep, with their logs; with `dryRun` it only says which. */
  readonly collect: (
    policy: KeepPolicy,
    options?: { readonly dryRun?: boolean | undefined },
  ) => Effect.Effect<Collected, StoreError>
  /** The groups that have settings. */
  readonly groups: Effect.Effect<ReadonlyArray<JobGroup>, StoreError>
  /** Changes what is given of a group's settings and leaves the rest. A `parallelism` of null means no limit. */
  readonly setGroup: (
    name: string,
    settings: { readonly parallelism?: number | null | undefined; readonly paused?: boolean | undefined },
  ) => Effect.Effect<JobGroup, InvalidSpec | StoreError>
  readonly removeGroup: (name: string) => Effect.Effect<void, StoreError>
  /** Processes that outlive their job, as a daemon of its own does. They may be there on purpose; `kill` ends them. */
  readonly strays: Effect.Effect<ReadonlyArray<Stray>, TableUnreadable | StoreError>
  readonly counts: Effect.Effect<Readonly<Record<StateName, number>>, StoreError>
  readonly unreadable: Effect.Effect<ReadonlyArray<UnreadableRecord>, StoreError>
  /** Every stored change of any job, from the subscription on. A slow reader loses the oldest ones. */
  readonly changes: Stream.Stream<JobRecord>
}
