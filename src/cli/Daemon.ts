/**
 * The commands that need all of Effect: `serve`, `up`, `check` and `schema`. In the built program this is a file of its
 * own.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as JSONSchema from "effect/JSONSchema"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Logger from "effect/Logger"
import * as Mailbox from "effect/Mailbox"
import { document } from "../api/Document.js"
import { ExecRequest } from "../api/ExecRequest.js"
import { PlanRefused } from "../api/PlanSource.js"
import * as ConfigJsonSchema from "../config/ConfigJsonSchema.js"
import * as JobRunner from "../job/JobRunner.js"
import * as Notifier from "../job/Notifier.js"
import { UsageError } from "./Arguments.js"
import * as Configuration from "./Configuration.js"
import * as Ending from "./Ending.js"
import * as Format from "./Format.js"
import type { Handler } from "./Handler.js"
import * as Interrupts from "./Interrupts.js"
import * as LogLine from "./LogLine.js"
import { nearest } from "../process/Nearest.js"
import { painterOf } from "./Painter.js"
import { rootOf, rootOption } from "./Root.js"
import * as Serve from "./Serve.js"
import type * as Syntaxes from "./Syntaxes.js"
import type { Failure, World } from "./World.js"
import { calledAs, exitCode } from "./World.js"

export { check } from "./Check.js"
export { up } from "./foreground/Up.js"

const levels = {
  debug: LogLevel.Debug,
  info: LogLevel.Info,
  warning: LogLevel.Warning,
  error: LogLevel.Error,
  none: LogLevel.None,
} as const

/** What runs the jobs of a root. */
const runnerOf = (root: string, keep: JobRunner.Keep | undefined) =>
  JobRunner.layer({ root, keep }).pipe(Layer.provide(Notifier.layer({ root })))

/** What `serve` is told to keep; undefined for everything. */
const keepOf = (
  age: number | undefined,
  count: number | undefined,
  bytes: number | undefined,
): JobRunner.Keep | undefined =>
  age === undefined && count === undefined && bytes === undefined
    ? undefined
    : { age: age === undefined ? undefined : Duration.millis(age), count, bytes }

const droppedOf =
  (isJson: boolean) =>
  (count: number): string => {
    const timestamp = new Date().toISOString()
    const message = `${Format.counted(count, "message")} of this log could not be written.`
    return isJson
      ? `${JSON.stringify({ message, logLevel: "WARN", timestamp })}\n`
      : `timestamp=${timestamp} level=WARN message=${JSON.stringify(message)}\n`
  }

const formatOf = (isJson: boolean, world: World): Logger.Logger<unknown, string> => {
  if (isJson) return Logger.jsonLogger
  return world.err.isTerminal ? LogLine.forTerminal(painterOf(world.err, world)) : Logger.logfmtLogger
}

/** The units of the file that was named, and how that is read again. */
const unitsOf = (given: string, world: Pick<World, "cwd" | "env">): Effect.Effect<Serve.Units, Failure> =>
  Effect.mapBoth(Configuration.load(given, world), {
    onFailure: (error) => Configuration.failure(error, "nothing was started"),
    onSuccess: ({ config: { file, plan } }) => ({
      plan,
      source: {
        file,
        plan: Effect.mapBoth(Configuration.load(file, world), {
          onFailure: ({ message }) => new PlanRefused({ file, reason: message }),
          onSuccess: ({ config }) => config.plan,
        }),
      },
    }),
  })

/** Has signals become orders, to the very end: one that comes late must not be what ends the program. */
const obeySignals = (orders: Mailbox.Mailbox<Serve.Order>, hasUnits: boolean, world: World): void => {
  const stop = (count: number) => {
    const grace = count === 1 ? undefined : Duration.zero
    // Whoever asks twice does not want to wait for the end of what is being answered.
    if (count > (hasUnits ? 2 : 1)) world.exit(exitCode.interrupted)
    else orders.unsafeOffer({ _tag: "Stop", grace })
  }
  Interrupts.watch(hasUnits ? ["SIGINT", "SIGTERM"] : ["SIGINT", "SIGTERM", "SIGHUP"], world, stop)
  if (!hasUnits) return
  const hadTerminal = world.isInTerminal()
  world.onSignal(["SIGHUP"], () => {
    // A terminal that is closed says so in the same way.
    const isClosed = hadTerminal && world.hasNoTerminal()
    orders.unsafeOffer(isClosed ? { _tag: "Stop", grace: undefined } : { _tag: "Reload" })
  })
}

/** Runs the daemon until a signal ends it. That nobody can read what it says does not end it. */
export const serve: Handler<typeof Syntaxes.serve> = async ({ options }, world) => {
  const root = rootOf(options.root, world)
  world.err.endure(droppedOf(options["log-json"]))
  world.out.endure()
  const orders = Effect.runSync(Mailbox.make<Serve.Order>())
  obeySignals(orders, options.file !== undefined, world)
  const logger = Logger.map(formatOf(options["log-json"], world), (line) => void world.err.write(`${line}\n`))
  const daemon = Effect.gen(function* () {
    const units = options.file === undefined ? undefined : yield* unitsOf(options.file, world)
    const settings: Serve.Settings = {
      root,
      bind: options.bind,
      auth: options["no-auth"] ? "none" : "token",
      version: world.version,
      rootOption: rootOption(root, world),
      call: calledAs(world.program[1], world.cwd),
      units,
      orders,
      say: (text, isFault = false) =>
        options["log-json"]
          ? (isFault ? Effect.logError : Effect.logInfo)(text.trimEnd())
          : Effect.promise(() => world.err.write(text)),
      onReady: ({ address }) =>
        Effect.promise(async () => {
          if (!options.json) return
          const about = { schema_version: "1", ok: true, type: "serve", pid: process.pid, address, root }
          await world.out.write(`${JSON.stringify({ ...about, config: units?.source.file })}\n`)
        }),
    }
    const keep = keepOf(options["keep-for"], options.keep, options["keep-size"])
    yield* Serve.serve(settings, runnerOf(root, keep))
    return exitCode.ok
  })
  const exit = await Effect.runPromiseExit(
    daemon.pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(levels[options["log-level"] ?? "info"]),
    ),
  )
  return Ending.settle(exit, world)
}

const schemas = {
  openapi: (version: string) => document(version),
  job: () => JSONSchema.make(ExecRequest),
  config: ConfigJsonSchema.jsonSchema,
} as const

/** Prints a description of the API, of a job or of the configuration file that programs can read. */
export const schema: Handler<typeof Syntaxes.schema> = async ({ args }, world) => {
  const which = args[0] ?? "openapi"
  const names = Object.keys(schemas)
  if (!Object.hasOwn(schemas, which)) {
    const near = nearest(which, names)
    const hint = near === undefined ? `there are ${names.join(", ")}` : `did you mean ${near}?`
    throw new UsageError(`there is no schema ${JSON.stringify(which)}; ${hint}`)
  }
  const value = schemas[which as keyof typeof schemas](world.version)
  await world.out.write(`${JSON.stringify(value, undefined, 2)}\n`)
  return exitCode.ok
}
