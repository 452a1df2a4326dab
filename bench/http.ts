/**
 * What does a question to the daemon cost? `GET /status/{id}` of a job in a real store, against a bare Effect HttpRouter
 * route that returns the same bytes, at 64 connections that are kept; and how long the slowest of a hundred takes.
 *
 * Effect's routes were seen to have a 99th percentile of 150 to 370 ms. That is the first round of the 64: run in code
 * that is not compiled yet, at 2 to 3 ms each, they hold the event loop for so long, and are more than one in a hundred
 * of a few thousand requests. Once warm the same route has two to three times its median. So both are warmed up here.
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
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Server from "../src/api/ApiServer.js"
import * as EventLog from "../src/event/EventLog.js"
import * as JobSpec from "../src/job/JobSpec.js"
import { JobRunner, type Service } from "../src/job/JobRunner.js"
import { JobStore } from "../src/job/JobStore.js"
import * as SqliteJobStore from "../src/job/SqliteJobStore.js"
import { PortHolders } from "../src/probe/PortHolder.js"
import { paired } from "./harness.js"

const connections = 64
const requests = 4_000
const warmUp = 12_000

/** Asks on bare sockets, in a process of its own: the less it does, the more is left for the one that is measured. */
const load = `
const { connect } = require("node:net")
const ask = ({ authorization, connections, path, port, requests }) => new Promise((resolve) => {
  const request = "GET " + path + " HTTP/1.1\\r\\nHost: localhost\\r\\n" + authorization + "\\r\\n"
  const times = []
  let left = requests, running = connections
  const begin = performance.now()
  for (let i = 0; i < connections; i++) {
    const socket = connect(port, "127.0.0.1")
    let sent, rest = ""
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
      times.push(performance.now() - sent)
      next()
    })
    socket.on("connect", next)
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

/** A runner that does nothing but look into its store, as `get` does. */
const runner = Layer.effect(
  JobRunner,
  Effect.map(JobStore, (store) => ({ root, get: store.find }) as unknown as Service),
)
const nobody = Layer.succeed(PortHolders, {
  find: () => Effect.succeed(undefined),
  isHeldBy: () => Effect.succeed(undefined),
  isFree: () => Effect.succeed(true),
})
const runtime = ManagedRuntime.make(
  Server.layer({ bind: "127.0.0.1:0", version: "1", metrics: Effect.succeed("") }).pipe(
    Layer.provide(runner),
    Layer.provide(nobody),
    Layer.provide(EventLog.layerMemory()),
    Layer.provideMerge(SqliteJobStore.layer({ root })),
  ),
)
const job = await runtime.runPromise(
  Effect.gen(function* () {
    const store = yield* JobStore
    return yield* store.insert(yield* JobSpec.make({ command: ["true"] }))
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

const measure = async (to: number, count = requests): Promise<Figures> => {
  loader.stdin.write(
    `${JSON.stringify({ port: to, path: at, authorization, connections, requests: count })}\n`,
  )
  const { value } = await answers.next()
  return JSON.parse(value as string) as Figures
}

// What is measured is a daemon that has been up for a while: the first requests run code that is not compiled yet.
await measure(port, warmUp)
await measure(barePort, warmUp)
await paired({
  name: "GET /status / a bare HttpRouter route",
  unit: "req/s",
  rounds: 7,
  ours: async () => (await measure(port)).rate,
  bare: async () => (await measure(barePort)).rate,
  atLeast: 0.8,
})
await paired({
  name: `p99 at ${connections} connections / 50 ms`,
  unit: "ms",
  rounds: 7,
  ours: async () => (await measure(port)).p99,
  bare: async () => 50,
  atMost: 1,
})
loader.stdin.end()
await bareRuntime.dispose()
await runtime.dispose()
