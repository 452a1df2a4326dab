/**
 * Does the output of a unit keep up with its process? A million lines of 100 bytes from one process through a pipe,
 * framed, stamped and rotated, until every line is in the files and has been seen by a follower; against `child_process`
 * whose output is piped to a file as it is. Once with a follower that keeps up, once with one that stalls after its first
 * lines. And how much more memory that takes than before it, at its peak, in a Node of its own. Linux only: the peak is
 * read in /proc.
 */
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import * as UnitLog from "../src/output/UnitLog.js"
import * as ProcessOutput from "../src/process/ProcessOutput.js"
import * as ProcessSpawner from "../src/process/ProcessSpawner.js"
import { limited, paired } from "./harness.js"

const lines = 1_000_000
const command = ["sh", "-c", `yes ${"x".repeat(99)} | head -n ${lines}`] as const

type Mode = "live" | "stalled"

const place = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-bench-"))
process.on("exit", () => fs.rmSync(place, { recursive: true, force: true, maxRetries: 5 }))

/** Names of their own: to delete many files takes time, which belongs to nobody. */
let places = 0
const next = (): string => path.join(place, String(places++))

/** Counts what a follower is given. */
class Count {
  seen = 0
  missed = 0
  /** Of those missed, how many have a line before them. */
  missedBetween = 0

  readonly add = (chunk: Chunk.Chunk<UnitLog.LogLine | UnitLog.LogGap>): void => {
    for (const item of chunk) {
      if (item._tag === "Line") this.seen++
      else {
        this.missed += item.missedLines
        if (this.seen > 0) this.missedBetween += item.missedLines
      }
    }
  }

  get isComplete(): boolean {
    return this.seen + this.missed >= lines
  }

  /** Throws unless every line was seen or counted as missed, once, and those that may not be missed were seen. */
  check(what: string, isRight: boolean): void {
    if (this.seen + this.missed !== lines || !isRight)
      throw new Error(
        `${what}: ${this.seen} lines seen, ${this.missed} missed, of these ${this.missedBetween} in between`,
      )
  }
}

/** Follows from the first line until all were seen or missed. */
const followAll = (log: UnitLog.UnitLog, count: Count) =>
  log.follow({ after: 0 }).pipe(
    // Not an effect for each chunk: these leave chains that V8 frees late.
    Stream.mapChunks((chunk) => {
      count.add(chunk)
      return count.isComplete ? Chunk.of(true) : Chunk.empty<boolean>()
    }),
    Stream.take(1),
    Stream.runDrain,
  )

interface Measured {
  readonly millis: number
  readonly idleKiB: number
  readonly peakKiB: number
}

const statusOf = (field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(fs.readFileSync("/proc/self/status", "latin1"))![1])

const measure = (mode: Mode) =>
  Effect.gen(function* () {
    const spawner = yield* ProcessSpawner.ProcessSpawner
    const log = yield* UnitLog.make({ directory: next() })
    const output = ProcessOutput.make({ whenFull: "block" })
    log.attach(output, 1)
    const count = new Count()
    const pull = yield* Stream.toPull(log.follow({ after: 0 }))
    const takeSome = Effect.ignore(Effect.map(pull, count.add))
    const follower = yield* Effect.fork(mode === "live" ? followAll(log, count) : takeSome)
    yield* Effect.sleep("50 millis")
    // The peak is counted anew from here.
    fs.writeFileSync("/proc/self/clear_refs", "5")
    const idleKiB = statusOf("VmRSS")
    const begin = performance.now()
    yield* Effect.scoped(
      Effect.gen(function* () {
        const child = yield* spawner.spawn({ command }, { output })
        yield* child.exit
        yield* output.ended
      }),
    )
    yield* Fiber.join(follower)
    if (!(yield* log.flush)) return yield* Effect.dieMessage("the disk does not take it")
    const millis = performance.now() - begin
    const peakKiB = statusOf("VmHWM")
    if (log.latest() !== lines) return yield* Effect.dieMessage(`there are ${log.latest()} lines`)
    while (!count.isComplete) yield* takeSome
    count.check(mode, mode === "stalled" || count.missed === 0)
    const files = new Count()
    yield* followAll(log, files)
    // The oldest ones were rotated away, and nothing else.
    files.check("in the files", files.missed < lines / 5 && files.missedBetween === 0)
    const measured: Measured = { millis, idleKiB, peakKiB }
    return measured
  }).pipe(Effect.scoped)

const bare = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const directory = next()
    fs.mkdirSync(directory)
    const file = path.join(directory, "out.log")
    const begin = performance.now()
    const child = spawn(command[0], command.slice(1), { stdio: ["ignore", "pipe", "pipe"] })
    child.on("error", reject)
    child.stderr.resume()
    child.stdout.pipe(fs.createWriteStream(file)).on("close", () => {
      const millis = performance.now() - begin
      const { size } = fs.statSync(file)
      if (size === lines * 100) resolve(lines / millis / 1_000)
      else reject(new Error(`${file} has ${size} bytes`))
    })
  })

const runtime = ManagedRuntime.make(ProcessSpawner.layer)
const [, , asked] = process.argv

if (asked === "live" || asked === "stalled") {
  const { idleKiB, peakKiB } = await runtime.runPromise(measure(asked))
  console.log((peakKiB - idleKiB) / 1_024)
} else {
  for (const mode of ["live", "stalled"] as const) {
    const name = mode === "live" ? "a follower that keeps up" : "a follower that stalls"
    const { ours, bare: figures } = await paired({
      name: `10^6 lines, ${name} / piped to a file`,
      unit: "M lines/s",
      rounds: 9,
      ours: async () => lines / (await runtime.runPromise(measure(mode))).millis / 1_000,
      bare,
    })
    limited({
      name: "of these: asked for (1 M or 0.7) / reached",
      unit: "",
      figures: ours.map((reached, round) => Math.min(1, 0.7 * figures[round]!) / reached),
      atMost: 1,
    })
    limited({
      name: `peak memory above idle, ${name}`,
      unit: "MB",
      figures: Array.from({ length: 5 }, () =>
        Number(execFileSync(process.execPath, [fileURLToPath(import.meta.url), mode], { encoding: "utf8" })),
      ),
      of: "worst",
      atMost: 32,
    })
  }
}
await runtime.dispose()
