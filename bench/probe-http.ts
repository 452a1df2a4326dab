/**
 * What does an HTTP probe cost? One check of a server on this machine after the other, against a bare `node:http` GET
 * with a fresh connection that reads its answer.
 */
import { spawn } from "node:child_process"
import { get } from "node:http"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Prober from "../src/probe/Prober.js"
import { ProcessSpawner } from "../src/process/ProcessSpawner.js"
import { median, paired } from "./harness.js"

// Short rounds and many of them: whatever else the machine does then falls on both of a pair.
const checks = 60
const rounds = 61
const warmUp = 1_000

// The server is a process of its own, so that only the client's work is on this one's processor.
const server = spawn(
  process.execPath,
  [
    "-e",
    `const server = require("http").createServer((_, response) => response.end('{"healthy":true}'));
     server.listen(0, "127.0.0.1", () => console.log(server.address().port));
     process.stdin.on("end", () => process.exit()).resume()`,
  ],
  { stdio: ["pipe", "pipe", "inherit"] },
)
const port = await new Promise<number>((resolve) =>
  server.stdout.once("data", (bytes) => resolve(Number(bytes))),
)
const url = `http://127.0.0.1:${port}/health`

const nothing = Layer.succeed(ProcessSpawner, {
  owner: "",
  spawn: () => Effect.dieMessage("nothing is spawned here"),
})
const runtime = ManagedRuntime.make(Layer.provide(Prober.layer, nothing))
const probe = await runtime.runPromise(
  Effect.scoped(Effect.flatMap(Prober.Prober, (prober) => prober.attach({ http: { url } }))),
)

const bare = (): Promise<void> =>
  new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      response.on("end", resolve)
      response.resume()
    }).on("error", reject)
  })

const each = async (run: () => Promise<unknown>, count = checks): Promise<number> => {
  const times: Array<number> = []
  for (let index = 0; index < count; index++) {
    const start = performance.now()
    await run()
    times.push(performance.now() - start)
  }
  return median(times)
}

const check = () => runtime.runPromise(probe.check)
await each(check, warmUp)
await each(bare, warmUp)
await paired({
  name: "one http probe of a local server",
  unit: "ms",
  rounds,
  ours: () => each(check),
  bare: () => each(bare),
  atMost: 1.3,
})
server.stdin.end()
await runtime.dispose()
