import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { dirname, join } from "node:path"
import { assert, describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PlatformTable from "../../../src/process/PlatformTable.js"
import type { Process } from "../../../src/process/Process.js"
import { ProcessIdentity } from "../../../src/process/ProcessIdentity.js"
import * as ProcessSpawner from "../../../src/process/ProcessSpawner.js"
import * as ProcessSpec from "../../../src/process/ProcessSpec.js"
import * as InstanceRecords from "../../../src/unit/port/InstanceRecords.js"
import { fill } from "../../job/full-disk.js"
import { smallDisk } from "../../job/runner-support.js"
import { fileOf, identityOf, leaveRecord, logged, makeRoot } from "./support.js"

const owner = "ffeeddccbbaa99887766554433221100"

const make = (root: string | undefined, by = owner) => InstanceRecords.make({ root, owner: by })

/** An instance that is not there. */
const instance = (unit: string, about: Partial<InstanceRecords.Instance> & { readonly n?: number } = {}) =>
  Effect.map(ProcessSpec.make({ command: ["server", "--port", "80"] }), (spec): InstanceRecords.Instance => {
    const { n = 0, ...rest } = about
    const identity = new ProcessIdentity({ pid: 4_194_304, startTime: "1", bootId: "boot" })
    return {
      unit,
      generation: 1,
      process: { identity, mark: `${owner}.${n}`, spec },
      ports: [80, 443],
      ...rest,
    }
  })

const modeOf = (path: string): number => fs.statSync(path).mode & 0o777

describe("the records of instances", () => {
  it.scopedLive("tell the next program what runs, and nobody else; masked values are not in them", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const child: Process = yield* spawner.spawn({
        command: ["sleep", "300", "hunter2"],
        env: { SECRET: "hunter2" },
        mask: ["SECRET"],
        stop: { signal: "INT", grace: "3s" },
      })
      const records = yield* make(root, spawner.owner)
      const written = yield* records.write({ unit: "web", generation: 7, process: child, ports: [8080] })

      assert.match(child.mark, new RegExp(`^${spawner.owner}\\.\\d+$`))
      const path = fileOf(root, "web")
      assert.strictEqual(modeOf(path), 0o600)
      assert.strictEqual(modeOf(dirname(path)), 0o700)
      assert.deepStrictEqual(fs.readdirSync(dirname(path)), ["instance.json"])
      assert.notInclude(fs.readFileSync(path, "utf8"), "hunter2")

      assert.deepStrictEqual(yield* records.load, [], "its own are no leftovers")
      const [found, ...others] = yield* (yield* make(root, "another")).load
      assert.deepStrictEqual(others, [])
      expect(found).toEqual(written)
      expect(found).toMatchObject({
        unit: "web",
        generation: 7,
        process: child.identity,
        program: yield* identityOf(process.pid),
        owner: spawner.owner,
        mark: child.mark,
        command: "sleep 300 ***",
        ports: [8080],
        stop: { signal: "SIGINT", grace: Duration.seconds(3) },
      })
    }).pipe(Effect.provide([ProcessSpawner.layer, PlatformTable.layer])),
  )

  it.scopedLive("are gone when they are removed, but a later one is not removed for an earlier one", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const records = yield* make(root)
      const first = yield* records.write(yield* instance("web"))
      const second = yield* records.write(yield* instance("web", { generation: 2, n: 1 }))
      yield* records.remove(first)
      assert.isTrue(fs.existsSync(fileOf(root, "web")))
      yield* records.remove(second)
      assert.isFalse(fs.existsSync(fileOf(root, "web")))
      const [, lines] = yield* logged(records.remove(second))
      assert.deepStrictEqual(lines, [])
    }).pipe(Effect.provide(PlatformTable.layer)),
  )

  it.scopedLive("of an earlier program can be removed, until the unit has one of this program", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const identity = yield* identityOf(process.pid)
      const records = yield* make(root)
      const old = [leaveRecord(root, "web", identity), leaveRecord(root, "db", identity)]
      yield* records.write(yield* instance("web"))
      assert.deepStrictEqual(
        (yield* records.load).map(({ unit }) => unit),
        ["db"],
      )
      for (const record of old) yield* records.remove(record)
      assert.isTrue(fs.existsSync(fileOf(root, "web")))
      assert.isFalse(fs.existsSync(fileOf(root, "db")))
    }).pipe(Effect.provide(PlatformTable.layer)),
  )

  it.scopedLive("that are damaged are skipped with a warning that names the file; the others are found", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const identity = yield* identityOf(process.pid)
      const units = [
        "good",
        "torn",
        "empty",
        "wrong",
        "moved",
        "fifo",
        "link",
        "folder",
        "huge",
        "pid",
        "mark",
      ]
      for (const unit of units) leaveRecord(root, unit, identity)
      const text = fs.readFileSync(fileOf(root, "good"), "utf8")
      const put = (unit: string, content: string) => fs.writeFileSync(fileOf(root, unit), content)
      const without = (unit: string) => fs.rmSync(fileOf(root, unit))
      put("torn", text.slice(0, 100))
      put("empty", "")
      put("wrong", text.replace('"generation":3', '"generation":"many"').replace('"good"', '"wrong"'))
      put("moved", text)
      put("huge", text + " ".repeat(70_000))
      put("pid", text.replace('"good"', '"pid"').replace(/"pid":\d+/, '"pid":1'))
      put("mark", text.replace('"good"', '"mark"').replace(/"mark":"[^"]*"/, '"mark":""'))
      for (const unit of ["fifo", "link", "folder"]) without(unit)
      spawnSync("mkfifo", [fileOf(root, "fifo")])
      fs.symlinkSync(fileOf(root, "good"), fileOf(root, "link"))
      fs.mkdirSync(fileOf(root, "folder"))
      // Others may keep things there.
      fs.mkdirSync(join(root, "units", "without"))
      fs.writeFileSync(join(root, "units", "a file"), "")
      fs.writeFileSync(join(root, "units", "file"), "")

      const records = yield* make(root)
      const [found, lines] = yield* logged(records.load)
      assert.deepStrictEqual(
        found.map(({ unit }) => unit),
        ["good"],
      )
      const warned = lines.map(
        (line) => /^WARN The record \S*\/units\/(\w+)\/instance\.json cannot be used: .+/.exec(line)?.[1],
      )
      assert.sameMembers(warned, units.slice(1))
      assert.match(lines.join("\n"), /: generation: Expected number, actual "many"\./)
      for (const line of lines) assert.notInclude(line, "\n")
    }).pipe(Effect.provide(PlatformTable.layer)),
  )

  it.scopedLive("of a root that nobody has used, or without a root: none", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      assert.deepStrictEqual(yield* (yield* make(root)).load, [])
      assert.deepStrictEqual(fs.readdirSync(root), [])
      const nowhere = yield* make(undefined)
      const record = yield* nowhere.write(yield* instance("web"))
      assert.strictEqual(record.unit, "web")
      assert.deepStrictEqual(yield* nowhere.load, [])
      yield* nowhere.remove(record)
    }).pipe(Effect.provide(PlatformTable.layer)),
  )

  it.scopedLive("come back when somebody has removed their directory", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const records = yield* make(root)
      yield* records.write(yield* instance("web"))
      fs.rmSync(join(root, "units"), { recursive: true })
      yield* records.write(yield* instance("web", { n: 1 }))
      assert.isTrue(fs.existsSync(fileOf(root, "web")))
    }).pipe(Effect.provide(PlatformTable.layer)),
  )

  it.scopedLive("that cannot be written are warned of once, until one can be", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      // A file in the way keeps even root from making a directory.
      fs.writeFileSync(join(root, "units"), "")
      const records = yield* make(root)
      const many = Effect.gen(function* () {
        for (const unit of ["web", "db", "cache"]) {
          const record = yield* records.write(yield* instance(unit))
          assert.strictEqual(record.unit, unit)
        }
        yield* records.load
      })
      const [, lines] = yield* logged(many)
      assert.strictEqual(lines.length, 1)
      assert.match(
        lines[0]!,
        /^WARN What runs of unit web could not be recorded in \S+: .* The unit runs all the same/,
      )
      fs.rmSync(join(root, "units"))
      assert.deepStrictEqual((yield* logged(many))[1], [])
      fs.rmSync(join(root, "units"), { recursive: true })
      fs.writeFileSync(join(root, "units"), "")
      assert.strictEqual((yield* logged(many))[1].length, 1)
    }).pipe(Effect.provide(PlatformTable.layer)),
  )

  it.scopedLive(
    "do not mind a full disk: a warning, no half a file, and the earlier one may stay",
    (context) =>
      Effect.gen(function* () {
        const root = yield* makeRoot
        const disk = yield* smallDisk(root)
        if (disk === undefined) return context.skip("no file system can be mounted here")
        const records = yield* make(disk)
        const first = yield* records.write(yield* instance("web"))
        fill(join(disk, "ballast"))
        const [second, lines] = yield* logged(
          Effect.flatMap(instance("web", { n: 1 }), (next) =>
            Effect.zipLeft(records.write(next), records.write(next)),
          ),
        )
        assert.strictEqual(lines.length, 1)
        assert.match(lines[0]!, /: the disk is full\. The unit runs/)
        assert.deepStrictEqual(fs.readdirSync(dirname(fileOf(disk, "web"))), ["instance.json"])
        const [left] = yield* (yield* make(disk, "another")).load
        expect(left).toEqual(first)
        yield* records.remove(second)
        fs.rmSync(join(disk, "ballast"))
        const third = yield* records.write(yield* instance("web", { n: 2 }))
        expect(yield* (yield* make(disk, "another")).load).toEqual([third])
      }).pipe(Effect.provide(PlatformTable.layer)),
  )

  // Seed 20261126 of the beating: without its record the unit ran twice after a KILL of the program and its guardian.
  it.scopedLive("have the block of the one before on a full disk", (context) =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const disk = yield* smallDisk(root)
      if (disk === undefined) return context.skip("no file system can be mounted here")
      const records = yield* make(disk)
      yield* records.remove(yield* records.write(yield* instance("web")))
      fill(join(disk, "ballast"))
      for (const n of [1, 2]) {
        const [next, lines] = yield* logged(
          Effect.flatMap(instance("web", { n }), (next) => records.write(next)),
        )
        assert.deepStrictEqual(lines, [])
        expect(yield* (yield* make(disk, "another")).load).toEqual([next])
        yield* records.remove(next)
        assert.deepStrictEqual(yield* (yield* make(disk, "another")).load, [])
      }
    }).pipe(Effect.provide(PlatformTable.layer)),
  )
})
