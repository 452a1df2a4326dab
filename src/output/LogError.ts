/** Why a log file could not be read: one error for each thing a person would do about it. */
import * as Schema from "effect/Schema"
import { codeOf, systemReason } from "../process/Diagnosis.js"

/** There is no such file. */
export class LogMissing extends Schema.TaggedError<LogMissing>()("LogMissing", {
  path: Schema.String,
}) {
  override get message(): string {
    return `There is no log file "${this.path}": nothing was written yet, or it was moved or deleted. Check the path, or follow it to wait until it appears.`
  }
}

/** The file is there and cannot be read: no permission, a directory, a device, or the disk fails. */
export class LogUnreadable extends Schema.TaggedError<LogUnreadable>()("LogUnreadable", {
  path: Schema.String,
  /** The system's name of the fault, such as `EACCES`; `EINVAL` for what is no regular file. */
  code: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    const advice =
      this.code === "EACCES" || this.code === "EPERM"
        ? " Give its reader the permission (chmod +r for the file, +x for its directories)."
        : ""
    return `The log file "${this.path}" cannot be read: ${this.reason} (${this.code}).${advice}`
  }
}

/** No file descriptor was left. Nothing is lost: the same read can be made again. */
export class NoDescriptorLeft extends Schema.TaggedError<NoDescriptorLeft>()("NoDescriptorLeft", {
  path: Schema.String,
  /** `EMFILE`: this program has none left; `ENFILE`: the system. */
  code: Schema.String,
}) {
  override get message(): string {
    return `The log file "${this.path}" was not read: ${
      this.code === "ENFILE" ? "the system" : "this program"
    } has no file descriptor left (${this.code}). Try again, end some followers, or raise the limit (ulimit -n).`
  }
}

/** A cursor points behind the end of the file: it is of another file, or this one was truncated since. */
export class OffsetPastEnd extends Schema.TaggedError<OffsetPastEnd>()("OffsetPastEnd", {
  path: Schema.String,
  /** The offset asked for, in bytes. */
  offset: Schema.Int,
  /** The size of the file, in bytes. */
  size: Schema.Int,
}) {
  override get message(): string {
    return `There is no offset ${this.offset} in the log file "${this.path}": it has ${this.size} bytes. Was it truncated or replaced? Read again from 0, or take the tail.`
  }
}

/** Why a log file could not be read. */
export const LogError = Schema.Union(LogMissing, LogUnreadable, NoDescriptorLeft)
export type LogError = typeof LogError.Type

/** The typed error for what the system said about `path`. */
export const fromSystem = (path: string, cause: unknown): LogError => {
  const code = codeOf(cause)
  switch (code) {
    case "ENOENT":
      return new LogMissing({ path })
    case "EMFILE":
    case "ENFILE":
      return new NoDescriptorLeft({ path, code })
    default:
      return new LogUnreadable({ path, code, reason: systemReason(cause) })
  }
}
