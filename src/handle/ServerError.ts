/** Why a server could not be started, or does not answer: one error for each thing a person would do about it. */
import * as Schema from "effect/Schema"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import { EndStatus } from "../unit/UnitStatus.js"

const withTail = (lines: ReadonlyArray<string>): string =>
  lines.length === 0 ? " It wrote nothing." : ` Its last output:\n${lines.join("\n")}`

const about = { server: Schema.String, baseUrl: Schema.optional(Schema.String) }

const at = (baseUrl: string | undefined): string => (baseUrl === undefined ? "" : ` at ${baseUrl}`)

const who = ({ pid, server }: { readonly pid?: number | undefined; readonly server: string }): string =>
  pid === undefined ? server : `${server} (pid ${pid})`

/** The server ended before it was ready. What it has left of its group was stopped. */
export class ServerExitedEarly extends Schema.TaggedError<ServerExitedEarly>()("ServerExitedEarly", {
  ...about,
  pid: Schema.optional(Schema.Int),
  end: EndStatus,
  /** Its last lines, at most 10. */
  output: Schema.Array(Schema.String),
  /** False for an end that its restart policy calls permanent. */
  retryable: Schema.optionalWith(Schema.Boolean, { default: () => true }),
}) {
  override get message(): string {
    const { code, signal } = this.end
    const how = signal === undefined ? `exit code ${code}` : `signal ${signal}`
    return `The server ${who(this)} ended with ${how} before it was ready${at(this.baseUrl)}.${withTail(this.output)}`
  }
}

/** The server was not ready in time, and was stopped with its whole group. */
export class ServerStartTimedOut extends Schema.TaggedError<ServerStartTimedOut>()("ServerStartTimedOut", {
  ...about,
  pid: Schema.optional(Schema.Int),
  timeoutMillis: Schema.Number,
  /** What its last check said. */
  reason: Schema.String,
  /** Its last lines, at most 10. */
  output: Schema.Array(Schema.String),
}) {
  readonly retryable = true
  override get message(): string {
    return `The server ${who(this)} was not ready${at(this.baseUrl)} within ${this.timeoutMillis / 1_000} s. ${this.reason}${withTail(this.output)}`
  }
}

/** Another server answers at its place, or somebody holds its port. Nothing was started, and nothing is killed. */
export class ServerPlaceTaken extends Schema.TaggedError<ServerPlaceTaken>()("ServerPlaceTaken", {
  ...about,
  /** `ForeignServer`: it answers; `PortInUse`: it holds the port. */
  kind: Schema.Literal("ForeignServer", "PortInUse"),
  reason: Schema.String,
}) {
  readonly retryable = false
  override get message(): string {
    return `The server ${this.server} was not started. ${this.reason}`
  }
}

/** The server has another version than the one that is expected. Starting it again does not help. */
export class VersionMismatch extends Schema.TaggedError<VersionMismatch>()("VersionMismatch", {
  ...about,
  expected: Schema.String,
  /** Absent when it names none. */
  actual: Schema.optional(Schema.String),
}) {
  readonly retryable = false
  override get message(): string {
    const found = this.actual === undefined ? "names no version" : `has version ${this.actual}`
    return `The server ${this.server}${at(this.baseUrl)} ${found}; version ${this.expected} is expected. Install that one, or expect another.`
  }
}

/** The server could not be started at all: a missing program, a bad directory, a file that cannot be read; or not to its end. */
export class ServerNotStarted extends Schema.TaggedError<ServerNotStarted>()("ServerNotStarted", {
  ...about,
  /** What it was: `CommandNotFound`, `VersionUnread`, `Stopped` when somebody stopped it meanwhile, ... */
  kind: Schema.String,
  reason: Schema.String,
  retryable: Schema.Boolean,
  /** Its last lines, at most 10. */
  output: Schema.Array(Schema.String),
}) {
  override get message(): string {
    return `The server ${this.server} could not be started. ${this.reason}${this.output.length === 0 ? "" : withTail(this.output)}`
  }
}

/** Somebody else's server does not answer as it should. */
export class ServerUnavailable extends Schema.TaggedError<ServerUnavailable>()("ServerUnavailable", {
  ...about,
  reason: Schema.String,
}) {
  readonly retryable = false
  override get message(): string {
    return `The external server ${this.server}${this.server === this.baseUrl ? "" : at(this.baseUrl)} is not available: ${this.reason} Bring it up and reset the handle, or correct its URL.`
  }
}

/** Why there is no server. */
export type ServerError =
  | ServerExitedEarly
  | ServerStartTimedOut
  | ServerPlaceTaken
  | VersionMismatch
  | ServerNotStarted
  | ServerUnavailable
  | InvalidSpec
