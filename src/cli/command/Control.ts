/** `start`, `restart`, `stop` and `kill`: what is done to jobs that are there. */
import type { Client, Reply } from "../Client.js"
import { connect } from "../Client.js"
import * as Format from "../Format.js"
import type { Handler } from "../Handler.js"
import { defined } from "../Output.js"
import { rootOf } from "../Root.js"
import type * as Syntaxes from "../Syntaxes.js"
import type { World } from "../World.js"
import { Failure, exitCode, printable } from "../World.js"

/**
 * Does one thing to each of several jobs. One that it cannot be done to does not keep it from the others; the exit code
 * is 1 then.
 */
export const each = async (
  names: ReadonlyArray<string>,
  { isJson, root, world }: { readonly isJson: boolean; readonly root: string; readonly world: World },
  act: (client: Client, id: string) => Promise<string>,
): Promise<number> => {
  const client = connect(root, world)
  let code: number = exitCode.ok
  for (const [index, name] of names.entries()) {
    try {
      await world.out.write(await act(client, name))
    } catch (error) {
      // The last one's is told by whoever tells all errors.
      if (index === names.length - 1 || !(error instanceof Failure)) throw error
      code = exitCode.failed
      const { code: kind, message, retryable } = error
      const envelope = {
        schema_version: "1",
        ok: false,
        type: "error",
        error: { code: kind, message, retryable },
      }
      if (isJson) await world.out.write(`${JSON.stringify(envelope)}\n`)
      else await world.err.write(`holdfast: ${printable(message)}\n`)
    }
  }
  return code
}

const settings = (
  input: { readonly options: { readonly json: boolean; readonly root: string | undefined } },
  world: World,
) => ({
  isJson: input.options.json,
  root: rootOf(input.options.root, world),
  world,
})

/** Lets created jobs start. */
export const start: Handler<typeof Syntaxes.start> = (input, world) =>
  each(input.args, settings(input, world), async (client, id) => {
    const { text, value } = await client.call("start", { path: { id } })
    return input.options.json ? `${text}\n` : `${value.job_id} ${value.state}\n`
  })

/** Runs jobs once more, each as a new one. */
export const restart: Handler<typeof Syntaxes.restart> = (input, world) =>
  each(input.args, settings(input, world), async (client, id) => {
    const { text, value } = await client.call("restart", { path: { id } }, { patience: 0 })
    return input.options.json ? `${text}\n` : `${value.job_id}\n`
  })

const report = (isJson: boolean, { text, value }: Reply<"kill">): string => {
  if (isJson) return `${text}\n`
  const { elapsed_ms, escalated, job_id, sent, state, survivors } = value
  if (sent.length === 0) return `${job_id} ${state}: nothing was left to signal\n`
  const took = elapsed_ms < 1 ? "" : ` in ${Format.duration(elapsed_ms)}`
  const left = survivors.map(({ command, pid }) => `, ${pid} (${printable(command)}) is still there`)
  return `${job_id} ${state}: sent ${sent.join(", ")}${took}${escalated ? ", as it did not end by itself" : ""}${left.join("")}\n`
}

/** Stops jobs with the signal that each of them asked for. */
export const stop: Handler<typeof Syntaxes.stop> = (input, world) =>
  each(input.args, settings(input, world), async (client, id) => {
    const { value } = await client.call("job", { path: { id } })
    const query = defined({
      signal: value.stop_signal,
      escalate: true,
      grace_ms: rounded(input.options.grace),
    })
    return report(
      input.options.json,
      await client.call("kill", { path: { id }, query, body: {} }, { patience: 0 }),
    )
  })

/** Sends a signal to jobs. */
export const kill: Handler<typeof Syntaxes.kill> = (input, world) => {
  const { grace, json, signal } = input.options
  const query = defined({
    signal,
    grace_ms: rounded(grace),
    escalate: input.options["no-escalate"] ? false : undefined,
  })
  return each(input.args, settings(input, world), async (client, id) =>
    report(json, await client.call("kill", { path: { id }, query, body: {} }, { patience: 0 })),
  )
}

const rounded = (millis: number | undefined): number | undefined =>
  millis === undefined ? undefined : Math.round(millis)
