/**
 * Is the end of a job told at once? From the death of a job, killed from here, to the answer of a `GET /wait` that is
 * pending. And does it matter how long a log is? `GET /tail` of 4 GB, which are a hole in the file but for the last MB,
 * against 1 MB.
 */
import * as Daemon from "./daemon.js"
import { limited, paired } from "./harness.js"

const daemon = await Daemon.start(Daemon.temporary())

const sleeper = async (): Promise<{ readonly id: string; readonly pid: number }> => {
  const command = ["sh", "-c", "echo $$; exec sleep 600"]
  const { job_id: id } = await daemon.ask("POST", "/exec", { command })
  const { match } = await daemon.ask("GET", `/wait/${id}?pattern=%5Cd%2B`)
  return { id, pid: Number(match.line) }
}

const killToAnswer = async (): Promise<number> => {
  const { id, pid } = await sleeper()
  const answered = (async () => {
    const { state } = await daemon.ask("GET", `/wait/${id}`)
    if (state !== "killed") throw new Error(`the job is ${state}`)
    return performance.now()
  })()
  // The daemon has the request by then.
  await Daemon.sleep(30)
  const begin = performance.now()
  process.kill(pid, "SIGKILL")
  return (await answered) - begin
}

const figures: Array<number> = []
for (let round = 0; round < 110; round++) {
  const figure = await killToAnswer()
  if (round >= 10) figures.push(figure)
}
limited({ name: "GET /wait answers after the death of the job", unit: "ms", figures, atMost: 5 })

const megabyte = 2 ** 20
/** A job whose output has this many bytes, the last MB of it in lines of 100 bytes. */
const jobOf = (bytes: number) =>
  Daemon.runJob(daemon, [
    process.execPath,
    "-e",
    `fs.ftruncateSync(1, ${bytes - megabyte})
     fs.writeSync(1, Buffer.alloc(${megabyte}, "x".repeat(99) + "\\n"), 0, ${megabyte}, ${bytes - megabyte})`,
  ])
const large = await jobOf(4 * 2 ** 30)
const small = await jobOf(megabyte)
const { stdout_observed_bytes: bytes, stdout_tail: text } = await daemon.ask("GET", `/tail/${large}`)
if (bytes !== 4 * 2 ** 30 || text.split("\n").length !== 50) throw new Error(`a log of ${bytes} bytes`)

const times = 50
/** Milliseconds for one, from `times` of them one after the other. */
const each = async (path: string): Promise<number> => {
  const begin = performance.now()
  for (let i = 0; i < times; i++) await daemon.ask("GET", path)
  return (performance.now() - begin) / times
}

for (const [name, query] of [
  ["GET /tail, 50 lines", ""],
  ["GET /tail, 64 KiB", "?lines=100000"],
] as const) {
  await paired({
    name: `${name}, of 4 GB / of 1 MB`,
    unit: "ms",
    rounds: 9,
    ours: () => each(`/tail/${large}${query}`),
    bare: () => each(`/tail/${small}${query}`),
    atMostMore: 5,
  })
}
await daemon.stop()
