import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Prober from "../../src/probe/Prober.js"
import { ProcessSpawner } from "../../src/process/ProcessSpawner.js"
import * as Spawner from "../../src/process/ProcessSpawner.js"
import { isAlive } from "../process/support.js"
import { ask, askFailing, tcpServer } from "./support.js"

const real = Layer.provide(Prober.layer, Spawner.layer)

const script = (code: string) => [process.execPath, "-e", code] as const

/** A server on which processes announce themselves by their pid. */
const registry = Effect.gen(function* () {
  const pids: Array<number> = []
  const server = yield* tcpServer(
    (socket) => void socket.on("data", (bytes) => pids.push(Number(String(bytes)))),
  )
  return { pids, server, url: `127.0.0.1:${server.port}` }
})

const announce = (port: number) =>
  `require("net").connect(${port}, "127.0.0.1", function () { this.write(String(process.pid)) }).on("error", () => {});`

describe("the exec probe", () => {
  it.scopedLive("exit 0 passes; a text goes through the shell", () =>
    Effect.gen(function* () {
      yield* ask({ exec: { command: ["/bin/true"] }, timeout: "20s" })
      yield* ask(
        { exec: { command: 'test "$A$B" = 12', env: { B: "2" } }, timeout: "20s" },
        { env: { A: "1", B: "3" } },
      )
      yield* ask({ exec: { command: 'test "$PWD" = /' }, timeout: "20s" }, { cwd: "/" })
      yield* ask({ exec: { command: 'test "$PWD" = /usr', cwd: "/usr" }, timeout: "20s" }, { cwd: "/" })
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("another exit is unhealthy, with what it wrote", () =>
    Effect.gen(function* () {
      const failure = yield* askFailing({ exec: { command: "echo no database >&2; exit 3" }, timeout: "20s" })
      expect(failure).toMatchObject({ kind: "exec", class: "unhealthy", transient: true })
      expect(failure.message).toContain("ended with exit code 3. Its output: no database")
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("a signal is told apart from an exit", () =>
    Effect.gen(function* () {
      const failure = yield* askFailing({ exec: { command: "kill -9 $$" }, timeout: "20s" })
      expect(failure.message).toContain("ended with signal SIGKILL, with no output")
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("quotes the end of a long output, and no more", () =>
    Effect.gen(function* () {
      const failure = yield* askFailing({
        exec: { command: [...script('console.log("x".repeat(100000) + "end"); process.exitCode = 1')] },
        timeout: "20s",
      })
      expect(failure.message).toContain("xend")
      expect(failure.message.length).toBeLessThan(1_000)
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("a missing program is an error that is not transient", () =>
    Effect.gen(function* () {
      const failure = yield* askFailing({ exec: { command: ["holdfast-no-such-program"] }, timeout: "20s" })
      expect(failure).toMatchObject({ class: "error", transient: false })
      expect(failure.message).toContain('"holdfast-no-such-program" was not found')
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("masked values are in no failure", () =>
    Effect.gen(function* () {
      const failure = yield* askFailing(
        {
          exec: { command: 'echo "$A $B $C"; exit 1', env: { B: "hunter2-b", C: "hunter2-c" }, mask: ["B"] },
          timeout: "20s",
        },
        { env: { A: "hunter2" }, mask: ["A"] },
      )
      expect(failure.message).toContain("Its output: *** *** ***")
      expect(JSON.stringify(failure)).not.toContain("hunter2")
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("at the deadline the whole group is killed, one that ignores TERM included", () =>
    Effect.gen(function* () {
      const { pids, server } = yield* registry
      const child = `process.on("SIGTERM", () => {}); ${announce(server.port)} setInterval(() => {}, 1e6)`
      const parent = `${announce(server.port)} require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(child)}]); process.on("SIGTERM", () => {}); setInterval(() => {}, 1e6)`
      const fiber = yield* Effect.fork(
        Effect.timed(askFailing({ exec: { command: [...script(parent)] }, timeout: "4s" })),
      )
      yield* server.connected(2)
      const [elapsed, failure] = yield* Fiber.join(fiber)
      expect(failure).toMatchObject({ class: "timeout", transient: true })
      expect(failure.message).toContain("did not end within 4s and was killed")
      expect(Duration.toMillis(elapsed)).toBeLessThan(12_000)
      yield* server.allClosed
      expect(pids).toHaveLength(2)
      expect(pids.filter(isAlive)).toEqual([])
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("what a passing command leaves behind is killed too", () =>
    Effect.gen(function* () {
      const { pids, server } = yield* registry
      const child = `${announce(server.port)} setInterval(() => {}, 1e6)`
      yield* ask({
        exec: {
          command: ["/bin/sh", "-c", '"$0" -e "$1" >/dev/null 2>&1 & exit 0', process.execPath, child],
        },
        timeout: "20s",
      })
      yield* server.allClosed
      expect(pids.filter(isAlive)).toEqual([])
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("interruption kills the group", () =>
    Effect.gen(function* () {
      const { pids, server } = yield* registry
      const fiber = yield* Effect.fork(
        ask({
          exec: { command: [...script(`${announce(server.port)} setInterval(() => {}, 1e6)`)] },
          timeout: "1m",
        }),
      )
      yield* server.connected(1)
      yield* Fiber.interrupt(fiber)
      yield* server.allClosed
      expect(pids.filter(isAlive)).toEqual([])
    }).pipe(Effect.provide(real)),
  )

  it.scopedLive("passes the unit's name on", () =>
    Effect.gen(function* () {
      const spawned: Array<string | undefined> = []
      const spying = Layer.effect(
        ProcessSpawner,
        Effect.map(ProcessSpawner, (spawner) => ({
          ...spawner,
          spawn: (spec, options) => {
            spawned.push(spec.unit)
            return spawner.spawn(spec, options)
          },
        })),
      ).pipe(Layer.provide(Spawner.layer))
      yield* ask({ exec: { command: ["/bin/true"] }, timeout: "20s" }, { unit: "web" }).pipe(
        Effect.provide(Layer.provide(Prober.layer, spying)),
      )
      expect(spawned).toEqual(["web"])
    }),
  )
})
