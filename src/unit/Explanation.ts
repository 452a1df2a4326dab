/** Why a unit is not up: a chain of causes, from the unit itself down to the first. Pure. */
import * as Schema from "effect/Schema"
import type { Graph } from "./Graph.js"
import { StateName, type UnitStatus } from "./UnitStatus.js"

/** One link of the chain. */
export const Link = Schema.Struct({
  unit: Schema.String,
  state: StateName,
  /** Why, in a sentence or two. */
  reason: Schema.String,
  /** What to do about it; absent where there is nothing to do but wait. */
  advice: Schema.optional(Schema.String),
  /** The last lines of output, of the first cause. */
  output: Schema.Array(Schema.String),
})
export type Link = typeof Link.Type

/** Why a unit is not up. */
export const Explanation = Schema.Struct({
  unit: Schema.String,
  state: StateName,
  isUp: Schema.Boolean,
  /** From the unit itself to the first cause. Empty when it is up. Where there are several causes, all branches. */
  chain: Schema.Array(Link),
}).annotations({ identifier: "Explanation" })
export type Explanation = typeof Explanation.Type

const isUp = ({ kind, state }: UnitStatus): boolean =>
  state === "ready" || (state === "exited" && (kind === "oneshot" || kind === "task"))

/** What to do about it, by what went wrong. */
const adviceByKind: Readonly<Record<string, string>> = {
  EarlyExit: "Look at its output, mend it, and start it again.",
  Crashed: "Look at its output, mend it, and start it again.",
  PermanentExit: "Mend what makes it end so, and start it again.",
  RestartsExhausted: "Look at its output, mend it, and start it again.",
  StartTimeout: "Look at its output; if it only needs longer, raise its startTimeout.",
  Unhealthy: "Look at its output, mend it, and start it again.",
  Mismatch: "Install the version that is expected, or change what is expected.",
  DependencyTimeout: "Start what it waits for, or raise its dependencyTimeout.",
  ExternalUnavailable: "Bring that server back, and start the unit again.",
  DependencyFailed: "What it needs is there again: start it.",
  StopTimeout: "End those processes by hand, and stop it again.",
}

/** What could not be started at all has a kind of its own for each reason. */
const couldNotStart = "Correct its spec, or what the message names, and start it again."

const adviceFor = (status: UnitStatus, hasCause: boolean): string | undefined => {
  const { failure, name, state } = status
  if (state === "inactive") return `Start it: holdfast start ${name}`
  if (state === "failed" && hasCause) return `When that is mended, start it again: holdfast start ${name}`
  if (state === "failed" || state === "backoff") return adviceByKind[failure?.kind ?? ""] ?? couldNotStart
  return undefined
}

/**
 * Why a unit is not up: itself first, then what it waits for, and what that waits for, down to the first causes.
 *
 * @param statusOf where each unit is
 * @param blockersOf what a unit waits for now, or has failed by
 */
export const explain = (
  { nodes }: Graph,
  name: string,
  statusOf: (name: string) => UnitStatus,
  blockersOf: (name: string) => ReadonlyArray<string>,
): Explanation => {
  const status = statusOf(name)
  if (isUp(status)) return { unit: name, state: status.state, isUp: true, chain: [] }
  const chain: Array<Link> = []
  const seen = new Set<string>()
  const follow = (one: string): void => {
    if (seen.has(one) || !nodes.has(one)) return
    seen.add(one)
    const found = statusOf(one)
    if (isUp(found)) return
    const causes = blockersOf(one).filter((other) => !isUp(statusOf(other)))
    const advice = adviceFor(found, causes.length > 0)
    chain.push({
      unit: one,
      state: found.state,
      reason:
        found.reason ?? (found.state === "inactive" ? "Nobody has started it." : `It is ${found.state}.`),
      ...(advice !== undefined && { advice }),
      // Its own words help where it is itself the cause.
      output: causes.length === 0 ? (found.failure?.output ?? []) : [],
    })
    for (const cause of causes) follow(cause)
  }
  follow(name)
  return { unit: name, state: status.state, isUp: false, chain }
}
