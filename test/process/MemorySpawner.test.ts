import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { Exited, Signaled } from "../../src/process/ExitStatus.js"
import * as MemorySpawner from "../../src/process/MemorySpawner.js"
import type * as ProcessSpec from "../../src/process/ProcessSpec.js"
import * as Spawner from "../../src/process/ProcessSpawner.js"
import { CommandNotFound } from "../../src/process/SpawnError.js"
import { eventually, sh } from "./support.js"

const { byUnit, exits, fails, inTurn, runs } = MemorySpawner

const spawn = (spec: Partial<ProcessSpec.Input> = {}) =>
  Effect.flatMap(Spawner.ProcessSpawner, (spawner) => spawner.spawn({ command: ["program"], ...spec }))

const memory = MemorySpawner.ScriptedSpawner

const within = (script: MemorySpawner.Script) => Effect.provide(MemorySpawner.layerScripted(script))

describe("a process in memory", () => {
  it.scoped("runs for as long as its script says, writes lines, and ends with its code", () =>
    Effect.gen(function* () {
      const process = yield* spawn()
      yield* TestClock.adjust("59 minutes")
      assert.isUndefined(process.exitNow())
      assert.strictEqual(process.output.tail(), "one\ntwo\n")
      assert.isFalse(process.output.isEnded())
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* process.exit, new Exited({ code: 3 }))
      yield* process.output.ended
    }).pipe(within(exits(3, { after: "1 hour", prints: ["one", "two"] }))),
  )

  it.scoped("is ended by its stop signal, and by the end of its scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const process = yield* Scope.extend(spawn({ stop: { signal: "INT" } }), scope)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(process.exitNow(), new Signaled({ signal: "SIGINT" }))
      assert.deepStrictEqual((yield* process.stop()).sent, ["SIGINT"])
      assert.deepStrictEqual((yield* memory).alive(), [])
    }).pipe(within(runs())),
  )

  it.scoped(
    "that ignores its stop signal is killed when the grace is over; a shorter grace hastens that",
    () =>
      Effect.gen(function* () {
        const process = yield* spawn()
        const first = yield* Effect.fork(process.stop())
        yield* TestClock.adjust("9 seconds")
        assert.isUndefined(process.exitNow())
        const second = yield* Effect.fork(process.stop({ grace: Duration.seconds(0) }))
        yield* TestClock.adjust(0)
        const report = yield* Fiber.join(first)
        assert.deepStrictEqual(
          [report.sent, report.escalated, report.elapsedMillis],
          [["SIGTERM", "SIGKILL"], true, 9_000],
        )
        assert.strictEqual(yield* Fiber.join(second), report)
        assert.deepStrictEqual(process.exitNow(), new Signaled({ signal: "SIGKILL" }))
      }).pipe(within(runs({ ignores: ["SIGTERM"] }))),
  )

  it.scoped("may take its time over a signal, and end as it likes", () =>
    Effect.gen(function* () {
      const process = yield* spawn()
      const stop = yield* Effect.fork(process.stop())
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual((yield* Fiber.join(stop)).sent, ["SIGTERM"])
      assert.deepStrictEqual(process.exitNow(), new Exited({ code: 0 }))
      assert.strictEqual(process.output.tail(), "saving after SIGTERM\n")
    }).pipe(
      within(
        runs({
          onSignal: (signal, { print }) =>
            print(`saving after ${signal}`).pipe(Effect.andThen(Effect.sleep("4 seconds")), Effect.as(0)),
        }),
      ),
    ),
  )

  it.scoped("may survive KILL: the stop says so after five seconds, and may be tried again", () =>
    Effect.gen(function* () {
      yield* spawn()
      const [process] = (yield* memory).processes()
      const first = yield* Effect.fork(process!.stop({ grace: Duration.zero }))
      yield* TestClock.adjust("5 seconds")
      const { survivors } = yield* Fiber.join(first)
      assert.deepStrictEqual(
        survivors.map(({ command, pid }) => [pid, command]),
        [[process!.pid, "program"]],
      )
      process!.vanish()
      assert.deepStrictEqual((yield* process!.stop()).survivors, [])
    }).pipe(within(runs({ survivesKill: true }))),
  )

  it.scoped("leaves its children when it ends, and its output stays open; a stop reaches them", () =>
    Effect.gen(function* () {
      const process = yield* spawn()
      yield* process.exit
      const groups = (yield* process.members).map(({ groupId }) => groupId)
      assert.deepStrictEqual(groups, [process.pid, process.pid + 2])
      assert.isFalse(process.output.isEnded())
      const stop = yield* Effect.fork(process.stop())
      yield* TestClock.adjust("11 seconds")
      const report = yield* Fiber.join(stop)
      assert.deepStrictEqual(report.sent, ["SIGTERM", "SIGKILL"])
      assert.deepStrictEqual(report.escapees, [process.pid + 2])
      assert.deepStrictEqual(yield* process.members, [])
      assert.isTrue(process.output.isEnded())
    }).pipe(within(exits(0, { children: [{}, { escaped: true, ignores: ["SIGTERM"] }] }))),
  )

  it.scoped("that is stopped by STOP holds signals back until CONT, but not KILL", () =>
    Effect.gen(function* () {
      const process = yield* spawn()
      yield* process.signal("SIGSTOP")
      yield* process.signal("SIGTERM")
      assert.isUndefined(process.exitNow())
      yield* process.signal("SIGCONT")
      assert.deepStrictEqual(process.exitNow(), new Signaled({ signal: "SIGTERM" }))
      const other = yield* spawn()
      yield* other.signal("SIGSTOP")
      yield* other.signal("SIGKILL")
      assert.deepStrictEqual(other.exitNow(), new Signaled({ signal: "SIGKILL" }))
      assert.isFalse(yield* other.signal("SIGTERM"))
    }).pipe(within(runs())),
  )

  it.scoped("that throws ends as a real one would: with 1, its last words on stderr", () =>
    Effect.gen(function* () {
      const process = yield* spawn()
      assert.deepStrictEqual(yield* process.exit, new Exited({ code: 1 }))
      assert.include(process.output.tail(), "what a pity")
    }).pipe(within(runs({ run: () => Effect.die(new Error("what a pity")) }))),
  )

  it.scoped("has variables, masks and input as a real one has", () =>
    Effect.gen(function* () {
      const process = yield* spawn({
        command: ["login", "--token=hunter2-hunter2"],
        env: { TOKEN: "hunter2-hunter2" },
        mask: ["TOKEN"],
        stdin: "pipe",
        unit: "web",
      })
      assert.strictEqual(process.command, "login --token=***")
      assert.notInclude(JSON.stringify(process.spec), "hunter2")
      yield* process.write("hello")
      yield* process.endInput
      assert.strictEqual((yield* Effect.flip(process.write("more")))._tag, "StdinClosed")
      const held = (yield* memory).latest("web")!
      assert.strictEqual(held.input(), "hello")
      assert.strictEqual(held.env.TOKEN, "hunter2-hunter2")
      assert.strictEqual(held.env.HOLDFAST_UNIT, "web")
    }).pipe(within(runs())),
  )
})

describe("a script", () => {
  const missing = new CommandNotFound({ program: "nothing", searched: ["/bin"] })

  it.scoped("says for each life of a unit what happens", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(spawn({ unit: "a" }))
      assert.strictEqual(error, missing)
      const second = yield* spawn({ unit: "a" })
      assert.deepStrictEqual(yield* second.exit, new Exited({ code: 1 }))
      assert.isUndefined((yield* spawn({ unit: "a" })).exitNow())
      assert.isUndefined((yield* spawn({ unit: "a" })).exitNow())
      assert.isUndefined((yield* spawn({ unit: "b" })).exitNow())
      const { alive, attempts, mostAtOnce } = yield* memory
      assert.deepStrictEqual(
        attempts().map(({ life, spec }) => [spec.unit, life]),
        [
          ["a", 0],
          ["a", 1],
          ["a", 2],
          ["a", 3],
          ["b", 0],
        ],
      )
      assert.strictEqual(alive().length, 3)
      assert.strictEqual(mostAtOnce(), 2)
    }).pipe(within(byUnit({ a: inTurn(fails(missing), exits(1), runs()) }))),
  )

  it.scoped("may be overruled by the test: the process ends now, or says something", () =>
    Effect.gen(function* () {
      const process = yield* spawn({ unit: "a" })
      const held = (yield* memory).latest("a")!
      yield* held.emit("half a ")
      yield* held.emit("line\n", "stdout")
      yield* held.end("SIGSEGV")
      assert.deepStrictEqual(yield* process.exit, new Signaled({ signal: "SIGSEGV" }))
      assert.strictEqual(process.output.tail(), "half a line\n")
      yield* held.end(0)
      assert.deepStrictEqual(process.exitNow(), new Signaled({ signal: "SIGSEGV" }))
    }).pipe(within(runs())),
  )

  it.scoped("a spawn that takes its time can be given up", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(Effect.uninterruptible(spawn()))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual((yield* memory).processes(), [])
    }).pipe(within(() => Effect.delay(Effect.succeed({}), "1 hour"))),
  )

  it.effect("the end of the layer leaves nothing, not even what survives KILL", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { processes } = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Scope.extend(spawn(), scope)
          return yield* memory
        }).pipe(within(runs({ survivesKill: true, children: [{ survivesKill: true }] }))),
      )
      assert.isTrue(processes().every((process) => process.isEmpty()))
    }),
  )
})

/** The same behaviour, as a script in memory and as one of the shell. */
const behaviours: ReadonlyArray<
  readonly [name: string, script: MemorySpawner.Script, shell: string, stop: ProcessSpec.Input["stop"]]
> = [
  ["ends by its stop signal", exits(0, { after: "1 minute" }), "echo up; exec sleep 60", {}],
  [
    "ignores its stop signal",
    runs({ ignores: ["SIGTERM"], run: ({ print }) => Effect.andThen(print("up"), Effect.never) }),
    "trap '' TERM; echo up; while :; do sleep 0.1; done",
    { grace: "100ms" },
  ],
  [
    "ends with a code of its own",
    runs({
      run: ({ print }) => Effect.andThen(print("up"), Effect.never),
      onSignal: (signal) => Effect.succeed(signal === "SIGTERM" ? 7 : undefined),
    }),
    "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done",
    {},
  ],
  ["has ended long ago", exits(4, { prints: ["up"] }), "echo up; exit 4", {}],
  [
    "has left a child in its group",
    exits(0, { prints: ["up"], children: [{}] }),
    "sleep 60 >/dev/null 2>&1 & echo up; exit 0",
    {},
  ],
  [
    "has left a child in a session of its own",
    exits(0, { prints: ["up"], children: [{ escaped: true }] }),
    "setsid sleep 60 >/dev/null 2>&1 & sleep 0.2; echo up; exit 0",
    {},
  ],
]

describe("a stop in memory does what a stop of real processes does", () => {
  const observe = (
    shell: string,
    stop: ProcessSpec.Input["stop"],
    layer: Layer.Layer<Spawner.ProcessSpawner>,
  ) =>
    Effect.gen(function* () {
      const process = yield* spawn({ command: sh(shell), stop })
      const ends = / exit \d$/.test(shell)
      yield* eventually("it is up", () =>
        ends ? process.exitNow() !== undefined : process.output.tail().includes("up"),
      ).pipe(Effect.unless(() => shell.startsWith("echo up; exec")))
      const { escalated, escapees, sent, survivors } = yield* process.stop()
      return {
        report: { sent, escalated, escapees: escapees.length, survivors },
        exit: process.exitNow(),
        left: (yield* process.members).length,
      }
    }).pipe(Effect.scoped, Effect.provide(layer))

  for (const [name, script, shell, stop] of behaviours) {
    it.live(`that ${name}`, () =>
      Effect.gen(function* () {
        const real = yield* observe(shell, stop, Spawner.layer)
        const imagined = yield* observe(shell, stop, MemorySpawner.layerScripted(script))
        assert.deepStrictEqual(imagined, real)
      }),
    )
  }
})
