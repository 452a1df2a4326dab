/**
 * OpenCode's server: `opencode serve`, started when a call is made and looked after from then on, or somebody else's.
 *
 * ```ts
 * const opencode = yield* OpenCode.managed({ expectedVersion: "1.18.33", config: { autoupdate: false } })
 * const server = yield* opencode.handle.acquire
 * const limit = yield* server.contextLimit("anthropic", "claude-sonnet-4-5")
 * ```
 *
 * It is ready when it has said so and `/global/health` says that it is healthy. What it is asked for beyond that may take
 * its directory's configuration into account: `cwd` is the directory that it works in.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Prober } from "../../probe/Prober.js"
import * as InvalidSpec from "../../process/InvalidSpec.js"
import * as Mask from "../../process/Mask.js"
import type { Needs } from "../../unit/Supervisor.js"
import type { Handle } from "../Handle.js"
import type { AcquireError } from "../HandleError.js"
import type * as RecursionGuard from "../RecursionGuard.js"
import * as Server from "../Server.js"
import * as HandleView from "./HandleView.js"
import * as Launcher from "./OpenCodeLauncher.js"
import { OpenCodeServer } from "./OpenCodeServer.js"

export type { ModelLimits } from "./ModelLimits.js"
export { OpenCodeServer } from "./OpenCodeServer.js"

/** The variable that marks what an OpenCode server has started: it must not start another one. */
export const guardVariable = "OPENCODE_ORCHESTRATOR_MANAGED"

/** The variable that a configuration is handed over in. */
export const configVariable = "OPENCODE_CONFIG_CONTENT"

/** The variables that ask a server's clients for a password, and for a user name, which is `opencode` by default. */
export const passwordVariable = "OPENCODE_SERVER_PASSWORD"
export const usernameVariable = "OPENCODE_SERVER_USERNAME"

/** The recursion guard of an OpenCode server, unless `Options.guard` says otherwise. */
export const guard: RecursionGuard.Options = {
  variable: guardVariable,
  advice: `Most likely an agent of an OpenCode server tries to start a server of its own. Do the task without the tools that need one, or ask a person; if nothing of the kind goes on here, unset ${guardVariable}.`,
}

const text = (allowed: string) =>
  Schema.String.pipe(Schema.filter((value) => value.trim() !== "" && !value.includes("\0"))).annotations({
    message: () => ({ message: `expected ${allowed}`, override: true }),
  })
const words = Schema.Array(
  Schema.String.pipe(Schema.filter((word) => !word.includes("\0"))).annotations({
    message: () => ({ message: "expected a text without NUL characters", override: true }),
  }),
).annotations({
  // Only for what is no list at all; what is in it has its own words.
  message: ({ actual }) => ({ message: "expected a list of texts", override: !Array.isArray(actual) }),
})

const login = {
  /** Required of its clients. Default: what {@link passwordVariable} says; none. */
  password: Schema.optional(text("a password: a text that is not blank")),
  /** Default: what {@link usernameVariable} says; `opencode`. */
  username: Schema.optional(
    text("a user name: a text that is not blank, without a colon").pipe(
      Schema.filter((name) => !name.includes(":"), {
        message: () => "expected a user name: a text that is not blank, without a colon",
      }),
    ),
  ),
}

const Own = Schema.Struct({
  ...login,
  /** The program: a path, or a name to be found on `PATH`. Default: what `OPENCODE_BINARY` says; `opencode`. */
  binary: Schema.optional(text("a program: a path, or a name to be found on PATH")),
  /** What comes between the program and `serve`. Default: what `OPENCODE_BINARY_ARGS` says, unless `binary` is given. */
  binaryArgs: Schema.optional(words),
  /** What comes after `serve --hostname HOST --port PORT`, such as `--print-logs`. */
  args: Schema.optional(words),
  /** Its configuration, over that of its files: what `opencode.json` may hold, as an object or as text. */
  config: Schema.optional(
    Schema.Union(
      text("a configuration: an object, or a text with one"),
      Schema.Record({ key: Schema.String, value: Schema.Unknown }),
    ).annotations({
      message: () => ({ message: "expected a configuration: an object, or a text with one", override: true }),
    }),
  ),
})

const Login = Schema.Struct(login)

/** Neither is to be seen in an error. */
const redactFor = ({ config, password }: typeof Own.Encoded): Mask.Redact =>
  Mask.make(["password", "config"], { password, config: typeof config === "string" ? config : undefined })

const decodeOwn = InvalidSpec.decoder("OpenCode server", Own, redactFor)
const decodeLogin = InvalidSpec.decoder("OpenCode server", Login, redactFor)

/** What this preset says of every managed server. */
type Settled = "name" | "command" | "probe" | "version"

/** What an OpenCode server that is started here is made of: its own, and what any managed server has. */
export type ManagedInput = typeof Own.Encoded &
  Omit<Server.ManagedInput, Settled> & {
    /** What logs and errors call it. Default `opencode`. */
    readonly name?: string
  }

/** What an OpenCode server of somebody else's is made of. */
export type ExternalInput = typeof Login.Encoded &
  Pick<Server.ExternalInput, "name" | "baseUrl" | "expectedVersion">

/** How it is looked after. */
export interface Options extends Server.Options {
  /** Where `OPENCODE_BINARY` and the like are read. Default: this program's environment. */
  readonly environment?: Launcher.Environment | undefined
}

/** An OpenCode server. */
export interface Service extends Omit<Server.Server, "handle"> {
  /** Gives the server as it is now, once it answers. */
  readonly handle: Handle<OpenCodeServer, Server.ServerError>
  /** Puts on a request what lets it in, where the server requires a password. */
  readonly authorize: (request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest
}

/** An OpenCode server, as a service. */
export class OpenCode extends Context.Tag("holdfast/handle/presets/OpenCode")<OpenCode, Service>() {}

/** An empty password is none, to OpenCode as well. */
const loginOf = (
  given: typeof Login.Type,
  environment: Launcher.Environment,
): { readonly username: string; readonly password: string } | undefined => {
  const password = given.password ?? environment[passwordVariable] ?? ""
  const username = given.username ?? environment[usernameVariable] ?? ""
  return password === "" ? undefined : { password, username: username === "" ? "opencode" : username }
}

const headersOf = (login: ReturnType<typeof loginOf>): Readonly<Record<string, string>> =>
  login === undefined
    ? {}
    : { Authorization: `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}` }

const healthPath = "/global/health"

const health = (headers: Readonly<Record<string, string>>) => ({
  path: healthPath,
  json: { "/healthy": true },
  headers,
})

const version = { path: healthPath, pointer: "/version" }

const serviceOf = (
  { handle, ...server }: Server.Server,
  headers: Readonly<Record<string, string>>,
): Service => ({
  ...server,
  handle: HandleView.make(handle, (info) => OpenCodeServer.of(info, headers)),
  authorize: HttpClientRequest.setHeaders(headers),
})

const invalid = (field: string, allowed: string) =>
  new InvalidSpec.InvalidSpec({ what: "OpenCode server", issues: [{ field, value: "(hidden)", allowed }] })

const guardOf = ({ environment, guard: given }: Options): RecursionGuard.Options | false =>
  given === false ? false : { ...guard, ...(environment !== undefined && { environment }), ...given }

/** `${` would stand for a port in a variable of a unit; in JSON it can be in a text or a comment only. */
const escaped = (json: string): string => json.replaceAll("${", "\\u0024{")

const configText = (config: string | Readonly<Record<string, unknown>>) =>
  typeof config === "string"
    ? Effect.succeed(escaped(config))
    : Effect.try({
        try: () => escaped(JSON.stringify(config)),
        catch: () =>
          invalid("config", "expected what JSON can hold: no bigints, nothing that contains itself"),
      })

/**
 * `opencode serve`, started here, for the length of the scope. Nothing is started before somebody asks; closing the scope
 * stops it with its whole group. Defaults other than those of any managed server: a start may take 30 s, each look at its
 * health 1 s.
 *
 * With `expectedVersion` another version is a `VersionMismatch`, which is not tried again. In a program that an OpenCode
 * server has started itself every start is refused: see {@link guard}.
 *
 * Fails with `InvalidSpec` when the description is wrong, `OPENCODE_BINARY_ARGS` included.
 */
export const managed = (
  input: ManagedInput = {},
  options: Options = {},
): Effect.Effect<Service, InvalidSpec.InvalidSpec, Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const { args, binary, binaryArgs, config, password, username, ...rest } = input
    const own = yield* decodeOwn({
      ...(args !== undefined && { args }),
      ...(binary !== undefined && { binary }),
      ...(binaryArgs !== undefined && { binaryArgs }),
      ...(config !== undefined && { config }),
      ...(password !== undefined && { password }),
      ...(username !== undefined && { username }),
    })
    const environment = options.environment ?? process.env
    for (const [field, variable] of [
      ["config", configVariable],
      ["password", passwordVariable],
      ["username", usernameVariable],
    ] as const) {
      if (own[field] !== undefined && rest.env?.[variable] !== undefined)
        return yield* invalid(`env.${variable}`, `expected nothing, as it is given as ${field}`)
    }
    const inherited = { ...(rest.inheritEnv !== false && environment), ...rest.env }
    const launcher = yield* Launcher.make(own, environment, Mask.make(rest.mask ?? [], inherited))
    const login = loginOf(own, inherited)
    const headers = headersOf(login)
    const content = own.config === undefined ? undefined : yield* configText(own.config)
    const server = yield* Server.managed(
      {
        name: "opencode",
        startTimeout: "30s",
        ...rest,
        command: [
          ...launcher,
          "serve",
          "--hostname",
          rest.host ?? "127.0.0.1",
          "--port",
          "${port}",
          ...(own.args ?? []),
        ],
        env: {
          ...rest.env,
          // Said once more, so that it is the one which the probe sends, whatever an env file says.
          ...(login !== undefined && {
            [passwordVariable]: login.password,
            [usernameVariable]: login.username,
          }),
          ...(content !== undefined && { [configVariable]: content }),
        },
        // A configuration is where keys of providers stand.
        mask: [...(rest.mask ?? []), passwordVariable, configVariable],
        // A request that comes before the line is one that is never answered: the short timeout is for those.
        probe: {
          all: [{ log: { pattern: "opencode server listening on" } }, { http: health(headers) }],
          timeout: "1s",
          period: "100ms",
        },
        version,
      },
      { ...options, guard: guardOf(options) },
    )
    return serviceOf(server, headers)
  })

/**
 * An OpenCode server of somebody else's, at its URL. It is never started and never signalled. Fails with `InvalidSpec`
 * when the description is wrong.
 */
export const external = (
  input: ExternalInput,
  options: Pick<Options, "health" | "environment"> = {},
): Effect.Effect<Service, InvalidSpec.InvalidSpec, Prober | Scope.Scope> =>
  Effect.gen(function* () {
    const { password, username, ...rest } = input
    const own = yield* decodeLogin({
      ...(password !== undefined && { password }),
      ...(username !== undefined && { username }),
    })
    const headers = headersOf(loginOf(own, options.environment ?? process.env))
    const server = yield* Server.external({ ...rest, probe: { http: health(headers) }, version }, options)
    return serviceOf(server, headers)
  })

/** A managed OpenCode server as a service; see {@link managed}. */
export const layerManaged = (
  input?: ManagedInput,
  options?: Options,
): Layer.Layer<OpenCode, InvalidSpec.InvalidSpec, Needs> => Layer.scoped(OpenCode, managed(input, options))

/** An OpenCode server of somebody else's as a service; see {@link external}. */
export const layerExternal = (
  input: ExternalInput,
  options?: Pick<Options, "health" | "environment">,
): Layer.Layer<OpenCode, InvalidSpec.InvalidSpec, Prober> => Layer.scoped(OpenCode, external(input, options))

/**
 * An `HttpClient` that is pointed at the server: before each request the server is acquired, and so started or replaced
 * where that is needed, and the request is let in where it requires a password. The URL of a request is a path.
 */
export const client = <E, R>(
  { authorize, handle }: Pick<Service, "authorize" | "handle">,
  over: HttpClient.HttpClient.With<E, R>,
): HttpClient.HttpClient.With<E | AcquireError<Server.ServerError>, R> =>
  Server.client(handle, HttpClient.mapRequest(over, authorize))
