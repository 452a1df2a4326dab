/** A run: a place, a daemon, the plan step by step, a look after each, and what came of it. */
import * as fs from "node:fs"
import { Checks } from "./checks.js"
import { Daemon } from "./daemon.js"
import { Desires } from "./desires.js"
import { Shortages, available } from "./faults.js"
import { narrowGroup } from "./jobs.js"
import { Latencies } from "./latency.js"
import { Model } from "./model.js"
import { ask, filesOf, operate } from "./operate.js"
import * as Place from "./place.js"
import * as Plan from "./plan.js"
import { Watch } from "./processes.js"
import { type Measured, quiet } from "./quiet.js"
import { die, revive, strike } from "./strike.js"
import { configuration } from "./units.js"
import { type Break, Verdicts } from "./verdicts.js"
import { type World, sleep } from "./world.js"

/** What to run. */
export interface Settings {
  readonly seed: number
  readonly operations: number
  /** The built program. */
  readonly program: string
  /** Default: all that can be had here. */
  readonly faults?: ReadonlyArray<Plan.FaultName> | undefined
  readonly quietEvery?: number | undefined
  /** How long an answer about the state may take. Default: 100. */
  readonly stateMillis?: number | undefined
  /** Leave the place as it is at the end. */
  readonly keep?: boolean | undefined
  /** A directory to use, and a mark, so that whoever gave them can clear up after a crash of this program. */
  readonly base?: string | undefined
  readonly mark?: string | undefined
  readonly log: (text: string) => void
}

/** What came of it. */
export interface Outcome {
  readonly verdicts: Verdicts
  readonly latencies: Latencies
  /** How often each fault was drawn, and how often of these it came to nothing. */
  readonly drawn: ReadonlyMap<Plan.FaultName, { readonly times: number; readonly idle: number }>
  readonly actions: ReadonlyMap<string, number>
  readonly answers: ReadonlyMap<string, number>
  readonly measured: ReadonlyArray<Measured>
  readonly starts: ReadonlyArray<number>
  readonly accepted: number
  readonly seconds: number
  readonly place: Place.Place
  /** Processes that were left when all was to be over, and had to be killed. */
  readonly left: number
}

/** So many operations wait for their answers at most. */
const mostInFlight = 12

/** How long the next operation waits for the answer of one, in milliseconds. */
const headStart = 50

/** A place with a daemon on it, and everything that looks at it. `close` ends all of it. */
export const open = (settings: Settings) => {
  const { log } = settings
  const faults = settings.faults ?? available()
  const place = Place.make({ base: settings.base, mark: settings.mark, small: faults.includes("disk") })
  const verdicts = new Verdicts(({ invariant, step, text }: Break) =>
    log(`  BROKEN ${invariant} (after #${step}): ${text}`),
  )
  const shortages = new Shortages(place, faults)
  const daemon = new Daemon(place, settings.program, shortages.clock, (how) =>
    verdicts.broken("life", `the daemon ended by itself: ${how}`),
  )
  const world: World = {
    place,
    daemon,
    watch: new Watch(place.mark, (pid) => daemon.pids.has(pid)),
    model: new Model(place.jobLedger),
    verdicts,
    shortages,
    desires: new Desires(),
    slack: 3_000,
    answers: new Map(),
    isChanging: false,
    keeperKilledAt: Number.NEGATIVE_INFINITY,
    log,
  }
  fs.writeFileSync(place.config, configuration(0, filesOf(world)))
  let closed: number | undefined
  const close = (): number => {
    if (closed !== undefined) return closed
    process.off("exit", close)
    shortages.lift()
    closed = Place.clear(place, settings.keep ?? false, daemon.pids)
    return closed
  }
  // Whatever becomes of this program.
  process.on("exit", close)
  return { world, faults, close }
}

/** Compares what a daemon holds with what it held after it had been warmed up for a whole stretch. */
const compare = ({ verdicts }: World, measured: ReadonlyArray<Measured>): void => {
  const latest = measured.at(-1)
  const own = measured.filter(({ pid }) => pid === latest?.pid)
  if (latest === undefined || own.length < 3) return
  const base = own[1]!
  const text = (name: "megabytes" | "descriptors") => () =>
    `${name}: ${base[name].toFixed(1)} after #${base.step}, ${latest[name].toFixed(1)} after #${latest.step}`
  verdicts.expect("memory", latest.megabytes <= base.megabytes * 1.1, text("megabytes"))
  verdicts.expect("descriptors", latest.descriptors <= base.descriptors * 1.1, text("descriptors"))
}

/** Runs the plan of the seed. */
export const run = async (settings: Settings): Promise<Outcome> => {
  const begin = performance.now()
  const { close, faults, world } = open(settings)
  const { daemon, log, model, place, shortages, verdicts, watch } = world
  const steps = Plan.make({ ...settings, faults, quietEvery: settings.quietEvery ?? 250 })
  const latencies = new Latencies(world, settings.stateMillis)
  const checks = new Checks(world, latencies)
  const drawn = new Map<Plan.FaultName, { times: number; idle: number }>()
  const actions = new Map<string, number>()
  const measured: Array<Measured> = []
  const inFlight = new Set<Promise<void>>()
  let hadFullDisk = false
  const draw = (fault: Plan.FaultName, didSomething: boolean) => {
    const { idle, times } = drawn.get(fault) ?? { times: 0, idle: 0 }
    drawn.set(fault, { times: times + 1, idle: idle + (didSomething ? 0 : 1) })
  }

  const act = async (action: Plan.Action): Promise<void> => {
    switch (action._tag) {
      case "Quiet": {
        const found = await quiet(world, hadFullDisk, Promise.all(inFlight))
        hadFullDisk = false
        if (found === undefined) return
        measured.push(found)
        log(`  quiet: ${found.megabytes.toFixed(1)} MB, ${found.descriptors} descriptors (pid ${found.pid})`)
        compare(world, measured)
        return
      }
      case "Death":
        draw(action.fault, true)
        return die(world, action)
      case "Strike": {
        const hit = strike(world, action)
        log(`  ${hit}`)
        draw(action.fault, hit !== "nobody is there")
        return
      }
      case "Shortage": {
        const keepers = watch.look().filter(({ role }) => role._tag === "Keeper")
        const pids = [daemon.life?.pid, ...keepers.map(({ pid }) => pid)].flatMap((pid) => pid ?? [])
        const did =
          daemon.life !== undefined &&
          shortages.begin(action.fault, action.operations, action.clockSeconds, pids)
        if (did && action.fault === "disk") hadFullDisk = true
        draw(action.fault, did)
        return
      }
      default: {
        const running: Promise<void> = operate(world, action).finally(() => inFlight.delete(running))
        inFlight.add(running)
        await Promise.race([running, sleep(headStart)])
        if (inFlight.size >= mostInFlight) await Promise.race(inFlight)
      }
    }
  }

  let left = 0
  try {
    await daemon.start()
    await ask(world, "PUT", `/groups/${narrowGroup}`, { body: { parallelism: 2 } })
    for (const step of steps) {
      verdicts.step = step.number
      log(Plan.describe(step))
      actions.set(step.action._tag, (actions.get(step.action._tag) ?? 0) + 1)
      await act(step.action)
      if (daemon.life === undefined) await revive(world)
      await sleep(step.gapMillis)
      await checks.look()
      shortages.pass()
    }
    verdicts.step = steps.length
    await die(world, { _tag: "Death", fault: "daemon-end", gapMillis: 0 })
    await daemon.end()
  } finally {
    left = close()
  }
  return {
    verdicts,
    latencies,
    drawn,
    actions,
    answers: world.answers,
    measured,
    starts: daemon.starts,
    accepted: model.jobs.filter(({ id }) => id !== undefined).length,
    seconds: (performance.now() - begin) / 1_000,
    place,
    left,
  }
}
