import { describe, expect, it, vi } from "vitest"
import type { Asked, Script } from "../support.js"
import { daemon, event, eventStream, id, refusal, run, start } from "../support.js"

const begin = Date.UTC(2030, 0, 31, 8)

const time = (second: number) => new Date(begin + second * 1_000).toISOString()

const line = (seq: number, second: number, text: string, stream = "stdout") => ({
  seq,
  at: time(second),
  stream,
  text,
  generation: 1,
})

const known: Readonly<Record<string, ReadonlyArray<ReturnType<typeof line>>>> = {
  a: [line(1, 1, "a1"), line(2, 4, "a2", "stderr"), line(3, 5, "a3")],
  b: [line(1, 2, "b1"), line(2, 3, "b2"), line(3, 6, "b3")],
}

/** Pages of two lines, as of a log that has much more in it. */
const unitLogs = ({ id, query }: Asked) => {
  const all = known[id!]!
  const latest = all.length
  if (query["after"] === undefined) {
    const since = Number(query["since"] ?? 0)
    const recent = all.filter(({ at }) => Date.parse(at) >= since)
    const count = Number(query["lines"] ?? 50)
    return {
      type: "unit-logs",
      name: id,
      lines: count === 0 ? [] : recent.slice(-count),
      next: latest,
      latest,
    }
  }
  const after = Number(query["after"])
  const lines = all.slice(after, after + 2)
  return { type: "unit-logs", name: id, lines, next: after + lines.length, latest }
}

const script: Script = {
  unit: ({ id }) =>
    known[id!] === undefined
      ? refusal(404, "unit_not_found", "There is no such unit.")
      : { type: "unit", name: id },
  units: () => ({ type: "units", units: [{ name: "a" }, { name: "b" }] }),
  unitLogs,
}

describe("logs of units", () => {
  it("shows all that is kept, page by page, as it was written", async () => {
    await using server = await daemon(script)
    expect(await run(["logs", "a"], server)).toMatchObject({ code: 0, out: "a1\na2\na3\n", err: "" })
    const cursors = server.asked.filter(({ name }) => name === "unitLogs").map(({ query }) => query["after"])
    expect(cursors).toEqual(["0", "2"])
  })

  it("puts several together by their times, each line behind its unit's name", async () => {
    await using server = await daemon(script)
    const { out } = await run(["logs", "b", "a", "b"], server)
    expect(out).toBe("a | a1\nb | b1\nb | b2\na : a2\na | a3\nb | b3\n")
    expect((await run(["logs", "a", "b", "-n", "1"], server)).out).toBe("a | a3\nb | b3\n")
    expect((await run(["tail", "a", "-n", "2"], server)).out).toBe("a2\na3\n")
    expect((await run(["logs", "a", "b", "--stream", "stderr"], server)).out).toBe("a : a2\n")
  })

  it("reads back by number beyond what a page can have", async () => {
    await using server = await daemon(script)
    expect((await run(["logs", "a", "-n", "20000"], server)).out).toBe("a1\na2\na3\n")
    const queries = server.asked.filter(({ name }) => name === "unitLogs").map(({ query }) => query)
    expect(queries.slice(0, 2)).toEqual([{ lines: "0" }, { after: "0", limit: "10000" }])
  })

  it("shows what came since a time, and when", async () => {
    await using server = await daemon(script)
    const since = time(4)
    expect((await run(["logs", "a", "b", "--since", since], server)).out).toBe("a : a2\na | a3\nb | b3\n")
    expect((await run(["logs", "a", "--since", since, "--timestamps"], server)).out).toBe(
      `${time(4)} a2\n${time(5)} a3\n`,
    )
    expect(await run(["logs", "a", "--since", "soon"], server)).toMatchObject({ code: 2 })
  })

  it("prints each line as JSON, with the unit's name", async () => {
    await using server = await daemon(script)
    const { out } = await run(["logs", "a", "-n", "1", "--json"], server)
    expect(JSON.parse(out)).toEqual({ name: "a", ...line(3, 5, "a3") })
  })

  it("keeps units and jobs apart", async () => {
    await using server = await daemon({
      ...script,
      tail: () => ({
        type: "tail",
        job_id: id,
        stdout_tail: "job\n",
        stderr_tail: "",
        attempt: 1,
        stdout_next_offset: 4,
        stderr_next_offset: 0,
      }),
    })
    expect(await run(["logs", "a", id], server)).toMatchObject({
      code: 2,
      err: "holdfast: logs are shown of several units, or of one job\n",
    })
    expect(await run(["logs", id, "--timestamps"], server)).toMatchObject({ code: 2 })
    expect((await run(["logs", id, "-n", "1"], server)).out).toBe("job\n")
    expect(await run(["logs", "nobody"], server)).toMatchObject({ code: 1 })
  })

  it("goes on from where it has read, tells what is missing, and finds the next daemon", async () => {
    const asked: Array<string> = []
    let round = 0
    await using server = await daemon({
      ...script,
      followUnit: ({ id, query }) => {
        asked.push(`${id} ${String(query["after"])}`)
        round += 1
        if (id === "b") return (response) => void response.writeHead(200).write(": hello\n\n")
        return round <= 2
          ? eventStream([event("line", line(4, 7, "a4"), "4")], true)
          : (response) => {
              response.writeHead(200)
              response.write(event("missed", { count: 12, next: 16 }, "16"))
              response.write(event("line", line(17, 9, "a17", "stderr"), "17"))
            }
      },
    })
    const { done, err, interrupt, out } = start(["logs", "-f", "a", "b"], server)
    void done
    await out.until(/a : a17\n/)
    await err.until(/a: 12 lines not kept any more\./)
    expect(out.text().endsWith("b | b3\na | a4\na : a17\n")).toBe(true)
    expect(err.text()).toContain("The daemon is gone; its units end with it.")
    await vi.waitFor(() => expect([...asked].sort()).toEqual(["a 3", "a 4", "b 3", "b 3"]))
    interrupt()
  })

  it("ends when all units are gone by a reload", async () => {
    let isThere = true
    await using server = await daemon({
      ...script,
      unit: () =>
        isThere ? { type: "unit", name: "a" } : refusal(404, "unit_not_found", "There is no such unit."),
      followUnit: () => {
        isThere = false
        return eventStream([event("line", line(4, 7, "a4"), "4")])
      },
    })
    expect(await run(["logs", "-f", "-n", "0", "a"], server)).toMatchObject({
      code: 0,
      out: "a4\n",
      err: "a: It is not there any more.\n",
    })
  })
})
