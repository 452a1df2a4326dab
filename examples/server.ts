/**
 * A web server that is there while the program needs it: started when the first call is made, replaced when it has
 * crashed, gone at the end. `node examples/server.ts` (Node 22.18 or newer runs TypeScript as it is).
 */
import { FetchHttpClient } from "@effect/platform"
import { Console, Effect, Layer, Logger, LogLevel } from "effect"
import { Server, Supervisor } from "holdfast"

const script = "require('http').createServer((_, a) => a.end('hello')).listen(process.argv[1])"

const program = Effect.gen(function* () {
  const server = yield* Server.managed({ name: "greeter", command: ["node", "-e", script, "${port}"] })
  const { pid } = yield* server.handle.acquire
  const client = yield* Server.httpClient(server)
  const hello = client.get("/").pipe(Effect.andThen((response) => response.text))
  yield* Console.log(`${pid} says ${yield* hello}`)

  process.kill(pid!, "SIGKILL")
  yield* Console.log(`${yield* hello} again, says ${(yield* server.status).pid}`)
})

// What happens to a server, such as its crash, is told in the log otherwise.
const Quiet = Logger.minimumLogLevel(LogLevel.None)
const Live = Layer.mergeAll(Supervisor.layerNeeds, FetchHttpClient.layer, Quiet)
await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(Live)))
