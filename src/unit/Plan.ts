/** What a supervisor is to keep: its units and groups, checked together, with what only a program can give them. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as InvalidSpec from "../process/InvalidSpec.js"
import * as Graph from "./Graph.js"
import type { RestartSchedule } from "./RestartPolicy.js"
import * as UnitSpec from "./UnitSpec.js"
import type { End } from "./UnitState.js"

/** What a task gets. */
export interface TaskContext {
  /** Says that the task is ready. One that never says so is ready once it has been up for `minUptime`. */
  readonly ready: Effect.Effect<void>
  /** Writes lines into the unit's log. */
  readonly log: (text: string) => Effect.Effect<void>
}

/** An instance that is out of service. */
export interface DownInfo {
  readonly name: string
  readonly generation: number
  /** Its process; undefined for what has none. */
  readonly pid: number | undefined
  /** How it ended, where it ended by itself. */
  readonly end: End | undefined
  /** How long it lived. */
  readonly uptime: Duration.Duration
}

/** What a program can give a unit, beyond what a configuration file can. */
export interface Hooks {
  /** What a `task` does. It is interrupted to stop it; its scope is closed after it. */
  readonly run?: (context: TaskContext) => Effect.Effect<unknown, unknown, Scope.Scope>
  /** Whether it is busy: then a restart for failing health waits, up to `busyGrace`. Beside the spec's `busy` probe. */
  readonly isBusy?: Effect.Effect<boolean>
  /**
   * Called once for each instance that came to life, when it is out of service: as soon as it has ended, or is being
   * stopped. The next instance does not wait for it.
   */
  readonly onDown?: (info: DownInfo) => Effect.Effect<void>
  /** The delays before restarts, instead of the policy's `backoff`. One that is done gives the unit up. */
  readonly delays?: RestartSchedule
}

/** A unit as a program writes it. */
export type UnitInput = UnitSpec.Input & Hooks

/** What a program writes. */
export interface Input {
  readonly units: Readonly<Record<string, UnitInput>>
  readonly groups?: Readonly<Record<string, typeof UnitSpec.Group.Encoded>>
}

/** A checked plan. */
export interface Plan {
  readonly graph: Graph.Graph
  readonly hooks: ReadonlyMap<string, Hooks>
  /** What its env files held when it was made, by their paths: a change of one is a change of the units that name it. */
  readonly envFiles?: ReadonlyMap<string, Redacted.Redacted<Readonly<Record<string, string | undefined>>>>
}

/** Units that do not fit together. Nothing was started. */
export class InvalidPlan extends Schema.TaggedError<InvalidPlan>()("InvalidPlan", {
  faults: Schema.Array(
    Schema.Struct({
      /** Where it stands: `["units", "web", "requires", "db"]`. */
      path: Schema.Array(Schema.Union(Schema.String, Schema.Number)),
      message: Schema.String,
    }),
  ),
}) {
  override get message(): string {
    return `The units do not fit together. ${this.faults.map(({ message, path }) => `${path.join(".")}: ${message}`).join(". ")}.`
  }
}

/** The plan of units that are decoded already, each by {@link UnitSpec.make}. */
export const fromSpecs = (
  units: ReadonlyMap<string, UnitSpec.UnitSpec>,
  groups: ReadonlyMap<string, UnitSpec.Group> = new Map(),
  hooks: ReadonlyMap<string, Hooks> = new Map(),
): Either.Either<Plan, InvalidPlan> => {
  const faults: Array<Graph.Fault> = []
  for (const [name, spec] of units) {
    if (!UnitSpec.isName(name))
      faults.push({ path: ["units", name], message: `expected ${UnitSpec.nameAllowed}` })
    if (spec.kind === "task" && hooks.get(name)?.run === undefined)
      faults.push({
        path: ["units", name, "kind"],
        message: "a task needs an Effect to run, which only a program can give it",
      })
    if (spec.kind !== "task" && hooks.get(name)?.run !== undefined)
      faults.push({ path: ["units", name, "run"], message: "only kind task runs an Effect" })
  }
  return Either.match(Graph.make(units, groups), {
    onLeft: (more) => Either.left(new InvalidPlan({ faults: [...faults, ...more] })),
    onRight: (graph) =>
      faults.length > 0 ? Either.left(new InvalidPlan({ faults })) : Either.right({ graph, hooks }),
  })
}

/** What a program writes may be anything at all; what is no unit is left as it is, to be refused. */
const parted = (unit: UnitInput): Hooks & { readonly spec: UnitSpec.Input } => {
  if (typeof unit !== "object" || unit === null || Array.isArray(unit)) return { spec: unit }
  const { delays, isBusy, onDown, run, ...spec } = unit
  return {
    spec,
    ...(run !== undefined && { run }),
    ...(isBusy !== undefined && { isBusy }),
    ...(onDown !== undefined && { onDown }),
    ...(delays !== undefined && { delays }),
  }
}

const decodeGroup = InvalidSpec.decoder("group", UnitSpec.Group)

/** Decodes and checks everything; fails with what is wrong with one unit, or with all of them together. */
export const make = (input: Input): Effect.Effect<Plan, InvalidPlan | InvalidSpec.InvalidSpec> =>
  Effect.gen(function* () {
    const specs = new Map<string, UnitSpec.UnitSpec>()
    const hooks = new Map<string, Hooks>()
    for (const [name, unit] of Object.entries(input.units)) {
      const { spec, ...own } = parted(unit)
      specs.set(name, yield* Effect.mapError(UnitSpec.make(spec), InvalidSpec.inside(`unit ${name}`)))
      hooks.set(name, own)
    }
    const groups = new Map<string, UnitSpec.Group>()
    for (const [name, group] of Object.entries(input.groups ?? {})) {
      groups.set(name, yield* Effect.mapError(decodeGroup(group), InvalidSpec.inside(`group ${name}`)))
    }
    return yield* fromSpecs(specs, groups, hooks)
  })
