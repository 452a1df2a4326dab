/** Which jobs may start: each rule by itself, and random courses of events beside a queue that looks at everything. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { type RunnerContext, steadily, timed } from "../../src/job/run/RunnerContext.js"
import { JobEvent } from "../../src/job/JobEvent.js"
import type * as JobId from "../../src/job/JobId.js"
import * as JobQueue from "../../src/job/queue/JobQueue.js"
import * as JobRecord from "../../src/job/JobRecord.js"
import type { JobSpec } from "../../src/job/JobSpec.js"
import type { JobGroup } from "../../src/job/JobStoreService.js"
import * as Support from "./support.js"

const base = Effect.runSync(Support.spec())

const idOf = (number: number) => `01HZX3V9Q4R8N7C2M5K6${String(number).padStart(6, "0")}` as JobId.JobId

type Change = Partial<Omit<JobSpec, "after">> & {
  readonly after?: ReadonlyArray<readonly [job: number, when: "success" | "end"]>
}

const job = (number: number, { after = [], ...change }: Change = {}, queued = true) =>
  JobRecord.make({
    id: idOf(number),
    spec: {
      ...base,
      ...change,
      after: after.map(([job, when]) => ({ job: idOf(job) as string, when })) as unknown as JobSpec["after"],
    },
    hidden: [],
    queued,
  })

/** What the store makes of events: each change is a revision. */
const next = (record: JobRecord.JobRecord, ...events: ReadonlyArray<JobEvent>) =>
  events.reduce((before, event) => {
    const after = Either.getOrThrow(JobRecord.transition(before, event))
    return { ...after, revision: before.revision + 1 }
  }, record)

const exited = (at: number, code: number) => JobEvent.Exited({ at, code })

const queueOf = (...records: ReadonlyArray<JobRecord.JobRecord>) => {
  const queue = JobQueue.make()
  for (const record of records) queue.put(record)
  return queue
}

const group = (parallelism: number | undefined, paused = false): JobGroup => ({
  name: "build",
  parallelism,
  paused,
})

const taken = (queue: JobQueue.JobQueue, now = 0, most?: number) =>
  queue.take(now, most).launch.map((id) => Number(id.slice(20)))

const refused = (queue: JobQueue.JobQueue, now = 0) =>
  queue.take(now).refuse.map(({ id, reason }) => [Number(id.slice(20)), reason] as const)

const sentences = (queue: JobQueue.JobQueue, number: number, now = 0) =>
  queue.why(idOf(number), now).map(({ kind, sentence }) => `${kind}: ${sentence}`)

describe("the queue of jobs", () => {
  it("starts the higher priority first, then the older job, in whatever order it heard of them", () => {
    const queue = queueOf(
      job(4, { group: "build" }),
      job(3),
      job(2, { priority: -1 }),
      job(5, { priority: 7, group: "build" }),
      job(1),
    )
    assert.deepStrictEqual(taken(queue), [5, 1, 3, 4, 2])
    assert.deepStrictEqual(taken(queue), [])
  })

  it("gives as many as are asked for, over all groups in order", () => {
    const queue = queueOf(
      ...[1, 2, 3, 4, 5, 6].map((number) => job(number, number % 2 === 0 ? { group: "build" } : {})),
    )
    queue.setGroup(group(2))
    assert.deepStrictEqual(taken(queue, 0, 3), [1, 2, 3])
    assert.deepStrictEqual(taken(queue, 0, 0), [])
    assert.deepStrictEqual(taken(queue, 0, 3), [4, 5])
  })

  it("runs no more of a group than its limit, counting those it gave to be started", () => {
    const records = [1, 2, 3, 4].map((number) => job(number, { group: "build" }))
    const queue = queueOf(...records, job(5, { group: "other" }), job(6))
    queue.setGroup(group(2))
    assert.deepStrictEqual(taken(queue), [1, 2, 5, 6])
    const running = next(records[0]!, Support.launch(1))
    queue.put(running)
    assert.deepStrictEqual(taken(queue), [])
    queue.put(next(running, exited(2, 0)))
    assert.deepStrictEqual(taken(queue), [3])
  })

  it("gives the room of a process that has ended away, though its end is not stored yet", () => {
    const records = [1, 2].map((number) => job(number, { group: "build" }))
    const queue = queueOf(...records)
    queue.setGroup(group(1))
    assert.deepStrictEqual(taken(queue), [1])
    const running = next(records[0]!, Support.launch(1))
    queue.put(running)
    queue.vacate(idOf(1))
    assert.deepStrictEqual(taken(queue), [2])
    queue.put(next(running, exited(2, 0)))
    assert.deepStrictEqual(taken(queue), [])
  })

  it("counts a job that was running when it was made, and not one that waits for a retry", () => {
    const queue = JobQueue.make()
    queue.setGroup(group(1))
    const running = next(job(1, { group: "build", retries: 1 }), Support.launch(1))
    queue.put(running)
    queue.put(job(2, { group: "build" }))
    assert.deepStrictEqual(taken(queue), [])
    queue.put(next(running, exited(1_000, 1)))
    assert.deepStrictEqual(taken(queue, 1_000), [2])
    assert.strictEqual(queue.nextAt(1_000), 2_000)
    assert.deepStrictEqual(taken(queue, 2_000), [], "its time has come, and the group is full")
    queue.drop(idOf(2))
    assert.deepStrictEqual(taken(queue, 2_000), [1])
  })

  it("starts none of a paused group, and lets what runs go on", () => {
    const first = job(1, { group: "build" })
    const queue = queueOf(first)
    assert.deepStrictEqual(taken(queue), [1])
    queue.setGroup(group(undefined, true))
    queue.put(next(first, Support.launch(1)))
    queue.put(job(2, { group: "build" }))
    assert.deepStrictEqual(taken(queue), [])
    queue.setGroup(group(undefined))
    assert.deepStrictEqual(taken(queue), [2])
  })

  it("starts none while more run than a lowered limit allows, and all once the settings are removed", () => {
    const records = [1, 2, 3, 4, 5, 6].map((number) => job(number, { group: "build" }))
    const queue = queueOf(...records)
    queue.setGroup(group(3))
    assert.deepStrictEqual(taken(queue), [1, 2, 3])
    queue.setGroup(group(1))
    for (const [index, expected] of [[], [], [4]].entries()) {
      queue.put(next(records[index]!, Support.launch(1), exited(2, 0)))
      assert.deepStrictEqual(taken(queue), expected)
    }
    queue.removeGroup("build")
    assert.deepStrictEqual(taken(queue), [5, 6])
  })

  it("holds up nobody for one that waits for its time or another job", () => {
    const queue = queueOf(
      job(1, { group: "build", priority: 9, startAt: 50 }),
      job(2, { group: "build", priority: 9, after: [[3, "end"]] }),
      job(3, { group: "build" }),
      job(4, { group: "build" }),
    )
    queue.setGroup(group(1))
    assert.deepStrictEqual(taken(queue, 49), [3])
    assert.strictEqual(queue.nextAt(49), 50)
    assert.deepStrictEqual(taken(queue, 50), [])
    assert.strictEqual(queue.nextAt(50), undefined)
    queue.put(next(job(3), Support.launch(51), exited(52, 1)))
    assert.deepStrictEqual(taken(queue, 52), [1])
  })

  it("tells the next time, not of created jobs nor of those that wait for others", () => {
    const created = job(1, { startAt: 10 }, false)
    const queue = queueOf(created, job(2, { startAt: 20, after: [[1, "end"]] }), job(3, { startAt: 30 }))
    assert.strictEqual(queue.nextAt(0), 30)
    queue.put(next(created, JobEvent.Queue({ at: 5 })))
    assert.strictEqual(queue.nextAt(0), 10)
    assert.strictEqual(queue.nextAt(15), 15, "never what is over")
    assert.deepStrictEqual(taken(queue, 15), [1])
    queue.put(next(created, JobEvent.Queue({ at: 5 }), JobEvent.Cancel({ at: 16, signal: "SIGTERM" })))
    assert.strictEqual(queue.nextAt(16), 20)
  })

  it("ignores what is not newer, also of a job that was just taken, has ended or was deleted", () => {
    const queued = job(1)
    const running = next(queued, Support.launch(1))
    const ended = next(running, exited(2, 0))
    const queue = queueOf(queued)
    assert.deepStrictEqual(taken(queue), [1])
    queue.put(queued)
    assert.deepStrictEqual(taken(queue), [])
    for (const record of [running, queued, ended, running, queued]) queue.put(record)
    assert.deepStrictEqual(taken(queue), [])
    assert.deepStrictEqual(queue.why(idOf(1), 0), [])
    const created = job(2, {}, false)
    queue.put(created)
    queue.drop(idOf(2))
    queue.put(created)
    assert.deepStrictEqual(queue.why(idOf(2), 0), [])
  })

  it("gives again what is given back, or was withdrawn from its keeper", () => {
    const first = job(1, { group: "build", startAt: 5 })
    const queue = queueOf(first, job(2, { group: "build" }))
    queue.setGroup(group(1))
    assert.deepStrictEqual(taken(queue, 9), [1])
    queue.giveBack(idOf(2))
    assert.deepStrictEqual(taken(queue, 9), [])
    queue.giveBack(idOf(1))
    assert.strictEqual(queue.nextAt(9), undefined, "it waits for no time, but for the next take")
    assert.deepStrictEqual(taken(queue, 9), [1])
    queue.put(next(first, Support.launch(10), JobEvent.Withdraw({ at: 11, why: "the keeper was gone" })))
    assert.deepStrictEqual(taken(queue, 11), [1])
  })

  it("forgets a job that is cancelled, wherever it stands", () => {
    const cancel = JobEvent.Cancel({ at: 1, signal: "SIGTERM" })
    const records = [
      job(1),
      job(2, { startAt: 50 }),
      job(3, { after: [[9, "end"]] }),
      job(4, { group: "build" }),
      job(5, { group: "build" }),
    ]
    const queue = queueOf(...records)
    queue.setGroup(group(1))
    assert.deepStrictEqual(taken(queue), [1, 4])
    assert.deepStrictEqual(queue.unknown(), [idOf(9)])
    for (const record of records.slice(0, 4)) queue.put(next(record, cancel))
    assert.deepStrictEqual(taken(queue, 99), [5])
    assert.strictEqual(queue.nextAt(0), undefined)
    assert.deepStrictEqual(queue.unknown(), [])
  })

  it("keeps its order when many are cancelled from the middle of a line", () => {
    const some = FastCheck.array(FastCheck.tuple(FastCheck.nat(40), FastCheck.boolean()), {
      minLength: 30,
      maxLength: 200,
      size: "max",
    })
    FastCheck.assert(
      FastCheck.property(some, FastCheck.boolean(), (given, isTimed) => {
        const jobs = given.map(([priority, stays], number) => ({ priority, stays, number }))
        const queue = JobQueue.make()
        for (const { number, priority } of jobs) {
          queue.put(job(number, isTimed ? { startAt: priority, priority } : { priority }))
        }
        for (const { number, stays } of jobs) if (!stays) queue.drop(idOf(number))
        const left = jobs.filter(({ stays }) => stays)
        if (isTimed && left.length > 0) {
          assert.strictEqual(queue.nextAt(-1), Math.min(...left.map(({ priority }) => priority)))
          for (let now = 0; now < 20; now++) {
            const due = left.filter(({ priority }) => priority === now).map(({ number }) => number)
            assert.deepStrictEqual(taken(queue, now), due)
          }
        }
        const rest = left.filter(({ priority }) => !isTimed || priority >= 20)
        const order = rest.sort((a, b) => b.priority - a.priority || a.number - b.number)
        assert.deepStrictEqual(
          taken(queue, 99),
          order.map(({ number }) => number),
        )
      }),
      { numRuns: 200 },
    )
  })

  it("refuses who asks for the success of a job that ended otherwise, and says how that was", () => {
    const ends: ReadonlyArray<readonly [ReadonlyArray<JobEvent>, string]> = [
      [[Support.launch(1), exited(2, 3)], "exited with code 3"],
      [[Support.launch(1), JobEvent.Signaled({ at: 2, signal: "SIGSEGV" })], "was killed by SIGSEGV"],
      [
        [
          Support.launch(1),
          JobEvent.Stopping({ at: 2, cause: "timeout", signal: "SIGTERM" }),
          JobEvent.Signaled({ at: 2, signal: "SIGTERM" }),
        ],
        "was stopped at its timeout with SIGTERM",
      ],
      [
        [
          Support.launch(1),
          JobEvent.Stopping({ at: 2, cause: "log-limit", signal: "SIGTERM" }),
          exited(3, 0),
        ],
        "was stopped because it wrote more than it may and exited with code 0",
      ],
      [[JobEvent.Cancel({ at: 2, signal: "SIGTERM" })], "was stopped with SIGTERM"],
      [
        [
          Support.launch(1),
          JobEvent.SpawnFailed({ at: 2, error: "CommandNotFound", reason: "no", permanent: true }),
        ],
        "could not be started (CommandNotFound)",
      ],
      [
        [JobEvent.Refuse({ at: 2, error: "DependencyFailed", reason: "no", cause: "dependency" })],
        "could not start because of a job that it was to wait for",
      ],
      [
        [Support.launch(1), JobEvent.Lose({ at: 2, why: "?", cause: "reboot" })],
        "was lost, so that its result is not known",
      ],
    ]
    for (const [events, how] of ends) {
      const first = job(1)
      const queue = queueOf(first, job(2, { after: [[1, "success"]] }), job(3, { after: [[1, "end"]] }))
      queue.take(0)
      queue.put(next(first, ...events))
      const reason = `It was to start after the success of job ${idOf(1)}, which ${how}.`
      assert.deepStrictEqual(sentences(queue, 2), [`dependency: ${reason}`])
      const { launch, refuse } = queue.take(3)
      assert.deepStrictEqual(launch, [idOf(3)])
      assert.deepStrictEqual(refuse, [{ id: idOf(2), reason }])
      assert.deepStrictEqual(refused(queue), [])
      queue.giveBack(idOf(2))
      assert.deepStrictEqual(refused(queue), [[2, reason]])
    }
  })

  it("starts who waits for the success of several jobs once the last has succeeded", () => {
    const [first, second] = [job(1), job(2)]
    const queue = queueOf(
      first,
      second,
      job(3, {
        after: [
          [1, "end"],
          [1, "success"],
          [2, "success"],
        ],
      }),
    )
    assert.deepStrictEqual(taken(queue), [1, 2])
    queue.put(next(second, Support.launch(1), exited(2, 0)))
    assert.deepStrictEqual(taken(queue), [])
    queue.put(next(first, Support.launch(1), exited(2, 0)))
    assert.deepStrictEqual(taken(queue), [3])
  })

  it("refuses a job that fails its dependency before it was queued only then", () => {
    const created = job(2, { after: [[1, "success"]] }, false)
    const queue = queueOf(job(1), created)
    queue.put(next(job(1), Support.launch(1), exited(2, 1)))
    assert.deepStrictEqual(refused(queue), [])
    assert.deepStrictEqual(
      queue.why(idOf(2), 0).map(({ kind }) => kind),
      ["created", "dependency"],
    )
    queue.put(next(created, JobEvent.Queue({ at: 3 })))
    assert.lengthOf(refused(queue), 1)
  })

  it("asks what became of jobs that it does not know, and waits for the answer", () => {
    const succeeded = next(job(1), Support.launch(1), exited(2, 0))
    const queue = queueOf(
      job(5, { after: [[1, "success"]] }),
      job(6, { after: [[2, "success"]] }),
      job(7, { after: [[2, "end"]] }),
      job(8, { after: [[3, "end"]] }),
      job(3, { startAt: 100 }),
    )
    assert.deepStrictEqual(taken(queue), [])
    assert.deepStrictEqual(queue.unknown(), [idOf(1), idOf(2)])
    assert.include(sentences(queue, 5)[0], "being looked up")
    queue.settle(idOf(1), succeeded)
    queue.settle(idOf(2), undefined)
    queue.settle(idOf(3), undefined)
    assert.deepStrictEqual(queue.unknown(), [])
    const { launch, refuse } = queue.take(0)
    assert.deepStrictEqual(launch, [idOf(5), idOf(7)])
    assert.deepStrictEqual(refuse, [
      {
        id: idOf(6),
        reason: `It was to start after the success of job ${idOf(2)}, which was deleted, so that its result is not known.`,
      },
    ])
    queue.put(job(9, { after: [[1, "success"]] }))
    assert.deepStrictEqual(queue.unknown(), [], "it remembers those that ended lately")
    assert.deepStrictEqual(taken(queue), [9])
  })

  it("remembers that a job succeeded for who waited for it when it is deleted", () => {
    const first = job(1)
    const created = job(2, { after: [[1, "success"]] }, false)
    const queue = queueOf(first, created)
    queue.put(next(first, Support.launch(1), exited(2, 0)))
    queue.drop(idOf(1))
    queue.put(next(created, JobEvent.Queue({ at: 3 })))
    assert.deepStrictEqual(taken(queue), [2])
  })

  it("forgets how jobs ended when many others have ended since, and asks again", () => {
    const queue = JobQueue.make()
    for (let number = 0; number < 5_000; number++) {
      queue.put(next(job(number), Support.launch(1), exited(2, 0)))
    }
    queue.put(job(5_001, { after: [[4_999, "success"]] }))
    queue.put(job(5_002, { after: [[0, "success"]] }))
    assert.deepStrictEqual(queue.unknown(), [idOf(0)])
    assert.deepStrictEqual(taken(queue), [5_001])
  })

  it("does not ask again for dependencies at a retry", () => {
    const retried = next(
      job(2, { after: [[1, "success"]], retries: 1 }),
      Support.launch(1),
      Support.started(2),
      exited(3, 1),
    )
    const queue = queueOf(retried)
    assert.deepStrictEqual(queue.unknown(), [])
    queue.drop(idOf(1))
    assert.deepStrictEqual(taken(queue, 2_000), [2])
  })

  it("says why a job waits", () => {
    const failed = next(job(6, { retries: 2 }), Support.launch(1), exited(500, 1))
    const after = Array.from({ length: 12 }, (_, index) => [20 + index, "end"] as const)
    const queue = queueOf(
      job(1, {}, false),
      job(2, { startAt: Date.UTC(2030, 0, 31, 8) }),
      job(3, { delay: Duration.millis(250) }),
      job(4, { after: [[1, "success"]] }),
      job(5, { after, group: "build", priority: 1 }),
      failed,
    )
    const day = Date.UTC(2030, 0, 30)
    const created3 = job(3).createdAt
    assert.deepStrictEqual(sentences(queue, 1), [
      `created: It waits to be started: holdfast start ${idOf(1)}`,
    ])
    assert.deepStrictEqual(sentences(queue, 2, day), [
      "not-before: It waits for its start time, 2030-01-31T08:00:00.000Z, in 1d 8h.",
    ])
    assert.deepStrictEqual(sentences(queue, 2, day + 86_400_000 * 2), ["starting: It is about to start."])
    assert.deepStrictEqual(sentences(queue, 3, created3), [
      `not-before: It waits for its delay, which ends at ${new Date(created3 + 250).toISOString()}, in 250ms.`,
    ])
    assert.deepStrictEqual(sentences(queue, 6, 0), [
      "not-before: It is tried again after a backoff: attempt 2 may start at 1970-01-01T00:00:01.500Z, in 2s.",
    ])
    assert.deepStrictEqual(sentences(queue, 4), [
      `dependency: It waits for the success of job ${idOf(1)} (not started yet: holdfast start ${idOf(1)}).`,
    ])
    queue.put(next(job(20), Support.launch(1)))
    queue.put(job(21))
    queue.setGroup(group(undefined, true))
    const [dependency, paused, ...others] = queue.why(idOf(5), 0)
    assert.deepStrictEqual(others, [])
    assert.deepStrictEqual(
      dependency!.jobs,
      after.slice(0, 10).map(([number]) => idOf(number)),
    )
    assert.match(
      dependency!.sentence,
      /^It waits for the end of job \w+20 \(running\), the end of job \w+21 \(queued\), .* and 2 more\.$/,
    )
    assert.strictEqual(paused!.sentence, "Its group build is paused: it can start once the group is resumed.")
  })

  it("says whose turn it is in a full group", () => {
    const numbers = Array.from({ length: 20 }, (_, index) => index + 1)
    const records = numbers.map((number) => job(number, { group: "build", priority: number % 3 }))
    const queue = queueOf(...records)
    const order = numbers.toSorted((a, b) => (b % 3) - (a % 3) || a - b)
    queue.setGroup(group(3))
    assert.deepStrictEqual(sentences(queue, order[2]!), ["starting: It is about to start."])
    assert.deepStrictEqual(sentences(queue, order[3]!), ["turn: 3 jobs of its group come before it."])
    const running = taken(queue)
    assert.deepStrictEqual(running, order.slice(0, 3))
    assert.deepStrictEqual(sentences(queue, order[0]!), ["starting: It is about to start."])
    for (const number of running) queue.put(next(records[number - 1]!, Support.launch(1)))
    assert.deepStrictEqual(sentences(queue, order[0]!), [])
    const [full, turn] = queue.why(idOf(order[18]!), 0)
    assert.deepStrictEqual(full, {
      kind: "group-full",
      sentence: "3 of 3 jobs of the group build are running.",
      jobs: running.map(idOf),
    })
    assert.deepStrictEqual(turn, {
      kind: "turn",
      sentence: "15 jobs of its group come before it.",
      jobs: order.slice(3, 13).map(idOf),
    })
    assert.strictEqual(sentences(queue, order[4]!)[1], "turn: 1 job of its group comes before it.")
    queue.setGroup(group(1))
    assert.deepStrictEqual(sentences(queue, order[3]!), [
      "group-full: 3 jobs of the group build are running, where only 1 may.",
    ])
  })
})

/** A queue that looks at everything it was ever told, each time. */
class Naive {
  readonly records = new Map<JobId.JobId, JobRecord.JobRecord>()
  readonly groups = new Map<string, JobGroup>()
  /** Of jobs that are gone: whether they succeeded. */
  readonly gone = new Map<JobId.JobId, boolean>()
  readonly taken = new Set<JobId.JobId>()
  readonly refused = new Set<JobId.JobId>()
  readonly inLine = new Set<JobId.JobId>()

  put(record: JobRecord.JobRecord) {
    const { id } = record
    const known = this.records.get(id)
    if (this.gone.has(id) || (known !== undefined && known.revision >= record.revision)) return
    for (const set of [this.taken, this.refused, this.inLine]) set.delete(id)
    if (!JobRecord.hasEnded(record)) this.records.set(id, record)
    else this.close(id, JobRecord.hasSucceeded(record))
  }

  close(id: JobId.JobId, success = false) {
    if (this.gone.has(id)) return
    this.records.delete(id)
    this.gone.set(id, success)
  }

  giveBack(id: JobId.JobId) {
    if (this.taken.delete(id)) this.inLine.add(id)
    this.refused.delete(id)
  }

  after({ attempts, spec }: JobRecord.JobRecord) {
    return (attempts.length > 0 ? [] : spec.after).map(({ job, when }) => {
      const outcome = this.gone.get(job as string as JobId.JobId)
      return { job: job as string as JobId.JobId, outcome, fails: outcome === false && when === "success" }
    })
  }

  isUnmet = (record: JobRecord.JobRecord) => this.after(record).some(({ fails }) => fails)

  /** Those that wait for no job. */
  free() {
    return [...this.records.values()].filter(
      (record) =>
        record.state._tag === "queued" &&
        !this.taken.has(record.id) &&
        this.after(record).every(({ fails, outcome }) => outcome !== undefined && !fails),
    )
  }

  /** Until when it was to wait, if it has not been found in time yet. */
  waitsUntil({ id, state }: JobRecord.JobRecord) {
    return state._tag === "queued" && !this.inLine.has(id) ? state.notBefore : undefined
  }

  line(name: string | undefined) {
    return this.free()
      .filter((record) => this.waitsUntil(record) === undefined && record.spec.group === name)
      .sort((a, b) => b.spec.priority - a.spec.priority || (a.id < b.id ? -1 : 1))
  }

  settings = (name: string | undefined) => {
    const { parallelism, paused } = this.groups.get(name ?? "") ?? group(undefined)
    const occupied = [...this.records.values()].filter(
      ({ id, spec, state }) => spec.group === name && (state._tag === "running" || this.taken.has(id)),
    ).length
    return { occupied, limit: parallelism ?? Infinity, paused }
  }

  take(now: number, most: number) {
    for (const record of this.free()) {
      if ((this.waitsUntil(record) ?? Infinity) <= now) this.inLine.add(record.id)
    }
    const launch: Array<JobId.JobId> = []
    while (launch.length < most) {
      const [first] = [undefined, "a", "b"]
        .filter((name) => !this.settings(name).paused)
        .filter((name) => this.settings(name).occupied < this.settings(name).limit)
        .flatMap((name) => this.line(name))
        .sort((a, b) => b.spec.priority - a.spec.priority || (a.id < b.id ? -1 : 1))
      if (first === undefined) break
      this.taken.add(first.id)
      launch.push(first.id)
    }
    const refuse = [...this.records.values()]
      .filter(
        (record) => record.state._tag === "queued" && this.isUnmet(record) && !this.refused.has(record.id),
      )
      .map(({ id }) => id)
    for (const id of refuse) this.refused.add(id)
    return { launch, refuse }
  }

  nextAt(now: number) {
    const times = this.free().flatMap((record) => this.waitsUntil(record) ?? [])
    return times.length === 0 ? undefined : Math.max(now, Math.min(...times))
  }

  unknown() {
    const waiting = [...this.records.values()].filter((record) => !this.isUnmet(record))
    const jobs = waiting.flatMap((record) => this.after(record).map(({ job }) => job))
    return [...new Set(jobs)].filter((job) => !this.records.has(job) && !this.gone.has(job)).sort()
  }

  kinds(id: JobId.JobId, now: number): ReadonlyArray<string> {
    const record = this.records.get(id)
    if (record === undefined || record.state._tag === "running") return []
    if (this.taken.has(id)) return ["starting"]
    const { spec, state } = record
    const isQueued = state._tag === "queued"
    const isUnmet = this.isUnmet(record)
    if (isQueued && isUnmet) return ["dependency"]
    const { limit, occupied, paused } = this.settings(spec.group)
    const ahead = this.line(spec.group).findIndex((other) => other.id === id)
    const found = [
      isQueued ? "" : "created",
      this.after(record).some(({ outcome }) => outcome === undefined) || isUnmet ? "dependency" : "",
      (this.waitsUntil(record) ?? 0) > now ? "not-before" : "",
      paused ? "group-paused" : "",
      occupied >= limit ? "group-full" : "",
      ahead > 0 && ahead >= limit - occupied ? "turn" : "",
    ].filter((kind) => kind !== "")
    return found.length > 0 ? found : ["starting"]
  }
}

/** A store, a clock, a queue and its model, driven by numbers. */
class Course {
  now = 1_000
  queue = JobQueue.make()
  model = new Naive()
  readonly store = new Map<JobId.JobId, JobRecord.JobRecord>()
  readonly history: Array<JobRecord.JobRecord> = []
  readonly tally = { launched: 0, refused: 0, full: 0, settled: 0, restarted: 0 }
  private count = 0

  save(record: JobRecord.JobRecord) {
    this.store.set(record.id, record)
    this.history.push(record)
    this.queue.put(record)
    this.model.put(record)
  }

  pick(which: number, wanted: (record: JobRecord.JobRecord) => boolean = () => true) {
    const all = [...this.store.values()].filter(wanted)
    return all[which % Math.max(1, all.length)]
  }

  change(which: number, state: string, event: (record: JobRecord.JobRecord) => JobEvent | undefined) {
    const record = this.pick(which, (record) => record.state._tag === state)
    const chosen = record && event(record)
    if (chosen !== undefined) this.save(next(record!, chosen))
  }

  insert(x: number, y: number, z: number) {
    const after = [x, y, z]
      .slice(0, z % 4)
      .flatMap((which) => this.pick(which) ?? [])
      .map(({ id }, index) => [Number(id.slice(20)), (x + index) % 2 === 0 ? "end" : "success"] as const)
    const startAt = x % 3 === 0 ? { startAt: this.now + (y % 20) } : {}
    const name = [{}, { group: "a" }, { group: "b" }][y % 3]
    const change = { ...startAt, ...name, after, priority: (z % 3) - 1, retries: x % 2 }
    this.save(job(this.count++, change, y % 5 !== 0))
  }

  take(most: number) {
    const before = ["a", "b"].map((name) => ({ name, ...this.model.settings(name) }))
    const outstanding = new Set(this.model.taken)
    const { launch, refuse } = this.queue.take(this.now, most)
    const expected = this.model.take(this.now, most)
    assert.deepStrictEqual(launch, expected.launch)
    assert.sameMembers(
      refuse.map(({ id }) => id),
      expected.refuse,
    )
    for (const id of launch) {
      const { attempts, spec, state } = this.store.get(id)!
      assert.isTrue(state._tag === "queued" && (state.notBefore ?? 0) <= this.now, "not before its time")
      assert.isFalse(outstanding.has(id), "not twice")
      for (const { job } of attempts.length > 0 ? [] : spec.after) {
        const dependency = this.store.get(job as string as JobId.JobId)
        assert.isTrue(dependency === undefined || JobRecord.hasEnded(dependency), "not before another's end")
      }
    }
    for (const { limit, name, occupied, paused } of before) {
      const more = launch.filter((id) => this.store.get(id)!.spec.group === name).length
      assert.isTrue(more === 0 || (!paused && occupied + more <= limit), "never more than the limit")
      if (occupied >= limit) this.tally.full += 1
    }
    this.tally.launched += launch.length
    this.tally.refused += refuse.length
  }

  settle() {
    for (const id of this.queue.unknown()) {
      const record = this.store.get(id)
      this.queue.settle(id, record)
      if (record === undefined) this.model.close(id)
      else this.model.put(record)
      this.tally.settled += 1
    }
  }

  restart(x: number) {
    const { groups } = this.model
    this.queue = JobQueue.make()
    this.model = new Naive()
    for (const settings of groups.values()) this.setGroup(settings)
    const unended = [...this.store.values()].filter((record) => !JobRecord.hasEnded(record))
    for (const record of x % 2 === 0 ? unended : unended.reverse()) {
      this.queue.put(record)
      this.model.put(record)
    }
    this.tally.restarted += 1
  }

  setGroup(settings: JobGroup) {
    this.queue.setGroup(settings)
    this.model.groups.set(settings.name, settings)
  }

  step(kind: number, x: number, y: number, z: number) {
    const { model, queue } = this
    const at = this.now
    const name = x % 2 === 0 ? "a" : "b"
    const acts: ReadonlyArray<() => void> = [
      () => this.insert(x, y, z),
      () => this.insert(y, z, x),
      () => this.insert(z, x, y),
      () => this.take(Infinity),
      () => this.take(x % 3),
      () => (this.now += x % 15),
      () => this.change(x, "queued", ({ id }) => (model.taken.has(id) ? Support.launch(at) : undefined)),
      () => this.change(x, "queued", ({ id }) => (model.taken.has(id) ? Support.launch(at) : undefined)),
      () => this.change(x, "running", () => exited(at, y % 2)),
      () => this.change(x, "running", () => exited(at, 0)),
      () => this.change(x, "running", () => JobEvent.Withdraw({ at, why: "?" })),
      () => this.change(x, "created", () => JobEvent.Queue({ at })),
      () => this.change(x, "queued", () => JobEvent.Cancel({ at, signal: "SIGTERM" })),
      () =>
        this.change(x, "queued", ({ id }) =>
          model.refused.has(id)
            ? JobEvent.Refuse({ at, error: "E", reason: "r", cause: "dependency" })
            : undefined,
        ),
      () => {
        const id = [...model.taken, ...model.refused][x % 3]
        if (id === undefined) return
        queue.giveBack(id)
        model.giveBack(id)
      },
      () => this.setGroup({ name, parallelism: y % 4 === 3 ? undefined : y % 4, paused: z % 4 === 0 }),
      () => {
        queue.removeGroup(name)
        model.groups.delete(name)
      },
      () => {
        const gone = this.pick(x, (record) => JobRecord.hasEnded(record) || record.state._tag === "created")
        if (gone === undefined) return
        this.store.delete(gone.id)
        queue.drop(gone.id)
        model.close(gone.id)
      },
      () => {
        const old = this.history[x % Math.max(1, this.history.length)]
        // News of a job that was deleted before the restart cannot come any more.
        if (old === undefined || !(model.records.has(old.id) || model.gone.has(old.id))) return
        queue.put(old)
        model.put(old)
      },
      () => this.settle(),
      () => this.settle(),
      () => (z % 3 === 0 ? this.restart(x) : undefined),
    ]
    acts[kind % acts.length]!()
    assert.deepStrictEqual([...this.queue.unknown()].sort(), this.model.unknown())
    assert.strictEqual(this.queue.nextAt(this.now), this.model.nextAt(this.now))
    const asked = this.pick(y)
    if (asked !== undefined) {
      assert.deepStrictEqual(
        this.queue.why(asked.id, this.now).map(({ kind }) => kind as string),
        this.model.kinds(asked.id, this.now),
      )
    }
  }
}

describe("a random course of the queue", () => {
  it("starts what a look at everything would start, and keeps limits, times, pauses and dependencies", () => {
    const total = { launched: 0, refused: 0, full: 0, settled: 0, restarted: 0 }
    const number = FastCheck.nat(1_000)
    const steps = FastCheck.array(FastCheck.tuple(FastCheck.nat(21), number, number, number), {
      minLength: 20,
      maxLength: 120,
      size: "max",
    })
    FastCheck.assert(
      FastCheck.property(steps, (steps) => {
        const course = new Course()
        for (const step of steps) course.step(...step)
        for (const key of Object.keys(total) as Array<keyof typeof total>) total[key] += course.tally[key]
      }),
      { numRuns: 400 },
    )
    for (const [what, count] of Object.entries(total)) assert.isAbove(count, 100, what)
  })
})

describe("a clock that was set back by a day", () => {
  const waits = (record: JobRecord.JobRecord) =>
    Effect.gen(function* () {
      const { state } = yield* timed({ startTimes: new Map() } as unknown as RunnerContext, record)
      if (state._tag !== "queued") return assert.fail("it is queued")
      return state.notBefore! - (yield* steadily)
    })
  const day = 86_400_000

  it.effect("makes no delay and no backoff longer", () =>
    Effect.gen(function* () {
      const delayed = job(1, { delay: Duration.seconds(5) })
      const late = { _tag: "queued" as const, since: day, notBefore: day + 5_000 }
      assert.strictEqual(yield* waits({ ...delayed, state: late }), 5_000)
      const [attempt] = next(job(2, { retries: 1 }), Support.launch(1)).attempts
      assert.strictEqual(
        yield* waits({ ...job(2, { retries: 1 }), attempts: [attempt!], state: late }),
        Duration.toMillis(base.backoff.max),
      )
    }),
  )

  it.effect("leaves a start time what it is", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* waits(job(3, { startAt: day })), day)
    }),
  )
})
