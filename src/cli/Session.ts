/** Calls that take long enough for the daemon to be restarted meanwhile: they find the next one and go on there. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Client } from "./Client.js"
import { Refused, connect, howToStart } from "./Client.js"
import { ownerOf } from "./Root.js"
import { Unreachable } from "./Transport.js"
import type { World } from "./World.js"
import { Failure, printable } from "./World.js"

/** How to look for a daemon that has gone. */
export interface Options {
  readonly root: string
  readonly world: World
  /** What is lost with a daemon, as the rest of a sentence. Default: nothing, as it is with jobs. */
  readonly lost?: string
  /** Tells the user. Default: standard error. */
  readonly say?: (text: string) => Promise<void>
  /** How long to look for it, in milliseconds. Default 30 s. */
  readonly patience?: number
  /** When the user's own time is over, as `performance.now()` tells it: nothing is looked for beyond it. */
  readonly deadline?: number | undefined
  /** Ends the looking. */
  readonly signal?: AbortSignal
}

/** A daemon to talk to, whichever it is just now. */
export interface Session {
  readonly options: Options
  /**
   * Does what is asked, and does it again with the next daemon when the connection is lost. A daemon that was never
   * reached is not waited for.
   */
  readonly persist: <A>(attempt: (client: Client) => Promise<A>) => Promise<A>
}

/** The daemon says that it stops, or only that it cannot do this just now. */
const isUnavailable = (error: unknown): error is Refused =>
  error instanceof Refused && error.code === "unavailable"

/** Both mean that another daemon may come. */
const isGone = (error: unknown): error is Unreachable | Refused =>
  error instanceof Unreachable || isUnavailable(error)

const wasThere = (error: Unreachable | Refused): boolean =>
  error instanceof Refused || error.reason === "ECONNRESET" || error.reason === "EPIPE"

/** The longest pause before something that was unavailable is asked for again, in milliseconds. */
const longestPause = 2_000
/** What is refused later than this, in milliseconds, was not refused at once, but went well before. */
const refusedWithin = 5_000

/** Starts one; `isReached` tells that the daemon has answered before. */
export const make = (options: Options, isReached = false): Session => {
  const {
    deadline = Infinity,
    lost: whatIsLost = "jobs are not affected",
    patience = 30_000,
    root,
    say = (text) => world.err.write(text),
    signal,
    world,
  } = options
  let reached = isReached

  const pauseFor = (millis: number) =>
    sleep(Math.max(0, millis), undefined, signal === undefined ? {} : { signal })

  const overdue = ({ message }: Failure) =>
    new Failure(
      `The time is over, and the daemon for ${root} does not tell how far it is, which does not hold up the jobs: ${message}`,
      "deadline",
      true,
    )

  /** Resolves when a daemon answers; rejects with `lost` when none does in time. */
  const comeback = async (lost: Unreachable | Refused): Promise<void> => {
    const begin = performance.now()
    const until = Math.min(begin + patience, deadline)
    await say(`The daemon is gone; ${whatIsLost}. Waiting for it to come back...\n`)
    for (let pause = 50; ; pause = Math.min(pause * 1.5, 1_000)) {
      await pauseFor(Math.min(pause, until - performance.now()))
      try {
        const left = Math.max(1, until - performance.now())
        await connect(root, world).call("health", {}, { patience: Math.min(2_000, left) })
        await say("The daemon is back.\n")
        return
      } catch (error) {
        if (!isGone(error)) throw error
      }
      if (performance.now() < until) continue
      if (until === deadline) throw overdue(lost)
      const seconds = Math.round(patience / 1_000)
      throw new Unreachable(
        `The daemon for ${root} did not come back within ${seconds} s. Jobs go on without it; start one: ${howToStart(root, world)}`,
        lost instanceof Unreachable ? lost.reason : "ECONNREFUSED",
      )
    }
  }

  /** Whether the daemon with that pid still answers. One that stops refuses this, too. */
  const isStill = async (pid: number | undefined): Promise<boolean> => {
    try {
      const left = Math.max(1, Math.min(2_000, deadline - performance.now()))
      const { value } = await connect(root, world).call("health", {}, { patience: left })
      return value.pid === pid
    } catch (error) {
      if (isGone(error)) return false
      throw error
    }
  }

  return {
    options,
    persist: async (attempt) => {
      let refusals: { readonly since: number; readonly pause: number } | undefined
      for (;;) {
        const begin = performance.now()
        const pid = ownerOf(root)?.pid
        try {
          const result = await attempt(connect(root, world))
          reached = true
          return result
        } catch (error) {
          if (!isGone(error) || !(reached || wasThere(error)) || signal?.aborted === true) throw error
          reached = true
          const failed = performance.now()
          if (failed >= deadline) throw overdue(error)
          if (!isUnavailable(error) || !(await isStill(pid))) {
            refusals = undefined
            await comeback(error)
            continue
          }
          // What went well for a while was not refused all the time.
          if (refusals === undefined || failed - begin > refusedWithin) {
            await say(`${printable(error.message)} Trying again...\n`)
            refusals = { since: failed, pause: 100 }
          }
          const until = Math.min(refusals.since + patience, deadline)
          const left = until - performance.now()
          if (left <= 0) throw until === deadline ? overdue(error) : error
          await pauseFor(Math.min(refusals.pause, left))
          refusals = { ...refusals, pause: Math.min(refusals.pause * 2, longestPause) }
        }
      }
    },
  }
}
