/** The client of the API, derived from the contract; and following, which goes on where it was after a restart. */
import * as http from "node:http"
import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { Api } from "./Api.js"
import * as ApiError from "./ApiError.js"
import * as Follow from "./Follow.js"
import type { Endpoint } from "./Routes.js"
import * as Transport from "./Transport.js"
import * as UnitFollow from "./UnitFollow.js"

/** What answered is not this API, or another version of it. */
export class UnexpectedAnswer extends Schema.TaggedError<UnexpectedAnswer>()("UnexpectedAnswer", {
  request: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.request} was answered with something that this client does not know: ${this.reason}. Is it a Holdfast daemon of the same version?`
  }
}

/** What may go wrong on the way. */
export type ClientError = ApiError.ApiError | Transport.LocateError | Transport.Unreachable | UnexpectedAnswer

type RequestOf<E> =
  E extends HttpApiEndpoint.HttpApiEndpoint<
    infer _Name,
    infer _Method,
    infer Path,
    infer UrlParams,
    infer Payload,
    infer Headers,
    infer _Success,
    infer _Error,
    infer _R,
    infer _RE
  >
    ? HttpApiEndpoint.HttpApiEndpoint.ClientRequest<Path, UrlParams, Payload, Headers, false>
    : never

type Plain = Exclude<Endpoint, { readonly name: "follow" | "followEvents" | "followUnit" }>

/** A method for every endpoint, by its name in the contract: `status({ path: { id } })`. */
export type Methods = {
  readonly [E in Plain as E["name"]]: (
    request: RequestOf<E>,
  ) => Effect.Effect<HttpApiEndpoint.HttpApiEndpoint.Success<E>, ClientError>
}

/** What a client can do. */
export interface Service extends Methods {
  /**
   * A job's output from an offset on, as it comes, its changes and its end. When the daemon goes away it is connected
   * to again, at the address that it has then, and nothing is missed and nothing comes twice.
   */
  readonly follow: (id: string, options?: Follow.Options) => Stream.Stream<Follow.Followed, ClientError>
  /**
   * A unit's output as it comes, and how much of it was missed where it could not be kept. When the daemon goes away it is
   * connected to again, as by `follow`. Fails with `unit_not_found` when there is no such unit any more.
   */
  readonly followUnit: (
    name: string,
    options?: UnitFollow.Options,
  ) => Stream.Stream<UnitFollow.Followed, ClientError>
}

/** Speaks with a daemon. */
export class ApiClient extends Context.Tag("holdfast/api/ApiClient")<ApiClient, Service>() {}

/** Only its path and query are used: where the daemon is, is known when the request is sent. */
const nowhere = "http://daemon.invalid"

const httpClient = (
  agent: http.Agent,
  locate: Effect.Effect<Transport.Target, Transport.LocateError>,
): HttpClient.HttpClient =>
  HttpClient.make((request, url) =>
    Effect.gen(function* () {
      const target = yield* locate
      const { body } = request
      const incoming = yield* Transport.open(agent, target, {
        method: request.method,
        path: `${url.pathname}${url.search}`,
        headers: request.headers,
        body: body._tag === "Uint8Array" ? body.body : undefined,
      })
      const bytes = yield* Transport.read(target, incoming)
      const headers = new Headers()
      for (const [name, value] of Object.entries(incoming.headers)) headers.set(name, String(value))
      const response = new Response(bytes, { status: incoming.statusCode ?? 0, headers })
      return HttpClientResponse.fromWeb(request, response)
    }).pipe(
      Effect.mapError(
        (cause) =>
          new HttpClientError.RequestError({
            request,
            reason: "Transport",
            cause,
            description: cause.message,
          }),
      ),
    ),
  )

const isOurs = (cause: unknown): cause is Transport.LocateError | Transport.Unreachable =>
  typeof cause === "object" &&
  cause !== null &&
  "_tag" in cause &&
  ["NoDaemon", "Unreachable", "TokenExposed", "TokenUnusable"].includes(String(cause._tag))

/** What the derived client fails with, as what a person would do about it. */
const meaning =
  (name: string) =>
  (error: unknown): ClientError => {
    if (error instanceof ApiError.ApiError || error instanceof UnexpectedAnswer) return error
    // What was asked for does not even encode.
    if (ParseResult.isParseError(error)) {
      const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
      return ApiError.make(
        "invalid_request",
        `${issue?.path.join(".") ?? name}: ${issue?.message ?? "it is wrong"}.`,
      )
    }
    if (error instanceof HttpClientError.RequestError && isOurs(error.cause)) return error.cause
    return new UnexpectedAnswer({
      request: name,
      reason: error instanceof Error ? error.message : String(error),
    })
  }

/** A client of whomever `locate` finds, anew for each request. */
export const make = (
  locate: Effect.Effect<Transport.Target, Transport.LocateError>,
): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() => new http.Agent({ keepAlive: true })),
      (agent) => Effect.sync(() => agent.destroy()),
    )
    const derived = yield* HttpApiClient.makeWith(Api, {
      httpClient: httpClient(agent, locate),
      baseUrl: nowhere,
      // Here it is what came that does not decode.
      transformResponse: Effect.mapError((error) =>
        ParseResult.isParseError(error)
          ? new UnexpectedAnswer({
              request: "A request",
              reason: ParseResult.TreeFormatter.formatErrorSync(error),
            })
          : error,
      ),
    })
    const methods = Object.entries(
      derived as Record<string, (request: never) => Effect.Effect<unknown, unknown>>,
    )
    return {
      ...(Object.fromEntries(
        methods.map(([name, method]) => [
          name,
          (request: never) => Effect.mapError(method(request), meaning(name)),
        ]),
      ) as unknown as Methods),
      follow: (id, options) => Follow.make(agent, locate, id, options),
      followUnit: (name, options) => UnitFollow.make(agent, locate, name, options),
    }
  })

/** A client of the daemon at an address: `http://127.0.0.1:19263` or `unix:PATH`. */
export const layer = (target: Transport.Target): Layer.Layer<ApiClient> =>
  Layer.scoped(ApiClient, make(Effect.succeed(target)))

/** A client of the daemon that serves a root. It finds address and token by itself, whenever it needs them. */
export const layerRoot = (root: string): Layer.Layer<ApiClient> =>
  Layer.scoped(ApiClient, make(Transport.locate(root)))
