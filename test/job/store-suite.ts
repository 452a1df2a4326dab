/** What every store of jobs has to do, in memory or on disk. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { JobEvent } from "../../src/job/JobEvent.js"
import type * as JobSpec from "../../src/job/JobSpec.js"
import type { JobRecord } from "../../src/job/JobRecord.js"
import { JobStore } from "../../src/job/JobStore.js"
import * as Support from "./support.js"

const insert = (input: Partial<JobSpec.Input> = {}, queued = true) =>
  Effect.gen(function* () {
    const store = yield* JobStore
    return (yield* store.insert(yield* Support.spec(input), { queued })).record
  })

/** Runs a job to its end at that time, with so many bytes of log. */
const finish = (at: number, bytes: number, input: Partial<JobSpec.Input> = {}) =>
  Effect.gen(function* () {
    const store = yield* JobStore
    const { id } = yield* insert(input)
    yield* store.transition(id, Support.launch(at))
    yield* store.transition(id, Support.started(at))
    return yield* store.transition(id, JobEvent.Exited({ at, code: 0, stdoutBytes: bytes, stderrBytes: 0 }))
  })

const idsOf = (jobs: ReadonlyArray<{ readonly id: string }>) => jobs.map(({ id }) => id)

/** The tests, against a fresh store each. */
export const suite = <E>(layer: (maxJobs?: number) => Layer.Layer<JobStore, E>) => {
  const test = (what: string, body: Effect.Effect<void, unknown, JobStore>) =>
    it.live(what, () => Effect.provide(body, layer()))

  test(
    "keeps a job and gives it back",
    Effect.gen(function* () {
      const store = yield* JobStore
      const record = yield* insert({ command: ["echo", "hello"], tags: ["a"] })
      assert.deepStrictEqual(yield* store.get(record.id), record)
      assert.deepInclude(record.state, { _tag: "queued", since: record.createdAt })
      assert.strictEqual((yield* insert({}, false)).state._tag, "created")
      const missing = "01HZX3V9Q4R8N7C2M5K6J1T0WB" as typeof record.id
      assert.strictEqual((yield* Effect.flip(store.get(missing)))._tag, "JobNotFound")
      assert.strictEqual((yield* Effect.flip(store.spec(missing)))._tag, "JobNotFound")
      const again = yield* store.insert(yield* Support.spec(), { restartOf: record.id })
      assert.strictEqual((yield* store.get(again.record.id)).restartOf, record.id)
    }),
  )

  test(
    "gives the same job for the same key, also when asked at the same time",
    Effect.gen(function* () {
      const store = yield* JobStore
      const spec = yield* Support.spec({ idempotencyKey: "once" })
      const all = yield* Effect.forEach(Array.from({ length: 20 }), () => store.insert(spec), {
        concurrency: "unbounded",
      })
      assert.strictEqual(new Set(all.map(({ record }) => record.id)).size, 1)
      assert.strictEqual(all.filter(({ isNew }) => isNew).length, 1)
      assert.strictEqual((yield* store.counts).queued, 1)
    }),
  )

  test(
    "finds a job by any beginning that is its own",
    Effect.gen(function* () {
      const store = yield* JobStore
      const [first, second] = yield* Effect.all([insert(), insert()])
      assert.strictEqual((yield* store.find(first.id.toLowerCase())).id, first.id)
      let own = 1
      while (first.id.slice(0, own) === second.id.slice(0, own)) own++
      assert.strictEqual((yield* store.find(second.id.slice(0, own))).id, second.id)
      const ambiguous = yield* Effect.flip(store.find(first.id.slice(0, own - 1)))
      assert.strictEqual(ambiguous._tag, "AmbiguousJobId")
      if (ambiguous._tag === "AmbiguousJobId")
        assert.deepStrictEqual(ambiguous.candidates, [second.id, first.id])
      for (let count = 0; count < 12; count++) yield* insert()
      const many = yield* Effect.flip(store.find("0"))
      assert.isTrue(many._tag === "AmbiguousJobId" && many.more && many.candidates.length === 10)
      assert.strictEqual((yield* Effect.flip(store.find("7ZZZ")))._tag, "JobNotFound")
      for (const bad of ["", "..", "%2e", "' OR 1=1", "_", "%", "A".repeat(10_000)])
        assert.strictEqual((yield* Effect.flip(store.find(bad)))._tag, "InvalidJobId")
    }),
  )

  test(
    "knows by its whole id whom a job waits for",
    Effect.gen(function* () {
      const store = yield* JobStore
      const first = yield* insert()
      const { spec } = yield* insert({ after: [{ job: first.id.slice(0, 25).toLowerCase() }] })
      assert.deepStrictEqual(spec.after as unknown, [{ job: first.id, when: "success" }])
      const unknown = yield* Support.spec({ after: [{ job: "7ZZZ" }] })
      assert.strictEqual((yield* Effect.flip(store.insert(unknown)))._tag, "JobNotFound")
      assert.strictEqual((yield* store.counts).queued, 2)
    }),
  )

  test(
    "changes a job only as it may change, one change after the other",
    Effect.gen(function* () {
      const store = yield* JobStore
      const { id } = yield* insert()
      const launched = yield* store.transition(id, Support.launch(5), { ifRevision: 0 })
      assert.deepStrictEqual([launched.revision, launched.state._tag], [1, "running"])
      const late = yield* Effect.flip(store.transition(id, Support.started(6), { ifRevision: 0 }))
      assert.deepInclude(late, { _tag: "RevisionMismatch", expected: 0, actual: 1 })
      const wrong = yield* Effect.flip(store.transition(id, JobEvent.Queue({ at: 1 })))
      assert.strictEqual(wrong._tag, "InvalidTransition")
      assert.deepStrictEqual(yield* store.get(id), launched)
      // Each sees what the one before has left.
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, index) => index),
        () =>
          store.update(id, (record) =>
            Either.right({
              ...record,
              state: { ...record.state, since: record.revision } as typeof record.state,
            }),
          ),
        { concurrency: "unbounded" },
      )
      const after = yield* store.get(id)
      assert.deepStrictEqual([after.revision, after.state], [51, { _tag: "running", since: 50 }])
      // What was asked for stays, and no change is no change.
      const spec = yield* Support.spec({ command: ["other"] })
      yield* store.update(id, (record) => Either.right({ ...record, spec }))
      assert.deepStrictEqual((yield* store.get(id)).spec, after.spec)
      assert.strictEqual((yield* store.update(id, (record) => Either.right(record))).revision, 52)
      assert.strictEqual(yield* Effect.flip(store.update(id, () => Either.left("mine"))), "mine")
      const defect = yield* Effect.exit(
        store.update(id, () => {
          throw new Error("a bug")
        }),
      )
      assert.strictEqual(defect._tag, "Failure")
      assert.strictEqual((yield* store.get(id)).revision, 52)
    }),
  )

  test(
    "lists the newest first, in pages, by what is asked for",
    Effect.gen(function* () {
      const store = yield* JobStore
      const jobs: Array<JobRecord> = []
      for (let index = 0; index < 20; index++) {
        const record = yield* insert(
          {
            command: ["echo", `N${index}`, index % 2 === 0 ? "even" : "odd"],
            cwd: index % 4 === 0 ? "/four" : "/srv",
            tags: [`t${index % 3}`, ...(index % 5 === 0 ? ["five"] : [])],
            ...(index % 6 === 0 ? { group: "six" } : {}),
          },
          index % 2 === 0,
        )
        jobs.push(record)
      }
      const newest = idsOf(jobs).reverse()
      const list = (query: Parameters<typeof store.list>[0]) =>
        Effect.map(store.list(query), (page) => idsOf(page.jobs))
      const where = (condition: (index: number) => boolean) =>
        idsOf(jobs.filter((_, index) => condition(index))).reverse()

      let before: (typeof jobs)[number]["id"] | undefined
      const paged: Array<string> = []
      do {
        const page = yield* store.list({ limit: 7, before })
        paged.push(...idsOf(page.jobs))
        before = page.next
      } while (before !== undefined)
      assert.deepStrictEqual(paged, newest)
      assert.strictEqual((yield* store.list({ limit: 20 })).next, undefined)

      assert.deepStrictEqual(
        yield* list({ states: ["created"] }),
        where((n) => n % 2 === 1),
      )
      assert.deepStrictEqual(
        yield* list({ states: ["created", "queued", "created"], limit: 3 }),
        newest.slice(0, 3),
      )
      assert.deepStrictEqual(yield* list({ states: ["lost"] }), [])
      assert.deepStrictEqual(
        yield* list({ tags: ["t1"] }),
        where((n) => n % 3 === 1),
      )
      assert.deepStrictEqual(
        yield* list({ tags: ["five", "t1"] }),
        where((n) => n % 5 === 0 && n % 3 === 1),
      )
      assert.deepStrictEqual(yield* list({ tags: [] }), newest)
      assert.deepStrictEqual(
        yield* list({ cwd: "/four" }),
        where((n) => n % 4 === 0),
      )
      assert.deepStrictEqual(
        yield* list({ group: "six" }),
        where((n) => n % 6 === 0),
      )
      assert.deepStrictEqual(
        yield* list({ cwd: "/srv", group: "six", states: ["queued"], tags: ["t0"] }),
        where((n) => n % 6 === 0 && n % 4 !== 0),
      )
      assert.deepStrictEqual(
        yield* list({ text: "n1 O" }),
        where((n) => n === 1),
      )
      assert.deepStrictEqual(yield* list({ text: "%" }), [])
      assert.deepStrictEqual(yield* list({ cwd: "'; DROP TABLE jobs; --" }), [])
      const middle = jobs[10]!.createdAt
      assert.deepStrictEqual(
        yield* list({ since: middle }),
        idsOf(jobs.filter(({ createdAt }) => createdAt >= middle)).reverse(),
      )
      assert.deepStrictEqual(
        yield* list({ until: middle, states: ["queued"] }),
        idsOf(jobs.filter(({ createdAt, state }) => createdAt < middle && state._tag === "queued")).reverse(),
      )
    }),
  )

  test(
    "counts, and names everything that has not ended, the oldest first",
    Effect.gen(function* () {
      const store = yield* JobStore
      yield* finish(1, 0)
      const created = yield* insert({}, false)
      const queued = yield* insert()
      const { id } = yield* insert()
      yield* store.transition(id, Support.launch(1))
      yield* finish(2, 0)
      assert.deepStrictEqual(yield* store.counts, {
        created: 1,
        queued: 1,
        running: 1,
        exited: 2,
        killed: 0,
        failed: 0,
        lost: 0,
      })
      const unended = [...(yield* Stream.runCollect(store.unended))]
      assert.deepStrictEqual(idsOf(unended), [created.id, queued.id, id])
      yield* Effect.forEach(Array.from({ length: 450 }), () => insert(), { concurrency: "unbounded" })
      const many = idsOf([...(yield* Stream.runCollect(store.unended))])
      assert.strictEqual(new Set(many).size, 453)
      assert.deepStrictEqual([...many].sort(), many)
    }),
  )

  test(
    "deletes what is over or never began, and nothing else",
    Effect.gen(function* () {
      const store = yield* JobStore
      const ended = yield* finish(1, 0, { tags: ["x"], idempotencyKey: "k" })
      const queued = yield* insert()
      const created = yield* insert({}, false)
      assert.deepStrictEqual(yield* store.remove(ended.id), ended)
      assert.strictEqual((yield* Effect.flip(store.get(ended.id)))._tag, "JobNotFound")
      assert.strictEqual((yield* Effect.flip(store.remove(ended.id)))._tag, "JobNotFound")
      assert.deepStrictEqual(yield* store.list({ tags: ["x"] }), { jobs: [], next: undefined })
      assert.deepInclude(yield* Effect.flip(store.remove(queued.id)), {
        _tag: "JobNotEnded",
        state: "queued",
      })
      yield* store.remove(created.id)
      assert.isTrue((yield* store.insert(yield* Support.spec({ idempotencyKey: "k" }))).isNew)
    }),
  )

  test(
    "names what a policy does not keep, the first that ended first",
    Effect.gen(function* () {
      const store = yield* JobStore
      const ended = []
      for (let at = 1; at <= 6; at++) ended.push((yield* finish(at * 10, 100)).id)
      const garbage = (policy: Parameters<typeof store.garbage>[0]) =>
        Effect.map(store.garbage(policy), idsOf)
      assert.deepStrictEqual(yield* garbage({}), [])
      assert.deepStrictEqual(yield* garbage({ endedSince: 30 }), ended.slice(0, 2))
      assert.deepStrictEqual(yield* garbage({ count: 2 }), ended.slice(0, 4))
      assert.deepStrictEqual(yield* garbage({ bytes: 350 }), ended.slice(0, 3))
      assert.deepStrictEqual(yield* garbage({ bytes: 350, count: 5, endedSince: 15 }), ended.slice(0, 3))
      assert.deepStrictEqual(yield* garbage({ count: 0, limit: 2 }), ended.slice(0, 2))
      assert.deepInclude((yield* store.garbage({ count: 5 }))[0], { id: ended[0]!, endedAt: 10, bytes: 100 })
      // One that others wait for stays until they are over.
      const { id } = yield* insert({ after: [{ job: ended[0]! }] })
      assert.deepStrictEqual(yield* garbage({ endedSince: 30 }), [ended[1]!])
      yield* store.transition(id, JobEvent.Cancel({ at: 99, signal: "SIGTERM" }))
      assert.deepStrictEqual(yield* garbage({ endedSince: 30 }), ended.slice(0, 2))
    }),
  )

  test(
    "keeps the settings of groups",
    Effect.gen(function* () {
      const store = yield* JobStore
      yield* store.setGroup({ name: "b", parallelism: 2, paused: false })
      yield* store.setGroup({ name: "a", parallelism: undefined, paused: true })
      yield* store.setGroup({ name: "b", parallelism: 3, paused: true })
      assert.deepStrictEqual(yield* store.groups, [
        { name: "a", parallelism: undefined, paused: true },
        { name: "b", parallelism: 3, paused: true },
      ])
      yield* store.removeGroup("a")
      assert.deepStrictEqual(idsOf((yield* store.groups).map(({ name }) => ({ id: name }))), ["b"])
    }),
  )

  test(
    "keeps secrets until the last start is known, and shows them to nobody else",
    Effect.gen(function* () {
      const store = yield* JobStore
      const secret = "hunter2-hunter2"
      const input = {
        command: ["curl", `-H${secret}`] as const,
        env: { TOKEN: secret },
        mask: ["TOKEN"],
        stdin: { text: "dear diary" },
      }
      const spec = yield* Support.spec({ ...input, retries: 1 })
      const { record } = yield* store.insert(spec)
      const { id } = record
      const shown = () =>
        Effect.map(
          Effect.all([store.get(id), store.find(id), store.list(), Stream.runCollect(store.unended)]),
          (all) => JSON.stringify(all),
        )
      const expectHidden = Effect.map(shown(), (text) => {
        assert.notInclude(text, secret)
        assert.notInclude(text, "dear diary")
      })
      assert.deepStrictEqual(record.hidden, ["command", "env.TOKEN", "stdin"])
      yield* expectHidden
      const kept = Effect.map(store.spec(id), (found) => assert.deepStrictEqual(found, spec))
      yield* kept
      for (const event of [
        Support.launch(1),
        JobEvent.Withdraw({ at: 2, why: "the keeper was gone" }),
        Support.launch(3),
        Support.started(4),
        JobEvent.Exited({ at: 5, code: 1 }),
        Support.launch(6),
      ]) {
        yield* store.transition(id, event)
        yield* kept
        yield* expectHidden
      }
      yield* store.transition(id, Support.started(7))
      const gone = yield* Effect.flip(store.spec(id))
      assert.deepInclude(gone, { _tag: "SecretsErased", fields: ["command", "env.TOKEN", "stdin"] })
      yield* expectHidden
      const plain = yield* finish(1, 0)
      assert.deepStrictEqual(yield* store.spec(plain.id), plain.spec)
    }),
  )

  it.live("refuses new jobs when it is full, for the time being, and goes on with the others", () =>
    Effect.gen(function* () {
      const store = yield* JobStore
      const first = yield* insert({ env: { FILL: "x".repeat(10_000) } })
      let refused
      for (let count = 0; count < 500 && refused === undefined; count++) {
        const outcome = yield* Effect.either(insert({ env: { FILL: "x".repeat(10_000) } }))
        if (Either.isLeft(outcome)) refused = outcome.left
      }
      assert.deepInclude(refused, { _tag: "StoreFull", retryable: true })
      const { jobs } = yield* store.list({ limit: 1_000 })
      assert.include(idsOf(jobs), first.id)
      // Room for others.
      for (const { id } of jobs.slice(0, 3)) {
        yield* store.transition(id, JobEvent.Cancel({ at: 1, signal: "SIGTERM" }))
        yield* store.remove(id)
      }
      yield* insert()
    }).pipe(Effect.provide(layer(40))),
  )
}
