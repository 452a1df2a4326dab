/** What the steps of a handle are made of. */
import type { Action, Event, Ready, Reply, Rules, State, Status, Transition } from "./HandleState.js"

/** What comes of an event. */
export interface Step<A, F> {
  readonly state: State<A, F>
  readonly actions: ReadonlyArray<Action<A, F>>
  /** Only to an event that asks. */
  readonly reply?: Reply<A, F>
}

/** One kind of event. */
export type Of<A, F, Tag extends Event<A, F>["_tag"]> = Extract<Event<A, F>, { readonly _tag: Tag }>

/** No actions. */
export const nothing: ReadonlyArray<never> = []
/** Answers and states that are always the same. */
export const closed = { _tag: "Closed" } as const
export const held = { _tag: "Held" } as const
export const gone = { _tag: "Gone" } as const
export const empty = { _tag: "Empty" } as const
export const idling = { _tag: "None" } as const

/** An answer, and nothing else to do. */
export const answer = <A, F>(state: State<A, F>, reply: Reply<A, F>): Step<A, F> => ({
  state,
  actions: nothing,
  reply,
})

/** Nothing to do. */
export const unchanged = <A, F>(state: State<A, F>): Step<A, F> => ({ state, actions: nothing })

/** For events about one resource: those about another one change nothing. */
export const ofReady = <A, F>(
  state: State<A, F>,
  { generation }: { readonly generation: number },
  then: (ready: Ready<A>) => Step<A, F>,
): Step<A, F> =>
  state.status._tag === "Ready" && state.status.resource.generation === generation
    ? then(state.status)
    : unchanged(state)

/** Tells of the change to another status. */
export const transition = <A, F>(
  rules: Rules<A, F>,
  { latest, status }: State<A, F>,
  to: Status<A, F>,
  reason: string,
): Action<A, F> => {
  const about = to._tag === "Ready" ? to.resource : latest
  const change: Transition = {
    from: status._tag,
    to: to._tag,
    reason,
    mode: to._tag === "Failed" ? to.mode : (about?.mode ?? rules.mode),
    generation: about?.generation ?? 0,
    attributes: about?.attributes ?? {},
  }
  return { _tag: "Tell", change }
}

/** Starts what is waited for as soon as nothing is in the way. */
export const go = <A, F>(after: Step<A, F>): Step<A, F> => {
  const { actions, state } = after
  const isFree = state.work._tag === "None" && state.backoff === undefined && !state.isClosed
  if (state.flight === undefined || !isFree) return after
  const generation = state.generation + 1
  return {
    ...after,
    state: { ...state, generation, work: { _tag: "Starting", generation } },
    actions: [...actions, { _tag: "Start", generation }],
  }
}
