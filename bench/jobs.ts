/**
 * How many jobs get through in a second? 1,000 jobs of `true`, 8 at a time, all of them accepted before the first may
 * start, until the end of the last one is recorded; against `xargs -P8`, which records nothing. The peers keep the
 * output of each, and have no way to accept jobs and hold them: there the accepting counts on both sides. `nq` runs one
 * job at a time in each of its queues, so it has 8 queues. And how long do the jobs block the runner's event loop?
 *
 * The runner is in a process of its own, which stays: what is measured is a daemon that has been up for a while. Each
 * round has a root of its own.
 */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as EventLog from "../src/event/EventLog.js"
import * as EventLoopLag from "../src/event/EventLoopLag.js"
import * as ProcessMetrics from "../src/event/ProcessMetrics.js"
import { hasEnded } from "../src/job/JobRecord.js"
import * as JobRunner from "../src/job/JobRunner.js"
import * as Notifier from "../src/job/Notifier.js"
import * as SqliteJobStore from "../src/job/SqliteJobStore.js"
import * as ProcessSpawner from "../src/process/ProcessSpawner.js"
import * as Daemon from "./daemon.js"
import { limited, paired } from "./harness.js"

const jobs = 1_000
const parallelism = 8

/** All in milliseconds. */
interface Figures {
  readonly accepting: number
  readonly running: number
  readonly longestBlock: number
}

const round = async (root: string): Promise<Figures> => {
  const allEnded = Effect.runSync(Deferred.make<void>())
  let left = jobs
  const runner = JobRunner.layer({
    root,
    onChange: (record) =>
      hasEnded(record) && --left === 0 ? Deferred.succeed(allEnded, undefined) : Effect.void,
  })
  // As `holdfast serve --log-level warning` has it.
  const ground = Layer.mergeAll(
    SqliteJobStore.layer({ root }),
    EventLog.layer({ root }),
    ProcessSpawner.layer,
    EventLoopLag.layer(),
    ProcessMetrics.layer,
  )
  const runtime = ManagedRuntime.make(
    runner.pipe(
      Layer.provide(Notifier.layer({ root })),
      Layer.provide(ground),
      Layer.provideMerge(Logger.minimumLogLevel(LogLevel.Warning)),
    ),
  )
  const figures = await runtime.runPromise(
    Effect.gen(function* () {
      const { counts, setGroup, submit } = yield* JobRunner.JobRunner
      const group = "bench"
      yield* setGroup(group, { parallelism, paused: true })
      const begin = performance.now()
      const one = submit({ command: ["/bin/true"], group })
      yield* Effect.replicateEffect(one, jobs, { concurrency: 64, discard: true })
      const accepted = performance.now()
      // The monitor knows of a block once it is over: it has to run before and after.
      const monitor = monitorEventLoopDelay({ resolution: 1 })
      monitor.enable()
      yield* Effect.promise(() => Daemon.sleep(20))
      const released = performance.now()
      yield* setGroup(group, { paused: false })
      yield* Deferred.await(allEnded)
      const recorded = performance.now()
      yield* Effect.promise(() => Daemon.sleep(20))
      monitor.disable()
      const { exited } = yield* counts
      if (exited !== jobs) yield* Effect.dieMessage(`only ${exited} of the jobs have exited`)
      return { accepting: accepted - begin, running: recorded - released, longestBlock: monitor.max / 1e6 }
    }),
  )
  await runtime.dispose()
  return figures
}

const serveRounds = async (): Promise<void> => {
  for await (const root of createInterface({ input: process.stdin }))
    console.log(JSON.stringify(await round(root)))
}

/** Jobs per second between the lines `begin` and `end` of a shell script. */
const scriptRate = async (script: string): Promise<number> => {
  const cwd = Daemon.temporary()
  const env = { ...process.env, TS_SOCKET: path.join(cwd, "socket"), TMPDIR: cwd }
  const child = Daemon.owned(
    spawn("sh", ["-e", "-c", script], { cwd, env, stdio: ["ignore", "pipe", "inherit"] }),
    "SIGTERM",
  )
  const closed = Daemon.ended(child)
  const times = new Map<string, number>()
  for await (const line of createInterface({ input: child.stdout })) times.set(line, performance.now())
  if ((await closed) !== 0) throw new Error(`a script failed: ${script}`)
  return (jobs / (times.get("end")! - times.get("begin")!)) * 1_000
}

const xargs = `
echo begin
seq ${jobs} | xargs -P${parallelism} -I{} /bin/true
echo end`

const tsp = `
tsp -S ${parallelism}
trap 'tsp -K' EXIT
trap 'exit 1' TERM INT
echo begin
i=0; while [ $i -lt ${jobs} ]; do tsp /bin/true >/dev/null; i=$((i+1)); done
tsp -w
while tsp | grep -q 'queued\\|running'; do :; done
echo end
test $(tsp | grep -c ' finished .* 0  ') = ${jobs}`

const nq = `
echo begin
i=0; while [ $i -lt ${jobs} ]; do NQDIR=$PWD/$((i % ${parallelism})) nq /bin/true >/dev/null; i=$((i+1)); done
i=0; while [ $i -lt ${parallelism} ]; do NQDIR=$PWD/$i nq -w; i=$((i+1)); done
echo end
test $(cat */,* | grep -c 'exited with status 0') = ${jobs}`

const isInstalled = (name: string): boolean =>
  spawnSync("sh", ["-c", `command -v ${name}`], { stdio: "ignore" }).status === 0

const measure = async (): Promise<void> => {
  const place = Daemon.temporary()
  const runner = Daemon.owned(
    spawn(process.execPath, [fileURLToPath(import.meta.url), "runner"], {
      stdio: ["pipe", "pipe", "inherit"],
    }),
  )
  const answers = createInterface({ input: runner.stdout })[Symbol.asyncIterator]()
  let rounds = 0
  const ours = async (): Promise<Figures> => {
    const root = path.join(place, String(rounds++))
    fs.mkdirSync(root)
    runner.stdin.write(`${root}\n`)
    const { done, value } = await answers.next()
    if (done === true) throw new Error("the runner died")
    return JSON.parse(value) as Figures
  }

  const blocks: Array<number> = []
  await paired({
    name: `${jobs} jobs, accepted to recorded / xargs`,
    unit: "jobs/s",
    rounds: 5,
    ours: async () => {
      const { longestBlock, running } = await ours()
      blocks.push(longestBlock)
      return (jobs / running) * 1_000
    },
    bare: () => scriptRate(xargs),
    atLeast: 0.7,
  })
  for (const [name, script] of [
    ["tsp", tsp],
    ["nq", nq],
  ] as const) {
    if (!isInstalled(name)) {
      console.log(`${name} is not installed: skipped`)
      continue
    }
    await paired({
      name: `${jobs} jobs, first accepted to recorded / ${name}`,
      unit: "jobs/s",
      rounds: 3,
      ours: async () => {
        const { accepting, longestBlock, running } = await ours()
        blocks.push(longestBlock)
        return (jobs / (accepting + running)) * 1_000
      },
      bare: () => scriptRate(script),
      atLeast: 1,
    })
  }
  limited({
    name: "longest block of the event loop meanwhile",
    unit: "ms",
    figures: blocks,
    of: "worst",
    atMost: 20,
  })
  const gone = Daemon.ended(runner)
  runner.stdin.end()
  await gone
}

await (process.argv[2] === "runner" ? serveRounds() : measure())
