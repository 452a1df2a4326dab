/**
 * How a process ended. An exit code and a signal are told apart exactly: a process that exits with 137 was not
 * killed by KILL. One thing Node does not tell: a process ended by a realtime signal (34 and up) looks as if it had
 * exited with 0.
 */
import * as Schema from "effect/Schema"

/** It ended by itself, with this code: 0 to 255. */
export class Exited extends Schema.TaggedClass<Exited>()("Exited", { code: Schema.Int }) {}

/** A signal ended it. */
export class Signaled extends Schema.TaggedClass<Signaled>()("Signaled", { signal: Schema.String }) {}

/** How a process ended. */
export const ExitStatus = Schema.Union(Exited, Signaled)
export type ExitStatus = typeof ExitStatus.Type

/** Whether it exited with 0. */
export const isSuccess = (status: ExitStatus): boolean => status._tag === "Exited" && status.code === 0

/** `exit code 1`, `signal SIGKILL`. */
export const format = (status: ExitStatus): string =>
  status._tag === "Exited" ? `exit code ${status.code}` : `signal ${status.signal}`
