/** The endpoints about units: what they ask of a supervisor, and what they answer. */
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { PlanRefused } from "../../src/api/PlanSource.js"
import { TableUnreadable } from "../../src/process/ProcessTable.js"
import * as Plan from "../../src/unit/Plan.js"
import {
  SupervisorClosed,
  UnitHasNoProcess,
  UnitNotStarted,
  UnitNotStopped,
} from "../../src/unit/SupervisorError.js"
import { type Asking, open, type Reply, serve } from "./support.js"
import { fakeUnits } from "./units.js"

const head = { schema_version: "1", ok: true }
const time = "2030-01-31T08:00:00.000Z"
const post: Asking = { method: "POST" }

const servingUnits = (...names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const units = yield* fakeUnits()
    for (const name of names) units.set(name)
    const serving = yield* serve({ supervisor: units.service })
    return { ...serving, units }
  })

const namesOf = ({ body }: Reply): ReadonlyArray<string> =>
  body.units.map(({ name }: { readonly name: string }) => name)

const expectError = (reply: Reply, status: number, code: string, message: RegExp, retryable = false) => {
  expect(reply.body).toEqual({
    schema_version: "1",
    ok: false,
    type: "error",
    error: { code, message: expect.stringMatching(message), retryable },
  })
  expect(reply.status).toBe(status)
}

describe("units", () => {
  it.scopedLive("are listed in the supervisor's order, by state and kind", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("db", "web")
      units.set("migrate", { kind: "oneshot", state: "exited", end: { code: 0 } })
      units.set("all", { kind: "target", state: "blocked", reason: "It waits for web." })
      const reply = yield* ask("/units")
      expect(reply.body).toMatchObject({ ...head, type: "units" })
      expect(namesOf(reply)).toEqual(["db", "web", "migrate", "all"])
      expect(namesOf(yield* ask("/units?state=ready"))).toEqual(["db", "web"])
      expect(namesOf(yield* ask("/units?state=ready,blocked&state=exited&kind=target,oneshot"))).toEqual([
        "migrate",
        "all",
      ])
      expect(namesOf(yield* ask("/units?kind=task"))).toEqual([])
    }),
  )

  it.scopedLive("are shown with all that is known of them, and nothing that is not", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("web")
      expect((yield* ask("/units/web")).body).toEqual({
        ...head,
        type: "unit",
        name: "web",
        kind: "service",
        state: "ready",
        desired: "up",
        since: time,
        generation: 1,
        failures: 0,
        restarts: 0,
        outputs: {},
      })
      const at = Date.parse(time)
      units.set("web", {
        description: "The shop",
        state: "backoff",
        reason: "It ended with exit code 3.",
        generation: 7,
        ownership: "launched",
        pid: 4_711,
        startedAt: at,
        readyAt: at + 1,
        restartAt: at + 2_000,
        failures: 2,
        restarts: 6,
        end: { signal: "SIGKILL" },
        failure: { kind: "Crashed", message: "It ended.", output: ["boom"], at: at + 1_999 },
        port: 8_080,
        url: "http://127.0.0.1:8080",
        outputs: { version: "1.2" },
        command: "serve --token ***",
      })
      expect((yield* ask("/units/web")).body).toEqual({
        ...head,
        type: "unit",
        name: "web",
        kind: "service",
        description: "The shop",
        state: "backoff",
        reason: "It ended with exit code 3.",
        desired: "up",
        since: time,
        generation: 7,
        ownership: "launched",
        pid: 4_711,
        started_at: time,
        ready_at: "2030-01-31T08:00:00.001Z",
        restart_at: "2030-01-31T08:00:02.000Z",
        failures: 2,
        restarts: 6,
        end: { signal: "SIGKILL" },
        failure: {
          kind: "Crashed",
          message: "It ended.",
          output: ["boom"],
          at: "2030-01-31T08:00:01.999Z",
        },
        port: 8_080,
        url: "http://127.0.0.1:8080",
        outputs: { version: "1.2" },
        command: "serve --token ***",
      })
    }),
  )

  it.scopedLive("that are not there are told of with the nearest name", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("web", "db")
      const paths: ReadonlyArray<readonly [string, Asking?]> = [
        ["/units/wev"],
        ["/units/wev/why"],
        ["/units/wev/logs"],
        ["/units/wev/follow"],
        ["/units/wev/start", post],
        ["/units/wev/stop?until_ms=0", post],
        ["/units/wev/restart?until_ms=0", post],
        ["/units/wev/kill", post],
        ["/units", { body: { action: "start", names: ["db", "wev"], until_ms: 0 } }],
      ]
      for (const [path, asking] of paths)
        expectError(
          yield* ask(path, asking),
          404,
          "unit_not_found",
          /^There is no unit "wev"\. Did you mean web\?$/,
        )
      expect(units.calls).toEqual([])
    }),
  )
})

describe("start, stop and restart", () => {
  it.scopedLive("answer when it is done, with where the units are", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("web")
      units.set("web", { state: "inactive", desired: "manual" })
      expect((yield* ask("/units/web/start", post)).body).toEqual({
        ...head,
        type: "unit-action",
        action: "start",
        reason: "done",
        units: [expect.objectContaining({ name: "web", state: "ready", desired: "up", since: time })],
      })
      expect((yield* ask("/units/web/restart?until_ms=60000", post)).body).toMatchObject({
        action: "restart",
        reason: "done",
        units: [{ state: "ready" }],
      })
      expect((yield* ask("/units/web/stop", post)).body).toMatchObject({
        action: "stop",
        reason: "done",
        units: [{ state: "inactive", desired: "down" }],
      })
      expect((yield* ask("/units/web/stop?grace_ms=250", post)).body).toMatchObject({ reason: "done" })
      expect(units.calls).toEqual(["start web", "restart web", "stop web", "stop web 250"])
    }),
  )

  it.scopedLive("answer at the deadline, and go on", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("web", "db")
      for (const [action, during, after] of [
        ["start", "starting", "ready"],
        ["stop", "stopping", "inactive"],
        ["restart", "starting", "ready"],
      ] as const) {
        for (const until of [0, 20]) {
          yield* units.hold
          const { body } = yield* ask(`/units/web/${action}?until_ms=${until}`, post)
          expect(body).toMatchObject({ action, reason: "deadline", units: [{ name: "web", state: during }] })
          yield* units.release
          const isOver = ({ body }: Reply) => body.state === after
          yield* Effect.repeat(ask("/units/web"), { until: isOver })
        }
      }
      expect(units.calls).not.toContainEqual(expect.stringContaining("cut"))
    }),
  )

  it.scopedLive("go on when nobody waits for the answer any more", () =>
    Effect.gen(function* () {
      const { ask, port, token, units } = yield* servingUnits("web")
      yield* units.hold
      const socket = yield* Effect.promise(async () => {
        const { connect } = await import("node:net")
        const made = connect(port, "127.0.0.1")
        made.write(
          `POST /units/web/start HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`,
        )
        return made
      })
      yield* units.asked
      socket.destroy()
      expect((yield* ask("/units/web")).body).toMatchObject({ state: "starting" })
      yield* units.release
      yield* Effect.repeat(ask("/units/web"), { until: ({ body }) => body.state === "ready" })
      expect(units.calls).toEqual(["start web"])
    }),
  )

  it.scopedLive("of several are one request, each named once, or all that it is about", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("db", "web")
      units.set("tool", { state: "inactive", desired: "manual" })
      units.set("old", { state: "inactive", desired: "down" })
      const act = (body: object) => ask("/units", { body })
      expect(yield* act({ action: "restart", names: ["web", "db", "web"] })).toMatchObject({
        status: 200,
        body: { ...head, type: "unit-action", action: "restart", reason: "done" },
      })
      yield* act({ action: "restart" })
      yield* act({ action: "start" })
      yield* act({ action: "stop", grace_ms: 5 })
      // Who is meant where nobody is named is for the supervisor to say.
      expect(units.calls).toEqual(
        ["restart web db", "restart", "start", "stop 5"].map((call) =>
          expect.stringMatching(new RegExp(`^${call.replace(" 5", " +5")} *$`)),
        ),
      )
    }),
  )

  it.scopedLive("say what went wrong, and whether to try again", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("web")
      units.refusals = {
        start: new UnitNotStarted({
          name: "web",
          state: "failed",
          kind: "EarlyExit",
          reason: "It ended with exit code 1.",
          output: ["no such file"],
        }),
        stop: new UnitNotStopped({ name: "web", reason: "Process 77 (sleep) outlived KILL." }),
      }
      const failed =
        /^The unit web did not come up\. It ended with exit code 1\. Its last output:\nno such file$/
      expectError(yield* ask("/units/web/start", post), 409, "unit_not_started", failed)
      expectError(yield* ask("/units/web/restart", post), 409, "unit_not_started", failed)
      expectError(
        yield* ask("/units", { body: { action: "start", names: ["web"] } }),
        409,
        "unit_not_started",
        failed,
      )
      expectError(
        yield* ask("/units/web/stop", post),
        500,
        "unit_not_stopped",
        /^The unit web could not be stopped\. Process 77/,
      )
      units.refusals = { start: new SupervisorClosed() }
      expectError(
        yield* ask("/units/web/start", post),
        503,
        "unavailable",
        /^The supervisor is closing/,
        true,
      )
    }),
  )
})

describe("kill, why and graph", () => {
  it.scopedLive("kill sends the signal that was named", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("web", "db")
      units.set("web", { pid: 77 })
      expect((yield* ask("/units/web/kill", post)).body).toEqual({
        ...head,
        type: "unit-kill",
        name: "web",
        signal: "TERM",
        sent: true,
      })
      expect((yield* ask("/units/db/kill?signal=sigHup", post)).body).toMatchObject({
        signal: "HUP",
        sent: false,
      })
      expect(units.calls).toEqual(["kill web SIGTERM", "kill db SIGHUP"])
      units.refusals = { kill: new UnitHasNoProcess({ name: "db", state: "inactive" }) }
      expectError(
        yield* ask("/units/db/kill", post),
        400,
        "invalid_state",
        /^The unit db is inactive and has no process of ours to signal\.$/,
      )
      units.refusals = { kill: new TableUnreadable({ reason: "no /proc" }) }
      expectError(yield* ask("/units/db/kill", post), 503, "unavailable", /no \/proc/, true)
    }),
  )

  it.scopedLive("why gives the chain down to the first cause", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits("web")
      expect((yield* ask("/units/web/why")).body).toEqual({
        ...head,
        type: "unit-why",
        name: "web",
        state: "ready",
        is_up: true,
        chain: [],
      })
      units.explanation = {
        unit: "web",
        state: "blocked",
        isUp: false,
        chain: [
          { unit: "web", state: "blocked", reason: "It waits for db.", output: [] },
          { unit: "db", state: "failed", reason: "It ended.", advice: "Start it.", output: ["boom"] },
        ],
      }
      expect((yield* ask("/units/web/why")).body).toEqual({
        ...head,
        type: "unit-why",
        name: "web",
        state: "blocked",
        is_up: false,
        chain: units.explanation.chain,
      })
    }),
  )

  it.scopedLive("graph gives nodes, edges and groups", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingUnits()
      units.graph = {
        nodes: [
          { name: "db", kind: "service", state: "ready" },
          { name: "web", kind: "service", state: "starting" },
        ],
        edges: [{ from: "web", to: "db", kind: "requires", condition: "ready" }],
        groups: [{ name: "pair", strategy: "one-for-all", units: ["db", "web"] }],
      }
      expect((yield* ask("/graph")).body).toEqual({ ...head, type: "graph", ...units.graph })
    }),
  )
})

describe("reload", () => {
  const plan = Effect.runSync(Plan.make({ units: {} }))
  const diff = {
    added: ["new"],
    removed: ["old"],
    changed: [{ name: "web", fields: ["command", "env.PORT"] }],
    unchanged: ["db"],
    follows: [{ name: "db", to: "web" }],
    groups: { added: [], removed: [], changed: [] },
  }

  const servingPlan = (read: Effect.Effect<Plan.Plan, PlanRefused> = Effect.succeed(plan)) =>
    Effect.gen(function* () {
      const units = yield* fakeUnits()
      for (const name of ["db", "web", "old"]) units.set(name)
      units.diff = diff
      const serving = yield* serve({
        supervisor: units.service,
        plan: { file: "/srv/holdfast.yaml", plan: read },
      })
      return { ...serving, units }
    })

  it.scopedLive("says what it would do, then does it", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingPlan()
      const answer = { ...head, type: "reload", file: "/srv/holdfast.yaml", reason: "done", ...diff }
      expect((yield* ask("/reload?dry_run=true", post)).body).toEqual({
        ...answer,
        dry_run: true,
        started: [],
      })
      expect(units.calls).toEqual([])
      expect((yield* ask("/reload", post)).body).toEqual({
        ...answer,
        dry_run: false,
        started: [
          expect.objectContaining({ name: "new", state: "ready" }),
          expect.objectContaining({ name: "web", state: "ready" }),
        ],
      })
      expect(units.calls).toEqual(["reload new web"])
    }),
  )

  it.scopedLive("answers at the deadline with what it has begun", () =>
    Effect.gen(function* () {
      const { ask, units } = yield* servingPlan()
      yield* units.hold
      expect((yield* ask("/reload?until_ms=10", post)).body).toMatchObject({
        dry_run: false,
        reason: "deadline",
        ...diff,
        started: [
          { name: "web", state: "starting" },
          { name: "new", state: "starting" },
        ],
      })
      yield* units.release
      yield* Effect.repeat(ask("/units/new"), { until: ({ body }) => body.state === "ready" })
      expect(units.calls).toEqual(["reload new web"])
    }),
  )

  it.scopedLive("of a configuration that cannot be used changes nothing, and says where it is wrong", () =>
    Effect.gen(function* () {
      const reason = 'holdfast.yaml:3:5: units.web has no "comand"'
      const refused = new PlanRefused({ file: "/srv/holdfast.yaml", reason })
      const { ask, units } = yield* servingPlan(Effect.fail(refused))
      for (const query of ["", "?dry_run=true"])
        expectError(
          yield* ask(`/reload${query}`, post),
          400,
          "config_invalid",
          /^The configuration cannot be used, and nothing was changed\.\nholdfast\.yaml:3:5: units\.web has no "comand"$/,
        )
      expect(units.calls).toEqual([])
      units.refusals = { reload: new SupervisorClosed() }
    }),
  )

  it.scopedLive("needs a configuration, and a supervisor that is not closing", () =>
    Effect.gen(function* () {
      const { ask } = yield* servingUnits("web")
      expectError(
        yield* ask("/reload", post),
        400,
        "invalid_state",
        /without a configuration file.*-f holdfast\.yaml/,
      )
      const closing = yield* servingPlan()
      closing.units.refusals = { reload: new SupervisorClosed() }
      expectError(yield* closing.ask("/reload", post), 503, "unavailable", /is closing/, true)
    }),
  )
})

describe("shutdown", () => {
  it.live("answers before the daemon has ended", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const asked = yield* Deferred.make<number | undefined>()
      const { ask } = yield* Scope.extend(
        serve({
          shutdown: ({ grace }) => Effect.asVoid(Deferred.succeed(asked, grace && Duration.toMillis(grace))),
        }),
        scope,
      )
      const ending = yield* Effect.forkDaemon(
        Effect.tap(Deferred.await(asked), () => Scope.close(scope, Exit.void)),
      )
      expect((yield* ask("/shutdown?grace_ms=1500", post)).body).toEqual({
        ...head,
        type: "shutdown",
        pid: process.pid,
      })
      expect(yield* Fiber.join(ending)).toBe(1_500)
      expect(yield* Effect.exit(ask("/health"))).toMatchObject({ _tag: "Failure" })
    }),
  )

  it.scopedLive("is refused where the program cannot be ended", () =>
    Effect.gen(function* () {
      const { ask } = yield* serve()
      expectError(yield* ask("/shutdown", post), 400, "invalid_state", /cannot be ended through it/)
      expect((yield* ask("/health")).status).toBe(200)
    }),
  )

  it.live("ends streams of units and answers who waits for them", () =>
    Effect.gen(function* () {
      const outer = yield* Scope.make()
      const units = yield* Scope.extend(fakeUnits(), outer)
      units.set("web")
      const scope = yield* Scope.make()
      const serving = yield* Scope.extend(serve({ supervisor: units.service, grace: "20 seconds" }), scope)
      yield* units.hold
      const stream = yield* open(serving, "/units/web/follow")
      const waiting = yield* Effect.forkDaemon(serving.ask("/units/web/start", post))
      yield* units.asked
      const begin = performance.now()
      yield* Scope.close(scope, Exit.void)
      expect(performance.now() - begin).toBeLessThan(5_000)
      yield* stream.ended
      expectError(yield* Fiber.join(waiting), 503, "unavailable", /stopping/, true)
      // The server ends; what the supervisor has begun is the supervisor's.
      expect(units.calls).toEqual(["start web"])
      yield* units.release
      yield* Scope.close(outer, Exit.void)
    }),
  )
})

describe("without a supervisor", () => {
  it.scopedLive("there are no units, and everything else works", () =>
    Effect.gen(function* () {
      const { ask } = yield* serve()
      expect((yield* ask("/units")).body).toEqual({ ...head, type: "units", units: [] })
      expect((yield* ask("/graph")).body).toEqual({
        ...head,
        type: "graph",
        nodes: [],
        edges: [],
        groups: [],
      })
      for (const action of ["start", "stop", "restart"]) {
        expect((yield* ask("/units", { body: { action } })).body).toMatchObject({ units: [], reason: "done" })
        expectError(
          yield* ask(`/units/web/${action}`, post),
          404,
          "unit_not_found",
          /^There is no unit "web"\. There are none\.$/,
        )
      }
      for (const path of ["/units/web", "/units/web/why", "/units/web/logs", "/units/web/follow"])
        expectError(yield* ask(path), 404, "unit_not_found", /There are none/)
      expectError(yield* ask("/units/web/kill", post), 404, "unit_not_found", /There are none/)
      expectError(yield* ask("/reload", post), 400, "invalid_state", /configuration file/)
      expect((yield* ask("/jobs")).status).toBe(200)
    }),
  )
})
