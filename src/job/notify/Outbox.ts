/**
 * What is still to be told, in a directory of its own, so that it is told after a crash too. Of the notification
 * number 0 of a job there are, under `<job>.0`:
 *
 * - `.json`: an event that is to be delivered, and to whom;
 * - `.search`: the job is about to be over and its output may not have been searched to the end;
 * - `.sent`: its output has matched and that was delivered or given up; kept for as long as the job may write more.
 *
 * What was given up is kept for people in the directory `failed`.
 */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import { join } from "node:path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { codeOf, systemReason } from "../../process/Diagnosis.js"
import { JobId } from "../JobId.js"
import { Notification } from "../JobSpec.js"
import { NotifyEvent } from "../NotifyEvent.js"

/** The outbox cannot be written, or something in it cannot be read. */
export class OutboxUnusable extends Schema.TaggedError<OutboxUnusable>()("OutboxUnusable", {
  path: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `"${this.path}", which keeps notifications until they are delivered, cannot be used: ${this.reason}.`
  }
}

/** An event that is to be delivered, and to whom. */
export const Entry = Schema.Struct({
  version: Schema.Literal(1),
  notification: Notification,
  /** Names of variables whose values must not be shown. */
  mask: Schema.Array(Schema.String),
  event: NotifyEvent,
})
export type Entry = typeof Entry.Type

/** One notification of one job. */
export interface Key {
  readonly job: JobId
  readonly index: number
}

const kinds = ["json", "search", "sent"] as const

/** What there can be of a notification. */
export type Kind = (typeof kinds)[number]

/** What there is of a notification. */
export interface Found extends Key {
  readonly kinds: ReadonlySet<Kind>
}

/** How many notifications that were given up are kept. */
export const mostFailed = 1_000

/** The name of a notification. */
export const nameOf = ({ index, job }: Key): string => `${job}.${index}`

const keyOf = ({ event }: Entry): Key => ({ job: event.job_id, index: Number(event.id.split(".")[1]) })

const decode = Schema.decodeUnknown(Schema.parseJson(Entry))

const grammar = new RegExp(`^(\\w{26})\\.(\\d{1,4})\\.(${kinds.join("|")})$`)

const isJobId = Schema.is(JobId)

/** The directory of one root. */
export interface Outbox {
  /** Writes an entry in the place of an earlier one. On disk once `sync` is done too. */
  readonly put: (entry: Entry) => Effect.Effect<void, OutboxUnusable>
  readonly mark: (key: Key, kind: "search" | "sent") => Effect.Effect<void, OutboxUnusable>
  /** Makes sure that what was put and marked outlives a loss of power. */
  readonly sync: Effect.Effect<void, OutboxUnusable>
  readonly look: (key: Key) => Effect.Effect<ReadonlySet<Kind>, OutboxUnusable>
  readonly read: (key: Key) => Effect.Effect<Entry, OutboxUnusable>
  /** Forgets these, in this order, whether they are there or not. */
  readonly remove: (key: Key, ...kinds: ReadonlyArray<Kind>) => Effect.Effect<void, OutboxUnusable>
  /** Keeps an entry that is given up, and why, for people. Of more than 1,000 those of the oldest jobs go. */
  readonly giveUp: (entry: Entry, tries: number, reason: string) => Effect.Effect<void, OutboxUnusable>
  /** As `giveUp`, for an entry that cannot be read. */
  readonly setAside: (key: Key) => Effect.Effect<void, OutboxUnusable>
  /** All that an earlier life of the program left, the oldest jobs first. What it left half-written is removed. */
  readonly list: Effect.Effect<ReadonlyArray<Found>, OutboxUnusable>
}

const reasonOf = (cause: unknown): string =>
  cause instanceof Error && !("code" in cause) ? cause.message : systemReason(cause)

/** What stands for a file that is not there. */
const unlessMissing =
  <A>(value: A) =>
  (cause: unknown): A => {
    if (codeOf(cause) === "ENOENT") return value
    throw cause
  }

/** The outbox in `directory`, which is made when something is put into it. */
export const make = (directory: string): Outbox => {
  const failed = join(directory, "failed")
  // Tells drafts of this life of the program from those of an earlier one, which may have had the same pid.
  const life = randomBytes(6).toString("hex")
  let drafts = 0

  const pathOf = (key: Key, kind: Kind): string => join(directory, `${nameOf(key)}.${kind}`)

  // Not interruptible: nothing must go on here behind the back of whoever has closed it.
  const attempt = <A>(path: string, run: () => Promise<A>): Effect.Effect<A, OutboxUnusable> =>
    Effect.uninterruptible(
      Effect.tryPromise({
        try: run,
        catch: (cause) => new OutboxUnusable({ path, reason: reasonOf(cause) }),
      }),
    )

  const write = async (within: string, name: string, text: string): Promise<void> => {
    await fs.mkdir(within, { recursive: true, mode: 0o700 })
    const draft = join(within, `.${name}.${life}-${drafts++}`)
    try {
      const file = await fs.open(draft, "wx", 0o600)
      try {
        await file.writeFile(text)
        await file.datasync()
      } finally {
        await file.close()
      }
      await fs.rename(draft, join(within, name))
    } catch (cause) {
      await fs.rm(draft, { force: true })
      throw cause
    }
  }

  const prune = async (): Promise<void> => {
    const names = (await fs.readdir(failed)).filter((name) => !name.startsWith(".")).sort()
    for (const name of names.slice(0, Math.max(0, names.length - mostFailed))) {
      await fs.rm(join(failed, name), { force: true })
    }
  }

  const setAside = async (key: Key): Promise<void> => {
    await fs.mkdir(failed, { recursive: true, mode: 0o700 })
    await fs.rename(pathOf(key, "json"), join(failed, `${nameOf(key)}.json`))
    await prune()
  }

  const list = async (): Promise<ReadonlyArray<Found>> => {
    const found = new Map<string, Key & { readonly kinds: Set<Kind> }>()
    const names = await fs.readdir(directory).catch(unlessMissing<Array<string>>([]))
    for (const name of names.sort()) {
      if (name.startsWith(".") && !name.includes(life)) await fs.rm(join(directory, name), { force: true })
      const [, job, index, kind] = grammar.exec(name) ?? []
      if (!isJobId(job)) continue
      const key = { job, index: Number(index), kinds: new Set<Kind>() }
      const same = found.get(nameOf(key)) ?? key
      same.kinds.add(kind as Kind)
      found.set(nameOf(key), same)
    }
    return [...found.values()]
  }

  return {
    put: (entry) => {
      const path = pathOf(keyOf(entry), "json")
      return attempt(path, () => write(directory, `${nameOf(keyOf(entry))}.json`, JSON.stringify(entry)))
    },
    mark: (key, kind) =>
      attempt(pathOf(key, kind), async () => {
        await fs.mkdir(directory, { recursive: true, mode: 0o700 })
        await fs.writeFile(pathOf(key, kind), "", { mode: 0o600 })
      }),
    sync: attempt(directory, async () => {
      const opened = await fs.open(directory, "r").catch(unlessMissing(undefined))
      try {
        await opened?.sync()
      } finally {
        await opened?.close()
      }
    }),
    look: (key) =>
      attempt(directory, async () => {
        const present = new Set<Kind>()
        for (const kind of kinds) {
          const stats = await fs.stat(pathOf(key, kind)).catch(unlessMissing(undefined))
          if (stats !== undefined) present.add(kind)
        }
        return present
      }),
    read: (key) => {
      const path = pathOf(key, "json")
      return Effect.flatMap(
        attempt(path, () => fs.readFile(path, "utf8")),
        (text) =>
          Effect.mapError(decode(text), ({ message }) => new OutboxUnusable({ path, reason: message })),
      )
    },
    remove: (key, ...kinds) =>
      attempt(directory, async () => {
        for (const kind of kinds) await fs.rm(pathOf(key, kind), { force: true })
      }),
    giveUp: (entry, tries, reason) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const key = keyOf(entry)
        const failure = { at: new Date(now).toISOString(), tries, reason }
        return attempt(failed, async () => {
          try {
            await write(failed, `${nameOf(key)}.json`, JSON.stringify({ ...entry, failure }))
          } catch {
            // A full disk has room for another name of what is there.
            return await setAside(key)
          }
          await fs.rm(pathOf(key, "json"), { force: true })
          await prune()
        })
      }),
    setAside: (key) => attempt(failed, () => setAside(key)),
    list: attempt(directory, list),
  }
}
