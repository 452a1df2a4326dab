/** Stops of real processes that do not want to go, have left something behind, or are only just coming. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type * as Plan from "../../../src/unit/Plan.js"
import { eventually, isAlive, node, pidsOf, sh } from "../../process/support.js"
import { makeRoot } from "../port/support.js"
import { comesTo, leavingNothing, line, ours, supervise, supervised } from "../support.js"

const stubborn = "trap '' TERM; sleep 300 & echo up $!; while :; do sleep 0.1; done"

/** Ready when it has said that it is up. */
const saying = (script: string, more: Partial<Plan.UnitInput> = {}): Plan.UnitInput => ({
  command: sh(script),
  readiness: { log: { pattern: "^up" } },
  ...more,
})

describe("a stop", () => {
  it.live("of what ignores TERM ends it with KILL when its grace is over, and says so", () =>
    supervised({ units: { a: saying(stubborn, { stop: { grace: "300ms" } }) } }, ({ process, start, stop }) =>
      Effect.gen(function* () {
        const [started] = yield* start(["a"])
        const child = (yield* process("a"))!
        const began = performance.now()
        const [stopped] = yield* stop(["a"])
        assert.isAtLeast(performance.now() - began, 290)
        assert.deepStrictEqual([stopped?.state, stopped?.end], ["inactive", { signal: "SIGKILL" }])
        assert.isFalse(isAlive(started!.pid!))
        // The report is that of the stop which has been.
        const report = yield* child.stop()
        assert.deepStrictEqual(
          [report.sent, report.escalated, report.survivors],
          [["SIGTERM", "SIGKILL"], true, []],
        )
        assert.isAtLeast(report.elapsedMillis, 290)
      }),
    ),
  )

  it.live("under way is hastened by another one with less time", () =>
    supervised({ units: { a: saying(stubborn, { stop: { grace: "1h" } }) } }, (supervisor) =>
      Effect.gen(function* () {
        yield* supervisor.start(["a"])
        const first = yield* Effect.fork(supervisor.stop(["a"]))
        yield* comesTo(supervisor, "a", "stopping")
        yield* supervisor.stop(["a"], { grace: Duration.zero })
        yield* Fiber.join(first)
      }),
    ),
  )

  it.live("the unit's own signal reaches its own handler, and its exit code is kept", () =>
    supervised(
      {
        units: {
          a: saying("trap 'echo bye; exit 7' INT; trap '' TERM; echo up; while :; do sleep 0.02; done", {
            stop: { signal: "INT", grace: "20s" },
          }),
        },
      },
      (supervisor) =>
        Effect.gen(function* () {
          yield* supervisor.start(["a"])
          const [stopped] = yield* supervisor.stop(["a"])
          assert.deepStrictEqual(stopped?.end, { code: 7 })
          yield* line(supervisor, "a", "bye")
        }),
    ),
  )

  for (const [where, start] of [
    ["in its group", "sleep 300 &"],
    ["in a session of its own", "setsid sleep 300 &"],
    ["as a daemon, twice forked", "setsid sh -c 'sleep 300 & echo pid $!' & sleep 0.3;"],
  ] as const) {
    const said = where.includes("daemon") ? "" : "echo pid $!;"

    it.live(`reaches what the process has started ${where}`, () =>
      supervised(
        { units: { a: saying(`${start} ${said} echo up; while :; do sleep 0.1; done`) } },
        (supervisor) =>
          Effect.gen(function* () {
            yield* supervisor.start(["a"])
            const [child] = pidsOf(yield* line(supervisor, "a", "pid"))
            assert.isTrue(isAlive(child!))
            yield* supervisor.stop(["a"])
            assert.isFalse(isAlive(child!))
          }),
      ),
    )

    it.live(
      `a leader that ends by itself takes along what it has left ${where}, before there is another one`,
      () =>
        supervised(
          {
            units: {
              a: saying(`${start} ${said} echo up; sleep 0.2; exit 3`, {
                restart: { policy: "on-failure", maxFailures: 1 },
              }),
            },
          },
          (supervisor) =>
            Effect.gen(function* () {
              const first = yield* Effect.fork(line(supervisor, "a", "pid"))
              yield* Effect.fork(supervisor.start(["a"]))
              const [child] = pidsOf(yield* Fiber.join(first))
              const { failure, generation } = yield* comesTo(supervisor, "a", "failed")
              assert.deepStrictEqual([failure?.kind, generation], ["RestartsExhausted", 2])
              assert.isFalse(isAlive(child!))
              assert.deepStrictEqual(yield* ours, [])
            }),
        ),
    )
  }

  it.live("of a process that was stopped by SIGSTOP wakes it, so that it can end as it likes", () =>
    supervised(
      { units: { a: saying("trap 'exit 5' TERM; echo up; while :; do sleep 0.02; done") } },
      ({ kill, start, stop }) =>
        Effect.gen(function* () {
          yield* start(["a"])
          assert.isTrue(yield* kill("a", "SIGSTOP"))
          const [stopped] = yield* stop(["a"])
          assert.deepStrictEqual(stopped?.end, { code: 5 })
        }),
    ),
  )

  it.live("of dependents comes first, with the time they take", () =>
    supervised(
      {
        units: {
          db: saying("trap 'echo db ends; exit 0' TERM; echo up; while :; do sleep 0.02; done"),
          web: saying("trap 'sleep 0.3; exit 0' TERM; echo up; while :; do sleep 0.02; done", {
            requires: ["db"],
          }),
        },
      },
      (supervisor) =>
        Effect.gen(function* () {
          yield* supervisor.start(["web"])
          const [db, web] = yield* Effect.forEach(["db", "web"], supervisor.status)
          const stopping = yield* Effect.fork(supervisor.stop(["db"]))
          yield* line(supervisor, "db", "db ends")
          assert.isFalse(isAlive(web!.pid!))
          yield* Fiber.join(stopping)
          assert.isFalse(isAlive(db!.pid!))
        }),
    ),
  )
})

/** Runs a supervisor until `moment`, and closes its scope then. */
const closedAt = (
  plan: Plan.Input,
  moment: (supervisor: Effect.Effect.Success<ReturnType<typeof supervise>>) => Effect.Effect<unknown>,
) =>
  leavingNothing(
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const supervisor = yield* Scope.extend(supervise(plan), scope)
      yield* moment(supervisor)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* ours, [])
      return yield* Effect.orDie(supervisor.list)
    }),
  )

describe("the scope of a supervisor that closes", () => {
  const slow = saying("sleep 300 & sleep 0.5; echo up; wait")

  it.live("at once, while everything is starting, leaves no process", () =>
    closedAt({ units: { a: slow, b: slow, c: { ...slow, requires: ["a"] } } }, () => Effect.void),
  )

  for (const turns of [1, 2, 5, 10, 30, 100]) {
    it.live(`after ${turns} turns of the event loop leaves no process`, () =>
      closedAt({ units: { a: slow, b: slow, c: { ...slow, requires: ["a"] } } }, () =>
        Effect.repeatN(
          Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void))),
          turns,
        ),
      ),
    )
  }

  it.live("while a unit is between two lives leaves no process", () =>
    closedAt(
      { units: { a: saying("exit 1", { restart: { backoff: { initial: "1h", jitter: false } } }) } },
      (supervisor) => comesTo(supervisor, "a", "backoff"),
    ),
  )

  it.scopedLive("while a unit's probe hangs leaves no process, the probe's neither", () =>
    Effect.flatMap(makeRoot, (directory) => {
      const begun = join(directory, "begun")
      return closedAt(
        {
          units: {
            a: {
              command: sh("exec sleep 300"),
              readiness: { exec: { command: sh(`touch ${begun}; sleep 301`) }, timeout: "5m" },
            },
          },
        },
        () => eventually("the probe runs", () => existsSync(begun)),
      )
    }),
  )

  it.live("while a stop is under way waits for it", () =>
    closedAt({ units: { a: saying(stubborn, { stop: { grace: "300ms" } }) } }, (supervisor) =>
      Effect.gen(function* () {
        yield* comesTo(supervisor, "a", "ready")
        yield* Effect.forkDaemon(supervisor.stop(["a"]))
        yield* comesTo(supervisor, "a", "stopping")
      }),
    ),
  )
})

describe("fifty units", () => {
  it.live("start and stop in parallel, and leave nothing", () => {
    const units = Object.fromEntries(
      Array.from({ length: 50 }, (_, at): readonly [string, Plan.UnitInput] => [
        `u${at}`,
        at % 5 === 0
          ? {
              command: node("setTimeout(() => console.log('up'), 50); setInterval(() => {}, 1e6)"),
              readiness: { log: { pattern: "^up" } },
            }
          : saying("sleep 300 & echo up; wait", { requires: at % 5 === 1 ? [] : [`u${at - 1}`] }),
      ]),
    )
    return supervised({ units }, ({ list, start, stop }) =>
      Effect.gen(function* () {
        const names = Object.keys(units)
        for (let round = 0; round < 2; round++) {
          const started = yield* start(names)
          assert.isTrue(started.every(({ state }) => state === "ready"))
          assert.strictEqual(new Set(started.map(({ pid }) => pid)).size, 50)
          yield* stop([])
          assert.deepStrictEqual(yield* ours, [])
        }
        assert.isTrue((yield* list).every(({ generation }) => generation === 2))
        // And closed while they all run.
        yield* start(names)
      }),
    )
  })
})
