/**
 * Looks before a spawn whether the place is taken. Every `http` and `tcp` part of the probe is asked once; `exec` and
 * `log` parts say nothing about a process that does not run yet.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import * as Check from "./Check.js"
import { ForeignServer, PortInUse } from "./Occupied.js"
import type * as PortHolder from "./PortHolder.js"
import { PortHolders } from "./PortHolder.js"
import * as ProbePlan from "./ProbePlan.js"
import { formatPeer, type Peer, type ProbeFailure, type ProbeSuccess } from "./ProbeResult.js"
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

const peersOf = ({ result }: Finding): ReadonlyArray<Peer> =>
  Either.isRight(result) ? result.right.peers : result.left.peers

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

/**
 * Tries the probe of a process that is about to be spawned, once.
 *
 * - It passes: `ForeignServer`; with the policy `adopt-as-external`, and when every part passes, `Adopt`.
 * - It gets an answer of the right protocol that does not pass (a wrong status, version or body): `ForeignServer`
 *   under either policy, since such a server is not the one that was asked for.
 * - A connection is made and no such answer comes, or none is made and a server could not listen there either:
 *   `PortInUse`. So it is for a declared port that the probe does not use.
 * - Else (nobody is there, no such name, unreachable, an address of another machine): `Clear`.
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
  const declared: ReadonlyArray<ProbePlan.TcpPlan> =
    target.port === undefined || parts.some(({ port }) => port === target.port)
      ? []
      : [ProbePlan.tcp(target.host ?? "localhost", target.port)]
  const all = yield* Effect.scoped(
    Effect.forEach([...parts, ...declared], (part) => ask(part, spec, target), { concurrency: "unbounded" }),
  )
  const findings = all.slice(0, parts.length)

  const answering = findings.filter(
    ({ result }) => Either.isRight(result) || result.left.contact === "answered",
  )
  const first = answering.find(({ result }) => Either.isLeft(result)) ?? answering[0]
  if (first !== undefined) {
    const { plan: one, result } = first
    const holder = yield* holders.find(peersOf(first)[0] ?? { port: one.port })
    const passed = findings.flatMap((finding) =>
      Either.isRight(finding.result) ? [finding.result.right] : [],
    )
    const healthy = passed.length === findings.length
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

  for (const finding of all) {
    const { plan: one, result } = finding
    const connected = Either.isRight(result) || result.left.contact !== "none"
    const peer = connected
      ? peersOf(finding)[0]
      : yield* Effect.findFirst(peersOf(finding), (each) => Effect.negate(holders.isFree(each))).pipe(
          Effect.map(Option.getOrUndefined),
        )
    if (peer === undefined) continue
    const holder = yield* holders.find(peer)
    return yield* new PortInUse({
      port: one.port,
      subject: one.subject,
      answer: Either.isRight(result)
        ? "was accepted"
        : connected
          ? result.left.reason
          : `${result.left.reason}, yet no other server can listen at ${formatPeer(peer)}`,
      ...(holder && { holder }),
    })
  }
  const verdict: Verdict = { _tag: "Clear" }
  return verdict
})
