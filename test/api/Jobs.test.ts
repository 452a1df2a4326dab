import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { serve } from "./support.js"

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
const head = { schema_version: "1", ok: true }

describe("the endpoints about jobs", () => {
  it.scopedLive("exec answers as soon as the job is accepted", () =>
    Effect.gen(function* () {
      const { ask, root } = yield* serve()
      const { body, headers, status } = yield* ask("/exec", {
        body: { command: ["echo", "hello"], tags: ["a"], env: { X: "1" }, timeout_ms: 5_000 },
      })
      expect(status).toBe(200)
      expect(headers["content-type"]).toBe("application/json")
      expect(body).toEqual({
        ...head,
        type: "run",
        job_id: expect.stringMatching(/^[0-9A-Z]{26}$/),
        state: "running",
        tags: ["a"],
        stdout_log_path: join(root, "jobs", body.job_id, "1/stdout.log"),
        stderr_log_path: join(root, "jobs", body.job_id, "1/stderr.log"),
        elapsed_ms: expect.any(Number),
        waited_ms: 0,
        is_new: true,
      })
      const job = yield* ask(`/jobs/${body.job_id}`)
      expect(job.body).toMatchObject({
        ...head,
        type: "job",
        command: ["echo", "hello"],
        cwd: "/srv",
        env: { X: "1" },
        timeout_ms: 5_000,
        kill_after_ms: 10_000,
        pid: 4_711,
        attempts: [{ number: 1, state: "running", pid: 4_711, stdout_log_path: body.stdout_log_path }],
      })
    }),
  )

  it.scopedLive("exec with wait answers after the end, with the last of the output", () =>
    Effect.gen(function* () {
      const { ask, fake } = yield* serve()
      const asked = yield* Effect.fork(
        ask("/exec", { body: { command: ["true"], wait: true, idempotency_key: "k" } }),
      )
      yield* fake.watched
      const { body: again } = yield* ask("/exec", { body: { command: ["true"], idempotency_key: "k" } })
      expect(again.is_new).toBe(false)
      yield* fake.print(again.job_id, "stdout", "hello\n")
      yield* fake.exit(again.job_id, 137)
      const { body } = yield* Fiber.join(asked)
      expect(body).toMatchObject({
        job_id: again.job_id,
        state: "exited",
        exit_code: 137,
        cause: "exit",
        finished_at: time,
        final_snapshot: {
          stdout_tail: "hello\n",
          stderr_tail: "",
          truncated: false,
          encoding: "utf-8-lossy",
          stdout_observed_bytes: 6,
          stdout_included_bytes: 6,
        },
      })
      expect(body.signal).toBeUndefined()
    }),
  )

  it.scopedLive("exec answers at a deadline, with a snapshot, or leaves the job to be started", () =>
    Effect.gen(function* () {
      const { ask, fake } = yield* serve()
      const { body: late } = yield* ask("/exec", { body: { command: ["true"], wait: true, until_ms: 20 } })
      expect(late).toMatchObject({ state: "running" })
      expect(late.waited_ms).toBeGreaterThanOrEqual(19)
      expect(late.final_snapshot).toBeUndefined()

      const { body: snapped } = yield* ask("/exec", { body: { command: ["true"], snapshot_after_ms: 5 } })
      expect(snapped).toMatchObject({ state: "running", snapshot: { stdout_tail: "", attempt: 1 } })

      const { body: created } = yield* ask("/exec", { body: { command: ["true"], start: false } })
      expect(created).toMatchObject({ state: "created" })
      expect(yield* ask(`/kill/${created.job_id}`, { method: "POST" })).toMatchObject({
        status: 400,
        body: { error: { code: "invalid_state", retryable: false } },
      })
      const { body: started } = yield* ask(`/start/${created.job_id}`, { method: "POST" })
      expect(started).toEqual({ ...head, type: "start", job_id: created.job_id, state: "queued" })
      const { body: why } = yield* ask(`/why/${created.job_id}`)
      expect(why).toMatchObject({ type: "why", reasons: [{ kind: "group-paused" }] })
      yield* fake.launch(created.job_id)
      expect((yield* ask(`/status/${created.job_id}`)).body).toEqual({
        ...head,
        type: "status",
        job_id: created.job_id,
        state: "running",
        created_at: time,
        started_at: time,
      })
    }),
  )

  it.scopedLive("tail, wait and kill answer as the contract says", () =>
    Effect.gen(function* () {
      const { ask, fake, run } = yield* serve()
      const id = yield* run()
      yield* fake.print(id, "stdout", "one\ntwo\n")
      expect((yield* ask(`/tail/${id.slice(0, 20).toLowerCase()}?lines=1`)).body).toMatchObject({
        ...head,
        type: "tail",
        job_id: id,
        stdout_tail: "two\n",
        truncated: true,
        stdout_observed_bytes: 8,
        stdout_included_bytes: 4,
        stdout_next_offset: 8,
      })
      expect((yield* ask(`/wait/${id}?until_ms=1`)).body).toEqual({
        ...head,
        type: "wait",
        job_id: id,
        state: "running",
        reason: "deadline",
      })
      expect((yield* ask(`/wait/${id}?pattern=t.o`)).body).toMatchObject({
        reason: "pattern",
        match: { line: "two", stream: "stdout" },
      })
      expect((yield* ask(`/kill/${id}`, { method: "POST" })).body).toEqual({
        ...head,
        type: "kill",
        job_id: id,
        state: "killed",
        signal: "TERM",
        sent: ["TERM"],
        escalated: false,
        escapees: [],
        elapsed_ms: 1,
        survivors: [],
      })
      expect((yield* ask(`/kill/${id}?signal=sighup`, { body: { signal: "int" } })).body).toMatchObject({
        signal: "INT",
        sent: [],
      })
      expect((yield* ask(`/wait/${id}`)).body).toMatchObject({
        state: "killed",
        signal: "SIGTERM",
        reason: "ended",
      })
      expect((yield* ask(`/delete/${id}`)).status).toBe(404)
      expect((yield* ask(`/restart/${id}`, { method: "POST" })).body).toMatchObject({ restart_of: id })
      expect((yield* ask(`/jobs/${id}`, { method: "DELETE" })).body).toMatchObject({
        type: "delete",
        job_id: id,
      })
      expect((yield* ask(`/status/${id}`)).body.error.code).toBe("job_not_found")
    }),
  )

  it.scopedLive("log never cuts a character in two, and gives bytes as they are", () =>
    Effect.gen(function* () {
      const { ask, fake, run } = yield* serve()
      const id = yield* run()
      yield* fake.print(id, "stderr", Buffer.concat([Buffer.from("aб→"), Buffer.from([0xff, 0xd0])]))
      const read = (query: string) => ask(`/log/${id}?stream=stderr&${query}`)
      expect((yield* read("max_bytes=2")).body).toEqual({
        ...head,
        type: "log",
        job_id: id,
        stream: "stderr",
        attempt: 1,
        offset: 0,
        next_offset: 1,
        eof: false,
        ended: false,
        encoding: "utf-8",
        text: "a",
      })
      expect((yield* read("offset=1&max_bytes=2")).body).toMatchObject({ text: "б", next_offset: 3 })
      for (const few of [1, 2, 3])
        expect((yield* read(`offset=3&max_bytes=${few}`)).body).toMatchObject({
          text: "→",
          next_offset: 6,
          eof: false,
        })
      expect((yield* read("offset=7&max_bytes=1")).body).toMatchObject({
        text: "",
        next_offset: 7,
        eof: true,
      })
      expect((yield* read("offset=3")).body).toMatchObject({ text: "→\ufffd", next_offset: 7, eof: true })
      expect((yield* read("encoding=base64&offset=6")).body).toMatchObject({ base64: "/9A=", next_offset: 8 })
      yield* fake.exit(id, 0)
      expect((yield* read("offset=3")).body).toMatchObject({
        text: "→\ufffd\ufffd",
        next_offset: 8,
        ended: true,
      })
      expect((yield* read("offset=6&max_bytes=1")).body).toMatchObject({
        text: "\ufffd",
        next_offset: 7,
        eof: false,
      })
      expect((yield* read("offset=7&max_bytes=1")).body).toMatchObject({
        text: "\ufffd",
        next_offset: 8,
        eof: true,
      })
      expect(yield* read("offset=9")).toMatchObject({
        status: 400,
        body: { error: { code: "invalid_request" } },
      })
    }),
  )

  it.scopedLive("lists by state, tag and page; collects; sets groups; writes to stdin", () =>
    Effect.gen(function* () {
      const { ask, fake, run } = yield* serve()
      const first = yield* run({ tags: ["x", "y"] })
      const second = yield* run({ tags: ["x"], stdin: "null" })
      yield* fake.exit(second, 1)
      const ids = (query: string) =>
        Effect.map(ask(`/jobs${query}`), ({ body }) => body.jobs.map((job: { job_id: string }) => job.job_id))
      expect(yield* ids("")).toEqual([second, first])
      expect(yield* ids("?state=running,queued")).toEqual([first])
      expect(yield* ids("?state=running&state=exited&tag=x")).toEqual([second, first])
      expect(yield* ids("?tag=x,y")).toEqual([first])
      const { body: page } = yield* ask("/jobs?limit=1")
      expect(page).toMatchObject({ type: "list", next: second })
      expect(yield* ids(`?before=${page.next}`)).toEqual([first])

      expect((yield* ask(`/stdin/${first}`, { body: { text: "hé" } })).body).toMatchObject({
        bytes: 3,
        end: false,
      })
      expect((yield* ask(`/stdin/${first}`, { body: { base64: "IQ==", end: true } })).body.end).toBe(true)
      expect(fake.input(first)).toBe("hé!")
      expect((yield* ask("/gc", { body: { keep: 0, dry_run: true } })).body).toEqual({
        ...head,
        type: "gc",
        removed: [second],
        bytes: 12,
        dry_run: true,
      })
      const put = yield* ask("/groups/build", { method: "PUT", body: { parallelism: 2 } })
      expect(put.body).toEqual({ ...head, type: "group", name: "build", parallelism: 2, paused: false })
      expect((yield* ask("/groups")).body.groups).toEqual([{ name: "build", parallelism: 2, paused: false }])
      expect((yield* ask("/groups/build", { method: "DELETE" })).body.name).toBe("build")
      expect((yield* ask("/groups")).body.groups).toEqual([])
    }),
  )

  it.scopedLive("shows no masked value", () =>
    Effect.gen(function* () {
      const { ask, run } = yield* serve()
      const secret = "s3cret-value"
      const id = yield* run({ command: ["login", secret], env: { TOKEN: secret }, mask: ["TOKEN"] })
      const { text } = yield* ask(`/jobs/${id}`)
      expect(text).not.toContain(secret)
      const wrong = { command: ["login", secret], env: { TOKEN: secret }, mask: ["TOKEN"], tags: [secret] }
      const refused = yield* ask("/exec", { body: wrong })
      expect(refused.status).toBe(400)
      expect(refused.text).not.toContain(secret)
    }),
  )
})
