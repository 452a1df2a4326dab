/** What the tests of the supervisor on real processes share. */
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventLog from "../../src/event/EventLog.js"
import * as PortHolder from "../../src/probe/PortHolder.js"
import * as Prober from "../../src/probe/Prober.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import type { UnitLog } from "../../src/output/UnitLog.js"
import type * as Plan from "../../src/unit/Plan.js"
import * as Supervisor from "../../src/unit/Supervisor.js"
import type { StateName, UnitStatus } from "../../src/unit/UnitStatus.js"
import { eventually, marked } from "../process/support.js"

/** The real ground under a supervisor. */
export const ground = Layer.provideMerge(
  Layer.mergeAll(Prober.layer, PortHolder.layer, EventLog.layerMemory()),
  ProcessSpawner.layer,
)

type Ground = Layer.Layer.Success<typeof ground>

/** A supervisor with these units, on real processes. */
export const supervise = (plan: Plan.Input, options: Omit<Supervisor.Options, "plan"> = {}) =>
  Supervisor.make({ plan, ...options })

/** The live processes that this run of the test has started. */
export const ours = Effect.map(ProcessSpawner.ProcessSpawner, ({ owner }) => marked(owner))

/** Runs on real processes; afterwards no process is left that it has started, whatever came of it. */
export const leavingNothing = <A, E>(body: Effect.Effect<A, E, Ground | Scope.Scope>) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(Effect.scoped(body))
    assert.deepStrictEqual(yield* ours, [], "processes are left")
    return yield* exit
  }).pipe(Effect.provide(ground), Logger.withMinimumLogLevel(LogLevel.None))

/** A supervisor with these units, which start by order only; afterwards no process is left. */
export const supervised = <A, E>(
  plan: Plan.Input,
  body: (supervisor: Supervisor.Service) => Effect.Effect<A, E, Ground | Scope.Scope>,
  options: Omit<Supervisor.Options, "plan"> = {},
) => leavingNothing(Effect.flatMap(supervise(plan, { autostart: false, ...options }), body))

/** As `supervised`; answers every line of the program's own log, too. */
export const supervisedAndLogged = <A, E>(
  plan: Plan.Input,
  body: (supervisor: Supervisor.Service) => Effect.Effect<A, E, Ground | Scope.Scope>,
  options: Omit<Supervisor.Options, "plan"> = {},
) => {
  const lines: Array<string> = []
  const keep = Logger.make(({ annotations, cause, message }) => {
    lines.push(
      [message].flat().join(" "),
      JSON.stringify([...annotations]),
      Cause.isEmpty(cause) ? "" : Cause.pretty(cause),
    )
  })
  return leavingNothing(
    Effect.flatMap(supervise(plan, { autostart: false, ...options }), body).pipe(
      Effect.scoped,
      Effect.provide(Logger.replace(Logger.defaultLogger, keep)),
      Logger.withMinimumLogLevel(LogLevel.All),
    ),
  ).pipe(Effect.map((result) => [result, lines] as const))
}

/** Waits until a unit is in one of these states, now or later. */
export const comesTo = (
  supervisor: Supervisor.Service,
  name: string,
  ...states: ReadonlyArray<StateName>
): Effect.Effect<UnitStatus> =>
  until(supervisor, name, ({ state }) => states.includes(state), `came to ${states.join(" or ")}`)

/** Waits until a change of a unit makes it so; it may be so already. */
export const until = (
  supervisor: Supervisor.Service,
  name: string,
  isSo: (status: UnitStatus) => boolean,
  what = "changed as it should",
): Effect.Effect<UnitStatus> =>
  Effect.gen(function* () {
    const change = yield* Effect.fork(
      Stream.runHead(
        Stream.filter(supervisor.changes, (change) => change.name === name && isSo(change.status)),
      ),
    )
    // Nobody tells when it has begun to listen.
    for (;;) {
      const now = yield* Effect.orDie(supervisor.status(name))
      if (isSo(now)) {
        yield* Fiber.interrupt(change)
        return now
      }
      const told = yield* Effect.timeoutOption(Fiber.join(change), "20 millis")
      if (Option.isSome(told)) return Option.getOrThrow(told.value).status
    }
  }).pipe(
    Effect.timeoutFail({
      duration: "20 seconds",
      onTimeout: () => new Error(`${name} never ${what}`),
    }),
    Effect.orDie,
  )

/** Waits for a line of a unit's output that begins so, now or later; what comes after it. */
export const line = (supervisor: Supervisor.Service, name: string, start: string): Effect.Effect<string> =>
  Effect.flatMap(Effect.orDie(supervisor.log(name)), (log) => lineOf(log, start))

const lineOf = (log: UnitLog, start: string): Effect.Effect<string> =>
  Stream.runCollect(
    log.follow({ after: 0 }).pipe(
      Stream.filterMap((one) =>
        "text" in one && one.text.startsWith(start)
          ? Option.some(one.text.slice(start.length))
          : Option.none(),
      ),
      Stream.take(1),
    ),
  ).pipe(
    Effect.map(Chunk.unsafeHead),
    Effect.timeoutFail({
      duration: "20 seconds",
      onTimeout: () => new Error(`no line begins with ${JSON.stringify(start)}`),
    }),
    Effect.orDie,
  )

/** Waits until something can be seen in a status that no change tells: what the last check said. */
export const says = (supervisor: Supervisor.Service, name: string, isSo: (status: UnitStatus) => boolean) =>
  Effect.gen(function* () {
    let seen: UnitStatus | undefined
    yield* eventually(`the status of ${name} says so`, () => {
      seen = Effect.runSync(Effect.orDie(supervisor.status(name)))
      return isSo(seen)
    })
    return seen!
  })
