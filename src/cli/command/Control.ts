/** `start`, `restart`, `stop` and `kill`: what is done to units, and to jobs that are there. */
import { UsageError } from "../Arguments.js"
import type { Client, Reply } from "../Client.js"
import { connect } from "../Client.js"
import * as Format from "../Format.js"
import type { Handler } from "../Handler.js"
import * as Naming from "../Naming.js"
import { defined } from "../Output.js"
import { rootOf } from "../Root.js"
import type * as Syntaxes from "../Syntaxes.js"
import * as UnitAction from "../UnitAction.js"
import type { World } from "../World.js"
import { Failure, exitCode, printable, printableLines } from "../World.js"

interface Settings {
  readonly isJson: boolean
  readonly root: string
  readonly world: World
}

/** What is done; answers what to print. */
type Task = (client: Client) => Promise<string>

/** Does several things. One that fails does not keep the others from being done; the exit code is 1 then. */
const all = async (
  client: Client,
  tasks: ReadonlyArray<Task>,
  { isJson, world }: Settings,
): Promise<number> => {
  let code: number = exitCode.ok
  for (const [index, task] of tasks.entries()) {
    try {
      await world.out.write(await task(client))
    } catch (error) {
      // The last one's is told by whoever tells all errors.
      if (index === tasks.length - 1 || !(error instanceof Failure)) throw error
      code = exitCode.failed
      const { code: kind, message, retryable } = error
      const envelope = {
        schema_version: "1",
        ok: false,
        type: "error",
        error: { code: kind, message, retryable },
      }
      if (isJson) await world.out.write(`${JSON.stringify(envelope)}\n`)
      else await world.err.write(`holdfast: ${printableLines(message)}\n`)
    }
  }
  return code
}

/**
 * Does one thing to each of several jobs. One that it cannot be done to does not keep it from the others; the exit code
 * is 1 then.
 */
export const each = (
  names: ReadonlyArray<string>,
  settings: Settings,
  act: (client: Client, id: string) => Promise<string>,
): Promise<number> =>
  all(
    connect(settings.root, settings.world),
    names.map((name) => (client) => act(client, name)),
    settings,
  )

const settings = (
  input: { readonly options: { readonly json: boolean; readonly root: string | undefined } },
  world: World,
): Settings => ({
  isJson: input.options.json,
  root: rootOf(input.options.root, world),
  world,
})

const report = (isJson: boolean, { text, value }: Reply<"kill">): string => {
  if (isJson) return `${text}\n`
  const { elapsed_ms, escalated, job_id, sent, state, survivors } = value
  if (sent.length === 0) return `${job_id} ${state}: nothing was left to signal\n`
  const took = elapsed_ms < 1 ? "" : ` in ${Format.duration(elapsed_ms)}`
  const left = survivors.map(({ command, pid }) => `, ${pid} (${printable(command)}) is still there`)
  return `${job_id} ${state}: sent ${sent.join(", ")}${took}${escalated ? ", as it did not end by itself" : ""}${left.join("")}\n`
}

interface Asked {
  readonly args: ReadonlyArray<string>
  readonly options: Naming.Forced & { readonly json: boolean; readonly root: string | undefined }
}

/** Does something to units, all of them together, and then to each job. */
const both = async (
  input: Asked,
  world: World,
  onUnits: (client: Client, names: ReadonlyArray<string>) => ReadonlyArray<Task>,
  onJob: (client: Client, id: string) => Promise<string>,
): Promise<number> => {
  const using = settings(input, world)
  const client = connect(using.root, world)
  const { jobs, units } = await Naming.split(client, input.args, input.options)
  const tasks = [
    ...(units.length === 0 ? [] : onUnits(client, units)),
    ...jobs.map((id) => () => onJob(client, id)),
  ]
  return all(client, tasks, using)
}

/** Starts units; lets created jobs start. */
export const start: Handler<typeof Syntaxes.start> = (input, world) => {
  const { json: isJson } = input.options
  return both(
    input,
    world,
    (client, names) => [() => UnitAction.run(client, { action: "start", names }, isJson, world)],
    async (client, id) => {
      const { text, value } = await client.call("start", { path: { id } })
      return isJson ? `${text}\n` : `${value.job_id} ${value.state}\n`
    },
  )
}

/** Restarts units; runs jobs once more, each as a new one. */
export const restart: Handler<typeof Syntaxes.restart> = (input, world) => {
  const { json: isJson } = input.options
  return both(
    input,
    world,
    (client, names) => [() => UnitAction.run(client, { action: "restart", names }, isJson, world)],
    async (client, id) => {
      const { text, value } = await client.call("restart", { path: { id } }, { patience: 0 })
      return isJson ? `${text}\n` : `${value.job_id}\n`
    },
  )
}

/** Stops units, and jobs, with the signal that each of them asked for. */
export const stop: Handler<typeof Syntaxes.stop> = (input, world) => {
  const { grace, json: isJson } = input.options
  const body = defined({ grace_ms: rounded(grace) })
  return both(
    input,
    world,
    (client, names) => [() => UnitAction.run(client, { action: "stop", names, ...body }, isJson, world)],
    async (client, id) => {
      const { value } = await client.call("job", { path: { id } })
      const query = { signal: value.stop_signal, escalate: true, ...body }
      return report(isJson, await client.call("kill", { path: { id }, query, body: {} }, { patience: 0 }))
    },
  )
}

/** Sends a signal to units and jobs. */
export const kill: Handler<typeof Syntaxes.kill> = (input, world) => {
  const { grace, json: isJson, signal } = input.options
  const isForJobs = grace !== undefined || input.options["no-escalate"]
  const query = defined({
    signal,
    grace_ms: rounded(grace),
    escalate: input.options["no-escalate"] ? false : undefined,
  })
  return both(
    input,
    world,
    (client, names) =>
      names.map((name) => async () => {
        if (isForJobs) {
          throw new UsageError(
            `--grace and --no-escalate go with jobs, and ${name} is a unit: a unit is only sent the signal`,
          )
        }
        const { text, value } = await client.call("killUnit", {
          path: { name },
          query: defined({ signal }),
        })
        if (isJson) return `${text}\n`
        return `${name}: ${value.sent ? `sent ${value.signal}` : "nothing was left to signal"}\n`
      }),
    async (client, id) =>
      report(isJson, await client.call("kill", { path: { id }, query, body: {} }, { patience: 0 })),
  )
}

const rounded = (millis: number | undefined): number | undefined =>
  millis === undefined ? undefined : Math.round(millis)
