/** `list`, `ps`, and `status` without a name: which jobs, and which units, there are. */
import * as path from "node:path"
import type { Client, Reply } from "../Client.js"
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
import * as UnitTable from "../UnitTable.js"
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

/** Nothing for one that waits for another attempt: it has started, and does not run. */
const runTime = (now: number, { finished_at, started_at, state }: Job): string =>
  started_at === undefined || (finished_at === undefined && state !== "running")
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
    { title: "AGE", text: ({ created_at }) => Format.since(now, created_at), align: "right", spare: 2 },
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

type Options = Input<typeof Syntaxes.list>["options"]

/** Jobs as they were asked for, page by page; `onPage` is given each answer. */
const jobsOf = async (
  client: Client,
  options: Options,
  states: ReadonlyArray<State>,
  world: World,
  onPage: (text: string) => Promise<void>,
): Promise<{ readonly jobs: ReadonlyArray<Job>; readonly isAll: boolean }> => {
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
    await onPage(text)
  } while (before !== undefined && jobs.length < wanted)
  return { jobs: jobs.slice(0, wanted), isAll: before === undefined }
}

const jobTable = (jobs: ReadonlyArray<Job>, world: World): ReadonlyArray<string> =>
  render(columnsOf(jobs, world), jobs, world.out.columns())

const printLines = async (lines: ReadonlyArray<string>, world: World): Promise<void> => {
  if (lines.length > 0) await world.out.write(`${lines.join("\n")}\n`)
}

/** Prints the units, if there are any, and then the jobs; with neither the head of the table of jobs. */
const print = async (
  client: Client,
  units: Reply<"units"> | undefined,
  options: Options,
  states: ReadonlyArray<State>,
  world: World,
): Promise<number> => {
  const { json: isJson } = options
  const hasUnits = units !== undefined && units.value.units.length > 0
  if (isJson && hasUnits) await world.out.write(`${units.text}\n`)
  const { isAll, jobs } = await jobsOf(client, options, states, world, async (text) => {
    if (isJson) await world.out.write(`${text}\n`)
  })
  if (isJson) return exitCode.ok
  const kept = hasUnits ? units.value.units : []
  if (options.quiet) {
    await printLines([...kept.map(({ name }) => name), ...jobs.map(({ job_id }) => job_id)], world)
    return exitCode.ok
  }
  if (hasUnits) await printLines(UnitTable.table(kept, world), world)
  if (hasUnits && jobs.length > 0) await printLines([""], world)
  if (!hasUnits || jobs.length > 0) await printLines(jobTable(jobs, world), world)
  if (!isAll && world.err.isTerminal) {
    await world.err.write(`There are more; see them with --limit ${(options.limit ?? 50) * 10}\n`)
  }
  return exitCode.ok
}

const running: ReadonlyArray<State> = ["created", "queued", "running"]

/** Lists jobs of all states. */
export const list: Handler<typeof Syntaxes.list> = ({ options }, world) =>
  print(connect(rootOf(options.root, world), world), undefined, options, options.state, world)

/** Whether the user said which jobs; units have none of this. */
const areJobsMeant = ({ cwd, group, since, state, tag, text }: Options): boolean =>
  state.length + tag.length > 0 || [cwd, group, since, text].some((one) => one !== undefined)

/** Lists the units, and the jobs that are not over. */
export const ps: Handler<typeof Syntaxes.ps> = async ({ options }, world) => {
  const client = connect(rootOf(options.root, world), world)
  const units = areJobsMeant(options) ? undefined : await client.call("units", {})
  return print(
    client,
    units,
    options,
    options.state.length > 0 || options.all ? options.state : running,
    world,
  )
}

/** Lists the units, and the jobs that run. */
export const overview = async (
  client: Client,
  { json, quiet }: Input<typeof Syntaxes.status>["options"],
  world: World,
): Promise<number> => {
  const units = await client.call("units", {})
  if (quiet) {
    await printLines(
      units.value.units.map(({ name }) => name),
      world,
    )
    return exitCode.ok
  }
  const jobs = await client.call("list", { query: { state: ["running"] } })
  if (json) {
    await world.out.write(`${units.text}\n${jobs.text}\n`)
    return exitCode.ok
  }
  const [kept, others] = [units.value.units, jobs.value.jobs]
  if (kept.length > 0) await printLines(UnitTable.table(kept, world), world)
  if (kept.length > 0 && others.length > 0) await printLines([""], world)
  if (others.length > 0) await printLines(jobTable(others, world), world)
  if (kept.length + others.length === 0)
    await world.err.write("The daemon keeps no units, and no job is running.\n")
  return exitCode.ok
}
