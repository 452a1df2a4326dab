/** Why a process could not be started: one error for each thing a person would do about it. */
import * as Schema from "effect/Schema"

/** No such program. */
export class CommandNotFound extends Schema.TaggedError<CommandNotFound>()("CommandNotFound", {
  program: Schema.String,
  /** The directories searched, or empty when `program` is a path. */
  searched: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return this.searched.length === 0
      ? `There is no program at "${this.program}". Check the path.`
      : `The program "${this.program}" was not found in PATH (${this.searched.join(":")}). Install it, correct its name, or give its full path.`
  }
}

/** The file is there and may not be run. */
export class NotExecutable extends Schema.TaggedError<NotExecutable>()("NotExecutable", {
  path: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `"${this.path}" cannot be run: ${this.reason}.`
  }
}

/** The directory to run in is missing, is none, or may not be entered. */
export class BadWorkingDirectory extends Schema.TaggedError<BadWorkingDirectory>()("BadWorkingDirectory", {
  cwd: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `Cannot run in the directory "${this.cwd}": ${this.reason}.`
  }
}

/** A file that the spec names for input, output or environment cannot be used. */
export class FileUnusable extends Schema.TaggedError<FileUnusable>()("FileUnusable", {
  field: Schema.String,
  path: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `The file "${this.path}" given as ${this.field} cannot be used: ${this.reason}.`
  }
}

/** No file descriptor was left. */
export class TooManyOpenFiles extends Schema.TaggedError<TooManyOpenFiles>()("TooManyOpenFiles", {
  command: Schema.String,
  code: Schema.String,
}) {
  override get message(): string {
    return `Could not start ${this.command}: ${
      this.code === "ENFILE" ? "the system" : "this program"
    } has no file descriptor left (${this.code}). Stop something, or raise the limit (ulimit -n).`
  }
}

/** The system allows no more processes, or has no memory for one. */
export class TooManyProcesses extends Schema.TaggedError<TooManyProcesses>()("TooManyProcesses", {
  command: Schema.String,
  code: Schema.String,
}) {
  override get message(): string {
    return this.code === "ENOMEM"
      ? `Could not start ${this.command}: the system has no memory for another process (ENOMEM). Stop something.`
      : `Could not start ${this.command}: the system allows no more processes (${this.code}). Stop something, or raise the limit (ulimit -u, or the container's pids limit).`
  }
}

/** Command line and environment together are larger than the system allows. */
export class ArgumentListTooLong extends Schema.TaggedError<ArgumentListTooLong>()("ArgumentListTooLong", {
  program: Schema.String,
  bytes: Schema.Int,
}) {
  override get message(): string {
    return `Could not start "${this.program}": its arguments and environment are ${this.bytes} bytes, more than the system allows (getconf ARG_MAX; one argument may have 128 KiB on Linux). Pass the data in a file or on standard input.`
  }
}

/** Anything else that the system refused. */
export class SpawnFailed extends Schema.TaggedError<SpawnFailed>()("SpawnFailed", {
  command: Schema.String,
  code: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `Could not start ${this.command}: ${this.reason} (${this.code}).`
  }
}

/** Why a process could not be started. */
export const SpawnError = Schema.Union(
  CommandNotFound,
  NotExecutable,
  BadWorkingDirectory,
  FileUnusable,
  TooManyOpenFiles,
  TooManyProcesses,
  ArgumentListTooLong,
  SpawnFailed,
)
export type SpawnError = typeof SpawnError.Type
