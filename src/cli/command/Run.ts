/** `run` and `create`: a command becomes a job. */
import type { Client, Reply } from "../Client.js"
import type { Handler } from "../Handler.js"
import { ensure } from "../Launch.js"
import { follow, readAll } from "../Output.js"
import { bodyOf } from "../Request.js"
import { rootOf, rootOption } from "../Root.js"
import type { Given } from "../Routes.js"
import * as Sessions from "../Session.js"
import type * as Syntaxes from "../Syntaxes.js"
import { awaitEnd, conclude, watching } from "../Watching.js"
import type { World } from "../World.js"
import { exitCode } from "../World.js"

type Body = Given<"exec">["body"]

/**
 * Submits a job exactly once: whoever loses the connection before the answer asks again with the same key, and gets the
 * job that the first request made, if it made one.
 */
const submit = async (
  root: string,
  world: World,
  given: Body,
): Promise<{ reply: Reply<"exec">; body: Body }> => {
  const { randomUUID } = await import("node:crypto")
  const body = { ...given, idempotency_key: given.idempotency_key ?? `run-${randomUUID()}` }
  const session = Sessions.make({ root, world }, true)
  await ensure(root, world)
  const reply = await session.persist((client: Client) => client.call("exec", { body }))
  if (!reply.value.is_new && given.idempotency_key !== undefined) {
    await world.err.write(`The key ${given.idempotency_key} was known: this is the job that it belongs to.\n`)
  }
  return { reply, body }
}

/** Runs a command as a job, and waits for it if told to. */
export const run: Handler<typeof Syntaxes.run> = async (input, world) => {
  const { options } = input
  const root = rootOf(options.root, world)
  const { body, reply } = await submit(root, world, await bodyOf(input, world))
  const id = reply.value.job_id
  if (!options.wait && !options.follow) {
    await world.out.write(options.json ? `${reply.text}\n` : `${id}\n`)
    if (world.out.isTerminal && !options.json) {
      const name = `${id}${rootOption(root, world)}`
      await world.err.write(`Its output: holdfast tail -f ${name}; its end: holdfast wait ${name}\n`)
    }
    return exitCode.ok
  }
  const print = (text: string) => world.out.write(`${text}\n`)
  return watching({ id: () => id, root, world }, true, async (watch) => {
    const { line, session, signal } = watch
    const give = async (stream: "stdout" | "stderr", bytes: Uint8Array) => {
      line.hide()
      await (stream === "stdout" ? world.out : world.err).write(bytes)
    }
    if (options.follow) {
      if (options.json) await print(reply.text)
      await follow(
        session,
        id,
        {},
        options.json ? async () => {} : give,
        options.json ? ({ data }) => print(data) : undefined,
        signal,
      )
    } else {
      await awaitEnd(watch, id)
      if (options.json) {
        const waited = await session.persist((client) =>
          client.call("exec", { body: { ...body, wait: true } }, { patience: 0, signal }),
        )
        await print(JSON.stringify({ ...waited.value, is_new: reply.value.is_new }))
      } else {
        for (const stream of ["stdout", "stderr"] as const) {
          await readAll(session, id, { stream }, (bytes) => give(stream, bytes))
        }
      }
    }
    return conclude(session, id, options.json)
  })
}

/** Prepares a job that `start` lets start. */
export const create: Handler<typeof Syntaxes.create> = async (input, world) => {
  const root = rootOf(input.options.root, world)
  const { reply } = await submit(root, world, { ...(await bodyOf(input, world)), start: false })
  await world.out.write(input.options.json ? `${reply.text}\n` : `${reply.value.job_id}\n`)
  return exitCode.ok
}
