/** `all` and `any` of several checks: run at the same time, each with the same deadline. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { type Contact, type Passed, ProbeFailure } from "./ProbeResult.js"

type Run = Effect.Effect<Passed, ProbeFailure>

const contacts: ReadonlyArray<Contact> = ["none", "connected", "answered"]

const merge = (passed: ReadonlyArray<Passed>): Passed => ({
  outputs: Object.assign({}, ...passed.map(({ outputs }) => outputs)),
  peers: passed.flatMap(({ peers }) => peers),
})

/** One failure for several: `leader` gives the class; the sentences stand one after the other. */
const combine = (
  kind: "all" | "any",
  failures: ReadonlyArray<ProbeFailure>,
  leader: ProbeFailure,
): ProbeFailure => {
  const furthest = failures.toSorted((a, b) => contacts.indexOf(b.contact) - contacts.indexOf(a.contact))
  return new ProbeFailure({
    kind,
    subject: "",
    reason: failures.map(({ message }) => message).join(" "),
    class: leader.class,
    transient: leader.transient,
    contact: furthest[0]!.contact,
    peers: furthest.flatMap(({ peers }) => peers),
    ...(leader.mismatch !== undefined && { mismatch: leader.mismatch }),
  })
}

/** Passes when each passes. Outputs are merged, later ones win. A failure that is not transient decides the class. */
export const all = (runs: ReadonlyArray<Run>): Run =>
  Effect.flatMap(Effect.forEach(runs, Effect.either, { concurrency: "unbounded" }), (results) => {
    const failures = results.flatMap((result) => (Either.isLeft(result) ? [result.left] : []))
    const leader = failures.find(({ transient }) => !transient) ?? failures[0]
    return leader === undefined
      ? Effect.succeed(merge(results.flatMap((result) => (Either.isRight(result) ? [result.right] : []))))
      : Effect.fail(combine("all", failures, leader))
  })

/** Passes with the first that passes; the others are cancelled. It may still pass later if one of them may. */
export const any = (runs: ReadonlyArray<Run>): Run =>
  Effect.suspend(() => {
    const failures: Array<ProbeFailure> = []
    const noted = runs.map((run, index) =>
      Effect.tapError(run, (failure) =>
        Effect.sync(() => {
          failures[index] = failure
        }),
      ),
    )
    return Effect.mapError(Effect.raceAll(noted), () =>
      combine("any", failures, failures.find(({ transient }) => transient) ?? failures[0]!),
    )
  })
