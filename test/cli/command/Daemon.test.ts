import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "vitest"
import { daemon, refusal, run, scratch, unit } from "../support.js"

describe("reload", () => {
  const change = (isDry: boolean) => ({
    type: "reload",
    file: "/etc/holdfast.yaml",
    dry_run: isDry,
    reason: "done",
    added: ["new"],
    removed: ["old"],
    changed: [{ name: "web", fields: ["command", "env.PORT"] }],
    unchanged: ["db", "follower"],
    follows: [{ name: "follower", to: "web" }],
    groups: { added: ["pair"], removed: [], changed: [] },
    started: isDry ? [] : [unit("web", { pid: 12 }), unit("new", { state: "failed", reason: "It broke." })],
  })

  it("shows what it will do and why, does it, and says what did not come up", async () => {
    await using server = await daemon({ reload: ({ query }) => change(query["dry_run"] === "true") })
    expect(await run(["reload"], server)).toMatchObject({
      code: 1,
      out: [
        "/etc/holdfast.yaml",
        "- old: stops, as it is not in it any more",
        "~ web: starts anew if it is up or done, as it has changed: command, env.PORT",
        "~ follower: restarts if it is up, as it is bound to web",
        "+ new: is new, and starts",
        "+ group pair: is new",
        "  1 unchanged",
        "web ready (pid 12)",
        "new failed",
        "",
      ].join("\n"),
      err: "holdfast: The unit new did not come up. It broke.\n",
    })
    expect(server.asked.map(({ query }) => query["dry_run"])).toEqual(["true", undefined])
  })

  it("only shows it with --dry-run", async () => {
    await using server = await daemon({ reload: () => change(true) })
    expect((await run(["reload", "--dry-run"], server)).code).toBe(0)
    expect(JSON.parse((await run(["reload", "--dry-run", "--json"], server)).out)).toMatchObject({
      dry_run: true,
    })
    expect(server.asked.map(({ query }) => query["dry_run"])).toEqual(["true", "true"])
  })

  it("does nothing when nothing has changed", async () => {
    const groups = { added: [], removed: [], changed: [] }
    const same = { ...change(true), added: [], removed: [], changed: [], groups }
    await using server = await daemon({ reload: () => same })
    expect(await run(["reload"], server)).toMatchObject({
      code: 0,
      out: "Nothing has changed in /etc/holdfast.yaml.\n",
    })
    expect(server.asked).toHaveLength(1)
  })

  it("shows every fault of a configuration, in a line of its own", async () => {
    const message =
      "The configuration cannot be used, and nothing was changed.\na.yaml:1:2: one\na.yaml:3:4: two"
    await using server = await daemon({ reload: () => refusal(400, "config_invalid", message) })
    expect(await run(["reload"], server)).toMatchObject({ code: 1, out: "", err: `holdfast: ${message}\n` })
  })
})

describe("down", () => {
  /** A number that no process has: the highest that Linux gives is 4194304. */
  const nobody = 4_194_305

  it("is content when there is no daemon", async () => {
    using root = scratch()
    const sentence = `No daemon is running for ${root.directory}.\n`
    expect(await run(["down", "--root", root.directory])).toMatchObject({ code: 0, err: sentence })
    fs.writeFileSync(path.join(root.directory, "daemon.json"), JSON.stringify({ pid: nobody, since: 0 }))
    expect(await run(["down", "--root", root.directory])).toMatchObject({ code: 0, err: sentence })
    expect(JSON.parse((await run(["down", "--json", "--root", root.directory])).out)).toMatchObject({
      ok: true,
    })
  })

  it("passes on what the daemon says", async () => {
    await using server = await daemon({
      shutdown: () => refusal(400, "invalid_state", "It cannot be ended through its API."),
    })
    expect(await run(["down", "--grace", "2s"], server)).toMatchObject({
      code: 1,
      err: "holdfast: It cannot be ended through its API.\n",
    })
    expect(server.asked[0]).toMatchObject({ name: "shutdown", query: { grace_ms: "2000" } })
  })
})
