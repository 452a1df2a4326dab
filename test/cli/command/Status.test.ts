import { describe, expect, it } from "vitest"
import { daemon, exited, id, refusal, run, scratch, token } from "../support.js"

describe("status", () => {
  it("tells how a job is, in words", async () => {
    await using server = await daemon({ status: () => exited })
    const { code, err, out } = await run(["status", "01HZ"], server)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toBe(
      [
        `job:         ${id}`,
        "state:       exited (0)",
        "exit code:   0",
        "cause:       exit",
        "created:     2025-01-02T03:04:05.000Z",
        "started:     2025-01-02T03:04:06.000Z",
        "finished:    2025-01-02T03:04:07.500Z",
        "took:        1.5s",
        "",
      ].join("\n"),
    )
    expect(server.asked).toMatchObject([{ name: "status", id: "01HZ" }])
    expect(server.asked[0]!.headers).toMatchObject({ authorization: `Bearer ${token}` })
  })

  it("prints the answer as it came with --json", async () => {
    await using server = await daemon({ status: () => exited })
    const { out } = await run(["status", id, "--json"], server)
    expect(out).toBe(`${JSON.stringify({ schema_version: "1", ok: true, ...exited })}\n`)
  })

  it("shows colours on a terminal, and none where they are not wanted", async () => {
    await using server = await daemon({ status: () => exited })
    expect((await run(["status", id], { ...server, columns: 80 })).out).toContain(
      "\u001B[32mexited\u001B[0m (0)",
    )
    const plain = { ...server, columns: 80, env: { NO_COLOR: "1", HOLDFAST_ROOT: server.root } }
    expect((await run(["status", id], plain)).out).not.toContain("\u001B")
  })

  it("tells a refusal in one sentence, or as it came", async () => {
    await using server = await daemon({ status: () => refusal(404, "job_not_found", "There is no job X.") })
    expect(await run(["status", "X"], server)).toMatchObject({
      code: 1,
      out: "",
      err: "holdfast: There is no job X.\n",
    })
    const { code, err, out } = await run(["status", "X", "--json"], server)
    expect({ code, err }).toEqual({ code: 1, err: "" })
    expect(JSON.parse(out).error).toEqual({
      code: "job_not_found",
      message: "There is no job X.",
      retryable: false,
    })
  })

  it("keeps what is no id out of the path", async () => {
    await using server = await daemon({ status: () => exited })
    await run(["status", "../health?x#y"], server)
    expect(server.asked).toMatchObject([{ name: "status", id: encodeURIComponent("../health?x#y") }])
  })

  it("says how to start a daemon where none runs", async () => {
    using root = scratch()
    const { code, err } = await run(["status", id, "--root", root.directory])
    expect({ code, err }).toEqual({
      code: 1,
      err: `holdfast: No daemon is running for ${root.directory}. Start one: holdfast serve --root ${root.directory}\n`,
    })
    expect((await run(["status", id], { env: { XDG_STATE_HOME: root.directory } })).err).toContain(
      `Start one: holdfast serve\n`,
    )
  })

  it("is not fooled by what answers in place of a daemon", async () => {
    await using server = await daemon({
      status: () => (response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
    })
    const { code, err } = await run(["status", id], server)
    expect(code).toBe(1)
    expect(err).toMatch(
      /^holdfast: What answers at http:\S+ is no daemon of this version: it said 200 to a request\.\n$/,
    )
  })
})

describe("why", () => {
  it("gives the reasons", async () => {
    const reasons = [{ kind: "group-full", sentence: "Group a runs 2 of 2 jobs.", jobs: [] }]
    await using server = await daemon({ why: () => ({ type: "why", job_id: id, state: "queued", reasons }) })
    expect(await run(["why", id], server)).toMatchObject({
      code: 0,
      out: `Job ${id} is queued:\n- Group a runs 2 of 2 jobs.\n`,
    })
  })

  it("has nothing to explain about a job that has started", async () => {
    await using server = await daemon({
      why: () => ({ type: "why", job_id: id, state: "running", reasons: [] }),
    })
    expect((await run(["why", id], server)).out).toBe(`Job ${id} is running.\n`)
  })
})
