/** Asks. A probe is attached to what it is about, and can then be asked any number of times. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { InvalidSpec } from "../process/InvalidSpec.js"
import { ProcessSpawner } from "../process/ProcessSpawner.js"
import * as Tracing from "../process/Tracing.js"
import { AddressResolver } from "./AddressResolver.js"
import * as Check from "./Check.js"
import * as Composition from "./Composition.js"
import * as ExecProbe from "./ExecProbe.js"
import * as HttpProbe from "./HttpProbe.js"
import * as KeptHttp from "./KeptHttp.js"
import * as LogProbe from "./LogProbe.js"
import * as ProbePlan from "./ProbePlan.js"
import { type Passed, ProbeFailure, type ProbeSuccess } from "./ProbeResult.js"
import * as TcpProbe from "./TcpProbe.js"
import * as Wake from "../process/Wake.js"

/** A probe attached to an instance. */
export interface AttachedProbe {
  /** What it was made from, defaults filled in. */
  readonly spec: Check.Check
  /**
   * Asks once. Ends within the spec's `timeout` (and the time it takes to kill a group); interrupting it frees its
   * sockets and processes. May be run again, by several at once.
   */
  readonly check: Effect.Effect<ProbeSuccess, ProbeFailure>
  /**
   * As `check`, of what is known to have passed before: an `http` probe asks over connections that it keeps, so that this
   * costs no more than a request. For whoever asks often, and wants nothing but the verdict.
   */
  readonly recheck: Effect.Effect<void, ProbeFailure>
  /**
   * Completes when there is reason to check at once: the verdict of a `log` part is there. Each such event is handed out
   * once, also when it came before anybody waited. Never completes for probes without a `log` part.
   */
  readonly wake: Effect.Effect<void>
}

/** Asks whether something is up. */
export class Prober extends Context.Tag("holdfast/probe/Prober")<
  Prober,
  {
    /**
     * Prepares a probe for its target; `log` parts watch from now on, until the scope closes. Fails, before anything
     * is asked, when the description is wrong or the target lacks what it needs (a port, output).
     */
    readonly attach: (
      check: Check.Input,
      target?: ProbePlan.Target,
    ) => Effect.Effect<AttachedProbe, InvalidSpec, Scope.Scope>
  }
>() {}

/** The settled form of a decoded check. */
const settle = (
  check: Check.Check,
  target: ProbePlan.Target,
): Effect.Effect<ProbePlan.ProbePlan, InvalidSpec> =>
  Either.match(ProbePlan.make(check, target), { onLeft: Effect.fail, onRight: Effect.succeed })

const attached = (
  spec: Check.Check,
  wake: Wake.Wake,
  run: Effect.Effect<Passed, ProbeFailure>,
  again: Effect.Effect<void, ProbeFailure> = Effect.asVoid(run),
): AttachedProbe => ({
  spec,
  wake: wake.wait,
  recheck: Tracing.withSpan(again, "Prober.recheck", () => ({})),
  check: Tracing.withSpan(
    Effect.flatMap(Clock.currentTimeNanos, (start) =>
      Effect.flatMap(run, (passed) =>
        Effect.map(Clock.currentTimeNanos, (end) => ({ ...passed, latency: Duration.nanos(end - start) })),
      ),
    ),
    "Prober.check",
    () => ({}),
  ),
})

/** Asks over real sockets and with real processes. Names are resolved by the {@link AddressResolver} of its context. */
export const layer: Layer.Layer<Prober, never, ProcessSpawner> = Layer.effect(
  Prober,
  Effect.gen(function* () {
    const spawner = yield* ProcessSpawner
    const resolve = yield* AddressResolver

    const bind = (
      plan: ProbePlan.ProbePlan,
      timeout: number,
      onLine: () => void,
    ): Effect.Effect<Effect.Effect<Passed, ProbeFailure>, never, Scope.Scope> => {
      switch (plan._tag) {
        case "Http":
          return Effect.succeed(HttpProbe.check(plan, timeout, resolve))
        case "Tcp":
          return Effect.succeed(TcpProbe.check(plan, timeout, resolve))
        case "Exec":
          return Effect.succeed(ExecProbe.check(plan, timeout, spawner))
        case "Log":
          return LogProbe.watch(plan, onLine)
        case "All":
        case "Any":
          return Effect.map(
            Effect.forEach(plan.plans, (one) => bind(one, timeout, onLine)),
            plan._tag === "All" ? Composition.all : Composition.any,
          )
      }
    }

    return Prober.of({
      attach: Effect.fn("Prober.attach")(function* (input: Check.Input, target: ProbePlan.Target = {}) {
        const spec = yield* Check.make(input)
        const plan = yield* settle(spec, target)
        const wake = Wake.make()
        const timeout = Duration.toMillis(spec.timeout)
        const run = yield* bind(plan, timeout, wake.signal)
        if (plan._tag !== "Http") return attached(spec, wake, run)
        const fresh = (left: number) => HttpProbe.check(plan, left, resolve)
        return attached(spec, wake, run, yield* KeptHttp.make({ plan, timeout, resolve, fresh }))
      }),
    })
  }),
)

/** One question put to a scripted prober. */
export interface Question {
  /** How many were asked before, over all attached probes. */
  readonly index: number
  readonly spec: Check.Check
  readonly target: ProbePlan.Target
}

/** What a script answers: outputs or nothing for a pass. It may wait first; the check's deadline holds for it too. */
export type Script = (
  question: Question,
) => Effect.Effect<Readonly<Record<string, string>> | void, ProbeFailure>

/** What a scripted prober has been asked so far. */
export class ScriptedProber extends Context.Tag("holdfast/probe/ScriptedProber")<
  ScriptedProber,
  {
    readonly attached: () => ReadonlyArray<Omit<Question, "index">>
    readonly asked: () => number
    /** Checks that run now, and the most that ever ran at the same time. */
    readonly running: () => number
    readonly mostAtOnce: () => number
    /** Lets `wake` of every attached probe complete, as a line that matches would. */
    readonly wake: () => void
  }
>() {}

/** Answers from a script, in memory, on the clock of Effect: for tests of whatever uses a {@link Prober}. */
export const layerScripted = (script: Script): Layer.Layer<Prober | ScriptedProber> =>
  Layer.effectContext(
    Effect.sync(() => {
      const questions: Array<Omit<Question, "index">> = []
      const wakes: Array<Wake.Wake> = []
      let asked = 0
      let running = 0
      let mostAtOnce = 0
      const attach = Effect.fn("Prober.attach")(function* (
        input: Check.Input,
        target: ProbePlan.Target = {},
      ) {
        const spec = yield* Check.make(input)
        yield* settle(spec, target)
        const wake = Wake.make()
        questions.push({ spec, target })
        wakes.push(wake)
        const run = Effect.acquireUseRelease(
          Effect.sync(() => {
            running++
            mostAtOnce = Math.max(mostAtOnce, running)
            return asked++
          }),
          (index) => script({ index, spec, target }),
          () => Effect.sync(() => running--),
        ).pipe(
          Effect.timeoutFail({ duration: spec.timeout, onTimeout: () => scriptedTimeout(spec) }),
          Effect.map((outputs): Passed => ({ outputs: outputs ?? {}, peers: [] })),
        )
        return attached(spec, wake, run)
      })
      return Context.make(Prober, { attach }).pipe(
        Context.add(ScriptedProber, {
          attached: () => questions,
          asked: () => asked,
          running: () => running,
          mostAtOnce: () => mostAtOnce,
          wake: () => wakes.forEach((wake) => wake.signal()),
        }),
      )
    }),
  )

const scriptedTimeout = (spec: Check.Check): ProbeFailure =>
  new ProbeFailure({
    kind: "http",
    subject: "The scripted probe",
    reason: `timed out after ${Duration.format(spec.timeout)}`,
    class: "timeout",
    transient: true,
    contact: "none",
  })
