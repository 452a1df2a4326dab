/** From the options of `run` and `create` to the body of `POST /exec`. */
import * as fs from "node:fs"
import * as path from "node:path"
import { UsageError } from "./Arguments.js"
import { defined } from "./Output.js"
import type { Given } from "./Routes.js"
import { parseDate } from "./Span.js"
import type { Input } from "./Syntax.js"
import type * as Syntaxes from "./Syntaxes.js"
import type { World } from "./World.js"
import { Failure } from "./World.js"

type Body = Given<"exec">["body"]
type Asked = Input<typeof Syntaxes.create>["options"]

/** What the daemon adds by itself, and nobody else may. */
const isMark = (name: string): boolean => /^HOLDFAST_(OWNER|LINEAGE|UNIT|JOB)$/.test(name)

/** The most input that fits into a request. */
const mostInput = 700_000

/** Reads what the options name, and puts it together. */
export const bodyOf = async (
  { args, options }: { readonly args: ReadonlyArray<string>; readonly options: Asked },
  world: World,
): Promise<Body> => {
  if (options.delay !== undefined && options.at !== undefined) {
    throw new UsageError("--delay and --at exclude each other")
  }
  if (options.stdin && options["stdin-file"] !== undefined) {
    throw new UsageError("--stdin and --stdin-file exclude each other")
  }
  const here = (file: string) => path.resolve(world.cwd, file)
  const env = await environment(options, world)
  return defined({
    command: args as Body["command"],
    cwd: options.cwd === undefined ? world.cwd : here(options.cwd),
    env: Object.keys(env).length === 0 ? undefined : env,
    inherit_env: options["copy-env"] ? false : undefined,
    mask: some(options.mask),
    stdin: await stdin(options, world, here),
    timeout_ms: whole(options.timeout),
    kill_after_ms: whole(options["kill-after"]),
    stop_signal: options["stop-signal"],
    tags: some(options.tag),
    max_log_bytes: options["max-log"],
    when_log_full: options["when-log-full"],
    group: options.group,
    priority: options.priority,
    after: some(options.after)?.map(dependency),
    delay_ms: whole(options.delay),
    start_at: startAt(options.at),
    retries: options.retries,
    backoff: options["retry-delay"] === undefined ? undefined : { delay_ms: options["retry-delay"] },
    idempotency_key: options.key,
    notifications: notifications(options, here),
  })
}

const some = <A>(list: ReadonlyArray<A>): ReadonlyArray<A> | undefined =>
  list.length === 0 ? undefined : list

const whole = (millis: number | undefined): number | undefined =>
  millis === undefined ? undefined : Math.round(millis)

const environment = async (options: Asked, world: World): Promise<Record<string, string>> => {
  const copied = Object.entries(options["copy-env"] ? world.env : {}).flatMap(([name, value]) =>
    value === undefined || isMark(name) ? [] : [[name, value] as const],
  )
  const env: Record<string, string> = Object.fromEntries(copied)
  for (const file of options["env-from"]) Object.assign(env, await envFile(path.resolve(world.cwd, file)))
  for (const given of options.env) {
    const [, name, value = world.env[given]] = /^([^=]+)(?:=(.*))?$/s.exec(given) ?? []
    if (name === undefined) throw new UsageError(`--env expects K=V or K, not ${JSON.stringify(given)}`)
    if (value === undefined) {
      throw new UsageError(`--env ${name}: there is no such variable here; write --env ${name}=VALUE`)
    }
    env[name] = value
  }
  return env
}

const envFile = async (file: string): Promise<Record<string, string>> => {
  const { parse } = await import("dotenv")
  try {
    return parse(fs.readFileSync(file))
  } catch (error) {
    throw new Failure(`The file ${file} cannot be read: ${reasonOf(error)}.`, "invalid_request")
  }
}

const reasonOf = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException
  return code === "ENOENT" ? "it is not there" : code === "EACCES" ? "this user may not" : (code ?? message)
}

const stdin = async (
  options: Asked,
  world: World,
  here: (file: string) => string,
): Promise<Body["stdin"] | undefined> => {
  if (options["stdin-file"] !== undefined) return { file: here(options["stdin-file"]) }
  if (!options.stdin) return undefined
  const bytes = await world.input()
  if (bytes.length > mostInput) {
    throw new Failure(
      `Standard input has ${bytes.length} bytes, more than the ${mostInput} that a request can carry; put it into a file and name it with --stdin-file.`,
      "payload_too_large",
    )
  }
  return { base64: Buffer.from(bytes).toString("base64") }
}

const dependency = (given: string) => {
  const [, job, when] = /^([^:]+)(?::(end|success))?$/.exec(given) ?? []
  if (job === undefined) throw new UsageError(`--after expects ID or ID:end, not ${JSON.stringify(given)}`)
  return when === "end" ? { job, when: "end" as const } : { job }
}

const startAt = (given: string | undefined): string | undefined => {
  if (given === undefined) return undefined
  const millis = parseDate(given, Date.now())
  if (millis === undefined) {
    throw new UsageError(
      `--at expects HH:MM or a date such as 2030-01-31T08:00, not ${JSON.stringify(given)}`,
    )
  }
  return new Date(millis).toISOString()
}

const notifications = (options: Asked, here: (file: string) => string): Body["notifications"] | undefined => {
  const on = options["notify-on"] === undefined ? {} : { on: { output: options["notify-on"] } }
  const list = [
    ...options["notify-command"].map((line) => ({ ...on, command: ["sh", "-c", line] as const })),
    ...options["notify-file"].map((file) => ({ ...on, file: here(file) })),
  ]
  if (list.length === 0 && options["notify-on"] !== undefined) {
    throw new UsageError("--notify-on needs --notify-command or --notify-file")
  }
  return some(list)
}
