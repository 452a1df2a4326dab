import { stripVTControlCharacters } from "node:util"
import { describe, expect, it } from "vitest"
import { shortened } from "../../../src/cli/command/List.js"
import { daemon, id, run } from "../support.js"

const job = (fields: object = {}) => ({
  job_id: id,
  state: "exited",
  exit_code: 0,
  cause: "exit",
  created_at: new Date(Date.now() - 3_605_000).toISOString(),
  started_at: "2025-01-02T03:04:06.000Z",
  finished_at: "2025-01-02T03:04:07.500Z",
  tags: [],
  command: ["echo", "hello world"],
  ...fields,
})

const other = "01HZX3V9Q4R8AAAAAAAAAAAAAA"

const jobs = [
  job(),
  job({
    job_id: other,
    state: "killed",
    exit_code: undefined,
    signal: "SIGKILL",
    cause: "signal",
    tags: ["nightly", "a-very-long-tag-that-goes-on"],
    group: "builds",
    command: ["make", "-j", "8", "all", "with", "many", "more", "words\u001B[2J"],
  }),
]

describe("list", () => {
  it("is a plain, full table where there is no terminal", async () => {
    await using server = await daemon({ list: () => ({ type: "list", jobs }) })
    const { code, err, out } = await run(["list"], server)
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out.replaceAll("1h00m", "  AGE")).toBe(
      [
        "ID                          STATE   EXIT       AGE  TIME  GROUP/TAGS                                    COMMAND",
        `${id}  exited  0          AGE  1.5s                                                echo 'hello world'`,
        `${other}  killed  SIGKILL    AGE  1.5s  builds/ nightly a-very-long-tag-that-goes-on  make -j 8 all with many more 'words\uFFFD[2J'`,
        "",
      ].join("\n"),
    )
  })

  it("fits into the terminal, in colours", async () => {
    await using server = await daemon({ list: () => ({ type: "list", jobs }) })
    const { out } = await run(["list"], { ...server, columns: 80 })
    const lines = out.trimEnd().split("\n")
    const bare = lines.map((line) => stripVTControlCharacters(line))
    expect(bare.map(({ length }) => length <= 80)).toEqual([true, true, true])
    expect(bare[2]).toMatch(/^01HZX3V9Q4R8A {2}killed {2}SIGKILL .*builds.*…  make -j 8.*…$/)
    expect(lines[1]).toContain("\u001B[32mexited\u001B[0m")
    expect(lines[2]).toContain("\u001B[31mkilled\u001B[0m")
  })

  it("fits into a terminal that has hardly any room", async () => {
    await using server = await daemon({ list: () => ({ type: "list", jobs }) })
    for (const columns of [12, 20, 30, 40, 60]) {
      const { out } = await run(["list"], { ...server, columns })
      const lines = stripVTControlCharacters(out).trimEnd().split("\n")
      expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(columns)
    }
  })

  it("gives the ids alone with -q", async () => {
    await using server = await daemon({ list: () => ({ type: "list", jobs }) })
    expect((await run(["list", "-q"], server)).out).toBe(`${id}\n${other}\n`)
    await using empty = await daemon({ list: () => ({ type: "list", jobs: [] }) })
    expect((await run(["list", "-q"], empty)).out).toBe("")
  })

  it("has a head alone when there are none", async () => {
    await using server = await daemon({ list: () => ({ type: "list", jobs: [] }) })
    expect((await run(["list"], server)).out).toBe("COMMAND\n")
  })

  it("asks for what is wanted", async () => {
    await using server = await daemon({ list: () => ({ type: "list", jobs: [] }) })
    const args =
      "list --state running -s queued --tag a --tag b --group g --cwd sub --text make --limit 7 --since 1h"
    expect(await run(args.split(" "), server)).toMatchObject({ code: 0 })
    const { since, ...query } = server.asked[0]!.query
    expect(query).toEqual({
      state: ["running", "queued"],
      tag: ["a", "b"],
      group: "g",
      cwd: "/here/sub",
      text: "make",
      limit: "7",
    })
    expect(Date.now() - Number(since)).toBeGreaterThanOrEqual(3_600_000)
    expect(Date.now() - Number(since)).toBeLessThan(3_700_000)
  })

  it("reads page after page until there is enough", async () => {
    await using server = await daemon({
      list: ({ query }) => ({
        type: "list",
        jobs: Array.from({ length: Number(query["limit"]) }, () => job()),
        next: other,
      }),
    })
    const { out } = await run(["list", "-q", "--limit", "2500"], server)
    expect(out.trim().split("\n")).toHaveLength(2_500)
    expect(server.asked.map(({ query }) => [query["limit"], query["before"]])).toEqual([
      ["1000", undefined],
      ["1000", other],
      ["500", other],
    ])
  })

  it("prints the envelope with --json", async () => {
    await using server = await daemon({ list: () => ({ type: "list", jobs }) })
    expect(JSON.parse((await run(["list", "--json"], server)).out)).toMatchObject({ type: "list", ok: true })
  })

  it("refuses a state that there is not", async () => {
    expect(await run(["list", "--state", "runing"])).toMatchObject({
      code: 2,
      err: 'holdfast: --state cannot be "runing"; did you mean running?\n',
    })
  })
})

describe("ps", () => {
  it("is about the jobs that are not over, unless told otherwise", async () => {
    await using server = await daemon({ list: () => ({ type: "list", jobs: [] }) })
    await run(["ps"], server)
    await run(["ps", "--all"], server)
    await run(["ps", "--state", "lost"], server)
    expect(server.asked.map(({ query }) => query["state"])).toEqual([
      ["created", "queued", "running"],
      undefined,
      "lost",
    ])
  })
})

describe("shortened", () => {
  it("keeps the ids apart", () => {
    expect(shortened([])).toBe(12)
    expect(shortened([id])).toBe(12)
    expect(shortened([id, other])).toBe(13)
    expect(shortened(["01HZX3V9Q4R8N7C2M5K6J1T0WB", "01HZX3V9Q4R8N7C2M5K6J1T0WC"])).toBe(26)
    expect(shortened([id, id])).toBe(12)
  })
})
