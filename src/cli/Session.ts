/** Calls that take long enough for the daemon to be restarted meanwhile: they find the next one and go on there. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Client } from "./Client.js"
import { Refused, connect, howToStart } from "./Client.js"
import { Unreachable } from "./Transport.js"
import type { World } from "./World.js"

/** How to look for a daemon that has gone. */
export interface Options {
  readonly root: string
  readonly world: World
  /** Tells the user. Default: standard error. */
  readonly say?: (text: string) => Promise<void>
  /** How long to look for it, in milliseconds. Default 30 s. */
  readonly patience?: number
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

/** A daemon that stops answers what it can no longer do; both mean that another may come. */
const isGone = (error: unknown): error is Unreachable | Refused =>
  error instanceof Unreachable || (error instanceof Refused && error.code === "unavailable")

const wasThere = (error: Unreachable | Refused): boolean =>
  error instanceof Refused || error.reason === "ECONNRESET" || error.reason === "EPIPE"

/** Starts one; `isReached` tells that the daemon has answered before. */
export const make = (options: Options, isReached = false): Session => {
  const { patience = 30_000, root, say = (text) => world.err.write(text), signal, world } = options
  let reached = isReached

  /** Resolves when a daemon answers; rejects with `lost` when none does in time. */
  const comeback = async (lost: Unreachable | Refused): Promise<void> => {
    const begin = performance.now()
    await say(`The daemon is gone; jobs are not affected. Waiting for it to come back...\n`)
    for (let pause = 50; ; pause = Math.min(pause * 1.5, 1_000)) {
      await sleep(pause, undefined, signal === undefined ? {} : { signal })
      try {
        await connect(root, world).call("health", {}, { patience: 2_000 })
        await say("The daemon is back.\n")
        return
      } catch (error) {
        if (!isGone(error)) throw error
      }
      if (performance.now() - begin > patience) {
        const seconds = Math.round(patience / 1_000)
        throw new Unreachable(
          `The daemon for ${root} did not come back within ${seconds} s. Jobs go on without it; start one: ${howToStart(root, world)}`,
          lost instanceof Unreachable ? lost.reason : "ECONNREFUSED",
        )
      }
    }
  }

  return {
    options,
    persist: async (attempt) => {
      for (;;) {
        try {
          const result = await attempt(connect(root, world))
          reached = true
          return result
        } catch (error) {
          if (!isGone(error) || !(reached || wasThere(error)) || signal?.aborted === true) throw error
          reached = true
          await comeback(error)
        }
      }
    },
  }
}
