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
import { serve, temporary } from "./support.js"

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
    }
  })
})
