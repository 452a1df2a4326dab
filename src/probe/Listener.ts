/** Whether the one that answers is the process that was asked about: a foreign server is never taken for it. */
import * as Effect from "effect/Effect"
import type { Process } from "../process/Process.js"
import { ForeignServer } from "./Occupied.js"
import { PortHolders } from "./PortHolder.js"
import { formatPeer, type Peer } from "./ProbeResult.js"

/** What answered, and whether well. */
export interface Answered {
  readonly peers: ReadonlyArray<Peer>
  readonly healthy: boolean
}

/**
 * Who answered in the place of the process, when that is somebody else for certain. Undefined when a member of the
 * process's group listens there, or the system does not tell who does.
 */
export const foreignAmong = (
  process: Process,
  { healthy, peers }: Answered,
): Effect.Effect<ForeignServer | undefined, never, PortHolders> =>
  Effect.gen(function* () {
    const holders = yield* PortHolders
    for (const peer of peers) {
      // Most often it is the process itself; only else is the table of processes worth a look.
      if ((yield* holders.isHeldBy(peer, [process.pid])) !== false) continue
      // A table that cannot be read tells nothing.
      const members = yield* Effect.orElseSucceed(process.members, () => [])
      const pids = members.map(({ pid }) => pid)
      if ((yield* holders.isHeldBy(peer, pids)) !== false) continue
      const holder = yield* holders.find(peer)
      return new ForeignServer({
        subject: `A check of ${formatPeer(peer)}`,
        port: peer.port,
        answer: `${healthy ? "passed, but" : "was answered, and"} not by ${process.command} (pid ${process.pid})`,
        healthy,
        ...(holder && { holder }),
      })
    }
    return undefined
  })
