/** What a unit's dependencies say to it. */

/** The verdict of all its dependencies together. */
export type Verdict =
  /** It may start. */
  | { readonly _tag: "Met" }
  /** It has to wait. */
  | {
      readonly _tag: "Waiting"
      /** One sentence for each dependency that is not there. */
      readonly reasons: ReadonlyArray<string>
      /** Whether one that it requires is not as it has to be; else only the order makes it wait. */
      readonly required: boolean
      /** Whether one that it requires is down: it must not go on starting. */
      readonly lost: boolean
      /** Whether one that it is bound to is down: it goes down too. */
      readonly bound: boolean
    }
  /** Waiting is of no use: one of them has failed. */
  | {
      readonly _tag: "Broken"
      readonly name: string
      readonly why: string
      readonly bound: boolean
    }

/** Whether one that it requires is down, so that it must not go on starting. */
export const isLost = (verdict: Verdict): boolean =>
  verdict._tag === "Broken" || (verdict._tag === "Waiting" && verdict.lost)

/** Whether one that it is bound to is down, so that it goes down too. */
export const isBound = (verdict: Verdict): boolean => verdict._tag !== "Met" && verdict.bound

/** Whether two verdicts say the same. */
export const isSame = (a: Verdict, b: Verdict): boolean => {
  if (a === b) return true
  if (a._tag === "Waiting" && b._tag === "Waiting") {
    return (
      a.required === b.required &&
      a.lost === b.lost &&
      a.bound === b.bound &&
      a.reasons.length === b.reasons.length &&
      a.reasons.every((reason, index) => reason === b.reasons[index])
    )
  }
  if (a._tag === "Broken" && b._tag === "Broken")
    return a.name === b.name && a.why === b.why && a.bound === b.bound
  return a._tag === b._tag
}
