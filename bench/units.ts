/**
 * How quickly do many units come up, and go, and what does a daemon cost that keeps them? 100 and 1,000 `sleep`s in the
 * built daemon, from the order to start until all are Ready, against a bare loop of `child_process.spawn` with the same
 * options until all have a pid, in a Node of its own; then, all up, its memory and its processor time while nothing
 * happens; then from the order to stop until every group is proven empty.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Daemon from "./daemon.js"
import { limited, paired } from "./harness.js"

/** One course of a daemon: times in milliseconds, memory in MB. */
interface Course {
  readonly up: number
  readonly down: number
  readonly memory: number
  readonly idle: number
}

/** So long after the last start its rest begins, in milliseconds: V8 has tidied up once by then. */
const settling = 45_000

/** Nothing is asked of it for so long, in milliseconds, while its rest is measured. */
const rest = 20_000

const sleeper = (name: string): string =>
  `  ${name}: { command: [sleep, "600"], minUptime: 0, autostart: false }\n`

const ours = async (count: number, withRest: boolean): Promise<Course> => {
  const root = Daemon.temporary()
  const file = path.join(root, "holdfast.yaml")
  const names = Array.from({ length: count }, (_, index) => `unit-${index}`)
  fs.writeFileSync(file, `units:\n${["warm", ...names].map(sleeper).join("")}`)
  const daemon = await Daemon.start(root, file)
  const act = (action: string, names: ReadonlyArray<string>) =>
    daemon.ask("POST", "/units", { action, names })
  // As in a daemon that has been up for a while, the code has run before.
  await act("start", ["warm"])
  await act("stop", ["warm"])
  const begin = performance.now()
  await act("start", names)
  const up = performance.now()
  let [memory, idle] = [0, 0]
  if (withRest) {
    await Daemon.sleep(settling)
    const before = Daemon.processorMillis(daemon.pid)
    await Daemon.sleep(rest)
    idle = Daemon.processorMillis(daemon.pid) - before
    memory = Daemon.proportionalMegabytes(daemon.pid)
  }
  const ordered = performance.now()
  await act("stop", names)
  const down = performance.now() - ordered
  await daemon.stop()
  return { up: up - begin, down, memory, idle }
}

const bare = async (count: number): Promise<number> => {
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
  const up = performance.now() - begin
  const gone = Promise.all(children.map((child) => new Promise((resolve) => child.once("exit", resolve))))
  for (const { pid } of children) process.kill(-pid!, "SIGKILL")
  await gone
  return up
}

const apart = (count: number): number =>
  Number(
    execFileSync(process.execPath, [fileURLToPath(import.meta.url), String(count)], { encoding: "utf8" }),
  )

if (process.argv[2] !== undefined && /^\d+$/.test(process.argv[2])) {
  console.log(await bare(Number(process.argv[2])))
} else {
  for (const units of [100, 1_000]) {
    const courses: Array<Course> = []
    const shown = units.toLocaleString("en")
    await paired({
      name: `${shown} sleep units, all Ready`,
      unit: "ms",
      rounds: 5,
      ours: async () => {
        // Of the warm-up nothing but its rest counts.
        const course = await ours(units, courses.length === 0)
        courses.push(course)
        return course.up
      },
      bare: async () => apart(units),
      atMost: 1.5,
    })
    const downs = courses.slice(1).map(({ down }) => down)
    const [{ idle, memory }] = courses as [Course]
    limited({ name: `  all ${shown} stopped and proven gone`, unit: "ms", figures: downs, atMost: 1_000 })
    limited({ name: "  the daemon's memory (PSS)", unit: "MB", figures: [memory], atMost: 70 + units / 10 })
    limited({ name: "  its processor time in 20 s of rest", unit: "ms", figures: [idle], atMost: 50 })
  }
}
process.exit()
