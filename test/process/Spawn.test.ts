import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ExitStatus from "../../src/process/ExitStatus.js"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { node, sh, spawnTalking } from "./support.js"

const spawn = (...args: Parameters<ProcessSpawner.ProcessSpawner["Type"]["spawn"]>) =>
  Effect.flatMap(ProcessSpawner.ProcessSpawner, (spawner) => spawner.spawn(...args))

/** Runs to the end and gives what was written and how it ended. */
const run = (...args: Parameters<typeof spawn>) =>
  Effect.gen(function* () {
    const process = yield* spawn(...args)
    const status = yield* process.exit
    yield* process.output.ended
    return { status, text: process.output.tail(), process }
  })

const temporary = Effect.acquireRelease(
  Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "holdfast-spawn-")))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true })),
)

/** Sets a variable of this program for the length of a test. */
const withVariable = (name: string, value: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      process.env[name] = value
    }),
    () =>
      Effect.sync(() => {
        delete process.env[name]
      }),
  )

describe("spawn", () => {
  it.scopedLive("a child leads its own session and process group", () =>
    Effect.gen(function* () {
      const { process: child, text } = yield* run({
        command: node("console.log(require('fs').readFileSync('/proc/self/stat', 'latin1'))"),
      })
      if (process.platform !== "linux") return
      const [, , groupId, sessionId] = text
        .slice(text.lastIndexOf(")") + 2)
        .split(" ")
        .map(Number)
      assert.deepStrictEqual([groupId, sessionId], [child.pid, child.pid])
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("standard input is at its end unless something is given", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* run({ command: ["cat"] })).text, "")
      assert.strictEqual((yield* run({ command: ["cat"], stdin: { bytes: "given" } })).text, "given")
      const directory = yield* temporary
      writeFileSync(join(directory, "input"), "from a file")
      const fromFile = yield* run({ command: ["cat"], cwd: directory, stdin: { file: "input" } })
      assert.strictEqual(fromFile.text, "from a file")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("standard input as a pipe stays open until it is ended", () =>
    Effect.gen(function* () {
      const cat = yield* spawnTalking({ command: ["cat"], stdin: "pipe" })
      yield* cat.write("one\n")
      assert.strictEqual(yield* cat.line("one"), "")
      yield* cat.write("two\n")
      assert.strictEqual(yield* cat.line("two"), "")
      assert.isUndefined(cat.exitNow())
      yield* cat.endInput
      assert.deepStrictEqual(yield* cat.exit, new ExitStatus.Exited({ code: 0 }))
      const refused = yield* Effect.flip(cat.write("three\n"))
      assert.strictEqual(refused._tag, "StdinClosed")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("writing to a process that does not read or did not ask for it is a typed error", () =>
    Effect.gen(function* () {
      const closed = yield* spawnTalking({ command: sh("exec <&-; echo closed; sleep 60"), stdin: "pipe" })
      yield* closed.line("closed")
      assert.strictEqual((yield* Effect.flip(closed.write("x"))).reason, "write EPIPE")
      const none = yield* spawn({ command: ["sleep", "60"] })
      assert.include((yield* Effect.flip(none.write("x"))).message, 'stdin: "pipe"')
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("bytes for a process that never reads them neither fail nor hang", () =>
    Effect.gen(function* () {
      const { status } = yield* run({ command: ["true"], stdin: { bytes: new Uint8Array(4_000_000) } })
      assert.isTrue(ExitStatus.isSuccess(status))
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("an exit code and a signal are told apart exactly", () =>
    Effect.gen(function* () {
      const status = (script: string) => Effect.map(run({ command: sh(script) }), ({ status }) => status)
      assert.deepStrictEqual(yield* status("exit 0"), new ExitStatus.Exited({ code: 0 }))
      assert.deepStrictEqual(yield* status("exit 137"), new ExitStatus.Exited({ code: 137 }))
      assert.deepStrictEqual(yield* status("exit 255"), new ExitStatus.Exited({ code: 255 }))
      assert.deepStrictEqual(yield* status("kill -KILL $$"), new ExitStatus.Signaled({ signal: "SIGKILL" }))
      assert.deepStrictEqual(yield* status("kill -TERM $$"), new ExitStatus.Signaled({ signal: "SIGTERM" }))
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("output goes to files by descriptor, appended or replaced, and to nowhere", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const write = (append: boolean) =>
        run({
          command: sh("echo out; echo err >&2"),
          cwd: directory,
          stdout: { file: "out.log", append },
          stderr: { file: join(directory, "err.log"), append },
        })
      yield* write(true)
      yield* write(true)
      assert.strictEqual(readFileSync(join(directory, "out.log"), "utf8"), "out\nout\n")
      assert.strictEqual(readFileSync(join(directory, "err.log"), "utf8"), "err\nerr\n")
      yield* write(false)
      assert.strictEqual(readFileSync(join(directory, "out.log"), "utf8"), "out\n")
      const { text } = yield* run({ command: sh("echo out; echo err >&2"), stdout: "null" })
      assert.strictEqual(text, "err\n")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("both outputs may go to one file, replaced", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const file = join(directory, "both.log")
      writeFileSync(file, "old")
      const both = { file, append: false }
      yield* run({ command: sh("echo 1; echo 2 >&2; echo 3; echo 4 >&2"), stdout: both, stderr: both })
      assert.strictEqual(readFileSync(file, "utf8"), "1\n2\n3\n4\n")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("an output that drops cannot be asked to make the process wait", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        spawn({ command: ["true"], whenFull: "block" }, { output: ProcessOutput.make() }),
      )
      assert.include(error.message, "whenFull")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("a full disk does not stop a process that writes to it", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const { status, text } = yield* run({
        command: sh("echo lost; echo the write failed with $? >&2; exit 3"),
        stdout: { file: "/dev/full" },
      })
      assert.deepStrictEqual(status, new ExitStatus.Exited({ code: 3 }))
      assert.include(text, "the write failed with")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )
})

describe("environment", () => {
  const print = (names: string) => node(`console.log(JSON.stringify(${names}))`)
  const variables = (names: ReadonlyArray<string>) =>
    print(`[${names.map((name) => `process.env.${name} ?? null`).join(", ")}]`)

  it.scopedLive("inherited, then env files in order, then explicit variables", () =>
    Effect.gen(function* () {
      yield* withVariable("HF_TEST_INHERITED", "inherited")
      yield* withVariable("HF_TEST_FIRST", "inherited")
      const directory = yield* temporary
      writeFileSync(
        join(directory, "one.env"),
        "HF_TEST_FIRST=one\nHF_TEST_SECOND='one'\nHF_TEST_THIRD=one\n",
      )
      writeFileSync(join(directory, "two.env"), '# comment\nHF_TEST_SECOND="two"\nHF_TEST_THIRD=two\n')
      const names = ["HF_TEST_INHERITED", "HF_TEST_FIRST", "HF_TEST_SECOND", "HF_TEST_THIRD"]
      const spec = {
        command: variables(names),
        cwd: directory,
        envFiles: ["one.env", join(directory, "two.env")],
        env: { HF_TEST_THIRD: "explicit" },
      }
      assert.deepStrictEqual(JSON.parse((yield* run(spec)).text), ["inherited", "one", "two", "explicit"])
      assert.deepStrictEqual(JSON.parse((yield* run({ ...spec, inheritEnv: false })).text), [
        null,
        "one",
        "two",
        "explicit",
      ])
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("a missing env file is an error that names it, and nothing is started", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const error = yield* Effect.flip(
        spawn({ command: sh("echo started > started"), cwd: directory, envFiles: ["none.env"] }),
      )
      assert.strictEqual(error._tag, "FileUnusable")
      assert.include(error.message, join(directory, "none.env"))
      assert.throws(() => readFileSync(join(directory, "started")))
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("every child carries its owner and its unit or job, whatever its spec says", () =>
    Effect.gen(function* () {
      const { owner } = yield* ProcessSpawner.ProcessSpawner
      yield* withVariable("HOLDFAST_UNIT", "the unit that this program itself is")
      const command = variables(["HOLDFAST_OWNER", "HOLDFAST_UNIT", "HOLDFAST_JOB"])
      const marks = (extra: object) =>
        Effect.map(
          run({ command, env: { HOLDFAST_OWNER: "mine" }, ...extra }),
          ({ text }) => JSON.parse(text) as unknown,
        )
      assert.deepStrictEqual(yield* marks({ unit: "web" }), [owner, "web", null])
      assert.deepStrictEqual(yield* marks({ job: "01J" }), [owner, null, "01J"])
      assert.deepStrictEqual(yield* marks({ inheritEnv: false }), [owner, null, null])
      assert.match(owner, /^[0-9a-f]{32}$/)
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.live("two program runs have different owners", () =>
    Effect.gen(function* () {
      const owner = ProcessSpawner.ProcessSpawner.pipe(
        Effect.map(({ owner }) => owner),
        Effect.provide(ProcessSpawner.layer),
      )
      assert.notStrictEqual(yield* owner, yield* owner)
    }),
  )
})

describe("masks", () => {
  const secret = "hunter2-and-more"

  it.scopedLive("a masked value is in no command, spec or error", () =>
    Effect.gen(function* () {
      const env = { TOKEN: secret }
      const mask = ["TOKEN"]
      const child = yield* spawn({
        command: ["sleep", "60", `--token=${secret}`],
        env: { ...env, URL: `http://u:${secret}@h` },
        stdin: { bytes: secret },
        mask,
      })
      assert.include(child.command, "--token=***")
      const ended = yield* run({ command: ["echo", secret], env, mask })
      assert.notInclude(JSON.stringify(child), secret)
      assert.notInclude(inspect(child, { depth: 20 }), secret)
      assert.notInclude(JSON.stringify([ended.process.spec, ended.process.command]), secret)
      assert.strictEqual(ended.text, `${secret}\n`)
      assert.strictEqual(ended.process.redact(ended.text), "***\n")
      const errors = yield* Effect.all([
        Effect.flip(spawn({ command: [`/no/${secret}`], env, mask })),
        Effect.flip(spawn({ command: ["true"], cwd: `/no/${secret}`, env, mask })),
        Effect.flip(spawn({ command: ["true", `${secret}\0`], env, mask })),
        Effect.flip(spawn({ command: ["true"], env: { TOKEN: `${secret}\0` }, mask })),
        Effect.flip(spawn({ command: ["true"], stdout: { file: `/no/${secret}` }, env, mask })),
        Effect.flip(spawn({ command: ["true"], envFiles: [`/no/${secret}`], env, mask })),
        Effect.flip(spawn({ command: [`holdfast-${secret}`], env: { ...env, PATH: `/no/${secret}` }, mask })),
      ])
      for (const error of errors) {
        assert.notInclude(error.message, secret)
        assert.notInclude(JSON.stringify(error), secret)
      }
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("no quoting, cutting or encoding hides a masked value from its mask", () =>
    Effect.gen(function* () {
      for (const value of ['he said "open\\sesame"', "x".repeat(203), "pässwörd9"]) {
        const env = { TOKEN: value }
        const error = yield* Effect.flip(spawn({ command: ["true", `${value}\0`], env, mask: ["TOKEN"] }))
        for (const part of [value, JSON.stringify(value).slice(1, -1), value.slice(0, 30)]) {
          assert.notInclude(error.message, part)
        }
        const file = join(yield* temporary, value.slice(0, 100).replaceAll("/", "-"))
        const mask = { env: { TOKEN: value, FILE: file }, mask: ["TOKEN", "FILE"] }
        const child = yield* spawn({
          ...mask,
          command: sh(`: ${"y".repeat(150)}; sleep 60; : '${value}'`),
          stdout: { file },
          unit: `unit of ${value}`,
        })
        const members = yield* child.members
        assert.isAbove(members.length, 0)
        assert.notInclude(JSON.stringify(members), value.slice(0, 30))
        assert.notInclude(JSON.stringify(child.spec), value.slice(0, 30))
      }
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("an env file that cannot be used is refused without its values", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      writeFileSync(join(directory, ".env"), `TOKEN=abc\0${secret}\n`)
      const error = yield* Effect.flip(
        spawn({ command: ["true"], cwd: directory, envFiles: [".env"], mask: ["TOKEN"] }),
      )
      assert.strictEqual(error._tag, "FileUnusable")
      assert.include(error.message, "NUL")
      assert.notInclude(error.message, secret)
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("a masked value that is inherited or comes from a file is masked too", () =>
    Effect.gen(function* () {
      yield* withVariable("HF_TEST_SECRET", secret)
      const directory = yield* temporary
      writeFileSync(join(directory, ".env"), `HF_TEST_FILE_SECRET=from-${secret}-file\n`)
      const { process: child } = yield* run({
        command: ["echo", `from-${secret}-file`, secret],
        cwd: directory,
        envFiles: [".env"],
        mask: ["HF_TEST_SECRET", "HF_TEST_FILE_SECRET"],
      })
      assert.strictEqual(child.command, "echo *** ***")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )
})
