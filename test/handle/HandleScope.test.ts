import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { StillClock } from "./clock.js"
import {
  broken,
  errorOf,
  forkMany,
  forkOne,
  gate,
  isOver,
  Lab,
  make,
  makeReady,
  quiet,
  type Server,
} from "./support.js"

describe("an interruption", () => {
  it.scoped("of one waiter does not cancel the start for the others", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { open, pass } = yield* gate
      lab.onStart = () => pass
      const handle = yield* make(lab)
      const [first, second, third] = yield* forkMany(3, handle.acquire)
      // The one that brought it about, too.
      yield* Fiber.interrupt(first!)
      yield* Fiber.interrupt(third!)
      yield* open
      expect((yield* Fiber.join(second!)).id).toBe(1)
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("of all waiters cancels the start, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const stop = yield* gate
      lab.onStart = () => Effect.never
      lab.onStop = () => stop.pass
      const handle = yield* make(lab)
      const fibers = yield* forkMany(3, handle.acquire)
      yield* Fiber.interruptAll(fibers)
      yield* quiet
      expect(yield* handle.state).toEqual({ _tag: "Empty", activity: "stopping" })
      // Whoever comes now gets a new one, when nothing of the old one is left.
      lab.onStart = () => Effect.void
      const next = yield* forkOne(handle.acquire)
      expect(lab.starts).toBe(1)
      yield* stop.open
      expect((yield* Fiber.join(next)).id).toBe(2)
      expect(lab.mostLive).toBe(1)
      expect(lab.log).toEqual(["start 1", "stop 1", "stopped 1", "start 2", "started 2"])
    }),
  )

  it.scoped("of all waiters while the old one is being stopped: no new one is started", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const stop = yield* gate
      lab.onStop = () => stop.pass
      lab.onValidate = () => Effect.fail("bad")
      const fibers = yield* forkMany(3, handle.acquire)
      yield* Fiber.interruptAll(fibers)
      yield* stop.open
      yield* quiet
      expect(lab.starts).toBe(1)
      expect(lab.live.size).toBe(0)
      expect(yield* handle.state).toMatchObject({ _tag: "Stale", activity: "idle" })
    }),
  )

  it.scoped("of all waiters within the backoff: no start follows", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const handle = yield* make(lab, { attempts: Schedule.stop, backoff: Schedule.spaced("10 seconds") })
      yield* Effect.flip(handle.acquire)
      const fibers = yield* forkMany(2, handle.acquire)
      yield* Fiber.interruptAll(fibers)
      yield* TestClock.adjust("1 minute")
      expect(lab.starts).toBe(1)
      expect(yield* handle.state).toMatchObject({ _tag: "Failed", activity: "idle" })
    }),
  )

  it.scoped("of all waiters between two attempts: the second one is not made", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const handle = yield* make(lab, { attempts: Schedule.spaced("1 second") })
      const fiber = yield* forkOne(handle.acquire)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("1 minute")
      expect(lab.starts).toBe(1)
      expect(yield* handle.state).toEqual({ _tag: "Empty", activity: "idle" })
    }),
  )

  it.scoped("of one who validates ends that validation, and nothing else", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const { open, pass } = yield* gate
      lab.onValidate = () => pass
      const [first, second] = yield* forkMany(2, handle.acquire)
      expect(lab.validating).toBe(2)
      yield* Fiber.interrupt(first!)
      expect(lab.validating).toBe(1)
      yield* open
      expect((yield* Fiber.join(second!)).id).toBe(1)
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("of thousands of waiters is quick, and the one that is left is served", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { open, pass } = yield* gate
      lab.onStart = () => pass
      const handle = yield* make(lab)
      const fibers = yield* forkMany(5_000, handle.acquire)
      const last = yield* forkOne(handle.acquire)
      yield* Fiber.interruptAll(fibers)
      yield* open
      expect((yield* Fiber.join(last)).id).toBe(1)
    }),
  )

  it.scoped("does not reach a caller who cannot be interrupted", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const { open, pass } = yield* gate
      lab.onValidate = () => pass
      const fiber = yield* forkOne(Effect.uninterruptible(Effect.zip(handle.acquire, handle.acquire)))
      yield* Fiber.interruptFork(fiber)
      yield* quiet
      expect(isOver(fiber)).toBe(false)
      // The validation of one who is to be interrupted is a validation like any other.
      expect(lab.validating).toBe(1)
      yield* open
      expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
      expect(lab.validations).toBe(2)
    }),
  )

  it.scoped("works for a handle that was made where nothing interrupts", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.never
      const handle = yield* Effect.uninterruptible(make(lab))
      const fiber = yield* forkOne(handle.acquire)
      yield* Fiber.interrupt(fiber)
      yield* quiet
      expect(lab.live.size).toBe(0)
    }),
  )
})

/** A handle in a scope that the test closes. */
const inScope = (lab: Lab, options: Parameters<typeof make>[1] = {}) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const handle = yield* Scope.extend(make(lab, options), scope)
    return { handle, close: Scope.close(scope, Exit.void) }
  })

describe("closing the scope", () => {
  it.effect("while it is starting ends the start and fails the waiters with Closed", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const stop = yield* gate
      lab.onStart = () => Effect.never
      lab.onStop = () => stop.pass
      const { close, handle } = yield* inScope(lab)
      const fibers = yield* forkMany(3, handle.acquire)
      const closing = yield* forkOne(close)
      for (const fiber of fibers) {
        const error = yield* errorOf(fiber)
        expect(error).toMatchObject({ _tag: "Closed", handle: "web" })
        expect(error.message).toContain("The handle to web is closed")
      }
      // It is closed when nothing is left.
      expect(isOver(closing)).toBe(false)
      yield* stop.open
      yield* Fiber.join(closing)
      expect(lab.live.size).toBe(0)
      expect(lab.log).toEqual(["start 1", "stop 1", "stopped 1"])
    }),
  )

  it.effect("stops what is there, and whoever asks afterwards gets Closed", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { close, handle } = yield* inScope(lab)
      yield* handle.acquire
      yield* close
      expect(lab.live.size).toBe(0)
      expect(yield* handle.state).toEqual({ _tag: "Empty", activity: "idle" })
      expect(yield* Effect.flip(handle.acquire)).toMatchObject({ _tag: "Closed" })
      expect(yield* Effect.flip(handle.use(() => Effect.void))).toMatchObject({ _tag: "Closed" })
      expect(yield* handle.invalidate("just so")).toBe(false)
      yield* handle.reset
      expect(lab.starts).toBe(1)
    }),
  )

  it.effect("of a handle that was never asked for anything does nothing", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { close } = yield* inScope(lab)
      yield* close
      expect(lab.starts).toBe(0)
    }),
  )

  it.effect("while somebody validates: Closed at once, however the validation hangs", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { close, handle } = yield* inScope(lab)
      yield* handle.acquire
      const hang = yield* gate
      lab.onValidate = () => Effect.uninterruptible(hang.pass)
      const fiber = yield* forkOne(handle.acquire)
      yield* close
      expect(yield* errorOf(fiber)).toMatchObject({ _tag: "Closed" })
      expect(lab.live.size).toBe(0)
      yield* hang.open
    }),
  )

  it.effect("from within a validation: Closed", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { close, handle } = yield* inScope(lab)
      yield* handle.acquire
      lab.onValidate = () =>
        Effect.suspend(() => {
          Effect.runFork(close)
          return Effect.never
        })
      expect(yield* Effect.flip(handle.acquire)).toMatchObject({ _tag: "Closed" })
    }),
  )

  it.effect("within the backoff fails the waiters", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const { close, handle } = yield* inScope(lab, {
        attempts: Schedule.stop,
        backoff: Schedule.spaced("10 seconds"),
      })
      yield* Effect.flip(handle.acquire)
      const fiber = yield* forkOne(handle.acquire)
      yield* close
      expect(yield* errorOf(fiber)).toMatchObject({ _tag: "Closed" })
      yield* TestClock.adjust("1 minute")
      expect(lab.starts).toBe(1)
    }),
  )

  it.effect("while the old one is being stopped waits for that, and starts nothing", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { close, handle } = yield* inScope(lab)
      yield* handle.acquire
      const stop = yield* gate
      lab.onStop = () => stop.pass
      yield* handle.invalidate("just so")
      const fiber = yield* forkOne(handle.acquire)
      const closing = yield* forkOne(close)
      expect(yield* errorOf(fiber)).toMatchObject({ _tag: "Closed" })
      expect(isOver(closing)).toBe(false)
      yield* stop.open
      yield* Fiber.join(closing)
      expect(lab.starts).toBe(1)
    }),
  )

  it.effect("waits for a start that cannot be interrupted, and stops what it made", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const start = yield* gate
      lab.onStart = () => Effect.uninterruptible(start.pass)
      const { close, handle } = yield* inScope(lab)
      const fiber = yield* forkOne(handle.acquire)
      const closing = yield* forkOne(close)
      expect(yield* errorOf(fiber)).toMatchObject({ _tag: "Closed" })
      yield* start.open
      yield* Fiber.join(closing)
      expect(lab.live.size).toBe(0)
    }),
  )

  it.live("leaves no timer behind", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const clock = new StillClock()
      yield* Effect.gen(function* () {
        const { close, handle } = yield* inScope(lab, {
          idleTimeout: "1 hour",
          health: { schedule: Schedule.spaced("1 hour") },
        })
        yield* handle.acquire
        lab.onValidate = () => Effect.never
        const fiber = yield* forkOne(handle.acquire)
        yield* Fiber.interrupt(fiber)
        // Of idleness, of health, and of validations.
        expect(clock.sleepers.size).toBe(3)
        yield* close
        expect(clock.sleepers.size).toBe(0)
      }).pipe(Effect.withClock(clock), Logger.withMinimumLogLevel(LogLevel.None))
    }),
  )
})

describe("an invalidation", () => {
  it.scoped("stops what is there, and starts nothing until somebody asks", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      expect(yield* handle.invalidate("it was told so")).toBe(true)
      yield* quiet
      expect(lab.live.size).toBe(0)
      expect(lab.starts).toBe(1)
      expect(yield* handle.state).toMatchObject({ _tag: "Stale", reason: "it was told so" })
      expect(yield* handle.invalidate("once more")).toBe(false)
      expect((yield* handle.acquire).id).toBe(2)
    }),
  )

  it.scoped("of a snapshot that is not the current one changes nothing", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const old = yield* handle.acquire
      yield* handle.invalidate("it was told so", old)
      const next = yield* handle.acquire
      // News that come late, of somebody who used the old one.
      expect(yield* handle.invalidate("it does not answer", old)).toBe(false)
      expect(yield* handle.acquire).toBe(next)
      expect(yield* handle.invalidate("it does not answer", next)).toBe(true)
    }),
  )

  it.scoped("while it is starting begins anew, for those who wait", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = ({ id }) => (id === 1 ? Effect.never : Effect.void)
      const handle = yield* make(lab)
      const fibers = yield* forkMany(2, handle.acquire)
      expect(yield* handle.invalidate("the configuration has changed")).toBe(true)
      const snapshots = yield* Effect.forEach(fibers, Fiber.join)
      expect(snapshots.map(({ id }) => id)).toEqual([2, 2])
      expect(lab.mostLive).toBe(1)
    }),
  )

  it.scoped("of an old snapshot while the next one is starting does not disturb that", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const old = yield* handle.acquire
      yield* handle.invalidate("it does not answer", old)
      const { open, pass } = yield* gate
      lab.onStart = () => pass
      const fiber = yield* forkOne(handle.acquire)
      expect(yield* handle.invalidate("it does not answer", old)).toBe(false)
      yield* open
      expect((yield* Fiber.join(fiber)).id).toBe(2)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("can come from the start itself", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* make(lab)
      lab.onStart = ({ id }) =>
        id === 1 ? Effect.zipRight(handle.invalidate("no"), Effect.never) : Effect.void
      expect((yield* handle.acquire).id).toBe(2)
      expect(lab.mostLive).toBe(1)
    }),
  )
})

describe("a reset", () => {
  it.live("ends the backoff, and its timer", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const clock = new StillClock()
      lab.onStart = () => Effect.fail(broken)
      yield* Effect.gen(function* () {
        const { close, handle } = yield* inScope(lab, {
          attempts: Schedule.stop,
          backoff: Schedule.spaced("10 seconds"),
        })
        yield* Effect.flip(handle.acquire)
        yield* quiet
        expect(clock.sleepers.size).toBe(1)
        yield* handle.reset
        yield* quiet
        expect(clock.sleepers.size).toBe(0)
        yield* close
      }).pipe(Effect.withClock(clock), Logger.withMinimumLogLevel(LogLevel.None))
    }),
  )

  it.scoped("stops what is there, and waits for it", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const stop = yield* gate
      lab.onStop = () => stop.pass
      const fiber = yield* forkOne(handle.reset)
      expect(yield* handle.state).toEqual({ _tag: "Empty", activity: "stopping" })
      expect(isOver(fiber)).toBe(false)
      yield* stop.open
      yield* Fiber.join(fiber)
      expect(lab.live.size).toBe(0)
      expect((yield* handle.acquire).id).toBe(2)
    }),
  )

  it.scoped("while it is starting gives those who wait a new one", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = ({ id }) => (id === 1 ? Effect.never : Effect.void)
      const handle = yield* make(lab)
      const fiber = yield* forkOne(handle.acquire)
      yield* handle.reset
      expect((yield* Fiber.join(fiber)).id).toBe(2)
    }),
  )

  it.scoped("of an empty handle does nothing", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* make(lab)
      yield* handle.reset
      expect(lab.starts).toBe(0)
    }),
  )
})

describe("a use", () => {
  it.scoped("holds the resource for as long as it runs, and no longer, whatever way it ends", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { idleTimeout: "1 minute" })
      const running = yield* forkOne(handle.use(() => Effect.never))
      yield* TestClock.adjust("1 hour")
      expect(lab.live.size).toBe(1)
      yield* Fiber.interrupt(running)
      expect(yield* Effect.flip(handle.use(() => Effect.fail("no")))).toBe("no")
      yield* TestClock.adjust("59 seconds")
      expect(lab.live.size).toBe(1)
      yield* TestClock.adjust("1 second")
      yield* quiet
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("can be interrupted while it waits for the start", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.never
      const handle = yield* make(lab)
      for (const use of [handle.use(() => Effect.void), Effect.scoped(handle.hold)]) {
        const fiber = yield* forkOne(use)
        yield* Fiber.interrupt(fiber)
        yield* quiet
        expect(lab.live.size).toBe(0)
      }
    }),
  )

  it.scoped("of a resource that is replaced meanwhile is no use of the next one", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { idleTimeout: "1 minute" })
      yield* handle.hold
      yield* handle.invalidate("just so")
      yield* handle.acquire
      yield* TestClock.adjust("1 minute")
      yield* quiet
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("is not of a resource that went away before it began", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      let onReady: Effect.Effect<unknown> = Effect.void
      // A logger is the first to know, before those who wait.
      const logger = Logger.make(({ message }) => {
        if (String(message).includes("-> Ready")) Effect.runSync(onReady)
      })
      yield* Effect.gen(function* () {
        const handle = yield* make(lab)
        const others: Array<Fiber.RuntimeFiber<Server, unknown>> = []
        onReady = Effect.sync(() => {
          onReady = Effect.void
          Effect.runSync(handle.invalidate("just so"))
          others.push(Effect.runFork(handle.acquire))
        })
        expect(yield* handle.use(({ id }) => Effect.succeed(id))).toBe(2)
        expect((yield* Fiber.join(others[0]!)).id).toBe(2)
        expect(lab.mostLive).toBe(1)
      }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
    }),
  )
})
