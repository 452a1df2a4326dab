/** The example configuration: what it says, and that its units do what they are there for. */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Config from "../../src/config/Config.js"
import { unit } from "./support.js"

const file = path.resolve(import.meta.dirname, "../../examples/holdfast.yaml")

/** A unit's process, in the environment of the unit; killed with the scope. */
const run = (config: Config.Config, name: string, port = "") =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { command, cwd, env } = unit(config, name)
      const settle = (text: string) => text.replaceAll(/\$\{(?:web\.)?port\}/g, port)
      const [program, ...args] =
        typeof command === "string" ? ["/bin/sh", "-c", settle(command)] : command!.map(settle)
      const child = spawn(program!, args, {
        cwd,
        env: {
          ...process.env,
          ...Object.fromEntries(Object.entries(env).map(([key, value]) => [key, settle(String(value))])),
        },
        stdio: ["ignore", "pipe", "ignore"],
      })
      const exit = new Promise<number | null>((resolve) => child.on("close", resolve))
      let output = ""
      const heard = new Set<() => void>()
      child.stdout.on("data", (chunk: Buffer) => {
        output += chunk.toString()
        for (const look of heard) look()
      })
      /** The first match of a pattern in the output. */
      const line = (pattern: RegExp) =>
        Effect.async<RegExpExecArray>((resume) => {
          const look = () => {
            const match = pattern.exec(output)
            if (match !== null) resume(Effect.succeed(match))
          }
          heard.add(look)
          look()
        })
      return { child, exit: Effect.promise(() => exit), line }
    }),
    ({ child, exit }) =>
      Effect.andThen(
        Effect.sync(() => child.kill("SIGKILL")),
        exit,
      ),
  )

describe("examples/holdfast.yaml", () => {
  it.effect("is a web server, what comes before it, a worker, and a target", () =>
    Effect.gen(function* () {
      const { plan } = yield* Config.load(file, { env: {} })
      assert.deepStrictEqual(plan.graph.order, ["prepare", "web", "worker", "all"])
      assert.deepStrictEqual(
        [...plan.graph.nodes.values()].map(({ edges, name }) => [
          name,
          ...edges.map(({ condition, kind, to }) => `${kind} ${to} ${condition}`),
        ]),
        [
          ["prepare"],
          ["web", "requires prepare succeeded"],
          ["worker", "bindsTo web ready"],
          ["all", "requires web ready", "requires worker ready"],
        ],
      )
    }),
  )

  it.scopedLive("whose units work", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-example-"))),
        (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true })),
      )
      const config = yield* Config.load(file, { env: { EXAMPLE_DATA: path.join(directory, "data.json") } })

      const prepare = yield* run(config, "prepare")
      assert.strictEqual(yield* prepare.exit, 0)

      const web = yield* run(config, "web", "0")
      const [, port] = yield* web.line(/listening on (\d+)/)
      const health = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/health`))
      assert.deepStrictEqual(yield* Effect.promise(() => health.json()), { healthy: true })

      const worker = yield* run(config, "worker", port)
      yield* worker.line(new RegExp(unit(config, "worker").readiness!.log!.pattern, "m"))

      web.child.kill("SIGTERM")
      assert.strictEqual(yield* web.exit, 0)
      assert.strictEqual(yield* worker.exit, 1)
    }),
  )
})
