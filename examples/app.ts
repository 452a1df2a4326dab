/**
 * A guestbook with no daemon: what Holdfast has, as Layers of one Effect app. `node examples/app.ts` (Node 22.18 or newer
 * runs TypeScript as it is; for others a bundler takes the types out). It ends by itself, or when you press Ctrl-C: either
 * way the Layers are closed in order and no process is left. What is kept is under `APP_ROOT`, else `guestbook`.
 */
import { fileURLToPath } from "node:url"
import { FetchHttpClient, HttpClient } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Context, Duration, Effect, Layer, Logger } from "effect"
import { EventLog, JobRunner, Notifier, Server, Supervisor } from "holdfast"
import { PortHolder, Prober, ProcessSpawner } from "holdfast"
import * as SqliteJobStore from "holdfast/job/SqliteJobStore"

const root = process.env.APP_ROOT ?? "guestbook"
const node = (name: string, ...args: ReadonlyArray<string>) =>
  ["node", fileURLToPath(new URL(`app/${name}.mjs`, import.meta.url)), ...args] as const

// The ground: processes that cannot outlive the app, probes, and who holds a port. `Supervisor.layerNeeds` is the same.
const Ground = Layer.merge(Prober.layer, PortHolder.layer).pipe(Layer.provideMerge(ProcessSpawner.layer))

// What happens to units, servers and jobs. The store is locked: a second app on this root fails before it starts anything.
const Records = Layer.merge(EventLog.layer({ root }), SqliteJobStore.layer({ root }))

// Two servers that are kept up. The site goes up after the store, goes down before it, and is restarted with it.
const store = { command: node("store", "${port}"), port: "auto", readiness: { http: { path: "/" } } } as const
const site = {
  command: node("site", "${port}", "http://127.0.0.1:${store.port}/"),
  port: "auto",
  bindsTo: ["store"],
  readiness: { http: { path: "/health" } },
} as const
const Units = Supervisor.layer({ root, plan: { units: { store, site } } })

// A server that is started when somebody first asks for it. As a service, it is there for the whole app.
class Loud extends Context.Tag("guestbook/Loud")<Loud, Server.Server>() {}
const LoudServer = Server.layerManaged(Loud, { name: "loud", command: node("loud", "${port}") })

const Jobs = JobRunner.layer({ root }).pipe(Layer.provide(Notifier.layer({ root })))

const program = Effect.gen(function* () {
  // A process for a moment: it is bound to the scope, and what it wrote is at hand.
  const { output } = yield* (yield* ProcessSpawner.ProcessSpawner).spawn({ command: ["uname", "-s"] })
  yield* output.ended
  yield* Console.log(`This is ${output.tail().trim()}.`)

  // The site is up when the store is, as it depends on it.
  const supervisor = yield* Supervisor.Supervisor
  const { port, url } = yield* supervisor.awaitReady("site")
  const holder = yield* (yield* PortHolder.PortHolders).find({ port: port! })
  yield* Console.log(`The site is at ${url}, held by process ${holder?.pid}.`)
  const { check } = yield* (yield* Prober.Prober).attach({ tcp: {} }, { host: "127.0.0.1", port: port! })
  yield* Console.log(`A connection to it takes ${Duration.format((yield* check).latency)}.`)

  const text = (client: HttpClient.HttpClient.With<unknown>, path: string) =>
    Effect.andThen(client.get(path), (response) => response.text)
  const guests = ["Ada", "Grace", "Ada"]
  for (const guest of guests) yield* Console.log(yield* text(yield* HttpClient.HttpClient, `${url}/${guest}`))

  // Nobody has needed this server so far. A client that is pointed at it starts it, and replaces it when it has crashed.
  const loud = yield* Loud
  yield* Console.log(`The loud server: ${(yield* loud.status).state}.`)
  const goodbye = yield* text(yield* Server.httpClient(loud), "/goodbye")
  yield* Console.log(`Process ${(yield* loud.handle.acquire).pid} says ${goodbye}`)

  // A job is on disk once it is accepted, and would outlive us. Nobody wants this one then: the scope ends it.
  const runner = yield* JobRunner.JobRunner
  const command = ["sh", "-c", `sleep ${process.env.APP_SLEEP ?? "0.5"}; sort | uniq -c`] as const
  const submit = runner.submit({ command, stdin: { text: guests.join("\n") } })
  const { record } = yield* Effect.acquireRelease(submit, (job) => Effect.ignore(runner.kill(job.record.id)))
  yield* Console.log(`Job ${record.id} counts the visits.`)
  const ended = yield* runner.wait(record.id)
  const { stdout } = yield* runner.tail(record.id)
  yield* Console.log(`It has ${ended.record.state._tag}:\n${stdout.text.trimEnd()}`)

  const { events } = yield* (yield* EventLog.EventLog).read({ subject: record.id })
  yield* Console.log(`Noted of it: ${events.map(({ type }) => type).join(", ")}.`)
})

// What Holdfast tells of units, servers and jobs: short lines on standard error.
const ShortLines = Logger.make(({ message }) => console.error(`. ${message}`))

// Closed in the reverse order: units, server and jobs before what they stand on.
const Live = Layer.mergeAll(Units, LoudServer, Jobs).pipe(
  Layer.provideMerge(Records),
  Layer.provideMerge(Layer.merge(Ground, FetchHttpClient.layer)),
  Layer.provideMerge(Logger.replace(Logger.defaultLogger, ShortLines)),
)

NodeRuntime.runMain(program.pipe(Effect.scoped, Effect.provide(Live)), { disablePrettyLogger: true })
