import * as fs from "node:fs"
import { join } from "node:path"
import { randomBytes } from "node:crypto"
import { assert, describe, expect, it, vi } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as PortHolder from "../../../src/probe/PortHolder.js"
import * as PlatformTable from "../../../src/process/PlatformTable.js"
import { ProcessIdentity } from "../../../src/process/ProcessIdentity.js"
import * as ProcessSpawner from "../../../src/process/ProcessSpawner.js"
import { type Named, ProcessTable, TableUnreadable } from "../../../src/process/ProcessTable.js"
import * as KillOthers from "../../../src/unit/port/KillOthers.js"
import { serving } from "../../probe/servers.js"
import { silent, tcpServer } from "../../probe/support.js"
import { killPid } from "../../process/killPid.js"
import { isAlive, pidsOf, spawnTalking } from "../../process/support.js"
import {
  endLater,
  firstLine,
  identityOf,
  logged,
  makeRoot,
  noHolders,
  ownTable,
  spawnStray,
} from "./support.js"

const live = Layer.mergeAll(
  PlatformTable.layer,
  ProcessSpawner.layer,
  Layer.provide(PortHolder.layer, ProcessSpawner.layer),
)

/** A name that no process on this machine has: a filter of these tests must hit nobody else. */
const uniqueName = (length = 12): string => `hf-${randomBytes(16).toString("hex")}`.slice(0, length)

/** Asks for a unit, as a supervisor without other units would. */
const kill = (
  request: Partial<KillOthers.Request>,
  options: Partial<KillOthers.Options> = {},
): Effect.Effect<
  readonly [KillOthers.KillReport, ReadonlyArray<string>],
  TableUnreadable,
  ProcessTable | PortHolder.PortHolders
> =>
  Effect.flatMap(ownTable, (table) =>
    KillOthers.make({ owner: "no-such-owner", members: Effect.succeed([]), ...options }).pipe(
      Effect.provideService(ProcessTable, table),
      Effect.flatMap(({ run }) => logged(run({ unit: "web", ports: [], processFilters: [], ...request }))),
    ),
  )

const nothing = { killed: [], refused: [], survived: [], unnamed: [] }

/** A server at 127.0.0.1 in a group of its own. */
const server = (port = 0, before?: string) =>
  Effect.gen(function* () {
    const child = yield* spawnStray(process.execPath, ["-e", serving(port, undefined, before)], {
      stdio: ["ignore", "pipe", "ignore"],
    })
    return { pid: child.pid, port: Number((yield* firstLine(child)).replace("port ", "")) }
  })

/** A program of that name which sleeps. */
const sleeper = (name: string, args: ReadonlyArray<string> = ["300"], argv0?: string) =>
  Effect.gen(function* () {
    const root = yield* makeRoot
    const file = join(root, name)
    fs.copyFileSync(fs.realpathSync("/bin/sleep"), file)
    return yield* spawnStray(file, args, argv0 === undefined ? {} : { argv0 })
  })

/** The table, in which some processes have another name. */
const naming = (name: string, isIt: (process: Named) => boolean) =>
  Effect.map(ProcessTable, (table): ProcessTable["Type"] => ({
    ...table,
    list: (pids) =>
      Effect.map(table.list(pids), (all) =>
        all.map((process) => (isIt(process) ? { ...process, names: [name] } : process)),
      ),
  }))

describe("killOthers", () => {
  it.scopedLive("kills whoever listens on a declared port, at whatever address, and says so", () =>
    Effect.gen(function* () {
      const first = yield* server()
      const second = yield* server()
      const bystander = yield* server()
      const six = yield* spawnStray(
        process.execPath,
        ["-e", `require("net").createServer().listen(${first.port}, "::1", () => console.log("up"))`],
        { stdio: ["ignore", "pipe", "ignore"] },
      )
      yield* firstLine(six)
      const [report, lines] = yield* kill({ ports: [first.port, second.port, first.port] })
      assert.sameMembers(
        report.killed.map(({ because, pid }) => `${pid} ${because}`),
        [
          `${first.pid} it listens on port ${first.port}`,
          `${second.pid} it listens on port ${second.port}`,
          `${six.pid} it listens on port ${first.port}`,
        ],
      )
      expect(report).toMatchObject({ refused: [], survived: [], unnamed: [] })
      for (const { pid } of [first, second, six]) assert.isFalse(isAlive(pid))
      assert.isTrue(isAlive(bystander.pid))
      assert.strictEqual(lines.length, 3)
      for (const { pid } of [first, second, six]) {
        assert.isTrue(lines.some((line) => line.startsWith(`WARN killOthers of unit web kills ${pid} `)))
      }
      assert.include(lines[0]!, process.execPath)
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("kills all that share a listening socket, and those that come in their place", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      // A master that replaces a worker which dies, once, and does not listen itself.
      const script = `
        const { fork } = require("child_process")
        if (process.send) {
          process.on("message", (_, server) => { server.on("connection", () => {}); process.send(process.pid) })
        } else {
          const server = require("net").createServer().listen(0, "127.0.0.1", () => {
            const start = (then) => {
              const worker = fork(__filename)
              worker.send("serve", server)
              worker.once("message", () => then(worker))
            }
            start((worker) => {
              // It ends when the other one serves: a socket that is on its way from one to another is nobody's.
              worker.once("exit", () => start(() => process.exit(0)))
              console.log("pids", server.address().port, worker.pid)
            })
          })
          process.on("SIGTERM", () => {})
        }`
      fs.writeFileSync(join(root, "master.cjs"), script)
      const master = yield* spawnStray(process.execPath, [join(root, "master.cjs")], {
        stdio: ["ignore", "pipe", "ignore"],
      })
      const [port, worker] = pidsOf((yield* firstLine(master)).replace("pids", ""))
      const [report] = yield* kill({ ports: [port!] })
      const killed = report.killed.map(({ pid }) => pid)
      assert.includeMembers(killed, [master.pid, worker!])
      const table = yield* ProcessTable
      assert.deepStrictEqual(
        (yield* table.list()).filter(({ groupId }) => groupId === master.pid),
        [],
      )
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("kills whoever has exactly the name, and nobody whose name contains it", () =>
    Effect.gen(function* () {
      const name = uniqueName()
      const exact = yield* sleeper(name)
      const others = [
        yield* sleeper(`${name}2`),
        yield* sleeper(`x${name}`),
        yield* sleeper(name.slice(0, -1)),
        yield* sleeper("other", ["300", "0"], `/opt/${name}/other`),
        yield* sleeper("other", ["300"], `other: writer /var/lib/${name}`),
        yield* spawnStray("/bin/sh", ["-c", `sleep 300; : ${name}`, name]),
      ]
      const called = yield* sleeper("other", ["300"], `/opt/${name}`)
      const [report] = yield* kill({ processFilters: [name] })
      assert.sameMembers(
        report.killed.map(({ pid }) => pid),
        [exact.pid, called.pid],
      )
      assert.isTrue(report.killed.every(({ because }) => because === `its name is ${name}`))
      for (const { pid } of others) assert.isTrue(isAlive(pid))
      assert.isFalse(isAlive(exact.pid) || isAlive(called.pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("is not fooled by names that the kernel has cut", () =>
    Effect.gen(function* () {
      const start = uniqueName(15)
      const wanted = yield* sleeper(`${start}-wanted`)
      const other = yield* sleeper(`${start}-other`)
      const renamed = yield* sleeper(`${start}-renamed`, ["300"], "nap")
      assert.deepStrictEqual((yield* kill({ processFilters: [start] }))[0], nothing)
      const [report] = yield* kill({ processFilters: [`${start}-wanted`, `${start}-renamed`] })
      assert.sameMembers(
        report.killed.map(({ pid }) => pid),
        [wanted.pid, renamed.pid],
      )
      assert.isTrue(isAlive(other.pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("gives time to end, wakes who is stopped, and kills who does not listen", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const saved = join(root, "saved")
      const careful = yield* server(
        0,
        `process.on("SIGTERM", () => setTimeout(() => { require("fs").writeFileSync(${JSON.stringify(saved)}, ""); process.exit(0) }, 100))`,
      )
      killPid(careful.pid, "SIGSTOP")
      const stubborn = yield* server(0, `process.on("SIGTERM", () => {})`)
      const [elapsed, [first]] = yield* Effect.timed(kill({ ports: [careful.port] }))
      assert.strictEqual(first.killed.length, 1)
      assert.isTrue(fs.existsSync(saved))
      assert.isBelow(Duration.toMillis(elapsed), 5_000)
      const [second] = yield* kill({ ports: [stubborn.port], grace: Duration.millis(100) })
      assert.strictEqual(second.killed.length, 1)
      assert.isFalse(isAlive(careful.pid) || isAlive(stubborn.pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("spares this program, and whatever else is in its process group", () =>
    Effect.gen(function* () {
      const own = yield* tcpServer(silent)
      const name = uniqueName()
      const root = yield* makeRoot
      const file = join(root, name)
      fs.copyFileSync(fs.realpathSync("/bin/sleep"), file)
      const sibling = yield* spawnStray(file, ["300"], { detached: false })
      yield* endLater(sibling.pid)
      const [report, lines] = yield* kill({ ports: [own.port], processFilters: [name] })
      expect(report).toMatchObject({ killed: [], survived: [] })
      assert.sameMembers(
        report.refused.map(({ pid, why }) => `${pid} ${why}`),
        [`${process.pid} it is this program`, `${sibling.pid} it is in the process group of this program`],
      )
      assert.isTrue(isAlive(sibling.pid))
      assert.match(lines.join("\n"), /WARN killOthers of unit web spares \d+ .* because it is this program\./)
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("spares the first process, ancestors and guardians, whatever they are called", () =>
    Effect.gen(function* () {
      const real = yield* ProcessTable
      const spawner = yield* ProcessSpawner.ProcessSpawner
      // Guarded from now on.
      yield* spawner.spawn({ command: ["sleep", "300"] })
      const all = yield* real.list()
      const parentOf = (pid: number) => all.find((one) => one.pid === pid)?.parentPid ?? 0
      const ancestors: Array<number> = []
      for (let pid = process.ppid; pid > 1; pid = parentOf(pid)) ancestors.push(pid)
      const isGuardian = ({ command, parentPid }: Named) =>
        parentPid === process.pid && command.endsWith("holdfast-guardian")
      const guardians = all.filter(isGuardian).map(({ pid }) => pid)
      assert.isAtLeast(guardians.length, 1)
      const name = uniqueName()
      const table = yield* naming(
        name,
        (one) => one.pid === 1 || ancestors.includes(one.pid) || isGuardian(one),
      )
      // Should all else fail, nothing is signalled.
      const harmless = { ...table, isStill: () => false, identify: () => Effect.succeed(undefined) }
      const [report] = yield* Effect.provideService(kill({ processFilters: [name] }), ProcessTable, harmless)
      assert.deepStrictEqual(report.killed, [])
      const why = new Map(report.refused.map((one) => [one.pid, one.why]))
      assert.strictEqual(why.get(1), "it is the first process of the system")
      for (const pid of guardians) assert.strictEqual(why.get(pid), "it guards a program of Holdfast")
      for (const pid of ancestors) {
        assert.match(why.get(pid) ?? "", /^it is (an ancestor|in the process group) of this program$/)
      }
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("spares the processes of units, and whatever else this program has started", () =>
    Effect.gen(function* () {
      const name = uniqueName()
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const root = yield* makeRoot
      const file = join(root, name)
      fs.copyFileSync(fs.realpathSync("/bin/sleep"), file)
      // One that escapes from its group and has no environment, as the supervisor still knows it.
      const unit = yield* spawnStray(file, ["300"], { env: {} })
      const identity = yield* identityOf(unit.pid)
      const marked = yield* spawnTalking({
        command: ["/bin/sh", "-c", `setsid ${file} 300 & echo pids $!; wait`],
      })
      const [escaped] = pidsOf(yield* marked.line("pids"))
      const other = yield* spawnStray(file, ["300"])
      const reused = yield* spawnStray(file, ["300"])
      const [report] = yield* kill(
        { processFilters: [name] },
        {
          owner: spawner.owner,
          members: Effect.succeed([
            { unit: "db", pid: unit.pid, startTime: identity.startTime },
            { unit: "db", pid: reused.pid, startTime: "1" },
          ]),
        },
      )
      assert.sameMembers(
        report.refused.map(({ pid, why }) => `${pid} ${why}`),
        [`${unit.pid} it belongs to unit db`, `${escaped} it was started by this program`],
      )
      assert.isTrue(isAlive(unit.pid) && isAlive(escaped!))
      assert.sameMembers(
        report.killed.map(({ pid }) => pid),
        [other.pid, reused.pid],
      )
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("spares who keeps jobs", () =>
    Effect.gen(function* () {
      const script = `
        const env = { ...process.env, HOLDFAST_LINEAGE: "01HZX3V9Q4R8N7C2M5K6J1T0WB.1" }
        const job = require("child_process").spawn("sleep", ["300"], { detached: true, stdio: "ignore", env })
        console.log("pids", job.pid)`
      const name = uniqueName()
      const options = { argv0: `/opt/${name}`, stdio: ["ignore", "pipe", "ignore"] as never }
      const keeper = yield* spawnStray(process.execPath, ["-e", script], options)
      const [job] = pidsOf((yield* firstLine(keeper)).replace("pids", ""))
      yield* endLater(job!)
      const [report] = yield* kill({ processFilters: [name] })
      expect(report).toMatchObject({ killed: [], refused: [{ pid: keeper.pid, why: "it keeps jobs" }] })
      assert.isTrue(isAlive(keeper.pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("never signals whoever has got the pid since it was found", () =>
    Effect.gen(function* () {
      const name = uniqueName()
      const other = yield* sleeper(name)
      const table = yield* ProcessTable
      const list: ProcessTable["Type"]["list"] = (pids) =>
        Effect.map(table.list(pids), (all) =>
          all.map((one) => (one.pid === other.pid ? { ...one, startTime: "1" } : one)),
        )
      const [report] = yield* Effect.provideService(kill({ processFilters: [name] }), ProcessTable, {
        ...table,
        list,
      })
      assert.deepStrictEqual(report, nothing)
      assert.isTrue(isAlive(other.pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("leaves alone whoever is found by one look only", () =>
    Effect.gen(function* () {
      const name = uniqueName()
      const before = yield* sleeper("other")
      const after = yield* sleeper("other")
      let looks = 0
      const table = yield* naming(name, ({ pid }) => pid === (looks < 1 ? before : after).pid)
      const list: typeof table.list = (pids) => Effect.tap(table.list(pids), () => looks++)
      const counting = { ...table, list: (pids?: ReadonlyArray<number>) => list(pids) }
      const [report] = yield* Effect.provideService(kill({ processFilters: [name] }), ProcessTable, counting)
      assert.isAtLeast(looks, 2)
      assert.deepStrictEqual(report, nothing)
      assert.isTrue(isAlive(before.pid) && isAlive(after.pid))
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("reports another user's process at once, and goes on", () =>
    Effect.gen(function* () {
      const name = uniqueName()
      const foreign = yield* sleeper(name)
      const mine = yield* sleeper(name)
      // eslint-disable-next-line no-restricted-properties
      const real = process.kill.bind(process)
      const spy = vi.spyOn(process, "kill").mockImplementation((pid, signal) => {
        if (pid === foreign.pid) throw Object.assign(new Error("kill EPERM"), { code: "EPERM" })
        return real(pid, signal)
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => spy.mockRestore()))
      const [elapsed, [report]] = yield* Effect.timed(kill({ processFilters: [name] }))
      spy.mockRestore()
      expect(report).toMatchObject({
        killed: [{ pid: mine.pid }],
        refused: [{ pid: foreign.pid, why: "it is another user's" }],
        survived: [],
      })
      assert.isBelow(Duration.toMillis(elapsed), 5_000)
    }).pipe(Effect.provide(live)),
  )

  it.effect("reports who survives KILL, and ports whose listener the system does not name", () =>
    Effect.gen(function* () {
      const about = { groupId: 7, startTime: "1", command: "stuck" }
      const self: Named = { ...about, pid: process.pid, parentPid: 1, names: ["node"] }
      const stuck: Named = { ...about, pid: 4_194_304, parentPid: process.pid, names: ["stuck"] }
      const table: ProcessTable["Type"] = {
        identify: (pid) => Effect.succeed(new ProcessIdentity({ pid, startTime: "1", bootId: "boot" })),
        identifyChild: () => Effect.dieMessage("nobody asks that here"),
        endOf: () => "3",
        isStill: () => true,
        ageOf: () => 0,
        timeAt: () => "3",
        marked: () => Effect.succeed([]),
        list: () => Effect.succeed([self, stuck]),
        membersOf: () => Effect.succeed([]),
        setOwn: () => {},
        ownGroup: 1,
      }
      const holders = { ...(yield* PortHolder.PortHolders) }
      const unnamed = { ...holders, listeners: () => Effect.succeed({ holders: [], unnamed: true }) }
      // As a process in an uninterruptible wait answers.
      const spy = vi.spyOn(process, "kill").mockImplementation(() => true)
      const running = yield* Effect.fork(
        kill({ ports: [80], processFilters: ["stuck"] }).pipe(
          Effect.provideService(ProcessTable, table),
          Effect.provideService(PortHolder.PortHolders, unnamed),
        ),
      )
      yield* TestClock.adjust("20 seconds")
      const [report, lines] = yield* Effect.ensuring(
        Fiber.join(running),
        Effect.sync(() => spy.mockRestore()),
      )
      expect(report).toMatchObject({
        killed: [],
        refused: [],
        survived: [{ pid: 4_194_304, command: "stuck" }],
        unnamed: [80],
      })
      assert.match(lines.at(-2)!, /^ERROR .* has survived KILL\.$/)
      assert.match(lines.at(-1)!, /does not name listens on port 80/)
    }).pipe(Effect.provide(noHolders)),
  )

  it.scopedLive("kills nobody when it cannot be told whom to spare", () =>
    Effect.gen(function* () {
      const name = uniqueName()
      const other = yield* sleeper(name)
      const members = new TableUnreadable({ reason: "EMFILE" })
      const failure = yield* Effect.flip(kill({ processFilters: [name] }, { members }))
      assert.strictEqual(failure._tag, "TableUnreadable")
      assert.isTrue(isAlive(other.pid))
    }).pipe(Effect.provide(live)),
  )

  it.live("does nothing where there is nobody", () =>
    Effect.gen(function* () {
      const [report, lines] = yield* kill({ ports: [1], processFilters: [uniqueName()] })
      assert.deepStrictEqual(report, nothing)
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide(live)),
  )
})
