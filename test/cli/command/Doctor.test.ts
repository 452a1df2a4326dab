import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import * as Effect from "effect/Effect"
import * as Liveness from "../../../src/process/Liveness.js"
import { smallDisk } from "../../job/runner-support.js"
import { daemon, id, refusal, run, scratch, token, unit } from "../support.js"

/** A number that no process has: the highest that Linux gives is 4194304. */
const nobody = 4_194_305

const list = () => ({ type: "list", jobs: [{ job_id: id }] })
const leftovers = () => ({ type: "leftovers", strays: [], unreadable: [] })

describe("doctor", () => {
  it("finds nothing wrong with a daemon that answers", async () => {
    await using server = await daemon({ list, leftovers })
    const { code, err, out } = await run(["doctor"], server)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out.split("\n").map((line) => line.slice(0, 12).trim())).toEqual([
      "ok    root:",
      "ok    token:",
      "ok    daemon",
      "ok    jobs:",
      "",
    ])
  })

  it("names what jobs left running, and records that could not be read", async () => {
    const found = {
      type: "leftovers",
      strays: [{ job_id: id, pid: 4711, command: "sleep 100" }],
      unreadable: [{ found_at: "2026-01-01T00:00:00.000Z", reason: "its checksum differs" }],
    }
    await using server = await daemon({ list, leftovers: () => found })
    const { code, out } = await run(["doctor"], server)
    expect(code).toBe(0)
    expect(out).toMatch(
      /^note {2}stray: Process 4711 \(sleep 100\) outlives its job; end it with: holdfast kill /m,
    )
    expect(out).toMatch(/^note {2}record: The record of a job could not be read .*: its checksum differs\.$/m)
  })

  it("has no complaint about a root that is not there yet", async () => {
    using root = scratch()
    const { code, out } = await run(["doctor", "--root", path.join(root.directory, "none")])
    expect(code).toBe(0)
    expect(out).toMatch(/^note {2}root: .* is not there yet/)
  })

  it.effect("finds a disk that is full", (context) =>
    Effect.gen(function* () {
      const base = scratch()
      yield* Effect.addFinalizer(() => Effect.sync(() => base[Symbol.dispose]()))
      const disk = yield* smallDisk(base.directory)
      if (disk === undefined) return context.skip("no file system can be mounted here")
      const root = path.join(disk, "root")
      fs.mkdirSync(root, { mode: 0o700 })
      const look = Effect.promise(() => run(["doctor", "--root", root]))
      expect((yield* look).out).not.toContain("disk:")
      fs.writeFileSync(path.join(disk, "filler"), Buffer.alloc(3_500_000))
      const { code, out } = yield* look
      expect(code).toBe(1)
      expect(out).toMatch(/^bad {3}disk: The disk of \S+ is full \(\d+ kB left\): new jobs are refused/m)
    }).pipe(Effect.scoped),
  )

  it("says that a file is no root", async () => {
    using root = scratch()
    const file = path.join(root.directory, "file")
    fs.writeFileSync(file, "")
    expect(await run(["doctor", "--fix", "--root", file])).toMatchObject({
      code: 1,
      out: `bad   root: ${file} is no directory; choose another root.\n`,
      err: "",
    })
    const below = path.join(file, "below")
    expect(await run(["doctor", "--root", below])).toMatchObject({
      code: 1,
      err: `holdfast: ${below} cannot be looked at (ENOTDIR).\n`,
    })
  })

  it("looks through a link at the root", async () => {
    using root = scratch()
    const [real, link] = [path.join(root.directory, "real"), path.join(root.directory, "link")]
    fs.mkdirSync(real, { mode: 0o700 })
    fs.symlinkSync(real, link)
    expect((await run(["doctor", "--root", link])).out).toMatch(/^ok {4}root: /m)
  })

  it("finds what a daemon that was killed left, and takes it away when asked to", async () => {
    await using server = await daemon({ list, leftovers })
    const { root } = server
    const socket = path.join(root, "s")
    const file = path.join(root, "daemon.json")
    await server.stop()
    const net = await import("node:net")
    const listener = net.createServer()
    await new Promise<void>((resolve) => listener.listen(socket, resolve))
    // Closing would take the socket away, which a killed program does not do.
    fs.linkSync(socket, `${socket}2`)
    await new Promise((resolve) => listener.close(resolve))
    fs.writeFileSync(file, JSON.stringify({ pid: nobody, address: `unix:${socket}2`, since: 1 }))
    const { code, out } = await run(["doctor"], server)
    expect(code).toBe(1)
    expect(out).toMatch(new RegExp(`^bad {3}daemon: The daemon with pid ${nobody} is gone`, "m"))
    expect(out).toMatch(/^bad {3}socket: .* is left over .* Repair it with --fix\.$/m)
    expect(await run(["doctor", "--fix"], server)).toMatchObject({ code: 0 })
    expect(fs.existsSync(file)).toBe(false)
    expect(fs.existsSync(`${socket}2`)).toBe(false)
    expect((await run(["doctor"], server)).out).toContain(
      "note  daemon: No daemon is running; start one: holdfast serve",
    )
  })

  it("does not keep a token that others could read", async () => {
    await using server = await daemon({ list, leftovers })
    const token = path.join(server.root, "token")
    fs.chmodSync(token, 0o644)
    fs.chmodSync(server.root, 0o755)
    const { code, out } = await run(["doctor"], server)
    expect(code).toBe(1)
    expect(out).toContain("has the mode 0644, so that others can get at it. Repair it with --fix.")
    const { out: fixed } = await run(["doctor", "--fix", "--json"], server)
    expect(JSON.parse(fixed)).toMatchObject({
      type: "doctor",
      healthy: true,
      findings: [
        { what: "root", fixed: "its mode is 0700 now" },
        { what: "token", fixed: "it is deleted; the next start of the daemon makes a new one" },
        { what: "daemon", level: "ok" },
        {},
      ],
    })
    expect(fs.existsSync(token)).toBe(false)
    expect(fs.statSync(server.root).mode & 0o777).toBe(0o700)
  })

  it("finds a daemon that does not answer, or cannot list its jobs", async () => {
    await using server = await daemon({ list: () => refusal(500, "internal_error", "The store is damaged.") })
    expect((await run(["doctor"], server)).out).toContain("bad   jobs: The store is damaged.")
    fs.writeFileSync(
      path.join(server.root, "daemon.json"),
      JSON.stringify({ pid: process.pid, address: "unix:/nonexistent/s", since: 1 }),
    )
    const { code, out } = await run(["doctor"], server)
    expect(code).toBe(1)
    expect(out).toContain("does not answer: The daemon at unix:/nonexistent/s cannot be reached")
  })

  it("does not understand a file that is damaged, and names stores that were set aside", async () => {
    using root = scratch()
    fs.writeFileSync(path.join(root.directory, "daemon.json"), "{")
    fs.writeFileSync(path.join(root.directory, "jobs.db.corrupt-2030"), "")
    const { code, out } = await run(["doctor", "--fix"], { root: root.directory })
    expect(code).toBe(0)
    expect(out).toMatch(/daemon\.json cannot be understood\. Repaired: it is deleted\.$/m)
    expect(out).toMatch(/^note {2}store: .*jobs\.db\.corrupt-2030 was set aside/m)
  })
})

describe("token", () => {
  it("prints the token, where it is, or both", async () => {
    await using server = await daemon({})
    const file = path.join(server.root, "token")
    expect(await run(["token"], server)).toMatchObject({ code: 0, out: `${token}\n` })
    expect((await run(["token", "--path"], server)).out).toBe(`${file}\n`)
    expect(JSON.parse((await run(["token", "--json"], server)).out)).toMatchObject({
      token,
      path: file,
    })
  })

  it("does not print what is none", async () => {
    await using server = await daemon({ list, leftovers })
    fs.writeFileSync(path.join(server.root, "token"), "not a token\n")
    expect(await run(["token"], server)).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(/^holdfast: What is in \S+token is no token\. Delete it; .*\n$/),
    })
    const { code, out } = await run(["doctor"], server)
    expect(code).toBe(1)
    expect(out).toMatch(/^bad {3}token: What is in \S+token is no token\./m)
  })

  it("says where one comes from", async () => {
    using root = scratch()
    const { code, err } = await run(["token"], { root: root.directory })
    expect(code).toBe(1)
    expect(err).toMatch(/^holdfast: There is no token in \S+: .* Start it: holdfast serve\n$/)
  })

  it("names units that have failed, and not those that only wait for them", async () => {
    const because = (kind: string) => ({ kind, message: "", output: [], at: "2030-01-31T08:00:00.000Z" })
    const units = [
      unit("db", { state: "failed", reason: "It broke.", failure: because("Crashed") }),
      unit("web", {
        state: "failed",
        reason: "It needs db: It broke.",
        failure: because("DependencyFailed"),
      }),
      unit("slow", { state: "backoff", reason: "It ended with exit code 1." }),
      unit("down", { state: "failed", desired: "down", failure: because("Crashed") }),
      unit("fine"),
    ]
    await using server = await daemon({ list, leftovers, units: () => ({ type: "units", units }) })
    const { code, out } = await run(["doctor"], server)
    expect(code).toBe(1)
    expect(out).toMatch(/^bad {3}unit: The unit db has failed\. It broke\. More: holdfast why db$/m)
    expect(out).toMatch(/^note {2}unit: The unit slow keeps failing\. It ended with exit code 1\./m)
    expect(out).not.toMatch(/unit (web|down|fine)/)
    await using well = await daemon({
      list,
      leftovers,
      units: () => ({ type: "units", units: [unit("fine")] }),
    })
    expect((await run(["doctor"], well)).out).toMatch(/^ok {4}units: 1 of 1 are up, and none has failed\.$/m)
  })

  it.runIf(process.platform === "linux")(
    "ends what a program that is gone has left, if told to",
    async () => {
      await using server = await daemon({ list, leftovers })
      const child = spawn("sh", ["-c", "trap '' TERM; echo here; while :; do sleep 0.05; done"], {
        detached: true,
        stdio: ["ignore", "pipe", "ignore"],
      })
      onTestFinished(() => void child.kill("SIGKILL"))
      await once(child.stdout, "data")
      const ended = once(child, "exit")
      const place = path.join(server.root, "up", "work-0123456789ab")
      const record = { unit: "web", process: { pid: child.pid, ...Liveness.birthOf(child.pid!) } }
      // The records of a daemon that lives are nobody's strays.
      for (const directory of [place, server.root]) {
        fs.mkdirSync(path.join(directory, "units", "web"), { recursive: true })
        fs.writeFileSync(path.join(directory, "units", "web", "instance.json"), JSON.stringify(record))
      }
      const found = await run(["doctor"], server)
      expect(found.code).toBe(1)
      expect(found.out.match(/outlives/g)).toHaveLength(1)
      expect(found.out).toContain(
        `bad   stray: Process ${child.pid} of the unit web outlives the holdfast up that kept it up; the next one stops it. Repair it with --fix.`,
      )
      // One that is kept up is none either.
      const owner = path.join(place, "daemon.json")
      fs.writeFileSync(owner, JSON.stringify({ pid: process.pid, since: 0 }))
      expect((await run(["doctor"], server)).code).toBe(0)
      fs.writeFileSync(owner, JSON.stringify({ pid: nobody, since: 0 }))
      const fixed = await run(["doctor", "--fix"], server)
      expect(fixed.code).toBe(0)
      expect(fixed.out).toMatch(/stray: .* Repaired: it was killed, as it did not end by itself\.$/m)
      expect(fixed.out).toMatch(
        /up: .* is left over from a program that is gone\. Repaired: it is deleted\.$/m,
      )
      expect(await ended).toEqual([null, "SIGKILL"])
      expect((await run(["doctor"], server)).code).toBe(0)
    },
  )
})
