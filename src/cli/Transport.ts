/**
 * HTTP to the daemon, over TCP or a Unix socket, by Node's own client: a command that only asks one question is over
 * before Effect's client would have been loaded.
 */
import type * as http from "node:http"
import { StringDecoder } from "node:string_decoder"
import { Failure } from "./World.js"

/** Where a daemon answers, and what lets one in. */
export interface Place {
  readonly root: string
  /** As the daemon announces it: `http://127.0.0.1:19263` or `unix:/path`. */
  readonly address: string
  readonly token: string | undefined
}

/** One request. */
export interface Request {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** How long nothing may come before it counts as unreachable, in milliseconds; default 30 s. 0 means for ever. */
  readonly patience?: number
  readonly signal?: AbortSignal | undefined
}

/** The daemon cannot be spoken with: it is not there, went away meanwhile, or hangs. */
export class Unreachable extends Failure {
  override readonly name = "Unreachable"
  constructor(
    message: string,
    /** The system's name for it, such as ECONNREFUSED. */
    readonly reason: string,
  ) {
    super(message, "unreachable", true)
  }
}

/** An answer whose body has not been read yet. */
export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: http.IncomingMessage
}

const targetOf = (address: string): http.RequestOptions => {
  if (address.startsWith("unix:")) return { socketPath: address.slice("unix:".length), host: "localhost" }
  const url = new URL(address.includes("://") ? address : `http://${address}`)
  // A URL keeps the brackets of an IPv6 address, which a connection must not have.
  return { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port || 80 }
}

const describe = (address: string, error: NodeJS.ErrnoException): Unreachable => {
  const reason = error.code ?? error.message
  const what: Readonly<Record<string, string>> = {
    ECONNREFUSED: "nobody listens there",
    ENOENT: "its socket is not there",
    ECONNRESET: "the connection was cut",
    EPIPE: "the connection was cut",
    ETIMEDOUT: "it does not answer",
    EACCES: "this user may not connect to it",
  }
  return new Unreachable(
    `The daemon at ${address} cannot be reached: ${what[reason] ?? error.message}.`,
    reason,
  )
}

/** Sends a request; rejects with `Unreachable` when no answer begins. */
export const send = async (place: Place, request: Request): Promise<Answer> => {
  // Named above, the one bundled file would load it for `--version` too.
  const http = await import("node:http")
  if (place.token !== undefined && !/^[\x21-\x7e]*$/.test(place.token)) {
    throw new Failure(`What is kept as the token of ${place.root} is no token.`, "unauthorized")
  }
  return new Promise((resolve, reject) => {
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body))
    const outgoing = http.request({
      ...targetOf(place.address),
      method: request.method,
      path: request.path,
      // No connection is kept for a second request, which would keep the program alive.
      agent: false,
      headers: {
        accept: "application/json",
        ...(place.token === undefined ? {} : { authorization: `Bearer ${place.token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json", "content-length": body.length }),
        ...request.headers,
      },
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    })
    const patience = request.patience ?? 30_000
    if (patience > 0) {
      outgoing.setTimeout(patience, () =>
        outgoing.destroy(Object.assign(new Error("it does not answer"), { code: "ETIMEDOUT" })),
      )
    }
    outgoing.on("error", (error) => reject(describe(place.address, error)))
    outgoing.on("response", (body) => resolve({ status: body.statusCode ?? 0, headers: body.headers, body }))
    outgoing.end(body)
  })
}

/** The whole body as text. */
export const textOf = async (place: Place, { body }: Answer): Promise<string> => {
  const chunks: Array<Buffer> = []
  try {
    for await (const chunk of body) chunks.push(chunk as Buffer)
  } catch (error) {
    throw describe(place.address, error as NodeJS.ErrnoException)
  }
  return Buffer.concat(chunks).toString("utf8")
}

/** One server-sent event. */
export interface ServerEvent {
  readonly event: string
  readonly id: string | undefined
  readonly data: string
}

/** The events of an answer as they come. Ends with the answer; throws `Unreachable` when it is cut. */
export async function* eventsOf(place: Place, { body }: Answer): AsyncGenerator<ServerEvent> {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  let fields: { event?: string; id?: string; data: Array<string> } = { data: [] }
  try {
    for await (const chunk of body) {
      const lines = (rest + decoder.write(chunk as Buffer)).split(/\r\n|\n|\r(?!$)/)
      rest = lines.pop()!
      for (const line of lines) {
        if (line === "") {
          if (fields.data.length > 0) {
            yield { event: fields.event ?? "message", id: fields.id, data: fields.data.join("\n") }
          }
          fields = { data: [] }
          continue
        }
        const colon = line.indexOf(":")
        const name = colon === -1 ? line : line.slice(0, colon)
        const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "")
        if (name === "data") fields.data.push(value)
        else if (name === "event") fields.event = value
        else if (name === "id") fields.id = value
      }
    }
  } catch (error) {
    throw describe(place.address, error as NodeJS.ErrnoException)
  }
  // An answer that ends without its last chunk is one that was cut.
  if (!body.complete) throw describe(place.address, Object.assign(new Error(), { code: "ECONNRESET" }))
}
