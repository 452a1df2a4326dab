/** `status` and `why`: how a job is. */
import { connect } from "../Client.js"
import * as Format from "../Format.js"
import type { Handler } from "../Handler.js"
import { painterOf, stateColour } from "../Painter.js"
import { rootOf } from "../Root.js"
import type * as Syntaxes from "../Syntaxes.js"
import { exitCode, printable } from "../World.js"

/** Tells how one job is. */
export const status: Handler<typeof Syntaxes.status> = async ({ args, options }, world) => {
  const client = connect(rootOf(options.root, world), world)
  const { text, value } = await client.call("status", { path: { id: args[0]! } })
  if (options.json) {
    await world.out.write(`${text}\n`)
    return exitCode.ok
  }
  const paint = painterOf(world.out, world)
  const end = Format.exit(value)
  const began = value.started_at === undefined ? undefined : Date.parse(value.started_at)
  const until = value.finished_at === undefined ? Date.now() : Date.parse(value.finished_at)
  const lines: ReadonlyArray<readonly [string, string | undefined]> = [
    ["job", value.job_id],
    [
      "state",
      paint(stateColour(value.state, value.exit_code), value.state) + (end === "" ? "" : ` (${end})`),
    ],
    ["exit code", value.exit_code?.toString()],
    ["signal", value.signal],
    ["cause", value.cause],
    ["reason", value.reason === undefined ? undefined : printable(value.reason)],
    ["created", value.created_at],
    ["started", value.started_at],
    ["finished", value.finished_at],
    [value.finished_at === undefined ? "running for" : "took", began && Format.duration(until - began)],
  ].map(([name, text]) => [String(name), text === undefined ? undefined : String(text)] as const)
  for (const [name, text] of lines) {
    if (text !== undefined) await world.out.write(`${`${name}:`.padEnd(13)}${text}\n`)
  }
  return exitCode.ok
}

/** Explains what a job waits for before it starts. */
export const why: Handler<typeof Syntaxes.why> = async ({ args, options }, world) => {
  const client = connect(rootOf(options.root, world), world)
  const { text, value } = await client.call("why", { path: { id: args[0]! } })
  if (options.json) await world.out.write(`${text}\n`)
  else if (value.reasons.length === 0) await world.out.write(`Job ${value.job_id} is ${value.state}.\n`)
  else {
    await world.out.write(`Job ${value.job_id} is ${value.state}:\n`)
    for (const { sentence } of value.reasons) await world.out.write(`- ${printable(sentence)}\n`)
  }
  return exitCode.ok
}
