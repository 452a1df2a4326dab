/** Real processes that crash, are killed, hang, or will not stay up. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Plan from "../../../src/unit/Plan.js"
import { serving } from "../../probe/servers.js"
import { killPid } from "../../process/killPid.js"
import { isAlive, node, sh } from "../../process/support.js"
import { comesTo, line, ours, says, supervised, until } from "../support.js"

const staying: Plan.UnitInput = {
  command: sh("echo up; exec sleep 300"),
  readiness: { log: { pattern: "^up" } },
}

describe("kill -9", () => {
  it.live("of a unit: another process at once, and never two", () =>
    supervised(
      {
        units: {
          a: { ...staying, restart: { maxFailures: 1_000, backoff: { initial: "1ms", max: "5ms" } } },
        },
      },
      (supervisor) =>
        Effect.gen(function* () {
          let pid = (yield* supervisor.start(["a"]))[0]?.pid
          for (let round = 2; round <= 20; round++) {
            killPid(pid!, "SIGKILL")
            const status = yield* until(
              supervisor,
              "a",
              ({ generation, state }) => generation === round && state === "ready",
            )
            assert.notStrictEqual(status.pid, pid)
            assert.isFalse(isAlive(pid!))
            // In the middle of an exec it shows no mark.
            assert.deepStrictEqual(
              (yield* ours).filter((one) => one !== status.pid),
              [],
            )
            pid = status.pid
          }
          const { end, restarts } = yield* supervisor.status("a")
          assert.deepStrictEqual([restarts, end], [19, undefined])
        }),
    ),
  )

  it.live(
    "of a unit in the middle of others: they stay, and those that are bound to it come back with it",
    () =>
      supervised(
        {
          units: {
            db: staying,
            bound: { ...staying, bindsTo: ["db"] },
            free: { ...staying, requires: ["db"] },
          },
        },
        (supervisor) =>
          Effect.gen(function* () {
            yield* supervisor.start(["bound", "free"])
            const [db, bound, free] = yield* Effect.forEach(["db", "bound", "free"], supervisor.status)
            killPid(db!.pid!, "SIGKILL")
            yield* until(
              supervisor,
              "bound",
              ({ generation, state }) => generation === 2 && state === "ready",
            )
            assert.isFalse(isAlive(bound!.pid!))
            assert.deepStrictEqual((yield* supervisor.status("free")).pid, free!.pid)
            assert.strictEqual((yield* ours).length, 3)
          }),
      ),
  )

  it.live("of a process within the unit is the unit's own business", () =>
    supervised(
      {
        units: {
          a: {
            ...staying,
            command: sh("sleep 300 & echo up; echo child $!; wait $!; echo went on; exec sleep 300"),
          },
        },
      },
      (supervisor) =>
        Effect.gen(function* () {
          yield* supervisor.start(["a"])
          killPid(Number(yield* line(supervisor, "a", "child ")), "SIGKILL")
          yield* line(supervisor, "a", "went on")
          assert.strictEqual((yield* supervisor.status("a")).generation, 1)
        }),
    ),
  )
})

describe("a crash loop", () => {
  it.live("is given up, with the last words and no process left; whoever waits is told", () =>
    supervised(
      {
        units: {
          a: {
            command: sh("echo attempt; echo no config >&2; exit 78"),
            restart: { maxFailures: 4, backoff: { initial: "5ms", max: "5ms" } },
          },
        },
      },
      ({ log, start, status }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(start(["a"]))
          assert.include(error.message, "It was given up after 5 failures in a row")
          assert.include(error.message, "no config")
          const { failure, generation, restarts, state } = yield* status("a")
          assert.deepStrictEqual(
            [state, failure?.kind, generation, restarts],
            ["failed", "RestartsExhausted", 5, 4],
          )
          assert.strictEqual((yield* log("a")).last(100).filter(({ text }) => text === "attempt").length, 5)
          assert.deepStrictEqual(yield* ours, [])
        }),
    ),
  )

  it.live("after which an operator's start finds it mended", () =>
    supervised(
      {
        units: {
          a: {
            // Fails three times: so many lines are in its file by then.
            command: sh(
              'echo x >> "$COUNT"; [ $(wc -l < "$COUNT") -gt 3 ] && echo up && exec sleep 300; exit 1',
            ),
            env: { COUNT: `/tmp/holdfast-count-${process.pid}` },
            readiness: { log: { pattern: "^up" } },
            restart: { maxFailures: 2, backoff: { initial: "5ms", max: "5ms" } },
          },
          clean: { kind: "oneshot", command: ["rm", "-f", `/tmp/holdfast-count-${process.pid}`] },
        },
      },
      ({ start }) =>
        Effect.gen(function* () {
          yield* start(["clean"])
          yield* Effect.flip(start(["a"]))
          const [status] = yield* start(["a"])
          assert.deepStrictEqual([status?.state, status?.generation], ["ready", 4])
          yield* start(["clean"])
        }),
    ),
  )
})

describe("a process that hangs", () => {
  const server: Plan.UnitInput = {
    command: node(serving().replace("listen(0", "listen(${port}")),
    port: "auto",
    // Until it listens there is no liveness.
    startup: {
      http: { path: "/", host: "127.0.0.1" },
      period: "100ms",
      timeout: "5s",
      failureThreshold: 200,
    },
    liveness: {
      http: { path: "/", host: "127.0.0.1" },
      period: "100ms",
      timeout: "300ms",
      failureThreshold: 2,
    },
  }

  it.live("because it was stopped by SIGSTOP is found by its liveness probe, and replaced", () =>
    supervised({ units: { a: server } }, (supervisor) =>
      Effect.gen(function* () {
        const [first] = yield* supervisor.start(["a"])
        killPid(first!.pid!, "SIGSTOP")
        const next = yield* until(
          supervisor,
          "a",
          ({ generation, state }) => generation === 2 && state === "ready",
        )
        assert.notStrictEqual(next.pid, first!.pid)
        assert.isFalse(isAlive(first!.pid!))
        assert.deepStrictEqual(yield* ours, [next.pid!])
        assert.strictEqual(next.failure?.kind, "Unhealthy")
        assert.include(next.failure?.message, "timed out")
      }),
    ),
  )

  it.live("a server of its own that takes connections and never answers is not Ready, and is replaced", () =>
    supervised(
      {
        units: {
          a: {
            ...server,
            command: node(
              'require("net").createServer((socket) => socket.resume()).listen(${port}, "127.0.0.1")',
            ),
            startup: {
              http: { path: "/", host: "127.0.0.1" },
              // Until it listens it refuses.
              initialDelay: "2s",
              period: "200ms",
              timeout: "200ms",
              failureThreshold: 2,
            },
            restart: { maxFailures: 1 },
          },
        },
      },
      ({ start, status }) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(start(["a"]))
          assert.include(error.message, "Its startup probe failed 2 times in a row")
          assert.include(error.message, "timed out after 200ms")
          const { failure, generation } = yield* status("a")
          assert.deepStrictEqual([failure?.kind, generation], ["RestartsExhausted", 2])
          assert.deepStrictEqual(yield* ours, [])
        }),
    ),
  )

  it.live("a check that hangs is ended at its timeout, with all that it has started", () =>
    supervised(
      {
        units: {
          a: {
            command: sh("exec sleep 300"),
            readiness: {
              exec: { command: sh("sleep 301 & sleep 302") },
              period: "50ms",
              timeout: "200ms",
              failureThreshold: 1,
            },
          },
        },
      },
      (supervisor) =>
        Effect.gen(function* () {
          const waiter = yield* Effect.fork(supervisor.start(["a"]))
          const { reason } = yield* says(
            supervisor,
            "a",
            ({ reason }) => reason?.includes("was killed") === true,
          )
          assert.include(reason, "did not end within 200ms and was killed")
          yield* supervisor.stop(["a"])
          assert.isTrue(yield* Effect.isFailure(Fiber.join(waiter)))
          assert.deepStrictEqual(yield* ours, [])
        }),
    ),
  )

  it.live("a process that closes its output and goes on is still there", () =>
    supervised(
      { units: { a: { ...staying, command: sh("echo up; exec sleep 300 >&- 2>&-") } } },
      (supervisor) =>
        Effect.gen(function* () {
          const [status] = yield* supervisor.start(["a"])
          assert.isTrue(isAlive(status!.pid!))
          yield* supervisor.stop(["a"])
          yield* comesTo(supervisor, "a", "inactive")
        }),
    ),
  )
})
