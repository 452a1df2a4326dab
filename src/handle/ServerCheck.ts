/** What is asked of a server that has answered before: whether it still does, and which version it is. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type * as Check from "../probe/Check.js"
import * as HttpProbe from "../probe/HttpProbe.js"
import * as HttpExchange from "../probe/HttpExchange.js"
import * as ProbePlan from "../probe/ProbePlan.js"
import type { ProbeFailure } from "../probe/ProbeResult.js"
import { Prober } from "../probe/Prober.js"
import type * as ProbeSpec from "../probe/ProbeSpec.js"
import { InvalidSpec } from "../process/InvalidSpec.js"
import type * as ServerSpec from "./ServerSpec.js"

/** How long a validation may take, and the question for a version, in milliseconds. */
export const patience = 5_000

/** A document that names a version may be a long one: the description of a whole API. In bytes. */
const documentCap = 16_777_216

/**
 * The parts of a probe that can be asked again. What a `log` part has seen stays seen, so that of an `any` with such a part
 * nothing is left.
 */
export const lasting = (probe: ProbeSpec.Probe): ProbeSpec.Probe | undefined => {
  if (probe.log !== undefined) return undefined
  if (probe.any !== undefined) {
    const parts = probe.any.map(lasting)
    return parts.includes(undefined) ? undefined : { any: parts as unknown as typeof probe.any }
  }
  if (probe.all === undefined) return probe
  const [first, ...rest] = probe.all.flatMap((part) => lasting(part) ?? [])
  if (first === undefined) return undefined
  // One part alone can be asked over a connection that is kept.
  return rest.length === 0 ? first : { all: [first, ...rest] }
}

/** As {@link lasting}, with times and thresholds. */
export const lastingCheck = ({ all, any, log, ...check }: Check.Check): Check.Check | undefined => {
  const probe = lasting({
    ...check,
    ...(all !== undefined && { all }),
    ...(any !== undefined && { any }),
    ...(log !== undefined && { log }),
  })
  return probe === undefined ? undefined : { ...check, ...probe }
}

/** Asks again and again whether a server that has been ready still passes its probe; it may be asked by many at once. */
export const make = (
  probe: Check.Check,
  target: ProbePlan.Target,
): Effect.Effect<Effect.Effect<void, ProbeFailure>, InvalidSpec, Prober | Scope.Scope> =>
  Effect.gen(function* () {
    const check = lastingCheck(probe)
    if (check === undefined) return Effect.void
    const prober = yield* Prober
    const { recheck } = yield* prober.attach({ ...check, timeout: `${patience}ms` }, target)
    return recheck
  })

/** One look at a server, within the time of its probe. */
export const once = (
  probe: Check.Check,
  target: ProbePlan.Target,
): Effect.Effect<Either.Either<unknown, ProbeFailure | InvalidSpec>, never, Prober> => {
  const check = lastingCheck(probe)
  if (check === undefined) return Effect.succeed(Either.right(undefined))
  return Effect.flatMap(Prober, (prober) =>
    Effect.either(Effect.scoped(Effect.flatMap(prober.attach(check, target), (attached) => attached.check))),
  )
}

/** What a server says of its version: nothing, where its document names none; or why it could not be asked. */
export const readVersion = (
  { path, pointer }: ServerSpec.VersionSource,
  { http }: ProbeSpec.Probe,
  target: ProbePlan.Target,
): Effect.Effect<string | undefined, string> => {
  // Sent as the probe is, so that what lets the probe in lets this in, too.
  const { headers = {}, host, port, verifyCertificate = true } = http ?? {}
  const at = http?.url === undefined ? http?.path : new URL(http.url).pathname
  const spec: ProbeSpec.Http = {
    ...(http?.url === undefined
      ? { path: path ?? at ?? "/", host, port }
      : { url: new URL(path ?? at ?? "/", http.url).href }),
    method: "GET",
    headers,
    status: "2xx",
    verifyCertificate,
  }
  const plan = ProbePlan.make({ http: spec }, target)
  if (Either.isLeft(plan)) return Effect.fail(plan.left.message)
  if (plan.right._tag !== "Http") return Effect.dieMessage("an http probe has an http plan")
  const settled = plan.right
  return Effect.async<HttpProbe.Answer | undefined>((resume) => {
    const cancel = HttpExchange.start(settled, { cap: documentCap }, (answer) =>
      resume(Effect.succeed(answer)),
    )
    return Effect.sync(cancel)
  }).pipe(
    Effect.timeoutTo({ duration: patience, onSuccess: (answer) => answer, onTimeout: () => undefined }),
    Effect.flatMap((answer) => {
      const { subject } = settled
      if (answer === undefined) return Effect.fail(`${subject} was not answered.`)
      const verdict = HttpProbe.judge(spec, answer)
      if (!verdict.passed) return Effect.fail(`${subject} ${verdict.fault.reason}.`)
      if (answer.truncated) return Effect.fail(`${subject} answered with more than ${documentCap} bytes.`)
      return Effect.mapBoth(documentOf(answer), {
        onFailure: () => `${subject} answered with what is not JSON.`,
        onSuccess: (document) => HttpProbe.textAt(document, pointer),
      })
    }),
  )
}

const documentOf = ({ body }: HttpProbe.Answer): Effect.Effect<unknown, unknown> =>
  Effect.try(() => JSON.parse(new TextDecoder().decode(body)) as unknown)
