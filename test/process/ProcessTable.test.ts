import { spawn as bareSpawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as Batch from "../../src/process/Batch.js"
import { Exited } from "../../src/process/ExitStatus.js"
import * as Linux from "../../src/process/LinuxProcessTable.js"
import * as ProcFiles from "../../src/process/ProcFiles.js"
import * as Mac from "../../src/process/MacProcessTable.js"
import { ProcessGroup } from "../../src/process/ProcessGroup.js"
import { isSame, ProcessIdentity } from "../../src/process/ProcessIdentity.js"
import {
  type GroupQuery,
  type Member,
  ProcessTable,
  TableUnreadable,
} from "../../src/process/ProcessTable.js"
import { isAlive } from "./support.js"

const linux = process.platform === "linux"

/** Another run of these tests must not find what this one has marked. */
const mark = `${randomUUID()}.0`

const query = (leader: ProcessIdentity, extra: Partial<GroupQuery> = {}): GroupQuery => ({
  leader,
  mark,
  leaderEndedAt: undefined,
  ageMillis: 10,
  ...extra,
})

const identity = (pid: number, startTime: string) => new ProcessIdentity({ pid, startTime, bootId: "boot" })

describe("the table of Linux", () => {
  it("reads a stat whose command has spaces, parentheses and line ends", () => {
    const rest = `S 12 34 56 0 -1 4194560 88 0 0 0 0 0 0 0 20 0 1 0 179596 2723840 234 18446744073709551615`
    for (const command of ["sh", "a b", ") Z 1 1 1", "((", "x)\ny) S 9 9 9"]) {
      assert.deepStrictEqual(ProcFiles.parseStat(`7 (${command}) ${rest}`), {
        state: "S",
        parentPid: 12,
        groupId: 34,
        sessionId: 56,
        startTime: "179596",
      })
    }
    assert.isUndefined(ProcFiles.parseStat("nonsense"))
  })

  it.live("identifies a running process, and none where there is none", () =>
    Effect.gen(function* () {
      if (!linux) return
      const table = yield* ProcessTable
      const self = (yield* table.identify(process.pid))!
      assert.strictEqual(self.pid, process.pid)
      assert.isTrue(isSame(self, (yield* table.identify(process.pid))!))
      assert.isFalse(isSame(self, new ProcessIdentity({ ...self, startTime: "1" })))
      assert.isFalse(isSame(self, new ProcessIdentity({ ...self, bootId: "another" })))
      assert.isUndefined(yield* table.identify(2 ** 22 + 1))
    }).pipe(Effect.provide(Linux.layer)),
  )

  it.scopedLive(
    "a process that started after the leader's end and has no mark belongs to somebody else",
    () =>
      Effect.gen(function* () {
        if (!linux) return
        const table = yield* ProcessTable
        const child = bareSpawn("sleep", ["60"], { detached: true, stdio: "ignore", env: {} })
        yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
        const leader = (yield* table.identify(child.pid!))!
        const proven = (extra: Partial<GroupQuery>) =>
          Effect.map(table.membersOf(query(leader, { ageMillis: 60_000, ...extra })), (members) =>
            members.map((member) => member.proven),
          )
        assert.deepStrictEqual(yield* proven({}), [true])
        assert.deepStrictEqual(yield* proven({ leaderEndedAt: table.endOf(leader, 1_000) }), [true])
        assert.deepStrictEqual(yield* proven({ leaderEndedAt: String(Number(leader.startTime) - 1) }), [])
      }).pipe(Effect.provide(Linux.layer)),
  )
})

describe.runIf(linux)("the table of Linux, asked about the same spawn by several at once", () => {
  it.scopedLive("tells each of them", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const env = { HOLDFAST_LINEAGE: mark }
      const child = bareSpawn("sleep", ["60"], { detached: true, stdio: "ignore", env })
      yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
      const leader = (yield* table.identify(child.pid!))!
      const earlier = identity(child.pid!, "1")
      const asked = [query(leader), query(leader, { mark: "none" }), query(leader), query(earlier)]
      const answers = yield* Effect.forEach(asked, table.membersOf, { concurrency: "unbounded" })
      assert.deepStrictEqual(
        answers.map((members) => members.map(({ pid, proven }) => [pid, proven])),
        asked.map(() => [[child.pid!, true]]),
      )
    }).pipe(Effect.provide(Linux.layer)),
  )
})

describe.runIf(linux)("what a process is called", () => {
  const names = (comm: string, args: ReadonlyArray<string>, executable?: string) =>
    ProcFiles.namesOf(comm, args, () => executable)

  it("its name by the kernel, and that of its first argument without a directory", () => {
    assert.deepStrictEqual(names("node", ["/usr/bin/node", "server.js"]), ["node"])
    assert.deepStrictEqual(names("serve", ["/bin/sh", "./serve"]), ["sh", "serve"])
    assert.deepStrictEqual(names("bash", ["-bash"]), ["-bash", "bash"])
    assert.deepStrictEqual(names("MainThread", ["node"]), ["node", "MainThread"])
    assert.deepStrictEqual(names("caf\u00c3\u00a9", ["/opt/caf\u00e9"]), ["caf\u00e9"])
  })

  it("not what a program writes in the place of its arguments; a thread of the kernel has no name", () => {
    assert.deepStrictEqual(names("postgres", ["postgres: writer /var/lib/node"]), ["postgres"])
    assert.deepStrictEqual(names("nginx", ["nginx: master process /usr/sbin/nginx"]), ["nginx"])
    assert.deepStrictEqual(names("kworker/0:1", []), [])
  })

  it("never by a name that the kernel has cut: the file or the script tells the whole one", () => {
    const cut = "my-long-server-"
    assert.deepStrictEqual(names(cut, ["/opt/my-long-server-a"], "/opt/my-long-server-a"), [
      "my-long-server-a",
    ])
    assert.deepStrictEqual(names(cut, ["renamed"], "/opt/my-long-server-a"), ["renamed", "my-long-server-a"])
    assert.deepStrictEqual(names(cut, ["/bin/sh", "-e", "/opt/my-long-server-a"], "/bin/dash"), [
      "sh",
      "my-long-server-a",
    ])
    assert.deepStrictEqual(names(cut, ["x", "my-long-server-b"], "/opt/my-long-server-a"), [
      "x",
      "my-long-server-a",
    ])
    assert.deepStrictEqual(names(cut, ["x"]), ["x"])
    assert.deepStrictEqual(names(cut, ["/opt/my-long-server-"], "/opt/my-long-server-"), [cut])
  })

  it.scopedLive("as the system shows it", () =>
    Effect.gen(function* () {
      const table = yield* ProcessTable
      const child = bareSpawn("sleep", ["60"], { argv0: "/no/where/nap", stdio: "ignore" })
      yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
      const [found, ...others] = yield* table.list([child.pid!, 2 ** 22 + 1])
      assert.deepStrictEqual(others, [])
      assert.deepInclude(found, {
        pid: child.pid!,
        parentPid: process.pid,
        groupId: table.ownGroup,
        command: "/no/where/nap 60",
        names: ["nap", "sleep"],
      })
      assert.strictEqual(found!.startTime, (yield* table.identify(child.pid!))!.startTime)
      const all = yield* table.list()
      assert.isTrue([child.pid, process.pid, process.ppid].every((pid) => all.some((one) => one.pid === pid)))
    }).pipe(Effect.provide(Linux.layer)),
  )
})

describe("the table of macOS", () => {
  const rows = [
    `  100     1   100 Ss   Sat Nov 21 03:46:00 2026 /bin/sh -c x HOLDFAST_LINEAGE=${mark} PATH=/bin`,
    "  101   100   100 S    Sat Nov 21 03:46:01 2026 sleep 60",
    `  102     1   102 Ss   Sat Nov 21 03:46:02 2026 sleep 61 HOLDFAST_LINEAGE=outer.9 ${mark} PATH=/bin`,
    `  103     1   103 Ss   Sat Nov 21 03:46:03 2026 sleep 62 HOLDFAST_LINEAGE=${mark}1 PATH=/bin`,
    "  104   100   100 Z    Sat Nov 21 03:46:01 2026 (sleep)",
  ].map((line) => Mac.parseRow(line)!)

  it("reads the lines of ps", () => {
    assert.deepStrictEqual(rows[1], {
      pid: 101,
      parentPid: 100,
      groupId: 100,
      state: "S",
      startTime: "Sat Nov 21 03:46:01 2026",
      command: "sleep 60",
    })
    assert.isUndefined(Mac.parseRow("PID COMMAND"))
  })

  it("names each by its program and its first argument", () => {
    const programs = "  100 /bin/sh\n  101 sleep\n  102 /usr/local/bin/a b\n  104 (sleep)\n"
    assert.deepStrictEqual(
      Mac.named(rows, programs).map(({ names, pid }) => [pid, names]),
      [
        [100, ["sh"]],
        [101, ["sleep"]],
        [102, ["a b", "sleep"]],
        [103, ["sleep"]],
      ],
    )
  })

  it("finds the group and those outside it by their mark, and no zombie", () => {
    const leader = identity(100, "Sat Nov 21 03:46:00 2026")
    const [members] = Mac.select(rows, [query(leader)], new Set())
    assert.deepStrictEqual(
      members!.map(({ inGroup, pid, proven }) => [pid, inGroup, proven]),
      [
        [100, true, true],
        [101, true, true],
        [102, false, true],
      ],
    )
    const [later] = Mac.select(
      rows,
      [query(leader, { leaderEndedAt: "Sat Nov 21 03:46:00 2026" })],
      new Set(),
    )
    assert.deepStrictEqual(
      later!.map(({ pid, proven }) => [pid, proven]),
      [
        [100, true],
        [101, false],
        [102, true],
      ],
    )
  })
})

describe("a batch", () => {
  it.live("answers calls of one moment with one look, and later ones with a later look", () =>
    Effect.gen(function* () {
      const looks: Array<ReadonlyArray<number>> = []
      const gates = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const ask = Batch.make(
        async (queries: ReadonlyArray<number>) => {
          looks.push(queries)
          await Effect.runPromise(Deferred.await(gates[looks.length - 1]!))
          return queries.map((query) => query * 10)
        },
        (cause) => cause,
      )
      const first = yield* Effect.fork(Effect.all([ask(1), ask(2)], { concurrency: "unbounded" }))
      while (looks.length === 0) yield* Effect.yieldNow()
      const second = yield* Effect.fork(Effect.all([ask(3), ask(4)], { concurrency: "unbounded" }))
      yield* Effect.yieldNow()
      yield* Deferred.succeed(gates[0]!, undefined)
      assert.deepStrictEqual(yield* Fiber.join(first), [10, 20])
      yield* Deferred.succeed(gates[1]!, undefined)
      assert.deepStrictEqual(yield* Fiber.join(second), [30, 40])
      assert.deepStrictEqual(looks, [
        [1, 2],
        [3, 4],
      ])
    }),
  )

  it.live("a look that fails fails those it was for, and the next one is a new one", () =>
    Effect.gen(function* () {
      let broken = true
      const ask = Batch.make(
        async (queries: ReadonlyArray<number>) => {
          if (broken) throw new Error("broken")
          return queries
        },
        () => "no answer" as const,
      )
      assert.strictEqual(yield* Effect.flip(ask(1)), "no answer")
      broken = false
      assert.strictEqual(yield* ask(2), 2)
    }),
  )
})

describe("a group", () => {
  /** A table that answers what it is told to. */
  const table = (members: () => ReadonlyArray<Member>): ProcessTable["Type"] => ({
    identify: () => Effect.succeed(undefined),
    identifyChild: (pid) => Effect.succeed(identity(pid, "0")),
    endOf: () => "0",
    isStill: () => true,
    ageOf: () => 0,
    timeAt: () => "0",
    marked: () => Effect.succeed([]),
    list: () => Effect.succeed([]),
    membersOf: () => Effect.sync(members),
    setOwn: () => {},
    ownGroup: 1,
  })

  const group = (pid: number, answers: ProcessTable["Type"]) =>
    new ProcessGroup(identity(pid, "0"), "owner.0", answers, 0n, (text) => text.replaceAll("secret", "***"))

  const bystander = Effect.acquireRelease(
    Effect.sync(() => bareSpawn("sleep", ["60"], { detached: true, stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  )

  const member = (pid: number, extra: Partial<Member>): Member => ({
    pid,
    parentPid: 1,
    groupId: pid,
    startTime: "9",
    command: "sleep secret",
    inGroup: true,
    proven: false,
    ...extra,
  })

  for (const inGroup of [true, false]) {
    it.scopedLive(
      `never signals what is not proven to be ours (${inGroup ? "in" : "outside"} the group)`,
      () =>
        Effect.gen(function* () {
          const other = yield* bystander
          let looks = 0
          const found = () => (looks++ < 5 ? [member(other.pid!, { inGroup })] : [])
          const ended = group(other.pid!, table(found))
          // The leader's pid was handed out again after its end.
          ended.leaderEnded(new Exited({ code: 0 }))
          assert.isFalse(yield* ended.signal("SIGTERM"))
          yield* ended.stop({ signal: "SIGTERM", grace: Duration.zero })
          assert.isAbove(looks, 5)
          assert.isTrue(isAlive(other.pid!))
        }),
    )
  }

  it.scopedLive("never signals a pid that was handed out again between the look and the signal", () =>
    Effect.gen(function* () {
      const other = yield* bystander
      const found = () => [member(other.pid!, { inGroup: false, proven: true })]
      const ended = group(other.pid!, { ...table(found), isStill: () => false })
      ended.leaderEnded(new Exited({ code: 0 }))
      assert.isFalse(yield* ended.signal("SIGKILL"))
      assert.isTrue(isAlive(other.pid!))
    }),
  )

  it.live("never signals pid 1, every process, or this program, whatever it is told", () =>
    Effect.gen(function* () {
      for (const pid of [0, 1, -1, process.pid]) {
        assert.isFalse(
          yield* group(
            pid,
            table(() => []),
          ).signal("SIGCONT"),
        )
      }
    }),
  )

  it.scopedLive("never signals the program's own group", () =>
    Effect.gen(function* () {
      const other = yield* bystander
      const answers = table(() => [])
      assert.isTrue(yield* group(other.pid!, answers).signal("SIGCONT"))
      assert.isFalse(yield* group(other.pid!, { ...answers, ownGroup: other.pid! }).signal("SIGCONT"))
    }),
  )

  it.effect("what survives KILL is reported, masked, and may be tried again", () =>
    Effect.gen(function* () {
      let there = true
      const found = () => (there ? [member(4_194_305, { inGroup: false, proven: true })] : [])
      const ended = group(4_194_304, table(found))
      ended.leaderEnded(new Exited({ code: 0 }))
      const stop = yield* Effect.fork(ended.stop({ signal: "SIGTERM", grace: Duration.seconds(1) }))
      yield* TestClock.adjust("10 seconds")
      const report = yield* Fiber.join(stop)
      assert.deepStrictEqual(
        report.survivors.map(({ command, pid }) => ({ command, pid })),
        [{ command: "sleep ***", pid: 4_194_305 }],
      )
      assert.deepStrictEqual(report.sent, ["SIGTERM", "SIGKILL"])
      assert.isTrue(report.escalated)
      there = false
      assert.deepStrictEqual((yield* ended.stop({ signal: "SIGTERM", grace: Duration.zero })).survivors, [])
    }),
  )

  it.effect("a table that cannot be read is not taken for an empty one", () =>
    Effect.gen(function* () {
      const unreadable = { ...table(() => []), membersOf: () => new TableUnreadable({ reason: "EMFILE" }) }
      const ended = group(4_194_304, unreadable)
      ended.leaderEnded(new Exited({ code: 0 }))
      const stop = yield* Effect.fork(ended.stop({ signal: "SIGTERM", grace: Duration.seconds(1) }))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(stop)).survivors.length, 1)
    }),
  )
})
