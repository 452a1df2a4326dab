/** What the README shows, done as it says. */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"
import * as Config from "../../src/config/Config.js"
import * as Check from "../../src/probe/Check.js"

const root = path.resolve(import.meta.dirname, "../..")
const readme = fs.readFileSync(path.join(root, "README.md"), "utf8")
const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!)

const shells = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, code]) => code!)

describe("the README", () => {
  it("has an app of under 30 lines that does what it says", async () => {
    const app = blocks[0]!
    expect(app.split("\n").length).toBeLessThanOrEqual(30)
    // Run from the package's own directory, its name leads to itself.
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", app], {
      cwd: root,
    })
    const [, pid] = /^pid (\d+) says hello$/m.exec(stdout) ?? []
    expect(stdout).toMatch(/^pid \d+ says hello$/m)
    expect(() => process.kill(Number(pid), 0)).toThrow("ESRCH")
  })

  it("shows a configuration that can be used", () => {
    const [yaml] = [...readme.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!)
    const config = Either.getOrThrow(Config.parse(yaml!))
    expect(config.plan.graph.order).toEqual(["migrate", "web", "all"])
  })

  it("starts a daemon with its first command, and runs jobs with the next ones", async () => {
    const [first, next] = shells
    expect(first).toBe("npm ci && node dist/main.js serve\n")
    const place = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-readme-"))
    const env = { ...process.env, HOLDFAST_ROOT: place }
    // `npm ci` was done before the tests; another daemon may have the usual port.
    const daemon = spawn(process.execPath, ["dist/main.js", "serve", "--bind", "127.0.0.1:0", "--json"], {
      cwd: root,
      env,
      stdio: ["ignore", "pipe", "ignore"],
    })
    try {
      const [said] = (await once(daemon.stdout, "data")) as [Buffer]
      const { address } = JSON.parse(said.toString())
      const script = next!.replaceAll("http://127.0.0.1:19263", address)
      const { stdout } = await promisify(execFile)("sh", ["-c", script], { cwd: root, env })
      const [answer, ...rest] = stdout.split(/(?<=\})(?=hello again)/)
      expect(JSON.parse(answer!)).toMatchObject({
        type: "run",
        state: "exited",
        exit_code: 0,
        final_snapshot: { stdout_tail: "hello\n" },
      })
      expect(rest.join("")).toBe("hello again\nexit code 3\n")
    } finally {
      daemon.kill()
      await once(daemon, "exit")
      fs.rmSync(place, { recursive: true, force: true })
    }
  })

  it("shows probes that are taken as they stand", async () => {
    const checks = new Function(`${blocks[1]!}; return checks`)() as ReadonlyArray<Check.Input>
    expect(checks).toHaveLength(6)
    for (const check of checks) await Effect.runPromise(Check.make(check))
  })

  it("names commands that the package has", () => {
    const { scripts } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"))
    const named = [...readme.matchAll(/`npm (?:run )?(\w+)/g)].map(([, name]) => name!)
    expect(named).toContain("check")
    for (const name of named) if (name !== "ci") expect(Object.keys(scripts)).toContain(name)
  })
})
