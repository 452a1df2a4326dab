import { describe, expect, it } from "vitest"
import type { Script } from "../support.js"
import { daemon, exited, id, refusal, run, start, unit } from "../support.js"

const web = unit("web", {
  pid: 4711,
  port: 8080,
  url: "http://localhost:8080",
  ready_at: new Date().toISOString(),
})
const db = unit("db", {
  state: "backoff",
  reason: "It ended with exit code 3.",
  restarts: 4,
  failures: 5,
  restart_at: new Date(Date.now() + 60_000).toISOString(),
  end: { exit_code: 3 },
  failure: {
    kind: "Crashed",
    message: "It ended with exit code 3.",
    output: ["the disk is gone"],
    at: "2030-01-31T08:00:00.000Z",
  },
})
const migrate = unit("migrate", {
  kind: "oneshot",
  state: "exited",
  end: { exit_code: 0 },
  reason: "It has ended with exit code 0.",
})

const all = [migrate, db, web]

const script: Script = {
  units: () => ({ type: "units", units: all }),
  unit: ({ id }) => {
    const found = all.find(({ name }) => name === id)
    return found === undefined
      ? refusal(404, "unit_not_found", `There is no unit "${id}". Did you mean web?`)
      : { type: "unit", ...found }
  },
  list: () => ({ type: "list", jobs: [{ ...exited, state: "running", command: ["sleep", "60"], tags: [] }] }),
}

const acted = (action: string, ...units: ReadonlyArray<object>) => ({
  type: "unit-action",
  action,
  reason: "done",
  units,
})

describe("status", () => {
  it("gives an overview of the units and of the jobs that run", async () => {
    await using server = await daemon(script)
    const { code, err, out } = await run(["status"], server)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    const [head, ...rows] = out.split("\n")
    expect(head).toMatch(/^NAME +KIND +STATE +PID +PORT +UP +RESTARTS +REASON$/)
    expect(rows[0]).toMatch(/^migrate +oneshot +exited$/)
    expect(rows[1]).toMatch(
      /^db +service +backoff +4 +It ended with exit code 3\. It starts again in (59|1m00)/,
    )
    expect(rows[2]).toMatch(/^web +service +ready +4711 +8080 +\S+$/)
    expect(rows[3]).toBe("")
    expect(rows[4]).toMatch(/^ID +STATE/)
    expect(rows[5]).toMatch(new RegExp(`^${id} +running .*sleep 60$`))
    expect(server.asked.map(({ name, query }) => [name, query["state"]])).toEqual([
      ["units", undefined],
      ["list", "running"],
    ])
  })

  it("fits it into a terminal", async () => {
    await using server = await daemon(script)
    const { out } = await run(["status"], { ...server, columns: 60 })
    // oxlint-disable-next-line no-control-regex
    const lines = out.replaceAll(/\u001B\[\d+m/g, "").split("\n")
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(60)
  })

  it("gives the names alone for completions, and the envelopes for programs", async () => {
    await using server = await daemon(script)
    expect((await run(["status", "-q"], server)).out).toBe("migrate\ndb\nweb\n")
    const { out } = await run(["status", "--json"], server)
    expect(
      out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).type),
    ).toEqual(["units", "list"])
  })

  it("tells all about one unit, with the last lines of one that is not well", async () => {
    await using server = await daemon(script)
    const { code, err, out } = await run(["status", "db"], server)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toMatch(/^unit: {8}db\n/)
    expect(out).toMatch(/^state: +backoff for /m)
    expect(out).toMatch(/^failures: +5 in a row$/m)
    expect(out).toMatch(/^last end: +exit code 3$/m)
    expect(out).toMatch(/^last output: \| the disk is gone$/m)
    expect((await run(["status", "web"], server)).out).not.toMatch(/\|/)
    expect(JSON.parse((await run(["status", "web", "--json"], server)).out)).toMatchObject({ type: "unit" })
  })

  it("takes a name for the unit's where it could be a job's, unless told otherwise", async () => {
    const called = unit("0abc")
    await using server = await daemon({
      unit: ({ id }) =>
        id === "0abc"
          ? { type: "unit", ...called }
          : refusal(404, "unit_not_found", "There is no such unit."),
      status: () => exited,
    })
    expect((await run(["status", "0abc"], server)).out).toMatch(/^unit: +0abc$/m)
    expect((await run(["status", "0abc", "--job"], server)).out).toMatch(new RegExp(`^job: +${id}$`, "m"))
    expect((await run(["status", "0abd"], server)).out).toMatch(/^job:/)
    expect(await run(["status", "0abd", "--unit"], server)).toMatchObject({
      code: 1,
      err: "holdfast: There is no such unit.\n",
    })
    expect(await run(["status", "x", "--unit", "--job"], server)).toMatchObject({ code: 2 })
  })

  it("asks for a whole id once only", async () => {
    await using server = await daemon({ ...script, status: () => exited })
    await run(["status", id], server)
    expect(server.asked.map(({ name }) => name)).toEqual(["status"])
  })

  it("knows that a name which can be no job's was meant for a unit", async () => {
    await using server = await daemon(script)
    expect(await run(["status", "wbe"], server)).toMatchObject({
      code: 1,
      out: "",
      err: 'holdfast: There is no unit "wbe". Did you mean web?\n',
    })
  })
})

describe("ps", () => {
  it("lists units and jobs, and jobs only when told which", async () => {
    await using server = await daemon(script)
    expect((await run(["ps", "-q"], server)).out).toBe(`migrate\ndb\nweb\n${id}\n`)
    expect((await run(["ps", "-q", "--tag", "x"], server)).out).toBe(`${id}\n`)
    expect((await run(["list", "-q"], server)).out).toBe(`${id}\n`)
  })
})

describe("start, stop and restart", () => {
  it("are about all units together, and then about each job", async () => {
    await using server = await daemon({
      ...script,
      actOnUnits: ({ body }) => acted((body as { action: string }).action, web, migrate),
      start: () => ({ type: "start", job_id: id, state: "queued" }),
    })
    expect(await run(["start", "web", id, "migrate"], server)).toMatchObject({
      code: 0,
      out: `web ready (pid 4711, http://localhost:8080)\nmigrate done\n${id} queued\n`,
    })
    const asked = server.asked.filter(({ name }) => name === "actOnUnits")
    expect(asked.map(({ body }) => body)).toEqual([{ action: "start", names: ["web", "migrate"] }])
    await run(["restart", "web"], server)
    expect(server.asked.at(-1)!.body).toEqual({ action: "restart", names: ["web"] })
  })

  it("pass the grace on, and print all that was stopped", async () => {
    const stopped = [unit("web", { state: "inactive" }), unit("api", { state: "inactive" })]
    await using server = await daemon({ ...script, actOnUnits: () => acted("stop", ...stopped) })
    expect((await run(["stop", "web", "--grace", "2s"], server)).out).toBe("web stopped\napi stopped\n")
    expect(server.asked.at(-1)!.body).toEqual({ action: "stop", names: ["web"], grace_ms: 2_000 })
  })

  it("tell what did not come up, with its last lines, and where the others are", async () => {
    const message =
      "The unit db did not come up. It ended with exit code 3. Its last output:\nthe disk\u001B[2J is gone"
    const failed = unit("db", { state: "failed" })
    await using server = await daemon({
      ...script,
      units: () => ({ type: "units", units: [failed, web] }),
      actOnUnits: () => refusal(409, "unit_not_started", message),
    })
    expect(await run(["start", "db", "web"], server)).toEqual(
      expect.objectContaining({
        code: 1,
        out: "db failed\nweb ready (pid 4711, http://localhost:8080)\n",
        err: "holdfast: The unit db did not come up. It ended with exit code 3. Its last output:\nthe disk\uFFFD[2J is gone\nMore: holdfast why db\n",
      }),
    )
    const { code, out } = await run(["start", "db", "--json"], server)
    expect({ code, error: JSON.parse(out).error.code }).toEqual({ code: 1, error: "unit_not_started" })
  })

  it("show on a terminal how far the units are, and take that away", async () => {
    const moving = [unit("db", { state: "starting" }), unit("web", { state: "blocked" }), migrate]
    let looked = () => {}
    const look = new Promise<void>((resolve) => {
      looked = resolve
    })
    await using server = await daemon({
      ...script,
      units: () => ({ type: "units", units: moving }),
      actOnUnits: async () => {
        await look
        return acted("start", web)
      },
    })
    const { done, err } = start(["start", "web"], { ...server, columns: 80 })
    await err.until(/db starting · web waits/)
    looked()
    const { code, out } = await done
    expect({ code, out }).toEqual({ code: 0, out: "web ready (pid 4711, http://localhost:8080)\n" })
    expect(err.text().endsWith("\r\u001B[K")).toBe(true)
  })

  it("do nothing when one of the names is nobody's", async () => {
    await using server = await daemon(script)
    expect(await run(["stop", "web", "nobody"], server)).toMatchObject({ code: 1, out: "" })
    expect(server.asked.map(({ name }) => name)).not.toContain("actOnUnits")
  })
})

describe("kill", () => {
  it("sends the signal to each unit", async () => {
    await using server = await daemon({
      ...script,
      killUnit: ({ id, query }) => ({
        type: "unit-kill",
        name: id!,
        signal: String(query["signal"] ?? "TERM"),
        sent: id === "web",
      }),
    })
    expect(await run(["kill", "web", "db", "-s", "USR1"], server)).toMatchObject({
      code: 0,
      out: "web: sent USR1\ndb: nothing was left to signal\n",
    })
    expect(await run(["kill", "web", "--grace", "1s"], server)).toMatchObject({ code: 2, out: "" })
  })
})
