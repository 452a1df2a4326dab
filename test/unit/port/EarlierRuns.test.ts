/** What a program has left that was killed, with its guardian, before it had recorded what it started. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import { join } from "node:path"
import { assert, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PortHolder from "../../../src/probe/PortHolder.js"
import * as PlatformTable from "../../../src/process/PlatformTable.js"
import * as ProcessSpawner from "../../../src/process/ProcessSpawner.js"
import { ProcessTable } from "../../../src/process/ProcessTable.js"
import * as InstanceRecords from "../../../src/unit/port/InstanceRecords.js"
import * as Reclaim from "../../../src/unit/port/Reclaim.js"
import { eventually, isAlive } from "../../process/support.js"
import { identityOf, leaveRecord, logged, makeRoot, markedBy, spawnStray } from "./support.js"

const live = Layer.mergeAll(
  PlatformTable.layer,
  ProcessSpawner.layer,
  Layer.provide(PortHolder.layer, ProcessSpawner.layer),
)

const reclaimOf = (root: string) =>
  Effect.flatMap(InstanceRecords.make({ root, owner: "this-program" }), (records) =>
    Reclaim.make({ records }),
  )

const runsIn = (root: string): ReadonlyArray<string> =>
  JSON.parse(fs.readFileSync(join(root, "runs.json"), "utf8")).runs.map(
    ({ owner }: { readonly owner: string }) => owner,
  )

/** Nobody else's: the whole table is searched for it, where this file may be run twice at a time. */
const oldOwner = randomBytes(16).toString("hex")

/** Notes a run of a program with `oldOwner`, which is gone: its start time is none of this program. */
const leaveRun = (root: string, startTime: string) =>
  Effect.gen(function* () {
    const { identifyChild } = yield* ProcessTable
    const self = yield* identifyChild(process.pid)
    const program = { ...self, startTime }
    fs.writeFileSync(join(root, "runs.json"), JSON.stringify({ runs: [{ owner: oldOwner, program }] }))
  })

/** As a unit's process of that run, once it has become what it is to be: in its execve the system shows no environment. */
const spawnUnit = (env: NodeJS.ProcessEnv) =>
  Effect.gen(function* () {
    const child = yield* spawnStray("sleep", ["300"], { env })
    const file = `/proc/${child.pid}/environ`
    yield* eventually("it is sleep", () => fs.readFileSync(file, "latin1").includes("HOLDFAST_UNIT="))
    return child
  })

const unit = (name: string, mark = `${oldOwner}.7`) => ({
  ...markedBy(mark, oldOwner),
  HOLDFAST_UNIT: name,
})

describe.runIf(process.platform === "linux")("an earlier run", () => {
  // Seed 20261126 of the beating, operation 462.
  it.scopedLive(
    "has left an instance that it had no time to record: it is found by its owner and stopped",
    () =>
      Effect.gen(function* () {
        const root = yield* makeRoot
        yield* leaveRun(root, "1")
        const web = yield* spawnUnit(unit("web"))
        const escaped = yield* spawnUnit(unit("web"))
        const job = yield* spawnStray("sleep", ["300"], {
          env: { ...unit("web", `${oldOwner}.8`), HOLDFAST_JOB: "01HZX3V9Q4R8N7C2M5K6J1T0WB" },
        })
        const other = yield* spawnUnit(unit("web", "ffff.7"))
        const [{ leftAlone, reclaimed }, lines] = yield* logged(
          (yield* reclaimOf(root)).all(() => "recorded"),
        )
        expect(reclaimed).toMatchObject([{ unit: "web", stop: { survivors: [] } }])
        assert.deepStrictEqual(leftAlone, [])
        assert.match(
          lines.join("\n"),
          /of unit web, is left over from an earlier run and is stopped now: 2 process/,
        )
        assert.deepStrictEqual(
          [web, escaped, job, other].map(({ pid }) => isAlive(pid)),
          [false, false, true, true],
        )
        assert.deepStrictEqual(runsIn(root), ["this-program"])
      }).pipe(Effect.provide(live)),
  )

  it.scopedLive("is remembered while something of it is left alone, and its records stay its records", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      yield* leaveRun(root, "1")
      const known = yield* spawnUnit(unit("web", `${oldOwner}.0`))
      const record = leaveRecord(root, "web", yield* identityOf(known.pid), {
        owner: oldOwner,
        mark: `${oldOwner}.0`,
      })
      const unknown = yield* spawnUnit(unit("web"))
      const reclaim = yield* reclaimOf(root)
      const [{ leftAlone }] = yield* logged(reclaim.all(() => "never"))
      assert.deepStrictEqual(leftAlone.map(({ pid }) => pid).sort(), [known.pid, unknown.pid].sort())
      assert.deepStrictEqual(runsIn(root), [oldOwner, "this-program"])
      const records = yield* InstanceRecords.make({ root, owner: "this-program" })
      expect(yield* records.load).toEqual([record])
      const [{ reclaimed }] = yield* logged(reclaim.all(() => "recorded"))
      assert.strictEqual(reclaimed.length, 2)
      assert.deepStrictEqual(runsIn(root), ["this-program"])
    }).pipe(Effect.provide(live)),
  )

  it.scopedLive("that a damaged file names is none", () =>
    Effect.gen(function* () {
      const root = yield* makeRoot
      const web = yield* spawnUnit(unit("web"))
      fs.writeFileSync(join(root, "runs.json"), '{"runs":[{"owner":".*"}]}')
      const report = yield* (yield* reclaimOf(root)).all(() => "recorded")
      assert.deepStrictEqual(report, { reclaimed: [], leftAlone: [] })
      assert.isTrue(isAlive(web.pid))
      assert.deepStrictEqual(runsIn(root), ["this-program"])
    }).pipe(Effect.provide(live)),
  )
})
