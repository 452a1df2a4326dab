/** How much context each model takes, as an OpenCode server lists them. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as HttpExchange from "../../probe/HttpExchange.js"
import * as HttpProbe from "../../probe/HttpProbe.js"
import * as ProbePlan from "../../probe/ProbePlan.js"

/** Context limits in tokens, by the id of the provider, then that of the model. */
export type ModelLimits = ReadonlyMap<string, ReadonlyMap<string, number>>

/** Of a server that names none. */
export const none: ModelLimits = new Map()

/** The list is made anew for each request, which has been seen to take 9 s on a busy machine. In milliseconds. */
const patience = 60_000

/** It has been seen with 6.4 MB. In bytes. */
const listCap = 67_108_864

const path = "/provider"

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A model whose limit is not known is listed with 0. */
const contextOf = (model: unknown): number | undefined => {
  const context = isObject(model) && isObject(model.limit) ? model.limit.context : undefined
  return typeof context === "number" && Number.isFinite(context) && context > 0 ? context : undefined
}

/**
 * The limits of a provider list, `{ all: [{ id, models: { <id>: { limit: { context } } } }] }`, whether the providers can
 * be used or not. A model that names no limit, or 0, is left out, and so is whatever has another form.
 */
export const fromProviders = (list: unknown): ModelLimits => {
  const limits = new Map<string, ReadonlyMap<string, number>>()
  const providers = isObject(list) && Array.isArray(list.all) ? (list.all as ReadonlyArray<unknown>) : []
  for (const provider of providers) {
    if (!isObject(provider) || typeof provider.id !== "string" || !isObject(provider.models)) continue
    const models = Object.entries(provider.models).flatMap(([id, model]) => {
      const context = contextOf(model)
      return context === undefined ? [] : [[id, context] as const]
    })
    if (models.length > 0) limits.set(provider.id, new Map(models))
  }
  return limits
}

/** Asks a server for its provider list, or says why that cannot be read. */
export const read = (
  baseUrl: string,
  headers: Readonly<Record<string, string>>,
): Effect.Effect<ModelLimits, string> => {
  const spec = { path, method: "GET", headers, status: "2xx", verifyCertificate: true } as const
  const plan = ProbePlan.make({ http: spec }, { baseUrl })
  if (Either.isLeft(plan)) return Effect.fail(plan.left.message)
  if (plan.right._tag !== "Http") return Effect.dieMessage("an http probe has an http plan")
  const http = plan.right
  const { subject } = http
  return Effect.async<HttpProbe.Answer, string>((resume) => {
    const cancel = HttpExchange.start(http, { cap: listCap }, (answer) =>
      resume(answer === undefined ? Effect.fail(`${subject} was not answered.`) : Effect.succeed(answer)),
    )
    return Effect.sync(cancel)
  }).pipe(
    Effect.timeoutFail({
      duration: patience,
      onTimeout: () => `${subject} was not answered within ${patience / 1_000} s.`,
    }),
    Effect.flatMap((answer) => {
      const verdict = HttpProbe.judge(spec, answer)
      if (!verdict.passed) return Effect.fail(`${subject} ${verdict.fault.reason}.`)
      if (answer.truncated) return Effect.fail(`${subject} answered with more than ${listCap} bytes.`)
      return Effect.try({
        try: () => fromProviders(JSON.parse(new TextDecoder().decode(answer.body))),
        catch: () => `${subject} answered with what is not JSON.`,
      })
    }),
  )
}
