import { chmodSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { diagnose } from "../../src/process/Diagnosis.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import type * as ProcessSpec from "../../src/process/ProcessSpec.js"
import { distProgram, runToEnd } from "./program.js"
import { sh } from "./support.js"

const fail = (spec: ProcessSpec.Input) =>
  ProcessSpawner.ProcessSpawner.pipe(
    Effect.flatMap((spawner) => Effect.flip(spawner.spawn(spec))),
    Effect.scoped,
    Effect.provide(ProcessSpawner.layer),
  )

const temporary = Effect.acquireRelease(
  Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "holdfast-error-")))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true })),
)

/** A file with these contents and permissions, and its path. */
const file = (name: string, text: string, mode: number) =>
  Effect.map(temporary, (directory) => {
    const path = join(directory, name)
    writeFileSync(path, text)
    chmodSync(path, mode)
    return path
  })

describe("a spawn that the system refuses", () => {
  it.live("missing binary: names the PATH that was searched", () =>
    Effect.gen(function* () {
      const error = yield* fail({ command: ["holdfast-no-such"], env: { PATH: "/usr/bin:/somewhere" } })
      assert.strictEqual(error._tag, "CommandNotFound")
      assert.include(error.message, '"holdfast-no-such"')
      assert.include(error.message, "/usr/bin:/somewhere")
      const path = yield* fail({ command: ["/no/such/program"] })
      assert.strictEqual(path._tag, "CommandNotFound")
      assert.include(path.message, "/no/such/program")
    }),
  )

  it.scopedLive("not executable: says so, with the path that was found", () =>
    Effect.gen(function* () {
      const path = yield* file("plain.txt", "echo hello", 0o644)
      const error = yield* fail({ command: [path] })
      assert.strictEqual(error._tag, "NotExecutable")
      assert.include(error.message, path)
      assert.include(error.message, "chmod +x")
      const directory = yield* fail({ command: [yield* temporary] })
      assert.strictEqual(directory._tag, "NotExecutable")
      assert.include(directory.message, "it is a directory")
    }),
  )

  it.scopedLive("a script whose interpreter is missing is told from a missing script", () =>
    Effect.gen(function* () {
      const path = yield* file("script", "#!/no/such/interpreter -x\n", 0o755)
      const error = yield* fail({ command: [path] })
      assert.strictEqual(error._tag, "NotExecutable")
      assert.include(error.message, "/no/such/interpreter")
    }),
  )

  it.scopedLive("bad working directory: missing, or not one", () =>
    Effect.gen(function* () {
      const missing = yield* fail({ command: ["true"], cwd: "/no/such/directory" })
      assert.strictEqual(missing._tag, "BadWorkingDirectory")
      assert.include(missing.message, '"/no/such/directory": it does not exist')
      const path = yield* file("plain", "", 0o644)
      const none = yield* fail({ command: ["true"], cwd: path })
      assert.strictEqual(none._tag, "BadWorkingDirectory")
      assert.include(none.message, "not a directory")
    }),
  )

  it.scopedLive("a FIFO as program, and a script that is its own interpreter, are told apart at once", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const fifo = join(directory, "fifo")
      yield* Effect.flatMap(spawner.spawn({ command: ["mkfifo", "-m", "755", fifo] }), ({ exit }) => exit)
      const error = yield* fail({ command: [fifo] })
      assert.strictEqual(error._tag, "NotExecutable")
      assert.include(error.message, "not a regular file")
      const own = join(directory, "own")
      writeFileSync(own, `#!${own}\n`, { mode: 0o755 })
      assert.strictEqual((yield* fail({ command: [own] }))._tag, "NotExecutable")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.live("argument list too long: says how long, and what to do instead", () =>
    Effect.gen(function* () {
      const error = yield* fail({ command: ["true", "x".repeat(300_000)] })
      assert.strictEqual(error._tag, "ArgumentListTooLong")
      assert.match(error.message, /3\d\d\d\d\d bytes/)
      assert.include(error.message, "standard input")
    }),
  )

  it.scopedLive("a FIFO that nobody reads is refused as output instead of stopping everything", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const spawner = yield* ProcessSpawner.ProcessSpawner
      yield* Effect.flatMap(
        spawner.spawn({ command: ["mkfifo", join(directory, "fifo")] }),
        ({ exit }) => exit,
      )
      const error = yield* fail({ command: ["true"], stdout: { file: join(directory, "fifo") } })
      assert.strictEqual(error._tag, "FileUnusable")
      assert.include(error.message, "stdout")
      const input = yield* fail({ command: ["true"], stdin: { file: "/no/such/input" } })
      assert.include(input.message, "/no/such/input")
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("a FIFO that nobody writes to is refused as env file instead of being waited for", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const fifo = join(directory, "fifo")
      yield* Effect.flatMap(spawner.spawn({ command: ["mkfifo", fifo] }), ({ exit }) => exit)
      const error = yield* fail({ command: ["true"], cwd: directory, envFiles: ["fifo"] })
      assert.strictEqual(error._tag, "FileUnusable")
      assert.include(error.message, `"${fifo}" given as envFiles cannot be used: it is not a regular file`)
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("too many open files: typed, nothing is left behind, and it works again afterwards", () =>
    Effect.gen(function* () {
      const result = yield* runToEnd(
        sh(`ulimit -n 400; exec "$0" --input-type=module -e "$1"`),
        process.execPath,
        distProgram(`
          const { closeSync, openSync } = yield* Effect.promise(() => import("node:fs"))
          const taken = []
          try { while (true) taken.push(openSync("/dev/null", "r")) } catch {}
          for (const descriptor of taken.slice(0, 40)) closeSync(descriptor)
          const scope = yield* Scope.make()
          const spawner = yield* ProcessSpawner.ProcessSpawner
          const errors = []
          for (let i = 0; i < 60; i++) {
            const exit = yield* Effect.either(Scope.extend(spawner.spawn({ command: ["sleep", "60"] }), scope))
            if (exit._tag === "Left") errors.push(exit.left)
          }
          console.log(errors[0]._tag, new Set(errors.map((error) => error._tag)).size, errors[0].message)
          yield* Scope.close(scope, Exit.void)
          const again = yield* spawner.spawn({ command: ["true"] })
          console.log("again", JSON.stringify(yield* again.exit))
        `),
      )
      assert.match(result, /TooManyOpenFiles 1 Could not start sleep 60: .*ulimit -n/)
      assert.include(result, 'again {"code":0,"_tag":"Exited"}')
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("an exit while no file descriptor is free is noticed, and harms nobody", () =>
    Effect.gen(function* () {
      const result = yield* runToEnd(
        sh(`ulimit -n 400; exec "$0" --input-type=module -e "$1"`),
        process.execPath,
        distProgram(`
          const { closeSync, openSync } = yield* Effect.promise(() => import("node:fs"))
          const spawner = yield* ProcessSpawner.ProcessSpawner
          const child = yield* spawner.spawn({ command: ["sleep", "0.3"], stdout: "null", stderr: "null" })
          const taken = []
          try { while (true) taken.push(openSync("/dev/null", "r")) } catch {}
          const status = yield* child.exit
          for (const descriptor of taken) closeSync(descriptor)
          console.log(JSON.stringify(status), (yield* child.stop()).survivors.length)
        `),
      )
      assert.include(result, '{"code":0,"_tag":"Exited"} 0')
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it("too many processes, no memory, and anything else have words of their own", () => {
    const attempt = {
      program: "true",
      args: [],
      cwd: undefined,
      env: { PATH: "/usr/bin:/bin" },
      shown: "true",
      redact: (text: string) => text,
    }
    const told = (code: string) => diagnose(attempt, Object.assign(new Error(`spawn ${code}`), { code }))
    assert.strictEqual(told("EAGAIN")._tag, "TooManyProcesses")
    assert.include(told("EAGAIN").message, "ulimit -u")
    assert.include(told("ENOMEM").message, "no memory")
    assert.include(told("ENFILE").message, "the system has no file descriptor left")
    assert.strictEqual(told("EIO")._tag, "SpawnFailed")
    assert.include(told("EIO").message, "EIO")
  })
})
