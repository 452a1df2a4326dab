/** The examples, run as they stand. */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import { afterAll, describe, expect, it } from "vitest"

const root = path.resolve(import.meta.dirname, "../..")
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-examples-"))
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

/** Without its types, from this package's directory, where its name leads to itself. */
const run = async (name: string, variables: Readonly<Record<string, string>>): Promise<string> => {
  const { outputFiles } = await build({
    entryPoints: [path.join(root, "examples", name)],
    format: "esm",
    target: "node20",
    write: false,
  })
  const options = { cwd: root, env: { ...process.env, ...variables } }
  const evaluate = ["--input-type=module", "--eval", outputFiles[0]!.text]
  const { stdout } = await promisify(execFile)(process.execPath, evaluate, options)
  return stdout
}

describe("the examples", () => {
  it("jobs.ts keeps jobs over restarts", async () => {
    const first = await run("jobs.ts", { JOBS_ROOT: path.join(directory, "jobs") })
    expect(first).toContain("the square of 1\n1\nnew exited 1\nnew exited 4\nnew exited 9\n")
    const second = await run("jobs.ts", { JOBS_ROOT: path.join(directory, "jobs") })
    expect(second).toContain("known exited 1\nknown exited 4\nknown exited 9\n")
  })

  it("server.ts has a web server as long as it needs one", async () => {
    const said = await run("server.ts", {})
    const [, first, second] = /^(\d+) says hello\nhello again, says (\d+)\n$/.exec(said) ?? []
    expect(said).toMatch(/^\d+ says hello\nhello again, says \d+\n$/)
    expect(second).not.toBe(first)
    for (const pid of [first, second]) expect(() => process.kill(Number(pid), 0)).toThrow("ESRCH")
  })

  it("client.ts asks a daemon", async () => {
    const place = path.join(directory, "daemon")
    const main = path.join(root, "dist/main.js")
    const daemon = spawn(process.execPath, [main, "serve", "--bind", "127.0.0.1:0", "--json"], {
      env: { ...process.env, HOLDFAST_ROOT: place },
      stdio: ["ignore", "pipe", "ignore"],
    })
    try {
      await once(daemon.stdout, "data")
      expect(await run("client.ts", { HOLDFAST_ROOT: place })).toBe("one\ntwo\nexited with 4\n")
    } finally {
      daemon.kill()
      await once(daemon, "exit")
    }
  })
})
