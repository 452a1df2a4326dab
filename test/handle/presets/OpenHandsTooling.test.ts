/** What a tool directory has to hold, and that all that is wrong with it is told at once. */
import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as OpenHands from "../../../src/handle/presets/OpenHands.js"
import * as OpenHandsTooling from "../../../src/handle/presets/OpenHandsTooling.js"
import { silently } from "./support.js"
import { type Files, make, temporary, tooling } from "./tool-directory.js"

const script = "#!/bin/sh\nexit 0\n"
const environment = { PATH: "/usr/bin:/bin" }

const load = (files: Files, options: Partial<OpenHandsTooling.Options> = {}) =>
  Effect.map(make(files), (directory) => ({
    directory,
    result: OpenHandsTooling.load(directory, { environment, ...options }),
  }))

const issues = (files: Files, options: Partial<OpenHandsTooling.Options> = {}) =>
  Effect.map(load(files, options), ({ directory, result }) =>
    Either.getOrThrow(Either.flip(result)).map(
      ({ allowed, field, value }) => `${field}: got ${value}; ${allowed.replaceAll(directory, "DIR")}`,
    ),
  )

describe("OpenHandsTooling", () => {
  it.scopedLive("needs a version and a launcher, and has defaults for the rest", () =>
    Effect.gen(function* () {
      const { directory, result } = yield* load({
        "tooling.json": tooling({ version: "1.4.0", launcher: "run-local.sh" }),
        "run-local.sh": script,
      })
      expect(Either.getOrThrow(result)).toEqual({
        tooling: {
          version: "1.4.0",
          launcher: "run-local.sh",
          args: [],
          env: {},
          files: [],
          port: 8_000,
        },
        workingDirectory: directory,
        command: [`${directory}/run-local.sh`],
      })
    }),
  )

  it.scopedLive("runs the launcher by its program, with its arguments, in its directory", () =>
    Effect.gen(function* () {
      const { directory, result } = yield* load({
        "tooling.json": tooling({
          version: "v1.4.0",
          launcher: "bin/run",
          program: "sh",
          args: ["--fast", "two words"],
          workingDirectory: "work",
          env: { RUNTIME: "process" },
          port: 8123,
          files: ["uv.lock"],
          versionAt: { path: "/server_info", pointer: "/version" },
        }),
        // No program of its own: it needs no leave to be executed.
        "bin/run": script,
        "uv.lock": "",
        "work/.keep": "",
      })
      expect(Either.getOrThrow(result)).toMatchObject({
        workingDirectory: `${directory}/work`,
        command: ["sh", `${directory}/bin/run`, "--fast", "two words"],
      })
    }),
  )

  it.scopedLive("takes a program of the tool directory by its path", () =>
    Effect.gen(function* () {
      const { directory, result } = yield* load({
        "tooling.json": tooling({ version: "1", launcher: "server.conf", program: "./bin/start.sh" }),
        "bin/start.sh": script,
        "server.conf": "",
      })
      expect(Either.getOrThrow(result).command).toEqual([
        `${directory}/bin/start.sh`,
        `${directory}/server.conf`,
      ])
    }),
  )

  it.scopedLive("lists all that is missing or wrong in one go", () =>
    Effect.gen(function* () {
      expect(
        yield* issues(
          {
            "tooling.json": tooling({
              version: "latest",
              launcher: "run-local.sh",
              program: "no-such-program",
              args: "x",
              env: { A: 1 },
              port: 0,
              files: ["uv.lock", "pyproject.toml"],
              workingDirectory: "work",
              versionAt: { path: "server_info", pointer: "version" },
              lancher: "x",
            }),
            "pyproject.toml": "",
          },
          { expectedVersion: "1.4.0" },
        ),
      ).toEqual([
        "lancher: got (hidden); it is not known here; known are version, launcher, program, args, workingDirectory, env, port, files, versionAt",
        'version: got "latest"; expected one exact version such as 1.4.0, no range and no name such as latest',
        'args: got "x"; expected a list of texts',
        "env.A: got (hidden); expected string",
        "port: got 0; expected a port: a number from 1 to 65535",
        "versionAt.path: got \"server_info\"; expected a path that starts with '/'",
        'versionAt.pointer: got "version"; expected a JSON Pointer such as /version',
        'workingDirectory: got "work"; expected a directory at DIR/work, but it does not exist',
        'files: got "uv.lock"; expected a file at DIR/uv.lock, but it does not exist',
        'launcher: got "run-local.sh"; expected a file at DIR/run-local.sh, but it does not exist',
        'program: got "no-such-program"; The program "no-such-program" was not found in PATH (/usr/bin:/bin). Install it, correct its name, or give its full path',
      ])
    }),
  )

  it.scopedLive("finds the program on the PATH that it would be run with", () =>
    Effect.gen(function* () {
      const files = {
        "tooling.json": tooling({ version: "1.4.0", launcher: "run-local.sh", program: "ls" }),
        "run-local.sh": script,
      }
      expect(yield* issues(files, { environment: { PATH: "/nowhere" } })).toEqual([
        'program: got "ls"; The program "ls" was not found in PATH (/nowhere). Install it, correct its name, or give its full path',
      ])
      expect(Either.isRight((yield* load(files)).result)).toBe(true)
    }),
  )

  it.scopedLive("wants a launcher that can be executed, unless a program runs it", () =>
    Effect.gen(function* () {
      const wrong = yield* issues({
        "tooling.json": tooling({ version: "1.4.0", launcher: "run-local" }),
        "run-local": script,
      })
      expect(wrong).toHaveLength(1)
      expect(wrong[0]).toMatch(/^launcher: got "run-local"; .*permission to execute/)
    }),
  )

  it.scopedLive("wants everything inside of the directory", () =>
    Effect.gen(function* () {
      const wrong = yield* issues({
        "tooling.json": tooling({
          version: "1",
          launcher: "../run.sh",
          workingDirectory: "/tmp",
          files: ["a/../../b", "..c"],
        }),
        "..c": "",
      })
      const allowed = "expected a path inside of the tool directory, relative to it"
      expect(wrong).toEqual([
        `launcher: got "../run.sh"; ${allowed}`,
        `workingDirectory: got "/tmp"; ${allowed}`,
        `files[0]: got "a/../../b"; ${allowed}`,
      ])
    }),
  )

  it.scopedLive("is pinned to one version: no range, no name", () =>
    Effect.gen(function* () {
      for (const version of ["", "latest", "^1.4.0", ">=1", "1.x", "1.*", "1 || 2", "main"]) {
        const wrong = yield* issues({
          "tooling.json": tooling({ version, launcher: "run.sh" }),
          "run.sh": script,
        })
        expect(wrong).toEqual([
          `version: got ${JSON.stringify(version)}; expected one exact version such as 1.4.0, no range and no name such as latest`,
        ])
      }
      for (const version of ["1", "v1.4.0", "1.4.0-rc.1", "2026.1.0+build.5", "1!2.0.post1"]) {
        const { result } = yield* load({
          "tooling.json": tooling({ version, launcher: "run.sh" }),
          "run.sh": script,
        })
        expect(result).toMatchObject({ right: { tooling: { version } } })
      }
    }),
  )

  it.scopedLive("has the version that is asked for, a leading v aside", () =>
    Effect.gen(function* () {
      const files = {
        "tooling.json": tooling({ version: "v1.4.0", launcher: "run.sh" }),
        "run.sh": script,
      }
      expect(Either.isRight((yield* load(files, { expectedVersion: " 1.4.0" })).result)).toBe(true)
      expect(yield* issues(files, { expectedVersion: "1.4.1" })).toEqual([
        'version: got "v1.4.0"; expected 1.4.1, as that is asked for',
      ])
    }),
  )

  it.scopedLive("says what is wrong with the description itself, without what stands in it", () =>
    Effect.gen(function* () {
      expect(yield* issues({})).toEqual([
        "tooling.json: got nothing; expected a file at DIR/tooling.json, but it does not exist",
      ])
      expect(yield* issues({ "tooling.json/x": "" })).toEqual([
        "tooling.json: got nothing; expected a file, which DIR/tooling.json is not",
      ])
      const [broken] = yield* issues({ "tooling.json": '{"env": {"KEY": "s3cret" "B": ""}}' })
      expect(broken).toMatch(/^tooling.json: got a text; expected JSON \(.+\)$/)
      expect(broken).not.toContain("s3cret")
      expect((yield* issues({ "tooling.json": "[]" }))[0]).toContain("(the whole spec)")
      expect(yield* issues({ "tooling.json": "{}" })).toEqual([
        "version: got nothing; it is required",
        "launcher: got nothing; it is required",
      ])
    }),
  )

  it.scopedLive("says that there is no such directory", () =>
    Effect.gen(function* () {
      const directory = path.join(yield* temporary, "gone")
      const result = OpenHandsTooling.load(directory, { environment })
      expect(Either.getOrThrow(Either.flip(result))).toEqual([
        {
          field: "toolDir",
          value: JSON.stringify(directory),
          allowed: `expected a directory at ${directory}, but it does not exist`,
        },
      ])
    }),
  )

  it.scopedLive("does not look at the program of a launcher in whose place another command is run", () =>
    Effect.gen(function* () {
      const { directory, result } = yield* load(
        {
          "tooling.json": tooling({ version: "1", launcher: "run.sh", program: "no-such-program" }),
          "run.sh": script,
        },
        { command: ["sh", "other.sh"] },
      )
      expect(Either.getOrThrow(result)).toMatchObject({
        command: ["sh", "other.sh"],
        workingDirectory: directory,
      })
    }),
  )
})

describe("OpenHands.portOf", () => {
  it.each([
    [undefined, undefined],
    ["", undefined],
    ["  ", undefined],
    ["8123", 8123],
    [" 1 ", 1],
    ["65535", 65_535],
    ["08000", 8_000],
  ])("%j is %j", (text, port) => expect(OpenHands.portOf(text)).toEqual(Either.right(port)))

  it.each([["0"], ["65536"], ["-1"], ["80.5"], ["1e3"], ["0x50"], ["http"], ["80 81"]])(
    "%j is an error",
    (text) =>
      expect(OpenHands.portOf(text)).toEqual(
        Either.left({
          field: "OPENHANDS_SERVER_PORT",
          value: JSON.stringify(text),
          allowed: "expected a port: a number from 1 to 65535",
        }),
      ),
  )
})

describe("OpenHands.managed", () => {
  it.scopedLive("lists what is wrong with the directory and with the port in one error", () =>
    Effect.gen(function* () {
      const toolDir = yield* make({ "tooling.json": tooling({ version: "next", launcher: "run.sh" }) })
      const error = yield* Effect.flip(
        OpenHands.managed({ toolDir }, { environment: { OPENHANDS_SERVER_PORT: "http" } }),
      )
      expect(error._tag).toBe("InvalidSpec")
      expect(error.issues.map(({ field }) => field)).toEqual(["version", "launcher", "OPENHANDS_SERVER_PORT"])
      expect(error.message).toContain(`The OpenHands server of ${toolDir} cannot be used.`)
    }).pipe(Effect.provide(silently)),
  )

  it.scopedLive(
    "uses the port of the caller, of the variable, of the description, or 8000, in that order",
    () =>
      Effect.gen(function* () {
        const bare = yield* make({
          "tooling.json": tooling({ version: "1", launcher: "run.sh" }),
          "run.sh": script,
        })
        const described = yield* make({
          "tooling.json": tooling({ version: "1", launcher: "run.sh", port: 8100 }),
          "run.sh": script,
        })
        const named = { OPENHANDS_SERVER_PORT: "8200" }
        const portFor = (input: OpenHands.ManagedInput, environment: Record<string, string>) =>
          Effect.flatMap(OpenHands.managed(input, { environment }), ({ status }) =>
            Effect.map(status, ({ baseUrl }) => baseUrl),
          )
        expect(yield* portFor({ toolDir: bare }, {})).toBe("http://127.0.0.1:8000")
        expect(yield* portFor({ toolDir: described }, {})).toBe("http://127.0.0.1:8100")
        expect(yield* portFor({ toolDir: described }, { OPENHANDS_SERVER_PORT: " " })).toBe(
          "http://127.0.0.1:8100",
        )
        expect(yield* portFor({ toolDir: described }, named)).toBe("http://127.0.0.1:8200")
        expect(yield* portFor({ toolDir: described, port: 8300 }, named)).toBe("http://127.0.0.1:8300")
        // What nobody uses is not looked at.
        expect(yield* portFor({ toolDir: described, port: 8300 }, { OPENHANDS_SERVER_PORT: "x" })).toBe(
          "http://127.0.0.1:8300",
        )
        expect(fs.readdirSync(bare).sort()).toEqual(["run.sh", "tooling.json"])
      }).pipe(Effect.provide(silently)),
  )
})
