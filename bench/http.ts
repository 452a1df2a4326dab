/**
 * What does a question to the daemon cost? `GET /status/{id}` of a job in a real store, against a bare Effect HttpRouter
 * route that returns the same bytes, at 64 connections that are open; and how long the slowest of a hundred takes.
 *
 * Effect's routes were seen to have a 99th percentile of 150 to 370 ms. Two things make it so, and each is enough by
 * itself, for the 64 connections are more than one in a hundred of a few thousand requests. Node 20 accepts one
 * connection in a turn of its loop, and a turn answers a request of each connection that there is: when 64 are opened
 * at once, the last one waits for 64 turns, up to seconds where turns are long. And the first few hundred requests run
 * code that is not compiled yet, at milliseconds each, so that 64 at a time wait for some hundred. Neither is left in a
 * daemon that has been up for a while and connections that are open; connections of both kinds are measured here.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Server from "../src/api/ApiServer.js"
import * as EventLog from "../src/event/EventLog.js"
import * as JobRunner from "../src/job/JobRunner.js"
import * as Notifier from "../src/job/Notifier.js"
import * as SqliteJobStore from "../src/job/SqliteJobStore.js"
import { PortHolders } from "../src/probe/PortHolder.js"
import * as ProcessSpawner from "../src/process/ProcessSpawner.js"
import { limited, paired } from "./harness.js"

const connections = 64
const requests = 4_000
const warmUp = 12_000

/** Asks on bare sockets, in a process of its own: the less it does, the more is left for the one that is measured. */
const load = `
const { connect } = require("node:net")
const ask = ({ anew, authorization, connections, path, port, requests }) => new Promise((resolve) => {
  const request = "GET " + path + " HTTP/1.1\\r\\nHost: localhost\\r\\n" + authorization + "\\r\\n"
  const times = [], waiting = []
  let left = requests, running = connections, begin = performance.now()
  for (let i = 0; i < connections; i++) {
    const socket = connect(port, "127.0.0.1")
    let sent, rest = "", isCounted = anew
    const next = () => {
      if (left-- <= 0) { socket.destroy(); if (--running === 0) resolve({ times, millis: performance.now() - begin }); return }
      sent = performance.now()
      socket.write(request)
    }
    socket.on("data", (chunk) => {
      rest += chunk.toString("latin1")
      const head = rest.indexOf("\\r\\n\\r\\n")
      if (head === -1 || rest.length < head + 4 + Number(/content-length: (\\d+)/i.exec(rest)[1])) return
      if (!rest.startsWith("HTTP/1.1 200")) throw new Error(rest)
      rest = ""
      if (isCounted) { times.push(performance.now() - sent); next(); return }
      isCounted = true
      waiting.push(next)
      if (waiting.length < connections) return
      begin = performance.now()
      for (const go of waiting) go()
    })
    socket.on("connect", () => { if (anew) next(); else socket.write(request) })
  }
})
require("node:readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const { millis, times } = await ask(JSON.parse(line))
  times.sort((a, b) => a - b)
  console.log(JSON.stringify({ rate: times.length / millis * 1000, p50: times[times.length >> 1], p99: times[Math.floor(times.length * 0.99)] }))
})`

const loader = spawn(process.execPath, ["-e", load], { stdio: ["pipe", "pipe", "inherit"] })
const answers = createInterface({ input: loader.stdout })[Symbol.asyncIterator]()

interface Figures {
  readonly rate: number
  readonly p50: number
  readonly p99: number
}

const root = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-bench-"))
process.on("exit", () => fs.rmSync(root, { recursive: true, force: true }))

const nobody = Layer.succeed(PortHolders, {
  find: () => Effect.succeed(undefined),
  isHeldBy: () => Effect.succeed(undefined),
  isFree: () => Effect.succeed(true),
  listeners: () => Effect.succeed({ holders: [], unnamed: false }),
})
const runtime = ManagedRuntime.make(
  Server.layer({ bind: "127.0.0.1:0", version: "1", metrics: Effect.succeed("") }).pipe(
    Layer.provide(nobody),
    Layer.provideMerge(JobRunner.layer({ root })),
    Layer.provide(Notifier.layer({ root })),
    Layer.provide(
      Layer.mergeAll(SqliteJobStore.layer({ root }), EventLog.layer({ root }), ProcessSpawner.layer),
    ),
    Layer.provideMerge(Logger.minimumLogLevel(LogLevel.Warning)),
  ),
)
const job = await runtime.runPromise(
  Effect.gen(function* () {
    const { submit, wait } = yield* JobRunner.JobRunner
    const { record } = yield* submit({ command: ["true"] })
    return yield* wait(record.id)
  }),
)
const server = await runtime.runPromise(Server.ApiServer)
const at = `/status/${job.record.id}`
const authorization = `Authorization: Bearer ${server.token}\r\n`
const bytes = await (
  await fetch(`${server.address}${at}`, { headers: { authorization: `Bearer ${server.token}` } })
).text()

const bareServer = createServer()
const bareRuntime = ManagedRuntime.make(
  HttpRouter.empty.pipe(
    HttpRouter.get(
      "/status/:id",
      Effect.sync(() => HttpServerResponse.text(bytes, { contentType: "application/json" })),
    ),
    HttpServer.serve(),
    Layer.provide(NodeHttpServer.layer(() => bareServer, { port: 0, host: "127.0.0.1" })),
  ),
)
await bareRuntime.runPromise(Effect.void)
const barePort = (bareServer.address() as AddressInfo).port
const port = server.place._tag === "Tcp" ? server.place.port : 0

const measure = async (to: number, { anew = false, count = requests } = {}): Promise<Figures> => {
  // Not anew: from when each of the connections has been answered once.
  const question = { port: to, path: at, authorization, connections, requests: count, anew }
  loader.stdin.write(`${JSON.stringify(question)}\n`)
  const { value } = await answers.next()
  return JSON.parse(value as string) as Figures
}

// What is measured is a daemon that has been up for a while: the first requests run code that is not compiled yet.
await measure(port, { count: warmUp })
await measure(barePort, { count: warmUp })
await paired({
  name: "GET /status / a bare HttpRouter route",
  unit: "req/s",
  rounds: 7,
  ours: async () => (await measure(port)).rate,
  bare: async () => (await measure(barePort)).rate,
  atLeast: 0.8,
})
const p99: Record<"open" | "anew", Array<number>> = { open: [], anew: [] }
for (let round = 0; round < 7; round++) {
  p99.open.push((await measure(port)).p99)
  p99.anew.push((await measure(port, { anew: true })).p99)
}
for (const [kind, figures] of Object.entries(p99))
  limited({
    name: `p99 at ${connections} connections, ${kind === "open" ? "open already" : "opened at once"}`,
    unit: "ms",
    figures,
    atMost: 50,
  })
loader.stdin.end()
await bareRuntime.dispose()
await runtime.dispose()
