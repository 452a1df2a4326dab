/**
 * Looks before a spawn whether the place is taken. Every `http` and `tcp` part of the probe is asked once; `exec` and
 * `log` parts say nothing about a process that does not run yet.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import * as Check from "./Check.js"
import { ForeignServer, PortInUse } from "./Occupied.js"
import type * as PortHolder from "./PortHolder.js"
import { PortHolders } from "./PortHolder.js"
import * as ProbePlan from "./ProbePlan.js"
import type { ProbeFailure, ProbeSuccess } from "./ProbeResult.js"
import { Prober } from "./Prober.js"

/** What to do with a server that is there already: `refuse` to start, or use it and own nothing. */
export type Policy = "refuse" | "adopt-as-external"

/** Nobody is there: start. */
export interface Clear {
  readonly _tag: "Clear"
}

/** Somebody's server is there and passes: use it, signal nothing. */
export interface Adopt {
  readonly _tag: "Adopt"
  readonly outputs: ProbeSuccess["outputs"]
  readonly holder: PortHolder.PortHolder | undefined
}

/** The verdict. */
export type Verdict = Clear | Adopt

interface Finding {
  readonly plan: ProbePlan.HttpPlan | ProbePlan.TcpPlan
  readonly result: Either.Either<ProbeSuccess, ProbeFailure>
}

/** Asks about one part alone, at the place that its plan has settled. */
const ask = (plan: Finding["plan"], spec: Check.Check, target: ProbePlan.Target) =>
  Effect.gen(function* () {
    const prober = yield* Prober
    const { period, timeout } = spec
    const probe = yield* prober.attach(
      plan._tag === "Http"
        ? { http: plan.spec, period, timeout }
        : { tcp: { host: plan.host, port: plan.port }, period, timeout },
      target,
    )
    return { plan, result: yield* Effect.either(probe.check) }
  })

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || host.startsWith("127.")

/** Nothing was reached, and that may be because a listener of this machine accepts nobody: its queue is full. */
const isSilent = ({ plan, result }: Finding): boolean =>
  Either.isLeft(result) && result.left.class === "timeout" && isLoopback(plan.host)

/**
 * Tries the probe of a process that is about to be spawned, once.
 *
 * - It passes: `ForeignServer`; with the policy `adopt-as-external`, and when every part passes, `Adopt`.
 * - It gets an answer of the right protocol that does not pass (a wrong status, version or body): `ForeignServer`
 *   under either policy, since such a server is not the one that was asked for.
 * - A connection is made and no such answer comes, or a listener is known that takes no connection: `PortInUse`.
 * - Else (refused, no such name, unreachable): `Clear`.
 */
export const run: (
  input: Check.Input,
  target?: ProbePlan.Target,
  policy?: Policy,
) => Effect.Effect<Verdict, ForeignServer | PortInUse | InvalidSpec, Prober | PortHolders> = Effect.fn(
  "Preflight.run",
)(function* (input: Check.Input, target: ProbePlan.Target = {}, policy: Policy = "refuse") {
  const holders = yield* PortHolders
  const spec = yield* Check.make(input)
  const plan = yield* ProbePlan.make(spec, target)
  const parts = ProbePlan.networkParts(plan)
  const asked: ReadonlyArray<Finding["plan"]> =
    parts.length === 0 && target.port !== undefined
      ? [
          {
            _tag: "Tcp",
            subject: `A connection to port ${target.port}`,
            host: target.host ?? "localhost",
            port: target.port,
          },
        ]
      : parts
  const findings = yield* Effect.scoped(
    Effect.forEach(asked, (part) => ask(part, spec, target), { concurrency: "unbounded" }),
  )
  const holderOf = (one: Finding) => {
    const peer = Either.isRight(one.result) ? one.result.right.peers[0] : undefined
    return holders.find(peer ?? { port: one.plan.port })
  }

  const answering = findings.filter(
    ({ result }) => Either.isRight(result) || result.left.contact === "answered",
  )
  const first = answering.find(({ result }) => Either.isLeft(result)) ?? answering[0]
  if (first !== undefined) {
    const { plan: one, result } = first
    const holder = yield* holderOf(first)
    const passed = findings.flatMap((finding) =>
      Either.isRight(finding.result) ? [finding.result.right] : [],
    )
    const healthy = passed.length === findings.length
    if (parts.length === 0) {
      return yield* new PortInUse({
        port: one.port,
        subject: one.subject,
        answer: "was accepted",
        ...(holder && { holder }),
      })
    }
    if (healthy && policy === "adopt-as-external") {
      const outputs: ProbeSuccess["outputs"] = Object.assign({}, ...passed.map((success) => success.outputs))
      const verdict: Verdict = { _tag: "Adopt", outputs, holder }
      return verdict
    }
    return yield* new ForeignServer({
      subject: one.subject,
      port: one.port,
      answer: Either.isLeft(result)
        ? result.left.reason
        : `was answered in ${Duration.format(Duration.millis(Math.round(Duration.toMillis(result.right.latency))))}`,
      healthy,
      ...(holder && { holder }),
    })
  }

  for (const finding of findings) {
    const { plan: one, result } = finding
    if (Either.isRight(result)) continue
    const failure = result.left
    if (failure.contact === "none" && !isSilent(finding)) continue
    const holder = yield* holderOf(finding)
    if (failure.contact === "none" && holder === undefined) continue
    return yield* new PortInUse({
      port: one.port,
      subject: one.subject,
      answer: failure.reason,
      ...(holder && { holder }),
    })
  }
  const verdict: Verdict = { _tag: "Clear" }
  return verdict
})
