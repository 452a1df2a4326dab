/** What a server is: one that is started here, or one of somebody else's at a URL. */
import * as Schema from "effect/Schema"
import * as Check from "../probe/Check.js"
import { Port, urlFault } from "../probe/ProbeSpec.js"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Mask from "../process/Mask.js"
import * as ProcessSpec from "../process/ProcessSpec.js"
import { TimeSpan } from "../process/TimeSpan.js"
import { RestartPolicy } from "../unit/RestartPolicy.js"
import * as UnitSpec from "../unit/UnitSpec.js"
import * as Duration from "effect/Duration"

const message = (allowed: string) => ({ message: () => ({ message: `expected ${allowed}`, override: true }) })

/** Where the version of a server is to be found: in a JSON answer of its. */
export const VersionSource = Schema.Struct({
  /** Default: the path of the probe. */
  path: Schema.optional(
    Schema.String.pipe(Schema.filter((path) => path.startsWith("/"))).annotations(
      message("a path that starts with '/'"),
    ),
  ),
  /** A JSON Pointer such as `/version`. */
  pointer: Schema.String.pipe(
    Schema.filter((pointer) => pointer === "" || pointer.startsWith("/")),
  ).annotations(message("a JSON Pointer such as /version")),
})
export type VersionSource = typeof VersionSource.Type

const Version = Schema.NonEmptyTrimmedString.annotations(message("a version: not empty, no blanks around it"))

const probeDefaults = { period: "100ms", timeout: "250ms" } as const

/** A server that is started here. Only `name` and `command` are required. */
export const Managed = Schema.Struct({
  /** What logs and errors call it, and the name of its unit. */
  name: UnitSpec.UnitName,
  /** `${port}` in it, and in the values of `env`, is the port. */
  command: UnitSpec.Command,
  cwd: Schema.optional(Schema.NonEmptyString),
  env: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Schema.String }), {
    default: () => ({}),
  }),
  envFile: Schema.optionalWith(Schema.Array(Schema.NonEmptyString), { default: () => [] }),
  inheritEnv: Schema.optionalWith(Schema.Boolean, { default: () => true }),
  /** Names of variables whose values must never be shown. */
  mask: Schema.optionalWith(Schema.Array(Schema.NonEmptyString), { default: () => [] }),
  /** The name or address that it listens at. Default `127.0.0.1`. */
  host: Schema.optionalWith(Schema.NonEmptyString, { default: () => "127.0.0.1" }),
  /** Default `auto`: any that is free. */
  port: Schema.optionalWith(
    Schema.Union(Port, Schema.Literal("auto")).annotations(message("a port from 1 to 65535, or auto")),
    { default: () => "auto" as const },
  ),
  /**
   * When it is ready, and well: asked every 100 ms with a timeout of 250 ms until it is ready, unless the probe says
   * otherwise. Default: `GET /` answers with 2xx.
   */
  probe: Schema.optionalWith(Schema.encodedSchema(Check.Check), { default: () => ({ http: { path: "/" } }) }),
  /** Where its version is to be found, or what it is known to be. */
  version: Schema.optional(Schema.Union(VersionSource, Version)),
  /** Compared exactly, but for blanks around it and one leading `v`. Another version is an error that is not retried. */
  expectedVersion: Schema.optional(Version),
  /** How long a start may take. Default 10 s. */
  startTimeout: Schema.optionalWith(TimeSpan, { default: () => Duration.seconds(10) }),
  stop: Schema.optionalWith(ProcessSpec.StopPolicy, {
    default: () => ({ signal: "SIGTERM" as const, grace: Duration.seconds(10) }),
  }),
  /** What else restarts it, beside the next acquire: a liveness probe, as of any unit. */
  liveness: Schema.optional(Schema.encodedSchema(Check.Check)),
  /**
   * Whether it is restarted at once when it has crashed, rather than when somebody asks for it. Default `never`: the next
   * acquire starts it.
   */
  restart: Schema.optionalWith(RestartPolicy, { default: () => Schema.decodeSync(RestartPolicy)("never") }),
  /** What to do when somebody else's server answers at its place. Default `refuse`. */
  foreign: Schema.optionalWith(Schema.Literal("refuse", "adopt-as-external"), {
    default: () => "refuse" as const,
  }),
  /** Whether the listener must be the server's own process, or one it started. Default true. */
  verifyListener: Schema.optionalWith(Schema.Boolean, { default: () => true }),
  logs: Schema.optional(Schema.encodedSchema(UnitSpec.Logs)),
  /** What started it, for people: a line for the status. Default: the command. */
  launcher: Schema.optional(Schema.String),
}).annotations({ identifier: "ManagedServer" })
export type Managed = typeof Managed.Type

const redactFor = (input: typeof Managed.Encoded): Mask.Redact => {
  const { env, mask } = (input ?? {}) as { readonly env?: unknown; readonly mask?: unknown }
  return Mask.make(Array.isArray(mask) ? mask : [], Object.assign({}, process.env, env))
}

/** Decodes the description of a server to be started, or fails with what is wrong with it. */
export const managed = InvalidSpec.decoder("managed server", Managed, redactFor)

const baseUrlFault = (text: string): string | undefined => {
  const fault = urlFault(text)
  if (fault !== undefined) return fault
  return text.includes("?") ? "expected a URL without a query (?...)" : undefined
}

/** A server of somebody else's. */
export const External = Schema.Struct({
  /** What logs and errors call it. Default: its URL. */
  name: Schema.optional(Schema.NonEmptyTrimmedString),
  /** Absolute http or https; a path in it goes before the paths of probes and requests. No user, query or fragment. */
  baseUrl: Schema.String.pipe(Schema.filter((text) => baseUrlFault(text) ?? true)),
  /** Default: `GET /` answers with 2xx, within 250 ms. */
  probe: Schema.optionalWith(Schema.encodedSchema(Check.Check), { default: () => ({ http: { path: "/" } }) }),
  /** Where its version is to be found. */
  version: Schema.optional(VersionSource),
  expectedVersion: Schema.optional(Version),
}).annotations({ identifier: "ExternalServer" })
export type External = typeof External.Type

/** Decodes the description of somebody else's server, or fails with what is wrong with it. */
export const external = InvalidSpec.decoder("external server", External)

/** A probe with the times of a server's. */
export const withTimes = (probe: Check.Input): Check.Input => ({ ...probeDefaults, ...probe })

/** A base URL as it is joined with paths: without a slash at its end. */
export const normalizeBase = (url: string): string => url.replace(/\/+$/, "")
