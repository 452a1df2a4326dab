/** The commands that need all of Effect: `serve`, and `schema`. In the built program this is a file of its own. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as JSONSchema from "effect/JSONSchema"
import * as Layer from "effect/Layer"
import * as LogLevel from "effect/LogLevel"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import { document } from "../api/Document.js"
import { ExecRequest } from "../api/ExecRequest.js"
import * as JobRunner from "../job/JobRunner.js"
import * as Notifier from "../job/Notifier.js"
import { UsageError } from "./Arguments.js"
import * as Format from "./Format.js"
import type { Handler } from "./Handler.js"
import { nearest } from "../process/Nearest.js"
import { rootOf, rootOption } from "./Root.js"
import * as Serve from "./Serve.js"
import type * as Syntaxes from "./Syntaxes.js"
import { Failure, exitCode } from "./World.js"

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

/** How long a reader who is stuck may hold up the end of the daemon, in milliseconds. */
const lastWords = 500

const droppedOf =
  (isJson: boolean) =>
  (count: number): string => {
    const timestamp = new Date().toISOString()
    const message = `${Format.counted(count, "message")} of this log could not be written.`
    return isJson
      ? `${JSON.stringify({ message, logLevel: "WARN", timestamp })}\n`
      : `timestamp=${timestamp} level=WARN message=${JSON.stringify(message)}\n`
  }

/** Runs the daemon until a signal ends it. That nobody can read what it says does not end it. */
export const serve: Handler<typeof Syntaxes.serve> = async ({ options }, world) => {
  const root = rootOf(options.root, world)
  world.err.endure(droppedOf(options["log-json"]))
  world.out.endure()
  const stop = Deferred.unsafeMake<void>(FiberId.none)
  const off = world.onSignal(["SIGINT", "SIGTERM", "SIGHUP"], () => {
    // Whoever asks twice does not want to wait for the end of what is being answered.
    world.onSignal(["SIGINT", "SIGTERM"], () => world.exit(exitCode.interrupted))
    off()
    Deferred.unsafeDone(stop, Exit.void)
  })
  const format = options["log-json"] ? Logger.jsonLogger : Logger.logfmtLogger
  const logger = Logger.map(format, (line) => void world.err.write(`${line}\n`))
  const daemon = Serve.serve(
    {
      root,
      bind: options.bind,
      auth: options["no-auth"] ? "none" : "token",
      version: world.version,
      rootOption: rootOption(root, world),
      stop: Deferred.await(stop),
      say: (text) => Effect.promise(() => world.err.write(text)),
      onReady: ({ address }) =>
        Effect.promise(async () => {
          if (!options.json) return
          const about = { schema_version: "1", ok: true, type: "serve", pid: process.pid, address, root }
          await world.out.write(`${JSON.stringify(about)}\n`)
        }),
    },
    runnerOf(root, keepOf(options["keep-for"], options.keep, options["keep-size"])),
  )
  const exit = await Effect.runPromiseExit(
    daemon.pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(levels[options["log-level"] ?? "info"]),
    ),
  )
  off()
  if (Exit.isSuccess(exit)) {
    const settled = await Promise.all([world.err.settled(lastWords), world.out.settled(lastWords)])
    if (settled.includes(false)) world.exit(exitCode.ok)
    return exitCode.ok
  }
  const expected = Cause.failureOption(exit.cause)
  if (Option.isNone(expected)) throw Cause.squash(exit.cause)
  throw new Failure(expected.value.message, "unavailable")
}

/** Prints a description of the API that programs can read. */
export const schema: Handler<typeof Syntaxes.schema> = async ({ args }, world) => {
  const which = args[0] ?? "openapi"
  if (which !== "openapi" && which !== "job") {
    const near = nearest(which, ["openapi", "job"])
    const hint = near === undefined ? "there are openapi and job" : `did you mean ${near}?`
    throw new UsageError(`there is no schema ${JSON.stringify(which)}; ${hint}`)
  }
  const value = which === "job" ? JSONSchema.make(ExecRequest) : document(world.version)
  await world.out.write(`${JSON.stringify(value, undefined, 2)}\n`)
  return exitCode.ok
}
