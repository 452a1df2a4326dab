/** `group`: how many jobs of a kind run at once, and whether any start. */
import { UsageError } from "../Arguments.js"
import type { Client, Reply } from "../Client.js"
import { connect } from "../Client.js"
import type { Handler } from "../Handler.js"
import { nearest } from "../../process/Nearest.js"
import { rootOf } from "../Root.js"
import type { Answer } from "../Routes.js"
import type * as Syntaxes from "../Syntaxes.js"
import { render } from "../Table.js"
import { exitCode } from "../World.js"

type Group = Answer<"groups">["groups"][number]

const verbs = ["list", "set", "pause", "resume", "rm"] as const

const parallelismOf = (given: string | undefined): number | null => {
  if (given === undefined) throw new UsageError("group set needs --parallelism N, or --parallelism none")
  if (given === "none") return null
  const number = /^\d{1,9}$/.test(given) ? Number(given) : 0
  if (number > 0) return number
  throw new UsageError(`--parallelism expects a number from 1 on, or none, not ${JSON.stringify(given)}`)
}

const columns = [
  { title: "NAME", text: ({ name }: Group) => name },
  { title: "PARALLELISM", text: ({ parallelism }: Group) => parallelism?.toString() ?? "no limit" },
  { title: "STARTS", text: ({ paused }: Group) => (paused ? "paused" : "yes") },
]

const change = (
  client: Client,
  verb: (typeof verbs)[number],
  name: string,
  parallelism: string | undefined,
): Promise<Reply<"setGroup"> | Reply<"deleteGroup">> => {
  const path = { name }
  switch (verb) {
    case "set":
      return client.call("setGroup", { path, body: { parallelism: parallelismOf(parallelism) } })
    case "rm":
      return client.call("deleteGroup", { path })
    default:
      return client.call("setGroup", { path, body: { paused: verb === "pause" } })
  }
}

/** Shows the groups, or changes one. */
export const group: Handler<typeof Syntaxes.group> = async ({ args, options }, world) => {
  const [word, name, ...rest] = args
  const verb = verbs.find((one) => one === word)
  if (verb === undefined) {
    const near = nearest(word!, verbs)
    throw new UsageError(
      `group cannot ${JSON.stringify(word)}; ${near === undefined ? `it can ${verbs.join(", ")}` : `did you mean ${near}?`}`,
    )
  }
  if (verb === "list" ? name !== undefined : name === undefined || rest.length > 0) {
    throw new UsageError(
      verb === "list" ? "group list takes no name" : `group ${verb} takes the name of one group`,
    )
  }
  if (options.parallelism !== undefined && verb !== "set") {
    throw new UsageError(`--parallelism goes with group set, not with group ${verb}`)
  }
  if (verb === "set") parallelismOf(options.parallelism)
  const client = connect(rootOf(options.root, world), world)
  if (verb !== "list") {
    const { text } = await change(client, verb, name!, options.parallelism)
    if (options.json) await world.out.write(`${text}\n`)
    return exitCode.ok
  }
  const { text, value } = await client.call("groups", {})
  if (options.json) await world.out.write(`${text}\n`)
  else if (value.groups.length === 0) await world.err.write("No group has settings.\n")
  else await world.out.write(`${render(columns, value.groups, world.out.columns()).join("\n")}\n`)
  return exitCode.ok
}
