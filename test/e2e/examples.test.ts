/** The examples, run as they stand. */
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import { afterAll, describe, expect, it } from "vitest"
import { killPid } from "../process/killPid.js"
import * as program from "./program.js"

const root = path.resolve(import.meta.dirname, "../..")
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-examples-"))
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }))

/** An example without its types. */
const javascript = async (name: string): Promise<string> => {
  const { outputFiles } = await build({
    entryPoints: [path.join(root, "examples", name)],
    format: "esm",
    target: "node20",
    write: false,
  })
  return outputFiles[0]!.text
}

/** Run from this package's directory, where its name leads to itself. */
const run = async (name: string, variables: Readonly<Record<string, string>>): Promise<string> => {
  const options = { cwd: root, env: { ...process.env, ...variables } }
  const evaluate = ["--input-type=module", "--eval", await javascript(name)]
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
    for (const pid of [first, second]) expect(() => killPid(Number(pid), 0)).toThrow("ESRCH")
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

  describe("app.ts, a whole app with no daemon,", () => {
    /** The app as its user has it: in a directory of its own, where the packages are installed. */
    const installed = async (seconds: number) => {
      const place = program.place()
      const packages = path.join(place.work, "node_modules")
      fs.mkdirSync(packages)
      fs.symlinkSync(root, path.join(packages, "holdfast"))
      for (const name of ["effect", "@effect"])
        fs.symlinkSync(path.join(root, "node_modules", name), path.join(packages, name))
      fs.cpSync(path.join(root, "examples/app"), path.join(place.work, "app"), { recursive: true })
      place.write(await javascript("app.ts"), "app.mjs")
      const command = ["env", `APP_SLEEP=${seconds}`, process.execPath] as const
      return { ...place, app: () => place.start(["app.mjs"], { command: [...command] }) }
    }

    /** What Holdfast tells of a unit, in order. */
    const toldOf = (unit: string, err: string): ReadonlyArray<string> =>
      [...err.matchAll(new RegExp(`^\\. Unit ${unit} (is \\w+|waits)`, "gm"))].map(([, what]) => what!)

    it("shows each of its parts, ends by itself, and leaves no process", async () => {
      const place = await installed(0)
      try {
        for (const _ of ["first", "again on the same root"]) {
          const { code, err, out } = await place.app().done
          expect({ code, out, err }).toMatchObject({ code: 0 })
          expect(out).toMatch(/^This is \w+\.$/m)
          // By undefined where the system does not tell.
          expect(out).toMatch(/^The site is at http:\S+:\d+, held by process (\d+|undefined)\.$/m)
          expect(out).toMatch(/^A connection to it takes \d.*s\.$/m)
          expect(out).toContain(
            "Welcome Ada, you are guest 1.\nWelcome Grace, you are guest 2.\nWelcome Ada,",
          )
          // Not started before it was asked.
          expect(out).toMatch(/^The loud server: Stopped\.\nProcess \d+ says GOODBYE!$/m)
          expect(out).toMatch(/^It has exited:\n +2 Ada\n +1 Grace$/m)
          expect(out).toMatch(/^Noted of it: job\.queued, (job\.running, )+job\.exited\.\n$/m)
          const life = ["is starting", "is ready", "is stopping", "is down"]
          expect(toldOf("store", err)).toEqual(life)
          expect(toldOf("site", err)).toEqual(["waits", ...life])
          expect(toldOf("loud", err)).toEqual(life)
          expect(err.indexOf("Unit site is down")).toBeLessThan(err.indexOf("Unit store is stopping"))
        }
        expect(fs.existsSync(path.join(place.work, "guestbook/jobs.db"))).toBe(true)
      } finally {
        // Fails when a process is left.
        await place.close()
      }
    })

    it.each([
      ["the units start", /Unit site is starting/],
      ["the server starts", /Unit loud is starting/],
      ["the job runs", /Job \w+ is running, pid \d+/],
    ])("leaves no process when Ctrl-C comes while %s", async (_, moment) => {
      const place = await installed(600)
      try {
        const app = place.app()
        await app.err(moment)
        expect(place.marked().length).toBeGreaterThan(1)
        app.signal("SIGINT")
        const { err, out } = await app.done
        expect(out).not.toContain("It has")
        expect(err).toContain("Unit store is down")
        expect(err.indexOf("Unit site is down")).toBeLessThan(err.indexOf("Unit store is stopping"))
        if (err.includes("Job ")) expect(err).toMatch(/Job \w+ was ended by \w+ \(stopped\)/)
      } finally {
        await place.close()
      }
    })
  })
})
