import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "vitest"
import type { Script } from "../support.js"
import { daemon, event, eventStream, exited, id, refusal, run, scratch, start } from "../support.js"

const accepted = { type: "run", job_id: id, state: "queued", tags: [], is_new: true }

const bodyOf = async (args: ReadonlyArray<string>, surroundings: object = {}) => {
  await using server = await daemon({ exec: () => accepted })
  const { code, err } = await run(["run", ...args], { root: server.root, ...surroundings })
  expect({ code, err }).toEqual({ code: 0, err: "" })
  const { idempotency_key, ...body } = server.asked.find(({ name }) => name === "exec")!.body as Record<
    string,
    unknown
  >
  return { key: idempotency_key, body }
}

describe("run", () => {
  it("prints the id of the job and no word more", async () => {
    await using server = await daemon({ exec: () => accepted })
    expect(await run(["run", "--", "true"], server)).toMatchObject({ code: 0, out: `${id}\n`, err: "" })
  })

  it("gives a hint on a terminal", async () => {
    await using server = await daemon({ exec: () => accepted })
    const { err, out } = await run(["run", "--", "true"], { ...server, columns: 80 })
    expect(out).toBe(`${id}\n`)
    expect(err).toBe(`Its output: holdfast tail -f ${id}; its end: holdfast wait ${id}\n`)
  })

  it("prints the envelope with --json", async () => {
    await using server = await daemon({ exec: () => accepted })
    const { out } = await run(["run", "--json", "--", "true"], server)
    expect(JSON.parse(out)).toEqual({ schema_version: "1", ok: true, ...accepted })
  })

  it("runs the command here, and leaves the rest to the daemon", async () => {
    const { body, key } = await bodyOf(["--", "ls", "-l"])
    expect(body).toEqual({ command: ["ls", "-l"], cwd: "/here" })
    expect(key).toMatch(/^run-[\da-f-]{36}$/)
  })

  it("takes everything that a job can be asked for", async () => {
    const options =
      "--cwd sub --timeout 1m30s --kill-after 500ms --stop-signal INT --tag a -t b --group g --priority -3 " +
      `--after ${id} --after 01HZ:end --delay 10 --retries 2 --retry-delay 3s --key k --mask A --mask B ` +
      "--stdin-file in.txt --max-log 10kB --when-log-full keep-ends"
    const { body, key } = await bodyOf([...options.split(" "), "--", "true"])
    expect(key).toBe("k")
    expect(body).toEqual({
      command: ["true"],
      cwd: "/here/sub",
      timeout_ms: 90_000,
      kill_after_ms: 500,
      stop_signal: "INT",
      tags: ["a", "b"],
      group: "g",
      priority: -3,
      after: [{ job: id }, { job: "01HZ", when: "end" }],
      delay_ms: 10_000,
      retries: 2,
      backoff: { delay_ms: 3_000 },
      mask: ["A", "B"],
      stdin: { file: "/here/in.txt" },
      max_log_bytes: 10_000,
      when_log_full: "keep-ends",
    })
  })

  it("notifies by a shell command and by a file", async () => {
    const args = ["--notify-command", "mail me", "--notify-file", "done.ndjson", "--notify-on", "ready"]
    expect((await bodyOf([...args, "--", "true"])).body["notifications"]).toEqual([
      { on: { output: "ready" }, command: ["sh", "-c", "mail me"] },
      { on: { output: "ready" }, file: "/here/done.ndjson" },
    ])
  })

  it("starts at a time", async () => {
    expect((await bodyOf(["--at", "2030-01-31T08:00:00Z", "--", "true"])).body["start_at"]).toBe(
      "2030-01-31T08:00:00.000Z",
    )
  })

  it("gives variables, later ones before earlier ones, and files before both", async () => {
    using here = scratch()
    fs.writeFileSync(path.join(here.directory, ".env"), "A=file\nB='quoted file'\n# C=no\n")
    const args = ["--env-from", ".env", "--env", "A=1", "-e", "A=2=3", "--env", "HERE", "--env", "EMPTY="]
    const { body } = await bodyOf([...args, "--", "true"], { cwd: here.directory, env: { HERE: "mine" } })
    expect(body["env"]).toEqual({ A: "2=3", B: "quoted file", HERE: "mine", EMPTY: "" })
    expect(body).not.toHaveProperty("inherit_env")
  })

  it("gives all variables from here only when asked to, and never the marks of another job", async () => {
    const env = { PATH: "/bin", HOLDFAST_JOB: "x", HOLDFAST_OWNER: "y", GONE: undefined }
    const { body } = await bodyOf(["--copy-env", "-e", "A=1", "--", "true"], { env })
    expect(body["inherit_env"]).toBe(false)
    expect(body["env"]).toMatchObject({ PATH: "/bin", A: "1" })
    expect(Object.keys(body["env"] as object)).not.toContain("HOLDFAST_JOB")
    expect(Object.keys(body["env"] as object)).not.toContain("HOLDFAST_OWNER")
  })

  it("gives what it reads itself", async () => {
    const { body } = await bodyOf(["--stdin", "--", "cat"], { input: "hé\0" })
    expect(body["stdin"]).toEqual({ base64: Buffer.from("hé\0").toString("base64") })
  })

  it.each([
    [["--delay", "1", "--at", "12:00"], "--delay and --at exclude each other"],
    [["--stdin", "--stdin-file", "x"], "--stdin and --stdin-file exclude each other"],
    [["--env", "NOT_HERE"], "--env NOT_HERE: there is no such variable here; write --env NOT_HERE=VALUE"],
    [["--env", "=x"], '--env expects K=V or K, not "=x"'],
    [["--after", "a:b"], '--after expects ID or ID:end, not "a:b"'],
    [["--at", "soon"], '--at expects HH:MM or a date such as 2030-01-31T08:00, not "soon"'],
    [["--notify-on", "x"], "--notify-on needs --notify-command or --notify-file"],
  ])("refuses %j before a daemon is started", async (args, sentence) => {
    using root = scratch()
    const { code, err } = await run(["run", ...args, "--", "true"], { root: root.directory })
    expect({ code, err }).toEqual({ code: 2, err: `holdfast: ${sentence}\n` })
    expect(fs.readdirSync(root.directory)).toEqual([])
  })

  it("names a file of variables that is not there, and input that is too much", async () => {
    expect((await run(["run", "--env-from", "no.env", "--", "true"], { root: "/x" })).err).toBe(
      "holdfast: The file /here/no.env cannot be read: it is not there.\n",
    )
    const { err } = await run(["run", "--stdin", "--", "cat"], { root: "/x", input: "x".repeat(700_001) })
    expect(err).toContain("Standard input has 700001 bytes")
  })

  it("says that a key was known", async () => {
    await using server = await daemon({ exec: () => ({ ...accepted, is_new: false }) })
    const { err, out } = await run(["run", "--key", "k", "--", "true"], server)
    expect(out).toBe(`${id}\n`)
    expect(err).toBe("The key k was known: this is the job that it belongs to.\n")
  })

  it("asks again with the same key when the connection is cut before the answer", async () => {
    let times = 0
    await using server = await daemon({
      exec: () => (++times === 1 ? (response) => void response.destroy() : { ...accepted, is_new: false }),
    })
    const { code, err, out } = await run(["run", "--", "true"], server)
    expect({ code, out }).toEqual({ code: 0, out: `${id}\n` })
    expect(err).toMatch(/^The daemon is gone; .*\nThe daemon is back\.\n$/)
    const keys = server.asked.flatMap(({ body, name }) =>
      name === "exec" ? [(body as { readonly idempotency_key: string }).idempotency_key] : [],
    )
    expect(keys).toHaveLength(2)
    expect(keys[0]).toBe(keys[1])
  })

  it("tells a refusal", async () => {
    await using server = await daemon({
      exec: () => refusal(507, "store_full", "The disk is full.", true),
    })
    expect(await run(["run", "--", "true"], server)).toMatchObject({
      code: 1,
      out: "",
      err: "holdfast: The disk is full.\n",
    })
  })
})

const log =
  (texts: { readonly stdout: string; readonly stderr: string }): NonNullable<Script["log"]> =>
  ({ query }) => {
    const stream = query["stream"] as "stdout" | "stderr"
    const bytes = Buffer.from(texts[stream], "latin1")
    const offset = Number(query["offset"])
    const piece = bytes.subarray(offset, offset + 4)
    const next_offset = offset + piece.length
    const eof = next_offset === bytes.length
    return {
      type: "log",
      job_id: id,
      stream,
      attempt: 1,
      offset,
      next_offset,
      eof,
      base64: piece.toString("base64"),
    }
  }

describe("run --wait", () => {
  const ended = { type: "wait", job_id: id, state: "exited", reason: "ended" }

  it("prints the output byte by byte and exits with the job's code", async () => {
    await using server = await daemon({
      exec: () => accepted,
      wait: () => ({ ...ended, exit_code: 3 }),
      log: log({ stdout: "out \xff\xfe\0 put", stderr: "oh\n" }),
      status: () => ({ ...exited, exit_code: 3 }),
    })
    const { bytes, code, err } = await run(["run", "--wait", "--", "x"], server)
    expect({ code, err }).toEqual({ code: 3, err: "oh\n" })
    expect(bytes.toString("latin1")).toBe("out \xff\xfe\0 put")
  })

  it.each([
    [
      { state: "killed", exit_code: undefined, signal: "SIGKILL", cause: "signal" },
      137,
      "was ended by SIGKILL.",
    ],
    [
      { state: "killed", exit_code: undefined, signal: "SIGTERM", cause: "timeout" },
      143,
      "ran into its timeout.",
    ],
    [{ state: "exited", exit_code: 0, cause: "stopped" }, 0, "was stopped."],
    [
      {
        state: "failed",
        exit_code: undefined,
        cause: "spawn-error",
        error: "CommandNotFound",
        reason: 'There is no program at "nope".',
      },
      127,
      'failed: There is no program at "nope".',
    ],
    [
      { state: "lost", exit_code: undefined, cause: "reboot", reason: "The machine was restarted." },
      1,
      "is lost: The machine was restarted.",
    ],
  ])("ends as %j with %i", async (end, code, sentence) => {
    await using server = await daemon({
      exec: () => accepted,
      wait: () => ({ ...ended, ...end, reason: "ended" }),
      log: log({ stdout: "", stderr: "" }),
      status: () => ({ ...exited, ...end }),
    })
    expect(await run(["run", "-w", "--", "x"], server)).toMatchObject({
      code,
      err: `holdfast: Job ${id} ${sentence}\n`,
    })
  })

  it("prints one envelope with --json, as if it had waited in the first place", async () => {
    const final = { ...accepted, state: "exited", exit_code: 3, is_new: false, final_snapshot: {} }
    await using server = await daemon({
      exec: ({ body }) => ((body as { readonly wait?: boolean }).wait === true ? final : accepted),
      wait: () => ({ ...ended, exit_code: 3 }),
      status: () => ({ ...exited, exit_code: 3 }),
    })
    const { code, err, out } = await run(["run", "--wait", "--json", "--", "x"], server)
    expect({ code, err }).toEqual({ code: 3, err: "" })
    expect(JSON.parse(out)).toEqual({ schema_version: "1", ok: true, ...final, is_new: true })
  })

  it("shows how far it is on a terminal, and takes that away", async () => {
    let end: (() => void) | undefined
    const over = new Promise<void>((resolve) => (end = resolve))
    await using server = await daemon({
      exec: () => accepted,
      wait: async () => {
        await over
        return { ...ended, exit_code: 0 }
      },
      tail: () => ({ type: "tail", job_id: id, stdout_tail: "line 7\u001B[2J\n", stderr_tail: "" }),
      status: () => ({ ...exited, state: "running" }),
      log: log({ stdout: "line 7\n", stderr: "" }),
    })
    const running = start(["run", "--wait", "--", "x"], { ...server, columns: 60 })
    await running.err.until(/running {2}line 7\uFFFD\[2J/)
    end!()
    const { code, err, out } = await running.done
    expect({ code, out }).toEqual({ code: 0, out: "line 7\n" })
    expect(err.endsWith("\r\u001B[K")).toBe(true)
    expect(err).not.toContain("\u001B[2J")
  })

  it("leaves the job alone at Ctrl-C, and says how to come back", async () => {
    let arrived: (() => void) | undefined
    const waiting = new Promise<void>((resolve) => (arrived = resolve))
    await using server = await daemon({
      exec: () => accepted,
      wait: () => {
        arrived!()
        return () => {}
      },
    })
    const running = start(["run", "--wait", "--", "x"], server)
    await waiting
    running.interrupt()
    expect(await running.done).toMatchObject({
      code: 130,
      out: "",
      err: `\nJob ${id} goes on. Back to it: holdfast wait ${id}; stop it: holdfast stop ${id}\n`,
    })
    expect(server.asked.map(({ name }) => name)).not.toContain("kill")
  })
})

describe("run --follow", () => {
  const output = (offset: number, text: string, stream = "stdout") =>
    event(
      "output",
      { attempt: 1, stream, offset, next_offset: offset + Buffer.byteLength(text), text },
      `1:${offset}:0`,
    )

  it("gives the output as it comes", async () => {
    await using server = await daemon({
      exec: () => accepted,
      follow: () =>
        eventStream([
          output(0, "a\n"),
          output(0, "b\n", "stderr"),
          event("end", { ...exited, exit_code: 4 }),
        ]),
      status: () => ({ ...exited, exit_code: 4 }),
    })
    expect(await run(["run", "--follow", "--", "x"], server)).toMatchObject({
      code: 4,
      out: "a\n",
      err: "b\n",
    })
  })

  it("prints events with --json", async () => {
    await using server = await daemon({
      exec: () => accepted,
      follow: () => eventStream([output(0, "a\n"), event("end", exited)]),
      status: () => exited,
    })
    const { code, out } = await run(["run", "-f", "--json", "--", "x"], server)
    expect(code).toBe(0)
    const lines = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(lines).toMatchObject([{ type: "run" }, { text: "a\n" }, { type: "status" }])
  })
})

describe("create", () => {
  it("does not let the job start", async () => {
    await using server = await daemon({ exec: () => ({ ...accepted, state: "created" }) })
    expect(await run(["create", "-t", "x", "--", "true"], server)).toMatchObject({ code: 0, out: `${id}\n` })
    expect(server.asked.at(-1)!.body).toMatchObject({ command: ["true"], tags: ["x"], start: false })
  })
})
