/**
 * A soak: one daemon for a long time, with restarts, output that never ends, jobs, and clients that ask and follow. No
 * faults but units that are killed. What counts is the slope of its memory.
 */
import { type Settings, open } from "./chaos.js"
import { narrowGroup } from "./jobs.js"
import { Latencies } from "./latency.js"
import { ask, operate } from "./operate.js"
import { descriptors, residentMegabytes } from "./processes.js"
import * as Random from "./random.js"
import { strike } from "./strike.js"
import { type World, sleep } from "./world.js"

/** What the daemon held at one time. */
export interface Sample {
  /** Since the beginning. */
  readonly minutes: number
  /** As it was. */
  readonly megabytes: number
  /** After its garbage was collected. */
  readonly collected: number
  /** What its objects take then, without compiled code. */
  readonly objects: number
  readonly descriptors: number
}

/** What came of a soak. */
export interface Soaked {
  readonly samples: ReadonlyArray<Sample>
  readonly latencies: Latencies
  readonly answers: ReadonlyMap<string, number>
  readonly breaks: ReadonlyArray<string>
  readonly left: number
}

/** How much `y` grows for each one of `x`: the line that fits best, by least squares. */
export const slope = (points: ReadonlyArray<readonly [x: number, y: number]>): number => {
  const mean = (values: ReadonlyArray<number>) =>
    values.reduce((sum, value) => sum + value, 0) / values.length
  const [x, y] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))]
  const spread = points.reduce((sum, [one]) => sum + (one - x) ** 2, 0)
  return spread === 0 ? 0 : points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0) / spread
}

/** Follows for ever; begins anew when the stream ends. */
const follower = async (world: World, target: string, isOver: () => boolean): Promise<void> => {
  while (!isOver()) {
    await new Promise<void>((resolve) => {
      const request = world.daemon.request("GET", target)
      if (request === undefined) return resolve()
      const timer = setInterval(() => isOver() && request.destroy(), 200)
      const done = () => {
        clearInterval(timer)
        resolve()
      }
      request.on("error", done)
      request.on("close", done)
      request.on("response", (response) => response.on("error", done).resume())
    })
    await sleep(100)
  }
}

const restarts = ["sleeper", "family", "escapee", "web", "flooder", "first", "deaf"] as const

/** Runs one for so many minutes. */
export const soak = async (settings: Settings, minutes: number): Promise<Soaked> => {
  const { close, world } = open({ ...settings, faults: ["kill"] })
  const { daemon, log, verdicts } = world
  const latencies = new Latencies(world)
  const random = Random.make(settings.seed)
  const samples: Array<Sample> = []
  const begin = performance.now()
  const passed = () => (performance.now() - begin) / 60_000
  const isOver = () => passed() >= minutes || daemon.life === undefined

  const every = async (millis: number, work: () => Promise<unknown>) => {
    while (!isOver()) {
      const next = performance.now() + millis
      await work()
      await sleep(Math.max(1, next - performance.now()))
    }
  }
  const sample = async () => {
    const { life } = daemon
    if (life === undefined) return
    const megabytes = residentMegabytes(life.pid)
    const objects = await daemon.collect()
    if (objects === undefined) return
    const one = {
      minutes: passed(),
      megabytes,
      collected: residentMegabytes(life.pid),
      objects,
      descriptors: descriptors(life.pid),
    }
    samples.push(one)
    log(
      `  ${one.minutes.toFixed(1)} min: ${megabytes.toFixed(1)} MB, ${one.collected.toFixed(1)} MB collected, ${one.objects.toFixed(1)} MB of objects, ${one.descriptors} descriptors`,
    )
  }

  let left = 0
  try {
    await daemon.start()
    await ask(world, "PUT", `/groups/${narrowGroup}`, { body: { parallelism: 2 } })
    await Promise.all([
      every(Math.min(15_000, minutes * 2_000), sample),
      every(100, () => latencies.ask("GET /units")),
      every(250, () => ask(world, "GET", `/units/${random.pick(restarts)}/logs?lines=100`)),
      every(1_000, () => ask(world, "GET", "/metrics")),
      every(1_000, () => ask(world, "GET", "/events?limit=100")),
      every(500, () =>
        operate(world, {
          _tag: "Unit",
          action: "restart",
          name: random.pick(restarts),
          untilMillis: 2_000,
        }),
      ),
      every(3_000, () =>
        Promise.resolve(strike(world, { _tag: "Strike", fault: "kill", at: random.next(), group: true })),
      ),
      every(700, () =>
        operate(world, {
          _tag: "Exec",
          kind: random.pick(["quick", "family", "flood", "retried", "narrow", "fed"]),
          code: 0,
          keyed: false,
        }),
      ),
      every(60_000, () => ask(world, "POST", "/gc", { body: { keep: 50 } })),
      ...["/units/flooder/follow", "/units/flooder/follow?lines=50", "/events/follow"].map((target) =>
        follower(world, target, isOver),
      ),
    ])
    verdicts.expect("life", daemon.life !== undefined, () => "the daemon is not there at the end")
    await daemon.end()
  } finally {
    left = close()
  }
  return {
    samples,
    latencies,
    answers: world.answers,
    breaks: verdicts.breaks.map(({ invariant, text }) => `${invariant}: ${text}`),
    left,
  }
}

/** The lines of the report. The first fifth is warm-up. */
export const soakReport = ({ breaks, left, samples }: Soaked, minutes: number): ReadonlyArray<string> => {
  const steady = samples.filter((one) => one.minutes >= minutes / 5)
  if (steady.length < 2) return ["too short for a slope"]
  const line = (name: "megabytes" | "collected" | "objects" | "descriptors", words: string) => {
    const values = steady.map((one) => one[name])
    const hourly = slope(steady.map((one) => [one.minutes / 60, one[name]]))
    const [first, last] = [values[0]!, values.at(-1)!]
    return `${words.padEnd(44)} ${first.toFixed(1)} at first, ${last.toFixed(1)} at last, ${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}, slope ${hourly.toFixed(2)} an hour`
  }
  return [
    "",
    `${samples.length} samples in ${minutes} minutes, the first fifth left out:`,
    line("megabytes", "resident memory, MB"),
    line("collected", "resident memory, its garbage collected, MB"),
    line("objects", "its objects, without compiled code, MB"),
    line("descriptors", "file descriptors"),
    `${left} processes left at the end; ${breaks.length} breaks`,
    ...breaks.map((text) => `  ${text}`),
  ]
}
