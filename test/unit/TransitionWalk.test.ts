/**
 * Walks all reachable states of one unit, for each kind of unit and each set of traits: every order of commands, of what
 * its dependencies say, and of what an honest interpreter may answer, at any depth. Generations, tokens and totals grow
 * for ever and decide nothing, so they are made small again; what is left is finite, and is seen completely.
 */
import { describe, expect, it } from "@effect/vitest"
import { type Traits, transition } from "../../src/unit/Transition.js"
import type { UnitEvent } from "../../src/unit/UnitEvent.js"
import { initial, isSettled, type UnitState } from "../../src/unit/UnitState.js"
import { isLost, isSame, type Verdict } from "../../src/unit/Verdict.js"
import * as Environment from "./environment.js"

/** What happens, and the interpreter once it has. */
interface Input {
  readonly event: UnitEvent
  readonly env: Environment.Environment
}

const waiting = (required: boolean, lost: boolean, bound: boolean): Verdict => ({
  _tag: "Waiting",
  reasons: [`It waits: ${required} ${lost} ${bound}.`],
  required,
  lost,
  bound,
})

const verdicts: ReadonlyArray<Verdict> = [
  { _tag: "Met" },
  waiting(false, false, false),
  waiting(true, false, false),
  waiting(true, true, false),
  waiting(true, true, true),
  { _tag: "Broken", name: "db", why: "It has failed.", bound: false },
  { _tag: "Broken", name: "db", why: "It has failed.", bound: true },
]

const commands: ReadonlyArray<UnitEvent> = [
  { _tag: "Start" },
  { _tag: "Stop" },
  { _tag: "Restart", cause: "restart" },
  { _tag: "Restart", cause: "group" },
  { _tag: "Shutdown" },
]

/** What must hold of every step; words for each that does not. */
const faultsOf = (
  traits: Traits,
  from: Environment.Node,
  { env: after, event }: Input,
  to: Environment.Node,
  spawns: boolean,
) => {
  const faults: Array<string> = [...Environment.disagreements(traits, to.state, to.env)]
  const claim = (holds: boolean, what: string) => {
    if (!holds) faults.push(what)
  }
  const { phase } = to.state
  const isOrdered = event._tag === "Start" || (event._tag === "Restart" && event.cause === "restart")

  // What is to stay down.
  if (from.state.desired === "down" && !isOrdered) claim(!spawns, "a stopped unit starts by itself")
  if (event._tag === "Stop") claim(to.state.desired === "down", "stopped, and not wanted down")
  if (from.state.closed) claim(!spawns && to.state.closed, "it starts while everything closes")
  if (event._tag === "Restart" && event.cause === "group") claim(!spawns, "it starts for its group's sake")
  const isOver = event._tag === "Gone" || event._tag === "SpawnFailed"
  if (isOver && from.state.phase._tag === "Stopping" && traits.restart.policy === "never") {
    const { cause, queued } = from.state.phase
    if (!queued && cause !== "restart" && cause !== "dependency")
      claim(!spawns && phase._tag !== "Backoff", "what is never restarted is")
  }

  // What counts as a failure.
  if (to.state.failures > from.state.failures) {
    const was = from.state.phase
    const isOwn =
      was._tag === "Stopping"
        ? !was.queued && ["exit", "start-timeout", "unhealthy"].includes(was.cause)
        : event._tag === "SpawnFailed"
    claim(isOver && isOwn, "what was ordered counts as a failure")
  }

  // What starts.
  if (spawns) {
    claim(from.env.instance === undefined || after.instance === undefined, "a start overlaps a stop")
    claim(to.state.verdict._tag === "Met", "it starts, and its dependencies are not met")
    claim(traits.kind !== "target", "a target has an instance")
    claim(to.state.generation === from.state.generation + 1, "the generation does not count")
    claim(to.state.desired === "up", "it starts, and nobody wants it")
  }

  // Who is told down, is told in time.
  const { instance } = from.env
  if (instance?.born === true && after.instance === undefined)
    claim(instance.down, "it is gone, and nobody was told that it is down")

  // No state without a way out, or a deadline.
  const { armed } = to.state
  switch (phase._tag) {
    case "Blocked":
      claim(to.state.verdict._tag === "Waiting", "Blocked, and nothing is waited for")
      claim((armed.dependency !== undefined) === traits.waitLimited, "Blocked: no deadline")
      break
    case "Starting":
      claim(!traits.startLimited || armed.start !== undefined, "Starting: no deadline")
      if (phase.spawned && !traits.probed && traits.kind !== "oneshot")
        claim(armed.uptime !== undefined, "Starting: nothing makes it Ready")
      claim(!isLost(to.state.verdict), "it goes on starting, and what it requires is lost")
      break
    case "Ready":
    case "Degraded":
      if (traits.kind === "target") {
        claim(!isLost(to.state.verdict), "a target is up, and what it requires is lost")
      } else
        claim(
          to.state.verdict._tag === "Met" || !to.state.verdict.bound,
          "up, and what it is bound to is lost",
        )
      if (phase._tag === "Ready" && to.state.failures > 0)
        claim(armed.stable !== undefined, "Ready: nothing clears its failures")
      if (phase._tag === "Degraded" && phase.due)
        claim(armed.askBusy !== undefined || armed.busyGrace !== undefined, "due: no deadline")
      break
    case "Backoff":
      claim(!isLost(to.state.verdict), "Backoff, and what it requires is lost")
      claim(to.state.failures <= traits.restart.maxFailures, "it is tried more often than it may be")
      break
    default:
      break
  }
  return faults
}

/** Everything that comes too late: of another generation, with another token, or of an instance that is gone. */
const staleEvents = (
  { generation, live }: UnitState,
  uses: Environment.Options["uses"],
): ReadonlyArray<UnitEvent> => {
  const error = { kind: "CommandNotFound", message: "There is no such program." }
  const of = (generation: number): ReadonlyArray<UnitEvent> => [
    { _tag: "Spawned", generation, adopted: false },
    { _tag: "SpawnFailed", generation, error, retryable: true },
    { _tag: "Ended", generation, end: { _tag: "Exited", code: 1 } },
    { _tag: "Gone", generation, survivors: [] },
    { _tag: "Gone", generation, survivors: ["pid 7"] },
    ...uses.flatMap((use): ReadonlyArray<UnitEvent> => [
      { _tag: "ProbePassed", generation, use, ready: true },
      { _tag: "ProbeFailed", generation, use, failures: 9, due: true, last: "It said no.", mismatch: true },
    ]),
  ]
  return [
    ...of(generation - 1),
    ...of(generation + 1),
    ...(live ? [] : of(generation)),
    ...Environment.timerNames.map((timer): UnitEvent => ({ _tag: "Timer", timer, token: 9 })),
    { _tag: "Busy", token: 9, busy: false },
    { _tag: "Delay", token: 9, until: 1 },
    { _tag: "Delay", token: 9, until: undefined },
  ]
}

/** Walks everything; what is wrong is told with the way there. */
const walk = (traits: Traits, options: Environment.Options) => {
  const seen = new Map<string, { readonly before: string | undefined; readonly event: string }>()
  const cells = new Set<string>()
  const complain = (key: string, event: UnitEvent, what: ReadonlyArray<string>): never => {
    const way = [JSON.stringify(event)]
    for (let at: string | undefined = key; at !== undefined;) {
      const { before, event }: { readonly before: string | undefined; readonly event: string } = seen.get(at)!
      way.push(`  ${at}`, event)
      at = before
    }
    throw new Error(`${what.join("; ")}\n${JSON.stringify(traits)}\n${way.reverse().join("\n")}`)
  }
  const closing = new Set<string>()
  /** Once the supervisor closes, nothing but what the interpreter owes is needed for the unit to come to rest. */
  const settles = (key: string, node: Environment.Node, left: number): void => {
    if (isSettled(node.state) || closing.has(Environment.keyOf(node))) return
    if (left === 0) complain(key, { _tag: "Shutdown" }, ["it never comes to rest"])
    const owed = Environment.possibilities(traits, node.env, options).filter(({ owed }) => owed)
    if (owed.length === 0) complain(key, { _tag: "Shutdown" }, ["nothing brings it to rest"])
    for (const { after, event } of owed) {
      const { effects, state } = transition(traits, node.state, event)
      settles(key, { state, env: Environment.perform(after, effects) }, left - 1)
    }
    closing.add(Environment.keyOf(node))
  }

  const first = Environment.canonical({ state: initial("manual"), env: Environment.quiet })
  seen.set(Environment.keyOf(first), { before: undefined, event: "begin" })
  for (let frontier = [[Environment.keyOf(first), first] as const]; frontier.length > 0;) {
    const next: typeof frontier = []
    for (const [key, node] of frontier) {
      const { env, state } = node
      for (const event of staleEvents(state, options.uses)) {
        const stepped = transition(traits, state, event)
        if (stepped.state !== state || stepped.effects.length > 0)
          complain(key, event, ["it comes too late, and does something"])
      }
      const inputs: ReadonlyArray<Input> = [
        ...commands.map((event) => ({ event, env })),
        ...verdicts.flatMap((verdict) =>
          isSame(verdict, state.verdict) ? [] : [{ event: { _tag: "Dependencies" as const, verdict }, env }],
        ),
        ...Environment.possibilities(traits, env, options).map(({ after, event }) => ({ event, env: after })),
      ]
      for (const input of inputs) {
        cells.add(`${state.phase._tag} ${input.event._tag}`)
        const { effects, state: after } = transition(traits, state, input.event)
        let to: Environment.Node
        try {
          to = { state: after, env: Environment.perform(input.env, effects) }
        } catch (error) {
          if (!(error instanceof Environment.Nonsense)) throw error
          return complain(key, input.event, [error.message])
        }
        const spawns = effects.some(({ _tag }) => _tag === "Spawn")
        const faults = faultsOf(traits, node, input, to, spawns)
        if (faults.length > 0) complain(key, input.event, faults)
        if (input.event._tag === "Shutdown") settles(key, to, 6)
        const found = Environment.keyOf(to)
        if (seen.has(found)) continue
        seen.set(found, { before: key, event: JSON.stringify(input.event) })
        next.push([found, Environment.canonical(to)])
      }
    }
    frontier = next
  }
  return { states: seen.size, cells }
}

interface Case {
  readonly traits: Traits
  readonly options: Environment.Options
}

const both = [true, false]
const policies = ["on-failure", "always", "never"] as const

/** The cases of a kind: every set of traits that means something to it. */
const casesOf = (kind: Traits["kind"]): ReadonlyArray<Case> => {
  const cases: Array<Case> = []
  const add = (
    given: Partial<Traits>,
    policy: (typeof policies)[number],
    maxFailures: number,
    more: Partial<Environment.Options> = {},
  ) => {
    const traits: Traits = {
      kind,
      probed: true,
      startLimited: true,
      waitLimited: true,
      offersBusy: false,
      ...given,
      restart: { policy, maxFailures, success: [], permanent: [77] },
    }
    const options: Environment.Options = {
      ends:
        kind === "task"
          ? [{ _tag: "Succeeded" }, { _tag: "Died", message: "It died." }]
          : [
              { _tag: "Exited", code: 0 },
              { _tag: "Signaled", signal: "SIGKILL" },
            ],
      spawnFails: ["retryable", "permanent"],
      failures: 2,
      survivors: true,
      mismatch: false,
      adopts: false,
      delaysEnd: true,
      uses: kind === "external" ? ["readiness"] : traits.probed ? ["readiness", "liveness"] : ["liveness"],
      ...more,
    }
    cases.push({ traits, options })
  }
  const unlimited = { startLimited: false, waitLimited: false }
  switch (kind) {
    case "target":
      add({ probed: false }, "on-failure", 1)
      add({ probed: false, waitLimited: false }, "on-failure", 1)
      break
    case "external":
      add({}, "on-failure", 1, { mismatch: true })
      add(unlimited, "on-failure", 1)
      break
    case "oneshot":
      for (const policy of ["on-failure", "never"] as const) {
        for (const maxFailures of policy === "never" ? [1] : [0, 1, 2]) {
          for (const limits of [{}, unlimited]) add({ probed: false, ...limits }, policy, maxFailures)
        }
      }
      add({ probed: false }, "on-failure", 1, { ends: [{ _tag: "Exited", code: 77 }] })
      break
    case "service":
    case "task":
      for (const policy of policies) {
        // A task is a service with other ends: the limits of restarts are walked with the one.
        for (const maxFailures of policy === "never" || kind === "task" ? [1] : [0, 1, 2]) {
          for (const probed of both) {
            for (const offersBusy of both) add({ probed, offersBusy }, policy, maxFailures)
          }
        }
      }
      add({ ...unlimited, offersBusy: true }, "on-failure", 1, {
        mismatch: true,
        adopts: true,
        uses: ["startup", "readiness", "liveness"],
      })
      if (kind === "service") {
        const ends = [0, 77].map((code) => ({ _tag: "Exited" as const, code }))
        add({}, "always", 1, { ends })
      }
      break
  }
  return cases
}

const process = [
  "Inactive",
  "Blocked",
  "Starting",
  "Ready",
  "Degraded",
  "Stopping",
  "Backoff",
  "Exited",
  "Failed",
]

/** The phases that there are for a kind. */
const phases: Readonly<Record<Traits["kind"], ReadonlyArray<string>>> = {
  target: ["Inactive", "Blocked", "Ready", "Degraded", "Failed"],
  external: ["Inactive", "Blocked", "Starting", "Ready", "Degraded", "Stopping", "Failed"],
  oneshot: ["Inactive", "Blocked", "Starting", "Stopping", "Backoff", "Exited", "Failed"],
  service: process,
  task: process,
}

/** Lets the test runner hear of this process in between. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe("all reachable states", () => {
  // So many there are, about: a walk that ends early proves nothing.
  const least = { target: 100, external: 1_000, oneshot: 12_000, task: 40_000, service: 120_000 }
  for (const kind of ["target", "external", "oneshot", "task", "service"] as const) {
    it(
      `of a ${kind}: one instance at most, no start over a stop, no start by itself, no state without a way out`,
      { timeout: 240_000 },
      async () => {
        let states = 0
        const cells = new Set<string>()
        for (const { options, traits } of casesOf(kind)) {
          const walked = walk(traits, options)
          await turn()
          states += walked.states
          for (const cell of walked.cells) cells.add(cell)
        }
        expect(states).toBeGreaterThan(least[kind])
        // Everything that may happen at any time has happened in every phase, and there are no other phases.
        const always = ["Start", "Stop", "Restart", "Shutdown", "Dependencies"]
        const expected = phases[kind].flatMap((phase) => always.map((event) => `${phase} ${event}`))
        expect([...cells]).toEqual(expect.arrayContaining(expected))
        expect(new Set([...cells].map((cell) => cell.split(" ")[0]))).toEqual(new Set(phases[kind]))
      },
    )
  }
})
