/**
 * One operating-system process and its group, as the spawner hands it out. It is bound to the scope it was spawned
 * in: closing that scope stops it and everything it started.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ExitStatus } from "./ExitStatus.js"
import type { ProcessIdentity } from "./ProcessIdentity.js"
import type { ProcessOutput } from "./ProcessOutput.js"
import type * as ProcessSpec from "./ProcessSpec.js"
import type { ProcessInfo, TableUnreadable } from "./ProcessTable.js"
import type { Signal } from "./Signal.js"

/** A process that is still there after KILL, or that could not be shown to be ours and so was left alone. */
export class GroupLeak extends Schema.Class<GroupLeak>("GroupLeak")({
  pid: Schema.Int,
  command: Schema.String,
}) {}

/** What a stop did. */
export class StopReport extends Schema.Class<StopReport>("StopReport")({
  /** The signals sent to the group, in order. Empty when nothing was left to stop. */
  sent: Schema.Array(Schema.String),
  /** Whether the grace period ran out, so that KILL was sent. */
  escalated: Schema.Boolean,
  /** Processes outside the group that were found by their environment and signalled one by one. */
  escapees: Schema.Array(Schema.Int),
  /** From the first signal to the empty group, in milliseconds. */
  elapsedMillis: Schema.Number,
  /** What survived. Empty unless the system refuses to end a process. */
  survivors: Schema.Array(GroupLeak),
}) {}

/** How to stop, where it differs from the spec's `stop`. */
export interface StopOptions {
  readonly signal?: Signal
  readonly grace?: Duration.Duration
}

/** A live process as the system describes it. */
export type { ProcessInfo } from "./ProcessTable.js"

/** Standard input could not take more: it was not asked for as a pipe, or the process has closed it. */
export class StdinClosed extends Schema.TaggedError<StdinClosed>()("StdinClosed", {
  pid: Schema.Int,
  reason: Schema.String,
}) {
  override get message(): string {
    return `Nothing can be written to the standard input of process ${this.pid}: ${this.reason}.`
  }
}

/** One operating-system process and its group. */
export interface Process {
  readonly pid: number
  readonly identity: ProcessIdentity
  /** What it and its descendants carry in `HOLDFAST_LINEAGE`: by it they are found when all else is forgotten. */
  readonly mark: string
  /** The decoded description it was started from. */
  readonly spec: ProcessSpec.ProcessSpec
  /** The command for people, with masked values replaced. */
  readonly command: string
  /** Waits for the end of the process itself; its descendants may outlive it. Never fails. */
  readonly exit: Effect.Effect<ExitStatus>
  /** How it ended, or undefined while it runs. */
  readonly exitNow: () => ExitStatus | undefined
  /** Replaces the values of masked variables in a text. */
  readonly redact: (text: string) => string
  /** What it writes to the outputs that are `pipe`. Drained whether read or not. */
  readonly output: ProcessOutput
  /** Writes to a `stdin` that is `pipe`; waits while the process is slow to read. */
  readonly write: (bytes: Uint8Array | string) => Effect.Effect<void, StdinClosed>
  /** Ends a `stdin` that is `pipe`. */
  readonly endInput: Effect.Effect<void>
  /** Every live process of the group, and those that left it but carry its mark in their environment. */
  readonly members: Effect.Effect<ReadonlyArray<ProcessInfo>, TableUnreadable>
  /** Sends a signal to all of `members`. The answer is false when nothing was left to signal. */
  readonly signal: (signal: Signal) => Effect.Effect<boolean, TableUnreadable>
  /**
   * Stop signal and CONT to the group, KILL after the grace period; done when the group is empty and nothing that
   * escaped from it is left. A stop under way is joined; a shorter grace hastens it.
   */
  readonly stop: (options?: StopOptions) => Effect.Effect<StopReport>
}
