/** The `http` probe: one request on a fresh connection, its answer read to the end or the cap, and judged. */
import { type IncomingMessage, request } from "node:http"
import { connect as connectTcp, type Socket } from "node:net"
import { connect as connectTls } from "node:tls"
import type * as Effect from "effect/Effect"
import * as Mask from "../process/Mask.js"
import * as AddressRace from "./AddressRace.js"
import { isAddress, type Resolve } from "./AddressResolver.js"
import * as JsonPointer from "./JsonPointer.js"
import type { HttpPlan } from "./ProbePlan.js"
import { formatPeer, type Passed, type ProbeFailure, quote } from "./ProbeResult.js"
import type * as ProbeSpec from "./ProbeSpec.js"
import { type Fault, fromError } from "./SocketFault.js"

/** At most so many bytes of a body are read: 64 KiB. */
export const bodyCap = 65_536

/** An answer as far as it was read. */
export interface Answer {
  readonly status: number
  readonly statusText: string
  readonly headers: IncomingMessage["headers"]
  readonly body: Uint8Array
  /** The body is longer than the cap. */
  readonly truncated: boolean
}

const statusMatches = (expected: ProbeSpec.Http["status"], status: number): boolean => {
  if (typeof expected === "number") return expected === status
  if (typeof expected !== "string") return expected.some((one) => statusMatches(one, status))
  if (expected.endsWith("xx")) return Math.floor(status / 100) === Number(expected[0])
  return Number(expected.slice(0, 3)) <= status && status <= Number(expected.slice(4))
}

const unhealthy = (reason: string): Fault => ({ class: "unhealthy", transient: true, reason })
const unreadable = (reason: string): Fault => ({ class: "invalid-response", transient: false, reason })

/** A version as it is compared: blanks around it and one leading `v` dropped. */
export const normalizeVersion = (version: string): string => version.trim().replace(/^v/, "")

/** What is no scalar is not printed: it may be nested too deep for that. */
const show = (value: unknown): string => {
  if (value === undefined) return "nothing"
  if (Array.isArray(value)) return "a list"
  return typeof value === "object" && value !== null ? "an object" : quote(JSON.stringify(value))
}

const textOf = (value: unknown): string | undefined =>
  typeof value === "string"
    ? value
    : typeof value === "number" || typeof value === "boolean"
      ? String(value)
      : undefined

/** The scalar at a JSON Pointer of a document, as text; undefined when there is none. */
export const textAt = (document: unknown, pointer: string): string | undefined =>
  textOf(JsonPointer.get(document, pointer))

/** Whether the answer is the one that the spec asks for. */
export const judge = (spec: ProbeSpec.Http, answer: Answer): AddressRace.Outcome => {
  const fail = (fault: Fault): AddressRace.Outcome => ({ passed: false, fault })
  const { status } = answer
  if (!statusMatches(spec.status, status)) {
    const said = quote(`${status} ${answer.statusText}`)
    const { location } = answer.headers
    return fail(
      unhealthy(
        status >= 300 && status < 400 && location !== undefined
          ? `answered ${said} and points to ${quote(location.replace(/\?.*/, "?…").replace(/\/\/[^/\s]*@/, "//***@"))}; redirects are not followed, so probe that place itself`
          : `answered ${said}; expected ${[spec.status].flat().join(" or ")}`,
      ),
    )
  }

  const { identity, json, version } = spec
  if (identity !== undefined && "header" in identity) {
    const actual = answer.headers[identity.header.toLowerCase()]?.toString()
    if (actual !== identity.equals)
      return fail(wrongIdentity(`the header ${identity.header}`, identity.equals, actual))
  }
  const needsBody =
    json !== undefined || version !== undefined || (identity !== undefined && "pointer" in identity)
  if (!needsBody) return { passed: true, outputs: {} }

  if (answer.truncated) {
    return fail(
      unreadable(
        `answered ${status} with a body of more than ${bodyCap} bytes, which is too long to be checked`,
      ),
    )
  }
  let document: unknown
  try {
    // TextDecoder drops a byte order mark, and bytes that are not UTF-8 do not stop the check of other values.
    document = JSON.parse(new TextDecoder().decode(answer.body))
  } catch {
    const { "content-encoding": coding, "content-type": type } = answer.headers
    return fail(
      unreadable(
        coding === undefined
          ? `answered ${status} with a body that is not JSON${type === undefined ? "" : ` (its type is ${quote(type)})`}. Is it the right path?`
          : `answered ${status} with a body in the coding ${quote(coding)}, which was not asked for and is not read`,
      ),
    )
  }

  if (identity !== undefined && "pointer" in identity) {
    const actual = textOf(JsonPointer.get(document, identity.pointer))
    if (actual !== identity.equals) return fail(wrongIdentity(identity.pointer, identity.equals, actual))
  }
  const outputs: Record<string, string> = {}
  if (version !== undefined) {
    const actual = textOf(JsonPointer.get(document, version.pointer))
    if (actual === undefined || normalizeVersion(actual) !== normalizeVersion(version.equals)) {
      return fail({
        class: "unhealthy",
        transient: false,
        reason: `answered with ${actual === undefined ? `no version at ${version.pointer}` : `version ${quote(actual)}`}; expected ${version.equals}. Install that version, or change the expected one`,
        mismatch: {
          what: "version",
          expected: version.equals,
          ...(actual !== undefined && { actual: quote(actual) }),
        },
      })
    }
    outputs.version = normalizeVersion(actual)
  }
  const wrong = Object.entries(json ?? {}).flatMap(([pointer, expected]) => {
    const actual = JsonPointer.get(document, pointer)
    return actual === expected
      ? []
      : [`${pointer === "" ? "the body" : pointer} is ${show(actual)}, expected ${show(expected)}`]
  })
  return wrong.length === 0
    ? { passed: true, outputs }
    : fail(unhealthy(`answered ${status}, but ${wrong.join(", and ")}`))
}

const wrongIdentity = (where: string, expected: string, actual: string | undefined): Fault => ({
  class: "unhealthy",
  transient: false,
  reason: `answered, but it is another server: ${where} is ${actual === undefined ? "missing" : show(actual)}, expected ${show(expected)}`,
  mismatch: { what: "identity", expected, ...(actual !== undefined && { actual: quote(actual) }) },
})

const open = (plan: HttpPlan, address: string): Socket => {
  if (!plan.tls) return connectTcp({ host: address, port: plan.port, noDelay: true })
  return connectTls({
    host: address,
    port: plan.port,
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: plan.spec.verifyCertificate,
    ...(!isAddress(plan.host) && { servername: plan.host }),
  })
}

const answerOf = (
  response: IncomingMessage,
  chunks: ReadonlyArray<Uint8Array>,
  truncated: boolean,
): Answer => ({
  status: response.statusCode ?? 0,
  statusText: response.statusMessage ?? "",
  headers: response.headers,
  body: Buffer.concat(chunks),
  truncated,
})

const attempt =
  (plan: HttpPlan): AddressRace.Attempt =>
  (peer, progress, done) => {
    const { spec } = plan
    const at = formatPeer(peer)
    const redact = Mask.make(Object.keys(spec.headers), spec.headers)
    const socket = open(plan, peer.address)
    // The exchange reports errors; one that comes when it is over must not crash the program.
    socket.on("error", () => {})
    socket.once("connect", () => {
      progress.contact = "connected"
      progress.stage = `${at} took the connection and gave no answer`
    })
    // A socket of its own and no agent: no connection is reused, and nothing in the environment makes it a proxy's.
    const exchange = request({
      createConnection: () => socket,
      method: spec.method,
      path: plan.path,
      headers: plan.headers,
      setHost: false,
    })
    const close = (): void => {
      exchange.destroy()
      socket.destroy()
    }
    const settle = (outcome: AddressRace.Outcome): void => {
      // Closing takes longer than all that is left to do: the verdict goes first, and the socket a turn later.
      setImmediate(close)
      done(
        outcome.passed
          ? outcome
          : { passed: false, fault: { ...outcome.fault, reason: redact(outcome.fault.reason) } },
      )
    }
    const onError = (error: Error): void => settle({ passed: false, fault: fromError(error, at) })
    exchange.on("error", onError)
    exchange.on("response", (response) => {
      progress.contact = "answered"
      const chunks: Array<Uint8Array> = []
      let size = 0
      const end = (truncated: boolean): void => settle(judge(spec, answerOf(response, chunks, truncated)))
      const stage = (): void => {
        progress.stage = `${at} answered ${response.statusCode}, and its body did not end (${size} bytes came)`
      }
      stage()
      response.on("data", (chunk: Uint8Array) => {
        size += chunk.length
        if (size > bodyCap) {
          close()
          return end(true)
        }
        chunks.push(chunk)
        stage()
      })
      response.on("end", () => end(false))
      response.on("error", onError)
    })
    exchange.on("upgrade", (response) => {
      progress.contact = "answered"
      settle(judge(spec, answerOf(response, [], false)))
    })
    exchange.end()
    return close
  }

/** One check. `timeout` is in milliseconds and covers lookup, connection, TLS, headers and body. */
export const check = (
  plan: HttpPlan,
  timeout: number,
  resolve: Resolve,
): Effect.Effect<Passed, ProbeFailure> =>
  AddressRace.run({
    kind: "http",
    subject: plan.subject,
    host: plan.host,
    port: plan.port,
    timeout,
    resolve,
    attempt: attempt(plan),
  })
