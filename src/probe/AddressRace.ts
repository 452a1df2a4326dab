/**
 * The address rule: a name is resolved to all its addresses and each is tried. One success wins, even after an
 * earlier failure; else the first failure that is not transient is the one reported, else the one that got furthest.
 * The next address is tried when the one before it has failed, or after 250 ms (the connection attempt delay of
 * RFC 8305), sooner where the deadline would otherwise leave no time for the last one.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { isAddress, type NameNotResolved, type Resolve } from "./AddressResolver.js"
import { type Contact, formatPeer, type Passed, type Peer, ProbeFailure } from "./ProbeResult.js"
import type { Fault } from "./SocketFault.js"

/** What one attempt tells while it runs. */
export interface Progress {
  contact: Contact
  /** What the attempt is waiting for, as the rest of a sentence. */
  stage: string
}

/** How one attempt ended. */
export type Outcome =
  | { readonly passed: true; readonly outputs: Readonly<Record<string, string>> }
  | { readonly passed: false; readonly fault: Fault }

/**
 * Tries one address. Calls `done` once, never before it has returned, and frees what it holds by itself then; returns
 * what cancels it and frees everything at once. `done` after a cancel is ignored.
 */
export type Attempt = (peer: Peer, progress: Progress, done: (outcome: Outcome) => void) => () => void

/** What is tried, and for how long. */
export interface Race {
  readonly kind: "http" | "tcp"
  readonly subject: string
  readonly host: string
  readonly port: number
  /** Milliseconds for everything, the lookup included. */
  readonly timeout: number
  readonly resolve: Resolve
  readonly attempt: Attempt
}

interface Try extends Progress {
  readonly peer: Peer
  fault?: Fault
  ended?: true
  cancel?: () => void
}

const attemptDelay = 250

// A timer of Node cannot wait longer; a larger number would fire at once.
const longestTimer = 2 ** 31 - 1

const contactRank: Record<Contact, number> = { none: 0, connected: 1, answered: 2 }

const failureOf = (race: Race, tries: ReadonlyArray<Try>): ProbeFailure => {
  const within = Duration.format(Duration.millis(race.timeout))
  const faultOf = (one: Try): Fault =>
    one.fault ?? { class: "timeout", transient: true, reason: `timed out after ${within}: ${one.stage}` }
  const furthest = tries.toSorted((a, b) => contactRank[b.contact] - contactRank[a.contact])
  const chosen = tries.find(({ fault }) => fault?.transient === false) ?? furthest[0]!
  const fault = faultOf(chosen)
  const others = tries.flatMap((one) =>
    one === chosen ? [] : [`${formatPeer(one.peer)}: it ${faultOf(one).reason}`],
  )
  return new ProbeFailure({
    kind: race.kind,
    subject: race.subject,
    reason: others.length === 0 ? fault.reason : `${fault.reason}. Also tried ${others.join("; ")}`,
    class: fault.class,
    transient: fault.transient,
    contact: furthest[0]!.contact,
    peers: furthest.map(({ peer }) => peer),
    ...(fault.mismatch !== undefined && { mismatch: fault.mismatch }),
  })
}

const raceAddresses = (
  race: Race,
  addresses: ReadonlyArray<string>,
  left: number,
): Effect.Effect<Passed, ProbeFailure> =>
  Effect.async((resume) => {
    const tries: Array<Try> = []
    const delay = Math.min(attemptDelay, left / (addresses.length + 1))
    let running = 0
    let over = false
    let nextTimer: NodeJS.Timeout | undefined

    const close = (): void => {
      over = true
      clearTimeout(deadline)
      clearTimeout(nextTimer)
      for (const one of tries) if (one.ended !== true) one.cancel?.()
    }
    const finish = (result: Effect.Effect<Passed, ProbeFailure>): void => {
      if (over) return
      close()
      resume(result)
    }
    const startNext = (): void => {
      clearTimeout(nextTimer)
      const address = addresses[tries.length]
      if (over || address === undefined) return
      const peer: Peer = { address, port: race.port }
      const one: Try = { peer, contact: "none", stage: `no connection to ${formatPeer(peer)} was made` }
      tries.push(one)
      running++
      one.cancel = race.attempt(peer, one, (outcome) => {
        if (over || one.ended === true) return
        one.ended = true
        running--
        if (outcome.passed) return finish(Effect.succeed({ outputs: outcome.outputs, peers: [peer] }))
        one.fault = outcome.fault
        if (tries.length < addresses.length) startNext()
        else if (running === 0) finish(Effect.fail(failureOf(race, tries)))
      })
      if (tries.length < addresses.length) nextTimer = setTimeout(startNext, delay)
    }

    const deadline = setTimeout(
      () => {
        // When this program itself was held up, the answer may be waiting: let it be read first.
        setImmediate(() => finish(Effect.fail(failureOf(race, tries))))
      },
      Math.min(left, longestTimer),
    )
    startNext()
    return Effect.sync(close)
  })

const notResolved = (race: Race, error: NameNotResolved): ProbeFailure => {
  const transient = error.code === "EAI_AGAIN"
  return new ProbeFailure({
    kind: race.kind,
    subject: race.subject,
    reason: transient
      ? `cannot be asked: no name server answered for "${race.host}" (${error.code})`
      : `cannot be asked: the name "${race.host}" has no address (${error.code}). Check its spelling`,
    class: "dns",
    transient,
    contact: "none",
  })
}

/** Tries every address of the host, within the deadline. Interrupting it frees every socket. */
export const run = (race: Race): Effect.Effect<Passed, ProbeFailure> =>
  Effect.suspend(() => {
    if (isAddress(race.host)) return raceAddresses(race, [race.host], race.timeout)
    const start = performance.now()
    return race.resolve(race.host).pipe(
      Effect.mapError((error) => notResolved(race, error)),
      Effect.timeoutFail({
        duration: race.timeout,
        onTimeout: () =>
          new ProbeFailure({
            kind: race.kind,
            subject: race.subject,
            reason: `timed out after ${Duration.format(Duration.millis(race.timeout))}: the name "${race.host}" was still being looked up`,
            class: "timeout",
            transient: true,
            contact: "none",
          }),
      }),
      Effect.flatMap((addresses) =>
        addresses.length === 0
          ? Effect.fail(notResolved(race, { code: "ENODATA" } as NameNotResolved))
          : raceAddresses(race, addresses, Math.max(1, race.timeout - (performance.now() - start))),
      ),
    )
  })
