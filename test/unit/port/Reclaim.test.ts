import { once } from "node:events"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as PortHolder from "../../../src/probe/PortHolder.js"
import * as PlatformTable from "../../../src/process/PlatformTable.js"
import { ProcessIdentity } from "../../../src/process/ProcessIdentity.js"
import * as ProcessSpawner from "../../../src/process/ProcessSpawner.js"
import { ProcessTable, TableUnreadable } from "../../../src/process/ProcessTable.js"
import * as InstanceRecords from "../../../src/unit/port/InstanceRecords.js"
import * as Reclaim from "../../../src/unit/port/Reclaim.js"
import { serving } from "../../probe/servers.js"
import { silent, tcpServer } from "../../probe/support.js"
import { killPid } from "../../process/killPid.js"
import { distProgram } from "../../process/program.js"
import { eventually, isAlive, pidsOf, spawnTalking } from "../../process/support.js"
import {
  endLater,
  fileOf,
  firstLine,
  identityOf,
  leaveRecord,
  logged,
  makeRoot,
  markedBy,
  noHolders,
  oldOwner,
  spawnStray,
} from "./support.js"

const live = Layer.mergeAll(
  PlatformTable.layer,
  ProcessSpawner.layer,
  Layer.provide(PortHolder.layer, ProcessSpawner.layer),
)

const reclaimOf = (root: string, options: Partial<Reclaim.Options> = {}) =>
  Effect.flatMap(InstanceRecords.make({ root, owner: "this-program" }), (records) =>
    Reclaim.make({ records, ...options }),
  )

const recorded = (): Reclaim.Policy => "recorded"

const quick = { signal: "SIGTERM", grace: Duration.millis(200) } as const

/** Whether a unit's record is still there. */
const isRecorded = (root: string, unit: string): boolean => fs.existsSync(fileOf(root, unit))

describe("what a crash has left", () => {
  it.scopedLive("of a program that was killed together with its guardian is stopped: the whole tree", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const table = yield* ProcessTable
      const root = yield* makeRoot
      const tree = `trap "" TERM; setsid sh -c 'trap "" TERM; sleep 300 & echo pids $$ $!; wait' & wait`
      const doomed = yield* spawnTalking({
        command: [
          process.execPath,
          "--input-type=module",
          "-e",
          distProgram(`
            const spawner = yield* ProcessSpawner.ProcessSpawner
            const child = yield* spawner.spawn({ command: ["/bin/sh", "-c", ${JSON.stringify(tree)}] })
            child.output.subscribeLines(({ text }) => {
              console.log(JSON.stringify({ text, identity: child.identity, mark: child.mark, owner: spawner.owner }))
            })
            yield* Effect.never
          `),
        ],
      })
      const said = JSON.parse(`{${yield* doomed.line("{")}`)
      const escaped = pidsOf(said.text.replace("pids", ""))
      const leader = new ProcessIdentity(said.identity)
      for (const pid of [leader.pid, ...escaped]) yield* endLater(pid)
      const guardian = (yield* table.list()).find(
        ({ command, parentPid }) => parentPid === doomed.pid && command.endsWith("holdfast-guardian"),
      )
      // Stopped, it can start no other guardian.
      killPid(doomed.pid, "SIGSTOP")
      killPid(guardian!.pid, "SIGKILL")
      const program = doomed.identity
      const about = { owner: said.owner, mark: said.mark, program, stop: quick }
      leaveRecord(root, "web", leader, { ...about, command: `/bin/sh -c ${tree}` })

      const reclaim = yield* reclaimOf(root)
      const [early] = yield* logged(reclaim.all(recorded))
      expect(early.reclaimed).toEqual([])
      expect(early.leftAlone).toMatchObject([
        { unit: "web", why: `the program that started it (pid ${program.pid}) is still running` },
      ])

      killPid(doomed.pid, "SIGKILL")
      yield* doomed.exit
      for (const pid of [leader.pid, ...escaped]) assert.isTrue(isAlive(pid))
      const [report, lines] = yield* logged(reclaim.all(recorded))
      for (const pid of [leader.pid, ...escaped]) assert.isFalse(isAlive(pid))
      assert.isFalse(isRecorded(root, "web"))
      expect(report).toMatchObject({
        leftAlone: [],
        reclaimed: [
          { unit: "web", generation: 3, pid: leader.pid, stop: { escalated: true, survivors: [] } },
        ],
      })
      assert.deepStrictEqual(report.reclaimed[0]!.stop.sent, ["SIGTERM", "SIGKILL"])
      assert.sameMembers(
        report.reclaimed[0]!.stop.escapees.filter((pid) => escaped.includes(pid)),
        escaped as Array<number>,
      )
      assert.match(lines[0]!, /^WARN \/bin\/sh -c .* \(pid \d+\), generation 3 of unit web, is left over/)
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive(
    "is stopped with the signal of its unit, and not before the program is done with what it does",
    () =>
      Effect.gen(function* () {
        const root = yield* makeRoot
        const saved = join(root, "saved")
        const script = `trap 'sleep 0.2; echo $$ > ${saved}; exit 0' INT; trap '' TERM; echo ready; while :; do sleep 0.01; done`
        const child = yield* spawnStray("/bin/sh", ["-c", script], {
          env: markedBy(),
          stdio: ["ignore", "pipe", "ignore"],
        })
        yield* firstLine(child)
        leaveRecord(root, "db", yield* identityOf(child.pid), {
          stop: { signal: "SIGINT", grace: Duration.seconds(10) },
        })
        const [{ reclaimed }] = yield* logged((yield* reclaimOf(root)).all(recorded))
        assert.strictEqual(fs.readFileSync(saved, "utf8"), `${child.pid}\n`)
        expect(reclaimed).toMatchObject([{ stop: { sent: ["SIGINT"], escalated: false, survivors: [] } }])
        assert.isBelow(reclaimed[0]!.stop.elapsedMillis, 5_000)
      }).pipe(Effect.provide(live)),
  )

  it.scopedLive("of a leader that is dead: what carries its mark", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const leader = yield* spawnStray(
        "/bin/sh",
        ["-c", "sleep 300 & setsid sleep 300 & echo pids $!; read x"],
        {
          env: markedBy(),
          stdio: ["pipe", "pipe", "ignore"],
        },
      )
      const [escaped] = pidsOf((yield* firstLine(leader)).replace("pids", ""))
      yield* endLater(escaped!)
      const identity = yield* identityOf(leader.pid)
      leaveRecord(root, "web", identity, { stop: quick })
      const ended = once(leader, "exit")
      leader.stdin!.end()
      yield* Effect.promise(() => ended)

      const reclaim = yield* reclaimOf(root)
      const table = yield* ProcessTable
      const [finding] = yield* reclaim.find([leaveRecord(root, "web", identity, { stop: quick })])
      assert(finding?._tag === "Stray")
      assert.isFalse(finding.isLed)
      assert.include(
        finding.processes.map(({ pid }) => pid),
        escaped,
      )
      assert.strictEqual(finding.processes.length, 2)
      const [{ reclaimed }] = yield* logged(reclaim.all(recorded))
      assert.deepStrictEqual(reclaimed[0]?.stop.survivors, [])
      assert.isBelow(reclaimed[0]?.stop.elapsedMillis ?? Infinity, 3_000)
      assert.isFalse(isAlive(escaped!))
      assert.deepStrictEqual(yield* table.list(finding.processes.map(({ pid }) => pid)), [])
      assert.isFalse(isRecorded(root, "web"))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("of a leader whose pid and group are a stranger's by now: the stranger stays", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const escaped = yield* spawnStray("sleep", ["300"], { env: markedBy() })
      const stranger = yield* spawnStray("sleep", ["300"], { env: {} })
      const identity = yield* identityOf(stranger.pid)
      leaveRecord(root, "web", new ProcessIdentity({ ...identity, startTime: "1" }))
      const [{ reclaimed }] = yield* logged((yield* reclaimOf(root)).all(recorded))
      expect(reclaimed).toMatchObject([{ stop: { escapees: [escaped.pid], survivors: [] } }])
      assert.isFalse(isAlive(escaped.pid))
      assert.isTrue(isAlive(stranger.pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("is known by its command where it has lost its mark", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const plain = yield* spawnStray("sleep", ["300"], { env: {} })
      const masked = yield* spawnStray("sleep", ["301"], { env: {} })
      const script = join(root, "serve")
      fs.writeFileSync(script, "#!/bin/sh\nwhile :; do sleep 0.05; done\n", { mode: 0o755 })
      const scripted = yield* spawnStray(script, ["now"], { env: {} })
      leaveRecord(root, "plain", yield* identityOf(plain.pid))
      leaveRecord(root, "masked", yield* identityOf(masked.pid), { command: "sleep ***" })
      leaveRecord(root, "scripted", yield* identityOf(scripted.pid), { command: "serve now" })
      const [{ leftAlone, reclaimed }] = yield* logged((yield* reclaimOf(root)).all(recorded))
      expect(leftAlone).toEqual([])
      assert.sameMembers(
        reclaimed.map(({ unit }) => unit),
        ["plain", "masked", "scripted"],
      )
      for (const { pid } of [plain, masked, scripted]) assert.isFalse(isAlive(pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("does not include whoever has its pid, of another start time or boot", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const other = yield* spawnStray("sleep", ["300"], { env: {} })
      const identity = yield* identityOf(other.pid)
      leaveRecord(root, "reused", new ProcessIdentity({ ...identity, startTime: "1" }))
      leaveRecord(root, "rebooted", new ProcessIdentity({ ...identity, bootId: "another" }))
      const [report, lines] = yield* logged((yield* reclaimOf(root)).all(recorded))
      assert.deepStrictEqual(report, { leftAlone: [], reclaimed: [] })
      assert.deepStrictEqual(lines, [])
      assert.isTrue(isAlive(other.pid))
      // Nothing can be left of them.
      assert.isFalse(isRecorded(root, "reused") || isRecorded(root, "rebooted"))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("does not include a process with another command, and says so", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const other = yield* spawnStray("sleep", ["300"], { env: {} })
      leaveRecord(root, "web", yield* identityOf(other.pid), { command: "node server.js" })
      const [report, lines] = yield* logged((yield* reclaimOf(root)).all(recorded))
      const why = "that process runs another command now, and does not carry the unit's mark"
      expect(report).toMatchObject({ reclaimed: [], leftAlone: [{ unit: "web", pid: other.pid, why }] })
      assert.strictEqual(lines.length, 1)
      assert.include(lines[0]!, `unit web, may be left over from an earlier run and is left alone: ${why}`)
      assert.isTrue(isAlive(other.pid))
      assert.isTrue(isRecorded(root, "web"))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("stays where the unit's policy is never, and where this program runs inside of it", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const child = yield* spawnStray("sleep", ["300"], { env: markedBy() })
      const outer = yield* spawnStray("sleep", ["300"], { env: markedBy(`${oldOwner}.1`) })
      leaveRecord(root, "web", yield* identityOf(child.pid))
      leaveRecord(root, "shell", yield* identityOf(outer.pid), { mark: `${oldOwner}.1` })
      const lineage = process.env.HOLDFAST_LINEAGE
      process.env.HOLDFAST_LINEAGE = `0.0 ${oldOwner}.1`
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (lineage === undefined) delete process.env.HOLDFAST_LINEAGE
          else process.env.HOLDFAST_LINEAGE = lineage
        }),
      )
      const reclaim = yield* reclaimOf(root)
      const never = (unit: string): Reclaim.Policy => (unit === "web" ? "never" : "recorded")
      const [report] = yield* logged(reclaim.all(never))
      expect(report.reclaimed).toEqual([])
      assert.sameMembers(
        report.leftAlone.map(({ unit, why }) => `${unit}: ${why}`),
        ["web: its unit's policy is reclaim: never", "shell: this program itself runs inside of it"],
      )
      assert.isTrue(isAlive(child.pid) && isAlive(outer.pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("is shown without the unit's secrets", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const child = yield* spawnStray("/bin/sh", ["-c", "sleep 300; : hunter2"], { env: markedBy() })
      const record = leaveRecord(root, "web", yield* identityOf(child.pid), { stop: quick })
      const redactOf = (unit: string) => (text: string) => text.replaceAll("hunter2", `(${unit})`)
      const reclaim = yield* reclaimOf(root, { redactOf })
      const [finding] = yield* reclaim.find([record])
      assert(finding?._tag === "Stray")
      assert.include(
        finding.processes.map(({ command }) => command),
        "/bin/sh -c sleep 300; : (web)",
      )
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("of many units is stopped at the same time", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const children = yield* Effect.forEach(
        Array.from({ length: 30 }, (_, n) => n),
        (n) =>
          Effect.gen(function* () {
            const mark = `${oldOwner}.${n}`
            const child = yield* spawnStray(
              "/bin/sh",
              ["-c", "trap '' TERM; echo up; while :; do sleep 1; done"],
              {
                env: markedBy(mark),
                stdio: ["ignore", "pipe", "ignore"],
              },
            )
            yield* firstLine(child)
            const stop = { signal: "SIGTERM", grace: Duration.seconds(1) } as const
            leaveRecord(root, `unit-${n}`, yield* identityOf(child.pid), { mark, stop })
            return child
          }),
      )
      const [[elapsed, { reclaimed }]] = yield* logged(
        Effect.timed(Effect.flatMap(reclaimOf(root), ({ all }) => all(recorded))),
      )
      assert.strictEqual(reclaimed.length, children.length)
      assert.isTrue(children.every(({ pid }) => !isAlive(pid)))
      // One after the other their graces alone would take 30 s.
      assert.isBelow(Duration.toMillis(elapsed), 10_000)
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("is looked for again when the table of processes cannot be read", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const child = yield* spawnStray("sleep", ["300"], { env: markedBy() })
      leaveRecord(root, "web", yield* identityOf(child.pid))
      const table = yield* ProcessTable
      const unreadable = { ...table, membersOf: () => new TableUnreadable({ reason: "EMFILE" }) }
      const blind = yield* Effect.provideService(reclaimOf(root), ProcessTable, unreadable)
      assert.strictEqual((yield* Effect.flip(blind.all(recorded)))._tag, "TableUnreadable")
      assert.isTrue(isRecorded(root, "web"))
      const [{ reclaimed }] = yield* logged((yield* reclaimOf(root)).all(recorded))
      assert.strictEqual(reclaimed.length, 1)
    }).pipe(Effect.provide(live)),
  )

  it.scoped("that survives KILL is told, and its record stays for the next time", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const leader = new ProcessIdentity({ pid: 4_194_304, startTime: "1", bootId: "boot" })
      leaveRecord(root, "web", leader, { stop: quick })
      const table: ProcessTable["Type"] = {
        identify: () => Effect.succeed(undefined),
        identifyChild: (pid) => Effect.succeed(new ProcessIdentity({ pid, startTime: "2", bootId: "boot" })),
        endOf: () => "3",
        isStill: () => true,
        ageOf: () => 0,
        timeAt: () => "3",
        marked: () => Effect.succeed([]),
        list: () => Effect.succeed([]),
        membersOf: () => {
          const stubborn = { pid: 4_194_305, parentPid: 1, groupId: 4_194_305, startTime: "2" }
          return Effect.succeed([{ ...stubborn, command: "stuck", inGroup: false, proven: true }])
        },
        setOwn: () => {},
        ownGroup: 1,
      }
      const reclaim = yield* Effect.provideService(reclaimOf(root), ProcessTable, table)
      const running = yield* Effect.fork(logged(reclaim.all(recorded)))
      yield* TestClock.adjust("10 seconds")
      const [{ reclaimed }, lines] = yield* Fiber.join(running)
      expect(reclaimed).toMatchObject([{ stop: { survivors: [{ pid: 4_194_305, command: "stuck" }] } }])
      assert.match(lines.at(-1)!, /^ERROR .*processes of it survived: 4194305 stuck$/)
      assert.isTrue(isRecorded(root, "web"))
    }).pipe(Effect.provide(noHolders)),
  )
})

describe("a port that is held", () => {
  /** A server of an earlier program, of which a child listens. */
  const strayServer = (root: string, unit: string, mark: string) =>
    Effect.gen(function* () {
      const script = `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(serving())}], { stdio: "inherit" })`
      const child = yield* spawnStray(process.execPath, ["-e", script], {
        env: markedBy(mark),
        stdio: ["ignore", "pipe", "ignore"],
      })
      const port = Number((yield* firstLine(child)).replace("port ", ""))
      leaveRecord(root, unit, yield* identityOf(child.pid), { mark, stop: quick })
      return { pid: child.pid, port }
    })

  it.scopedLive("by a stray is made free; other strays, and whoever else holds a port, stay", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const holders = yield* PortHolder.PortHolders
      const web = yield* strayServer(root, "web", `${oldOwner}.0`)
      const db = yield* strayServer(root, "db", `${oldOwner}.1`)
      const foreign = yield* tcpServer(silent)
      const reclaim = yield* reclaimOf(root)

      const before = (yield* holders.listeners(web.port)).holders.map(({ pid }) => pid)
      assert.strictEqual(before.length, 1)
      assert.deepStrictEqual(yield* reclaim.atPorts([foreign.port]), [])
      const [reclaimed, lines] = yield* logged(reclaim.atPorts([foreign.port, web.port]))
      expect(reclaimed).toMatchObject([{ unit: "web", pid: web.pid, stop: { survivors: [] } }])
      assert.strictEqual(lines.length, 1)
      // Somebody else on this machine may have got the port by now.
      const now = (yield* holders.listeners(web.port)).holders
      assert.isFalse(now.some(({ pid }) => pid === before[0]))
      assert.isFalse(yield* holders.isFree({ port: foreign.port, address: "127.0.0.1" }))
      assert.isTrue(isAlive(db.pid))
      assert.isFalse(isRecorded(root, "web"))
      assert.isTrue(isRecorded(root, "db"))
      assert.deepStrictEqual(yield* reclaim.atPorts([web.port]), [])
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive(
    "by a stray that several units want at once: one stop, which goes on without its callers",
    () =>
      Effect.gen(function* () {
        const root = yield* makeRoot
        const told = join(root, "told")
        const go = join(root, "go")
        const before = `process.on("SIGTERM", () => {
        require("fs").appendFileSync(${JSON.stringify(told)}, "TERM ")
        setInterval(() => require("fs").existsSync(${JSON.stringify(go)}) && process.exit(0), 5)
      })`
        const child = yield* spawnStray(process.execPath, ["-e", serving(0, undefined, before)], {
          env: markedBy(),
          stdio: ["ignore", "pipe", "ignore"],
        })
        const port = Number((yield* firstLine(child)).replace("port ", ""))
        leaveRecord(root, "web", yield* identityOf(child.pid))
        const reclaim = yield* reclaimOf(root)
        const impatient = yield* Effect.fork(logged(reclaim.atPorts([port])))
        yield* eventually("it is told", () => fs.existsSync(told))
        yield* Fiber.interrupt(impatient)
        const [, lines] = yield* logged(
          Effect.gen(function* () {
            const others = yield* Effect.fork(
              Effect.all([reclaim.atPorts([port]), reclaim.all(recorded)], { concurrency: "unbounded" }),
            )
            const [found] = yield* reclaim.find([leaveRecord(root, "web", yield* identityOf(child.pid))])
            assert.strictEqual(found?._tag, "Stray")
            fs.writeFileSync(go, "")
            yield* Fiber.join(others)
            yield* eventually("its record is gone", () => !isRecorded(root, "web"))
          }),
        )
        assert.deepStrictEqual(lines, [])
        assert.strictEqual(fs.readFileSync(told, "utf8"), "TERM ")
        assert.isFalse(isAlive(child.pid))
      }).pipe(Effect.provide(live)),
  )
})
