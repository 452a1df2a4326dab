import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import type * as Check from "../../src/probe/Check.js"
import * as PortHolder from "../../src/probe/PortHolder.js"
import * as Prober from "../../src/probe/Prober.js"
import { ProbeFailure } from "../../src/probe/ProbeResult.js"
import * as Readiness from "../../src/probe/Readiness.js"
import * as ExitStatus from "../../src/process/ExitStatus.js"
import type { Process } from "../../src/process/Process.js"
import { ProcessIdentity } from "../../src/process/ProcessIdentity.js"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
import * as ProcessSpec from "../../src/process/ProcessSpec.js"
import * as Spawner from "../../src/process/ProcessSpawner.js"
import { serving, spawnNode, spawnServer } from "./servers.js"
import { freePort } from "./support.js"

const live = Layer.mergeAll(Prober.layer, PortHolder.layer).pipe(Layer.provideMerge(Spawner.layer))

const attach = (check: Check.Input, port: number) =>
  Effect.flatMap(Prober.Prober, (prober) => prober.attach(check, { port, host: "127.0.0.1" }))

const http: Check.Input = { http: { path: "/" }, timeout: "2s" }

describe("a real process is ready", () => {
  it.scopedLive("when it listens and its probe passes", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const { process } = yield* spawnNode(serving(port))
      const success = yield* Readiness.awaitReady(process, yield* attach(http, port))
      expect(success.peers).toEqual([{ address: "127.0.0.1", port }])
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("when a child of its own listens", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const { process } = yield* spawnNode(
        `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(serving(port))}]); setInterval(() => {}, 1e6)`,
      )
      yield* Readiness.awaitReady(process, yield* attach(http, port))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("at once when the line appears, far from the next look", () =>
    Effect.gen(function* () {
      const output = ProcessOutput.make()
      const prober = yield* Prober.Prober
      const probe = yield* prober.attach({ log: { pattern: "^ready (?<id>\\d+)$" } }, { output })
      const spawner = yield* Spawner.ProcessSpawner
      const process = yield* spawner.spawn(
        {
          command: ["/bin/sh", "-c", "sleep 0.2; echo ready 7; sleep 60"],
          stop: { signal: "KILL", grace: 0 },
        },
        { output },
      )
      const success = yield* Readiness.awaitReady(process, probe, { ramp: () => Schedule.spaced("1 hour") })
      expect(success.outputs).toEqual({ id: "7" })
    }).pipe(Effect.provide(live)),
  )
})

describe("a real process is not ready", () => {
  it.scopedLive("when it ends: its status and its last output are told", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const { process } = yield* spawnNode('console.error("no config found"); process.exit(3)')
      const error = yield* Effect.flip(Readiness.awaitReady(process, yield* attach(http, port)))
      expect(error).toMatchObject({
        _tag: "ExitedEarly",
        pid: process.pid,
        status: { _tag: "Exited", code: 3 },
      })
      expect(error.message).toContain("ended with exit code 3 before it was ready")
      expect(error.message).toContain("no config found")
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("when another server answers at its port: the other is named", () =>
    Effect.gen(function* () {
      const other = yield* spawnServer()
      const { firstLine, process } = yield* spawnNode(`globalThis.stubborn = true; ${serving(other.port)}`)
      const error = yield* Effect.flip(Readiness.awaitReady(process, yield* attach(http, other.port)))
      expect(error).toMatchObject({
        _tag: "ForeignServer",
        port: other.port,
        holder: { pid: other.process.pid },
      })
      expect(error.message).toContain(`not by`)
      expect(yield* firstLine).toContain("EADDRINUSE")
      expect(other.process.exitNow()).toBeUndefined()
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("unless somebody else may listen on its behalf", () =>
    Effect.gen(function* () {
      const other = yield* spawnServer()
      const { process } = yield* spawnNode("setInterval(() => {}, 1e6)")
      yield* Readiness.awaitReady(process, yield* attach(http, other.port), { verifyListener: false })
    }).pipe(Effect.provide(live)),
  )
})

/** A process in memory. */
const fakeProcess = Effect.gen(function* () {
  const exit = yield* Deferred.make<ExitStatus.ExitStatus>()
  const output = ProcessOutput.make()
  const spec = yield* ProcessSpec.make({ command: ["server"] })
  let status: ExitStatus.ExitStatus | undefined
  const process: Process = {
    pid: 42,
    identity: new ProcessIdentity({ pid: 42, startTime: "1", bootId: "b" }),
    mark: "owner.0",
    spec,
    command: "server",
    redact: (text) => text.replaceAll("hunter2", "***"),
    exit: Deferred.await(exit),
    exitNow: () => status,
    output,
    write: () => Effect.void,
    endInput: Effect.void,
    members: Effect.succeed([{ pid: 42, parentPid: 1, groupId: 42, startTime: "1", command: "server" }]),
    signal: () => Effect.succeed(true),
    stop: () => Effect.dieMessage("nobody asked to stop it"),
  }
  return {
    process,
    output,
    /** The program knows of the end at once, and tells those who wait only if asked to. */
    end: (how: ExitStatus.ExitStatus, tell = true) => {
      status = how
      output.end()
      if (tell) Deferred.unsafeDone(exit, Effect.succeed(how))
    },
  }
})

const failure = (transient: boolean, answered = false) =>
  new ProbeFailure({
    kind: "tcp",
    subject: "It",
    reason: "was not there",
    class: transient ? "refused" : "dns",
    transient,
    contact: answered ? "answered" : "none",
    peers: [{ address: "127.0.0.1", port: 1 }],
  })

const holders = (answers: ReadonlyArray<boolean | undefined>) => {
  const left = [...answers]
  return Layer.succeed(PortHolder.PortHolders, {
    find: () => Effect.succeed({ pid: 7, command: "other" }),
    listeners: () => Effect.dieMessage("nobody asks that here"),
    isHeldBy: () => Effect.sync(() => (left.length > 1 ? left.shift() : left[0])),
    isFree: () => Effect.dieMessage("nobody asks that here"),
  })
}

/** As `layerScripted`, with a peer for each pass. */
const withPeers = (script: Prober.Script) =>
  Layer.effect(
    Prober.Prober,
    Effect.map(Prober.Prober, (prober) => ({
      attach: (check, target) =>
        Effect.map(prober.attach(check, target), (probe) => ({
          ...probe,
          check: Effect.map(probe.check, (success) => ({
            ...success,
            peers: [{ address: "127.0.0.1", port: 1 }],
          })),
        })),
    })),
  ).pipe(Layer.provide(Prober.layerScripted(script)))

const scripted = (script: Prober.Script, held: ReadonlyArray<boolean | undefined> = [true]) =>
  Layer.merge(withPeers(script), holders(held))

const waiting = (process: Process, check: Omit<Check.Input, "tcp"> = {}, options: Readiness.Options = {}) =>
  Effect.flatMap(attach({ tcp: {}, ...check }, 1), (probe) =>
    Effect.fork(Effect.either(Readiness.awaitReady(process, probe, options))),
  )

const isOver = (fiber: Fiber.RuntimeFiber<unknown>) => fiber.unsafePoll() !== null

/** A real turn of the event loop, which the last look at the process takes. */
const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

describe("waiting for a process", () => {
  it.scoped("ends at the deadline with the last failure and the output", () =>
    Effect.gen(function* () {
      const { output, process } = yield* fakeProcess
      output.offer("stdout", Buffer.from("loading hunter2\n"))
      const fiber = yield* waiting(
        process,
        { failureThreshold: 1, period: "1s", timeout: "500ms" },
        {
          timeout: Duration.seconds(7),
        },
      )
      yield* TestClock.adjust("6999 millis")
      expect(isOver(fiber)).toBe(false)
      yield* TestClock.adjust("1 millis")
      const error = Option.getOrThrow(
        yield* Effect.map(Fiber.join(fiber), (result) =>
          Option.fromNullable(result._tag === "Left" ? result.left : null),
        ),
      )
      expect(error).toMatchObject({
        _tag: "StartTimedOut",
        timeoutMillis: 7_000,
        lastFailure: { class: "refused" },
      })
      expect(error.message).toBe(
        "server (pid 42) was not ready within 7s. It was not there. Its last output:\nloading ***",
      )
    }).pipe(Effect.provide(scripted(() => Effect.fail(failure(true))))),
  )

  it.scoped("a deadline shorter than the check may take is extended", () =>
    Effect.gen(function* () {
      const { process } = yield* fakeProcess
      const fiber = yield* waiting(process, {}, { timeout: Duration.seconds(1) })
      yield* TestClock.adjust("37 seconds")
      expect(isOver(fiber)).toBe(false)
      yield* TestClock.adjust("1 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({
        left: { _tag: "StartTimedOut", timeoutMillis: 38_000 },
      })
    }).pipe(Effect.provide(scripted(() => Effect.fail(failure(true))))),
  )

  it.scoped("a failure that is not transient ends it at once", () =>
    Effect.gen(function* () {
      const { process } = yield* fakeProcess
      const fiber = yield* waiting(process)
      yield* TestClock.adjust(0)
      expect(yield* Fiber.join(fiber)).toMatchObject({ left: { _tag: "ProbeFailure", class: "dns" } })
    }).pipe(Effect.provide(scripted(() => Effect.fail(failure(false))))),
  )

  it.scoped("the exit of the process ends it at once, also in the middle of a check", () =>
    Effect.gen(function* () {
      const { end, process } = yield* fakeProcess
      const fiber = yield* waiting(process)
      yield* TestClock.adjust(0)
      end(new ExitStatus.Signaled({ signal: "SIGSEGV" }))
      const result = yield* Fiber.join(fiber)
      expect(result).toMatchObject({ left: { _tag: "ExitedEarly", status: { signal: "SIGSEGV" } } })
    }).pipe(Effect.provide(scripted(() => Effect.never))),
  )

  it.scoped("a pass of a process that has ended is none", () =>
    Effect.gen(function* () {
      const { end, process } = yield* fakeProcess
      end(new ExitStatus.Exited({ code: 1 }), false)
      const fiber = yield* waiting(process)
      yield* TestClock.adjust(0)
      expect(yield* Fiber.join(fiber)).toMatchObject({ left: { _tag: "ExitedEarly", status: { code: 1 } } })
    }).pipe(Effect.provide(scripted(() => Effect.void))),
  )

  it.scoped("one look at a foreign listener is not believed, two in a row are", () =>
    Effect.gen(function* () {
      const { process } = yield* fakeProcess
      const fiber = yield* waiting(process)
      yield* TestClock.adjust(0)
      expect(isOver(fiber)).toBe(false)
      yield* TestClock.adjust("100 millis")
      yield* turn
      expect(yield* Fiber.join(fiber)).toMatchObject({ left: { _tag: "ForeignServer", holder: { pid: 7 } } })
    }).pipe(Effect.provide(scripted(() => Effect.void, [false]))),
  )

  for (const transient of [true, false]) {
    it.scoped(
      `the failing answer of a foreign listener is its own, ${transient ? "" : "not "}transient`,
      () =>
        Effect.gen(function* () {
          const { process } = yield* fakeProcess
          const fiber = yield* waiting(process)
          yield* TestClock.adjust(0)
          expect(isOver(fiber)).toBe(false)
          yield* TestClock.adjust("100 millis")
          yield* turn
          expect(yield* Fiber.join(fiber)).toMatchObject({ left: { _tag: "ForeignServer", healthy: false } })
        }).pipe(Effect.provide(scripted(() => Effect.fail(failure(transient, true)), [false]))),
    )
  }

  it.scoped("a listener that turns out to be the process's own makes it ready", () =>
    Effect.gen(function* () {
      const { process } = yield* fakeProcess
      const fiber = yield* waiting(process)
      yield* TestClock.adjust(0)
      expect(isOver(fiber)).toBe(false)
      yield* TestClock.adjust("100 millis")
      yield* turn
      expect((yield* Fiber.join(fiber))._tag).toBe("Right")
    }).pipe(Effect.provide(scripted(() => Effect.void, [false, false, true]))),
  )

  it.scoped("where the system does not tell who listens, the pass counts", () =>
    Effect.gen(function* () {
      const { process } = yield* fakeProcess
      const fiber = yield* waiting(process)
      yield* TestClock.adjust(0)
      expect((yield* Fiber.join(fiber))._tag).toBe("Right")
    }).pipe(Effect.provide(scripted(() => Effect.void, [undefined]))),
  )

  it.scoped("honours initial delay and success threshold, passes in a row", () =>
    Effect.gen(function* () {
      const { process } = yield* fakeProcess
      const fiber = yield* waiting(process, { initialDelay: "1s", successThreshold: 2 })
      // Pass at 1000, failure at 1100, passes at 1350 and 1850.
      for (const step of [999, 1, 100, 250]) yield* TestClock.adjust(step)
      expect(isOver(fiber)).toBe(false)
      yield* TestClock.adjust(499)
      expect(isOver(fiber)).toBe(false)
      yield* TestClock.adjust(1)
      expect((yield* Fiber.join(fiber))._tag).toBe("Right")
    }).pipe(
      Effect.provide(scripted(({ index }) => (index === 1 ? Effect.fail(failure(true)) : Effect.void))),
    ),
  )
})
