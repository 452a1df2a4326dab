/** Servers that are processes of their own. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
import { ProcessSpawner } from "../../src/process/ProcessSpawner.js"

/** A program for `node -e` that runs `before`, then serves HTTP at 127.0.0.1 and says its port. Port 0: any. */
export const serving = (port = 0, answer = 'response.end("ok")', before = "") => `${before};
  const server = require("http").createServer((request, response) => { ${answer} });
  server.on("error", (error) => { console.error(error.message); if (!globalThis.stubborn) process.exit(98) });
  server.listen(${port}, "127.0.0.1", () => console.log("port " + server.address().port));
  setInterval(() => {}, 1e6);`

/** Spawns a node program; does not wait for anything. */
export const spawnNode = (program: string) =>
  Effect.gen(function* () {
    const spawner = yield* ProcessSpawner
    const output = ProcessOutput.make()
    const said = yield* Deferred.make<string>()
    output.subscribeLines(({ text }) => void Deferred.unsafeDone(said, Effect.succeed(text)))
    const process = yield* spawner.spawn(
      { command: [globalThis.process.execPath, "-e", program], stop: { signal: "KILL", grace: 0 } },
      { output },
    )
    return { process, output, firstLine: Deferred.await(said) }
  })

/** Spawns a server and waits until it listens. */
export const spawnServer = (answer?: string) =>
  Effect.gen(function* () {
    const spawned = yield* spawnNode(serving(0, answer))
    const line = yield* spawned.firstLine
    return { ...spawned, port: Number(line.replace("port ", "")) }
  })
