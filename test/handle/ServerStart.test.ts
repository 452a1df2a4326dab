/** How a managed server comes up, or does not: each rule of its start, and that nothing is left of one that failed. */
import { createServer, type Server } from "node:net"
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { AddressResolver } from "../../src/probe/AddressResolver.js"
import * as Prober from "../../src/probe/Prober.js"
import { freePort, httpServer, silent, tcpServer } from "../probe/support.js"
import { eventually, isAlive } from "../process/support.js"
import {
  failsWith,
  fetchJson,
  live,
  managed,
  ok,
  processes,
  program,
  signal,
  starts,
} from "./server-support.js"

/** One attempt. */
const once = { attempts: Schedule.stop }

/** Runs for ever, and never listens. */
const mute = program(`console.error("still loading"); setInterval(() => {}, 1e6)`)

describe("the place of a managed server", () => {
  live("is refused when another server answers there, which is left alone", () =>
    Effect.gen(function* () {
      const other = yield* httpServer((_, response) => response.end("somebody else"))
      const server = yield* managed({ port: other.port })
      const error = yield* failsWith("ServerPlaceTaken")(server.handle.acquire)
      assert.strictEqual(error.kind, "ForeignServer")
      assert.isFalse(error.retryable)
      assert.strictEqual(error.baseUrl, `http://127.0.0.1:${other.port}`)
      assert.include(error.message, `port ${other.port}`)
      assert.include(error.message, String(process.pid))
      assert.deepStrictEqual(yield* processes, [])
      assert.strictEqual(yield* starts, 1, "it was tried once")
      const text = yield* Effect.promise(async () => (await fetch(error.baseUrl!)).text())
      assert.strictEqual(text, "somebody else")
    }),
  )

  live("is refused when another server answers there, well or not", () =>
    Effect.gen(function* () {
      const other = yield* httpServer((_, response) => response.writeHead(503).end())
      const server = yield* managed({ port: other.port, foreign: "adopt-as-external" })
      const error = yield* failsWith("ServerPlaceTaken")(server.handle.acquire)
      assert.strictEqual(error.kind, "ForeignServer")
      assert.deepStrictEqual(yield* processes, [])
    }),
  )

  live("is refused when somebody holds the port and says nothing", () =>
    Effect.gen(function* () {
      const other = yield* tcpServer(silent)
      const server = yield* managed({ port: other.port })
      const error = yield* failsWith("ServerPlaceTaken")(server.handle.acquire)
      assert.strictEqual(error.kind, "PortInUse")
      assert.include(error.message, `Port ${other.port} is in use`)
      assert.deepStrictEqual(yield* processes, [])
    }),
  )

  live("is not taken by whoever comes while it starts", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      const command = ["/bin/sh", "-c", "echo still loading >&2; exec sleep 1000"] as const
      const server = yield* managed({ port, command, startTimeout: "3s" }, once)
      const starting = yield* Effect.fork(failsWith("ServerStartTimedOut")(server.handle.acquire))
      yield* Stream.runHead(server.log!.follow())
      const other = yield* httpServer((_, response) => response.end("ok"), "127.0.0.1", port)
      const error = yield* Fiber.join(starting)
      assert.include(error.reason, `Another server holds port ${port}`)
      assert.isAbove(other.sockets.length, 0, "it was asked")
      assert.deepStrictEqual(error.output, ["still loading"])
      assert.deepStrictEqual(yield* processes, [])
    }),
  )

  live("is at every address of its name: a later one counts when the first refuses", () =>
    Effect.gen(function* () {
      const server = yield* managed({ host: "two.test" })
      const info = yield* server.handle.acquire
      assert.match(info.baseUrl, /^http:\/\/two\.test:\d+$/)
      assert.strictEqual(yield* server.handle.acquire, info)
      assert.strictEqual((yield* server.status).state, "Ready")
    }).pipe(
      Effect.provide(
        Layer.provide(
          Prober.layer,
          Layer.succeed(AddressResolver, () => Effect.succeed(["127.0.0.9", "127.0.0.1"])),
        ),
      ),
    ),
  )

  live("may be an IPv6 address", () =>
    Effect.gen(function* () {
      const hasIt = yield* Effect.isSuccess(Effect.scoped(ipv6))
      if (!hasIt) return
      const command = program(`serve((request, response) => response.end(request.headers.host), "::1")`)
      const server = yield* managed({ host: "::1", command })
      const { baseUrl } = yield* server.handle.acquire
      assert.match(baseUrl, /^http:\/\/\[::1\]:\d+$/)
      const host = yield* Effect.promise(async () => (await fetch(`${baseUrl}/`)).text())
      assert.strictEqual(`http://${host}`, baseUrl)
      assert.strictEqual((yield* server.handle.acquire).baseUrl, baseUrl)
    }),
  )
})

/** Fails where there is none. */
const ipv6 = Effect.acquireRelease(
  Effect.async<Server, Error>((resume) => {
    const server = createServer()
    server.once("error", (error: Error) => resume(Effect.fail(error)))
    server.listen(0, "::1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close()),
)

describe("the end of a start", () => {
  live("is the exit of the process, long before the deadline; its output is in the error", () =>
    Effect.gen(function* () {
      const down = signal<unknown>()
      const command = program(
        `console.log("reading the configuration"); console.error("no such file"); process.exit(3)`,
      )
      const server = yield* managed({ command, startTimeout: "1m" }, { onDown: down.tell })
      const error = yield* failsWith("ServerExitedEarly")(server.handle.acquire)
      assert.deepStrictEqual(error.end, { code: 3 })
      assert.sameMembers([...error.output], ["reading the configuration", "no such file"])
      assert.isTrue(error.retryable)
      assert.match(
        error.message,
        /web \(pid \d+\) ended with exit code 3 before it was ready at http:.*no such file/s,
      )
      assert.strictEqual(down.all.length, 2, "there were two attempts")
      const { pid } = down.all[1] as { pid: number }
      assert.strictEqual(error.pid, pid)
      assert.isFalse(isAlive(pid))
    }),
  )

  live("is the death by a signal", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: program(`process.kill(process.pid, "SIGKILL")`) }, once)
      const error = yield* failsWith("ServerExitedEarly")(server.handle.acquire)
      assert.deepStrictEqual(error.end, { signal: "SIGKILL" })
      assert.include(error.message, "It wrote nothing.")
    }),
  )

  live("is the exit with success, too", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: ["true"] }, once)
      const error = yield* failsWith("ServerExitedEarly")(server.handle.acquire)
      assert.deepStrictEqual(error.end, { code: 0 })
    }),
  )

  live("is not retried after an exit that is permanent", () =>
    Effect.gen(function* () {
      const command = program(`process.exit(78)`)
      const server = yield* managed({ command, restart: { policy: "never", permanent: [78] } })
      const error = yield* failsWith("ServerExitedEarly")(server.handle.acquire)
      assert.isFalse(error.retryable)
      assert.strictEqual(yield* starts, 1)
    }),
  )

  live(
    "is the deadline, which stops the whole group: a launcher that does not exec, what it started, what ignores TERM",
    () =>
      Effect.gen(function* () {
        const script = `trap "" TERM; sleep 1000 & (trap "" TERM; sleep 1000) & echo loading; wait`
        const server = yield* managed(
          { command: ["/bin/sh", "-c", script], startTimeout: "2s", stop: { grace: "100ms" } },
          once,
        )
        const before = performance.now()
        const starting = yield* Effect.fork(failsWith("ServerStartTimedOut")(server.handle.acquire))
        yield* Stream.runHead(server.log!.follow())
        assert.isAtLeast((yield* processes).length, 2)
        const error = yield* Fiber.join(starting)
        const elapsed = performance.now() - before
        assert.deepStrictEqual(yield* processes, [])
        assert.strictEqual(error.timeoutMillis, 2_000)
        assert.isAtLeast(elapsed, 2_000)
        assert.isBelow(elapsed, 10_000, "the deadline is the configured one")
        assert.match(
          error.message,
          /was not ready at http:\/\/127.0.0.1:\d+ within 2 s. GET .*refused.*loading/s,
        )
        assert.isNumber(error.pid)
      }),
  )

  live("is a missing program, a bad directory or a file that may not be run: told as such, once", () =>
    Effect.gen(function* () {
      const cases = [
        [{ command: ["holdfast-no-such-program"] }, "CommandNotFound"],
        [{ cwd: "/holdfast-no-such-directory" }, "BadWorkingDirectory"],
        [{ command: ["/dev/null"] }, "NotExecutable"],
        [{ envFile: ["/holdfast-no-such-file"] }, "FileUnusable"],
      ] as const
      for (const [input, kind] of cases) {
        const before = yield* starts
        const server = yield* managed(input as never)
        const error = yield* failsWith("ServerNotStarted")(server.handle.acquire)
        assert.deepStrictEqual([error.kind, error.retryable], [kind, false], error.message)
        assert.strictEqual((yield* starts) - before, 1)
      }
    }),
  )

  live("is told to all who wait, as one failure", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: program(`process.exit(1)`) }, once)
      const errors = yield* Effect.all(
        Array.from({ length: 20 }, () => failsWith("ServerExitedEarly")(server.handle.acquire)),
        { concurrency: "unbounded" },
      )
      assert.strictEqual(new Set(errors).size, 1)
      assert.strictEqual(yield* starts, 1)
    }),
  )

  live("that nobody waits for any more leaves nothing", () =>
    Effect.gen(function* () {
      const server = yield* managed({ command: mute })
      const starting = yield* Effect.fork(server.handle.acquire)
      yield* Stream.runHead(server.log!.follow())
      const [pid] = yield* processes
      assert.isDefined(pid)
      yield* Fiber.interrupt(starting)
      yield* eventually("it is gone", () => !isAlive(pid))
      yield* server.handle.reset
      assert.strictEqual((yield* server.status).state, "Stopped")
    }),
  )

  live("with the scope leaves nothing, and tells those who wait", () =>
    Effect.gen(function* () {
      const { starting } = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* managed({ command: mute })
          const starting = yield* Effect.forkDaemon(failsWith("Closed")(server.handle.acquire))
          yield* Stream.runHead(server.log!.follow())
          assert.strictEqual((yield* processes).length, 1)
          return { starting }
        }),
      )
      assert.deepStrictEqual(yield* processes, [])
      yield* Fiber.join(starting)
    }),
  )

  live("before the process is there leaves nothing, either", () =>
    Effect.gen(function* () {
      for (let turns = 0; turns < 12; turns++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const server = yield* managed({ command: mute })
            yield* Effect.forkDaemon(Effect.ignore(server.handle.acquire))
            yield* Effect.repeatN(Effect.yieldNow(), turns * turns)
          }),
        )
        assert.deepStrictEqual(yield* processes, [])
      }
    }),
  )
})

describe("the version of a managed server", () => {
  const version = { pointer: "/version" }

  live("is what it says, compared exactly but for blanks and a leading v", () =>
    Effect.gen(function* () {
      const server = yield* managed({ version, expectedVersion: " 1.2.3 " })
      assert.strictEqual((yield* server.handle.acquire).version, "1.2.3")
    }),
  )

  live("is an error that is not retried when it is another one, and the process is gone", () =>
    Effect.gen(function* () {
      const server = yield* managed({ version, expectedVersion: "1.2" })
      const error = yield* failsWith("VersionMismatch")(server.handle.acquire)
      assert.deepStrictEqual([error.expected, error.actual, error.retryable], ["1.2", "1.2.3", false])
      assert.deepStrictEqual(yield* processes, [])
      assert.strictEqual(yield* starts, 1)
      assert.strictEqual((yield* server.status).state, "Stopped")
    }),
  )

  live("is an error when it names none", () =>
    Effect.gen(function* () {
      const server = yield* managed({ version: { pointer: "/nothing" }, expectedVersion: "1" })
      const error = yield* failsWith("VersionMismatch")(server.handle.acquire)
      assert.isUndefined(error.actual)
      assert.include(error.message, "names no version")
    }),
  )

  live("that cannot be read is another error, which is retried", () =>
    Effect.gen(function* () {
      const command = program(
        `serve((request, response) => request.url === "/version" ? response.writeHead(503).end("{}") : response.end("{}"))`,
      )
      const server = yield* managed({
        command,
        version: { path: "/version", pointer: "/version" },
        expectedVersion: "1",
      })
      const error = yield* failsWith("ServerNotStarted")(server.handle.acquire)
      assert.deepStrictEqual([error.kind, error.retryable], ["VersionUnread", true])
      assert.include(error.message, "/version answered 503")
      assert.deepStrictEqual(yield* processes, [])
      assert.strictEqual(yield* starts, 2)
    }),
  )

  live("is simply not known where nobody expects one", () =>
    Effect.gen(function* () {
      const server = yield* managed({
        command: program(`serve((_, response) => response.end("<html>"))`),
        version,
      })
      assert.isUndefined((yield* server.handle.acquire).version)
    }),
  )

  live("may stand in a long document", () =>
    Effect.gen(function* () {
      const command = program(
        `serve((request, response) => response.end(request.url === "/openapi.json" ? JSON.stringify({ paths: "x".repeat(3e6), info: { version: 2 } }) : "ok"))`,
      )
      const server = yield* managed({ command, version: { path: "/openapi.json", pointer: "/info/version" } })
      assert.strictEqual((yield* server.handle.acquire).version, "2")
    }),
  )

  live("is asked for as the probe asks", () =>
    Effect.gen(function* () {
      const command = program(
        `serve((request, response) => request.headers.authorization === "Bearer t" ? response.end('{"version":"7"}') : response.writeHead(401).end())`,
      )
      const server = yield* managed({
        command,
        probe: { http: { path: "/", headers: { authorization: "Bearer t" } } },
        version: { path: "/about", pointer: "/version" },
        expectedVersion: "7",
      })
      const info = yield* server.handle.acquire
      assert.strictEqual(yield* server.handle.acquire, info)
    }),
  )

  live("may be known beforehand", () =>
    Effect.gen(function* () {
      const server = yield* managed({ version: "v3" })
      assert.strictEqual((yield* server.status).version, "3")
      assert.strictEqual((yield* server.handle.acquire).version, "3")
    }),
  )
})

describe("a managed server", () => {
  live("is one process, however many ask at once, and all get the same", () =>
    Effect.gen(function* () {
      const server = yield* managed()
      const all = yield* Effect.all(
        Array.from({ length: 50 }, () => server.handle.acquire),
        { concurrency: "unbounded" },
      )
      assert.strictEqual(new Set(all).size, 1)
      assert.strictEqual(yield* starts, 1)
      assert.deepStrictEqual(yield* processes, [all[0]!.pid!])
    }),
  )

  live("may be started by a launcher that does not exec: the listener is what it started", () =>
    Effect.gen(function* () {
      const [node, ...args] = ok
      const server = yield* managed({
        command: ["/bin/sh", "-c", `"$0" "$@" & wait`, node, ...args],
        stop: { grace: "5s" },
      })
      const { baseUrl, pid } = yield* server.handle.acquire
      const listener = yield* fetchJson(baseUrl)
      assert.notStrictEqual(listener.pid, pid)
      assert.sameMembers([...(yield* processes)], [pid, listener.pid])
      const { state } = yield* server.stop
      assert.strictEqual(state, "Stopped")
      assert.deepStrictEqual(yield* processes, [])
    }),
  )

  live("is killed when it ignores TERM", () =>
    Effect.gen(function* () {
      const command = program(`process.on("SIGTERM", () => {}); serve((_, response) => response.end("ok"))`)
      const server = yield* managed({ command, stop: { grace: "100ms" } })
      yield* server.handle.acquire
      yield* server.stop
      assert.deepStrictEqual(yield* processes, [])
    }),
  )

  live(
    "writes 100 MB before it listens, and neither waits for a reader nor fills the memory",
    () =>
      Effect.gen(function* () {
        const command = program(
          `const line = "x".repeat(999) + "\\n", chunk = line.repeat(1000);
         let left = 100; const more = () => left-- > 0 ? process.stdout.write(chunk, more) : serve((_, response) => response.end("ok")); more()`,
        )
        const server = yield* managed({ command, startTimeout: "60s" })
        globalThis.gc?.()
        const before = process.memoryUsage().rss
        yield* server.handle.acquire
        const grown = (process.memoryUsage().rss - before) / 2 ** 20
        assert.isBelow(grown, 80, `it took ${Math.round(grown)} MiB more`)
        assert.strictEqual(server.log!.latest(), 100_000)
      }),
    90_000,
  )

  live("is told its port, in its command and in its variables", () =>
    Effect.gen(function* () {
      const script = `require("http").createServer((_, response) => response.end(JSON.stringify({ path: process.env.WHERE }))).listen(process.env.PORT, "127.0.0.1")`
      const server = yield* managed({
        command: [process.execPath, "-e", script],
        env: { PORT: "${port}", WHERE: "at ${port}" },
      })
      const { baseUrl } = yield* server.handle.acquire
      assert.strictEqual((yield* fetchJson(baseUrl)).path, `at ${new URL(baseUrl).port}`)
    }),
  )

  const probes = {
    tcp: { tcp: {} },
    exec: { exec: { command: ["true"] as const }, timeout: "5s" },
    log: { log: { pattern: "listening on (?<where>\\S+)" } },
    "all, with a log part": {
      all: [{ log: { pattern: "listening on (?<where>\\S+)" } }, { http: { path: "/" } }],
    },
    "any, with a log part": { any: [{ log: { pattern: "never" } }, { http: { path: "/" } }] },
  } as const
  for (const [what, probe] of Object.entries(probes)) {
    live(`may be probed by ${what}, again and again`, () =>
      Effect.gen(function* () {
        const command = program(
          `serve((_, response) => response.end("ok")).on("listening", () => console.log("listening on " + port))`,
        )
        const server = yield* managed({ command, probe })
        const info = yield* server.handle.acquire
        assert.strictEqual(yield* server.handle.acquire, info)
        assert.strictEqual((yield* server.status).state, "Ready")
        if (what.includes("log") && !what.includes("any")) {
          assert.strictEqual(info.outputs["where"], new URL(info.baseUrl).port)
        }
      }),
    )
  }

  live("is not started inside of another one, whose mark every child gets", () =>
    Effect.gen(function* () {
      const guard = { environment: { HOLDFAST_MANAGED: "1" } }
      const inner = yield* managed({}, { guard })
      const error = yield* failsWith("RecursionGuarded")(inner.handle.acquire)
      assert.strictEqual(error.variable, "HOLDFAST_MANAGED")
      assert.deepStrictEqual(yield* processes, [])
      const command = program(
        `serve((_, response) => response.end(JSON.stringify({ path: process.env.HOLDFAST_MANAGED ?? "" })))`,
      )
      const outer = yield* managed({ command })
      const { baseUrl } = yield* outer.handle.acquire
      assert.strictEqual((yield* fetchJson(baseUrl)).path, "1")
    }),
  )

  live("keeps its secrets out of errors, statuses and logs", () =>
    Effect.gen(function* () {
      const command = program(`console.log("key is " + process.env.KEY); process.exit(1)`)
      command.push("--key=s3cr3t-value")
      const server = yield* managed({ command, env: { KEY: "s3cr3t-value" }, mask: ["KEY"] }, once)
      const error = yield* failsWith("ServerExitedEarly")(server.handle.acquire)
      const status = yield* server.status
      for (const text of [error.message, JSON.stringify(error), JSON.stringify(status)]) {
        assert.notInclude(text, "s3cr3t-value")
        assert.include(text, "***")
      }
    }),
  )

  live("that makes no sense as a unit is refused as what it is", () =>
    Effect.gen(function* () {
      const reference = yield* failsWith("InvalidSpec")(managed({ command: ["serve", "${other.port}"] }))
      assert.include(reference.message, "managed server")
      assert.include(reference.message, "command")
      const variable = yield* failsWith("InvalidSpec")(managed({ env: { "A=B": "1" } }))
      assert.include(variable.message, "env")
    }),
  )
})
