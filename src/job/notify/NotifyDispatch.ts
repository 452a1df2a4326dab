/** Sends what is in the outbox, and sees to what becomes of it there. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { Notification } from "../JobSpec.js"
import { type Deliver, type Outcome } from "./NotifyDelivery.js"
import type { Entry, Outbox, OutboxUnusable } from "./Outbox.js"

/** Sends an entry until it is delivered or given up; then comes `after`, what is to become of its file. */
export type Dispatch = (entry: Entry, after: Effect.Effect<unknown, OutboxUnusable>) => Effect.Effect<void>

/** Logs a failure and what follows from it. */
export const orLog = (
  consequence: string,
  effect: Effect.Effect<unknown, OutboxUnusable>,
): Effect.Effect<void> =>
  Effect.catchAll(Effect.asVoid(effect), ({ message }) => Effect.logError(`${consequence}: ${message}`))

const shown = (notification: Notification): string =>
  "file" in notification ? `the file ${notification.file}` : `the command ${notification.command[0]}`

/**
 * Dispatches what is in `outbox`.
 *
 * @param directory where that is, for people
 */
export const make = (directory: string, outbox: Outbox, deliver: Deliver): Dispatch => {
  const giveUp = (entry: Entry, { reason, tries }: { readonly reason: string; readonly tries: number }) => {
    const { event, notification } = entry
    return Effect.zipRight(
      Effect.logError(
        `Job ${event.job_id}: telling ${shown(notification)} of ${event.type} was given up after ${tries} tries: ${reason}. What it was to be told is kept in ${join(directory, "failed")}.`,
      ),
      orLog("A notification that was given up is not kept", outbox.giveUp(entry, tries, reason)),
    )
  }
  return (entry, after) => {
    const { event, mask, notification } = entry
    const settle = (outcome: Outcome) =>
      Effect.zipRight(
        outcome._tag === "Delivered" ? Effect.void : giveUp(entry, outcome),
        orLog(`Job ${event.job_id}: a notification may be delivered once more`, after),
      )
    return deliver({ notification, mask, cwd: event.cwd, line: JSON.stringify(event), settle })
  }
}
