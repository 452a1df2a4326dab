/** `events`: what has happened, and what happens. */
import { connect } from "../Client.js"
import type { Handler } from "../Handler.js"
import { defined } from "../Output.js"
import { rootOf } from "../Root.js"
import type { Answer, Given } from "../Routes.js"
import type { Session } from "../Session.js"
import * as Sessions from "../Session.js"
import type * as Syntaxes from "../Syntaxes.js"
import { Unreachable, eventsOf } from "../Transport.js"
import type { World } from "../World.js"
import { exitCode, printable } from "../World.js"

type Page = Answer<"events">
type Entry = Page["events"][number]
type Filter = Omit<NonNullable<Given<"events">["query"]>, "after" | "limit">

/** The most that a page has. */
const page = 1_000

const worded = (data: Entry["data"]): ReadonlyArray<string> =>
  Object.entries(data).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  )

/** What a person wants to know first stands first; and a sentence, which may be long, last. */
const aboutUnit = ({ data }: Entry): ReadonlyArray<string> => {
  // The type says where it is now; what the supervisor was told is for those who read JSON.
  const { event: _event, from, generation, reason, to: _to, until, ...rest } = data
  return [
    ...(typeof from === "string" ? [`from ${from}`] : []),
    ...(typeof generation === "number" && generation > 0 ? [`generation ${generation}`] : []),
    ...worded(rest),
    ...(typeof until === "number" ? [`until ${new Date(until).toISOString()}`] : []),
    ...(typeof reason === "string" ? [reason] : []),
  ]
}

/** The length of the longest types that come often, so that what is about them stands in a column. */
const typeWidth = 13

const lineOf = (entry: Entry): string => {
  const { at, data, seq, subject, type } = entry
  const details = type.startsWith("unit.") ? aboutUnit(entry) : worded(data)
  return `${printable([seq, at, type.padEnd(typeWidth), subject, ...details].join("  "))}\n`
}

/** The latest ones, or those after a cursor; without a filter they are at a known distance from the end. */
const read = async (
  session: Session,
  filter: Filter,
  given: number | undefined,
  limit: number,
): Promise<{ readonly entries: ReadonlyArray<Entry>; readonly cursor: number; readonly last: Page }> => {
  const call = (after: number, size: number) => {
    const query = { ...filter, after, limit: Math.max(1, Math.min(page, size)) }
    return session.persist(async (client) => (await client.call("events", { query })).value)
  }
  const isFiltered = Object.keys(filter).length > 0
  let cursor = given ?? (isFiltered ? 0 : Math.max(0, (await call(0, 1)).last - limit))
  const entries: Array<Entry> = []
  for (;;) {
    const last = await call(cursor, given === undefined ? page : limit - entries.length)
    entries.push(...last.events)
    cursor = last.next
    const isEnough = given !== undefined && entries.length >= limit
    if (isEnough || last.events.length === 0 || last.next >= last.last) {
      const wanted = given === undefined ? entries.slice(Math.max(0, entries.length - limit)) : entries
      return { entries: wanted, cursor, last }
    }
  }
}

const follow = (session: Session, filter: Filter, after: number, world: World, isJson: boolean) => {
  let cursor = String(after)
  return session.persist(async (client): Promise<number> => {
    const headers = { accept: "text/event-stream", "last-event-id": cursor }
    const answer = await client.open("followEvents", { query: filter }, { headers, patience: 0 })
    for await (const { data, event, id } of eventsOf(client.place, answer)) {
      if (isJson) await world.out.write(`${data}\n`)
      else if (event === "event") await world.out.write(lineOf(JSON.parse(data) as Entry))
      else
        await world.err.write(
          `${(JSON.parse(data) as { readonly count: number }).count} entries are not there any more.\n`,
        )
      cursor = id ?? cursor
    }
    throw new Unreachable(`The daemon at ${client.place.address} has ended.`, "ECONNRESET")
  })
}

/** Shows the event log. */
export const events: Handler<typeof Syntaxes.events> = async ({ options }, world) => {
  const root = rootOf(options.root, world)
  // Says at once that there is none, in place of looking for one.
  connect(root, world)
  const session = Sessions.make({ root, world })
  const filter = defined({
    subject: options.subject,
    type: options.type.length === 0 ? undefined : (options.type as unknown as Filter["type"]),
  }) as Filter
  const { cursor, entries, last } = await read(session, filter, options.after, options.limit ?? 100)
  if (options.json) await world.out.write(`${JSON.stringify({ ...last, events: entries })}\n`)
  else for (const entry of entries) await world.out.write(lineOf(entry))
  return options.follow ? follow(session, filter, cursor, world, options.json) : exitCode.ok
}
