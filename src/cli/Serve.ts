/**
 * The daemon: the store, what runs the jobs, what keeps the units up, and the server in front of them, from the start
 * to an orderly end.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Bind from "../api/Bind.js"
import * as ApiServer from "../api/ApiServer.js"
import { PlanSource } from "../api/PlanSource.js"
import * as EventLog from "../event/EventLog.js"
import * as EventLoopLag from "../event/EventLoopLag.js"
import * as Metrics from "../event/Metrics.js"
import * as ProcessMetrics from "../event/ProcessMetrics.js"
import { JobRunner } from "../job/JobRunner.js"
import { JobStore } from "../job/JobStore.js"
import * as SqliteJobStore from "../job/SqliteJobStore.js"
import * as PortHolder from "../probe/PortHolder.js"
import * as Prober from "../probe/Prober.js"
import * as ProcessSpawner from "../process/ProcessSpawner.js"
import type { Plan } from "../unit/Plan.js"
import * as Supervisor from "../unit/Supervisor.js"
import type { StopOptions } from "../unit/SupervisorService.js"
import * as Claim from "./Claim.js"
import * as Format from "./Format.js"
import * as Words from "./foreground/Words.js"

/** What a daemon is told while it runs. */
export type Order =
  /** To end; again, to make haste with it. */
  | { readonly _tag: "Stop"; readonly grace: Duration.Duration | undefined }
  /** To read its configuration again. */
  | { readonly _tag: "Reload" }

/** The units that a daemon keeps. */
export interface Units {
  readonly plan: Plan
  readonly source: Context.Tag.Service<typeof PlanSource>
}

/** How to serve. */
export interface Settings {
  readonly root: string
  /** As `--bind` has it: `auto` is the usual place, or any port if that one is taken. Default: the usual place. */
  readonly bind: string | undefined
  readonly auth: "token" | "none"
  readonly version: string
  /** What has to follow a command for it to mean this root. */
  readonly rootOption: string
  /** How the command line is called: see `World.calledAs`. */
  readonly call: string
  /** Undefined: it keeps jobs only. */
  readonly units: Units | undefined
  readonly orders: Mailbox.Mailbox<Order>
  /** Tells the user. A fault is one in what the user has written. */
  readonly say: (text: string, isFault?: boolean) => Effect.Effect<void>
  /** Done as soon as it answers, before the user is told. */
  readonly onReady: (server: Context.Tag.Service<typeof ApiServer.ApiServer>) => Effect.Effect<void>
}

const server = (settings: Settings) => {
  const { auth, bind = Bind.defaultBind, orders, version } = settings
  const shutdown = ({ grace }: StopOptions) => Effect.asVoid(orders.offer({ _tag: "Stop", grace }))
  const at = (place: string) =>
    ApiServer.make({ bind: place, auth, version, metrics: Metrics.render(), shutdown })
  return Layer.scoped(
    ApiServer.ApiServer,
    bind === "auto"
      ? Effect.catchTag(at(Bind.defaultBind), "AddressInUse", () => at("127.0.0.1:0"))
      : at(bind),
  )
}

/** So many units are named when the daemon introduces itself. */
const mostNamed = 20

const aboutUnits = ({ plan: { graph }, source: { file } }: Units): string => {
  const { order } = graph
  const names = order.length > mostNamed ? [...order.slice(0, mostNamed), "..."] : order
  return `It keeps up the ${Format.counted(order.length, "unit")} of ${file}: ${names.join(", ")}`
}

const introduction = (settings: Settings, address: string): string => {
  const { auth, bind = Bind.defaultBind, call, root, rootOption, units, version } = settings
  const isEverywhere = Option.exists(Either.getRight(Bind.parse(bind)), Bind.isEverywhere)
  const target = address.startsWith("unix:")
    ? `--unix-socket ${address.slice("unix:".length)} http://localhost`
    : address
  const token = auth === "none" ? "" : ` -H "Authorization: Bearer $(${call} token${rootOption})"`
  return [
    `Holdfast ${version} (pid ${process.pid}) keeps the jobs under ${root}`,
    ...(units === undefined ? [] : [aboutUnits(units)]),
    `It listens at ${address}${isEverywhere ? ", and at every other address of this machine" : ""}${auth === "none" ? ", and asks for no token" : ""}`,
    "Try it:",
    ...(units === undefined ? [] : [`  ${call} status${rootOption}`]),
    `  ${call} run${rootOption} --wait -- echo hello`,
    `  curl${token} ${target}/jobs`,
    units === undefined
      ? "Ctrl-C ends the daemon; jobs go on, and the next daemon finds them."
      : "Ctrl-C stops the units and ends the daemon; jobs go on, and the next daemon finds them.",
    "",
  ].join("\n")
}

/** The layer of what keeps the units, which are started when the daemon can be asked about them. */
const supervision = ({ plan, source }: Units, root: string) =>
  Layer.merge(
    Supervisor.layer({ plan, root, autostart: false }).pipe(Layer.provide([Prober.layer, PortHolder.layer])),
    Layer.succeed(PlanSource, source),
  )

const list = (word: string, names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.length === 0 ? [] : [`${word} ${names.join(", ")}`]

/** Reads the configuration again, and says what came of it. */
const reload = ({ source }: Units, supervisor: Supervisor.Service, say: Settings["say"]) =>
  Effect.gen(function* () {
    const plan = yield* source.plan
    const { added, changed, removed } = yield* supervisor.preview(plan)
    const done = [
      ...list("stops", removed),
      ...list(
        "restarts",
        changed.map(({ name }) => name),
      ),
      ...list("starts", added),
    ]
    yield* say(
      `The configuration was read again: ${done.length === 0 ? "nothing has changed" : `Holdfast ${done.join("; ")}`}.\n`,
    )
    yield* supervisor.reload(plan)
  }).pipe(Effect.catchAll(({ message }) => say(`${message}\n`, true)))

/** Obeys until it is told to end; answers how. */
const obey = (settings: Settings, supervisor: Supervisor.Service | undefined) =>
  Effect.gen(function* () {
    const { orders, say, units } = settings
    for (;;) {
      const order = yield* Effect.orDie(orders.take)
      if (order._tag === "Stop") return order
      if (units !== undefined && supervisor !== undefined)
        yield* Effect.forkScoped(reload(units, supervisor, say))
    }
  })

/** Stops the units, at once when it is told so again. */
const stopUnits = (
  { orders, say }: Settings,
  supervisor: Supervisor.Service,
  grace: Duration.Duration | undefined,
) =>
  Effect.gen(function* () {
    const running = (yield* supervisor.list).filter(({ state }) => !Words.isSettled(state))
    if (running.length > 0)
      yield* say(
        `Stopping ${Format.counted(running.length, "unit")}, each before what it needs. Ctrl-C again kills what is left.\n`,
      )
    const hasten = Effect.flatMap(Effect.orDie(orders.take), (order) =>
      order._tag === "Stop" ? supervisor.shutdown({ grace: order.grace }) : Effect.void,
    )
    yield* Effect.forkScoped(Effect.forever(hasten))
    yield* supervisor.shutdown({ grace })
  })

/** Serves until told to stop. The jobs that run then go on. */
export const serve = <E, R>(settings: Settings, runner: Layer.Layer<JobRunner, E, R>) => {
  const { root, units } = settings
  const ground = Layer.mergeAll(
    SqliteJobStore.layer({ root }),
    EventLog.layer({ root }),
    ProcessSpawner.layer,
    // Looking more often would cost an idle daemon a hundred wakes a second.
    EventLoopLag.layer({ resolution: 100 }),
    ProcessMetrics.layer,
  )
  const kept = units === undefined ? Layer.empty : supervision(units, root)
  const below = Layer.merge(runner, kept).pipe(Layer.provideMerge(ground))
  const all = server(settings).pipe(Layer.provide(PortHolder.layer), Layer.provideMerge(below))
  return Effect.scoped(
    Effect.gen(function* () {
      const claim = units === undefined ? undefined : yield* Claim.make(root, units.source.file)
      const context = yield* Layer.build(all)
      const [api, store] = [Context.get(context, ApiServer.ApiServer), Context.get(context, JobStore)]
      const supervisor = Option.getOrUndefined(
        Context.getOption(context as Context.Context<unknown>, Supervisor.Supervisor),
      )
      yield* store.announce(api.address)
      if (claim !== undefined) yield* claim.announce(api.address)
      yield* settings.onReady(api)
      yield* settings.say(introduction(settings, api.address))
      if (supervisor !== undefined) yield* Effect.forkScoped(Effect.ignore(supervisor.start([])))
      const { grace } = yield* obey(settings, supervisor)
      if (supervisor !== undefined) yield* stopUnits(settings, supervisor, grace)
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
