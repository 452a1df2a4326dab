/**
 * Does output go to its log at the speed of the disk? A job that writes 1 GB of lines of 100 bytes, from the request to
 * the answer that it has ended, against the same command writing to a file by itself; and how much of a processor the
 * daemon uses meanwhile, in per cent of what the command uses. Linux only: processor times are read in /proc.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Daemon from "./daemon.js"
import { limited, paired } from "./harness.js"

const bytes = 1e9
// What `times` prints last is what the shell's children used.
const command = ["sh", "-c", `yes ${"x".repeat(99)} | head -c ${bytes}; times >&2`]
const megabytes = (millis: number): number => bytes / 1e3 / millis

const place = Daemon.temporary()
const daemon = await Daemon.start(Daemon.temporary())

/** Checks that all is there, and lets it go before it is written to the disk in the next one's time. */
const drop = (file: string): void => {
  const { size } = fs.statSync(file)
  if (size !== bytes) throw new Error(`${file} has ${size} bytes`)
  fs.truncateSync(file)
}

/** The processor time in what `times` printed, in milliseconds. */
const timesOf = (text: string): number =>
  [...text.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1_000,
    0,
  )

// What is measured is a daemon that has been up for a while: the first jobs run code that is not compiled yet.
for (let i = 0; i < 100; i++) await Daemon.runJob(daemon, ["true"])

const shares: Array<number> = []

const ours = async (): Promise<number> => {
  const used = Daemon.processorMillis(daemon.pid)
  const begin = performance.now()
  const answer = await daemon.ask("POST", "/exec", { command, wait: true })
  const millis = performance.now() - begin
  const daemonUsed = Daemon.processorMillis(daemon.pid) - used
  if (answer.exit_code !== 0) throw new Error(`the job is ${answer.state}`)
  const log = (name: string) => path.resolve(daemon.root, name)
  shares.push((daemonUsed / timesOf(fs.readFileSync(log(answer.stderr_log_path), "utf8"))) * 100)
  drop(log(answer.stdout_log_path))
  return megabytes(millis)
}

const bare = async (): Promise<number> => {
  // Names of their own: a file that is cut and written again is flushed when it is closed, by ext4.
  const directory = fs.mkdtempSync(path.join(place, "bare-"))
  const [out, err] = [path.join(directory, "stdout.log"), path.join(directory, "stderr.log")]
  const begin = performance.now()
  const descriptors = [fs.openSync(out, "w"), fs.openSync(err, "w")] as const
  const [file, ...args] = command
  const child = spawn(file!, args, { stdio: ["ignore", ...descriptors] })
  for (const descriptor of descriptors) fs.closeSync(descriptor)
  const code = await Daemon.ended(Daemon.owned(child))
  const millis = performance.now() - begin
  if (code !== 0) throw new Error(`the command ended with ${code}`)
  drop(out)
  return megabytes(millis)
}

await paired({
  name: "1 GB of lines from a job / to a file",
  unit: "MB/s",
  rounds: 9,
  ours,
  bare,
  atLeast: 0.95,
})
// The first was the warm-up.
limited({
  name: "processor time of the daemon / of that job",
  unit: "%",
  figures: shares.slice(1),
  atMost: 2,
})
await daemon.stop()
