import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Context from "effect/Context"
import * as TestClock from "effect/TestClock"
import * as Handle from "../../src/handle/Handle.js"
import { broken, errorOf, forkMany, forkOne, gate, isOver, Lab, make, makeReady, quiet } from "./support.js"

describe("an empty handle", () => {
  it.scoped("starts nothing before the first acquire", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* make(lab)
      yield* TestClock.adjust("1 hour")
      expect(lab.starts).toBe(0)
      expect(yield* handle.state).toEqual({ _tag: "Empty", activity: "idle" })
    }),
  )

  it.scoped("starts once for a hundred concurrent acquires, and all get the same snapshot", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { open, pass } = yield* gate
      lab.onStart = () => pass
      const handle = yield* make(lab)
      const fibers = yield* forkMany(100, handle.acquire)
      expect(lab.starts).toBe(1)
      expect(yield* handle.state).toEqual({ _tag: "Empty", activity: "starting" })
      yield* open
      const snapshots = yield* Effect.forEach(fibers, Fiber.join)
      expect(new Set(snapshots).size).toBe(1)
      expect(lab.starts).toBe(1)
      expect(lab.validations).toBe(0)
      expect(yield* handle.state).toEqual({
        _tag: "Ready",
        activity: "idle",
        snapshot: snapshots[0],
        mode: "managed",
        generation: 1,
        attributes: { baseUrl: "http://127.0.0.1:4001" },
      })
    }),
  )

  it.scoped("whoever comes while it is starting joins", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { open, pass } = yield* gate
      lab.onStart = () => pass
      const handle = yield* make(lab)
      const [first] = yield* forkMany(1, handle.acquire)
      const [late] = yield* forkMany(1, handle.acquire)
      yield* open
      expect(yield* Fiber.join(late!)).toBe(yield* Fiber.join(first!))
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("a start that is over at once serves whoever brought it about", () =>
    Effect.gen(function* () {
      const snapshot = {}
      const handle = yield* Handle.make({ name: "web", start: () => Effect.succeed(snapshot) })
      expect(yield* handle.acquire).toBe(snapshot)
      const failing = yield* Handle.make({ name: "web", start: () => Effect.fail("no") })
      expect(yield* Effect.flip(failing.acquire)).toBe("no")
    }),
  )

  it.scoped("all waiters get the same failure", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const { open, pass } = yield* gate
      lab.onStart = () => Effect.zipRight(pass, Effect.fail(broken))
      const handle = yield* make(lab)
      const fibers = yield* forkMany(3, handle.acquire)
      yield* open
      const errors = yield* Effect.forEach(fibers, errorOf)
      for (const error of errors) expect(error).toBe(broken)
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("all waiters get the same defect", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const defect = new Error("a bug")
      lab.onStart = () => Effect.zipRight(quiet, Effect.die(defect))
      const handle = yield* make(lab)
      const fibers = yield* forkMany(3, handle.acquire)
      for (const fiber of fibers) {
        const exit = yield* Fiber.await(fiber)
        expect(Exit.isFailure(exit) && Cause.squash(exit.cause)).toBe(defect)
      }
      expect(lab.starts).toBe(1)
      expect(yield* handle.state).toMatchObject({ _tag: "Failed", mode: "managed", reason: "a bug" })
    }),
  )

  it.scoped("a start that interrupts itself is no interruption of the waiters", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = () => Effect.interrupt
      const handle = yield* make(lab)
      const exit = yield* Effect.exit(handle.acquire)
      expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
      expect(yield* handle.state).toMatchObject({ reason: "the start of web has interrupted itself" })
      expect(lab.live.size).toBe(0)
    }),
  )
})

describe("a validation", () => {
  it.scoped("is made by every acquire of a Ready handle", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const first = yield* handle.acquire
      expect(lab.validations).toBe(1)
      expect(yield* handle.acquire).toBe(first)
      expect(lab.validations).toBe(2)
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("is not made when the managed resource is known to be gone", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const gone = new Set<number>()
      const handle = yield* makeReady(lab, {
        whyGone: ({ id }) => (gone.has(id) ? "it has ended" : undefined),
      })
      expect((yield* handle.acquire).id).toBe(1)
      gone.add(1)
      expect((yield* handle.acquire).id).toBe(2)
      expect(lab.validations).toBe(1)
      expect(lab.log).toEqual(["start 1", "started 1", "stop 1", "stopped 1", "start 2", "started 2"])
    }),
  )

  it.scoped("a question for it that throws is an answer", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, {
        whyGone: ({ id }) => {
          if (id === 1) throw new Error("no idea")
          return undefined
        },
      })
      expect((yield* handle.acquire).id).toBe(2)
    }),
  )

  it.scoped("of an external resource does not ask whether its process lives", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { mode: "external", whyGone: () => "it has none" })
      expect((yield* handle.acquire).id).toBe(1)
      expect(lab.validations).toBe(1)
    }),
  )

  it.scoped("overlaps with others: three are blocked at once, and the handle still answers", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const { open, pass } = yield* gate
      lab.onValidate = () => pass
      const fibers = yield* forkMany(3, handle.acquire)
      expect(lab.validating).toBe(3)
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", activity: "idle", generation: 1 })
      yield* open
      const snapshots = yield* Effect.forEach(fibers, Fiber.join)
      expect(new Set(snapshots).size).toBe(1)
      expect(lab.starts).toBe(1)
    }),
  )

  it.scoped("that has failed starts another one, once for all who found out", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const old = yield* handle.acquire
      const { open, pass } = yield* gate
      lab.onValidate = ({ id }) => (id === 1 ? Effect.zipRight(pass, Effect.fail("bad")) : Effect.void)
      const fibers = yield* forkMany(3, handle.acquire)
      yield* open
      const snapshots = yield* Effect.forEach(fibers, Fiber.join)
      expect(new Set(snapshots).size).toBe(1)
      expect(snapshots[0]).not.toBe(old)
      expect(lab.starts).toBe(2)
      expect(lab.mostLive).toBe(1)
    }),
  )

  for (const verdict of ["good", "bad"] as const) {
    it.scoped(
      `a ${verdict} one counts for nothing when the snapshot has changed meanwhile: it looks again`,
      () =>
        Effect.gen(function* () {
          const lab = new Lab()
          const handle = yield* makeReady(lab)
          const { open, pass } = yield* gate
          const outcome = verdict === "good" ? Effect.void : Effect.fail("bad")
          lab.onValidate = ({ id }) => (id === 1 ? Effect.zipRight(pass, outcome) : Effect.void)
          const slow = yield* forkOne(handle.acquire)
          yield* handle.invalidate("it was replaced")
          const next = yield* handle.acquire
          expect(next.id).toBe(2)
          yield* open
          expect(yield* Fiber.join(slow)).toBe(next)
          expect(lab.starts).toBe(2)
          // Of the first one, and of the second one when it was looked at again.
          expect(lab.validations).toBe(2)
        }),
    )
  }

  it.scoped("that hangs has failed after 5 s, and says so", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      lab.onValidate = () => Effect.never
      const fiber = yield* forkOne(handle.acquire)
      yield* TestClock.adjust("4999 millis")
      expect(isOver(fiber)).toBe(false)
      const { open, pass } = yield* gate
      lab.onStart = () => pass
      yield* TestClock.adjust("1 millis")
      yield* quiet
      expect(yield* handle.state).toEqual({
        _tag: "Stale",
        activity: "starting",
        mode: "managed",
        reason: "its validation was not over within 5s",
      })
      expect(lab.validating).toBe(0)
      yield* open
      expect((yield* Fiber.join(fiber)).id).toBe(2)
    }),
  )

  it.scoped("that hangs and cannot be interrupted has failed all the same", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { validateTimeout: "1 second" })
      const { open, pass } = yield* gate
      lab.onValidate = () => Effect.uninterruptible(pass)
      const fiber = yield* forkOne(handle.acquire)
      yield* TestClock.adjust("1 second")
      expect((yield* Fiber.join(fiber)).id).toBe(2)
      yield* open
    }),
  )

  it.scoped("that hangs has failed, the second time as the first time", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      lab.onValidate = () => Effect.never
      for (const id of [2, 3]) {
        const fiber = yield* forkOne(handle.acquire)
        yield* TestClock.adjust("5 seconds")
        yield* quiet
        expect((yield* Fiber.join(fiber)).id).toBe(id)
        yield* TestClock.adjust("1 minute")
      }
    }),
  )

  it.scoped("each has a deadline of its own", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { mode: "external" })
      lab.onValidate = () => Effect.never
      const first = yield* forkOne(handle.acquire)
      yield* TestClock.adjust("2 seconds")
      lab.onValidate = () => Effect.sleep("4 seconds")
      const second = yield* forkOne(handle.acquire)
      yield* TestClock.adjust("3 seconds")
      yield* quiet
      expect(yield* errorOf(first)).toMatchObject({ _tag: "ExternalUnavailable" })
      expect(isOver(second)).toBe(false)
      yield* TestClock.adjust("1 second")
      // The handle has failed meanwhile: what it says of the snapshot is of no use.
      expect(yield* errorOf(second)).toBe(yield* errorOf(first))
    }),
  )

  it.scoped("that dies, throws or interrupts itself has failed", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const bad: ReadonlyArray<Effect.Effect<unknown>> = [
        Effect.die(new Error("a bug")),
        Effect.interrupt,
        Effect.suspend(() => {
          throw new Error("another bug")
        }),
      ]
      lab.onValidate = ({ id }) => bad[id - 1] ?? Effect.void
      for (const id of [2, 3, 4, 4]) expect((yield* handle.acquire).id).toBe(id)
    }),
  )

  it.scoped("has the services of whoever made the handle, and the log annotations of whoever asks", () =>
    Effect.gen(function* () {
      class Token extends Context.Tag("Token")<Token, string>() {}
      const seen: Array<unknown> = []
      const handle = yield* Handle.make({
        name: "web",
        start: () => Effect.map(Token, (token) => ({ token })),
        validate: () =>
          Effect.flatMap(Token, (token) =>
            Effect.map(Effect.logAnnotations, (annotations) => seen.push([token, [...annotations]])),
          ),
      }).pipe(Effect.provideService(Token, "secret"))
      expect(yield* handle.acquire).toEqual({ token: "secret" })
      yield* Effect.annotateLogs(handle.acquire, "who", "me")
      expect(seen).toEqual([["secret", [["who", "me"]]]])
    }),
  )
})

describe("a recovery", () => {
  it.scoped("is Stale, stops the old one, and only then starts the new one", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const stop = yield* gate
      const start = yield* gate
      lab.onStop = () => stop.pass
      lab.onStart = () => start.pass
      lab.onValidate = () => Effect.fail("bad")
      const fiber = yield* forkOne(handle.acquire)
      expect(yield* handle.state).toEqual({
        _tag: "Stale",
        activity: "stopping",
        mode: "managed",
        reason: "bad",
      })
      expect(lab.starts).toBe(1)
      yield* stop.open
      yield* quiet
      expect(yield* handle.state).toMatchObject({ _tag: "Stale", activity: "starting" })
      yield* start.open
      expect((yield* Fiber.join(fiber)).id).toBe(2)
      expect(lab.log).toEqual(["start 1", "started 1", "stop 1", "stopped 1", "start 2", "started 2"])
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", generation: 2 })
    }),
  )

  it.scoped("that fails is Failed", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      lab.onValidate = () => Effect.fail("bad")
      lab.onStart = () => Effect.fail(broken)
      expect(yield* Effect.flip(handle.acquire)).toBe(broken)
      expect(yield* handle.state).toMatchObject({
        _tag: "Failed",
        mode: "managed",
        reason: "It did not start: it is broken",
        isFinal: false,
      })
    }),
  )

  it.scoped("leaves a snapshot that was handed out as it was", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      const held = Object.freeze(yield* handle.acquire)
      const copy = { ...held }
      yield* handle.invalidate("just so")
      const rebuilt = yield* handle.acquire
      expect(rebuilt).not.toBe(held)
      expect(held).toEqual(copy)
      expect(rebuilt.url).not.toBe(held.url)
    }),
  )

  it.scoped("recomputes the mode from each new resource", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab, { mode: ({ id }) => (id === 1 ? "managed" : "external") })
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", mode: "managed" })
      yield* handle.invalidate("just so")
      yield* handle.acquire
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", mode: "external" })
      lab.onValidate = () => Effect.fail("bad")
      expect(yield* Effect.flip(handle.acquire)).toMatchObject({ _tag: "ExternalUnavailable" })
      expect(lab.starts).toBe(2)
    }),
  )

  it.scoped("goes on when the stop of the old one goes wrong", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const handle = yield* makeReady(lab)
      lab.onStop = () => Effect.die(new Error("it does not stop"))
      yield* handle.invalidate("just so")
      expect((yield* handle.acquire).id).toBe(2)
      lab.onStop = () => Effect.void
    }),
  )
})

describe("what a resource says of itself", () => {
  it.scoped("that it is gone makes it Stale at once, and the next acquire starts another one", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const lost: Array<(reason: string) => Effect.Effect<void>> = []
      lab.onStart = (_, context) => Effect.sync(() => lost.push(context.lost))
      const handle = yield* makeReady(lab)
      yield* lost[0]!("it crashed")
      expect(yield* handle.state).toMatchObject({ _tag: "Stale", reason: "it crashed" })
      yield* quiet
      expect(lab.live.size).toBe(0)
      expect(lab.starts).toBe(1)
      expect((yield* handle.acquire).id).toBe(2)
      // News of the first one do not concern the second one.
      yield* lost[0]!("it crashed again")
      expect(yield* handle.state).toMatchObject({ _tag: "Ready", generation: 2 })
    }),
  )

  it.scoped("while it is being started fails that attempt, however long it would have taken", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = (_, { attempt, lost }) =>
        attempt === 1 ? Effect.zipRight(lost("it crashed"), Effect.never) : Effect.void
      const handle = yield* make(lab)
      expect((yield* handle.acquire).id).toBe(2)
      expect(lab.log).toEqual(["start 1", "stop 1", "stopped 1", "start 2", "started 2"])
    }),
  )

  it.scoped("just before its start is over counts", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = (_, { lost }) => Effect.uninterruptible(lost("it crashed"))
      const handle = yield* make(lab)
      const error = yield* Effect.flip(handle.acquire)
      expect(error).toMatchObject({ _tag: "ResourceLost", handle: "web", reason: "it crashed" })
      expect(error.message).toBe("web was lost while it was being started: it crashed.")
      expect(lab.live.size).toBe(0)
    }),
  )

  it.scoped("does not hide what the start itself has failed with", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      lab.onStart = (_, { lost }) =>
        Effect.uninterruptible(Effect.zipRight(lost("it crashed"), Effect.fail(broken)))
      const handle = yield* make(lab)
      expect(yield* Effect.flip(handle.acquire)).toBe(broken)
    }),
  )

  it.scoped("of an attempt that failed does not concern the next one", () =>
    Effect.gen(function* () {
      const lab = new Lab()
      const lost: Array<(reason: string) => Effect.Effect<void>> = []
      lab.onStart = (_, context) => {
        lost.push(context.lost)
        return context.attempt === 1 ? Effect.fail(broken) : Effect.void
      }
      const handle = yield* makeReady(lab)
      yield* lost[0]!("it crashed")
      expect(yield* handle.state).toMatchObject({ _tag: "Ready" })
      yield* lost[1]!("it crashed")
      expect(yield* handle.state).toMatchObject({ _tag: "Stale" })
    }),
  )
})

describe("as a layer", () => {
  it.effect("it is a service, and stops with the layer", () =>
    Effect.gen(function* () {
      class Web extends Context.Tag("Web")<Web, Handle.Handle<{ readonly url: string }, string>>() {}
      const stopped = yield* Deferred.make<void>()
      const layer = Handle.layer(Web)({
        name: "web",
        start: () =>
          Effect.acquireRelease(Effect.succeed({ url: "http://127.0.0.1:1" }), () =>
            Deferred.succeed(stopped, undefined),
          ),
      })
      const url = yield* Web.pipe(
        Effect.flatMap((web) => web.use(({ url }) => Effect.succeed(url))),
        Effect.provide(Layer.fresh(layer)),
      )
      expect(url).toBe("http://127.0.0.1:1")
      expect(yield* Deferred.isDone(stopped)).toBe(true)
    }),
  )
})
