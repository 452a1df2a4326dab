/** What can happen to a job. Every event brings its time: the record reads no clock. */
import * as Data from "effect/Data"
import type { ProcessIdentity } from "../process/ProcessIdentity.js"
import type { StopCause } from "./JobState.js"

interface Logged {
  /** Bytes of the attempt's log, if they were looked at. They count for garbage collection. */
  readonly stdoutBytes?: number | undefined
  readonly stderrBytes?: number | undefined
}

/** What can happen to a job; `at` is in milliseconds since the epoch. */
export type JobEvent = Data.TaggedEnum<{
  /** A created job may start: created to queued. */
  Queue: { readonly at: number }
  /** It is about to be handed to a keeper, which must not be asked before this is stored: queued to running. */
  Launch: {
    readonly at: number
    readonly keeper: string
    readonly bootId: string
    readonly stdout: string
    readonly stderr: string
  }
  /** The keeper never began, for certain: back to queued. */
  Withdraw: { readonly at: number; readonly why: string }
  /** Its process is known. `at` is when it began. Telling the same process again changes nothing. */
  Started: { readonly at: number; readonly process: ProcessIdentity }
  /** A stop begins. The first one's cause stays; later ones change nothing. */
  Stopping: { readonly at: number; readonly cause: StopCause; readonly signal: string }
  /** The process ended by itself: to exited, or to queued when it is tried again. */
  Exited: { readonly at: number; readonly code: number } & Logged
  /** A signal ended the process: to killed, or to queued when it is tried again. */
  Signaled: { readonly at: number; readonly signal: string } & Logged
  /** The process could not be started, or was forked and could not become the program: to failed; or to queued when it is tried again, unless `permanent`. */
  SpawnFailed: {
    readonly at: number
    readonly error: string
    readonly reason: string
    readonly permanent: boolean
  }
  /** What became of a running attempt cannot be known: to lost. It is not tried again, as it may have run. */
  Lose: { readonly at: number; readonly why: string; readonly cause: "lost" | "reboot" }
  /** An operator takes a queued job back: to killed, with the cause `stopped`. */
  Cancel: { readonly at: number; readonly signal: string }
  /** A queued job cannot start any more: to failed. */
  Refuse: {
    readonly at: number
    readonly error: string
    readonly reason: string
    readonly cause: "spawn-error" | "dependency"
  }
}>

/** The events by name: `JobEvent.Queue({ at })`. */
export const JobEvent = Data.taggedEnum<JobEvent>()
