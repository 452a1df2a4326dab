import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { OutputBrake } from "../../src/output/OutputBrake.js"
import * as UnitLog from "../../src/output/UnitLog.js"
import * as ProcessOutput from "../../src/process/ProcessOutput.js"
import * as ProcessSpawner from "../../src/process/ProcessSpawner.js"
import { eventually, sh } from "../process/support.js"
import { directory, replacing } from "./support.js"
import { files, logging, readPages } from "./unit-log.js"

/** A hub, and what its producer is told. */
const watched = () => {
  const told: Array<boolean> = []
  const output = ProcessOutput.make({ whenFull: "block" })
  output.onPressure((full) => told.push(full))
  const offer = () => output.offer("stdout", Buffer.from("x"))
  return { offer, output, told }
}

const limits = { high: 100, low: 10 }

describe("a brake", () => {
  it("holds from the upper limit on, until the lower one", () => {
    const { offer, output, told } = watched()
    const brake = new OutputBrake(limits)
    brake.add(output)
    brake.press(99)
    offer()
    assert.deepStrictEqual(told, [])
    brake.press(100)
    offer()
    brake.ease(50, false)
    offer()
    brake.ease(11, false)
    offer()
    assert.deepStrictEqual(told, [true])
    brake.ease(10, false)
    offer()
    assert.deepStrictEqual(told, [true, false])
    brake.remove(output)
    brake.press(100)
    offer()
    assert.deepStrictEqual(told, [true, false])
    brake.release()
  })

  it("holds nothing up any more when the disk takes nothing", () => {
    const { offer, output, told } = watched()
    const brake = new OutputBrake(limits)
    brake.add(output)
    brake.press(1_000)
    offer()
    brake.ease(1_000, true)
    offer()
    assert.deepStrictEqual(told, [true, false])
  })

  it.live("lets go by itself, and then holds nothing before the disk has caught up", () =>
    Effect.gen(function* () {
      const { offer, output, told } = watched()
      const brake = new OutputBrake(limits)
      brake.add(output)
      brake.press(100)
      offer()
      yield* eventually("it lets go", () => told.length === 2)
      brake.press(1_000)
      offer()
      assert.deepStrictEqual(told, [true, false])
      brake.ease(5, false)
      brake.press(100)
      offer()
      assert.deepStrictEqual(told, [true, false, true])
      brake.release()
    }),
  )
})

const lines = 300_000

/** 30 MB at once. */
const flood = sh(`yes "${"x".repeat(99)}" | head -n ${lines}`)

describe("a process that writes faster than the disk", () => {
  it.scopedLive("waits for one that is slow: nothing is lost", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const where = path.join(yield* directory, "log")
      const log = yield* UnitLog.make({ directory: where })
      const output = ProcessOutput.make({ whenFull: "block" })
      log.attach(output, 1)
      yield* replacing(
        "writev",
        (original) =>
          (...args: Parameters<typeof fs.writev>) =>
            void setTimeout(() => original(...args), 10),
        Effect.gen(function* () {
          const process = yield* spawner.spawn({ command: flood }, { output })
          yield* process.exit
          yield* output.ended
          assert.isTrue(yield* log.flush)
        }),
      )
      assert.strictEqual(log.latest(), lines)
      const sizes = files(where).map((file) => fs.statSync(file).size)
      assert.strictEqual(
        sizes.reduce((sum, size) => sum + size, 0),
        lines * 100,
      )
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )

  it.scopedLive("goes on as soon as what waited is being written", () =>
    Effect.gen(function* () {
      const where = path.join(yield* directory, "log")
      const log = yield* UnitLog.make({ directory: where })
      const { offer, output, told } = watched()
      log.attach(output, 1)
      const answers: Array<() => void> = []
      yield* replacing(
        "writev",
        (original) =>
          (...args: Parameters<typeof fs.writev>) =>
            void answers.push(() => original(...args)),
        Effect.gen(function* () {
          const piece = Buffer.alloc(65_536, `${"x".repeat(99)}\n`)
          for (let i = 0; i < 34; i++) output.offer("stdout", piece)
          assert.deepStrictEqual(told, [true])
          yield* eventually("it is being written", () => answers.length === 1)
          offer()
          offer()
          assert.deepStrictEqual(told, [true, false])
        }),
      )
      for (const answer of answers) answer()
      assert.isTrue(yield* log.flush)
    }),
  )

  it.scopedLive("does not wait for one that does not answer: what is left out is counted", () =>
    Effect.gen(function* () {
      const spawner = yield* ProcessSpawner.ProcessSpawner
      const where = path.join(yield* directory, "log")
      const log = yield* UnitLog.make({ directory: where }).pipe(Effect.provide(logging().layer))
      const output = ProcessOutput.make({ whenFull: "block" })
      log.attach(output, 1)
      log.write("stdout", "first", 1)
      yield* log.flush
      const answers: Array<() => void> = []
      yield* replacing(
        "writev",
        (original) =>
          (...args: Parameters<typeof fs.writev>) =>
            void answers.push(() => original(...args)),
        Effect.gen(function* () {
          const process = yield* spawner.spawn({ command: flood }, { output })
          yield* process.exit
          yield* output.ended
        }),
      )
      for (const answer of answers) answer()
      assert.isTrue(yield* log.flush)
      const { lines: kept, missed } = yield* readPages(log)
      assert.isAbove(missed, lines / 2)
      assert.strictEqual(kept.length + missed, lines + 1)
      const text = fs.readFileSync(files(where)[0]!, "utf8")
      assert.include(text, `--- ${missed} lines are missing here ---\n`)
    }).pipe(Effect.provide(ProcessSpawner.layer)),
  )
})
