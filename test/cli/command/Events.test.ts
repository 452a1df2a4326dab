import { describe, expect, it } from "vitest"
import { daemon, event, eventStream, id, run, start } from "../support.js"

const entry = (seq: number) => ({
  seq,
  at: "2030-01-31T08:00:00.000Z",
  type: "job.exited",
  subject: id,
  data: { exit_code: 0, cause: "exit" },
})

const line = (seq: number) =>
  `${seq}  2030-01-31T08:00:00.000Z  job.exited     ${id}  exit_code=0  cause=exit\n`

/** A log of so many entries. */
const logOf =
  (count: number) =>
  ({ query }: { readonly query: Readonly<Record<string, unknown>> }) => {
    const after = Number(query["after"])
    const next = Math.min(count, after + Math.min(3, Number(query["limit"])))
    const events = Array.from({ length: next - after }, (_, index) => entry(after + index + 1))
    return { type: "events", events, next, first: 1, last: count, missed: false }
  }

describe("events", () => {
  it("shows the latest", async () => {
    await using server = await daemon({ events: logOf(10) })
    const { code, err, out } = await run(["events", "-n", "5"], server)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toBe([6, 7, 8, 9, 10].map(line).join(""))
  })

  it("shows what came after a cursor", async () => {
    await using server = await daemon({ events: logOf(10) })
    expect((await run(["events", "--after", "2", "-n", "2"], server)).out).toBe(line(3) + line(4))
  })

  it("passes on what is asked for, and looks at all of it for the latest", async () => {
    await using server = await daemon({ events: logOf(5) })
    const { out } = await run(["events", "--subject", id, "-t", "job", "-t", "unit", "-n", "1"], server)
    expect(out).toBe(line(5))
    expect(server.asked[0]!.query).toMatchObject({ subject: id, type: ["job", "unit"], after: "0" })
  })

  it("prints an envelope with --json", async () => {
    await using server = await daemon({ events: logOf(4) })
    const { out } = await run(["events", "--json"], server)
    expect(JSON.parse(out)).toMatchObject({ type: "events", next: 4, events: [1, 2, 3, 4].map(entry) })
  })

  it("goes on as it comes, also after the daemon came back", async () => {
    let times = 0
    await using server = await daemon({
      events: logOf(1),
      followEvents: () => {
        times += 1
        if (times === 1) return eventStream([event("event", entry(2), "2")], true)
        if (times === 2)
          return eventStream([event("missed", { count: 7, next: 9 }, "9"), event("event", entry(10), "10")])
        return () => {}
      },
    })
    const running = start(["events", "-f"], server)
    await running.out.until(/^10 {2}/m)
    expect(running.out.text()).toBe(line(1) + line(2) + line(10))
    expect(running.err.text()).toContain("7 entries are not there any more.\n")
    await running.err.until(/(is back[^]*){2}/)
    const cursors = server.asked.flatMap(({ headers, name }) =>
      name === "followEvents" ? [headers["last-event-id"]] : [],
    )
    expect(cursors.slice(0, 2)).toEqual(["1", "2"])
    await server.stop()
    await expect(Promise.race([running.done, running.err.until(/(Waiting[^]*){3}/)])).resolves.toBeUndefined()
  })
})
