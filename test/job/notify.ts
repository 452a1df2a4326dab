/** What the tests of notifications share. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import type { JobEvent } from "../../src/job/JobEvent.js"
import * as Events from "../../src/job/JobEvent.js"
import * as JobId from "../../src/job/JobId.js"
import * as JobRecord from "../../src/job/JobRecord.js"
import type * as JobSpec from "../../src/job/JobSpec.js"
import * as Notifier from "../../src/job/Notifier.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { turn, until } from "../output/support.js"
import { sh } from "../process/support.js"
import * as Support from "./support.js"

/** A place for one test: the root of the jobs, and a directory that they run in. */
export interface Place {
  readonly root: string
  readonly cwd: string
}

const place = Effect.map(Support.temporary, (directory): Place => {
  const cwd = join(directory, "work")
  fs.mkdirSync(cwd)
  return { root: join(directory, "root"), cwd }
})

type Body = (place: Place) => Effect.Effect<void, unknown, ProcessSpawner.ProcessSpawner | Scope.Scope>

/** Provides what starts processes. */
export const spawning = Effect.provide(ProcessSpawner.layer)

const run = (body: Body) => () => spawning(Effect.flatMap(place, body))

/** A test in real time. */
export const live = (what: string, body: Body): void => it.scopedLive(what, run(body))

/** A test whose clock stands still. */
export const still = (what: string, body: Body): void => it.scoped(what, run(body))

/** Ten tries, one right after the other. */
export const atOnce = Schedule.intersect(Schedule.spaced("5 millis"), Schedule.recurs(9))

/** Uses the notifier of a root for as long as the program lives; what it logs is given to `logged`. */
export const life = <A, E, R>(
  { root }: Place,
  body: Effect.Effect<A, E, R>,
  options: Partial<Notifier.Options> & { readonly logged?: Array<string> } = {},
) => {
  const { logged = [], ...rest } = options
  const logger = Logger.make(({ message }) => void logged.push(String(message)))
  return body.pipe(
    Effect.provide(Notifier.layer({ root, retry: atOnce, ...rest })),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
  )
}

const ids = JobId.factory()

const apply = (record: JobRecord.JobRecord, ...events: ReadonlyArray<JobEvent>) =>
  events.reduce((before, event) => Either.getOrThrow(JobRecord.transition(before, event)), record)

/** A queued job. */
export const queued = ({ cwd }: Place, input: Partial<JobSpec.Input>) =>
  Effect.gen(function* () {
    const spec = yield* Support.spec({ cwd, ...input })
    return JobRecord.make({ id: yield* ids, spec, hidden: [], queued: true })
  })

/** Its next attempt runs; its logs are there and empty. */
export const launched = ({ root }: Place, record: JobRecord.JobRecord) => {
  const at = `jobs/${record.id}/${record.attempts.length + 1}`
  fs.mkdirSync(join(root, at), { recursive: true })
  const [stdout, stderr] = [`${at}/stdout.log`, `${at}/stderr.log`]
  for (const log of [stdout, stderr]) fs.writeFileSync(join(root, log), "")
  return apply(
    record,
    Events.JobEvent.Launch({ at: 1_000, keeper: "k", bootId: "b", stdout, stderr }),
    Support.started(2_000),
  )
}

/** A job that runs. */
export const running = (where: Place, input: Partial<JobSpec.Input>) =>
  Effect.map(queued(where, input), (record) => launched(where, record))

/** It exits. */
export const exited = (record: JobRecord.JobRecord, code = 0) =>
  apply(record, Events.JobEvent.Exited({ at: 3_000, code }))

/** It is taken back before it has run. */
export const cancelled = (record: JobRecord.JobRecord) =>
  apply(record, Events.JobEvent.Cancel({ at: 3_000, signal: "SIGTERM" }))

/** Adds to a log of the last attempt. */
export const say = (
  { root }: Place,
  record: JobRecord.JobRecord,
  text: string | Uint8Array,
  stream: "stdout" | "stderr" = "stdout",
) => fs.appendFileSync(join(root, record.attempts.at(-1)![stream]), text)

/** The path of a file in the job's directory, and the whole lines in it. */
export const inbox = ({ cwd }: Place, name = "inbox.ndjson") => {
  const path = join(cwd, name)
  const text = () => (fs.existsSync(path) ? fs.readFileSync(path, "utf8") : "")
  return {
    path,
    text,
    lines: (): ReadonlyArray<Record<string, any>> =>
      text()
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
  }
}

/** A command that hands its standard input to a file in one go, then goes on with `script`. */
export const command = (path: string, script = "") =>
  sh(`input=$(cat); printf '%s\\n' "$input" >> '${path}'; ${script}`)

/** What is in the outbox. */
export const owed = ({ root }: Place, within = "."): Array<string> => {
  const directory = join(root, "outbox", within)
  return fs.existsSync(directory) ? fs.readdirSync(directory).filter((name) => name !== "failed") : []
}

/** Waits until nothing is owed any more. */
export const settled = (where: Place) =>
  until(`nothing is owed: ${owed(where).join()}`, () => owed(where).length === 0)

/** Lets the clock go on, a second at a turn of the event loop, until `condition` holds. */
export const passing = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    const end = performance.now() + 10_000
    const again: Effect.Effect<void> = Effect.suspend(() => {
      if (condition()) return Effect.void
      assert.isBelow(performance.now(), end, `never happened: ${what}`)
      return TestClock.adjust("1 second").pipe(Effect.zipRight(turn), Effect.zipRight(again))
    })
    return again
  })
