/**
 * What to check: the description of a probe, named by its kind as in a configuration file. `{ http: { path: "/health" } }`,
 * `{ tcp: {} }`, `{ exec: { command: ["pg_isready"] } }`, `{ log: { pattern: "listening on (?<url>\\S+)" } }`, and
 * `{ all: [..] }` or `{ any: [..] }` of these.
 */
import { validateHeaderName, validateHeaderValue } from "node:http"
import { isIP } from "node:net"
import type * as Arr from "effect/Array"
import * as Schema from "effect/Schema"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as ProcessSpec from "../process/ProcessSpec.js"
import { bare } from "./Authority.js"
import { isPointer } from "./JsonPointer.js"
import type { ProbeKind } from "./ProbeResult.js"

const message = (allowed: string) => ({ message: () => ({ message: `expected ${allowed}`, override: true }) })

const succeeds = (run: () => void): boolean => {
  try {
    run()
    return true
  } catch {
    return false
  }
}

/** A TCP port. */
export const Port = Schema.Int.pipe(Schema.between(1, 65_535)).annotations(
  message("a port: a number from 1 to 65535"),
)

/** Whether a text is a host name in ASCII, or an address, in brackets or not. */
export const isHost = (host: string): boolean => isIP(bare(host)) !== 0 || /^[\w.-]+$/.test(host)

/** What {@link isHost} wants. */
export const hostAllowed =
  "expected a host name (beyond ASCII: its xn-- form) or an IP address, without port and scheme"

const Host = Schema.String.pipe(Schema.filter((host) => isHost(host), { message: () => hostAllowed }))

const Path = Schema.String.pipe(Schema.filter((path) => /^\/[!-"$-~]*$/.test(path))).annotations(
  message("a path that starts with '/' (percent-encode blanks and characters beyond ASCII; no fragment)"),
)

/** Why a text cannot be the URL of an http probe, or undefined when it can. */
export const urlFault = (text: string): string | undefined => {
  if (!URL.canParse(text)) return "expected an absolute URL such as http://127.0.0.1:8080/health"
  const url = new URL(text)
  if (url.protocol !== "http:" && url.protocol !== "https:")
    return "expected a URL that starts with http:// or https://"
  if (url.username !== "" || url.password !== "") {
    return "expected a URL without user name and password (put credentials into headers)"
  }
  if (text.includes("#")) return "expected a URL without a fragment (#...)"
  return url.port === "0" ? "expected a URL with a port from 1 to 65535" : undefined
}

const Url = Schema.String.pipe(Schema.filter((text) => urlFault(text) ?? true))

const isHeaderName = (name: string): boolean => succeeds(() => validateHeaderName(name))
/** A probe sends no body, so that nothing can be said about one. */
const isSentHeader = (name: string): boolean =>
  isHeaderName(name) && !/^(content-length|transfer-encoding|trailer)$/i.test(name)
const HeaderName = Schema.String.pipe(Schema.filter(isHeaderName)).annotations(
  message("the name of a header"),
)
const HeaderValue = Schema.String.pipe(
  Schema.filter((value) => succeeds(() => validateHeaderValue("value", value))),
).annotations(message("a header's value: one line of text, no control characters"))

/** A record whose names must be of a form. A filter on the whole: a refined key only says "not known" of a bad one. */
const record = <A, I>(value: Schema.Schema<A, I>, isName: (name: string) => boolean, allowed: string) =>
  Schema.Record({ key: Schema.String, value }).pipe(
    Schema.filter((fields) =>
      Object.keys(fields)
        .filter((name) => !isName(name))
        .map((name) => ({ path: [name], message: `expected ${allowed} as the name` })),
    ),
  )

/** A status code, a class such as `2xx`, or a range such as `200-399`. */
const StatusItem = Schema.Union(
  Schema.Int.pipe(Schema.between(100, 599)),
  Schema.String.pipe(
    Schema.filter((text) => /^[1-5]xx$/.test(text) || /^[1-5]\d\d-[1-5]\d\d$/.test(text)),
    Schema.filter((text) => !text.includes("-") || text.slice(0, 3) <= text.slice(4)),
  ),
)
const Status = Schema.Union(StatusItem, Schema.NonEmptyArray(StatusItem)).annotations(
  message("a status such as 200, a class such as 2xx, a range such as 200-399, or a list of these"),
)

const Pointer = Schema.String.pipe(Schema.filter(isPointer)).annotations(
  message("a JSON Pointer such as /healthy or /data/0/name"),
)
const Scalar = Schema.Union(Schema.String, Schema.JsonNumber, Schema.Boolean, Schema.Null).annotations(
  message("a text, a number, true, false or null"),
)
const Wanted = Schema.NonEmptyTrimmedString.annotations(
  message("a text that is not empty, without blanks around it"),
)

/** Asks a server over HTTP. No proxy, no redirects, a fresh connection each time, at most 64 KiB of body read. */
export const Http = Schema.Struct({
  /** Where: an absolute http or https URL. Instead of it: `path`, with `port` and `host`. */
  url: Schema.optional(Url),
  /** Default: the target's port. */
  port: Schema.optional(Port),
  /** Default: `localhost`, that is, every address which that name has. A name is resolved anew for each check. */
  host: Schema.optional(Host),
  /** Required unless `url` is given; starts with `/`. Added to the path of the target's base URL if it has one. */
  path: Schema.optional(Path),
  /** Default GET. */
  method: Schema.optionalWith(Schema.Literal("GET", "HEAD", "POST", "PUT", "OPTIONS"), {
    default: () => "GET" as const,
  }),
  /** Sent with the request. Their values are secrets. */
  headers: Schema.optionalWith(
    record(HeaderValue, isSentHeader, "a header that is not about a body (a probe sends none)"),
    {
      default: () => ({}),
    },
  ),
  /**
   * Whether an https server needs a certificate that this machine trusts for that name. Default true; false takes any,
   * as Kubernetes does: enough for a server of one's own that signs its certificate itself.
   */
  verifyCertificate: Schema.optionalWith(Schema.Boolean, { default: () => true }),
  /** What passes. Default any 2xx. */
  status: Schema.optionalWith(Status, { default: () => "2xx" as const }),
  /** The body must be JSON, and hold these values at these JSON Pointers: `{ "/healthy": true }`. */
  json: Schema.optional(record(Scalar, isPointer, "a JSON Pointer such as /healthy or /data/0/name")),
  /** The body must be JSON and name exactly this version, blanks around it and one leading `v` aside. */
  version: Schema.optional(Schema.Struct({ pointer: Pointer, equals: Wanted })),
  /** The answer must say that it is the right server: by a header, or by a value in its JSON body. */
  identity: Schema.optional(
    Schema.Union(
      Schema.Struct({ pointer: Pointer, equals: Wanted }),
      Schema.Struct({ header: HeaderName, equals: Wanted }),
    ).annotations(message("{ pointer, equals } or { header, equals }")),
  ),
}).pipe(
  Schema.filter(({ host, path, port, url }) =>
    url === undefined
      ? path !== undefined || { path: ["path"], message: "expected a path that starts with '/', or a url" }
      : path === undefined && port === undefined && host === undefined
        ? true
        : { path: ["url"], message: "expected either url, or path with port and host, not both" },
  ),
  Schema.filter(({ identity, json, method, version }) =>
    method === "HEAD" &&
    (json !== undefined || version !== undefined || (identity !== undefined && "pointer" in identity))
      ? { path: ["method"], message: "expected another method, as an answer to HEAD has no body to check" }
      : true,
  ),
)
export type Http = typeof Http.Type

/** Passes when a connection can be made. */
export const Tcp = Schema.Struct({
  /** Default: the target's port. */
  port: Schema.optional(Port),
  /** Default: `localhost`, that is, every address which that name has. */
  host: Schema.optional(Host),
})
export type Tcp = typeof Tcp.Type

/** Passes when a command exits 0. At the deadline its whole group is killed. */
export const Exec = Schema.Struct({
  /** A list is executed as it stands, a text by `/bin/sh`. */
  command: Schema.Union(Schema.NonEmptyTrimmedString, ProcessSpec.Command).annotations(
    message("a list of texts (the program, then its arguments), or one text for the shell"),
  ),
  /** Default: the target's. */
  cwd: Schema.optional(Schema.NonEmptyString),
  /** Added to the target's variables. */
  env: Schema.optionalWith(
    record(
      Schema.String,
      (name) => /^[^=\0]+$/.test(name),
      "a variable: not empty, no '=' and no NUL character",
    ),
    { default: () => ({}) },
  ),
  /** Names of variables whose values must never be shown. */
  mask: Schema.optionalWith(Schema.Array(Schema.NonEmptyString), { default: () => [] }),
})
export type Exec = typeof Exec.Type

/**
 * Passes once a line of the instance's output has matched, and stays passed for that instance. Named groups of the
 * pattern become outputs.
 */
export const Log = Schema.Struct({
  /** A JavaScript regular expression. It is looked for anywhere in a line. */
  pattern: Schema.String.pipe(
    Schema.filter((pattern) => {
      if (pattern === "") return "expected a regular expression that is not empty"
      try {
        void new RegExp(pattern)
        return true
      } catch (cause) {
        return `expected a regular expression (${cause instanceof Error ? cause.message : String(cause)})`
      }
    }),
  ),
})
export type Log = typeof Log.Type

/** A decoded probe: exactly one of these is present. */
export interface Probe {
  readonly http?: Http
  readonly tcp?: Tcp
  readonly exec?: Exec
  readonly log?: Log
  /** Passes when each passes. They run at the same time and share the deadline. */
  readonly all?: Arr.NonEmptyReadonlyArray<Probe>
  /** Passes when one passes. They run at the same time and share the deadline. */
  readonly any?: Arr.NonEmptyReadonlyArray<Probe>
}

/** What a caller writes. A decoded probe can be written again. */
export interface Input {
  readonly http?: typeof Http.Encoded
  readonly tcp?: typeof Tcp.Encoded
  readonly exec?: typeof Exec.Encoded
  readonly log?: typeof Log.Encoded
  readonly all?: Arr.NonEmptyReadonlyArray<Input>
  readonly any?: Arr.NonEmptyReadonlyArray<Input>
}

const nested = () =>
  Schema.NonEmptyArray(Schema.suspend((): Schema.Schema<Probe, Input> => ProbeSpec)).annotations({
    // Only for what is no list at all or an empty one; faults inside a probe keep their own words.
    message: (issue) => ({
      message: "expected a list of at least one probe",
      override: issue._tag !== "Composite" || !Array.isArray(issue.actual) || issue.actual.length === 0,
    }),
  })

/** The fields that name a probe's kind, to be spread into a struct that has others; add {@link exactlyOne} to it. */
export const kindFields = {
  http: Schema.optionalWith(Http, { exact: true }),
  tcp: Schema.optionalWith(Tcp, { exact: true }),
  exec: Schema.optionalWith(Exec, { exact: true }),
  log: Schema.optionalWith(Log, { exact: true }),
  all: Schema.optionalWith(nested(), { exact: true }),
  any: Schema.optionalWith(nested(), { exact: true }),
}

const kinds = Object.keys(kindFields) as Array<ProbeKind>

/** The filter for a struct with {@link kindFields}. */
export const exactlyOne = (probe: Probe) => {
  const given = kinds.filter((kind) => probe[kind] !== undefined)
  return (
    given.length === 1 ||
    `expected exactly one of ${kinds.join(", ")}; there ${given.length === 0 ? "is none" : `are ${given.join(" and ")}`}`
  )
}

/** The description of one probe. */
export const ProbeSpec: Schema.Schema<Probe, Input> = Schema.Struct(kindFields).pipe(
  Schema.filter(exactlyOne),
  Schema.annotations({ identifier: "ProbeSpec" }),
)

/** Decodes a probe, or fails with `InvalidSpec` naming each bad field and what is allowed. Unknown fields are refused. */
export const make = InvalidSpec.decoder("probe spec", ProbeSpec)
