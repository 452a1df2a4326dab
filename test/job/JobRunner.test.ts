import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Duration from "effect/Duration"
import { lastAttempt } from "../../src/job/JobRecord.js"
import { makeRoot, runShell, withRunner } from "./runner-support.js"

for (const keeper of ["perl", "node"] as const) {
  describe(`with the ${keeper} keeper`, () => {
    const it2 = (
      name: string,
      body: (runner: Parameters<Parameters<typeof withRunner>[1]>[0]) => Effect.Effect<void, unknown>,
    ) => it.scopedLive(name, () => Effect.flatMap(makeRoot, (root) => withRunner(root, body, keeper)))

    it2("records codes and signals exactly", (runner) =>
      Effect.gen(function* () {
        const ends = yield* Effect.forEach(
          [
            "exit 0",
            "exit 3",
            "exit 130",
            "exit 137",
            "exit 141",
            "kill -INT $$",
            "kill -KILL $$",
            "kill -PIPE $$",
          ],
          (script) =>
            Effect.map(runShell(runner, script), ({ state }) =>
              state._tag === "exited"
                ? state.code
                : state._tag === "killed"
                  ? `${state.signal} ${state.cause}`
                  : state._tag,
            ),
          { concurrency: 4 },
        )
        assert.deepStrictEqual(ends, [
          0,
          3,
          130,
          137,
          141,
          "SIGINT signal",
          "SIGKILL signal",
          "SIGPIPE signal",
        ])
      }),
    )

    it2("keeps output, environment and input", (runner) =>
      Effect.gen(function* () {
        const record = yield* runShell(
          runner,
          'cat; printf "%s" "$A"; echo "$HOLDFAST_JOB" >&2; pwd; env | grep -c HOLDFAST_OWNER',
          {
            stdin: { text: "héllo\n" },
            env: { A: "it's\n" },
            cwd: "/",
          },
        )
        const { stderr, stdout } = yield* runner.tail(record.id)
        assert.strictEqual(stdout.text, "héllo\nit's\n/\n1\n")
        assert.strictEqual(stderr.text, `${record.id}\n`)
        assert.strictEqual(lastAttempt(record)?.stdoutBytes, stdout.observedBytes)
      }),
    )

    it2("says why a job could not be started", (runner) =>
      Effect.gen(function* () {
        const failures = yield* Effect.forEach(
          [
            { command: ["no-such-program"] },
            { command: ["true"], cwd: "/no/such" },
            { command: ["cat"], stdin: { file: "/no/such" } },
            { command: ["/etc/passwd"] },
          ] as const,
          (input) =>
            Effect.gen(function* () {
              const { record } = yield* runner.submit({ ...input, retries: 2 })
              const { state } = (yield* runner.wait(record.id)).record
              return state._tag === "failed" ? `${state.cause} ${state.error}` : state._tag
            }),
        )
        assert.deepStrictEqual(failures, [
          "spawn-error CommandNotFound",
          "spawn-error BadWorkingDirectory",
          "spawn-error FileUnusable",
          "spawn-error NotExecutable",
        ])
      }),
    )

    it2("ends a job at its timeout, and one that will not go by KILL", (runner) =>
      Effect.gen(function* () {
        const gentle = yield* runShell(runner, "sleep 100", { timeout: "200ms" })
        assert.deepInclude(gentle.state, { _tag: "killed", signal: "SIGTERM", cause: "timeout" })
        const stubborn = yield* runShell(runner, "trap '' TERM; while :; do sleep 0.05; done", {
          timeout: "200ms",
          killAfter: "200ms",
        })
        assert.deepInclude(stubborn.state, { _tag: "killed", signal: "SIGKILL", cause: "timeout" })
      }),
    )

    it2("signals what outlives the root process", (runner) =>
      Effect.gen(function* () {
        const record = yield* runShell(runner, "setsid sleep 101 & sleep 102 & echo started")
        assert.deepInclude(record.state, { _tag: "exited", code: 0 })
        const commands = Effect.map(runner.strays, (strays) =>
          strays
            .filter(({ id }) => id === record.id)
            .map(({ command }) => command.slice(-9))
            .sort(),
        )
        // Between its fork and its exec each of them has the command of the shell.
        const strays = yield* Effect.repeat(Effect.delay(commands, "5 millis"), {
          until: (found) => found.every((command) => command.startsWith("sleep")),
        })
        assert.deepStrictEqual(strays, ["sleep 101", "sleep 102"])
        const { stop } = yield* runner.kill(record.id, { grace: Duration.seconds(5) })
        assert.deepStrictEqual(stop?.sent, ["SIGTERM"])
        assert.deepStrictEqual(stop?.survivors, [])
        assert.strictEqual((yield* runner.kill(record.id)).stop, undefined)
      }),
    )

    it2("writes to the input of a running job, and ends it", (runner) =>
      Effect.gen(function* () {
        const { record } = yield* runner.submit({ command: ["cat"], stdin: "pipe" })
        yield* runner.write(record.id, Buffer.from("one\n"))
        yield* runner.write(record.id, Buffer.from("two\n"), { end: true })
        const ended = yield* runner.wait(record.id)
        assert.deepInclude(ended.record.state, { _tag: "exited", code: 0 })
        assert.strictEqual((yield* runner.tail(record.id)).stdout.text, "one\ntwo\n")
      }),
    )
  })
}
