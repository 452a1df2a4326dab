/** What the instances of one unit share with the supervisor. */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { UnitLog } from "../../output/UnitLog.js"
import type { PortHolders } from "../../probe/PortHolder.js"
import type { Prober } from "../../probe/Prober.js"
import type { Process } from "../../process/Process.js"
import type { ProcessSpawner } from "../../process/ProcessSpawner.js"
import type { Hooks } from "../Plan.js"
import type { InstanceRecords } from "../port/InstanceRecords.js"
import type { PortLeases } from "../port/PortLeases.js"
import type * as KillOthers from "../port/KillOthers.js"
import type { UnitEvent } from "../UnitEvent.js"
import type { UnitSpec } from "../UnitSpec.js"
import type { PortOf } from "./Ports.js"
import type { Strays } from "./Strays.js"

/** What all units of a supervisor share. */
export interface Services {
  readonly spawner: Context.Tag.Service<ProcessSpawner>
  readonly prober: Context.Tag.Service<Prober>
  readonly holders: Context.Tag.Service<PortHolders>
  readonly leases: PortLeases
  readonly records: InstanceRecords
  readonly strays: Strays
  readonly killOthers: KillOthers.KillOthers
  readonly portOf: PortOf
  /** Of the supervisor: what is forked in it ends with it, after everything was stopped. */
  readonly scope: Scope.Scope
}

/** What is known of an instance beyond its state: for people, and for what depends on it. */
export interface Facts {
  process: Process | undefined
  /** In milliseconds since the epoch. */
  startedAt: number | undefined
  /** In nanoseconds, by the clock that nobody sets. */
  startedNanos: bigint
  readyAt: number | undefined
  outputs: Readonly<Record<string, string>>
}

/** What there is of one unit. */
export interface UnitContext {
  readonly name: string
  readonly spec: UnitSpec
  readonly hooks: Hooks
  readonly log: UnitLog
  /** Of the current instance, else the last one. */
  readonly facts: Facts
  /** Tells the supervisor. It never waits. */
  readonly tell: (event: UnitEvent) => void
}

/** How long the instance has lived; no time before it was started. */
export const uptime = ({ facts }: UnitContext): Effect.Effect<Duration.Duration> =>
  Effect.map(Clock.currentTimeNanos, (now) =>
    facts.startedAt === undefined ? Duration.zero : Duration.nanos(now - facts.startedNanos),
  )

/** One life of a unit. */
export interface Instance {
  readonly generation: number
  /** Ends it, at whatever point it is, and tells that it is gone. A second call hastens the first. */
  readonly stop: (graceMillis?: number) => Effect.Effect<void>
}
