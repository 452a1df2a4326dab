/** The state machine: a walk through everything it can reach, and random walks over random specs. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { JobEvent } from "../../src/job/JobEvent.js"
import type * as JobId from "../../src/job/JobId.js"
import * as JobRecord from "../../src/job/JobRecord.js"
import type { JobSpec } from "../../src/job/JobSpec.js"
import * as Support from "./support.js"

const id = "01HZX3V9Q4R8N7C2M5K6J1T0WB" as JobId.JobId
const base = Effect.runSync(Support.spec())

const make = (change: Partial<JobSpec> = {}, queued = true) =>
  JobRecord.make({ id, spec: { ...base, ...change }, hidden: [], queued })

const run = (record: JobRecord.JobRecord, ...events: ReadonlyArray<JobEvent>) =>
  events.reduce((current, event) => Either.getOrThrow(JobRecord.transition(current, event)), record)

const eventsAt = (at: number): ReadonlyArray<JobEvent> => [
  JobEvent.Queue({ at }),
  Support.launch(at),
  JobEvent.Withdraw({ at, why: "the keeper was gone" }),
  Support.started(at),
  Support.started(at, 4712),
  JobEvent.Stopping({ at, cause: "timeout", signal: "SIGTERM" }),
  JobEvent.Stopping({ at, cause: "stopped", signal: "SIGTERM" }),
  JobEvent.Stopping({ at, cause: "log-limit", signal: "SIGKILL" }),
  JobEvent.Exited({ at, code: 0, stdoutBytes: 3, stderrBytes: 4 }),
  JobEvent.Exited({ at, code: 137 }),
  JobEvent.Signaled({ at, signal: "SIGKILL" }),
  JobEvent.SpawnFailed({ at, error: "CommandNotFound", reason: "no", permanent: true }),
  JobEvent.SpawnFailed({ at, error: "TooManyProcesses", reason: "no", permanent: false }),
  JobEvent.Lose({ at, why: "the machine was restarted", cause: "reboot" }),
  JobEvent.Cancel({ at, signal: "SIGTERM" }),
  JobEvent.Refuse({ at, error: "DependencyFailed", reason: "no", cause: "dependency" }),
]

/** What a step must keep, whatever it is. */
const checkStep = (before: JobRecord.JobRecord, after: JobRecord.JobRecord) => {
  assert.isFalse(JobRecord.hasEnded(before), "nothing comes after the end")
  assert.isAtLeast(after.attempts.length, before.attempts.length)
  assert.isAtMost(after.attempts.length, before.attempts.length + 1)
  for (const [index, attempt] of before.attempts.entries()) {
    if (attempt.end !== undefined) assert.strictEqual(after.attempts[index], attempt)
    if (attempt.process !== undefined) assert.strictEqual(after.attempts[index]!.process, attempt.process)
    if (attempt.stopping !== undefined) assert.strictEqual(after.attempts[index]!.stopping, attempt.stopping)
  }
  assert.deepStrictEqual(
    after.attempts.map(({ number }) => number),
    after.attempts.map((_, index) => index + 1),
  )
  const open = after.attempts.filter(({ end }) => end === undefined)
  assert.strictEqual(open.length, after.state._tag === "running" ? 1 : 0, "one open attempt while it runs")
  const tries = after.attempts.filter(({ end }) => end?._tag !== "withdrawn").length
  assert.isAtMost(tries, after.spec.retries + 1)
  assert.strictEqual(JobRecord.endedAt(after) !== undefined, JobRecord.hasEnded(after))
}

describe("the record of a job", () => {
  it("has a way to an end from wherever it can get, and none out of it", () => {
    for (const retries of [0, 1, 2]) {
      // Withdrawals can go on for ever: four attempts show all there is. What is to come depends on no more than this.
      const keyOf = (record: JobRecord.JobRecord) =>
        JSON.stringify([
          record.state,
          JobRecord.lastAttempt(record),
          JobRecord.triesLeft(record),
          record.attempts.length,
        ])
      const seen = new Map<string, JobRecord.JobRecord>()
      const successors = new Map<string, Array<string>>()
      const todo = [make({ retries }, false)]
      while (todo.length > 0) {
        const record = todo.pop()!
        const key = keyOf(record)
        if (seen.has(key)) continue
        seen.set(key, record)
        const next: Array<string> = []
        successors.set(key, next)
        for (const event of eventsAt(1)) {
          const outcome = JobRecord.transition(record, event)
          if (Either.isLeft(outcome)) {
            assert.strictEqual(outcome.left.state, record.state._tag)
            continue
          }
          if (outcome.right === record) continue
          checkStep(record, outcome.right)
          next.push(keyOf(outcome.right))
          if (outcome.right.attempts.length <= 4) todo.push(outcome.right)
          else next.push("beyond")
        }
      }
      const states = new Set([...seen.values()].map(({ state }) => state._tag))
      assert.sameMembers([...states], ["created", "queued", "running", "exited", "killed", "failed", "lost"])
      // Backwards from the ends.
      const predecessors = new Map<string, Array<string>>()
      for (const [key, next] of successors) {
        for (const other of next) predecessors.set(other, [...(predecessors.get(other) ?? []), key])
      }
      const ends = [...seen].filter(([, record]) => JobRecord.hasEnded(record)).map(([key]) => key)
      for (const key of ends) assert.deepStrictEqual(successors.get(key), [])
      const reaching = new Set<string>()
      const back = [...ends]
      while (back.length > 0) {
        const key = back.pop()!
        if (reaching.has(key)) continue
        reaching.add(key)
        back.push(...(predecessors.get(key) ?? []))
      }
      for (const key of seen.keys()) assert.isTrue(reaching.has(key), key)
    }
  })

  it("keeps its promises on random walks", () => {
    const indexes = FastCheck.array(FastCheck.nat(eventsAt(0).length - 1), { maxLength: 60 })
    FastCheck.assert(
      FastCheck.property(indexes, FastCheck.nat(5), FastCheck.boolean(), (walk, retries, queued) => {
        let record = make({ retries }, queued)
        for (const [step, index] of walk.entries()) {
          const event = eventsAt(1_000 + step)[index]!
          const outcome = JobRecord.transition(record, event)
          if (Either.isLeft(outcome) || outcome.right === record) continue
          checkStep(record, outcome.right)
          record = outcome.right
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it("tells a timeout, an operator's stop, a full log and a crash apart", () => {
    const running = run(make(), Support.launch(1), Support.started(2))
    const killed = (...events: ReadonlyArray<JobEvent>) =>
      run(running, ...events, JobEvent.Signaled({ at: 9, signal: "SIGKILL" })).state
    for (const cause of ["timeout", "stopped", "log-limit"] as const) {
      const stop = JobEvent.Stopping({ at: 3, cause, signal: "SIGTERM" })
      const later = JobEvent.Stopping({ at: 4, cause: "stopped", signal: "SIGKILL" })
      assert.deepStrictEqual(killed(stop, later), { _tag: "killed", signal: "SIGKILL", cause, at: 9 })
      assert.deepStrictEqual(run(running, stop, JobEvent.Exited({ at: 9, code: 0 })).state, {
        _tag: "exited",
        code: 0,
        cause,
        at: 9,
      })
    }
    assert.deepStrictEqual(killed(), { _tag: "killed", signal: "SIGKILL", cause: "signal", at: 9 })
    assert.deepStrictEqual(run(running, JobEvent.Exited({ at: 9, code: 137 })).state, {
      _tag: "exited",
      code: 137,
      cause: "exit",
      at: 9,
    })
  })

  it("is tried again after failures, later each time, and not after a stop, a full log or a loss", () => {
    const backoff = { delay: Duration.millis(100), factor: 3, max: Duration.millis(500) }
    const once = (record: JobRecord.JobRecord, ...events: ReadonlyArray<JobEvent>) =>
      run(record, Support.launch(1), Support.started(2), ...events)
    let record = make({ retries: 3, backoff })
    for (const wait of [100, 300, 500]) {
      record = once(record, JobEvent.Exited({ at: 1_000, code: 1 }))
      assert.deepStrictEqual(record.state, { _tag: "queued", since: 1_000, notBefore: 1_000 + wait })
    }
    record = once(record, JobEvent.Exited({ at: 2_000, code: 7 }))
    assert.deepStrictEqual(record.state, { _tag: "exited", code: 7, cause: "exit", at: 2_000 })
    assert.deepStrictEqual(
      record.attempts.map(({ end }) => end?._tag),
      ["exited", "exited", "exited", "exited"],
    )
    const retried = (...events: ReadonlyArray<JobEvent>) =>
      once(make({ retries: 3, backoff }), ...events).state._tag
    const stop = (cause: "timeout" | "stopped" | "log-limit") =>
      JobEvent.Stopping({ at: 3, cause, signal: "SIGTERM" })
    const kill = JobEvent.Signaled({ at: 4, signal: "SIGTERM" })
    assert.strictEqual(retried(stop("timeout"), kill), "queued")
    assert.strictEqual(retried(kill), "queued")
    assert.strictEqual(retried(stop("stopped"), kill), "killed")
    assert.strictEqual(retried(stop("log-limit"), kill), "killed")
    assert.strictEqual(retried(JobEvent.Exited({ at: 4, code: 0 })), "exited")
    assert.strictEqual(retried(JobEvent.Lose({ at: 4, why: "?", cause: "lost" })), "lost")
    const refused = (permanent: boolean) =>
      run(
        make({ retries: 1 }),
        Support.launch(1),
        JobEvent.SpawnFailed({ at: 2, error: "E", reason: "r", permanent }),
      ).state._tag
    assert.deepStrictEqual([refused(true), refused(false)], ["failed", "queued"])
  })

  it("waits for its delay or its time, and a withdrawal costs no try", () => {
    const delayed = run(make({ delay: Duration.seconds(5) }, false), JobEvent.Queue({ at: 1_000 }))
    assert.deepStrictEqual(delayed.state, { _tag: "queued", since: 1_000, notBefore: 6_000 })
    assert.deepInclude(make({ startAt: 77 }).state, { notBefore: 77 })
    const withdrawn = run(make(), Support.launch(1), JobEvent.Withdraw({ at: 2, why: "gone" }))
    assert.strictEqual(withdrawn.state._tag, "queued")
    assert.strictEqual(JobRecord.triesLeft(withdrawn), 1)
    assert.strictEqual(run(withdrawn, Support.launch(3)).attempts.length, 2)
    const stopped = run(
      make(),
      Support.launch(1),
      JobEvent.Stopping({ at: 2, cause: "stopped", signal: "SIGTERM" }),
      JobEvent.Withdraw({ at: 3, why: "gone" }),
    )
    assert.deepInclude(stopped.state, { _tag: "killed", cause: "stopped" })
  })

  it("says in one sentence what cannot be", () => {
    const done = run(make(), Support.launch(1), JobEvent.Exited({ at: 2, code: 0 }))
    const refused = JobRecord.transition(
      done,
      JobEvent.Stopping({ at: 3, cause: "stopped", signal: "SIGTERM" }),
    )
    assert.isTrue(Either.isLeft(refused))
    if (Either.isLeft(refused))
      assert.strictEqual(refused.left.message, `Job ${id} is exited: only a running job can be stopped.`)
  })
})
