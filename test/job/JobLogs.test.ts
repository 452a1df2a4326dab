import * as fs from "node:fs"
import * as path from "node:path"
import { spawn } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import { JobEvent } from "../../src/job/JobEvent.js"
import * as JobId from "../../src/job/JobId.js"
import * as AttemptFiles from "../../src/job/keeper/AttemptFiles.js"
import * as JobLogs from "../../src/job/log/JobLogs.js"
import * as JobRecord from "../../src/job/JobRecord.js"
import type { Followed, FollowOptions } from "../../src/job/JobRunnerService.js"
import type * as JobSpec from "../../src/job/JobSpec.js"
import { JobNotFound } from "../../src/job/StoreError.js"
import { descriptorsIn, spyWatcher, until, watchedBy } from "../output/support.js"
import { killPid } from "../process/killPid.js"
import { spec, started, temporary } from "./support.js"

/** One job without anybody who runs it. */
const job = (input: Partial<JobSpec.Input> = {}) =>
  Effect.gen(function* () {
    const root = yield* temporary
    const id = yield* JobId.factory()
    let record: JobRecord.JobRecord | undefined = JobRecord.make({
      id,
      spec: yield* spec(input),
      hidden: [],
      queued: true,
    })
    const changes = yield* PubSub.unbounded<JobRecord.JobRecord | undefined>()
    const get = () =>
      Effect.suspend(() =>
        record === undefined ? Effect.fail(new JobNotFound({ id })) : Effect.succeed(record),
      )
    const source: JobLogs.Source = {
      root,
      get,
      watch: () =>
        Effect.gen(function* () {
          const queue = yield* PubSub.subscribe(changes)
          const told = Stream.fromQueue(queue).pipe(Stream.takeWhile((changed) => changed !== undefined))
          return { record: yield* get(), changes: told }
        }),
    }
    const happen = (event: JobEvent) => {
      record = { ...Either.getOrThrow(JobRecord.transition(record!, event)), revision: record!.revision + 1 }
      return Effect.asVoid(PubSub.publish(changes, record))
    }
    const of = (number: number) => {
      const { stderr, stdout } = AttemptFiles.pathsOf(id, number)
      return { stdout: path.join(root, stdout), stderr: path.join(root, stderr) }
    }
    /** The next attempt, with empty logs. */
    const begin = Effect.gen(function* () {
      const number = record!.attempts.length + 1
      const paths = of(number)
      yield* happen(
        JobEvent.Launch({ at: number, keeper: "k", bootId: "b", ...AttemptFiles.pathsOf(id, number) }),
      )
      fs.mkdirSync(path.dirname(paths.stdout), { recursive: true })
      fs.writeFileSync(paths.stdout, "")
      fs.writeFileSync(paths.stderr, "")
      yield* happen(started(number))
      return paths
    })
    return {
      id,
      root,
      source,
      of,
      begin,
      happen,
      exit: (code: number) => happen(JobEvent.Exited({ at: 9, code })),
      remove: Effect.suspend(() => {
        record = undefined
        return PubSub.publish(changes, undefined)
      }),
    }
  })

type Job = Effect.Effect.Success<ReturnType<typeof job>>

const shown = (item: Followed): string =>
  item._tag === "State"
    ? `${item.record.state._tag} ${item.record.attempts.length}`
    : `${item.attempt} ${item.stream} ${item.offset}: ${item.text}`

/** Follows in the background, and keeps what came. */
const following = ({ id, source }: Job, options?: FollowOptions) =>
  Effect.gen(function* () {
    const items: Array<string> = []
    const fiber = yield* JobLogs.follow(source, id, options).pipe(
      Stream.runForEach((item) => Effect.sync(() => items.push(shown(item)))),
      Effect.fork,
    )
    const came = (...expected: ReadonlyArray<string>) =>
      Effect.zipRight(
        until(`${expected.length} items: ${expected}`, () => items.length >= expected.length),
        Effect.sync(() => assert.deepStrictEqual(items.splice(0), expected)),
      )
    return { fiber, items, came }
  })

describe("tail and read", () => {
  it.scoped("a job that has not begun has empty logs where the first ones will be", () =>
    Effect.gen(function* () {
      const made = yield* job()
      const { stderr, stdout } = made.of(1)
      const tails = yield* JobLogs.tail(made.source, made.id)
      assert.strictEqual(tails.attempt, 0)
      const nothing = { text: "", truncated: false, observedBytes: 0, includedBytes: 0, nextOffset: 0 }
      assert.deepStrictEqual(
        [tails.stdout, tails.stderr],
        [
          { path: stdout, ...nothing },
          { path: stderr, ...nothing },
        ],
      )
      const piece = yield* JobLogs.read(made.source, made.id)
      assert.deepInclude(piece, {
        attempt: 0,
        path: stdout,
        offset: 0,
        nextOffset: 0,
        eof: true,
        ended: false,
      })
      // Handed to a keeper, and no file yet.
      yield* made.happen(
        JobEvent.Launch({ at: 1, keeper: "k", bootId: "b", ...AttemptFiles.pathsOf(made.id, 1) }),
      )
      assert.deepInclude(yield* JobLogs.tail(made.source, made.id), { attempt: 1 })
      const past = yield* Effect.flip(JobLogs.read(made.source, made.id, { offset: 1 }))
      assert.deepInclude(past, { _tag: "LogUnusable", isRequest: true })
    }),
  )

  it.scoped("the last attempt unless another is asked for; half a character is left while it runs", () =>
    Effect.gen(function* () {
      const made = yield* job({ retries: 1, backoff: { delay: 0 } })
      const first = yield* made.begin
      fs.writeFileSync(first.stdout, "one\ntwo\n")
      fs.writeFileSync(first.stderr, "oh")
      yield* made.exit(1)
      const second = yield* made.begin
      fs.writeFileSync(second.stdout, Buffer.from("日本").subarray(0, 5))
      const running = yield* JobLogs.tail(made.source, made.id)
      assert.strictEqual(running.attempt, 2)
      assert.deepInclude(running.stdout, { path: second.stdout, text: "日", observedBytes: 5, nextOffset: 3 })
      assert.isFalse((yield* JobLogs.read(made.source, made.id)).ended)
      yield* made.exit(0)
      assert.strictEqual((yield* JobLogs.tail(made.source, made.id)).stdout.text, "日\ufffd")
      const earlier = yield* JobLogs.tail(made.source, made.id, { attempt: 1, lines: 1 })
      assert.deepInclude(earlier.stdout, { text: "two\n", truncated: true, includedBytes: 4, nextOffset: 8 })
      assert.strictEqual(earlier.stderr.text, "oh")
      const piece = yield* JobLogs.read(made.source, made.id, { attempt: 1, offset: 4, maxBytes: 2 })
      assert.deepInclude(piece, {
        attempt: 1,
        stream: "stdout",
        offset: 4,
        nextOffset: 6,
        eof: false,
        ended: true,
      })
      assert.strictEqual(Buffer.from(piece.bytes).toString(), "tw")
    }),
  )

  it.scoped("what is asked for and is not there, and what is there and is gone", () =>
    Effect.gen(function* () {
      const made = yield* job()
      const { stdout } = yield* made.begin
      fs.writeFileSync(stdout, "123")
      const failure = <A>(effect: Effect.Effect<A, JobLogs.Failure>) => Effect.flip(effect)
      const never = yield* failure(JobLogs.tail(made.source, made.id, { attempt: 2 }))
      assert.deepInclude(never, { _tag: "LogUnusable", isRequest: true })
      assert.include(never.message, "no attempt 2; there was one")
      const past = yield* failure(JobLogs.read(made.source, made.id, { offset: 4 }))
      assert.deepInclude(past, { _tag: "LogUnusable", isRequest: true })
      assert.include(past.message, "no offset 4")
      for (const bad of [-1, 0.5, Number.NaN]) {
        const invalid = yield* failure(JobLogs.read(made.source, made.id, { offset: bad }))
        assert.strictEqual(invalid._tag, "InvalidSpec")
        const lines = yield* failure(JobLogs.tail(made.source, made.id, { lines: bad }))
        assert.strictEqual(lines._tag, "InvalidSpec")
        const follow = yield* failure(
          Stream.runDrain(JobLogs.follow(made.source, made.id, { stderrOffset: bad })),
        )
        assert.strictEqual(follow._tag, "InvalidSpec")
      }
      const followed = yield* failure(
        Stream.runDrain(JobLogs.follow(made.source, made.id, { stdoutOffset: 4 })),
      )
      assert.deepInclude(followed, { _tag: "LogUnusable", isRequest: true })
      const later = yield* failure(Stream.runDrain(JobLogs.follow(made.source, made.id, { attempt: 2 })))
      assert.deepInclude(later, { _tag: "LogUnusable", isRequest: true })
      yield* made.exit(0)
      fs.rmSync(stdout)
      for (const effect of [
        JobLogs.tail(made.source, made.id),
        JobLogs.read(made.source, made.id),
        Stream.runDrain(JobLogs.follow(made.source, made.id)),
        JobLogs.wait(made.source, made.id, { for: { pattern: "x" } }),
        JobLogs.wait(made.source, made.id, { for: { silence: Duration.seconds(1) } }),
      ]) {
        const gone = yield* failure<unknown>(effect)
        assert.deepInclude(gone, { _tag: "LogUnusable", isRequest: false })
        assert.include(gone.message, stdout)
      }
      yield* made.remove
      assert.strictEqual((yield* failure(JobLogs.tail(made.source, made.id)))._tag, "JobNotFound")
    }),
  )

  it.scoped("an attempt that could not be started has nothing, and that is no fault", () =>
    Effect.gen(function* () {
      const made = yield* job()
      yield* made.happen(
        JobEvent.Launch({ at: 1, keeper: "k", bootId: "b", ...AttemptFiles.pathsOf(made.id, 1) }),
      )
      yield* made.happen(
        JobEvent.SpawnFailed({ at: 2, error: "CommandNotFound", reason: "no", permanent: true }),
      )
      assert.strictEqual((yield* JobLogs.tail(made.source, made.id)).stdout.text, "")
      assert.isTrue((yield* JobLogs.read(made.source, made.id)).ended)
      const { came, fiber } = yield* following(made)
      yield* Fiber.join(fiber)
      yield* came("failed 1")
    }),
  )

  it.scoped("with keep-ends the gap beside a log is skipped", () =>
    Effect.gen(function* () {
      const made = yield* job({ maxLogBytes: 100_000, whenLogFull: "keep-ends" })
      const { stdout } = yield* made.begin
      fs.writeFileSync(stdout, "head\n\0\0\0\0tail\nend\n")
      fs.writeFileSync(stdout.replace(".log", ".gap"), JSON.stringify({ from: 5, to: 9 }))
      yield* made.exit(0)
      const tail = yield* JobLogs.tail(made.source, made.id)
      assert.deepInclude(tail.stdout, { text: "tail\nend\n", truncated: true, observedBytes: 18 })
      const piece = yield* JobLogs.read(made.source, made.id, { offset: 6, maxBytes: 4 })
      assert.deepInclude(piece, { offset: 9, nextOffset: 13 })
      const { came, fiber } = yield* following(made)
      yield* Fiber.join(fiber)
      yield* came("exited 1", "1 stdout 0: head\n", "1 stdout 9: tail\nend\n")
      const found = yield* JobLogs.wait(made.source, made.id, { for: { pattern: "^tail" } })
      assert.deepInclude(found.match, { line: "tail", offset: 9 })
    }),
  )
})

describe("follow", () => {
  it.scoped("both logs as they grow, over a retry, with every change, and ends after the job", () =>
    Effect.gen(function* () {
      const made = yield* job({ retries: 1, backoff: { delay: 0 } })
      const { came, fiber } = yield* following(made)
      yield* came("queued 0")
      const first = yield* made.begin
      yield* came("running 1", "running 1")
      fs.appendFileSync(first.stdout, "a")
      yield* came("1 stdout 0: a")
      fs.appendFileSync(first.stderr, "b")
      yield* came("1 stderr 0: b")
      fs.appendFileSync(first.stdout, "last")
      yield* made.exit(1)
      yield* came("1 stdout 1: last", "queued 1")
      const second = yield* made.begin
      yield* came("running 2", "running 2")
      fs.appendFileSync(second.stdout, "again")
      yield* made.exit(0)
      yield* Fiber.join(fiber)
      yield* came("2 stdout 0: again", "exited 2")
    }),
  )

  it.scoped("a real shell: everything that it wrote before its end comes before the news of its end", () =>
    Effect.gen(function* () {
      const made = yield* job()
      const paths = yield* made.begin
      const lines = 300_000
      const [stdout, stderr] = [fs.openSync(paths.stdout, "a"), fs.openSync(paths.stderr, "a")]
      const texts = { stdout: "", stderr: "" }
      let states = ""
      const fiber = yield* JobLogs.follow(made.source, made.id).pipe(
        Stream.runForEach((item) =>
          Effect.sync(() => {
            if (item._tag === "State") states += `${item.record.state._tag} at ${texts.stdout.length}; `
            else texts[item.stream] += item.text
          }),
        ),
        Effect.fork,
      )
      yield* until("it follows", () => states !== "")
      const child = spawn("sh", ["-c", `seq ${lines} & seq 100 >&2; wait; printf 日; sleep 60 &`], {
        stdio: ["ignore", stdout, stderr],
        detached: true,
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => killPid(-child.pid!, "SIGKILL")))
      fs.closeSync(stdout)
      fs.closeSync(stderr)
      yield* Effect.async<void>((resume) => void child.on("exit", () => resume(Effect.void)))
      yield* made.exit(0)
      yield* Fiber.join(fiber)
      const expected = `${Array.from({ length: lines }, (_, i) => `${i + 1}\n`).join("")}日`
      assert.isTrue(texts.stdout === expected)
      assert.lengthOf(texts.stderr, 292)
      assert.strictEqual(states, `running at 0; exited at ${expected.length}; `)
    }),
  )

  it.scoped("one of the logs, from an offset, of an earlier attempt on", () =>
    Effect.gen(function* () {
      const made = yield* job({ retries: 1, backoff: { delay: 0 } })
      fs.appendFileSync((yield* made.begin).stderr, "0123")
      yield* made.exit(1)
      fs.appendFileSync((yield* made.begin).stderr, "4567")
      yield* made.exit(0)
      const one = yield* following(made, { stream: "stderr", attempt: 1, stderrOffset: 2 })
      yield* Fiber.join(one.fiber)
      yield* one.came("exited 2", "1 stderr 2: 23", "2 stderr 0: 4567")
      const last = yield* following(made)
      yield* Fiber.join(last.fiber)
      yield* last.came("exited 2", "2 stderr 0: 4567")
    }),
  )

  it.scoped("a slow reader holds a few pieces, whatever is written, and misses nothing", () =>
    Effect.gen(function* () {
      const made = yield* job()
      const { stderr, stdout } = yield* made.begin
      fs.writeFileSync(stdout, Buffer.alloc(3_000_000, "o"))
      fs.writeFileSync(stderr, Buffer.alloc(2_000_000, "e"))
      const held = yield* Deferred.make<void>()
      const reached = yield* Deferred.make<void>()
      const total = { stdout: 0, stderr: 0 }
      const states: Array<string> = []
      let reads = 0
      const spy = yield* spyWatcher()
      const fiber = yield* JobLogs.follow(made.source, made.id).pipe(
        Stream.tap((item) => {
          if (item._tag === "State") return Effect.sync(() => states.push(item.record.state._tag))
          total[item.stream] += item.text.length
          return ++reads === 1
            ? Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(held))
            : Effect.void
        }),
        Stream.runDrain,
        watchedBy(spy),
        Effect.fork,
      )
      yield* Deferred.await(reached)
      yield* made.exit(0)
      // Neither log was read to its end, else it would be watched.
      for (let i = 0; i < 50; i++) yield* Effect.promise(() => new Promise((go) => setImmediate(go)))
      assert.strictEqual(spy.made(), 0)
      yield* Deferred.succeed(held, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(total, { stdout: 3_000_000, stderr: 2_000_000 })
      assert.deepStrictEqual(states, ["running", "exited"])
    }),
  )

  it.scoped("is told of a job that is deleted, of logs that are replaced, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const made = yield* job()
      const deleted = yield* following(made)
      yield* deleted.came("queued 0")
      const spy = yield* spyWatcher()
      const { stdout } = yield* made.begin
      fs.writeFileSync(stdout, "12345")
      const interrupted = yield* watchedBy(spy)(following(made))
      yield* interrupted.came("running 1", "1 stdout 0: 12345")
      yield* until("it waits", () => spy.open() === 2)
      yield* Fiber.interrupt(interrupted.fiber)
      assert.strictEqual(spy.open(), 0)
      yield* until("only the other one reads", () => descriptorsIn(made.root) === 2)
      yield* deleted.came("running 1", "running 1", "1 stdout 0: 12345")
      fs.truncateSync(stdout, 1)
      const error = yield* Effect.flip(Fiber.join(deleted.fiber))
      assert.deepInclude(error, { _tag: "LogUnusable", isRequest: false })
      assert.include(error.message, `truncated its log "${stdout}"`)
      assert.strictEqual(descriptorsIn(made.root), 0)
      const other = yield* job()
      const waiting = yield* following(other)
      yield* waiting.came("queued 0")
      yield* other.remove
      assert.strictEqual((yield* Effect.flip(Fiber.join(waiting.fiber)))._tag, "JobNotFound")
    }),
  )
})

describe("wait", () => {
  it.scoped("for the end, or until a deadline", () =>
    Effect.gen(function* () {
      const made = yield* job()
      const fiber = yield* Effect.fork(JobLogs.wait(made.source, made.id))
      yield* made.begin
      yield* made.exit(3)
      const { reason, record } = yield* Fiber.join(fiber)
      assert.strictEqual(reason, "ended")
      assert.deepInclude(record.state, { _tag: "exited", code: 3 })
      assert.strictEqual((yield* JobLogs.wait(made.source, made.id)).reason, "ended")
    }),
  )

  it.scopedLive("a deadline is an answer", () =>
    Effect.gen(function* () {
      const made = yield* job()
      const options = { until: Duration.millis(20) }
      assert.strictEqual((yield* JobLogs.wait(made.source, made.id, options)).reason, "deadline")
      yield* made.begin
      const pattern = { ...options, for: { pattern: "x" } }
      assert.strictEqual((yield* JobLogs.wait(made.source, made.id, pattern)).reason, "deadline")
    }),
  )

  it.scoped("for a line, already written or to come, in either log, over a retry", () =>
    Effect.gen(function* () {
      const made = yield* job({ retries: 1, backoff: { delay: 0 } })
      const wait = (pattern: string, stream?: "stdout" | "stderr") =>
        JobLogs.wait(made.source, made.id, { for: { pattern, stream } })
      const early = yield* Effect.fork(wait("port (?<port>\\d+)"))
      const second = yield* Effect.fork(wait("^second$"))
      const never = yield* Effect.fork(wait("^never$"))
      const onlyOut = yield* Effect.fork(wait("ready", "stdout"))
      const first = yield* made.begin
      fs.appendFileSync(first.stderr, "ready on port 80\n")
      const found = yield* Fiber.join(early)
      assert.strictEqual(found.reason, "pattern")
      const line = { stream: "stderr" as const, line: "ready on port 80", offset: 0 }
      assert.deepStrictEqual(found.match, { ...line, groups: { port: "80" } })
      assert.deepStrictEqual((yield* wait("ready")).match, { ...line, groups: {} })
      yield* made.exit(1)
      const again = yield* made.begin
      fs.appendFileSync(again.stdout, "first\nsecond")
      yield* made.exit(0)
      assert.deepInclude((yield* Fiber.join(second)).match, { stream: "stdout", line: "second", offset: 6 })
      assert.strictEqual((yield* Fiber.join(never)).reason, "ended")
      assert.strictEqual((yield* Fiber.join(onlyOut)).reason, "ended")
      assert.strictEqual((yield* wait("ready")).reason, "ended")
      assert.strictEqual(descriptorsIn(made.root), 0)
    }),
  )

  it.scoped("says what is no pattern before the job has begun, and which one takes too long", () =>
    Effect.gen(function* () {
      const made = yield* job()
      const wait = (pattern: string) => Effect.flip(JobLogs.wait(made.source, made.id, { for: { pattern } }))
      assert.strictEqual((yield* wait("("))._tag, "InvalidSpec")
      fs.writeFileSync((yield* made.begin).stderr, `${"a".repeat(40)}b\n`)
      const slow = yield* wait("^(a+)+$")
      assert.strictEqual(slow._tag, "InvalidSpec")
      assert.match(slow.message, /pattern: got .*at most 250 ms.*offset 0 of stderr/)
    }),
  )

  it.scopedLive(
    "for silence: neither log may get a byte, and a job that waits for its start is not silent",
    () =>
      Effect.gen(function* () {
        const made = yield* job({ retries: 1, backoff: { delay: 0 } })
        const quiet = (millis: number) =>
          JobLogs.wait(made.source, made.id, { for: { silence: Duration.millis(millis) } })
        const ended = yield* Effect.fork(quiet(60_000))
        let last = performance.now()
        const fiber = yield* Effect.fork(
          Effect.map(quiet(400), ({ reason }) => ({ reason, after: performance.now() - last })),
        )
        const { stderr, stdout } = yield* made.begin
        for (let i = 0; i < 12; i++) {
          yield* Effect.sleep("60 millis")
          last = performance.now()
          fs.appendFileSync(i % 2 === 0 ? stdout : stderr, "x")
        }
        // Measured when it says so: a machine that stands still for a while makes pauses that are longer than meant.
        const { after, reason } = yield* Fiber.join(fiber)
        assert.strictEqual(reason, "silence")
        assert.isAtLeast(after, 399)
        yield* made.exit(1)
        yield* made.begin
        yield* made.exit(0)
        assert.strictEqual((yield* Fiber.join(ended)).reason, "ended")
      }),
  )
})
