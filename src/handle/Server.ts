/**
 * Local servers: one that is started when a call is made and looked after from then on, or one of somebody else's. Each is
 * a `Handle`, so that whoever asks gets a server that answers; a managed one is a unit under a supervisor of its own.
 *
 * ```ts
 * const search = yield* Server.managed({
 *   name: "search",
 *   command: ["node", "search.js", "--port", "${port}"],
 *   probe: { http: { path: "/health" } },
 * })
 * const { baseUrl } = yield* search.handle.acquire
 * ```
 */
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Prober } from "../probe/Prober.js"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import type { Needs } from "../unit/Supervisor.js"
import * as ExternalServer from "./ExternalServer.js"
import type { Handle } from "./Handle.js"
import type { AcquireError } from "./HandleError.js"
import * as ManagedServer from "./ManagedServer.js"
import type { ServerError } from "./ServerError.js"
import type { Options, Server } from "./ServerService.js"
import type * as ServerSpec from "./ServerSpec.js"

export * from "./ServerError.js"
export type { Options, Server, ServerDown } from "./ServerService.js"
export { ServerInfo, ServerState, ServerStatus } from "./ServerStatus.js"

/** What a managed server is made of. */
export type ManagedInput = typeof ServerSpec.Managed.Encoded

/** What an external server is made of. */
export type ExternalInput = typeof ServerSpec.External.Encoded

/**
 * A server that is started here, for the length of the scope. Nothing is started before somebody asks; closing the scope
 * stops it with its whole group.
 */
export const managed: (
  input: ManagedInput,
  options?: Options,
) => Effect.Effect<Server, InvalidSpec, Needs | Scope.Scope> = ManagedServer.make

/** A server of somebody else's. It is never started and never signalled. */
export const external: (
  input: ExternalInput,
  options?: Pick<Options, "health">,
) => Effect.Effect<Server, InvalidSpec, Prober | Scope.Scope> = ExternalServer.make

/** A managed server as a service. */
export const layerManaged = <I>(
  tag: Context.Tag<I, Server>,
  input: ManagedInput,
  options?: Options,
): Layer.Layer<I, InvalidSpec, Needs> => Layer.scoped(tag, managed(input, options))

/** An external server as a service. */
export const layerExternal = <I>(
  tag: Context.Tag<I, Server>,
  input: ExternalInput,
  options?: Pick<Options, "health">,
): Layer.Layer<I, InvalidSpec, Prober> => Layer.scoped(tag, external(input, options))

/** A path under a base URL, whatever it is: none leads to another server. */
const under =
  (baseUrl: string) =>
  (path: string): string =>
    path.startsWith("/") ? `${baseUrl}${path}` : `${baseUrl}/${path}`

/**
 * An `HttpClient` that is pointed at a server: the URL of a request is a path under its base URL. Before each request the
 * server is acquired, and so started or replaced where that is needed; until the head of the answer is there it counts as
 * in use (see `Handle.hold`). For an answer that goes on for long, such as an event stream, hold it yourself.
 */
export const client = <E, R, E2 = ServerError>(
  handle: Pick<Handle<{ readonly baseUrl: string }, E2>, "use">,
  over: HttpClient.HttpClient.With<E, R>,
): HttpClient.HttpClient.With<E | AcquireError<E2>, R> =>
  HttpClient.makeWith(
    (asked: Effect.Effect<HttpClientRequest.HttpClientRequest, E | AcquireError<E2>, R>) =>
      Effect.flatMap(asked, (request) =>
        handle.use(({ baseUrl }) => over.execute(HttpClientRequest.updateUrl(request, under(baseUrl)))),
      ),
    Effect.succeed,
  )

/** As {@link client}, over the `HttpClient` of the context. */
export const httpClient = <E = ServerError>(server: {
  readonly handle: Pick<Handle<{ readonly baseUrl: string }, E>, "use">
}): Effect.Effect<
  HttpClient.HttpClient.With<HttpClientError.HttpClientError | AcquireError<E>>,
  never,
  HttpClient.HttpClient
> => Effect.map(HttpClient.HttpClient, (over) => client(server.handle, over))
