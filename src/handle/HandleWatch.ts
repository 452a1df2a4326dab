/** Checks a resource without being asked, and has it replaced when it stays unhealthy. */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { HandleActor } from "./HandleActor.js"
import * as HandleHealth from "./HandleHealth.js"
import type { Resource } from "./HandleState.js"

/** When to check, and when not to replace. */
export interface Options<A> {
  /** The pauses before each check. When it is done, the checks are. */
  readonly schedule: Schedule.Schedule<unknown>
  readonly isBusy: ((snapshot: A) => Effect.Effect<boolean>) | undefined
}

/** Checks until the resource is given up. */
export const run =
  <A>(options: Options<A>) =>
  <E>(actor: HandleActor<A, E>, resource: Resource<A>): Effect.Effect<void> =>
    Effect.gen(function* () {
      const { generation } = resource
      const driver = yield* Schedule.driver(options.schedule)
      const next = Effect.map(Effect.option(driver.next(undefined)), Option.isSome)
      for (;;) {
        const left = untilDeadline(actor)
        const isDue = yield* left === undefined
          ? next
          : Effect.raceFirst(next, Effect.as(Effect.sleep(left), true))
        if (!isDue) return
        const problem = yield* Effect.uninterruptibleMask((restore) =>
          actor.examine(resource, restore, constVoid),
        )
        if (problem?.isCertain === true) {
          // Like one that tells so itself: whoever comes next starts another one.
          actor.send({ _tag: "Lost", generation, reason: problem.reason })
          return
        }
        const isBusy = problem !== undefined && (yield* busy(actor, resource, options))
        const at = actor.now()
        actor.send({ _tag: "Checked", generation, problem: problem && { ...problem, isBusy, at } })
      }
    })

/** How long a busy resource that is due to be replaced is spared yet, in milliseconds. */
const untilDeadline = <A, E>(actor: HandleActor<A, E>): number | undefined => {
  const { status } = actor.state
  if (status._tag !== "Ready") return undefined
  const deadline = HandleHealth.deadline(actor.plan.rules, status.health)
  return deadline === undefined ? undefined : Math.max(0, deadline - actor.now())
}

const busy = <A, E>(
  { plan, state: { status } }: HandleActor<A, E>,
  { snapshot }: Resource<A>,
  { isBusy }: Options<A>,
): Effect.Effect<boolean> =>
  isBusy === undefined
    ? Effect.succeed(status._tag === "Ready" && status.holds > 0)
    : Effect.catchAllCause(
        Effect.suspend(() => isBusy(snapshot)),
        (cause) =>
          Effect.as(
            Effect.logWarning(`${plan.name}: whether it is busy cannot be told; it counts as idle`, cause),
            false,
          ),
      )
