/**
 * The keeper's program for where Perl is not installed, in plain JavaScript for the Node that runs this program. It
 * needs 40 MB and forks slowly; what it reads and writes is the same, see `KeeperProtocol`.
 */
export const script = String.raw`
const fs = require("node:fs")
const os = require("node:os")
const { spawn, spawnSync } = require("node:child_process")
const [root, bell] = process.argv.slice(1)
process.title = "holdfast-keeper"
process.chdir(root)
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM", "SIGQUIT", "SIGPIPE", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGUSR2"]) {
  process.on(signal, () => {})
}
const hasProc = fs.existsSync("/proc/self/stat")
const text = (path) => { try { return fs.readFileSync(path, "latin1") } catch { return "" } }
const begun = (pid) => {
  if (hasProc) { const stat = text("/proc/" + pid + "/stat"); return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] }
  const env = { ...process.env, LC_ALL: "C", TZ: "UTC" }
  return spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8", env }).stdout.trim().split(/\s+/).join("_")
}
const uptime = () => (hasProc ? text("/proc/uptime").split(" ")[0] : "-")
const errno = (cause) => os.constants.errno[cause.code] ?? 0
const line = (words) => Buffer.from(words.padEnd(63) + "\n", "latin1")
const jobs = new Set()
let rings = []
let isRinging = false
let isTold = true

const ring = (words) => {
  rings.push(words + "\n")
  if (!isRinging) { isRinging = true; setImmediate(tell) }
}
const tell = () => {
  isRinging = false
  let out
  try {
    out = fs.openSync(bell, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK)
  } catch {
    // Without a daemon there is nobody to tell, and the next one looks for itself.
    rings = []
    return leave()
  }
  try {
    while (rings.length > 0) { fs.writeSync(out, rings[0]); rings.shift() }
  } catch {
    isRinging = true
    setTimeout(tell, 100)
  } finally {
    fs.closeSync(out)
  }
  leave()
}
const leave = () => { if (!isTold && jobs.size === 0 && !isRinging && rings.length === 0) process.exit(0) }

// The exit has a place in a file that is there already: a full disk cannot lose it.
const note = (run, at, words) => {
  try {
    const file = fs.openSync(run, "r+")
    try { fs.writeSync(file, line(words), 0, 64, at) } finally { fs.closeSync(file) }
    return true
  } catch (cause) {
    return cause.code === "ENOENT"
  }
}
const ended = (job, how) => {
  const words = how + " " + uptime()
  const done = () => {
    if (!note(job.run, 64, words)) return void setTimeout(done, 1000)
    jobs.delete(job)
    if (job.hold !== undefined) fs.closeSync(job.hold)
    ring("x " + job.run + " " + words)
  }
  done()
}

const begin = (request) => {
  const [dir, runName, outName, errName, cwd, kind, input, inherit, count, ...rest] = request.split("\0")
  const command = rest.splice(0, Number(count))
  const run = dir + "/" + runName
  const inFile = dir + "/stdin"
  const open = []
  const keep = (file) => { open.push(file); return file }
  const job = { run, hold: undefined, end: inFile + ".end" }
  try {
    fs.mkdirSync(dir, { recursive: true, mode: 0o700 })
    const file = keep(fs.openSync(run, "wx", 0o600))
    fs.writeSync(file, Buffer.concat([line(""), line("")]))
    const out = keep(fs.openSync(dir + "/" + outName, "a", 0o600))
    const err = keep(fs.openSync(dir + "/" + errName, "a", 0o600))
    let data = "ignore"
    if (kind === "bytes") {
      fs.rmSync(inFile, { force: true })
      data = keep(fs.openSync(inFile, "wx+", 0o600))
      fs.unlinkSync(inFile)
      const bytes = Buffer.from(input, "hex")
      fs.writeSync(data, bytes, 0, bytes.length, 0)
    } else if (kind === "pipe") {
      fs.rmSync(inFile, { force: true })
      fs.rmSync(job.end, { force: true })
      const made = spawnSync("mkfifo", ["-m", "600", inFile])
      if (made.status !== 0) throw made.error ?? Object.assign(new Error("mkfifo"), { code: "EIO" })
      job.hold = fs.openSync(inFile, "r+")
      data = keep(fs.openSync(inFile, "r"))
    }
    if (kind === "file") {
      try {
        // Without waiting for a writer: the keeper has others to serve.
        data = keep(fs.openSync(input, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK))
      } catch (cause) {
        jobs.add(job)
        return ended(job, "fault stdin " + errno(cause))
      }
    }
    const env = inherit ? { ...process.env } : {}
    for (const pair of rest) { const at = pair.indexOf("="); env[pair.slice(0, at)] = pair.slice(at + 1) }
    jobs.add(job)
    let child
    try {
      child = spawn(command[0], command.slice(1), { cwd, env, detached: true, stdio: [data, out, err] })
    } catch (cause) {
      return ended(job, "fault exec " + errno(cause))
    }
    child.on("error", (cause) => { if (child.pid === undefined) ended(job, "fault exec " + errno(cause)) })
    if (child.pid === undefined) return
    child.on("exit", (code, signal) =>
      ended(job, signal === null ? "code " + code : "signal " + os.constants.signals[signal]))
    const words = child.pid + " " + begun(child.pid)
    fs.writeSync(file, line(words), 0, 64, 0)
    ring("s " + run + " " + words)
  } catch (cause) {
    jobs.delete(job)
    if (job.hold !== undefined) fs.closeSync(job.hold)
    // Somebody has taken its place, so that it cannot begin any more.
    if (cause.code === "EEXIST") return
    for (const path of open.length > 0 ? [run, inFile] : []) fs.rmSync(path, { force: true })
    ring("r " + run + " place " + errno(cause))
  } finally {
    for (const file of open) fs.closeSync(file)
  }
}

process.on("SIGUSR1", () => {
  for (const job of jobs) {
    if (job.hold !== undefined && fs.existsSync(job.end)) { fs.closeSync(job.hold); job.hold = undefined }
  }
})
let asked = Buffer.alloc(0)
process.stdin.on("data", (bytes) => {
  asked = Buffer.concat([asked, bytes])
  while (true) {
    const at = asked.indexOf(10)
    const length = at === -1 ? NaN : Number(asked.toString("latin1", 0, at))
    if (!(asked.length >= at + 1 + length)) return
    begin(asked.toString("utf8", at + 1, at + 1 + length))
    asked = asked.subarray(at + 1 + length)
  }
})
const gone = () => { isTold = false; leave() }
process.stdin.on("end", gone)
process.stdin.on("error", gone)
setInterval(() => {}, 1 << 30)
`
