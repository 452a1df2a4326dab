/** `list` and `ps`: which jobs there are. */
import * as path from "node:path"
import { connect } from "../Client.js"
import * as Format from "../Format.js"
import type { Handler } from "../Handler.js"
import { defined } from "../Output.js"
import { painterOf, stateColour } from "../Painter.js"
import { rootOf } from "../Root.js"
import type { Answer, Given } from "../Routes.js"
import type { Input } from "../Syntax.js"
import type * as Syntaxes from "../Syntaxes.js"
import type { Column } from "../Table.js"
import { render } from "../Table.js"
import type { World } from "../World.js"
import { exitCode, printable } from "../World.js"

type Job = Answer<"list">["jobs"][number]
type State = Job["state"]
type Query = NonNullable<Given<"list">["query"]>

/** The most that a page has. */
const page = 1_000

/** The shortest beginnings that tell these ids apart; not shorter than the part that tells the time, and a bit. */
export const shortened = (ids: ReadonlyArray<string>): number => {
  let length = 12
  const sorted = [...ids].sort()
  for (const [index, id] of sorted.entries()) {
    const before = sorted[index - 1] ?? ""
    let same = 0
    while (same < id.length && id[same] === before[same]) same++
    if (same < id.length) length = Math.max(length, same + 1)
  }
  return length
}

const since = (now: number, time: string | undefined): string =>
  time === undefined ? "" : Format.duration(now - Date.parse(time))

const runTime = (now: number, { finished_at, started_at }: Job): string =>
  started_at === undefined
    ? ""
    : Format.duration((finished_at === undefined ? now : Date.parse(finished_at)) - Date.parse(started_at))

const columnsOf = (jobs: ReadonlyArray<Job>, world: World): ReadonlyArray<Column<Job>> => {
  const paint = painterOf(world.out, world)
  const length = shortened(jobs.map(({ job_id }) => job_id))
  const now = Date.now()
  return [
    // Who reads this with a program gets the whole id.
    { title: "ID", text: ({ job_id }) => (world.out.isTerminal ? job_id.slice(0, length) : job_id) },
    {
      title: "STATE",
      text: ({ state }) => state,
      paint: (text, { exit_code, state }) => paint(stateColour(state, exit_code), text),
    },
    { title: "EXIT", text: Format.exit },
    { title: "AGE", text: ({ created_at }) => since(now, created_at), align: "right", spare: 2 },
    { title: "TIME", text: (job) => runTime(now, job), align: "right", spare: 1 },
    {
      title: "GROUP/TAGS",
      text: ({ group, tags }) =>
        printable([...(group === undefined ? [] : [`${group}/`]), ...tags].join(" ")),
      most: 24,
      spare: 3,
    },
    { title: "COMMAND", text: ({ command }) => Format.command(command) },
  ]
}

const print = async (
  options: Input<typeof Syntaxes.list>["options"],
  states: ReadonlyArray<State>,
  world: World,
): Promise<number> => {
  const client = connect(rootOf(options.root, world), world)
  const wanted = options.limit ?? 50
  const jobs: Array<Job> = []
  let before: string | undefined
  do {
    const query = defined({
      state: states.length === 0 ? undefined : (states as unknown as Query["state"]),
      tag: options.tag.length === 0 ? undefined : (options.tag as unknown as Query["tag"]),
      group: options.group,
      cwd: options.cwd === undefined ? undefined : path.resolve(world.cwd, options.cwd),
      since: options.since === undefined ? undefined : Math.round(Date.now() - options.since),
      text: options.text,
      before,
      limit: Math.max(1, Math.min(page, wanted - jobs.length)),
    })
    const { text, value } = await client.call("list", { query: query as Query })
    jobs.push(...value.jobs)
    before = value.next
    if (options.json) await world.out.write(`${text}\n`)
  } while (before !== undefined && jobs.length < wanted)
  if (options.json) return exitCode.ok
  if (options.quiet) {
    if (jobs.length > 0) await world.out.write(`${jobs.map(({ job_id }) => job_id).join("\n")}\n`)
    return exitCode.ok
  }
  await world.out.write(`${render(columnsOf(jobs, world), jobs, world.out.columns()).join("\n")}\n`)
  if (before !== undefined && world.err.isTerminal) {
    await world.err.write(`There are more; see them with --limit ${wanted * 10}\n`)
  }
  return exitCode.ok
}

/** Lists jobs of all states. */
export const list: Handler<typeof Syntaxes.list> = ({ options }, world) =>
  print(options, options.state, world)

/** Lists the jobs that are not over. */
export const ps: Handler<typeof Syntaxes.ps> = ({ options }, world) =>
  print(
    options,
    options.state.length > 0 || options.all ? options.state : ["created", "queued", "running"],
    world,
  )
