/** What a server is: one that is started here, or one of somebody else's at a URL. */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as Check from "../probe/Check.js"
import { isPointer } from "../probe/JsonPointer.js"
import { hostAllowed, isHost, Port, urlFault } from "../probe/ProbeSpec.js"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Mask from "../process/Mask.js"
import * as ProcessSpec from "../process/ProcessSpec.js"
import { TimeSpan } from "../process/TimeSpan.js"
import { RestartPolicy } from "../unit/RestartPolicy.js"
import * as UnitSpec from "../unit/UnitSpec.js"

const message = (allowed: string) => ({ message: () => ({ message: `expected ${allowed}`, override: true }) })

const text = (allowed: string, isOne: (text: string) => boolean) =>
  Schema.String.pipe(Schema.filter(isOne)).annotations(message(allowed))

/** Where the version of a server is to be found: in a JSON answer of its, of at most 16 MiB. */
export const VersionSource = Schema.Struct({
  /** Default: the path of an `http` probe. */
  path: Schema.optional(text("a path that starts with '/'", (path) => /^\/[!-"$-~]*$/.test(path))),
  /** A JSON Pointer such as `/version`. */
  pointer: text("a JSON Pointer such as /version", isPointer),
})
export type VersionSource = typeof VersionSource.Type

const Version = text("a version: a text that is not blank", (version) => version.trim() !== "")

/** A probe with other defaults for its times: as often, and as impatient, as a start wants it. */
const probeOf = (period: Duration.Duration, timeout: Duration.Duration) =>
  Schema.transform(Schema.encodedSchema(Check.Check), Check.Check, {
    strict: true,
    decode: (probe): Check.Input => ({ period, timeout, ...probe }),
    encode: (probe) => probe,
  })

const ManagedProbe = probeOf(Duration.millis(100), Duration.millis(250))

const defaultProbe = () => Schema.decodeSync(ManagedProbe)({ http: { path: "/" } })

interface Versioned {
  readonly probe: Check.Check
  readonly version?: VersionSource | string | undefined
  readonly expectedVersion?: string | undefined
}

/** What fields about versions have to have of each other. */
const versionFaults = ({ expectedVersion, probe, version }: Versioned) => {
  if (expectedVersion !== undefined && version === undefined)
    return [
      {
        path: ["expectedVersion"],
        message: "expected it together with version, which says where the server names its own",
      },
    ]
  const isFound = typeof version !== "object" || version.path !== undefined || probe.http !== undefined
  return isFound
    ? []
    : [
        {
          path: ["version", "path"],
          message: "expected a path, as the probe is no http one whose path could be asked",
        },
      ]
}

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
  host: Schema.optionalWith(Schema.String.pipe(Schema.filter((host) => isHost(host) || hostAllowed)), {
    default: () => "127.0.0.1",
  }),
  /** Default `auto`: any that is free. */
  port: Schema.optionalWith(
    Schema.Union(Port, Schema.Literal("auto")).annotations(message("a port from 1 to 65535, or auto")),
    { default: () => "auto" as const },
  ),
  /**
   * When it is ready, and well: asked every 100 ms with a timeout of 250 ms until it is ready, unless the probe says
   * otherwise, and for up to 5 s whenever somebody wants it from then on. Default: `GET /` answers with 2xx. Its
   * `failureThreshold` means nothing here.
   */
  probe: Schema.optionalWith(ManagedProbe, { default: defaultProbe }),
  /** Where its version is to be found, or what it is known to be. */
  version: Schema.optional(Schema.Union(VersionSource, Version)),
  /** Compared exactly, but for blanks around it and one leading `v`. Another version is an error that is not retried. */
  expectedVersion: Schema.optional(Version),
  /** How long a start that somebody waits for may take, from the look at its place to the answer. Default 10 s. */
  startTimeout: Schema.optionalWith(TimeSpan, { default: () => Duration.seconds(10) }),
  stop: Schema.optionalWith(ProcessSpec.StopPolicy, {
    default: () => ({ signal: "SIGTERM" as const, grace: Duration.seconds(10) }),
  }),
  /** What else takes it out of service, beside the next acquire: a liveness probe, as of any unit, asked once it is ready. */
  liveness: Schema.optional(Check.Check),
  /**
   * Whether it is restarted at once when it has crashed, rather than when somebody asks for it. Whoever asks meanwhile
   * waits for that, as long as a start may take. Default `never`: the next acquire starts it.
   */
  restart: Schema.optionalWith(RestartPolicy, { default: () => Schema.decodeSync(RestartPolicy)("never") }),
  /**
   * What to do when somebody else's server answers at its place: refuse to start, or use it, own nothing and never signal
   * it. Default `refuse`.
   */
  foreign: Schema.optionalWith(Schema.Literal("refuse", "adopt-as-external"), {
    default: () => "refuse" as const,
  }),
  /** Whether the listener must be the server's own process, or one it started. Default true. */
  verifyListener: Schema.optionalWith(Schema.Boolean, { default: () => true }),
  logs: Schema.optional(UnitSpec.Logs),
  /** What started it, for people: a line for the status. Default: the command. */
  launcher: Schema.optional(Schema.String),
}).pipe(
  Schema.filter(versionFaults),
  Schema.filter(({ foreign, port }) =>
    foreign === "refuse" || port !== "auto"
      ? []
      : [
          {
            path: ["foreign"],
            message: "expected it together with a port: nobody else is at one that is chosen anew",
          },
        ],
  ),
  Schema.annotations({ identifier: "ManagedServer" }),
)
export type Managed = typeof Managed.Type

/** Decodes the description of a server to be started, or fails with what is wrong with it. */
export const managed = InvalidSpec.decoder("managed server", Managed, Mask.ofInput)

const baseUrlFault = (url: string): string | undefined => {
  if (!/^https?:\/\//i.test(url)) return "expected an absolute URL that starts with http:// or https://"
  const fault = urlFault(url)
  if (fault !== undefined) return fault
  return url.includes("?") ? "expected a URL without a query (?...)" : undefined
}

const externalFields = {
  /** What logs and errors call it. Default: its URL. */
  name: Schema.optional(Schema.NonEmptyTrimmedString),
  /** Absolute http or https; a path in it goes before the paths of probes and requests. No user, query or fragment. */
  baseUrl: Schema.String.pipe(Schema.filter((url) => baseUrlFault(url) ?? true)),
  /** Where its version is to be found. */
  version: Schema.optional(VersionSource),
  /** Compared exactly, but for blanks around it and one leading `v`. */
  expectedVersion: Schema.optional(Version),
}

/** From the other end of the world, and with TLS, a first answer takes several round trips. */
const firstPatience = (baseUrl: string): Duration.Duration =>
  /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(baseUrl).hostname)
    ? Duration.millis(250)
    : Duration.seconds(5)

/** A server of somebody else's. Only `baseUrl` is required. */
export const External = Schema.transform(
  Schema.Struct({
    ...externalFields,
    /**
     * Default: `GET /` answers with 2xx. The first answer has to come within 250 ms from this machine and within 5 s from
     * elsewhere, unless the probe says otherwise; later ones within 5 s.
     */
    probe: Schema.optionalWith(Schema.encodedSchema(Check.Check), {
      default: () => ({ http: { path: "/" } }),
    }),
  }),
  Schema.Struct({ ...externalFields, probe: Check.Check }).pipe(Schema.filter(versionFaults)),
  {
    strict: true,
    decode: (given) => ({ ...given, probe: { timeout: firstPatience(given.baseUrl), ...given.probe } }),
    encode: (server) => server,
  },
).annotations({ identifier: "ExternalServer" })
export type External = typeof External.Type

/** Decodes the description of somebody else's server, or fails with what is wrong with it. */
export const external = InvalidSpec.decoder("external server", External)

/** A base URL as it is joined with paths: without a slash at its end. */
export const normalizeBase = (url: string): string => new URL(url).href.replace(/\/+$/, "")
