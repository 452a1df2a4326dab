/**
 * Where each call goes: the method and the path of every endpoint, which the build takes out of the `HttpApi` value.
 * The types of what goes in and out come from that same value, without loading it: the derived client takes four times
 * as long to load as this program may take to start.
 */
import type * as HttpApi from "@effect/platform/HttpApi"
import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import type { Api } from "../api/Api.js"

type EndpointsOf<A> =
  A extends HttpApi.HttpApi<string, infer Groups, infer _E, infer _R>
    ? HttpApiGroup.HttpApiGroup.Endpoints<Groups>
    : never

type Endpoints = EndpointsOf<typeof Api>

/** The names of the endpoints. */
export type Name = HttpApiEndpoint.HttpApiEndpoint.Name<Endpoints>

/** The method and the path of each endpoint, such as `GET /status/:id`. */
export type Routes = Readonly<Record<Name, string>>

type Endpoint<N extends Name> = HttpApiEndpoint.HttpApiEndpoint.WithName<Endpoints, N>

/** What an endpoint answers when all is well. */
export type Answer<N extends Name> = HttpApiEndpoint.HttpApiEndpoint.Success<Endpoint<N>>

type Part<Key extends string, A> = [A] extends [never]
  ? unknown
  : // oxlint-disable-next-line typescript/no-empty-object-type
    {} extends A
    ? { readonly [K in Key]?: A }
    : { readonly [K in Key]: A }

/** What an endpoint is given. */
export type Given<N extends Name> = Part<"path", HttpApiEndpoint.HttpApiEndpoint.PathParsed<Endpoint<N>>> &
  Part<"query", HttpApiEndpoint.HttpApiEndpoint.UrlParams<Endpoint<N>>> &
  Part<"body", HttpApiEndpoint.HttpApiEndpoint.Payload<Endpoint<N>>>

/** A request by method and path, with its query. */
export const requestOf = <N extends Name>(
  routes: Routes,
  name: N,
  given: Given<N>,
): { readonly method: string; readonly path: string; readonly body?: unknown } => {
  const { body, path, query } = given as {
    readonly body?: unknown
    readonly path?: Readonly<Record<string, string>>
    readonly query?: Readonly<Record<string, unknown>>
  }
  const [method, template] = routes[name].split(" ") as [string, string]
  const filled = template.replace(/:(\w+)/g, (_, key: string) => encodeURIComponent(path?.[key] ?? ""))
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query ?? {})) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined) search.append(key, String(each))
    }
  }
  const text = search.toString()
  return {
    method,
    path: text === "" ? filled : `${filled}?${text}`,
    ...(body === undefined ? {} : { body }),
  }
}
