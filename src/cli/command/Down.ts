/** `down`: ends the daemon of a root, and returns when it is gone. */
import { setTimeout as sleep } from "node:timers/promises"
import { at, placeOf } from "../Client.js"
import * as Format from "../Format.js"
import type { Handler } from "../Handler.js"
import { defined } from "../Output.js"
import { isAlive, ownerOf, rootOf } from "../Root.js"
import type * as Syntaxes from "../Syntaxes.js"
import { Unreachable } from "../Transport.js"
import * as UnitAction from "../UnitAction.js"
import { exitCode } from "../World.js"

/** From one look at the daemon to the next, in milliseconds. */
const pause = 20

/** Ends the daemon. That there is none is well, too. */
export const down: Handler<typeof Syntaxes.down> = async ({ options }, world) => {
  const root = rootOf(options.root, world)
  const owner = ownerOf(root)
  if (owner === undefined || !isAlive(owner)) {
    const envelope = { schema_version: "1", ok: true, type: "shutdown" }
    if (options.json) await world.out.write(`${JSON.stringify(envelope)}\n`)
    else await world.err.write(`No daemon is running for ${root}.\n`)
    return exitCode.ok
  }
  const client = at(placeOf(root, world), world)
  const begin = Date.now()
  const query = defined({ grace_ms: options.grace === undefined ? undefined : Math.round(options.grace) })
  let answer: string | undefined
  await UnitAction.watched(client, world, async () => {
    try {
      answer = (await client.call("shutdown", { query })).text
    } catch (error) {
      // One that is ending already may be gone by now.
      if (!(error instanceof Unreachable) || isAlive(owner)) throw error
    }
    while (isAlive(owner)) await sleep(pause)
  })
  if (options.json) {
    await world.out.write(
      `${answer ?? JSON.stringify({ schema_version: "1", ok: true, type: "shutdown" })}\n`,
    )
  } else {
    await world.err.write(
      `The daemon with pid ${owner.pid} has ended${Date.now() - begin < 1_000 ? "" : ` after ${Format.duration(Date.now() - begin)}`}. Jobs go on, and the next daemon finds them.\n`,
    )
  }
  return exitCode.ok
}
