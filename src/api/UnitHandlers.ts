/** What the endpoints about units do. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { UnitNotFound } from "../unit/SupervisorError.js"
import type { Reloaded, Service, StopOptions } from "../unit/SupervisorService.js"
import { Supervisor } from "../unit/SupervisorTag.js"
import type { UnitStatus } from "../unit/UnitStatus.js"
import * as ApiError from "./ApiError.js"
import { type Fault, toApiError } from "./Faults.js"
import { PlanSource } from "./PlanSource.js"
import * as Present from "./Present.js"
import type { Handlers } from "./Routes.js"
import * as SignalName from "./SignalName.js"
import type { UnitAction } from "./UnitAnswers.js"
import * as UnitLogHandlers from "./UnitLogHandlers.js"
import * as UnitPresent from "./UnitPresent.js"

/** Those of everything about units. */
export type UnitHandlers = Pick<
  Handlers,
  | "units"
  | "actOnUnits"
  | "unit"
  | "startUnit"
  | "stopUnit"
  | "restartUnit"
  | "killUnit"
  | "whyUnit"
  | "unitLogs"
  | "followUnit"
  | "graph"
  | "reload"
>

/** What is asked of a supervisor. */
type Units = Pick<Service, "list" | "status" | "start" | "stop" | "restart" | "kill" | "why" | "tree" | "log">

const missing = (name: string) => Effect.fail(new UnitNotFound({ name, known: [] }))
const nothing = Effect.succeed([])

/** A program without a supervisor has no units. */
const nobody: Units = {
  list: nothing,
  status: missing,
  start: () => nothing,
  stop: () => nothing,
  restart: () => nothing,
  kill: missing,
  why: missing,
  tree: Effect.succeed({ nodes: [], edges: [], groups: [] }),
  log: missing,
}

const refuse = (message: string) => Effect.fail(ApiError.make("invalid_request", message))

const answered = <A, R>(effect: Effect.Effect<A, Fault, R>): Effect.Effect<A, ApiError.ApiError, R> =>
  Effect.mapError(effect, toApiError)

const stoppingNow = ApiError.make("unavailable", "The daemon is stopping, and its units with it.")

/**
 * Begins what goes on whoever waits for it, and waits; for so many milliseconds at most. Undefined: it is not done yet.
 */
const within = <A>(
  effect: Effect.Effect<A, Fault>,
  millis: number | undefined,
  stopping: Effect.Effect<void>,
): Effect.Effect<A | undefined, ApiError.ApiError> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkDaemon(effect)
    const late = millis === undefined ? Effect.never : Effect.as(Effect.sleep(millis), undefined)
    return yield* Effect.raceFirst(
      answered(Fiber.join(fiber)),
      Effect.raceFirst(late, Effect.andThen(stopping, Effect.fail(stoppingNow))),
    )
  })

type Action = UnitAction["action"]

interface Asked {
  readonly until_ms?: number | undefined
  readonly grace_ms?: number | undefined
}

const act = (units: Units, stopping: Effect.Effect<void>) =>
  Effect.fnUntraced(function* (
    action: Action,
    names: ReadonlyArray<string>,
    { grace_ms: grace, until_ms: until }: Asked,
  ) {
    const options: StopOptions = grace === undefined ? {} : { grace: Duration.millis(grace) }
    // A name that is not there is told of before anything is begun, however short the wait.
    yield* answered(Effect.forEach(names, units.status, { discard: true }))
    const work: Effect.Effect<ReadonlyArray<UnitStatus>, Fault> = action === "stop"
      ? units.stop(names, options)
      : units[action](names)
    const done = yield* within(work, until, stopping)
    // Meanwhile a reload may have taken one away.
    const named = Effect.forEach(names, (name) => Effect.option(units.status(name)))
    const statuses = done ?? (names.length === 0 ? yield* units.list : (yield* named).flatMap(Option.toArray))
    return {
      ...Present.head("unit-action"),
      action,
      reason: done === undefined ? ("deadline" as const) : ("done" as const),
      units: statuses.map(UnitPresent.unit),
    }
  })

const actOnUnits = (units: Units, stopping: Effect.Effect<void>): UnitHandlers["actOnUnits"] =>
  Effect.fnUntraced(function* ({ payload }) {
    const { action, grace_ms, names } = payload
    if (grace_ms !== undefined && action !== "stop")
      return yield* refuse(
        `The request body has "grace_ms" with the action ${action}; it says how long a stop may take.`,
      )
    return yield* act(units, stopping)(action, [...new Set(names)], payload)
  })

const kill = (units: Units): UnitHandlers["killUnit"] =>
  Effect.fnUntraced(function* ({ path: { name }, urlParams }) {
    const signal = yield* SignalName.read(urlParams.signal ?? "TERM")
    const sent = yield* answered(units.kill(name, signal))
    return { ...Present.head("unit-kill"), name, signal: SignalName.short(signal), sent }
  })

const noPlan = ApiError.make(
  "invalid_state",
  "This daemon was started without a configuration file, so there is nothing to reload. Start it with one: holdfast serve -f holdfast.yaml.",
)

/** What a reload that is not done yet has started so far. */
const startedBy = (
  { added, changed }: Reloaded["diff"],
  units: ReadonlyArray<UnitStatus>,
): ReadonlyArray<UnitStatus> => {
  const touched = new Set([...added, ...changed.map(({ name }) => name)])
  return units.filter(({ desired, name }) => touched.has(name) && desired === "up")
}

const reload = (
  supervisor: Service | undefined,
  source: PlanSource["Type"] | undefined,
  stopping: Effect.Effect<void>,
): UnitHandlers["reload"] =>
  Effect.fnUntraced(function* ({ urlParams: { dry_run: dryRun = false, until_ms: until } }) {
    if (dryRun && until !== undefined)
      return yield* refuse('The query has "until_ms" with "dry_run"; there is nothing to wait for.')
    if (supervisor === undefined || source === undefined) return yield* noPlan
    const plan = yield* answered(source.plan)
    const preview = yield* supervisor.preview(plan)
    const done = dryRun ? undefined : yield* within(supervisor.reload(plan), until, stopping)
    const started = dryRun ? [] : (done?.started ?? startedBy(preview, yield* supervisor.list))
    return {
      ...Present.head("reload"),
      file: source.file,
      dry_run: dryRun,
      reason: dryRun || done !== undefined ? ("done" as const) : ("deadline" as const),
      ...UnitPresent.diff(done?.diff ?? preview),
      started: started.map(UnitPresent.unit),
    }
  })

/**
 * The handlers of everything about units: those of the supervisor and of the configuration that there are.
 *
 * @param stopping done when the daemon begins to stop: whatever would wait answers then
 */
export const make = (stopping: Deferred.Deferred<void>): Effect.Effect<UnitHandlers> =>
  Effect.gen(function* () {
    const supervisor = Option.getOrUndefined(yield* Effect.serviceOption(Supervisor))
    const source = Option.getOrUndefined(yield* Effect.serviceOption(PlanSource))
    const units = supervisor ?? nobody
    const stopped = Deferred.await(stopping)
    const actOn = act(units, stopped)
    return {
      units: ({ urlParams: { kind, state } }) =>
        Effect.map(units.list, (all) => ({
          ...Present.head("units"),
          units: all
            .filter((one) => (state?.includes(one.state) ?? true) && (kind?.includes(one.kind) ?? true))
            .map(UnitPresent.unit),
        })),
      actOnUnits: actOnUnits(units, stopped),
      unit: ({ path }) =>
        Effect.map(answered(units.status(path.name)), (one) => ({
          ...Present.head("unit"),
          ...UnitPresent.unit(one),
        })),
      startUnit: ({ path, urlParams }) => actOn("start", [path.name], urlParams),
      stopUnit: ({ path, urlParams }) => actOn("stop", [path.name], urlParams),
      restartUnit: ({ path, urlParams }) => actOn("restart", [path.name], urlParams),
      killUnit: kill(units),
      whyUnit: ({ path }) =>
        Effect.map(answered(units.why(path.name)), (explanation) => ({
          ...Present.head("unit-why"),
          ...UnitPresent.why(explanation),
        })),
      ...UnitLogHandlers.make(units, stopped),
      graph: () => Effect.map(units.tree, (view) => ({ ...Present.head("graph"), ...view })),
      reload: reload(supervisor, source, stopped),
    }
  })
