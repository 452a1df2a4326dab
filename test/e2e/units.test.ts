/** Units kept by the daemon, and the commands about them: the built program, real units, real signals. */
import * as fs from "node:fs"
import * as path from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { killPid } from "../process/killPid.js"
import { isAlive } from "../process/support.js"
import { eventually, gone, python } from "./daemon.js"
import type { Place } from "./program.js"
import { main, place } from "./program.js"

const places: Array<Place> = []

const newPlace = (config: string): Place => {
  const made = place()
  places.push(made)
  made.write(config)
  return made
}

afterEach(async () => {
  for (const one of places.splice(0)) await one.close()
})

const shop = `
units:
  prepare:
    kind: oneshot
    command: [sh, -c, "echo prepared"]
  db:
    command: [node, -e, "console.log('db ' + process.pid); setInterval(() => {}, 1000)"]
    requires: [prepare]
    readiness: { log: { pattern: ^db } }
  web:
    command: [sh, -c, "echo to stdout; echo to stderr >&2; exec sleep 600"]
    requires: [db]
    minUptime: 50ms
  spare:
    command: [sleep, "600"]
    minUptime: 50ms
    autostart: false
  all:
    kind: target
    requires: [web]
`

/** Waits until a unit is in a state; answers what is known of it. */
const until = (here: Place, name: string, state: string): Promise<Record<string, unknown>> =>
  eventually(`${name} is ${state}`, async () => {
    const { out } = await here.run("status", "--unit", name, "--json")
    const unit = JSON.parse(out) as Record<string, unknown>
    return unit["state"] === state && unit
  })

const pidOf = async (here: Place, name: string): Promise<number> =>
  (await until(here, name, "ready"))["pid"] as number

describe("serve -f", () => {
  it("keeps units up, says so, and stops them before it ends", async () => {
    const here = newPlace(shop)
    const daemon = await here.serve()
    expect(daemon.said.err).toMatch(
      /^It keeps up the 5 units of \S+\/holdfast\.yaml: prepare, db, web, spare, all$/m,
    )
    const [db, web] = [await pidOf(here, "db"), await pidOf(here, "web")]
    await until(here, "all", "ready")
    killPid(web, "SIGKILL")
    await eventually("another web", async () => (await pidOf(here, "web")) !== web)
    const again = await pidOf(here, "web")
    daemon.signal("SIGINT")
    const { code, err } = await daemon.done
    expect(code).toBe(0)
    expect(err).toMatch(/^Stopping 3 units, each before what it needs\./m)
    const [first, then] = [/ unit=web .*to=inactive/, / unit=db .*to=stopping/].map((line) =>
      err.search(line),
    )
    expect(first).toBeGreaterThan(0)
    expect(first).toBeLessThan(then!)
    expect(err).toMatch(/The daemon ends\.\n$/)
    expect([db, web, again].some(isAlive)).toBe(false)
  })

  it("keeps no units that it was not told of", async () => {
    const here = newPlace(shop)
    const daemon = here.start(["serve", "--bind", "127.0.0.1:0"])
    await daemon.err(/listens at/)
    expect(await here.run("status")).toEqual({
      code: 0,
      out: "",
      err: "The daemon keeps no units, and no job is running.\n",
    })
    const { code, err } = await here.run("reload")
    expect(code).toBe(1)
    expect(err).toMatch(/^holdfast: This daemon was started without a configuration file/)
    expect((await here.run("graph")).err).toBe("The daemon keeps no units.\n")
    // Without a configuration it ends.
    daemon.signal("SIGHUP")
    expect((await daemon.done).code).toBe(0)
  })

  it("refuses a configuration that cannot be used", async () => {
    const here = newPlace("units:\n  web: { command: x, requires: [dbb] }\n  db: { command: y }\n")
    expect(await here.run("serve", "-f", "holdfast.yaml")).toMatchObject({
      code: 1,
      out: "",
      err: [
        "holdfast: The configuration cannot be used, and nothing was started.",
        'holdfast.yaml:2:33: units.web.requires.dbb: there is no unit "dbb"; did you mean db?',
        "",
      ].join("\n"),
    })
    expect((await here.run("serve", "-f", "none.yaml")).code).toBe(1)
    expect((await here.run("serve", "-f")).code).toBe(2)
    expect(fs.existsSync(path.join(here.root, "daemon.json"))).toBe(false)
  })

  it("kills at the second Ctrl-C what does not stop", async () => {
    const here = newPlace(`
units:
  deaf:
    command: [node, -e, "process.on('SIGTERM', () => console.log('heard')); setInterval(() => {}, 1000); console.log('here')"]
    readiness: { log: { pattern: here } }
    stop: { grace: 10m }
`)
    const daemon = await here.serve()
    const pid = await pidOf(here, "deaf")
    daemon.signal("SIGINT")
    await daemon.err(/ unit=deaf .*to=stopping/)
    await eventually("the end", () => {
      if (daemon.child.exitCode !== null || daemon.child.signalCode !== null) return true
      daemon.signal("SIGINT")
      return false
    })
    // One that comes while it exits is nobody's any more.
    expect([0, 130, "SIGINT"]).toContain((await daemon.done).code)
    await gone(pid)
  })

  it("lets jobs go on, and the next daemon has the units up again", async () => {
    const here = newPlace(shop)
    const first = await here.serve()
    const web = await pidOf(here, "web")
    const id = (
      await here.run("run", "--", "sh", "-c", "while [ ! -e done ]; do sleep 0.02; done")
    ).out.trim()
    first.signal("SIGKILL")
    await first.done
    await gone(web)
    const second = await here.serve()
    const again = await pidOf(here, "web")
    expect(again).not.toBe(web)
    const { out } = await here.run("status")
    expect(out).toMatch(/^web +service +ready +\d+/m)
    expect(out).toMatch(new RegExp(`^${id} +running`, "m"))
    fs.writeFileSync(path.join(here.work, "done"), "")
    expect(await here.run("wait", id)).toMatchObject({ code: 0 })
    expect(await here.run("doctor")).toMatchObject({ code: 0 })
    second.signal("SIGTERM")
    await second.done
  })

  it("reads its configuration again at HUP", async () => {
    const here = newPlace(shop)
    const daemon = await here.serve()
    const db = await pidOf(here, "db")
    await until(here, "all", "ready")
    here.write(shop.replace("exec sleep 600", "exec sleep 700"))
    daemon.signal("SIGHUP")
    await daemon.err(/^The configuration was read again: Holdfast restarts web\.$/m)
    await eventually("the new web", async () =>
      String((await until(here, "web", "ready"))["command"]).includes("sleep 700"),
    )
    expect(await pidOf(here, "db")).toBe(db)
    here.write("units: [")
    daemon.signal("SIGHUP")
    await daemon.err(
      /^The configuration cannot be used, and nothing was changed\.\n\S+holdfast\.yaml:\d+:\d+: /m,
    )
    expect(await pidOf(here, "db")).toBe(db)
  })

  it("says everything as lines of JSON where these are asked for", async () => {
    const here = newPlace(shop)
    const daemon = await here.serve("--log-json")
    await until(here, "all", "ready")
    here.write("units: [")
    daemon.signal("SIGHUP")
    await daemon.err(/"message":"The configuration cannot be used, /)
    daemon.signal("SIGTERM")
    const { code, err } = await daemon.done
    expect(code).toBe(0)
    const lines = err
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(lines.find(({ message }) => /cannot be used/.test(message))).toMatchObject({ logLevel: "ERROR" })
    expect(lines.at(-1)).toMatchObject({ logLevel: "INFO", message: "The daemon ends." })
  })
})

describe("serve -f in a terminal", () => {
  it.runIf(python !== undefined)("ends in order when the terminal is closed", async () => {
    const here = newPlace(shop)
    const script = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
said = b""
while b"listens at" not in said:
    said += os.read(fd, 65536)
print("listens", flush=True)
sys.stdin.readline()
os.close(fd)
_, status = os.waitpid(pid, 0)
print("ended", os.waitstatus_to_exitcode(status), flush=True)
`
    const args = ["serve", "--bind", "127.0.0.1:0", "-f", "holdfast.yaml", "--log-level", "none"]
    const terminal = here.start(args, {
      command: [python!, "-c", script, process.execPath, main],
      stdin: "pipe",
    })
    await terminal.out(/listens\n/)
    const web = await pidOf(here, "web")
    terminal.child.stdin!.end("\n")
    // As whoever is hung up ends, and not by an abort of Node.
    await terminal.out(/ended -1\n/)
    expect(isAlive(web)).toBe(false)
    await terminal.done
  })
})

describe("the commands about units", () => {
  it("start, stop, restart and kill, in an order that suits all of them", async () => {
    const here = newPlace(shop)
    await here.serve()
    await until(here, "all", "ready")
    const [db, web] = [await pidOf(here, "db"), await pidOf(here, "web")]
    const stopped = await here.run("stop", "db")
    expect(stopped).toMatchObject({ code: 0, err: "" })
    expect(stopped.out.trim().split("\n").sort()).toEqual(["all stopped", "db stopped", "web stopped"])
    expect([db, web].some(isAlive)).toBe(false)
    expect((await here.run("start", "all", "spare")).out).toMatch(/^all ready\nspare ready \(pid \d+\)\n$/)
    const next = await pidOf(here, "db")
    expect(next).not.toBe(db)
    expect((await here.run("restart", "spare")).out).toMatch(/^spare ready \(pid \d+\)\n$/)
    expect(await pidOf(here, "db")).toBe(next)
    expect(await here.run("kill", "db", "-s", "KILL")).toMatchObject({ code: 0, out: "db: sent KILL\n" })
    await eventually("another db", async () => (await pidOf(here, "db")) !== next)
    expect((await here.run("status")).out).toMatch(/^db +service +ready +\d+ +\S+ +1$/m)
    expect(await here.run("kill", "all")).toMatchObject({ code: 1, out: "" })
    expect(await here.run("kill", "db", "--grace", "1s")).toMatchObject({ code: 2 })
    expect(await here.run("stop", "wbe")).toMatchObject({
      code: 1,
      err: 'holdfast: There is no unit "wbe". Did you mean web?\n',
    })
    expect(await here.run("stop", "--unit", "--job", "web")).toMatchObject({ code: 2 })
    expect((await here.run("ps", "-q")).out).toBe("prepare\ndb\nweb\nspare\nall\n")
  })

  it("say why a unit is not up, with its last words", async () => {
    const here = newPlace(`
units:
  db:
    command: "echo opening; echo 'the disk is gone' >&2; exit 5"
    restart: never
    autostart: false
  cache:
    command: [sleep, "600"]
    minUptime: 50ms
    autostart: false
  web:
    command: [sleep, "600"]
    requires: [db, cache]
    autostart: false
`)
    await here.serve()
    const started = await here.run("start", "web", "cache")
    expect(started.code).toBe(1)
    expect(started.out).toMatch(/^web failed$/m)
    expect(started.err).toMatch(
      /^holdfast: The unit web did not come up\. It needs db: It ended with exit code 5/,
    )
    expect(started.err).toMatch(/^More: holdfast why web$/m)
    const { code, out } = await here.run("why", "web")
    expect(code).toBe(0)
    expect(out).toMatch(/^web is failed\. It needs db: It ended with exit code 5 before it was ready\.\n/)
    expect(out).toMatch(/^└─ db is failed\. It ended with exit code 5 before it was ready\.$/m)
    expect(out).toMatch(/^ {5}-> Look at its output, mend it, and start it again\.$/m)
    expect(out).toMatch(/^ {5}\| opening\n {5}\| the disk is gone$/m)
    expect(JSON.parse((await here.run("why", "web", "--json")).out)).toMatchObject({ type: "unit-why" })
    const direct = await here.run("start", "db")
    expect(direct.err).toMatch(/Its last output:\nopening\nthe disk is gone\n/)
    const found = await here.run("doctor")
    expect(found.code).toBe(1)
    expect(found.out).toMatch(/^bad {3}unit: The unit db has failed\. It ended with exit code 5/m)
    expect(found.out).not.toMatch(/unit web/)
    expect((await here.run("why", "cache")).out).toMatch(/^cache is ready\.\n$/)
  })

  it("draw what the units need", async () => {
    const here = newPlace(shop)
    await here.serve()
    await until(here, "all", "ready")
    const { out } = await here.run("graph")
    expect(out).toBe(
      [
        "all ready (target)",
        "└─ web ready",
        "   └─ db ready",
        "      └─ prepare exited (oneshot)",
        "spare inactive",
        "",
      ].join("\n"),
    )
    expect((await here.run("graph", "--dot")).out).toMatch(
      /^digraph holdfast \{\n[^]*"web" -> "db"\n[^]*\}\n$/,
    )
    expect((await here.run("graph", "--mermaid")).out).toMatch(/^flowchart LR\n[^]*u2 --> u1\n/)
    expect(await here.run("graph", "--mermaid", "--dot")).toMatchObject({ code: 2 })
  })

  it("show the output of units, alone and together, over a restart of the daemon", async () => {
    const here = newPlace(`
units:
  a:
    command: [node, writer.js, a]
    minUptime: 10ms
  b:
    command: [node, writer.js, b]
    minUptime: 10ms
`)
    // Writes a line whenever its file grows, so that the test says when.
    here.write(
      `
const fs = require("fs")
const [name] = process.argv.slice(2)
let seen = 0
console.error(name + " begins")
setInterval(() => {
  const lines = fs.existsSync("say-" + name) ? fs.readFileSync("say-" + name, "utf8").split("\\n").slice(0, -1) : []
  for (; seen < lines.length; seen++) console.log(lines[seen])
}, 5)
`,
      "writer.js",
    )
    const say = (name: string, text: string) =>
      fs.appendFileSync(path.join(here.work, `say-${name}`), `${text}\n`)
    const first = await here.serve()
    await Promise.all([until(here, "a", "ready"), until(here, "b", "ready")])
    const follower = here.start(["logs", "-f", "a", "b"])
    await follower.out(/^a : a begins$/m)
    say("a", "one")
    await follower.out(/^a \| one$/m)
    say("b", "two")
    await follower.out(/^b \| two$/m)
    say("a", "three")
    await follower.out(/^a \| three$/m)
    expect((await here.run("logs", "a", "b")).out).toMatch(/a \| one\nb \| two\na \| three\n$/)
    expect((await here.run("logs", "a")).out).toBe("a begins\none\nthree\n")
    expect((await here.run("logs", "a", "-n", "1")).out).toBe("three\n")
    expect((await here.run("tail", "-n", "1", "a", "b")).out).toBe("b | two\na | three\n")
    expect((await here.run("logs", "a", "--stream", "stderr")).out).toBe("a begins\n")
    expect((await here.run("logs", "a", "--since", "1h")).out).toBe("a begins\none\nthree\n")
    expect((await here.run("logs", "a", "--since", "0s")).out).toBe("")
    expect((await here.run("logs", "a", "-n", "1", "--timestamps")).out).toMatch(
      /^\d{4}-\d\d-\d\dT\S+Z three\n$/,
    )
    const line = JSON.parse((await here.run("logs", "a", "-n", "1", "--json")).out)
    expect(line).toMatchObject({ name: "a", stream: "stdout", text: "three", generation: 1 })
    expect(await here.run("logs", "nobody")).toMatchObject({ code: 1 })
    expect(await here.run("logs", "a", "--since", "yesterday")).toMatchObject({ code: 2 })

    first.signal("SIGKILL")
    await first.done
    await follower.err(/^The daemon is gone; its units end with it\. Waiting for it to come back\.\.\.$/m)
    fs.rmSync(path.join(here.work, "say-a"))
    fs.rmSync(path.join(here.work, "say-b"))
    await here.serve()
    const at = follower.said.out.length
    say("b", "four")
    await follower.out(/^b \| four$/m, at)
    expect(follower.said.out.match(/\| (one|two|three|four)/g)).toEqual([
      "| one",
      "| two",
      "| three",
      "| four",
    ])
    follower.signal("SIGINT")
    await follower.done
  })

  it("reload what has changed, and nothing of a configuration that cannot be used", async () => {
    const here = newPlace(shop)
    await here.serve()
    await until(here, "all", "ready")
    const [db, web] = [await pidOf(here, "db"), await pidOf(here, "web")]
    expect(await here.run("reload")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Nothing has changed in \S+holdfast\.yaml\.\n$/),
    })

    here.write(shop.replace("requires: [db]", "requires: [bd]").replace("50ms", "5parsecs"))
    const wrong = await here.run("reload")
    expect({ code: wrong.code, out: wrong.out }).toEqual({ code: 1, out: "" })
    expect(wrong.err).toMatch(
      /^holdfast: The configuration cannot be used, and nothing was changed\.\n\S+holdfast\.yaml:\d+:\d+: units\.web\./,
    )
    expect([await pidOf(here, "db"), await pidOf(here, "web")]).toEqual([db, web])

    const fresh = shop
      .replace("exec sleep 600", "exec sleep 700")
      .replace(/ {2}spare:[^]*?autostart: false\n/, "  other: { command: [sleep, '600'], minUptime: 50ms }\n")
    here.write(fresh)
    const preview = await here.run("reload", "--dry-run")
    expect(preview.code).toBe(0)
    expect(preview.out).toMatch(/^- spare: stops/m)
    expect(preview.out).toMatch(/^~ web: starts anew if it is up or done, as it has changed/m)
    expect(preview.out).toMatch(/^\+ other: is new, and starts$/m)
    expect(preview.out).toMatch(/^ {2}3 unchanged$/m)
    expect([await pidOf(here, "db"), await pidOf(here, "web")]).toEqual([db, web])

    const done = await here.run("reload")
    expect(done).toMatchObject({ code: 0, err: "" })
    expect(done.out).toMatch(/^web ready \(pid \d+\)$/m)
    expect(done.out).toMatch(/^other ready \(pid \d+\)$/m)
    expect(await pidOf(here, "db")).toBe(db)
    expect(isAlive(web)).toBe(false)
    expect((await here.run("status", "-q")).out.split("\n")).not.toContain("spare")

    here.write(`${fresh}  broken: { command: "exit 3", restart: never }\n`)
    const failed = await here.run("reload")
    expect(failed.code).toBe(1)
    expect(failed.err).toMatch(/^holdfast: The unit broken did not come up\. It ended with exit code 3/)
  })

  it("end the daemon, and return when it is gone", async () => {
    const here = newPlace(shop)
    const daemon = await here.serve()
    const web = await pidOf(here, "web")
    const { code, err } = await here.run("down")
    expect({ code, isAlive: isAlive(daemon.pid) || isAlive(web) }).toEqual({ code: 0, isAlive: false })
    expect(err).toMatch(/^The daemon with pid \d+ has ended/)
    expect((await daemon.done).code).toBe(0)
    expect(await here.run("down")).toEqual({
      code: 0,
      out: "",
      err: `No daemon is running for ${here.root}.\n`,
    })
    expect(await here.run("status")).toMatchObject({ code: 1, out: "" })
    expect(await here.run("start", "web")).toMatchObject({ code: 1, out: "" })
  })

  it("hasten the end of a daemon", async () => {
    const here = newPlace(`
units:
  deaf:
    command: [node, -e, "process.on('SIGTERM', () => console.log('heard')); setInterval(() => {}, 1000); console.log('here')"]
    readiness: { log: { pattern: here } }
    stop: { grace: 10m }
`)
    const daemon = await here.serve()
    const pid = await pidOf(here, "deaf")
    const slow = here.start(["down"])
    await daemon.err(/ unit=deaf .*to=stopping/)
    expect(await here.run("down", "--grace", "0")).toMatchObject({ code: 0 })
    expect((await slow.done).code).toBe(0)
    expect((await daemon.done).code).toBe(0)
    expect(isAlive(pid)).toBe(false)
  })

  it("show what happened to units", async () => {
    const here = newPlace(shop)
    await here.serve()
    await until(here, "all", "ready")
    const { out } = await here.run("events", "--subject", "db")
    expect(out).toMatch(/^\d+ {2}\S+ {2}unit\.blocked {3}db {2}from inactive {2}prepare is starting\.$/m)
    expect(out).toMatch(/^\d+ {2}\S+ {2}unit\.ready {5}db {2}from starting {2}generation 1 {2}pid=\d+$/m)
    const config = JSON.parse((await here.run("schema", "config")).out)
    expect(JSON.stringify(config)).toContain('"autostart"')
    expect(await here.run("schema", "confg")).toMatchObject({ code: 2 })
  })
})
