/**
 * How long is a unit away after `kill -9`? From the kill until its next process runs: the first restart of each unit in
 * turn, with 100 units up, against a bare Node program that spawns anew on `exit`; and against supervisord and pm2,
 * where these are installed. Every process says that it runs by a line into one FIFO.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { Socket } from "node:net"
import * as path from "node:path"
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
import { limited, median, paired, percentile } from "./harness.js"

const units = 100

/** What every unit runs: it says who it is, and that it runs. */
const script = (name: string, fifo: string): string => `echo ${name} $$ > ${fifo}; exec sleep 600`

const nameOf = (index: number): string => `unit-${index}`

const names = Array.from({ length: units }, (_, index) => nameOf(index))

/** Serves until it is told to end by a signal. */
const untilEnded = (): Promise<void> => {
  // The harness would exit at once, and leave what runs behind.
  process.removeAllListeners("SIGTERM")
  return new Promise((resolve) => process.once("SIGTERM", () => resolve()))
}

const ours = async (fifo: string, root: string): Promise<void> => {
  const ground = Layer.provideMerge(
    Layer.mergeAll(Prober.layer, PortHolder.layer, EventLog.layer({ root })),
    ProcessSpawner.layer,
  )
  const plan = {
    units: Object.fromEntries(names.map((name) => [name, { command: script(name, fifo), minUptime: 0 }])),
  }
  const supervisor = Supervisor.layer({ plan, root }).pipe(
    Layer.provide(ground),
    Layer.provide(Logger.minimumLogLevel(LogLevel.Error)),
  )
  await Effect.runPromise(
    Effect.scoped(
      Effect.zipRight(
        Layer.build(supervisor),
        Effect.promise(() => untilEnded()),
      ),
    ),
  )
}

const bare = async (fifo: string): Promise<void> => {
  let isEnding = false
  const pids = new Map<string, number>()
  const start = (name: string): void => {
    if (isEnding) return
    const child = spawn("/bin/sh", ["-c", script(name, fifo)], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    })
    child.stdout.resume()
    child.stderr.resume()
    pids.set(name, child.pid!)
    child.once("exit", () => start(name))
  }
  for (const name of names) start(name)
  await untilEnded()
  isEnding = true
  for (const pid of pids.values()) process.kill(-pid, "SIGKILL")
}

/** What runs a program that keeps the units up, and how it is ended. */
interface Keeper {
  readonly start: (fifo: string, root: string) => () => Promise<void>
}

const own = (role: string): Keeper => ({
  start: (fifo, root) => {
    const child = Daemon.owned(
      spawn(process.execPath, [fileURLToPath(import.meta.url), role, fifo, root], { stdio: "inherit" }),
      "SIGTERM",
    )
    return async () => {
      const closed = Daemon.ended(child)
      child.kill("SIGTERM")
      await closed
    }
  },
})

const isInstalled = (command: string): boolean => spawnSync("which", [command]).status === 0

const supervisord: Keeper = {
  start: (fifo, root) => {
    const file = path.join(root, "supervisord.conf")
    const programs = names.map(
      (name) =>
        `[program:${name}]\ncommand=/bin/sh -c "${script(name, fifo)}"\nstartsecs=0\nautorestart=true\nstopasgroup=true\nkillasgroup=true\n`,
    )
    const main = `[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=${root}/pid\nchildlogdir=${root}\n`
    fs.writeFileSync(file, `${main}\n${programs.join("\n")}`)
    const child = Daemon.owned(spawn("supervisord", ["-c", file], { stdio: "ignore" }), "SIGTERM")
    return async () => {
      const closed = Daemon.ended(child)
      child.kill("SIGTERM")
      await closed
    }
  },
}

const pm2: Keeper = {
  start: (fifo, root) => {
    const env = { ...process.env, PM2_HOME: root }
    const file = path.join(root, "ecosystem.config.json")
    const apps = names.map((name) => ({
      name,
      script: "/bin/sh",
      args: ["-c", script(name, fifo)],
      interpreter: "none",
      min_uptime: 0,
      max_restarts: 1_000_000,
    }))
    fs.writeFileSync(file, JSON.stringify({ apps }))
    spawnSync("pm2", ["start", file], { env, stdio: "ignore" })
    return async () => {
      execFileSync("pm2", ["kill"], { env, stdio: "ignore" })
    }
  },
}

/** The times of one kill of each unit, in milliseconds. */
const round = async (keeper: Keeper): Promise<ReadonlyArray<number>> => {
  const root = Daemon.temporary()
  const fifo = path.join(root, "fifo")
  execFileSync("mkfifo", [fifo])
  // For reading and writing: it never ends, and nobody waits when opening it.
  const descriptor = fs.openSync(fifo, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
  // By events: a thread that waits in a read would keep this program from ending.
  const stream = new Socket({ fd: descriptor, readable: true, writable: false })
  const pids = new Map<string, number>()
  let onLine: (name: string) => void = () => {}
  let rest = ""
  stream.on("data", (chunk) => {
    const lines = `${rest}${String(chunk)}`.split("\n")
    rest = lines.pop()!
    for (const line of lines) {
      const [name, pid] = line.split(" ")
      pids.set(name!, Number(pid))
      onLine(name!)
    }
  })
  const next = (wanted: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      onLine = () => wanted() && resolve()
    })
  const up = next(() => pids.size === units)
  const stop = keeper.start(fifo, root)
  await up
  await Daemon.sleep(500)
  const times: Array<number> = []
  for (const name of names) {
    const before = pids.get(name)!
    const back = next(() => pids.get(name) !== before)
    const begin = performance.now()
    process.kill(before, "SIGKILL")
    await back
    times.push(performance.now() - begin)
    await Daemon.sleep(2)
  }
  await stop()
  stream.destroy()
  return times
}

const question = async (name: string, keeper: Keeper, rounds: number, mark: { readonly atMost?: number }) => {
  const all: Array<number> = []
  await paired({
    name,
    unit: "ms",
    rounds,
    ours: async () => {
      const times = await round(own("ours"))
      all.push(...times)
      return median(times)
    },
    bare: async () => median(await round(keeper)),
    ...mark,
  })
  return all
}

switch (process.argv[2]) {
  case "ours":
    await ours(process.argv[3]!, process.argv[4]!)
    break
  case "bare":
    await bare(process.argv[3]!)
    break
  default: {
    const all = await question("kill -9 to the next process / bare respawn", own("bare"), 5, { atMost: 2 })
    limited({
      name: "  its p99, with 100 units up",
      unit: "ms",
      figures: [percentile(all, 99)],
      atMost: 15,
    })
    if (isInstalled("supervisord"))
      await question("kill -9 to the next process / supervisord", supervisord, 2, {})
    if (isInstalled("pm2")) await question("kill -9 to the next process / pm2", pm2, 2, {})
  }
}
