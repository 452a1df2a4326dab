/** `reload`: the daemon reads its configuration again. */
import { connect } from "../Client.js"
import type { Handler } from "../Handler.js"
import { rootOf } from "../Root.js"
import type { Answer } from "../Routes.js"
import type * as Syntaxes from "../Syntaxes.js"
import * as UnitAction from "../UnitAction.js"
import * as UnitTable from "../UnitTable.js"
import { exitCode, printable } from "../World.js"

type Reloaded = Answer<"reload">

/** What a reload does, a line for each unit that it touches. */
const changesOf = ({
  added,
  changed,
  follows,
  groups,
  removed,
  unchanged,
}: Reloaded): ReadonlyArray<string> => [
  ...removed.map((name) => `- ${name}: stops, as it is not in it any more`),
  ...changed.map(({ fields, name }) => {
    const what = fields.length === 0 ? "" : `: ${fields.join(", ")}`
    return `~ ${name}: starts anew if it is up or done, as it has changed${what}`
  }),
  ...follows.map(({ name, to }) => `~ ${name}: restarts if it is up, as it is bound to ${to}`),
  ...added.map((name) => `+ ${name}: is new, and starts`),
  ...groups.removed.map((name) => `- group ${name}: is not in it any more`),
  ...groups.changed.map(({ fields, name }) => `~ group ${name}: has changed: ${fields.join(", ")}`),
  ...groups.added.map((name) => `+ group ${name}: is new`),
  ...(unchanged.length === follows.length ? [] : [`  ${unchanged.length - follows.length} unchanged`]),
]

/** Whether there is nothing to do. */
const isSame = ({ added, changed, groups, removed }: Reloaded): boolean =>
  [added, changed, removed, groups.added, groups.changed, groups.removed].every(({ length }) => length === 0)

/** Shows what a reload would do, and does it. */
export const reload: Handler<typeof Syntaxes.reload> = async ({ options }, world) => {
  const client = connect(rootOf(options.root, world), world)
  const isDry = options["dry-run"]
  const preview = await client.call("reload", { query: { dry_run: true } })
  if (!options.json) {
    const { file } = preview.value
    const lines = isSame(preview.value)
      ? [`Nothing has changed in ${file}.`]
      : [file, ...changesOf(preview.value)]
    await world.out.write(`${lines.map(printable).join("\n")}\n`)
    if (isSame(preview.value)) return exitCode.ok
  }
  if (isDry) {
    if (options.json) await world.out.write(`${preview.text}\n`)
    return exitCode.ok
  }
  const { text, value } = await UnitAction.watched(client, world, () =>
    client.call("reload", { query: {} }, { patience: 0 }),
  )
  const failed = value.started.filter(({ state }) => state === "failed")
  if (options.json) await world.out.write(`${text}\n`)
  else {
    await world.out.write(value.started.map((unit) => `${UnitTable.line(unit)}\n`).join(""))
    for (const { name, reason } of failed) {
      await world.err.write(`holdfast: The unit ${name} did not come up. ${printable(reason ?? "")}\n`)
    }
  }
  return failed.length === 0 ? exitCode.ok : exitCode.failed
}
