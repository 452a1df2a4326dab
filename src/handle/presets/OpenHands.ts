/**
 * The OpenHands agent server: started by the launcher of a tool directory when a call is made and looked after from then
 * on, or somebody else's. See `OpenHandsTooling` for what a tool directory holds.
 *
 * ```ts
 * const openhands = yield* OpenHands.managed({ toolDir: "tools/openhands-server" })
 * const { baseUrl, version } = yield* openhands.handle.acquire
 * ```
 *
 * It is ready when `/openapi.json` answers with JSON: a page in its place, as web servers that know no such path are apt
 * to send, is none.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Prober } from "../../probe/Prober.js"
import { InvalidSpec, type Issue } from "../../process/InvalidSpec.js"
import type { Needs } from "../../unit/Supervisor.js"
import * as Server from "../Server.js"
import * as OpenHandsTooling from "./OpenHandsTooling.js"

export { Tooling } from "./OpenHandsTooling.js"

/** The variable with the port of the server, for this program and for the launcher. */
export const portVariable = "OPENHANDS_SERVER_PORT"

/** An agent server that is started here: its tool directory, and what any managed server has. */
export type ManagedInput = Omit<
  Server.ManagedInput,
  "name" | "command" | "cwd" | "probe" | "version" | "launcher"
> & {
  /** What logs and errors call it. Default `openhands`. */
  readonly name?: string
  /** The directory with `tooling.json` and the launcher. */
  readonly toolDir: string
  /** Run in the place of the launcher, in the directory where that would run. */
  readonly command?: readonly [string, ...Array<string>]
  /**
   * Default: what `OPENHANDS_SERVER_PORT` says, else what `tooling.json` says, else 8000. With `auto` any that is free.
   */
  readonly port?: number | "auto"
  /** The version that the tool directory must have. Default: whichever it has. */
  readonly expectedVersion?: string
}

/** An agent server of somebody else's. */
export type ExternalInput = Omit<Server.ExternalInput, "probe">

/** How it is looked after. */
export interface Options extends Server.Options {
  /** Where `OPENHANDS_SERVER_PORT` is read. Default: this program's environment. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
}

/** An OpenHands agent server, as a service. */
export class OpenHands extends Context.Tag("holdfast/handle/presets/OpenHands")<OpenHands, Server.Server>() {}

/**
 * The document is longer than what a probe reads, so that it is known by its type. `GET`, as the server's framework does
 * not answer `HEAD` everywhere.
 */
const probe = {
  http: { path: "/openapi.json", identity: { header: "content-type", equals: "application/json" } },
} as const

/** The port that a text names; undefined for a blank one. */
export const portOf = (text: string | undefined): Either.Either<number | undefined, Issue> => {
  const digits = text?.trim() ?? ""
  if (digits === "") return Either.right(undefined)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  return port >= 1 && port <= 65_535
    ? Either.right(port)
    : Either.left({
        field: portVariable,
        value: JSON.stringify(text),
        allowed: "expected a port: a number from 1 to 65535",
      })
}

/**
 * The agent server of a tool directory, started here, for the length of the scope. Nothing is started before somebody
 * asks; closing the scope stops the launcher with everything that it has started. Its version is the one that the tool
 * directory is pinned to.
 *
 * Fails with one `InvalidSpec` that lists everything that is missing or wrong: with the tool directory, and with
 * `OPENHANDS_SERVER_PORT`.
 */
export const managed = (
  input: ManagedInput,
  options: Options = {},
): Effect.Effect<Server.Server, InvalidSpec, Needs | Scope.Scope> =>
  Effect.gen(function* () {
    const { command, expectedVersion, port: wanted, toolDir, ...rest } = input
    const environment = options.environment ?? process.env
    const named = wanted === undefined ? portOf(environment[portVariable]) : Either.right(wanted)
    const loaded = OpenHandsTooling.load(toolDir, {
      command,
      expectedVersion,
      environment: { ...(rest.inheritEnv !== false && process.env), ...rest.env },
    })
    if (Either.isLeft(named) || Either.isLeft(loaded)) {
      const issues = [
        ...(Either.isLeft(loaded) ? loaded.left : []),
        ...(Either.isLeft(named) ? [named.left] : []),
      ]
      return yield* new InvalidSpec({ what: `OpenHands server of ${toolDir}`, issues })
    }
    const { command: launch, tooling, workingDirectory } = loaded.right
    const { env, port, version, versionAt } = tooling
    return yield* Server.managed(
      {
        name: "openhands",
        ...rest,
        command: launch,
        cwd: workingDirectory,
        env: { ...env, ...rest.env, [portVariable]: "${port}" },
        port: named.right ?? port,
        probe,
        ...(versionAt === undefined ? { version } : { version: versionAt, expectedVersion: version }),
      },
      options,
    )
  })

/** An agent server of somebody else's, at its URL. It is never started and never signalled. */
export const external = (
  input: ExternalInput,
  options?: Pick<Options, "health">,
): Effect.Effect<Server.Server, InvalidSpec, Prober | Scope.Scope> =>
  Server.external({ ...input, probe }, options)

/** A managed agent server as a service; see {@link managed}. */
export const layerManaged = (
  input: ManagedInput,
  options?: Options,
): Layer.Layer<OpenHands, InvalidSpec, Needs> => Layer.scoped(OpenHands, managed(input, options))

/** An agent server of somebody else's as a service; see {@link external}. */
export const layerExternal = (
  input: ExternalInput,
  options?: Pick<Options, "health">,
): Layer.Layer<OpenHands, InvalidSpec, Prober> => Layer.scoped(OpenHands, external(input, options))
