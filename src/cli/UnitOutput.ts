/** The output of units: what is kept, put together by time, and what is still to come. */
import type { Client } from "./Client.js"
import { Refused } from "./Client.js"
import { defined } from "./Output.js"
import type { Answer } from "./Routes.js"
import type { Session } from "./Session.js"
import { Unreachable, eventsOf } from "./Transport.js"

type Page = Answer<"unitLogs">

/** A line as the API has it. */
export type Line = Page["lines"][number]

/** What is not there any more. */
export type Missed = NonNullable<Page["missed"]>

/** A line, and the unit that it is of. */
export interface Named {
  readonly name: string
  readonly line: Line
}

/** Takes what is read. */
export interface Taker {
  readonly lines: (lines: ReadonlyArray<Named>) => Promise<void>
  readonly missed: (name: string, missed: Missed) => Promise<void>
  /** The unit is not there any more: a reload has taken it away. */
  readonly removed: (name: string) => Promise<void>
}

/** Which of the lines that are kept. */
export interface Which {
  /** So many of the last; default all. */
  readonly lines: number | undefined
  /** Only what came then or later, in milliseconds since the epoch. */
  readonly since: number | undefined
}

/** As many as a page may have. */
const most = 10_000

const isRecent =
  (since: number | undefined) =>
  ({ at }: Line): boolean =>
    since === undefined || Date.parse(at) >= since

/** Reads one unit's lines, the oldest first. */
class Reader {
  private lines: ReadonlyArray<Line> = []
  private at = 0
  private isDone = false
  /** The number of the last line that was read. */
  cursor = 0

  constructor(
    private readonly session: Session,
    readonly name: string,
    private readonly which: Which,
    private readonly onMissed: (missed: Missed) => Promise<void>,
  ) {}

  /** To be called once, before the first line is asked for. */
  async open(): Promise<void> {
    const { lines, since } = this.which
    if (lines !== undefined ? lines <= most : since !== undefined) {
      const page = await this.page({ lines: lines ?? most, since })
      // With as many as were asked for there may be more of them.
      if (lines !== undefined || page.lines.length < most) {
        this.take(page)
        this.isDone = true
        return
      }
    }
    if (lines === undefined) return
    const { latest } = await this.page({ lines: 0 })
    this.cursor = Math.max(0, latest - lines)
  }

  /** Sees to it that there is a next line, if there is one. */
  async fill(): Promise<void> {
    while (this.at >= this.lines.length && !this.isDone) {
      const page = await this.page({ after: this.cursor, limit: most })
      // What is not kept is no loss to one who asks for all that is.
      if (page.missed !== undefined && this.cursor > 0) await this.onMissed(page.missed)
      this.take(page)
      this.isDone = page.next >= page.latest
    }
  }

  /** Whether the next line can only be told after `fill`. */
  get isEmpty(): boolean {
    return this.at >= this.lines.length && !this.isDone
  }

  /** The next line; undefined when there are no more for now. */
  get next(): Line | undefined {
    return this.lines[this.at]
  }

  skip(): void {
    this.at += 1
  }

  private take(page: Page): void {
    this.lines = page.lines.filter(isRecent(this.which.since))
    this.at = 0
    this.cursor = page.next
  }

  private page(query: {
    readonly lines?: number
    readonly since?: number | undefined
    readonly after?: number
    readonly limit?: number
  }): Promise<Page> {
    const { name } = this
    return this.session.persist(
      async (client) => (await client.call("unitLogs", { path: { name }, query: defined(query) })).value,
    )
  }
}

/** Gives the lines that are kept, of all units together by their times; answers a cursor for each unit. */
export const read = async (
  session: Session,
  names: ReadonlyArray<string>,
  which: Which,
  taker: Taker,
): Promise<ReadonlyMap<string, number>> => {
  const readers = names.map(
    (name) => new Reader(session, name, which, (missed) => taker.missed(name, missed)),
  )
  await Promise.all(readers.map((reader) => reader.open()))
  for (;;) {
    await Promise.all(readers.map((reader) => reader.fill()))
    const found = merged(readers)
    if (found.length === 0) return new Map(readers.map(({ cursor, name }) => [name, cursor]))
    await taker.lines(found)
  }
}

/** The next lines of all, as far as their order can be told. */
const merged = (readers: ReadonlyArray<Reader>): ReadonlyArray<Named> => {
  const found: Array<Named> = []
  while (found.length < most && !readers.some(({ isEmpty }) => isEmpty)) {
    let first: Reader | undefined
    // Times are written such that they sort as texts.
    for (const reader of readers) {
      if (reader.next !== undefined && (first?.next === undefined || reader.next.at < first.next.at))
        first = reader
    }
    if (first?.next === undefined) break
    found.push({ name: first.name, line: first.next })
    first.skip()
  }
  return found
}

const isThere = async (client: Client, name: string): Promise<boolean> => {
  try {
    await client.call("unit", { path: { name } })
    return true
  } catch (error) {
    if (error instanceof Refused && error.code === "unit_not_found") return false
    throw error
  }
}

/** Gives lines as they come, until no unit is left; goes on where it was after a loss of the daemon. */
export const follow = async (
  session: Session,
  from: ReadonlyMap<string, number>,
  taker: Taker,
): Promise<void> => {
  const cursors = new Map(from)

  const one = async (client: Client, name: string, signal: AbortSignal): Promise<void> => {
    const headers = { accept: "text/event-stream" }
    const query = { after: cursors.get(name)! }
    const answer = await client.open(
      "followUnit",
      { path: { name }, query },
      { headers, patience: 0, signal },
    )
    try {
      for await (const { data, event } of eventsOf(client.place, answer)) {
        if (event === "line") {
          const line = JSON.parse(data) as Line
          await taker.lines([{ name, line }])
          cursors.set(name, line.seq)
        } else if (event === "missed") {
          const missed = JSON.parse(data) as Missed
          await taker.missed(name, missed)
          cursors.set(name, missed.next)
        }
      }
    } finally {
      answer.body.destroy()
    }
    if (await isThere(client, name)) {
      throw new Unreachable(`The daemon at ${client.place.address} has ended.`, "ECONNRESET")
    }
    cursors.delete(name)
    await taker.removed(name)
  }

  await session.persist(async (client) => {
    const aborter = new AbortController()
    try {
      // Together: when the connection is lost, all of them begin again.
      await Promise.all([...cursors.keys()].map((name) => one(client, name, aborter.signal)))
    } finally {
      aborter.abort()
    }
  })
}
