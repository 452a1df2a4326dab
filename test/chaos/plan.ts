/**
 * What a run does, operation by operation: a pure function of the seed. What a step meets when its turn comes (which
 * job is the third of four, say) depends on how fast the machine is; what it tries does not.
 */
import { type JobKind, jobKinds } from "./jobs.js"
import * as Random from "./random.js"
import { unitNames, variants } from "./units.js"

/** What may be made to go wrong. The plan has those that it is given. */
export const faultNames = [
  "kill",
  "stop",
  "daemon-kill",
  "daemon-end",
  "guardian-kill",
  "both-kill",
  "keeper-kill",
  "all-kill",
  "clock",
  "disk",
  "descriptors",
  "processes",
] as const
export type FaultName = (typeof faultNames)[number]

/** Those that last until they are lifted. */
export type Shortage = Extract<FaultName, "clock" | "disk" | "descriptors" | "processes">

/** One thing to do. `at`, from 0 to 1, says which of those that there are then. */
export type Action =
  | {
      readonly _tag: "Unit"
      readonly action: "start" | "stop" | "restart"
      readonly name: string
      readonly untilMillis: number
    }
  | {
      readonly _tag: "Units"
      readonly action: "start" | "stop" | "restart"
      readonly names: ReadonlyArray<string>
      readonly untilMillis: number
    }
  | { readonly _tag: "UnitSignal"; readonly name: string; readonly signal: string }
  | { readonly _tag: "UnitLogs"; readonly name: string; readonly how: "page" | "follow" }
  | { readonly _tag: "Reload"; readonly variant: number; readonly untilMillis: number }
  | { readonly _tag: "Exec"; readonly kind: JobKind; readonly code: number; readonly keyed: boolean }
  | { readonly _tag: "Wait"; readonly at: number; readonly untilMillis: number; readonly leave: boolean }
  | { readonly _tag: "Cancel"; readonly at: number; readonly graceMillis: number }
  | { readonly _tag: "JobSignal"; readonly at: number; readonly signal: string }
  | { readonly _tag: "JobLogs"; readonly at: number; readonly how: "tail" | "piece" | "follow" }
  | { readonly _tag: "JobAgain"; readonly at: number }
  | { readonly _tag: "JobStart"; readonly at: number }
  | { readonly _tag: "Forget"; readonly at: number }
  | {
      readonly _tag: "Look"
      readonly at: number
      readonly what: "events" | "graph" | "metrics" | "why" | "jobs"
    }
  | { readonly _tag: "Strike"; readonly fault: "kill" | "stop"; readonly at: number; readonly group: boolean }
  | {
      readonly _tag: "Death"
      readonly fault: Extract<
        FaultName,
        "daemon-kill" | "daemon-end" | "guardian-kill" | "both-kill" | "keeper-kill" | "all-kill"
      >
      readonly gapMillis: number
    }
  /** Lasts for so many operations. */
  | {
      readonly _tag: "Shortage"
      readonly fault: Shortage
      readonly operations: number
      readonly clockSeconds: number
    }
  /** Everything settles, and is looked at closely. */
  | { readonly _tag: "Quiet"; readonly final: boolean }

/** One of them in its place. */
export interface Step {
  /** From 1. */
  readonly number: number
  /** How long to wait before the next one, in milliseconds, however far this one is. */
  readonly gapMillis: number
  readonly action: Action
}

/** What to plan. */
export interface Settings {
  readonly seed: number
  readonly operations: number
  readonly faults: ReadonlyArray<FaultName>
  /** How many operations are between two quiet points. Default 250. */
  readonly quietEvery?: number
}

const untils = [0, 0, 50, 500, 2_000] as const
const signals = ["TERM", "KILL", "INT", "HUP", "USR1", "STOP", "CONT"] as const

const strikes = { kill: 7, stop: 4 } as const
const deaths = {
  "daemon-kill": 3,
  "daemon-end": 1,
  "guardian-kill": 1.5,
  "both-kill": 1,
  "keeper-kill": 1,
  "all-kill": 0.7,
} as const
const shortages = { clock: 0.5, disk: 0.35, descriptors: 0.35, processes: 0.35 } as const

const shares = <A extends string>(table: Readonly<Record<A, number>>) =>
  Object.entries(table) as Array<[A, number]>

/**
 * Of four stretches between quiet points one is wild. In the others nothing ends the daemon, so that what it holds
 * after one of them can be compared with what it held before.
 */
const isCalmStretch = (stretch: number): boolean => stretch % 4 !== 1

const drawer = (random: Random.Random, faults: ReadonlySet<FaultName>) => {
  const unit = (): Action => ({
    _tag: "Unit",
    action: random.pick(["start", "start", "stop", "restart"]),
    name: random.pick(unitNames),
    untilMillis: random.pick(untils),
  })
  const units = (): Action => {
    const count = random.whole(2, 4)
    const names = [...new Set(Array.from({ length: count }, () => random.pick(unitNames)))]
    const action = random.pick(["start", "start", "stop", "restart"] as const)
    return { _tag: "Units", action, names, untilMillis: random.pick(untils) }
  }
  const exec = (): Action => ({
    _tag: "Exec",
    kind: random.weighed(jobKinds.map(({ kind, weight }) => [weight, kind])),
    code: random.pick([0, 0, 0, 1, 7, 137, 255]),
    keyed: random.chance(0.5),
  })
  const ordinary: ReadonlyArray<readonly [number, () => Action]> = [
    [14, unit],
    [3, units],
    [4, () => ({ _tag: "UnitSignal", name: random.pick(unitNames), signal: random.pick(signals) })],
    [5, () => ({ _tag: "UnitLogs", name: random.pick(unitNames), how: random.pick(["page", "follow"]) })],
    [
      2,
      () => ({
        _tag: "Reload",
        variant: random.whole(0, variants - 1),
        untilMillis: random.pick([500, 2_000]),
      }),
    ],
    [28, exec],
    [
      8,
      () => ({
        _tag: "Wait",
        at: random.next(),
        untilMillis: random.pick([0, 100, 1_000, 3_000]),
        leave: random.chance(0.4),
      }),
    ],
    [6, () => ({ _tag: "Cancel", at: random.next(), graceMillis: random.pick([0, 50, 300]) })],
    [3, () => ({ _tag: "JobSignal", at: random.next(), signal: random.pick(signals) })],
    [
      8,
      () => ({ _tag: "JobLogs", at: random.next(), how: random.pick(["tail", "piece", "follow", "follow"]) }),
    ],
    [2, () => ({ _tag: "JobAgain", at: random.next() })],
    [2, () => ({ _tag: "JobStart", at: random.next() })],
    [1, () => ({ _tag: "Forget", at: random.next() })],
    [
      4,
      () => ({
        _tag: "Look",
        at: random.next(),
        what: random.pick(["events", "graph", "metrics", "why", "jobs"]),
      }),
    ],
  ]
  const struck = shares(strikes)
    .filter(([fault]) => faults.has(fault))
    .map(
      ([fault, weight]) =>
        [
          weight,
          (): Action => ({ _tag: "Strike", fault, at: random.next(), group: random.chance(0.3) }),
        ] as const,
    )
  const short = shares(shortages)
    .filter(([fault]) => faults.has(fault))
    .map(
      ([fault, weight]) =>
        [
          weight,
          (): Action => ({
            _tag: "Shortage",
            fault,
            operations: random.whole(5, 30),
            clockSeconds: random.pick([-86_400, -3_600, -5, 5, 3_600, 86_400]),
          }),
        ] as const,
    )
  const dead = shares(deaths)
    .filter(([fault]) => faults.has(fault))
    .map(
      ([fault, weight]) =>
        [
          weight,
          (): Action => ({ _tag: "Death", fault, gapMillis: random.pick([0, 0, 20, 300, 1_500]) }),
        ] as const,
    )
  const calm = [...ordinary, ...struck, ...short]
  const wild = [...calm, ...dead]
  return (isCalm: boolean): Action => random.weighed(isCalm ? calm : wild)()
}

/** All steps of a run; the last one is a quiet point. */
export const make = ({ faults, operations, quietEvery = 250, seed }: Settings): ReadonlyArray<Step> => {
  const random = Random.make(seed)
  const draw = drawer(random, new Set(faults))
  const steps: Array<Step> = []
  const add = (action: Action, gapMillis: number) =>
    steps.push({ number: steps.length + 1, gapMillis, action })
  for (let index = 1; index <= operations; index++) {
    const isCalm = isCalmStretch(Math.floor((index - 1) / quietEvery))
    add(draw(isCalm), random.pick([0, 0, 5, 20, 60]))
    if (index < operations && index % quietEvery === 0) add({ _tag: "Quiet", final: false }, 0)
  }
  add({ _tag: "Quiet", final: true }, 0)
  return steps
}

/** A step as the log of a run has it. */
export const describe = ({ action, number }: Step): string => {
  const { _tag, ...rest } = action
  const words = Object.entries(rest).map(
    ([name, value]) =>
      `${name}=${typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : String(value)}`,
  )
  return [`#${number}`, _tag, ...words].join(" ")
}
