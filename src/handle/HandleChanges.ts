/** Tells of each change of a handle: to its listeners, in the log, in the event log, in a trace. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Stream from "effect/Stream"
import type { EventLog } from "../event/EventLog.js"
import * as Tracing from "../process/Tracing.js"
import type { Transition } from "./HandleState.js"

/** A change of state. */
export interface Change extends Transition {
  /** The handle's name. */
  readonly handle: string
  /** Counts the changes of this handle from 1: a gap is what a slow reader has lost. */
  readonly seq: number
  /** In milliseconds since the epoch. */
  readonly at: number
}

/** So many changes wait for a slow reader, then it loses the oldest. */
export const backlog = 256

/** Who is told. */
export class Changes {
  private readonly listeners = new Set<Mailbox.Mailbox<Change>>()
  private seq = 0
  private isOver = false

  constructor(private readonly handle: string) {}

  /** The changes from now on. */
  readonly stream: Stream.Stream<Change> = Stream.unwrapScoped(
    Effect.gen(this, function* () {
      const mailbox = yield* Mailbox.make<Change>({ capacity: backlog, strategy: "sliding" })
      if (this.isOver) mailbox.unsafeDone(Exit.void)
      yield* Effect.acquireRelease(
        Effect.sync(() => this.listeners.add(mailbox)),
        () => Effect.sync(() => this.listeners.delete(mailbox)),
      )
      return Mailbox.toStream(mailbox)
    }),
  )

  /** Tells the listeners. */
  publish(transition: Transition, at: number): Change {
    const change: Change = { handle: this.handle, seq: ++this.seq, at, ...transition }
    for (const listener of this.listeners) listener.unsafeOffer(change)
    return change
  }

  /** No change will come any more. */
  end(): void {
    this.isOver = true
    for (const listener of this.listeners) listener.unsafeDone(Exit.void)
  }
}

/** Writes down a change. */
export const record = (change: Change, events: EventLog["Type"] | undefined): Effect.Effect<void> => {
  const { attributes, from, generation, handle, mode, reason, to } = change
  const about = { handle, from, to, reason, mode, generation, ...attributes }
  const type = `handle.${to.toLowerCase()}`
  const isGood = to === "Ready" || to === "Empty"
  return Effect.gen(function* () {
    if (events !== undefined) yield* events.append(type, handle, about)
    const line = `${handle}: ${from} -> ${to}, as ${reason}`
    yield* Effect.annotateLogs(isGood ? Effect.logInfo(line) : Effect.logWarning(line), about)
  }).pipe((effect) => Tracing.withSpan(effect, type, () => about))
}
