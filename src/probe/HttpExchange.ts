/** One HTTP request to the place that an `http` probe has settled, its answer read to the end or a cap. */
import { type Agent, type IncomingMessage, request } from "node:http"
import { request as requestTls } from "node:https"
import { isIP, type LookupFunction } from "node:net"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { isAddress, type Resolve } from "./AddressResolver.js"
import type * as HttpProbe from "./HttpProbe.js"
import type { HttpPlan } from "./ProbePlan.js"

/** A resolver as Node's sockets want it, which try each address by themselves. */
const lookupBy =
  (resolve: Resolve): LookupFunction =>
  (host, options, done) =>
    Effect.runCallback(resolve(host), {
      onExit: (exit) => {
        const addresses = Exit.isSuccess(exit) ? exit.value : []
        const [first] = addresses
        if (first === undefined)
          done(Object.assign(new Error(`no address for ${host}`), { code: "ENOTFOUND" }), "")
        else if (options.all === true)
          done(
            null,
            addresses.map((address) => ({ address, family: isIP(address) })),
          )
        else done(null, first, isIP(first))
      },
    })

/** How to ask. */
export interface Options {
  /** Whose connections are used; default one of its own. */
  readonly agent?: Agent | undefined
  readonly headers?: HttpPlan["headers"]
  /** Answers for names. Default: the system. */
  readonly resolve?: Resolve | undefined
  /** So many bytes of the body are read at most. */
  readonly cap: number
}

/**
 * One request, its answer read to the end or the cap. Calls `done` once, without an answer when there was none that was
 * complete; returns what cancels it, after which `done` is not called.
 */
export const start = (
  plan: HttpPlan,
  { agent, cap, headers = plan.headers, resolve }: Options,
  done: (answer: HttpProbe.Answer | undefined) => void,
): (() => void) => {
  const { host, path, port, spec, tls } = plan
  let isOver = false
  const settle = (answer: HttpProbe.Answer | undefined): void => {
    if (isOver) return
    isOver = true
    done(answer)
  }
  const outgoing = (tls ? requestTls : request)({
    agent: agent ?? false,
    host,
    port,
    path,
    method: spec.method,
    headers,
    setHost: false,
    ...(resolve !== undefined && !isAddress(host) && { lookup: lookupBy(resolve) }),
    ...(tls && { rejectUnauthorized: spec.verifyCertificate, ...(!isAddress(host) && { servername: host }) }),
  })
  outgoing.on("error", () => settle(undefined))
  outgoing.on("response", (response) => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    response.on("error", () => settle(undefined))
    response.on("data", (chunk: Uint8Array) => {
      size += chunk.length
      if (size <= cap) return void chunks.push(chunk)
      settle(answerOf(response, chunks, true))
      response.destroy()
    })
    response.on("end", () => settle(answerOf(response, chunks, false)))
  })
  outgoing.on("upgrade", (response, socket) => {
    settle(answerOf(response, [], false))
    socket.destroy()
  })
  outgoing.end()
  return () => {
    isOver = true
    outgoing.destroy()
  }
}

const answerOf = (
  response: IncomingMessage,
  chunks: ReadonlyArray<Uint8Array>,
  truncated: boolean,
): HttpProbe.Answer => ({
  status: response.statusCode ?? 0,
  statusText: response.statusMessage ?? "",
  headers: response.headers,
  body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks),
  truncated,
})
