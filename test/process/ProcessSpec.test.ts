import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ProcessSpec from "../../src/process/ProcessSpec.js"
import * as Signal from "../../src/process/Signal.js"
import * as TimeSpan from "../../src/process/TimeSpan.js"

describe("a process spec", () => {
  it.effect("needs a command only", () =>
    Effect.gen(function* () {
      const spec = yield* ProcessSpec.make({ command: ["sleep", "60"] })
      assert.deepStrictEqual(spec.stop, { signal: "SIGTERM", grace: Duration.seconds(10) })
      assert.deepStrictEqual(
        [spec.stdin, spec.stdout, spec.stderr, spec.whenFull],
        ["null", "pipe", "pipe", "drop"],
      )
      assert.isTrue(spec.inheritEnv)
    }),
  )

  const bad: ReadonlyArray<[string, unknown, string, string]> = [
    ["no command", {}, "command", "nothing"],
    ["an empty command", { command: [] }, "command[0]", "nothing"],
    ["an empty program", { command: [" "] }, "command", '[" "]'],
    ["a command line as one text", { command: "sleep 60" }, "command", '"sleep 60"'],
    ["NUL in an argument", { command: ["echo", "a\0b"] }, "command[1]", '"a\\u0000b"'],
    ["an empty cwd", { command: ["true"], cwd: "" }, "cwd", '""'],
    ["a variable name with =", { command: ["true"], env: { "A=B": "1" } }, "env.A=B", "(hidden)"],
    ["a variable that is no text", { command: ["true"], env: { A: 1 } }, "env.A", "(hidden)"],
    ["an unknown field", { command: ["true"], comand: 1 }, "comand", "(hidden)"],
    ["an unknown signal", { command: ["true"], stop: { signal: "TREM" } }, "stop.signal", '"TREM"'],
    ["a bad duration", { command: ["true"], stop: { grace: "10 parsecs" } }, "stop.grace", '"10 parsecs"'],
    ["a negative duration", { command: ["true"], stop: { grace: -1 } }, "stop.grace", "-1"],
    ["an unknown stdin", { command: ["true"], stdin: "tty" }, "stdin", "(hidden)"],
    ["an output with no file", { command: ["true"], stdout: { append: true } }, "stdout.file", "nothing"],
  ]
  for (const [what, input, field, value] of bad) {
    it.effect(`${what} is refused with the field, the value and what is allowed`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(ProcessSpec.make(input as ProcessSpec.Input))
        assert.strictEqual(error._tag, "InvalidSpec")
        const issue = error.issues.find((issue) => issue.field === field)
        assert.isDefined(issue, JSON.stringify(error.issues))
        assert.strictEqual(issue!.value, value)
        assert.match(issue!.allowed, /^(expected [a-z"{]|it is )/)
        assert.strictEqual(error.issues.length, 1)
        assert.include(error.message, field)
      }),
    )
  }

  it.effect("everything wrong is told at once", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        ProcessSpec.make({ command: [""], cwd: "", stop: { grace: "soon" } } as never),
      )
      assert.sameMembers(
        error.issues.map((issue) => issue.field),
        ["command", "cwd", "stop.grace"],
      )
    }),
  )
})

describe("a length of time", () => {
  it("is read as people write it", () => {
    const millis = (input: TimeSpan.Input) =>
      Option.map(TimeSpan.parse(input), Duration.toMillis).pipe(Option.getOrNull)
    assert.deepStrictEqual(
      ["500ms", "10s", "5m", "1h30m", "1.5s", "2", 2, 0, Duration.minutes(1)].map(millis),
      [500, 10_000, 300_000, 5_400_000, 1_500, 2_000, 2_000, 0, 60_000],
    )
    for (const none of [
      "",
      "s",
      "10 s",
      "-1s",
      "1e3",
      "10x",
      -1,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Duration.infinity,
    ]) {
      assert.isNull(millis(none), String(none))
    }
  })
})

describe("a signal's name", () => {
  it("is read in every spelling", () => {
    for (const name of ["TERM", "term", "SIGTERM", " sigterm "])
      assert.strictEqual(Signal.parse(name), "SIGTERM")
    for (const name of ["", "15", "SIGNOPE", "SIG", "__proto__"]) assert.isUndefined(Signal.parse(name))
  })
})
