/** What the errors of sockets mean to a check. */
import type { FailureClass, Mismatch } from "./ProbeResult.js"

/** Why one attempt on one address did not pass. `reason` is the rest of a sentence that begins with the subject. */
export interface Fault {
  readonly class: FailureClass
  readonly transient: boolean
  readonly reason: string
  readonly mismatch?: Mismatch
}

const codeOf = (error: Error): string => ("code" in error && typeof error.code === "string" ? error.code : "")

/** An IPv6 that is switched off shows as the last three: the address cannot be reached from here, nothing worse. */
const unreachable: ReadonlySet<string> = new Set([
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EHOSTDOWN",
  "ENETDOWN",
  "EADDRNOTAVAIL",
  "EAFNOSUPPORT",
  "EPROTONOSUPPORT",
])

/** The fault for an error that a socket, a TLS session or the HTTP parser reported; `peer` names the address in words. */
export const fromError = (error: Error, peer: string): Fault => {
  const code = codeOf(error)
  switch (code) {
    case "ECONNREFUSED":
      return { class: "refused", transient: true, reason: `was refused by ${peer}: nothing listens there` }
    case "ECONNRESET":
    case "ECONNABORTED":
    case "EPIPE":
    case "ENOTCONN":
    case "ERR_STREAM_PREMATURE_CLOSE":
    case "HPE_INVALID_EOF_STATE":
      return {
        class: "reset",
        transient: true,
        reason: `was cut off: ${peer} closed the connection before its answer was complete`,
      }
    case "ETIMEDOUT":
      return {
        class: "timeout",
        transient: true,
        reason: `got no connection to ${peer}: the system gave up waiting`,
      }
  }
  if (unreachable.has(code)) {
    return { class: "error", transient: true, reason: `cannot reach ${peer} (${code})` }
  }
  if (code.startsWith("HPE_")) {
    return {
      class: "invalid-response",
      transient: false,
      reason: `got an answer from ${peer} that is not HTTP (${error.message.replace(/^Parse Error: /, "")})`,
    }
  }
  // As what they are: OpenSSL's own errors come as EPROTO or with a code of their own, by the version of Node.
  if (code === "EPROTO" || code.startsWith("ERR_SSL_")) {
    const reason = /SSL routines:[^:]*:([^:]*)/.exec(error.message)?.[1] ?? error.message
    return {
      class: "invalid-response",
      transient: false,
      reason: /wrong version number|packet length|http request/.test(reason)
        ? `got an answer from ${peer} that is not TLS. Does it speak http instead of https?`
        : `could not agree with ${peer} on TLS: ${reason}`,
    }
  }
  if (code.includes("CERT") || code.includes("SIGNATURE")) {
    return {
      class: "error",
      transient: false,
      reason: `does not trust the certificate of ${peer}: ${error.message} (NODE_EXTRA_CA_CERTS names a file of more authorities; verifyCertificate: false takes any)`,
    }
  }
  return { class: "error", transient: false, reason: `failed at ${peer}: ${error.message}` }
}
