import { describe, expect, it } from "vitest"
import { daemon, run } from "../support.js"

const groups = [
  { name: "builds", parallelism: 2, paused: false },
  { name: "nightly", parallelism: null, paused: true },
]
const answer = () => ({ type: "group", ...groups[0] })

describe("group", () => {
  it("lists the groups", async () => {
    await using server = await daemon({ groups: () => ({ type: "groups", groups }) })
    expect((await run(["group", "list"], server)).out).toBe(
      ["NAME     PARALLELISM  STARTS", "builds   2            yes", "nightly  no limit     paused", ""].join(
        "\n",
      ),
    )
    expect(JSON.parse((await run(["group", "list", "--json"], server)).out).groups).toEqual(groups)
  })

  it.each([
    [["set", "a", "--parallelism", "3"], { parallelism: 3 }],
    [["set", "a", "-j", "none"], { parallelism: null }],
    [["pause", "a"], { paused: true }],
    [["resume", "a"], { paused: false }],
  ])("%j", async (args, body) => {
    await using server = await daemon({ setGroup: answer })
    expect(await run(["group", ...args], server)).toMatchObject({ code: 0, out: "", err: "" })
    expect(server.asked).toMatchObject([{ name: "setGroup", id: "a", body }])
  })

  it("forgets one", async () => {
    await using server = await daemon({ deleteGroup: () => ({ type: "group-delete", name: "a" }) })
    expect(JSON.parse((await run(["group", "rm", "a", "--json"], server)).out)).toMatchObject({ name: "a" })
  })

  it.each([
    [["lst"], 'group cannot "lst"; did you mean list?'],
    [["list", "a"], "group list takes no name"],
    [["pause"], "group pause takes the name of one group"],
    [["pause", "a", "b"], "group pause takes the name of one group"],
    [["set", "a"], "group set needs --parallelism N, or --parallelism none"],
    [["set", "a", "-j", "0"], '--parallelism expects a number from 1 on, or none, not "0"'],
    [["pause", "a", "-j", "1"], "--parallelism goes with group set, not with group pause"],
  ])("%j is refused", async (args, sentence) => {
    expect(await run(["group", ...args], { root: "/x" })).toMatchObject({
      code: 2,
      err: `holdfast: ${sentence}\n`,
    })
  })
})
