import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as HandleHealth from "../../src/handle/HandleHealth.js"
import { broken, forkOne, gate, isOver, Lab, makeReady, quiet } from "./support.js"

/** Moves the clock on second by second, as one long step would hide what happens on the way. */
const walk = (seconds: number) =>
  Effect.repeatN(Effect.zipRight(TestClock.adjust("1 second"), quiet), seconds - 1)

describe("an idle timeout", () => {
  it.scoped("stops a resource that nobody has used for so long; the next acquire starts another one", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { idleTimeout: "10 seconds" })
      yield* walk(9)
      expect(lab.live.size).toBe(1)
      yield* walk(1)
      expect(lab.live.size).toBe(0)
      expect(yield* handle.state).toEqual({ _tag: "Empty", activity: "idle" })
      yield* walk(60)
      expect(lab.starts).toBe(1)
      expect((yield* handle.acquire).id).toBe(2)
      yield* walk(10)
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("counts from the last acquire", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { idleTimeout: "10 seconds" })
      for (let time = 0; time < 5; time++) {
        yield* walk(9)
        expect((yield* handle.acquire).id).toBe(1)
      }
      yield* walk(9)
      expect(lab.live.size).toBe(1)
      yield* walk(1)
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("does not pass while somebody validates, however long that takes, and counts from its end", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { idleTimeout: "10 seconds", validateTimeout: "1 hour" })
      const { open, pass } = yield* gate
      lab.onValidate = () => pass
      const fiber = yield* forkOne(handle.acquire)
      yield* walk(30)
      expect(lab.live.size).toBe(1)
      yield* open
      yield* Fiber.join(fiber)
      yield* walk(9)
      expect(lab.live.size).toBe(1)
      yield* walk(1)
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("counts from the interruption of the last one who validates", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { idleTimeout: "10 seconds", validateTimeout: "1 hour" })
      lab.onValidate = () => Effect.never
      const fiber = yield* forkOne(handle.acquire)
      yield* walk(30)
      yield* Fiber.interrupt(fiber)
      yield* walk(9)
      expect(lab.live.size).toBe(1)
      yield* walk(1)
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("does not pass while somebody holds it, and counts from the last release", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { idleTimeout: "10 seconds" })
      const { open, pass } = yield* gate
      const first = yield* forkOne(handle.use(() => pass))
      const second = yield* forkOne(Effect.scoped(Effect.zipRight(handle.hold, Effect.sleep("1 minute"))))
      yield* walk(30)
      yield* open
      yield* Fiber.join(first)
      yield* walk(30)
      expect(isOver(second)).toBe(true)
      expect(lab.live.size).toBe(1)
      yield* walk(10)
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("does not concern an external resource", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      yield* makeReady(lab, { mode: "external", idleTimeout: "10 seconds" })
      yield* walk(60)
      expect(lab.live.size).toBe(1)
    }),
  )

  it.scoped("checks of its health are no use of it", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      yield* makeReady(lab, { idleTimeout: "10 seconds", health: { schedule: Schedule.spaced("1 second") } })
      yield* walk(10)
      expect(lab.live.size).toBe(0)
      const { validations } = lab
      expect(validations).toBeGreaterThan(5)
      yield* walk(10)
      expect(lab.validations).toBe(validations)
    }),
  )

  it.scoped("is off by default, and when it is infinite", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      yield* makeReady(lab)
      yield* makeReady(lab, { idleTimeout: Infinity })
      yield* TestClock.adjust("1000 days")
      expect(lab.live.size).toBe(2)
    }),
  )
})

describe("health, decided", () => {
  const rules: HandleHealth.Rules = { failureThreshold: 3, busyGraceMillis: 120_000 }
  const bad = (at: number, isBusy = false): HandleHealth.Checked => ({ isHealthy: false, isBusy, at })
  const good: HandleHealth.Checked = { isHealthy: true }

  it.each<readonly [string, ReadonlyArray<HandleHealth.Checked>, ReadonlyArray<boolean>]>([
    ["three failures in a row are due", [bad(0), bad(1), bad(2)], [false, false, true]],
    [
      "a pass begins the count anew",
      [bad(0), bad(1), good, bad(3), bad(4), bad(5)],
      [false, false, false, false, false, true],
    ],
    [
      "not while it is busy",
      [bad(0, true), bad(1, true), bad(2, true), bad(3, true)],
      [false, false, false, false],
    ],
    [
      "but when it turns idle",
      [bad(0, true), bad(1, true), bad(2, true), bad(3)],
      [false, false, false, true],
    ],
    [
      "or when the busy grace is over",
      [bad(0, true), bad(1, true), bad(119_999, true), bad(120_000, true)],
      [false, false, false, true],
    ],
    [
      "which begins anew after it was idle",
      [bad(0, true), bad(1), bad(2, true), bad(120_001, true), bad(120_002, true)],
      [false, false, false, false, true],
    ],
    [
      "and after it was healthy",
      [bad(0, true), good, bad(2, true), bad(3, true), bad(120_001, true), bad(120_002, true)],
      [false, false, false, false, false, true],
    ],
    [
      "a grace that is over is not enough",
      [bad(0, true), bad(200_000, true), bad(200_001, true)],
      [false, false, true],
    ],
  ])("%s", (_, checks, expected) => {
    let health = HandleHealth.healthy
    const due = checks.map((check) => {
      const step = HandleHealth.step(rules, health, check)
      ;({ health } = step)
      return step.isDue
    })
    expect(due).toEqual(expected)
  })

  it("tells how long one that is due is spared", () => {
    expect(HandleHealth.deadline(rules, { failures: 2, busySince: 5 })).toBeUndefined()
    expect(HandleHealth.deadline(rules, { failures: 3 })).toBeUndefined()
    expect(HandleHealth.deadline(rules, { failures: 3, busySince: 5 })).toBe(120_005)
  })
})

const everySecond = Schedule.spaced("1 second")

describe("health, without being asked", () => {
  it.scoped("a resource that stays unhealthy is replaced at the third failure, and nobody has to ask", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { health: { schedule: everySecond } })
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      yield* walk(2)
      expect(lab.starts).toBe(1)
      yield* walk(1)
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", generation: 2 })
      expect(lab.mostLive).toBe(1)
      yield* walk(60)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("its checks have the deadline of any validation", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      yield* makeReady(lab, { health: { schedule: everySecond, failureThreshold: 1 } })
      lab.onValidate = ({ id }) => (id === 1 ? Effect.never : Effect.void)
      yield* walk(5)
      expect(lab.starts).toBe(1)
      yield* walk(1)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("failures that are not in a row do not add up; a validation that passes counts too", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { health: { schedule: everySecond } })
      lab.onValidate = () => (lab.validations % 3 === 0 ? Effect.void : Effect.fail("bad"))
      yield* walk(30)
      expect(lab.starts).toBe(1)
      lab.onValidate = () => Effect.fail("bad")
      yield* walk(2)
      lab.onValidate = () => Effect.void
      yield* handle.acquire
      lab.onValidate = () => Effect.fail("bad")
      yield* walk(2)
      expect(lab.starts).toBe(1)
      lab.onValidate = () => Effect.void
      yield* walk(1)
    }),
  )

  it.scoped("a busy one is spared until it is idle", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      let isBusy = true
      yield* makeReady(lab, { health: { schedule: everySecond, isBusy: () => Effect.sync(() => isBusy) } })
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      yield* walk(60)
      expect(lab.starts).toBe(1)
      isBusy = false
      yield* walk(1)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("but no longer than two minutes", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      yield* makeReady(lab, { health: { schedule: everySecond, isBusy: () => Effect.succeed(true) } })
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      yield* walk(120)
      expect(lab.starts).toBe(1)
      yield* walk(1)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("and the end of that grace does not wait for the next check", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      yield* makeReady(lab, {
        health: {
          schedule: Schedule.spaced("10 seconds"),
          failureThreshold: 1,
          isBusy: () => Effect.succeed(true),
          busyGrace: "3 seconds",
        },
      })
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      yield* walk(12)
      expect(lab.starts).toBe(1)
      yield* walk(1)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("by default it is busy while somebody holds it", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { health: { schedule: everySecond } })
      const { open, pass } = yield* gate
      const fiber = yield* forkOne(handle.use(() => pass))
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      yield* walk(10)
      expect(lab.starts).toBe(1)
      yield* open
      yield* Fiber.join(fiber)
      yield* walk(1)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("a question whether it is busy that dies is answered with no", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      yield* makeReady(lab, { health: { schedule: everySecond, isBusy: () => Effect.die("a bug") } })
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      yield* walk(3)
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("an acquire recovers at once, without counting, busy or not", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, {
        health: { schedule: everySecond, isBusy: () => Effect.succeed(true) },
      })
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      expect((yield* handle.acquire).id).toBe(2)
    }),
  )

  it.scoped("one that is known to be gone is Stale, and started when somebody asks", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const gone = new Set<number>()
      const handle = yield* makeReady(lab, {
        whyGone: ({ id }) => (gone.has(id) ? "its process has ended" : undefined),
        health: { schedule: everySecond },
      })
      gone.add(1)
      yield* walk(10)
      expect(yield* handle.state).toMatchObject({ _tag: "Stale", reason: "its process has ended" })
      expect(lab.starts).toBe(1)
      expect((yield* handle.acquire).id).toBe(2)
    }),
  )

  it.scoped("an external one that stays unhealthy has failed for good", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { mode: "external", health: { schedule: everySecond } })
      lab.onValidate = () => Effect.fail("bad")
      yield* walk(3)
      expect(yield* handle.state).toMatchObject({ _tag: "Failed", mode: "external", isFinal: true })
      expect(yield* Effect.flip(handle.acquire)).toMatchObject({ _tag: "ExternalUnavailable", reason: "bad" })
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("a replacement that does not start is tried again by the next acquire only", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { health: { schedule: everySecond }, attempts: Schedule.stop })
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      lab.onStart = () => Effect.fail(broken)
      yield* walk(60)
      expect(lab.starts).toBe(2)
      expect(yield* handle.state).toMatchObject({ _tag: "Failed" })
      lab.onStart = () => Effect.void
      expect((yield* handle.acquire).id).toBe(3)
    }),
  )

  it.scoped("who joins a replacement and leaves does not cancel it", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { health: { schedule: everySecond, failureThreshold: 1 } })
      const { open, pass } = yield* gate
      lab.onStart = () => pass
      lab.onValidate = ({ id }) => (id === 1 ? Effect.fail("bad") : Effect.void)
      yield* walk(1)
      expect(yield* handle.state).toMatchObject({ _tag: "Stale", activity: "starting" })
      const fiber = yield* forkOne(handle.acquire)
      yield* Fiber.interrupt(fiber)
      yield* open
      yield* quiet
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", generation: 2 })
    }),
  )

  it.scoped("a schedule that is done ends the checks", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      yield* makeReady(lab, {
        health: { schedule: Schedule.intersect(everySecond, Schedule.recurs(2)) },
      })
      yield* walk(10)
      expect(lab.validations).toBe(2)
    }),
  )
})
