/** What the endpoints about the event log do. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type EventEntry, EventLog, type Followed } from "../event/EventLog.js"
import type * as Answers from "./Answers.js"
import * as EventStream from "./EventStream.js"
import { toApiError } from "./Faults.js"
import * as Present from "./Present.js"
import { type Handlers, Streamed } from "./Routes.js"

const entry = ({ at, data, seq, subject, type }: EventEntry): Answers.Event => ({
  seq,
  at: Present.time(at),
  type,
  subject,
  data,
})

const written = (followed: Followed): string =>
  followed._tag === "Entry"
    ? EventStream.write("event", String(followed.entry.seq), entry(followed.entry))
    : EventStream.write("missed", String(followed.next), { count: followed.count, next: followed.next })

/**
 * The handlers of the event log.
 *
 * @param stopping done when the daemon begins to stop: streams end then
 */
export const make = (
  stopping: Deferred.Deferred<void>,
): Effect.Effect<Pick<Handlers, "events" | "followEvents">, never, EventLog> =>
  Effect.map(EventLog, (log) => ({
    events: ({ urlParams: { after, limit, subject, type } }) =>
      log.read({ after, limit, subject, types: type }).pipe(
        Effect.map((page) => ({ ...Present.head("events"), ...page, events: page.events.map(entry) })),
        Effect.mapError(toApiError),
      ),
    followEvents: ({ headers, urlParams: { after, subject, type } }) =>
      Effect.succeed(
        new Streamed(
          log
            .follow({ after: headers["last-event-id"] ?? after, subject, types: type })
            .pipe(
              Stream.map(written),
              Stream.mapError(toApiError),
              EventStream.alive,
              Stream.interruptWhen(Deferred.await(stopping)),
            ),
        ),
      ),
  }))
