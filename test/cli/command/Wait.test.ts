import { describe, expect, it } from "vitest"
import * as Sessions from "../../../src/cli/Session.js"
import { daemon, exited, id, refusal, run, start, unit } from "../support.js"

const ended = { type: "wait", job_id: id, state: "exited", exit_code: 0, reason: "ended" }

describe("wait", () => {
  it("exits with the job's code and says nothing", async () => {
    await using server = await daemon({
      wait: () => ({ ...ended, exit_code: 7 }),
      status: () => ({ ...exited, exit_code: 7 }),
    })
    expect(await run(["wait", id], server)).toMatchObject({ code: 7, out: "", err: "" })
    expect(server.asked[0]!.query).toEqual({})
  })

  it("says so where a unit was meant", async () => {
    const none = () => refusal(404, "job_not_found", "There is no job WEB.")
    await using server = await daemon({
      wait: none,
      delete: none,
      unit: () => ({ type: "unit", ...unit("web") }),
    })
    for (const command of ["wait", "rm"])
      expect(await run([command, "web"], server)).toMatchObject({
        code: 1,
        err: expect.stringContaining(`web is a unit, and ${command} is for jobs.`),
      })
  })

  it("prints the envelope with --json", async () => {
    await using server = await daemon({ wait: () => ended, status: () => exited })
    expect(JSON.parse((await run(["wait", id, "--json"], server)).out)).toMatchObject(ended)
  })

  it("gives up in time, and fails", async () => {
    await using server = await daemon({
      wait: () => ({ ...ended, state: "running", exit_code: undefined, reason: "deadline" }),
    })
    expect(await run(["wait", id, "--timeout", "1m"], server)).toMatchObject({
      code: 1,
      err: `holdfast: Job ${id} is still running.\n`,
    })
    expect(Number(server.asked[0]!.query["until_ms"])).toBeGreaterThan(50_000)
    const { code, out } = await run(["wait", id, "--timeout", "1m", "--json"], server)
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject({ type: "wait", state: "running" })
  })

  it("waits for a line of output and prints it", async () => {
    const match = { stream: "stdout", line: "listening on 80", offset: 0, groups: {} }
    await using server = await daemon({
      wait: () => ({ ...ended, state: "running", reason: "pattern", match }),
    })
    const args = ["wait", id, "--pattern", "listening", "--stream", "stdout"]
    expect(await run(args, server)).toMatchObject({ code: 0, out: "listening on 80\n", err: "" })
    expect(server.asked[0]!.query).toEqual({ pattern: "listening", stream: "stdout" })
  })

  it("waits for silence", async () => {
    await using server = await daemon({ wait: () => ({ ...ended, state: "running", reason: "silence" }) })
    expect(await run(["wait", id, "--silence", "1.5"], server)).toMatchObject({ code: 0, out: "" })
    expect(server.asked[0]!.query).toEqual({ silence_ms: "1500" })
  })

  it("fails when the job ends without such a line", async () => {
    await using server = await daemon({ wait: () => ended })
    expect(await run(["wait", id, "--pattern", "x"], server)).toMatchObject({
      code: 1,
      err: `holdfast: Job ${id} has ended without a line that matches.\n`,
    })
  })

  it("cannot wait for both", async () => {
    expect(await run(["wait", id, "--pattern", "x", "--silence", "1"], { root: "/x" })).toMatchObject({
      code: 2,
      err: "holdfast: --pattern and --silence exclude each other\n",
    })
  })

  it("outlives a restart of the daemon, an orderly one and a crash", async () => {
    let [times, looks] = [0, 0]
    await using server = await daemon({
      wait: () => {
        times += 1
        if (times === 1) return refusal(503, "unavailable", "The daemon is stopping.", true)
        return times === 2 ? (response) => void response.destroy() : { ...ended, exit_code: 5 }
      },
      // One that stops says so to whatever it is asked.
      health: () =>
        (looks += 1) === 1
          ? refusal(503, "unavailable", "The daemon is stopping.", true)
          : { type: "health", version: "1.2.3", pid: process.pid },
      status: () => ({ ...exited, exit_code: 5 }),
    })
    const { code, err } = await run(["wait", id], server)
    expect(code).toBe(5)
    expect(err.match(/Waiting for it/g)).toHaveLength(2)
    expect(err.match(/is back/g)).toHaveLength(2)
  })

  it("asks again, ever more slowly, what the daemon could not do just now", async () => {
    let times = 0
    await using server = await daemon({
      wait: () => (++times <= 3 ? refusal(503, "unavailable", "No descriptor is left.", true) : ended),
      status: () => exited,
    })
    const begin = performance.now()
    expect(await run(["wait", id], server)).toMatchObject({
      code: 0,
      err: "No descriptor is left. Trying again...\n",
    })
    expect(performance.now() - begin).toBeGreaterThan(650)
    expect(times).toBe(4)
  })

  it("says in the end what the daemon cannot do", async () => {
    await using server = await daemon({
      wait: () => refusal(503, "unavailable", "No descriptor is left.", true),
    })
    const { err, world } = start(["--version"], server)
    const session = Sessions.make({ root: server.root, world, patience: 300 })
    await expect(session.persist((client) => client.call("wait", { path: { id } }))).rejects.toMatchObject({
      message: "No descriptor is left.",
      code: "unavailable",
    })
    expect(err.text()).toBe("No descriptor is left. Trying again...\n")
  })

  it("does not look for a daemon beyond its own time", async () => {
    await using server = await daemon({
      wait: async () => {
        await server.stop()
        return {}
      },
    })
    const begin = performance.now()
    const { code, err } = await run(["wait", id, "--timeout", "300ms"], server)
    expect(performance.now() - begin).toBeLessThan(5_000)
    expect(code).toBe(1)
    expect(err).toMatch(/^The daemon is gone.*\nholdfast: The time is over, and the daemon for .*\n$/)
    await server.listen()
    const json = await run(["wait", id, "--timeout", "300ms", "--json"], server)
    expect(json.code).toBe(1)
    expect(JSON.parse(json.out)).toMatchObject({ ok: false, error: { code: "deadline", retryable: true } })
  })

  it("is told in one sentence that something else answers", async () => {
    for (const body of ["{}", "[]", '"x"', "<html>", '{"ok":true,"type":"wait"}']) {
      await using server = await daemon({ wait: () => (response) => void response.end(body) })
      expect(await run(["wait", id], server)).toMatchObject({
        code: 1,
        err: expect.stringMatching(/^holdfast: What answers at \S+ is no daemon of this version.*\n$/),
      })
    }
  })

  it("says how to come back after a Ctrl-C", async () => {
    let arrived: (() => void) | undefined
    const waiting = new Promise<void>((resolve) => (arrived = resolve))
    await using server = await daemon({
      wait: () => {
        arrived!()
        return () => {}
      },
    })
    const running = start(["wait", id], server)
    await waiting
    running.interrupt()
    expect(await running.done).toMatchObject({
      code: 130,
      err: expect.stringContaining(`Job ${id} goes on.`),
    })
  })
})
