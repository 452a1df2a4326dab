/** A server as it is handed out, and as it is shown. */
import * as Schema from "effect/Schema"
import { EndStatus } from "../unit/UnitStatus.js"

/** A server that answered. It is never changed; another life of the server is another one. */
export class ServerInfo extends Schema.Class<ServerInfo>("ServerInfo")({
  name: Schema.String,
  /** `http://host:port`; of an external one, as it was given, without a slash at its end. */
  baseUrl: Schema.String,
  mode: Schema.Literal("managed", "external"),
  /** Whether it was started here, or is somebody else's, which is never signalled. */
  ownership: Schema.Literal("launched", "external"),
  /** Where it is known. */
  version: Schema.optional(Schema.String),
  pid: Schema.optional(Schema.Int),
  /** In milliseconds since the epoch. */
  launchedAt: Schema.optional(Schema.Number),
  /** What started it, for people. */
  launcher: Schema.optional(Schema.String),
  /** What its probe learned: named groups of a `log` probe, `version` of an `http` probe that pins one. */
  outputs: Schema.Record({ key: Schema.String, value: Schema.String }),
}) {}

/**
 * What a server is doing. `Unreachable`: it should answer, and does not. `Exited`: it was started here and has ended by
 * itself, which is shown until the next start.
 */
export const ServerState = Schema.Literal("Stopped", "Starting", "Ready", "Unreachable", "Stopping", "Exited")
export type ServerState = typeof ServerState.Type

/** Where a server is. */
export class ServerStatus extends Schema.Class<ServerStatus>("ServerStatus")({
  name: Schema.String,
  /** Undefined for a port that was not chosen yet. */
  baseUrl: Schema.optional(Schema.String),
  mode: Schema.Literal("managed", "external"),
  ownership: Schema.Literal("launched", "external"),
  state: ServerState,
  version: Schema.optional(Schema.String),
  /** Of the process that runs, or has ended by itself. */
  pid: Schema.optional(Schema.Int),
  launchedAt: Schema.optional(Schema.Number),
  launcher: Schema.optional(Schema.String),
  /** How it ended by itself. */
  end: Schema.optional(EndStatus),
  /** What is wrong, as a sentence. */
  reason: Schema.optional(Schema.String),
}) {}
