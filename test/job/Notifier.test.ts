import * as fs from "node:fs"
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Notifier } from "../../src/job/Notifier.js"
import * as NotifyDelivery from "../../src/job/notify/NotifyDelivery.js"
import { NotifyEvent } from "../../src/job/NotifyEvent.js"
import { until } from "../output/support.js"
import { isAlive, sh } from "../process/support.js"
import * as Notify from "./notify.js"
import { live, still } from "./notify.js"
import * as Support from "./support.js"

/** The end of a job as a runner tells of it. */
const end = (record: Parameters<Notifier["Type"]["deliver"]>[0]) =>
  Effect.flatMap(Notifier, (notifier) => Effect.zipRight(notifier.prepare(record), notifier.deliver(record)))

const recover = (record: Parameters<Notifier["Type"]["deliver"]>[0] | undefined) =>
  Effect.flatMap(Notifier, (notifier) => notifier.recover(() => Effect.succeed(record)))

const modeOf = (path: string) => fs.statSync(path).mode & 0o777

describe("a notification of the end", () => {
  live("is one line of JSON in a file that only its owner can read", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const input = {
        tags: ["a", "b"],
        group: "g",
        env: { TOKEN: "secret" },
        notifications: [{ file: inbox.path }],
      }
      const record = Notify.exited(yield* Notify.running(place, input), 7)
      yield* Notify.life(place, Effect.zipRight(end(record), Notify.settled(place)))
      const [event, ...others] = inbox.lines()
      assert.isEmpty(others)
      assert.deepStrictEqual(event, {
        schema_version: "1",
        type: "job.ended",
        id: `${record.id}.0`,
        job_id: record.id,
        state: "exited",
        exit_code: 7,
        cause: "exit",
        created_at: new Date(record.createdAt).toISOString(),
        started_at: "1970-01-01T00:00:02.000Z",
        finished_at: "1970-01-01T00:00:03.000Z",
        command: ["true"],
        cwd: place.cwd,
        tags: ["a", "b"],
        group: "g",
        attempts: 1,
        stdout_log_path: join(place.root, `jobs/${record.id}/1/stdout.log`),
        stderr_log_path: join(place.root, `jobs/${record.id}/1/stderr.log`),
      })
      yield* Schema.decodeUnknown(NotifyEvent, { onExcessProperty: "error" })(event)
      assert.strictEqual(modeOf(inbox.path), 0o600)
    }),
  )

  live("is what a command reads, in the directory of the job, and nothing is left", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const input = { notifications: [{ command: Notify.command("inbox.ndjson") }] }
      const record = Notify.cancelled(yield* Notify.queued(place, input))
      yield* Notify.life(place, Effect.zipRight(end(record), Notify.settled(place)))
      assert.deepInclude(inbox.lines()[0], {
        state: "killed",
        signal: "SIGTERM",
        cause: "stopped",
        attempts: 0,
      })
      assert.notProperty(inbox.lines()[0], "stdout_log_path")
      assert.notProperty(inbox.lines()[0], "started_at")
    }),
  )

  live("reaches a command though the directory of the job is gone", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const input = { cwd: join(place.cwd, "gone"), notifications: [{ command: Notify.command(inbox.path) }] }
      const record = Notify.exited(yield* Notify.running(place, input))
      yield* Notify.life(place, Effect.zipRight(end(record), Notify.settled(place)))
      assert.strictEqual(inbox.lines()[0]!["cwd"], join(place.cwd, "gone"))
    }),
  )

  live("is given once, however often it is asked for meanwhile", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const command = Notify.command(inbox.path, "until test -e go; do sleep 0.02; done")
      const record = Notify.exited(yield* Notify.running(place, { notifications: [{ command }] }))
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* end(record)
          yield* end(record)
          yield* recover(record)
          yield* until("it runs", () => inbox.lines().length > 0)
          fs.writeFileSync(join(place.cwd, "go"), "")
          yield* Notify.settled(place)
        }),
      )
      assert.strictEqual(inbox.lines().length, 1)
    }),
  )

  live("does nothing for a job that is to be tried again, or has none", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const again = Notify.exited(
        yield* Notify.running(place, { retries: 1, notifications: [{ file: inbox.path }] }),
        1,
      )
      const none = Notify.exited(yield* Notify.running(place, {}))
      const last = Notify.exited(Notify.launched(place, again), 1)
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* end(again)
          yield* end(none)
          assert.isFalse(fs.existsSync(join(place.root, "outbox")))
          yield* end(last)
          yield* Notify.settled(place)
        }),
      )
      assert.strictEqual(inbox.lines().length, 1)
      assert.strictEqual(inbox.lines()[0]!["attempts"], 2)
    }),
  )
})

describe("a delivery", () => {
  it.effect("is tried again after 1 s, doubling to 5 min with jitter, ten times in all", () =>
    Effect.gen(function* () {
      const inputs = Array.from({ length: 20 })
      const delays = yield* Schedule.run(Schedule.delays(NotifyDelivery.retry), 0, inputs)
      const seconds = [...delays].map((delay) => Duration.toSeconds(delay))
      // The last is the end of the schedule.
      assert.strictEqual(seconds.length, 10)
      for (const [index, delay] of seconds.slice(0, 9).entries()) {
        const middle = Math.min(2 ** index, 300)
        assert.isAtLeast(delay, middle * 0.8)
        assert.isAtMost(delay, middle * 1.2)
      }
    }),
  )

  live("succeeds with the third try, each with the same id", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const command = Notify.command(inbox.path, `test "$(wc -l < '${inbox.path}')" -ge 3`)
      const record = Notify.exited(yield* Notify.running(place, { notifications: [{ command }] }))
      yield* Notify.life(place, Effect.zipRight(end(record), Notify.settled(place)))
      assert.deepStrictEqual(
        inbox.lines().map(({ id }) => id),
        [`${record.id}.0`, `${record.id}.0`, `${record.id}.0`],
      )
      assert.isEmpty(Notify.owed(place, "failed"))
    }),
  )

  live("that fails ten times is logged, and kept for people; at most 1,000 of them", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const logged: Array<string> = []
      process.env["HOLDFAST_TEST_SECRET"] = "hunter2hunter2"
      const notifications = [
        { command: Notify.command(inbox.path, 'echo "no, $HOLDFAST_TEST_SECRET" >&2; exit 3') },
        { file: join(place.cwd, "missing", "file") },
        { file: place.cwd },
      ] as const
      const failed = join(place.root, "outbox", "failed")
      fs.mkdirSync(failed, { recursive: true })
      const old = Array.from({ length: 1_000 }, (_, n) => `00000000000000000000000000.${n}.json`).sort()
      for (const name of old) fs.writeFileSync(join(failed, name), "")
      const record = Notify.exited(
        yield* Notify.running(place, { mask: ["HOLDFAST_TEST_SECRET"], notifications }),
      )
      yield* Notify.life(place, Effect.zipRight(end(record), Notify.settled(place)), { logged })
      delete process.env["HOLDFAST_TEST_SECRET"]
      assert.strictEqual(inbox.lines().length, 10)
      const about = (word: string) => logged.find((line) => line.includes(word)) ?? ""
      assert.match(about("/bin/sh"), /was given up after 10 tries: .* exit code 3, saying "no, \*\*\*"/)
      assert.match(about("missing"), /its directory does not exist/)
      assert.match(about("work of"), /it is a directory/)
      assert.strictEqual(logged.length, 3)
      const kept = Notify.owed(place, "failed")
      assert.strictEqual(kept.length, 1_000)
      assert.deepStrictEqual(
        old.filter((name) => !kept.includes(name)),
        old.slice(0, 3),
      )
      const entry = JSON.parse(fs.readFileSync(join(failed, `${record.id}.0.json`), "utf8"))
      assert.deepInclude(entry.failure, { tries: 10 })
      assert.strictEqual(entry.event.job_id, record.id)
      assert.strictEqual(modeOf(join(failed, `${record.id}.0.json`)), 0o600)
    }),
  )

  still("that hangs is killed with its group after 30 s, and holds up nobody else's", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const pids = Notify.inbox(place, "pids")
      const hanging = sh("trap '' TERM; sleep 1000 & echo $! >> pids; echo $$ >> pids; wait; sleep 1000")
      const count = () => pids.text().split("\n").length - 1
      const mayPass = yield* Deferred.make<void>()
      const told = Notify.life(
        place,
        Effect.gen(function* () {
          // More of them than may be under way at a time.
          for (let n = 0; n < 6; n++) {
            const input = { notifications: [{ command: hanging }] }
            yield* end(Notify.exited(yield* Notify.running(place, input)))
          }
          yield* until("they hang", () => count() === 8)
          const notifications = [{ command: Notify.command(inbox.path) }, { file: inbox.path }]
          yield* end(Notify.exited(yield* Notify.running(place, { notifications })))
          // Without a moment having passed.
          yield* until("the others are told", () => inbox.lines().length === 2)
          const first = pids.text().trim().split("\n").map(Number)
          assert.isTrue(first.every(isAlive))
          yield* Deferred.succeed(mayPass, undefined)
          yield* until("they are killed", () => !first.some(isAlive))
          yield* until("the next have their turn", () => count() > 8)
        }).pipe(Effect.ensuring(Deferred.succeed(mayPass, undefined))),
        { retry: Schedule.spaced("1 second") },
      )
      // It stops what ignores TERM, which takes its time.
      const closing = yield* Effect.fork(told)
      yield* Deferred.await(mayPass)
      yield* Notify.passing("it is closed", () => closing.unsafePoll() !== null)
      yield* Fiber.join(closing)
      const all = pids.text().trim().split("\n").map(Number)
      assert.isFalse(all.some(isAlive))
      assert.strictEqual(Notify.owed(place).length, 6)
    }),
  )

  live("runs with at most seven others", (place) =>
    Effect.gen(function* () {
      const log = Notify.inbox(place, "log")
      const notifications = Array.from({ length: 12 }, (_, n) => ({
        command: sh(`echo + >> log; until test -e go; do sleep 0.02; done; echo - >> log; : ${n}`),
      }))
      const marks = () => log.text().split("\n")
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* end(Notify.exited(yield* Notify.running(place, { notifications })))
          yield* until("eight run", () => marks().filter((mark) => mark === "+").length === 8)
          fs.writeFileSync(join(place.cwd, "go"), "")
          yield* Notify.settled(place)
        }),
      )
      let running = 0
      for (const mark of marks()) {
        running += mark === "+" ? 1 : mark === "-" ? -1 : 0
        assert.isAtMost(running, 8)
      }
      assert.strictEqual(marks().length, 25)
    }),
  )

  live("to a file keeps the order, also when it fails at first", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place, "later/inbox")
      const records = yield* Effect.replicateEffect(
        Notify.running(place, { notifications: [{ file: inbox.path }] }),
        30,
      )
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          for (const [n, record] of records.entries()) {
            yield* end(Notify.exited(record))
            if (n === 15) fs.mkdirSync(join(place.cwd, "later"))
          }
          yield* Notify.settled(place)
        }),
        { retry: Schedule.spaced("5 millis") },
      )
      assert.deepStrictEqual(
        inbox.lines().map(({ job_id }) => job_id),
        records.map(({ id }) => id),
      )
    }),
  )

  live("to a file ends the torn line that somebody else left there, and refuses a pipe", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      fs.writeFileSync(inbox.path, "{}\n{ torn")
      const pipe = join(place.cwd, "pipe")
      spawnSync("mkfifo", [pipe])
      const notifications = [{ file: inbox.path }, { file: pipe }]
      const logged: Array<string> = []
      const record = Notify.exited(yield* Notify.running(place, { notifications }))
      yield* Notify.life(place, Effect.zipRight(end(record), Notify.settled(place)), { logged })
      assert.match(inbox.text(), /^\{\}\n\{ torn\n\{"schema_version".*\}\n$/)
      assert.match(logged.join("\n"), /pipe": it is not a regular file/)
    }),
  )
})

describe("a program that is killed", () => {
  const prepared = (place: Notify.Place, record: Parameters<Notifier["Type"]["prepare"]>[0]) =>
    Notify.life(
      place,
      Effect.flatMap(Notifier, (notifier) => notifier.prepare(record)),
    )

  live("before the delivery: the end is told of by the next, as it was stored", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const notifications = [{ file: inbox.path }, { command: Notify.command(inbox.path) }]
      const record = yield* Notify.running(place, { notifications })
      yield* prepared(place, Notify.exited(record, 1))
      const names = Notify.owed(place)
      assert.sameMembers(names, [`${record.id}.0.json`, `${record.id}.1.json`])
      for (const name of names) assert.strictEqual(modeOf(join(place.root, "outbox", name)), 0o600)
      assert.strictEqual(modeOf(join(place.root, "outbox")), 0o700)
      fs.writeFileSync(join(place.root, "outbox", `.${record.id}.0.json.draft`), "half")
      yield* Notify.life(place, Effect.zipRight(recover(Notify.exited(record, 2)), Notify.settled(place)))
      assert.deepStrictEqual(
        inbox
          .lines()
          .map(({ exit_code, id }) => [id, exit_code])
          .sort(),
        [
          [`${record.id}.0`, 2],
          [`${record.id}.1`, 2],
        ],
      )
    }),
  )

  live("before the end was stored: it is not told of until it is prepared again", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const record = yield* Notify.running(place, { notifications: [{ file: inbox.path }] })
      yield* prepared(place, Notify.exited(record, 1))
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* recover(record)
          assert.isEmpty(Notify.owed(place))
          yield* end(Notify.exited(record, 0))
          yield* Notify.settled(place)
        }),
      )
      assert.deepStrictEqual(
        inbox.lines().map(({ exit_code }) => exit_code),
        [0],
      )
    }),
  )

  live("while a delivery is under way: it is told of by the next", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const command = Notify.command(inbox.path, "test -e go || sleep 1000")
      const record = Notify.exited(yield* Notify.running(place, { notifications: [{ command }] }))
      yield* Notify.life(
        place,
        Effect.zipRight(
          end(record),
          until("it runs", () => inbox.lines().length === 1),
        ),
      )
      assert.strictEqual(Notify.owed(place).length, 1)
      fs.writeFileSync(join(place.cwd, "go"), "")
      yield* Notify.life(place, Effect.zipRight(recover(record), Notify.settled(place)))
      assert.deepStrictEqual(inbox.lines()[1], inbox.lines()[0])
    }),
  )

  live("and whose job was deleted since tells of what was written down", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const record = yield* Notify.running(place, { notifications: [{ file: inbox.path }] })
      yield* prepared(place, Notify.exited(record, 5))
      yield* Notify.life(place, Effect.zipRight(recover(undefined), Notify.settled(place)))
      assert.deepInclude(inbox.lines()[0], { exit_code: 5, job_id: record.id })
    }),
  )

  live("sets aside what cannot be read, leaves what cannot be looked up, and goes on", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const notifications = [{ file: inbox.path }]
      const records = yield* Effect.replicateEffect(Notify.running(place, { notifications }), 3)
      const [broken, unknown, good] = records.map((record) => Notify.exited(record))
      for (const record of [broken!, unknown!, good!]) yield* prepared(place, record)
      fs.writeFileSync(join(place.root, "outbox", `${broken!.id}.0.json`), '{"version":1,')
      const logged: Array<string> = []
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* (yield* Notifier).recover((id) =>
            id === unknown!.id
              ? Effect.fail({ message: "no disk" })
              : Effect.succeed(records.map((record) => Notify.exited(record)).find((it) => it.id === id)),
          )
          yield* until("the good one is told of", () => Notify.owed(place).length === 1)
        }),
        { logged },
      )
      assert.deepStrictEqual(Notify.owed(place), [`${unknown!.id}.0.json`])
      assert.deepStrictEqual(Notify.owed(place, "failed"), [`${broken!.id}.0.json`])
      assert.deepStrictEqual(
        inbox.lines().map(({ job_id }) => job_id),
        [good!.id],
      )
      assert.match(logged.join("\n"), /set aside in .*failed/)
      assert.match(logged.join("\n"), /left for the next start: no disk/)
    }),
  )
})

describe("a notification of output", () => {
  const watching = (place: Notify.Place, inbox: { readonly path: string }, input = {}) =>
    Notify.running(place, {
      notifications: [{ on: { output: "port (?<port>\\d+)" }, file: inbox.path }],
      ...input,
    })

  live("tells of the first line that matches in either log, while the job runs", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const record = yield* watching(place, inbox)
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          const notifier = yield* Notifier
          const done = yield* Deferred.make<void>()
          yield* notifier.begin(record, { done: Deferred.await(done) })
          Notify.say(place, record, "no match\n")
          Notify.say(place, record, "žluť\na port 80 of ž\n", "stderr")
          yield* until("it is told", () => inbox.lines().length === 1)
          Notify.say(place, record, "port 81\n")
          yield* Deferred.succeed(done, undefined)
          yield* end(Notify.exited(record))
          yield* Notify.settled(place)
        }),
      )
      const [event, ...others] = inbox.lines()
      assert.isEmpty(others)
      yield* Schema.decodeUnknown(NotifyEvent, { onExcessProperty: "error" })(event)
      assert.deepInclude(event, {
        type: "job.output",
        id: `${record.id}.0`,
        state: "running",
        attempt: 1,
        stream: "stderr",
        line: "a port 80 of ž",
        offset: 7,
        groups: { port: "80" },
        stderr_log_path: join(place.root, record.attempts[0]!.stderr),
      })
    }),
  )

  live("tells once, though the job is tried again and the program restarted", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const first = yield* watching(place, inbox, { retries: 2 })
      const begin = (record: typeof first, done: Effect.Effect<void> = Effect.never) =>
        Effect.flatMap(Notifier, (notifier) => notifier.begin(record, { done }))
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* begin(first)
          Notify.say(place, first, "port 1\n")
          yield* until("it is told", () => Notify.owed(place).join() === `${first.id}.0.sent`)
          const second = Notify.launched(place, Notify.exited(first, 1))
          Notify.say(place, second, "port 2\n")
          yield* begin(second, Effect.void)
        }),
      )
      const second = Notify.launched(place, Notify.exited(first, 1))
      Notify.say(place, second, "port 2\n")
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* recover(second)
          yield* begin(second, Effect.void)
          const third = Notify.launched(place, Notify.exited(second, 1))
          yield* begin(third, Effect.void)
          yield* end(Notify.exited(third))
          yield* Notify.settled(place)
        }),
      )
      assert.deepStrictEqual(
        inbox.lines().map(({ line }) => line),
        ["port 1"],
      )
    }),
  )

  live("finds what an earlier attempt wrote before the program was killed", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const first = yield* watching(place, inbox, { retries: 1 })
      Notify.say(place, first, "port 7")
      const second = Notify.launched(place, Notify.exited(first, 1))
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* recover(second)
          yield* (yield* Notifier).begin(second, { done: Effect.never })
          yield* until("it is told", () => inbox.lines().length === 1)
        }),
      )
      assert.deepInclude(inbox.lines()[0], { attempt: 1, attempts: 2, line: "port 7" })
    }),
  )

  live("finds what was written last, also when the program is killed before it has looked", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const record = yield* watching(place, inbox)
      const other = yield* watching(place, inbox)
      Notify.say(place, record, "port 9")
      Notify.say(place, other, "nothing")
      yield* Notify.life(
        place,
        Effect.flatMap(Notifier, (notifier) =>
          Effect.zipRight(notifier.prepare(Notify.exited(record)), notifier.prepare(Notify.exited(other))),
        ),
      )
      assert.sameMembers(Notify.owed(place), [`${record.id}.0.search`, `${other.id}.0.search`])
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* (yield* Notifier).recover((id) =>
            Effect.succeed(Notify.exited(id === record.id ? record : other)),
          )
          yield* Notify.settled(place)
        }),
      )
      assert.deepStrictEqual(
        inbox.lines().map(({ job_id, line }) => [job_id, line]),
        [[record.id, "port 9"]],
      )
    }),
  )

  live("that matched is delivered by the next program, whether the job still runs or not", (place) =>
    Effect.gen(function* () {
      for (const isOver of [false, true]) {
        const inbox = Notify.inbox(place, `later-${isOver}/inbox`)
        const record = yield* watching(place, inbox)
        const begin = Effect.flatMap(Notifier, (notifier) => notifier.begin(record, { done: Effect.never }))
        Notify.say(place, record, "port 5\n")
        yield* Notify.life(
          place,
          Effect.gen(function* () {
            yield* begin
            yield* until("it has matched", () => Notify.owed(place).join() === `${record.id}.0.json`)
            if (isOver) yield* (yield* Notifier).prepare(Notify.exited(record))
          }),
          { retry: Schedule.spaced("5 millis") },
        )
        fs.mkdirSync(join(place.cwd, `later-${isOver}`))
        yield* Notify.life(
          place,
          Effect.gen(function* () {
            yield* recover(isOver ? Notify.exited(record) : record)
            if (!isOver) {
              yield* begin
              yield* until("it is told", () => Notify.owed(place).join() === `${record.id}.0.sent`)
              yield* end(Notify.exited(record))
            }
            yield* Notify.settled(place)
          }),
        )
        assert.deepStrictEqual(
          inbox.lines().map(({ line }) => line),
          ["port 5"],
        )
      }
    }),
  )

  live("that matched waits for the next program where its job could not be looked up", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place, "later/inbox")
      const record = yield* watching(place, inbox)
      const begin = Effect.flatMap(Notifier, (notifier) => notifier.begin(record, { done: Effect.void }))
      Notify.say(place, record, "port 5\n")
      yield* Notify.life(
        place,
        Effect.zipRight(
          begin,
          until("it has matched", () => Notify.owed(place).join() === `${record.id}.0.json`),
        ),
        { retry: Schedule.spaced("5 millis") },
      )
      fs.mkdirSync(join(place.cwd, "later"))
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          const notifier = yield* Notifier
          yield* notifier.recover(() => Effect.fail({ message: "no disk" }))
          yield* begin
          yield* notifier.deliver(Notify.exited(record))
          // What it does in the background is all but done when another job's end is told.
          const other = Notify.inbox(place, "other")
          yield* end(Notify.exited(yield* Notify.running(place, { notifications: [{ file: other.path }] })))
          yield* until("the other is told", () => other.lines().length === 1)
          yield* until("nothing else", () => Notify.owed(place).length === 1)
        }),
      )
      assert.isEmpty(inbox.lines())
      yield* Notify.life(place, Effect.zipRight(recover(Notify.exited(record)), Notify.settled(place)))
      assert.strictEqual(inbox.lines().length, 1)
    }),
  )

  live("carries at most 8 KiB of a line, and survives a pattern that never comes to an end", (place) =>
    Effect.gen(function* () {
      const inbox = Notify.inbox(place)
      const logged: Array<string> = []
      const record = yield* Notify.running(place, {
        notifications: [
          { on: { output: "^(?<all>\\ufffd+)" }, file: inbox.path },
          { on: { output: "^(x+x+)+y$" }, file: inbox.path },
        ],
      })
      // Each byte becomes three.
      Notify.say(place, record, Buffer.alloc(9_000, 0xff))
      Notify.say(place, record, `\n${"x".repeat(40)}\n`)
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* (yield* Notifier).begin(record, { done: Effect.void })
          yield* until("it is told", () => inbox.lines().length === 1)
          yield* end(Notify.exited(record))
          yield* Notify.settled(place)
        }),
        { logged },
      )
      assert.strictEqual(inbox.lines()[0]!["line"], "\ufffd".repeat(2_730))
      assert.strictEqual(inbox.lines()[0]!["groups"].all, inbox.lines()[0]!["line"])
      assert.match(logged.join("\n"), /took more than 250 ms/)
    }),
  )
})

const canMount = process.platform === "linux" && process.getuid?.() === 0

describe("on a full disk", () => {
  it.scopedLive.skipIf(!canMount)("the job goes on, and no half line stays", () =>
    Effect.gen(function* () {
      const directory = yield* Support.temporary
      const disk = join(directory, "disk")
      fs.mkdirSync(disk)
      const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "holdfast-test", disk])
      // Root in a container may not be allowed to.
      if (mounted.status !== 0) return
      yield* Effect.addFinalizer(() => Effect.sync(() => spawnSync("umount", ["-l", disk])))
      const place = { root: join(disk, "root"), cwd: directory }
      const away = Notify.inbox(place)
      const file = join(disk, "inbox")
      const input = {
        command: ["true", "x".repeat(6_000)] as const,
        notifications: [{ file: away.path }, { file }],
      }
      const record = Notify.exited(yield* Notify.running(place, input))
      const next = Notify.exited(yield* Notify.running(place, input))
      // Room for the rest of a page only: the line after this one comes to its middle.
      fs.writeFileSync(file, `${"x".repeat(99)}\n`)
      const filler = join(disk, "filler")
      spawnSync("sh", ["-c", `cat /dev/zero > ${filler}`], { stdio: "ignore" })
      const logged: Array<string> = []
      yield* Notify.life(
        place,
        Effect.gen(function* () {
          yield* end(record)
          yield* until("the other is told", () => away.lines().length === 1)
          yield* until("it has failed", () => logged.some((line) => line.includes("was given up")))
          assert.match(logged[0]!, /is lost if the program ends before .* the disk is full/)
          assert.match(logged.join("\n"), /given up after 10 tries: .*the disk is full/)
          assert.strictEqual(fs.readFileSync(file, "utf8"), `${"x".repeat(99)}\n`)
          fs.rmSync(filler)
          yield* end(next)
          yield* until("it is told", () => fs.readFileSync(file, "utf8").split("\n").length === 3)
          yield* Notify.settled(place)
        }),
        { logged },
      )
      assert.isEmpty(Notify.owed(place, "failed").filter((name) => name.startsWith(".")))
    }).pipe(Notify.spawning),
  )
})
