/** What is different between two plans, so that a reload touches nothing else. Pure. */

/** A unit that is there in both, and not the same. */
export interface ChangedUnit {
  readonly name: string
  /** The fields that differ, such as `command`, `env.PORT`; never their values. */
  readonly fields: ReadonlyArray<string>
}

/** What is different. */
export interface PlanDiff {
  readonly added: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
  readonly changed: ReadonlyArray<ChangedUnit>
  readonly unchanged: ReadonlyArray<string>
}
