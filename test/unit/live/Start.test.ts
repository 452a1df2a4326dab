/** Starts of real processes: what is not there, what may not be, what is said, and what must not be shown. */
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { EventLog } from "../../../src/event/EventLog.js"
import type * as Plan from "../../../src/unit/Plan.js"
import { eventually, node, sh } from "../../process/support.js"
import { makeRoot } from "../port/support.js"
import { comesTo, line, ours, supervised, supervisedAndLogged } from "../support.js"

/** Starts `a`, which cannot be started, and gives the error. */
const failing = (unit: Plan.UnitInput) =>
  supervised({ units: { a: unit, b: { command: ["true"], requires: ["a"] } } }, ({ start, status, why }) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(start(["b"]))
      const { failure, generation, state } = yield* status("a")
      assert.deepStrictEqual([state, generation], ["failed", 1])
      const { chain } = yield* why("b")
      assert.deepStrictEqual(
        chain.map(({ reason, unit }) => [unit, reason]),
        [
          ["b", `It needs a: ${failure?.message}`],
          ["a", failure?.message],
        ],
      )
      assert.include(error.message, failure!.message)
      assert.deepStrictEqual(yield* ours, [])
      return failure!
    }),
  )

describe("a start fails once, and says what is wrong", () => {
  it.live("a program that is not there", () =>
    Effect.gen(function* () {
      const { kind, message } = yield* failing({ command: ["no-such-program-at-all"], restart: "always" })
      assert.strictEqual(kind, "CommandNotFound")
      assert.match(message, /^The program "no-such-program-at-all" was not found in PATH/)
    }),
  )

  it.scopedLive("a file that may not be executed (EACCES)", () =>
    Effect.gen(function* () {
      const file = join(yield* makeRoot, "program")
      fs.writeFileSync(file, "#!/bin/sh\n", { mode: 0o644 })
      const { kind, message } = yield* failing({ command: [file] })
      assert.strictEqual(kind, "NotExecutable")
      assert.include(message, "you have no permission to execute it")
    }),
  )

  it.live("a directory that is not there", () =>
    Effect.gen(function* () {
      const { kind, message } = yield* failing({ command: ["true"], cwd: "/no/such/directory" })
      assert.strictEqual(kind, "BadWorkingDirectory")
      assert.strictEqual(message, 'Cannot run in the directory "/no/such/directory": it does not exist.')
    }),
  )

  it.scopedLive("an env file that cannot be read", () =>
    Effect.gen(function* () {
      const directory = yield* makeRoot
      const missing = yield* failing({ command: ["true"], cwd: directory, envFile: ".env" })
      assert.strictEqual(missing.kind, "FileUnusable")
      assert.include(
        missing.message,
        `${directory}/.env" given as envFiles cannot be used: it does not exist.`,
      )
      fs.mkdirSync(join(directory, ".env"))
      const odd = yield* failing({ command: ["true"], cwd: directory, envFile: ".env" })
      assert.include(odd.message, "it is a directory")
      if (process.getuid?.() === 0) return
      fs.rmdirSync(join(directory, ".env"))
      fs.writeFileSync(join(directory, ".env"), "A=1", { mode: 0o000 })
      const forbidden = yield* failing({ command: ["true"], cwd: directory, envFile: ".env" })
      assert.include(forbidden.message, "permission is denied")
    }),
  )

  it.live("a command line that the system does not take", () =>
    Effect.gen(function* () {
      const { kind } = yield* failing({ command: ["true", "x".repeat(200_000)] })
      assert.strictEqual(kind, "ArgumentListTooLong")
    }),
  )
})

describe("Ready", () => {
  it.live("comes with the line that a log probe waits for, in whatever pieces it comes", () =>
    supervised(
      {
        units: {
          a: {
            command: node(`
              const say = (text) => new Promise((done) => process.stdout.write(text, () => setTimeout(done, 60)))
              const run = async () => {
                for (const part of ["noise\\nlisten", "ing on ", "po", "rt 471", "1", "\\n"]) await say(part)
              }
              run(); setInterval(() => {}, 1e6)`),
            readiness: { log: { pattern: "^listening on port (?<port>\\d+)$" } },
          },
        },
      },
      ({ start }) =>
        Effect.gen(function* () {
          const [status] = yield* start(["a"])
          assert.deepStrictEqual(status?.outputs, { port: "4711" })
        }),
    ),
  )

  it.live("of a unit without a probe comes after minUptime, and not for one that ends before", () =>
    supervised(
      {
        units: {
          good: { command: ["sleep", "300"], minUptime: "300ms" },
          bad: { command: sh("sleep 0.1; echo cannot go on >&2; exit 4"), minUptime: "5s", restart: "never" },
        },
      },
      ({ start }) =>
        Effect.gen(function* () {
          const [good] = yield* start(["good"])
          assert.isAtLeast(good!.readyAt! - good!.startedAt!, 290)
          const error = yield* Effect.flip(start(["bad"]))
          assert.strictEqual(
            error.message,
            "The unit bad did not come up. It ended with exit code 4 before it was ready. Its last output:\ncannot go on",
          )
        }),
    ),
  )
})

describe("a process gets what its unit says", () => {
  it.scopedLive(
    "a text goes through the shell, a list does not; directory, variables and files of them",
    () =>
      Effect.gen(function* () {
        const directory = fs.realpathSync(yield* makeRoot)
        fs.writeFileSync(join(directory, "one.env"), "A=1\nB=1\nC=1\n")
        fs.writeFileSync(join(directory, "two.env"), "B=2\nC=2\n")
        const common = {
          kind: "oneshot",
          cwd: directory,
          envFile: ["one.env", "two.env"],
          env: { C: 3, D: true },
        } as const
        yield* supervised(
          {
            units: {
              text: { ...common, command: "echo got $A$B$C $D $HOLDFAST_UNIT $(pwd) | cat" },
              list: { ...common, command: ["echo", "got", "$A | cat"] },
              bare: {
                ...common,
                command: "echo got [$HOME] [$PATH]; echo input $(wc -c)",
                inheritEnv: false,
                env: { PATH: "/usr/bin:/bin" },
              },
            },
          },
          (supervisor) =>
            Effect.gen(function* () {
              yield* supervisor.start(["text", "list", "bare"])
              assert.strictEqual(yield* line(supervisor, "text", "got "), `123 true text ${directory}`)
              assert.strictEqual(yield* line(supervisor, "list", "got "), "$A | cat")
              assert.strictEqual(yield* line(supervisor, "bare", "got "), "[] [/usr/bin:/bin]")
              assert.strictEqual(yield* line(supervisor, "bare", "input "), "0")
            }),
        )
      }),
  )
})

describe("the output of a unit that crashes", () => {
  it.live("is in its failure, up to its very last line, be it without an end", () =>
    supervised(
      {
        units: {
          a: {
            command: sh(
              "for i in $(seq 1 500); do echo line $i; done; echo on stderr >&2; printf 'the last words'; exit 9",
            ),
            restart: "never",
          },
        },
      },
      ({ log, start, status }) =>
        Effect.gen(function* () {
          for (let round = 0; round < 10; round++) {
            yield* Effect.flip(start(["a"]))
            const { failure } = yield* status("a")
            assert.strictEqual(failure?.output.length, 20)
            assert.include(failure?.output.join("\n"), "the last words")
            assert.include(failure?.output.join("\n"), "on stderr")
            assert.include(failure?.output.join("\n"), "line 500")
          }
          const { latest } = yield* log("a")
          assert.strictEqual(latest(), 5_020)
        }),
    ),
  )
})

describe("masked values", () => {
  const secret = "s3cr3t-s3cr3t-s3cr3t"

  it.scopedLive(
    "are in no status, no error, no explanation, no event and no line of the program's own log",
    () =>
      Effect.gen(function* () {
        const root = yield* makeRoot
        fs.writeFileSync(join(root, ".env"), `TOKEN=${secret}\n`)
        const [seen, said] = yield* supervisedAndLogged(
          {
            units: {
              // In its command line, its output, and in what its check says.
              talks: {
                command: sh(`echo token ${secret}; echo "again $TOKEN" >&2; sleep 0.1; exit 3`),
                env: { TOKEN: secret },
                mask: ["TOKEN"],
                restart: { maxFailures: 1 },
              },
              checks: {
                command: ["sleep", "300"],
                env: { TOKEN: secret },
                mask: ["TOKEN"],
                readiness: { exec: { command: sh('echo "denied: $TOKEN"; exit 1') }, period: "100ms" },
              },
              missing: {
                command: [`/no/such/${secret}`],
                env: { TOKEN: secret },
                mask: ["TOKEN"],
              },
              fromFile: {
                command: sh('echo "I have $TOKEN"; exit 5'),
                cwd: root,
                envFile: ".env",
                mask: ["TOKEN"],
                restart: "never",
              },
            },
          },
          (supervisor) =>
            Effect.gen(function* () {
              const texts: Array<string> = []
              const note = (value: unknown) => Effect.sync(() => void texts.push(JSON.stringify(value)))
              yield* Effect.fork(Stream.runForEach(supervisor.changes, note))
              for (const name of ["talks", "missing", "fromFile"]) {
                const error = yield* Effect.flip(supervisor.start([name]))
                yield* note(error.message)
                yield* note(error)
              }
              yield* Effect.fork(supervisor.start(["checks"]))
              yield* eventually("its check has spoken", () => {
                const { reason } = Effect.runSync(Effect.orDie(supervisor.status("checks")))
                return reason?.includes("***") === true
              })
              yield* note(yield* supervisor.list)
              for (const { name } of yield* supervisor.list) yield* note(yield* supervisor.why(name))
              const { read } = yield* EventLog
              yield* note((yield* read({ limit: 1_000 })).events)
              yield* note(yield* supervisor.process("checks"))
              // It was there to be seen.
              assert.isTrue(
                (yield* supervisor.log("talks")).last(100).some(({ text }) => text.includes(secret)),
              )
              return texts
            }),
          { root },
        )
        for (const text of seen) assert.notInclude(text, secret)
        // Nothing was left out, but for the secret itself.
        assert.include(seen.join("\n"), "token ***")
        assert.isAbove(seen.length, 10)
        for (const text of said) assert.notInclude(text, secret)
        assert.include(said.join("\n"), "Unit talks has failed")
        // Nor in what is recorded of what runs.
        for (const unit of ["talks", "checks"]) {
          const file = join(root, "units", unit, "instance.json")
          if (fs.existsSync(file)) assert.notInclude(fs.readFileSync(file, "utf8"), secret)
        }
      }),
  )
})

describe("tasks and processes", () => {
  it.live("depend on each other, in both directions, and go down in reverse", () =>
    Effect.gen(function* () {
      const events: Array<string> = []
      const isUp = yield* Deferred.make<void>()
      yield* supervised(
        {
          units: {
            db: {
              command: sh("trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done"),
              readiness: { log: { pattern: "^up" } },
            },
            migrate: { kind: "oneshot", command: sh("echo migrated"), requires: ["db"] },
            bridge: {
              kind: "task",
              requires: ["migrate"],
              run: ({ log, ready }) =>
                Effect.gen(function* () {
                  events.push("bridge up")
                  yield* Effect.addFinalizer(() => Effect.sync(() => events.push("bridge down")))
                  yield* log("the bridge is up")
                  yield* ready
                  yield* Deferred.succeed(isUp, undefined)
                  return yield* Effect.never
                }),
            },
            web: { command: sh("exec sleep 300"), minUptime: "50ms", requires: ["bridge"] },
          },
        },
        (supervisor) =>
          Effect.gen(function* () {
            const [web] = yield* supervisor.start(["web"])
            assert.strictEqual(web?.state, "ready")
            yield* Deferred.await(isUp)
            yield* line(supervisor, "bridge", "the bridge is up")
            const stopped = yield* supervisor.stop(["db"])
            assert.deepStrictEqual(
              stopped.map(({ name, state }) => [name, state]),
              [
                ["db", "inactive"],
                // What is done is done.
                ["migrate", "exited"],
                ["bridge", "inactive"],
                ["web", "inactive"],
              ],
            )
            assert.deepStrictEqual(events, ["bridge up", "bridge down"])
            assert.deepStrictEqual(yield* ours, [])
            yield* supervisor.start(["web"])
            yield* comesTo(supervisor, "web", "ready")
          }),
      )
      assert.deepStrictEqual(events, ["bridge up", "bridge down", "bridge up", "bridge down"])
    }),
  )
})
