import { describe, expect, it } from "vitest"
import { daemon, id, run } from "../support.js"

const link = (unit: string, state: string, reason: string, more: object = {}) => ({
  unit,
  state,
  reason,
  output: [],
  ...more,
})

describe("why", () => {
  it("explains a unit down to its first causes, as a tree", async () => {
    const chain = [
      link("all", "blocked", "web waits for what it needs itself. api is starting."),
      link("web", "blocked", "db has failed."),
      link("db", "failed", "It ended with exit code 3.", {
        advice: "Mend it.",
        output: ["opening", "the\u001B[2J disk is gone"],
      }),
      link("api", "starting", "It is starting."),
    ]
    const edge = (from: string, to: string) => ({ from, to, kind: "requires", condition: "ready" })
    await using server = await daemon({
      unit: () => ({ type: "unit", name: "all" }),
      whyUnit: () => ({ type: "unit-why", name: "all", state: "blocked", is_up: false, chain }),
      graph: () => ({
        type: "graph",
        nodes: [],
        edges: [edge("all", "web"), edge("all", "api"), edge("web", "db")],
        groups: [],
      }),
    })
    const { code, err, out } = await run(["why", "all"], server)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toBe(
      [
        "all is blocked. web waits for what it needs itself. api is starting.",
        "├─ web is blocked. db has failed.",
        "│  └─ db is failed. It ended with exit code 3.",
        "│       -> Mend it.",
        "│       | opening",
        "│       | the\uFFFD[2J disk is gone",
        "└─ api is starting. It is starting.",
        "",
      ].join("\n"),
    )
  })

  it("has nothing to explain about a unit that is up", async () => {
    await using server = await daemon({
      unit: () => ({ type: "unit", name: "web" }),
      whyUnit: ({ id }) => ({
        type: "unit-why",
        name: id,
        state: id === "web" ? "ready" : "exited",
        is_up: true,
        chain: [],
      }),
    })
    expect((await run(["why", "web"], server)).out).toBe("web is ready.\n")
    expect((await run(["why", "migrate"], server)).out).toBe("migrate is done.\n")
    expect(JSON.parse((await run(["why", "web", "--json"], server)).out)).toMatchObject({ is_up: true })
  })

  it("explains a job, too", async () => {
    const reasons = [{ sentence: "Its group is paused." }]
    await using server = await daemon({ why: () => ({ type: "why", job_id: id, state: "queued", reasons }) })
    expect((await run(["why", id], server)).out).toBe(`Job ${id} is queued:\n- Its group is paused.\n`)
  })
})
