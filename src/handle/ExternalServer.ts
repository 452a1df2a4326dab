/** A server of somebody else's: looked at, used, never started, never signalled. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Authority from "../probe/Authority.js"
import * as HttpProbe from "../probe/HttpProbe.js"
import { Prober } from "../probe/Prober.js"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import * as Handle from "./Handle.js"
import * as ServerCheck from "./ServerCheck.js"
import { type ServerError, ServerUnavailable, VersionMismatch } from "./ServerError.js"
import type { Options, Server } from "./ServerService.js"
import * as ServerSpec from "./ServerSpec.js"
import { ServerInfo, ServerStatus } from "./ServerStatus.js"

/** Where it is, for probes that only say part of it. */
const targetOf = (baseUrl: string) => {
  const url = new URL(baseUrl)
  return { baseUrl, host: url.hostname, port: Authority.portOf(url) }
}

/** Makes a handle to a server at a URL. Nothing is asked yet. */
export const make = (
  input: typeof ServerSpec.External.Encoded,
  options: Pick<Options, "health"> = {},
): Effect.Effect<Server, InvalidSpec, Prober | Scope.Scope> =>
  Effect.gen(function* () {
    const spec = yield* ServerSpec.external(input)
    const prober = yield* Prober
    const { expectedVersion, probe } = spec
    const baseUrl = ServerSpec.normalizeBase(spec.baseUrl)
    const name = spec.name ?? baseUrl
    const target = targetOf(baseUrl)
    const { check: look } = yield* prober.attach(probe, target)
    const validate = yield* ServerCheck.make(probe, target)

    const unavailable = (reason: string) => new ServerUnavailable({ server: name, baseUrl, reason })

    const version: Effect.Effect<string | undefined, ServerError> = Effect.gen(function* () {
      if (spec.version === undefined) return undefined
      const read = ServerCheck.readVersion(spec.version, ServerCheck.lasting(probe) ?? probe, target)
      const found = yield* expectedVersion === undefined
        ? Effect.orElseSucceed(read, () => undefined)
        : Effect.mapError(read, (reason) => unavailable(`Its version cannot be told: ${reason}`))
      const actual = found === undefined ? undefined : HttpProbe.normalizeVersion(found)
      if (expectedVersion === undefined || actual === HttpProbe.normalizeVersion(expectedVersion))
        return actual
      const is = actual === undefined ? {} : { actual }
      return yield* new VersionMismatch({ server: name, baseUrl, expected: expectedVersion, ...is })
    })

    const connect: Effect.Effect<ServerInfo, ServerError> = Effect.gen(function* () {
      const { outputs } = yield* Effect.mapError(look, ({ message }) => unavailable(message))
      const found = yield* version
      return new ServerInfo({
        name,
        baseUrl,
        mode: "external",
        ownership: "external",
        outputs,
        ...(found !== undefined && { version: found }),
      })
    })

    const handle = yield* Handle.make<ServerInfo, ServerError>({
      name,
      mode: "external",
      start: () => connect,
      validate: () => validate,
      describe: () => ({ baseUrl }),
      health: options.health,
    })

    const status: Effect.Effect<ServerStatus> = Effect.gen(function* () {
      const verdict = yield* Effect.either(look)
      const state = yield* handle.state
      const known = state._tag === "Ready" ? state.snapshot.version : undefined
      return new ServerStatus({
        name,
        baseUrl,
        mode: "external",
        ownership: "external",
        state: verdict._tag === "Right" ? "Ready" : "Unreachable",
        ...(known !== undefined && { version: known }),
        ...(verdict._tag === "Left" && { reason: verdict.left.message }),
      })
    })

    return {
      name,
      handle,
      start: Effect.zipRight(handle.acquire, status),
      stop: status,
      status,
      log: undefined,
    }
  })
