/** What callers do with a handle, each on a fiber of its own: they ask, validate or wait, and ask again. */
import * as Effect from "effect/Effect"
import { type Failure, type HandleActor, Seat } from "./HandleActor.js"
import type { AcquireError } from "./HandleError.js"
import type { Event, Resource } from "./HandleState.js"
import type { Restore } from "./Looks.js"

type Acquired<A, E> = Effect.Effect<Resource<A>, AcquireError<E>>

/** The current resource, validated; or the next one, started. Who is interrupted is taken out of what it was in. */
export const acquire = <A, E>(actor: HandleActor<A, E>): Acquired<A, E> =>
  Effect.suspend(() => (actor.state.status._tag === "Ready" ? look(actor) : join(actor)))

const look = <A, E>(actor: HandleActor<A, E>): Acquired<A, E> =>
  Effect.uninterruptibleMask((restore) => Effect.suspend(() => ask(actor, { _tag: "Acquire" }, restore)))

/** Asks where nothing interrupts, and does what the answer says. */
const ask = <A, E>(
  actor: HandleActor<A, E>,
  event: Event<A, Failure<E>>,
  restore: Restore,
): Acquired<A, E> => {
  const seat = new Seat<A, E>()
  const reply = actor.send(event, seat)
  switch (reply?._tag) {
    case "Look": {
      const { resource } = reply
      const { generation } = resource
      const found = actor.examine(resource, restore, () => void actor.send({ _tag: "Abandon", generation }))
      return Effect.flatMap(found, (problem) => ask(actor, { _tag: "Verdict", generation, problem }, restore))
    }
    case "Join":
      return Effect.onInterrupt(
        restore(Effect.async<Resource<A>, AcquireError<E>>((resume) => seat.wait(resume))),
        () => Effect.sync(() => actor.leave(seat)),
      )
    case "Give":
    case "Refuse":
    case "Closed":
      return actor.answer(reply)
    default:
      return Effect.dieMessage("a handle gave no answer")
  }
}

/** The same for somebody who will most likely have to wait, in fewer steps: there may be thousands at once. */
const join = <A, E>(actor: HandleActor<A, E>): Acquired<A, E> => {
  const seat = new Seat<A, E>()
  const landed = Effect.async<Resource<A>, AcquireError<E>>((resume) => {
    // It may have become Ready in between, and what is looked at must not be interrupted just here.
    if (actor.state.status._tag === "Ready") return resume(look(actor))
    const reply = actor.send({ _tag: "Acquire" }, seat)
    if (reply?._tag === "Refuse" || reply?._tag === "Closed") resume(actor.answer(reply))
    else seat.wait(resume)
  })
  return Effect.onInterrupt(landed, () => Effect.sync(() => actor.leave(seat)))
}

/** As {@link acquire}; the resource is in use until it is released. To be used where nothing interrupts. */
export const hold = <A, E>(
  actor: HandleActor<A, E>,
  restore: Restore,
): Effect.Effect<Resource<A>, AcquireError<E>> =>
  Effect.flatMap(restore(acquire(actor)), (resource) => {
    const reply = actor.send({ _tag: "Hold", generation: resource.generation })
    if (reply?._tag === "Held") return Effect.succeed(resource)
    if (reply?._tag === "Closed") return actor.answer(reply)
    // It went away in the same moment.
    return hold(actor, restore)
  })

/** The end of a use. */
export const release = <A, E>(actor: HandleActor<A, E>, { generation }: Resource<A>): Effect.Effect<void> =>
  Effect.sync(() => void actor.send({ _tag: "Release", generation }))
