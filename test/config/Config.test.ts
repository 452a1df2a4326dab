import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Config from "../../src/config/Config.js"
import { accept, env, refuse, unit } from "./support.js"

/** As it is printed in the specification. */
const sample = `
units:
  migrate:
    kind: oneshot
    command: [node, migrate.js]          # an array is executed; a string goes through the shell
  web:                                   # kind: service is the default
    command: node server.js
    cwd: ./web
    port: auto                           # or a number, or ports: [..]
    env: { PORT: "\${port}" }
    envFile: [.env]
    requires: [migrate]                  # or { migrate: succeeded }; also after, wants, bindsTo, conflicts
    readiness: { http: { path: /health }, period: 10s, timeout: 1s, failureThreshold: 3 }
    liveness: { tcp: {}, period: 10s }
    restart: { policy: on-failure, maxFailures: 10, stableAfter: 10s }   # or just: on-failure
    stop: { signal: TERM, grace: 10s }
    logs: { lines: 1000, maxSize: 10MB, maxFiles: 10 }
  search:
    kind: external
    url: http://127.0.0.1:9200
  all:
    kind: target
    requires: [web, search]
`

describe("a configuration", () => {
  it("is what it says, with the defaults of the rest", () => {
    const config = accept(sample)
    assert.strictEqual(config.file, "/etc/holdfast/holdfast.yaml")
    assert.strictEqual(config.directory, "/etc/holdfast")
    assert.deepStrictEqual(config.plan.graph.order, ["migrate", "web", "search", "all"])

    const web = unit(config, "web")
    assert.strictEqual(web.kind, "service")
    assert.strictEqual(web.command, "node server.js")
    assert.strictEqual(web.port, "auto")
    assert.deepStrictEqual(web.env, { PORT: "${port}" })
    assert.deepStrictEqual(web.requires, { migrate: undefined })
    assert.deepStrictEqual(config.plan.graph.nodes.get("web")!.edges, [
      { kind: "requires", from: "web", to: "migrate", condition: "succeeded" },
    ])
    assert.strictEqual(web.readiness?.http?.path, "/health")
    assert.deepStrictEqual(web.liveness?.tcp, {})
    assert.isTrue(Duration.equals(web.liveness!.period, Duration.seconds(10)))
    assert.deepStrictEqual([web.restart.policy, web.restart.maxFailures], ["on-failure", 10])
    assert.strictEqual(web.stop.signal, "SIGTERM")
    assert.deepStrictEqual(web.logs, { lines: 1_000, maxSize: 10_000_000, maxFiles: 10 })
    assert.deepStrictEqual(unit(config, "migrate").command, ["node", "migrate.js"])
    assert.strictEqual(unit(config, "search").url, "http://127.0.0.1:9200")
    assert.strictEqual(unit(config, "all").cwd, undefined)
  })

  it("the other ways to write it", () => {
    const web = (lines: string) =>
      unit(accept(`units:\n  m: { kind: oneshot, command: x }\n  web:\n    command: x\n${lines}`), "web")
    assert.deepStrictEqual(web("    requires: { m: completed }\n").requires, { m: "completed" })
    assert.strictEqual(web("    restart: always\n").restart.policy, "always")
    assert.strictEqual(web("    port: 8080\n").port, 8080)
    assert.deepStrictEqual(web("    ports: [8080, 8081]\n").ports, [8080, 8081])
    assert.deepStrictEqual(web("    envFile: .env\n").envFile, ["/etc/holdfast/.env"])
    assert.strictEqual(
      web("    startTimeout: 1m30s\n").startTimeout?.toString(),
      Duration.seconds(90).toString(),
    )
  })

  it("groups", () => {
    const config = accept(
      "units:\n  a: { command: x }\n  b: { command: x }\ngroups:\n  g: { strategy: one-for-all, units: [a, b] }\n",
    )
    const { group } = config.plan.graph.nodes.get("b")!
    assert.deepStrictEqual([group?.name, group?.strategy, group?.units], ["g", "one-for-all", ["a", "b"]])
  })

  it("no units are a configuration, too", () => {
    assert.deepStrictEqual(accept("units: {}\n").plan.graph.order, [])
  })

  it("paths start from its directory, and ~/ is the home directory", () => {
    const config = accept(
      [
        "units:",
        "  a: { command: x }",
        "  b: { command: x, cwd: sub/./dir, envFile: [../b.env, /c.env] }",
        "  c: { command: x, cwd: ~/project }",
        "  d: { kind: oneshot, command: x, cwd: /abs }",
        "  e:",
        "    command: x",
        "    readiness: { any: [{ exec: { command: check, cwd: probes } }, { exec: { command: check } }] }",
        "",
      ].join("\n"),
    )
    assert.strictEqual(unit(config, "a").cwd, "/etc/holdfast")
    assert.strictEqual(unit(config, "b").cwd, "/etc/holdfast/sub/dir")
    assert.deepStrictEqual(unit(config, "b").envFile, ["/etc/b.env", "/c.env"])
    assert.strictEqual(unit(config, "c").cwd, path.join(os.homedir(), "project"))
    assert.strictEqual(unit(config, "d").cwd, "/abs")
    const probes = unit(config, "e").readiness!.any!
    assert.deepStrictEqual(
      probes.map(({ exec }) => exec!.cwd),
      ["/etc/holdfast/probes", undefined],
    )
  })

  it("its file is a name only: nothing is read", () => {
    assert.strictEqual(accept("units: {}\n", { file: "here/h.yaml" }).file, path.resolve("here/h.yaml"))
    assert.strictEqual(unit(accept(sample), "web").envFile[0], "/etc/holdfast/.env")
    assert.strictEqual(accept(sample).envFiles.size, 0)
  })
})

describe("a configuration file", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-config-"))
  afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))
  const write = (name: string, content: string | Uint8Array): string => {
    const file = path.join(directory, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, content)
    return file
  }

  it.effect("is read with its env files", () =>
    Effect.gen(function* () {
      const file = write("good/holdfast.yaml", sample)
      write("good/.env", "TOKEN=hunter2\nEMPTY=\n")
      const config = yield* Config.load(file, { env })
      assert.strictEqual(config.file, file)
      const [[name, variables]] = [...config.envFiles] as [[string, Redacted.Redacted<object>]]
      assert.strictEqual(name, path.join(directory, "good/.env"))
      assert.deepStrictEqual(Redacted.value(variables), { TOKEN: "hunter2", EMPTY: "" })
      assert.notInclude(JSON.stringify([...config.envFiles]), "hunter2")
    }),
  )

  it.effect("is named in errors as it was named to it, and everything is told at once", () =>
    Effect.gen(function* () {
      write("bad/dir/x", "")
      write("bad/nul.env", "A=a\0b\n")
      write("bad/latin.env", new Uint8Array([0x41, 0x3d, 0x78, 0x0a, 0x42, 0x3d, 0xe4, 0x0a]))
      const file = write(
        "bad/holdfast.yaml",
        [
          "units:",
          "  web:",
          "    command: x",
          "    envFile: [missing.env, dir, nul.env, latin.env]",
          "    prot: 80",
          "  db:",
          "    command: x",
          "    envFile: missing.env",
          "    requires: [wbe]",
          "",
        ].join("\n"),
      )
      const relative = path.relative(process.cwd(), file)
      const error = yield* Effect.flip(Config.load(relative, { env }))
      assert.strictEqual(error._tag, "ConfigInvalid")
      const inDirectory = (name: string) => path.join(directory, "bad", name)
      assert.deepStrictEqual(error.message.split("\n"), [
        `${relative}:4:15: units.web.envFile[0]: the file "${inDirectory("missing.env")}" cannot be read: it does not exist`,
        `${relative}:4:28: units.web.envFile[1]: the file "${inDirectory("dir")}" cannot be read: it is a directory`,
        `${relative}:4:33: units.web.envFile[2]: the file "${inDirectory("nul.env")}" cannot be read: a value in it has a NUL character, which no variable can have`,
        `${relative}:4:42: units.web.envFile[3]: the file "${inDirectory("latin.env")}" cannot be read: line 2 is not UTF-8`,
        `${relative}:5:5: units.web.prot: there is no such key; did you mean port?`,
        `${relative}:8:14: units.db.envFile: the file "${inDirectory("missing.env")}" cannot be read: it does not exist`,
        `${relative}:9:16: units.db.requires.wbe: there is no unit "wbe"; did you mean web?`,
      ])
    }),
  )

  it.effect("masked values of env files are in no error", () =>
    Effect.gen(function* () {
      write("masked/.env", "TOKEN=hunter2\n")
      const file = write(
        "masked/holdfast.yaml",
        "units:\n  web:\n    command: x\n    envFile: .env\n    mask: [TOKEN]\n    restart: hunter2\n",
      )
      const error = yield* Effect.flip(Config.load(file, { env }))
      assert.include(error.message, 'got "***"')
      assert.notInclude(error.message, "hunter2")
    }),
  )

  const unreadable: ReadonlyArray<[string, () => string, string]> = [
    ["is missing", () => path.join(directory, "nowhere.yaml"), "it does not exist"],
    ["is a directory", () => directory, "it is a directory"],
    [
      "is under a file",
      () => path.join(write("plain", ""), "h.yaml"),
      "a part of its path is not a directory",
    ],
    ["is a device", () => "/dev/zero", "it is not a regular file"],
    [
      "is larger than 1 MiB",
      () => write("large.yaml", "#".repeat(1_048_577)),
      "it is larger than 1048576 bytes",
    ],
    ["is of 10 MB", () => write("huge.yaml", "a: b\n".repeat(2_000_000)), "it is larger than 1048576 bytes"],
    [
      "is not UTF-8",
      () => write("latin.yaml", new Uint8Array([0x23, 0x0a, 0x23, 0xe4])),
      "line 2 is not UTF-8",
    ],
    [
      "is a pipe that nobody writes to",
      () => {
        const fifo = path.join(directory, "fifo")
        execFileSync("mkfifo", [fifo])
        return fifo
      },
      "it is not a regular file",
    ],
  ]
  for (const [what, make, reason] of unreadable) {
    it.effect(`is refused when it ${what}`, () =>
      Effect.gen(function* () {
        const file = make()
        const error = yield* Effect.flip(Config.load(file, { env }))
        assert.strictEqual(error._tag, "ConfigUnreadable")
        assert.strictEqual(error.message, `The configuration file "${file}" cannot be used: ${reason}.`)
      }),
    )
  }

  it.effect("may have exactly 1 MiB", () =>
    Effect.gen(function* () {
      const text = "units: {}\n"
      const file = write("full.yaml", text + "#".repeat(1_048_576 - text.length))
      assert.deepStrictEqual((yield* Config.load(file, { env })).plan.graph.order, [])
    }),
  )

  it.effect("is found by its names, in their order", () =>
    Effect.gen(function* () {
      const place = path.join(directory, "find")
      fs.mkdirSync(place)
      const error = yield* Effect.flip(Config.find(place))
      assert.strictEqual(
        error.message,
        `There is no holdfast.yaml and no holdfast.yml in "${place}". Write one, or name another file (-f FILE).`,
      )
      const second = write("find/holdfast.yml", "units: {}\n")
      assert.strictEqual(yield* Config.find(place), second)
      const first = write("find/holdfast.yaml", "units: {}\n")
      assert.strictEqual(yield* Config.find(place), first)
    }),
  )

  it("the environment of this program is the default", () => {
    const name = "HOLDFAST_TEST_CONFIG_VARIABLE"
    process.env[name] = "from here"
    try {
      const result = Config.parse(`units: { a: { command: "\${${name}}" } }`)
      assert.strictEqual(result._tag === "Right" && unit(result.right, "a").command, "from here")
    } finally {
      delete process.env[name]
    }
    assert.isNotEmpty(refuse(`units: { a: { command: "\${${name}}" } }`))
  })
})
