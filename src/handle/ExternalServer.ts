/** A server of somebody else's: looked at, used, never started, never signalled. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as HttpProbe from "../probe/HttpProbe.js"
import { Prober } from "../probe/Prober.js"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import * as Handle from "./Handle.js"
import * as ServerCheck from "./ServerCheck.js"
import { type ServerError, ServerUnavailable, VersionMismatch } from "./ServerError.js"
import type { Options, Server } from "./ServerService.js"
import * as ServerSpec from "./ServerSpec.js"
import { ServerInfo, ServerStatus } from "./ServerStatus.js"

/** Makes a handle to a server at a URL. Nothing is asked yet. */
export const make = (
  input: typeof ServerSpec.External.Encoded,
  options: Pick<Options, "health"> = {},
): Effect.Effect<Server, InvalidSpec, Prober | Scope.Scope> =>
  Effect.gen(function* () {
    const spec = yield* ServerSpec.external(input)
    const prober = yield* Prober
    const baseUrl = ServerSpec.normalizeBase(spec.baseUrl)
    const name = spec.name ?? baseUrl
    const target = { baseUrl }
    const first = yield* prober.attach(ServerSpec.withTimes(spec.probe), target)
    const check = yield* ServerCheck.make(spec.probe, target)

    const connect: Effect.Effect<ServerInfo, ServerError> = Effect.gen(function* () {
      const { outputs } = yield* Effect.mapError(
        first.check,
        ({ message }) => new ServerUnavailable({ server: name, baseUrl, reason: message }),
      )
      const { pointer, path = spec.probe.http?.path ?? "/" } = spec.version ?? { pointer: "" }
      const found =
        spec.version === undefined ? undefined : yield* ServerCheck.readText(baseUrl, path, pointer)
      const version = found === undefined ? undefined : HttpProbe.normalizeVersion(found)
      const expected = spec.expectedVersion
      if (expected !== undefined && version !== HttpProbe.normalizeVersion(expected)) {
        const actual = version === undefined ? {} : { actual: version }
        return yield* new VersionMismatch({ server: name, baseUrl, expected, ...actual })
      }
      return new ServerInfo({
        name,
        baseUrl,
        mode: "external",
        ownership: "external",
        outputs,
        ...(version !== undefined && { version }),
      })
    })

    const handle = yield* Handle.make<ServerInfo, ServerError, never, never>({
      name,
      mode: "external",
      start: () => connect,
      validate: () => check,
      describe: () => ({ baseUrl }),
      ...(options.health !== undefined && { health: options.health }),
    })

    const status: Effect.Effect<ServerStatus> = Effect.gen(function* () {
      const verdict = yield* Effect.either(first.check)
      const state = yield* handle.state
      const version = state._tag === "Ready" ? state.snapshot.version : undefined
      return new ServerStatus({
        name,
        baseUrl,
        mode: "external",
        ownership: "external",
        state: verdict._tag === "Right" ? "Ready" : "Unreachable",
        ...(version !== undefined && { version }),
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
