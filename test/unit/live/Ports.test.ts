/** Real ports: who has them already, who takes them meanwhile, who is given them, and who is killed for them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Plan from "../../../src/unit/Plan.js"
import { serving } from "../../probe/servers.js"
import { freePort, httpServer } from "../../probe/support.js"
import { killPid } from "../../process/killPid.js"
import { eventually, isAlive, node, sh } from "../../process/support.js"
import { firstLine, spawnStray } from "../port/support.js"
import { line, ours, says, supervised, until } from "../support.js"

/** A server in a process that nobody here keeps. */
const foreignServer = (port = 0, answer?: string) =>
  Effect.gen(function* () {
    const child = yield* spawnStray(process.execPath, ["-e", serving(port, answer)], {
      stdio: ["ignore", "pipe", "ignore"],
    })
    return { pid: child.pid, port: Number((yield* firstLine(child)).replace("port ", "")) }
  })

/** Serves at its own port. */
const program = (answer?: string) => node(serving(0, answer).replace("listen(0", "listen(${port}"))

const readiness = {
  http: { path: "/", host: "127.0.0.1" },
  period: "100ms",
  timeout: "2s",
} as const

const get = (port: number) =>
  Effect.promise(() => fetch(`http://127.0.0.1:${port}/`).then((response) => response.text()))

describe("somebody else's server at the port of a unit", () => {
  it.scopedLive("is refused by name, lives on, and nothing is spawned", () =>
    Effect.gen(function* () {
      const { pid, port } = yield* foreignServer()
      yield* supervised(
        {
          units: {
            probed: { command: program(), port, readiness, restart: "never" },
          },
        },
        ({ start, status }) =>
          Effect.gen(function* () {
            const error = yield* Effect.flip(start(["probed"]))
            const { failure } = yield* status("probed")
            assert.strictEqual(failure?.kind, "ForeignServer")
            assert.include(error.message, `(pid ${pid})`)
            assert.deepStrictEqual(yield* ours, [])
          }),
      )
      assert.isTrue(isAlive(pid))
      assert.strictEqual(yield* get(port), "ok")
    }),
  )

  it.scopedLive("is refused for a unit without a probe, too, and for a port that it only uses", () =>
    Effect.gen(function* () {
      const { pid, port } = yield* foreignServer()
      const free = yield* freePort
      for (const given of [{ port }, { ports: [free, port] }]) {
        yield* supervised(
          { units: { a: { command: sh("exec sleep 300"), restart: "never", ...given } } },
          ({ start, status }) =>
            Effect.gen(function* () {
              const error = yield* Effect.flip(start(["a"]))
              assert.strictEqual((yield* status("a")).failure?.kind, "PortInUse")
              assert.include(error.message, `Port ${port} is in use by`)
              assert.include(error.message, `(pid ${pid})`)
            }),
        )
      }
      assert.isTrue(isAlive(pid))
    }),
  )

  it.scopedLive(
    "is used as it is with adopt-as-external, through stops and restarts, and never signalled",
    () =>
      Effect.gen(function* () {
        const { pid, port } = yield* foreignServer()
        const unit: Plan.UnitInput = { command: program(), port, readiness, foreign: "adopt-as-external" }
        yield* supervised(
          { units: { a: unit, b: { command: sh("exec sleep 300"), minUptime: "20ms", requires: ["a"] } } },
          (supervisor) =>
            Effect.gen(function* () {
              yield* supervisor.start(["b"])
              const status = yield* supervisor.status("a")
              assert.deepStrictEqual(
                [status.state, status.ownership, status.pid],
                ["ready", "external", undefined],
              )
              yield* line(supervisor, "a", "Somebody else's server answers here")
              assert.strictEqual(
                (yield* Effect.flip(supervisor.kill("a", "SIGKILL")))._tag,
                "UnitHasNoProcess",
              )
              yield* supervisor.restart(["a"])
              assert.strictEqual((yield* supervisor.status("a")).ownership, "external")
              yield* supervisor.stop(["a"])
              yield* supervisor.start(["a"])
            }),
        )
        assert.isTrue(isAlive(pid))
        assert.strictEqual(yield* get(port), "ok")
      }),
  )

  it.scopedLive("that was adopted and ends makes room for the unit's own", () =>
    Effect.gen(function* () {
      const { pid, port } = yield* foreignServer()
      yield* supervised(
        {
          units: {
            a: {
              command: program('response.end("mine")'),
              port,
              readiness: { ...readiness, failureThreshold: 2 },
              foreign: "adopt-as-external",
            },
          },
        },
        (supervisor) =>
          Effect.gen(function* () {
            yield* supervisor.start(["a"])
            killPid(pid, "SIGKILL")
            const status = yield* until(
              supervisor,
              "a",
              ({ ownership, state }) => state === "ready" && ownership === "launched",
            )
            assert.isTrue(isAlive(status.pid!))
            assert.strictEqual(yield* get(port), "mine")
          }),
      )
    }),
  )

  it.scopedLive("that answers wrongly is adopted under no policy", () =>
    Effect.gen(function* () {
      const { port } = yield* foreignServer(0, "response.statusCode = 500; response.end()")
      yield* supervised(
        {
          units: {
            a: { command: program(), port, readiness, foreign: "adopt-as-external", restart: "never" },
          },
        },
        ({ start, status }) =>
          Effect.gen(function* () {
            yield* Effect.flip(start(["a"]))
            assert.strictEqual((yield* status("a")).failure?.kind, "ForeignServer")
          }),
      )
    }),
  )

  it.scopedLive("that appears while the unit's own is starting is not taken for it", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      yield* supervised(
        // It never listens itself.
        { units: { a: { command: sh("exec sleep 300"), port, readiness } } },
        (supervisor) =>
          Effect.gen(function* () {
            const waiter = yield* Effect.fork(supervisor.start(["a"]))
            yield* until(supervisor, "a", ({ pid, state }) => state === "starting" && pid !== undefined)
            let asked = 0
            const foreign = yield* httpServer(
              (_, response) => {
                asked++
                response.end("ok")
              },
              "127.0.0.1",
              port,
            )
            yield* eventually("it is asked again and again", () => asked >= 5)
            const { reason } = yield* says(
              supervisor,
              "a",
              ({ reason }) => reason?.includes("Another server") === true,
            )
            assert.include(reason, `(pid ${process.pid})`)
            assert.strictEqual((yield* supervisor.status("a")).state, "starting")
            yield* supervisor.stop(["a"])
            assert.isTrue(yield* Effect.isFailure(Fiber.join(waiter)))
            assert.strictEqual(foreign.port, port)
          }),
      )
    }),
  )
})

describe("port: auto", () => {
  it.live("gives each unit a port of its own, and ${NAME.port} brings it to whoever needs it", () =>
    supervised(
      {
        units: {
          one: { command: program('response.end("one")'), port: "auto", readiness },
          two: { command: program('response.end("two")'), port: "auto", readiness },
          client: {
            kind: "oneshot",
            command: node(
              `Promise.all([process.env.ONE, "http://127.0.0.1:\${two.port}/"].map((url) =>
                 fetch(url).then((answer) => answer.text()))).then((all) => console.log("got", ...all))`,
            ),
            env: { ONE: "http://127.0.0.1:${one.port}/" },
            requires: ["one", "two"],
          },
        },
      },
      (supervisor) =>
        Effect.gen(function* () {
          yield* supervisor.start(["client"])
          assert.strictEqual(yield* line(supervisor, "client", "got "), "one two")
          const [one, two] = yield* Effect.forEach(["one", "two"], supervisor.status)
          assert.notStrictEqual(one!.port, two!.port)
          assert.strictEqual(one!.url, `http://127.0.0.1:${one!.port}`)
          assert.strictEqual(yield* get(one!.port!), "one")
          // It stays the same over its lives, so that those who were told it find it again.
          killPid(one!.pid!, "SIGKILL")
          const again = yield* until(
            supervisor,
            "one",
            ({ generation, state }) => generation === 2 && state === "ready",
          )
          assert.strictEqual(again.port, one!.port)
          assert.strictEqual(yield* get(again.port!), "one")
        }),
    ),
  )

  it.live("ten units at once get ten ports, none of them a declared one", () =>
    Effect.gen(function* () {
      const declared = yield* freePort
      const units = Object.fromEntries(
        Array.from({ length: 10 }, (_, at) => [
          `u${at}`,
          { command: sh("exec sleep 300"), port: "auto" as const, minUptime: "10ms" },
        ]),
      )
      yield* supervised(
        { units: { ...units, fixed: { command: sh("exec sleep 300"), port: declared, minUptime: "10ms" } } },
        ({ list, start }) =>
          Effect.gen(function* () {
            yield* start([...Object.keys(units), "fixed"])
            assert.strictEqual(new Set((yield* list).map(({ port }) => port)).size, 11)
          }),
      )
    }),
  )
})

describe("killOthers", () => {
  it.scopedLive("kills whoever has the unit's port, and the unit has it", () =>
    Effect.gen(function* () {
      const { pid, port } = yield* foreignServer(yield* freePort)
      yield* supervised(
        { units: { a: { command: program('response.end("mine")'), port, readiness, killOthers: true } } },
        ({ start }) =>
          Effect.gen(function* () {
            const [status] = yield* start(["a"])
            assert.strictEqual(status?.state, "ready")
            assert.isFalse(isAlive(pid))
            assert.strictEqual(yield* get(port), "mine")
          }),
      )
    }),
  )

  it.scopedLive("does not kill this program, whatever it holds: then the port is in use", () =>
    Effect.gen(function* () {
      const { port } = yield* httpServer(
        (_, response) => void response.end("ok"),
        "127.0.0.1",
        yield* freePort,
      )
      yield* supervised(
        { units: { a: { command: program(), port, readiness, killOthers: true, restart: "never" } } },
        ({ start, status }) =>
          Effect.gen(function* () {
            yield* Effect.flip(start(["a"]))
            assert.strictEqual((yield* status("a")).failure?.kind, "ForeignServer")
          }),
      )
      assert.strictEqual(yield* get(port), "ok")
    }),
  )

  it.scopedLive("does not kill another unit's process", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      yield* supervised(
        {
          units: {
            // It takes a port that is not said to be its own.
            first: { command: node(serving(port)), readiness: { log: { pattern: "^port" } } },
            second: { command: program(), port, readiness, killOthers: true, restart: "never" },
          },
        },
        ({ start, status }) =>
          Effect.gen(function* () {
            const [first] = yield* start(["first"])
            const error = yield* Effect.flip(start(["second"]))
            assert.include(error.message, `(pid ${first!.pid})`)
            assert.isTrue(isAlive(first!.pid!))
            assert.strictEqual((yield* status("first")).generation, 1)
          }),
      )
    }),
  )
})
