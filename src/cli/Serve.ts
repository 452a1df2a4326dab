/** The daemon: the store, what runs the jobs, and the server in front of them, from the start to an orderly end. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Bind from "../api/Bind.js"
import * as ApiServer from "../api/ApiServer.js"
import * as EventLog from "../event/EventLog.js"
import * as EventLoopLag from "../event/EventLoopLag.js"
import * as Metrics from "../event/Metrics.js"
import * as ProcessMetrics from "../event/ProcessMetrics.js"
import { JobRunner } from "../job/JobRunner.js"
import { JobStore } from "../job/JobStore.js"
import * as SqliteJobStore from "../job/SqliteJobStore.js"
import * as PortHolder from "../probe/PortHolder.js"
import * as ProcessSpawner from "../process/ProcessSpawner.js"
import * as Format from "./Format.js"

/** How to serve. */
export interface Settings {
  readonly root: string
  /** As `--bind` has it: `auto` is the usual place, or any port if that one is taken. Default: the usual place. */
  readonly bind: string | undefined
  readonly auth: "token" | "none"
  readonly version: string
  /** What has to follow a command for it to mean this root. */
  readonly rootOption: string
  /** Done when the daemon has to end. */
  readonly stop: Effect.Effect<void>
  /** Tells the user. */
  readonly say: (text: string) => Effect.Effect<void>
  /** Done as soon as it answers, before the user is told. */
  readonly onReady: (server: Context.Tag.Service<typeof ApiServer.ApiServer>) => Effect.Effect<void>
}

/** What there is for whoever runs the jobs. */
export type Ground = JobStore | EventLog.EventLog | ProcessSpawner.ProcessSpawner

const server = (settings: Settings) => {
  const { auth, bind = Bind.defaultBind, version } = settings
  const at = (place: string) => ApiServer.make({ bind: place, auth, version, metrics: Metrics.render() })
  return Layer.scoped(
    ApiServer.ApiServer,
    bind === "auto"
      ? Effect.catchTag(at(Bind.defaultBind), "AddressInUse", () => at("127.0.0.1:0"))
      : at(bind),
  )
}

const introduction = (settings: Settings, address: string): string => {
  const target = address.startsWith("unix:")
    ? `--unix-socket ${address.slice("unix:".length)} http://localhost`
    : address
  const token =
    settings.auth === "none" ? "" : ` -H "Authorization: Bearer $(holdfast token${settings.rootOption})"`
  return [
    `Holdfast ${settings.version} (pid ${process.pid}) keeps the jobs under ${settings.root}`,
    `It listens at ${address}${settings.auth === "none" ? ", and asks for no token" : ""}`,
    "Try it:",
    `  holdfast run${settings.rootOption} --wait -- echo hello`,
    `  curl${token} ${target}/jobs`,
    "Ctrl-C ends the daemon; jobs go on, and the next daemon finds them.",
    "",
  ].join("\n")
}

/** Serves until told to stop. The jobs that run then go on. */
export const serve = <E, R>(settings: Settings, runner: Layer.Layer<JobRunner, E, R>) => {
  const ground = Layer.mergeAll(
    SqliteJobStore.layer({ root: settings.root }),
    EventLog.layer({ root: settings.root }),
    ProcessSpawner.layer,
    EventLoopLag.layer(),
    ProcessMetrics.layer,
  )
  const jobs = Layer.provideMerge(runner, ground)
  const all = server(settings).pipe(Layer.provide(PortHolder.layer), Layer.provideMerge(jobs))
  return Effect.scoped(
    Effect.gen(function* () {
      const context = yield* Layer.build(all)
      const [api, store] = [Context.get(context, ApiServer.ApiServer), Context.get(context, JobStore)]
      yield* store.announce(api.address)
      yield* settings.onReady(api)
      yield* settings.say(introduction(settings, api.address))
      yield* settings.stop
      const counts = yield* Context.get(context, JobRunner).counts
      const waiting =
        counts.queued > 0 ? ` ${Format.counted(counts.queued, "job")} will start with the next daemon.` : ""
      const running =
        counts.running > 0
          ? ` ${Format.counted(counts.running, "job")} ${counts.running === 1 ? "goes" : "go"} on running.`
          : ""
      yield* settings.say(`The daemon ends.${running}${waiting}\n`)
    }),
  )
}
