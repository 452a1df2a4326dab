/** HTTP to a daemon over TCP or a Unix socket, by Node's own client: nothing else has to be loaded for it. */
import * as http from "node:http"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ownerOf } from "../job/StoreOwner.js"
import { codeOf } from "../process/Diagnosis.js"
import * as Liveness from "../process/Liveness.js"
import * as Token from "./Token.js"

/** A daemon, and what lets one in. */
export interface Target {
  /** `http://127.0.0.1:19263` or `unix:PATH`. */
  readonly address: string
  readonly token?: string | undefined
}

/** Nobody says that they serve this root. */
export class NoDaemon extends Schema.TaggedError<NoDaemon>()("NoDaemon", { root: Schema.String }) {
  override get message(): string {
    return `No daemon serves ${this.root}. Start one: holdfast serve --root ${this.root}`
  }
}

/** The daemon cannot be spoken with: it is not there, went away meanwhile, or the connection was cut. */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {
  address: Schema.String,
  /** The system's name of the fault, such as `ECONNREFUSED`. */
  code: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `The daemon at ${this.address} cannot be reached: ${this.reason}.`
  }
}

/** Why there is nobody to ask. */
export type LocateError = NoDaemon | Token.TokenError

/** The daemon of a root, by what it left there. Looked up for every request, as a restart may change its address. */
export const locate = (root: string): Effect.Effect<Target, LocateError> =>
  Effect.gen(function* () {
    const owner = yield* ownerOf(root)
    // Whoever has the address of a daemon that is gone must not be sent its token.
    if (owner?.address === undefined || !Liveness.isThere(owner)) return yield* new NoDaemon({ root })
    return { address: owner.address, token: yield* Token.read(root) }
  })

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ENOENT: "its socket is not there",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  ETIMEDOUT: "it does not answer",
  EACCES: "this user may not connect to it",
}

const unreachable = (address: string, cause: unknown): Unreachable => {
  const code = codeOf(cause)
  const reason = reasons[code] ?? (cause instanceof Error ? cause.message : String(cause))
  return new Unreachable({ address, code, reason })
}

const placeOf = (address: string): http.RequestOptions => {
  if (address.startsWith("unix:")) return { socketPath: address.slice("unix:".length), host: "localhost" }
  const url = new URL(address)
  // A URL keeps the brackets of an IPv6 address, which a connection must not have.
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port === "" ? 80 : url.port }
}

/** One request. */
export interface Request {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: Uint8Array | undefined
}

/** Sends a request; the answer's body is still to be read. Interruption cuts the connection. */
export const open = (
  agent: http.Agent,
  { address, token }: Target,
  request: Request,
): Effect.Effect<http.IncomingMessage, Unreachable> =>
  Effect.async((resume) => {
    const outgoing = http.request({
      ...placeOf(address),
      agent,
      method: request.method,
      path: request.path,
      headers: {
        ...request.headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(request.body === undefined ? {} : { "content-length": request.body.length }),
      },
    })
    outgoing.once("response", (incoming) => resume(Effect.succeed(incoming)))
    outgoing.on("error", (cause) => resume(Effect.fail(unreachable(address, cause))))
    outgoing.end(request.body)
    return Effect.sync(() => outgoing.destroy())
  })

/** The whole body of an answer. */
export const read = (
  { address }: Target,
  incoming: http.IncomingMessage,
): Effect.Effect<Uint8Array, Unreachable> =>
  Effect.async((resume) => {
    const chunks: Array<Buffer> = []
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
    incoming.on("end", () => resume(Effect.sync(() => Buffer.concat(chunks))))
    incoming.on("error", (cause) => resume(Effect.fail(unreachable(address, cause))))
    return Effect.sync(() => incoming.destroy())
  })
