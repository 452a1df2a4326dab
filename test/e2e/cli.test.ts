/** The command line as a user has it: the built program, real daemons, real jobs. */
import type { ChildProcessWithoutNullStreams } from "node:child_process"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { killPid } from "../process/killPid.js"
import { isAlive } from "../process/support.js"
import { eventually } from "./daemon.js"

const main = path.resolve(import.meta.dirname, "../../dist/main.js")

const roots: Array<string> = []
const newRoot = () => {
  // As the system names it, which is how the program prints it.
  const root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-e2e-")))
  roots.push(root)
  return root
}

const ownerOf = (root: string): { readonly pid: number; readonly address: string } | undefined => {
  try {
    return JSON.parse(fs.readFileSync(path.join(root, "daemon.json"), "utf8"))
  } catch {
    return undefined
  }
}

/** The program as a child, with what it writes. */
const start = (root: string, ...args: ReadonlyArray<string>) => {
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, HOLDFAST_ROOT: root, NO_COLOR: "1" },
  })
  const chunks: Array<Buffer> = []
  const said = { err: "" }
  let wake: Array<() => void> = []
  const tell = () => {
    for (const each of wake.splice(0)) each()
  }
  child.stdout.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    tell()
  })
  child.stderr.on("data", (chunk: Buffer) => {
    said.err += chunk.toString()
    tell()
  })
  const done = once(child, "close").then(([code, signal]) => ({
    code: (code ?? signal) as number | string,
    out: Buffer.concat(chunks).toString(),
    bytes: Buffer.concat(chunks),
    err: said.err,
  }))
  /** Resolves when it has written something like this, on either output. */
  const until = async (pattern: RegExp) => {
    while (!pattern.test(Buffer.concat(chunks).toString() + said.err)) {
      if (child.exitCode !== null || child.signalCode !== null) {
        throw new Error(`it ended without ${pattern}: ${Buffer.concat(chunks).toString()}${said.err}`)
      }
      await new Promise<void>((resolve) => {
        wake.push(resolve)
        child.once("close", resolve)
      })
    }
  }
  child.stdin.on("error", () => {})
  return { child, done, until }
}

const holdfast = (root: string, ...args: ReadonlyArray<string>) => start(root, ...args).done

/** A daemon at a port of its own, once it answers. */
const serve = async (root: string, ...args: ReadonlyArray<string>) => {
  const daemon = start(root, "serve", "--bind", "127.0.0.1:0", ...args)
  await daemon.until(/listens at \S+/)
  return daemon
}

const submit = async (root: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const { code, err, out } = await holdfast(root, "run", ...args)
  expect({ code, err }).toEqual({ code: 0, err: expect.not.stringContaining("holdfast:") })
  return out.trim()
}

/** Whether the daemon that a root names is one of that root: a file may be older than the process that has its pid now. */
const isOf = (root: string, pid: number): boolean => {
  if (process.platform !== "linux") return isAlive(pid)
  try {
    return ["environ", "cmdline"].some((name) =>
      fs.readFileSync(`/proc/${pid}/${name}`, "latin1").includes(root),
    )
  } catch {
    return false
  }
}

const portOf = (root: string): number => Number(new URL(ownerOf(root)!.address).port)

/** How many connections to a port of this machine stand; as many as there have to be where the system does not tell. */
const connectionsTo = (port: number): number => {
  if (process.platform !== "linux") return Infinity
  const end = `:${port.toString(16).toUpperCase().padStart(4, "0")}`
  return fs
    .readFileSync("/proc/net/tcp", "latin1")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state]) => remote?.endsWith(end) && state === "01").length
}

afterEach(async () => {
  for (const root of roots.splice(0)) {
    if (ownerOf(root) !== undefined) {
      const ids = (await holdfast(root, "ps", "-q")).out.split("\n").filter((id) => id !== "")
      if (ids.length > 0) await holdfast(root, "stop", "--grace", "0", ...ids)
      const { pid } = ownerOf(root) ?? {}
      if (pid !== undefined && isOf(root, pid)) {
        killPid(pid, "SIGTERM")
        await eventually("its file is gone, as it is when it has ended", () => ownerOf(root) === undefined)
      }
    }
    fs.rmSync(root, { recursive: true, force: true, maxRetries: 10 })
  }
})

describe("run", () => {
  it("starts a daemon when there is none, says so, and gives the job's output and code", async () => {
    const root = newRoot()
    const script = 'printf "h\\303\\251llo\\377\\n"; pwd; echo "$A" >&2; exit 7'
    const { bytes, code, err } = await holdfast(
      root,
      "run",
      "--wait",
      "--env",
      "A=to stderr",
      "--",
      "sh",
      "-c",
      script,
    )
    expect(code).toBe(7)
    expect(bytes).toEqual(
      Buffer.concat([Buffer.from("h\u00e9llo"), Buffer.from([0xff, 10]), Buffer.from(`${process.cwd()}\n`)]),
    )
    const { address, pid } = ownerOf(root)!
    expect(err).toBe(`Started a daemon for ${root}: pid ${pid}, ${address}\nto stderr\n`)
    const second = await holdfast(root, "run", "--wait", "--", "true")
    expect(second).toMatchObject({ code: 0, out: "", err: "" })
    expect(ownerOf(root)).toMatchObject({ pid })
  })

  it("starts one daemon when two are needed at once", async () => {
    const root = newRoot()
    const results = await Promise.all(
      ["a", "b", "c"].map((word) => holdfast(root, "run", "--wait", "--", "echo", word)),
    )
    expect(results.map(({ code, out }) => [code, out])).toEqual([
      [0, "a\n"],
      [0, "b\n"],
      [0, "c\n"],
    ])
    expect(results.filter(({ err }) => err.startsWith("Started a daemon")).length).toBeLessThanOrEqual(1)
    expect((await holdfast(root, "list", "-q")).out.trim().split("\n")).toHaveLength(3)
  })

  it("shows why a daemon cannot start", async () => {
    const root = newRoot()
    fs.mkdirSync(path.join(root, "jobs.lock"))
    const { code, err, out } = await holdfast(root, "run", "--", "true")
    expect({ code, out }).toEqual({ code: 1, out: "" })
    expect(err).toMatch(
      /^holdfast: The daemon did not start \(exit code 1\)\. The end of \S+daemon\.log: .*jobs\.lock/,
    )
  })

  it("gives the job what it asks for", async () => {
    const root = newRoot()
    await serve(root)
    const child = start(root, "run", "--wait", "--stdin", "--cwd", "/", "--", "sh", "-c", "pwd; cat")
    child.child.stdin.end("from here\n")
    expect(await child.done).toMatchObject({ code: 0, out: "/\nfrom here\n" })
    expect(await holdfast(root, "run", "-w", "--timeout", "100ms", "--", "sleep", "60")).toMatchObject({
      code: 143,
      err: expect.stringMatching(/^holdfast: Job \w+ ran into its timeout\.\n$/),
    })
    expect(await holdfast(root, "run", "-w", "--", "/nonexistent/command")).toMatchObject({ code: 127 })
    expect(await holdfast(root, "run", "-w", "--", "sh", "-c", "kill -KILL $$")).toMatchObject({ code: 137 })
    expect(await holdfast(root, "run", "-w", "--", "sh", "-c", "exit 137")).toMatchObject({
      code: 137,
      err: "",
    })
  })

  it("leaves the job running at Ctrl-C", async () => {
    const root = newRoot()
    await serve(root)
    const waiting = start(root, "run", "--follow", "--", "sh", "-c", "echo here; exec sleep 60")
    await waiting.until(/here/)
    waiting.child.kill("SIGINT")
    const { code, err } = await waiting.done
    expect(code).toBe(130)
    const [, id] = /Job (\w+) goes on\./.exec(err) ?? []
    expect((await holdfast(root, "status", id!)).out).toMatch(/^state: +running$/m)
    expect((await holdfast(root, "stop", id!)).out).toMatch(/^\w+ killed: sent TERM/)
    expect(await holdfast(root, "wait", id!)).toMatchObject({ code: 143 })
  })
})

describe("the other commands", () => {
  it("do what they say", async () => {
    const root = newRoot()
    await serve(root)
    const created = (await holdfast(root, "create", "--tag", "later", "--", "echo", "made")).out.trim()
    expect((await holdfast(root, "why", created)).out).toContain(`Job ${created} is created:`)
    expect(await holdfast(root, "kill", created)).toMatchObject({ code: 1 })
    expect(await holdfast(root, "start", created)).toMatchObject({ code: 0 })
    expect(await holdfast(root, "wait", created)).toMatchObject({ code: 0 })
    const again = (await holdfast(root, "restart", created)).out.trim()
    expect(again).not.toBe(created)
    expect(await holdfast(root, "wait", again)).toMatchObject({ code: 0 })
    expect((await holdfast(root, "logs", again)).out).toBe("made\n")
    expect((await holdfast(root, "tail", "-n", "1", again.slice(0, 25))).out).toBe("made\n")
    const { out } = await holdfast(root, "list", "--tag", "later")
    expect(out).toMatch(new RegExp(`^${again} +exited +0 .* later +echo made$`, "m"))
    expect(await holdfast(root, "group", "set", "g", "-j", "1")).toMatchObject({ code: 0 })
    expect((await holdfast(root, "group", "list")).out).toMatch(/^g +1 +yes$/m)
    expect(await holdfast(root, "rm", created)).toMatchObject({ code: 0, out: `${created}\n` })
    expect(await holdfast(root, "status", created)).toMatchObject({ code: 1 })
    expect((await holdfast(root, "gc", "--keep", "0")).out).toBe(`${again}\n`)
    expect(await holdfast(root, "doctor")).toMatchObject({ code: 0 })
    const token = fs.readFileSync(path.join(root, "token"), "utf8")
    expect((await holdfast(root, "token")).out).toBe(token)
  })

  it("refuse what is no id, however odd", async () => {
    const root = newRoot()
    await serve(root)
    for (const id of ["..", "%2e%2e%2f", "x".repeat(10_000), "U", "a b"]) {
      const { code, err } = await holdfast(root, "status", id)
      expect(code).toBe(1)
      expect(err).toMatch(/^holdfast: .{10,400}\n$/)
    }
  })

  it("print a schema that knows every endpoint", async () => {
    const { out } = await holdfast(newRoot(), "schema")
    expect(Object.keys(JSON.parse(out).paths)).toEqual(expect.arrayContaining(["/exec", "/status/{id}"]))
    const job = JSON.parse((await holdfast(newRoot(), "schema", "job")).out)
    expect(JSON.stringify(job)).toContain('"idempotency_key"')
  })
})

describe("serve", () => {
  it("ends at a signal, says what goes on, and the next one has it", async () => {
    const root = newRoot()
    const first = await serve(root)
    const id = await submit(
      root,
      "--",
      "sh",
      "-c",
      "while [ ! -e done ]; do sleep 0.02; done; echo end",
      "--",
    )
    first.child.kill("SIGINT")
    const { code, err } = await first.done
    expect(code).toBe(0)
    expect(err).toContain("The daemon ends. 1 job goes on running.\n")
    expect(ownerOf(root)).toBeUndefined()
    await serve(root)
    expect((await holdfast(root, "status", id)).out).toMatch(/^state: +running$/m)
  })

  it("says its pid", async () => {
    const root = newRoot()
    const daemon = await serve(root)
    daemon.child.kill("SIGTERM")
    expect((await daemon.done).err).toContain(`(pid ${daemon.child.pid})`)
  })

  const shell = (root: string, command: string) =>
    spawn("sh", ["-c", command, process.execPath, main], {
      env: { ...process.env, HOLDFAST_ROOT: root, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    })

  it("lives on when nobody can read what it says", async () => {
    const bind = "serve --bind 127.0.0.1:0 --json --log-level debug"
    for (const where of [
      ">/dev/null 2>&-",
      ...(fs.existsSync("/dev/full") ? [">/dev/full 2>/dev/full"] : []),
      "2>&1 | head -n 1",
    ]) {
      const root = newRoot()
      const child = shell(root, `"$0" "$1" ${bind} ${where}`)
      const ended = once(child, "close")
      while (ownerOf(root)?.address === undefined) await new Promise((resolve) => setTimeout(resolve, 10))
      const { pid } = ownerOf(root)!
      for (let count = 0; count < 3; count++) {
        expect(await holdfast(root, "run", "--wait", "--", "echo", "here")).toMatchObject({
          code: 0,
          out: "here\n",
          err: "",
        })
      }
      expect(ownerOf(root)).toMatchObject({ pid })
      killPid(pid, "SIGTERM")
      expect((await ended)[0]).toBe(0)
    }
  })

  it.runIf(fs.existsSync("/dev/full"))("is told apart from a command, which says so and fails", async () => {
    const root = newRoot()
    await serve(root)
    const id = await submit(root, "--", "seq", "100000")
    await holdfast(root, "wait", id)
    const full = shell(root, `exec "$0" "$1" logs ${id} >/dev/full`)
    let said = ""
    full.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()))
    expect((await once(full, "close"))[0]).toBe(1)
    expect(said).toBe("holdfast: Standard output cannot be written to (ENOSPC).\n")
    const left = shell(root, `"$0" "$1" logs ${id} | head -n 1; wait`)
    left.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()))
    expect((await once(left, "close"))[0]).toBe(0)
    expect(said.split("\n")).toHaveLength(2)
  })

  it("names the daemon that has the root already", async () => {
    const root = newRoot()
    await serve(root)
    const { address, pid } = ownerOf(root)!
    const { code, err } = await holdfast(root, "serve", "--bind", "127.0.0.1:0")
    expect(code).toBe(1)
    expect(err).toBe(
      `holdfast: The jobs under ${root} belong to the program with pid ${pid}, which answers at ${address}. Use that one, stop it, or choose another root.\n`,
    )
  })

  it("listens on a socket that is its owner's alone", async () => {
    const root = newRoot()
    const socket = path.join(root, "s")
    const daemon = start(root, "serve", "--bind", `unix:${socket}`, "--json")
    await daemon.until(/"type":"serve"/)
    expect(fs.statSync(socket).mode & 0o777).toBe(0o600)
    expect(await holdfast(root, "run", "--wait", "--", "echo", "through")).toMatchObject({
      code: 0,
      out: "through\n",
    })
    daemon.child.kill("SIGTERM")
    expect(await daemon.done).toMatchObject({ code: 0 })
  })

  it("refuses to be open to everybody", async () => {
    const { code, err } = await holdfast(newRoot(), "serve", "--bind", "0.0.0.0:0", "--no-auth")
    expect(code).toBe(1)
    expect(err).toMatch(/^holdfast: Without a token, 0\.0\.0\.0:0 would let everybody/)
  })
})

describe("a daemon that dies and comes back", () => {
  it("is waited for by whoever follows or waits, and no byte is lost or doubled", async () => {
    const root = newRoot()
    const first = await serve(root)
    const gate = path.join(root, "gate")
    const script = `i=0; while [ $i -lt 300 ]; do echo "line $i"; i=$((i+1)); [ $i -eq 150 ] && until [ -e ${gate} ]; do sleep 0.02; done; done; exit 9`
    const id = await submit(root, "--", "sh", "-c", script)
    const watchers = [
      start(root, "logs", "-f", id),
      start(root, "tail", "-f", "-n", "1000", id),
      start(root, "wait", id),
      start(root, "run", "--follow", "--", "sh", "-c", script),
      start(root, "run", "--wait", "--", "sh", "-c", script),
    ]
    const [logs, tail, wait, followed, waited] = watchers
    await Promise.all([logs!.until(/line 149\n/), tail!.until(/line 149\n/), followed!.until(/line 149\n/)])
    await eventually("the two who say nothing wait, too", async () => {
      const { out } = await holdfast(root, "ps", "-q", "--state", "running")
      return out.trim().split("\n").length === 3 && connectionsTo(portOf(root)) >= watchers.length
    })
    first.child.kill("SIGKILL")
    await first.done
    await Promise.all(watchers.map((watcher) => watcher.until(/Waiting for it to come back/)))
    await serve(root)
    fs.writeFileSync(gate, "")
    const all = Array.from({ length: 300 }, (_, index) => `line ${index}\n`).join("")
    expect(await logs!.done).toMatchObject({ code: 0, out: all })
    expect(await tail!.done).toMatchObject({ code: 0, out: all })
    expect(await wait!.done).toMatchObject({ code: 9 })
    expect(await followed!.done).toMatchObject({ code: 9, out: all })
    expect(await waited!.done).toMatchObject({ code: 9, out: all })
  })
})
