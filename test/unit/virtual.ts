/** What the tests of the supervisor on virtual time share: everything in memory, an hour in milliseconds. */
import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import { EventLog } from "../../src/event/EventLog.js"
import type * as Check from "../../src/probe/Check.js"
import type * as Prober from "../../src/probe/Prober.js"
import { ProbeFailure } from "../../src/probe/ProbeResult.js"
import * as MemorySpawner from "../../src/process/MemorySpawner.js"
import type * as Plan from "../../src/unit/Plan.js"
import * as Supervisor from "../../src/unit/Supervisor.js"
import type { UnitStatus } from "../../src/unit/UnitStatus.js"
import * as Testing from "../../src/testing.js"

/** A supervisor and its world. Nothing starts by itself unless `autostart` says so. */
export interface Given extends Plan.Input, Testing.World {
  readonly autostart?: boolean
}

/** Provides a supervisor of these units. */
export const withUnits = ({ autostart = false, groups, units, ...world }: Given) =>
  Effect.provide(
    Testing.layer({ plan: { units, ...(groups !== undefined && { groups }) }, autostart, ...world }),
  )

/** Lets everything happen that takes no time. */
export const settle: Effect.Effect<void> = TestClock.adjust(0)

/** The supervisor of the test. */
export const { Supervisor: supervisor } = Supervisor

/** The processes of the test. */
export const memory = MemorySpawner.ScriptedSpawner

/** A unit that is Ready as soon as its process runs. */
export const quick = { command: ["run"], minUptime: 0 } satisfies Plan.UnitInput

/** The same, with other fields. */
export const unit = (given: Partial<Plan.UnitInput> = {}): Plan.UnitInput => ({ ...quick, ...given })

export const status = (name: string) => Effect.flatMap(supervisor, (service) => service.status(name))

export const statusNow = (name: string): Effect.Effect<UnitStatus, never, Supervisor.Supervisor> =>
  Effect.orDie(status(name))

/** The states of units, in the order of their names here. */
export const states = (...names: ReadonlyArray<string>) =>
  Effect.map(Effect.forEach(names, statusNow), (all) => all.map(({ state }) => state))

/** Starts, and lets happen what takes no time; waits for nothing. */
export const start = (...names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { start } = yield* supervisor
    const fiber = yield* Effect.fork(start(names))
    yield* settle
    return fiber
  })

/** Stops, and lets happen what takes no time; waits for nothing. */
export const stop = (...names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { stop } = yield* supervisor
    const fiber = yield* Effect.fork(stop(names))
    yield* settle
    return fiber
  })

/** Restarts, and lets happen what takes no time; waits for nothing. */
export const restart = (...names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { restart } = yield* supervisor
    const fiber = yield* Effect.fork(restart(names))
    yield* settle
    return fiber
  })

/** Ends the process of a unit. */
export const crash = (name: string, ending: MemorySpawner.Ending = 1) =>
  Effect.gen(function* () {
    const { latest } = yield* memory
    yield* latest(name)!.end(ending)
    yield* settle
  })

/** The live process of a unit. */
export const processOf = (name: string) =>
  Effect.map(memory, ({ latest }) => {
    const process = latest(name)
    assert.isDefined(process, `${name} has no process`)
    return process
  })

/** All changes there have been: `3000 web ready`. The event log tells them. */
export const history = (...names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { read } = yield* EventLog
    const all: Array<string> = []
    for (let after = 0; ;) {
      const { events, last, missed, next } = yield* Effect.orDie(
        read({ after, limit: 1_000, types: ["unit"] }),
      )
      assert.isFalse(missed)
      for (const { at, subject, type } of events) {
        if (names.length === 0 || names.includes(subject))
          all.push(`${at} ${subject} ${type.replace("unit.", "")}`)
      }
      if (next >= last) return all
      after = next
    }
  })

/** As `history`, without the times. */
export const course = (...names: ReadonlyArray<string>) =>
  Effect.map(history(...names), (all) => all.map((line) => line.replace(/^\S+ /, "")))

/** No unit ever had two processes at the same time. */
export const neverTwice = Effect.map(memory, ({ mostAtOnce }) => assert.isAtMost(mostAtOnce(), 1))

/** A check of the kind that a script answers, at once and in any state of the process. */
export const check = (given: Partial<Omit<Check.Input, "http" | "tcp" | "log" | "all" | "any">> = {}) => ({
  exec: { command: ["check"] as const },
  ...given,
})

/** What a check says that does not pass. */
export const failing = (reason = "said no", more: Partial<ProbeFailure> = {}): ProbeFailure =>
  new ProbeFailure({
    kind: "exec",
    subject: "The check",
    reason,
    class: "unhealthy",
    transient: true,
    contact: "none",
    ...more,
  })

/** A script for probes that a test can turn, for each unit and each `command` of an `exec` probe. */
export class Health {
  private readonly ill = new Map<string, ProbeFailure | "hangs">()
  readonly asked: Array<string> = []

  readonly script: Prober.Script = ({ spec, target }) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const command = [spec.exec?.command ?? "check"].flat().join(" ")
      const key = `${target.unit} ${command}`
      this.asked.push(`${now} ${key}`)
      const verdict = this.ill.get(key)
      return verdict === undefined ? Effect.void : verdict === "hangs" ? Effect.never : Effect.fail(verdict)
    })

  /** From now on the check `command` of a unit says this. */
  set(unit: string, command: string, verdict: ProbeFailure | "hangs" | "passes"): void {
    if (verdict === "passes") this.ill.delete(`${unit} ${command}`)
    else this.ill.set(`${unit} ${command}`, verdict)
  }
}

/** A door that a script waits at until the test opens it. */
export const door = Effect.map(Deferred.make<void>(), (deferred) => ({
  wait: Deferred.await(deferred),
  open: Effect.asVoid(Deferred.succeed(deferred, undefined)),
}))

export const adjust = (duration: Duration.DurationInput): Effect.Effect<void> => TestClock.adjust(duration)
