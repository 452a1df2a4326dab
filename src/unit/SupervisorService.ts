/** What a supervisor offers. See `Supervisor` for its Tag and its Layers. */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Process } from "../process/Process.js"
import type { TableUnreadable } from "../process/ProcessTable.js"
import type { Signal } from "../process/Signal.js"
import type { UnitLog } from "../output/UnitLog.js"
import type { Explanation } from "./Explanation.js"
import type { GraphView } from "./GraphView.js"
import type { Plan } from "./Plan.js"
import type { PlanDiff } from "./PlanDiff.js"
import type {
  SupervisorClosed,
  UnitHasNoProcess,
  UnitNotFound,
  UnitNotStarted,
  UnitNotStopped,
} from "./SupervisorError.js"
import type { StateName, UnitStatus } from "./UnitStatus.js"

/** A unit that has come from one state to another. */
export interface UnitChange {
  readonly name: string
  readonly from: StateName
  readonly to: StateName
  /** In milliseconds since the epoch. */
  readonly at: number
  readonly status: UnitStatus
}

/** How to stop. */
export interface StopOptions {
  /** From the stop signal to KILL. Default: each unit's own. A shorter one hastens a stop under way. */
  readonly grace?: Duration.Duration | undefined
}

/** What a reload did. */
export interface Reloaded {
  readonly diff: PlanDiff
  /** The units that were started by it, where they are now. */
  readonly started: ReadonlyArray<UnitStatus>
}

/** A supervisor. */
export interface Service {
  /** All units, each before what depends on it. */
  readonly list: Effect.Effect<ReadonlyArray<UnitStatus>>
  readonly status: (name: string) => Effect.Effect<UnitStatus, UnitNotFound>
  /**
   * Starts units and what they need or want, and waits until each of the named ones is up (a oneshot: done), or has
   * failed for good. One that is up already, or on its way, is joined. Whoever waits may go: the start goes on. No names
   * stand for all that start with the supervisor.
   */
  readonly start: (
    names: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<UnitStatus>, UnitNotFound | UnitNotStarted | SupervisorClosed>
  /**
   * Stops units, after everything that needs them, and waits until no process of them is left. A target takes its
   * members along, except those that another unit which stays needs. Answers everything that was stopped. No names stand
   * for all units.
   */
  readonly stop: (
    names: ReadonlyArray<string>,
    options?: StopOptions,
  ) => Effect.Effect<ReadonlyArray<UnitStatus>, UnitNotFound | UnitNotStopped>
  /**
   * Stops units, those bound to them before them, starts them anew, and waits until they are up. Inactive ones start. No
   * names stand for all that are wanted up.
   */
  readonly restart: (
    names: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<UnitStatus>, UnitNotFound | UnitNotStarted | SupervisorClosed>
  /**
   * Sends a signal to every process of a unit; false when none was left. An end that comes of it counts as one of its
   * own: the restart policy decides.
   */
  readonly kill: (
    name: string,
    signal: Signal,
  ) => Effect.Effect<boolean, UnitNotFound | UnitHasNoProcess | TableUnreadable>
  /** Why a unit is not up, as a chain of causes down to the first. */
  readonly why: (name: string) => Effect.Effect<Explanation, UnitNotFound>
  /** What depends on what, and where each is. */
  readonly tree: Effect.Effect<GraphView>
  /** The output of a unit, over all its instances. */
  readonly log: (name: string) => Effect.Effect<UnitLog, UnitNotFound>
  /** Every change from now on. A slow reader loses the oldest of more than 4096; the event log keeps them. */
  readonly changes: Stream.Stream<UnitChange>
  /** Waits until a unit is up (a oneshot: done); fails as soon as it has failed for good. Starts nothing. */
  readonly awaitReady: (
    name: string,
  ) => Effect.Effect<UnitStatus, UnitNotFound | UnitNotStarted | SupervisorClosed>
  /** The process of the current instance of a unit; undefined when it has none. */
  readonly process: (name: string) => Effect.Effect<Process | undefined, UnitNotFound>
  /** What a reload with that plan would do. */
  readonly preview: (plan: Plan) => Effect.Effect<PlanDiff>
  /**
   * Takes another plan: stops what is removed, restarts what has changed and was up, starts what is new (and starts
   * with the supervisor). What has not changed is not touched. Waits until that is done; units that do not come up are
   * no failure of the reload.
   */
  readonly reload: (plan: Plan) => Effect.Effect<Reloaded, SupervisorClosed>
  /**
   * Stops everything, dependents before what they depend on, and starts nothing any more. Waits until every group is
   * proven empty. Closing the layer does the same. Called again with a shorter grace, it hastens.
   */
  readonly shutdown: (options?: StopOptions) => Effect.Effect<void>
}
