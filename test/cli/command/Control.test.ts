import { describe, expect, it } from "vitest"
import { daemon, exited, id, refusal, run } from "../support.js"

const killed = {
  type: "kill",
  job_id: id,
  state: "killed",
  signal: "TERM",
  sent: ["TERM", "CONT"],
  escalated: false,
  escapees: [],
  elapsed_ms: 12.4,
  survivors: [],
}

describe("start", () => {
  it("lets each job start, and goes on after one that cannot", async () => {
    await using server = await daemon({
      start: ({ id }) =>
        id === "BAD"
          ? refusal(404, "job_not_found", "There is no job BAD.")
          : { type: "start", job_id: id!, state: "queued" },
    })
    expect(await run(["start", "A", "BAD", "C"], server)).toMatchObject({
      code: 1,
      out: "A queued\nC queued\n",
      err: "holdfast: There is no job BAD.\n",
    })
    const { code, out } = await run(["start", "A", "BAD", "C", "--json"], server)
    expect(code).toBe(1)
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).type),
    ).toEqual(["start", "error", "start"])
  })
})

describe("restart", () => {
  it("prints the id of the new job", async () => {
    await using server = await daemon({
      restart: () => ({ type: "restart", job_id: id, state: "queued", restart_of: "01A" }),
    })
    expect(await run(["restart", "01A"], server)).toMatchObject({ code: 0, out: `${id}\n` })
  })
})

describe("kill", () => {
  it("says what it did", async () => {
    await using server = await daemon({ kill: () => killed })
    expect(await run(["kill", id], server)).toMatchObject({
      code: 0,
      out: `${id} killed: sent TERM, CONT in 12ms\n`,
    })
    expect(server.asked[0]).toMatchObject({ query: {}, body: {} })
  })

  it("passes on what is asked for", async () => {
    await using server = await daemon({ kill: () => killed })
    await run(["kill", id, "-s", "USR1", "--grace", "500ms", "--no-escalate"], server)
    expect(server.asked[0]!.query).toEqual({ signal: "USR1", grace_ms: "500", escalate: "false" })
  })

  it("names what is left", async () => {
    const survivors = [{ pid: 7, command: "stuck" }]
    await using server = await daemon({
      kill: () => ({ ...killed, sent: ["TERM", "CONT", "KILL"], escalated: true, survivors }),
    })
    expect((await run(["kill", id], server)).out).toBe(
      `${id} killed: sent TERM, CONT, KILL in 12ms, as it did not end by itself, 7 (stuck) is still there\n`,
    )
  })

  it("says when there was nothing to do, and prints the envelope with --json", async () => {
    await using server = await daemon({ kill: () => ({ ...killed, state: "exited", sent: [] }) })
    expect((await run(["kill", id], server)).out).toBe(`${id} exited: nothing was left to signal\n`)
    expect(JSON.parse((await run(["kill", id, "--json"], server)).out)).toMatchObject({ type: "kill" })
  })

  it("tells what the daemon refuses", async () => {
    const message = 'There is no signal "NOPE"; give one by name.'
    await using server = await daemon({ kill: () => refusal(400, "invalid_request", message) })
    expect(await run(["kill", id, "--signal", "NOPE"], server)).toMatchObject({
      code: 1,
      err: `holdfast: ${message}\n`,
    })
  })
})

describe("stop", () => {
  it("sends the signal that the job asked for, with KILL after it", async () => {
    await using server = await daemon({
      job: () => ({ ...exited, type: "job", state: "running", stop_signal: "SIGINT" }),
      kill: () => killed,
    })
    expect(await run(["stop", id, "--grace", "2"], server)).toMatchObject({ code: 0 })
    expect(server.asked[1]!.query).toEqual({ signal: "SIGINT", escalate: "true", grace_ms: "2000" })
  })
})

describe("rm", () => {
  it("deletes jobs", async () => {
    await using server = await daemon({
      delete: ({ id }) => ({ type: "delete", job_id: id!, state: "exited" }),
    })
    expect(await run(["rm", "A", "B"], server)).toMatchObject({ code: 0, out: "A\nB\n" })
  })

  it("does not stop what runs unless told to", async () => {
    const message = "Job A is running and cannot be deleted. Stop it first."
    let isRunning = true
    await using server = await daemon({
      delete: () =>
        isRunning ? refusal(400, "invalid_state", message) : { type: "delete", job_id: id, state: "killed" },
      status: () => ({ ...exited, state: "running" }),
      kill: () => {
        isRunning = false
        return killed
      },
      wait: () => ({ type: "wait", job_id: id, state: "killed", reason: "ended" }),
    })
    expect(await run(["rm", "A"], server)).toMatchObject({ code: 1, err: `holdfast: ${message}\n` })
    expect(await run(["rm", "--force", "A"], server)).toMatchObject({ code: 0, out: `${id}\n` })
  })
})

describe("gc", () => {
  const collected = { type: "gc", removed: ["A", "B"], bytes: 12_345, dry_run: false }

  it("says what is gone", async () => {
    await using server = await daemon({ gc: () => collected })
    const args = ["gc", "--older-than", "7d", "--keep", "10", "--keep-size", "1GB"]
    expect(await run(args, server)).toMatchObject({
      code: 0,
      out: "A\nB\n",
      err: "Deleted 2 jobs with 12 kB of output.\n",
    })
    expect(server.asked[0]!.body).toEqual({ older_than_ms: 604_800_000, keep: 10, max_bytes: 1e9 })
  })

  it("only says what would go", async () => {
    await using server = await daemon({ gc: () => ({ ...collected, removed: ["A"], dry_run: true }) })
    const { err } = await run(["gc", "--keep", "0", "--dry-run"], server)
    expect(err).toBe("Would delete 1 job with 12 kB of output.\n")
    expect(server.asked[0]!.body).toEqual({ keep: 0, dry_run: true })
  })

  it("wants a limit", async () => {
    expect(await run(["gc"], { root: "/x" })).toMatchObject({
      code: 2,
      err: "holdfast: gc needs a limit: --older-than, --keep or --keep-size\n",
    })
  })
})
