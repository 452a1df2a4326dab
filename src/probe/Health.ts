/**
 * What a row of verdicts means: the thresholds of Kubernetes, as a pure function. It reads no clock and does no I/O.
 *
 * - `startup` gates the others: until it has passed, their verdicts do not count. Failing means: restart.
 * - `readiness` decides Ready and never asks for a restart.
 * - `liveness` asks for a restart.
 *
 * A use that is not declared is content: without `startup` an instance counts as started, without `readiness` as
 * ready once started.
 */

/** What a check is for. */
export type Use = "startup" | "readiness" | "liveness"

/** How many verdicts in a row it takes. */
export interface Thresholds {
  readonly successThreshold: number
  readonly failureThreshold: number
}

/** The declared uses. */
export type Uses = { readonly [use in Use]?: Thresholds }

/** Verdicts in a row. At most one of the two is above 0; neither grows past its threshold. */
export interface Run {
  readonly passes: number
  readonly failures: number
}

/** The health of one instance. */
export interface Health {
  readonly started: boolean
  readonly ready: boolean
  /** The use that asked for a restart. Nothing changes after that: the next instance begins anew. */
  readonly restart?: Use
  readonly runs: Readonly<Record<Use, Run>>
}

/** The verdict of one check. */
export interface Verdict {
  readonly use: Use
  readonly passed: boolean
  /**
   * A look out of turn, sooner than the period: its pass counts as any other, its failure ends a row of passes and
   * is not counted. Default false.
   */
  readonly early?: boolean
}

/** What a verdict brought about. */
export type Decision = "none" | "started" | "ready" | "not-ready" | "restart"

const noRun: Run = { passes: 0, failures: 0 }

const isReady = (uses: Uses, started: boolean): boolean => started && uses.readiness === undefined

/** The health of an instance that was never checked. */
export const initial = (uses: Uses): Health => {
  const started = uses.startup === undefined
  return {
    started,
    ready: isReady(uses, started),
    runs: { startup: noRun, readiness: noRun, liveness: noRun },
  }
}

/** Whether checks of that use are due: declared, not gated by startup, no restart asked for. */
export const isDue = (uses: Uses, health: Health, use: Use): boolean =>
  uses[use] !== undefined && health.restart === undefined && health.started === (use !== "startup")

/** The next health, and what changed. A verdict of a use that is not due changes nothing. */
export const step = (
  uses: Uses,
  health: Health,
  verdict: Verdict,
): { readonly health: Health; readonly decision: Decision } => {
  const { use } = verdict
  const thresholds = uses[use]
  if (thresholds === undefined || !isDue(uses, health, use)) return { health, decision: "none" }
  const before = health.runs[use]
  const run: Run = verdict.passed
    ? { passes: Math.min(before.passes + 1, thresholds.successThreshold), failures: 0 }
    : verdict.early === true
      ? { passes: 0, failures: before.failures }
      : { passes: 0, failures: Math.min(before.failures + 1, thresholds.failureThreshold) }
  const next = { ...health, runs: { ...health.runs, [use]: run } }

  if (verdict.passed && run.passes >= thresholds.successThreshold) {
    if (use === "startup") {
      return { health: { ...next, started: true, ready: isReady(uses, true) }, decision: "started" }
    }
    if (use === "readiness" && !health.ready) return { health: { ...next, ready: true }, decision: "ready" }
  }
  if (!verdict.passed && run.failures >= thresholds.failureThreshold) {
    if (use !== "readiness") return { health: { ...next, ready: false, restart: use }, decision: "restart" }
    if (health.ready) return { health: { ...next, ready: false }, decision: "not-ready" }
  }
  return { health: next, decision: "none" }
}

/** The health after a restart that was asked for and is not made: as before, but for the failures that are counted. */
export const resumed = (before: Health, { restart, runs, ...after }: Health): Health =>
  restart === undefined ? { ...after, runs } : { ...after, ready: before.ready, runs }
