/**
 * Asks a daemon to run a command, and prints what that writes as it comes. The daemon's address and token are found by
 * its root, `HOLDFAST_ROOT`. It may be killed and started again meanwhile: following goes on where it was.
 */
import { Console, Effect, Stream } from "effect"
import { ApiClient } from "holdfast"

const root = process.env.HOLDFAST_ROOT
if (root === undefined)
  throw new Error("Set HOLDFAST_ROOT to the root of a running daemon (holdfast serve --root DIR).")

const program = Effect.gen(function* () {
  const client = yield* ApiClient.ApiClient
  const command = ["sh", "-c", "echo one; sleep 0.2; echo two; exit 4"] as const
  const { job_id } = yield* client.exec({ payload: { command } })
  yield* Stream.runForEach(client.follow(job_id), (event) =>
    event._tag === "Output" ? Console.log(event.text.trimEnd()) : Effect.void,
  )
  const { exit_code, state } = yield* client.status({ path: { id: job_id } })
  yield* Console.log(`${state} with ${exit_code}`)
})

await Effect.runPromise(Effect.provide(program, ApiClient.layerRoot(root)))
