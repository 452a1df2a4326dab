/** What has to be true, how often it was looked at, and what was found to be otherwise. */

/** Every invariant, in words. */
export const invariants = {
  instances: "no unit has two instances",
  owners: "no process is left without an owner",
  truth: "what is said of a unit is so: one instance if it is up, none if it is down",
  orders: "a unit is what was last asked of it",
  accepted: "no accepted job is lost",
  once: "no attempt of a job begins twice, and no job for nothing",
  results: "each job ends as it really did",
  limit: "no more jobs of a group run than it allows",
  states: "no state lasts past its deadline",
  answers: "what is asked with a deadline is answered in time, and never with a fault of the daemon",
  latency: "the state is told in time, at the second asking at least",
  life: "the daemon does not end by itself, starts again after every death, and ends in order",
  recovery: "whatever happened, all units come up when they are started",
  memory: "memory is back to where it was, within 10 %",
  descriptors: "file descriptors are back to where they were, within 10 %",
} as const
export type Invariant = keyof typeof invariants

/** Something that was not as it has to be. */
export interface Break {
  readonly invariant: Invariant
  readonly text: string
  /** The number of the step after which it was found. */
  readonly step: number
}

interface Suspicion {
  readonly invariant: Invariant
  readonly since: number
  readonly patience: number
  text: string
  round: number
  isTold: boolean
}

/**
 * Counts. What may be so for a moment is suspected: it counts as broken when it is seen in every round for longer than
 * its patience.
 */
export class Verdicts {
  readonly checked = new Map<Invariant, number>()
  readonly breaks: Array<Break> = []
  /** The step that runs. */
  step = 0
  private round = 0
  private readonly suspicions = new Map<string, Suspicion>()

  constructor(private readonly tell: (found: Break) => void) {}

  /** It was looked at, so many times. */
  check(invariant: Invariant, times = 1): void {
    this.checked.set(invariant, (this.checked.get(invariant) ?? 0) + times)
  }

  /** It does not hold. */
  broken(invariant: Invariant, text: string): void {
    const found = { invariant, text, step: this.step }
    this.breaks.push(found)
    this.tell(found)
  }

  /** Looks at it once. */
  expect(invariant: Invariant, holds: boolean, text: () => string): boolean {
    this.check(invariant)
    if (!holds) this.broken(invariant, text())
    return holds
  }

  /** It seems not to hold now. `patience` is how long that may be so, in milliseconds. */
  suspect(invariant: Invariant, key: string, patience: number, text: string): void {
    const known = this.suspicions.get(key)
    if (known !== undefined) {
      known.round = this.round
      known.text = text
      return
    }
    const since = performance.now()
    this.suspicions.set(key, { invariant, since, patience, text, round: this.round, isTold: false })
  }

  /** A round is over: what was not seen in it is forgotten, what was seen for too long is broken. */
  endRound(): void {
    for (const [key, one] of this.suspicions) {
      if (one.round !== this.round) this.suspicions.delete(key)
      else if (!one.isTold && performance.now() - one.since > one.patience) {
        one.isTold = true
        this.broken(one.invariant, `${one.text} (for ${Math.round(performance.now() - one.since)} ms)`)
      }
    }
    this.round += 1
  }

  /** What lasted up to now has a reason: it counts from here. */
  forgive(): void {
    this.suspicions.clear()
  }

  /** What is suspected now. */
  get open(): ReadonlyArray<string> {
    return [...this.suspicions.values()].filter(({ isTold }) => !isTold).map(({ text }) => text)
  }
}
