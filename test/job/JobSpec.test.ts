import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as JobSecrets from "../../src/job/JobSecrets.js"
import * as JobSpec from "../../src/job/JobSpec.js"

const origin = { cwd: "/srv", env: { INHERITED: "from-outside" } }

describe("a job's description", () => {
  it.effect("needs a command only", () =>
    Effect.gen(function* () {
      const spec = yield* JobSpec.make({ command: ["true"] }, origin)
      assert.strictEqual(spec.cwd, "/srv")
      assert.strictEqual(spec.stopSignal, "SIGTERM")
      assert.deepStrictEqual(spec.killAfter, Duration.seconds(10))
      assert.deepStrictEqual(
        [spec.stdin, spec.whenLogFull, spec.priority, spec.retries],
        ["null", "kill", 0, 0],
      )
      assert.strictEqual((yield* JobSpec.make({ command: ["true"], cwd: "a/../b" }, origin)).cwd, "/srv/b")
    }),
  )

  it.effect("is the same after it was written and read", () =>
    Effect.gen(function* () {
      const spec = yield* JobSpec.make(
        {
          command: ["make", "all"],
          cwd: "/src",
          env: { A: "first" },
          mask: ["A"],
          stdin: { base64: "aGFsbG8=" },
          timeout: "1h30m",
          killAfter: 2,
          stopSignal: "int",
          tags: ["ci", "nightly build"],
          maxLogBytes: 10_000_000,
          whenLogFull: "keep-ends",
          group: "build",
          priority: -3,
          after: [{ job: "01hz" }, { job: "01HY", when: "end" }],
          startAt: "2030-01-31T08:00:00+01:00",
          retries: 3,
          backoff: { delay: "100ms" },
          idempotencyKey: "k-1",
          notifications: [
            { command: ["notify"] },
            { on: { output: "READY (\\d+)" }, file: "/var/log/events.ndjson" },
          ],
        },
        origin,
      )
      assert.strictEqual(spec.startAt, Date.UTC(2030, 0, 31, 7))
      const json = Schema.encodeSync(Schema.parseJson(JobSpec.JobSpec))(spec)
      assert.deepStrictEqual(Schema.decodeSync(Schema.parseJson(JobSpec.JobSpec))(json), spec)
    }),
  )

  const bad: ReadonlyArray<[string, Record<string, unknown>, string]> = [
    ["no command", { command: undefined }, "command"],
    ["an empty command", { command: [] }, "command[0]"],
    ["NUL in an argument", { command: ["echo", "a\0b"] }, "command[1]"],
    ["too many arguments", { command: Array.from({ length: 10_001 }, () => "x") }, "command"],
    ["more than a mebibyte", { command: ["echo", "x".repeat(1_048_577)] }, "(the whole spec)"],
    ["an empty cwd", { cwd: "" }, "cwd"],
    ["a cwd with NUL", { cwd: "/a\0" }, "cwd"],
    ["a cwd that is no text", { cwd: 1 }, "cwd"],
    ["an endless cwd", { cwd: `/${"x".repeat(5_000)}` }, "cwd"],
    ["broken base 64", { stdin: { base64: "=a" } }, "stdin.base64"],
    ["a relative input file", { stdin: { file: "in.txt" } }, "stdin.file"],
    ["no time at all", { timeout: 0 }, "timeout"],
    ["a negative time", { timeout: -1 }, "timeout"],
    ["a time beyond all measure", { timeout: "9999999d" }, "timeout"],
    ["a grace that is no time", { killAfter: "soon" }, "killAfter"],
    ["an unknown signal", { stopSignal: "NOPE" }, "stopSignal"],
    ["a tag with a line break", { tags: ["a\nb"] }, "tags[0]"],
    ["an empty tag", { tags: [""] }, "tags[0]"],
    ["a tag given twice", { tags: ["a", "a"] }, "tags"],
    ["too many tags", { tags: Array.from({ length: 33 }, (_, n) => `t${n}`) }, "tags"],
    ["a log of no bytes", { maxLogBytes: 0 }, "maxLogBytes"],
    ["a log beyond all measure", { maxLogBytes: 1e300 }, "maxLogBytes"],
    ["an unknown policy", { whenLogFull: "explode" }, "whenLogFull"],
    ["a group that is a path", { group: "../x" }, "group"],
    ["a priority that is none", { priority: 1.5 }, "priority"],
    ["a priority beyond all measure", { priority: 1e9 }, "priority"],
    ["a dependency that is no id", { after: [{ job: "../../etc" }] }, "after[0].job"],
    ["an unknown condition", { after: [{ job: "01", when: "maybe" }] }, "after[0].when"],
    ["delay and start time", { delay: 1, startAt: 1 }, "startAt"],
    ["a day that is none", { startAt: "tomorrow" }, "startAt"],
    ["endless retries", { retries: 1e9 }, "retries"],
    ["a shrinking backoff", { backoff: { factor: 0.5 } }, "backoff.factor"],
    ["a key that is too long", { idempotencyKey: "k".repeat(201) }, "idempotencyKey"],
    [
      "a pattern that is none",
      { notifications: [{ on: { output: "(" }, file: "/f" }] },
      "notifications[0].on.output",
    ],
    ["an unknown field", { comand: ["x"] }, "comand"],
  ]
  for (const [what, fields, field] of bad) {
    it.effect(`${what} is refused by name`, () =>
      Effect.gen(function* () {
        const input = { command: ["true"], ...fields } as JobSpec.Input
        const error = yield* Effect.flip(JobSpec.make(input, origin))
        assert.strictEqual(error._tag, "InvalidSpec")
        assert.isDefined(
          error.issues.find((issue) => issue.field === field),
          JSON.stringify(error.issues),
        )
        assert.isBelow(error.message.length, 1_000)
      }),
    )
  }

  it.effect("what is no description is refused", () =>
    Effect.forEach([undefined, null, "true", 1, [], ["true"]], (input) =>
      Effect.map(Effect.flip(JobSpec.make(input as never, origin)), (error) =>
        assert.strictEqual(error._tag, "InvalidSpec"),
      ),
    ),
  )
})

describe("the secrets of a job", () => {
  const secret = "hunter2-hunter2"

  it.effect("are hidden wherever they stand, and can be put back", () =>
    Effect.gen(function* () {
      const spec = yield* JobSpec.make(
        {
          command: ["curl", `--header=token:${secret}`, "from-outside"],
          env: { TOKEN: secret, COPY: `a${secret}b`, PLAIN: "seen" },
          mask: ["TOKEN", "INHERITED"],
          stdin: { text: "input" },
        },
        origin,
      )
      const { hidden, secrets, shown } = JobSecrets.hide(spec, origin.env)
      const text = Schema.encodeSync(Schema.parseJson(JobSpec.JobSpec))(shown)
      for (const word of [secret, "from-outside", "input"]) assert.notInclude(text, word)
      assert.include(text, "seen")
      assert.deepStrictEqual(hidden, ["command", "env.TOKEN", "env.COPY", "stdin"])
      assert.deepStrictEqual(JobSecrets.reveal(shown, secrets!), spec)
      assert.deepStrictEqual(Schema.decodeSync(Schema.parseJson(JobSpec.JobSpec))(text), shown)
    }),
  )

  it.effect("are not accepted where they would have to be shown, and not told in the refusal", () =>
    Effect.gen(function* () {
      const input: JobSpec.Input = {
        command: ["true"],
        env: { TOKEN: secret },
        mask: ["TOKEN"],
        cwd: `/srv/${secret}`,
        tags: [secret],
        idempotencyKey: secret,
        group: secret,
        notifications: [{ command: ["notify", secret] }],
      }
      const error = yield* Effect.flip(JobSpec.make(input, origin))
      assert.deepStrictEqual(
        error.issues.map(({ field }) => field),
        ["cwd", "group", "idempotencyKey", "tags[0]", "notifications[0].command[1]"],
      )
      assert.notInclude(JSON.stringify(error), secret)
      const other = yield* Effect.flip(
        JobSpec.make({ ...input, command: [`\0${secret}`], stopSignal: secret }, origin),
      )
      assert.notInclude(JSON.stringify(other) + other.message, secret)
    }),
  )

  it.effect("a job that hides nothing has none", () =>
    Effect.gen(function* () {
      const spec = yield* JobSpec.make({ command: ["true"], mask: ["ABSENT"] }, origin)
      assert.deepStrictEqual(JobSecrets.hide(spec, origin.env), {
        shown: spec,
        hidden: [],
        secrets: undefined,
      })
    }),
  )
})
