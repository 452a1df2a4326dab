/**
 * Does it matter how long a log is? The tail of 4 GB against the tail of 1 MB; and how quickly a follower gets through
 * what is there, against a bare loop of reads of the same size. The 4 GB are a hole in the file, but for the last MB.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as LogCursor from "../src/output/LogCursor.js"
import * as LogFollow from "../src/output/LogFollow.js"
import * as LogTail from "../src/output/LogTail.js"
import { paired } from "./harness.js"

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-bench-"))
process.on("exit", () => fs.rmSync(directory, { recursive: true, force: true }))

const gigabytes4 = 4 * 2 ** 30
const line = `${"x".repeat(99)}\n`
const megabyte = Buffer.from(line.repeat(Math.ceil(2 ** 20 / line.length))).subarray(-(2 ** 20))

const file = (name: string, size: number): string => {
  const made = path.join(directory, name)
  const descriptor = fs.openSync(made, "w")
  fs.writeSync(descriptor, megabyte, 0, megabyte.length, size - megabyte.length)
  fs.closeSync(descriptor)
  return made
}

const large = file("large.log", gigabytes4)
const small = file("small.log", megabyte.length)
const oneLine = path.join(directory, "line.log")
fs.closeSync(fs.openSync(oneLine, "w"))
fs.truncateSync(oneLine, gigabytes4)

const times = 50

/** Milliseconds for one, from `times` of them one after the other. */
const each = async <E>(run: Effect.Effect<unknown, E>): Promise<number> => {
  const begin = performance.now()
  for (let i = 0; i < times; i++) await Effect.runPromise(run)
  return (performance.now() - begin) / times
}

const question = (
  name: string,
  ours: Effect.Effect<unknown, unknown>,
  bare: Effect.Effect<unknown, unknown>,
) =>
  paired({
    name,
    unit: "ms",
    rounds: 9,
    ours: () => each(ours),
    bare: () => each(bare),
    atMostMore: 5,
  })

await question("tail of 4 GB / of 1 MB", LogTail.tail(large), LogTail.tail(small))
await question("tail of 4 GB without a newline / of 1 MB", LogTail.tail(oneLine), LogTail.tail(small))
await question(
  "read 64 KiB near the end of 4 GB / of 1 MB",
  LogCursor.readText(large, { offset: gigabytes4 - 65_536 }),
  LogCursor.readText(small, { offset: megabyte.length - 65_536 }),
)

const stretch = file("stretch.log", 128 * 2 ** 20)

const bareLoop = async (): Promise<void> => {
  const handle = await fs.promises.open(stretch)
  const buffer = Buffer.allocUnsafe(65_536)
  while ((await handle.read(buffer, 0, buffer.length)).bytesRead > 0);
  await handle.close()
}

const rate = async (run: () => Promise<unknown>): Promise<number> => {
  const begin = performance.now()
  await run()
  return (128 / (performance.now() - begin)) * 1_000
}

await paired({
  name: "follow 128 MB / read them in a loop",
  unit: "MB/s",
  ours: () =>
    rate(() => Effect.runPromise(Stream.runDrain(LogFollow.follow(stretch, { done: Effect.void })))),
  bare: () => rate(bareLoop),
})
