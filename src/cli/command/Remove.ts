/** `rm` and `gc`: jobs that are no longer wanted. */
import { UsageError } from "../Arguments.js"
import { type Client, connect } from "../Client.js"
import * as Format from "../Format.js"
import type { Handler } from "../Handler.js"
import { ofJob } from "../Naming.js"
import { defined } from "../Output.js"
import { isOver } from "../Result.js"
import { rootOf } from "../Root.js"
import type * as Syntaxes from "../Syntaxes.js"
import { exitCode } from "../World.js"
import { each } from "./Control.js"

/** Deletes jobs by name. */
export const rm: Handler<typeof Syntaxes.rm> = ({ args, options }, world) => {
  const settings = { isJson: options.json, root: rootOf(options.root, world), world }
  const remove = async (client: Client, id: string): Promise<string> => {
    if (options.force) {
      const { value } = await client.call("status", { path: { id } })
      if (!isOver(value.state) && value.state !== "created") {
        const escalating = { path: { id }, query: { escalate: true }, body: {} }
        await client.call("kill", escalating, { patience: 0 })
        await client.call("wait", { path: { id } }, { patience: 0 })
      }
    }
    const { text, value } = await client.call("delete", { path: { id } })
    return options.json ? `${text}\n` : `${value.job_id}\n`
  }
  return each(args, settings, (client, id) =>
    ofJob(
      () => client,
      id,
      "rm",
      () => remove(client, id),
    ),
  )
}

/** Deletes jobs by age and number. */
export const gc: Handler<typeof Syntaxes.gc> = async ({ options }, world) => {
  const { keep } = options
  const [age, size] = [options["older-than"], options["keep-size"]]
  if (age === undefined && keep === undefined && size === undefined) {
    throw new UsageError("gc needs a limit: --older-than, --keep or --keep-size")
  }
  const client = connect(rootOf(options.root, world), world)
  const { text, value } = await client.call(
    "gc",
    {
      body: defined({
        older_than_ms: age === undefined ? undefined : Math.round(age),
        keep,
        max_bytes: size,
        dry_run: options["dry-run"] ? true : undefined,
      }),
    },
    { patience: 0 },
  )
  if (options.json) await world.out.write(`${text}\n`)
  else {
    for (const id of value.removed) await world.out.write(`${id}\n`)
    const verb = value.dry_run ? "Would delete" : "Deleted"
    await world.err.write(
      `${verb} ${Format.counted(value.removed.length, "job")} with ${Format.bytes(value.bytes)} of output.\n`,
    )
  }
  return exitCode.ok
}
