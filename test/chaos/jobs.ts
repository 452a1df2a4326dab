/** The jobs of a run: what each kind does, what it is asked for with, and how it ends when it is left alone. */

/** One kind for each way that a job may be. */
export type JobKind =
  | "quick"
  | "sleeper"
  | "family"
  | "deaf"
  | "escapee"
  | "flood"
  | "retried"
  | "late"
  | "overdue"
  | "stubborn"
  | "prepared"
  | "narrow"
  | "second"
  | "fed"

/** How often each kind is drawn. */
export const jobKinds: ReadonlyArray<{ readonly kind: JobKind; readonly weight: number }> = [
  { kind: "quick", weight: 8 },
  { kind: "sleeper", weight: 5 },
  { kind: "family", weight: 3 },
  { kind: "deaf", weight: 2 },
  { kind: "escapee", weight: 3 },
  { kind: "flood", weight: 2 },
  { kind: "retried", weight: 2 },
  { kind: "late", weight: 2 },
  { kind: "overdue", weight: 2 },
  { kind: "stubborn", weight: 1 },
  { kind: "prepared", weight: 2 },
  { kind: "narrow", weight: 3 },
  { kind: "second", weight: 2 },
  { kind: "fed", weight: 2 },
]

/** How many bytes a `flood` writes. */
export const floodBytes = 300_000

/** The group of the `narrow` ones, of which two may run at a time. */
export const narrowGroup = "narrow"

/**
 * The program of all jobs. It notes in the ledger that it begins and that it ends, each in one small write, which is
 * whole whatever else is written there.
 */
export const jobScript = `
token=$1 kind=$2 code=$3 ledger=$4
mark=\${HOLDFAST_LINEAGE##* }
echo "b $token $mark $$" >> "$ledger"
case $kind in
  quick | prepared | late | second) echo "out $token" ;;
  sleeper | narrow) sleep 0.3 ;;
  family) sleep 0.2 & (sleep 0.3 & wait) & wait ;;
  deaf) trap '' TERM INT HUP; sleep 0.6 ;;
  escapee) setsid sleep 0.5 & wait ;;
  flood) head -c ${floodBytes} /dev/zero | tr '\\0' x ;;
  retried) case $mark in *.1) code=9 ;; esac ;;
  overdue) sleep 60 & setsid sleep 60 & wait ;;
  stubborn) trap '' TERM; sleep 60 & wait; sleep 60 ;;
  fed) read -r line; [ "$line" = "in $token" ] || code=99 ;;
esac
echo "e $token $mark $code" >> "$ledger"
exit "$code"
`

/** What a job is to come to by itself. */
export interface Expected {
  readonly state: "exited" | "killed"
  readonly cause: "exit" | "timeout"
  readonly code: number | undefined
  /** How many times it begins. */
  readonly attempts: number
}

/** What comes of a job that nobody touches. */
export const expected = (kind: JobKind, code: number): Expected => {
  if (kind === "overdue" || kind === "stubborn")
    return { state: "killed", cause: "timeout", code: undefined, attempts: 1 }
  return { state: "exited", cause: "exit", code, attempts: kind === "retried" ? 2 : 1 }
}

/** The body of `POST /exec`. `after` is another job, for the kind that waits for one. */
export const request = (
  kind: JobKind,
  given: {
    readonly token: number
    readonly code: number
    readonly keyed: boolean
    readonly after: string | undefined
    readonly script: string
    readonly ledger: string
    readonly cwd: string
    readonly run: string
  },
): Record<string, unknown> => {
  const { after, code, cwd, keyed, ledger, run, script, token } = given
  return {
    command: ["/bin/sh", script, String(token), kind, String(code), ledger],
    cwd,
    // Only the daemon's clock is set.
    env: { LD_PRELOAD: "" },
    kill_after_ms: 200,
    tags: [`token-${token}`],
    ...(keyed && { idempotency_key: `${run}-${token}` }),
    ...(kind === "retried" && { retries: 2, backoff: { delay_ms: 50 } }),
    ...(kind === "late" && { delay_ms: 300 }),
    ...((kind === "overdue" || kind === "stubborn") && { timeout_ms: 300 }),
    ...(kind === "prepared" && { start: false }),
    ...(kind === "narrow" && { group: narrowGroup, priority: token % 3 }),
    ...(kind === "second" && after !== undefined && { after: [{ job: after, when: "end" }] }),
    ...(kind === "fed" && { stdin: { text: `in ${token}\n` } }),
  }
}
