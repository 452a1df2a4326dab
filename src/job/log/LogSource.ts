/** Where the logs of a job's attempts are, and what is known of them. */
import { join } from "node:path"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as LogGap from "../../output/LogGap.js"
import type { LogError, OffsetPastEnd } from "../../output/LogError.js"
import * as AttemptFiles from "../keeper/AttemptFiles.js"
import type { JobId } from "../JobId.js"
import type { JobRecord } from "../JobRecord.js"
import type { NameError, StreamName } from "../JobRunnerService.js"
import type { Attempt } from "../JobState.js"
import { LogUnusable } from "../RunnerError.js"
import type { StoreError } from "../StoreError.js"

/** A job, and what becomes of it. */
export interface Watched {
  readonly record: JobRecord
  /**
   * Every stored change after `record`: none is missed in between, and the same one may come again. Ends when the job is
   * over or deleted, or when nothing more will be told.
   */
  readonly changes: Stream.Stream<JobRecord>
}

/** What the readers of logs need of whoever runs the jobs. */
export interface Source {
  /** Absolute. The paths in records are relative to it. */
  readonly root: string
  /** Takes an id or its beginning. */
  readonly get: (name: string) => Effect.Effect<JobRecord, NameError | StoreError>
  /** Told of the changes until the scope closes. */
  readonly watch: (id: JobId) => Effect.Effect<Watched, NameError | StoreError, Scope.Scope>
}

/** One log of one attempt. */
export interface Log {
  readonly stream: StreamName
  /** Absolute. */
  readonly path: string
  /** The sidecar, when the middle of the log may have been dropped. */
  readonly gap: string | undefined
  /** Whether nothing more will be written to it. */
  readonly ended: boolean
  /** Whether the file must be there: its attempt has begun for certain. */
  readonly isExpected: boolean
}

const hasBegun = (attempt: Attempt, stream: StreamName): boolean =>
  attempt.process !== undefined ||
  attempt.end?._tag === "exited" ||
  attempt.end?._tag === "killed" ||
  (attempt[`${stream}Bytes`] ?? 0) > 0

/** A log of an attempt; or of the first one that is to come, when `attempt` is undefined. */
export const logOf = (
  root: string,
  { id, spec, state }: JobRecord,
  attempt: Attempt | undefined,
  stream: StreamName,
): Log => ({
  stream,
  path: join(root, attempt?.[stream] ?? AttemptFiles.pathsOf(id, 1)[stream]),
  gap:
    spec.maxLogBytes !== undefined && spec.whenLogFull === "keep-ends" && attempt !== undefined
      ? LogGap.sidecarOf(join(root, attempt[stream]))
      : undefined,
  ended: attempt === undefined ? "cause" in state : attempt.end !== undefined,
  isExpected: attempt !== undefined && hasBegun(attempt, stream),
})

/** The names of the logs, or only of the one that is asked for. */
export const streams = (only?: StreamName): ReadonlyArray<StreamName> =>
  only === undefined ? ["stdout", "stderr"] : [only]

/** What a job says when its output cannot be read. */
export const unusable = (id: JobId, error: LogError | OffsetPastEnd): LogUnusable => {
  switch (error._tag) {
    case "LogMissing":
      return new LogUnusable({
        id,
        reason: `its log "${error.path}" is not there any more. Somebody moved or deleted it.`,
        isRequest: false,
      })
    case "OffsetPastEnd":
      return pastEnd(id, error.path, error.offset, error.size)
    case "LogUnreadable":
    case "NoDescriptorLeft":
      return new LogUnusable({ id, reason: error.message, isRequest: false })
  }
}

/** There is no such offset. */
export const pastEnd = (id: JobId, path: string, offset: number, size: number): LogUnusable =>
  new LogUnusable({
    id,
    reason: `there is no offset ${offset} in its log "${path}", which has ${size} bytes.`,
    isRequest: true,
  })

/** There was no such attempt. */
export const noAttempt = ({ attempts, id }: JobRecord, number: number): LogUnusable =>
  new LogUnusable({
    id,
    reason: `it has no attempt ${number}; ${
      attempts.length === 0
        ? "it has not started yet"
        : attempts.length === 1
          ? "there was one"
          : `there were ${attempts.length}`
    }.`,
    isRequest: true,
  })
