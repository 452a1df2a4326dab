/**
 * The contract as the server goes by it: for a method and a path the endpoint, and what decodes a request to it. Made
 * once from the `HttpApi` value; a router that is built for every API would cost more than most answers.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type * as Stream from "effect/Stream"
import { Api } from "./Api.js"
import * as ApiError from "./ApiError.js"
import * as Decode from "./Decode.js"

type GroupsOf<A> = A extends HttpApi.HttpApi<infer _Id, infer Groups, infer _E, infer _R> ? Groups : never

/** One of the endpoints of the contract. */
export type Endpoint = HttpApiGroup.HttpApiGroup.Endpoints<GroupsOf<typeof Api>>

/** A text that is sent piece by piece, as it comes. */
export class Streamed {
  constructor(readonly pieces: Stream.Stream<string, ApiError.ApiError>) {}
}

/** What an endpoint's handler is given, decoded. */
export type Request<E extends HttpApiEndpoint.HttpApiEndpoint.Any> = Omit<
  HttpApiEndpoint.HttpApiEndpoint.Request<E>,
  "request"
>

/** One handler for each endpoint of the contract. */
export type Handlers = {
  readonly [E in Endpoint as E["name"]]: (
    request: Request<E>,
  ) => Effect.Effect<HttpApiEndpoint.HttpApiEndpoint.Success<E> | Streamed, ApiError.ApiError>
}

/** A request before it is decoded. */
export interface Raw {
  readonly parameters: Readonly<Record<string, string>>
  /** With the `?`, or empty. */
  readonly search: string
  readonly headers: Readonly<Record<string, unknown>>
  /** Undefined when none was sent. */
  readonly body: Uint8Array | undefined
}

/** An endpoint as the server sees it. */
export interface Route {
  readonly name: Endpoint["name"]
  /** `GET /status/:id`. */
  readonly title: string
  readonly contentType: string
  readonly decode: (raw: Raw) => Either.Either<object, ApiError.ApiError>
}

/** What a method and a path lead to. */
export type Found =
  | { readonly _tag: "Route"; readonly route: Route; readonly parameters: Readonly<Record<string, string>> }
  | { readonly _tag: "WrongMethod"; readonly allow: string }
  | { readonly _tag: "Nothing" }
  | { readonly _tag: "BadPath" }

/** A query as a record: what is given several times is a list. */
const queryOf = (search: string): Record<string, string | Array<string>> => {
  const query: Record<string, string | Array<string>> = Object.create(null)
  for (const [name, value] of new URLSearchParams(search)) {
    const known = query[name]
    query[name] = known === undefined ? value : Array.isArray(known) ? [...known, value] : [known, value]
  }
  return query
}

const right = Either.right(undefined)

type Part = "path" | "urlParams" | "headers" | "payload"

const routeOf = (endpoint: HttpApiEndpoint.HttpApiEndpoint.AnyWithProps): Route => {
  const decoder = (schema: Option.Option<Schema.Schema.All>, what: string, field: string) =>
    Option.getOrUndefined(
      Option.map(schema, (found) => Decode.make(what, field, found as Schema.Schema<unknown>)),
    )
  const path = decoder(endpoint.pathSchema, "path", "parameter")
  const query =
    decoder(endpoint.urlParamsSchema, "query", "parameter") ??
    Decode.make("query", "parameter", Schema.Struct({}))
  const payload = decoder(endpoint.payloadSchema, "request body", "field")
  const headers = decoder(endpoint.headersSchema, "request", "header")
  const headerNames = Option.match(endpoint.headersSchema, {
    onNone: () => [],
    onSome: ({ ast }) =>
      SchemaAST.getPropertySignatures(SchemaAST.encodedAST(ast)).map(({ name }) => String(name)),
  })
  const isOptional =
    payload !== undefined && Either.isRight(payload({})) && endpoint.urlParamsSchema._tag === "Some"

  const shown = endpoint.path.replace(/:(\w+)/g, "{$1}")
  const decodeBody = (body: Uint8Array | undefined) => {
    if (payload === undefined) {
      return body === undefined || body.length === 0
        ? right
        : Either.left(ApiError.make("invalid_request", `${endpoint.method} ${shown} takes no body.`))
    }
    if (body !== undefined && body.length > 0) return Either.flatMap(Decode.json(body), payload)
    return isOptional
      ? payload({})
      : Either.left(ApiError.make("invalid_request", "A request body is required."))
  }

  return {
    name: endpoint.name as Endpoint["name"],
    title: `${endpoint.method} ${endpoint.path}`,
    contentType: HttpApiSchema.getEncoding(endpoint.successSchema.ast).contentType,
    decode: (raw) => {
      const request: { [Key in Part]?: unknown } = {}
      if (path !== undefined) {
        const decoded = path(raw.parameters)
        if (Either.isLeft(decoded)) return Either.left(decoded.left)
        request.path = decoded.right
      }
      const decodedQuery =
        raw.search.length > 1 || endpoint.urlParamsSchema._tag === "Some" ? query(queryOf(raw.search)) : right
      if (Either.isLeft(decodedQuery)) return Either.left(decodedQuery.left)
      request.urlParams = decodedQuery.right
      if (headers !== undefined) {
        const given = headerNames.flatMap((name) =>
          raw.headers[name] === undefined ? [] : [[name, raw.headers[name]]],
        )
        const decoded = headers(Object.fromEntries(given))
        if (Either.isLeft(decoded)) return Either.left(decoded.left)
        request.headers = decoded.right
      }
      const body = decodeBody(raw.body)
      if (Either.isLeft(body)) return Either.left(body.left)
      request.payload = body.right
      return Either.right(request)
    },
  }
}

/** What may take for ever: a HEAD, which is answered with nothing of it, would only hang. */
const lasting: ReadonlySet<Endpoint["name"]> = new Set(["wait", "follow", "followEvents", "followUnit"])

const takesHead = (method: string, route: Route): boolean => method === "GET" && !lasting.has(route.name)

interface Shape {
  /** Of the second segment: `:id`, or the segment itself. */
  readonly second: string | undefined
  readonly methods: Map<string, Route>
}

interface Parts {
  /** The path without its second segment, and without the slash at its beginning. */
  readonly key: string
  readonly second: string | undefined
}

/** Cuts the second segment out of a path: only there may the contract have a parameter. */
const partsOf = (path: string): Parts => {
  const begin = path.indexOf("/", 1) + 1
  if (begin === 0) return { key: path.slice(1), second: undefined }
  const slash = path.indexOf("/", begin)
  const end = slash === -1 ? path.length : slash
  // The slashes around it stay: they tell `/jobs/ID` from `/jobs`.
  return { key: path.slice(1, begin) + path.slice(end), second: path.slice(begin, end) }
}

/** By the path without its second segment, which the contract has one form of for each. */
const shapes = new Map<string, Shape>()

HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ endpoint }) => {
    const { key, second } = partsOf(endpoint.path)
    const shape = shapes.get(key) ?? { second, methods: new Map<string, Route>() }
    shape.methods.set(
      endpoint.method,
      routeOf(endpoint as unknown as HttpApiEndpoint.HttpApiEndpoint.AnyWithProps),
    )
    shapes.set(key, shape)
  },
})

const nothing: Found = { _tag: "Nothing" }
const badPath: Found = { _tag: "BadPath" }

/** What a method and a path (without its query) lead to. HEAD goes where GET does, if that is soon over. */
export const find = (method: string, path: string): Found => {
  const { key, second } = partsOf(path)
  const shape = shapes.get(key)
  if (shape === undefined) return nothing
  const parameter = shape.second?.startsWith(":") === true ? shape.second.slice(1) : undefined
  // An empty name is still a name, and a wrong one.
  if (parameter === undefined && second !== shape.second) return nothing
  const route = shape.methods.get(method === "HEAD" ? "GET" : method)
  if (route === undefined || (method === "HEAD" && lasting.has(route.name)))
    return {
      _tag: "WrongMethod",
      allow: [...shape.methods]
        .flatMap(([one, to]) => (takesHead(one, to) ? [one, "HEAD"] : [one]))
        .join(", "),
    }
  if (parameter === undefined || second === undefined) return { _tag: "Route", route, parameters: {} }
  try {
    return { _tag: "Route", route, parameters: { [parameter]: decodeURIComponent(second) } }
  } catch {
    return badPath
  }
}
