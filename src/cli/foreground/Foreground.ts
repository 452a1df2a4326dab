/** Keeps the units of a configuration up until somebody wants them down, or nothing is left to keep up. */
import * as path from "node:path"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Graph from "../../unit/Graph.js"
import type { GraphView } from "../../unit/GraphView.js"
import * as Supervisor from "../../unit/Supervisor.js"
import { UnitNotFound } from "../../unit/SupervisorError.js"
import type { UnitChange } from "../../unit/SupervisorService.js"
import type { UnitStatus } from "../../unit/UnitStatus.js"
import * as Claim from "../Claim.js"
import type { Found } from "../Configuration.js"
import * as Format from "../Format.js"
import { painterOf } from "../Painter.js"
import type { World } from "../World.js"
import { Failure, exitCode, printableLines } from "../World.js"
import { Board } from "./Board.js"
import { Follower } from "./Follower.js"
import type { Screen } from "./Screen.js"
import * as Screens from "./Screen.js"
import * as View from "./View.js"
import * as Words from "./Words.js"

/** What to keep up, and how to show it. */
export interface Settings {
  readonly found: Found
  /** Which units; none: those that start by themselves. */
  readonly names: ReadonlyArray<string>
  readonly root: string
  readonly isJson: boolean
  readonly timestamps: boolean
  readonly world: World
  /** Done when the units are to stop in order. */
  readonly stop: Deferred.Deferred<void>
  /** Done when they are to stop at once. */
  readonly hasten: Deferred.Deferred<void>
}

/** How long a terminal, or a reader that takes nothing, may hold up the end, in milliseconds. */
const lastWords = 2_000

/** From one look whether all is over to the next, in milliseconds, besides those when something changes. */
const lookEvery = 1_000

/** What is logged by others than the units, which tell of themselves. */
const loggerTo = (screen: Screen) =>
  Logger.make(({ annotations, cause, message }) => {
    if (HashMap.has(annotations, "from") && HashMap.has(annotations, "to")) return
    const words = (Array.isArray(message) ? message : [message]).map(String).join(" ")
    const why = Cause.isEmpty(cause) ? "" : `\n${Cause.pretty(cause)}`
    screen.say(`holdfast: ${printableLines(words + why)}\n`)
  })

/** The units that are to be up. */
const wantedOf = ({ found: { config, name: file }, names }: Settings) =>
  Effect.suspend((): Effect.Effect<ReadonlyArray<string>, Failure> => {
    const { graph } = config.plan
    const { nodes, order } = graph
    const unknown = names.find((name) => !nodes.has(name))
    if (unknown !== undefined)
      return Effect.fail(
        new Failure(new UnitNotFound({ name: unknown, known: order }).message, "unit_not_found"),
      )
    const chosen = names.length > 0 ? names : order.filter((name) => nodes.get(name)!.spec.autostart)
    if (chosen.length > 0) return Effect.succeed(Graph.startedWith(graph, chosen))
    const hint =
      order.length === 0
        ? ""
        : ` Name those that are to start: ${order.slice(0, 10).join(", ")}${order.length > 10 ? ", ..." : ""}.`
    const what = order.length === 0 ? "has no units" : "has no unit that starts by itself"
    return Effect.fail(new Failure(`${file} ${what}.${hint}`, "invalid_state"))
  })

/** Whether nothing more will happen: what runs for us has ended for good. Servers of others do not count beside it. */
const isOver = ({ nodes }: GraphView): boolean => {
  const own = nodes.filter(
    ({ kind, state }) => kind !== "target" && kind !== "external" && state !== "inactive",
  )
  return (own.length > 0 ? own : nodes).every(({ state }) => Words.isSettled(state))
}

/** After these a unit writes nothing more for now. */
const ends = new Set<UnitChange["to"]>(["backoff", "exited", "failed", "inactive"])

/** Tells of every change, until interrupted. */
const telling = (
  supervisor: Supervisor.Service,
  board: Board,
  view: View.View,
  followers: ReadonlyArray<Follower>,
  over: Deferred.Deferred<void>,
) => {
  const byName = new Map(followers.map((follower) => [follower.name, follower]))
  const tell = (change: UnitChange) =>
    Effect.gen(function* () {
      const { name, to } = change
      const since = board.note(change)
      if (ends.has(to)) yield* Effect.promise(async () => byName.get(name)?.caughtUp())
      // When the next start is due is known a moment after the change.
      if (to === "backoff") yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      const now = to === "backoff" ? yield* Effect.option(supervisor.status(name)) : Option.none()
      const status = Option.getOrElse(now, () => change.status)
      view.change(status.state === to ? { ...change, status } : change, since, board.isEnding)
      board.told(change)
    })
  const look = Effect.flatMap(supervisor.tree, (tree) =>
    board.hasBegun && isOver(tree) ? Deferred.succeed(over, undefined) : Effect.void,
  )
  const follow = Stream.runForEachChunk(supervisor.changes, (chunk) =>
    Effect.andThen(
      Effect.forEach(chunk, tell, { discard: true }),
      Effect.suspend(() => (board.isQuiet ? look : Effect.void)),
    ),
  )
  // Of very many changes at once some are not told: the end must not depend on it.
  return Effect.raceFirst(follow, Effect.forever(Effect.andThen(Effect.sleep(lookEvery), look)))
}

/** Lets what was written to the end be shown, unless nobody takes it; tells what was not. */
const drain = (
  followers: ReadonlyArray<Follower>,
  fibers: ReadonlyArray<Fiber.Fiber<void>>,
  { hasten, world: { out } }: Settings,
  view: View.View,
  directory: string,
) =>
  Effect.gen(function* () {
    const taken = () => followers.reduce((sum, one) => sum + one.taken, 0)
    const patience = Effect.gen(function* () {
      // As long as somebody takes lines: a reader that has left takes none, however many are given up for it.
      for (let before = -1; taken() > before; yield* Effect.sleep(lastWords)) {
        // Nobody wants to see all that a terminal has not shown yet.
        before = out.isTerminal ? Infinity : taken()
      }
    })
    // Whoever asks again now does not want to see it.
    const impatience = (yield* Deferred.isDone(hasten)) ? Effect.never : Deferred.await(hasten)
    yield* Fiber.joinAll(fibers).pipe(Effect.raceFirst(patience), Effect.raceFirst(impatience))
    yield* Fiber.interruptAll(fibers)
    for (const { behind, name } of followers) {
      if (behind <= 0) continue
      const logs = path.join(directory, "units", name, "logs")
      view.missed(name, behind, `${Format.counted(behind, "line")} were not shown; see ${logs}`)
    }
  })

const namesOf = (units: ReadonlyArray<UnitStatus>): string => units.map(({ name }) => name).join(", ")

/** Says how it ended; answers the exit code. */
const conclude = (
  units: ReadonlyArray<UnitStatus>,
  wasAsked: boolean,
  directory: string,
  say: (text: string) => void,
): number => {
  const failed = units.filter(({ state }) => state === "failed")
  if (wasAsked) {
    const left = failed.filter(({ failure }) => failure?.kind === "StopTimeout")
    say(left.length === 0 ? "All units have stopped.\n" : `Processes are left of ${namesOf(left)}.\n`)
    return left.length === 0 ? exitCode.ok : exitCode.failed
  }
  if (failed.length === 0) {
    say("All units are done.\n")
    return exitCode.ok
  }
  say(
    `holdfast: Nothing is up any more; failed: ${namesOf(failed)}. Their output is kept in ${directory}/units.\n`,
  )
  return exitCode.failed
}

const keep = (settings: Settings, board: Board, screen: Screen, wanted: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { found, hasten, isJson, names, root, stop, timestamps, world } = settings
    const begun = (name: string, generation: number) => board.begun(name, generation)
    const view = isJson
      ? View.json({ screen, begun })
      : View.plain({ names: wanted, timestamps, world, screen, begun })
    const say = (text: string) => {
      if (!isJson) screen.say(text)
    }
    const { directory } = yield* Claim.make(root, found.config.file)
    // Closed before the last lines are shown, so that they are the last.
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    const supervisor = yield* Scope.extend(
      Supervisor.make({ plan: found.config.plan, root: directory, autostart: false }),
      scope,
    )
    const over = yield* Deferred.make<void>()
    const followers = yield* Effect.forEach(wanted, (name) =>
      Effect.map(supervisor.log(name), (log) => new Follower(name, log, view)),
    )
    yield* Effect.forkScoped(telling(supervisor, board, view, followers, over))
    const fibers = yield* Effect.forEach(followers, ({ run }) => Effect.forkScoped(run))
    // All of these listen before anything is started.
    yield* Effect.yieldNow()
    // Whoever did not want to wait for what was left of an earlier run does not want it started either.
    if (!(yield* Deferred.isDone(stop))) yield* Effect.forkScoped(Effect.ignore(supervisor.start(names)))

    const asked = Effect.as(Deferred.await(stop), true)
    const wasAsked = yield* Effect.raceFirst(asked, Effect.as(Deferred.await(over), false))
    const before = yield* supervisor.list
    const running = before.filter(({ state }) => !Words.isSettled(state))
    board.isEnding = true
    if (wasAsked && running.length > 0)
      say(
        `Stopping ${Format.counted(running.length, "unit")}, each before what it needs. Ctrl-C again kills what is left.\n`,
      )
    const hastening = Effect.andThen(
      Deferred.await(hasten),
      Effect.suspend(() => {
        say("Killing what is left.\n")
        return supervisor.shutdown({ grace: Duration.zero })
      }),
    )
    const hurry = yield* Effect.forkScoped(hastening)
    yield* supervisor.shutdown()
    yield* Fiber.interrupt(hurry)
    const after = yield* supervisor.list
    yield* Scope.close(scope, Exit.void)
    yield* drain(followers, fibers, settings, view, directory)
    return conclude(wasAsked ? after : before, wasAsked, directory, say)
  })

/** Does all of it; answers the exit code. */
export const run = (settings: Settings) =>
  Effect.gen(function* () {
    const { isJson, world } = settings
    const wanted = yield* wantedOf(settings)
    const board = new Board(wanted, Date.now())
    const screen = Screens.make(world, painterOf(world.err, world), () =>
      isJson ? "" : board.line(Date.now()),
    )
    return yield* keep(settings, board, screen, wanted).pipe(
      Effect.scoped,
      Effect.provide(Supervisor.layerNeeds),
      Effect.ensuring(Effect.promise(() => screen.end(lastWords))),
      Effect.provide(Logger.replace(Logger.defaultLogger, loggerTo(screen))),
    )
  })
