/**
 * How long is a unit away after `kill -9`? From the kill until its next process runs: the first restart of each unit in
 * turn, with 100 units up, in the built daemon, against a bare Node program that spawns anew on `exit`; and against supervisord and pm2,
 * where these are installed. Every process says that it runs by a line into one FIFO.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { Socket } from "node:net"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
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
  readonly start: (fifo: string, root: string) => Promise<() => Promise<void>>
}

/** Ends a process by TERM, and waits for its end. */
const ending = (child: ChildProcess) => async (): Promise<void> => {
  const closed = Daemon.ended(child)
  child.kill("SIGTERM")
  await closed
}

/** The built daemon, with the units in a file. */
const ours: Keeper = {
  start: async (fifo, root) => {
    const file = path.join(root, "holdfast.yaml")
    const units = names.map(
      // In the file, `$$` is a `$`.
      (name) =>
        `  ${name}: { command: ${JSON.stringify(script(name, fifo).replaceAll("$", "$$$$"))}, minUptime: 0 }\n`,
    )
    fs.writeFileSync(file, `units:\n${units.join("")}`)
    const daemon = await Daemon.start(root, file)
    return daemon.stop
  },
}

const bareLoop: Keeper = {
  start: async (fifo) =>
    ending(
      Daemon.owned(
        spawn(process.execPath, [fileURLToPath(import.meta.url), "bare", fifo], { stdio: "inherit" }),
        "SIGTERM",
      ),
    ),
}

const isInstalled = (command: string): boolean => spawnSync("which", [command]).status === 0

const supervisord: Keeper = {
  start: async (fifo, root) => {
    const file = path.join(root, "supervisord.conf")
    const programs = names.map(
      (name) =>
        `[program:${name}]\ncommand=/bin/sh -c "${script(name, fifo)}"\nstartsecs=0\nautorestart=true\nstopasgroup=true\nkillasgroup=true\n`,
    )
    const main = `[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=${root}/pid\nchildlogdir=${root}\n`
    fs.writeFileSync(file, `${main}\n${programs.join("\n")}`)
    return ending(Daemon.owned(spawn("supervisord", ["-c", file], { stdio: "ignore" }), "SIGTERM"))
  },
}

const pm2: Keeper = {
  start: async (fifo, root) => {
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
  const stop = await keeper.start(fifo, root)
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
      const times = await round(ours)
      all.push(...times)
      return median(times)
    },
    bare: async () => median(await round(keeper)),
    ...mark,
  })
  return all
}

if (process.argv[2] === "bare") {
  await bare(process.argv[3]!)
} else {
  const all = await question("kill -9 to the next process / bare respawn", bareLoop, 5, { atMost: 2 })
  limited({
    name: "  its p99, with 100 units up",
    unit: "ms",
    figures: [percentile(all, 99)],
    atMost: 15,
  })
  if (isInstalled("supervisord"))
    await question("kill -9 to the next process / supervisord", supervisord, 1, {})
  if (isInstalled("pm2")) await question("kill -9 to the next process / pm2", pm2, 2, {})
}
