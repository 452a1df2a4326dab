/** `holdfast up` as a user has it: the built program, real units, real signals. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { killPid } from "../process/killPid.js"
import { isAlive } from "../process/support.js"
import { eventually, gone, python, wholeLines } from "./daemon.js"
import type { Place, Started } from "./program.js"
import { main, place } from "./program.js"

const places: Array<Place> = []

const newPlace = (config?: string): Place => {
  const made = place()
  places.push(made)
  if (config !== undefined) made.write(config)
  return made
}

afterEach(async () => {
  for (const one of places.splice(0)) await one.close()
})

/** Three services in a chain behind a oneshot, and a target for all of them. */
const chain = `
units:
  prepare:
    kind: oneshot
    command: [sh, -c, "echo prepared; echo careful >&2"]
  db:
    command: [node, -e, "require('http').createServer((q, r) => r.end('ok')).listen(+process.env.PORT, '127.0.0.1', () => console.log('db listens'))"]
    port: auto
    env: { PORT: "\${port}" }
    host: 127.0.0.1
    requires: [prepare]
    readiness: { http: { path: / } }
  worker:
    command: [sh, -c, "echo works; exec sleep 600"]
    requires: [db]
    minUptime: 50ms
  all:
    kind: target
    requires: [worker]
`

/** A unit that does not end by TERM, and says when it has been asked to. */
const stubborn = `
units:
  deaf:
    command: [node, -e, "process.on('SIGTERM', () => console.log('heard')); setInterval(() => {}, 1000); console.log('here')"]
    readiness: { log: { pattern: here } }
    stop: { grace: 10m }
`

const pidOf = async (up: Started, unit: string, from = 0): Promise<number> =>
  Number((await up.err(new RegExp(`^${unit} +\\. ready .*pid (\\d+)`, "m"), from))[1])

/** Where these stand in a text, one after the other. */
const inOrder = (text: string, ...parts: ReadonlyArray<string | RegExp>): void => {
  let at = 0
  for (const part of parts) {
    const found = text.slice(at).search(part)
    expect({ part: String(part), found: found >= 0, text: text.slice(0, 8_000) }).toMatchObject({
      found: true,
    })
    at += found + 1
  }
}

describe("up", () => {
  it("brings units up in order, shows what they write, and stops them in reverse at Ctrl-C", async () => {
    const here = newPlace(chain)
    const up = here.start(["up"])
    await up.err(/^all +\. ready$/m)
    await up.out(/works/)
    const pids = [await pidOf(up, "db"), await pidOf(up, "worker")]
    expect(pids.every(isAlive)).toBe(true)
    up.signal("SIGINT")
    const { code, err, out } = await up.done
    expect(code).toBe(0)
    expect(out.split("\n").sort()).toEqual(
      ["prepare | prepared", "prepare : careful", "db      | db listens", "worker  | works", ""].sort(),
    )
    inOrder(
      err,
      /^prepare \. starting: sh -c/m,
      /^db {6}\. waits: prepare is starting$/m,
      /^prepare \. done after/m,
      /^db {6}\. starting/m,
      /^db {6}\. ready after \S+ \(pid \d+, http:\/\/127\.0\.0\.1:\d+\)$/m,
      /^worker {2}\. ready after/m,
      /^all {5}\. ready$/m,
      /^Stopping 3 units, each before what it needs\. Ctrl-C again kills what is left\.$/m,
      /^worker {2}\. stopped after/m,
      /^db {6}\. stopping$/m,
      /^db {6}\. stopped after/m,
      /^All units have stopped\.$/m,
    )
    expect(pids.some(isAlive)).toBe(false)
    expect(here.marked()).toEqual([])
  })

  it("brings a unit back that is killed, and says why it was down", async () => {
    const here = newPlace(chain)
    const up = here.start(["up"])
    await up.err(/^all +\. ready$/m)
    const first = await pidOf(up, "db")
    const at = up.said.err.length
    killPid(first, "SIGKILL")
    await up.err(
      /^db +\. down after \S+: it ended with signal SIGKILL; starts again at once \(failure 1\)$/m,
      at,
    )
    const second = await pidOf(up, "db", at)
    expect(second).not.toBe(first)
    up.signal("SIGTERM")
    expect((await up.done).code).toBe(0)
    expect(isAlive(second)).toBe(false)
  })

  it("starts only what is named, and what that needs", async () => {
    const here = newPlace(chain)
    const up = here.start(["up", "db"])
    await up.err(/^db +\. ready/m)
    up.signal("SIGINT")
    const { code, err } = await up.done
    expect(code).toBe(0)
    expect(err).not.toMatch(/worker|all {2,}/)
    expect(await here.run("up", "wroker")).toMatchObject({
      code: 1,
      out: "",
      err: 'holdfast: There is no unit "wroker". Did you mean worker?\n',
    })
  })

  it("kills at the second Ctrl-C what does not stop", async () => {
    const here = newPlace(stubborn)
    const up = here.start(["up"])
    const pid = await pidOf(up, "deaf")
    up.signal("SIGINT")
    await up.out(/heard/)
    // What comes right behind the first is the same request.
    await eventually("the second request", () => {
      up.signal("SIGINT")
      return up.said.err.includes("Killing what is left.")
    })
    const { code, err } = await up.done
    expect({ code, isAlive: isAlive(pid) }).toEqual({ code: 0, isAlive: false })
    expect(err).toMatch(/All units have stopped\.\n$/)
  })

  it("takes a Ctrl-C that comes twice at once, as npm passes it on, for one", async () => {
    const here = newPlace(stubborn)
    const up = here.start(["up"])
    await pidOf(up, "deaf")
    up.signal("SIGINT")
    up.signal("SIGTERM")
    await up.out(/heard/)
    expect(up.said.err).not.toContain("Killing what is left.")
    up.signal("SIGKILL")
    await up.done
  })

  it("ends at the third Ctrl-C at the latest, and leaves nothing", async () => {
    const here = newPlace(stubborn)
    const up = here.start(["up"])
    const pid = await pidOf(up, "deaf")
    let requests = 0
    await eventually("the end", () => {
      if (up.child.exitCode !== null || up.child.signalCode !== null) return true
      up.signal("SIGINT")
      requests += 1
      return false
    })
    expect(requests).toBeGreaterThan(1)
    // One that comes while it exits is nobody's any more.
    expect([0, 130, "SIGINT"]).toContain((await up.done).code)
    await gone(pid)
  })

  it("is outlived by nothing when it is killed, and the next one works", async () => {
    const here = newPlace(chain)
    const up = here.start(["up"])
    await up.err(/^all +\. ready$/m)
    const pids = [await pidOf(up, "db"), await pidOf(up, "worker")]
    up.signal("SIGKILL")
    expect((await up.done).code).toBe("SIGKILL")
    for (const pid of pids) await gone(pid)
    const next = here.start(["up"])
    await next.err(/^all +\. ready$/m)
    next.signal("SIGINT")
    expect((await next.done).code).toBe(0)
  })

  it.runIf(process.platform === "linux")(
    "finds what is left when its guardian was killed with it, and doctor does, too",
    async () => {
      const here = newPlace(chain)
      const up = here.start(["up"])
      await up.err(/^all +\. ready$/m)
      const pid = await pidOf(up, "db")
      const guardian = fs
        .readFileSync(`/proc/${up.pid}/task/${up.pid}/children`, "utf8")
        .trim()
        .split(" ")
        .map(Number)
        .find((child) => fs.readFileSync(`/proc/${child}/cmdline`, "utf8").includes("holdfast-guardian"))
      // It is replaced when it ends, so both have to go at once.
      killPid(guardian!, "SIGSTOP")
      up.signal("SIGKILL")
      await up.done
      killPid(guardian!, "SIGKILL")
      expect(isAlive(pid)).toBe(true)
      const found = await here.run("doctor")
      expect(found.code).toBe(1)
      expect(found.out).toMatch(
        new RegExp(
          `^bad {3}stray: Process ${pid} of the unit db outlives the holdfast up that kept it up`,
          "m",
        ),
      )
      const next = here.start(["up", "db"])
      await next.err(/left over from an earlier run and is stopped now/)
      const fresh = await pidOf(next, "db")
      expect({ isAlive: isAlive(pid), isSame: fresh === pid }).toEqual({ isAlive: false, isSame: false })
      next.signal("SIGINT")
      await next.done
      expect(await here.run("doctor")).toMatchObject({ code: 0 })
    },
  )

  it("refuses a second one of the same file, and takes one of another", async () => {
    const here = newPlace(chain)
    const up = here.start(["up", "prepare", "db"])
    await up.err(/^db +\. ready/m)
    const real = fs.realpathSync(path.join(here.work, "holdfast.yaml"))
    expect(await here.run("up")).toMatchObject({
      code: 1,
      err: `holdfast: The units of ${real} are kept up by the program with pid ${up.pid} already. Stop that one first: kill ${up.pid}.\n`,
    })
    expect(await here.run("serve", "--bind", "127.0.0.1:0", "-f", "holdfast.yaml")).toMatchObject({
      code: 1,
      err: expect.stringContaining(`are kept up by the program with pid ${up.pid} already`),
    })
    fs.mkdirSync(path.join(here.work, "other"))
    here.write("units: { once: { kind: oneshot, command: 'echo other' } }", "other/holdfast.yaml")
    expect(await here.run("up", "-f", "other/holdfast.yaml")).toMatchObject({
      code: 0,
      out: "once | other\n",
    })
  })

  it("ends with 0 when all is done, and with 1 when nothing is left that is up", async () => {
    const done = newPlace(`
units:
  a: { kind: oneshot, command: "echo one" }
  b: { kind: oneshot, command: "echo two", requires: [a] }
`)
    const { code, err, out } = await done.run("up")
    expect({ code, out }).toEqual({ code: 0, out: "a | one\nb | two\n" })
    expect(err).toMatch(/^b \. done after \S+\nAll units are done\.\n$/m)

    const failing = newPlace(`
units:
  bad:
    command: "echo first; echo 'cannot find the moon' >&2; exit 7"
    restart: { maxFailures: 1 }
  after:
    command: "sleep 600"
    requires: [bad]
`)
    const failed = await failing.run("up")
    expect(failed.code).toBe(1)
    inOrder(
      failed.err,
      /^bad {3}\. down after \S+: it ended with exit code 7 before it was ready; starts again at once/m,
      /^bad {3}\. failed: it was given up after 2 failures in a row\. The last one: It ended with exit code 7/m,
      /^bad {3}\. its last output:\nbad {3}\. {3}first\nbad {3}\. {3}cannot find the moon$/m,
      /^after \. failed: it needs bad/m,
      /^holdfast: Nothing is up any more; failed: bad, after\. Their output is kept in \S+\/units\.$/m,
    )
    const [, kept] = /kept in (\S+)\.\n/.exec(failed.err)!
    expect(fs.readdirSync(path.join(kept!, "bad", "logs"))).not.toEqual([])
  })

  it("says what is wrong with its configuration, and where", async () => {
    const here = newPlace("units:\n  web:\n    comand: node server.js\n")
    expect(await here.run("up")).toMatchObject({
      code: 1,
      out: "",
      err: [
        "holdfast: The configuration cannot be used, and nothing was started.",
        "holdfast.yaml:3:5: units.web.comand: there is no such key; did you mean command?",
        "",
      ].join("\n"),
    })
    expect((await here.run("up", "-f", "nowhere.yaml")).err).toBe(
      'holdfast: The configuration file "nowhere.yaml" cannot be used: it does not exist.\n',
    )
    expect(await newPlace().run("up")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^holdfast: There is no holdfast\.yaml and no holdfast\.yml in /),
    })
    here.write("units: {}")
    expect(await here.run("up")).toMatchObject({ code: 1, err: "holdfast: holdfast.yaml has no units.\n" })
    here.write("units: { web: { command: 'true', autostart: false } }")
    expect((await here.run("up")).err).toBe(
      "holdfast: holdfast.yaml has no unit that starts by itself. Name those that are to start: web.\n",
    )
    expect(await here.run("up", "--nope")).toMatchObject({ code: 2 })
  })

  it("writes lines of JSON for programs", async () => {
    const here = newPlace(chain)
    const up = here.start(["up", "--json"])
    await up.out(/"unit":"all","from":"blocked","to":"ready"/)
    up.signal("SIGINT")
    const { code, err, out } = await up.done
    expect({ code, err }).toEqual({ code: 0, err: "" })
    const all = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(all.filter(({ type, unit }) => type === "line" && unit === "prepare")).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ stream: "stdout", text: "prepared", generation: 1 }),
        expect.objectContaining({ stream: "stderr", text: "careful", generation: 1 }),
      ]),
    )
    expect(all.filter(({ type, unit }) => type === "change" && unit === "db").map(({ to }) => to)).toEqual([
      "blocked",
      "starting",
      "ready",
      "stopping",
      "inactive",
    ])
  })
})

describe("up, where nobody reads what it shows,", () => {
  /** A unit that writes its pid into a file at each start, and much output; and another file when that is really much. */
  const noisy = (file: string) => `
units:
  noisy:
    command: [node, noisy.js]
    env: { STARTS: ${file} }
    minUptime: 10ms
`
  const script = `
const fs = require("fs")
fs.appendFileSync(process.env.STARTS, process.pid + "\\n")
const line = "x".repeat(4000) + "\\n"
let count = 0
setInterval(() => {
  for (let each = 0; each < 10; each++) process.stdout.write(line)
  if (++count === 100) fs.writeFileSync(process.env.STARTS + ".enough", "")
}, 1)
`
  const newNoisy = () => {
    const here = newPlace()
    const file = path.join(here.work, "starts")
    here.write(noisy(file))
    here.write(script, "noisy.js")
    return { here, file }
  }

  const pidsIn = (file: string): ReadonlyArray<number> => wholeLines(file).map(Number)

  /** Kills the unit, and waits for the next one. */
  const killed = async (file: string, times: number): Promise<void> => {
    for (let count = 1; count <= times; count++) {
      const pids = await eventually(`start ${count}`, () => {
        const found = pidsIn(file)
        return found.length === count && found
      })
      killPid(pids.at(-1)!, "SIGKILL")
    }
    await eventually("the last start", () => pidsIn(file).length === times + 1)
    await eventually("much output", () => fs.existsSync(`${file}.enough`))
  }

  it.runIf(process.platform === "linux")("goes on when its reader has left", async () => {
    const { file, here } = newNoisy()
    const script = `"$0" "$@" | head -n 3; wait`
    const shell = here.start(["up"], { command: ["sh", "-c", script, process.execPath, main] })
    await shell.out(/(noisy \| x+\n){3}/)
    await killed(file, 3)
    const isOurs = (pid: number) =>
      fs.readFileSync(`/proc/${pid}/cmdline`, "utf8") === [process.execPath, main, "up", ""].join("\0")
    const pid = await eventually("the program", () => here.marked().find(isOurs))
    killPid(pid, "SIGTERM")
    expect((await shell.done).err).toMatch(/All units have stopped\.\n$/)
  })

  it("ends at the first Ctrl-C when its reader has left, however much is still to be shown", async () => {
    const here = newPlace()
    const enough = path.join(here.work, "enough")
    here.write(
      `const lines = ("y".repeat(9) + "\\n").repeat(2000)
       let rounds = 0
       const go = () => process.stdout.write(lines, () => {
         if (++rounds < 500) return setImmediate(go)
         require("node:fs").writeFileSync(${JSON.stringify(enough)}, "")
       })
       go()
       setInterval(() => {}, 1000)`,
      "flood.js",
    )
    here.write("units:\n  flood: { command: [node, flood.js], minUptime: 50ms }\n")
    const up = here.start(["up"])
    await up.out(/flood/)
    up.child.stdout!.destroy()
    await eventually("a million lines", () => fs.existsSync(enough))
    up.signal("SIGINT")
    const { code, err } = await up.done
    expect(code).toBe(0)
    expect(err).toMatch(/All units have stopped\.\n$/)
  })

  it("goes on when its reader stands still, and ends in time", async () => {
    const { file, here } = newNoisy()
    const up = here.start(["up"])
    up.child.stdout!.pause()
    await killed(file, 3)
    up.signal("SIGINT")
    await up.err(/noisy \. \d+ lines were not shown; see \S+\/units\/noisy\/logs\n/)
    await up.err(/All units have stopped\.\n$/)
    up.child.stdout!.resume()
    expect((await up.done).code).toBe(0)
  })

  it.runIf(python !== undefined)("goes on in a terminal that was stopped, and ends in time", async () => {
    const { file, here } = newNoisy()
    // A terminal that nobody reads is as one that was stopped with Ctrl-S.
    const script = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
print(pid, flush=True)
_, status = os.waitpid(pid, 0)
print("ended", os.waitstatus_to_exitcode(status), flush=True)
`
    const terminal = here.start(["up"], { command: [python!, "-c", script, process.execPath, main] })
    const [, pid] = await terminal.out(/^(\d+)\n/)
    await killed(file, 3)
    killPid(Number(pid), "SIGINT")
    await terminal.out(/ended 0\n/)
    await terminal.done
  })
})

describe("up in a terminal", () => {
  it.runIf(python !== undefined)("stops its units when the terminal is closed", async () => {
    const here = newPlace(chain)
    const script = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
said = b""
while b". ready" not in said.split(b"worker ")[-1]:
    said += os.read(fd, 65536)
sys.stdout.write(said.decode())
sys.stdout.flush()
os.close(fd)
_, status = os.waitpid(pid, 0)
print("ended", os.waitstatus_to_exitcode(status), flush=True)
`
    const terminal = here.start(["up"], { command: [python!, "-c", script, process.execPath, main] })
    const [, pid] = await terminal.out(/db {6}\. ready after \S+ \(pid (\d+)/)
    // As whoever is hung up ends, and not by an abort of Node.
    await terminal.out(/ended -1\n/)
    expect(isAlive(Number(pid))).toBe(false)
    await terminal.done
  })
})

describe("check", () => {
  it("tells the units in the order of their start, or every fault", async () => {
    const here = newPlace(chain)
    const { code, err, out } = await here.run("check")
    expect({ code, err }).toEqual({ code: 0, err: "" })
    expect(out).toMatch(/^holdfast\.yaml can be used: 4 units, in the order of their start\.\n/)
    inOrder(out, /^prepare +oneshot/m, /^db +service +auto +prepare$/m, /^worker +service/m, /^all +target/m)
    here.write("units:\n  a: { command: x, requires: [b] }\n  b: { command: y, requires: [a] }\n")
    const wrong = await here.run("check")
    expect({ code: wrong.code, out: wrong.out }).toEqual({ code: 1, out: "" })
    expect(wrong.err).toMatch(/^holdfast\.yaml:\d+:\d+: units\.\S+: a cycle: a -> b -> a\n/)
    expect(wrong.err).toMatch(/holdfast: holdfast\.yaml has 1 fault\.\n$/)
    const json = await here.run("check", "--json")
    expect(json.code).toBe(1)
    expect(JSON.parse(json.out)).toMatchObject({ type: "check", valid: false, faults: [{ line: 2 }] })
  })
})
