/** What a check says: passed, with what it learned, or failed, with a class for programs and a sentence for people. */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import * as Authority from "./Authority.js"

/**
 * What kind of failure it was.
 *
 * - `refused`: nothing listens there
 * - `reset`: the connection was cut or aborted
 * - `timeout`: the deadline passed
 * - `dns`: the name has no address
 * - `invalid-response`: what came back is not what the protocol or the body check can read
 * - `unhealthy`: it answered, and the answer is not the one that was asked for
 * - `error`: anything else, such as a missing program or an unreachable network
 */
export const FailureClass = Schema.Literal(
  "refused",
  "reset",
  "timeout",
  "dns",
  "invalid-response",
  "unhealthy",
  "error",
)
export type FailureClass = typeof FailureClass.Type

/** How far a check got: to nobody, to somebody who accepted a connection, to an answer of the right protocol. */
export const Contact = Schema.Literal("none", "connected", "answered")
export type Contact = typeof Contact.Type

/** What answered is the wrong thing. Neither waiting nor starting it again mends this. */
export const Mismatch = Schema.Struct({
  what: Schema.Literal("version", "identity"),
  expected: Schema.String,
  /** Absent when the answer names none. */
  actual: Schema.optional(Schema.String),
})
export type Mismatch = typeof Mismatch.Type

/** The kinds of probe. */
export const ProbeKind = Schema.Literal("http", "tcp", "exec", "log", "all", "any")
export type ProbeKind = typeof ProbeKind.Type

/** A numeric address that a check went to. */
export const Peer = Schema.Struct({ address: Schema.String, port: Schema.Int })
export type Peer = typeof Peer.Type

/** A check that did not pass. */
export class ProbeFailure extends Schema.TaggedError<ProbeFailure>()("ProbeFailure", {
  kind: ProbeKind,
  /** What was checked, in words: `GET http://127.0.0.1:8080/health`. */
  subject: Schema.String,
  /** What came back, as the rest of a sentence that begins with the subject. No secrets. */
  reason: Schema.String,
  class: FailureClass,
  /**
   * Whether it only means "not ready": it may pass later with nobody changing anything. A failure that is not
   * transient (a name without address, an answer that cannot be read, a missing program, a wrong version) is an
   * error to report.
   */
  transient: Schema.Boolean,
  contact: Contact,
  /** The addresses that were tried, the one that got furthest first. Empty for probes that use no network. */
  peers: Schema.optionalWith(Schema.Array(Peer), { default: () => [] }),
  /** Present when a wrong version or identity answered. Never start such a thing again by itself. */
  mismatch: Schema.optional(Mismatch),
}) {
  override get message(): string {
    return this.subject === "" ? this.reason : `${this.subject} ${this.reason}.`
  }
}

/** A check that passed. */
export interface ProbeSuccess {
  /** What was learned: named groups of a `log` probe, `version` of an `http` probe that pins one. */
  readonly outputs: Readonly<Record<string, string>>
  /** From the start of the check to its verdict. */
  readonly latency: Duration.Duration
  /** Who answered. Empty for probes that use no network. */
  readonly peers: ReadonlyArray<Peer>
}

/** A success before its latency is known. */
export type Passed = Omit<ProbeSuccess, "latency">

/** `127.0.0.1:80`, `[::1]:80`. */
export const formatPeer = ({ address, port }: Peer): string => `${Authority.bracketed(address)}:${port}`

/** The longest piece of foreign text that a sentence quotes, in characters. */
const quoteCap = 120

/** Text that came from elsewhere, fit for a sentence: one line, no control characters, at most 120 characters. */
export const quote = (text: string): string => {
  // eslint-disable-next-line no-control-regex -- these are what must not reach a terminal
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").trim()
  return plain.length > quoteCap ? `${plain.slice(0, quoteCap)}…` : plain
}
