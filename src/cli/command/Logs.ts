/** `tail` and `logs`: what units, or a job, have written. */
import { UsageError } from "../Arguments.js"
import { connect } from "../Client.js"
import * as Format from "../Format.js"
import type { Handler } from "../Handler.js"
import * as Naming from "../Naming.js"
import type { From, StreamName } from "../Output.js"
import { defined, follow, readAll } from "../Output.js"
import { painterOf } from "../Painter.js"
import { rootOf } from "../Root.js"
import type { Session } from "../Session.js"
import * as Sessions from "../Session.js"
import { parseDate, parseMillis } from "../Span.js"
import type { Input } from "../Syntax.js"
import type * as Syntaxes from "../Syntaxes.js"
import * as UnitLine from "../UnitLine.js"
import * as UnitOutput from "../UnitOutput.js"
import type { World } from "../World.js"
import { exitCode } from "../World.js"

type Options = Input<typeof Syntaxes.logs>["options"]

const both = ["stdout", "stderr"] as const

const give = (world: World) => async (stream: StreamName, bytes: Uint8Array) => {
  if (bytes.length > 0) await (stream === "stdout" ? world.out : world.err).write(bytes)
}

const followOn = async (session: Session, id: string, from: From, isJson: boolean): Promise<number> => {
  const { world } = session.options
  const print = async ({ data }: { readonly data: string }) => world.out.write(`${data}\n`)
  await follow(session, id, from, isJson ? async () => {} : give(world), isJson ? print : undefined)
  return exitCode.ok
}

const jobTail = async (
  session: Session,
  id: string,
  { attempt, follow: isFollowing, json, lines, stream }: Options,
): Promise<number> => {
  const { world } = session.options
  const query = defined({ lines: lines ?? 50, attempt })
  const { text, value } = await session.persist((client) => client.call("tail", { path: { id }, query }))
  if (json) await world.out.write(`${text}\n`)
  else {
    for (const each of both) {
      if (stream !== undefined && stream !== each) continue
      await give(world)(each, Buffer.from(value[`${each}_tail`], "utf8"))
    }
  }
  if (!isFollowing) return exitCode.ok
  const { job_id, stderr_next_offset, stdout_next_offset } = value
  const offsets = { stdoutOffset: stdout_next_offset, stderrOffset: stderr_next_offset }
  const from = value.attempt === 0 ? {} : { attempt: value.attempt, ...offsets }
  return followOn(session, job_id, { stream, ...from }, json)
}

const jobLogs = async (
  session: Session,
  id: string,
  { attempt: given, follow: isFollowing, json, stream: only }: Options,
): Promise<number> => {
  const { world } = session.options
  let attempt = given
  const offsets: Partial<Record<StreamName, number>> = {}
  for (const stream of both) {
    if (only !== undefined && only !== stream) continue
    const end = await readAll(session, id, { stream, attempt }, async (bytes, { text }) =>
      json ? world.out.write(`${text}\n`) : give(world)(stream, bytes),
    )
    attempt = end.attempt > 0 ? end.attempt : attempt
    offsets[stream] = end.offset
  }
  if (!isFollowing) return exitCode.ok
  const from = { stream: only, attempt, stdoutOffset: offsets.stdout, stderrOffset: offsets.stderr }
  return followOn(session, id, from, json)
}

/** A length of time before now, or a date. */
const sinceOf = (given: string | undefined): number | undefined => {
  if (given === undefined) return undefined
  const now = Date.now()
  const span = parseMillis(given)
  if (span !== undefined) return Math.max(0, now - span)
  const date = parseDate(given, now)
  if (date === undefined) {
    throw new UsageError(
      `--since expects a length of time such as 10m, or a date such as 2030-01-31T08:00, not ${JSON.stringify(given)}`,
    )
  }
  // The next time that a clock shows is not what has been.
  return date > now && /^\d{1,2}:\d\d$/.test(given.trim()) ? date - 86_400_000 : date
}

/** Shows lines of units: as they are, or behind their names where there are several of them. */
const takerOf = (
  names: ReadonlyArray<string>,
  { json, stream, timestamps }: Options,
  world: World,
): UnitOutput.Taker => {
  const paint = painterOf(world.out, world)
  const isBare = names.length === 1
  const lines = UnitLine.make({ names, isBare, timestamps, paint, sink: world.out })
  const say = (name: string, text: string) => world.err.write(`${name}: ${text}\n`)
  return {
    lines: async (found) => {
      const wanted = stream === undefined ? found : found.filter(({ line }) => line.stream === stream)
      const texts = wanted.map(({ line, name }) =>
        json
          ? `${JSON.stringify({ name, ...line })}\n`
          : lines.line(name, { ...line, at: Date.parse(line.at) }),
      )
      await world.out.write(texts.join(""))
    },
    missed: (name, { count }) =>
      say(
        name,
        count === 0
          ? "Some lines are not kept any more."
          : `${Format.counted(count, "line")} not kept any more.`,
      ),
    removed: (name) => say(name, "It is not there any more."),
  }
}

const unitLogs = async (
  root: string,
  names: ReadonlyArray<string>,
  options: Options & { readonly lines: number | undefined },
  world: World,
): Promise<number> => {
  const lost = "its units end with it"
  const session = Sessions.make({ root, world, lost })
  const which = { lines: options.lines, since: sinceOf(options.since) }
  const taker = takerOf(names, options, world)
  const cursors = await UnitOutput.read(session, names, which, taker)
  if (options.follow) await UnitOutput.follow(session, cursors, taker)
  return exitCode.ok
}

const show = async (
  { args, options }: { readonly args: ReadonlyArray<string>; readonly options: Options },
  world: World,
  unitLines: number | undefined,
  ofJob: (session: Session, id: string, options: Options) => Promise<number>,
): Promise<number> => {
  const root = rootOf(options.root, world)
  sinceOf(options.since)
  const { jobs, units } = await Naming.split(connect(root, world), [...new Set(args)], options)
  if (units.length > 0 && jobs.length === 0)
    return unitLogs(root, units, { ...options, lines: unitLines }, world)
  if (units.length + jobs.length > 1) throw new UsageError("logs are shown of several units, or of one job")
  if (options.since !== undefined || options.timestamps) {
    throw new UsageError(`--since and --timestamps go with units, and ${jobs[0]} is not the name of one`)
  }
  return ofJob(Sessions.make({ root, world }), jobs[0]!, options)
}

/** The end of the output of units or of a job, and what comes after it. */
export const tail: Handler<typeof Syntaxes.tail> = (input, world) =>
  show(input, world, input.options.lines ?? 50, jobTail)

/** All output of units or of a job, and what comes after it. */
export const logs: Handler<typeof Syntaxes.logs> = (input, world) => {
  const { lines } = input.options
  return show(input, world, lines, lines === undefined ? jobLogs : jobTail)
}
