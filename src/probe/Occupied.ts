/** The place where a process shall listen is taken by somebody that this program did not start. */
import * as Schema from "effect/Schema"

/** Who it is, where the system tells. */
export const Holder = Schema.Struct({ pid: Schema.Int, command: Schema.String })

const named = (holder: typeof Holder.Type | undefined): string =>
  holder === undefined ? "a process that the system does not name" : `${holder.command} (pid ${holder.pid})`

/** Somebody else's server answers where ours shall. It is not used, and never killed. */
export class ForeignServer extends Schema.TaggedError<ForeignServer>()("ForeignServer", {
  /** What was asked: `GET http://127.0.0.1:8080/health`. */
  subject: Schema.String,
  port: Schema.Int,
  /** What it answered. */
  answer: Schema.String,
  /** Whether its answer passes the probe, so that the policy `adopt-as-external` would use it. */
  healthy: Schema.Boolean,
  holder: Schema.optional(Holder),
}) {
  override get message(): string {
    const advice = this.healthy
      ? "Stop it, choose another port, or use it as it is with `foreign: adopt-as-external`"
      : "Stop it or choose another port"
    return `Another server holds port ${this.port}: ${named(this.holder)}. ${this.subject} ${this.answer}. ${advice}.`
  }
}

/** The port is taken, and whoever has it gives no answer that the probe understands. */
export class PortInUse extends Schema.TaggedError<PortInUse>()("PortInUse", {
  port: Schema.Int,
  /** What was asked. */
  subject: Schema.String,
  /** What came of it. */
  answer: Schema.String,
  holder: Schema.optional(Holder),
}) {
  override get message(): string {
    return `Port ${this.port} is in use by ${named(this.holder)}: ${this.subject} ${this.answer}. Stop it or choose another port.`
  }
}
