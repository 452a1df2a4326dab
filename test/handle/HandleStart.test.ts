import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as Handle from "../../src/handle/Handle.js"
import {
  broken,
  errorOf,
  forkMany,
  forkOne,
  hopeless,
  isOver,
  Lab,
  make,
  makeReady,
  quiet,
} from "./support.js"

describe("a start", () => {
  it.scoped("has two attempts; what the first one held is released before the second one", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = (_, { attempt }) => (attempt === 1 ? Effect.fail(broken) : Effect.void)
      const handle = yield* make(lab)
      expect((yield* handle.acquire).id).toBe(2)
      expect(lab.log).toEqual(["start 1", "stop 1", "stopped 1", "start 2", "started 2"])
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", generation: 1 })
    }),
  )

  it.scoped("that fails twice has failed, with the last error", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const last = new Error("the last one")
      const handle = yield* Handle.make({
        name: "web",
        start: ({ attempt }) =>
          Effect.zipRight(
            Effect.orDie(lab.start({} as Handle.StartContext)),
            Effect.fail(attempt === 1 ? broken : last),
          ),
      })
      expect(yield* Effect.flip(handle.acquire)).toBe(last)
      expect(lab.starts).toBe(2)
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("is not tried again for an error that says `retryable: false`", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(hopeless)
      const handle = yield* make(lab)
      expect(yield* Effect.flip(handle.acquire)).toBe(hopeless)
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("is not tried again where the predicate says so, nor after a defect", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const handle = yield* make(lab, { isRetryable: ({ why }) => why !== "it is broken" })
      yield* Effect.flip(handle.acquire)
      expect(lab.starts).toBe(1)
      const throwing = yield* make(lab, {
        isRetryable: () => {
          throw new Error("no idea")
        },
      })
      expect(yield* Effect.flip(throwing.acquire)).toBe(broken)
      expect(lab.starts).toBe(2)
      const other = new Lab()
      other.onStart = () => Effect.die("a bug")
      yield* Effect.exit((yield* make(other)).acquire)
      expect(other.starts).toBe(1)
    }),
  )

  it.scoped("keeps to a schedule of attempts that is given", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const handle = yield* make(lab, {
        attempts: Schedule.intersect(Schedule.recurs(2), Schedule.spaced("1 second")),
      })
      const fiber = yield* forkOne(handle.acquire)
      expect(lab.starts).toBe(1)
      yield* TestClock.adjust("1 second")
      expect(lab.starts).toBe(2)
      expect(isOver(fiber)).toBe(false)
      yield* TestClock.adjust("1 second")
      expect(lab.starts).toBe(3)
      expect(yield* errorOf(fiber)).toBe(broken)
    }),
  )

  it.scoped("a description that throws fails it, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* make(lab, {
        describe: () => {
          throw new Error("no words")
        },
      })
      const exit = yield* Effect.exit(handle.acquire)
      expect(Exit.isFailure(exit) && Cause.pretty(exit.cause)).toContain("no words")
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("is told of its generation and attempt", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const seen: Array<readonly [number, number]> = []
      lab.onStart = (_, { attempt, generation }) => {
        seen.push([generation, attempt])
        return attempt === 1 ? Effect.fail(broken) : Effect.void
      }
      const handle = yield* makeReady(lab)
      yield* handle.reset
      yield* handle.acquire
      expect(seen).toEqual([
        [1, 1],
        [1, 2],
        [2, 1],
        [2, 2],
      ])
    }),
  )
})

/** A handle whose start fails until told otherwise, with pauses of 0, 10 and 20 s, then none. */
const failing = (lab: Lab, error = broken) => {
  lab.onStart = () => Effect.fail(error)
  return make(lab, {
    attempts: Schedule.stop,
    backoff: Schedule.fromDelays(Duration.zero, Duration.seconds(10), Duration.seconds(20)),
  })
}

describe("a managed handle that has failed", () => {
  it.scoped("tries again at the next acquire, at once after the first failure", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* failing(lab)
      yield* Effect.flip(handle.acquire)
      yield* quiet
      lab.onStart = () => Effect.void
      expect((yield* handle.acquire).id).toBe(2)
    }),
  )

  it.scoped("does not start anything by itself", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* failing(lab)
      yield* Effect.flip(handle.acquire)
      yield* TestClock.adjust("1 hour")
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("makes those wait who come within the backoff, and then starts once for all of them", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* failing(lab)
      yield* Effect.flip(handle.acquire)
      yield* quiet
      yield* Effect.flip(handle.acquire)
      yield* TestClock.adjust("4 seconds")
      const fibers = yield* forkMany(3, handle.acquire)
      expect(yield* handle.state).toMatchObject({ _tag: "Failed", activity: "waiting" })
      yield* TestClock.adjust("5999 millis")
      expect(lab.starts).toBe(2)
      expect(fibers.some(isOver)).toBe(false)
      lab.onStart = () => Effect.void
      yield* TestClock.adjust("1 millis")
      const snapshots = yield* Effect.forEach(fibers, Fiber.join)
      expect(snapshots.map(({ id }) => id)).toEqual([3, 3, 3])
    }),
  )

  it.scoped("is not hammered: as many starts as the backoff allows of, however often it is asked", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const handle = yield* make(lab, { attempts: Schedule.stop, backoff: Schedule.spaced("1 second") })
      yield* Effect.forkScoped(Effect.forever(Effect.flip(handle.acquire)))
      yield* quiet
      for (let second = 0; second < 10; second++) yield* TestClock.adjust("1 second")
      expect(lab.starts).toBe(11)
    }),
  )

  it.scoped("gives the same failure at once within the backoff where trying again hardly helps", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* failing(lab, hopeless)
      yield* Effect.flip(handle.acquire)
      yield* quiet
      yield* Effect.flip(handle.acquire)
      expect(lab.starts).toBe(2)
      expect(yield* Effect.flip(handle.acquire)).toBe(hopeless)
      expect(lab.starts).toBe(2)
      yield* TestClock.adjust("10 seconds")
      lab.onStart = () => Effect.void
      expect((yield* handle.acquire).id).toBe(3)
    }),
  )

  it.scoped("begins the backoff anew after a success", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* failing(lab)
      yield* Effect.flip(handle.acquire)
      yield* quiet
      yield* Effect.flip(handle.acquire)
      lab.onStart = () => Effect.void
      const fiber = yield* forkOne(handle.acquire)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      lab.onStart = () => Effect.fail(broken)
      yield* handle.invalidate("just so")
      yield* Effect.flip(handle.acquire)
      yield* quiet
      // The first pause is none again.
      yield* Effect.flip(handle.acquire)
      expect(lab.starts).toBe(5)
    }),
  )

  it.scoped("stays so when the backoff is done, with the same failure, until a reset", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const handle = yield* make(lab, { attempts: Schedule.stop, backoff: Schedule.recurs(1) })
      yield* Effect.flip(handle.acquire)
      yield* quiet
      yield* Effect.flip(handle.acquire)
      yield* quiet
      expect(yield* handle.state).toMatchObject({ _tag: "Failed", isFinal: true })
      expect(yield* Effect.flip(handle.acquire)).toBe(broken)
      expect(lab.starts).toBe(2)
      lab.onStart = () => Effect.void
      yield* handle.reset
      expect((yield* handle.acquire).id).toBe(3)
    }),
  )

  it.scoped("fails those who wait for the end of a backoff that has none", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const handle = yield* make(lab, { attempts: Schedule.stop, backoff: Schedule.stop })
      const [first, second] = [Effect.flip(handle.acquire), Effect.flip(handle.acquire)]
      // The second one comes before it is known that there is no further start.
      expect(yield* Effect.zip(first, second)).toEqual([broken, broken])
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("a reset ends the backoff, and serves those who wait for its end", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* failing(lab)
      yield* Effect.flip(handle.acquire)
      yield* quiet
      yield* Effect.flip(handle.acquire)
      const fiber = yield* forkOne(handle.acquire)
      lab.onStart = () => Effect.void
      yield* handle.reset
      expect((yield* Fiber.join(fiber)).id).toBe(3)
    }),
  )

  it.scoped("by default pauses not at all, then for up to 100 ms, doubling, up to 30 s", () =>
    Effect.gen(function* () {
      const chunk = yield* Schedule.run(Schedule.delays(Handle.defaultBackoff), 0, Array.from({ length: 20 }))
      const millis = Chunk.toReadonlyArray(chunk).map(Duration.toMillis)
      expect(millis).toHaveLength(20)
      expect(millis[0]).toBe(0)
      for (const [index, delay] of millis.slice(1).entries()) {
        expect(delay).toBeGreaterThanOrEqual(0)
        expect(delay).toBeLessThanOrEqual(Math.min(30_000, 100 * 2 ** index))
      }
      expect(Math.max(...millis)).toBeGreaterThan(1_000)
    }),
  )
})

describe("an external resource", () => {
  it.scoped(
    "that fails its validation is unavailable: the very same error, no probe, no start, until a reset",
    () =>
      Effect.gen(function* () {
        const lab = new Lab()
        const handle = yield* makeReady(lab, { mode: "external" })
        const cause = new Error("GET http://127.0.0.1:4001/health was refused")
        lab.onValidate = () => Effect.fail(cause)
        const first = yield* Effect.flip(handle.acquire)
        expect(first).toMatchObject({
          _tag: "ExternalUnavailable",
          handle: "web",
          reason: cause.message,
          attributes: { baseUrl: "http://127.0.0.1:4001" },
          cause,
        })
        expect(first.message).toBe(
          "web (http://127.0.0.1:4001), which is not ours to start, is unavailable: GET http://127.0.0.1:4001/health was refused. Bring it up, then reset the handle.",
        )
        lab.onValidate = () => Effect.void
        yield* TestClock.adjust("1 hour")
        expect(yield* Effect.flip(handle.acquire)).toBe(first)
        const [again] = yield* Effect.forEach(yield* forkMany(3, handle.acquire), errorOf)
        expect(again).toBe(first)
        expect(lab.validations).toBe(1)
        expect(lab.starts).toBe(1)
        expect(yield* handle.state).toMatchObject({ _tag: "Failed", mode: "external", isFinal: true })
        yield* handle.reset
        expect(yield* handle.state).toMatchObject({ _tag: "Empty" })
        expect((yield* handle.acquire).id).toBe(2)
      }),
  )

  it.scoped("whose start fails has failed for good, with the start's own error", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.fail(broken)
      const handle = yield* make(lab, { mode: "external" })
      expect(yield* Effect.flip(handle.acquire)).toBe(broken)
      lab.onStart = () => Effect.void
      expect(yield* Effect.flip(handle.acquire)).toBe(broken)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("all who validate it get the same error", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { mode: "external" })
      lab.onValidate = () => Effect.zipRight(quiet, Effect.fail("bad"))
      const errors = yield* Effect.forEach(yield* forkMany(3, handle.acquire), errorOf)
      expect(new Set(errors).size).toBe(1)
    }),
  )

  it.scoped("that is invalidated, or says that it is gone, is unavailable", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { mode: "external" })
      expect(yield* handle.invalidate("it answers nonsense")).toBe(true)
      expect(yield* Effect.flip(handle.acquire)).toMatchObject({ reason: "it answers nonsense" })
      yield* quiet
      expect(lab.live.size).toBe(0)
      let lost: Handle.StartContext["lost"]
      lab.onStart = (_, context) =>
        Effect.sync(() => {
          lost = context.lost
        })
      yield* handle.reset
      yield* handle.acquire
      yield* lost!("it went away")
      expect(yield* Effect.flip(handle.acquire)).toMatchObject({ reason: "it went away" })
    }),
  )
})

describe("the recursion guard", () => {
  const nested = { environment: { HOLDFAST_MANAGED: "1" } }

  it.scoped("blocks a real start, clearly, and each time at once", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const environment: Record<string, string> = { HOLDFAST_MANAGED: "true" }
      const handle = yield* make(lab, { guard: { environment } })
      for (let time = 0; time < 5; time++) {
        const error = yield* Effect.flip(handle.acquire)
        expect(error).toMatchObject({ _tag: "RecursionGuarded", what: "web", value: "true" })
        expect(error.message).toContain("web was not started: HOLDFAST_MANAGED is set to")
      }
      expect(lab.starts).toBe(0)
      environment["HOLDFAST_MANAGED"] = "0"
      expect((yield* handle.acquire).id).toBe(1)
    }),
  )

  it.scoped("does not block the reuse of what is live", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const environment: Record<string, string> = {}
      const handle = yield* makeReady(lab, { guard: { environment } })
      environment["HOLDFAST_MANAGED"] = "1"
      expect((yield* handle.acquire).id).toBe(1)
      yield* handle.invalidate("just so")
      expect(yield* Effect.flip(handle.acquire)).toMatchObject({ _tag: "RecursionGuarded" })
    }),
  )

  it.scoped("does not block the use of an external resource", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* make(lab, { mode: "external", guard: nested })
      expect((yield* handle.acquire).id).toBe(1)
    }),
  )

  it.scoped("does not block what is found, only what would have to be started", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const found = { id: 99, url: "http://127.0.0.1:9" }
      let isThere = true
      const handle = yield* make(lab, {
        guard: nested,
        adopt: () => Effect.sync(() => (isThere ? Option.some(found) : Option.none())),
        mode: (server) => (server === found ? "external" : "managed"),
      })
      expect(yield* handle.acquire).toBe(found)
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", mode: "external" })
      isThere = false
      yield* handle.reset
      expect(yield* Effect.flip(handle.acquire)).toMatchObject({ _tag: "RecursionGuarded" })
      expect(lab.starts).toBe(0)
    }),
  )

  it.scoped("what is not found is started", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* make(lab, { adopt: () => Effect.succeedNone })
      expect((yield* handle.acquire).id).toBe(1)
    }),
  )

  it.scoped("can be turned off, or read another variable; children get it", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const lab = new Lab()
      lab.onStart = (_, { env }) => Effect.sync(() => seen.push(env))
      const variable = "OPENCODE_ORCHESTRATOR_MANAGED"
      yield* makeReady(lab, { guard: { ...nested, variable } })
      yield* makeReady(lab, { guard: { environment: {} } })
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          process.env["HOLDFAST_MANAGED"] = "1"
        }),
        () => Effect.sync(() => delete process.env["HOLDFAST_MANAGED"]),
      )
      yield* makeReady(lab, { guard: false })
      expect(seen).toEqual([{ [variable]: "1" }, { HOLDFAST_MANAGED: "1" }, {}])
      const byDefault = yield* Handle.make({ name: "web", start: () => Effect.void })
      expect(yield* Effect.flip(byDefault.acquire)).toMatchObject({ variable: "HOLDFAST_MANAGED" })
    }),
  )
})
