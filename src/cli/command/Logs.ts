/** `tail` and `logs`: what a job has written. */
import type { Handler } from "../Handler.js"
import type { From, StreamName } from "../Output.js"
import { defined, follow, readAll } from "../Output.js"
import { rootOf } from "../Root.js"
import type { Session } from "../Session.js"
import * as Sessions from "../Session.js"
import type * as Syntaxes from "../Syntaxes.js"
import type { World } from "../World.js"
import { exitCode } from "../World.js"

const both = ["stdout", "stderr"] as const

const give = (world: World) => async (stream: StreamName, bytes: Uint8Array) => {
  if (bytes.length > 0) await (stream === "stdout" ? world.out : world.err).write(bytes)
}

const followOn = async (session: Session, id: string, from: From, isJson: boolean): Promise<number> => {
  const { world } = session.options
  const print = async ({ data }: { readonly data: string }) => world.out.write(`${data}\n`)
  await follow(session, id, from, isJson ? async () => {} : give(world), isJson ? print : undefined)
  return exitCode.ok
}

/** The end of a job's output, and what comes after it. */
export const tail: Handler<typeof Syntaxes.tail> = async ({ args, options }, world) => {
  const session = Sessions.make({ root: rootOf(options.root, world), world })
  const query = defined({ lines: options.lines ?? 50, attempt: options.attempt })
  const id = args[0]!
  const { text, value } = await session.persist((client) => client.call("tail", { path: { id }, query }))
  if (options.json) await world.out.write(`${text}\n`)
  else {
    for (const stream of both) {
      if (options.stream !== undefined && options.stream !== stream) continue
      await give(world)(stream, Buffer.from(value[`${stream}_tail`], "utf8"))
    }
  }
  if (!options.follow) return exitCode.ok
  const { attempt, job_id, stderr_next_offset, stdout_next_offset } = value
  const offsets = { stdoutOffset: stdout_next_offset, stderrOffset: stderr_next_offset }
  const from = attempt === 0 ? {} : { attempt, ...offsets }
  return followOn(session, job_id, { stream: options.stream, ...from }, options.json)
}

/** All of a job's output, and what comes after it. */
export const logs: Handler<typeof Syntaxes.logs> = async ({ args, options }, world) => {
  const session = Sessions.make({ root: rootOf(options.root, world), world })
  const id = args[0]!
  let attempt = options.attempt
  const offsets: Partial<Record<StreamName, number>> = {}
  for (const stream of both) {
    if (options.stream !== undefined && options.stream !== stream) continue
    const end = await readAll(session, id, { stream, attempt }, async (bytes, { text }) =>
      options.json ? world.out.write(`${text}\n`) : give(world)(stream, bytes),
    )
    attempt = end.attempt > 0 ? end.attempt : attempt
    offsets[stream] = end.offset
  }
  if (!options.follow) return exitCode.ok
  const from = { stream: options.stream, attempt, stdoutOffset: offsets.stdout, stderrOffset: offsets.stderr }
  return followOn(session, id, from, options.json)
}
