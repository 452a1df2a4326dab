/**
 * Asks a server that has answered before whether it still does, as often as somebody wants to use it: over connections
 * that are kept, where its probe is a plain `http` one, so that a question costs no more than a request.
 */
import { Agent, type IncomingMessage, request } from "node:http"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Check from "../probe/Check.js"
import * as HttpProbe from "../probe/HttpProbe.js"
import * as ProbePlan from "../probe/ProbePlan.js"
import { ProbeFailure } from "../probe/ProbeResult.js"
import { Prober } from "../probe/Prober.js"
import type { InvalidSpec } from "../process/InvalidSpec.js"

/** How long a validation may take: what the handle gives it, in milliseconds. */
const patience = 5_000

const failure = (plan: ProbePlan.HttpPlan, reason: string, error?: unknown): ProbeFailure =>
  new ProbeFailure({
    kind: "http",
    subject: plan.subject,
    reason,
    class: error === undefined ? "unhealthy" : "error",
    transient: true,
    contact: error === undefined ? "answered" : "none",
  })

/** A connection that was kept may just have been closed by the other side: that is no failure of the server. */
const wasKept = (error: NodeJS.ErrnoException, reused: boolean): boolean =>
  reused && (error.code === "ECONNRESET" || error.code === "EPIPE")

const read = (response: IncomingMessage, done: (answer: HttpProbe.Answer) => void): void => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  const answer = (truncated: boolean) =>
    done({
      status: response.statusCode ?? 0,
      statusText: response.statusMessage ?? "",
      headers: response.headers,
      body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks),
      truncated,
    })
  response.on("data", (chunk: Uint8Array) => {
    size += chunk.length
    if (size <= HttpProbe.bodyCap) return chunks.push(chunk)
    response.destroy()
    return answer(true)
  })
  response.on("end", () => answer(false))
}

const ask = (plan: ProbePlan.HttpPlan, agent: Agent): Effect.Effect<void, ProbeFailure> =>
  Effect.async<void, ProbeFailure>((resume) => {
    let current: ReturnType<typeof request> | undefined
    const go = (): void => {
      const exchange = request({
        agent,
        host: plan.host,
        port: plan.port,
        method: plan.spec.method,
        path: plan.path,
        headers: plan.headers,
        setHost: false,
      })
      current = exchange
      exchange.on("response", (response) =>
        read(response, (answer) => {
          const outcome = HttpProbe.judge(plan.spec, answer)
          resume(outcome.passed ? Effect.void : Effect.fail(failure(plan, outcome.fault.reason)))
        }),
      )
      exchange.on("error", (error: NodeJS.ErrnoException) => {
        if (wasKept(error, exchange.reusedSocket)) go()
        else resume(Effect.fail(failure(plan, `failed: ${error.message}`, error)))
      })
      exchange.end()
    }
    go()
    return Effect.sync(() => current?.destroy())
  })

/**
 * The check of a server whose probe is attached to a target. `log` parts say nothing about a server that has been ready:
 * a probe that is nothing else always passes.
 */
export const make = (
  probe: Check.Input,
  target: ProbePlan.Target,
): Effect.Effect<Effect.Effect<void, ProbeFailure>, InvalidSpec, Prober | Scope.Scope> =>
  Effect.gen(function* () {
    const prober = yield* Prober
    const spec = yield* Check.make({ ...probe, timeout: `${patience}ms` })
    if (spec.log !== undefined) return Effect.void
    const plan = yield* ProbePlan.make(spec, target)
    if (plan._tag !== "Http" || plan.tls) {
      const attached = yield* prober.attach(spec, target)
      return Effect.asVoid(attached.check)
    }
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() => new Agent({ keepAlive: true, maxSockets: 64, scheduling: "lifo" })),
      (agent) => Effect.sync(() => agent.destroy()),
    )
    return ask(plan, agent)
  })

/** Reads a value out of a JSON answer of the server; undefined when there is none. */
export const readText = (baseUrl: string, path: string, pointer: string): Effect.Effect<string | undefined> =>
  Effect.tryPromise(async (signal) => {
    const answer = await fetch(`${baseUrl}${path}`, { signal, redirect: "manual" })
    return (await answer.json()) as unknown
  }).pipe(
    Effect.timeout(patience),
    Effect.map((document) => HttpProbe.textAt(document, pointer)),
    Effect.orElseSucceed(() => undefined),
  )
