/**
 * Who gets in. A page in a browser must not be able to run commands: not by a foreign origin, not by a name that was
 * made to point here (DNS rebinding), not by a form. Judged before anything of a body is read, for every path.
 */
import { timingSafeEqual } from "node:crypto"
import type { IncomingHttpHeaders } from "node:http"
import { isIP } from "node:net"
import * as ApiError from "./ApiError.js"

/** What a server lets in. */
export interface Rules {
  /** Undefined: nobody is asked for one. */
  readonly token: string | undefined
  /** The host it was bound to, without brackets; undefined for a Unix socket, which no page can reach. */
  readonly host: string | undefined
}

/** What is judged. */
export interface Visit {
  readonly path: string
  /** With the Host that counts: that of the request's target, where it has one. */
  readonly headers: IncomingHttpHeaders
  /** The address of this machine that the connection was made to. */
  readonly localAddress: string | undefined
}

/** Whether a host, without brackets, can only be this machine itself. */
export const isLoopback = (host: string): boolean =>
  host.toLowerCase() === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))

const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "").toLowerCase()

/** The host of a Host header; undefined when it is none. */
const hostOf = (header: string): string | undefined => {
  const [, bracketed, bare] = /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(header) ?? []
  return (bracketed ?? bare)?.toLowerCase()
}

const isOurs = (host: string, bound: string, localAddress: string | undefined): boolean =>
  isLoopback(host) ||
  host === bound.toLowerCase() ||
  // An address that the connection was made to cannot be a name that somebody else points here.
  (!isLoopback(bound) &&
    isIP(host) !== 0 &&
    localAddress !== undefined &&
    plain(localAddress) === plain(host))

/** Paths that anybody may ask for who got as far as this. */
const open: ReadonlySet<string> = new Set(["/health"])

/** Paths that a browser can show: it asks its user for a password, which is the token. */
const shown: ReadonlySet<string> = new Set(["/docs", "/openapi.json"])

/** In a time that tells nothing but the length, which is no secret. */
const isSame = (text: string, expected: Buffer): boolean => {
  const bytes = Buffer.from(text)
  return bytes.length === expected.length && timingSafeEqual(bytes, expected)
}

const given = (authorization: string, path: string): string | undefined => {
  const [, scheme, credentials] = /^(\w+) +(\S+)$/.exec(authorization) ?? []
  if (scheme === undefined || credentials === undefined) return undefined
  if (scheme.toLowerCase() === "bearer") return credentials
  if (scheme.toLowerCase() !== "basic" || !shown.has(path)) return undefined
  return Buffer.from(credentials, "base64")
    .toString("utf8")
    .replace(/^[^:]*:/, "")
}

/** The answer to `unauthorized` says how to do better. */
export const challenge = (path: string): string =>
  shown.has(path)
    ? 'Basic realm="holdfast: the token as password", charset="UTF-8"'
    : 'Bearer realm="holdfast"'

/** The judge: why a visit is refused, or undefined. */
export const make = ({ host: bound, token }: Rules): ((visit: Visit) => ApiError.ApiError | undefined) => {
  const expected = token === undefined ? undefined : Buffer.from(token)

  const isForeign = ({ headers, localAddress }: Visit): string | undefined => {
    if (bound !== undefined) {
      if (headers.host === undefined) return "The request has no Host header."
      const host = hostOf(headers.host)
      if (host === undefined || !isOurs(host, bound, localAddress))
        return "The Host header does not name this daemon: use the address that it listens at, or localhost. A proxy in front of it has to send Host: localhost."
    }
    const { origin } = headers
    if (origin !== undefined && origin.toLowerCase() !== `http://${headers.host?.toLowerCase()}`)
      return "Requests from pages of other origins are refused."
    const site = headers["sec-fetch-site"]
    if (site !== undefined && site !== "same-origin" && site !== "none")
      return "Requests from pages of other sites are refused."
    return undefined
  }

  return (visit) => {
    const foreign = isForeign(visit)
    if (foreign !== undefined) return ApiError.make("forbidden", foreign)
    if (expected === undefined || open.has(visit.path)) return undefined
    const { authorization } = visit.headers
    if (authorization === undefined)
      return ApiError.make(
        "unauthorized",
        "A token is needed: send it as 'Authorization: Bearer TOKEN'; it is in the file 'token' in the daemon's root.",
      )
    const token = given(authorization, visit.path)
    return token !== undefined && isSame(token, expected)
      ? undefined
      : ApiError.make(
          "unauthorized",
          "The token is not the one of this daemon; it is in the file 'token' in the daemon's root.",
        )
  }
}
