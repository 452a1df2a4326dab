/**
 * When a resource that is checked again and again is to be replaced: so many failures in a row, and not while it is
 * busy, unless it has been unhealthy and busy for too long. It reads no clock and does no I/O.
 */

/** What is asked of a resource. */
export interface Rules {
  /** So many failed checks in a row. */
  readonly failureThreshold: number
  /** So long a busy resource may be unhealthy, in milliseconds. */
  readonly busyGraceMillis: number
}

/** What the checks so far have said. */
export interface Health {
  /** Failed checks in a row. */
  readonly failures: number
  /** When it was first seen to be unhealthy and busy, in milliseconds of the checks' clock. */
  readonly busySince?: number
}

/** One check. */
export type Checked =
  | { readonly isHealthy: true }
  | {
      readonly isHealthy: false
      readonly isBusy: boolean
      /** In milliseconds of a clock that only goes forward. */
      readonly at: number
    }

/** Nothing is known against it. */
export const healthy: Health = { failures: 0 }

/**
 * The health after a check, and whether the resource is to be replaced. The time that a busy one is given begins with
 * the first failure while it is busy, and is forgotten when it is seen idle or healthy.
 */
export const step = (
  rules: Rules,
  health: Health,
  checked: Checked,
): { readonly health: Health; readonly isDue: boolean } => {
  if (checked.isHealthy) return { health: healthy, isDue: false }
  const failures = Math.min(health.failures + 1, rules.failureThreshold)
  const isDue = failures >= rules.failureThreshold
  if (!checked.isBusy) return { health: { failures }, isDue }
  const busySince = health.busySince ?? checked.at
  return {
    health: { failures, busySince },
    isDue: isDue && checked.at - busySince >= rules.busyGraceMillis,
  }
}

/** When a replacement that waits for an idle moment will wait no longer; undefined when none waits. */
export const deadline = (rules: Rules, health: Health): number | undefined =>
  health.failures >= rules.failureThreshold && health.busySince !== undefined
    ? health.busySince + rules.busyGraceMillis
    : undefined
