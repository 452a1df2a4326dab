/** The derived client: whatever the server answers decodes, and following survives a restart. */
import * as fs from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Client from "../../src/api/ApiClient.js"
import { EventStreamReader } from "../../src/api/EventStreamReader.js"
import { ownerFile } from "../../src/job/StoreOwner.js"
import * as Plan from "../../src/unit/Plan.js"
import { UnitNotStarted, UnitNotStopped } from "../../src/unit/SupervisorError.js"
import { serve, temporary } from "./support.js"
import { fakeUnits } from "./units.js"

const clientOf = (layer: Layer.Layer<Client.ApiClient>) =>
  Effect.map(Layer.build(layer), (context) => Context.get(context, Client.ApiClient))

describe("the client", () => {
  it.scopedLive("understands every answer", () =>
    Effect.gen(function* () {
      const { address, events, fake, token } = yield* serve()
      const client = yield* clientOf(Client.layer({ address, token }))
      expect(yield* client.health()).toMatchObject({ type: "health", version: "1.2.3" })
      const command = ["sh", "-c", "true"] as const
      const { job_id: id } = yield* client.exec({ payload: { command, tags: ["x"], env: { A: "1" } } })
      const path = { id }
      yield* fake.print(id, "stdout", "a\nb\n")
      expect(yield* client.status({ path })).toMatchObject({ state: "running" })
      expect(yield* client.tail({ path, urlParams: { lines: 1 } })).toMatchObject({ stdout_tail: "b\n" })
      expect(yield* client.wait({ path, urlParams: { until_ms: 1 } })).toMatchObject({ reason: "deadline" })
      expect(yield* client.wait({ path, urlParams: { pattern: "^b$" } })).toMatchObject({
        match: { line: "b" },
      })
      expect(yield* client.log({ path, urlParams: { offset: 2, encoding: "base64" } })).toMatchObject({
        base64: "Ygo=",
      })
      expect(yield* client.stdin({ path, payload: { text: "x" } })).toMatchObject({ bytes: 1 })
      expect(yield* client.list({ urlParams: { state: ["running", "lost"], tag: ["x"] } })).toMatchObject({
        jobs: [{ job_id: id, command, env: { A: "1" } }],
      })
      expect(yield* client.job({ path })).toMatchObject({ pid: 4_711, attempts: [{ number: 1 }] })
      expect(yield* client.kill({ path, urlParams: {}, payload: { signal: "KILL" } })).toMatchObject({
        signal: "KILL",
        state: "killed",
      })
      expect(yield* client.restart({ path })).toMatchObject({ restart_of: id, state: "queued" })
      const { job_id: created } = yield* client.exec({ payload: { command, start: false } })
      expect(yield* client.start({ path: { id: created } })).toMatchObject({ state: "queued" })
      expect(yield* client.why({ path: { id: created } })).toMatchObject({
        reasons: [{ kind: "group-paused" }],
      })
      expect(yield* client.setGroup({ path: { name: "g" }, payload: { parallelism: null } })).toMatchObject({
        parallelism: null,
      })
      expect(yield* client.groups()).toMatchObject({ groups: [{ name: "g" }] })
      expect(yield* client.deleteGroup({ path: { name: "g" } })).toMatchObject({ name: "g" })
      expect(yield* client.gc({ payload: { older_than_ms: 0, dry_run: true } })).toMatchObject({
        removed: [id],
      })
      expect(yield* client.delete({ path })).toMatchObject({ job_id: id })
      yield* events.append("job.exited", id, { code: 1 })
      expect(yield* client.events({ urlParams: { type: ["job"] } })).toMatchObject({ events: [{ seq: 1 }] })
      expect(yield* client.metrics()).toBe("holdfast_up 1\n")
      expect(yield* client.openapi()).toHaveProperty("openapi", "3.1.0")
      expect(yield* client.docs()).toMatch(/^<!DOCTYPE/)
    }),
  )

  it.scopedLive("understands every answer about units", () =>
    Effect.gen(function* () {
      const units = yield* fakeUnits()
      const at = Date.UTC(2030, 0, 31)
      units.set("web", {
        pid: 77,
        ownership: "launched",
        startedAt: at,
        end: { code: 3 },
        failure: { kind: "Crashed", message: "It ended.", output: ["boom"], at },
        outputs: { version: "1" },
      })
      units.set("db", { kind: "external", state: "backoff", restartAt: at })
      units.diff = { ...units.diff, added: ["new"], changed: [{ name: "web", fields: ["command"] }] }
      units.graph = {
        nodes: [{ name: "web", kind: "service", state: "ready" }],
        edges: [{ from: "web", to: "db", kind: "bindsTo" }],
        groups: [],
      }
      const { address, token } = yield* serve({
        supervisor: units.service,
        plan: { file: "/srv/holdfast.yaml", plan: Plan.make({ units: {} }).pipe(Effect.orDie) },
        shutdown: () => Effect.void,
      })
      const client = yield* clientOf(Client.layer({ address, token }))
      const path = { name: "web" }
      expect(
        yield* client.units({ urlParams: { state: ["ready", "backoff"], kind: ["external"] } }),
      ).toMatchObject({ type: "units", units: [{ name: "db", restart_at: "2030-01-31T00:00:00.000Z" }] })
      expect(yield* client.unit({ path })).toMatchObject({
        type: "unit",
        end: { exit_code: 3 },
        failure: { kind: "Crashed", output: ["boom"] },
      })
      expect(yield* client.startUnit({ path, urlParams: { until_ms: 1_000 } })).toMatchObject({
        action: "start",
        reason: "done",
      })
      expect(yield* client.stopUnit({ path, urlParams: { grace_ms: 5 } })).toMatchObject({ action: "stop" })
      expect(yield* client.restartUnit({ path, urlParams: {} })).toMatchObject({ action: "restart" })
      expect(
        yield* client.actOnUnits({ payload: { action: "stop", names: ["web", "db"], until_ms: 500 } }),
      ).toMatchObject({ units: [{ name: "web" }, { name: "db" }] })
      expect(yield* client.killUnit({ path, urlParams: { signal: "HUP" } })).toMatchObject({ signal: "HUP" })
      expect(yield* client.whyUnit({ path })).toMatchObject({ type: "unit-why", is_up: true })
      expect(yield* client.graph()).toMatchObject({ edges: [{ kind: "bindsTo" }] })
      units.print("web", "a\nb\n")
      expect(yield* client.unitLogs({ path, urlParams: { lines: 1 } })).toMatchObject({
        lines: [{ seq: 2, text: "b", stream: "stdout" }],
        next: 2,
      })
      expect(yield* client.unitLogs({ path, urlParams: { after: 99 } })).toMatchObject({
        missed: { count: 0, next: 0 },
      })
      expect(yield* client.reload({ urlParams: { dry_run: true } })).toMatchObject({
        dry_run: true,
        added: ["new"],
        changed: [{ name: "web", fields: ["command"] }],
      })
      expect(yield* client.reload({ urlParams: {} })).toMatchObject({ started: [{ name: "new" }, path] })
      expect(yield* client.shutdown({ urlParams: { grace_ms: 1 } })).toMatchObject({ pid: process.pid })
      expect(units.calls).toEqual([
        "start web",
        "stop web 5",
        "restart web",
        "stop web db",
        "kill web SIGHUP",
        "reload new web",
      ])
      expect(yield* Effect.flip(client.unit({ path: { name: "wep" } }))).toMatchObject({
        _tag: "ApiError",
        code: "unit_not_found",
        status: 404,
      })
      const reason = "It ended with exit code 1."
      units.refusals = {
        start: new UnitNotStarted({ name: "web", state: "failed", kind: "EarlyExit", reason, output: [] }),
        stop: new UnitNotStopped({ name: "web", reason }),
      }
      expect(yield* Effect.flip(client.startUnit({ path, urlParams: {} }))).toMatchObject({
        code: "unit_not_started",
        status: 409,
        retryable: false,
      })
      expect(yield* Effect.flip(client.stopUnit({ path, urlParams: {} }))).toMatchObject({
        code: "unit_not_stopped",
        status: 500,
      })
      const wrong = yield* Effect.flip(client.unit({ path: { name: "../web" } }))
      expect(wrong).toMatchObject({ code: "invalid_request" })
      expect(wrong.message).toMatch(/^name: expected a unit's name/)
    }),
  )

  it.scopedLive("follows a unit through a restart of the daemon, from before its first line", () =>
    Effect.gen(function* () {
      const root = yield* temporary
      const bind = `unix:${join(root, "api.sock")}`
      const announce = (address: string) =>
        Effect.sync(() =>
          fs.writeFileSync(ownerFile(root), JSON.stringify({ pid: process.pid, address, since: 1 })),
        )
      const units = yield* fakeUnits(2)
      units.set("web")
      units.print("web", "old\n")
      const serving = (scope: Scope.Scope) =>
        Effect.tap(Scope.extend(serve({ bind, supervisor: units.service }, root), scope), ({ address }) =>
          announce(address),
        )
      const client = yield* clientOf(Client.layerRoot(root))
      const seen: Array<string> = []
      const until = (count: number) =>
        Effect.repeat(Effect.sleep("2 millis"), { until: () => seen.length >= count })

      const first = yield* Scope.make()
      const begun = yield* Scope.extend(serving(first), first)
      // Nothing that it has to say is an event; that it has been said is seen by the answer to a later request.
      const following = yield* client.followUnit("web").pipe(
        Stream.runForEach((event) =>
          Effect.sync(() => seen.push(event._tag === "Line" ? event.text : `missed ${event.count}`)),
        ),
        Effect.flip,
        Effect.fork,
      )
      yield* units.followed
      yield* begun.ask("/health")
      yield* Scope.close(first, Exit.void)
      units.print("web", "one\n")

      const second = yield* Scope.make()
      yield* serving(second)
      yield* until(1)
      units.print("web", "two\n")
      yield* until(2)
      yield* Scope.close(second, Exit.void)
      // More than is kept, now that nobody follows.
      for (let line = 3; line <= 9; line++) units.print("web", `${line}\n`, line % 2 ? "stdout" : "stderr")

      const third = yield* Scope.make()
      yield* serving(third)
      yield* until(5)
      expect(seen).toEqual(["one", "two", "missed 5", "8", "9"])
      yield* Scope.close(third, Exit.void)

      units.remove("web")
      yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void)).pipe(
        Effect.andThen(serving),
      )
      expect(yield* Fiber.join(following)).toMatchObject({ code: "unit_not_found", status: 404 })
      expect(yield* Effect.flip(Stream.runDrain(client.followUnit("../web")))).toMatchObject({
        code: "invalid_request",
      })
    }),
  )

  it.scopedLive("fails with what the server said, or why there is nobody to ask", () =>
    Effect.gen(function* () {
      const { address, token } = yield* serve()
      const client = yield* clientOf(Client.layer({ address, token }))
      const path = { id: "01HZX3V9Q4R8N7C2M5K6J1T0WB" }
      expect(yield* Effect.flip(client.status({ path }))).toMatchObject({
        _tag: "ApiError",
        code: "job_not_found",
        status: 404,
        retryable: false,
      })
      const wrong = yield* Effect.flip(client.status({ path: { id: ".." } }))
      expect(wrong).toMatchObject({ _tag: "ApiError", code: "invalid_request" })
      expect(wrong.message).toMatch(/^id: expected a job's id/)
      expect(
        yield* Effect.flip(client.wait({ path, urlParams: { pattern: "x", silence_ms: 1 } })),
      ).toMatchObject({
        code: "invalid_request",
      })
      const stranger = yield* clientOf(Client.layer({ address, token: "wrong" }))
      expect(yield* Effect.flip(stranger.groups())).toMatchObject({ code: "unauthorized", status: 401 })
      const nobody = yield* clientOf(Client.layer({ address: "http://127.0.0.1:1" }))
      const gone = yield* Effect.flip(nobody.health())
      expect(gone).toMatchObject({ _tag: "Unreachable", code: "ECONNREFUSED" })
      expect(gone.message).toBe("The daemon at http://127.0.0.1:1 cannot be reached: nobody listens there.")
      const root = yield* temporary
      const rooted = yield* clientOf(Client.layerRoot(root))
      expect(yield* Effect.flip(rooted.health())).toMatchObject({ _tag: "NoDaemon", root })
      expect(yield* Effect.flip(Stream.runDrain(client.follow(path.id)))).toMatchObject({
        code: "job_not_found",
      })
      expect(yield* Effect.flip(Stream.runDrain(client.follow("..")))).toMatchObject({
        code: "invalid_request",
      })
      const impatient = Stream.runDrain(nobody.follow(path.id, { reconnect: Schedule.recurs(2) }))
      expect(yield* Effect.flip(impatient)).toMatchObject({ _tag: "Unreachable" })
    }),
  )

  it.scopedLive(
    "finds the daemon of a root, behind a Unix socket too, and follows it through a restart",
    () =>
      Effect.gen(function* () {
        const root = yield* temporary
        const bind = `unix:${join(root, "api.sock")}`
        const announce = (address: string) =>
          Effect.sync(() =>
            fs.writeFileSync(ownerFile(root), JSON.stringify({ pid: process.pid, address, since: 1 })),
          )
        const first = yield* Scope.make()
        const before = yield* Scope.extend(serve({ bind }, root), first)
        yield* announce(before.address)
        const client = yield* clientOf(Client.layerRoot(root))
        const id = yield* before.run()
        yield* before.fake.print(id, "stdout", "one\n")
        const seen: Array<string> = []
        const one = yield* Deferred.make<void>()
        const following = yield* client.follow(id.slice(0, 24).toLowerCase()).pipe(
          Stream.tap((event) => {
            seen.push(event._tag === "Output" ? event.text : `${event._tag} ${event.status.state}`)
            return Deferred.succeed(one, undefined)
          }),
          Stream.runCollect,
          Effect.fork,
        )
        yield* Deferred.await(one)
        yield* Scope.close(first, Exit.void)

        // Another program, another address; what is known of jobs is the same.
        const after = yield* serve({}, root, before.fake)
        yield* announce(after.address)
        yield* after.fake.print(id, "stdout", "two\n")
        yield* after.fake.exit(id, 0)
        const events = Chunk.toReadonlyArray(yield* Fiber.join(following))
        const output = events.flatMap((event) => (event._tag === "Output" ? [event.text] : []))
        expect(output.join("")).toBe("one\ntwo\n")
        expect(events.at(-1)).toMatchObject({ _tag: "Ended", status: { state: "exited", exit_code: 0 } })
        expect(seen[0]).toBe("one\n")
      }),
  )
})

describe("server-sent events", () => {
  it("say where to go on, with or without an event, and not in the middle of one", () => {
    const reader = new EventStreamReader()
    const push = (text: string) => [reader.push(Buffer.from(text)).length, reader.id]
    expect(push("retry: 5\n\n")).toEqual([0, undefined])
    expect(push("id: 3\n")).toEqual([0, undefined])
    expect(push("\n")).toEqual([0, "3"])
    expect(push("event: line\nid: 4\ndata: {}\n")).toEqual([0, "3"])
    expect(push("\n:\n\n")).toEqual([1, "4"])
  })

  it("are read whatever pieces they come in", () => {
    const text =
      'retry: 5\n\n:\n\nevent: a\nid: 1\ndata: {"x":\ndata: "→"}\n\nid: 2\r\ndata:y\r\n\r\ndata: cut'
    const whole = [
      { event: "a", id: "1", data: '{"x":\n"→"}' },
      { event: "message", id: "2", data: "y" },
    ]
    const bytes = Buffer.from(text)
    for (const size of [1, 2, 3, 7, bytes.length]) {
      const reader = new EventStreamReader()
      const found = []
      for (let at = 0; at < bytes.length; at += size)
        found.push(...reader.push(bytes.subarray(at, at + size)))
      expect(found).toEqual(whole)
      expect(reader.id).toBe("2")
    }
  })
})
