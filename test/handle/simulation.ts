/**
 * A world around the pure machine, in which everything that may happen is a move: it does what the machine wants done,
 * one thing at a time and in any order, and complains as soon as something is wrong. No clock, no fibers.
 */
import { step } from "../../src/handle/HandleMachine.js"
import type { Action, Event, Mode, Reply, Retry, Rules, State } from "../../src/handle/HandleState.js"
import { initial } from "../../src/handle/HandleState.js"

/** Generations make good snapshots: each resource has its own. */
export type Snapshot = { readonly of: number }
export type Failure = { readonly why: string }

const rulesOf = (mode: Mode): Rules<Snapshot, Failure> => ({
  mode,
  failureThreshold: 2,
  busyGraceMillis: 100,
  unavailable: (resource, { reason }) => ({ why: `external ${resource.generation}: ${reason}` }),
})

/** How much of everything there may be at once, so that the number of worlds is finite. */
const most = { looks: 2, holds: 1, waiters: 2 }

class Violation extends Error {}

const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Violation(what)
}

const isUsed = ({ status }: State<Snapshot, Failure>): boolean =>
  status._tag === "Ready" && (status.looks > 0 || status.holds > 0)

/** Those who validate or hold a resource, by its generation. */
type Counts = ReadonlyMap<number, number>

const change = (counts: Counts, generation: number, by: number): Counts => {
  const next = new Map(counts)
  const count = (counts.get(generation) ?? 0) + by
  if (count === 0) next.delete(generation)
  else next.set(generation, count)
  return next
}

const total = (counts: Counts): number => [...counts.values()].reduce((sum, count) => sum + count, 0)

/** One world. Moves make new ones. */
export class World {
  state: State<Snapshot, Failure> = initial
  /** The one resource that is alive, from its start until nothing of it is left. */
  live: number | undefined
  starting: number | undefined
  stopping: number | undefined
  looks: Counts = new Map()
  holds: Counts = new Map()
  /** Those who wait, and for which flight. */
  waiters = 0
  flight: number | undefined
  backoff: number | undefined
  idle: number | undefined
  watched: number | undefined
  isFinished = false
  private readonly rules: Rules<Snapshot, Failure>

  /** @param mode the one that is presumed before there is a resource */
  constructor(private readonly mode: Mode) {
    this.rules = rulesOf(mode)
  }

  private copy(): World {
    return Object.assign(new World(this.mode), this)
  }

  /** Everything that may happen now, by name. */
  moves(): ReadonlyArray<readonly [string, () => World]> {
    const { state, starting, stopping } = this
    const moves: Array<readonly [string, () => World]> = []
    const may = (name: string, condition: boolean, make: () => World): void => {
      if (condition) moves.push([name, make])
    }
    const send = (event: Event<Snapshot, Failure>, before?: (world: World) => void) => () => {
      const next = this.copy()
      before?.(next)
      next.send(event)
      return next
    }
    const problem = { reason: "bad" }

    may("acquire", this.room, send({ _tag: "Acquire" }))
    for (const generation of this.looks.keys()) {
      const done = (world: World): void => {
        world.looks = change(world.looks, generation, -1)
      }
      may(
        `good verdict on ${generation}`,
        true,
        send({ _tag: "Verdict", generation, problem: undefined }, done),
      )
      may(`bad verdict on ${generation}`, true, send({ _tag: "Verdict", generation, problem }, done))
      may(`abandon ${generation}`, true, send({ _tag: "Abandon", generation }, done))
    }
    const { flight } = this
    may(
      "leave",
      flight !== undefined,
      send({ _tag: "Leave", flight: flight ?? 0 }, (world) => world.depart(1)),
    )
    may(
      "leave a flight that has landed",
      true,
      this.ignoring({ _tag: "Leave", flight: (state.flight?.id ?? state.serial + 1) - 1 }),
    )
    if (state.status._tag === "Ready") {
      const { generation } = state.status.resource
      may(
        "hold",
        total(this.holds) < most.holds,
        send({ _tag: "Hold", generation }, (world) => {
          world.holds = change(world.holds, generation, 1)
        }),
      )
    }
    for (const generation of this.holds.keys()) {
      may(
        `release ${generation}`,
        true,
        send({ _tag: "Release", generation }, (world) => {
          world.holds = change(world.holds, generation, -1)
        }),
      )
    }
    for (const mode of ["managed", "external"] as const) {
      may(
        `started ${mode}`,
        starting !== undefined,
        send(
          { _tag: "Started", generation: starting!, snapshot: { of: starting! }, mode, attributes: {} },
          (world) => {
            world.starting = undefined
          },
        ),
      )
    }
    for (const retry of ["at-once", "after-backoff", "refused-in-backoff"] satisfies ReadonlyArray<Retry>) {
      may(
        `start failed, ${retry}`,
        starting !== undefined,
        send(
          { _tag: "StartFailed", generation: starting!, reason: retry, failure: { why: retry }, retry },
          (world) => {
            world.starting = undefined
            world.live = undefined
          },
        ),
      )
    }
    may(
      "stopped",
      stopping !== undefined,
      send({ _tag: "Stopped", generation: stopping! }, (world) => {
        world.stopping = undefined
        world.live = undefined
      }),
    )
    for (const isLast of [false, true]) {
      may(
        isLast ? "backoff over for good" : "backoff over",
        this.backoff !== undefined,
        send({ _tag: "BackoffOver", timer: this.backoff!, isLast }, (world) => {
          world.backoff = undefined
        }),
      )
    }
    may(
      "idle over",
      this.idle !== undefined,
      send({ _tag: "IdleOver", timer: this.idle!, reason: "idle" }, (world) => {
        world.idle = undefined
      }),
    )
    const { watched } = this
    if (watched !== undefined) {
      may("checked, good", true, send({ _tag: "Checked", generation: watched, problem: undefined }))
      for (const [isBusy, at] of [
        [false, 0],
        [true, 0],
        [true, 1_000],
      ] as const) {
        may(
          `checked, bad${isBusy ? `, busy at ${at}` : ""}`,
          true,
          send({ _tag: "Checked", generation: watched, problem: { reason: "bad", isBusy, at } }),
        )
      }
    }
    may("lost", this.live !== undefined, send({ _tag: "Lost", generation: this.live!, reason: "gone" }))
    may("invalidate", true, send({ _tag: "Invalidate", reason: "invalid" }))
    if (state.status._tag === "Ready") {
      const { snapshot } = state.status.resource
      may(
        "invalidate this",
        true,
        send({ _tag: "Invalidate", snapshot: { is: snapshot }, reason: "invalid" }),
      )
    }
    may("reset", true, send({ _tag: "Reset" }))
    may("close", true, send({ _tag: "Close" }))
    // News of what is no more.
    const old = (this.live ?? state.generation + 1) - 1
    may("late lost", true, this.ignoring({ _tag: "Lost", generation: old, reason: "late" }))
    may("late stopped", true, this.ignoring({ _tag: "Stopped", generation: old }))
    may("late check", true, this.ignoring({ _tag: "Checked", generation: old, problem: undefined }))
    may("late release", true, this.ignoring({ _tag: "Release", generation: old }))
    may("late abandon", true, this.ignoring({ _tag: "Abandon", generation: old }))
    may("late backoff", true, this.ignoring({ _tag: "BackoffOver", timer: -1, isLast: true }))
    may("late idle", true, this.ignoring({ _tag: "IdleOver", timer: -1, reason: "late" }))
    for (const generation of new Set([old, stopping ?? old])) {
      const about = { snapshot: { of: generation }, mode: "managed", attributes: {} } as const
      may("late start", true, this.ignoring({ _tag: "Started", generation, ...about }))
      const late = { reason: "late", failure: { why: "late" }, retry: "after-backoff" } as const
      may("late failure", true, this.ignoring({ _tag: "StartFailed", generation, ...late }))
    }
    may(
      "invalidate an old one",
      true,
      this.ignoring({ _tag: "Invalidate", snapshot: { is: { of: old } }, reason: "late" }),
    )
    return moves
  }

  /** What tells this world from others, whatever the numbers are. */
  key(): string {
    const { state } = this
    const age = (generation: number | undefined) =>
      generation === undefined ? undefined : generation === state.generation ? "current" : "old"
    const ages = (counts: Counts) =>
      [...counts].map(([generation, count]) => `${age(generation)} ${count}`).sort()
    const { status } = state
    return JSON.stringify([
      status._tag,
      status._tag === "Ready" ? [status.resource.mode, status.health, status.idle === this.idle] : undefined,
      status._tag === "Failed" ? [status.mode, status.retry] : undefined,
      state.work._tag,
      state.flight?.isKept,
      state.backoff === undefined,
      state.latest?.mode,
      state.isClosed,
      age(this.live),
      ages(this.looks),
      ages(this.holds),
      this.waiters,
      this.flight === undefined,
      this.backoff === undefined,
      this.idle === undefined,
      age(this.watched),
      this.isFinished,
    ])
  }

  private get room(): boolean {
    return total(this.looks) < most.looks && this.waiters < most.waiters
  }

  private ignoring(event: Event<Snapshot, Failure>): () => World {
    return () => {
      const { actions, state } = step(this.rules, this.state, event)
      must(state === this.state && actions.length === 0, `${event._tag} that came too late changed something`)
      return this
    }
  }

  private send(event: Event<Snapshot, Failure>): void {
    const before = this.state
    const { actions, reply, state } = step(this.rules, before, event)
    this.state = state
    const asked = event._tag === "Acquire" || event._tag === "Verdict"
    must(
      asked === (reply !== undefined) || ["Hold", "Invalidate"].includes(event._tag),
      `a reply to ${event._tag}`,
    )
    if (asked) this.answered(reply!)
    let from = before.status._tag
    for (const action of actions) from = this.perform(action, from)
    must(from === state.status._tag, `${from} -> ${state.status._tag} was not told`)
    this.check(before, event, reply)
  }

  private answered(reply: Reply<Snapshot, Failure>): void {
    if (reply._tag === "Look") this.looks = change(this.looks, reply.resource.generation, 1)
    if (reply._tag === "Join") {
      must(this.flight === undefined || this.flight === reply.flight, "two flights at once")
      this.flight = reply.flight
      this.waiters++
    }
    if (reply._tag === "Give") {
      must(reply.resource.generation === this.live, "a resource was given that is not alive")
      must(this.starting === undefined && this.stopping === undefined, "a resource was given that is not up")
    }
  }

  private depart(count: number): void {
    this.waiters -= count
    if (this.waiters === 0) this.flight = undefined
  }

  private perform(action: Action<Snapshot, Failure>, from: string): typeof this.state.status._tag {
    switch (action._tag) {
      case "Start":
        must(this.live === undefined, `${action.generation} is started while ${this.live} is alive`)
        must(!this.state.isClosed, "a closed handle starts something")
        this.live = this.starting = action.generation
        break
      case "Stop":
        must(this.live === action.generation, `${action.generation} is stopped, which is not alive`)
        must(this.stopping === undefined, `${action.generation} is stopped twice`)
        this.starting = this.watched = this.idle = undefined
        this.stopping = action.generation
        break
      case "Settle":
        must(this.flight === undefined || this.flight === action.flight, "another flight lands")
        if (action.outcome._tag === "Give") {
          must(action.outcome.resource.generation === this.live, "a resource was given that is not alive")
        }
        this.depart(this.waiters)
        break
      case "ArmBackoff":
        must(this.backoff === undefined, "two backoffs at once")
        this.backoff = action.timer
        break
      case "ResetBackoff":
        this.backoff = undefined
        break
      case "ArmIdle":
        must(!isUsed(this.state), "it counts as idle while it is used")
        this.idle = action.timer
        break
      case "Watch":
        this.watched = action.resource.generation
        break
      case "Tell":
        must(action.change.from === from, `${action.change.from} -> ${action.change.to} from ${from}`)
        return action.change.to
      case "Finish":
        must(!this.isFinished && this.live === undefined, "finished while something is left")
        this.isFinished = true
    }
    return from as typeof this.state.status._tag
  }

  private check(
    before: State<Snapshot, Failure>,
    event: Event<Snapshot, Failure>,
    reply: Reply<Snapshot, Failure> | undefined,
  ): void {
    const { state } = this
    const { flight, status, work } = state
    must((flight?.waiters ?? 0) === this.waiters, "somebody who waits was forgotten")
    if (flight !== undefined) {
      const isComing = work._tag !== "None" || state.backoff !== undefined
      must(isComing, "somebody waits for nothing")
      must(status._tag !== "Ready", "somebody waits for what is there")
      must(flight.waiters > 0 || flight.isKept, "a flight for nobody")
    }
    must(state.backoff === this.backoff, "the backoff")
    must((work._tag === "Starting") === (this.starting !== undefined), "starting")
    must((work._tag === "Stopping") === (this.stopping !== undefined), "stopping")
    must(work._tag !== "Starting" || flight !== undefined, "something is started that nobody wants")
    if (status._tag === "Ready") {
      const { generation } = status.resource
      must(this.live === generation && work._tag === "None", "Ready without a resource")
      must(status.looks === (this.looks.get(generation) ?? 0), "the looks")
      must(status.holds === (this.holds.get(generation) ?? 0), "the holds")
      const isUnused = status.looks === 0 && status.holds === 0 && event._tag !== "IdleOver"
      if (isUnused && this.idle !== undefined) must(status.idle === this.idle, "idle, and no timer for it")
    } else {
      must(this.live === undefined || work._tag !== "None", "a resource is left over")
    }
    if (state.isClosed) {
      must(status._tag === "Empty" && flight === undefined, "closed, and yet there is something")
      must(this.isFinished === (this.live === undefined), "closed, and the end is not told")
      if (event._tag === "Acquire") must(reply?._tag === "Closed", "a closed handle gives something")
    }
    if (before.status._tag === "Failed" && before.status.retry === "never" && event._tag !== "Reset") {
      must(status === before.status || state.isClosed, "what failed for good has changed")
      if (event._tag === "Acquire") {
        must(reply?._tag === "Refuse" && reply.failure === before.status.failure, "another failure")
      }
    }
    if (event._tag === "Leave" && before.flight?.isKept === true) {
      must(flight?.isKept === true, "what the handle itself wants is given up")
    }
    if (event._tag === "IdleOver" && status !== before.status) {
      must(!isUsed(before) && state.latest?.mode === "managed", "stopped as idle, and it is not")
    }
    if (event._tag === "Checked" && status._tag === "Stale") {
      must(flight?.isKept === true, "unhealthy, and not replaced")
    }
    if (status._tag === "Failed" && status.mode === "external") must(status.retry === "never", "not for good")
    if (status._tag === "Stale") must(state.latest?.mode === "managed", "an external resource is Stale")
  }
}
