/** `wait`: until a job has ended, has said something, or says nothing any more. */
import { type Reply, connect } from "../Client.js"
import type { Handler } from "../Handler.js"
import { ofJob } from "../Naming.js"
import { defined } from "../Output.js"
import { codeOf, isOver } from "../Result.js"
import { rootOf } from "../Root.js"
import { UsageError } from "../Arguments.js"
import type * as Syntaxes from "../Syntaxes.js"
import { awaitEnd, conclude, watching } from "../Watching.js"
import { Failure, exitCode } from "../World.js"

/** How much later than asked the daemon may answer, in milliseconds. */
const spare = 5_000

/** Waits; the exit code is the job's own when it has ended. */
export const wait: Handler<typeof Syntaxes.wait> = async ({ args, options }, world) => {
  const id = args[0]!
  if (options.pattern !== undefined && options.silence !== undefined) {
    throw new UsageError("--pattern and --silence exclude each other")
  }
  const root = rootOf(options.root, world)
  const deadline = options.timeout === undefined ? undefined : performance.now() + options.timeout
  const isPlain = deadline === undefined && options.pattern === undefined && options.silence === undefined
  return watching({ id: () => id, root, world, deadline }, false, async (watch) => {
    const { session, signal } = watch
    const ask = (): Promise<Reply<"wait">> => {
      if (isPlain) return awaitEnd(watch, id)
      return session.persist((client) => {
        // After a restart of the daemon no more than the rest of the time.
        const until =
          deadline === undefined ? undefined : Math.max(0, Math.round(deadline - performance.now()))
        const query = defined({
          until_ms: until,
          pattern: options.pattern,
          stream: options.stream,
          silence_ms: options.silence === undefined ? undefined : Math.round(options.silence),
        })
        // A daemon that hangs does not keep the deadline that it was given.
        const patience = until === undefined ? 0 : until + spare
        return client.call("wait", { path: { id }, query }, { patience, signal })
      })
    }
    const reply = await ofJob(() => connect(root, world), id, "wait", ask)
    const { job_id, match, reason, state } = reply.value
    if (options.json) await world.out.write(`${reply.text}\n`)
    if (reason === "pattern" || reason === "silence") {
      if (match !== undefined && !options.json) await world.out.write(`${match.line}\n`)
      return exitCode.ok
    }
    if (!isOver(state)) {
      if (options.json) return exitCode.failed
      throw new Failure(`Job ${job_id} is still ${state}.`, "deadline", true)
    }
    if (options.pattern !== undefined || options.silence !== undefined) {
      const missed = options.pattern === undefined ? "such a silence" : "a line that matches"
      if (!options.json) await world.err.write(`holdfast: Job ${job_id} has ended without ${missed}.\n`)
      return codeOf(defined({ ...reply.value, reason: undefined })) || exitCode.failed
    }
    return conclude(session, job_id, options.json)
  })
}
