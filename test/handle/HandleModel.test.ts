import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Handle from "../../src/handle/Handle.js"
import { StillClock } from "./clock.js"
import { broken, hopeless, quiet, type Server, type StartFailed } from "./support.js"

/** What a run begins with. */
interface Setting {
  readonly mode: "managed" | "external" | "either"
  readonly idle: boolean
  readonly health: boolean
  /** Stops are over when a command says so. */
  readonly slowStops: boolean
}

const commands = [
  "acquire",
  "acquire",
  "acquire",
  "use",
  "end a use",
  "interrupt",
  "interrupt all",
  "start succeeds",
  "start succeeds",
  "start succeeds",
  "start fails",
  "start fails for good",
  "stop is over",
  "stop is over",
  "crash",
  "crash, and tell",
  "hang",
  "recover",
  "invalidate",
  "invalidate an old one",
  "reset",
  "a second passes",
  "ten seconds pass",
  "close",
] as const

type Command = readonly [name: (typeof commands)[number], which: number]

interface Caller {
  readonly fiber: Fiber.RuntimeFiber<Server, unknown>
  /** The servers that had been stopped when it began. */
  readonly stopped: ReadonlySet<number>
  readonly isUse: boolean
}

/** Servers whose every step is a command's, and those who use them. */
class World {
  readonly clock = new StillClock()
  readonly wrong: Array<string> = []
  readonly live = new Set<Server>()
  readonly stopped = new Set<number>()
  readonly crashed = new Set<number>()
  readonly hung = new Map<number, Deferred.Deferred<void>>()
  readonly lost = new Map<number, Handle.StartContext["lost"]>()
  readonly starting: Array<Deferred.Deferred<void, StartFailed>> = []
  readonly stopping: Array<Deferred.Deferred<void>> = []
  readonly uses: Array<Deferred.Deferred<void>> = []
  callers: Array<Caller> = []
  starts = 0
  succeeded = 0
  failed = 0
  validating = 0
  isEnding = false

  constructor(private readonly setting: Setting) {}

  readonly start = (context: Handle.StartContext): Effect.Effect<Server, StartFailed, Scope.Scope> =>
    Effect.gen(this, function* () {
      const server = yield* Effect.acquireRelease(
        Effect.sync(() => {
          if (this.live.size > 0) this.wrong.push("a server is started while another one is alive")
          if (this.isEnding) this.wrong.push("a server is started after the close")
          const isWanted =
            this.setting.health || this.callers.some(({ fiber }) => fiber.unsafePoll() === null)
          if (!isWanted) this.wrong.push("a server is started that nobody wants")
          const id = ++this.starts
          const server = { id, url: `http://127.0.0.1:${id}` }
          this.live.add(server)
          this.lost.set(id, context.lost)
          return server
        }),
        (server) => this.stop(server),
      )
      const decision = yield* Deferred.make<void, StartFailed>()
      this.starting.push(decision)
      yield* Effect.ensuring(
        Deferred.await(decision),
        Effect.sync(() => this.starting.splice(this.starting.indexOf(decision), 1)),
      )
      return server
    })

  private stop(server: Server): Effect.Effect<void> {
    return Effect.gen(this, function* () {
      if (this.setting.slowStops && !this.isEnding) {
        const over = yield* Deferred.make<void>()
        this.stopping.push(over)
        yield* Deferred.await(over)
        this.stopping.splice(this.stopping.indexOf(over), 1)
      }
      this.live.delete(server)
      this.stopped.add(server.id)
    })
  }

  readonly validate = ({ id }: Server): Effect.Effect<void, string> =>
    Effect.suspend(() => {
      this.validating++
      const hang = this.hung.get(id)
      if (hang !== undefined) return Deferred.await(hang)
      return this.crashed.has(id) ? Effect.fail("refused") : Effect.yieldNow()
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          this.validating--
        }),
      ),
    )

  /** Why somebody may be waiting: something has to happen first. */
  get isBlocked(): boolean {
    return this.starting.length + this.stopping.length + this.hung.size + this.clock.sleepers.size > 0
  }
}

const pick = <A>(from: ReadonlyArray<A>, which: number): A | undefined => from[which % from.length]

const run = (setting: Setting, script: ReadonlyArray<Command>) => {
  const world = new World(setting)
  return Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { health, idle, mode } = setting
    const handle = yield* Handle.make({
      name: "web",
      start: world.start,
      validate: world.validate,
      whyGone: ({ id }) => (world.crashed.has(id) && id % 2 === 0 ? "it has ended" : undefined),
      mode: mode === "either" ? ({ id }) => (id % 3 === 0 ? "external" : "managed") : mode,
      attempts: Schedule.stop,
      backoff: Schedule.spaced("2 seconds"),
      guard: false,
      ...(idle && { idleTimeout: "7 seconds" }),
      ...(health && { health: { schedule: Schedule.spaced("1 second") } }),
    }).pipe(Scope.extend(scope))
    const changes: Array<Handle.Change> = []
    const reader = yield* Effect.fork(
      Stream.runForEach(handle.changes, (change) => Effect.sync(() => changes.push(change))),
    )
    yield* quiet
    const resets: Array<Fiber.RuntimeFiber<void>> = []
    let closing: Fiber.RuntimeFiber<void> | undefined

    const call = (effect: Effect.Effect<Server, unknown>, isUse = false) =>
      Effect.map(Effect.fork(effect), (fiber) => {
        world.callers.push({ fiber, stopped: new Set(world.stopped), isUse })
      })

    const perform = ([name, which]: Command): Effect.Effect<unknown> => {
      const pending = world.callers.filter(({ fiber }) => fiber.unsafePoll() === null)
      const [current] = world.live
      switch (name) {
        case "acquire":
          return call(handle.acquire)
        case "use":
          return Effect.flatMap(Deferred.make<void>(), (end) => {
            world.uses.push(end)
            return call(
              handle.use((server) => Effect.as(Deferred.await(end), server)),
              true,
            )
          })
        case "end a use":
          return Effect.suspend(() => {
            const end = pick(world.uses, which)
            return end === undefined ? Effect.void : Deferred.succeed(end, undefined)
          })
        case "interrupt": {
          const caller = pick(pending, which)
          return caller === undefined ? Effect.void : Fiber.interruptFork(caller.fiber)
        }
        case "interrupt all":
          return Effect.forEach(pending, ({ fiber }) => Fiber.interruptFork(fiber))
        case "start succeeds":
        case "start fails":
        case "start fails for good":
          return Effect.suspend(() => {
            const [decision] = world.starting
            if (decision === undefined) return Effect.void
            if (name === "start succeeds") {
              world.succeeded++
              return Deferred.succeed(decision, undefined)
            }
            world.failed++
            return Deferred.fail(decision, name === "start fails" ? broken : hopeless)
          })
        case "stop is over":
          return Effect.suspend(() => {
            const [over] = world.stopping
            return over === undefined ? Effect.void : Deferred.succeed(over, undefined)
          })
        case "crash":
        case "crash, and tell":
          return Effect.suspend(() => {
            if (current === undefined || world.starting.length > 0) return Effect.void
            world.crashed.add(current.id)
            return name === "crash" ? Effect.void : world.lost.get(current.id)!("it crashed")
          })
        case "hang":
          return Effect.map(Deferred.make<void>(), (hang) => {
            if (current !== undefined && !world.hung.has(current.id)) world.hung.set(current.id, hang)
          })
        case "recover":
          return Effect.suspend(() => {
            const hangs = [...world.hung.values()]
            world.hung.clear()
            return Effect.forEach(hangs, (hang) => Deferred.succeed(hang, undefined))
          })
        case "invalidate":
          return handle.invalidate("it was told so")
        case "invalidate an old one":
          return Effect.map(handle.invalidate("it was told so", { id: 0 }), (hit) => {
            if (hit) world.wrong.push("something else than the current one was invalidated")
          })
        case "reset":
          return Effect.map(Effect.fork(handle.reset), (fiber) => resets.push(fiber))
        case "a second passes":
          return Effect.sync(() => world.clock.advance(1_000))
        case "ten seconds pass":
          return Effect.forEach(Array.from({ length: 10 }), () =>
            Effect.zipRight(
              Effect.sync(() => world.clock.advance(1_000)),
              quiet,
            ),
          )
        case "close":
          return Effect.suspend(() => {
            if (closing !== undefined || which % 8 > 0) return Effect.void
            world.isEnding = true
            return Effect.map(Effect.fork(Scope.close(scope, Exit.void)), (fiber) => {
              closing = fiber
            })
          })
      }
    }

    const check = Effect.gen(function* () {
      const state = yield* handle.state
      for (const { fiber, isUse, stopped } of world.callers) {
        const exit = fiber.unsafePoll()
        if (exit === null && !isUse && !world.isBlocked) world.wrong.push("somebody waits for nothing")
        if (exit !== null && Exit.isSuccess(exit) && stopped.has(exit.value.id)) {
          world.wrong.push("somebody got what had been stopped before")
        }
        if (exit !== null && Exit.isFailure(exit) && exit.cause._tag === "Die") world.wrong.push("a defect")
      }
      world.callers = world.callers.filter(({ fiber }) => fiber.unsafePoll() === null)
      if (state._tag === "Ready" && !world.live.has(state.snapshot))
        world.wrong.push("Ready without a server")
      if (state._tag !== "Ready" && world.live.size > 0 && state.activity === "idle") {
        world.wrong.push("a server is left over")
      }
      if (state._tag === "Failed" && state.isFinal) {
        const exit = yield* Effect.exit(handle.acquire)
        if (!Exit.isFailure(exit) || exit.cause !== state.cause) world.wrong.push("another failure")
      }
    })

    for (const command of script) {
      yield* perform(command)
      yield* quiet
      yield* check
      if (world.wrong.length > 0) return world.wrong
    }

    // The end: everything that somebody else has to do is done.
    world.isEnding = true
    closing ??= yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* quiet
    yield* Effect.forEach([...world.stopping, ...world.uses], (deferred) =>
      Deferred.succeed(deferred, undefined),
    )
    yield* quiet
    yield* check
    if (closing.unsafePoll() === null) world.wrong.push("the close is not over")
    for (const fiber of [...world.callers.map(({ fiber }) => fiber), ...resets, reader]) {
      if (fiber.unsafePoll() === null) world.wrong.push("somebody is left hanging")
    }
    const { live, validating } = world
    if (live.size > 0 || validating > 0 || world.clock.sleepers.size > 0) {
      world.wrong.push(
        `${live.size} servers, ${validating} validations, ${world.clock.sleepers.size} timers are left`,
      )
    }
    const ups = changes.filter(({ to }) => to === "Ready").length
    if (ups !== world.succeeded)
      world.wrong.push(`${world.succeeded} starts have succeeded, ${ups} were told`)
    const failures = changes.filter(
      ({ reason, to }) => to === "Failed" && reason.startsWith("It did not start"),
    )
    // One that is cleaning up when it is given up is not told.
    const isTold = setting.slowStops ? failures.length <= world.failed : failures.length === world.failed
    if (!isTold) world.wrong.push(`${world.failed} starts have failed, ${failures.length} were told`)
    return world.wrong
  }).pipe(Effect.withClock(world.clock), Logger.withMinimumLogLevel(LogLevel.None))
}

/** However busy the machine is, the test is over by then; else all 10,000 are made in less. */
const timeLimit = 25_000

const settings = FastCheck.record<Setting>({
  mode: FastCheck.constantFrom("managed", "managed", "external", "either"),
  idle: FastCheck.boolean(),
  health: FastCheck.boolean(),
  slowStops: FastCheck.boolean(),
})

const scripts = FastCheck.array(
  FastCheck.tuple(FastCheck.constantFrom(...commands), FastCheck.nat({ max: 99 })),
  { minLength: 4, maxLength: 40, size: "max" },
)

describe("any order of calls, crashes and interruptions", () => {
  it(
    "10,000 of them: one server at most, one start for each recovery, nobody left hanging, nothing left behind",
    async () => {
      const details = await FastCheck.check(
        FastCheck.asyncProperty(settings, scripts, async (setting, script) => {
          const wrong = await Effect.runPromise(run(setting, script))
          if (wrong.length > 0) throw new Error(wrong.join("; "))
        }),
        { numRuns: 10_000, interruptAfterTimeLimit: timeLimit },
      )
      if (details.failed) throw new Error(await FastCheck.asyncDefaultReportMessage(details))
      expect(details.interrupted || details.numRuns === 10_000).toBe(true)
      expect(details.numRuns).toBeGreaterThan(500)
    },
    2 * timeLimit,
  )
})
