/**
 * How quickly do many units come up, and go? 100 and 1,000 `sleep`s, from the order to start until all are Ready, against
 * a bare loop of `child_process.spawn` with the same options until all have a pid; then from the order to stop until
 * every group is proven empty. Each is measured in a Node of its own.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as EventLog from "../src/event/EventLog.js"
import * as PortHolder from "../src/probe/PortHolder.js"
import * as Prober from "../src/probe/Prober.js"
import * as ProcessSpawner from "../src/process/ProcessSpawner.js"
import * as Supervisor from "../src/unit/Supervisor.js"
import * as Daemon from "./daemon.js"
import { limited, paired } from "./harness.js"

/** All in milliseconds. */
interface Figures {
  readonly up: number
  readonly down: number
}

const ours = async (count: number, root: string): Promise<Figures> => {
  const ground = Layer.provideMerge(
    Layer.mergeAll(Prober.layer, PortHolder.layer, EventLog.layer({ root })),
    ProcessSpawner.layer,
  )
  const units = Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `unit-${index}`,
      { command: ["sleep", "600"], minUptime: 0 },
    ]),
  )
  const warm = { warm: { command: ["sleep", "600"], minUptime: 0 } }
  const program = Effect.gen(function* () {
    // As in a daemon that has been up for a while, the code has run before.
    const first = yield* Supervisor.make({ plan: { units: warm as never }, autostart: false })
    yield* first.start(["warm"])
    yield* first.stop(["warm"])
    const supervisor = yield* Supervisor.make({ plan: { units: units as never }, root, autostart: false })
    const begin = performance.now()
    yield* supervisor.start([])
    const up = performance.now()
    yield* supervisor.stop([])
    return { up: up - begin, down: performance.now() - up }
  })
  return Effect.runPromise(
    program.pipe(
      Effect.scoped,
      Effect.provide(ground),
      Effect.provide(Logger.minimumLogLevel(LogLevel.Error)),
    ),
  )
}

const bare = async (count: number): Promise<Figures> => {
  const children: Array<ChildProcess> = []
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = spawn("sleep", ["600"], {
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env },
      })
      child.stdout.resume()
      child.stderr.resume()
      child.once("error", reject)
      child.once("spawn", () => resolve())
      children.push(child)
    })
  await one()
  const begin = performance.now()
  await Promise.all(Array.from({ length: count }, one))
  const up = performance.now()
  const gone = Promise.all(children.map((child) => new Promise((resolve) => child.once("exit", resolve))))
  for (const { pid } of children) process.kill(-pid!, "SIGTERM")
  await gone
  return { up: up - begin, down: performance.now() - up }
}

const measured = (role: string, count: number): Figures =>
  JSON.parse(
    execFileSync(
      process.execPath,
      [fileURLToPath(import.meta.url), role, String(count), Daemon.temporary()],
      {
        encoding: "utf8",
      },
    ),
  ) as Figures

const [, , role, count, root] = process.argv
if (role === "ours") console.log(JSON.stringify(await ours(Number(count), root!)))
else if (role === "bare") console.log(JSON.stringify(await bare(Number(count))))
else {
  for (const units of [100, 1_000]) {
    const downs: Array<number> = []
    await paired({
      name: `${units.toLocaleString("en")} sleep units, all Ready`,
      unit: "ms",
      rounds: 5,
      ours: async () => {
        const { down, up } = measured("ours", units)
        downs.push(down)
        return up
      },
      bare: async () => measured("bare", units).up,
      atMost: 1.5,
    })
    limited({
      name: `  all ${units.toLocaleString("en")} stopped and proven gone`,
      unit: "ms",
      figures: downs.slice(1),
      atMost: 1_000,
    })
  }
}
process.exit()
