/** Real commands, run as jobs by the built program, over HTTP and from the command line. */
import * as fs from "node:fs"
import * as path from "node:path"
import { spawnSync } from "node:child_process"
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest"
import { isAlive } from "../process/support.js"
import { eventually, gone, open, python, type Site, wholeLines } from "./daemon.js"

let shared: Site
beforeAll(async () => {
  shared = await open()
})
afterAll(() => shared?.close())

/** The daemon of most of these tests, and a directory for one of them. */
const site = () => ({ ...shared, ...shared.desk() })

/** A daemon for one test, which may be killed. */
const lonely = async () => {
  const made = await open()
  onTestFinished(() => made.close())
  return { ...made, ...made.desk() }
}

const has = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0

/** A job's script that goes on when the test has made this file. */
const gate = (name: string): string => `until [ -e ${name} ]; do sleep 0.02; done`

const post = { method: "POST" } as const

describe("real commands", () => {
  it("an archiver: a tree goes through stdout byte by byte, and its listing through the command line", async () => {
    const { end, exec, holdfast, log, work } = site()
    const tree = path.join(work, "tree")
    fs.mkdirSync(path.join(tree, "\u03b4\u03ad\u03bd\u03c4\u03c1\u03bf"), { recursive: true })
    const noise = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * at * 31 + at) & 255))
    fs.writeFileSync(path.join(tree, "\u03b4\u03ad\u03bd\u03c4\u03c1\u03bf", "noise"), noise)
    fs.writeFileSync(path.join(tree, "empty"), "")
    const packed = await exec({ command: ["tar", "-czf", "-", "tree"] })
    expect(await end(packed)).toMatchObject({ state: "exited", exit_code: 0 })
    fs.writeFileSync(path.join(work, "tree.tgz"), await log(packed, "", 50_000))
    fs.renameSync(tree, path.join(work, "original"))
    expect(await holdfast("run", "--wait", "--", "tar", "-xzvf", "tree.tgz")).toMatchObject({
      code: 0,
      out: expect.stringContaining("tree/empty\n"),
    })
    expect(
      noise.equals(fs.readFileSync(path.join(tree, "\u03b4\u03ad\u03bd\u03c4\u03c1\u03bf", "noise"))),
    ).toBe(true)
    const { code, err } = await holdfast("run", "--wait", "--", "tar", "-xzf", "nothing.tgz")
    expect(code).toBe(2)
    expect(err).toContain("nothing.tgz")
  })

  it("a compiler: what is wrong is on its output and in its exit code", async () => {
    const { end, exec, get, holdfast, log, work } = site()
    fs.writeFileSync(path.join(work, "bad.ts"), 'export const n: number = "\u03b1"\n')
    const tsc = path.resolve(import.meta.dirname, "../../node_modules/typescript/bin/tsc")
    const command = [process.execPath, tsc, "--noEmit", "--strict", "--ignoreConfig", "bad.ts"]
    const checked = await exec({ command })
    const { exit_code, state } = await end(checked)
    expect(state).toBe("exited")
    expect(exit_code).toBeGreaterThan(0)
    expect((await log(checked)).toString()).toContain("bad.ts(1,14): error TS2322")

    fs.writeFileSync(path.join(work, "bad.cjs"), "const = 1\n")
    const parsed = await holdfast("run", "--wait", "--", process.execPath, "--check", "bad.cjs")
    expect(parsed).toMatchObject({ code: 1, err: expect.stringContaining("SyntaxError") })

    if (!has("cc")) return
    fs.writeFileSync(path.join(work, "good.c"), "int main(void) { return 42; }\n")
    fs.writeFileSync(path.join(work, "bad.c"), "int main(void) { return x; }\n")
    const built = await exec({ command: ["cc", "-o", "good", "good.c"] })
    const run = await exec({ command: ["./good"], after: [{ job: built }] })
    expect(await end(run)).toMatchObject({ state: "exited", exit_code: 42 })
    const broken = await exec({ command: ["cc", "-c", "bad.c"] })
    expect(await end(broken)).toMatchObject({ state: "exited", exit_code: 1 })
    expect((await get(`/tail/${broken}`)).stderr_tail).toMatch(/bad\.c:1:\d+: error/)
  })
})

describe("much output", () => {
  it(
    "200 MB in lines: the size is exact, the tail right and quick, a piece from the middle too",
    { timeout: 120_000 },
    async () => {
      const { exec, get } = site()
      const text = `${"x".repeat(92)}\u00e9\u65e5\n`
      expect(Buffer.byteLength(text)).toBe(98)
      const bytes = 98 * 2_040_816
      const id = await exec(`yes '${text.trim()}' | head -c ${bytes}; echo the end`)
      expect(await get(`/wait/${id}`)).toMatchObject({ state: "exited", exit_code: 0 })
      const begin = performance.now()
      const tail = await get(`/tail/${id}?lines=3`)
      expect(performance.now() - begin).toBeLessThan(2_000)
      expect(tail).toMatchObject({
        stdout_tail: `${text}${text}the end\n`,
        truncated: true,
        stdout_observed_bytes: bytes + 8,
        stdout_included_bytes: 98 * 2 + 8,
        stderr_observed_bytes: 0,
      })
      const { attempts } = await get(`/jobs/${id}`)
      expect(attempts).toMatchObject([{ stdout_bytes: bytes + 8, stderr_bytes: 0 }])
      expect(fs.statSync(tail.stdout_log_path).size).toBe(bytes + 8)
      const middle = await get(`/log/${id}?offset=${98 * 1_000_000}&max_bytes=196`)
      expect(middle).toMatchObject({ text: text + text, next_offset: 98 * 1_000_002, eof: false })
    },
  )

  it(
    "1 GB without a newline: at once, and no more of it than was asked for",
    { timeout: 120_000 },
    async () => {
      const { ask, exec, get, pid, root } = site()
      const id = await exec("head -c 1073741824 /dev/zero | tr '\\0' x")
      // While it is written, too: a line of output that has no end yet.
      await eventually("the first of it", async () => (await get(`/tail/${id}`)).stdout_observed_bytes > 0)
      expect((await get(`/tail/${id}?lines=1&max_bytes=10`)).stdout_tail).toBe("xxxxxxxxxx")
      expect(await get(`/wait/${id}`)).toMatchObject({ state: "exited", exit_code: 0 })
      const begin = performance.now()
      const tail = await get(`/tail/${id}`)
      expect(performance.now() - begin).toBeLessThan(2_000)
      expect(tail).toMatchObject({
        stdout_tail: "x".repeat(65_536),
        truncated: true,
        stdout_observed_bytes: 1_073_741_824,
        stdout_included_bytes: 65_536,
      })
      const last = await get(`/log/${id}?offset=1073741820`)
      expect(last).toMatchObject({ text: "xxxx", next_offset: 1_073_741_824, eof: true, ended: true })
      // A search of all that keeps nobody waiting beyond what was asked for, nor anybody else.
      const search = get(`/wait/${id}?pattern=y&until_ms=300`)
      expect(await get("/health")).toMatchObject({ ok: true })
      expect((await search).reason).toBe("deadline")
      if (process.platform === "linux") {
        const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid()}/status`, "utf8"))!
        expect(Number(kilobytes)).toBeLessThan(300_000)
      }
      await get(`/jobs/${id}`, { method: "DELETE" })
      expect((await ask(`/status/${id}`)).status).toBe(404)
      await eventually("its files are gone", () => !fs.existsSync(path.join(root, "jobs", id)))
    },
  )

  it("all bytes there are, read back by cursor", async () => {
    const { end, exec, get, holdfast, log } = site()
    const every = Buffer.from([...Array(256).keys()])
    const all = Buffer.concat(Array.from({ length: 64 }, () => every))
    const script = `process.stdout.write(Buffer.concat(Array.from({length: 64}, () => Buffer.from([...Array(256).keys()]))))`
    const id = await exec({ command: [process.execPath, "-e", script] })
    expect(await end(id)).toMatchObject({ exit_code: 0 })
    expect(all.equals(await log(id, "", 999))).toBe(true)
    const shown = await holdfast("logs", "--json", id)
    expect(shown.code).toBe(0)
    // As text it is U+FFFD where it is no UTF-8, and every answer is valid JSON all the same.
    let [offset, text] = [0, ""]
    while (offset < all.length) {
      const piece = await get(`/log/${id}?offset=${offset}&max_bytes=1000`)
      expect(piece.next_offset).toBeGreaterThan(offset)
      text += piece.text
      offset = piece.next_offset
    }
    expect(text).toBe(all.toString("utf8"))
  })

  it("two scripts: no cut of a tail, a piece or a follower splits a character", async () => {
    const { end, events, exec, get } = site()
    const text =
      "Latin na\u00efve \u03bb\u03cc\u03b3\u03bf\u03c2 \u65e5\u672c\u8a9e \ud83d\ude80 \u00e9".repeat(3)
    const id = await exec(`printf %s '${text}'`)
    expect(await end(id)).toMatchObject({ exit_code: 0 })
    const total = Buffer.byteLength(text)
    for (let most = 1; most <= 40; most += 1) {
      const tail = await get(`/tail/${id}?max_bytes=${most}`)
      expect(tail.stdout_tail).not.toContain("\ufffd")
      expect(text.endsWith(tail.stdout_tail)).toBe(true)
      expect(tail.stdout_included_bytes).toBe(Buffer.byteLength(tail.stdout_tail))
      expect(tail.stdout_included_bytes).toBeLessThanOrEqual(most)
      expect(tail.stdout_included_bytes).toBeGreaterThan(most - 4)
      expect(tail.stdout_observed_bytes).toBe(total)
    }
    for (const most of [4, 5, 6, 7, 61]) {
      let [offset, read] = [0, ""]
      while (offset < total) {
        const piece = await get(`/log/${id}?offset=${offset}&max_bytes=${most}`)
        expect(piece.next_offset).toBeGreaterThan(offset)
        read += piece.text
        offset = piece.next_offset
      }
      expect(read).toBe(text)
    }
    // The two bytes of a character written with a wait between them.
    const slow = await exec(`printf '\\316'; ${gate("half")}; printf '\\273\\n'`)
    await eventually("half", async () => (await get(`/tail/${slow}`)).stdout_observed_bytes === 1)
    const followed: Array<string> = []
    const stream = await events(`/follow/${slow}`)
    fs.writeFileSync(path.join((await get(`/jobs/${slow}`)).cwd, "half"), "")
    for await (const { data, event } of stream) if (event === "output") followed.push(data.text)
    expect(followed.join("")).toBe("\u03bb\n")
  })
})

describe("processes that are hard to get at", () => {
  it("one that daemonises: its leader has ended, its child lives, and a kill reaches it", async () => {
    const { end, exec, get, line } = site()
    const id = await exec("(trap '' HUP; exec sleep 300) & echo child=$!; exit 3")
    expect(await end(id)).toMatchObject({ state: "exited", exit_code: 3, cause: "exit" })
    const { pid } = await line(id, "^child=(?<pid>\\d+)$")
    expect(isAlive(Number(pid))).toBe(true)
    expect(await get(`/kill/${id}`, post)).toMatchObject({
      state: "exited",
      signal: "TERM",
      sent: ["TERM"],
      escalated: false,
      survivors: [],
    })
    await gone(Number(pid))
    // It ended by itself, whatever became of its child; and there is nothing left to signal.
    expect(await get(`/status/${id}`)).toMatchObject({ state: "exited", exit_code: 3 })
    expect(await get(`/kill/${id}`, post)).toMatchObject({ state: "exited", sent: [] })
  })

  it("one that forks twice out of its session: a kill finds it after its leader's end", async () => {
    const { end, exec, get } = site()
    const id = await exec("setsid sh -c 'sleep 300 & echo child=$!' </dev/null")
    expect(await end(id)).toMatchObject({ state: "exited", exit_code: 0 })
    // Whoever left the session may go on a moment longer.
    const pid = await eventually("its child is alone", async () => {
      const child = /^child=(\d+)\n/.exec((await get(`/tail/${id}`)).stdout_tail)?.[1]
      return child !== undefined && !isChildOfShell(Number(child)) && child
    })
    expect(isAlive(Number(pid))).toBe(true)
    expect(await get(`/kill/${id}`, post)).toMatchObject({ escapees: [Number(pid)], survivors: [] })
    await gone(Number(pid))
  })

  it("one that ignores TERM: KILL follows, and is reported", async () => {
    const { exec, get, holdfast, line } = site()
    const script = "trap '' TERM; echo pid=$$; while :; do sleep 1; done"
    const id = await exec(script)
    await line(id, "^pid=")
    const begin = performance.now()
    const report = await get(`/kill/${id}?grace_ms=300`, post)
    expect(performance.now() - begin).toBeGreaterThanOrEqual(299)
    expect(report).toMatchObject({
      state: "killed",
      signal: "TERM",
      sent: ["TERM", "KILL"],
      escalated: true,
      survivors: [],
    })
    expect(report.elapsed_ms).toBeGreaterThanOrEqual(299)
    expect(await get(`/status/${id}`)).toMatchObject({ state: "killed", signal: "SIGKILL", cause: "stopped" })

    const other = await exec(script)
    const { pid } = await line(other, "^pid=(?<pid>\\d+)")
    const { code, out } = await holdfast("stop", "--grace", "100ms", other)
    expect(code).toBe(0)
    expect(out).toMatch(/sent TERM.*KILL/)
    await gone(Number(pid))
    // Not escalated when it is told not to.
    const third = await exec(script)
    await line(third, "^pid=")
    expect(await get(`/kill/${third}?escalate=false`, post)).toMatchObject({
      state: "running",
      sent: ["TERM"],
      escalated: false,
    })
    expect((await get(`/status/${third}`)).state).toBe("running")
  })

  it("one that calls setsid: a kill finds it", async () => {
    const { exec, get, line } = site()
    const id = await exec("setsid sleep 300 & echo child=$!; wait")
    const { pid } = await line(id, "^child=(?<pid>\\d+)$")
    await eventually(
      "it has left",
      () => process.platform !== "linux" || sessionOf(Number(pid)) === Number(pid),
    )
    expect(await get(`/kill/${id}`, post)).toMatchObject({
      state: "killed",
      escapees: [Number(pid)],
      survivors: [],
    })
    await gone(Number(pid))
  })

  it("one that handles a signal gets it, by whatever name", async () => {
    const { exec, get, holdfast, line } = site()
    const id = await exec("trap 'echo got it' USR1; echo ready; while :; do sleep 0.05; done")
    await line(id, "^ready")
    expect(await get(`/kill/${id}`, { body: { signal: "sigusr1" } })).toMatchObject({
      state: "running",
      signal: "USR1",
      sent: ["USR1"],
      escalated: false,
      elapsed_ms: expect.any(Number),
    })
    await line(id, "^got it$")
    expect(await holdfast("kill", "--signal", "SIGUSR1", id)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/sent USR1/),
      err: "",
    })
  })

  it("one that exits before its output is drained: a late child's lines are there, a follower gets all", async () => {
    const { end, events, exec, get, log, work } = site()
    const id = await exec(`(${gate("late")}; echo late) & echo early`)
    expect(await end(id)).toMatchObject({ state: "exited", exit_code: 0 })
    expect((await log(id)).toString()).toBe("early\n")
    fs.writeFileSync(path.join(work, "late"), "")
    await eventually("the late line", async () => (await log(id)).toString() === "early\nlate\n")
    expect((await get(`/tail/${id}`)).stdout_tail).toBe("early\nlate\n")

    const bytes = 30_000_000
    const much = await exec(`${gate("go")}; yes 0123456789abcde | head -c ${bytes}; exit 5`)
    const stream = await events(`/follow/${much}`)
    fs.writeFileSync(path.join(work, "go"), "")
    expect(await end(much)).toMatchObject({ exit_code: 5 })
    let [seen, last] = [0, ""]
    for await (const { data, event } of stream) {
      if (event === "output") {
        expect(data.offset).toBe(seen)
        seen = data.next_offset
      }
      last = event
    }
    expect([seen, last]).toEqual([bytes, "end"])
  })
})

/** The fields of a process's stat, from its state on. */
const statOf = (pid: number): ReadonlyArray<string> => {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1")
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")
}

/** The session of a process, as the system tells. */
const sessionOf = (pid: number): number => Number(statOf(pid)[3])

/** Whether the shell that has started a process is still there. */
const isChildOfShell = (pid: number): boolean => {
  if (process.platform !== "linux") return false
  try {
    return fs.readFileSync(`/proc/${statOf(pid)[1]}/comm`, "latin1") === "sh\n"
  } catch {
    // It ends at this moment.
    return true
  }
}

describe("standard input", () => {
  it("is a text, bytes, a file, nothing, or what is sent while it runs", async () => {
    const { ask, end, exec, get, line, log, work } = site()
    const read = { command: ["cat"] }
    const written = async (stdin: unknown) => {
      const id = await exec(stdin === undefined ? read : { ...read, stdin })
      expect(await end(id)).toMatchObject({ state: "exited", exit_code: 0 })
      return log(id)
    }
    expect((await written(undefined)).length).toBe(0)
    const large = "\u03bb\n".repeat(200_000)
    expect((await written({ text: large })).toString() === large).toBe(true)
    const bytes = Buffer.from([...Array(256).keys()])
    expect(await written({ base64: bytes.toString("base64") })).toEqual(bytes)
    fs.writeFileSync(path.join(work, "input"), bytes)
    expect(await written({ file: path.join(work, "input") })).toEqual(bytes)

    const id = await exec({ ...read, stdin: "pipe" })
    const stdin = (body: object) => get(`/stdin/${id}`, { body })
    expect(await stdin({ text: "one\n" })).toMatchObject({ job_id: id, bytes: 4, end: false })
    await line(id, "^one$")
    expect(await stdin({ base64: "dHdvCg==" })).toMatchObject({ bytes: 4 })
    await line(id, "^two$")
    expect(await stdin({ text: "three", end: true })).toMatchObject({ bytes: 5, end: true })
    expect(await end(id)).toMatchObject({ state: "exited", exit_code: 0 })
    expect((await log(id)).toString()).toBe("one\ntwo\nthree")
    const late = await ask(`/stdin/${id}`, { body: { text: "four" } })
    expect([late.status, late.body.error.code]).toEqual([400, "invalid_state"])
  })
})

describe("timeouts and waits", () => {
  it("a timeout is TERM, then KILL, and told apart from a crash", async () => {
    const { end, exec, get } = site()
    const quick = await exec({ command: ["sleep", "300"], timeout_ms: 200 })
    const stubborn = await exec({
      command: ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
      timeout_ms: 300,
      kill_after_ms: 300,
    })
    const crashed = await exec("kill -TERM $$")
    expect(await end(quick)).toMatchObject({ state: "killed", signal: "SIGTERM", cause: "timeout" })
    expect(await end(crashed)).toMatchObject({ state: "killed", signal: "SIGTERM", cause: "signal" })
    const status = await end(stubborn)
    expect(status).toMatchObject({ state: "killed", signal: "SIGKILL", cause: "timeout" })
    const ran = Date.parse(status.finished_at) - Date.parse(status.started_at)
    expect(ran).toBeGreaterThanOrEqual(590)
    expect(ran).toBeLessThan(5_000)
    expect((await get(`/jobs/${stubborn}`)).attempts).toHaveLength(1)
  })

  it("a wait ends at a line, at silence, at its deadline or at the end, whichever is asked for", async () => {
    const { exec, get, holdfast, work } = site()
    const id = await exec(
      `echo starting; ${gate("a")}; echo 'listening on port 8123 \u03bb' >&2; ${gate("b")}; exit 4`,
    )
    expect(await get(`/wait/${id}?until_ms=50`)).toMatchObject({ state: "running", reason: "deadline" })
    const pattern = encodeURIComponent("port (?<port>\\d+)")
    const waiting = get(`/wait/${id}?pattern=${pattern}`)
    fs.writeFileSync(path.join(work, "a"), "")
    expect(await waiting).toMatchObject({
      state: "running",
      reason: "pattern",
      match: {
        stream: "stderr",
        line: "listening on port 8123 \u03bb",
        offset: 0,
        groups: { port: "8123" },
      },
    })
    expect(await get(`/wait/${id}?silence_ms=100`)).toMatchObject({ state: "running", reason: "silence" })
    const command = holdfast("wait", id)
    fs.writeFileSync(path.join(work, "b"), "")
    expect(await get(`/wait/${id}`)).toMatchObject({ state: "exited", exit_code: 4, reason: "ended" })
    expect(await command).toMatchObject({ code: 4 })
    expect(await get(`/wait/${id}?pattern=never`)).toMatchObject({ state: "exited", reason: "ended" })
  })
})

describe("a daemon that is killed and started again", () => {
  it("a follower goes on at the event it had last: nothing is lost, nothing doubled", async () => {
    const { end, events, exec, murder, serve, work } = await lonely()
    const id = await exec(
      `i=0; while [ $i -lt 400 ]; do echo "\u03b3\u03c1\u03b1\u03bc\u03bc\u03ae $i"; i=$((i+1)); [ $i -eq 200 ] && ${gate("half")}; done; exit 6`,
    )
    let [text, cursor, last] = ["", "", ""]
    const take = async (stream: Awaited<ReturnType<typeof events>>, enough: () => boolean) => {
      for await (const event of stream) {
        if (event.event === "output") text += event.data.text
        cursor = event.id ?? cursor
        last = event.event
        if (enough()) break
      }
    }
    await take(await events(`/follow/${id}`), () => text.endsWith(" 199\n"))
    await murder()
    fs.writeFileSync(path.join(work, "half"), "")
    await serve()
    await take(await events(`/follow/${id}`, { "last-event-id": cursor }), () => false)
    expect(text).toBe(
      Array.from({ length: 400 }, (_, index) => `\u03b3\u03c1\u03b1\u03bc\u03bc\u03ae ${index}\n`).join(""),
    )
    expect(last).toBe("end")
    expect(await end(id)).toMatchObject({ state: "exited", exit_code: 6 })
  })

  it("what ended meanwhile has its true result, its notification, and ran once", async () => {
    const { end, exec, get, murder, serve, work } = await lonely()
    const file = path.join(work, "events")
    const notifications = [{ file }]
    const job = (script: string) => ({
      command: ["sh", "-c", `echo run; ${gate("go")}; ${script}`],
      notifications,
    })
    const ids = await Promise.all(["exit 137", "kill -KILL $$", "exit 0"].map((each) => exec(job(each))))
    const over = await exec({ command: ["sleep", "300"], timeout_ms: 600 })
    const next = await exec({ command: ["echo", "next"], after: [{ job: ids[2] }] })
    const pids = await Promise.all(
      [...ids, over].map((id) =>
        eventually("it runs", async () => (await get(`/jobs/${id}`)).attempts?.at(-1)?.pid),
      ),
    )
    await murder()
    fs.writeFileSync(path.join(work, "go"), "")
    await Promise.all(pids.slice(0, 3).map(gone))
    await serve()
    const results = await Promise.all([...ids, over, next].map(end))
    expect(results).toMatchObject([
      { state: "exited", exit_code: 137, cause: "exit" },
      { state: "killed", signal: "SIGKILL", cause: "signal" },
      { state: "exited", exit_code: 0 },
      { state: "killed", signal: "SIGTERM", cause: "timeout" },
      { state: "exited", exit_code: 0 },
    ])
    const told = await eventually("the notifications", () => {
      const lines = wholeLines(file)
      return lines.length >= 3 && lines.map((line) => JSON.parse(line))
    })
    expect(told.map(({ job_id }) => job_id).sort()).toEqual([...ids].sort())
    for (const id of ids) expect((await get(`/tail/${id}`)).stdout_tail).toBe("run\n")
  })
})

describe("notifications, retries and order", () => {
  it("notifications tell of the end and of a line, by file and by command", async () => {
    const { end, exec, get, work } = site()
    const file = path.join(work, "events")
    const id = await exec({
      command: ["sh", "-c", "echo 'ready at 7'; exit 2"],
      tags: ["t"],
      notifications: [
        { file },
        { file, on: { output: "ready at (?<port>\\d+)" } },
        { command: ["sh", "-c", `cat > '${work}/told.new' && mv '${work}/told.new' '${work}/told'`] },
      ],
    })
    expect(await end(id)).toMatchObject({ exit_code: 2 })
    const lines = await eventually("both lines", () => {
      const lines = wholeLines(file)
      return lines.length === 2 && lines.map((line) => JSON.parse(line))
    })
    expect(lines.sort((a, b) => a.type.localeCompare(b.type))).toMatchObject([
      { type: "job.ended", job_id: id, state: "exited", exit_code: 2, cause: "exit", tags: ["t"] },
      { type: "job.output", job_id: id, stream: "stdout", line: "ready at 7", groups: { port: "7" } },
    ])
    const told = await eventually("the command", () => {
      const path = `${work}/told`
      return fs.existsSync(path) && fs.readFileSync(path, "utf8")
    })
    expect(JSON.parse(told)).toMatchObject({ type: "job.ended", job_id: id, exit_code: 2 })
    expect(await get(`/status/${id}`)).toMatchObject({ exit_code: 2 })
  })

  it("retries are attempts that keep their logs", async () => {
    const { end, exec, get, log } = site()
    const id = await exec({
      command: ["sh", "-c", "echo . >> count; n=$(wc -l < count); echo try $((n)); [ $n -ge 3 ]"],
      retries: 5,
      backoff: { delay_ms: 20 },
    })
    expect(await end(id)).toMatchObject({ state: "exited", exit_code: 0 })
    expect((await get(`/jobs/${id}`)).attempts).toMatchObject([
      { number: 1, state: "exited", exit_code: 1 },
      { number: 2, state: "exited", exit_code: 1 },
      { number: 3, state: "exited", exit_code: 0 },
    ])
    for (const n of [1, 2, 3]) expect((await log(id, `attempt=${n}`)).toString()).toBe(`try ${n}\n`)
    expect((await get(`/tail/${id}`)).stdout_tail).toBe("try 3\n")
    const hopeless = await exec({ command: ["false"], retries: 2, backoff: { delay_ms: 5 } })
    expect(await end(hopeless)).toMatchObject({ state: "exited", exit_code: 1 })
    expect((await get(`/jobs/${hopeless}`)).attempts).toHaveLength(3)
  })

  it("after: what waits for a success does not run after a failure, what waits for an end does", async () => {
    const { end, exec, get, log, work } = site()
    const first = await exec(`${gate("go")}; echo first >> order; exit 1`)
    const never = await exec({ command: ["touch", "never"], after: [{ job: first }] })
    const anyhow = await exec({
      command: ["sh", "-c", "echo second >> order; cat order"],
      after: [{ job: first, when: "end" }],
    })
    const third = await exec({
      command: ["sh", "-c", "echo third >> order; cat order"],
      after: [{ job: anyhow }],
    })
    const { reasons } = await get(`/why/${never}`)
    expect(reasons).toMatchObject([{ kind: "dependency", jobs: [first] }])
    fs.writeFileSync(path.join(work, "go"), "")
    expect(await end(third)).toMatchObject({ state: "exited", exit_code: 0 })
    expect((await log(third)).toString()).toBe("first\nsecond\nthird\n")
    const failed = await end(never)
    expect(failed).toMatchObject({ cause: "dependency", reason: expect.stringContaining(first) })
    expect(failed.started_at).toBeUndefined()
    expect(fs.existsSync(path.join(work, "never"))).toBe(false)
  })

  it("a group runs as many at once as it may, and none while it is paused", async () => {
    const { end, exec, get, line, work } = site()
    await get("/groups/g", { method: "PUT", body: { parallelism: 2 } })
    const job = (n: number) => ({
      command: [
        "sh",
        "-c",
        `mkdir running-${n}; ls -d running-* | wc -l; ${gate(`go-${n}`)}; rmdir running-${n}`,
      ],
      group: "g",
    })
    const ids: Array<string> = []
    for (const n of [1, 2, 3, 4, 5]) ids.push(await exec(job(n)))
    await Promise.all([line(ids[0]!, "\\d"), line(ids[1]!, "\\d")])
    for (const id of ids.slice(2)) {
      expect((await get(`/status/${id}`)).state).toBe("queued")
      expect((await get(`/why/${id}`)).reasons.length).toBeGreaterThan(0)
    }
    expect((await get(`/why/${ids[2]}`)).reasons[0]).toMatchObject({
      kind: "group-full",
      sentence: expect.stringContaining("g"),
    })
    fs.writeFileSync(path.join(work, "go-2"), "")
    await line(ids[2]!, "\\d")
    await get("/groups/g", { method: "PUT", body: { paused: true } })
    for (const n of [1, 3]) fs.writeFileSync(path.join(work, `go-${n}`), "")
    await Promise.all([end(ids[0]!), end(ids[2]!)])
    expect((await get(`/why/${ids[3]}`)).reasons[0]).toMatchObject({ kind: "group-paused" })
    // What is in no group goes on.
    expect((await end(await exec("exit 0"))).exit_code).toBe(0)
    expect((await get(`/status/${ids[3]}`)).state).toBe("queued")
    await get("/groups/g", { method: "PUT", body: { paused: false } })
    for (const n of [4, 5]) fs.writeFileSync(path.join(work, `go-${n}`), "")
    for (const id of ids) {
      expect(await end(id)).toMatchObject({ state: "exited", exit_code: 0 })
      expect(Number((await get(`/tail/${id}`)).stdout_tail)).toBeLessThanOrEqual(2)
    }
  })

  it("one idempotency key, asked for many times at once, is one job that runs once", async () => {
    const { end, get, work } = site()
    const body = { command: ["sh", "-c", "echo ran >> runs"], cwd: work, idempotency_key: "k-1" }
    const answers = await Promise.all(Array.from({ length: 10 }, () => get("/exec", { body })))
    expect(new Set(answers.map(({ job_id }) => job_id)).size).toBe(1)
    expect(answers.filter(({ is_new }) => is_new)).toHaveLength(1)
    await end(answers[0].job_id)
    expect((await get("/exec", { body })).job_id).toBe(answers[0].job_id)
    expect((await get(`/jobs?cwd=${work}`)).jobs).toHaveLength(1)
    expect(fs.readFileSync(path.join(work, "runs"), "utf8")).toBe("ran\n")
  })
})

describe.runIf(python !== undefined)("waiting in a terminal", () => {
  it("is over when the job is, however early that is", async () => {
    const { holdfast, inTerminal } = site()
    const id = (await holdfast("run", "--", "sh", "-c", "echo hello; exit 4")).out.trim()
    expect(await holdfast("wait", id)).toMatchObject({ code: 4 })
    // The program has to end by itself, too.
    for (let round = 0; round < 3; round++) {
      expect(await inTerminal("wait", id)).toMatchObject({ code: 4 })
      const ran = await inTerminal("run", "--wait", "--", "sh", "-c", "echo hello; exit 3")
      expect(ran).toMatchObject({ code: 3, out: expect.stringContaining("hello") })
    }
  })
})
