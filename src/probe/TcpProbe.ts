/** The `tcp` probe: passes when a connection can be made, and closes it. */
import { connect } from "node:net"
import type * as Effect from "effect/Effect"
import * as AddressRace from "./AddressRace.js"
import type { Resolve } from "./AddressResolver.js"
import type { TcpPlan } from "./ProbePlan.js"
import { formatPeer, type Passed, type ProbeFailure } from "./ProbeResult.js"
import { fromError } from "./SocketFault.js"

const attempt: AddressRace.Attempt = (peer, progress, done) => {
  const socket = connect({ host: peer.address, port: peer.port })
  socket.once("connect", () => {
    progress.contact = "connected"
    done({ passed: true, outputs: {} })
    socket.destroy()
  })
  socket.on("error", (error) => done({ passed: false, fault: fromError(error, formatPeer(peer)) }))
  return () => socket.destroy()
}

/** One check. `timeout` is in milliseconds and covers the lookup and every address. */
export const check = (
  plan: TcpPlan,
  timeout: number,
  resolve: Resolve,
): Effect.Effect<Passed, ProbeFailure> =>
  AddressRace.run({
    kind: "tcp",
    subject: plan.subject,
    host: plan.host,
    port: plan.port,
    timeout,
    resolve,
    attempt,
  })
