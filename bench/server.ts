/**
 * What does it cost to ask for a server that is up? Many who acquire it at once, each of whom is given it when its HTTP
 * probe has passed anew, against bare `node:http` GETs over connections that are kept.
 */
import { Agent, get } from "node:http"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import * as Server from "../src/handle/Server.js"
import * as PortHolder from "../src/probe/PortHolder.js"
import * as Prober from "../src/probe/Prober.js"
import * as ProcessSpawner from "../src/process/ProcessSpawner.js"
import { paired } from "./harness.js"

const atOnce = 64
// Short rounds and many of them: whatever else the machine does then falls on both of a pair.
const each = 40
const rounds = 41

// It closes no connection that is idle for a moment, as that would stop the bare counterpart.
const program = `const server = require("http").createServer((_, response) => response.end('{"healthy":true}'))
  server.keepAliveTimeout = 60_000
  server.listen(Number(process.argv[1]), "127.0.0.1")`

const runtime = ManagedRuntime.make(
  Layer.mergeAll(Prober.layer, PortHolder.layer, Logger.minimumLogLevel(LogLevel.Warning)).pipe(
    Layer.provideMerge(ProcessSpawner.layer),
  ),
)
const scope = await runtime.runPromise(Scope.make())
const server = await runtime.runPromise(
  Scope.extend(
    Server.managed({
      name: "server",
      command: [process.execPath, "-e", program, "${port}"],
      probe: { http: { path: "/health" } },
    }),
    scope,
  ),
)
const { acquire } = server.handle
const { baseUrl } = await runtime.runPromise(acquire)

const one = Effect.repeatN(acquire, each - 1)
const all = Effect.all(
  Array.from({ length: atOnce }, () => one),
  { concurrency: "unbounded", discard: true },
)

const agent = new Agent({ keepAlive: true, maxSockets: atOnce, scheduling: "lifo" })
const url = `${baseUrl}/health`
const request = (): Promise<void> =>
  new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      response.on("end", resolve)
      response.resume()
    }).on("error", reject)
  })
const loop = async (): Promise<void> => {
  for (let left = each; left > 0; left--) await request()
}

const timed = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await run()
  return ((performance.now() - start) / (atOnce * each)) * 1e3
}
const ours = () => timed(() => runtime.runPromise(all))
const bare = () => timed(() => Promise.all(Array.from({ length: atOnce }, loop)))

for (let round = 0; round < 5; round++) {
  await ours()
  await bare()
}
await paired({
  name: `acquire of a server that is up, ${atOnce} at once`,
  unit: "us",
  rounds,
  ours,
  bare,
  atMost: 1.3,
})
agent.destroy()
await runtime.runPromise(Scope.close(scope, Exit.void))
await runtime.dispose()
